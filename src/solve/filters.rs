//! The filters of one layer with the maps fixed: a least-squares problem.

use std::cell::RefCell;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::lanczos::largest_eigenvalue;
use super::{Dot, SparseBatch, conjugate_gradients};
use crate::conv;
use crate::error::Result;
use crate::model::{Constraint, FeatureMaps, Network};

/// Hands every batch of top maps and images, one after the other, to the function given.
pub type Batches<'a> =
    dyn Fn(&mut dyn FnMut(Tensor<4>, Tensor<4>) -> Result<()>) -> Result<()> + 'a;

/// Find the filters of layer `layer` of a stack with all maps and the other layers fixed:
/// `min_f 1/2 sum over images ||R(f) z - y||^2`, linear in `f`.
///
/// The images may be more than fit in memory: they come batch by batch, several times.
pub struct FilterProblem<'a> {
    /// The stack.
    pub network: &'a Network,
    /// The layer whose filters are sought.
    pub layer: usize,
    /// The maps and images.
    pub batches: &'a Batches<'a>,
    /// The same maps and images where those are one sparse batch of one layer, which is faster.
    pub sparse: Option<&'a SparseBatch>,
    /// What the filters have to satisfy.
    pub constraint: Constraint,
}

/// How the filters are found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FilterStep {
    /// Conjugate gradients on the least squares, then the constraint (the authors' tool).
    LeastSquares {
        /// Steps.
        cg: usize,
    },
    /// Accelerated gradient steps, each followed by the constraint: a descent for `unit-ball`.
    ProjectedGradient {
        /// Steps.
        steps: usize,
    },
}

impl FilterProblem<'_> {
    /// The filters after one update, starting from the present ones; zero where unconnected.
    ///
    /// # Shapes
    /// `[planes, maps, h, w]`.
    ///
    /// # Errors
    /// Those of reading a batch.
    pub fn solve(&self, step: FilterStep) -> Result<Tensor<4>> {
        let filters = self.network.layers[self.layer].filters.val();
        let data = match self.sparse {
            Some(sparse) => sparse.data(),
            None => self.sum(|maps, images| self.gradient(maps, images))?,
        };
        match step {
            FilterStep::LeastSquares { cg } => {
                let found = self.with_normal(|apply| {
                    conjugate_gradients(apply, data, filters, cg, Dot::Whole)
                })?;
                Ok(self.constraint.project(found))
            }
            FilterStep::ProjectedGradient { steps } => {
                self.projected_gradient(filters, data, steps)
            }
        }
    }

    /// Accelerated projected gradient with restart, step 1 / L by Lanczos steps.
    fn projected_gradient(
        &self,
        filters: Tensor<4>,
        data: Tensor<4>,
        steps: usize,
    ) -> Result<Tensor<4>> {
        // Not from the data: an eigenvector that the images ignore would stay unseen.
        let start = FeatureMaps::start(filters.dims(), 1.0, 0, &filters.device());
        let start = start.cast(filters.dtype());
        let norm = 1.1 * self.with_normal(|apply| largest_eigenvalue(apply, start, 6))?;
        // Also the momentum stays on the device: a number read back would make every step wait for it.
        let mut t: Tensor<4> = Tensor::ones([1; 4], (&filters.device(), filters.dtype()));
        let (mut x, mut v) = (filters.clone(), filters);
        for _ in 0..steps {
            let gradient = self.normal(&v)? - data.clone();
            let next = self.constraint.project(v.clone() - gradient / norm);
            let moved = next.clone() - x;
            let uphill = Dot::Whole
                .of(v - next.clone(), moved.clone())
                .greater_elem(0.0);
            let t_next = ((t.clone().square() * 4.0 + 1.0).sqrt() + 1.0) / 2.0;
            let momentum = ((t - 1.0) / t_next.clone()).mask_fill(uphill.clone(), 0.0);
            v = next.clone() + moved * momentum;
            t = t_next.mask_fill(uphill, 1.0);
            x = next;
        }
        Ok(x)
    }

    /// Lends the normal operator to a solver whose operators cannot fail: the first failure is kept
    /// for after it.
    fn with_normal<T>(
        &self,
        solve: impl FnOnce(&dyn Fn(Tensor<4>) -> Tensor<4>) -> T,
    ) -> Result<T> {
        let failure = RefCell::new(None);
        let solved = solve(&|filters| {
            self.normal(&filters).unwrap_or_else(|error| {
                failure.borrow_mut().get_or_insert(error);
                filters.zeros_like()
            })
        });
        failure.into_inner().map_or(Ok(solved), Err)
    }

    /// The normal operator, `f -> A'A f`, `A f = R(f) z`.
    fn normal(&self, filters: &Tensor<4>) -> Result<Tensor<4>> {
        if let Some(sparse) = self.sparse {
            return Ok(sparse.normal(filters));
        }
        let g = &self.network.layers[self.layer].connectivity;
        let below = self.network.part(0..self.layer);
        self.sum(|maps, _| {
            let planes = conv::synthesize(self.own(maps.clone()), filters.clone(), g);
            self.gradient(maps, below.project(planes))
        })
    }

    /// `A' r`.
    fn gradient(&self, maps: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        let below = self.network.part(0..self.layer);
        let g = &self.network.layers[self.layer].connectivity;
        conv::filter_gradient(self.own(maps), below.lift(residual), g)
    }

    /// The maps of the layer itself, from those of the top.
    fn own(&self, top: Tensor<4>) -> Tensor<4> {
        let layers = self.network.layers.len();
        self.network.part(self.layer + 1..layers).project(top)
    }

    fn sum(&self, term: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>) -> Result<Tensor<4>> {
        let mut sum = self.network.layers[self.layer].filters.val().zeros_like();
        (self.batches)(&mut |maps, images| {
            sum = sum.clone() + term(maps, images);
            Ok(())
        })?;
        Ok(sum)
    }
}
