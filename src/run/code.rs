//! The maps of an image that a run holds none of.

use burn::tensor::{Device, Tensor};

use super::{Run, to_tensor};
use crate::config::Update;
use crate::data::Image;
use crate::error::Result;
use crate::solve::{Callback, FilterMemory, Learner, Point, Problem};

impl Run {
    /// The codes `[1, K, ..]` of a prepared image in the layer at the top of each stage that learning
    /// has reached, and that layer, from 0. They are found stage by stage as in training, by the run's
    /// own solver from zero, in as many steps as a training image was given: the first stage explains
    /// the image, each other one the rescaled maps of the stage below.
    ///
    /// An interruption leaves the maps where they are.
    ///
    /// # Errors
    /// [`crate::Error::Numeric`] where the numbers leave the finite range.
    pub fn code(
        &self,
        prepared: &Image,
        device: &Device,
        watch: &mut dyn Callback<Point>,
    ) -> Result<Vec<(usize, Tensor<4>)>> {
        let train = &self.state.config.train;
        let learner = self.state.config.learner();
        let mut target = to_tensor(prepared, device);
        let mut codes = Vec::new();
        for (stage, objective) in self.state.objectives.iter().enumerate() {
            let layers = self.state.layers_of(stage);
            let top = layers.end - 1;
            let network = self.network.part(layers);
            let start = Tensor::zeros(network.maps_shape(target.dims()), device);
            let begins_anew = learner.codes.restarts() || train.update_filters == Update::Online;
            let visits = match begins_anew {
                true => 1,
                false => self.state.config.layers[top].epochs,
            };
            let problem = Problem::new(network, target, *objective)?;
            let learner = Learner {
                steps: visits * learner.steps,
                ..learner.clone()
            };
            let memory = &mut FilterMemory::default();
            let learnt = learner.visit(&problem, start, false, memory, watch)?;
            target = self.network.layers()[top].rescale(learnt.maps);
            codes.push((top, learnt.codes));
        }
        Ok(codes)
    }
}
