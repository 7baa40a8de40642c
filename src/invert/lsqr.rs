//! LSQR: the pseudo-inverse without a matrix.

use burn::tensor::Tensor;

use super::Inverse;
use crate::linop::{Bidiagonalisation, divide};
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

/// The iterate, the bidiagonalisation, the direction, and the scalars of the paper.
#[derive(Clone, Debug)]
pub struct LsqrState {
    x: Tensor<4>,
    at: Bidiagonalisation,
    w: Tensor<4>,
    rho_bar: Tensor<4>,
    phi_bar: Tensor<4>,
}

impl Solver<Inverse> for Lsqr {
    type State = LsqrState;

    fn init(&self, problem: &Inverse, start: Tensor<4>) -> LsqrState {
        let at = Bidiagonalisation::new(problem.y.clone(), |r| problem.operator.adjoint(r));
        LsqrState {
            x: start.zeros_like(),
            w: at.v.clone(),
            rho_bar: at.alpha.clone(),
            phi_bar: at.beta.clone(),
            at,
        }
    }

    fn step(&self, problem: &Inverse, state: &mut LsqrState) {
        let operator = &problem.operator;
        let at = &mut state.at;
        at.step(|x| operator.apply(x), |r| operator.adjoint(r));
        let (alpha, beta) = (at.alpha.clone(), at.beta.clone());
        // The damping is rotated away first, then the element below the diagonal.
        let damped = (state.rho_bar.clone().square() + problem.tikhonov).sqrt();
        let phi_bar = state.phi_bar.clone() * divide(state.rho_bar.clone(), damped.clone());
        let rho = (damped.clone().square() + beta.clone().square()).sqrt();
        let (cosine, sine) = (divide(damped, rho.clone()), divide(beta, rho.clone()));
        let theta = sine.clone() * alpha.clone();
        let phi = cosine.clone() * phi_bar.clone();
        state.x = state.x.clone() + state.w.clone() * divide(phi, rho.clone());
        state.w = at.v.clone() - state.w.clone() * divide(theta, rho);
        state.rho_bar = -cosine * alpha;
        state.phi_bar = sine * phi_bar;
    }

    fn codes(&self, state: &LsqrState) -> Tensor<4> {
        state.x.clone()
    }
}
