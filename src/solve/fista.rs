//! FISTA: accelerated proximal gradient, the solver that converges.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::lanczos::largest_eigenvalue;
use super::{Dot, Problem, Solver};
use crate::model::{FeatureMaps, Network};
use crate::penalty;

/// Accelerated proximal gradient with adaptive restart:
///
/// ```text
/// x' = shrink(v - data_weight R'(R v - y) / L, sparsity / L),   L >= data_weight ||R||^2
/// v' = x' + (t - 1) / t' (x' - x),   t' = (1 + sqrt(1 + 4 t^2)) / 2
/// ```
///
/// Each image of a batch has its own momentum, which starts anew whenever it points uphill,
/// `<v - x', x' - x> > 0`. For p = 1 it converges to the least objective; for p < 1,
/// where that is not known to hold, it is a heuristic that settles in practice.
///
/// Near the optimum the moves are smaller than the rounding of the maps, the sooner the larger `L`
/// is. What rounding loses of one is carried over to the next (Kahan summation); without that, in
/// single precision, the duality gap stays above 1e-5 of the objective where filters are much alike.
///
/// Sources: Beck and Teboulle 2009; O'Donoghue and Candes 2015 (restart).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fista {
    /// The step bound `L / data_weight`; estimated by Lanczos steps where absent.
    pub norm: Option<f64>,
}

/// The present maps, the extrapolated ones, the rounding and the momentum.
#[derive(Clone, Debug)]
pub struct FistaState {
    x: Tensor<4>,
    v: Tensor<4>,
    /// What the last step lost by rounding.
    lost: Tensor<4>,
    /// `[n, 1, 1, 1]`.
    t: Tensor<4>,
    norm: f64,
}

impl Solver for Fista {
    type State = FistaState;

    fn init(&self, problem: &Problem, start: Tensor<4>) -> FistaState {
        let n = start.dims()[0];
        FistaState {
            t: Tensor::ones([n, 1, 1, 1], (&start.device(), start.dtype())),
            norm: self
                .norm
                .unwrap_or_else(|| operator_norm(&problem.network, problem.images.dims())),
            lost: start.zeros_like(),
            v: start.clone(),
            x: start,
        }
    }

    fn step(&self, problem: &Problem, state: &mut FistaState) {
        let Problem {
            network,
            images,
            objective,
        } = problem;
        let residual = network.project(state.v.clone()) - images.clone();
        let step = state.lost.clone() - network.lift(residual) / state.norm;
        let descended = state.v.clone() + step.clone();
        // The data weight cancels: step 1 / L times gradient data_weight R'r, L = data_weight norm.
        let weight = objective.sparsity / (objective.data_weight * state.norm);
        let away = penalty::shrinkage(descended.clone(), weight, objective.p);
        let x = descended - away.clone();
        let moved = x.clone() - state.x.clone();
        let uphill = Dot::EachImage
            .of(state.v.clone() - x.clone(), moved.clone())
            .greater_elem(0.0);
        let t = state.t.clone().mask_fill(uphill.clone(), 1.0);
        let next = ((t.clone().square() * 4.0 + 1.0).sqrt() + 1.0) / 2.0;
        // After a restart t = 1, so the momentum (t - 1) / t' is zero.
        let momentum = moved * ((t - 1.0) / next.clone());
        let v = x.clone() + momentum.clone();
        // What v was to move by, small and thus exact, and what it moved by.
        state.lost = step - away + momentum - (v.clone() - state.v.clone());
        state.v = v;
        state.t = next.mask_fill(uphill, 1.0);
        state.x = x;
    }

    fn codes(&self, state: &FistaState) -> Tensor<4> {
        state.x.clone()
    }
}

/// An upper estimate of `||R||^2`, the largest eigenvalue of `R'R`, by Lanczos steps from a fixed
/// start, with 5 % to spare: they approach it from below.
///
/// `images` is the shape `[n, C, H, W]`; one image is enough, all have the same operator.
pub fn operator_norm(network: &Network, images: [usize; 4]) -> f64 {
    let filters = network.top().filters.val();
    let [_, c, h, w] = images;
    let shape = network.maps_shape([1, c, h, w]);
    let start = FeatureMaps::start(shape, 1.0, 0, &filters.device()).cast(filters.dtype());
    1.05 * largest_eigenvalue(|z| network.lift(network.project(z)), start, 20)
}
