//! The preprocessing of an image that is never whole in memory.

use std::ops::Range;

use super::{Area, Plane, Prepare, Preprocess, Undo};
use crate::Result;
use crate::data::window::{gaussian, statistics};
use crate::data::{Image, Raster, windows};

/// Rows and columns of the windows in which an image is looked over.
const SIDE: usize = 512;

/// An image in a file, prepared window by window as [`Prepare::apply`] prepares it whole: what the whole decides, means
/// and medians, is found first, in a few passes. Medians are those of deviations in single precision.
#[derive(Debug)]
pub struct Streamed {
    prepare: Prepare,
    raster: Raster,
    size: [usize; 2],
    planes: Vec<Plane>,
}

impl Streamed {
    /// Looks the image over.
    ///
    /// # Errors
    /// As [`Prepare::apply`], and [`Error::Io`](crate::Error::Io).
    pub fn new(prepare: Prepare, raster: Raster) -> Result<Self> {
        prepare.sound()?;
        prepare.kind.check()?;
        let [channels, height, width] = raster.shape();
        let (rows, columns) = prepare.output_size(height, width)?;
        let mut streamed = Self {
            prepare,
            raster,
            size: [rows, columns],
            planes: vec![Plane::default(); channels],
        };
        if let Preprocess::ZeroMean | Preprocess::ContrastNormalize { .. } = streamed.prepare.kind {
            let mut sums = vec![0.0; channels];
            streamed.windows(0, |window, _| {
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum += window.plane(c).iter().map(|&v| f64::from(v)).sum::<f64>();
                }
            })?;
            for (plane, sum) in streamed.planes.iter_mut().zip(sums) {
                plane.mean = sum / (height * width) as f64;
            }
        }
        if let Preprocess::ContrastNormalize { size, sigma } = streamed.prepare.kind {
            let kernel = gaussian(size, sigma);
            for (c, floor) in streamed.floors(size / 2, &kernel)?.into_iter().enumerate() {
                streamed.planes[c].floor = floor;
            }
        }
        Ok(streamed)
    }

    /// `[C, H, W]` of the prepared image.
    pub fn shape(&self) -> [usize; 3] {
        [self.planes.len(), self.size[0], self.size[1]]
    }

    /// Some rows and columns of the prepared image, and the way back.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn window(&self, rows: Range<usize>, columns: Range<usize>) -> Result<(Image, Undo)> {
        let [_, height, width] = self.raster.shape();
        let reach = self.prepare.kind.window().map_or(0, |(size, _)| size / 2);
        let corner = [(height - self.size[0]) / 2, (width - self.size[1]) / 2];
        let size = [rows.len(), columns.len()];
        let [rows, columns] =
            [(rows, corner[0], height), (columns, corner[1], width)].map(|(kept, margin, side)| {
                around(kept.start + margin..kept.end + margin, reach, side)
            });
        let area = Area {
            corner: [rows.1, columns.1],
            size,
        };
        let raw = self.raster.read(rows.0, columns.0)?;
        let (mut prepared, mut undo) =
            self.prepare
                .center_area(&raw.into(), area, Some(&self.planes));
        self.prepare.rescale(&mut prepared, &mut undo);
        Ok((prepared, undo))
    }

    /// Shows every pixel once, in windows with `reach` more on each side as far as there are, and where in the
    /// window those are that are meant.
    fn windows(&self, reach: usize, mut visit: impl FnMut(&Image, Area)) -> Result<()> {
        let [_, height, width] = self.raster.shape();
        for [rows, columns] in windows([height, width], SIDE) {
            let size = [rows.len(), columns.len()];
            let (rows, top) = around(rows, reach, height);
            let (columns, left) = around(columns, reach, width);
            let corner = [top, left];
            visit(&self.raster.read(rows, columns)?, Area { corner, size });
        }
        Ok(())
    }

    /// For each plane what [`floor_at_median`](super::floor_at_median) raises deviations to: its digits are found one
    /// after the other by counting, the upper half of the bits and then the lower.
    fn floors(&self, reach: usize, kernel: &[f64]) -> Result<Vec<f64>> {
        const HALF: u32 = 16;
        let counts = |upper: Option<&[u32]>| -> Result<Vec<Vec<u64>>> {
            let mut counts = vec![vec![0; 1 << HALF]; self.planes.len()];
            self.windows(reach, |window, area| {
                for (c, counts) in counts.iter_mut().enumerate() {
                    let mean = self.planes[c].mean;
                    let centred: Vec<_> = window
                        .plane(c)
                        .iter()
                        .map(|&v| f64::from(v) - mean)
                        .collect();
                    let (_, deviation) = statistics(&centred, window.width, kernel, None);
                    let rows = deviation.chunks(window.width).skip(area.corner[0]);
                    let rows = rows
                        .take(area.size[0])
                        .map(|row| &row[area.corner[1]..][..area.size[1]]);
                    // Numbers above zero are in the order of their bits.
                    for bits in rows.flatten().map(|&d| (d as f32).to_bits()) {
                        match upper {
                            None if bits > 0 => counts[(bits >> HALF) as usize] += 1,
                            Some(upper) if bits > 0 && bits >> HALF == upper[c] => {
                                counts[(bits & ((1 << HALF) - 1)) as usize] += 1;
                            }
                            _ => {}
                        }
                    }
                }
            })?;
            Ok(counts)
        };
        let [_, height, width] = self.raster.shape();
        let all = (height * width) as u64;
        let (mut upper, mut ranks) = (Vec::new(), Vec::new());
        for counts in counts(None)? {
            let positive: u64 = counts.iter().sum();
            // The median of all, or of those above zero where that of all is not.
            let zeros = all - positive;
            let rank = match (all - 1) / 2 {
                middle if middle >= zeros => middle - zeros,
                _ => positive.saturating_sub(1) / 2,
            };
            let (digit, rest) = digit(&counts, rank);
            upper.push(digit);
            ranks.push((positive > 0).then_some(rest));
        }
        let lower = counts(Some(&upper))?;
        let floor = |c: usize| match ranks[c] {
            Some(rank) => f64::from(f32::from_bits(upper[c] << HALF | digit(&lower[c], rank).0)),
            None => 1.0,
        };
        Ok((0..self.planes.len()).map(floor).collect())
    }
}

/// The digit of the number of a rank, and its rank among those of the digit.
fn digit(counts: &[u64], rank: u64) -> (u32, u64) {
    let mut rest = rank;
    for (digit, &count) in (0..).zip(counts) {
        if rest < count {
            return (digit, rest);
        }
        rest -= count;
    }
    (0, 0)
}

/// `kept` with `reach` more on both sides, as far as there are, and where it begins in that.
fn around(kept: Range<usize>, reach: usize, side: usize) -> (Range<usize>, usize) {
    let start = kept.start.saturating_sub(reach);
    let begins = kept.start - start;
    (start..(kept.end + reach).min(side), begins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::scenes;

    #[test]
    fn windows_are_those_of_the_whole_image() {
        let folder = tempfile::tempdir().unwrap();
        let mut image = scenes::sample(1, 60, 3);
        // Flat for the most part in one channel.
        image.plane_mut(1)[..2900].fill(0.25);
        let whole = Raster::create(&folder.path().join("image"), image.shape()).unwrap();
        whole.write(0, 0, &image).unwrap();
        let kinds = [
            Preprocess::None,
            Preprocess::ZeroMean,
            Preprocess::local_mean(),
            Preprocess::default(),
        ];
        for kind in kinds {
            let prepare = kind.fit([Ok(image.clone())]).unwrap();
            let (prepared, undo) = prepare.apply(&image).unwrap();
            let pixels = undo.invert(&prepared).unwrap();
            let raster = Raster::open(&folder.path().join("image"), image.shape()).unwrap();
            let streamed = Streamed::new(prepare, raster).unwrap();
            assert_eq!(streamed.shape(), prepared.shape());
            let [_, height, width] = streamed.shape();
            for (rows, columns) in [
                (0..height, 0..width),
                (7..20, 0..9),
                (30..height, 13..width),
            ] {
                let (window, undo) = streamed.window(rows.clone(), columns.clone()).unwrap();
                let back = undo.invert(&window).unwrap();
                for c in 0..3 {
                    for (i, row) in rows.clone().enumerate() {
                        for (j, column) in columns.clone().enumerate() {
                            let [a, b] = [i * columns.len() + j, row * width + column];
                            let off = (window.plane(c)[a] - prepared.plane(c)[b]).abs();
                            assert!(off < 1e-5, "{kind:?} {c} {row} {column}: {off}");
                            let off = (back.plane(c)[a] - pixels.plane(c)[b]).abs();
                            assert!(off < 1e-5, "{kind:?} {c} {row} {column}: {off}");
                        }
                    }
                }
            }
        }
    }
}
