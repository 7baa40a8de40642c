//! How foreign an image is to what filters were learnt from.
//!
//! Filters learnt from what is usual explain what is foreign badly, or by many large codes. With the residual
//! `r = y - x` of the prepared image `y` and the codes `z` of a layer, whose units reach `h x w` pixels,
//!
//! ```text
//! R(i, j) = mean of r^2, weighted as pixels are where some are missing, over all channels and the window of h x w around
//!           pixel (i, j); 0 where all of it is missing
//! E(i, j) = sum of |z| over all units that reach pixel (i, j)
//! score(i, j) = R(i, j) / mean R + E(i, j) / mean E
//! ```
//!
//! with the means over all pixels of images of the run, coded alike: 2 is usual. Both are needed, for which of
//! them something foreign raises depends on the weight of the penalty. The score of an image is its largest.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::data::{Image, Weighted};
use crate::error::Result;
use crate::model::Network;
use crate::picture;
use crate::run::to_image;
use crate::task::visualize::receptive_field;

/// What is usual under the filters of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Mean of `R` and of `E`.
    pub means: [f64; 2],
    /// The largest score of the images that it was worked out from.
    pub largest: f64,
}

/// The residual and the codes of an image over each of its pixels.
#[derive(Clone, Debug)]
pub struct Effort {
    height: usize,
    width: usize,
    /// `R` and `E`.
    maps: [Vec<f64>; 2],
}

impl Effort {
    /// Of the residual, `[C, H, W]`, the weights of its pixels, `[C, H, W]` or `[1, H, W]`, unless all are 1, and the
    /// codes, `[K, H + h - 1, W + w - 1]`, of a layer whose units reach `[h, w]` pixels.
    pub fn new(
        residual: &Image,
        weights: Option<&Image>,
        codes: &Image,
        [h, w]: [usize; 2],
    ) -> Self {
        let [_, height, width] = residual.shape();
        let weight = |c: usize, at: usize| {
            weights.map_or(1.0, |weights| {
                f64::from(weights.plane(c.min(weights.channels - 1))[at])
            })
        };
        let squares = Sums::over_channels(residual, |v, c, at| weight(c, at) * v * v);
        let counts = Sums::over_channels(residual, |_, c, at| weight(c, at));
        // Numbers that are whole add up exactly, weights do not.
        let known = weights.map(|_| {
            Sums::over_channels(residual, |_, c, at| {
                f64::from(u8::from(weight(c, at) > 0.0))
            })
        });
        let magnitudes = Sums::over_channels(codes, |v, _, _| v.abs());
        let around = |at: usize, reach: usize, size: usize| {
            at.saturating_sub((reach - 1) / 2)..(at + reach / 2 + 1).min(size)
        };
        let place = |at: usize| [at / width, at % width];
        let mean = |at: usize| {
            let [i, j] = place(at);
            let (rows, columns) = (around(i, h, height), around(j, w, width));
            let is_known = |known: &Sums| known.within(rows.clone(), columns.clone()) > 0.0;
            match known.as_ref().is_none_or(is_known) {
                true => {
                    let count = counts.within(rows.clone(), columns.clone());
                    squares.within(rows, columns) / count
                }
                false => 0.0,
            }
        };
        let energy = |at: usize| {
            let [i, j] = place(at);
            magnitudes.within(i..(i + h).min(codes.height), j..(j + w).min(codes.width))
        };
        let pixels = 0..height * width;
        Self {
            height,
            width,
            maps: [
                pixels.clone().map(mean).collect(),
                pixels.map(energy).collect(),
            ],
        }
    }

    /// The score of each pixel.
    pub fn scores(&self, usual: &Usual) -> Image {
        let [residual, energy] = &self.maps;
        let [r, e] = usual.means.map(|mean| mean.max(f64::MIN_POSITIVE));
        let scores = residual.iter().zip(energy);
        Image {
            channels: 1,
            height: self.height,
            width: self.width,
            values: scores
                .map(|(residual, energy)| (residual / r + energy / e).min(1e30) as f32)
                .collect(),
        }
    }
}

impl Usual {
    /// From images that are usual; none for none.
    pub fn of(images: &[Effort]) -> Option<Self> {
        let mean = |k: usize| {
            let values = images.iter().flat_map(|image| &image.maps[k]);
            let (sum, count) = values.fold((0.0, 0_usize), |(sum, n), v| (sum + v, n + 1));
            (count > 0).then(|| sum / count as f64)
        };
        let usual = Self {
            means: [mean(0)?, mean(1)?],
            largest: 0.0,
        };
        let scores = images.iter().map(|image| largest(&image.scores(&usual)).0);
        Some(Self {
            largest: scores.fold(0.0, f64::max),
            ..usual
        })
    }
}

/// The residual of a reconstruction, `planes`, and its codes over each pixel.
pub(super) fn effort(
    stack: &Network,
    codes: &Tensor<4>,
    prepared: &Weighted,
    planes: &Image,
) -> Result<Effort> {
    let field = receptive_field(stack);
    let codes = to_image(&stack.boundary().extended(codes.clone(), field), 0)?;
    let residual = prepared.image().minus(planes);
    Ok(Effort::new(&residual, prepared.weights(), &codes, field))
}

/// The largest score, and its row and column.
pub fn largest(scores: &Image) -> (f64, [usize; 2]) {
    let each = scores.values.iter().copied().enumerate();
    let (at, score) = each.fold((0, f32::NEG_INFINITY), |most, one| {
        if one.1 > most.1 { one } else { most }
    });
    (f64::from(score), [at / scores.width, at % scores.width])
}

/// The scores in colour over the image, pixels in `[0, 1]`: what is usual stays grey.
pub(super) fn over(image: &Image, scores: &Image, usual: &Usual) -> Image {
    let limit = largest(scores).0.max(usual.largest) as f32;
    let mut shown = picture::heat(scores, Some(limit));
    for (at, score) in scores.values.iter().enumerate() {
        let planes = (0..image.channels).map(|c| image.plane(c)[at]);
        let grey = planes.sum::<f32>() / image.channels as f32;
        let share = (score / limit.max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
        for c in 0..3 {
            let pixel = &mut shown.plane_mut(c)[at];
            *pixel = share * *pixel + (1.0 - share) * grey;
        }
    }
    shown
}

/// Sums over rectangles, from those over all that begin at the corner.
struct Sums {
    stride: usize,
    values: Vec<f64>,
}

impl Sums {
    /// Of a function of the values, channels and places of all channels.
    fn over_channels(image: &Image, of: impl Fn(f64, usize, usize) -> f64) -> Self {
        let [channels, height, width] = image.shape();
        let stride = width + 1;
        let mut values = vec![0.0; (height + 1) * stride];
        for i in 0..height {
            let mut row = 0.0;
            for j in 0..width {
                let at = i * width + j;
                row += (0..channels)
                    .map(|c| of(f64::from(image.plane(c)[at]), c, at))
                    .sum::<f64>();
                values[(i + 1) * stride + j + 1] = values[i * stride + j + 1] + row;
            }
        }
        Self { stride, values }
    }

    fn within(&self, rows: Range<usize>, columns: Range<usize>) -> f64 {
        let at = |i: usize, j: usize| self.values[i * self.stride + j];
        let sum = at(rows.end, columns.end) + at(rows.start, columns.start)
            - at(rows.start, columns.end)
            - at(rows.end, columns.start);
        // Below zero is rounding.
        sum.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(channels: usize, height: usize, width: usize) -> Image {
        let mut image = Image::zeros(channels, height, width);
        for (i, v) in image.values.iter_mut().enumerate() {
            *v = ((i * 37 + 11) % 23) as f32 - 11.0;
        }
        image
    }

    #[test]
    fn windows_equal_their_definition() {
        let mut weights = Image::zeros(1, 6, 9);
        for (at, m) in weights.values.iter_mut().enumerate() {
            *m = [0.0, 1.0, 0.5][at * at % 7 % 3];
        }
        for [h, w] in [[1, 1], [3, 3], [2, 5], [1, 7]] {
            let (residual, codes) = (numbers(2, 6, 9), numbers(3, 5 + h, 8 + w));
            let effort = Effort::new(&residual, Some(&weights), &codes, [h, w]);
            for i in 0..6_usize {
                for j in 0..9_usize {
                    let near = |a: usize, at: usize, reach: usize| {
                        let (a, at, reach) = (a as isize, at as isize, reach as isize);
                        (-((reach - 1) / 2)..=reach / 2).contains(&(a - at))
                    };
                    let (mut sum, mut count, mut energy) = (0.0, 0.0, 0.0);
                    for (at, v) in residual.values.iter().enumerate() {
                        let (a, b) = (at / 9 % 6, at % 9);
                        if near(a, i, h) && near(b, j, w) {
                            let m = f64::from(weights.values[at % 54]);
                            sum += m * f64::from(v * v);
                            count += m;
                        }
                    }
                    // Unit (a, b) of the maps reaches rows a - h + 1 to a.
                    for (at, v) in codes.values.iter().enumerate() {
                        let (a, b) = (at / codes.width % codes.height, at % codes.width);
                        if (a + 1).saturating_sub(h) <= i
                            && i <= a
                            && (b + 1).saturating_sub(w) <= j
                            && j <= b
                        {
                            energy += f64::from(v.abs());
                        }
                    }
                    let found = [0, 1].map(|k| effort.maps[k][i * 9 + j]);
                    let mean = if count > 0.0 { sum / count } else { 0.0 };
                    assert!((found[0] - mean).abs() < 1e-9, "{h} {w} {i} {j}");
                    assert!((found[1] - energy).abs() < 1e-9, "{h} {w} {i} {j}");
                }
            }
        }
    }

    #[test]
    fn what_is_usual_scores_two_in_the_mean() {
        let images = [
            Effort::new(&numbers(1, 8, 8), None, &numbers(2, 10, 10), [3, 3]),
            Effort::new(&numbers(1, 5, 20), None, &numbers(2, 7, 22), [3, 3]),
        ];
        let usual = Usual::of(&images).unwrap();
        let scores = images.each_ref().map(|image| image.scores(&usual));
        let values = scores.iter().flat_map(|scores| &scores.values);
        let sum: f64 = values.map(|&v| f64::from(v)).sum();
        assert!((sum / 164.0 - 2.0).abs() < 1e-5);
        assert_eq!(
            usual.largest,
            largest(&scores[0]).0.max(largest(&scores[1]).0)
        );
        assert!(Usual::of(&[]).is_none());
        // Nothing is usual where there was nothing at all, and no score is infinite.
        let nothing = Effort::new(&Image::zeros(1, 4, 4), None, &Image::zeros(1, 6, 6), [3, 3]);
        let usual = Usual::of(&[nothing]).unwrap();
        assert!(
            images[0]
                .scores(&usual)
                .values
                .iter()
                .all(|v| v.is_finite())
        );
    }
}
