//! The plain image that files are read into and pictures are written from.

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
    /// An image of zeros.
    pub fn zeros(channels: usize, height: usize, width: usize) -> Self {
        Self {
            channels,
            height,
            width,
            values: vec![0.0; channels * height * width],
        }
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

    /// `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }
}
