//! The filters of one layer with the maps fixed: a least-squares problem.

use std::cell::RefCell;

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::SparseBatch;
use crate::backend::is_cpu;
use crate::conv;
use crate::error::Result;
use crate::group::Group;
use crate::linop::{Dot, conjugate_gradients, largest_eigenvalue};
use crate::model::{Constraint, DataTerm, FeatureMaps, Network};
use crate::pooling::Switches;

/// Top maps and images of a batch, with the switches of the layers below where maps are pooled between
/// layers, see [`Network::at`].
pub struct CodedBatch {
    /// The maps of the top layer, `[n, K, ..]`; where that is pooled, with at most one element that is not
    /// zero in each window.
    pub maps: Tensor<4>,
    /// The images.
    pub data: DataTerm,
    /// Of each pooled layer below the top, the image side first, and of the top where they are known.
    pub switches: Vec<Switches>,
}

impl From<(Tensor<4>, DataTerm)> for CodedBatch {
    /// Of a stack without pooling.
    fn from((maps, data): (Tensor<4>, DataTerm)) -> Self {
        Self {
            maps,
            data,
            switches: Vec::new(),
        }
    }
}

/// Hands every batch, one after the other, to the function given.
pub type Batches<'a> = dyn Fn(&mut dyn FnMut(CodedBatch) -> Result<()>) -> Result<()> + 'a;

/// Find the filters of layer `layer` of a stack with all maps and the other layers fixed:
/// `min_f 1/2 sum over images of sum m (R(f) z - y)^2`, linear in `f`; for an online learner plus the
/// quadratic of its [`OnlineStatistics`] around the present filters.
///
/// The images may be more than fit in memory: they come batch by batch, several times. They may also be
/// shared among a group: then every member solves the same problem, whose sums run over all, and a batch
/// that cannot be read by one has to end the others.
pub struct FilterProblem<'a> {
    /// The stack.
    pub network: &'a Network,
    /// The layer whose filters are sought.
    pub layer: usize,
    /// The maps and images.
    pub batches: &'a Batches<'a>,
    /// The same maps and images where those are one sparse batch of one layer, which is faster.
    pub sparse: Option<&'a SparseBatch>,
    /// What batches that are gone said of the filters; none where these are all there is.
    pub statistics: Option<&'a OnlineStatistics>,
    /// What the filters have to satisfy.
    pub constraint: Constraint,
    /// Those who have other maps and images of the same problem, and get the same filters.
    pub group: &'a Group,
}

/// What the batches of an online learner leave behind: of the quadratic that each was in the filters
/// of a layer, the diagonal,
///
/// ```text
/// 1/2 sum_k h[k] ||f[., k] - f0[., k]||^2,      h = (1 - 1/t)^FORGET h + e,    e[k] = ||z[k]||^2
/// ```
///
/// around the filters `f0` that they led to, which are the layer's own; `z` the maps of batch `t`, those of an image by
/// the mean weight of its pixels. A number for each map, however many images there were. Filters move the less the more their maps have been used;
/// early batches, coded with filters that knew nothing, are forgotten.
///
/// Sources: Mairal, Bach, Ponce and Sapiro 2010 (surrogates and forgetting), of which this is the
/// diagonal; Liu, Garcia-Cardona, Wohlberg and Yin 2018 (online convolutional learning).
#[derive(Module, Debug)]
pub struct OnlineStatistics {
    /// `h`, `[1, maps, 1, 1]`.
    pub energies: Param<Tensor<4>>,
    /// `t`, the batches so far.
    #[module(skip)]
    pub batches: usize,
}

/// How fast the past is forgotten: what counts is some `t / (FORGET + 1)` last batches.
const FORGET: f64 = 8.0;

impl OnlineStatistics {
    /// No batch yet, for the filters of a layer.
    pub fn none(filters: &Tensor<4>) -> Self {
        let zeros = Tensor::zeros(
            [1, filters.dims()[1], 1, 1],
            (&filters.device(), filters.dtype()),
        );
        Self {
            energies: Param::from_tensor(zeros).set_require_grad(false),
            batches: 0,
        }
    }

    /// Forgets a map, as if it had never been used.
    pub fn forget(&mut self, map: usize) {
        let part = [0..1, map..map + 1, 0..1, 0..1];
        self.energies = self.energies.clone().map(|h| h.slice_fill(part, 0.0));
    }

    /// Adds the energies of a batch.
    pub(super) fn add(&mut self, energies: Tensor<4>) {
        self.batches += 1;
        let kept = (1.0 - 1.0 / self.batches as f64).powf(FORGET);
        self.energies = self.energies.clone().map(|h| h * kept + energies);
    }
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

/// A map that is used less than this share of the one used most takes steps as if it were used so much.
const LEAST_ENERGY: f64 = 1e-4;
/// Keeps steps finite, also in single precision, where all maps are zero.
const TINY: f64 = 1e-12;

impl FilterProblem<'_> {
    /// The filters after one update, starting from the present ones; zero where unconnected.
    ///
    /// # Shapes
    /// `[planes, maps, h, w]`.
    ///
    /// # Errors
    /// Those of reading a batch.
    pub fn solve(&self, step: FilterStep) -> Result<Tensor<4>> {
        let filters = self.network.layers()[self.layer].filters.val();
        let data = match self.sparse {
            Some(sparse) => self.whole(sparse.data()),
            None => self.sum(filters.zeros_like(), |network, maps, data| {
                self.gradient(network, maps, data.weighted(data.images().clone()))
            })?,
        };
        let data = self.with_statistics(data, |h| h * filters.clone());
        let found = match step {
            FilterStep::LeastSquares { cg } => {
                let found = self.with_normal(|apply| {
                    conjugate_gradients(apply, data, filters, cg, Dot::Whole)
                })?;
                self.constraint.project(found)
            }
            FilterStep::ProjectedGradient { steps } => {
                self.projected_gradient(filters, data, steps)?
            }
        };
        Ok(self.group.same(found))
    }

    /// Accelerated projected gradient with restart, in the metric of the maps' energies `e`, since
    /// some maps are used far more than others; step `1 / (L e)`, `L` by Lanczos steps. Every norm
    /// that a constraint bounds lies within one map, so the projection is the same in that metric.
    fn projected_gradient(
        &self,
        filters: Tensor<4>,
        data: Tensor<4>,
        steps: usize,
    ) -> Result<Tensor<4>> {
        let energies = self.with_statistics(self.energies()?, |h| h);
        let least = energies.clone().max() * LEAST_ENERGY;
        let least = least.reshape([1; 4]).clamp_min(TINY);
        let energies = energies.clone().max_pair(least.expand(energies.dims()));
        let root = energies.clone().sqrt();
        // Not from the data: an eigenvector that the images ignore would stay unseen.
        let start = FeatureMaps::start(filters.dims(), 1.0, 0, &filters.device());
        let start = start.cast(filters.dtype());
        let norm = 1.1
            * self.with_normal(|apply| {
                let even = |x: Tensor<4>| apply(x / root.clone()) / root.clone();
                largest_eigenvalue(even, start, 6)
            })?;
        let length = energies.clone().recip() / norm;
        // Also the momentum stays on the device: a number read back would make every step wait for it.
        let mut t: Tensor<4> = Tensor::ones([1; 4], (&filters.device(), filters.dtype()));
        let (mut x, mut v) = (filters.clone(), filters);
        for _ in 0..steps {
            let gradient = self.normal(&v)? - data.clone();
            let next = self
                .constraint
                .project(v.clone() - gradient * length.clone());
            let moved = next.clone() - x;
            let uphill = Dot::Whole
                .of((v - next.clone()) * energies.clone(), moved.clone())
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

    /// The normal operator, `f -> A'm A f + h f`, `A f = R(f) z`.
    fn normal(&self, filters: &Tensor<4>) -> Result<Tensor<4>> {
        let present = match self.sparse {
            Some(sparse) => self.whole(sparse.normal(filters)),
            None => {
                let g = &self.network.layers()[self.layer].connectivity;
                self.sum(filters.zeros_like(), |network, maps, data| {
                    let own = self.extended(network, maps.clone());
                    let planes = match network.switches_of(self.layer) {
                        Some(at) => conv::at::synthesize(own, filters.clone(), g, at),
                        None => conv::synthesize(own, filters.clone(), g),
                    };
                    let planes = network.operator_of(0..self.layer).apply(planes);
                    self.gradient(network, maps, data.weighted(planes))
                })?
            }
        };
        Ok(self.with_statistics(present, |h| h * filters.clone()))
    }

    /// Adds a term in what is left of the past.
    fn with_statistics(
        &self,
        present: Tensor<4>,
        term: impl Fn(Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        match self.statistics {
            Some(statistics) => present + term(statistics.energies.val()),
            None => present,
        }
    }

    /// The squared norm of each map over all images, each image by its mean weight, `[1, maps, 1, 1]`.
    ///
    /// # Errors
    /// Those of reading a batch.
    pub fn energies(&self) -> Result<Tensor<4>> {
        if let Some(sparse) = self.sparse {
            return Ok(self.whole(sparse.energies()));
        }
        let filters = self.network.layers()[self.layer].filters.val();
        let zeros = Tensor::zeros(
            [1, filters.dims()[1], 1, 1],
            (&filters.device(), filters.dtype()),
        );
        self.sum(zeros, |network, maps, data| {
            let own = self.own(network, maps);
            let own = match network.switches_of(self.layer) {
                Some(at) => at.unpool(own),
                None => own,
            };
            let squares = own.square().sum_dim(3).sum_dim(2);
            match data.mean_weights() {
                Some(weights) => squares * weights,
                None => squares,
            }
            .sum_dim(0)
        })
    }

    /// `A' r`.
    fn gradient(&self, network: &Network, maps: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        let g = &network.layers()[self.layer].connectivity;
        let residual = network.operator_of(0..self.layer).adjoint(residual);
        let own = self.extended(network, maps);
        match network.switches_of(self.layer) {
            Some(at) => conv::at::filter_gradient(own, residual, g, at),
            None => conv::filter_gradient(own, residual, g),
        }
    }

    /// The maps of the layer itself, from those of the top, with the margins of their boundary; those at its
    /// switches where it is pooled.
    fn extended(&self, network: &Network, top: Tensor<4>) -> Tensor<4> {
        let own = self.own(network, top);
        match network.switches_of(self.layer) {
            Some(_) => own,
            None => network.layers()[self.layer].extend(own),
        }
    }

    /// The same without margins.
    fn own(&self, network: &Network, top: Tensor<4>) -> Tensor<4> {
        let layers = network.layers().len();
        match network.switches_of(self.layer) {
            Some(at) if self.layer + 1 == layers => at.pool(top),
            _ => network.operator_of(self.layer + 1..layers).apply(top),
        }
    }

    /// A sum over the batches of this member as one over those of the whole group.
    fn whole(&self, sum: Tensor<4>) -> Tensor<4> {
        let dtype = self.network.layers()[self.layer].filters.val().dtype();
        self.group.total(sum).cast(dtype)
    }

    /// The sum of a term over all batches. On the processor they are added in double precision, so that
    /// hardly a bit depends on which member of a group has which.
    fn sum(
        &self,
        zeros: Tensor<4>,
        term: impl Fn(&Network, Tensor<4>, DataTerm) -> Tensor<4>,
    ) -> Result<Tensor<4>> {
        let dtype = match is_cpu(&zeros.device()) {
            true => DType::F64,
            false => zeros.dtype(),
        };
        let mut sum = zeros.cast(dtype);
        (self.batches)(&mut |batch| {
            let network = self
                .network
                .clone()
                .at(batch.switches)?
                .with_top_of(&batch.maps);
            sum = sum.clone() + term(&network, batch.maps, batch.data).cast(dtype);
            Ok(())
        })?;
        Ok(self.whole(sum))
    }
}
