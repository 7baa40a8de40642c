//! The visit of a batch, and what is left for the end of an epoch.

use std::cell::RefCell;

use burn::tensor::Tensor;
use rand::{RngExt, seq::SliceRandom};

use super::Event;
use super::trainer::{Ended, ORDER, START, Trainer, random_stream};
use crate::backend;
use crate::config::{Form, Update};
use crate::error::{Error, Result};
use crate::model::{Evaluation, FeatureMaps, Network};
use crate::run::{EpochSums, TraceLine};
use crate::solve::{Batches, Callback, CodedBatch, Problem};

impl Trainer {
    /// The batches of the epoch: images in random order, neighbours of equal size together; in the
    /// adaptive form, which is slow on single images, all of equal size.
    pub(super) fn batches(&self) -> Vec<Vec<usize>> {
        let state = &self.run.state;
        let mut order: Vec<usize> = (0..state.images.len()).collect();
        let rng = &mut random_stream(state, ORDER, 0);
        order.shuffle(rng);
        if state.config.train.form == Form::Adaptive {
            order.sort_by_key(|&i| state.images[i].shape);
            let alike = order.chunk_by(|&a, &b| state.images[a].shape == state.images[b].shape);
            let batches = alike.flat_map(|alike| alike.chunks(state.config.train.batch));
            let mut batches: Vec<_> = batches.map(<[usize]>::to_vec).collect();
            batches.shuffle(rng);
            return batches;
        }
        order
            .chunk_by(|&a, &b| state.images[a].shape == state.images[b].shape)
            .flat_map(|alike| alike.chunks(state.config.train.batch))
            .map(<[usize]>::to_vec)
            .collect()
    }

    /// The step that is next in an epoch: the members of the group visit their parts of a batch, or a batch
    /// each where the filters wait for the end of the epoch. A line for each batch.
    pub(super) fn step(&mut self, batches: &[Vec<usize>]) -> Result<Vec<TraceLine>> {
        let group = self.group().clone();
        let first = self.run.state.position.batch;
        let deals = !self.updates_filters();
        let own = match deals {
            true => batches
                .get(first + group.rank())
                .map_or(&[][..], Vec::as_slice),
            false => &batches[first][group.part(batches[first].len())],
        };
        let here = match own.is_empty() {
            true => self.attend(),
            false => self.visit(own),
        };
        let here = group.agree(here)?;
        self.run.store.share()?;
        let mut all = group.gather(here)?;
        if !deals {
            let mut sums = EpochSums::default();
            all.iter().for_each(|part| sums.merge(part));
            all = vec![sums];
        }
        all.retain(|sums| sums.images > 0);
        let (position, seconds) = (self.run.state.position, self.seconds());
        let lines = all.iter().zip(first..).map(|(sums, b)| {
            self.run.state.epoch.merge(sums);
            sums.line(position, Some(b), seconds)
        });
        Ok(lines.collect())
    }

    /// Whether the filters are updated at every step.
    fn updates_filters(&self) -> bool {
        self.run.state.config.train.update_filters != Update::Epoch
    }

    /// Does for the others what a member does that has no image in this step.
    fn attend(&mut self) -> Result<EpochSums> {
        let layers = self.run.state.layers_of(self.run.state.position.stage);
        let update = self.updates_filters();
        let network = self.run.network.part(layers.clone());
        let network = self.learner.attend(network, update, &mut self.memory)?;
        self.run.network.take_filters(layers, &network);
        Ok(EpochSums::default())
    }

    /// Codes some images, updates the filters if it is their turn, and stores the maps.
    fn visit(&mut self, batch: &[usize]) -> Result<EpochSums> {
        let stage = self.run.state.position.stage;
        let layers = self.run.state.layers_of(stage);
        let top = layers.end - 1;
        let stack = self.stack(layers.clone(), batch)?;
        let images = self.targets(batch)?;
        let maps = self.gather(batch, |trainer, i| trainer.maps_or_start(&stack, top, i))?;
        let problem = Problem::new(stack, images, self.run.state.objectives[stage])?;
        let update = self.updates_filters();
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
        let mut sums = EpochSums {
            used: used_maps(&learnt.codes)?,
            ..EpochSums::default()
        };
        let snr = self.without_flat(batch, &learnt.snr);
        sums.add(&learnt.after_codes, &learnt.after_filters, &snr);
        Ok(sums)
    }

    /// The SNR of each image of a batch, not a number where the image is flat.
    fn without_flat(&self, batch: &[usize], snr: &[f64]) -> Vec<f64> {
        let images = batch.iter().map(|&i| &self.run.state.images[i]);
        let each = images.zip(snr);
        each.map(|(image, &snr)| if image.flat { f64::NAN } else { snr })
            .collect()
    }

    /// Tells where there are so few images in a step that members of the group have nothing to do.
    pub(super) fn idle(&self) -> Option<String> {
        let size = self.group().size();
        if size == 1 || self.run.state.finished() {
            return None;
        }
        let batches = self.batches();
        let (images, batches) = (self.run.state.images.len(), batches.len());
        let (at_once, of) = match self.updates_filters() {
            true => (images as f64 / batches as f64, "images in a batch"),
            false => (batches as f64, "batches in an epoch"),
        };
        (at_once < size as f64).then(|| {
            format!(
                "warning: there are {at_once:.1} {of} for {size} processes, and some of them are idle; only \
                 images of the same size go into one batch"
            )
        })
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
    /// epoch's line, and saves where it is time to, or the last chance.
    pub(super) fn end_epoch(
        &mut self,
        batches: &[Vec<usize>],
        callback: &mut dyn Callback<Event>,
    ) -> Result<Ended> {
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
        state.epoch = EpochSums::default();
        state.position.epoch += 1;
        state.position.batch = 0;
        self.run.store.append_trace(&line)?;
        self.run.state.metrics.truncate(line.stage);
        self.run.state.metrics.push(line.clone());
        let objective = line.after_filters;
        callback.event(Event::Epoch(line));
        let group = self.group().clone();
        let interrupted = group.any(callback.interrupted());
        if group.any(self.is_due()) || interrupted || last {
            let best = &mut self.run.state.best;
            let is_best = best.is_none_or(|best| objective < best);
            if is_best {
                *best = Some(objective);
            }
            self.commit(is_best)?;
        }
        Ok(match interrupted {
            true => Ended::Interrupted,
            false => Ended::Finished,
        })
    }

    /// One update of the filters from all images, read batch by batch.
    fn update_filters_from_all(&mut self, batches: &[Vec<usize>]) -> Result<()> {
        let stage = self.run.state.position.stage;
        let layers = self.run.state.layers_of(stage);
        let top = layers.end - 1;
        let stack = self.run.network.part(layers.clone());
        let learner = self.learner.clone();
        let group = &learner.group;
        let own = || batches.iter().skip(group.rank()).step_by(group.size());
        let trainer = RefCell::new(self);
        let own_batches: &Batches = &|visit| {
            for batch in own() {
                let mut trainer = trainer.borrow_mut();
                let data = trainer.targets(batch)?;
                let device = trainer.device.clone();
                let maps = trainer.gather(batch, |trainer, i| trainer.run.maps(top, i, &device))?;
                let switches = trainer.stack(layers.clone(), batch)?.switches();
                visit(CodedBatch {
                    maps,
                    data,
                    switches,
                })?;
            }
            Ok(())
        };
        let network = learner.update_filters(stack, own_batches, None, &mut [])?;
        let trainer = trainer.into_inner();
        let objective = trainer.run.state.objectives[stage];
        let separate = learner.codes.has_separate_maps();
        let (mut after, mut snr, mut going_on) = (0.0, Vec::new(), 0.0);
        for batch in own() {
            let device = trainer.device.clone();
            let data = trainer.targets(batch)?;
            let codes = trainer.gather(batch, |trainer, i| trainer.run.codes(top, i, &device))?;
            let network = network
                .clone()
                .at(trainer.stack(layers.clone(), batch)?.switches())?;
            let codes = objective.measure(&network, codes, &data);
            after += Evaluation::total(&codes).objective;
            let maps = match separate {
                true => {
                    let maps = |trainer: &mut Self, i| trainer.run.maps(top, i, &device);
                    let free = objective.with_non_negative(false);
                    free.measure(&network, trainer.gather(batch, maps)?, &data)
                }
                false => codes,
            };
            going_on += Evaluation::total(&maps).objective;
            let each: Vec<f64> = maps.iter().map(|e| e.snr).collect();
            snr.extend(trainer.without_flat(batch, &each));
        }
        snr.retain(|snr| snr.is_finite());
        let mut sums = [after, going_on, snr.iter().sum(), snr.len() as f64];
        group.sum(&mut sums);
        let [after, going_on, snr, with_snr] = sums;
        if !(after + going_on).is_finite() {
            return Err(trainer.save_before(Error::Numeric(
                "the update of the filters at the end of the epoch diverged; try more conjugate \
                 gradient steps or less data_weight"
                    .into(),
            ))?);
        }
        trainer.run.network.take_filters(layers, &network);
        trainer.run.state.epoch.after_filters = after;
        let epoch = &mut trainer.run.state.epoch;
        epoch.without_snr = epoch.images.saturating_sub(with_snr as usize);
        epoch.snr = snr;
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
