//! The solvers: for the feature maps with filters fixed (inference), and for the filters with maps
//! fixed (the other half of learning).
//!
//! A coding solver is a [`Solver`]: immutable options, a state, and a step. [`drive`] is the loop
//! that runs any of them; it checks every number, the limits and a wish to stop, and always
//! says why it stopped. [`Method`] is the choice among them. A [`Learner`] takes a few steps of one at
//! each visit of some images and checks what they led to. Solvers read no files and print nothing.

mod adam;
mod coding_solver;
mod coordinate_descent;
mod drive;
mod encode;
mod filters;
mod fista;
mod greedy;
mod half_quadratic;
mod ista;
mod lanes;
mod learn;
mod method;
mod moments;
mod pooled_step;
mod tiles;

pub use adam::{Adam, AdamPass};
pub use coding_solver::{CodingSolver, LearnTogether};
pub use coordinate_descent::{CoordinateDescent, CoordinateDescentState, SparseBatch};
use drive::advance;
pub use drive::{Callback, Evaluate, Limits, Point, Quality, Reason, Solved, drive};
pub use encode::{Budget, Encoded, Encoder, Stage};
pub use filters::{Batches, CodedBatch, FilterProblem, FilterStep, OnlineStatistics};
pub use fista::{Fista, FistaPass};
pub use greedy::Pursuit;
pub use half_quadratic::{DirectionPass, HalfQuadratic, LastPass, Schedule, ShrinkPass};
pub use ista::{Ista, IstaState};
pub(crate) use lanes::{vectors, vectors_mut};
pub use learn::{FilterMemory, Learner, Learnt};
pub use method::{Method, SolverName};
pub use moments::Moments;
pub use tiles::{Look, Patches, TileStep, TileStore, TileSums, Tiles, TilesInMemory, TilesSolved};

use burn::tensor::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::model::{DataTerm, Evaluation, Network, Objective};

/// Find the maps `z` of given images with the filters fixed:
/// `min_z data_weight/2 sum m (R z - y)^2 + sparsity sum |z|^p`.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The stack `R`.
    pub network: Network,
    /// The images `y`, `[n, C, H, W]`, and the weights `m` of their pixels.
    pub data: DataTerm,
    /// The weights of the two terms.
    pub objective: Objective,
}

impl Problem {
    /// Images `[n, C, H, W]`, or a [`DataTerm`] of them, under a network of as many planes.
    ///
    /// # Errors
    /// [`Error::Input`] where the images have another number of channels, or the penalty weights for maps of
    /// another size.
    pub fn new(network: Network, data: impl Into<DataTerm>, objective: Objective) -> Result<Self> {
        let data = data.into();
        let planes = network.layers()[0].connectivity.planes();
        if data.dims()[1] != planes {
            return Err(Error::Input(format!(
                "the images {:?} have {} channels, but the network explains {planes}",
                data.dims(),
                data.dims()[1]
            )));
        }
        let [.., height, width] = network.maps_shape(data.dims());
        let weighted = network.top().weighted_size();
        if let Some([h, w]) = weighted.filter(|&size| size != [height, width]) {
            return Err(Error::Input(format!(
                "the weights of the penalty are for maps of {h} x {w}, but those of the images are {height} x {width}"
            )));
        }
        Ok(Self {
            network,
            data,
            objective,
        })
    }

    /// The shape of the maps, `[n, K, ..]`.
    pub fn maps_shape(&self) -> [usize; 4] {
        self.network.maps_shape(self.data.dims())
    }

    /// The same problem in double precision on the CPU, whatever it is solved on: in single
    /// precision, rounding alone can leave a duality gap of 1e-5 of the objective.
    pub fn in_double(&self) -> Self {
        Self {
            network: self.network.map_filters(in_double),
            data: self.data.to(&Device::flex(), DType::F64),
            objective: self.objective,
        }
    }
}

impl Evaluate for Problem {
    type Quality = Evaluation;

    fn device(&self) -> Device {
        self.data.images().device()
    }

    /// A convex problem is evaluated for its certificate, which rounding must not blur.
    fn judge(&self) -> Option<Self> {
        self.objective.is_convex().then(|| self.in_double())
    }

    fn evaluate(&self, codes: Tensor<4>) -> Vec<Evaluation> {
        self.objective.evaluate(&self.network, codes, &self.data)
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

    /// One step. Only [`Ista`] reads numbers back from the device.
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
