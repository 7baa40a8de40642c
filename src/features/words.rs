//! Words: typical descriptors, found by k-means, and codes over them.

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::product::products;
use crate::error::{Error, Result};

/// Rounds of k-means at most, and the share by which the distances must fall for another.
const ROUNDS: usize = 30;
const FALL: f64 = 1e-3;
/// Samples whose distances are worked out at a time.
const PART: usize = 2048;

/// Words of one dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    /// Numbers of each.
    pub dimension: usize,
    /// `[words, dimension]`.
    pub values: Vec<f32>,
    /// The mean squared distance from the samples to their nearest words.
    pub spread: f32,
}

/// A word and its weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Code {
    /// Which word.
    pub word: usize,
    /// How much of it.
    pub weight: f32,
}

impl Words {
    /// The words that make the sum of the squared distances from the samples to their nearest small.
    ///
    /// ```text
    /// minimise sum_i min_k |x_i - w_k|^2
    /// ```
    ///
    /// Lloyd's rounds from words drawn among the samples, each with a chance in proportion to its squared
    /// distance to those drawn before it (k-means++, Arthur and Vassilvitskii 2007). A word that no sample
    /// is nearest to becomes the sample that is farthest from its own.
    ///
    /// # Shapes
    /// samples `[n, dimension]`.
    ///
    /// # Errors
    /// [`Error::Input`] where there are fewer different samples than words, or one is not finite.
    pub fn learn(samples: &[f32], dimension: usize, count: usize, seed: u64) -> Result<Self> {
        let n = samples.len() / dimension.max(1);
        if count == 0 || n < count {
            return Err(Error::Input(format!(
                "{count} words cannot be learnt from {n} descriptors: take fewer words or more images"
            )));
        }
        if samples.iter().any(|v| !v.is_finite()) {
            return Err(Error::Input(
                "a descriptor holds what is no finite number".into(),
            ));
        }
        let mut words = Self {
            dimension,
            values: draw(samples, dimension, count, seed),
            spread: 0.0,
        };
        let mut before = f64::INFINITY;
        for _ in 0..ROUNDS {
            let nearest = words.nearest(samples, 1);
            let sum: f64 = nearest.iter().map(|one| f64::from(one[0].1)).sum();
            words.spread = (sum / n as f64) as f32;
            if sum >= before * (1.0 - FALL) {
                break;
            }
            before = sum;
            words.values = means(samples, dimension, count, &nearest);
        }
        Ok(words)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// For each row the numbers of the nearest words, the nearest first, and the squared distances.
    ///
    /// # Shapes
    /// rows `[n, dimension]`.
    pub fn nearest(&self, rows: &[f32], neighbours: usize) -> Vec<Vec<(usize, f32)>> {
        let square = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>();
        let squares: Vec<f32> = self
            .values
            .chunks_exact(self.dimension)
            .map(square)
            .collect();
        let parts = rows.par_chunks(PART * self.dimension);
        parts
            .flat_map_iter(|rows| {
                let products = products(rows, &self.values, self.dimension);
                let each = rows.chunks_exact(self.dimension);
                let found: Vec<_> = each
                    .zip(products.chunks_exact(squares.len()))
                    .map(|(row, products)| {
                        let distances = squares.iter().zip(products).map(|(s, p)| s - 2.0 * p);
                        let mut found = smallest(distances, neighbours);
                        let own = square(row);
                        found.iter_mut().for_each(|(_, d)| *d = (*d + own).max(0.0));
                        found
                    })
                    .collect();
                found
            })
            .collect()
    }

    /// Each descriptor by its nearest word alone.
    pub fn hard(&self, rows: &[f32]) -> Vec<Vec<Code>> {
        let code = |found: Vec<(usize, f32)>| {
            let word = found[0].0;
            vec![Code { word, weight: 1.0 }]
        };
        self.nearest(rows, 1).into_iter().map(code).collect()
    }

    /// Each descriptor by its nearest words, `d` the distance to each and `s` the [`Words::spread`]:
    ///
    /// ```text
    /// weight = exp(-sharpness d^2 / s) / sum over the neighbours of the same
    /// ```
    pub fn soft(&self, rows: &[f32], neighbours: usize, sharpness: f32) -> Vec<Vec<Code>> {
        let rate = sharpness / self.spread.max(f32::MIN_POSITIVE);
        let code = |found: Vec<(usize, f32)>| {
            let first = found[0].1;
            let weights = found.iter().map(|(_, d)| (rate * (first - d)).exp());
            let sum: f32 = weights.clone().sum();
            let words = found.iter().map(|(word, _)| *word);
            words
                .zip(weights)
                .map(|(word, weight)| Code {
                    word,
                    weight: weight / sum,
                })
                .collect()
        };
        self.nearest(rows, neighbours)
            .into_iter()
            .map(code)
            .collect()
    }
}

/// The places of the smallest few numbers, the smallest first, and of equals the first.
fn smallest(numbers: impl Iterator<Item = f32>, count: usize) -> Vec<(usize, f32)> {
    let mut found: Vec<(usize, f32)> = Vec::with_capacity(count + 1);
    for (at, number) in numbers.enumerate() {
        if found.len() == count && found[count - 1].1 <= number {
            continue;
        }
        let place = found.partition_point(|(_, other)| *other <= number);
        found.insert(place, (at, number));
        found.truncate(count);
    }
    found
}

/// First words by k-means++.
fn draw(samples: &[f32], dimension: usize, count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = samples.len() / dimension;
    let row = |k: usize| &samples[k * dimension..][..dimension];
    let mut distances = vec![f32::INFINITY; n];
    let mut chosen = rng.random_range(0..n);
    let mut words = Vec::with_capacity(count * dimension);
    loop {
        let word = row(chosen);
        words.extend_from_slice(word);
        if words.len() == count * dimension {
            return words;
        }
        let each = samples.par_chunks_exact(dimension).zip(&mut distances);
        each.for_each(|(sample, distance)| {
            let squares = sample.iter().zip(word).map(|(x, w)| (x - w) * (x - w));
            *distance = distance.min(squares.sum());
        });
        let sum: f64 = distances.iter().map(|&d| f64::from(d)).sum();
        let mut left = rng.random::<f64>() * sum;
        let passed = distances.iter().position(|&d| {
            left -= f64::from(d);
            left < 0.0
        });
        // Where all samples are words already, any will do.
        chosen = passed.unwrap_or_else(|| rng.random_range(0..n));
    }
}

/// The means of the samples of each word.
fn means(
    samples: &[f32],
    dimension: usize,
    count: usize,
    nearest: &[Vec<(usize, f32)>],
) -> Vec<f32> {
    let mut sums = vec![0.0_f64; count * dimension];
    let mut counts = vec![0_usize; count];
    for (sample, found) in samples.chunks_exact(dimension).zip(nearest) {
        let word = found[0].0;
        counts[word] += 1;
        let sums = &mut sums[word * dimension..][..dimension];
        for (sum, v) in sums.iter_mut().zip(sample) {
            *sum += f64::from(*v);
        }
    }
    let mut farthest: Vec<usize> = Vec::new();
    if counts.contains(&0) {
        farthest = (0..nearest.len()).collect();
        farthest.sort_by(|&a, &b| nearest[a][0].1.total_cmp(&nearest[b][0].1));
    }
    let each = sums.chunks_exact(dimension).zip(counts);
    each.flat_map(|(sums, n)| match n {
        0 => {
            let sample = farthest.pop().unwrap_or(0);
            samples[sample * dimension..][..dimension].to_vec()
        }
        n => sums.iter().map(|sum| (sum / n as f64) as f32).collect(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points around so many corners.
    fn points(corners: &[[f32; 2]], each: usize) -> Vec<f32> {
        let around = |k: usize| (k * 29 % 17) as f32 / 170.0 - 0.05;
        let all = (0..each * corners.len()).map(|k| {
            let [x, y] = corners[k % corners.len()];
            [x + around(k), y + around(k + 5)]
        });
        all.flatten().collect()
    }

    #[test]
    fn groups_that_lie_apart_are_found() {
        let corners = [[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [5.0, 5.0]];
        for seed in 0..5 {
            let words = Words::learn(&points(&corners, 50), 2, 4, seed).unwrap();
            for corner in corners {
                let (_, distance) = words.nearest(&corner, 1)[0][0];
                assert!(distance < 0.01, "{words:?}");
            }
            assert!(words.spread < 0.01);
        }
    }

    #[test]
    fn words_are_the_means_of_those_nearest_to_them() {
        let samples = points(&[[0.0, 0.0], [0.2, 0.1], [0.1, 0.3]], 100);
        let words = Words::learn(&samples, 2, 5, 1).unwrap();
        let plain = |row: &[f32]| {
            let each = words.values.chunks_exact(2);
            let distances = each.map(|w| (w[0] - row[0]).powi(2) + (w[1] - row[1]).powi(2));
            let all: Vec<f32> = distances.collect();
            let best = (0..5).min_by(|&a, &b| all[a].total_cmp(&all[b])).unwrap();
            (best, all[best])
        };
        let nearest = words.nearest(&samples, 1);
        for (row, found) in samples.chunks_exact(2).zip(&nearest) {
            assert!((plain(row).1 - found[0].1).abs() < 1e-5);
        }
        let moved = means(&samples, 2, 5, &nearest);
        for (word, mean) in words.values.iter().zip(moved) {
            assert!((word - mean).abs() < 0.02, "{word} {mean}");
        }
    }

    #[test]
    fn soft_codes_weigh_the_nearest_most() {
        let words = Words {
            dimension: 1,
            values: vec![0.0, 1.0, 3.0],
            spread: 0.5,
        };
        let codes = words.soft(&[0.4], 2, 1.0);
        let [first, second] = codes[0][..] else {
            panic!("two neighbours")
        };
        assert_eq!((first.word, second.word), (0, 1));
        let ratio = (0.36_f32 / 0.5 - 0.16 / 0.5).exp();
        assert!((first.weight / second.weight - ratio).abs() < 1e-4);
        assert!((first.weight + second.weight - 1.0).abs() < 1e-6);
        let (word, weight) = (2, 1.0);
        assert_eq!(words.hard(&[2.9])[0], [Code { word, weight }]);
    }

    #[test]
    fn too_few_samples_are_refused_and_equal_ones_are_not() {
        let error = Words::learn(&[1.0, 2.0], 1, 3, 0).unwrap_err().to_string();
        says!(error, "3 words", "2 descriptors");
        assert!(Words::learn(&[f32::NAN, 2.0], 1, 1, 0).is_err());
        let equal = Words::learn(&[1.0; 10], 1, 3, 0).unwrap();
        assert_eq!(equal.values, [1.0; 3]);
    }
}
