//! A picture of a large image.

use crate::data::Image;

/// The longer side of the picture.
const PICTURE: usize = 1000;

/// An image scaled down to means of blocks, from windows of it.
pub(super) struct Small {
    block: usize,
    sums: Image,
    counts: Vec<f32>,
}

impl Small {
    pub fn new([channels, height, width]: [usize; 3]) -> Self {
        let block = height.max(width).div_ceil(PICTURE);
        let sums = Image::zeros(channels, height.div_ceil(block), width.div_ceil(block));
        Self {
            block,
            counts: vec![0.0; sums.height * sums.width],
            sums,
        }
    }

    pub fn add(&mut self, corner: [usize; 2], window: &Image) {
        let width = self.sums.width;
        for (k, value) in window.values.iter().enumerate() {
            let (line, j) = (k / window.width, k % window.width);
            let (c, i) = (line / window.height, line % window.height);
            let to = (corner[0] + i) / self.block * width + (corner[1] + j) / self.block;
            self.sums.plane_mut(c)[to] += value;
            if c == 0 {
                self.counts[to] += 1.0;
            }
        }
    }

    pub fn mean(mut self) -> Image {
        for c in 0..self.sums.channels {
            let plane = self.sums.plane_mut(c).iter_mut();
            plane
                .zip(&self.counts)
                .for_each(|(sum, count)| *sum /= count);
        }
        self.sums
    }
}
