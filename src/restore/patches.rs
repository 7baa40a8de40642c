//! Patches of a plane, coded one by one and averaged where they overlap.

use rayon::prelude::*;

use crate::error::Result;
use crate::solve::Pursuit;

/// Rows of patches that are worked on together; a matter of the sizes alone, so that the bits do not
/// depend on the number of threads.
const BAND: usize = 16;

/// The places from 0 to `last` in steps, and `last`.
pub(super) fn places(last: usize, step: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..=last).step_by(step).collect();
    if all.last() != Some(&last) {
        all.push(last);
    }
    all
}

/// Sums of weighted estimates, and the sums of the weights, of some rows of a plane.
pub(super) struct Sums {
    first: usize,
    width: usize,
    values: Vec<f32>,
    weights: Vec<f32>,
}

impl Sums {
    pub(super) fn new(first: usize, rows: usize, width: usize) -> Self {
        Self {
            first,
            width,
            values: vec![0.0; rows * width],
            weights: vec![0.0; rows * width],
        }
    }

    /// Adds a row of estimates at a place of the plane.
    #[inline(always)]
    pub(super) fn add(&mut self, row: usize, column: usize, values: &[f32], weight: f32) {
        let at = (row - self.first) * self.width + column;
        let to = &mut self.values[at..at + values.len()];
        for (to, value) in to.iter_mut().zip(values) {
            *to += weight * value;
        }
        let to = &mut self.weights[at..at + values.len()];
        to.iter_mut().for_each(|to| *to += weight);
    }

    /// The means over all parts; `fallback` where there is no estimate.
    pub(super) fn means(parts: &[Self], fallback: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; fallback.len()];
        let mut weights = vec![0.0; fallback.len()];
        for part in parts {
            let at = part.first * part.width;
            let to = sums[at..].iter_mut().zip(&part.values);
            to.for_each(|(to, value)| *to += value);
            let to = weights[at..].iter_mut().zip(&part.weights);
            to.for_each(|(to, weight)| *to += weight);
        }
        let sums = sums.iter().zip(&weights).zip(fallback);
        let mean = |((sum, weight), fallback): ((&f32, &f32), &f32)| match *weight > 0.0 {
            true => sum / weight,
            false => *fallback,
        };
        sums.map(mean).collect()
    }
}

/// What a code has to reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// The sum of squares that may be left of a patch without its mean.
    pub tolerance: f32,
    /// The most atoms.
    pub most: usize,
}

/// Codes all patches of a plane at every `step`-th place without their means, and averages.
pub(super) fn approximate(
    plane: &[f32],
    [height, width]: [usize; 2],
    pursuit: &Pursuit,
    [h, w]: [usize; 2],
    step: usize,
    stop: Stop,
) -> Result<Vec<f32>> {
    let (rows, columns) = (places(height - h, step), places(width - w, step));
    let parts = rows.par_chunks(BAND).map(|rows| {
        let first = rows[0];
        let mut sums = Sums::new(first, rows[rows.len() - 1] + h - first, width);
        let mut patches = vec![0.0; columns.len() * h * w];
        let mut means = vec![0.0; columns.len()];
        let mut estimate = vec![0.0; h * w];
        for &row in rows {
            for ((patch, mean), &column) in
                patches.chunks_exact_mut(h * w).zip(&mut means).zip(&columns)
            {
                for (i, to) in patch.chunks_exact_mut(w).enumerate() {
                    let at = (row + i) * width + column;
                    to.copy_from_slice(&plane[at..at + w]);
                }
                *mean = patch.iter().sum::<f32>() / (h * w) as f32;
                patch.iter_mut().for_each(|v| *v -= *mean);
            }
            pursuit.code(&patches, stop.tolerance, stop.most, |n, atoms, values| {
                estimate.fill(means[n]);
                for (&atom, value) in atoms.iter().zip(values) {
                    let atom = pursuit.atom(atom).iter();
                    let to = estimate.iter_mut().zip(atom);
                    to.for_each(|(to, atom)| *to += value * atom);
                }
                let weight = 1.0 / (1.0 + atoms.len() as f32);
                for (i, values) in estimate.chunks_exact(w).enumerate() {
                    sums.add(row + i, columns[n], values, weight);
                }
            })?;
        }
        Ok(sums)
    });
    let parts: Vec<Sums> = parts.collect::<Result<_>>()?;
    Ok(Sums::means(&parts, plane))
}
