//! The second pass: groups of patches that look alike, coded together in their own components.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::patches::{Region, Sums, places};
use crate::solve::{vectors, vectors_mut};

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
/// estimates are averaged where patches overlap. Patches are compared in `matched`, which is [`padded`], and only groups around patches that
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

/// A plane that patches are compared in: vectors may reach beyond the last patch of its last row.
pub(super) fn padded(plane: &[f32]) -> Vec<f32> {
    let mut padded = Vec::with_capacity(plane.len() + 2 * WINDOW);
    padded.extend_from_slice(plane);
    padded.resize(plane.len() + 2 * WINDOW, 0.0);
    padded
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
    fn with_simd<S: Simd>(self, simd: S) {
        let mut found = Vec::new();
        let mut group = Box::new(Group::new());
        for &column in self.columns {
            if !self.band.region.touches([self.row, column], [SIDE; 2]) {
                continue;
            }
            self.band.search(simd, [self.row, column], &mut found);
            let members = &found[..found.len().min(MOST)];
            let variance = self.band.sigma * self.band.sigma;
            group.gather(self.band, members);
            group.cover(simd, members.len(), variance);
            group.factor(simd, variance);
            group.solved = group.noisy;
            group.solve(simd);
            group.add(variance, members, self.band.size[1], &mut self.band.sums);
        }
    }
}

/// Where patches of a search begin, in one row: a multiple of the numbers of every vector.
const WINDOW: usize = 32;
const _: () = assert!(2 * REACH < WINDOW);

impl Band<'_> {
    /// The patches within reach of one, those most alike in the guide first, up to [`MOST`]: squared distances, the bits
    /// of which are in their order, and places.
    #[inline(always)]
    fn search<S: Simd>(&self, simd: S, [row, column]: [usize; 2], found: &mut Vec<Found>) {
        let [height, width] = self.size;
        let range = |at: usize, last: usize| at.saturating_sub(REACH)..(at + REACH).min(last) + 1;
        let (rows, columns) = (range(row, height - SIDE), range(column, width - SIDE));
        let mut patch = [[0.0; SIDE]; SIDE];
        for (i, to) in patch.iter_mut().enumerate() {
            to.copy_from_slice(&self.matched[(row + i) * width + column..][..SIDE]);
        }
        found.clear();
        let mut distances = [0.0; WINDOW];
        for i in rows {
            let mut first = 0;
            while first < columns.len() {
                // Two vectors at a time, of every second row each: sums that do not wait for each other.
                let mut sums = [[simd.splat_f32s(0.0); 2]; 2];
                for (k, patch) in patch.iter().enumerate() {
                    let start = (i + k) * width + columns.start + first;
                    let others = &self.matched[start..][..2 * S::F32_LANES + SIDE - 1];
                    for (l, value) in patch.iter().enumerate() {
                        let value = simd.splat_f32s(*value);
                        let others = &vectors::<S>(&others[l..])[..2];
                        for (sum, other) in sums[k % 2].iter_mut().zip(others) {
                            let difference = simd.sub_f32s(value, *other);
                            *sum = simd.mul_add_e_f32s(difference, difference, *sum);
                        }
                    }
                }
                let to = vectors_mut::<S>(&mut distances[first..]);
                for (v, to) in to.iter_mut().take(2).enumerate() {
                    *to = simd.add_f32s(sums[0][v], sums[1][v]);
                }
                first += 2 * S::F32_LANES;
            }
            let each = columns.clone().zip(&distances);
            found.extend(each.map(|(j, distance)| {
                (u64::from(distance.to_bits()) << 32) | (i * width + j) as u64
            }));
        }
        if found.len() > MOST {
            found.select_nth_unstable(MOST - 1);
        }
    }
}

/// A squared distance in the upper bits, a place in the lower ones.
type Found = u64;

fn place(found: Found) -> usize {
    (found & u64::from(u32::MAX)) as usize
}

/// The patches of a group.
struct Group {
    /// As columns: a row for each pixel.
    noisy: [Row; LENGTH],
    /// As rows.
    guide: [[f32; LENGTH]; MOST],
    mean: [f32; LENGTH],
    /// `C + sigma^2 I`, then the transpose of its lower Cholesky factor: right of the diagonal alone.
    covariance: [[f32; LENGTH]; LENGTH],
    solved: [Row; LENGTH],
}

impl Group {
    fn new() -> Self {
        Self {
            noisy: [[0.0; MOST]; LENGTH],
            guide: [[0.0; LENGTH]; MOST],
            mean: [0.0; LENGTH],
            covariance: [[0.0; LENGTH]; LENGTH],
            solved: [[0.0; MOST]; LENGTH],
        }
    }

    /// Takes patches, without the mean of their guides.
    #[inline(always)]
    fn gather(&mut self, band: &Band, members: &[Found]) {
        let width = band.size[1];
        self.mean = [0.0; LENGTH];
        for (found, guide) in members.iter().zip(&mut self.guide) {
            for (i, to) in guide.chunks_exact_mut(SIDE).enumerate() {
                to.copy_from_slice(&band.guide[place(*found) + i * width..][..SIDE]);
            }
            for (mean, v) in self.mean.iter_mut().zip(guide) {
                *mean += *v;
            }
        }
        let scale = 1.0 / members.len() as f32;
        self.mean.iter_mut().for_each(|mean| *mean *= scale);
        for (n, found) in members.iter().enumerate() {
            for (v, mean) in self.guide[n].iter_mut().zip(&self.mean) {
                *v -= mean;
            }
            for i in 0..SIDE {
                let noisy = &band.noisy[place(*found) + i * width..][..SIDE];
                for (l, v) in noisy.iter().enumerate() {
                    self.noisy[i * SIDE + l][n] = v - self.mean[i * SIDE + l];
                }
            }
        }
    }

    /// The covariance of the guides, with that of the noise.
    #[inline(always)]
    fn cover<S: Simd>(&mut self, simd: S, members: usize, variance: f32) {
        let vectors = LENGTH / S::F32_LANES;
        for first in (0..LENGTH).step_by(4) {
            let mut v = first / S::F32_LANES;
            while v + 2 <= vectors {
                self.products::<S, 2>(simd, members, first, v);
                v += 2;
            }
            if v < vectors {
                self.products::<S, 1>(simd, members, first, v);
            }
        }
        for (i, row) in self.covariance.iter_mut().enumerate() {
            row[i] += variance;
        }
    }

    /// Four rows of the covariance, some vectors of each.
    #[inline(always)]
    fn products<S: Simd, const V: usize>(
        &mut self,
        simd: S,
        members: usize,
        first: usize,
        v: usize,
    ) {
        let mut sums = [[simd.splat_f32s(0.0); V]; 4];
        for guide in &self.guide[..members] {
            let columns = &vectors::<S>(guide)[v..v + V];
            for (sums, row) in sums.iter_mut().zip(&guide[first..first + 4]) {
                let row = simd.splat_f32s(*row);
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = simd.mul_add_e_f32s(row, *column, *sum);
                }
            }
        }
        let scale = simd.splat_f32s(1.0 / (members as f32 - 1.0).max(1.0));
        for (sums, row) in sums.iter().zip(&mut self.covariance[first..]) {
            let row = &mut vectors_mut::<S>(row)[v..v + V];
            for (to, sum) in row.iter_mut().zip(sums) {
                *to = simd.mul_f32s(scale, *sum);
            }
        }
    }

    /// The Cholesky factor of the covariance, the reciprocals on its diagonal. No pivot is below the noise but by
    /// rounding.
    #[inline(always)]
    fn factor<S: Simd>(&mut self, simd: S, least: f32) {
        for j in 0..LENGTH {
            let (before, after) = self.covariance.split_at_mut(j + 1);
            let row = &mut before[j];
            let scale = 1.0 / row[j].max(least).sqrt();
            row.iter_mut().for_each(|v| *v *= scale);
            row[j] = scale;
            for (k, other) in (j + 1..).zip(after) {
                let minus = simd.splat_f32s(-row[k]);
                let first = k / S::F32_LANES;
                let to = vectors_mut::<S>(other)[first..].iter_mut();
                for (to, v) in to.zip(&vectors::<S>(row)[first..]) {
                    *to = simd.mul_add_e_f32s(minus, *v, *to);
                }
            }
        }
    }

    #[inline(always)]
    fn solve<S: Simd>(&mut self, simd: S) {
        for v in (0..MOST / S::F32_LANES).step_by(4) {
            for i in 0..LENGTH {
                let (before, row) = self.solved.split_at_mut(i);
                let factors = self.covariance[..i].iter().map(|factors| factors[i]);
                let scale = self.covariance[i][i];
                eliminate(simd, &mut row[0], v, scale, factors.zip(before.iter()));
            }
            for i in (0..LENGTH).rev() {
                let (row, after) = self.solved.split_at_mut(i + 1);
                let factors = self.covariance[i][i + 1..].iter().copied();
                let scale = self.covariance[i][i];
                eliminate(simd, &mut row[i], v, scale, factors.zip(after.iter()));
            }
        }
    }

    /// Adds the estimates to the sums.
    #[inline(always)]
    fn add(&mut self, variance: f32, members: &[Found], width: usize, sums: &mut Sums) {
        let all = self.noisy.iter_mut().zip(&self.solved).zip(&self.mean);
        for ((y, s), mean) in all {
            for (y, s) in y.iter_mut().zip(s) {
                *y += mean - variance * s;
            }
        }
        let mut line = [0.0; SIDE];
        for (n, found) in members.iter().enumerate() {
            let (row, column) = (place(*found) / width, place(*found) % width);
            for i in 0..SIDE {
                for (l, to) in line.iter_mut().enumerate() {
                    *to = self.noisy[i * SIDE + l][n];
                }
                sums.add(row + i, column, &line, 1.0);
            }
        }
    }
}

/// Takes other rows from four vectors of a row, then scales them.
#[inline(always)]
fn eliminate<'a, S: Simd>(
    simd: S,
    row: &mut Row,
    first: usize,
    scale: f32,
    others: impl Iterator<Item = (f32, &'a Row)>,
) {
    let row = &mut vectors_mut::<S>(row)[first..first + 4];
    let mut sums = [row[0], row[1], row[2], row[3]];
    for (factor, other) in others {
        let minus = simd.splat_f32s(-factor);
        let other = &vectors::<S>(other)[first..first + 4];
        for (sum, other) in sums.iter_mut().zip(other) {
            *sum = simd.mul_add_e_f32s(minus, *other, *sum);
        }
    }
    let scale = simd.splat_f32s(scale);
    for (to, sum) in row.iter_mut().zip(sums) {
        *to = simd.mul_f32s(scale, sum);
    }
}
