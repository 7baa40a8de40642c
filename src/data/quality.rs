//! How near an approximation comes to an image.

use super::Image;

/// Keeps the ratio of a perfect approximation finite.
const LEAST: f64 = 1e-30;

/// Signal to noise ratio in dB, `10 log10(sum (y - mean y)^2 / sum (y - x)^2)`, of the
/// approximation `x` to `y`; both of one shape. Not a number where `y` is flat.
pub fn snr(y: &Image, x: &Image) -> f64 {
    if y.is_flat() {
        return f64::NAN;
    }
    let n = y.values.len().max(1) as f64;
    let mean = y.values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variation: f64 = y
        .values
        .iter()
        .map(|&v| (f64::from(v) - mean).powi(2))
        .sum();
    decibel(variation, squared_error(y, x))
}

/// Peak signal to noise ratio in dB, `10 log10(n / sum (y - x)^2)`, of the approximation `x` to the
/// `n` pixels `y` in `[0, 1]`; both of one shape. `x` is not clamped to that range.
pub fn psnr(y: &Image, x: &Image) -> f64 {
    decibel(y.values.len() as f64, squared_error(y, x))
}

/// What is summed up of windows for the ratios of a whole image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors {
    count: f64,
    sum: f64,
    squares: f64,
    error: f64,
}

impl Errors {
    /// Adds the approximation `x` to a window `y`.
    pub fn add(&mut self, y: &Image, x: &Image) {
        self.count += y.values.len() as f64;
        for v in y.values.iter().map(|&v| f64::from(v)) {
            self.sum += v;
            self.squares += v * v;
        }
        self.error += squared_error(y, x);
    }

    /// As [`snr`] of the whole, but for an image that is flat.
    pub fn snr(&self) -> f64 {
        let variation = self.squares - self.sum * self.sum / self.count.max(1.0);
        decibel(variation, self.error)
    }

    /// As [`psnr`] of the whole.
    pub fn psnr(&self) -> f64 {
        decibel(self.count, self.error)
    }
}

fn squared_error(y: &Image, x: &Image) -> f64 {
    let pairs = y.values.iter().zip(&x.values);
    pairs
        .map(|(&y, &x)| (f64::from(y) - f64::from(x)).powi(2))
        .sum()
}

fn decibel(signal: f64, noise: f64) -> f64 {
    10.0 * (signal.max(LEAST) / noise.max(LEAST)).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_by_hand() {
        let image = |values: [f32; 2]| Image::new([1, 1, 2], values.to_vec());
        let (y, x) = (image([0.0, 1.0]), image([0.1, 0.9]));
        // Variation 2 * 0.25, error 2 * 0.01.
        assert!((snr(&y, &x) - 10.0 * 25_f64.log10()).abs() < 1e-5);
        assert!((psnr(&y, &x) - 20.0).abs() < 1e-5);
        assert!(psnr(&y, &y).is_finite() && snr(&y, &y).is_finite());
        assert!(snr(&image([1.0, 1.0]), &x).is_nan());
    }
}
