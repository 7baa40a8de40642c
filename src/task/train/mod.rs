//! `train`: learn filters and maps from images, save as it goes, go on where it stopped.

mod dead;
mod session;
mod visit;

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;

use super::visualize::PICTURES;
use super::{Callback, Event, warn_of_trace};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::{LayerConfig, Network, NetworkConfig};
use crate::report::{Cell, Format, Table};
use crate::run::{
    CACHE_BYTES, EpochSums, Images, Position, Run, Source, State, TraceLine, all_usable,
    load_memory,
};
use crate::solve::FilterMemory;
use crate::store::{CheckpointSelector, RunFolder};
use session::Session;

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
    /// Whether all layers are one stage.
    pub joint: bool,
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
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    config.check()?;
    let images = Images::open(&config)?;
    let connectivity = config.connectivities()?;
    let sizes: Vec<_> = config.layers.iter().map(|l| [l.size; 2]).collect();
    check_sizes(&images, &sizes)?;
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
        statistics_batches: Vec::new(),
        resampled: 0,
        seconds: 0.0,
        config,
    };
    let network = first_filters(&state, device)?;
    let run = Run {
        folder,
        state,
        network,
    };
    Session::new(run, images, FilterMemory::default(), device).learn(observer)
}

/// Goes on with the run in the folder `path`, as if it had never stopped.
///
/// # Errors
/// As [`start`], where the checkpoint is damaged, and for a run that was imported.
pub fn resume(
    path: &Path,
    which: CheckpointSelector,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    // All of it is read before anything is written: going on from an older checkpoint drops those
    // that came after it.
    let run = Run::read(path, which, device)?;
    if run.state.images.is_empty() {
        return Err(Error::Config(format!(
            "{} was imported and has no images to learn from; use it with infer, visualize or \
             export, or start a new run",
            path.display()
        )));
    }
    warn_of_trace(&run, observer)?;
    let mut images = Images::resume(&run.state);
    let memory = if run.state.finished() {
        FilterMemory::default()
    } else {
        for i in 0..run.state.images.len() {
            images.get(i)?;
        }
        load_memory(&run, run.state.position.stage)?
    };
    let run = Run::open(path, which, device)?;
    Session::new(run, images, memory, device).learn(observer)
}

/// An estimate of the memory that learning takes at its peak, and of the disk, in bytes.
///
/// A solver's step holds about a dozen tensors of the size of a batch's maps; the maps of all other
/// images are on disk, once for each checkpoint that is kept and for the one being made.
pub fn estimate(state: &State, network: &Network) -> (usize, usize) {
    const TENSORS: usize = 14;
    let Config {
        train, checkpoint, ..
    } = &state.config;
    let batch = train.batch.min(state.images.len());
    let copies = match state.config.learner().codes.has_separate_maps() {
        _ if !state.keeps_maps() => 0,
        // The sparse copy beside the maps.
        true => 2,
        false => 1,
    };
    let size = |shape: [usize; 4]| 4 * shape.iter().product::<usize>();
    let image = |n: usize, s: &Source| [n, s.shape[0], s.shape[1], s.shape[2]];
    let (mut memory, mut disk) = (0, 0);
    for stage in 0..state.stages() {
        let stack = network.part(0..state.layers_of(stage).end);
        let maps = |n: usize, s: &Source| size(stack.maps_shape(image(n, s)));
        let largest = state.images.iter().map(|s| maps(batch, s)).max();
        memory = memory.max(TENSORS * largest.unwrap_or(0));
        let all: usize = state.images.iter().map(|s| maps(1, s)).sum();
        // Only the stage in progress has several revisions.
        disk = (disk + copies * all).max(copies * all * (checkpoint.keep + 2));
    }
    let images: usize = state.images.iter().map(|s| size(image(1, s))).sum();
    (memory + images.min(CACHE_BYTES), disk)
}

/// Every image, and the maps of every layer below the top, must be at least as large as the filters
/// that are to explain them.
fn check_sizes(images: &Images, sizes: &[[usize; 2]]) -> Result<()> {
    let sources = images.sources();
    let too_small = sources.iter().enumerate().filter_map(|(i, source)| {
        let [_, mut height, mut width] = source.shape;
        for (l, &[h, w]) in sizes.iter().enumerate() {
            if height < h || width < w {
                return Some(Error::Input(format!(
                    "{}: what layer {} has to explain is {height} x {width} after preprocessing, \
                     smaller than its {h} x {w} filters; remove the image, or choose smaller \
                     filters",
                    images.name(i),
                    l + 1
                )));
            }
            (height, width) = (height + h - 1, width + w - 1);
        }
        None
    });
    all_usable(sources.len(), too_small.collect())
}

fn first_filters(state: &State, device: &Device) -> Result<Network> {
    let config = &state.config;
    let layers = state.connectivity.iter().zip(&state.sizes).enumerate();
    let layers = layers.map(|(l, (g, &size))| {
        LayerConfig::new(g.clone(), size)
            .with_constraint(config.train.constraint)
            .with_seed(config.seed.wrapping_add(l as u64))
    });
    let layers = layers.collect();
    NetworkConfig { layers }.init(device)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = &self.stages;
        let table = Table::of(lines.len())
            .words("layer", |i| match self.joint {
                true => Cell::text("all"),
                false => (lines[i].stage + 1).into(),
            })
            .numbers("epochs", |i| (lines[i].epoch + 1).into())
            .numbers("objective", |i| {
                Cell::number(lines[i].after_filters, Format::Decimals(3))
            })
            .numbers("SNR", |i| Cell::number(lines[i].snr, Format::Decibels))
            .unit("dB")
            .numbers("non-zero", |i| {
                Cell::number(100.0 * lines[i].density, Format::Decimals(2))
            })
            .unit("%");
        let input = match self.joint {
            true => "the prepared image",
            false => {
                "a layer's own input: the prepared image for layer 1, the maps below for others"
            }
        };
        writeln!(f, "{table}SNR is that of {input}")?;
        let run = self.run.display();
        match self.ended {
            Ended::Finished => writeln!(
                f,
                "finished: all epochs are done, {:.1} s; pictures are in {run}/{PICTURES}",
                self.seconds
            ),
            Ended::Interrupted => writeln!(
                f,
                "interrupted after {:.1} s and saved in {run}",
                self.seconds
            ),
        }
    }
}
