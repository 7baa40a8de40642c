//! The visit of a batch, and what is left for the end of an epoch.

use std::cell::RefCell;

use burn::tensor::Tensor;
use rand::RngExt;

use super::Event;
use super::trainer::{START, Trainer, random_stream};
use crate::backend;
use crate::config::Update;
use crate::error::{Error, Result};
use crate::model::{DataTerm, Evaluation, FeatureMaps, Network};
use crate::run::{EpochSums, TraceLine};
use crate::solve::{Batches, Callback, CodedBatch, Problem};

impl Trainer {
    /// Codes a batch, updates the filters if it is their turn, and stores the maps.
    pub(super) fn visit(&mut self, b: usize, batch: &[usize]) -> Result<TraceLine> {
        let stage = self.run.state.position.stage;
        let layers = self.run.state.layers_of(stage);
        let top = layers.end - 1;
        let stack = self.stack(layers.clone(), batch)?;
        let images = self.gather(batch, |trainer, i| trainer.target(i))?;
        let maps = self.gather(batch, |trainer, i| trainer.maps_or_start(&stack, top, i))?;
        let problem = Problem::new(stack, images, self.run.state.objectives[stage])?;
        let update = self.run.state.config.train.update_filters != Update::Epoch;
        let before = self.memory.clone();
        let visited = self
            .learner
            .visit(&problem, maps, update, &mut self.memory, &());
        let learnt = match visited {
            Ok(learnt) => learnt,
            Err(error) => {
                self.memory = before;
                return Err(self.save_before(error)?);
            }
        };
        self.run.network.take_filters(layers, &learnt.network);
        if self.run.state.keeps_maps() {
            let separate = self.learner.codes.has_separate_maps();
            for (n, &i) in batch.iter().enumerate() {
                let one = |maps: &Tensor<4>| maps.clone().narrow(0, n, 1);
                let codes = separate.then(|| one(&learnt.codes));
                self.run
                    .put_maps(top, i, &one(&learnt.maps), codes.as_ref())?;
            }
        }
        let used = used_maps(&learnt.codes)?;
        let snr = self.without_flat(batch, &learnt.snr);
        let state = &mut self.run.state;
        state.epoch.used.resize(used.len(), false);
        for (so_far, now) in state.epoch.used.iter_mut().zip(used) {
            *so_far |= now;
        }
        state
            .epoch
            .add(&learnt.after_codes, &learnt.after_filters, &snr);
        let mut sums = EpochSums::default();
        sums.add(&learnt.after_codes, &learnt.after_filters, &snr);
        Ok(sums.line(self.run.state.position, Some(b), self.seconds()))
    }

    /// The SNR of each image of a batch, not a number where the image is flat.
    fn without_flat(&self, batch: &[usize], snr: &[f64]) -> Vec<f64> {
        let images = batch.iter().map(|&i| &self.run.state.images[i]);
        let each = images.zip(snr);
        each.map(|(image, &snr)| if image.flat { f64::NAN } else { snr })
            .collect()
    }

    pub(super) fn gather(
        &mut self,
        batch: &[usize],
        mut one: impl FnMut(&mut Self, usize) -> Result<Tensor<4>>,
    ) -> Result<Tensor<4>> {
        let parts: Vec<_> = batch.iter().map(|&i| one(self, i)).collect::<Result<_>>()?;
        Ok(Tensor::cat(parts, 0))
    }

    fn maps_or_start(&mut self, stack: &Network, top: usize, i: usize) -> Result<Tensor<4>> {
        if self.run.has_maps(top, i) {
            return self.run.maps(top, i, &self.device);
        }
        let target = self.target(i)?.dims();
        let state = &self.run.state;
        let seed = random_stream(state, START, i as u64).random();
        let shape = stack.maps_shape(target);
        Ok(FeatureMaps::start(
            shape,
            state.config.train.start_noise,
            seed,
            &self.device,
        ))
    }

    /// Updates the filters if they waited for the end of the epoch, replaces dead ones, writes the
    /// epoch's line and saves.
    pub(super) fn end_epoch(
        &mut self,
        batches: &[Vec<usize>],
        callback: &mut dyn Callback<Event>,
    ) -> Result<()> {
        if self.run.state.config.train.update_filters == Update::Epoch {
            self.update_filters_from_all(batches)?;
        }
        let last = self.run.state.position.epoch + 1 == self.epochs();
        let resampled = if self.run.state.config.train.resample_dead && !last {
            self.resample_dead()?
        } else {
            0
        };
        let seconds = self.seconds();
        let state = &mut self.run.state;
        state.resampled += resampled;
        let mut line = state.epoch.line(state.position, None, seconds);
        line.resampled = resampled;
        let best = state.best.is_none_or(|best| line.after_filters < best);
        if best {
            state.best = Some(line.after_filters);
        }
        state.epoch = EpochSums::default();
        state.position.epoch += 1;
        state.position.batch = 0;
        self.run.store.append_trace(&line)?;
        self.run.state.metrics.truncate(line.stage);
        self.run.state.metrics.push(line.clone());
        self.commit(best)?;
        callback.event(Event::Epoch(line));
        Ok(())
    }

    /// One update of the filters from all images, read batch by batch.
    fn update_filters_from_all(&mut self, batches: &[Vec<usize>]) -> Result<()> {
        let stage = self.run.state.position.stage;
        let layers = self.run.state.layers_of(stage);
        let top = layers.end - 1;
        let stack = self.run.network.part(layers.clone());
        let learner = self.learner.clone();
        let trainer = RefCell::new(self);
        let batches_of_all: &Batches = &|visit| {
            for batch in batches {
                let mut trainer = trainer.borrow_mut();
                let images = trainer.gather(batch, |trainer, i| trainer.target(i))?;
                let device = trainer.device.clone();
                let maps = trainer.gather(batch, |trainer, i| trainer.run.maps(top, i, &device))?;
                let switches = trainer.stack(layers.clone(), batch)?.switches();
                visit(CodedBatch {
                    maps,
                    data: images.into(),
                    switches,
                })?;
            }
            Ok(())
        };
        let network = learner.update_filters(stack, batches_of_all, None, &mut [])?;
        let trainer = trainer.into_inner();
        let objective = trainer.run.state.objectives[stage];
        let separate = learner.codes.has_separate_maps();
        let (mut after, mut snr, mut going_on) = (0.0, Vec::new(), 0.0);
        for batch in batches {
            let device = trainer.device.clone();
            let images = trainer.gather(batch, |trainer, i| trainer.target(i))?;
            let codes = trainer.gather(batch, |trainer, i| trainer.run.codes(top, i, &device))?;
            let data = DataTerm::new(images);
            let network = network
                .clone()
                .at(trainer.stack(layers.clone(), batch)?.switches())?;
            let codes = objective.measure(&network, codes, &data);
            after += Evaluation::total(&codes).objective;
            let maps = match separate {
                true => {
                    let maps = |trainer: &mut Self, i| trainer.run.maps(top, i, &device);
                    objective.measure(&network, trainer.gather(batch, maps)?, &data)
                }
                false => codes,
            };
            going_on += Evaluation::total(&maps).objective;
            let each: Vec<f64> = maps.iter().map(|e| e.snr).collect();
            snr.extend(trainer.without_flat(batch, &each));
        }
        if !(after + going_on).is_finite() {
            return Err(trainer.save_before(Error::Numeric(
                "the update of the filters at the end of the epoch diverged; try more conjugate \
                 gradient steps or less data_weight"
                    .into(),
            ))?);
        }
        trainer.run.network.take_filters(layers, &network);
        trainer.run.state.epoch.after_filters = after;
        snr.retain(|snr| snr.is_finite());
        let epoch = &mut trainer.run.state.epoch;
        epoch.without_snr = epoch.images.saturating_sub(snr.len());
        epoch.snr = snr.iter().sum();
        Ok(())
    }
}

/// Which maps have a non-zero element in a batch.
fn used_maps(codes: &Tensor<4>) -> Result<Vec<bool>> {
    let strongest = codes.clone().abs().max_dim(3).max_dim(2).max_dim(0);
    Ok(backend::read(&strongest)?
        .into_iter()
        .map(|v| v != 0.0)
        .collect())
}
