//! The plain image that files are read into and pictures are written from.

use crate::{Error, Result};

/// An image, or any stack of planes: `values[(c * height + i) * width + j]`, channel first.
///
/// Colour images have three channels (red, green, blue), grey ones have one. Pixels read from a
/// file lie in `[0, 1]`; prepared images and feature maps have no fixed range.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Number of planes.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// All planes, one after the other, row by row.
    pub values: Vec<f32>,
}

impl Image {
    /// The values of planes of a shape, `[channels, height, width]`.
    pub fn new([channels, height, width]: [usize; 3], values: Vec<f32>) -> Self {
        Self {
            channels,
            height,
            width,
            values,
        }
    }

    /// An image of zeros.
    pub fn zeros(channels: usize, height: usize, width: usize) -> Self {
        let shape = [channels, height, width];
        Self::new(shape, vec![0.0; channels * height * width])
    }

    /// Each value by a function.
    pub fn map(&self, value: impl Fn(f32) -> f32) -> Self {
        let values = self.values.iter().map(|&v| value(v));
        Self::new(self.shape(), values.collect())
    }

    /// Plane `c` by itself.
    pub fn only(&self, c: usize) -> Self {
        Self::new([1, self.height, self.width], self.plane(c).to_vec())
    }

    /// Plane `c` as a slice of `height * width` values.
    pub fn plane(&self, c: usize) -> &[f32] {
        let n = self.height * self.width;
        &self.values[c * n..(c + 1) * n]
    }

    /// Plane `c`, to be written to.
    pub fn plane_mut(&mut self, c: usize) -> &mut [f32] {
        let n = self.height * self.width;
        &mut self.values[c * n..(c + 1) * n]
    }

    /// One plane of Rec. 601 luma, `0.299 R + 0.587 G + 0.114 B`; an image of other than three
    /// channels as it is.
    pub fn grey(self) -> Self {
        if self.channels != 3 {
            return self;
        }
        let mut grey = Self::zeros(1, self.height, self.width);
        for (k, out) in grey.values.iter_mut().enumerate() {
            let [r, g, b] = [0, 1, 2].map(|c| f64::from(self.plane(c)[k]));
            *out = (0.299 * r + 0.587 * g + 0.114 * b) as f32;
        }
        grey
    }

    /// One plane of an image whose three are the same; another image as it is.
    pub fn without_colour(mut self) -> Self {
        let n = self.height * self.width;
        if self.channels == 3 && self.plane(0) == self.plane(1) && self.plane(0) == self.plane(2) {
            self.channels = 1;
            self.values.truncate(n);
        }
        self
    }

    /// Whether every plane has one value all over, to the rounding of a change of size: there is nothing
    /// to learn from, and a ratio of signal to noise has no meaning.
    pub fn is_flat(&self) -> bool {
        const ROUNDING: f32 = 1e-5;
        (0..self.channels).all(|c| {
            let plane = self.plane(c).iter().copied();
            let (low, high) = (plane.clone().reduce(f32::min), plane.reduce(f32::max));
            high.zip(low)
                .is_none_or(|(high, low)| high - low <= ROUNDING)
        })
    }

    /// What is left when another of its shape is taken from it.
    pub fn minus(&self, other: &Self) -> Self {
        let values = self.values.iter().zip(&other.values);
        Self::new(self.shape(), values.map(|(a, b)| a - b).collect())
    }

    /// `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Checks that no side is zero, that the shape accounts for every value and that all values
    /// are finite.
    ///
    /// # Errors
    /// [`Error::Input`] with the shape, or with the place of the first value that is not finite.
    pub fn check(&self) -> Result<()> {
        let [c, h, w] = self.shape();
        let n = self.values.len();
        if n == 0 || c.checked_mul(h).and_then(|ch| ch.checked_mul(w)) != Some(n) {
            return Err(Error::Input(format!(
                "an image of {c} channels, {h} x {w} pixels cannot hold {n} values: \
                 no side may be zero, and channels x height x width must be the number of values"
            )));
        }
        match self.values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(k) => Err(Error::Input(format!(
                "the image holds {} in channel {}, row {}, column {} (counted from 0): \
                 replace it by a finite number",
                self.values[k],
                k / (h * w),
                k / w % h,
                k % w
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_follow_each_other() {
        let mut image = Image::zeros(2, 2, 3);
        image.plane_mut(1)[5] = 7.0;
        assert_eq!(image.values[11], 7.0);
        assert_eq!(image.plane(1), [0.0, 0.0, 0.0, 0.0, 0.0, 7.0]);
        assert_eq!(image.shape(), [2, 2, 3]);
    }

    #[test]
    fn check_names_the_first_bad_value() {
        let mut image = Image::zeros(2, 2, 3);
        assert!(image.check().is_ok());
        image.values[10] = f32::NAN;
        let message = image.check().unwrap_err().to_string();
        says!(message, "NaN in channel 1, row 1, column 1");
    }

    #[test]
    fn check_refuses_shapes_that_do_not_fit() {
        let mut image = Image::zeros(1, 2, 2);
        image.width = 3;
        says!(image.check().unwrap_err(), "2 x 3 pixels");
        assert!(Image::zeros(1, 0, 5).check().is_err());
        // The product of the sides overflows, yet is no panic.
        image.height = usize::MAX;
        assert!(image.check().is_err());
    }
}
