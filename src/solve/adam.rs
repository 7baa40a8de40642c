//! Burn's Adam on the data term, with the exact shrink for the penalty after each step.

use std::mem;

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, AdamState, Optimizer};
use burn::tensor::{Gradients, Tensor};
use serde::{Deserialize, Serialize};

use super::coding_solver::{CodingSolver, LearnTogether};
use super::moments::Moments;
use super::{Problem, Solver};
use crate::error::{Error, Result};
use crate::model::{DataTerm, FeatureMaps, Model, Network, Objective};
use crate::pass::{BLOCK, Block, Pass, Use};
use crate::penalty::ShrinkBy;

/// Adam by autodiff, its L1 made proximal.
///
/// The gradient of the data term alone goes through Burn's Adam. The penalty is not differentiated:
/// after each step every element is shrunk by the step length that Adam gave it,
///
/// ```text
/// z' = argmin_x  sparsity |x|^p + (x - adam(z))^2 / (2 a),   a = rate sqrt(1 - b2^t) / (sqrt(v) + eps)
/// ```
///
/// so zeros are exact zeros at any time, and for p = 1 the fixed points are those of the objective.
///
/// Source: Kingma and Ba 2015 for Adam; the shrink is the proximal step in Adam's own metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Learning rate of the maps.
    pub rate: f64,
    /// Decay of the mean of the gradients.
    pub beta_1: f32,
    /// Decay of the mean of their squares.
    pub beta_2: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Self {
            rate: 0.1,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
        }
    }
}

impl Adam {
    /// One plain Adam step at learning rate `rate`: the new tensor and the step length of each of
    /// its elements.
    pub fn descend(
        &self,
        rate: f64,
        x: Tensor<4>,
        gradient: Tensor<4>,
        moments: &mut Moments,
    ) -> (Tensor<4>, Tensor<4>) {
        let optimizer = AdamConfig::new()
            .with_beta_1(self.beta_1)
            .with_beta_2(self.beta_2)
            .with_epsilon(self.epsilon)
            .build();
        let (x, state) = optimizer.step(rate, x, gradient, moments.state());
        if let Some(AdamState { momentum }) = state {
            moments.time = momentum.time;
            moments.first = moments.first.clone().map(|_| momentum.moment_1);
            moments.second = moments.second.clone().map(|_| momentum.moment_2);
        }
        let correction = (1.0 - f64::from(self.beta_2).powi(moments.time as i32)).sqrt();
        let floor = f64::from(self.epsilon) * correction;
        let length = (moments.second.val().sqrt() + floor).recip() * (rate * correction);
        (x, length)
    }

    /// A step on the maps, then the shrink.
    pub fn step_maps(
        &self,
        maps: &mut Tensor<4>,
        mut gradient: Tensor<4>,
        objective: &Objective,
        moments: &mut Moments,
    ) {
        let pass = AdamPass {
            adam: *self,
            time: moments.time + 1,
            sparsity: objective.sparsity(),
            shrink: ShrinkBy::new(objective.penalty()),
        };
        // Out of the moments, so that these are their only handles and the pass works in place.
        let none = Tensor::zeros([1; 4], (&gradient.device(), gradient.dtype()));
        let Moments { first, second, .. } = mem::replace(moments, Moments::zeros(&none));
        let (mut first, mut second) = (first.into_value(), second.into_value());
        pass.run([], [maps, &mut gradient, &mut first, &mut second]);
        *moments = Moments::new([first, second], pass.time);
    }
}

/// A step on the maps, their gradient `g` and the two moments `m` and `v`, then the shrink:
///
/// ```text
/// m' = b1 m + (1 - b1) g,   v' = b2 v + (1 - b2) g^2
/// z' = shrink(z - rate sqrt(1 - b2^t) / (1 - b1^t) m' / (sqrt(v') + eps sqrt(1 - b2^t)), sparsity a)
/// ```
///
/// with the step length `a` of [`Adam`].
#[derive(Clone, Copy, Debug)]
pub struct AdamPass {
    /// The numbers of Adam.
    pub adam: Adam,
    /// Steps taken with this one, `t`.
    pub time: usize,
    /// Weight of the penalty.
    pub sparsity: f64,
    /// The shrink.
    pub shrink: ShrinkBy,
}

impl Pass<4, 0> for AdamPass {
    fn uses(&self) -> [Use; 4] {
        [Use::Update, Use::Read, Use::Update, Use::Update]
    }

    #[inline(always)]
    fn block(&self, _: [f64; 0], [maps, gradient, first, second]: &mut [Block; 4]) -> f64 {
        let Adam {
            rate,
            beta_1,
            beta_2,
            epsilon,
        } = self.adam;
        // Burn computes these in single precision.
        let time = self.time as i32;
        let root = (1.0 - beta_2.powi(time)).sqrt();
        let factor = f64::from(root / (1.0 - beta_1.powi(time)));
        let floor = f64::from(epsilon * root);
        let (new_1, new_2) = (f64::from(1.0 - beta_1), f64::from(1.0 - beta_2));
        let (old_1, old_2) = (f64::from(beta_1), f64::from(beta_2));
        let correction = (1.0 - old_2.powi(time)).sqrt();
        let length_floor = f64::from(epsilon) * correction;
        let length = rate * correction * self.sparsity;
        let mut weight = [0.0; BLOCK];
        for i in 0..BLOCK {
            let g = gradient[i];
            first[i] = first[i] * old_1 + g * new_1;
            second[i] = second[i] * old_2 + g * g * new_2;
            let size = second[i].sqrt();
            maps[i] -= first[i] * factor / (size + floor) * rate;
            weight[i] = length / (size + length_floor);
        }
        self.shrink.apply(maps, &weight);
        0.0
    }

    fn plain(
        &self,
        _: [Tensor<4>; 0],
        [maps, gradient, first, second]: [Tensor<4>; 4],
    ) -> ([Tensor<4>; 4], Tensor<4>) {
        let mut moments = Moments::new([first, second], self.time - 1);
        let (maps, length) =
            self.adam
                .descend(self.adam.rate, maps, gradient.clone(), &mut moments);
        let ([maps, _], sums) = self.shrink.plain([], [maps, length * self.sparsity]);
        let [first, second] = [moments.first, moments.second].map(|x| x.val());
        ([maps, gradient, first, second], sums)
    }
}

/// The maps and Adam's memory of them.
#[derive(Clone, Debug)]
pub struct AdamMaps {
    maps: Tensor<4>,
    moments: Moments,
}

impl Solver for Adam {
    type State = AdamMaps;

    fn init(&self, _: &Problem, start: Tensor<4>) -> AdamMaps {
        AdamMaps {
            moments: Moments::zeros(&start),
            maps: start,
        }
    }

    fn step(&self, problem: &Problem, state: &mut AdamMaps) {
        let model = Model {
            network: problem.network.clone().no_grad(),
            codes: FeatureMaps::new(state.maps.clone()),
            objective: problem.objective,
        };
        let (model, gradients) = data_gradient(model, &problem.data);
        let gradient = gradient_of(&model.codes.maps, &gradients);
        // So that the maps are held here alone.
        drop(model);
        let AdamMaps { maps, moments } = state;
        self.step_maps(maps, gradient, &problem.objective, moments);
    }

    fn codes(&self, state: &AdamMaps) -> Tensor<4> {
        state.maps.clone()
    }
}

impl CodingSolver for Adam {
    /// The learning rate.
    fn variant(self, name: &str, text: &str) -> Result<Self> {
        let rate = text.parse().ok();
        let rate = rate.filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
        rate.map(|rate| Self { rate, ..self }).ok_or_else(|| {
            Error::Config(format!(
                "'{name}:{text}' has no learning rate; write a number above 0, for example {name}:0.01"
            ))
        })
    }

    /// Adam on maps and filters at once, for so many steps.
    fn learn_together(
        &self,
        how: &LearnTogether,
        problem: &Problem,
        maps: &Tensor<4>,
        moments: &mut Vec<Moments>,
    ) -> Option<(Tensor<4>, Network)> {
        let mut network = problem.network.clone();
        if moments.is_empty() {
            let layers = network.layers().iter();
            *moments = layers
                .map(|layer| Moments::zeros(&layer.filters.val()))
                .collect();
        }
        let mut maps = maps.clone();
        let mut map_moments = Moments::zeros(&maps);
        for _ in 0..how.steps {
            let model = Model {
                network: network.clone(),
                codes: FeatureMaps::new(maps.clone()),
                objective: problem.objective,
            };
            let (model, gradients) = data_gradient(model, &problem.data);
            let gradient = gradient_of(&model.codes.maps, &gradients);
            self.step_maps(&mut maps, gradient, &problem.objective, &mut map_moments);
            let layers = network.layers_mut().iter_mut().zip(model.network.layers());
            for ((layer, tracked), moments) in layers.zip(&mut *moments) {
                let gradient = gradient_of(&tracked.filters, &gradients);
                let (filters, _) =
                    self.descend(how.filter_rate, layer.filters.val(), gradient, moments);
                *layer = layer.with_filters(how.constraint.project(filters));
            }
        }
        Some((maps, network))
    }
}

/// The gradients of the data term in all of the model's parameters that want one.
fn data_gradient(model: Model, data: &DataTerm) -> (Model, Gradients) {
    let model = model.train();
    let data = data.each(Tensor::from_inner);
    let gradients = model.data_term(&data).backward();
    (model, gradients)
}

/// The gradient of one parameter, zero where the data term does not depend on it.
fn gradient_of(parameter: &Param<Tensor<4>>, gradients: &Gradients) -> Tensor<4> {
    let x = parameter.val();
    x.grad(gradients).unwrap_or_else(|| x.inner().zeros_like())
}
