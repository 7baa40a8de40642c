//! Kinds of noise: how strong it is, a transform that makes it even, pixels that carry nothing.

use std::ops::Range;

use faer::Mat;

use crate::data::Image;
use crate::data::resize::crop;
use crate::error::{Error, Result};

/// Side of the patches whose covariance tells the noise, and the most of them.
const SIDE: usize = 8;
const LENGTH: usize = SIDE * SIDE;
const MOST: usize = 20_000;
/// The fewest patches, in patches for each of their values.
const FEWEST: usize = 4;

/// The standard deviation of the white noise of an image, in the units of its values; channels averaged.
///
/// Patches of an image without noise lie near a space of few dimensions, so that the smallest eigenvalues of their
/// covariance are the variance of the noise. The largest are left out until as many of the rest lie above their mean
/// as below (G. Chen, F. Zhu and P. A. Heng, An Efficient Statistical Method for Image Noise Level Estimation,
/// ICCV 2015). Pixels clipped to black and white, and noise that is not white, make it too small.
///
/// # Errors
/// [`Error::Input`] where the image is not finite, or has too few patches of 8 x 8: less than about 23 x 23 pixels.
///
/// ```
/// use deconvnet::{data::scenes, restore::estimate_sigma};
///
/// let mut image = scenes::sample(0, 64, 1).grey();
/// for (k, v) in image.values.iter_mut().enumerate() {
///     // Uniform numbers of deviation 0.1.
///     let hash = (k as u32).wrapping_mul(2_654_435_761) ^ 0x9e37;
///     let hash = (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b);
///     *v += 0.3464 * ((hash ^ (hash >> 13)) as f32 / u32::MAX as f32 - 0.5);
/// }
/// let sigma = estimate_sigma(&image)?;
/// assert!((0.07..0.13).contains(&sigma), "{sigma}");
/// # Ok::<(), deconvnet::Error>(())
/// ```
pub fn estimate_sigma(image: &Image) -> Result<f64> {
    image.check()?;
    estimate_sigma_by_rows(image.shape(), |rows| {
        Ok(crop(image, [rows.start, 0], [rows.len(), image.width]))
    })
}

/// [`estimate_sigma`] of an image `[C, H, W]` of which `rows` gives some rows at a time: eight, up to some hundred
/// times.
///
/// # Errors
/// As there, and those of `rows`.
pub fn estimate_sigma_by_rows(
    [channels, height, width]: [usize; 3],
    mut rows: impl FnMut(Range<usize>) -> Result<Image>,
) -> Result<f64> {
    let patches = (height + 1).saturating_sub(SIDE) * (width + 1).saturating_sub(SIDE);
    if patches < FEWEST * LENGTH {
        return Err(Error::Input(format!(
            "the noise of {height} x {width} pixels cannot be estimated; give its standard deviation"
        )));
    }
    let step = (patches as f64 / MOST as f64).sqrt().ceil().max(1.0) as usize;
    let mut planes = vec![Moments::default(); channels];
    for row in (0..=height - SIDE).step_by(step) {
        let rows = rows(row..row + SIDE)?;
        for (c, moments) in planes.iter_mut().enumerate() {
            for column in (0..=width - SIDE).step_by(step) {
                moments.add(rows.plane(c), width, column);
            }
        }
    }
    let sigmas: Vec<f64> = planes.iter().map(Moments::sigma).collect::<Result<_>>()?;
    Ok(sigmas.iter().sum::<f64>() / channels as f64)
}

/// Sums over patches, and over the products of their pixels.
#[derive(Clone)]
struct Moments {
    products: Vec<f64>,
    sums: [f64; LENGTH],
    count: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            products: vec![0.0; LENGTH * LENGTH],
            sums: [0.0; LENGTH],
            count: 0.0,
        }
    }
}

impl Moments {
    /// Adds the patch at a column of as many rows as it has.
    fn add(&mut self, rows: &[f32], width: usize, column: usize) {
        let mut patch = [0.0; LENGTH];
        for (i, to) in patch.chunks_exact_mut(SIDE).enumerate() {
            let from = &rows[i * width + column..][..SIDE];
            to.iter_mut()
                .zip(from)
                .for_each(|(to, v)| *to = f64::from(*v));
        }
        for (k, v) in patch.iter().enumerate() {
            self.sums[k] += v;
            let to = self.products[k * LENGTH..][..=k].iter_mut().zip(&patch);
            to.for_each(|(to, other)| *to += v * other);
        }
        self.count += 1.0;
    }

    fn sigma(&self) -> Result<f64> {
        let mean = |i: usize| self.sums[i] / self.count;
        let covariance = Mat::from_fn(LENGTH, LENGTH, |i, j| {
            let (i, j) = (i.max(j), i.min(j));
            self.products[i * LENGTH + j] / self.count - mean(i) * mean(j)
        });
        let mut values = covariance
            .self_adjoint_eigenvalues(faer::Side::Lower)
            .map_err(|error| {
                Error::Numeric(format!("the eigenvalues were not found: {error:?}"))
            })?;
        values.sort_by(f64::total_cmp);
        for kept in (1..=LENGTH).rev() {
            let rest = &values[..kept];
            let mean = rest.iter().sum::<f64>() / kept as f64;
            let above = rest.iter().filter(|v| **v > mean).count();
            if above >= kept - above {
                return Ok(mean.max(0.0).sqrt());
            }
        }
        Ok(values[0].max(0.0).sqrt())
    }
}

/// Counts of a Poisson law made even: `2 sqrt(peak x + 3/8)` for pixels `x` of which 1 stands for `peak` counts.
/// Noise of standard deviation 1 is left (F. J. Anscombe, Biometrika 1948).
///
/// # Errors
/// [`Error::Config`] for a peak that is not above 0, [`Error::Input`] for pixels below 0.
pub fn anscombe(image: &Image, peak: f64) -> Result<Image> {
    image.check()?;
    check_peak(peak)?;
    if let Some(value) = image.values.iter().find(|v| **v < 0.0) {
        return Err(Error::Input(format!(
            "a pixel is {value}; counts are not below 0"
        )));
    }
    let even = |v: &f32| (2.0 * (peak * f64::from(*v) + 0.375).sqrt()) as f32;
    Ok(Image {
        values: image.values.iter().map(even).collect(),
        ..*image
    })
}

/// The mean of a Poisson law of which [`anscombe`] has the mean `D`, as a part of `peak`: not its algebraic inverse,
/// which is biased where counts are low, but
///
/// ```text
/// D^2/4 + sqrt(3/2)/4 D^-1 - 11/8 D^-2 + 5/8 sqrt(3/2) D^-3 - 1/8
/// ```
///
/// (M. Mäkitalo and A. Foi, A Closed-Form Approximation of the Exact Unbiased Inverse of the Anscombe
/// Variance-Stabilizing Transformation, IEEE TIP 2011), and 0 below the transform of 0.
///
/// # Errors
/// [`Error::Config`] for a peak that is not above 0.
///
/// ```
/// use deconvnet::data::Image;
/// use deconvnet::restore::{anscombe, anscombe_mean};
///
/// let image = Image { channels: 1, height: 1, width: 2, values: vec![0.5, 1.0] };
/// let back = anscombe_mean(&anscombe(&image, 100.0)?, 100.0)?;
/// // A constant of 50 counts has a larger mean transform than counts of mean 50: a quarter of a count.
/// assert!((back.values[0] - 0.50265).abs() < 1e-4);
/// # Ok::<(), deconvnet::Error>(())
/// ```
pub fn anscombe_mean(image: &Image, peak: f64) -> Result<Image> {
    check_peak(peak)?;
    let least = 2.0 * 0.375_f64.sqrt();
    let root = 1.5_f64.sqrt();
    let mean = |v: &f32| {
        let d = f64::from(*v);
        if d <= least {
            return 0.0;
        }
        let counts = d * d / 4.0 + root / (4.0 * d) - 11.0 / (8.0 * d * d)
            + 5.0 * root / (8.0 * d * d * d)
            - 0.125;
        (counts.max(0.0) / peak) as f32
    };
    Ok(Image {
        values: image.values.iter().map(mean).collect(),
        ..*image
    })
}

fn check_peak(peak: f64) -> Result<()> {
    match peak.is_finite() && peak > 0.0 {
        true => Ok(()),
        false => Err(Error::Config(format!(
            "white stands for {peak} counts; it must be above 0"
        ))),
    }
}

/// The pixels of an image in `[0, 1]` that salt and pepper have replaced, row by row: black or white in all
/// channels or in some, while fewer than three quarters of the 5 x 5 pixels around them are the same.
///
/// ```
/// use deconvnet::{data::Image, restore::impulses};
///
/// let mut image = Image { values: vec![0.5; 49], ..Image::zeros(1, 7, 7) };
/// image.values[24] = 1.0;
/// assert_eq!(impulses(&image).iter().filter(|found| **found).count(), 1);
/// assert!(impulses(&Image::zeros(1, 7, 7)).iter().all(|found| !found));
/// ```
pub fn impulses(image: &Image) -> Vec<bool> {
    const REACH: usize = 2;
    let [channels, height, width] = image.shape();
    let mut found = vec![false; height * width];
    for c in 0..channels {
        let plane = image.plane(c);
        for (k, found) in found.iter_mut().enumerate() {
            let value = plane[k];
            if value > 0.0 && value < 1.0 {
                continue;
            }
            let (i, j) = (k / width, k % width);
            let (mut same, mut all) = (0, 0);
            for row in i.saturating_sub(REACH)..=(i + REACH).min(height - 1) {
                for column in j.saturating_sub(REACH)..=(j + REACH).min(width - 1) {
                    all += 1;
                    same += usize::from(plane[row * width + column] == value);
                }
            }
            *found |= 4 * same < 3 * all;
        }
    }
    found
}
