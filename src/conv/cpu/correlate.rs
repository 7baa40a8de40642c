//! Sums of 'valid' correlations: what both [`synthesize`](super::synthesize) and
//! [`analyze`](super::analyze) come down to.
//!
//! A block of rows and vectors of one output plane stays in registers over all its inputs and taps,
//! and each load of the input meets every row of the block that it belongs to.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::scalar::{MOST_LANES, Scalar};
use super::{Input, Sizes};

/// One input plane of an output plane, with the taps that lead from the one to the other.
pub(super) struct Link<T> {
    pub input: usize,
    pub weights: Vec<T>,
}

/// What is done with sums that are complete, while they are in the first cache.
pub trait Finish<T: Scalar>: Sync {
    /// Works on a run of sums of one row, `values`, in place. `at` is the place of the first in
    /// the output. Each place of the output is finished exactly once.
    fn finish<S: Simd>(&self, simd: S, at: usize, values: &mut [T]);
}

/// Leaves the sums as they are.
pub struct Keep;

impl<T: Scalar> Finish<T> for Keep {
    #[inline(always)]
    fn finish<S: Simd>(&self, _: S, _: usize, _: &mut [T]) {}
}

/// `out[n, o, i, j] = sum over links of o, a, b: weights[a, b] input[n, link, i + a, j + b]`, then
/// what `finish` makes of it. Rows of the input are at least [`MOST_LANES`] + w - 1 long.
pub(super) fn correlate<T: Scalar>(
    input: Input<T>,
    links: &[Vec<Link<T>>],
    Sizes { batch, filter, .. }: Sizes,
    [height, width]: [usize; 2],
    finish: &impl Finish<T>,
) -> Vec<T> {
    let plane = input.size[0] * input.size[1];
    let planes = batch * links.len();
    let mut out = vec![T::ZERO; planes * height * width];
    // Strips of rows, so that a single plane keeps every core busy too.
    let strips = (8 * rayon::current_num_threads()).div_ceil(planes);
    let strip = height.div_ceil(strips).next_multiple_of(ROWS);
    out.par_chunks_mut(height * width)
        .enumerate()
        .flat_map(|(o, out)| {
            let rows = out.par_chunks_mut(strip * width).enumerate();
            rows.map(move |(s, rows)| (o, s, rows))
        })
        .for_each(|(o, s, rows)| {
            let n = o / links.len();
            let sources = links[o % links.len()].iter().map(|link| {
                let at = (n * input.planes + link.input) * plane;
                let from = s * strip * input.size[1];
                (&input.values[at + from..at + plane], &link.weights[..])
            });
            Arch::new().dispatch(Strip {
                sources: &sources.collect::<Vec<_>>(),
                stride: input.size[1],
                filter,
                width,
                at: (o * height + s * strip) * width,
                out: rows,
                finish,
            });
        });
    out
}

/// Rows and vectors of the largest block.
const ROWS: usize = 4;
const VECTORS: usize = 4;

/// A strip of rows of one output plane: `sources` hold the input from the strip's first row on.
struct Strip<'a, T, F> {
    sources: &'a [(&'a [T], &'a [T])],
    stride: usize,
    filter: [usize; 2],
    width: usize,
    at: usize,
    out: &'a mut [T],
    finish: &'a F,
}

impl<T: Scalar, F: Finish<T>> WithSimd for Strip<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.run(simd);
    }
}

impl<T: Scalar, F: Finish<T>> Strip<'_, T, F> {
    /// Columns of blocks as wide as registers allow, and as even as the width allows.
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S) {
        let lanes = T::lanes::<S>();
        let vectors = self.width.div_ceil(lanes);
        let columns = vectors.div_ceil(VECTORS.min(self.width / lanes).max(1));
        for column in 0..columns {
            let [from, to] = [column, column + 1].map(|c| c * vectors / columns);
            // The last vectors start early where they would pass the end of the row.
            let fresh = from * lanes..(to * lanes).min(self.width);
            match to - from {
                1 => self.column::<S, 1>(simd, fresh),
                2 => self.column::<S, 2>(simd, fresh),
                3 => self.column::<S, 3>(simd, fresh),
                _ => self.column::<S, 4>(simd, fresh),
            }
        }
    }

    #[inline(always)]
    fn column<S: Simd, const V: usize>(&mut self, simd: S, fresh: Range<usize>) {
        let height = self.out.len() / self.width;
        let mut i = 0;
        while i + 4 <= height {
            self.block::<S, 4, V>(simd, i, &fresh);
            i += 4;
        }
        while i < height {
            self.block::<S, 1, V>(simd, i, &fresh);
            i += 1;
        }
    }

    /// `R` rows by `V` vectors of the output, kept in registers over all sources and taps.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        i: usize,
        fresh: &Range<usize>,
    ) {
        let [h, w] = self.filter;
        let lanes = T::lanes::<S>();
        let j = fresh.end.max(V * lanes) - V * lanes;
        let mut sum = [[T::splat(simd, T::ZERO); V]; R];
        for &(source, weights) in self.sources {
            // Row m of the input meets tap row m - r in output row r.
            for m in 0..h + R - 1 {
                let row = &source[(i + m) * self.stride + j..][..w - 1 + V * lanes];
                let (low, high) = ((m + 1).saturating_sub(h), R.min(m + 1));
                macro_rules! spans {
                    ($(($L:literal, $H:literal)),*) => {
                        match (low, high) {
                            $(($L, $H) if $H <= R =>
                                span::<T, S, R, V, $L, $H>(simd, row, weights, m, w, &mut sum),)*
                            _ => unreachable!("blocks are 1 to 4 rows high"),
                        }
                    };
                }
                spans!(
                    (0, 1),
                    (0, 2),
                    (0, 3),
                    (0, 4),
                    (1, 2),
                    (1, 3),
                    (1, 4),
                    (2, 3),
                    (2, 4),
                    (3, 4)
                );
            }
        }
        for (r, row) in sum.into_iter().enumerate() {
            let at = (i + r) * self.width;
            let out = &mut self.out[at..at + self.width];
            if fresh.len() == V * lanes {
                for (v, x) in row.into_iter().enumerate() {
                    T::store(simd, x, &mut out[j + v * lanes..]);
                }
            } else {
                for (v, x) in row.into_iter().enumerate() {
                    let mut values = [T::ZERO; MOST_LANES];
                    T::store(simd, x, &mut values);
                    let start = j + v * lanes;
                    let new = fresh.start.max(start)..fresh.end.min(start + lanes);
                    if !new.is_empty() {
                        out[new.clone()].copy_from_slice(&values[new.start - start..new.end - start]);
                    }
                }
            }
            let at = self.at + at + fresh.start;
            self.finish.finish(simd, at, &mut out[fresh.clone()]);
        }
    }
}

/// Adds what one row of the input gives to rows `L..H` of a block.
#[inline(always)]
fn span<T: Scalar, S: Simd, const R: usize, const V: usize, const L: usize, const H: usize>(
    simd: S,
    row: &[T],
    weights: &[T],
    m: usize,
    w: usize,
    sum: &mut [[T::Vector<S>; V]; R],
) {
    let lanes = T::lanes::<S>();
    let taps: [&[T]; R] = std::array::from_fn(|r| match (L..H).contains(&r) {
        true => &weights[(m - r) * w..][..w],
        false => &[],
    });
    for b in 0..w {
        let x: [_; V] = std::array::from_fn(|v| T::load(simd, &row[b + v * lanes..]));
        for r in L..H {
            let f = T::splat(simd, taps[r][b]);
            for v in 0..V {
                sum[r][v] = T::mul_add(simd, f, x[v], sum[r][v]);
            }
        }
    }
}
