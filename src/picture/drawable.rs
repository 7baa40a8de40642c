//! Images that no sheet shows as they are: of other than one or three channels, and of height 1.

use std::borrow::Cow;

use super::canvas::Canvas;
use super::colour::{Colour, reciprocal, rgb};
use super::curves::PALETTE;
use crate::data::{Image, resize};

/// Planes stand in one row up to this many pixels, and about square beyond.
const ROW: usize = 64;
/// About the side of the largest square of planes, in pixels.
const SQUARE: usize = 900;
/// Height and width of a tile with curves, in pixels.
const WAVE: [usize; 2] = [90, 180];
/// Signals of more channels than this are drawn as a row of grey for each.
const MOST_CURVES: usize = 6;
const AXIS: Colour = rgb(0xc8ccd1);

/// An image of one or three channels as it is, another as its planes side by side, grey, with a white pixel
/// between: a row of small ones, about a square of many or large ones, of very large ones means of blocks.
pub fn drawable(image: &Image) -> Cow<'_, Image> {
    let [channels, height, width] = image.shape();
    if matches!(channels, 1 | 3) || image.values.is_empty() {
        return Cow::Borrowed(image);
    }
    let block = ((channels * height * width) as f64).sqrt() / SQUARE as f64;
    if block > 1.0 {
        let side = |n: usize| ((n as f64 / block) as usize).max(1);
        let small = resize::resize(image, side(height), side(width));
        return Cow::Owned(drawable(&small).into_owned());
    }
    let columns = match channels * (width + 1) <= ROW {
        true => channels,
        false => {
            let square = (channels as f64 * (height + 1) as f64 / (width + 1) as f64).sqrt();
            (square.ceil() as usize).clamp(1, channels)
        }
    };
    let rows = channels.div_ceil(columns);
    let mut sheet = Image::zeros(1, rows * (height + 1) - 1, columns * (width + 1) - 1);
    sheet.values.fill(1.0);
    for c in 0..channels {
        let corner = [c / columns * (height + 1), c % columns * (width + 1)];
        resize::paste(&mut sheet, &image.only(c), corner);
    }
    Cow::Owned(sheet)
}

/// An image as it is between two values, which become black and white.
pub fn between(image: &Image, [low, high]: [f32; 2]) -> Image {
    let scale = reciprocal(high - low);
    image.map(|v| ((v - low) * scale).clamp(0.0, 1.0))
}

/// A signal, an image of height 1, as a tile with curves over a line at zero, from the lower value at the
/// bottom to the upper one at the top: one for each channel or, where those are many, a row of grey for each.
pub fn wave(signal: &Image, [low, high]: [f32; 2]) -> Image {
    let [channels, _, length] = signal.shape();
    if channels > MOST_CURVES {
        return rows(&between(signal, [low, high]));
    }
    let [height, width] = WAVE;
    // One value all over lies in the middle.
    let [low, high] = if high > low {
        [low, high]
    } else {
        [low - 1.0, low + 1.0]
    };
    let mut canvas = Canvas::new(width, height);
    canvas.fill(0, 0, width, height, rgb(0xf4f5f6));
    let (room, scale) = ((height - 5) as f32, reciprocal(high - low));
    let y = |v: f32| 2.5 + room * (1.0 - ((v - low) * scale).clamp(0.0, 1.0));
    let step = (width - 5) as f32 / length.saturating_sub(1).max(1) as f32;
    if low <= 0.0 && high >= 0.0 {
        canvas.fill(0, y(0.0) as usize, width, 1, AXIS);
    }
    for (c, colour) in (0..channels).zip(PALETTE) {
        let points = signal.plane(c).iter().enumerate();
        let points: Vec<_> = points
            .map(|(i, &v)| (2.5 + step * i as f32, y(v)))
            .collect();
        canvas.stroke(&points, 1.4, colour);
    }
    canvas.into_image()
}

/// A row for each channel, in the width of a tile means of the samples that fall on a pixel.
fn rows(signal: &Image) -> Image {
    let [channels, _, length] = signal.shape();
    let (width, thick) = (WAVE[1], (WAVE[0] / channels).max(1));
    let mut sheet = Image::zeros(1, channels * thick, width);
    for (i, line) in sheet.values.chunks_exact_mut(width).enumerate() {
        let plane = signal.plane(i / thick);
        for (j, pixel) in line.iter_mut().enumerate() {
            let start = j * length / width;
            let end = ((j + 1) * length / width).max(start + 1);
            *pixel = plane[start..end].iter().sum::<f32>() / (end - start) as f32;
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_stand_in_a_row_or_a_square() {
        let planes = |channels, height, width| {
            let mut image = Image::zeros(channels, height, width);
            for c in 0..channels {
                image.plane_mut(c).fill(c as f32 / 100.0);
            }
            drawable(&image).into_owned()
        };
        for channels in [1, 3] {
            assert_eq!(planes(channels, 4, 5).shape(), [channels, 4, 5]);
        }
        let row = planes(7, 5, 5);
        assert_eq!(row.shape(), [1, 5, 7 * 6 - 1]);
        assert_eq!(row.values[4..8], [0.0, 1.0, 0.01, 0.01]);
        let square = planes(31, 20, 20);
        assert_eq!(square.shape(), [1, 6 * 21 - 1, 6 * 21 - 1]);
        assert_eq!(square.values[21 * 125 + 21], 0.07);
        assert_eq!(planes(2, 1, 900).shape(), [1, 3, 900]);
        let large = planes(31, 600, 500);
        assert!(large.height.max(large.width) < 1100, "{:?}", large.shape());
    }

    #[test]
    fn a_signal_is_a_curve_for_each_channel() {
        let mut signal = Image::zeros(2, 1, 50);
        signal.plane_mut(0).fill(1.0);
        signal.plane_mut(1).fill(-1.0);
        let tile = wave(&signal, [-1.0, 1.0]);
        assert_eq!(tile.shape(), [3, WAVE[0], WAVE[1]]);
        let at = |row: usize| -> [f32; 3] {
            std::array::from_fn(|c| tile.plane(c)[row * WAVE[1] + WAVE[1] / 2])
        };
        assert_eq!(at(2), PALETTE[0]);
        assert_eq!(at(WAVE[0] - 3), PALETTE[1]);
        assert_eq!(at(WAVE[0] / 2), AXIS);
        for length in [1, 40, 5000] {
            let many = wave(&Image::zeros(7, 1, length), [-1.0, 3.0]);
            assert_eq!(many.shape(), [1, 7 * 12, 180]);
            assert!(many.values.iter().all(|v| (v - 0.25).abs() < 1e-5));
        }
        assert_eq!(between(&signal, [-1.0, 3.0]).values[49..51], [0.5, 0.0]);
        // A signal of a single value, or of one element.
        let flat = wave(&Image::zeros(1, 1, 1), [0.0, 0.0]);
        let at = |row: usize| flat.plane(0)[row * WAVE[1] + 2];
        assert!(
            at(WAVE[0] / 2) < 0.5 && at(WAVE[0] - 3) > 0.9,
            "in the middle"
        );
    }
}
