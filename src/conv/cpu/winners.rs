//! The three products for maps that were unpooled: at most one element of each window is not zero.
//!
//! The planes are laid out with the channels innermost, so that what an element of a map meets, a patch
//! of all planes, is a few long rows: each is one sum of products with a row of the map's filter. Columns
//! of zeros around the planes and zeros behind the rows of filters make these sums whole vectors.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::scalar::MAX_LANES;
use super::{Product, Scalar, Sizes};
use crate::connectivity::Connectivity;
use crate::pooling::Switches;

/// A product, see [`super::super::at`]: values at the switches and filters to planes, planes and filters
/// to the values at the switches, or values and planes to filters.
pub fn product<T: Scalar>(
    product: Product,
    [a, b]: [&[T]; 2],
    g: &Connectivity,
    switches: &Switches,
    sizes: Sizes,
) -> Vec<T> {
    let layout = Layout {
        planes: g.planes(),
        maps: g.maps(),
        sizes,
    };
    match product {
        Product::Synthesize => layout.synthesize(a, &layout.inner_filters(b, g), switches),
        Product::Analyze => layout.analyze(a, &layout.inner_filters(b, g), switches),
        Product::FilterGradient => layout.filter_gradient(a, b, g, switches),
    }
}

#[derive(Clone, Copy)]
struct Layout {
    planes: usize,
    maps: usize,
    sizes: Sizes,
}

/// Where a row of a map's filter begins, where the row of the planes that it meets, and how many numbers
/// of them count; what follows up to the next whole vector is zero in one of them.
struct Row {
    filter: usize,
    planes: usize,
    length: usize,
}

impl Layout {
    fn plane(self) -> usize {
        self.sizes.image.iter().product()
    }

    /// The numbers of all planes of an image.
    fn image(self) -> usize {
        (self.planes * self.plane()).max(1)
    }

    /// Numbers of a row of a map's filter, with the zeros behind it.
    fn filter_row(self) -> usize {
        self.sizes.filter[1] * self.planes + MAX_LANES
    }

    fn filter(self) -> usize {
        self.sizes.filter[0] * self.filter_row()
    }

    /// Numbers of a row of the planes, with the zeros on both sides.
    fn row(self) -> usize {
        (self.sizes.image[1] + 2 * (self.sizes.filter[1] - 1)) * self.planes
    }

    /// `[C, K, h, w]` as `[K, h, w, C]`.
    fn inner_filters<T: Scalar>(self, filters: &[T], g: &Connectivity) -> Vec<T> {
        let [h, w] = self.sizes.filter;
        let mut out = vec![T::ZERO; self.maps * self.filter()];
        let each = out.par_chunks_exact_mut(self.filter()).enumerate();
        each.for_each(|(k, out)| {
            // What lies in unconnected planes is not read.
            for c in (0..self.planes).filter(|&c| g.connects(c, k)) {
                let from = &filters[(c * self.maps + k) * h * w..][..h * w];
                let rows = out.chunks_exact_mut(self.filter_row());
                for (out, from) in rows.zip(from.chunks_exact(w)) {
                    for (out, &x) in out[c..].iter_mut().step_by(self.planes).zip(from) {
                        *out = x;
                    }
                }
            }
        });
        out
    }

    /// `[K, h, w, C]` as `[C, K, h, w]`.
    fn outer_filters<T: Scalar>(self, inner: &[T], g: &Connectivity) -> Vec<T> {
        let [h, w] = self.sizes.filter;
        let mut out = vec![T::ZERO; self.planes * self.maps * h * w];
        for (pair, out) in out.chunks_exact_mut(h * w).enumerate() {
            let [c, k] = [pair / self.maps, pair % self.maps];
            if g.connects(c, k) {
                let rows = inner[k * self.filter()..].chunks_exact(self.filter_row());
                for (out, row) in out.chunks_exact_mut(w).zip(rows) {
                    for (x, &from) in out.iter_mut().zip(row[c..].iter().step_by(self.planes)) {
                        *x = from;
                    }
                }
            }
        }
        out
    }

    /// Zeros for planes laid out as `[H, W, C]`.
    fn no_planes<T: Scalar>(self) -> Vec<T> {
        vec![T::ZERO; self.sizes.image[0] * self.row() + MAX_LANES]
    }

    /// The numbers of each row of plane `c` in them.
    fn rows_of(self, c: usize) -> impl Iterator<Item = usize> {
        let margin = (self.sizes.filter[1] - 1) * self.planes;
        (0..self.sizes.image[0]).map(move |y| y * self.row() + margin + c)
    }

    /// `[C, H, W]` as `[H, W, C]`.
    fn inner_planes<T: Scalar>(self, planes: &[T]) -> Vec<T> {
        let mut out = self.no_planes();
        for (c, plane) in planes.chunks_exact(self.plane()).enumerate() {
            for (at, row) in self.rows_of(c).zip(plane.chunks_exact(self.sizes.image[1])) {
                for (out, &x) in out[at..].iter_mut().step_by(self.planes).zip(row) {
                    *out = x;
                }
            }
        }
        out
    }

    /// The map of an element, and the rows that meet where its filter is laid on the planes.
    fn rows(self, place: usize) -> (usize, impl Iterator<Item = Row>) {
        let [height, width] = self.sizes.map();
        let ([rows, columns], [h, w]) = (self.sizes.image, self.sizes.filter);
        let [k, y, x] = [
            place / (height * width),
            place / width % height,
            place % width,
        ];
        // The filter's first row lies at y - (h - 1), its first column at x - (w - 1).
        let down = (h - 1).saturating_sub(y)..h.min(rows + h - 1 - y);
        let across = (w - 1).saturating_sub(x)..w.min(columns + w - 1 - x);
        let c = self.planes;
        let each = down.map(move |a| Row {
            filter: a * self.filter_row() + across.start * c,
            planes: (y + a + 1 - h) * self.row() + (x + across.start) * c,
            length: across.len() * c,
        });
        (k, each)
    }

    fn synthesize<T: Scalar>(self, values: &[T], filters: &[T], switches: &Switches) -> Vec<T> {
        let places = switches.places();
        let windows = places.len() / self.sizes.batch.max(1);
        let mut out = vec![T::ZERO; self.sizes.batch * self.planes * self.plane()];
        let images = out.par_chunks_exact_mut(self.image());
        let images = images.zip(
            places
                .par_chunks_exact(windows)
                .zip(values.par_chunks_exact(windows)),
        );
        images.for_each(|(out, (places, values))| {
            let mut inner = self.no_planes();
            Arch::new().dispatch(Spread {
                layout: self,
                elements: (places, values),
                filters,
                planes: &mut inner,
            });
            let width = self.sizes.image[1];
            for (c, plane) in out.chunks_exact_mut(self.plane()).enumerate() {
                for (at, row) in self.rows_of(c).zip(plane.chunks_exact_mut(width)) {
                    for (x, &from) in row.iter_mut().zip(inner[at..].iter().step_by(self.planes)) {
                        *x = from;
                    }
                }
            }
        });
        out
    }

    fn analyze<T: Scalar>(self, planes: &[T], filters: &[T], switches: &Switches) -> Vec<T> {
        let places = switches.places();
        let windows = places.len() / self.sizes.batch.max(1);
        let mut out = vec![T::ZERO; places.len()];
        let images = planes.par_chunks_exact(self.image());
        let images = images.zip(places.par_chunks_exact(windows));
        let images = out.par_chunks_exact_mut(windows).zip(images);
        images.for_each(|(out, (planes, places))| {
            Arch::new().dispatch(Meet {
                layout: self,
                planes: &self.inner_planes(planes),
                filters,
                places,
                out,
            });
        });
        out
    }

    fn filter_gradient<T: Scalar>(
        self,
        values: &[T],
        planes: &[T],
        g: &Connectivity,
        switches: &Switches,
    ) -> Vec<T> {
        let [_, groups, down, across] = switches.pooled_shape();
        let (group, places) = (down * across, switches.places());
        let inner: Vec<Vec<T>> = planes
            .par_chunks_exact(self.image())
            .map(|p| self.inner_planes(p))
            .collect();
        let mut gradient = vec![T::ZERO; self.maps * self.filter()];
        // The maps of a group have filters of their own.
        let together = switches.windows().maps;
        let each = gradient
            .par_chunks_mut(together * self.filter())
            .enumerate();
        each.for_each(|(at, gradient)| {
            for (i, planes) in inner.iter().enumerate() {
                let windows = (i * groups + at) * group..(i * groups + at + 1) * group;
                Arch::new().dispatch(Gather {
                    layout: self,
                    elements: (&places[windows.clone()], &values[windows]),
                    planes,
                    first: at * together,
                    filters: &mut *gradient,
                });
            }
        });
        self.outer_filters(&gradient, g)
    }
}

/// The elements that are not zero: their places and values.
fn used<T: Scalar>((places, values): (&[i32], &[T])) -> impl Iterator<Item = (usize, T)> {
    let elements = places.iter().zip(values);
    let elements = elements.filter_map(|(&place, &x)| Some((usize::try_from(place).ok()?, x)));
    elements.filter(|(_, x)| *x != T::ZERO)
}

/// Adds the filters of all elements to the planes.
struct Spread<'a, T> {
    layout: Layout,
    elements: (&'a [i32], &'a [T]),
    filters: &'a [T],
    planes: &'a mut [T],
}

impl<T: Scalar> WithSimd for Spread<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (place, value) in used(self.elements) {
            let (k, rows) = self.layout.rows(place);
            let filter = &self.filters[k * self.layout.filter()..][..self.layout.filter()];
            for row in rows {
                let to = &mut self.planes[row.planes..];
                add(simd, to, value, &filter[row.filter..], row.length);
            }
        }
    }
}

/// The sums of products of all elements' filters and the planes.
struct Meet<'a, T> {
    layout: Layout,
    planes: &'a [T],
    filters: &'a [T],
    places: &'a [i32],
    out: &'a mut [T],
}

impl<T: Scalar> WithSimd for Meet<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (out, &place) in self.out.iter_mut().zip(self.places) {
            let Ok(place) = usize::try_from(place) else {
                continue;
            };
            let (k, rows) = self.layout.rows(place);
            let filter = &self.filters[k * self.layout.filter()..][..self.layout.filter()];
            let mut sums = [T::splat(simd, T::ZERO); 2];
            for row in rows {
                let (a, b) = (&self.planes[row.planes..], &filter[row.filter..]);
                sums = dot(simd, sums, [a, b], row.length);
            }
            *out = T::sum(simd, T::plus(simd, sums[0], sums[1]));
        }
    }
}

/// Adds the patches of the planes under all elements to the filters of some maps, from one on.
struct Gather<'a, T> {
    layout: Layout,
    elements: (&'a [i32], &'a [T]),
    planes: &'a [T],
    first: usize,
    filters: &'a mut [T],
}

impl<T: Scalar> WithSimd for Gather<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (place, value) in used(self.elements) {
            let (k, rows) = self.layout.rows(place);
            let own = (k - self.first) * self.layout.filter();
            let filter = &mut self.filters[own..][..self.layout.filter()];
            for row in rows {
                let from = &self.planes[row.planes..];
                add(simd, &mut filter[row.filter..], value, from, row.length);
            }
        }
    }
}

/// `to += by * from`, the first numbers up to a whole vector.
#[inline(always)]
fn add<T: Scalar, S: Simd>(simd: S, to: &mut [T], by: T, from: &[T], length: usize) {
    let lanes = T::lanes::<S>();
    let length = length.next_multiple_of(lanes);
    let by = T::splat(simd, by);
    let to = to[..length].chunks_exact_mut(lanes);
    for (to, from) in to.zip(from[..length].chunks_exact(lanes)) {
        let sum = T::mul_add(simd, by, T::load(simd, from), T::load(simd, to));
        T::store(simd, sum, to);
    }
}

/// `sums + a . b`, the first numbers up to a whole vector.
#[inline(always)]
fn dot<T: Scalar, S: Simd>(
    simd: S,
    mut sums: [T::Vector<S>; 2],
    [a, b]: [&[T]; 2],
    length: usize,
) -> [T::Vector<S>; 2] {
    let lanes = T::lanes::<S>();
    let length = length.next_multiple_of(lanes);
    let [a, b] = [a, b].map(|x| x[..length].chunks_exact(2 * lanes));
    let rest = [a.remainder(), b.remainder()];
    for (a, b) in a.zip(b) {
        for (i, sum) in sums.iter_mut().enumerate() {
            let [a, b] = [a, b].map(|x| T::load(simd, &x[i * lanes..]));
            *sum = T::mul_add(simd, a, b, *sum);
        }
    }
    if !rest[0].is_empty() {
        let [a, b] = rest.map(|x| T::load(simd, x));
        sums[0] = T::mul_add(simd, a, b, sums[0]);
    }
    sums
}
