//! Training: maps and filters in turn, stage by stage, over a store that is memory or a run folder.
//!
//! A [`Trainer`] learns a stack of layers from images. The layer-wise form has one stage for each layer,
//! which explains the maps of the layer below; the joint form has one stage for all.
//!
//! ```
//! use burn::tensor::Device;
//! use deconvnet::config::{Config, LayerSettings};
//! use deconvnet::data::scenes;
//! use deconvnet::train::Trainer;
//!
//! let layer = LayerSettings { maps: Some(4), size: 5, epochs: 2, ..LayerSettings::default() };
//! let config = Config { layers: vec![layer], ..Config::default() };
//! let images = scenes::sample_set(2, 24, 1);
//! let mut trainer = Trainer::in_memory(config, images, &Device::flex())?;
//! trainer.train(&mut ())?;
//! assert_eq!(trainer.network().top().filters.dims(), [3, 4, 5, 5]);
//! # Ok::<(), deconvnet::Error>(())
//! ```

mod dead;
mod trainer;
mod visit;

pub use trainer::{Ended, Trainer};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::Network;
use crate::run::{CACHE_BYTES, Images, Run, Source, State, TraceLine, all_usable};
use crate::solve::Callback;

/// Something worth telling while a long task runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// A remark in words.
    Note(String),
    /// A stage of learning begins.
    Stage {
        /// Which layers it learns, in words.
        name: String,
        /// Epochs of the stage.
        epochs: usize,
        /// Images visited in each epoch.
        images: usize,
        /// Images visited already, over all epochs.
        done: usize,
    },
    /// A batch is done.
    Batch(TraceLine),
    /// An epoch is done.
    Epoch(TraceLine),
    /// A batch of labelled images is done.
    LabelledBatch {
        /// The epoch, from 0.
        epoch: usize,
        /// Images in it.
        images: usize,
        /// The epoch so far, in words.
        numbers: String,
    },
    /// A part of a task of known length is done.
    Item {
        /// What was done.
        name: String,
        /// How many are done.
        done: usize,
        /// Out of how many.
        of: usize,
    },
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
fn check_sizes(config: &Config, images: &Images) -> Result<()> {
    let sources = images.sources();
    let too_small = sources.iter().enumerate().filter_map(|(i, source)| {
        let [_, mut height, mut width] = source.shape;
        for (l, layer) in config.layers.iter().enumerate() {
            let [h, w] = [layer.size; 2];
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

impl Run {
    /// Tells what of the trace is lost, if anything is.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read.
    pub fn warn_of_trace(&self, callback: &mut dyn Callback<Event>) -> Result<()> {
        if let Some(flaw) = self.store.read_trace()?.flaw {
            callback.event(Event::Note(format!("warning: {flaw}")));
        }
        Ok(())
    }
}
