//! Dead filters: found by their empty maps, and replaced.

use burn::tensor::Tensor;
use rand::{RngExt, rngs::ChaCha8Rng};

use super::trainer::{RESAMPLE, Trainer, random_stream};
use crate::error::Result;
use crate::model::{FeatureMaps, Layer};

impl Trainer {
    /// Replaces each filter of the top layer that no image used: by the strongest of a few patches of
    /// what is not yet explained; in a stack, or where nothing is left to explain, by noise. What
    /// is remembered of a dead filter goes with it. Returns how many were replaced.
    pub(super) fn resample_dead(&mut self) -> Result<usize> {
        let stage = self.run.state.position.stage;
        let layers = self.run.state.layers_of(stage);
        let top = layers.end - 1;
        let dead: Vec<usize> = (0..self.run.state.epoch.used.len())
            .filter(|&k| !self.run.state.epoch.used[k])
            .collect();
        let single = layers.len() == 1;
        for &k in &dead {
            let mut rng = random_stream(&self.run.state, RESAMPLE, k as u64);
            let layer = self.run.network.layers()[top].clone();
            let [h, w] = layer.filter_size();
            let patch = if single {
                self.strongest_patch(top, &mut rng)?
            } else {
                None
            };
            let planes = layer.connectivity.planes();
            let noise = || FeatureMaps::start([planes, 1, h, w], 1.0, rng.random(), &self.device);
            let filter = patch.unwrap_or_else(noise);
            let filters = layer.filters.val();
            let [c, ..] = filters.dims();
            let norm = filter.clone().square().sum().sqrt();
            let filter = filter / norm.reshape([1, 1, 1, 1]);
            let filters = filters.slice_assign([0..c, k..k + 1, 0..h, 0..w], filter);
            let masked = Layer::new(filters, layer.connectivity.clone())
                .filters
                .val();
            let constrained = self.learner.constraint.project(masked);
            let constrained = self.group().same(constrained);
            self.run.network.layers_mut()[top] = layer.with_filters(constrained);
            if let Some(moments) = self.memory.moments.last_mut() {
                moments.forget([0..c, k..k + 1, 0..h, 0..w]);
            }
            if let Some(statistics) = self.memory.statistics.last_mut() {
                statistics.forget(k);
            }
        }
        Ok(dead.len())
    }

    /// The strongest of a few patches, drawn at random, of one image's residual, `[planes, 1, h, w]`;
    /// none if all are blank.
    fn strongest_patch(&mut self, layer: usize, rng: &mut ChaCha8Rng) -> Result<Option<Tensor<4>>> {
        const PATCHES: usize = 16;
        const BLANK: f32 = 1e-6;
        let i = rng.random_range(0..self.run.state.images.len());
        let maps = match self.run.state.keeps_maps() {
            true => self.run.maps(layer, i, &self.device)?,
            false => {
                let image = self.images.data(i, &self.device)?;
                let coded = self.run.encoder().encode(image, &mut ())?;
                coded
                    .into_iter()
                    .next_back()
                    .expect("its stage was begun")
                    .solved
                    .codes
            }
        };
        let planes = self.run.network.layers()[layer].synthesize(maps);
        let residual = self.target(i)?.residual(planes).neg();
        let [_, c, height, width] = residual.dims();
        let [h, w] = self.run.network.layers()[layer].filter_size();
        let mut strongest = (BLANK, None);
        for _ in 0..PATCHES {
            let a = rng.random_range(0..=height - h);
            let b = rng.random_range(0..=width - w);
            let patch = residual.clone().slice([0..1, 0..c, a..a + h, b..b + w]);
            let norm: f32 = patch.clone().square().sum().sqrt().into_scalar();
            if norm > strongest.0 {
                strongest = (norm, Some(patch.swap_dims(0, 1)));
            }
        }
        Ok(strongest.1)
    }
}
