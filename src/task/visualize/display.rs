//! Making images and maps fit a sheet.

use crate::data::{Image, resize};
use crate::picture::{between, diverging, peak, symmetric, wave};

/// Images are brought to at most this side, and zoomed as near to it as whole zooms allow; pixels.
const SIDE: usize = 240;

/// A single white pixel, for a place on a sheet that stays empty.
pub(super) fn paper() -> Image {
    Image::new([1, 1, 1], vec![1.0])
}

/// Values around zero as a tile: grey, or of a signal curves. The limit is that of [`symmetric`].
pub(super) fn signed(image: &Image, limit: Option<f32>) -> Image {
    if image.height > 1 {
        return symmetric(image, limit);
    }
    let limit = limit.unwrap_or_else(|| peak([image]));
    wave(image, [-limit, limit])
}

/// A map of codes as a tile: in colour, or of a signal as a curve.
pub(super) fn map(codes: &Image) -> Image {
    match codes.height {
        1 => signed(codes, None),
        _ => diverging(codes, None),
    }
}

/// Pixels as a tile, which are drawn from the first value to the second.
pub(super) fn pixels(image: &Image, range: [f32; 2]) -> Image {
    match image.height {
        1 => wave(image, range),
        _ => between(image, range),
    }
}

/// How many times a pixel of a tile, as it is drawn, is to be drawn.
pub(super) fn zoom(tile: &Image) -> usize {
    (SIDE / tile.height.max(tile.width)).max(1)
}

/// An image too large for a sheet, as the means of blocks; others, and signals, as they are.
pub(super) fn shrunk(image: &Image) -> Image {
    resize::blocks(image, block(image), |values| {
        values.iter().sum::<f32>() / values.len() as f32
    })
}

/// Plane `k` of `maps`, shrunk like [`shrunk`] but to the value of largest magnitude of each block:
/// a lone unit must not fade.
pub(super) fn shrunk_map(maps: &Image, k: usize) -> Image {
    let map = maps.only(k);
    resize::blocks(&map, block(&map), |values| {
        let larger = |a: f32, &b: &f32| if b.abs() > a.abs() { b } else { a };
        values.iter().fold(0.0, larger)
    })
}

/// A map that pooling below made much smaller than the image beside it, every element drawn as a square.
pub(super) fn enlarged(map: Image, beside: &Image) -> Image {
    let times = (beside.height / map.height)
        .min(beside.width / map.width)
        .max(1);
    resize::zoomed(&map, times)
}

/// The side of the blocks that `image` is shrunk by.
fn block(image: &Image) -> usize {
    if image.height == 1 {
        return 1;
    }
    // Of other than one or three channels the planes stand side by side.
    let columns = match image.channels {
        1 | 3 => 1.0,
        many => (many as f64).sqrt(),
    };
    let side = columns * image.height.max(image.width) as f64;
    ((side / SIDE as f64).ceil() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_the_mean_of_an_image_and_the_strongest_unit_of_a_map() {
        let mut image = Image::zeros(1, 2 * SIDE, 2 * SIDE - 1);
        image.values[1] = -4.0;
        let last = image.values.len() - 1;
        image.values[last] = 2.0;
        let map = shrunk_map(&image, 0);
        assert_eq!(map.shape(), [1, SIDE, SIDE]);
        assert_eq!([map.values[0], map.values[SIDE * SIDE - 1]], [-4.0, 2.0]);
        // The last block is two rows of a single column.
        let small = shrunk(&image);
        assert_eq!(
            [small.values[0], small.values[SIDE * SIDE - 1]],
            [-1.0, 1.0]
        );
    }
}
