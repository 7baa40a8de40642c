//! Images of another size.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma};

use super::Image;

/// The image at another size, each pixel a weighted mean of those around its place: a triangle as wide as
/// the new pixels, as PIL's bilinear filter has it.
pub fn resize(image: &Image, height: usize, width: usize) -> Image {
    if [image.height, image.width] == [height, width] {
        return image.clone();
    }
    let mut resized = Image::zeros(image.channels, height, width);
    let size = [image.width, image.height, width, height].map(|n| n as u32);
    for c in 0..image.channels {
        let plane = image.plane(c).to_vec();
        let buffer = ImageBuffer::<Luma<f32>, _>::from_raw(size[0], size[1], plane)
            .expect("a plane has a number for each pixel");
        let buffer = imageops::resize(&buffer, size[2], size[3], FilterType::Triangle);
        resized.plane_mut(c).copy_from_slice(buffer.as_raw());
    }
    resized
}

/// `height` rows and `width` columns from row `top` and column `left` on.
///
/// # Panics
/// If they reach over the border.
pub fn crop(image: &Image, [top, left]: [usize; 2], [height, width]: [usize; 2]) -> Image {
    let mut cropped = Image::zeros(image.channels, height, width);
    for c in 0..image.channels {
        let from = image.plane(c);
        for (row, to) in cropped.plane_mut(c).chunks_exact_mut(width).enumerate() {
            let start = (top + row) * image.width + left;
            to.copy_from_slice(&from[start..start + width]);
        }
    }
    cropped
}

/// Puts an image on another, from row `top` and column `left` on; where it has fewer channels, its last one on
/// the rest.
///
/// # Panics
/// If it reaches over the border.
pub fn paste(onto: &mut Image, image: &Image, [top, left]: [usize; 2]) {
    let width = onto.width;
    for c in 0..onto.channels {
        let plane = image.plane(c.min(image.channels - 1));
        let to = onto.plane_mut(c);
        for (row, line) in plane.chunks_exact(image.width).enumerate() {
            let start = (top + row) * width + left;
            to[start..start + line.len()].copy_from_slice(line);
        }
    }
}

/// An image with each pixel as a square of so many pixels a side.
pub fn zoomed(image: &Image, times: usize) -> Image {
    let [channels, height, width] = image.shape();
    let mut large = Image::zeros(channels, height * times, width * times);
    for c in 0..channels {
        let plane = image.plane(c);
        for (at, out) in large.plane_mut(c).iter_mut().enumerate() {
            let [row, column] = [at / (width * times), at % (width * times)];
            *out = plane[row / times * width + column / times];
        }
    }
    large
}

/// One value for each `size x size` block; blocks at the far borders may be smaller.
pub fn blocks(image: &Image, size: usize, value: impl Fn(&[f32]) -> f32) -> Image {
    let [channels, height, width] = image.shape();
    let mut small = Image::zeros(channels, height.div_ceil(size), width.div_ceil(size));
    let columns = small.width;
    let mut block = Vec::with_capacity(size * size);
    for c in 0..channels {
        let plane = image.plane(c);
        for (at, out) in small.plane_mut(c).iter_mut().enumerate() {
            let (top, left) = (at / columns * size, at % columns * size);
            block.clear();
            for row in plane.chunks(width).skip(top).take(size) {
                block.extend_from_slice(&row[left..(left + size).min(width)]);
            }
            *out = value(&block);
        }
    }
    small
}

/// The size to which an image of `size` is scaled so that its shorter side becomes `shorter`, though no side
/// less than that of `middle`; and the corner of the middle.
pub fn placed(size: [usize; 2], shorter: usize, middle: [usize; 2]) -> ([usize; 2], [usize; 2]) {
    let ratio = |side: usize| side as f64 * shorter as f64 / size[0].min(size[1]).max(1) as f64;
    let scaled = [0, 1].map(|k| (ratio(size[k]).round() as usize).max(middle[k]));
    (scaled, [0, 1].map(|k| (scaled[k] - middle[k]) / 2))
}

/// The middle of an image whose shorter side is scaled to `shorter`.
pub fn middle(image: &Image, shorter: usize, size: [usize; 2]) -> Image {
    let ([height, width], corner) = placed([image.height, image.width], shorter, size);
    crop(&resize(image, height, width), corner, size)
}
