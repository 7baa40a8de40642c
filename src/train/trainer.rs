//! The trainer: stage by stage, epoch by epoch, saved as it goes.

use std::ops::Range;
use std::time::Instant;

use burn::tensor::Device;
use rand::{SeedableRng, rngs::ChaCha8Rng};

use super::Event;
use crate::config::{Form, Update};
use crate::data;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::model::{DataTerm, Network};
use crate::run::{Estimate, Images, Position, Run, State, Work, to_image};
use crate::solve::{Callback, FilterMemory, Learner};

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

/// Why training came to a halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// All epochs of all layers are done.
    Finished,
    /// The callback asked to stop; training can go on.
    Interrupted,
}

/// Learns filters and maps from images; see [the module](super).
#[derive(Debug)]
pub struct Trainer {
    pub(super) run: Run,
    pub(super) images: Images,
    pub(super) memory: FilterMemory,
    pub(super) learner: Learner,
    pub(super) device: Device,
    /// Whether the settings are others than those saved.
    pub(super) changed: bool,
    /// The stage that the callback was told of last.
    pub(super) announced: Option<usize>,
    pub(super) saved: Instant,
    /// When the present call began, and the seconds spent before it.
    pub(super) began: Instant,
    pub(super) seconds_before: f64,
}

impl Trainer {
    /// Those who learn together.
    pub fn group(&self) -> &Group {
        &self.learner.group
    }

    /// What has been learnt so far.
    pub fn network(&self) -> &Network {
        &self.run.network
    }

    /// Filters, maps and the state of learning.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The images, prepared.
    pub fn images(&mut self) -> &mut Images {
        &mut self.images
    }

    /// The run and its images, for use.
    pub fn into_parts(self) -> (Run, Images) {
        (self.run, self.images)
    }

    /// Trains until all epochs are done or the callback asks to stop.
    ///
    /// # Errors
    /// [`Error::Numeric`] where the numbers leave the finite range, with what was finite before kept;
    /// those of reading images and of writing checkpoints.
    pub fn train(&mut self, callback: &mut dyn Callback<Event>) -> Result<Ended> {
        for note in self.images.notes()? {
            callback.event(Event::Note(note));
        }
        let shapes = self.images.shapes();
        let Estimate { memory, disk } = Work::learning(&self.run.state.config)?.estimate(&shapes);
        callback.event(Event::Note(format!(
            "{} images; about {} MiB of memory, {} MiB of disk at most",
            self.run.state.images.len(),
            memory.div_ceil(1 << 20),
            disk.div_ceil(1 << 20)
        )));
        if let Some(note) = self.idle() {
            callback.event(Event::Note(note));
        }
        while !self.run.state.finished() {
            if self.epoch(callback)? == Ended::Interrupted {
                return Ok(Ended::Interrupted);
            }
        }
        Ok(Ended::Finished)
    }

    /// Trains for one epoch, or what is left of it; saved where it is time to, it is the last of its layer, or the
    /// callback asks to stop.
    ///
    /// # Errors
    /// As [`Trainer::train`].
    pub fn epoch(&mut self, callback: &mut dyn Callback<Event>) -> Result<Ended> {
        self.seconds_before = self.run.state.seconds;
        self.began = Instant::now();
        let ended = self.run_epoch(callback);
        self.run.state.seconds = self.seconds();
        ended
    }

    fn run_epoch(&mut self, callback: &mut dyn Callback<Event>) -> Result<Ended> {
        if self.run.state.finished() {
            return Ok(Ended::Finished);
        }
        self.begin_stage(callback)?;
        if self.run.state.position.epoch < self.epochs()
            && self.visit_all(callback)? == Ended::Interrupted
        {
            return Ok(Ended::Interrupted);
        }
        if self.run.state.position.epoch >= self.epochs() {
            self.end_stage(callback)?;
        }
        Ok(Ended::Finished)
    }

    pub(super) fn epochs(&self) -> usize {
        let state = &self.run.state;
        let top = state.layers_of(state.position.stage).end - 1;
        state.config.layers[top].epochs
    }

    /// Works out the weights of the stage's objective, unless a resume brought them along.
    fn begin_stage(&mut self, callback: &mut dyn Callback<Event>) -> Result<()> {
        let stage = self.run.state.position.stage;
        if self.run.state.objectives.len() == stage {
            let layers = self.run.state.layers_of(stage);
            let settings = self.run.state.config.layers[layers.end - 1].clone();
            let group = self.group().clone();
            let own = group.part(self.run.state.images.len());
            let targets = own.map(|i| Ok((self.stack(layers.clone(), &[i])?, self.target(i)?)));
            let (objective, note) = settings.objective(targets, &group)?;
            note.into_iter()
                .for_each(|note| callback.event(Event::Note(note)));
            self.run.state.objectives.push(objective);
            self.run.state.best = None;
            self.memory = self.fresh_memory();
            self.changed = true;
        }
        if self.changed {
            self.commit(false)?;
        }
        if self.announced.replace(stage) == Some(stage) {
            return Ok(());
        }
        let state = &self.run.state;
        callback.event(Event::Stage {
            name: match (state.config.train.form, state.layers_of(stage).end) {
                (Form::Joint, layers) if layers > 1 => format!("layers 1 to {layers} together"),
                (_, layer) => format!("layer {layer}/{}", state.stages()),
            },
            epochs: self.epochs(),
            images: state.images.len(),
            done: state.position.epoch * state.images.len() + state.epoch.images,
        });
        Ok(())
    }

    /// What a stage begins with.
    pub(super) fn fresh_memory(&self) -> FilterMemory {
        let state = &self.run.state;
        match state.config.train.update_filters {
            Update::Online => {
                let layers = state.layers_of(state.position.stage);
                FilterMemory::online(&self.run.network.part(layers))
            }
            Update::Batch | Update::Epoch => FilterMemory::default(),
        }
    }

    /// What the stage has to explain of image `i`, `[1, C, H, W]`: the prepared image, each pixel by its weight, or
    /// the rescaled maps of the layer below, of which none is missing.
    pub(super) fn target(&mut self, i: usize) -> Result<DataTerm> {
        let below = self
            .run
            .state
            .layers_of(self.run.state.position.stage)
            .start;
        if below == 0 {
            return self.images.data(i, &self.device);
        }
        let maps = self.run.maps(below - 1, i, &self.device)?;
        Ok(self.run.network.layers()[below - 1].rescale(maps).into())
    }

    /// The same of a batch.
    pub(super) fn targets(&mut self, batch: &[usize]) -> Result<DataTerm> {
        let each: Vec<_> = batch
            .iter()
            .map(|&i| self.target(i))
            .collect::<Result<_>>()?;
        Ok(DataTerm::cat(&each))
    }

    /// Those of the layers of a stage, at the switches of some images, of equal size, where maps are pooled.
    pub(super) fn stack(&mut self, layers: Range<usize>, images: &[usize]) -> Result<Network> {
        let mut maps = Vec::new();
        for l in layers.start..layers.end - 1 {
            if !self.run.network.layers()[l].pool.is_none() {
                let device = self.device.clone();
                maps.push((
                    l,
                    self.gather(images, |trainer, i| trainer.run.maps(l, i, &device))?,
                ));
            }
        }
        self.run
            .network
            .stack(layers, maps.iter().map(|(l, maps)| (*l, maps)))
    }

    /// The visits of an epoch that are left, and its end.
    fn visit_all(&mut self, callback: &mut dyn Callback<Event>) -> Result<Ended> {
        let batches = self.batches();
        let group = self.group().clone();
        while self.run.state.position.batch < batches.len() {
            for line in self.step(&batches)? {
                self.run.state.position.batch += 1;
                self.run.store.append_trace(&line)?;
                callback.event(Event::Batch(line));
            }
            if group.any(callback.interrupted()) {
                self.commit(false)?;
                return Ok(Ended::Interrupted);
            }
            if group.any(self.is_due()) {
                self.commit(false)?;
            }
        }
        self.end_epoch(&batches, callback)
    }

    /// Fixes the rescaling of the finished layer's maps and moves on to the next stage.
    fn end_stage(&mut self, callback: &mut dyn Callback<Event>) -> Result<()> {
        let stage = self.run.state.position.stage;
        let range = self.run.state.config.train.rescale_maps;
        let last = stage + 1 == self.run.state.stages();
        let layer_wise = self.run.state.config.train.form == Form::LayerWise;
        let rescaling = if layer_wise && !last && range > 0.0 {
            let group = self.group().clone();
            let mut seen = data::Range::new();
            for i in group.part(self.run.state.images.len()) {
                let maps = self.run.maps(stage, i, &self.device)?;
                seen.add(&to_image(&maps, 0)?.values);
            }
            // A range of nothing has no numbers that can be written.
            let all = group.gather((seen.count > 0).then_some(seen))?;
            let mut all = all.into_iter().flatten();
            let mut seen = all.next().unwrap_or_default();
            all.for_each(|other| seen.merge(&other));
            Some(seen.rescaling(range))
        } else {
            None
        };
        self.run.state.rescaling.push(rescaling);
        if layer_wise {
            self.run.network.layers_mut()[stage].rescaling = rescaling;
        }
        if !last {
            // It belongs to the layer that is done, and no resume may look for it any more.
            self.memory = FilterMemory::default();
        }
        self.run.state.position = Position {
            stage: stage + 1,
            epoch: 0,
            batch: 0,
        };
        if last {
            callback.event(Event::Note("all epochs are done".into()));
            self.commit(false)?;
        }
        Ok(())
    }

    /// Seconds spent training.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }

    /// Whether it is time to save.
    pub(super) fn is_due(&self) -> bool {
        self.saved.elapsed().as_secs_f64() >= self.run.state.config.checkpoint.every_seconds
    }

    pub(super) fn commit(&mut self, best: bool) -> Result<()> {
        self.run.state.seconds = self.seconds();
        self.run.commit(&self.memory, best)?;
        self.saved = Instant::now();
        self.changed = false;
        Ok(())
    }

    /// Saves what was finite before the numbers ran wild, and says so in the message. A group is at its end
    /// by then, and its last checkpoint stays.
    pub(super) fn save_before(&mut self, error: Error) -> Result<Error> {
        let (Error::Numeric(message), Some(path)) = (&error, self.run.store.path()) else {
            return Ok(error);
        };
        if !self.group().is_alone() {
            let path = path.display();
            return Ok(Error::Numeric(format!(
                "{message}; the last checkpoint is in {path}"
            )));
        }
        let message = format!(
            "{message}; the last finite state is saved in {}",
            path.display()
        );
        self.commit(false)?;
        Ok(Error::Numeric(message))
    }
}
