//! The trainer: epoch by epoch, saved as it goes.

use std::path::Path;
use std::time::Instant;

use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

use super::export;
use super::labelled::{DataSet, View};
use super::network::{Architecture, Network, descend};
use super::settings::Settings;
use super::state::{Kind, Model, Progress, State, Sums, TraceLine};
use crate::backend;
use crate::error::{Error, Result};
use crate::run::{load, save};
use crate::solve::Callback;
use crate::store::{CheckpointSelector, RunFolder};
use crate::train::{Ended, Event};

/// The epochs whose networks are kept as files, with the last: those of the paper's figure 4.
pub const KEPT_EPOCHS: [usize; 8] = [1, 2, 5, 10, 20, 30, 40, 64];
/// Held-out images measured at a time.
const MEASURED: usize = 256;

/// A stream of random numbers of its own for each purpose, epoch and batch: a resumed run draws what an
/// uninterrupted one does.
fn random_stream(seed: u64, purpose: u64, epoch: usize, batch: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose << 56 | (epoch as u64) << 24 | batch as u64);
    rng
}

const WEIGHTS: u64 = 1;
const ORDER: u64 = 2;
const VIEWS: u64 = 3;
const DROPOUT: u64 = 4;

/// Trains a network in a run folder; see [the module](super).
#[derive(Debug)]
pub struct Trainer {
    folder: RunFolder,
    state: State,
    network: Network,
    velocity: Network,
    data: DataSet,
    device: Device,
}

impl Trainer {
    /// Starts a run in the folder `path`, which must not hold one.
    ///
    /// # Errors
    /// Everything that can be wrong with images, settings and the folder.
    pub fn start(settings: Settings, path: &Path, device: &Device) -> Result<Self> {
        settings.check()?;
        if let Some(side) = settings.size {
            // Before hours of reading.
            Architecture::new(side, 2, settings.width)?;
        }
        let data = DataSet::open(&settings)?;
        let architecture = Architecture::new(data.side, data.classes.len(), settings.width)?;
        let mut rng = random_stream(settings.seed, WEIGHTS, 0, 0);
        let network = Network::random(&architecture, settings.initial, &mut rng, device);
        let state = State {
            kind: Kind::Convnet,
            model: Model {
                standardisation: data.standardisation(),
                classes: data.classes.clone(),
                architecture,
            },
            trainer: Progress {
                crc32: data.crc32(),
                rate: settings.rate,
                settings,
                epoch: 0,
                batch: 0,
                best: None,
                waited: 0,
                sums: Sums::default(),
                seconds: 0.0,
            },
            metrics: None,
        };
        let mut trainer = Self {
            folder: RunFolder::create(path)?,
            velocity: Network::zeros(&state.model.architecture, device),
            state,
            network,
            data,
            device: device.clone(),
        };
        trainer.commit(false)?;
        Ok(trainer)
    }

    /// Goes on with the run in the folder `path`, as if it had never stopped.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is damaged or holds another kind of model, [`Error::Input`] where its
    /// images are not what they were.
    pub fn resume(path: &Path, which: CheckpointSelector, device: &Device) -> Result<Self> {
        // All of it is read before anything is written: going on from an older checkpoint drops those
        // that came after it.
        let (state, network) = read(path, which, device)?;
        let data = DataSet::open(&state.trainer.settings)?;
        if data.crc32() != state.trainer.crc32 || data.classes != state.model.classes {
            return Err(Error::Input(format!(
                "the images of {} are not those that {} was trained with so far: restore them, or start \
                 a new run",
                match &state.trainer.settings.data {
                    Some(data) => data.display().to_string(),
                    None => "the sample set".into(),
                },
                path.display()
            )));
        }
        let blank = Network::zeros(&state.model.architecture, device);
        let folder = RunFolder::open(path, which)?;
        Ok(Self {
            velocity: load(&folder, "velocity", blank)?,
            folder,
            state,
            network,
            data,
            device: device.clone(),
        })
    }

    /// What has been learnt so far.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// All that is learnt: the network, and the velocities of its weights.
    #[cfg(test)]
    pub(super) fn arrays(&self) -> [&Network; 2] {
        [&self.network, &self.velocity]
    }

    /// What is known of the learning.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The epochs so far.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn trace(&self) -> Result<Vec<TraceLine>> {
        Ok(self.folder.read_trace()?.records)
    }

    /// Trains until all epochs are done or the callback asks to stop.
    ///
    /// # Errors
    /// [`Error::Numeric`] where the loss leaves the finite range, with the checkpoint before that kept;
    /// those of writing.
    pub fn train(&mut self, callback: &mut dyn Callback<Event>) -> Result<Ended> {
        let Progress {
            settings,
            epoch,
            sums,
            ..
        } = &self.state.trainer;
        let images = self.data.training.len();
        let Architecture {
            side, maps, hidden, ..
        } = &self.state.model.architecture;
        callback.event(Event::Note(format!(
            "{images} images to learn from and {} held out, {} classes, {side} x {side} pixels; maps \
             {maps:?}, {hidden} hidden units, {} parameters",
            self.data.validation.len(),
            self.data.classes.len(),
            self.network.num_params(),
        )));
        callback.event(Event::Stage {
            name: "convnet".into(),
            epochs: settings.epochs,
            images,
            done: epoch * images + sums.images,
        });
        while self.state.trainer.epoch < self.state.trainer.settings.epochs {
            if self.epoch(callback)? == Ended::Interrupted {
                return Ok(Ended::Interrupted);
            }
        }
        Ok(Ended::Finished)
    }

    /// Trains for one epoch, or what is left of it.
    fn epoch(&mut self, callback: &mut dyn Callback<Event>) -> Result<Ended> {
        let (seconds, began) = (self.state.trainer.seconds, Instant::now());
        let epoch = self.state.trainer.epoch;
        let Settings { seed, batch, .. } = self.state.trainer.settings;
        let mut order: Vec<usize> = (0..self.data.training.len()).collect();
        order.shuffle(&mut random_stream(seed, ORDER, epoch, 0));
        let batches: Vec<&[usize]> = order.chunks(batch).collect();
        for chosen in &batches[self.state.trainer.batch..] {
            self.step(chosen)?;
            let progress = &mut self.state.trainer;
            progress.batch += 1;
            progress.seconds = seconds + began.elapsed().as_secs_f64();
            callback.event(Event::LabelledBatch {
                epoch,
                images: chosen.len(),
                numbers: format!(
                    "loss {:.3}  accuracy {:.1} %",
                    progress.sums.mean_loss(),
                    100.0 * progress.sums.accuracy()
                ),
            });
            if callback.interrupted() {
                self.commit(false)?;
                return Ok(Ended::Interrupted);
            }
        }
        let held_out = self.measure()?;
        self.check_finite(&held_out)?;
        let progress = &mut self.state.trainer;
        progress.seconds = seconds + began.elapsed().as_secs_f64();
        let line = TraceLine {
            epoch: epoch + 1,
            rate: progress.rate,
            loss: progress.sums.mean_loss(),
            accuracy: progress.sums.accuracy(),
            validation_loss: held_out.mean_loss(),
            validation_accuracy: held_out.accuracy(),
            seconds: progress.seconds,
        };
        let is_best = progress.end_epoch(held_out.mean_loss());
        callback.event(Event::Note(line.to_string()));
        self.folder.append_trace(&line)?;
        self.state.metrics = Some(line);
        let progress = &self.state.trainer;
        if KEPT_EPOCHS.contains(&progress.epoch) || progress.epoch == progress.settings.epochs {
            let name = format!("model-epoch{:03}.onnx", progress.epoch);
            export::write(
                &self.network,
                &self.state.model,
                &self.folder.path().join(name),
            )?;
        }
        self.commit(is_best)?;
        Ok(Ended::Finished)
    }

    /// One step on the images `chosen`.
    fn step(&mut self, chosen: &[usize]) -> Result<()> {
        let progress = &self.state.trainer;
        let Progress {
            settings,
            epoch,
            batch,
            rate,
            ..
        } = progress;
        let stream = |purpose| random_stream(settings.seed, purpose, *epoch, *batch);
        let Architecture {
            side,
            classes,
            hidden,
            ..
        } = self.state.model.architecture;
        let n = chosen.len();
        let mut rng = stream(VIEWS);
        let view = |_: &usize| match settings.augment {
            true => View::random(side, &mut rng),
            false => View::default(),
        };
        let views: Vec<View> = chosen.iter().map(view).collect();
        let device = self.device.clone().autodiff();
        let standardisation = &self.state.model.standardisation;
        let data = &self.data.training;
        let images = data.batch(chosen, &views, side, standardisation, &device);
        let labels: Vec<usize> = chosen.iter().map(|&i| data.labels[i]).collect();
        let mut rng = stream(DROPOUT);
        let masks = [(); 2].map(|()| {
            let kept = 1.0 / (1.0 - settings.dropout);
            let unit = |_| match rng.random_bool(settings.dropout) {
                true => 0.0,
                false => kept as f32,
            };
            let values: Vec<f32> = (0..hidden * n).map(unit).collect();
            Tensor::<2>::from_data(TensorData::new(values, [hidden, n]), &device)
        });

        let network = self.network.clone().train();
        let mut sums = progress.sums;
        let mut gradients: Option<Vec<[Tensor<4>; 2]>> = None;
        // The gradient of a sum is the sum of gradients: memory does not grow with the batch.
        let together = self.state.model.architecture.together();
        for (labels, start) in labels.chunks(together).zip((0..n).step_by(together)) {
            let count = labels.len();
            let masks = masks
                .each_ref()
                .map(|mask| mask.clone().narrow(1, start, count));
            let logits = network.forward(images.clone().narrow(1, start, count), Some(masks));
            let mut one_hot = vec![0.0_f32; classes * count];
            for (i, label) in labels.iter().enumerate() {
                one_hot[label * count + i] = -1.0 / n as f32;
            }
            let one_hot = TensorData::new(one_hot, [classes, count]);
            let one_hot = Tensor::<2>::from_data(one_hot, &device);
            let slopes = (log_softmax(logits.clone(), 0) * one_hot).sum().backward();
            let mut sum = gradients.take().into_iter().flatten();
            let more = network.layers.iter().map(|layer| {
                let sum = sum.next();
                let of = |k: usize, parameter: &Param<Tensor<4>>| {
                    let parameter = parameter.val();
                    let slope = parameter.grad(&slopes);
                    let slope = slope.unwrap_or_else(|| parameter.inner().zeros_like());
                    match &sum {
                        Some(sum) => sum[k].clone() + slope,
                        None => slope,
                    }
                };
                [of(0, &layer.weight), of(1, &layer.bias)]
            });
            gradients = Some(more.collect());
            sums.add(&backend::read(&logits.inner())?, labels);
        }
        let gradients = gradients.unwrap_or_default();
        self.check_finite(&sums)?;
        let Settings {
            momentum,
            decay,
            radius,
            ..
        } = *settings;
        descend(
            &mut self.network,
            &mut self.velocity,
            gradients,
            *rate,
            momentum,
            decay,
        );
        self.network.renormalise(radius);
        self.state.trainer.sums = sums;
        Ok(())
    }

    /// Refuses to go on from a loss that is not finite.
    fn check_finite(&self, sums: &Sums) -> Result<()> {
        if sums.loss.is_finite() {
            return Ok(());
        }
        let Progress { epoch, rate, .. } = self.state.trainer;
        Err(Error::Numeric(format!(
            "the loss is not finite in epoch {}: choose a smaller learning rate than {rate}; the last \
             checkpoint is from before that",
            epoch + 1
        )))
    }

    /// Loss and accuracy on the held-out images.
    fn measure(&self) -> Result<Sums> {
        let Model {
            standardisation,
            architecture,
            ..
        } = &self.state.model;
        let data = &self.data.validation;
        let all: Vec<usize> = (0..data.len()).collect();
        let mut sums = Sums::default();
        for chosen in all.chunks(MEASURED.min(architecture.together())) {
            let views = vec![View::default(); chosen.len()];
            let side = architecture.side;
            let images = data.batch(chosen, &views, side, standardisation, &self.device);
            let logits = self.network.forward(images, None);
            sums.add(
                &backend::read(&logits)?,
                &data.labels[chosen[0]..][..chosen.len()],
            );
        }
        Ok(sums)
    }

    /// Makes all of it a checkpoint.
    fn commit(&mut self, best: bool) -> Result<()> {
        self.folder.put("network", &save(self.network.clone())?)?;
        self.folder.put("velocity", &save(self.velocity.clone())?)?;
        let step = self.folder.last_step().map_or(0, |step| step + 1);
        self.folder.commit(step, &self.state, best)
    }
}

/// The state and the network of a checkpoint.
///
/// # Errors
/// [`Error::Checkpoint`] where it is missing, damaged, or holds another kind of model.
pub fn read(path: &Path, which: CheckpointSelector, device: &Device) -> Result<(State, Network)> {
    let folder = RunFolder::read(path, which)?;
    let (_, state): (_, State) = folder.state()?;
    let blank = Network::zeros(&state.model.architecture, device);
    Ok((state, load(&folder, "network", blank)?))
}

impl Progress {
    /// Goes on to the next epoch, at a tenth of the rate where the loss on held-out images has not fallen
    /// for long; whether it is the lowest so far.
    fn end_epoch(&mut self, loss: f64) -> bool {
        let is_best = self.best.is_none_or(|best| loss < best);
        self.waited += 1;
        if is_best {
            self.best = Some(loss);
            self.waited = 0;
        } else if self.waited >= self.settings.patience() {
            self.rate /= 10.0;
            self.waited = 0;
        }
        self.epoch += 1;
        self.batch = 0;
        self.sums = Sums::default();
        is_best
    }
}

impl std::fmt::Display for TraceLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "epoch {}  rate {:.0e}  loss {:.3}  accuracy {:.1} %  held out: loss {:.3}  accuracy {:.1} %  \
             {:.1} s",
            self.epoch,
            self.rate,
            self.loss,
            100.0 * self.accuracy,
            self.validation_loss,
            100.0 * self.validation_accuracy,
            self.seconds
        )
    }
}
