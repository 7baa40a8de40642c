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
/// The fewest patches, in patches for each of their values, and the fewest of which some are chosen.
const FEWEST: usize = 4 * LENGTH;
const CHOSEN_FROM: usize = 4 * FEWEST;
/// The squared differences of neighbours in a patch of white noise of deviation 1 add up to 224, with a deviation of
/// 45: a patch with three of these more at most may be flat.
const FLAT: f64 = 224.0 + 3.0 * 45.4;
/// The most pixels of a patch that may be as dark or as bright as any, where noise may be cut off.
const CUT_OFF: usize = LENGTH / 8;
/// Rounds of choosing flat patches at most, and the share by which the deviation must change for another.
const ROUNDS: usize = 12;
const CHANGE: f64 = 5e-3;

/// A square of pixels.
type Patch = [f32; LENGTH];

/// The standard deviation of the white noise of an image, in the units of its values; channels averaged.
///
/// Patches of an image without noise lie near a space of few dimensions, so that the smallest eigenvalues of their
/// covariance are the variance of the noise. The largest are left out until as many of the rest lie above their mean
/// as below (G. Chen, F. Zhu and P. A. Heng, An Efficient Statistical Method for Image Noise Level Estimation,
/// ICCV 2015). Texture has many dimensions: only patches count whose pixels differ from their neighbours by no more
/// than the noise may, which is found by turns from the least eigenvalue on (X. Liu, M. Tanaka and M. Okutomi,
/// Single-Image Noise Level Estimation for Blind Denoising, IEEE TIP 2013), and of whose pixels
/// an eighth at most is as dark or as bright as any, where noise may be cut off. Noise that is not white makes it too small.
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
    if patches < FEWEST {
        return Err(Error::Input(format!(
            "the noise of {height} x {width} pixels cannot be estimated; give its standard deviation"
        )));
    }
    let step = (patches as f64 / MOST as f64).sqrt().ceil().max(1.0) as usize;
    let mut planes = vec![Vec::new(); channels];
    for row in (0..=height - SIDE).step_by(step) {
        let rows = rows(row..row + SIDE)?;
        for (c, patches) in planes.iter_mut().enumerate() {
            let plane = rows.plane(c);
            patches.extend((0..=width - SIDE).step_by(step).map(|column| {
                let pixel = |k: usize| plane[k / SIDE * width + column + k % SIDE];
                std::array::from_fn(pixel)
            }));
        }
    }
    let sigmas: Vec<f64> = planes.iter().map(|of| sigma(of)).collect::<Result<_>>()?;
    Ok(sigmas.iter().sum::<f64>() / channels as f64)
}

/// The deviation of the noise of a plane.
fn sigma(patches: &[Patch]) -> Result<f64> {
    let values = || patches.as_flattened().iter().copied();
    let [least, most] = [
        values().fold(f32::INFINITY, f32::min),
        values().fold(f32::NEG_INFINITY, f32::max),
    ];
    let at_end = |v: &&f32| **v <= least || **v >= most;
    let whole = |patch: &&Patch| patch.iter().filter(at_end).count() <= CUT_OFF;
    let whole: Vec<&Patch> = patches.iter().filter(whole).collect();
    if whole.len() < CHOSEN_FROM {
        return Ok(evened(&eigenvalues(&patches.iter().collect::<Vec<_>>())?));
    }
    let mut sigma = eigenvalues(&whole)?[0].max(0.0).sqrt();
    let textures: Vec<f64> = whole.iter().map(|patch| texture(patch)).collect();
    for _ in 0..ROUNDS {
        let limit = FLAT * sigma * sigma;
        let each = whole.iter().zip(&textures);
        let flat = each.filter(|(_, texture)| **texture < limit);
        let flat: Vec<&Patch> = flat.map(|(patch, _)| *patch).collect();
        if flat.len() < FEWEST {
            break;
        }
        let before = std::mem::replace(&mut sigma, evened(&eigenvalues(&flat)?));
        if (sigma - before).abs() <= CHANGE * before {
            break;
        }
    }
    Ok(sigma)
}

/// The sum of the squared differences of neighbours.
fn texture(patch: &Patch) -> f64 {
    let square = |i: usize, j: usize| f64::from(patch[i] - patch[j]).powi(2);
    let across = (0..LENGTH).filter(|i| i % SIDE > 0);
    let across = across.map(|i| square(i, i - 1));
    let down = (SIDE..LENGTH).map(|i| square(i, i - SIDE));
    across.chain(down).sum()
}

/// Those of the covariance of patches, the least first.
fn eigenvalues(patches: &[&Patch]) -> Result<Vec<f64>> {
    let count = patches.len() as f64;
    let mut means = [0.0; LENGTH];
    for patch in patches {
        means
            .iter_mut()
            .zip(*patch)
            .for_each(|(mean, v)| *mean += f64::from(*v) / count);
    }
    let centred = Mat::from_fn(LENGTH, patches.len(), |i, k| {
        f64::from(patches[k][i]) - means[i]
    });
    let covariance = &centred * centred.transpose();
    let values = covariance
        .self_adjoint_eigenvalues(faer::Side::Lower)
        .map_err(|error| Error::Numeric(format!("the eigenvalues were not found: {error:?}")))?;
    let mut values: Vec<f64> = values.into_iter().map(|v| v / count).collect();
    values.sort_by(f64::total_cmp);
    Ok(values)
}

/// The root of the mean of the smallest eigenvalues, of which as many lie above it as below.
fn evened(values: &[f64]) -> f64 {
    let means = (1..=values.len()).rev().map(|kept| {
        let rest = &values[..kept];
        (rest, rest.iter().sum::<f64>() / kept as f64)
    });
    let mut evened = means.filter(|(rest, mean)| {
        let above = rest.iter().filter(|v| *v > mean).count();
        2 * above >= rest.len()
    });
    let (_, mean) = evened.next().unwrap_or((values, values[0]));
    mean.max(0.0).sqrt()
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
