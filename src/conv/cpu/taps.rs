//! Cross-correlations of maps with residuals, tap by tap: what
//! [`filter_gradient`](super::filter_gradient) comes down to.
//!
//! A block of taps stays in registers over the whole of a strip: each vector of the residual and of
//! the map meets all taps of the block, and lanes are added up once at the strip's end.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::operands::Input;
use super::scalar::Scalar;
use crate::conv::sizes::Sizes;

/// Most rows of taps of a block.
const ROWS: usize = 4;

/// Values of a map that a strip holds at most, so that the passes over it find it in the cache.
const STRIP: usize = 1 << 15;

/// Residuals in whole vectors, and one such row of zeros.
///
/// A last vector that would pass the row's end starts earlier, with zeros in the places already
/// counted, so that the map's row is not passed either.
struct Residual<T> {
    values: Vec<T>,
    planes: usize,
    size: [usize; 2],
    stride: usize,
    start: usize,
    zeros: Vec<T>,
}

impl<T: Scalar> Residual<T> {
    fn new(values: &[T], planes: usize, size: [usize; 2], lanes: usize) -> Self {
        let [height, width] = size;
        let stride = width.next_multiple_of(lanes);
        let mut packed = vec![T::ZERO; values.len() / width * stride + 64];
        let start = packed.as_ptr().align_offset(64).min(64);
        let whole = width - width % lanes;
        let tail = if whole == 0 {
            0
        } else {
            stride - (width - whole)
        };
        packed[start..]
            .par_chunks_mut(height * stride)
            .zip(values.par_chunks(height * width))
            .for_each(|(to, from)| {
                for (to, from) in to.chunks_exact_mut(stride).zip(from.chunks_exact(width)) {
                    to[..whole].copy_from_slice(&from[..whole]);
                    to[tail..tail + width - whole].copy_from_slice(&from[whole..]);
                }
            });
        Self {
            values: packed,
            planes,
            size,
            stride,
            start,
            zeros: vec![T::ZERO; stride],
        }
    }

    /// Plane `c` of image `n`.
    fn plane(&self, n: usize, c: usize) -> &[T] {
        let plane = self.size[0] * self.stride;
        &self.values[self.start + (n * self.planes + c) * plane..][..plane]
    }
}

struct Lanes<T>(std::marker::PhantomData<T>);

impl<T: Scalar> WithSimd for Lanes<T> {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        T::lanes::<S>()
    }
}

/// `out[a, b] += sum over n, i, j: r[n, c, i, j] z[n, k, i + h - 1 - a, j + w - 1 - b]` for each of
/// `pairs` (c, k). Rows of the maps are at least [`MAX_LANES`](super::scalar::MAX_LANES) + w - 1 long.
pub(super) fn cross_correlate<T: Scalar>(
    maps: Input<T>,
    residual: &[T],
    planes: usize,
    Sizes {
        batch,
        image,
        filter,
    }: Sizes,
    pairs: &[[usize; 2]],
    out: Vec<&mut [T]>,
) {
    let lanes = Arch::new().dispatch(Lanes(std::marker::PhantomData::<T>));
    let residual = Residual::new(residual, planes, image, lanes);
    let strips = strips(batch, image);
    let taps = filter[0] * filter[1];
    // So many sums of strips for each pair that all cores are busy; a matter of the sizes alone,
    // so that the bits do not depend on the number of threads.
    let parts = 64usize.div_ceil(pairs.len().max(1)).min(strips.len());
    let job = |part: usize, [c, k]: [usize; 2], out: &mut [T]| {
        let strips = &strips[part * strips.len() / parts..(part + 1) * strips.len() / parts];
        for strip in strips {
            Arch::new().dispatch(Taps {
                maps,
                residual: &residual,
                pair: [c, k],
                strip,
                filter,
                out,
            });
        }
    };
    if parts == 1 {
        let jobs = out.into_par_iter().zip(pairs);
        jobs.for_each(|(out, &pair)| job(0, pair, out));
        return;
    }
    let mut sums = vec![T::ZERO; pairs.len() * parts * taps];
    sums.par_chunks_mut(taps)
        .enumerate()
        .for_each(|(i, sum)| job(i % parts, pairs[i / parts], sum));
    for (out, sums) in out.into_iter().zip(sums.chunks_exact(parts * taps)) {
        for sum in sums.chunks_exact(taps) {
            out.iter_mut()
                .zip(sum)
                .for_each(|(out, &x)| *out = *out + x);
        }
    }
}

/// Some images, and some of their rows.
struct Strip {
    images: Range<usize>,
    rows: Range<usize>,
}

/// Whole images as many as fit, or even parts of each.
fn strips(batch: usize, [height, width]: [usize; 2]) -> Vec<Strip> {
    let images = (STRIP / (height * width)).max(1);
    let parts = (height * width).div_ceil(STRIP).min(height);
    (0..batch.div_ceil(images))
        .flat_map(|i| {
            let images = i * images..((i + 1) * images).min(batch);
            (0..parts).map(move |p| Strip {
                images: images.clone(),
                rows: p * height / parts..(p + 1) * height / parts,
            })
        })
        .collect()
}

/// The taps of one filter plane from one strip.
struct Taps<'a, T> {
    maps: Input<'a, T>,
    residual: &'a Residual<T>,
    pair: [usize; 2],
    strip: &'a Strip,
    filter: [usize; 2],
    out: &'a mut [T],
}

impl<T: Scalar> WithSimd for Taps<'_, T> {
    type Output = ();

    /// The taps in blocks as large as registers allow, and as even as the filter allows.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let rows = self.filter[0].div_ceil(ROWS);
        let columns = self.filter[1].div_ceil(if S::REGISTER_COUNT >= 32 { 4 } else { 3 });
        for i in 0..rows {
            let [a, a_end] = [i, i + 1].map(|i| i * self.filter[0] / rows);
            for j in 0..columns {
                let [b, b_end] = [j, j + 1].map(|j| j * self.filter[1] / columns);
                macro_rules! blocks {
                    ($(($A:literal, $B:literal)),*) => {
                        match (a_end - a, b_end - b) {
                            $(($A, $B) => self.block::<S, $A, $B>(simd, a, b),)*
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
            }
        }
    }
}

impl<T: Scalar> Taps<'_, T> {
    /// `A x B` taps from row `a`, column `b` of the correlation on, kept in registers.
    #[inline(always)]
    fn block<S: Simd, const A: usize, const B: usize>(&mut self, simd: S, a: usize, b: usize) {
        let [h, w] = self.filter;
        let [c, k] = self.pair;
        let Range { start, end } = self.strip.rows;
        let width = self.residual.size[1];
        let stride = self.residual.stride;
        let map_width = self.maps.size[1];
        let lanes = T::lanes::<S>();
        let mut sum = [[T::splat(simd, T::ZERO); B]; A];
        for n in self.strip.images.clone() {
            let map = self.maps.plane(n, k);
            let residual = self.residual.plane(n, c);
            for m in start..end + A - 1 {
                let z = &map[(m + a) * map_width..][b..map_width];
                // Row m + a of the map meets row m - p of the residual in tap row a + p.
                let mut r = [&self.residual.zeros[..stride]; A];
                for p in 0..A {
                    if m >= start + p && m - p < end {
                        r[p] = &residual[(m - p) * stride..][..stride];
                    }
                }
                let mut v = 0;
                while v < stride {
                    let j = v.min(width.max(lanes) - lanes);
                    let mut x = [T::splat(simd, T::ZERO); B];
                    for q in 0..B {
                        x[q] = T::load(simd, &z[j + q..]);
                    }
                    for p in 0..A {
                        let y = T::load(simd, &r[p][v..]);
                        for q in 0..B {
                            sum[p][q] = T::mul_add(simd, x[q], y, sum[p][q]);
                        }
                    }
                    v += lanes;
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
