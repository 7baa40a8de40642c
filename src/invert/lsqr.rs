//! LSQR: the pseudo-inverse without a matrix.

use burn::tensor::Tensor;

use super::Inverse;
use super::cg::{divide, dot};
use crate::solve::Solver;

/// The least-squares solution of least norm by Golub-Kahan bidiagonalisation, started from zero
/// whatever the start given: what [`super::Decomposition::solve`] finds by a decomposition.
///
/// In exact arithmetic its iterates are those of [`super::ConjugateGradients`]; it is the more accurate
/// of the two where `W` is badly conditioned.
///
/// Source: C. Paige and M. Saunders, LSQR, ACM TOMS 1982; `damp^2` there is `tikhonov` here.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lsqr;

/// The iterate, the two Lanczos vectors, the direction, and the scalars of the paper.
#[derive(Clone, Debug)]
pub struct LsqrState {
    x: Tensor<4>,
    u: Tensor<4>,
    v: Tensor<4>,
    w: Tensor<4>,
    alpha: Tensor<4>,
    rho_bar: Tensor<4>,
    phi_bar: Tensor<4>,
}

impl Solver<Inverse> for Lsqr {
    type State = LsqrState;

    fn init(&self, problem: &Inverse, start: Tensor<4>) -> LsqrState {
        let (u, beta) = unit(problem.y.clone());
        let (v, alpha) = unit(problem.operator.adjoint(u.clone()));
        LsqrState {
            x: start.zeros_like(),
            u,
            w: v.clone(),
            v,
            rho_bar: alpha.clone(),
            alpha,
            phi_bar: beta,
        }
    }

    fn step(&self, problem: &Inverse, state: &mut LsqrState) {
        let operator = &problem.operator;
        let ahead = operator.apply(state.v.clone()) - state.u.clone() * state.alpha.clone();
        let (u, beta) = unit(ahead);
        let back = operator.adjoint(u.clone()) - state.v.clone() * beta.clone();
        let (v, alpha) = unit(back);
        // The damping is rotated away first, then the element below the diagonal.
        let damped = (state.rho_bar.clone().square() + problem.tikhonov).sqrt();
        let phi_bar = state.phi_bar.clone() * divide(state.rho_bar.clone(), damped.clone());
        let rho = (damped.clone().square() + beta.clone().square()).sqrt();
        let (cosine, sine) = (divide(damped, rho.clone()), divide(beta, rho.clone()));
        let theta = sine.clone() * alpha.clone();
        let phi = cosine.clone() * phi_bar.clone();
        state.x = state.x.clone() + state.w.clone() * divide(phi, rho.clone());
        state.w = v.clone() - state.w.clone() * divide(theta, rho);
        state.rho_bar = -cosine * alpha.clone();
        state.phi_bar = sine * phi_bar;
        state.u = u;
        state.v = v;
        state.alpha = alpha;
    }

    fn codes(&self, state: &LsqrState) -> Tensor<4> {
        state.x.clone()
    }
}

/// The vector of length 1 and the length; zeros stay zeros.
fn unit(x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let length = dot(&x, &x).sqrt();
    let scale = divide(length.ones_like(), length.clone());
    (x * scale, length)
}
