//! Images shifted, scaled and turned.

use super::Image;

/// An affine map about the middle of an image, from the places of the result to those of the source:
///
/// ```text
/// source = matrix place + shift,   places as (row, column) from the middle, in pixels
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Rows of the matrix.
    pub matrix: [[f64; 2]; 2],
    /// Rows and columns.
    pub shift: [f64; 2],
}

impl Affine {
    /// Moves what is seen down and to the right, in pixels.
    pub fn translation(down: f64, right: f64) -> Self {
        Self {
            matrix: [[1.0, 0.0], [0.0, 1.0]],
            shift: [-down, -right],
        }
    }

    /// Makes what is seen `factor` times as large.
    pub fn scaling(factor: f64) -> Self {
        Self {
            matrix: [[1.0 / factor, 0.0], [0.0, 1.0 / factor]],
            shift: [0.0; 2],
        }
    }

    /// Turns what is seen, counterclockwise.
    pub fn rotation(degrees: f64) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Self {
            matrix: [[cos, sin], [-sin, cos]],
            shift: [0.0; 2],
        }
    }
}

/// The image under an affine map, each pixel interpolated linearly between the four around its place in
/// the source. What lies outside is `fill`, a number for each channel.
///
/// # Panics
/// If `fill` has fewer numbers than the image has channels.
pub fn warp(image: &Image, map: &Affine, fill: &[f32]) -> Image {
    let mut warped = Image::zeros(image.channels, image.height, image.width);
    let middle = [image.height, image.width].map(|side| (side as f64 - 1.0) / 2.0);
    for row in 0..image.height {
        for column in 0..image.width {
            let place = [row as f64 - middle[0], column as f64 - middle[1]];
            let [y, x] = [0, 1].map(|k| {
                let [down, right] = map.matrix[k];
                let at = down * place[0] + right * place[1] + map.shift[k] + middle[k];
                // A turn by a right angle hits pixels but for rounding.
                let nearest = at.round();
                if (at - nearest).abs() < 1e-9 {
                    nearest
                } else {
                    at
                }
            });
            for (c, &fill) in fill.iter().enumerate().take(image.channels) {
                let value = interpolated(image, c, y, x, fill);
                warped.plane_mut(c)[row * image.width + column] = value;
            }
        }
    }
    warped
}

fn interpolated(image: &Image, c: usize, y: f64, x: f64, fill: f32) -> f32 {
    let plane = image.plane(c);
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = ((y - top) as f32, (x - left) as f32);
    let pixel = |row: f64, column: f64| {
        let inside = (0.0..image.height as f64).contains(&row)
            && (0.0..image.width as f64).contains(&column);
        match inside {
            true => plane[row as usize * image.width + column as usize],
            false => fill,
        }
    };
    let line = |row: f64| (1.0 - right) * pixel(row, left) + right * pixel(row, left + 1.0);
    (1.0 - down) * line(top) + down * line(top + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row `i`, column `j` holds `10 i + j`.
    fn ramp(height: usize, width: usize) -> Image {
        let mut image = Image::zeros(1, height, width);
        for (k, value) in image.values.iter_mut().enumerate() {
            *value = (10 * (k / width) + k % width) as f32;
        }
        image
    }

    #[test]
    fn whole_shifts_move_pixels() {
        let image = ramp(3, 4);
        assert_eq!(warp(&image, &Affine::translation(0.0, 0.0), &[9.0]), image);
        let moved = warp(&image, &Affine::translation(1.0, -2.0), &[-1.0]);
        let expected = [
            -1.0, -1.0, -1.0, -1.0, 2.0, 3.0, -1.0, -1.0, 12.0, 13.0, -1.0, -1.0,
        ];
        assert_eq!(moved.values, expected);
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        let moved = warp(&ramp(2, 3), &Affine::translation(0.0, 0.5), &[0.0]);
        assert_eq!(moved.values, [0.0, 0.5, 1.5, 5.0, 10.5, 11.5]);
    }

    #[test]
    fn a_quarter_turn_is_counterclockwise_and_four_are_none() {
        let image = ramp(3, 3);
        let turned = warp(&image, &Affine::rotation(90.0), &[-1.0]);
        assert_eq!(
            turned.values,
            [2.0, 12.0, 22.0, 1.0, 11.0, 21.0, 0.0, 10.0, 20.0]
        );
        assert_eq!(warp(&image, &Affine::rotation(360.0), &[-1.0]), image);
    }

    #[test]
    fn scaling_halves_slopes_about_the_middle() {
        let image = ramp(5, 5);
        let scaled = warp(&image, &Affine::scaling(2.0), &[-1.0]);
        for (k, &value) in scaled.values.iter().enumerate() {
            let (row, column) = ((k / 5) as f32 - 2.0, (k % 5) as f32 - 2.0);
            assert_eq!(value, 22.0 + 5.0 * row + 0.5 * column);
        }
    }
}
