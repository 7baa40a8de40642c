//! FISTA: accelerated proximal gradient, the solver that converges.

use std::mem;

use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::coding_solver::CodingSolver;
use super::{Problem, Solver, SparseBatch};
use crate::conv::proximal::{self, Proximal};
use crate::linop::Dot;
use crate::model::Boundary;
use crate::pass::{self, BLOCK, Block, Pass, Use, dot};
use crate::penalty::{Shrink, shrink_by};

/// Accelerated proximal gradient with adaptive restart:
///
/// ```text
/// x' = shrink(v - data_weight R'm(R v - y) / L, sparsity / L),   L >= data_weight max(m) ||R||^2
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
/// A GPU does without: there a step is one kernel, [`proximal::step`].
///
/// Where the penalty has weights, each element has its own threshold, and nothing is carried over.
///
/// `v` is never written down: `R v` follows from `R x`, so that a step takes one product of each kind
/// and one pass over the maps.
///
/// Sources: Beck and Teboulle 2009; O'Donoghue and Candes 2015 (restart).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fista {
    /// An upper bound of `||R||^2`; worked out where absent, see [`Network::squared_norm_bound`](crate::model::Network::squared_norm_bound).
    pub norm: Option<f64>,
}

/// The present maps, those before, the rounding and the momentum.
#[derive(Clone, Debug)]
pub struct FistaState {
    x: Tensor<4>,
    before: Tensor<4>,
    /// What the last step lost by rounding.
    lost: Tensor<4>,
    /// `R x` and `R before`.
    planes: [Tensor<4>; 2],
    /// `[n, 1, 1, 1]`.
    t: Tensor<4>,
    /// `v = x + momentum (x - before)`; `[n, 1, 1, 1]`.
    momentum: Tensor<4>,
    norm: f64,
    /// Of the penalty, where the layer has any.
    weights: Option<Tensor<4>>,
}

impl Solver for Fista {
    type State = FistaState;

    fn init(&self, problem: &Problem, start: Tensor<4>) -> FistaState {
        let [n, ..] = start.dims();
        let [_, _, height, width] = problem.data.dims();
        let like = (&start.device(), start.dtype());
        let planes = problem.network.project(start.clone());
        FistaState {
            t: Tensor::ones([n, 1, 1, 1], like),
            momentum: Tensor::zeros([n, 1, 1, 1], like),
            norm: self
                .norm
                .unwrap_or_else(|| problem.network.squared_norm_bound([height, width]))
                * problem.data.largest_weight(),
            weights: problem.network.top().penalty_weights(&start),
            lost: start.zeros_like(),
            planes: [planes.clone(), planes],
            before: start.clone(),
            x: start,
        }
    }

    fn step(&self, problem: &Problem, state: &mut FistaState) {
        let Problem {
            network,
            data,
            objective,
        } = problem;
        let FistaState {
            x,
            before,
            lost,
            planes: [at, at_before],
            ..
        } = state;
        let momentum = state.momentum.clone();
        let ahead = (at.clone() - at_before.clone()) * momentum.clone();
        let residual = data.residual(at.clone() + ahead);
        let top = network.top();
        let residual = network
            .operator_of(0..network.layers().len() - 1)
            .adjoint(residual);
        // The data weight cancels: step 1 / L times gradient data_weight R'r, L = data_weight norm.
        let by = Proximal {
            length: 1.0 / state.norm,
            weight: objective.sparsity() / (objective.data_weight() * state.norm),
            penalty: objective.penalty(),
        };
        let uphill = if let Some(weights) = &state.weights {
            let v = x.clone() + (x.clone() - before.clone()) * momentum;
            let descended = v.clone() - top.analyze(residual) * by.length;
            let next = shrink_by(descended, weights.clone() * by.weight, by.penalty);
            *before = next.clone();
            Dot::EachImage.of(v - next.clone(), next - x.clone())
        } else if pass::suits(x) || top.boundary != Boundary::Valid {
            // The kernel of a GPU knows maps without margins alone.
            let mut gradient = top.analyze(residual);
            FistaPass::new(by, x.dtype()).run([momentum], [&mut gradient, x, before, lost])
        } else {
            let maps = [x.clone(), before.clone()];
            let filters = top.filters.val();
            let (next, uphill) =
                proximal::step(residual, filters, &top.connectivity, maps, momentum, by);
            *before = next;
            uphill
        };
        mem::swap(x, before);
        *at_before = mem::replace(at, network.project(x.clone()));
        let uphill = uphill.greater_elem(0.0);
        let t = state.t.clone().mask_fill(uphill.clone(), 1.0);
        let next = ((t.clone().square() * 4.0 + 1.0).sqrt() + 1.0) / 2.0;
        // After a restart t = 1, so the momentum (t - 1) / t' is zero.
        state.momentum = (t - 1.0) / next.clone();
        state.t = next.mask_fill(uphill, 1.0);
    }

    fn codes(&self, state: &FistaState) -> Tensor<4> {
        state.x.clone()
    }
}

impl CodingSolver for Fista {
    const WEIGHTS: bool = true;

    fn sparse(&self, problem: &Problem, _: FistaState, codes: &Tensor<4>) -> Option<SparseBatch> {
        SparseBatch::new(problem, codes)
    }
}

/// The step itself. On the gradient `R'(R v - y)`, `x`, the maps before, which become the next, and
/// what was lost by rounding, with the number `momentum`:
///
/// ```text
/// v = x + momentum (x - before)
/// exact = shrink(v + lost - length gradient),  next = exact rounded,  lost' = exact - next
/// sum (v - next) (next - x)
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FistaPass {
    shrink: Shrink,
    length: f64,
    single: bool,
}

impl FistaPass {
    /// For maps of type `dtype`.
    pub fn new(by: Proximal, dtype: DType) -> Self {
        Self {
            shrink: Shrink::new(by.weight, by.penalty),
            length: by.length,
            single: dtype == DType::F32,
        }
    }
}

impl Pass<4, 1> for FistaPass {
    fn uses(&self) -> [Use; 4] {
        [Use::Read, Use::Read, Use::Update, Use::Update]
    }

    #[inline(always)]
    fn block(&self, [momentum]: [f64; 1], blocks: &mut [Block; 4]) -> f64 {
        let [gradient, x, before, lost] = blocks;
        let mut v = [0.0; BLOCK];
        let mut exact = [0.0; BLOCK];
        for i in 0..BLOCK {
            v[i] = x[i] + momentum * (x[i] - before[i]);
            exact[i] = v[i] + lost[i] - self.length * gradient[i];
        }
        self.shrink.apply(&mut exact);
        let mut moved = [0.0; BLOCK];
        for i in 0..BLOCK {
            before[i] = match self.single {
                true => f64::from(exact[i] as f32),
                false => exact[i],
            };
            lost[i] = exact[i] - before[i];
            v[i] -= before[i];
            moved[i] = before[i] - x[i];
        }
        dot(&v, &moved)
    }

    fn plain(
        &self,
        [momentum]: [Tensor<4>; 1],
        [gradient, x, before, lost]: [Tensor<4>; 4],
    ) -> ([Tensor<4>; 4], Tensor<4>) {
        let step = (x.clone() - before) * momentum;
        let v = x.clone() + step.clone();
        let step = step + lost - gradient.clone() * self.length;
        let descended = x.clone() + step.clone();
        let ([next], _) = self.shrink.plain([], [descended.clone()]);
        let moved = next.clone() - x.clone();
        let lost = step - (descended - next.clone()) - moved.clone();
        let uphill = Dot::EachImage.of(v - next.clone(), moved);
        ([gradient, x, next, lost], uphill)
    }
}
