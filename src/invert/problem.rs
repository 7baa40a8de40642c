//! The problem that the iterative methods solve, and the evaluation of a solution.

use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Decomposition, Operator};
use crate::error::{Error, Result};
use crate::linop::norm;
use crate::solve::{Evaluate, Point, Quality, Reason, in_double};

/// What is known of `x` beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prior {
    /// `weight sum |x|`: few elements are not zero.
    L1 {
        /// The weight.
        weight: f64,
    },
    /// `weight sum_ij sqrt(sum_c |x[c, i+1, j] - x[c, i, j]|^2 + |x[c, i, j+1] - x[c, i, j]|^2)`: few
    /// edges, which the channels share.
    TotalVariation {
        /// The weight.
        weight: f64,
    },
}

/// Find `x` from `y = W x + noise`:
///
/// ```text
/// min_x  1/2 ||W x - y||^2  +  tikhonov/2 ||x||^2  +  prior(x)
/// ```
#[derive(Clone, Debug)]
pub struct Inverse {
    /// `W`.
    pub operator: Operator,
    /// What is given, `[1, out, H', W']`.
    pub y: Tensor<4>,
    /// Weight of Tikhonov's term.
    pub tikhonov: f64,
    /// The prior, where there is one.
    pub prior: Option<Prior>,
    /// The image sought, where it is known, `[1, in, H, W]`; for reports alone.
    pub truth: Option<Tensor<4>>,
    /// The iterations have converged once the gradient is this share of that at zero.
    pub tolerance: f64,
}

/// How good an `x` is as the solution of an [`Inverse`] problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InverseEvaluation {
    /// What is minimised.
    pub objective: f64,
    /// `||W x - y|| / ||y||`
    pub residual: f64,
    /// The gradient of the objective without its prior, as a share of that at `x = 0`.
    pub gradient: f64,
    /// `||x - truth|| / ||truth||`, where the truth is known.
    pub error: Option<f64>,
}

/// Evaluations without progress after which a run ends, at least half of all: Adam and the primal-dual
/// method do not descend monotonically.
const PATIENCE: usize = 50;

impl Inverse {
    /// Without regularisation; the tolerance is what the numbers allow, 1e-13 in double and 2e-6 in
    /// single precision.
    ///
    /// # Errors
    /// [`Error::Input`] where `y` has another shape than `W` gives, or is not finite.
    pub fn new(operator: Operator, y: Tensor<4>) -> Result<Self> {
        let [c, h, w] = operator.output();
        if y.dims() != [1, c, h, w] {
            let [rows, columns] = operator.shape();
            return Err(Error::Input(format!(
                "y has shape {:?}, but W, {rows} x {columns}, gives [1, {c}, {h}, {w}]",
                y.dims()
            )));
        }
        if y.to_data().iter::<f64>().any(|v| !v.is_finite()) {
            return Err(Error::Input(
                "y holds what is not a finite number; replace it".into(),
            ));
        }
        // Single precision is judged in double, so that its own rounding is all that counts.
        let tolerance = match operator.dtype() {
            DType::F64 => 1e-13,
            _ => 2e-6,
        };
        Ok(Self {
            operator,
            y,
            tikhonov: 0.0,
            prior: None,
            truth: None,
            tolerance,
        })
    }

    /// The same with the truth, for reports.
    pub fn with_truth(mut self, truth: Tensor<4>) -> Self {
        self.truth = Some(truth);
        self
    }

    /// The start of every iteration: zeros, `[1, in, H, W]`.
    pub fn zeros(&self) -> Tensor<4> {
        let [c, h, w] = self.operator.input();
        let options = (&self.operator.device(), self.operator.dtype());
        Tensor::zeros([1, c, h, w], options)
    }

    /// `W'(W x - y) + tikhonov x`, the gradient of all but the prior.
    pub(super) fn gradient(&self, x: Tensor<4>) -> Tensor<4> {
        let residual = self.operator.apply(x.clone()) - self.y.clone();
        self.operator.adjoint(residual) + x * self.tikhonov
    }

    /// The part of the error of `x` that lies in the null space of `W`, as a share of the truth, where
    /// that is known.
    pub fn null_error(&self, x: &Tensor<4>, decomposition: &Decomposition) -> Option<f64> {
        let truth = in_double(self.truth.as_ref()?.clone());
        let [_, columns] = self.operator.shape();
        if decomposition.rank() == columns {
            return Some(0.0);
        }
        let error = in_double(x.clone()) - truth.clone();
        Some(norm(&decomposition.null_part(&error)) / at_least(norm(&truth)))
    }

    /// How good `x` is, in double precision whatever it was found in.
    pub fn fit(&self, x: &Tensor<4>) -> InverseEvaluation {
        let judge = self.judge();
        let judge = judge.as_ref().unwrap_or(self);
        InverseEvaluation::total(&judge.evaluate(in_double(x.clone())))
    }

    /// The same problem in double precision on the CPU.
    pub fn in_double(&self) -> Self {
        Self {
            operator: self.operator.to(&Device::flex(), DType::F64),
            y: in_double(self.y.clone()),
            truth: self.truth.clone().map(in_double),
            ..self.clone()
        }
    }
}

impl Evaluate for Inverse {
    type Quality = InverseEvaluation;

    fn device(&self) -> Device {
        self.operator.device()
    }

    /// Single precision cannot tell how good single precision is.
    fn judge(&self) -> Option<Self> {
        (self.operator.dtype() != DType::F64).then(|| self.in_double())
    }

    fn evaluate(&self, x: Tensor<4>) -> Vec<InverseEvaluation> {
        let residual = self.operator.apply(x.clone()) - self.y.clone();
        let mut gradient = self.operator.adjoint(residual.clone());
        if self.tikhonov != 0.0 {
            gradient = gradient + x.clone() * self.tikhonov;
        }
        let at_zero = norm(&self.operator.adjoint(self.y.clone()));
        let penalty = self.prior.map_or(0.0, |prior| prior.value(&x));
        let (r, size) = (norm(&residual), norm(&x));
        let error = self
            .truth
            .as_ref()
            .map(|truth| norm(&(x.clone() - truth.clone())) / at_least(norm(truth)));
        vec![InverseEvaluation {
            objective: 0.5 * r * r + 0.5 * self.tikhonov * size * size + penalty,
            residual: r / at_least(norm(&self.y)),
            gradient: norm(&gradient) / at_least(at_zero),
            error,
        }]
    }

    fn settled(&self, curve: &[Point<InverseEvaluation>]) -> Option<Reason> {
        let now = curve.last()?;
        // With a prior the gradient of the rest is not zero at the solution.
        if self.prior.is_none() && now.at.gradient <= self.tolerance {
            return Some(Reason::Converged);
        }
        let recent = PATIENCE.max(curve.len() / 2);
        let (before, recent) = curve.split_at(curve.len().checked_sub(recent)?);
        let still = match self.prior {
            Some(_) => {
                let all = || recent.iter().map(|point| point.at.objective);
                let (low, high) = (
                    all().fold(f64::INFINITY, f64::min),
                    all().fold(0.0, f64::max),
                );
                high - low <= 1e-12 * high
            }
            None => {
                let least = |points: &[Point<InverseEvaluation>]| {
                    let all = points.iter().map(|point| point.at.gradient);
                    all.fold(f64::INFINITY, f64::min)
                };
                let before = least(before);
                before.is_finite() && least(recent) > 0.9 * before
            }
        };
        still.then_some(Reason::Rounding)
    }
}

impl Quality for InverseEvaluation {
    fn objective(&self) -> f64 {
        self.objective
    }

    /// There is one image only.
    fn total(each: &[Self]) -> Self {
        each.first().copied().unwrap_or_default()
    }
}

/// The distance from 1 to the next number.
pub(super) fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}

/// Keeps a division finite.
fn at_least(x: f64) -> f64 {
    x.max(f64::MIN_POSITIVE)
}
