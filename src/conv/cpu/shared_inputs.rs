//! Sums of 'valid' correlations for low filters where outputs share their inputs: a block of
//! outputs shares each load, as a block of rows does in [`correlate`](super::correlate), whose
//! rows share little where filters are low. The sums are taken in the same order: same bits.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::correlate::{Finish, Link, store};
use super::scalar::Scalar;
use super::{Input, Sizes};

/// Outputs of a block.
const OUTPUTS: usize = 8;

/// Whether all outputs have the same inputs, of filters so low and outputs so many that it pays.
pub(super) fn suits<T>(links: &[Vec<Link<T>>], s: Sizes) -> bool {
    let inputs = |links: &[Link<T>]| links.iter().map(|l| l.input).collect::<Vec<_>>();
    let blocks = s.batch * links.len() / OUTPUTS;
    s.filter[0] <= 4
        && blocks >= 4 * rayon::current_num_threads()
        && links.iter().all(|l| inputs(l) == inputs(&links[0]))
}

/// As [`correlate`](super::correlate::correlate), for links that [`suits`] says yes to.
pub(super) fn correlate<T: Scalar>(
    input: Input<T>,
    margin: usize,
    links: &[Vec<Link<T>>],
    Sizes { batch, filter, .. }: Sizes,
    [height, width]: [usize; 2],
    finish: &impl Finish<T>,
) -> Vec<T> {
    let plane = input.size[0] * input.size[1];
    let taps = filter[0] * filter[1];
    // The taps of the outputs of a block side by side; zeros for outputs that there are not.
    let weights: Vec<Vec<T>> = links
        .chunks(OUTPUTS)
        .map(|outputs| {
            let mut weights = vec![T::ZERO; links[0].len() * taps * OUTPUTS];
            for (o, links) in outputs.iter().enumerate() {
                let values = links.iter().flat_map(|link| &link.weights);
                let places = weights[o..].iter_mut().step_by(OUTPUTS);
                places.zip(values).for_each(|(to, &x)| *to = x);
            }
            weights
        })
        .collect();
    let size = height * width;
    let mut out = vec![T::ZERO; batch * links.len() * size];
    out.par_chunks_mut(links.len() * size)
        .enumerate()
        .flat_map(|(n, image)| {
            let blocks = image.par_chunks_mut(OUTPUTS * size).enumerate();
            blocks.map(move |(block, out)| (n, block, out))
        })
        .for_each(|(n, block, out)| {
            let sources = links[0].iter().map(|link| {
                let at = (n * input.planes + link.input) * plane;
                &input.values[at..at + plane]
            });
            Arch::new().dispatch(Block {
                sources: &sources.collect::<Vec<_>>(),
                weights: &weights[block],
                rows: input.size[0],
                stride: input.size[1],
                margin,
                filter,
                size: [height, width],
                at: (n * links.len() + block * OUTPUTS) * size,
                out,
                finish,
            });
        });
    out
}

/// Some output planes that lie one after the other, from place `at` on.
struct Block<'a, T, F> {
    sources: &'a [&'a [T]],
    weights: &'a [T],
    rows: usize,
    stride: usize,
    margin: usize,
    filter: [usize; 2],
    size: [usize; 2],
    at: usize,
    out: &'a mut [T],
    finish: &'a F,
}

impl<T: Scalar, F: Finish<T>> WithSimd for Block<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let [height, width] = self.size;
        let lanes = T::lanes::<S>();
        let vectors = width.div_ceil(lanes);
        let most = if S::REGISTER_COUNT >= 32 { 3 } else { 1 };
        let columns = vectors.div_ceil(most.min(width / lanes).max(1));
        // The last column first: see `correlate`.
        for column in (columns - 1..columns).chain(0..columns - 1) {
            let [from, to] = [column, column + 1].map(|c| c * vectors / columns);
            let fresh = from * lanes..(to * lanes).min(width);
            for i in 0..height {
                match to - from {
                    1 => self.row::<S, 1>(simd, i, fresh.clone()),
                    2 => self.row::<S, 2>(simd, i, fresh.clone()),
                    _ => self.row::<S, 3>(simd, i, fresh.clone()),
                }
            }
        }
    }
}

impl<T: Scalar, F: Finish<T>> Block<'_, T, F> {
    /// `V` vectors of one row of each output.
    #[inline(always)]
    fn row<S: Simd, const V: usize>(&mut self, simd: S, i: usize, fresh: Range<usize>) {
        let [h, w] = self.filter;
        let lanes = T::lanes::<S>();
        let j = fresh.end.max(V * lanes) - V * lanes;
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
                store(simd, values, j, out);
                let at = self.at + at + fresh.start;
                self.finish.finish(simd, at, &mut out[fresh.clone()]);
            }
        }
    }
}
