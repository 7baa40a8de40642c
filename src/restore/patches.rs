//! Patches of a plane, coded one by one and averaged where they overlap.

use rayon::prelude::*;

use super::filters::Filters;
use crate::error::Result;

/// Rows of patches that are worked on together; a matter of the sizes alone, so that the bits do not
/// depend on the number of threads.
const BAND: usize = 16;

/// Some pixels of a plane, or all.
pub(super) struct Region {
    /// How many lie above and left of each corner of a pixel.
    counts: Option<Vec<u32>>,
    width: usize,
}

impl Region {
    pub fn everywhere() -> Self {
        Self {
            counts: None,
            width: 0,
        }
    }

    /// The pixels that are `true`.
    pub fn of(pixels: &[bool], width: usize) -> Self {
        let stride = width + 1;
        let mut counts = vec![0; stride * (pixels.len() / width + 1)];
        for (i, row) in pixels.chunks_exact(width).enumerate() {
            let mut before = 0;
            for (j, &inside) in row.iter().enumerate() {
                before += u32::from(inside);
                counts[(i + 1) * stride + j + 1] = counts[i * stride + j + 1] + before;
            }
        }
        Self {
            counts: Some(counts),
            width: stride,
        }
    }

    /// Whether a pixel of it lies in a patch.
    pub fn touches(&self, [row, column]: [usize; 2], [h, w]: [usize; 2]) -> bool {
        self.counts.as_ref().is_none_or(|counts| {
            let at = |i: usize, j: usize| counts[i * self.width + j];
            at(row + h, column + w) + at(row, column) > at(row + h, column) + at(row, column + w)
        })
    }
}

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

/// Codes the patches of a plane that touch a region, without their means, and averages.
pub(super) fn approximate(
    plane: &[f32],
    [height, width]: [usize; 2],
    filters: &Filters,
    stop: Stop,
    region: &Region,
) -> Result<Vec<f32>> {
    let [h, w] = filters.size();
    let pursuit = &filters.pursuit;
    let rows: Vec<usize> = (0..=height - h).collect();
    let parts = rows.par_chunks(BAND).map(|rows| {
        let mut sums = Sums::new(rows[0], rows.len() + h - 1, width);
        let mut patches = Vec::with_capacity((width - w + 1) * h * w);
        let mut places = Vec::with_capacity(width - w + 1);
        let mut estimate = vec![0.0; h * w];
        for &row in rows {
            patches.clear();
            places.clear();
            for column in (0..=width - w).filter(|j| region.touches([row, *j], [h, w])) {
                let start = patches.len();
                for i in row..row + h {
                    patches.extend_from_slice(&plane[i * width + column..][..w]);
                }
                let patch = &mut patches[start..];
                let mean = patch.iter().sum::<f32>() / (h * w) as f32;
                patch.iter_mut().for_each(|v| *v -= mean);
                places.push((column, mean));
            }
            pursuit.code(&patches, stop.tolerance, stop.most, |n, atoms, values| {
                let (column, mean) = places[n];
                estimate.fill(mean);
                for (&atom, value) in atoms.iter().zip(values) {
                    let to = estimate.iter_mut().zip(pursuit.atom(atom));
                    to.for_each(|(to, atom)| *to += value * atom);
                }
                let weight = 1.0 / (1.0 + atoms.len() as f32);
                for (i, values) in estimate.chunks_exact(w).enumerate() {
                    sums.add(row + i, column, values, weight);
                }
            })?;
        }
        Ok(sums)
    });
    let parts: Vec<Sums> = parts.collect::<Result<_>>()?;
    Ok(Sums::means(&parts, plane))
}
