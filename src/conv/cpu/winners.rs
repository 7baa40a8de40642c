//! The three products for maps that were unpooled: at most one element of each window is not zero.
//!
//! The planes are laid out with the channels innermost, so that what an element of a map meets, a patch
//! of all planes, is a few long rows: each is one sum of products with a row of the map's filter.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

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

/// A row of a map's filter and the row of the planes that it meets.
struct Rows {
    filter: Range<usize>,
    planes: Range<usize>,
}

impl Layout {
    fn plane(self) -> usize {
        self.sizes.image.iter().product()
    }

    fn filter(self) -> usize {
        self.planes * self.sizes.filter.iter().product::<usize>()
    }

    /// `[C, K, h, w]` as `[K, h, w, C]`.
    fn inner_filters<T: Scalar>(self, filters: &[T], g: &Connectivity) -> Vec<T> {
        let taps: usize = self.sizes.filter.iter().product();
        let mut out = vec![T::ZERO; filters.len()];
        let each = out.par_chunks_exact_mut(self.filter()).enumerate();
        each.for_each(|(k, out)| {
            // What lies in unconnected planes is not read.
            for c in (0..self.planes).filter(|&c| g.connects(c, k)) {
                let from = &filters[(c * self.maps + k) * taps..][..taps];
                for (out, &x) in out[c..].iter_mut().step_by(self.planes).zip(from) {
                    *out = x;
                }
            }
        });
        out
    }

    /// `[C, H, W]` as `[H, W, C]`.
    fn inner_planes<T: Scalar>(self, planes: &[T]) -> Vec<T> {
        let mut out = vec![T::ZERO; planes.len()];
        for (c, plane) in planes.chunks_exact(self.plane()).enumerate() {
            for (out, &x) in out[c..].iter_mut().step_by(self.planes).zip(plane) {
                *out = x;
            }
        }
        out
    }

    /// The map of an element, and the rows that meet where its filter is laid on the planes.
    fn rows(self, place: usize) -> (usize, impl Iterator<Item = Rows>) {
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
        let length = across.len() * c;
        let each = down.map(move |a| {
            let filter = (a * w + across.start) * c;
            let planes = ((y + a + 1 - h) * columns + x + across.start + 1 - w) * c;
            Rows {
                filter: filter..filter + length,
                planes: planes..planes + length,
            }
        });
        (k, each)
    }

    fn synthesize<T: Scalar>(self, values: &[T], filters: &[T], switches: &Switches) -> Vec<T> {
        let places = switches.places();
        let windows = places.len() / self.sizes.batch.max(1);
        let mut out = vec![T::ZERO; self.sizes.batch * self.planes * self.plane()];
        let images = out.par_chunks_exact_mut((self.planes * self.plane()).max(1));
        let images = images.zip(
            places
                .par_chunks_exact(windows)
                .zip(values.par_chunks_exact(windows)),
        );
        images.for_each(|(out, (places, values))| {
            let mut inner = vec![T::ZERO; out.len()];
            Arch::new().dispatch(Each(|| {
                for (place, &value) in used(places).zip(values).filter(|(_, v)| **v != T::ZERO) {
                    let Some(place) = place else { continue };
                    let (k, rows) = self.rows(place);
                    let filter = &filters[k * self.filter()..][..self.filter()];
                    rows.for_each(|r| add(&mut inner[r.planes], value, &filter[r.filter]));
                }
            }));
            for (c, plane) in out.chunks_exact_mut(self.plane()).enumerate() {
                for (x, &from) in plane.iter_mut().zip(inner[c..].iter().step_by(self.planes)) {
                    *x = from;
                }
            }
        });
        out
    }

    fn analyze<T: Scalar>(self, planes: &[T], filters: &[T], switches: &Switches) -> Vec<T> {
        let places = switches.places();
        let windows = places.len() / self.sizes.batch.max(1);
        let mut out = vec![T::ZERO; places.len()];
        let images = planes.par_chunks_exact((self.planes * self.plane()).max(1));
        let images = images.zip(places.par_chunks_exact(windows));
        let images = out.par_chunks_exact_mut(windows).zip(images);
        images.for_each(|(out, (planes, places))| {
            let inner = self.inner_planes(planes);
            Arch::new().dispatch(Each(|| {
                for (out, place) in out.iter_mut().zip(used(places)) {
                    let Some(place) = place else { continue };
                    let (k, rows) = self.rows(place);
                    let filter = &filters[k * self.filter()..][..self.filter()];
                    *out = rows.fold(T::ZERO, |sum, r| {
                        sum + dot(&inner[r.planes], &filter[r.filter])
                    });
                }
            }));
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
        let image = (self.planes * self.plane()).max(1);
        let inner: Vec<Vec<T>> = planes
            .par_chunks_exact(image)
            .map(|p| self.inner_planes(p))
            .collect();
        let mut gradient = vec![T::ZERO; self.maps * self.filter()];
        // The maps of a group have filters of their own.
        let together = switches.windows().maps;
        let each = gradient
            .par_chunks_mut(together * self.filter())
            .enumerate();
        each.for_each(|(at, gradient)| {
            Arch::new().dispatch(Each(|| {
                for (i, inner) in inner.iter().enumerate() {
                    let from = (i * groups + at) * group;
                    let values = &values[from..from + group];
                    let elements = used(&places[from..from + group]).zip(values);
                    for (place, &value) in elements.filter(|(_, v)| **v != T::ZERO) {
                        let Some(place) = place else { continue };
                        let (k, rows) = self.rows(place);
                        let own = (k - at * together) * self.filter();
                        let gradient = &mut gradient[own..][..self.filter()];
                        rows.for_each(|r| add(&mut gradient[r.filter], value, &inner[r.planes]));
                    }
                }
            }));
        });
        let taps: usize = self.sizes.filter.iter().product();
        let mut out = vec![T::ZERO; gradient.len()];
        for (pair, out) in out.chunks_exact_mut(taps).enumerate() {
            let [c, k] = [pair / self.maps, pair % self.maps];
            if g.connects(c, k) {
                let own = gradient[k * self.filter() + c..]
                    .iter()
                    .step_by(self.planes);
                out.iter_mut().zip(own).for_each(|(x, &from)| *x = from);
            }
        }
        out
    }
}

/// The places of the windows that have one.
fn used(places: &[i32]) -> impl Iterator<Item = Option<usize>> {
    places.iter().map(|&place| usize::try_from(place).ok())
}

/// Rows of so many numbers, those of filters of 7 columns over one plane, are worked on without a loop.
const SHORT: usize = 7;

/// `to += by * from`.
#[inline(always)]
fn add<T: Scalar>(to: &mut [T], by: T, from: &[T]) {
    if let (Ok(to), Ok(from)) = (
        <&mut [T; SHORT]>::try_from(&mut *to),
        <&[T; SHORT]>::try_from(from),
    ) {
        for i in 0..SHORT {
            to[i] = to[i] + by * from[i];
        }
        return;
    }
    for (to, &from) in to.iter_mut().zip(from) {
        *to = *to + by * from;
    }
}

#[inline(always)]
fn dot<T: Scalar>(a: &[T], b: &[T]) -> T {
    if let (Ok(a), Ok(b)) = (<&[T; SHORT]>::try_from(a), <&[T; SHORT]>::try_from(b)) {
        return (0..SHORT).fold(T::ZERO, |sum, i| sum + a[i] * b[i]);
    }
    const LANES: usize = 16;
    let (a_whole, a_rest) = a.as_chunks::<LANES>();
    let (b_whole, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [T::ZERO; LANES];
    for (a, b) in a_whole.iter().zip(b_whole) {
        for i in 0..LANES {
            lanes[i] = lanes[i] + a[i] * b[i];
        }
    }
    let rest = a_rest
        .iter()
        .zip(b_rest)
        .fold(T::ZERO, |sum, (&a, &b)| sum + a * b);
    lanes.into_iter().fold(rest, |sum, x| sum + x)
}

/// Plain loops, which the compiler turns into those of the vector unit that they are inlined for.
struct Each<F>(F);

impl<F: FnOnce()> WithSimd for Each<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        (self.0)();
    }
}
