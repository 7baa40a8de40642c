//! Sums of 'valid' correlations: what both [`synthesize`](super::synthesize) and
//! [`analyze`](super::analyze) come down to.
//!
//! A block of rows and vectors of one output plane stays in registers over all its inputs and taps,
//! and each load of the input meets every row of the block that it belongs to.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::operands::{Connection, Input};
use super::scalar::{Scalar, store_row};
use super::shared_inputs;
use crate::conv::sizes::Sizes;

/// `out[n, o, i, j] = sum over connections of o, a, b: weights[a, b] input[n, connection, i + a, j + b]`;
/// rows of the input count from `margin` rows of zeros on. Rows of the
/// input are at least [`MAX_LANES`](super::scalar::MAX_LANES) + w - 1 long.
pub(super) fn correlate<T: Scalar>(
    input: Input<T>,
    margin: usize,
    connections: &[Vec<Connection<T>>],
    s: Sizes,
    [height, width]: [usize; 2],
) -> Vec<T> {
    if shared_inputs::suits(connections, s, width) {
        return shared_inputs::correlate(input, margin, connections, s, [height, width]);
    }
    let Sizes { batch, filter, .. } = s;
    let planes = batch * connections.len();
    let mut out = vec![T::ZERO; planes * height * width];
    // Strips of rows, so that a single plane keeps every core busy too.
    let strips = (8 * rayon::current_num_threads()).div_ceil(planes.max(1));
    let strip = height.div_ceil(strips).next_multiple_of(STEP);
    out.par_chunks_mut(height * width)
        .enumerate()
        .flat_map(|(o, out)| {
            let rows = out.par_chunks_mut(strip * width).enumerate();
            rows.map(move |(s, rows)| (o, s, rows))
        })
        .for_each(|(o, s, rows)| {
            let n = o / connections.len();
            let sources = connections[o % connections.len()]
                .iter()
                .map(|connection| (input.plane(n, connection.input), &connection.weights[..]));
            Arch::new().dispatch(Strip {
                sources: &sources.collect::<Vec<_>>(),
                rows: input.size[0],
                stride: input.size[1],
                margin,
                filter,
                top: s * strip,
                width,
                out: rows,
            });
        });
    out
}

/// Values of the input that the columns of blocks worked on together share at most.
const SHARED: usize = 1 << 12;

/// Rows of the largest block.
const ROWS: usize = 6;
/// Blocks of all heights fill so many rows.
const STEP: usize = 12;

/// Rows of a block in a strip of `height` rows: so many that their sums, two vectors of the input and
/// a tap fill the registers that there are.
fn rows<S: Simd>(height: usize) -> usize {
    match height {
        1 => 1,
        2..4 => 2,
        6.. if S::REGISTER_COUNT < 32 => 6,
        _ => 4,
    }
}

/// A strip of rows of one output plane, from row `top` on.
struct Strip<'a, T> {
    sources: &'a [(&'a [T], &'a [T])],
    rows: usize,
    stride: usize,
    margin: usize,
    filter: [usize; 2],
    top: usize,
    width: usize,
    out: &'a mut [T],
}

impl<T: Scalar> WithSimd for Strip<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.run(simd);
    }
}

impl<T: Scalar> Strip<'_, T> {
    /// Columns of blocks, so many at a time that the rows of the input that they share stay in the
    /// first cache from one row of blocks to the next.
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S) {
        let lanes = T::lanes::<S>();
        let vectors = self.width.div_ceil(lanes);
        // With three, the compiler already spills some of 16 registers.
        let most = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
        let columns = vectors.div_ceil(most.min(self.width / lanes).max(1));
        let height = self.out.len() / self.width;
        let shared = self.sources.len() * (self.filter[0] + ROWS) * most * lanes;
        let group = (SHARED / shared.max(1)).max(1);
        for first in (0..columns).step_by(group) {
            for i in (0..height).step_by(rows::<S>(height)) {
                for column in first..columns.min(first + group) {
                    let [from, to] = [column, column + 1].map(|c| c * vectors / columns);
                    // Vectors of the last column start early where they would pass the end of the row,
                    // and redo what the column before has made.
                    let end = (to * lanes).min(self.width);
                    match to - from {
                        1 => self.row::<S, 1>(simd, i, end),
                        2 => self.row::<S, 2>(simd, i, end),
                        3 => self.row::<S, 3>(simd, i, end),
                        _ => self.row::<S, 4>(simd, i, end),
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn row<S: Simd, const V: usize>(&mut self, simd: S, i: usize, end: usize) {
        // The last block may redo rows above it.
        let height = self.out.len() / self.width;
        match rows::<S>(height) {
            1 => self.block::<S, 1, V>(simd, i, end),
            2 => self.block::<S, 2, V>(simd, i.min(height - 2), end),
            4 => self.block::<S, 4, V>(simd, i.min(height - 4), end),
            _ => self.block::<S, 6, V>(simd, i.min(height - 6), end),
        }
    }

    /// `R` rows by `V` vectors up to column `end` of the output, kept in registers over all sources and
    /// taps.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, i: usize, end: usize) {
        let [h, w] = self.filter;
        let lanes = T::lanes::<S>();
        let j = end.max(V * lanes) - V * lanes;
        let mut sum = [[T::splat(simd, T::ZERO); V]; R];
        // Rows of zeros around the input are left out.
        let row = self.top + i;
        let first = self.margin.saturating_sub(row);
        let last = (h + R - 1).min(self.rows + self.margin - row);
        for &(source, weights) in self.sources {
            // Row m of the input meets tap row m - r in output row r.
            for m in first..last {
                let at = (row + m - self.margin) * self.stride + j;
                let row = &source[at..][..w - 1 + V * lanes];
                let (low, high) = ((m + 1).saturating_sub(h), R.min(m + 1));
                macro_rules! spans {
                    ($(($L:literal, $H:literal)),*) => {
                        match (low, high) {
                            $(($L, $H) if $H <= R =>
                                span::<T, S, R, V, $L, $H>(simd, row, weights, m, w, &mut sum),)*
                            _ => unreachable!("blocks are 1 to 6 rows high"),
                        }
                    };
                }
                spans!(
                    (0, 1),
                    (0, 2),
                    (0, 3),
                    (0, 4),
                    (0, 5),
                    (0, 6),
                    (1, 2),
                    (1, 3),
                    (1, 4),
                    (1, 5),
                    (1, 6),
                    (2, 3),
                    (2, 4),
                    (2, 5),
                    (2, 6),
                    (3, 4),
                    (3, 5),
                    (3, 6),
                    (4, 5),
                    (4, 6),
                    (5, 6)
                );
            }
        }
        for (r, row) in sum.into_iter().enumerate() {
            let at = (i + r) * self.width;
            let out = &mut self.out[at..at + self.width];
            store_row(simd, row, j, out);
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
    let mut taps = [&weights[..0]; R];
    for r in L..H {
        taps[r] = &weights[(m - r) * w..][..w];
    }
    for (b, near) in row.windows(V * lanes).enumerate() {
        let mut x = [T::splat(simd, T::ZERO); V];
        for v in 0..V {
            x[v] = T::load(simd, &near[v * lanes..]);
        }
        for r in L..H {
            let f = T::splat(simd, taps[r][b]);
            for v in 0..V {
                sum[r][v] = T::mul_add(simd, f, x[v], sum[r][v]);
            }
        }
    }
}
