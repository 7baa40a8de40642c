//! The x/z alternation of the paper: half-quadratic splitting with a growing weight beta.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Dot, Problem, Reason, Solver, conjugate_gradients};
use crate::penalty;

/// How beta grows: `start, start * growth, ..`, `steps` values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// The first beta.
    pub start: f64,
    /// What each beta is multiplied by to give the next.
    pub growth: f64,
    /// How many values.
    pub steps: usize,
}

impl Default for Schedule {
    /// The authors' tool: 1, 10, .., 1e5.
    fn default() -> Self {
        Self {
            start: 1.0,
            growth: 10.0,
            steps: 6,
        }
    }
}

impl Schedule {
    /// Beta number `step`, from 0.
    pub fn beta(&self, step: usize) -> f64 {
        self.start * self.growth.powi(step as i32)
    }
}

/// The alternation: with an auxiliary copy `x` of the maps,
///
/// ```text
/// min_{x, z}  data_weight/2 ||R z - y||^2 + beta/2 ||z - x||^2 + sparsity sum |x|^p
/// ```
///
/// One step is one beta: `x = shrink(z)`, then a few conjugate gradients on
/// `(data_weight R'R + beta I) z = data_weight R'y + beta x` from the present `z`.
/// The answer is `x`, which is sparse; `z`, which fits the image better, is what goes on.
///
/// It ends with the schedule, above the least objective unless beta grows slowly.
///
/// Source: Zeiler et al. 2010, section 3.1; the defaults are those of the authors' tool.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Split {
    /// The values of beta.
    pub schedule: Schedule,
    /// Conjugate gradient steps on `z` for each beta.
    pub cg: usize,
}

impl Default for Split {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            cg: 2,
        }
    }
}

/// `x`, `z` and the place in the schedule.
#[derive(Clone, Debug)]
pub struct SplitState {
    x: Tensor<4>,
    z: Tensor<4>,
    /// `data_weight R'y`, which every step needs.
    data: Tensor<4>,
    step: usize,
}

impl Solver for Split {
    type State = SplitState;

    fn init(&self, problem: &Problem, start: Tensor<4>) -> SplitState {
        let data = problem.network.lift(problem.images.clone()) * problem.objective.data_weight;
        SplitState {
            x: start.clone(),
            z: start,
            data,
            step: 0,
        }
    }

    fn step(&self, problem: &Problem, state: &mut SplitState) {
        let Problem {
            network, objective, ..
        } = problem;
        let beta = self.schedule.beta(state.step);
        state.x = penalty::shrink(state.z.clone(), objective.sparsity / beta, objective.p);
        state.z = conjugate_gradients(
            |z| network.lift(network.project(z.clone())) * objective.data_weight + z * beta,
            state.data.clone() + state.x.clone() * beta,
            state.z.clone(),
            self.cg,
            Dot::EachImage,
        );
        state.step += 1;
    }

    fn codes(&self, state: &SplitState) -> Tensor<4> {
        state.x.clone()
    }

    fn maps(&self, state: &SplitState) -> Tensor<4> {
        state.z.clone()
    }

    fn done(&self, state: &SplitState) -> Option<Reason> {
        (state.step >= self.schedule.steps).then_some(Reason::Schedule)
    }
}
