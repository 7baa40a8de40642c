//! The second pass: groups of patches that look alike, coded together in their own components.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::patches::{Region, Sums, places};

/// Side of the patches.
pub(super) const SIDE: usize = 8;
const LENGTH: usize = SIDE * SIDE;
/// The most patches of a group: the lanes that everything runs over.
const MOST: usize = 64;
/// How far the patches of a group lie from the first, in pixels.
pub(super) const REACH: usize = 14;
/// Between the patches that groups are made around.
pub(super) const STEP: usize = 5;

type Row = [f32; MOST];

/// Estimates a plane from noise of standard deviation `sigma` and a first estimate of it.
///
/// Around every fifth pixel the patches that look most alike make a group. With `m` and
/// `C` the mean and the covariance of the group in the `guide`, a first estimate, each noisy patch `y` becomes
///
/// ```text
/// x = m + C (C + sigma^2 I)^-1 (y - m)
/// ```
///
/// the codes of `y` along the principal components of the group, each weighted as by Wiener; the
/// estimates are averaged where patches overlap. Patches are compared in `matched`, and only groups around patches that
/// touch the region are made. All planes are at least as large as a patch.
pub(super) fn refine(
    noisy: &[f32],
    guide: &[f32],
    matched: &[f32],
    [height, width]: [usize; 2],
    sigma: f32,
    region: &Region,
) -> Vec<f32> {
    let (rows, columns) = (places(height - SIDE, STEP), places(width - SIDE, STEP));
    let parts = rows.par_chunks(4).map(|rows| {
        let first = rows[0].saturating_sub(REACH);
        let last = (rows[rows.len() - 1] + REACH).min(height - SIDE);
        let mut band = Band {
            noisy,
            guide,
            matched,
            size: [height, width],
            sigma,
            region,
            sums: Sums::new(first, last + SIDE - first, width),
        };
        for &row in rows {
            Arch::new().dispatch(Line {
                band: &mut band,
                row,
                columns: &columns,
            });
        }
        band.sums
    });
    Sums::means(&parts.collect::<Vec<_>>(), guide)
}

/// What the groups around some rows work on.
struct Band<'a> {
    noisy: &'a [f32],
    guide: &'a [f32],
    matched: &'a [f32],
    size: [usize; 2],
    sigma: f32,
    region: &'a Region,
    sums: Sums,
}

/// The groups around the patches of one row.
struct Line<'a, 'b> {
    band: &'a mut Band<'b>,
    row: usize,
    columns: &'a [usize],
}

impl WithSimd for Line<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut found = Vec::new();
        let mut group = Box::new(Group::new());
        for &column in self.columns {
            if !self.band.region.touches([self.row, column], [SIDE; 2]) {
                continue;
            }
            self.band.search([self.row, column], &mut found);
            let members = &found[..found.len().min(MOST)];
            group.gather(self.band, members);
            group.estimate(members.len(), self.band.sigma);
            group.add(members, &mut self.band.sums);
        }
    }
}

impl Band<'_> {
    /// The patches within reach of one, those most alike in the guide first, up to [`MOST`].
    #[inline(always)]
    fn search(&self, [row, column]: [usize; 2], found: &mut Vec<(f32, [usize; 2])>) {
        let [height, width] = self.size;
        let mut patch = [[0.0; SIDE]; SIDE];
        for (i, to) in patch.iter_mut().enumerate() {
            to.copy_from_slice(&self.matched[(row + i) * width + column..][..SIDE]);
        }
        found.clear();
        let range = |at: usize, last: usize| at.saturating_sub(REACH)..=(at + REACH).min(last);
        for i in range(row, height - SIDE) {
            for j in range(column, width - SIDE) {
                let mut sums = [0.0; SIDE];
                for (k, patch) in patch.iter().enumerate() {
                    let other = &self.matched[(i + k) * width + j..][..SIDE];
                    for l in 0..SIDE {
                        let difference = patch[l] - other[l];
                        sums[l] += difference * difference;
                    }
                }
                found.push((sums.iter().sum(), [i, j]));
            }
        }
        if found.len() > MOST {
            found.select_nth_unstable_by(MOST - 1, |a, b| {
                a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1))
            });
        }
    }
}

/// The patches of a group as columns: a row for each pixel.
struct Group {
    noisy: [Row; LENGTH],
    guide: [Row; LENGTH],
    mean: [f32; LENGTH],
    /// `C + sigma^2 I`, then its lower Cholesky factor.
    covariance: [[f32; LENGTH]; LENGTH],
    solved: [Row; LENGTH],
}

impl Group {
    fn new() -> Self {
        Self {
            noisy: [[0.0; MOST]; LENGTH],
            guide: [[0.0; MOST]; LENGTH],
            mean: [0.0; LENGTH],
            covariance: [[0.0; LENGTH]; LENGTH],
            solved: [[0.0; MOST]; LENGTH],
        }
    }

    #[inline(always)]
    fn gather(&mut self, band: &Band, members: &[(f32, [usize; 2])]) {
        let width = band.size[1];
        for (n, (_, [row, column])) in members.iter().enumerate() {
            for i in 0..SIDE {
                let at = (row + i) * width + column;
                for (l, (y, x)) in band.noisy[at..at + SIDE]
                    .iter()
                    .zip(&band.guide[at..at + SIDE])
                    .enumerate()
                {
                    self.noisy[i * SIDE + l][n] = *y;
                    self.guide[i * SIDE + l][n] = *x;
                }
            }
        }
    }

    /// Replaces the noisy patches by their estimates.
    #[inline(always)]
    fn estimate(&mut self, members: usize, sigma: f32) {
        let count = members as f32;
        for ((mean, guide), noisy) in self
            .mean
            .iter_mut()
            .zip(&mut self.guide)
            .zip(&mut self.noisy)
        {
            *mean = guide[..members].iter().sum::<f32>() / count;
            guide[..members].iter_mut().for_each(|v| *v -= *mean);
            guide[members..].fill(0.0);
            noisy[..members].iter_mut().for_each(|v| *v -= *mean);
            noisy[members..].fill(0.0);
        }
        let scale = 1.0 / (count - 1.0).max(1.0);
        for i in 0..LENGTH {
            for j in 0..=i {
                self.covariance[i][j] = scale * dot(&self.guide[i], &self.guide[j]);
            }
            self.covariance[i][i] += sigma * sigma;
        }
        self.factor(sigma * sigma);
        self.solved = self.noisy;
        self.solve();
        for ((y, s), mean) in self.noisy.iter_mut().zip(&self.solved).zip(&self.mean) {
            for (y, s) in y.iter_mut().zip(s) {
                *y += mean - sigma * sigma * s;
            }
        }
    }

    /// The Cholesky factor of the covariance in its lower triangle, the reciprocals on its diagonal. No pivot is
    /// below the noise but by rounding.
    #[inline(always)]
    fn factor(&mut self, least: f32) {
        for i in 0..LENGTH {
            let (above, rest) = self.covariance.split_at_mut(i);
            let row = &mut rest[0];
            for (j, before) in above.iter().enumerate() {
                let product = dot_up_to(row, before, j);
                row[j] = (row[j] - product) * before[j];
            }
            let product = dot_up_to(row, row, i);
            row[i] = 1.0 / (row[i] - product).max(least).sqrt();
        }
    }

    #[inline(always)]
    fn solve(&mut self) {
        for i in 0..LENGTH {
            let mut row = self.solved[i];
            for j in 0..i {
                subtract(&mut row, self.covariance[i][j], &self.solved[j]);
            }
            let scale = self.covariance[i][i];
            row.iter_mut().for_each(|v| *v *= scale);
            self.solved[i] = row;
        }
        for i in (0..LENGTH).rev() {
            let mut row = self.solved[i];
            for j in i + 1..LENGTH {
                subtract(&mut row, self.covariance[j][i], &self.solved[j]);
            }
            let scale = self.covariance[i][i];
            row.iter_mut().for_each(|v| *v *= scale);
            self.solved[i] = row;
        }
    }

    #[inline(always)]
    fn add(&self, members: &[(f32, [usize; 2])], sums: &mut Sums) {
        let mut line = [0.0; SIDE];
        for (n, (_, [row, column])) in members.iter().enumerate() {
            for i in 0..SIDE {
                for (l, to) in line.iter_mut().enumerate() {
                    *to = self.noisy[i * SIDE + l][n];
                }
                sums.add(row + i, *column, &line, 1.0);
            }
        }
    }
}

#[inline(always)]
fn dot(a: &Row, b: &Row) -> f32 {
    let mut sums = [0.0; 16];
    for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// The product of the first `end` values.
#[inline(always)]
fn dot_up_to(a: &[f32; LENGTH], b: &[f32; LENGTH], end: usize) -> f32 {
    let mut sums = [0.0; 8];
    let (a, b) = (&a[..end], &b[..end]);
    let whole = end / 8 * 8;
    for (a, b) in a[..whole].chunks_exact(8).zip(b[..whole].chunks_exact(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[inline(always)]
fn subtract(row: &mut Row, factor: f32, other: &Row) {
    for (v, other) in row.iter_mut().zip(other) {
        *v -= factor * other;
    }
}
