//! Feature vectors and their products of either kind.

use pulp::Arch;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::products;
use crate::named::named;

/// Lanes that sums are kept apart in.
const LANES: usize = 16;
/// Numbers of a vector that are worked on for all pairs before the next, so that they stay in the cache.
const BLOCK: usize = 1024;
/// Rows that a thread works on at a time.
const ROWS: usize = 32;

named! {
    /// How alike two vectors are.
    #[derive(Default)]
    pub enum Kernel: "kernel" {
        /// `sum_k x_k y_k`
        Linear = "linear",
        /// `sum_k min(x_k, y_k)`, for histograms; of what is below 0 nothing is known.
        #[default]
        Intersection = "intersection",
    }
}

/// Vectors of one dimension, all finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    values: Vec<f32>,
    dimension: usize,
}

impl Vectors {
    /// # Shapes
    /// values `[n, dimension]`.
    ///
    /// # Errors
    /// [`Error::Input`] for values that are no whole number of vectors, or not finite.
    pub fn new(values: Vec<f32>, dimension: usize) -> Result<Self> {
        if dimension == 0 || !values.len().is_multiple_of(dimension) {
            return Err(Error::Input(format!(
                "{} numbers are no whole number of vectors of {dimension}",
                values.len()
            )));
        }
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(Self { values, dimension }),
            Some(at) => Err(Error::Input(format!(
                "the vector {} holds {} at {} (counted from 0): replace it by a finite number, or leave the \
                 vector out",
                at / dimension,
                values[at],
                at % dimension
            ))),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers of each.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// All numbers, `[n, dimension]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Some of them.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn rows(&self, rows: &[usize]) -> Self {
        let picked = rows
            .iter()
            .flat_map(|&row| &self.values[row * self.dimension..][..self.dimension]);
        Self {
            values: picked.copied().collect(),
            dimension: self.dimension,
        }
    }

    /// The kernel of each of these with each of the others: `[n, others]`.
    ///
    /// # Errors
    /// [`Error::Input`] for vectors of another dimension, and for what is below 0 under
    /// [`Kernel::Intersection`].
    pub fn kernel(&self, kernel: Kernel, others: &Self) -> Result<Vec<f32>> {
        if self.dimension != others.dimension {
            return Err(Error::Input(format!(
                "vectors of {} numbers cannot be compared with those of {}: make the features of both in the \
                 same way",
                self.dimension, others.dimension
            )));
        }
        if kernel == Kernel::Linear {
            return Ok(products(&self.values, &others.values, self.dimension));
        }
        if self.values.iter().chain(&others.values).any(|&v| v < 0.0) {
            return Err(Error::Input(
                "the intersection kernel is for features of 0 and above, and some are below: take the linear \
                 one"
                .into(),
            ));
        }
        let (d, n) = (self.dimension, others.len());
        let mut out = vec![0.0; self.len() * n];
        let parts = out
            .par_chunks_mut(ROWS * n)
            .zip(self.values.par_chunks(ROWS * d));
        parts.for_each(|(out, rows)| {
            Arch::new().dispatch(|| intersect(out, rows, &others.values, d))
        });
        Ok(out)
    }

    /// The kernel of all pairs of these: `[n, n]`.
    ///
    /// # Errors
    /// As [`Self::kernel`].
    pub fn gram(&self, kernel: Kernel) -> Result<Vec<f32>> {
        self.kernel(kernel, self)
    }
}

/// Adds the intersections of all pairs of rows.
#[inline(always)]
fn intersect(out: &mut [f32], rows: &[f32], others: &[f32], d: usize) {
    let n = others.len() / d;
    for begin in (0..d).step_by(BLOCK) {
        let block = begin..d.min(begin + BLOCK);
        for (k, other) in others.chunks_exact(d).enumerate() {
            for (i, row) in rows.chunks_exact(d).enumerate() {
                out[i * n + k] += intersection(&row[block.clone()], &other[block.clone()]);
            }
        }
    }
}

#[inline(always)]
fn intersection(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += if a[lane] < b[lane] { a[lane] } else { b[lane] };
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a.min(*b));
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(n: usize, d: usize, seed: usize) -> Vectors {
        let number = |k: usize| ((k * 31 + seed) * 7919 % 613) as f32 / 613.0;
        Vectors::new((0..n * d).map(number).collect(), d).unwrap()
    }

    #[test]
    fn kernels_are_those_of_a_plain_loop() {
        let (a, b) = (vectors(70, 1500, 1), vectors(9, 1500, 2));
        for kernel in Kernel::ALL {
            let found = a.kernel(kernel, &b).unwrap();
            for (k, found) in found.iter().enumerate() {
                let pairs = a
                    .rows(&[k / 9])
                    .values
                    .into_iter()
                    .zip(b.rows(&[k % 9]).values);
                let wanted: f64 = pairs
                    .map(|(x, y)| {
                        f64::from(if kernel == Kernel::Linear {
                            x * y
                        } else {
                            x.min(y)
                        })
                    })
                    .sum();
                assert!(
                    (f64::from(*found) - wanted).abs() < 1e-4 * wanted,
                    "{found} {wanted}"
                );
            }
        }
    }

    #[test]
    fn vectors_that_cannot_be_used_are_refused() {
        let error = Vectors::new(vec![0.0, 1.0, 2.0, f32::NAN], 2)
            .unwrap_err()
            .to_string();
        assert!(error.contains("vector 1 holds NaN at 1"), "{error}");
        assert!(Vectors::new(vec![0.0; 5], 2).is_err());
        let other = vectors(2, 3, 0).gram(Kernel::Linear).unwrap();
        assert_eq!(other.len(), 4);
        let error = vectors(2, 3, 0)
            .kernel(Kernel::Linear, &vectors(2, 4, 0))
            .unwrap_err();
        assert!(error.to_string().contains("of 3 numbers"));
        let below = Vectors::new(vec![-1.0, 1.0], 1).unwrap();
        assert!(below.gram(Kernel::Intersection).is_err() && below.gram(Kernel::Linear).is_ok());
    }
}
