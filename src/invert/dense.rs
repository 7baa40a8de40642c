//! The singular value decomposition of `W` written out as a matrix: for small sizes, any padding.

use faer::{ColRef, Mat, MatRef};

use super::Operator;
use crate::error::{Error, Result};

/// Matrices of more elements than this are not written out: 32 MiB, a second of work.
pub const LARGEST: usize = 1 << 22;

/// Which of the singular vectors.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    /// The columns of `U`, vectors such as `y`.
    Left,
    /// The columns of `V`, vectors such as `x`.
    Right,
}

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

    /// `to diag(factor(s)) from' x`, where `from` and `to` are `U` or `V`.
    pub(super) fn map(
        &self,
        [from, to]: [Side; 2],
        x: &[f64],
        factor: impl Fn(f64) -> f64,
    ) -> Vec<f64> {
        let [from, to] = [from, to].map(|side| match side {
            Side::Left => &self.u,
            Side::Right => &self.v,
        });
        let mut along = from.transpose() * ColRef::from_slice(x);
        for (c, &s) in along.iter_mut().zip(&self.s) {
            *c *= factor(s);
        }
        (to * along).iter().copied().collect()
    }
}
