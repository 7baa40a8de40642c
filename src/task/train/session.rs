//! One session of learning: stage by stage, epoch by epoch, saved as it goes.

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use rand::{SeedableRng, rngs::ChaCha8Rng, seq::SliceRandom};

use super::{Ended, Report, estimate};
use crate::config::{Form, Sparsity, Update};
use crate::data::Range;
use crate::error::{Error, Result};
use crate::model::{DataTerm, Objective};
use crate::run::{
    Images, Position, Run, State, TraceLine, moments_name, save, statistics_name, to_image,
    to_tensor,
};
use crate::solve::{FilterMemory, Learner};
use crate::task::visualize::{PICTURES, pictures_of};
use crate::task::{Callback, Event};

/// A stream of random numbers of its own for each purpose, so that nothing but the seed and the
/// position has to be stored.
pub(super) fn random_stream(state: &State, purpose: u64, index: u64) -> ChaCha8Rng {
    let Position { stage, epoch, .. } = state.position;
    let mut rng = ChaCha8Rng::seed_from_u64(state.config.seed);
    rng.set_stream(purpose << 56 | (stage as u64) << 48 | (epoch as u64) << 24 | index);
    rng
}

pub(super) const ORDER: u64 = 1;
pub(super) const START: u64 = 2;
pub(super) const RESAMPLE: u64 = 3;

/// One session of learning.
pub(super) struct Session<'a> {
    pub(super) run: Run,
    pub(super) images: Images,
    pub(super) memory: FilterMemory,
    pub(super) learner: Learner,
    pub(super) device: &'a Device,
    saved: Instant,
    began: Instant,
    seconds_before: f64,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        mut run: Run,
        images: Images,
        memory: FilterMemory,
        device: &'a Device,
    ) -> Self {
        run.folder.keep = run.state.config.checkpoint.keep;
        Self {
            learner: run.state.config.learner(),
            seconds_before: run.state.seconds,
            run,
            images,
            memory,
            device,
            saved: Instant::now(),
            began: Instant::now(),
        }
    }

    pub(super) fn learn(mut self, observer: &mut dyn Callback<Event>) -> Result<Report> {
        let (memory, disk) = estimate(&self.run.state, &self.run.network);
        observer.event(Event::Note(format!(
            "{} images; about {} MiB of memory, {} MiB of disk",
            self.run.state.images.len(),
            memory.div_ceil(1 << 20),
            disk.div_ceil(1 << 20)
        )));
        while !self.run.state.finished() {
            self.begin_stage(observer)?;
            while self.run.state.position.epoch < self.epochs() {
                if self.epoch(observer)? == Ended::Interrupted {
                    return self.report(Ended::Interrupted, observer);
                }
            }
            self.end_stage(observer)?;
        }
        self.report(Ended::Finished, observer)
    }

    pub(super) fn epochs(&self) -> usize {
        let state = &self.run.state;
        let top = state.layers_of(state.position.stage).end - 1;
        state.config.layers[top].epochs
    }

    /// Works out the weights of the stage's objective, unless a resume brought them along.
    fn begin_stage(&mut self, observer: &mut dyn Callback<Event>) -> Result<()> {
        let stage = self.run.state.position.stage;
        if self.run.state.objectives.len() == stage {
            let objective = self.objective(observer)?;
            self.run.state.objectives.push(objective);
            self.run.state.best = None;
            self.memory = self.fresh_memory();
            self.commit(false)?;
        }
        let state = &self.run.state;
        observer.event(Event::Stage {
            name: match state.layers_of(stage) {
                layers if layers.len() > 1 => format!("layers 1 to {} together", layers.end),
                layers => format!("layer {}/{}", layers.end, state.stages()),
            },
            epochs: self.epochs(),
            images: state.images.len(),
            done: state.position.epoch * state.images.len() + state.epoch.images,
        });
        Ok(())
    }

    /// What a stage begins with.
    fn fresh_memory(&self) -> FilterMemory {
        let state = &self.run.state;
        match state.config.train.update_filters {
            Update::Online => {
                let layers = state.layers_of(state.position.stage);
                FilterMemory::online(&self.run.network.part(layers))
            }
            Update::Batch | Update::Epoch => FilterMemory::default(),
        }
    }

    fn objective(&mut self, observer: &mut dyn Callback<Event>) -> Result<Objective> {
        let layers = self.run.state.layers_of(self.run.state.position.stage);
        let top = self.run.state.config.layers[layers.end - 1].clone();
        let stack = self.run.network.part(layers);
        let sparsity = match top.sparsity {
            Sparsity::Weight(weight) => weight,
            Sparsity::OfMax { of_max } => {
                let mut most = 0.0_f64;
                for i in 0..self.run.state.images.len() {
                    let target = self.target(i)?;
                    most = most.max(Objective::largest_useful_sparsity(
                        top.data_weight,
                        &stack,
                        &DataTerm::new(target),
                    ));
                }
                observer.event(Event::Note(format!(
                    "sparsity {:.5}: {of_max} of {most:.5}, which makes all maps zero at p = 1",
                    of_max * most
                )));
                of_max * most
            }
        };
        Objective::new(top.data_weight, sparsity, top.p)
    }

    /// What the stage has to explain of image `i`, `[1, C, H, W]`: the prepared image, or the
    /// rescaled maps of the layer below.
    pub(super) fn target(&mut self, i: usize) -> Result<Tensor<4>> {
        let below = self
            .run
            .state
            .layers_of(self.run.state.position.stage)
            .start;
        if below == 0 {
            return Ok(to_tensor(&self.images.get(i)?, self.device));
        }
        let maps = self.run.maps(below - 1, i, self.device)?;
        Ok(self.run.network.layers()[below - 1].rescale(maps))
    }

    /// The batches of the epoch: images in random order, neighbours of equal size together.
    fn batches(&mut self) -> Result<Vec<Vec<usize>>> {
        let state = &self.run.state;
        let mut order: Vec<usize> = (0..state.images.len()).collect();
        order.shuffle(&mut random_stream(state, ORDER, 0));
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for i in order {
            match batches.last_mut() {
                Some(batch)
                    if batch.len() < state.config.train.batch
                        && state.images[batch[0]].shape == state.images[i].shape =>
                {
                    batch.push(i);
                }
                _ => batches.push(vec![i]),
            }
        }
        Ok(batches)
    }

    fn epoch(&mut self, observer: &mut dyn Callback<Event>) -> Result<Ended> {
        let batches = self.batches()?;
        let first = self.run.state.position.batch;
        for (b, batch) in batches.iter().enumerate().skip(first) {
            let line = self.visit(b, batch)?;
            self.run.state.position.batch = b + 1;
            self.run.folder.append_trace(&line)?;
            observer.event(Event::Batch(line));
            let due = self.saved.elapsed().as_secs_f64()
                >= self.run.state.config.checkpoint.every_seconds;
            if observer.interrupted() {
                self.commit(false)?;
                return Ok(Ended::Interrupted);
            }
            if due {
                self.commit(false)?;
            }
        }
        self.end_epoch(&batches, observer)?;
        Ok(if observer.interrupted() {
            Ended::Interrupted
        } else {
            Ended::Finished
        })
    }

    /// Fixes the rescaling of the finished layer's maps and moves on to the next stage.
    fn end_stage(&mut self, observer: &mut dyn Callback<Event>) -> Result<()> {
        let stage = self.run.state.position.stage;
        let range = self.run.state.config.train.rescale_maps;
        let last = stage + 1 == self.run.state.stages();
        let layer_wise = self.run.state.config.train.form == Form::LayerWise;
        let rescaling = if layer_wise && !last && range > 0.0 {
            let mut seen = Range::new();
            for i in 0..self.run.state.images.len() {
                let maps = self.run.maps(stage, i, self.device)?;
                seen.add(&to_image(&maps, 0)?.values);
            }
            Some(seen.rescaling(range))
        } else {
            None
        };
        self.run.state.rescaling.push(rescaling);
        if layer_wise {
            self.run.network.layers_mut()[stage].rescaling = rescaling;
        }
        // It belongs to the layer that is done, and no resume may look for it any more.
        self.memory = FilterMemory::default();
        self.run.state.position = Position {
            stage: stage + 1,
            epoch: 0,
            batch: 0,
        };
        if self.run.state.finished() {
            observer.event(Event::Note("all epochs are done".into()));
        }
        self.commit(false)
    }

    pub(super) fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }

    pub(super) fn commit(&mut self, best: bool) -> Result<()> {
        self.run.state.seconds = self.seconds();
        let FilterMemory {
            moments,
            statistics,
        } = &self.memory;
        self.run.state.adam_steps = moments.iter().map(|m| m.time).collect();
        self.run.state.statistics_batches = statistics.iter().map(|p| p.batches).collect();
        self.run
            .folder
            .put("filters", &save(self.run.network.clone())?)?;
        let stage = self
            .run
            .state
            .position
            .stage
            .min(self.run.state.stages() - 1);
        let layers = self.run.state.layers_of(stage);
        for (layer, moments) in layers.clone().zip(moments) {
            self.run
                .folder
                .put(&moments_name(layer), &save(moments.clone())?)?;
        }
        for (layer, statistics) in layers.zip(statistics) {
            self.run
                .folder
                .put(&statistics_name(layer), &save(statistics.clone())?)?;
        }
        let state = &self.run.state;
        let step = self.run.folder.last_step().map_or(0, |step| step + 1);
        self.run.folder.commit(step, state, best)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Saves what was finite before the numbers ran wild, and says so in the message.
    pub(super) fn save_before(&mut self, error: Error) -> Result<Error> {
        let Error::Numeric(message) = error else {
            return Ok(error);
        };
        self.commit(false)?;
        Ok(Error::Numeric(format!(
            "{message}; the last finite state is saved in {}",
            self.run.folder.path().display()
        )))
    }

    fn report(mut self, ended: Ended, observer: &mut dyn Callback<Event>) -> Result<Report> {
        if ended == Ended::Finished {
            let folder = self.run.folder.path().join(PICTURES);
            pictures_of(&self.run, &mut self.images, self.device, &folder, observer)?;
        }
        let trace = self.run.folder.read_trace::<TraceLine>()?.records;
        let stages = (0..self.run.state.stages())
            .filter_map(|stage| {
                let mut lines = trace.iter().rev();
                lines
                    .find(|l| l.stage == stage && l.batch.is_none())
                    .cloned()
            })
            .collect();
        Ok(Report {
            run: self.run.folder.path().to_path_buf(),
            ended,
            stages,
            resampled: self.run.state.resampled,
            seconds: self.seconds(),
            joint: self.run.state.config.train.form == Form::Joint,
        })
    }
}
