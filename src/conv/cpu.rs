//! The three products on the CPU: direct, blocked in registers, over the connected planes only.
//!
//! All three reduce to two loops over plain slices, `correlate` and `cross_correlate`, which the
//! CPU backends share. The widest vector unit present (AVX-512, AVX2, NEON, or none) is chosen when
//! the program runs. Nothing is unfolded; the one copy made is a residual padded by zeros. Work is
//! split over planes in a fixed way, so that the bits do not depend on the number of threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::connectivity::Connectivity;

/// The sizes of one product. `planes = g.planes()`, `maps = g.maps()`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Images in the batch.
    pub batch: usize,
    /// Height and width of the image, `N_r x N_c`.
    pub image: [usize; 2],
    /// Height and width of the filters.
    pub filter: [usize; 2],
}

impl Sizes {
    /// Height and width of the maps: image + filter - 1.
    pub fn map(&self) -> [usize; 2] {
        [0, 1].map(|d| self.image[d] + self.filter[d] - 1)
    }

    /// Height and width of a residual padded so that the maps are its 'valid' correlation.
    fn padded(&self) -> [usize; 2] {
        [0, 1].map(|d| self.image[d] + 2 * (self.filter[d] - 1))
    }
}

/// `out[n, c] = sum_k z[n, k] * f[c, k]` over the connected maps, the 'valid' part.
pub fn synthesize<T: Scalar>(maps: &[T], filters: &[T], g: &Connectivity, s: Sizes) -> Vec<T> {
    let taps: usize = s.filter.iter().product();
    let links = (0..g.planes())
        .map(|c| {
            g.maps_of(c)
                .into_iter()
                .map(|k| {
                    let at = (c * g.maps() + k) * taps;
                    Link {
                        input: k,
                        // Reversed taps turn the correlation below into a true convolution.
                        weights: filters[at..at + taps].iter().rev().copied().collect(),
                    }
                })
                .collect()
        })
        .collect();
    correlate(maps, g.maps(), s.map(), links, s.filter, s.batch)
}

/// `out[n, k] = sum_c r[n, c] (x) f[c, k]` over the connected planes, the 'full' correlation: the
/// adjoint of [`synthesize`] in the maps.
pub fn analyze<T: Scalar>(residual: &[T], filters: &[T], g: &Connectivity, s: Sizes) -> Vec<T> {
    let taps: usize = s.filter.iter().product();
    let links = (0..g.maps())
        .map(|k| {
            g.planes_of(k)
                .into_iter()
                .map(|c| {
                    let at = (c * g.maps() + k) * taps;
                    Link {
                        input: c,
                        weights: filters[at..at + taps].to_vec(),
                    }
                })
                .collect()
        })
        .collect();
    let padded = pad(residual, s.image, s.filter.map(|t| t - 1), s.padded());
    correlate(&padded, g.planes(), s.padded(), links, s.filter, s.batch)
}

/// `out[c, k, a, b] = sum_{n, i, j} r[n, c, i, j] z[n, k, i + h - 1 - a, j + w - 1 - b]`, zero where
/// unconnected: the adjoint of [`synthesize`] in the filters.
pub fn filter_gradient<T: Scalar>(
    maps: &[T],
    residual: &[T],
    g: &Connectivity,
    s: Sizes,
) -> Vec<T> {
    let taps: usize = s.filter.iter().product();
    let mut out = vec![T::ZERO; g.planes() * g.maps() * taps];
    out.par_chunks_mut(taps).enumerate().for_each(|(i, out)| {
        let (c, k) = (i / g.maps(), i % g.maps());
        if g.connects(c, k) {
            cross_correlate(maps, residual, [g.maps(), k], [g.planes(), c], s, out);
        }
    });
    out
}

/// One input plane of an output plane, with the taps that lead from the one to the other.
struct Link<T> {
    input: usize,
    weights: Vec<T>,
}

/// Copies planes of `size` into planes of zeros of `padded`, `margin` rows and columns in.
fn pad<T: Scalar>(x: &[T], size: [usize; 2], margin: [usize; 2], padded: [usize; 2]) -> Vec<T> {
    let planes = x.len() / (size[0] * size[1]);
    let mut out = vec![T::ZERO; planes * padded[0] * padded[1]];
    for (row, values) in x.chunks_exact(size[1]).enumerate() {
        let (plane, i) = (row / size[0], row % size[0]);
        let at = (plane * padded[0] + i + margin[0]) * padded[1] + margin[1];
        out[at..at + size[1]].copy_from_slice(values);
    }
    out
}

/// `out[n, o, i, j] = sum over links of o, a, b: weights[a, b] input[n, link, i + a, j + b]`.
fn correlate<T: Scalar>(
    input: &[T],
    inputs: usize,
    size: [usize; 2],
    links: Vec<Vec<Link<T>>>,
    filter: [usize; 2],
    batch: usize,
) -> Vec<T> {
    let [height, width] = [0, 1].map(|d| size[d] + 1 - filter[d]);
    let plane = size[0] * size[1];
    let mut out = vec![T::ZERO; batch * links.len() * height * width];
    // Strips of rows, so that a single plane keeps every core busy too.
    let strip = 32;
    out.par_chunks_mut(height * width)
        .enumerate()
        .flat_map(|(o, out)| {
            out.par_chunks_mut(strip * width)
                .enumerate()
                .map(move |(s, rows)| (o, s * strip, rows))
        })
        .for_each(|(o, top, rows)| {
            let (n, o) = (o / links.len(), o % links.len());
            let sources: Vec<(&[T], &[T])> = links[o]
                .iter()
                .map(|link| {
                    let at = (n * inputs + link.input) * plane;
                    (&input[at + top * size[1]..at + plane], &link.weights[..])
                })
                .collect();
            Arch::new().dispatch(Strip {
                sources: &sources,
                stride: size[1],
                filter,
                width,
                out: rows,
            });
        });
    out
}

/// A strip of rows of one output plane: `sources` hold the input from the strip's first row on.
struct Strip<'a, T> {
    sources: &'a [(&'a [T], &'a [T])],
    stride: usize,
    filter: [usize; 2],
    width: usize,
    out: &'a mut [T],
}

impl<T: Scalar> WithSimd for Strip<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.width >= T::lanes::<S>() {
            self.run(simd);
        } else {
            self.run(pulp::Scalar::new());
        }
    }
}

impl<T: Scalar> Strip<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S) {
        let height = self.out.len() / self.width;
        let mut i = 0;
        while i < height {
            // Blocks of rows share the loads of the input; the last block may redo rows above it.
            if height >= 4 {
                self.rows::<S, 4>(simd, i.min(height - 4));
                i += 4;
            } else {
                self.rows::<S, 1>(simd, i);
                i += 1;
            }
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&mut self, simd: S, i: usize) {
        let lanes = T::lanes::<S>();
        let mut j = 0;
        while j < self.width {
            // As with rows, the last block of columns may redo columns before it.
            let left = self.width - j;
            if left >= 4 * lanes {
                self.block::<S, R, 4>(simd, i, j);
                j += 4 * lanes;
            } else if left >= 2 * lanes {
                self.block::<S, R, 2>(simd, i, j);
                j += 2 * lanes;
            } else {
                self.block::<S, R, 1>(simd, i, j.min(self.width - lanes));
                j += lanes;
            }
        }
    }

    /// `R` rows by `V` vectors of the output, kept in registers over all sources and taps.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, i: usize, j: usize) {
        let [h, w] = self.filter;
        let lanes = T::lanes::<S>();
        let mut sum = [[T::splat(simd, T::ZERO); V]; R];
        for &(source, weights) in self.sources {
            // Row m of the input meets tap row m - r in output row r.
            for m in 0..h + R - 1 {
                let row = &source[(i + m) * self.stride + j..];
                let row = &row[..w - 1 + V * lanes];
                if m + 1 >= R && m < h {
                    let taps: [&[T]; R] =
                        std::array::from_fn(|r| &weights[(m - r) * w..(m - r + 1) * w]);
                    for b in 0..w {
                        let x: [_; V] =
                            std::array::from_fn(|v| T::load(simd, &row[b + v * lanes..]));
                        for r in 0..R {
                            let f = T::splat(simd, taps[r][b]);
                            for v in 0..V {
                                sum[r][v] = T::mul_add(simd, f, x[v], sum[r][v]);
                            }
                        }
                    }
                } else {
                    for b in 0..w {
                        let x: [_; V] =
                            std::array::from_fn(|v| T::load(simd, &row[b + v * lanes..]));
                        for r in 0..R {
                            if m >= r && m - r < h {
                                let f = T::splat(simd, weights[(m - r) * w + b]);
                                for v in 0..V {
                                    sum[r][v] = T::mul_add(simd, f, x[v], sum[r][v]);
                                }
                            }
                        }
                    }
                }
            }
        }
        for (r, row) in sum.into_iter().enumerate() {
            for (v, x) in row.into_iter().enumerate() {
                let at = (i + r) * self.width + j + v * lanes;
                T::store(simd, x, &mut self.out[at..]);
            }
        }
    }
}

/// Adds up one plane of [`filter_gradient`] over the batch.
fn cross_correlate<T: Scalar>(
    maps: &[T],
    residual: &[T],
    [maps_each, k]: [usize; 2],
    [planes_each, c]: [usize; 2],
    s: Sizes,
    out: &mut [T],
) {
    let (map, image) = (s.map(), s.image);
    let (map_plane, image_plane) = (map[0] * map[1], image[0] * image[1]);
    for n in 0..s.batch {
        let z = &maps[(n * maps_each + k) * map_plane..][..map_plane];
        let r = &residual[(n * planes_each + c) * image_plane..][..image_plane];
        Arch::new().dispatch(Taps {
            map: z,
            residual: r,
            sizes: s,
            out,
        });
    }
}

/// The taps of one filter plane from one map and one residual.
struct Taps<'a, T> {
    map: &'a [T],
    residual: &'a [T],
    sizes: Sizes,
    out: &'a mut [T],
}

impl<T: Scalar> WithSimd for Taps<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.sizes.image[1] >= T::lanes::<S>() {
            self.run(simd);
        } else {
            self.run(pulp::Scalar::new());
        }
    }
}

impl<T: Scalar> Taps<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S) {
        let [height, width] = self.sizes.image;
        let [h, w] = self.sizes.filter;
        let lanes = T::lanes::<S>();
        // The residual in whole vectors with h - 1 rows of zeros around. A last vector that would
        // pass the row's end starts earlier, with zeros in the places already counted.
        let vectors = width.div_ceil(lanes);
        let mut r = vec![T::ZERO; (height + 2 * (h - 1)) * vectors * lanes];
        for (i, row) in self.residual.chunks_exact(width).enumerate() {
            let to = &mut r[(i + h - 1) * vectors * lanes..][..vectors * lanes];
            let whole = width - width % lanes;
            to[..whole].copy_from_slice(&row[..whole]);
            to[vectors * lanes - (width - whole)..].copy_from_slice(&row[whole..]);
        }
        let mut a = 0;
        while a < h {
            let mut b = 0;
            while b < w {
                macro_rules! blocks {
                    ($(($A:literal, $B:literal)),*) => {
                        match ((h - a).min(4), (w - b).min(4)) {
                            $(($A, $B) => self.block::<S, $A, $B>(simd, &r, vectors, a, b),)*
                            _ => unreachable!("blocks are 1 to 4 taps high and wide"),
                        }
                    };
                }
                blocks!(
                    (1, 1),
                    (1, 2),
                    (1, 3),
                    (1, 4),
                    (2, 1),
                    (2, 2),
                    (2, 3),
                    (2, 4),
                    (3, 1),
                    (3, 2),
                    (3, 3),
                    (3, 4),
                    (4, 1),
                    (4, 2),
                    (4, 3),
                    (4, 4)
                );
                b += 4;
            }
            a += 4;
        }
    }

    /// `A x B` taps from row `a`, column `b` of the correlation on, kept in registers.
    #[inline(always)]
    fn block<S: Simd, const A: usize, const B: usize>(
        &mut self,
        simd: S,
        r: &[T],
        vectors: usize,
        a: usize,
        b: usize,
    ) {
        let [_, width] = self.sizes.image;
        let [h, w] = self.sizes.filter;
        let [rows, stride] = self.sizes.map();
        let lanes = T::lanes::<S>();
        let mut sum = [[T::splat(simd, T::ZERO); B]; A];
        for m in 0..rows {
            let z = &self.map[m * stride..(m + 1) * stride];
            // Row m of the map meets row m - a of the residual, stored h - 1 rows further down.
            let first = (m + h - 1 - a) * vectors * lanes;
            for v in 0..vectors {
                let j = (v * lanes).min(width - lanes);
                let x: [_; B] = std::array::from_fn(|q| T::load(simd, &z[j + b + q..]));
                for (p, row) in sum.iter_mut().enumerate() {
                    let at = first - p * vectors * lanes + v * lanes;
                    let y = T::load(simd, &r[at..]);
                    for (tap, &x) in row.iter_mut().zip(&x) {
                        *tap = T::mul_add(simd, x, y, *tap);
                    }
                }
            }
        }
        for (p, row) in sum.into_iter().enumerate() {
            for (q, x) in row.into_iter().enumerate() {
                let at = (h - 1 - a - p) * w + (w - 1 - b - q);
                self.out[at] = self.out[at] + T::sum(simd, x);
            }
        }
    }
}

/// A real number that fits the vector unit: `f32` or `f64`.
pub trait Scalar: Copy + Send + Sync + std::ops::Add<Output = Self> + 'static {
    /// Nought.
    const ZERO: Self;
    /// A vector register's worth of numbers.
    type Vector<S: Simd>: Copy;
    /// How many numbers a register holds.
    fn lanes<S: Simd>() -> usize;
    /// The same number in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// `a b + c`, lane by lane.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// The first lanes of a slice that is at least as long.
    fn load<S: Simd>(simd: S, from: &[Self]) -> Self::Vector<S>;
    /// Writes the lanes to the front of a slice that is at least as long.
    fn store<S: Simd>(simd: S, x: Self::Vector<S>, to: &mut [Self]);
    /// The sum of the lanes.
    fn sum<S: Simd>(simd: S, x: Self::Vector<S>) -> Self;
}

macro_rules! scalar {
    ($t:ty, $vector:ident, $lanes:ident, $splat:ident, $mul_add:ident, $sum:ident) => {
        impl Scalar for $t {
            const ZERO: Self = 0.0;
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::$lanes
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                c: S::$vector,
            ) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn load<S: Simd>(_: S, from: &[Self]) -> S::$vector {
                bytemuck::pod_read_unaligned(bytemuck::cast_slice(&from[..S::$lanes]))
            }
            #[inline(always)]
            fn store<S: Simd>(_: S, x: S::$vector, to: &mut [Self]) {
                bytemuck::cast_slice_mut(&mut to[..S::$lanes])
                    .copy_from_slice(bytemuck::bytes_of(&x));
            }
            #[inline(always)]
            fn sum<S: Simd>(simd: S, x: S::$vector) -> Self {
                simd.$sum(x)
            }
        }
    };
}

scalar!(
    f32,
    f32s,
    F32_LANES,
    splat_f32s,
    mul_add_e_f32s,
    reduce_sum_f32s
);
scalar!(
    f64,
    f64s,
    F64_LANES,
    splat_f64s,
    mul_add_e_f64s,
    reduce_sum_f64s
);
