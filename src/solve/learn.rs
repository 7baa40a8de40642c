//! Learning: maps and filters in turn, one batch of images at a time.

use burn::tensor::Tensor;

use super::adam::{Adam, Moments, data_gradient, gradient_of};
use super::filters::Batches;
use super::{
    FilterProblem, FilterStep, Method, Past, Problem, Solver, SparseBatch, Watch, advance,
};
use crate::error::{Error, Result};
use crate::model::{Constraint, Evaluation, FeatureMaps, Model, Network};

/// How maps and filters are learnt together.
#[derive(Clone, Debug, PartialEq)]
pub struct Learner {
    /// How the maps of a batch are found.
    pub codes: Method,
    /// How long on each visit of a batch.
    pub steps: usize,
    /// How the filters are updated; with [`Method::Adam`] they descend with the maps instead.
    pub filters: FilterStep,
    /// The learning rate of the filters under Adam.
    pub filter_rate: f64,
    /// What the filters have to satisfy.
    pub constraint: Constraint,
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
    pub past: Vec<Past>,
}

impl FilterMemory {
    /// What an online learner begins with.
    pub fn online(network: &Network) -> Self {
        let layers = network.layers.iter();
        Self {
            past: layers.map(|l| Past::none(&l.filters.val())).collect(),
            ..Self::default()
        }
    }
}

/// The maps of a batch.
struct Coded {
    codes: Tensor<4>,
    /// What to start from another time.
    maps: Tensor<4>,
    /// The elements of both, where they are the same and sparse.
    sparse: Option<SparseBatch>,
}

impl Coded {
    /// Codes that are what to start from another time.
    fn same(codes: Tensor<4>) -> Self {
        Self {
            maps: codes.clone(),
            codes,
            sparse: None,
        }
    }
}

impl Learner {
    /// Visits one batch: its maps from those given, then the filters, unless those wait
    /// for the end of the epoch (`update` false).
    ///
    /// Of `watch` it only asks whether to stop early.
    ///
    /// # Errors
    /// [`Error::Numeric`] where the numbers leave the finite range; [`Error::Config`] for
    /// [`Descent`](super::Descent) on a stack of layers.
    pub fn visit(
        &self,
        problem: &Problem,
        maps: Tensor<4>,
        update: bool,
        memory: &mut FilterMemory,
        watch: &dyn Watch,
    ) -> Result<Learnt> {
        let Problem {
            network,
            images,
            objective,
        } = problem;
        let (
            Coded {
                codes,
                maps,
                sparse,
            },
            network,
        ) = match &self.codes {
            Method::Adam(adam) if update => {
                let (maps, network) = self.descend(adam, problem, maps, &mut memory.moments);
                (Coded::same(maps), network)
            }
            _ => (self.code(problem, maps, watch)?, network.clone()),
        };
        let measure = |network: &Network, maps: &Tensor<4>| {
            let each = match &sparse {
                Some(sparse) => sparse.measure(&network.top().filters.val(), objective),
                None => objective.measure(network, maps.clone(), images.clone()),
            };
            let total = Evaluation::total(&each).objective;
            if total.is_finite() {
                return Ok(each);
            }
            Err(Error::Numeric(format!(
                "the objective became {total}; try a smaller learning rate, more \
                 conjugate gradient steps, less data_weight, or check the images for huge values"
            )))
        };
        let after_codes = measure(&network, &codes)?;
        let (network, after_filters) = if update && !matches!(self.codes, Method::Adam(_)) {
            let batches: &Batches = &|visit| visit(maps.clone(), images.clone());
            let network =
                self.update_filters(network, batches, sparse.as_ref(), &mut memory.past)?;
            let after_filters = measure(&network, &codes)?;
            (network, after_filters)
        } else {
            (network, after_codes.clone())
        };
        let going_on = match &self.codes {
            // The codes may be finite while the maps that go on are not.
            Method::Split(_) => measure(&network, &maps)?,
            // What goes on is the codes themselves.
            Method::Adam(_) | Method::Fista(_) | Method::Descent(_) => after_filters.clone(),
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

    /// The maps of a batch after so many steps, none of them looked at.
    fn code(&self, problem: &Problem, start: Tensor<4>, watch: &dyn Watch) -> Result<Coded> {
        self.codes.check(problem.network.layers.len())?;
        let (steps, stop) = (self.steps, &|| watch.interrupted());
        Ok(match &self.codes {
            Method::Split(split) => {
                let state = advance(split, problem, start, steps, stop);
                let coded = Coded::same(split.codes(&state));
                Coded {
                    maps: split.maps(&state).unwrap_or(coded.maps),
                    ..coded
                }
            }
            Method::Adam(adam) => {
                Coded::same(adam.codes(&advance(adam, problem, start, steps, stop)))
            }
            Method::Fista(fista) => {
                let codes = fista.codes(&advance(fista, problem, start, steps, stop));
                Coded {
                    sparse: SparseBatch::new(problem, &codes),
                    ..Coded::same(codes)
                }
            }
            Method::Descent(descent) => {
                let state = advance(descent, problem, start, steps, stop);
                let codes = descent.codes(&state);
                Coded {
                    sparse: state.into_sparse(),
                    ..Coded::same(codes)
                }
            }
        })
    }

    /// Updates the filters of every layer of the stack in turn, the image side first. `sparse` holds
    /// the same as `batches`, where that is one sparse batch of one layer; `past` is an online
    /// learner's, or empty.
    ///
    /// # Errors
    /// Those of reading a batch.
    pub fn update_filters(
        &self,
        mut network: Network,
        batches: &Batches,
        sparse: Option<&SparseBatch>,
        past: &mut [Past],
    ) -> Result<Network> {
        for layer in 0..network.layers.len() {
            let problem = FilterProblem {
                network: &network,
                layer,
                batches,
                sparse,
                past: past.get(layer),
                constraint: self.constraint,
            };
            let filters = problem.solve(self.filters)?;
            if !past.is_empty() {
                let energies = problem.energies()?;
                past[layer].add(energies);
            }
            network.layers[layer] = network.layers[layer].with_filters(filters);
        }
        Ok(network)
    }

    /// Adam on maps and filters together.
    fn descend(
        &self,
        adam: &Adam,
        problem: &Problem,
        maps: Tensor<4>,
        moments: &mut Vec<Moments>,
    ) -> (Tensor<4>, Network) {
        if moments.is_empty() {
            *moments = problem
                .network
                .layers
                .iter()
                .map(|layer| Moments::zeros(&layer.filters.val()))
                .collect();
        }
        let mut map_moments = Moments::zeros(&maps);
        let mut network = problem.network.clone();
        let mut maps = maps;
        for _ in 0..self.steps {
            let model = Model {
                network: network.clone(),
                codes: FeatureMaps::new(maps.clone()),
                objective: problem.objective,
            };
            let (model, gradients) = data_gradient(model, problem.images.clone());
            let gradient = gradient_of(&model.codes.maps, &gradients);
            adam.step_maps(&mut maps, gradient, &problem.objective, &mut map_moments);
            for ((layer, tracked), moments) in network
                .layers
                .iter_mut()
                .zip(&model.network.layers)
                .zip(moments.iter_mut())
            {
                let gradient = gradient_of(&tracked.filters, &gradients);
                let (filters, _) =
                    adam.descend(self.filter_rate, layer.filters.val(), gradient, moments);
                *layer = layer.with_filters(self.constraint.project(filters));
            }
        }
        (maps, network)
    }
}
