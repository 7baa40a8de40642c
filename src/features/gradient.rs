//! Planes of gradient magnitude by orientation: with [`super::Cells`] they make dense SIFT.

use std::f32::consts::TAU;

use crate::data::Image;

/// The magnitude of the gradient in each of so many orientations, around the whole circle.
///
/// The gradient is the difference of the neighbours on both sides, at the border of the pixel and its one
/// neighbour; its magnitude is shared between the two orientations next to its own, linearly.
///
/// # Shapes
/// the first plane of an image `[C, H, W]` -> `[orientations, H, W]`.
///
/// ```
/// use deconvnet::data::Image;
/// use deconvnet::features::gradient::orientations;
///
/// let mut ramp = Image::zeros(1, 3, 4);
/// ramp.values = [0.0, 0.1, 0.2, 0.3].repeat(3);
/// let planes = orientations(&ramp, 8);
/// assert!((planes.plane(0)[5] - 0.2).abs() < 1e-6 && planes.plane(2)[5] == 0.0);
/// ```
pub fn orientations(image: &Image, orientations: usize) -> Image {
    let (height, width) = (image.height, image.width);
    let plane = image.plane(0);
    let mut planes = Image::zeros(orientations, height, width);
    let size = height * width;
    for i in 0..height {
        let (above, below) = (i.saturating_sub(1) * width, (i + 1).min(height - 1) * width);
        for j in 0..width {
            let (left, right) = (j.saturating_sub(1), (j + 1).min(width - 1));
            let dx = plane[i * width + right] - plane[i * width + left];
            let dy = plane[below + j] - plane[above + j];
            let magnitude = dx.hypot(dy);
            let turn = dy.atan2(dx) / TAU * orientations as f32;
            let turn = turn.rem_euclid(orientations as f32);
            let (first, share) = (turn as usize % orientations, turn.fract());
            let at = i * width + j;
            planes.values[first * size + at] += magnitude * (1.0 - share);
            planes.values[(first + 1) % orientations * size + at] += magnitude * share;
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::scenes;

    #[test]
    fn each_orientation_has_its_plane_and_those_between_share() {
        let tilt = std::f32::consts::FRAC_PI_8.tan();
        for ([x, y], shares) in [
            ([1.0, 1.0], &[(1, 1.0)][..]),
            ([0.0, 1.0], &[(2, 1.0)]),
            ([-1.0, -1.0], &[(5, 1.0)]),
            ([1.0, tilt], &[(0, 0.5), (1, 0.5)]),
            ([1.0, -tilt], &[(7, 0.5), (0, 0.5)]),
        ] {
            let mut ramp = Image::zeros(1, 3, 3);
            for (k, v) in ramp.values.iter_mut().enumerate() {
                *v = 0.5 * (x * (k % 3) as f32 + y * (k / 3) as f32);
            }
            let planes = orientations(&ramp, 8);
            for (plane, share) in shares {
                let found = planes.plane(*plane)[4];
                assert!(
                    (found - share * x.hypot(y)).abs() < 1e-5,
                    "{x} {y}: {found}"
                );
            }
        }
    }

    #[test]
    fn all_orientations_together_are_the_magnitude() {
        let image = scenes::sample(0, 20, 3).grey();
        let planes = orientations(&image, 8);
        for k in 0..400 {
            let (i, j) = (k / 20, k % 20);
            let pixel = |i: usize, j: usize| image.values[i * 20 + j];
            let dx = pixel(i, (j + 1).min(19)) - pixel(i, j.saturating_sub(1));
            let dy = pixel((i + 1).min(19), j) - pixel(i.saturating_sub(1), j);
            let sum: f32 = (0..8).map(|o| planes.plane(o)[k]).sum();
            assert!((sum - dx.hypot(dy)).abs() < 1e-5, "{k}");
        }
    }
}
