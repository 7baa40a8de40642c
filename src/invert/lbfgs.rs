//! L-BFGS.

use std::collections::VecDeque;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Inverse;
use super::problem::epsilon;
use crate::linop::{divide, dot};
use crate::solve::Solver;

/// The quasi-Newton method of limited memory: the direction is `-d = -H g`, with `H` built from the
/// last `memory` steps by the two-loop recursion. The objective is quadratic, so its line search is
/// exact:
///
/// ```text
/// a = <g, d> / (||W d||^2 + tikhonov ||d||^2),   x -= a d,   g -= a (W'W d + tikhonov d)
/// ```
///
/// Under an exact search its steps are those of [`super::ConjugateGradients`] but for rounding,
/// whatever the memory, so that it needs as many of them: many, where `W` is badly conditioned.
///
/// From a zero start all directions lie in the row space of `W`, as the gradients do, so that it ends
/// at the solution of least norm.
///
/// Source: J. Nocedal and S. Wright, Numerical Optimization, algorithm 7.4; section 7.2 for conjugate
/// gradients as the case of an exact search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lbfgs {
    /// How many steps are remembered.
    pub memory: usize,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Self { memory: 5 }
    }
}

/// One remembered step: what `x` and the gradient moved by, and `<s, q>`.
#[derive(Clone, Debug)]
struct Pair {
    s: Tensor<4>,
    q: Tensor<4>,
    s_q: Tensor<4>,
}

/// `x`, the gradient and the remembered steps, the latest last.
#[derive(Clone, Debug)]
pub struct LbfgsState {
    x: Tensor<4>,
    g: Tensor<4>,
    pairs: VecDeque<Pair>,
    /// The square of the length at which the gradient is rounding.
    least: Tensor<4>,
}

/// `H g` by the two-loop recursion.
fn direction(state: &LbfgsState) -> Tensor<4> {
    let mut d = state.g.clone();
    let mut along = Vec::with_capacity(state.pairs.len());
    for Pair { s, q, s_q } in state.pairs.iter().rev() {
        let a = divide(dot(s, &d), s_q.clone());
        d = d - q.clone() * a.clone();
        along.push(a);
    }
    if let Some(Pair { q, s_q, .. }) = state.pairs.back() {
        d = d * divide(s_q.clone(), dot(q, q));
    }
    for (Pair { s, q, s_q }, a) in state.pairs.iter().zip(along.into_iter().rev()) {
        let b = divide(dot(q, &d), s_q.clone());
        d = d + s.clone() * (a - b);
    }
    d
}

impl Solver<Inverse> for Lbfgs {
    type State = LbfgsState;

    fn init(&self, problem: &Inverse, start: Tensor<4>) -> LbfgsState {
        let g = problem.gradient(start.clone());
        let share = epsilon(problem.operator.dtype());
        LbfgsState {
            least: dot(&g, &g) * (share * share),
            g,
            x: start,
            pairs: VecDeque::new(),
        }
    }

    fn step(&self, problem: &Inverse, state: &mut LbfgsState) {
        let d = direction(state);
        let there = problem.operator.apply(d.clone());
        let mut curvature = dot(&there, &there);
        let mut bent = problem.operator.adjoint(there);
        if problem.tikhonov > 0.0 {
            curvature = curvature + dot(&d, &d) * problem.tikhonov;
            bent = bent + d.clone() * problem.tikhonov;
        }
        // What is left of the gradient in the end is rounding, which points anywhere: along the null
        // space nothing would limit the step.
        let at_rest = dot(&state.g, &state.g).lower_equal(state.least.clone());
        let a = divide(dot(&state.g, &d), curvature.clone()).mask_fill(at_rest, 0.0);
        let (s, q) = (d * -a.clone(), bent * -a.clone());
        state.x = state.x.clone() + s.clone();
        state.g = state.g.clone() + q.clone();
        let s_q = curvature * a.square();
        state.pairs.push_back(Pair { s, q, s_q });
        if state.pairs.len() > self.memory {
            state.pairs.pop_front();
        }
    }

    fn codes(&self, state: &LbfgsState) -> Tensor<4> {
        state.x.clone()
    }
}
