//! L-BFGS.

use std::collections::VecDeque;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Inverse;
use super::cg::{divide, dot};
use super::problem::epsilon;
use crate::solve::Solver;

/// The quasi-Newton method of limited memory: the direction is `-H g`, with `H` built from the last
/// `memory` steps by the two-loop recursion. The objective is quadratic, so its line search is exact:
///
/// ```text
/// a = -<g, d> / (||W d||^2 + tikhonov ||d||^2),   x += a d,   g += a (W'W d + tikhonov d)
/// ```
///
/// From a zero start all directions lie in the row space of `W`, as the gradients do, so that it ends
/// at the solution of least norm.
///
/// Source: J. Nocedal and S. Wright, Numerical Optimization, algorithm 7.4.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lbfgs {
    /// How many steps are remembered.
    pub memory: usize,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Self { memory: 10 }
    }
}

/// One remembered step: what `x` and the gradient moved by, and `1 / <s, q>`.
#[derive(Clone, Debug)]
struct Pair {
    s: Tensor<4>,
    q: Tensor<4>,
    rho: Tensor<4>,
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

impl Lbfgs {
    /// `H g` by the two-loop recursion.
    fn direction(&self, state: &LbfgsState) -> Tensor<4> {
        let mut d = state.g.clone();
        let mut along = Vec::with_capacity(state.pairs.len());
        for Pair { s, q, rho } in state.pairs.iter().rev() {
            let a = dot(s, &d) * rho.clone();
            d = d - q.clone() * a.clone();
            along.push(a);
        }
        if let Some(Pair { s, q, .. }) = state.pairs.back() {
            d = d * divide(dot(s, q), dot(q, q));
        }
        for (Pair { s, q, rho }, a) in state.pairs.iter().zip(along.into_iter().rev()) {
            d = d.clone() + s.clone() * (a - dot(q, &d) * rho.clone());
        }
        d
    }
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
        let d = self.direction(state);
        let there = problem.operator.apply(d.clone());
        let curvature = dot(&there, &there) + dot(&d, &d) * problem.tikhonov;
        // What is left of the gradient in the end is rounding, which points anywhere: along the null
        // space nothing would limit the step.
        let at_rest = dot(&state.g, &state.g).lower_equal(state.least.clone());
        let a = divide(dot(&state.g, &d), curvature).mask_fill(at_rest, 0.0);
        let bent = problem.operator.adjoint(there) + d.clone() * problem.tikhonov;
        let (s, q) = (-d * a.clone(), -bent * a);
        state.x = state.x.clone() + s.clone();
        state.g = state.g.clone() + q.clone();
        let rho = dot(&s, &q);
        let rho = divide(rho.ones_like(), rho);
        state.pairs.push_back(Pair { s, q, rho });
        if state.pairs.len() > self.memory {
            state.pairs.pop_front();
        }
    }

    fn codes(&self, state: &LbfgsState) -> Tensor<4> {
        state.x.clone()
    }
}
