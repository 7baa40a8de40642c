//! What the kernels work on: planes, and the taps of connected pairs.

/// Planes of an input, row by row: `planes` for each image.
#[derive(Clone, Copy)]
pub(super) struct Input<'a, T> {
    pub values: &'a [T],
    pub planes: usize,
    pub size: [usize; 2],
}

impl<'a, T> Input<'a, T> {
    pub fn new(values: &'a [T], planes: usize, size: [usize; 2]) -> Self {
        Self {
            values,
            planes,
            size,
        }
    }

    /// Plane `c` of image `n`.
    pub fn plane(&self, n: usize, c: usize) -> &'a [T] {
        let numbers = self.size[0] * self.size[1];
        &self.values[(n * self.planes + c) * numbers..][..numbers]
    }
}

/// One input plane of an output plane, with the taps that lead from the one to the other.
pub(super) struct Connection<T> {
    pub input: usize,
    pub weights: Vec<T>,
}
