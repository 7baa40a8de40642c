//! The filters that patches are coded with.

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

use super::learning::learn;
use super::planes::Planes;
use crate::data::Image;
use crate::error::{Error, Result};
use crate::solve::Pursuit;

/// 256 filters of 8 x 8 as bytes with signs, learnt by `examples/restoration_filters.rs` from four
/// photographs of the Kodak PhotoCD test suite (5, 8, 19 and 23), which was released for unrestricted use.
const BUILT_IN: &[u8] = include_bytes!("filters.i8");
const BUILT_IN_SIDE: usize = 8;

/// Filters are shifted until there are so many for each of their values.
const ENOUGH: usize = 4;
/// The most filters after shifting.
const MOST: usize = 1024;
/// The part of a filter, squared, that a shift must keep.
const KEPT: f32 = 0.5;
/// Patches that filters are adapted on at most.
const ADAPTED_ON: usize = 20_000;

/// Filters of one size, without their means, of norm 1: what patches are coded with.
///
/// Each patch has its mean for itself, so that filters carry none. Codes of patches at every pixel, averaged, are
/// convolutional codes with these filters on all grids of their size, shifted pixel by pixel.
#[derive(Clone, Debug)]
pub struct Filters {
    size: [usize; 2],
    pub(super) pursuit: Pursuit,
}

impl Filters {
    /// The 256 filters of 8 x 8 that come with the library.
    pub fn built_in() -> Self {
        let values: Vec<f32> = BUILT_IN.iter().map(|&v| f32::from(v as i8)).collect();
        Self::whole(&values, [BUILT_IN_SIDE; 2]).expect("the filters shipped are whole")
    }

    /// Filters `[K, h, w]`, one after the other. Where they are fewer than twice the values of a patch, as those of
    /// a convolutional layer are, their shifts by few pixels join them.
    ///
    /// # Errors
    /// [`Error::Input`] where the values are no filters of that size, or hold nothing but their means.
    ///
    /// ```
    /// use deconvnet::restore::Filters;
    ///
    /// let edge = [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0];
    /// let filters = Filters::new(&edge, [3, 3])?;
    /// assert!(filters.count() > 3);
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    pub fn new(values: &[f32], size: [usize; 2]) -> Result<Self> {
        let [h, w] = size;
        if h * w == 0 || !values.len().is_multiple_of(h * w) {
            let n = values.len();
            return Err(Error::Input(format!(
                "{n} values are no filters of {h} x {w}"
            )));
        }
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            return Err(Error::Input(format!(
                "a filter holds {value}; filters must be finite"
            )));
        }
        let count = values.len() / (h * w);
        if count >= 2 * h * w {
            return Self::whole(values, size);
        }
        let enough = (ENOUGH * h * w).min(MOST);
        let energy = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>();
        let centred = without_means(values, h * w);
        let mut shifted = Vec::new();
        for [down, right] in shifts(size) {
            if shifted.len() >= enough * h * w {
                break;
            }
            for filter in centred.chunks_exact(h * w) {
                let moved = shift(filter, size, down, right);
                if energy(&moved) >= KEPT * energy(filter) {
                    shifted.extend(moved);
                }
            }
        }
        Self::whole(&shifted, size)
    }

    /// Filters as they are but for their means.
    fn whole(values: &[f32], size: [usize; 2]) -> Result<Self> {
        let n = size[0] * size[1];
        let atoms = without_means(values, n);
        if atoms.is_empty() {
            let [h, w] = size;
            return Err(Error::Input(format!(
                "the filters of {h} x {w} hold nothing but their means; patches need others"
            )));
        }
        let pursuit = Pursuit::new(&atoms, n)?;
        Ok(Self { size, pursuit })
    }

    /// Learns `count` filters of `size` from images without noise; values in `[0, 1]`.
    ///
    /// Patches are drawn by `seed`, those of less contrast than a few grey levels left out; the first
    /// filters are patches.
    ///
    /// # Errors
    /// [`Error::Input`] where the images have too few patches of that size.
    pub fn learn(
        images: &[Image],
        count: usize,
        size: [usize; 2],
        rounds: usize,
        seed: u64,
    ) -> Result<Self> {
        /// Of a grey level: the contrast of patches learnt from, and how far codes go.
        const CONTRAST: f32 = 4.0 / 255.0;
        const LEFT: f32 = 15.0 / 255.0;
        /// Patches for each filter, and the most atoms of one.
        const PATCHES: usize = 300;
        const ATOMS: usize = 10;
        let n = size[0] * size[1];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sources: Vec<Planes> = images.iter().map(Planes::new).collect();
        let fits = |p: &&Planes| p.size[0] >= size[0] && p.size[1] >= size[1];
        let sources: Vec<&Planes> = sources.iter().filter(fits).collect();
        let mut patches = Vec::new();
        let mut tries = 0;
        while !sources.is_empty()
            && patches.len() < PATCHES * count * n
            && tries < 9 * PATCHES * count
        {
            tries += 1;
            let source = sources[rng.random_range(0..sources.len())];
            let at = [0, 1].map(|d| rng.random_range(0..=source.size[d] - size[d]));
            let patch = source.patch(at, size);
            if patch.iter().map(|v| v * v).sum::<f32>() > n as f32 * CONTRAST * CONTRAST {
                patches.extend(patch);
            }
        }
        let found = patches.len() / n.max(1);
        if found < 2 * count || count == 0 {
            return Err(Error::Input(format!(
                "{found} patches with contrast were found for {count} filters; give larger images"
            )));
        }
        let first: Vec<f32> = (0..count)
            .flat_map(|k| patches[k * n..][..n].to_vec())
            .collect();
        let tolerance = n as f32 * LEFT * LEFT;
        let start = Pursuit::new(&first, n)?;
        let pursuit = learn(start, &patches, tolerance, ATOMS, rounds, seed)?;
        Self::whole(pursuit.atoms(), size)
    }

    /// These filters after rounds of codes and filters on the patches of a noisy image itself.
    ///
    /// # Errors
    /// [`Error::Input`] where the image is smaller than the filters.
    pub fn adapted(&self, image: &Image, sigma: f32, rounds: usize) -> Result<Self> {
        const ATOMS: usize = 12;
        let [h, w] = self.size;
        let planes = Planes::new(image);
        let [height, width] = planes.size;
        if height < h || width < w {
            return Err(Error::Input(format!(
                "filters of {h} x {w} cannot be adapted on {height} x {width} pixels; use them as \
                 they are"
            )));
        }
        let all = (height - h + 1) * (width - w + 1);
        let step = ((all as f64 / ADAPTED_ON as f64).sqrt().ceil() as usize).max(1);
        let mut patches = Vec::new();
        for row in (0..=height - h).step_by(step) {
            for column in (0..=width - w).step_by(step) {
                patches.extend(planes.patch([row, column], self.size));
            }
        }
        let tolerance = (h * w) as f32 * sigma * sigma;
        let pursuit = learn(self.pursuit.clone(), &patches, tolerance, ATOMS, rounds, 0)?;
        Self::whole(pursuit.atoms(), self.size)
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// How many, shifts counted.
    pub fn count(&self) -> usize {
        self.pursuit.count()
    }

    /// `[K, h, w]`
    pub fn values(&self) -> &[f32] {
        self.pursuit.atoms()
    }
}

/// Filters of `n` values without their means; those that hold nothing else are left out.
fn without_means(values: &[f32], n: usize) -> Vec<f32> {
    let energy = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>();
    let mut rest = Vec::with_capacity(values.len());
    for filter in values.chunks_exact(n) {
        let mean = filter.iter().sum::<f32>() / n as f32;
        let start = rest.len();
        rest.extend(filter.iter().map(|v| v - mean));
        if energy(&rest[start..]) <= 1e-6 * energy(filter) {
            rest.truncate(start);
        }
    }
    rest
}

/// Shifts by up to half of a filter, the nearest first.
fn shifts([h, w]: [usize; 2]) -> Vec<[isize; 2]> {
    let reach = [h, w].map(|side| (side / 2) as isize);
    let mut all = Vec::new();
    for down in -reach[0]..=reach[0] {
        for right in -reach[1]..=reach[1] {
            all.push([down, right]);
        }
    }
    all.sort_by_key(|[down, right]| (down * down + right * right, *down, *right));
    all
}

fn shift(filter: &[f32], [h, w]: [usize; 2], down: isize, right: isize) -> Vec<f32> {
    let mut moved = vec![0.0; h * w];
    for i in 0..h {
        for j in 0..w {
            let to = [i.checked_add_signed(down), j.checked_add_signed(right)];
            if let [Some(a), Some(b)] = to
                && a < h
                && b < w
            {
                moved[a * w + b] = filter[i * w + j];
            }
        }
    }
    moved
}
