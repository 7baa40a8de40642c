//! Adam on the least-squares objective, by autodiff.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Inverse;
use crate::solve::{Adam, Moments, Solver};

/// Burn's Adam on the gradient that Burn's autodiff gives.
///
/// Adam scales every element by itself and so leaves the row space of `W`: where `W` has a null space
/// it ends at one of the many solutions, not at that of least norm. In the row space it looks for
/// `x = W'u` instead, which can be no other, at the price of squaring the condition number:
///
/// ```text
/// min_u  1/2 ||W W'u - y||^2 + tikhonov/2 ||W'u||^2
/// ```
///
/// Source: D. Kingma and J. Ba 2015.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InverseAdam {
    /// Learning rate, in units of `x` (of `u` in the row space).
    pub rate: f64,
    /// Decay of the mean of the gradients.
    pub beta_1: f32,
    /// Decay of the mean of their squares.
    pub beta_2: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
    /// The steps in which the learning rate halves. At a constant rate Adam never comes to rest: as
    /// the gradients shrink, so do their mean squares, until it leaps.
    pub half_life: f64,
    /// Whether to stay in the row space; absent: where `W` has fewer rows than columns.
    pub row_space: Option<bool>,
}

impl Default for InverseAdam {
    fn default() -> Self {
        let Adam {
            rate,
            beta_1,
            beta_2,
            epsilon,
        } = Adam::default();
        Self {
            rate,
            beta_1,
            beta_2,
            epsilon,
            half_life: 500.0,
            row_space: None,
        }
    }
}

/// `x`, or `u` in the row space, and Adam's memory of it.
#[derive(Clone, Debug)]
pub struct InverseAdamState {
    at: Tensor<4>,
    moments: Moments,
    /// `W'u`, where `u` is what moves.
    x: Option<Tensor<4>>,
}

impl Solver<Inverse> for InverseAdam {
    type State = InverseAdamState;

    /// In the row space the start is zero, whatever is given.
    fn init(&self, problem: &Inverse, start: Tensor<4>) -> InverseAdamState {
        let [rows, columns] = problem.operator.shape();
        let in_row_space = self.row_space.unwrap_or(rows < columns);
        let at = match in_row_space {
            true => problem.y.zeros_like(),
            false => start.clone(),
        };
        InverseAdamState {
            moments: Moments::zeros(&at),
            at,
            x: in_row_space.then(|| start.zeros_like()),
        }
    }

    fn step(&self, problem: &Inverse, state: &mut InverseAdamState) {
        let operator = problem.operator.stack().train();
        let at = Tensor::from_inner(state.at.clone()).require_grad();
        let x = match state.x {
            Some(_) => operator.adjoint(at.clone()),
            None => at.clone(),
        };
        let residual = operator.apply(x.clone()) - Tensor::from_inner(problem.y.clone());
        let objective = residual.square().sum() * 0.5 + x.square().sum() * (0.5 * problem.tikhonov);
        let gradient = at.grad(&objective.backward());
        let gradient = gradient.unwrap_or_else(|| state.at.zeros_like());
        let adam = Adam {
            rate: self.rate,
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
        };
        let rate = self.rate * (-(state.moments.time as f64) / self.half_life).exp2();
        let before = state.at.clone();
        (state.at, _) = adam.descend(rate, before, gradient, &mut state.moments);
        if state.x.is_some() {
            state.x = Some(problem.operator.adjoint(state.at.clone()));
        }
    }

    fn codes(&self, state: &InverseAdamState) -> Tensor<4> {
        state.x.clone().unwrap_or_else(|| state.at.clone())
    }
}
