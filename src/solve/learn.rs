//! Learning: maps and filters in turn, one batch of images at a time.

use burn::tensor::Tensor;

use super::coding_solver::LearnTogether;
use super::filters::{Batches, CodedBatch};
use super::method::Coded;
use super::moments::Moments;
use super::{
    Callback, FilterProblem, FilterStep, Method, OnlineStatistics, Point, Problem, SparseBatch,
};
use crate::error::{Error, Result};
use crate::model::{Constraint, Evaluation, Network};

/// How maps and filters are learnt together.
#[derive(Clone, Debug, PartialEq)]
pub struct Learner {
    /// How the maps of a batch are found.
    pub codes: Method,
    /// How long on each visit of a batch.
    pub steps: usize,
    /// How the filters are updated, unless the solver learns them together with the maps, as Adam does.
    pub filters: FilterStep,
    /// The learning rate of the filters under Adam.
    pub filter_rate: f64,
    /// What the filters have to satisfy.
    pub constraint: Constraint,
    /// Whether the filters of all layers of a stack are updated, or those of the top layer alone.
    pub all_layers: bool,
}

/// What a visit of one batch gives.
#[derive(Clone, Debug)]
pub struct Learnt {
    /// The stack, with new filters where they were to be updated.
    pub network: Network,
    /// The sparse maps.
    pub codes: Tensor<4>,
    /// The maps to start from at the next visit.
    pub maps: Tensor<4>,
    /// The codes before the filters were updated, an entry for each image.
    pub after_codes: Vec<Evaluation>,
    /// The codes after the filters were updated.
    pub after_filters: Vec<Evaluation>,
    /// The SNR in dB of the maps that go on, with the new filters, for each image.
    pub snr: Vec<f64>,
}

/// What is kept of the filters from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct FilterMemory {
    /// Adam's, for each layer; empty for the other methods.
    pub moments: Vec<Moments>,
    /// An online learner's, for each layer; empty where every image is visited with the maps that
    /// it had before.
    pub statistics: Vec<OnlineStatistics>,
}

impl FilterMemory {
    /// What an online learner begins with.
    pub fn online(network: &Network) -> Self {
        let layers = network.layers().iter();
        Self {
            statistics: layers
                .map(|l| OnlineStatistics::none(&l.filters.val()))
                .collect(),
            ..Self::default()
        }
    }
}

impl Learner {
    /// Visits one batch: its maps from those given, then the filters, unless those wait
    /// for the end of the epoch (`update` false).
    ///
    /// Of `callback` it only asks whether to stop early.
    ///
    /// # Errors
    /// [`Error::Numeric`] where the numbers leave the finite range; [`Error::Config`] for
    /// [`CoordinateDescent`](super::CoordinateDescent) on a stack of layers.
    pub fn visit(
        &self,
        problem: &Problem,
        maps: Tensor<4>,
        update: bool,
        memory: &mut FilterMemory,
        callback: &dyn Callback<Point>,
    ) -> Result<Learnt> {
        let Problem { network, data, .. } = problem;
        let together = match update {
            true => {
                let how = LearnTogether {
                    steps: self.steps,
                    filter_rate: self.filter_rate,
                    constraint: self.constraint,
                };
                let moments = &mut memory.moments;
                self.codes.learn_together(&how, problem, &maps, moments)
            }
            false => None,
        };
        let waits = together.is_none() && update;
        let (coded, network) = match together {
            Some((maps, network)) => {
                let coded = Coded {
                    codes: maps.clone(),
                    maps,
                    sparse: None,
                };
                (coded, network)
            }
            None => {
                let stop = || callback.interrupted();
                let coded = self.codes.advance(problem, maps, self.steps, &stop)?;
                (coded, network.clone())
            }
        };
        let Coded {
            codes,
            maps,
            sparse,
        } = coded;
        let measure = |network: &Network, maps: &Tensor<4>| {
            let problem = Problem {
                network: network.clone(),
                ..problem.clone()
            };
            measure(&problem, maps, sparse.as_ref())
        };
        let after_codes = measure(&network, &codes)?;
        let (network, after_filters) = if waits {
            let below = network.switches_below();
            let network = network.at(below)?.with_top_of(&maps);
            let batches: &Batches = &|visit| {
                visit(CodedBatch {
                    maps: maps.clone(),
                    data: data.clone(),
                    switches: network.switches(),
                })
            };
            let network = self.update_filters(
                network.clone(),
                batches,
                sparse.as_ref(),
                &mut memory.statistics,
            )?;
            let after_filters = measure(&network, &codes)?;
            (network, after_filters)
        } else {
            (network, after_codes.clone())
        };
        // The codes may be finite while the maps that go on are not.
        let going_on = match self.codes.has_separate_maps() {
            true => measure(&network, &maps)?,
            false => after_filters.clone(),
        };
        Ok(Learnt {
            network,
            codes,
            maps,
            after_codes,
            after_filters,
            snr: going_on.iter().map(|e| e.snr).collect(),
        })
    }

    /// Updates the filters of the layers of the stack in turn, the image side first. `sparse` holds
    /// the same as `batches`, where that is one sparse batch of one layer; `statistics` is an online
    /// learner's, or empty.
    ///
    /// # Errors
    /// Those of reading a batch.
    pub fn update_filters(
        &self,
        mut network: Network,
        batches: &Batches,
        sparse: Option<&SparseBatch>,
        statistics: &mut [OnlineStatistics],
    ) -> Result<Network> {
        let top = network.layers().len() - 1;
        let first = if self.all_layers { 0 } else { top };
        for layer in first..=top {
            let problem = FilterProblem {
                network: &network,
                layer,
                batches,
                sparse,
                statistics: statistics.get(layer),
                constraint: self.constraint,
            };
            let filters = problem.solve(self.filters)?;
            if !statistics.is_empty() {
                let energies = problem.energies()?;
                statistics[layer].add(energies);
            }
            let layer = &mut network.layers_mut()[layer];
            *layer = layer.with_filters(filters);
        }
        Ok(network)
    }
}

/// How good maps are, by their elements where those are at hand.
///
/// # Errors
/// [`Error::Numeric`] where the objective is not finite.
pub(super) fn measure(
    problem: &Problem,
    maps: &Tensor<4>,
    sparse: Option<&SparseBatch>,
) -> Result<Vec<Evaluation>> {
    let Problem {
        network,
        data,
        objective,
    } = problem;
    let each = match sparse {
        Some(sparse) => sparse.measure(&network.top().filters.val(), objective),
        None => objective.measure(network, maps.clone(), data),
    };
    let total = Evaluation::total(&each).objective;
    if total.is_finite() {
        return Ok(each);
    }
    Err(Error::Numeric(format!(
        "the objective became {total}; try a smaller learning rate, more conjugate gradient steps, \
         less data_weight, or check the images for huge values"
    )))
}
