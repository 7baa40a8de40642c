//! The primal-dual method for the two priors.

use burn::tensor::Tensor;

use super::{Inverse, Prior, variation};
use crate::linop::largest_eigenvalue;
use crate::pass::suits;
use crate::solve::Solver;

/// The problem with a prior, by the primal-dual method of Chambolle and Pock with `K = (W, D)`, where
/// `D` is the identity for L1 and the gradient for the total variation:
///
/// ```text
/// x' = (x - t (W'p + D'q)) / (1 + t tikhonov),   v = 2 x' - x
/// p' = (p + s_1 (W v - y)) / (1 + s_1),          q' = clip(q + s_2 D v, weight)
/// ```
///
/// with `t (s_1 ||W||^2 + s_2 ||D||^2) <= 1`; `clip` shortens what is longer than the weight. Without a
/// prior it solves the plain problem.
///
/// Source: A. Chambolle and T. Pock 2011.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PrimalDual;

/// The image, the two duals and the three step lengths.
#[derive(Clone, Debug)]
pub struct PrimalDualState {
    x: Tensor<4>,
    p: Tensor<4>,
    q: Option<Tensor<4>>,
    tau: f64,
    sigma: [f64; 2],
}

impl Solver<Inverse> for PrimalDual {
    type State = PrimalDualState;

    fn init(&self, problem: &Inverse, start: Tensor<4>) -> PrimalDualState {
        let part = problem.operator.part();
        let operator = part.as_ref().unwrap_or(&problem.operator);
        let [c, h, w] = operator.input();
        let random = operator.tensor(super::noise(c * h * w, 0), [1, c, h, w]);
        let square = |x| operator.adjoint(operator.apply(x));
        // Lanczos steps approach it from below, and so does a part of the image.
        let margin = if part.is_some() { 1.1 } else { 1.05 };
        let of_w = margin * largest_eigenvalue(square, random, 20);
        // Half of the budget each. The dual of the prior lives on the scale of its weight, that of the
        // data on the scale of the residual, both far smaller than the image.
        let tau = STRETCH / of_w.sqrt();
        let q = problem
            .prior
            .map(|prior| prior.transform(&start).zeros_like());
        let of_d = problem.prior.map_or(1.0, |prior| prior.norm());
        PrimalDualState {
            p: problem.y.zeros_like(),
            q,
            x: start,
            tau,
            sigma: [0.5 / (tau * of_w), 0.5 / (tau * of_d)],
        }
    }

    fn step(&self, problem: &Inverse, state: &mut PrimalDualState) {
        match suits(&state.x) {
            true => step_in_memory(problem, state),
            false => step_by_tensors(problem, state),
        }
    }

    fn codes(&self, state: &PrimalDualState) -> Tensor<4> {
        state.x.clone()
    }
}

fn step_in_memory(problem: &Inverse, state: &mut PrimalDualState) {
    let operator = &problem.operator;
    let [s_1, s_2] = state.sigma;
    let force = operator.adjoint(state.p.clone());
    let dual = problem.prior.zip(state.q.as_mut());
    let numbers = [state.tau, problem.tikhonov];
    let v = variation::primal(&mut state.x, force, dual, numbers);
    let there = operator.apply(v.clone());
    variation::data_dual(&mut state.p, there, &problem.y, s_1);
    if let (Some(prior), Some(q)) = (problem.prior, &mut state.q) {
        variation::prior_dual(prior, q, v, s_2);
    }
}

fn step_by_tensors(problem: &Inverse, state: &mut PrimalDualState) {
    let operator = &problem.operator;
    let mut force = operator.adjoint(state.p.clone());
    if let (Some(prior), Some(q)) = (problem.prior, &state.q) {
        force = force + prior.adjoint(q.clone());
    }
    let x = (state.x.clone() - force * state.tau) / (1.0 + state.tau * problem.tikhonov);
    let v = x.clone() * 2.0 - state.x.clone();
    let [s_1, s_2] = state.sigma;
    let residual = operator.apply(v.clone()) - problem.y.clone();
    state.p = (state.p.clone() + residual * s_1) / (1.0 + s_1);
    if let (Some(prior), Some(q)) = (problem.prior, &state.q) {
        state.q = Some(prior.clip(q.clone() + prior.transform(&v) * s_2));
    }
    state.x = x;
}

/// How much longer the steps of the image are than balanced ones.
const STRETCH: f64 = 3.0;

impl Prior {
    /// The weight.
    pub fn weight(self) -> f64 {
        match self {
            Self::L1 { weight } | Self::TotalVariation { weight } => weight,
        }
    }

    /// What it adds to the objective.
    pub fn value(self, x: &Tensor<4>) -> f64 {
        if let Self::TotalVariation { weight } = self
            && suits(x)
        {
            return weight * variation::total_variation(x);
        }
        let magnitudes = self.magnitude(self.transform(x));
        let rows = magnitudes.sum_dim(3).into_data();
        self.weight() * rows.iter::<f64>().sum::<f64>()
    }

    /// `D x`: for the total variation the differences downwards, then those to the right, of every
    /// channel, 0 at the last row or column; `[1, C, H, W]` -> `[1, 2 C, H, W]`.
    fn transform(self, x: &Tensor<4>) -> Tensor<4> {
        match self {
            Self::L1 { .. } => x.clone(),
            Self::TotalVariation { .. } => {
                Tensor::cat(vec![differences(x, 2), differences(x, 3)], 1)
            }
        }
    }

    /// `D' q`.
    fn adjoint(self, q: Tensor<4>) -> Tensor<4> {
        match self {
            Self::L1 { .. } => q,
            Self::TotalVariation { .. } => {
                let planes = q.dims()[1] / 2;
                gathered(q.clone().narrow(1, 0, planes), 2)
                    + gathered(q.narrow(1, planes, planes), 3)
            }
        }
    }

    /// An upper bound of `||D||^2`.
    fn norm(self) -> f64 {
        match self {
            Self::L1 { .. } => 1.0,
            Self::TotalVariation { .. } => 8.0,
        }
    }

    /// The lengths that the prior sums: of every element, or of all differences at a pixel.
    fn magnitude(self, q: Tensor<4>) -> Tensor<4> {
        match self {
            Self::L1 { .. } => q.abs(),
            Self::TotalVariation { .. } => q.square().sum_dim(1).sqrt(),
        }
    }

    /// Shortens what is longer than the weight.
    fn clip(self, q: Tensor<4>) -> Tensor<4> {
        let weight = self.weight();
        if weight == 0.0 {
            return q.zeros_like();
        }
        let excess = (self.magnitude(q.clone()) / weight).clamp_min(1.0);
        q / excess
    }
}

/// `x[i + 1] - x[i]` along an axis, 0 at the end.
fn differences(x: &Tensor<4>, dim: usize) -> Tensor<4> {
    let length = x.dims()[dim];
    let last = x.clone().narrow(dim, length - 1, 1);
    let ahead = match length {
        1 => last,
        _ => Tensor::cat(vec![x.clone().narrow(dim, 1, length - 1), last], dim),
    };
    ahead - x.clone()
}

/// The adjoint of [`differences`]: `q[i - 1] - q[i]`, with 0 before the first and for the last `q`.
fn gathered(q: Tensor<4>, dim: usize) -> Tensor<4> {
    let length = q.dims()[dim];
    if length == 1 {
        return q.zeros_like();
    }
    let counted = q.narrow(dim, 0, length - 1);
    let zero = counted.clone().narrow(dim, 0, 1).zeros_like();
    Tensor::cat(vec![zero.clone(), counted.clone()], dim) - Tensor::cat(vec![counted, zero], dim)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::invert::{Kernel, Operator, Padding, noise};

    /// The largest difference of two tensors.
    fn apart(a: &Tensor<4>, b: &Tensor<4>) -> f64 {
        (a.clone() - b.clone()).abs().max().into_scalar()
    }

    #[test]
    fn steps_in_memory_are_those_of_tensors() {
        let blur = Kernel::Gaussian {
            sigma: 1.0,
            size: Some(3),
        };
        for ([c, h, w], dtype, rounding) in [
            ([3, 7, 9], DType::F64, 1e-13),
            ([2, 5, 4], DType::F32, 1e-5),
            ([1, 3, 40], DType::F64, 1e-13),
        ] {
            let device = Device::flex();
            let filters = blur.filters(c).unwrap().tensor(&device, dtype);
            let operator = Operator::new(filters, [1, 1], Padding::Reflect, [c, h, w]).unwrap();
            let y = operator.tensor(noise(c * h * w, 1), [1, c, h, w]);
            for weight in [0.0, 0.05, 10.0] {
                for prior in [
                    None,
                    Some(Prior::L1 { weight }),
                    Some(Prior::TotalVariation { weight }),
                ] {
                    let problem = Inverse {
                        prior,
                        tikhonov: 0.1,
                        ..Inverse::new(operator.clone(), y.clone()).unwrap()
                    };
                    let mut a = PrimalDual.init(&problem, problem.zeros());
                    let mut b = a.clone();
                    for _ in 0..5 {
                        step_in_memory(&problem, &mut a);
                        step_by_tensors(&problem, &mut b);
                    }
                    let apart = apart(&a.x, &b.x).max(apart(&a.p, &b.p));
                    assert!(apart <= rounding, "{prior:?}: {apart:e}");
                    if let (Some(prior), Some(q), Some(r)) = (prior, &a.q, &b.q) {
                        assert!(
                            (q.clone() - r.clone()).abs().max().into_scalar::<f64>() <= rounding
                        );
                        let lengths = prior.magnitude(prior.transform(&a.x)).sum();
                        let value = weight * lengths.into_scalar::<f64>();
                        let found = prior.value(&a.x);
                        assert!((found - value).abs() <= rounding * (1.0 + 100.0 * value));
                    }
                }
            }
        }
    }
}
