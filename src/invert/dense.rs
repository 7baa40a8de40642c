//! The singular value decomposition of `W` written out as a matrix: for small sizes, any padding.

use faer::{Mat, MatRef};

use super::Operator;
use crate::error::{Error, Result};

/// Matrices of more elements than this are not written out: 32 MiB, a second of work.
pub const LARGEST: usize = 1 << 22;

/// `W = U diag(s) V'`, the thin form.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    u: Mat<f64>,
    s: Vec<f64>,
    v: Mat<f64>,
}

impl Dense {
    /// Whether the matrix is small enough.
    pub(super) fn fits(operator: &Operator) -> bool {
        let [rows, columns] = operator.shape();
        rows.saturating_mul(columns) <= LARGEST
    }

    /// # Errors
    /// [`Error::Numeric`] where the decomposition does not converge.
    pub(super) fn new(operator: &Operator) -> Result<Self> {
        let [rows, columns] = operator.shape();
        let matrix = operator.matrix();
        let matrix = MatRef::from_row_major_slice(&matrix, rows, columns);
        let svd = matrix.thin_svd().map_err(|error| {
            Error::Numeric(format!(
                "the singular values of the {rows} x {columns} matrix cannot be found: {error:?}; \
                 scale the filters to ordinary sizes"
            ))
        })?;
        Ok(Self {
            u: svd.U().to_owned(),
            s: svd.S().column_vector().iter().copied().collect(),
            v: svd.V().to_owned(),
        })
    }

    /// The singular values, the largest first.
    pub(super) fn singular_values(&self) -> &[f64] {
        &self.s
    }

    /// `V diag(factor(s)) U' y`.
    pub(super) fn solve(&self, y: &[f64], factor: impl Fn(f64) -> f64) -> Vec<f64> {
        let along: Vec<f64> = project(&self.u, y)
            .into_iter()
            .zip(&self.s)
            .map(|(c, &s)| factor(s) * c)
            .collect();
        combine(&self.v, &along)
    }

    /// The part of `x` in the span of the right singular vectors whose values `keep` takes: the row
    /// space of `W`.
    pub(super) fn row_part(&self, x: &[f64], keep: impl Fn(f64) -> bool) -> Vec<f64> {
        combine(&self.v, &kept(project(&self.v, x), &self.s, keep))
    }

    /// The part of `y` in the span of the left singular vectors whose values `keep` takes: the range
    /// of `W`.
    pub(super) fn range_part(&self, y: &[f64], keep: impl Fn(f64) -> bool) -> Vec<f64> {
        combine(&self.u, &kept(project(&self.u, y), &self.s, keep))
    }
}

/// The coefficients along singular vectors that are kept, the others zero.
fn kept(mut along: Vec<f64>, s: &[f64], keep: impl Fn(f64) -> bool) -> Vec<f64> {
    for (c, &s) in along.iter_mut().zip(s) {
        if !keep(s) {
            *c = 0.0;
        }
    }
    along
}

/// `basis' x`: one number for each column.
fn project(basis: &Mat<f64>, x: &[f64]) -> Vec<f64> {
    basis
        .col_iter()
        .map(|column| column.iter().zip(x).map(|(b, x)| b * x).sum())
        .collect()
}

/// `basis c`.
fn combine(basis: &Mat<f64>, coefficients: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; basis.nrows()];
    for (column, &c) in basis.col_iter().zip(coefficients) {
        for (s, b) in sum.iter_mut().zip(column.iter()) {
            *s += c * b;
        }
    }
    sum
}
