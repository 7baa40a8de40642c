//! Sums of 'valid' correlations for low filters and narrow outputs where outputs share their inputs: a
//! block of outputs shares each load, as a block of rows does in [`correlate`](super::correlate), whose
//! rows share little where filters are low, and which has few sums at work at a time where rows are one
//! vector wide. The sums are taken in the same order: same bits.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::operands::{Connection, Input};
use super::scalar::{MAX_LANES, Scalar, store_row};
use crate::conv::sizes::Sizes;

/// Outputs of a block.
const OUTPUTS: usize = 8;

/// Whether all outputs have the same inputs, of filters so low or rows so short and outputs so many that
/// it pays.
pub(super) fn suits<T>(connections: &[Vec<Connection<T>>], s: Sizes, width: usize) -> bool {
    let inputs =
        |connections: &[Connection<T>]| connections.iter().map(|l| l.input).collect::<Vec<_>>();
    let blocks = s.batch * connections.len() / OUTPUTS;
    let narrow = width <= MAX_LANES;
    (s.filter[0] <= 4 || narrow)
        && blocks >= 4 * rayon::current_num_threads()
        && connections
            .iter()
            .all(|l| inputs(l) == inputs(&connections[0]))
}

/// As [`correlate`](super::correlate::correlate), for connections that [`suits`] says yes to.
pub(super) fn correlate<T: Scalar>(
    input: Input<T>,
    margin: usize,
    connections: &[Vec<Connection<T>>],
    Sizes { batch, filter, .. }: Sizes,
    [height, width]: [usize; 2],
) -> Vec<T> {
    let taps = filter[0] * filter[1];
    // The taps of the outputs of a block side by side; zeros for outputs that there are not.
    let weights: Vec<Vec<T>> = connections
        .chunks(OUTPUTS)
        .map(|outputs| {
            let mut weights = vec![T::ZERO; connections[0].len() * taps * OUTPUTS];
            for (o, connections) in outputs.iter().enumerate() {
                let values = connections
                    .iter()
                    .flat_map(|connection| &connection.weights);
                let places = weights[o..].iter_mut().step_by(OUTPUTS);
                places.zip(values).for_each(|(to, &x)| *to = x);
            }
            weights
        })
        .collect();
    let size = height * width;
    let mut out = vec![T::ZERO; batch * connections.len() * size];
    out.par_chunks_mut(connections.len() * size)
        .enumerate()
        .flat_map(|(n, image)| {
            let blocks = image.par_chunks_mut(OUTPUTS * size).enumerate();
            blocks.map(move |(block, out)| (n, block, out))
        })
        .for_each(|(n, block, out)| {
            let sources = connections[0]
                .iter()
                .map(|connection| input.plane(n, connection.input));
            Arch::new().dispatch(Block {
                sources: &sources.collect::<Vec<_>>(),
                weights: &weights[block],
                rows: input.size[0],
                stride: input.size[1],
                margin,
                filter,
                size: [height, width],
                out,
            });
        });
    out
}

/// Some output planes that lie one after the other.
struct Block<'a, T> {
    sources: &'a [&'a [T]],
    weights: &'a [T],
    rows: usize,
    stride: usize,
    margin: usize,
    filter: [usize; 2],
    size: [usize; 2],
    out: &'a mut [T],
}

impl<T: Scalar> WithSimd for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let [height, width] = self.size;
        let lanes = T::lanes::<S>();
        let vectors = width.div_ceil(lanes);
        let most = if S::REGISTER_COUNT >= 32 { 3 } else { 1 };
        let columns = vectors.div_ceil(most.min(width / lanes).max(1));
        for column in 0..columns {
            let [from, to] = [column, column + 1].map(|c| c * vectors / columns);
            // The last column may redo some of the one before.
            let end = (to * lanes).min(width);
            for i in 0..height {
                match to - from {
                    1 => self.row::<S, 1>(simd, i, end),
                    2 => self.row::<S, 2>(simd, i, end),
                    _ => self.row::<S, 3>(simd, i, end),
                }
            }
        }
    }
}

impl<T: Scalar> Block<'_, T> {
    /// `V` vectors up to column `end` of one row of each output.
    #[inline(always)]
    fn row<S: Simd, const V: usize>(&mut self, simd: S, i: usize, end: usize) {
        let [h, w] = self.filter;
        let lanes = T::lanes::<S>();
        let j = end.max(V * lanes) - V * lanes;
        let mut sum = [[T::splat(simd, T::ZERO); V]; OUTPUTS];
        // Rows of zeros around the input are left out.
        let taps =
            self.margin.saturating_sub(i)..h.min((self.rows + self.margin).saturating_sub(i));
        for (source, weights) in self
            .sources
            .iter()
            .zip(self.weights.chunks(h * w * OUTPUTS))
        {
            for a in taps.clone() {
                let row = &source[(i + a - self.margin) * self.stride + j..][..w - 1 + V * lanes];
                let weights = &weights[a * w * OUTPUTS..(a + 1) * w * OUTPUTS];
                let taps = weights.chunks_exact(OUTPUTS);
                for (near, f) in row.windows(V * lanes).zip(taps) {
                    let mut x = [T::splat(simd, T::ZERO); V];
                    for v in 0..V {
                        x[v] = T::load(simd, &near[v * lanes..]);
                    }
                    for o in 0..OUTPUTS {
                        let f = T::splat(simd, f[o]);
                        for v in 0..V {
                            sum[o][v] = T::mul_add(simd, f, x[v], sum[o][v]);
                        }
                    }
                }
            }
        }
        let [height, width] = self.size;
        for (o, values) in sum.into_iter().enumerate() {
            let at = (o * height + i) * width;
            if at < self.out.len() {
                let out = &mut self.out[at..at + width];
                store_row(simd, values, j, out);
            }
        }
    }
}
