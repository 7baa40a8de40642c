//! What a solver for the maps can do.

use burn::tensor::Tensor;

use super::moments::Moments;
use super::{Problem, Solver, SparseBatch};
use crate::error::{Error, Result};
use crate::model::{Constraint, Network};

/// What a solver for the maps can do beyond its steps; the defaults are what most of them answer.
pub trait CodingSolver: Solver + Sized {
    /// Whether it works on several layers together.
    const STACKS: bool = true;
    /// Whether it pools the maps of the top layer, where that has windows.
    const POOLS: bool = false;
    /// Whether elements of the maps may have weights of their own in the penalty.
    const WEIGHTS: bool = false;
    /// Whether it knows other boundaries than 'valid'.
    const BOUNDARIES: bool = true;
    /// Whether the maps that go on are others than the codes, see [`Solver::maps`].
    const SEPARATE_MAPS: bool = false;
    /// Whether every visit of an image begins its schedule anew, so that a second one adds nothing.
    const RESTARTS: bool = false;
    /// Steps between two evaluations that suit it.
    const EVERY: usize = 10;

    /// The settings that a short text stands for, such as a learning rate.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no such variant.
    fn variant(self, name: &str, text: &str) -> Result<Self> {
        Err(Error::Config(format!(
            "{name} has no variant '{text}'; write {name} alone"
        )))
    }

    /// The elements of its codes, where they are sparse and at hand.
    fn sparse(&self, _: &Problem, _: Self::State, _: &Tensor<4>) -> Option<SparseBatch> {
        None
    }

    /// Moves maps and filters together, for a solver that learns both at once.
    fn learn_together(
        &self,
        _: &LearnTogether,
        _: &Problem,
        _: &Tensor<4>,
        _: &mut Vec<Moments>,
    ) -> Option<(Tensor<4>, Network)> {
        None
    }
}

/// How maps and filters are moved together.
#[derive(Clone, Copy, Debug)]
pub struct LearnTogether {
    /// Steps on each visit of a batch.
    pub steps: usize,
    /// The learning rate of the filters.
    pub filter_rate: f64,
    /// What the filters have to satisfy.
    pub constraint: Constraint,
}
