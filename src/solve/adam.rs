//! Burn's Adam on the data term, with the exact shrink for the penalty after each step.

use burn::module::{Module, Param, ParamId};
use burn::optim::{AdamConfig, AdamState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{Gradients, Tensor};
use serde::{Deserialize, Serialize};

use super::{Problem, Solver};
use crate::model::{FeatureMaps, Model, Objective};
use crate::penalty;

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

/// Adam's memory of one tensor, as a module so that it can be saved.
#[derive(Module, Debug)]
pub struct Moments {
    /// The mean of the gradients.
    pub first: Param<Tensor<4>>,
    /// The mean of their squares.
    pub second: Param<Tensor<4>>,
    /// Steps taken.
    #[module(skip)]
    pub time: usize,
}

impl Moments {
    /// No step taken yet.
    pub fn zeros(like: &Tensor<4>) -> Self {
        let zeros = |id: u64| Param::initialized(ParamId::from(id), like.zeros_like());
        Self {
            first: zeros(1),
            second: zeros(2),
            time: 0,
        }
    }

    /// Forgets a part, as if nothing had been seen of it.
    pub fn forget(&mut self, part: [std::ops::Range<usize>; 4]) {
        let blank = |x: Tensor<4>| x.slice_fill(part.clone(), 0.0);
        self.first = self.first.clone().map(blank);
        self.second = self.second.clone().map(blank);
    }

    fn state(&self) -> Option<AdamState<4>> {
        (self.time > 0).then(|| {
            AdamState::new(AdaptiveMomentumState::new(
                self.time,
                self.first.val(),
                self.second.val(),
            ))
        })
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
        maps: Tensor<4>,
        gradient: Tensor<4>,
        objective: &Objective,
        moments: &mut Moments,
    ) -> Tensor<4> {
        let (maps, length) = self.descend(self.rate, maps, gradient, moments);
        penalty::shrink_by(maps, length * objective.sparsity, objective.p)
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
        let (model, gradients) = data_gradient(model, problem.images.clone());
        let gradient = gradient_of(&model.codes.maps, &gradients);
        state.maps = self.step_maps(
            state.maps.clone(),
            gradient,
            &problem.objective,
            &mut state.moments,
        );
    }

    fn codes(&self, state: &AdamMaps) -> Tensor<4> {
        state.maps.clone()
    }
}

/// The gradients of the data term in all of the model's parameters that want one.
pub(super) fn data_gradient(model: Model, images: Tensor<4>) -> (Model, Gradients) {
    let model = model.train();
    let images = Tensor::from_inner(images);
    let gradients = model.forward(images).data.backward();
    (model, gradients)
}

/// The gradient of one parameter, zero where the data term does not depend on it.
pub(super) fn gradient_of(parameter: &Param<Tensor<4>>, gradients: &Gradients) -> Tensor<4> {
    let x = parameter.val();
    x.grad(gradients).unwrap_or_else(|| x.inner().zeros_like())
}
