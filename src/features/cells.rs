//! Dense descriptors: magnitudes of maps in the cells of squares that lie every few elements.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::Image;
use crate::error::{Error, Result};
use crate::named::named;

/// Descriptors are cut off here and brought to length 1 again, as in SIFT: one strong edge must not hide
/// all else.
const CLIP: f32 = 0.2;

/// Cells, their elements and their distance at most: more than the side of an image that is described.
const MOST: usize = 10_000;

named! {
    /// Which number stands for the magnitudes of a map in a cell.
    #[derive(Default)]
    pub enum Magnitude: "magnitude" {
        /// Their mean.
        #[default]
        Mean = "mean",
        /// The largest.
        Largest = "largest",
    }
}

/// Squares of `count x count` cells, each of `size x size` elements, every `step` elements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cells {
    /// Cells along each side of a square.
    pub count: usize,
    /// Elements along each side of a cell.
    pub size: usize,
    /// Elements from one square to the next.
    pub step: usize,
    /// What stands for a cell.
    pub magnitude: Magnitude,
    /// Whether each descriptor is brought to length 1, none of its numbers over 0.2, as in SIFT.
    pub normalise: bool,
    /// Descriptors shorter than this share of the root mean square length of those of their image are not
    /// made as long as the others: where there is next to nothing, noise is not blown up.
    pub floor: f32,
}

impl Default for Cells {
    /// 4 x 4 cells of 4 x 4 elements, every 6.
    fn default() -> Self {
        Self {
            count: 4,
            size: 4,
            step: 6,
            magnitude: Magnitude::Mean,
            normalise: true,
            floor: 0.2,
        }
    }
}

/// The descriptors of one image, each with one byte for a number: `scale byte`, at most 1/510 of the
/// largest of the descriptor off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Descriptors {
    /// Numbers of each.
    pub dimension: usize,
    /// Row and column of the middle of each square, as shares of the image's height and width.
    pub places: Vec<[f32; 2]>,
    /// For each descriptor.
    pub scales: Vec<f32>,
    /// `[descriptors, dimension]`.
    pub bytes: Vec<u8>,
}

impl Descriptors {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Descriptor `k`.
    pub fn row(&self, k: usize) -> impl Iterator<Item = f32> + '_ {
        let bytes = &self.bytes[k * self.dimension..][..self.dimension];
        bytes.iter().map(move |&b| f32::from(b) * self.scales[k])
    }

    /// Adds those of `more` whose length is wanted.
    ///
    /// # Panics
    /// If they are of another dimension.
    pub fn append(&mut self, more: &Self, wanted: impl Fn(f32) -> bool) {
        assert!(
            self.is_empty() || self.dimension == more.dimension,
            "descriptors of other maps"
        );
        self.dimension = more.dimension;
        for k in 0..more.len() {
            if wanted(more.row(k).map(|v| v * v).sum::<f32>().sqrt()) {
                self.places.push(more.places[k]);
                self.scales.push(more.scales[k]);
                let row = &more.bytes[k * more.dimension..][..more.dimension];
                self.bytes.extend(row);
            }
        }
    }

    /// All of them, `[descriptors, dimension]`.
    pub fn to_vec(&self) -> Vec<f32> {
        (0..self.len()).flat_map(|k| self.row(k)).collect()
    }
}

impl Cells {
    /// Elements along each side of a square.
    pub fn span(&self) -> usize {
        self.count * self.size
    }

    /// # Errors
    /// [`Error::Config`] for sides of 0 or absurd ones, or a floor that is no share.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            ("cells along a side", self.count),
            ("elements along the side of a cell", self.size),
            ("elements from one square to the next", self.step),
        ];
        if let Some((what, n)) = sizes.into_iter().find(|(_, n)| !(1..=MOST).contains(n)) {
            return Err(Error::Config(format!("{what}: {n}; give 1 to {MOST}")));
        }
        match (0.0..=1.0).contains(&self.floor) {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "the floor of the lengths of descriptors is {}; it is a share from 0 to 1",
                self.floor
            ))),
        }
    }

    /// The descriptors of an image: `count count K` numbers for each square, by cell and then by map. The
    /// squares lie in the middle of the maps; what is left over is cut off on both sides.
    ///
    /// # Shapes
    /// maps `[K, H, W]`.
    ///
    /// # Errors
    /// [`Error::Input`] for maps smaller than a square, or that are not finite.
    pub fn describe(&self, maps: &Image) -> Result<Descriptors> {
        let (span, [k, height, width]) = (self.span(), maps.shape());
        if height < span || width < span {
            return Err(Error::Input(format!(
                "its maps have {height} x {width} elements, fewer than the {span} x {span} of a descriptor: \
                 take larger images, or fewer or smaller cells"
            )));
        }
        if maps.values.iter().any(|v| !v.is_finite()) {
            return Err(Error::Input(
                "its maps hold what is no finite number: scale the images or the filters to ordinary sizes".into(),
            ));
        }
        let windows: Vec<Vec<f32>> = (0..k)
            .into_par_iter()
            .map(|k| match self.magnitude {
                Magnitude::Mean => means(maps.plane(k), width, self.size),
                Magnitude::Largest => largest(maps.plane(k), width, self.size),
            })
            .collect();
        let columns = width + 1 - self.size;
        let along = |length: usize| {
            let squares = (length - span) / self.step + 1;
            let first = (length - span - (squares - 1) * self.step) / 2;
            (0..squares).map(move |n| first + n * self.step)
        };
        let corners: Vec<[usize; 2]> = along(height)
            .flat_map(|i| along(width).map(move |j| [i, j]))
            .collect();
        let dimension = self.count * self.count * k;
        let mut rows = vec![0.0_f32; corners.len() * dimension];
        for ([top, left], row) in corners.iter().zip(rows.chunks_exact_mut(dimension)) {
            for (cell, row) in row.chunks_exact_mut(k).enumerate() {
                let i = top + cell / self.count * self.size;
                let j = left + cell % self.count * self.size;
                for (out, window) in row.iter_mut().zip(&windows) {
                    *out = window[i * columns + j];
                }
            }
        }
        if self.normalise {
            self.normalise(&mut rows, dimension);
        }
        let half = span as f32 / 2.0;
        let middle = |[i, j]: &[usize; 2]| {
            [
                (*i as f32 + half) / height as f32,
                (*j as f32 + half) / width as f32,
            ]
        };
        let places = corners.iter().map(middle).collect();
        Ok(quantise(&rows, dimension, places))
    }

    /// Every descriptor to length 1, none of its numbers over [`CLIP`].
    fn normalise(&self, rows: &mut [f32], dimension: usize) {
        let squares: Vec<f32> = rows.chunks_exact(dimension).map(square).collect();
        let typical = (squares.iter().sum::<f32>() / squares.len() as f32).sqrt();
        let least = (self.floor * typical).max(f32::MIN_POSITIVE);
        for (row, square_of) in rows.chunks_exact_mut(dimension).zip(squares) {
            let length = square_of.sqrt();
            // One that is short stays so.
            let wanted = length / length.max(least);
            let limit = CLIP * length.max(least);
            row.iter_mut().for_each(|v| *v = v.min(limit));
            let clipped = square(row).sqrt().max(f32::MIN_POSITIVE);
            row.iter_mut().for_each(|v| *v *= wanted / clipped);
        }
    }
}

fn square(row: &[f32]) -> f32 {
    row.iter().map(|v| v * v).sum()
}

fn quantise(rows: &[f32], dimension: usize, places: Vec<[f32; 2]>) -> Descriptors {
    let mut made = Descriptors {
        dimension,
        places,
        scales: Vec::new(),
        bytes: Vec::with_capacity(rows.len()),
    };
    for row in rows.chunks_exact(dimension) {
        let scale = row.iter().copied().fold(0.0, f32::max) / 255.0;
        made.scales.push(scale);
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        made.bytes
            .extend(row.iter().map(|v| (v * inverse).round() as u8));
    }
    made
}

/// The mean magnitude of every window of `size x size`, `[H + 1 - size, W + 1 - size]`.
fn means(plane: &[f32], width: usize, size: usize) -> Vec<f32> {
    let height = plane.len() / width;
    // Sums of all that lies above and to the left.
    let mut sums = vec![0.0_f64; (height + 1) * (width + 1)];
    for i in 0..height {
        let mut row = 0.0;
        for j in 0..width {
            row += f64::from(plane[i * width + j].abs());
            sums[(i + 1) * (width + 1) + j + 1] = sums[i * (width + 1) + j + 1] + row;
        }
    }
    let at = |i: usize, j: usize| sums[i * (width + 1) + j];
    let count = (size * size) as f64;
    let rows = 0..height + 1 - size;
    rows.flat_map(|i| {
        (0..width + 1 - size).map(move |j| {
            let sum = at(i + size, j + size) - at(i, j + size) - at(i + size, j) + at(i, j);
            // Rounding must not leave less than nothing.
            (sum / count).max(0.0) as f32
        })
    })
    .collect()
}

/// The largest magnitude of every window.
fn largest(plane: &[f32], width: usize, size: usize) -> Vec<f32> {
    let height = plane.len() / width;
    let columns = width + 1 - size;
    let rows: Vec<f32> = plane
        .chunks_exact(width)
        .flat_map(|row| row.windows(size))
        .map(|window| window.iter().fold(0.0, |most, v| v.abs().max(most)))
        .collect();
    let places = 0..(height + 1 - size) * columns;
    places
        .map(|at| (0..size).fold(0.0, |most, k| rows[at + k * columns].max(most)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(k: usize, height: usize, width: usize) -> Image {
        let mut maps = Image::zeros(k, height, width);
        for (at, v) in maps.values.iter_mut().enumerate() {
            *v = ((at * 7919 % 211) as f32 - 100.0) / 40.0;
        }
        maps
    }

    #[test]
    fn a_descriptor_holds_the_magnitudes_of_its_cells() {
        let maps = maps(3, 13, 18);
        for magnitude in [Magnitude::Mean, Magnitude::Largest] {
            let cells = Cells {
                count: 2,
                size: 3,
                step: 4,
                magnitude,
                normalise: true,
                floor: 0.0,
            };
            let made = cells.describe(&maps).unwrap();
            // 2 squares fit downwards with 3 elements left over, 4 across with none.
            assert_eq!((made.len(), made.dimension), (2 * 4, 12));
            assert_eq!(
                made.places[5],
                [(1.0 + 4.0 + 3.0) / 13.0, (4.0 + 3.0) / 18.0]
            );
            let cell = |k: usize, i: usize, j: usize| {
                let all = (0..9).map(|at| maps.plane(k)[(i + at / 3) * 18 + j + at % 3].abs());
                match magnitude {
                    Magnitude::Mean => all.sum::<f32>() / 9.0,
                    Magnitude::Largest => all.fold(0.0, f32::max),
                }
            };
            let mut wanted: Vec<f32> = (0..12)
                .map(|at| cell(at % 3, 5 + at / 6 * 3, 4 + at / 3 % 2 * 3))
                .collect();
            let length = |row: &[f32]| square(row).sqrt();
            let first = length(&wanted);
            wanted.iter_mut().for_each(|v| *v = (*v / first).min(CLIP));
            let second = length(&wanted);
            for (found, wanted) in made.row(5).zip(wanted) {
                assert!((found - wanted / second).abs() < 3e-3, "{found} {wanted}");
            }
        }
    }

    #[test]
    fn where_there_is_nothing_descriptors_stay_short() {
        let mut maps = maps(2, 8, 40);
        for (at, v) in maps.values.iter_mut().enumerate() {
            *v *= if at % 40 < 20 { 0.001 } else { 1.0 };
        }
        let cells = Cells {
            count: 2,
            size: 4,
            step: 32,
            ..Cells::default()
        };
        let made = cells.describe(&maps).unwrap();
        let length = |k: usize| square(&made.row(k).collect::<Vec<_>>()).sqrt();
        assert!(length(0) < 0.02 && (length(1) - 1.0).abs() < 1e-2);
    }

    #[test]
    fn maps_that_cannot_be_described_are_refused() {
        let cells = Cells::default();
        let small = cells.describe(&maps(1, 15, 40)).unwrap_err().to_string();
        says!(small, "15 x 40", "16 x 16");
        let mut holed = maps(1, 20, 20);
        holed.values[7] = f32::NAN;
        assert!(cells.describe(&holed).is_err());
        let none = Cells { step: 0, ..cells };
        assert!(none.check().is_err() && cells.check().is_ok());
    }
}
