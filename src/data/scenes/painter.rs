//! What both kinds of scene are drawn with: chance, colour, texture and a canvas.
//!
//! Nothing here but `+ - * /`, square roots and integers, which every machine computes alike, so
//! that a seed stands for the same picture everywhere.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use crate::data::Image;

/// Red, green and blue in linear light.
pub type Rgb = [f64; 3];

/// A point or direction in the picture: right, down. The shorter side runs from -1 to 1.
pub type P2 = [f64; 2];

/// A point or direction in space.
pub type P3 = [f64; 3];

/// The colour that is shown as red, green and blue in `[0, 1]`, by a display gamma of 2.
pub const fn rgb(r: f64, g: f64, b: f64) -> Rgb {
    [r * r, g * g, b * b]
}

/// `a + t (b - a)`, with `t` held in `[0, 1]`.
pub fn mix(a: Rgb, b: Rgb, t: f64) -> Rgb {
    let t = t.clamp(0.0, 1.0);
    [0, 1, 2].map(|c| a[c] + t * (b[c] - a[c]))
}

/// The colour made lighter or darker.
pub fn scale(a: Rgb, s: f64) -> Rgb {
    a.map(|v| v * s)
}

/// A smooth step from 0 at `x = a` to 1 at `x = b`, where `b` may be below `a`.
pub fn ramp(a: f64, b: f64, x: f64) -> f64 {
    let t = ((x - a) / (b - a)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The inner product.
pub fn dot<const N: usize>(a: [f64; N], b: [f64; N]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The vector of length one in the same direction; zero stays zero.
pub fn unit<const N: usize>(a: [f64; N]) -> [f64; N] {
    let length = dot(a, a).sqrt();
    a.map(|v| if length > 0.0 { v / length } else { 0.0 })
}

/// `a + s b`.
pub fn along<const N: usize>(a: [f64; N], s: f64, b: [f64; N]) -> [f64; N] {
    std::array::from_fn(|k| a[k] + s * b[k])
}

/// The vector turned by a quarter.
pub fn quarter(a: P2) -> P2 {
    [-a[1], a[0]]
}

/// A unit vector, turned from `[1, 0]` by a slope in `[-1, 1]`, which stands for -90 to 90 degrees.
pub fn turn(slope: f64) -> P2 {
    let n = 1.0 + slope * slope;
    [(1.0 - slope * slope) / n, 2.0 * slope / n]
}

/// A number in `[0, 1)` that looks random but depends on the place only.
pub fn hash(x: f64, y: f64, seed: u32) -> f64 {
    let mut h = (x as i64 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (y as i64 as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
        ^ u64::from(seed).wrapping_mul(0x1656_67B1_9E37_79F9);
    for _ in 0..2 {
        h = (h ^ (h >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }
    fraction(h ^ (h >> 32))
}

/// Smooth noise in `[0, 1)`, with bumps of about unit size.
pub fn noise(x: f64, y: f64, seed: u32) -> f64 {
    let (i, j) = (x.floor(), y.floor());
    let (u, v) = (ramp(0.0, 1.0, x - i), ramp(0.0, 1.0, y - j));
    let row = |j| {
        let left = hash(i, j, seed);
        left + u * (hash(i + 1.0, j, seed) - left)
    };
    let top = row(j);
    top + v * (row(j + 1.0) - top)
}

fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Chance: the stream `stream` of the generator with seed `seed`.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Uniform in `[a, b)`.
    pub fn between(&mut self, a: f64, b: f64) -> f64 {
        a + (b - a) * fraction(self.0.next_u64())
    }

    /// True once in `1 / probability` times.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.between(0.0, 1.0) < probability
    }

    /// One of `0 .. n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.between(0.0, n as f64) as usize
    }

    /// One of the items given.
    pub fn pick<T: Copy, const N: usize>(&mut self, items: [T; N]) -> T {
        items[self.below(N).min(N - 1)]
    }

    /// A seed for textures.
    pub fn seed(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A colour somewhat lighter or darker, and shifted in hue.
    pub fn vary(&mut self, colour: Rgb, amount: f64) -> Rgb {
        let light = self.between(1.0 - amount, 1.0 + amount);
        colour.map(|v| v * light * self.between(1.0 - amount / 3.0, 1.0 + amount / 3.0))
    }
}

/// Samples per pixel along each side; their mean makes the edges soft.
const SAMPLES: usize = 4;

/// The picture while it is painted, with the samples of each pixel still apart.
pub struct Canvas {
    height: usize,
    width: usize,
    samples: Vec<Rgb>,
}

impl Canvas {
    pub fn new(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            samples: vec![[0.0; 3]; height * width * SAMPLES * SAMPLES],
        }
    }

    /// Half the sides of the picture, of which the shorter is 1.
    pub fn half(&self) -> P2 {
        let shorter = self.height.min(self.width).max(1) as f64;
        [self.width as f64 / shorter, self.height as f64 / shorter]
    }

    /// Paints over the square of half side `reach` around `centre`: `ink` makes the new colour of
    /// a point from the point and the colour that lies there.
    pub fn paint(&mut self, centre: P2, reach: f64, ink: impl Fn(P2, Rgb) -> Rgb) {
        let half = self.half();
        let (rows, columns) = (self.height * SAMPLES, self.width * SAMPLES);
        let step = 2.0 * half[1] / rows.max(1) as f64;
        let span = |axis: usize, n: usize| {
            let place = |at: f64| ((at + half[axis]) / step).clamp(0.0, n as f64) as usize;
            place(centre[axis] - reach)..(place(centre[axis] + reach) + 1).min(n)
        };
        for i in span(1, rows) {
            for j in span(0, columns) {
                let point = [
                    (j as f64 + 0.5) * step - half[0],
                    (i as f64 + 0.5) * step - half[1],
                ];
                let sample = &mut self.samples[i * columns + j];
                *sample = ink(point, *sample);
            }
        }
    }

    /// Paints over everything.
    pub fn cover(&mut self, ink: impl Fn(P2, Rgb) -> Rgb) {
        self.paint([0.0; 2], f64::INFINITY, ink);
    }

    /// The mean light of each pixel, as it is displayed.
    pub fn finish(self) -> Image {
        let mut image = Image::zeros(3, self.height, self.width);
        let n = self.height * self.width;
        let columns = self.width * SAMPLES;
        for i in 0..self.height {
            for j in 0..self.width {
                let mut sum = [0.0; 3];
                for a in 0..SAMPLES {
                    let start = (i * SAMPLES + a) * columns + j * SAMPLES;
                    for sample in &self.samples[start..start + SAMPLES] {
                        sum = along(sum, 1.0, *sample);
                    }
                }
                for (c, light) in sum.into_iter().enumerate() {
                    let mean = (light / (SAMPLES * SAMPLES) as f64).clamp(0.0, 1.0);
                    image.values[c * n + i * self.width + j] = mean.sqrt() as f32;
                }
            }
        }
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_covered_pixel_has_half_the_light() {
        let mut canvas = Canvas::new(1, 2);
        let white = [1.0; 3];
        canvas.cover(|p, under| if p[0] < -1.0 { white } else { under });
        let image = canvas.finish();
        assert_eq!(image.plane(1), [0.5_f32.sqrt(), 0.0]);
    }

    #[test]
    fn painting_stays_within_reach() {
        let mut canvas = Canvas::new(4, 4);
        canvas.paint([0.5, 0.5], 0.2, |_, _| [1.0; 3]);
        let image = canvas.finish();
        assert_eq!(image.plane(0)[0], 0.0);
        assert!(image.plane(0)[10] > 0.0);
    }

    #[test]
    fn turns_are_unit_vectors() {
        assert_eq!(turn(1.0), [0.0, 1.0]);
        let [x, y] = turn(0.3);
        assert!((x * x + y * y - 1.0).abs() < 1e-15);
    }

    #[test]
    fn noise_is_smooth_and_meets_its_grid() {
        assert_eq!(noise(3.0, -2.0, 7), hash(3.0, -2.0, 7));
        assert!((noise(0.3, 0.4, 7) - noise(0.3 + 1e-6, 0.4, 7)).abs() < 1e-5);
        assert_ne!(hash(1.0, 2.0, 3), hash(2.0, 1.0, 3));
    }

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, stream| Dice::new(seed, stream).between(0.0, 1.0);
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
