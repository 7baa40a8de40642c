//! The Wiener filter.

use burn::tensor::Tensor;

use super::Operator;
use super::circular::Circular;
use super::dense::Side;
use crate::error::{Error, Result};

/// How much more the mean of the image is expected to vary than the lowest frequency.
const MEAN: f64 = 100.0;

/// The Wiener filter for circular padding: the linear estimate of least expected error where the
/// power of images falls with the square of the frequency, as that of photographs does, and white noise
/// of standard deviation `noise` was added to `y`:
///
/// ```text
/// x = S^1/2 (B'B + noise^2 I)^-1 B' y,   B = W S^1/2,   S(f) = a / max(f, 1/side)^2
/// ```
///
/// `a` is such that `W x` is expected to have the energy of `y` about its mean. The mean is hardly held
/// back. Without noise it is the pseudo-inverse up to what the weights do within the null space.
///
/// Source: R. C. Gonzalez and R. E. Woods, Digital Image Processing, section 5.8, for one channel;
/// D. J. Field 1987 for the power law.
///
/// # Shapes
/// `[1, out, H', W']` -> `[1, in, H, W]`.
///
/// # Errors
/// [`Error::Config`] where `W` does not decompose per frequency, see [`wiener_fits`].
///
/// # Examples
///
/// ```
/// use burn::tensor::{DType, Device, Tensor};
/// use deconvnet::invert::{Kernel, Operator, Padding, noise, wiener};
///
/// let like = (&Device::flex(), DType::F64);
/// let blur = Kernel::Gaussian { sigma: 1.0, size: Some(7) }.filters(1)?.tensor(like.0, like.1);
/// let operator = Operator::new(blur, [1, 1], Padding::Circular, [1, 16, 16])?;
/// // A disc, blurred, with noise.
/// let disc = |i: usize| f64::from((i / 16).abs_diff(8).pow(2) + (i % 16).abs_diff(8).pow(2) < 20);
/// let image = |values: Vec<f64>| Tensor::<1>::from_data(values.as_slice(), like).reshape([1, 1, 16, 16]);
/// let x = image((0..256).map(disc).collect());
/// let y = operator.apply(x.clone()) + image(noise(256, 0)) * 0.02;
/// let found = wiener(&operator, &y, 0.02)?;
/// let error = |a: Tensor<4>| (a - x.clone()).square().sum().into_scalar::<f64>();
/// assert!(error(found) < 0.7 * error(y));
/// # Ok::<(), deconvnet::Error>(())
/// ```
pub fn wiener(operator: &Operator, y: &Tensor<4>, noise: f64) -> Result<Tensor<4>> {
    wiener_fits(operator)?;
    let values: Vec<f64> = y.to_data().iter::<f64>().collect();
    let [planes, height, width] = operator.input();
    let least = 1.0 / height.max(width) as f64;
    let amplitude = |f: f64| f.max(least).recip();
    let [out, ..] = operator.output();
    let about_mean = |plane: &[f64]| {
        let mean = plane.iter().sum::<f64>() / plane.len() as f64;
        plane.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
    };
    let energy: f64 = values.chunks(values.len() / out).map(about_mean).sum();
    let of_noise = noise * noise * values.len() as f64;
    let expected = Circular::energy(operator, |f| if f == 0.0 { 0.0 } else { amplitude(f) });
    // Noise alone leaves nothing to estimate the power from; a hundredth keeps it above zero.
    let power = (energy - of_noise).max(0.01 * energy) / expected.max(f64::MIN_POSITIVE);
    let weight = |f: f64| {
        let mean = if f == 0.0 { MEAN } else { 1.0 };
        (power.sqrt() * mean * amplitude(f)).max(f64::MIN_POSITIVE)
    };
    let decomposed = Circular::weighted(operator, weight)?;
    let largest = decomposed.singular_values().first().copied();
    let longest = values.len().max(planes * height * width) as f64;
    let cut = longest * f64::EPSILON * largest.unwrap_or(0.0);
    let factor = |s: f64| match s > cut {
        true => s / (s * s + noise * noise),
        false => 0.0,
    };
    let x = decomposed.map([Side::Left, Side::Right], &values, factor);
    Ok(operator.tensor(x, [1, planes, height, width]))
}

/// Whether [`wiener`] can be used.
///
/// # Errors
/// [`Error::Config`] with the padding, stride and sizes that forbid it.
pub fn wiener_fits(operator: &Operator) -> Result<()> {
    if Circular::fits(operator) {
        return Ok(());
    }
    let [_, height, width] = operator.input();
    let [down, right] = operator.stride();
    Err(Error::Config(format!(
        "the Wiener filter works per frequency, which takes circular padding, a stride that divides \
         the image and at most {} entries in all; here the padding is {}, the stride {down} x {right}, \
         the image {height} x {width}; leave wiener out or change those",
        super::LARGEST_BLOCKS,
        operator.padding()
    )))
}
