//! Conjugate gradients on the normal equations.

use burn::tensor::Tensor;

use super::Inverse;
use crate::linop::{divide, dot};
use crate::solve::Solver;

/// Conjugate gradients on `(W'W + tikhonov I) x = W'y`, in the form that never multiplies by `W'W`:
///
/// ```text
/// q = W p,   a = ||s||^2 / (||q||^2 + tikhonov ||p||^2),   x += a p,   r -= a q
/// s' = W'r - tikhonov x,   p' = s' + ||s'||^2 / ||s||^2 p
/// ```
///
/// Source: M. Hestenes and E. Stiefel 1952 (CGLS).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConjugateGradients;

/// `x`, the residual `r`, the direction `p`, and `||s||^2`.
#[derive(Clone, Debug)]
pub struct CgState {
    x: Tensor<4>,
    r: Tensor<4>,
    p: Tensor<4>,
    s_s: Tensor<4>,
}

impl Solver<Inverse> for ConjugateGradients {
    type State = CgState;

    fn init(&self, problem: &Inverse, start: Tensor<4>) -> CgState {
        let r = problem.y.clone() - problem.operator.apply(start.clone());
        let s = problem.operator.adjoint(r.clone()) - start.clone() * problem.tikhonov;
        CgState {
            x: start,
            r,
            s_s: dot(&s, &s),
            p: s,
        }
    }

    fn step(&self, problem: &Inverse, state: &mut CgState) {
        let q = problem.operator.apply(state.p.clone());
        let curvature = dot(&q, &q) + dot(&state.p, &state.p) * problem.tikhonov;
        let a = divide(state.s_s.clone(), curvature);
        state.x = state.x.clone() + state.p.clone() * a.clone();
        state.r = state.r.clone() - q * a;
        let s = problem.operator.adjoint(state.r.clone()) - state.x.clone() * problem.tikhonov;
        let s_s = dot(&s, &s);
        state.p = s + state.p.clone() * divide(s_s.clone(), state.s_s.clone());
        state.s_s = s_s;
    }

    fn codes(&self, state: &CgState) -> Tensor<4> {
        state.x.clone()
    }
}
