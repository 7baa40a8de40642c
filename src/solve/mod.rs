//! The solvers: for the feature maps with filters fixed (inference), and for the filters with maps
//! fixed (the other half of learning).
//!
//! A coding solver is a [`Solver`]: immutable options, a state, and a step. [`drive`] is the loop
//! that runs any of them; it checks every number, the limits and a wish to stop, and always
//! says why it stopped. A [`Learner`] takes a few steps of one at each visit of some images and checks
//! what they led to. Solvers read no files and print nothing.

mod adam;
mod cg;
mod descent;
mod drive;
mod filters;
mod fista;
mod lanczos;
mod learn;
mod split;

pub use adam::{Adam, AdamPass, Moments};
pub use cg::{Dot, conjugate_gradients};
pub use descent::{Descent, DescentState, SparseBatch};
use drive::advance;
pub use drive::{Evaluate, Limits, Point, Quality, Reason, Solved, Watch, drive};
pub use filters::{Batches, FilterProblem, FilterStep, Past};
pub use fista::{Descend, Fista, operator_norm};
pub(crate) use lanczos::largest_eigenvalue;
pub use learn::{FilterMemory, Learner, Learnt};
pub use split::{Arrive, Schedule, Split, Start, Turn};

use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Evaluation, Layer, Network, Objective};

/// Find the maps `z` of given images with the filters fixed:
/// `min_z data_weight/2 ||R z - y||^2 + sparsity sum |z|^p`.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The stack `R`.
    pub network: Network,
    /// The images `y`, `[n, C, H, W]`.
    pub images: Tensor<4>,
    /// The weights.
    pub objective: Objective,
}

impl Problem {
    /// The same problem in double precision on the CPU, whatever it is solved on: in single
    /// precision, rounding alone can leave a duality gap of 1e-5 of the objective.
    pub fn in_double(&self) -> Self {
        let layers = self.network.layers.iter().map(|layer| {
            let filters = in_double(layer.filters.val());
            Layer::new(filters, layer.connectivity.clone())
        });
        Self {
            network: Network::new(layers.collect()),
            images: in_double(self.images.clone()),
            objective: self.objective,
        }
    }
}

impl Evaluate for Problem {
    type Quality = Evaluation;

    fn device(&self) -> Device {
        self.images.device()
    }

    /// Whoever follows a convex problem wants the certificate, not its rounding.
    fn judge(&self) -> Option<Self> {
        self.objective.is_convex().then(|| self.in_double())
    }

    fn evaluate(&self, codes: Tensor<4>) -> Vec<Evaluation> {
        self.objective
            .evaluate(&self.network, codes, self.images.clone())
    }
}

/// A tensor in double precision on the CPU.
pub(crate) fn in_double(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_data(
        x.into_data().convert::<f64>(),
        (&Device::flex(), DType::F64),
    )
}

/// A way to solve a kind of problem, by default to find the maps. `self` holds the options; all that
/// a resume needs is in the state.
pub trait Solver<P = Problem> {
    /// What one step hands to the next.
    type State;

    /// The state at `start`: maps `[n, K, ..]` for the coding problem.
    fn init(&self, problem: &P, start: Tensor<4>) -> Self::State;

    /// One step. Never reads a number back from the device.
    fn step(&self, problem: &P, state: &mut Self::State);

    /// Steps that belong together, which learning counts as one: by default a single one.
    fn round(&self, problem: &P, state: &mut Self::State) {
        self.step(problem, state);
    }

    /// The sparse maps: what the solver would answer if it stopped now.
    fn codes(&self, state: &Self::State) -> Tensor<4>;

    /// The maps that a later call should start from, where those are not the codes.
    fn maps(&self, _state: &Self::State) -> Option<Tensor<4>> {
        None
    }

    /// Whether the solver itself has nothing more to do.
    fn done(&self, _state: &Self::State) -> Option<Reason> {
        None
    }
}

/// The choice of solver for the maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// The x/z alternation of the paper.
    Split(Split),
    /// Burn's Adam, made proximal.
    Adam(Adam),
    /// Accelerated proximal gradient, which converges.
    Fista(Fista),
    /// Coordinate descent, for one layer: the fastest.
    Descent(Descent),
}

impl Method {
    /// The name used by flags, configs, tables and plots.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Split(_) => "split",
            Self::Adam(_) => "adam",
            Self::Fista(_) => "fista",
            Self::Descent(_) => "descent",
        }
    }

    /// Whether the solver can work on so many layers together.
    ///
    /// # Errors
    /// [`Error::Config`] for [`Descent`], which works on one at a time.
    pub fn check(&self, layers: usize) -> Result<()> {
        match self {
            Self::Descent(_) if layers != 1 => Err(Error::Config(
                "descent works on one layer at a time; for several layers together use fista"
                    .into(),
            )),
            Self::Split(_) | Self::Adam(_) | Self::Fista(_) | Self::Descent(_) => Ok(()),
        }
    }

    /// Runs the solver from `start` until a limit or its own end.
    ///
    /// # Errors
    /// [`Error::Numeric`] where the numbers leave the finite range, and those of
    /// [`Method::check`].
    pub fn code(
        &self,
        problem: &Problem,
        start: Tensor<4>,
        limits: &Limits,
        watch: &mut dyn Watch,
    ) -> Result<Solved> {
        self.check(problem.network.layers.len())?;
        match self {
            Self::Split(solver) => drive(solver, problem, start, limits, watch),
            Self::Adam(solver) => drive(solver, problem, start, limits, watch),
            Self::Fista(solver) => drive(solver, problem, start, limits, watch),
            Self::Descent(solver) => drive(solver, problem, start, limits, watch),
        }
    }
}
