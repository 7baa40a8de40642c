//! One machine for each class, and the choice of how much errors weigh.

use rayon::prelude::*;

use super::kernel::{Kernel, Vectors};
use super::{Dual, accuracy, learn};
use crate::error::{Error, Result};
use crate::features::products;

/// How far the optimality conditions may be missed.
const TOLERANCE: f32 = 1e-2;
/// Weights of errors that are tried.
const WEIGHTS: [f32; 6] = [0.1, 0.3, 1.0, 3.0, 10.0, 100.0];
/// Of the vectors of each class, one in so many is held back for the choice.
const HELD_BACK: usize = 3;

/// A machine for each class: that of the largest value tells the class.
///
/// ```text
/// f_c(x) = sum_i w_ci (K(x_i, x) / scale + 1)
/// ```
///
/// with `x_i` the [`Classifier::support`] and `scale` the mean of `K(x, x)` over training vectors, so that the
/// same weights of errors suit features of any size. A linear machine has one such vector for each class.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    /// The kernel.
    pub kernel: Kernel,
    /// The vectors that others are compared with.
    pub support: Vectors,
    /// `[classes, support]`
    pub weights: Vec<f32>,
    /// Of each class.
    pub thresholds: Vec<f32>,
    /// What kernels are divided by.
    pub scale: f32,
}

/// How much errors weigh, and what was tried.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Choice {
    /// The one chosen.
    pub c: f32,
    /// Each that was tried, and the mean of the class accuracies on what was held back.
    pub tried: Vec<(f32, f64)>,
}

/// The kernel of all pairs over its mean diagonal, and that.
fn scaled(vectors: &Vectors, kernel: Kernel) -> Result<(Vec<f32>, f32)> {
    let mut gram = vectors.gram(kernel)?;
    let n = vectors.len();
    let sum: f64 = (0..n).map(|i| f64::from(gram[i * n + i])).sum();
    let scale = (sum / n.max(1) as f64) as f32;
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Error::Input(
            "all features of all images to learn from are zero: there is nothing to tell classes apart by".into(),
        ));
    }
    gram.iter_mut().for_each(|k| *k /= scale);
    Ok((gram, scale))
}

fn machines(gram: &[f32], labels: &[usize], classes: usize, c: f32) -> Vec<Dual> {
    let each = (0..classes).into_par_iter().map(|class| {
        let positive: Vec<bool> = labels.iter().map(|&label| label == class).collect();
        learn(gram, &positive, c, TOLERANCE)
    });
    each.collect()
}

/// Chooses the weight of errors by a third of the training vectors of each class, which the other two thirds
/// are to tell; the smallest of equals. Where a class has fewer than two it is 10.
///
/// # Errors
/// Those of [`Vectors::kernel`], and [`Error::Input`] where all vectors are zero.
pub fn choose(
    vectors: &Vectors,
    labels: &[usize],
    classes: usize,
    kernel: Kernel,
) -> Result<Choice> {
    let (gram, _) = scaled(vectors, kernel)?;
    let n = labels.len();
    let mut seen = vec![0; classes];
    let (mut held, mut kept) = (Vec::new(), Vec::new());
    for (row, &label) in labels.iter().enumerate() {
        seen[label] += 1;
        let is_held = seen[label] % HELD_BACK == HELD_BACK - 1;
        if is_held { &mut held } else { &mut kept }.push(row);
    }
    if seen.iter().any(|&n| n < 2) {
        let c = 10.0;
        return Ok(Choice {
            c,
            tried: Vec::new(),
        });
    }
    let part = |rows: &[usize], columns: &[usize]| -> Vec<f32> {
        let each = rows
            .iter()
            .flat_map(|&i| columns.iter().map(move |&j| i * n + j));
        each.map(|at| gram[at]).collect()
    };
    let labels_of =
        |rows: &[usize]| -> Vec<usize> { rows.iter().map(|&row| labels[row]).collect() };
    let (between, others) = (part(&kept, &kept), part(&held, &kept));
    let (kept_labels, held_labels) = (labels_of(&kept), labels_of(&held));
    let mut tried: Vec<(f32, f64)> = Vec::new();
    for c in WEIGHTS {
        let duals = machines(&between, &kept_labels, classes, c);
        let weights: Vec<f32> = duals
            .iter()
            .flat_map(|dual| &dual.weights)
            .copied()
            .collect();
        let thresholds: Vec<f32> = duals.iter().map(|dual| dual.weights.iter().sum()).collect();
        let values = values(&others, &weights, &thresholds, kept.len(), 1.0);
        let told = largest(&values, classes);
        tried.push((c, accuracy(&held_labels, &told, classes).mean));
    }
    let best = tried.iter().fold(
        (0.0, -1.0),
        |best, one| if one.1 > best.1 { *one } else { best },
    );
    Ok(Choice { c: best.0, tried })
}

/// The value of each machine for each row of a kernel with `n` vectors.
fn values(kernel: &[f32], weights: &[f32], thresholds: &[f32], n: usize, scale: f32) -> Vec<f32> {
    let mut values = products(kernel, weights, n);
    for row in values.chunks_exact_mut(thresholds.len()) {
        for (value, threshold) in row.iter_mut().zip(thresholds) {
            *value = *value / scale + threshold;
        }
    }
    values
}

/// The place of the largest value in each row, of equals the first.
fn largest(values: &[f32], classes: usize) -> Vec<usize> {
    let better =
        |row: &[f32], best: usize, class: usize| if row[class] > row[best] { class } else { best };
    let rows = values.chunks_exact(classes);
    rows.map(|row| (0..classes).fold(0, |best, class| better(row, best, class)))
        .collect()
}

impl Classifier {
    /// Learns a machine for each class, at the weight `c` of errors.
    ///
    /// # Errors
    /// As [`choose`].
    pub fn learn(
        vectors: &Vectors,
        labels: &[usize],
        classes: usize,
        kernel: Kernel,
        c: f32,
    ) -> Result<Self> {
        let (gram, scale) = scaled(vectors, kernel)?;
        let duals = machines(&gram, labels, classes, c);
        drop(gram);
        let thresholds = duals.iter().map(|dual| dual.weights.iter().sum()).collect();
        let weights: Vec<f32> = duals
            .iter()
            .flat_map(|dual| &dual.weights)
            .copied()
            .collect();
        let whole = Self {
            kernel,
            support: vectors.clone(),
            weights,
            thresholds,
            scale,
        };
        Ok(match kernel {
            Kernel::Linear => whole.folded(),
            Kernel::Intersection => whole,
        })
    }

    /// A linear machine with one vector for each class, `w_c = sum_i w_ci x_i`.
    fn folded(self) -> Self {
        let (n, d) = (self.support.len(), self.support.dimension());
        let classes = self.thresholds.len();
        let support: Vec<f32> = self
            .weights
            .par_chunks_exact(n)
            .flat_map_iter(|weights| {
                let mut sum = vec![0.0_f32; d];
                let rows = self.support.values().chunks_exact(d);
                for (row, &weight) in rows.zip(weights).filter(|(_, weight)| **weight != 0.0) {
                    sum.iter_mut().zip(row).for_each(|(s, v)| *s += weight * v);
                }
                sum
            })
            .collect();
        let own = |k: usize| {
            if k.is_multiple_of(classes + 1) {
                1.0
            } else {
                0.0
            }
        };
        Self {
            support: Vectors::new(support, d).unwrap_or(self.support),
            weights: (0..classes * classes).map(own).collect(),
            ..self
        }
    }

    /// Classes that it knows.
    pub fn classes(&self) -> usize {
        self.thresholds.len()
    }

    /// The value of the machine of each class for each vector, `[n, classes]`.
    ///
    /// # Errors
    /// [`Error::Input`] for vectors of another dimension than those it was learnt from.
    pub fn values(&self, vectors: &Vectors) -> Result<Vec<f32>> {
        let kernel = vectors.kernel(self.kernel, &self.support)?;
        let n = self.support.len();
        Ok(values(
            &kernel,
            &self.weights,
            &self.thresholds,
            n,
            self.scale,
        ))
    }

    /// The class of each vector: that of the largest value.
    ///
    /// # Errors
    /// As [`Self::values`].
    pub fn classify(&self, vectors: &Vectors) -> Result<Vec<usize>> {
        Ok(largest(&self.values(vectors)?, self.classes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups of histograms, each with its own bins.
    fn groups(each: usize) -> (Vectors, Vec<usize>) {
        let labels: Vec<usize> = (0..3 * each).map(|k| k % 3).collect();
        let rows = labels.iter().enumerate().flat_map(|(k, &label)| {
            (0..12).map(move |bin| {
                let noise = (k * 7919 + bin * 104_729) % 97;
                noise as f32 / 97.0 + if bin / 4 == label { 0.4 } else { 0.0 }
            })
        });
        (Vectors::new(rows.collect(), 12).unwrap(), labels)
    }

    #[test]
    fn groups_are_told_apart_under_both_kernels() {
        let (vectors, labels) = groups(60);
        let training: Vec<usize> = (0..90).collect();
        let test: Vec<usize> = (90..180).collect();
        for kernel in Kernel::ALL {
            let learnt = vectors.rows(&training);
            let choice = choose(&learnt, &labels[..90], 3, kernel).unwrap();
            assert_eq!(choice.tried.len(), WEIGHTS.len());
            let classifier =
                Classifier::learn(&learnt, &labels[..90], 3, kernel, choice.c).unwrap();
            let told = classifier.classify(&vectors.rows(&test)).unwrap();
            let mean = accuracy(&labels[90..], &told, 3).mean;
            assert!(mean > 0.9, "{kernel:?}: {mean} {choice:?}");
        }
    }

    #[test]
    fn the_size_of_features_changes_nothing() {
        let (vectors, labels) = groups(20);
        // By a power of two, so that nothing is rounded otherwise.
        let larger = vectors.values().iter().map(|v| 1024.0 * v).collect();
        let larger = Vectors::new(larger, 12).unwrap();
        for kernel in Kernel::ALL {
            let values = |vectors: &Vectors| {
                let classifier = Classifier::learn(vectors, &labels, 3, kernel, 1.0).unwrap();
                classifier.values(vectors).unwrap()
            };
            assert_eq!(values(&vectors), values(&larger));
        }
    }

    #[test]
    fn nothing_to_learn_from_is_told() {
        let zeros = Vectors::new(vec![0.0; 8], 2).unwrap();
        let error = choose(&zeros, &[0, 1, 0, 1], 2, Kernel::Linear).unwrap_err();
        assert!(error.to_string().contains("zero"));
    }
}
