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
use crate::group::Group;
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
    /// Those who visit other parts of each batch at the same time, and get the same filters.
    pub group: Group,
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

/// The maps of a batch, before the filters are updated.
struct Found {
    coded: Coded,
    /// With new filters where the solver moves them together with the maps.
    network: Network,
    after_codes: Vec<Evaluation>,
    /// Whether the filters are still to be updated.
    waits: bool,
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
        let found = self.code(problem, maps, update, memory, callback);
        let found = self.group.agree(found)?;
        let updated = self.update(problem, found, memory);
        self.group.agree(updated)
    }

    /// What a member of a group does that has no part of a batch while the others [visit](Self::visit) it:
    /// gets the same filters.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] where the visit of another one fails.
    pub fn attend(
        &self,
        network: Network,
        update: bool,
        memory: &mut FilterMemory,
    ) -> Result<Network> {
        self.group.agree(Ok(()))?;
        let network = match update {
            true => self.update_filters(network, &|_| Ok(()), None, &mut memory.statistics),
            false => Ok(network),
        };
        self.group.agree(network)
    }

    /// The maps of a batch, the filters where the solver moves them together, and how good both are.
    fn code(
        &self,
        problem: &Problem,
        maps: Tensor<4>,
        update: bool,
        memory: &mut FilterMemory,
        callback: &dyn Callback<Point>,
    ) -> Result<Found> {
        self.codes.check_network(&problem.network)?;
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
                (coded, problem.network.clone())
            }
        };
        let after_codes = measure_with(problem, &network, &coded, &coded.codes)?;
        Ok(Found {
            coded,
            network,
            after_codes,
            waits,
        })
    }

    /// The filters after the maps of a batch, unless those came with them or wait for the end of the epoch.
    fn update(&self, problem: &Problem, found: Found, memory: &mut FilterMemory) -> Result<Learnt> {
        let Found {
            coded,
            network,
            after_codes,
            waits,
        } = found;
        let Coded {
            codes,
            maps,
            sparse,
        } = &coded;
        let (network, after_filters) = if waits {
            let below = network.switches_below();
            let network = network.at(below)?.with_top_of(maps);
            let batches: &Batches = &|visit| {
                visit(CodedBatch {
                    maps: maps.clone(),
                    data: problem.data.clone(),
                    switches: network.switches(),
                })
            };
            let network = self.update_filters(
                network.clone(),
                batches,
                sparse.as_ref(),
                &mut memory.statistics,
            )?;
            let after_filters = measure_with(problem, &network, &coded, codes)?;
            (network, after_filters)
        } else {
            (network, after_codes.clone())
        };
        // The codes may be finite while the maps that go on are not. Those may be negative in any case.
        let going_on = match self.codes.has_separate_maps() {
            true => {
                let free = Problem {
                    objective: problem.objective.with_non_negative(false),
                    ..problem.clone()
                };
                measure_with(&free, &network, &coded, maps)?
            }
            false => after_filters.clone(),
        };
        Ok(Learnt {
            network,
            codes: coded.codes,
            maps: coded.maps,
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
                group: &self.group,
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

/// How good some of the maps of a batch are with the filters of a network.
fn measure_with(
    problem: &Problem,
    network: &Network,
    coded: &Coded,
    maps: &Tensor<4>,
) -> Result<Vec<Evaluation>> {
    let problem = Problem {
        network: network.clone(),
        ..problem.clone()
    };
    measure(&problem, maps, coded.sparse.as_ref())
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
