//! `train`: learn filters and maps from images, save as it goes, go on where it stopped.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng, seq::SliceRandom};
use serde::Serialize;

use super::visualize::{PICTURES, pictures_of};
use super::{Event, Observer};
use crate::config::{Config, Form, Sparsity, Update};
use crate::data::Range;
use crate::error::{Error, Result};
use crate::model::{Constraint, Evaluation, FeatureMaps, Layer, Network, Objective};
use crate::run::{
    EpochSums, Images, Position, Run, State, TraceLine, codes_name, load_moments, maps_name,
    moments_name, save, to_tensor,
};
use crate::solve::{Learner, Method, Moments, Problem};
use crate::store::{RunFolder, Which};

/// What a training session ended with.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run folder.
    pub run: PathBuf,
    /// Why it ended.
    pub ended: Ended,
    /// The last epoch of every stage that has one.
    pub stages: Vec<TraceLine>,
    /// Filters replaced because no image used them.
    pub resampled: usize,
    /// Seconds spent learning, over all sessions.
    pub seconds: f64,
}

/// Why a training session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// All epochs of all layers are done.
    Finished,
    /// Somebody asked to stop; the run can be resumed.
    Interrupted,
}

/// Starts a new run in the folder `path`, which must not hold one.
///
/// # Errors
/// Everything that can be wrong with images, settings, the folder and the numbers.
pub fn start(
    config: Config,
    path: &Path,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Report> {
    config.check()?;
    let images = Images::open(&config)?;
    let connectivity = config.connectivities()?;
    let sizes: Vec<_> = config.layers.iter().map(|l| [l.size; 2]).collect();
    check_sizes(&images, sizes[0])?;
    let folder = RunFolder::create(path)?;
    let state = State {
        prepare: images.prepare().clone(),
        images: images.sources().to_vec(),
        connectivity,
        sizes,
        objectives: Vec::new(),
        rescaling: Vec::new(),
        position: Position::default(),
        epoch: EpochSums::default(),
        best: None,
        adam_steps: Vec::new(),
        resampled: 0,
        seconds: 0.0,
        config,
    };
    let network = first_filters(&state, device);
    let run = Run {
        folder,
        state,
        network,
    };
    Session::new(run, images, Vec::new(), device).learn(observer)
}

/// Goes on with the run in the folder `path`, as if it had never stopped.
///
/// # Errors
/// As [`start`], and where the checkpoint is damaged.
pub fn resume(
    path: &Path,
    which: Which,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Report> {
    let run = Run::open(path, which, device)?;
    let images = Images::resume(&run.state);
    let moments = if run.state.finished() {
        Vec::new()
    } else {
        load_moments(&run, run.state.position.stage)?
    };
    Session::new(run, images, moments, device).learn(observer)
}

/// An estimate of the memory that learning takes at its peak, and of the disk, in bytes.
///
/// A solver's step holds about a dozen tensors of the size of a batch's maps; the maps of all other
/// images are on disk.
pub fn estimate(state: &State, network: &Network) -> (usize, usize) {
    const TENSORS: usize = 14;
    let batch = state.config.train.batch.min(state.images.len());
    let size = |shape: [usize; 4]| 4 * shape.iter().product::<usize>();
    let biggest = state
        .images
        .iter()
        .map(|s| s.shape)
        .max_by_key(|s| s[1] * s[2]);
    let [c, h, w] = biggest.unwrap_or([0; 3]);
    let (mut memory, mut disk) = (0, 0);
    for stage in 0..state.stages() {
        let top = network.part(0..state.layers_of(stage).end);
        memory = memory.max(TENSORS * size(top.maps_shape([batch, c, h, w])));
        disk += state
            .images
            .iter()
            .map(|s| size(top.maps_shape([1, s.shape[0], s.shape[1], s.shape[2]])))
            .sum::<usize>();
    }
    let images: usize = state
        .images
        .iter()
        .map(|s| size([1, s.shape[0], s.shape[1], s.shape[2]]))
        .sum();
    (memory + images, disk)
}

/// Every image must be at least as large as the filters.
fn check_sizes(images: &Images, [h, w]: [usize; 2]) -> Result<()> {
    for (i, source) in images.sources().iter().enumerate() {
        let [_, height, width] = source.shape;
        if height < h || width < w {
            return Err(Error::Input(format!(
                "{} is {height} x {width} pixels after preprocessing, smaller than the {h} x {w} \
                 filters; remove it, or choose smaller filters",
                images.name(i)
            )));
        }
    }
    Ok(())
}

fn first_filters(state: &State, device: &Device) -> Network {
    let config = &state.config;
    let layers = state.connectivity.iter().zip(&state.sizes).enumerate();
    Network::new(
        layers
            .map(|(l, (g, &size))| {
                let seed = config.seed.wrapping_add(l as u64);
                Layer::random(g.clone(), size, config.train.constraint, seed, device)
            })
            .collect(),
    )
}

/// A stream of random numbers of its own for each purpose, so that nothing but the seed and the
/// position has to be stored.
fn dice(state: &State, purpose: u64, index: u64) -> ChaCha8Rng {
    let Position { stage, epoch, .. } = state.position;
    let mut rng = ChaCha8Rng::seed_from_u64(state.config.seed);
    rng.set_stream(purpose << 56 | (stage as u64) << 48 | (epoch as u64) << 24 | index);
    rng
}

const ORDER: u64 = 1;
const START: u64 = 2;
const RESAMPLE: u64 = 3;

/// One session of learning.
struct Session<'a> {
    run: Run,
    images: Images,
    moments: Vec<Moments>,
    learner: Learner,
    device: &'a Device,
    saved: Instant,
    began: Instant,
    seconds_before: f64,
}

impl<'a> Session<'a> {
    fn new(mut run: Run, images: Images, moments: Vec<Moments>, device: &'a Device) -> Self {
        run.folder.keep = run.state.config.checkpoint.keep;
        Self {
            learner: run.state.config.learner(),
            seconds_before: run.state.seconds,
            run,
            images,
            moments,
            device,
            saved: Instant::now(),
            began: Instant::now(),
        }
    }

    fn learn(mut self, observer: &mut dyn Observer) -> Result<Report> {
        let (memory, disk) = estimate(&self.run.state, &self.run.network);
        observer.tell(Event::Note(format!(
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

    fn epochs(&self) -> usize {
        let state = &self.run.state;
        let top = state.layers_of(state.position.stage).end - 1;
        state.config.layers[top].epochs
    }

    /// Works out the weights of the stage's objective, unless a resume brought them along.
    fn begin_stage(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let stage = self.run.state.position.stage;
        if self.run.state.objectives.len() == stage {
            let objective = self.objective(observer)?;
            self.run.state.objectives.push(objective);
            self.run.state.best = None;
            self.moments.clear();
            self.commit(false)?;
        }
        let batches = self.batches()?.len();
        let position = self.run.state.position;
        observer.tell(Event::Stage {
            stage,
            stages: self.run.state.stages(),
            epochs: self.epochs(),
            batches,
            done: position.epoch * batches + position.batch,
        });
        Ok(())
    }

    fn objective(&mut self, observer: &mut dyn Observer) -> Result<Objective> {
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
                        target,
                    ));
                }
                observer.tell(Event::Note(format!(
                    "sparsity {:.5}: {of_max} of the largest useful {most:.5}",
                    of_max * most
                )));
                of_max * most
            }
        };
        Objective::new(top.data_weight, sparsity, top.p)
    }

    /// What the stage has to explain of image `i`, `[1, C, H, W]`: the prepared image, or the
    /// rescaled maps of the layer below.
    fn target(&mut self, i: usize) -> Result<Tensor<4>> {
        let below = self
            .run
            .state
            .layers_of(self.run.state.position.stage)
            .start;
        if below == 0 {
            return Ok(to_tensor(&self.images.get(i)?, self.device));
        }
        let maps = self.run.maps(below - 1, i, self.device)?;
        Ok(match self.run.network.rescaling[below - 1] {
            Some(lump) => (maps - lump.shift) * lump.scale,
            None => maps,
        })
    }

    /// The batches of the epoch: images in random order, neighbours of equal size together.
    fn batches(&mut self) -> Result<Vec<Vec<usize>>> {
        let state = &self.run.state;
        let mut order: Vec<usize> = (0..state.images.len()).collect();
        order.shuffle(&mut dice(state, ORDER, 0));
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

    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<Ended> {
        let batches = self.batches()?;
        let first = self.run.state.position.batch;
        for (b, batch) in batches.iter().enumerate().skip(first) {
            let line = self.visit(b, batch)?;
            self.run.state.position.batch = b + 1;
            self.run.folder.append_trace(&line)?;
            observer.tell(Event::Batch(line));
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

    /// Codes a batch, updates the filters if it is their turn, and stores the maps.
    fn visit(&mut self, b: usize, batch: &[usize]) -> Result<TraceLine> {
        let stage = self.run.state.position.stage;
        let layers = self.run.state.layers_of(stage);
        let top = layers.end - 1;
        let stack = self.run.network.part(layers.clone());
        let images = self.gather(batch, |session, i| session.target(i))?;
        let maps = self.gather(batch, |session, i| session.maps_or_start(&stack, top, i))?;
        let problem = Problem {
            network: stack,
            images,
            objective: self.run.state.objectives[stage],
        };
        let update = self.run.state.config.train.update_filters == Update::Batch;
        let learnt = self
            .learner
            .visit(&problem, maps, update, &mut self.moments, &mut ())
            .map_err(|error| self.saved_before(error))?;
        for (layer, new) in layers.clone().zip(learnt.network.layers) {
            self.run.network.layers[layer] = new;
        }
        let sparse_copy = matches!(self.learner.codes, Method::Split(_));
        for (n, &i) in batch.iter().enumerate() {
            let one = |maps: &Tensor<4>| FeatureMaps::new(maps.clone().narrow(0, n, 1));
            self.run
                .folder
                .put(&maps_name(top, i), &save(one(&learnt.maps))?)?;
            if sparse_copy {
                self.run
                    .folder
                    .put(&codes_name(top, i), &save(one(&learnt.codes))?)?;
            }
        }
        let used = used_maps(&learnt.codes)?;
        let state = &mut self.run.state;
        state.epoch.used.resize(used.len(), false);
        for (so_far, now) in state.epoch.used.iter_mut().zip(used) {
            *so_far |= now;
        }
        state
            .epoch
            .add(&learnt.after_codes, &learnt.after_filters, &learnt.snr);
        let mut sums = EpochSums::default();
        sums.add(&learnt.after_codes, &learnt.after_filters, &learnt.snr);
        Ok(sums.line(self.run.state.position, Some(b), self.seconds()))
    }

    fn gather(
        &mut self,
        batch: &[usize],
        mut one: impl FnMut(&mut Self, usize) -> Result<Tensor<4>>,
    ) -> Result<Tensor<4>> {
        let parts: Vec<_> = batch.iter().map(|&i| one(self, i)).collect::<Result<_>>()?;
        Ok(Tensor::cat(parts, 0))
    }

    fn maps_or_start(&mut self, stack: &Network, top: usize, i: usize) -> Result<Tensor<4>> {
        if self.run.has_maps(top, i) {
            return self.run.maps(top, i, self.device);
        }
        let target = self.target(i)?.dims();
        let state = &self.run.state;
        let seed = dice(state, START, i as u64).random();
        let shape = stack.maps_shape(target);
        Ok(FeatureMaps::start(
            shape,
            state.config.train.start_noise,
            seed,
            self.device,
        ))
    }

    /// Updates the filters if they waited for the end of the epoch, replaces dead ones, writes the
    /// epoch's line and saves.
    fn end_epoch(&mut self, batches: &[Vec<usize>], observer: &mut dyn Observer) -> Result<()> {
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
        self.run.folder.append_trace(&line)?;
        self.commit(best)?;
        observer.tell(Event::Epoch(line));
        Ok(())
    }

    /// One update of the filters from all images, read batch by batch.
    fn update_filters_from_all(&mut self, batches: &[Vec<usize>]) -> Result<()> {
        let stage = self.run.state.position.stage;
        let layers = self.run.state.layers_of(stage);
        let top = layers.end - 1;
        let stack = self.run.network.part(layers.clone());
        let learner = self.learner.clone();
        let session = std::cell::RefCell::new(self);
        let network = learner.update_filters(stack, &|visit| {
            for batch in batches {
                let mut session = session.borrow_mut();
                let images = session.gather(batch, |session, i| session.target(i))?;
                let device = session.device;
                let maps = session.gather(batch, |session, i| session.run.maps(top, i, device))?;
                visit(maps, images)?;
            }
            Ok(())
        })?;
        let session = session.into_inner();
        for (layer, new) in layers.clone().zip(network.layers) {
            session.run.network.layers[layer] = new;
        }
        let stack = session.run.network.part(layers);
        let objective = session.run.state.objectives[stage];
        let mut after = 0.0;
        for batch in batches {
            let images = session.gather(batch, |session, i| session.target(i))?;
            let device = session.device;
            let codes = session.gather(batch, |session, i| session.run.codes(top, i, device))?;
            after += Evaluation::total(&objective.evaluate(&stack, codes, images)).objective;
        }
        session.run.state.epoch.after_filters = after;
        Ok(())
    }

    /// Replaces each filter of the top layer that no image used: by a patch of what is not yet
    /// explained, or, in a stack, by noise. Returns how many.
    fn resample_dead(&mut self) -> Result<usize> {
        let stage = self.run.state.position.stage;
        let layers = self.run.state.layers_of(stage);
        let top = layers.end - 1;
        let dead: Vec<usize> = (0..self.run.state.epoch.used.len())
            .filter(|&k| !self.run.state.epoch.used[k])
            .collect();
        let single = layers.len() == 1;
        for &k in &dead {
            let mut rng = dice(&self.run.state, RESAMPLE, k as u64);
            let layer = self.run.network.layers[top].clone();
            let [h, w] = layer.filter_size();
            let filter = if single {
                let i = rng.random_range(0..self.run.state.images.len());
                let target = self.target(i)?;
                let residual =
                    target.clone() - layer.synthesize(self.run.maps(top, i, self.device)?);
                let [_, c, height, width] = residual.dims();
                let (a, b) = (
                    rng.random_range(0..=height - h),
                    rng.random_range(0..=width - w),
                );
                residual
                    .slice([0..1, 0..c, a..a + h, b..b + w])
                    .swap_dims(0, 1)
            } else {
                let planes = layer.connectivity.planes();
                FeatureMaps::start([planes, 1, h, w], 1.0, rng.random(), self.device)
            };
            let filters = layer.filters.val();
            let [c, ..] = filters.dims();
            let filter = filter.clone()
                / filter
                    .square()
                    .sum()
                    .sqrt()
                    .clamp_min(1e-6)
                    .reshape([1, 1, 1, 1]);
            let filters = filters.slice_assign([0..c, k..k + 1, 0..h, 0..w], filter);
            let masked = Layer::new(filters, layer.connectivity.clone())
                .filters
                .val();
            let constrained = Constraint::project(self.learner.constraint, masked);
            self.run.network.layers[top] = layer.with_filters(constrained);
        }
        Ok(dead.len())
    }

    /// Fixes the rescaling of the finished layer's maps and moves on to the next stage.
    fn end_stage(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let stage = self.run.state.position.stage;
        let range = self.run.state.config.train.rescale_maps;
        let last = stage + 1 == self.run.state.stages();
        let layer_wise = self.run.state.config.train.form == Form::LayerWise;
        let lump = if layer_wise && !last && range > 0.0 {
            let mut seen = Range::new();
            for i in 0..self.run.state.images.len() {
                let maps = self.run.maps(stage, i, self.device)?;
                seen.add(&crate::run::to_image(&maps, 0)?.values);
            }
            Some(seen.lump(range))
        } else {
            None
        };
        self.run.state.rescaling.push(lump);
        self.run.network.rescaling[stage] = lump;
        // Adam's memory belongs to the layer that is done, and no resume may look for it any more.
        self.moments.clear();
        self.run.state.position = Position {
            stage: stage + 1,
            epoch: 0,
            batch: 0,
        };
        if self.run.state.finished() {
            observer.tell(Event::Note("all epochs are done".into()));
        }
        self.commit(false)
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }

    fn commit(&mut self, best: bool) -> Result<()> {
        self.run.state.seconds = self.seconds();
        self.run.state.adam_steps = self.moments.iter().map(|m| m.time).collect();
        self.run
            .folder
            .put("filters", &save(self.run.network.clone())?)?;
        let stage = self
            .run
            .state
            .position
            .stage
            .min(self.run.state.stages() - 1);
        for (layer, moments) in self.run.state.layers_of(stage).zip(&self.moments) {
            self.run
                .folder
                .put(&moments_name(layer), &save(moments.clone())?)?;
        }
        let state = &self.run.state;
        let step = self.run.folder.last_step().map_or(0, |step| step + 1);
        self.run.folder.commit(step, state, best)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Adds to the message of a failed visit that nothing before it is lost.
    fn saved_before(&self, error: Error) -> Error {
        match error {
            Error::Numeric(message) => Error::Numeric(format!(
                "{message}; the last finite state is saved in {}",
                self.run.folder.path().display()
            )),
            other => other,
        }
    }

    fn report(mut self, ended: Ended, observer: &mut dyn Observer) -> Result<Report> {
        if ended == Ended::Finished {
            let folder = self.run.folder.path().join(PICTURES);
            pictures_of(&self.run, &mut self.images, self.device, &folder, observer)?;
        }
        let trace: Vec<TraceLine> = self.run.folder.read_trace()?;
        let stages = (0..self.run.state.stages())
            .filter_map(|stage| {
                let epochs = trace
                    .iter()
                    .filter(|l| l.stage == stage && l.batch.is_none());
                epochs.last().cloned()
            })
            .collect();
        Ok(Report {
            run: self.run.folder.path().to_path_buf(),
            ended,
            stages,
            resampled: self.run.state.resampled,
            seconds: self.seconds(),
        })
    }
}

/// Which maps have a non-zero element in a batch.
fn used_maps(codes: &Tensor<4>) -> Result<Vec<bool>> {
    let strongest = codes.clone().abs().max_dim(3).max_dim(2).max_dim(0);
    let values = strongest
        .try_into_vec_as::<f32>()
        .map_err(|error| Error::Backend(format!("cannot read from the device: {error}")))?;
    Ok(values.into_iter().map(|v| v != 0.0).collect())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<6} {:>6} {:>12} {:>9} {:>10}",
            "layer", "epochs", "objective", "SNR dB", "non-zero %"
        )?;
        for line in &self.stages {
            writeln!(
                f,
                "{:<6} {:>6} {:>12.3} {:>9.2} {:>10.2}",
                line.stage + 1,
                line.epoch + 1,
                line.after_filters,
                line.snr,
                100.0 * line.density
            )?;
        }
        let run = self.run.display();
        match self.ended {
            Ended::Finished => writeln!(
                f,
                "finished: all epochs are done, {:.1} s; pictures are in {run}/{PICTURES}",
                self.seconds
            ),
            Ended::Interrupted => writeln!(
                f,
                "interrupted after {:.1} s and saved; go on with: deconvnet train --resume {run}",
                self.seconds
            ),
        }
    }
}
