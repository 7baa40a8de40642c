//! The choice of solver for the maps, and what each can do.

use std::str::FromStr;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::coding_solver::{CodingSolver, LearnTogether};
use super::moments::Moments;
use super::{
    Adam, Callback, CoordinateDescent, Fista, HalfQuadratic, Ista, Limits, Point, Problem, Solved,
    Solver, SparseBatch, advance, drive,
};
use crate::error::{Error, Result};
use crate::model::{Boundary, Network};
use crate::named::find;

/// The one list of solvers: variant, type, name.
macro_rules! solvers {
    ($d:tt $($(#[$doc:meta])* $solver:ident = $name:literal,)*) => {
        /// The choice of solver for the maps.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", deny_unknown_fields)]
        pub enum Method {
            $($(#[$doc])* #[serde(rename = $name)] $solver($solver),)*
        }

        /// The solvers by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum SolverName {
            $($(#[$doc])* #[serde(rename = $name)] $solver,)*
        }

        impl SolverName {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$solver),*];

            /// The name used by flags, configs, tables and plots.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$solver => $name,)*
                }
            }

            /// The solver with its usual settings.
            pub fn method(self) -> Method {
                match self {
                    $(Self::$solver => Method::$solver($solver::default()),)*
                }
            }
        }

        $(impl From<$solver> for Method {
            fn from(solver: $solver) -> Self {
                Self::$solver(solver)
            }
        })*

        impl Method {
            /// Which solver it is.
            pub fn solver(&self) -> SolverName {
                match self {
                    $(Self::$solver(_) => SolverName::$solver,)*
                }
            }
        }

        /// An expression in the solver that a [`Method`] holds, and in its type.
        macro_rules! with_solver {
            ($d method:expr, |$d solver:ident: $d Type:ident| $d body:expr) => {
                match $d method {
                    $(Method::$solver($d solver) => {
                        #[allow(dead_code)]
                        type $d Type = $solver;
                        $d body
                    })*
                }
            };
        }
    };
}

solvers! { $
    /// The x/z alternation of the paper.
    HalfQuadratic = "split",
    /// Burn's Adam, made proximal.
    Adam = "adam",
    /// Accelerated proximal gradient, which converges.
    Fista = "fista",
    /// Coordinate descent on a working set, for one layer: the fastest.
    CoordinateDescent = "descent",
    /// Proximal gradient with 3-D pooling, for the adaptive form.
    Ista = "ista",
}

/// The solver of the paper.
impl Default for SolverName {
    fn default() -> Self {
        Self::HalfQuadratic
    }
}

impl FromStr for SolverName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        find("solver", name, Self::ALL, Self::name)
    }
}

/// What a visit of a batch gives a learner.
pub(super) struct Coded {
    /// The sparse maps.
    pub codes: Tensor<4>,
    /// The maps to start from at the next visit.
    pub maps: Tensor<4>,
    /// The elements of both, where they are the same and sparse.
    pub sparse: Option<SparseBatch>,
}

impl Method {
    /// The name used by flags, configs, tables and plots.
    pub fn name(&self) -> &'static str {
        self.solver().name()
    }

    /// Whether the solver can work on so many layers together.
    ///
    /// # Errors
    /// [`Error::Config`] for one that works on a single layer at a time.
    pub fn check(&self, layers: usize) -> Result<()> {
        match with_solver!(self, |_solver: S| S::STACKS) || layers == 1 {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "{} works on one layer at a time; for several layers together use fista",
                self.name()
            ))),
        }
    }

    /// Whether the solver pools the maps of the top layer of a stack.
    pub fn pools(&self) -> bool {
        with_solver!(self, |_solver: S| S::POOLS)
    }

    /// Whether the solver can work on this network.
    ///
    /// # Errors
    /// As [`Method::check`], and for a solver that does not pool the maps of the top layer where that
    /// has windows, or takes no weights of the penalty where it has those.
    pub(crate) fn check_network(&self, network: &Network) -> Result<()> {
        self.check(network.layers().len())?;
        if network.top().has_penalty_weights() && !self.takes_weights() {
            return Err(Error::Config(format!(
                "{} takes no weights of the penalty for maps or elements; use descent or fista",
                self.name()
            )));
        }
        let boundary = network.boundary();
        if boundary != Boundary::Valid && !with_solver!(self, |_solver: S| S::BOUNDARIES) {
            return Err(Error::Config(format!(
                "{} knows the boundary valid alone, not {}; use fista or descent",
                self.name(),
                boundary.name()
            )));
        }
        match self.pools() || network.top().pool.is_none() {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "{} does not pool the maps that it finds; for layers with pool use ista",
                self.name()
            ))),
        }
    }

    /// See [`CodingSolver::WEIGHTS`].
    pub fn takes_weights(&self) -> bool {
        with_solver!(self, |_solver: S| S::WEIGHTS)
    }

    /// See [`CodingSolver::SEPARATE_MAPS`].
    pub fn has_separate_maps(&self) -> bool {
        with_solver!(self, |_solver: S| S::SEPARATE_MAPS)
    }

    /// See [`CodingSolver::RESTARTS`].
    pub fn restarts(&self) -> bool {
        with_solver!(self, |_solver: S| S::RESTARTS)
    }

    /// See [`CodingSolver::EVERY`].
    pub fn usual_every(&self) -> usize {
        with_solver!(self, |_solver: S| S::EVERY)
    }

    /// The same solver with the settings that a short text stands for, see [`CodingSolver::variant`].
    ///
    /// # Errors
    /// [`Error::Config`] where there is no such variant.
    pub fn variant(self, text: &str) -> Result<Self> {
        let name = self.name();
        with_solver!(self, |solver: S| solver.variant(name, text).map(Self::from))
    }

    /// Runs the solver from `start` until a limit or its own end.
    ///
    /// # Errors
    /// [`Error::Numeric`] where the numbers leave the finite range, [`Error::Backend`] where the device
    /// fails, and those of [`Method::check`].
    pub fn code(
        &self,
        problem: &Problem,
        start: Tensor<4>,
        limits: &Limits,
        callback: &mut dyn Callback<Point>,
    ) -> Result<Solved> {
        self.check_network(&problem.network)?;
        with_solver!(self, |solver: S| drive(
            solver, problem, start, limits, callback
        ))
    }

    /// The maps of a batch after so many rounds, none of them evaluated.
    pub(super) fn advance(
        &self,
        problem: &Problem,
        start: Tensor<4>,
        rounds: usize,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Coded> {
        self.check_network(&problem.network)?;
        Ok(with_solver!(self, |solver: S| {
            let state = advance(solver, problem, start, rounds, interrupted);
            let codes = solver.codes(&state);
            Coded {
                maps: solver.maps(&state).unwrap_or_else(|| codes.clone()),
                sparse: solver.sparse(problem, state, &codes),
                codes,
            }
        }))
    }

    /// See [`CodingSolver::learn_together`].
    pub(super) fn learn_together(
        &self,
        how: &LearnTogether,
        problem: &Problem,
        maps: &Tensor<4>,
        moments: &mut Vec<Moments>,
    ) -> Option<(Tensor<4>, Network)> {
        with_solver!(self, |solver: S| solver
            .learn_together(how, problem, maps, moments))
    }
}
