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
//! let layer = LayerSettings { maps: Some(4), size: [5, 5], epochs: 2, ..LayerSettings::default() };
//! let config = Config { layers: vec![layer], ..Config::default() };
//! let images = scenes::sample_set(2, 24, 1);
//! let mut trainer = Trainer::in_memory(config, images, &Device::flex())?;
//! trainer.train(&mut ())?;
//! assert_eq!(trainer.network().top().filters.dims(), [3, 4, 5, 5]);
//! # Ok::<(), deconvnet::Error>(())
//! ```

mod dead;
mod start;
mod trainer;
mod visit;

pub use trainer::{Ended, Trainer};

use crate::config::{Config, Update};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::run::{Images, Run, TooSmall, TraceLine, all_usable, too_small};
use crate::solve::{Callback, SolverName};

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

/// Every image, and the maps of every layer below the top, must be at least as large as the filters
/// that are to explain them.
fn check_sizes(config: &Config, images: &Images) -> Result<()> {
    let sources = images.sources();
    let too_small = sources.iter().enumerate().filter_map(|(i, source)| {
        let [_, height, width] = source.shape;
        let TooSmall {
            layer,
            planes: [height, width],
            filter: [h, w],
        } = too_small(config, [height, width])?;
        let instead = match (height, h > 1) {
            (1, true) => format!("filters of signals have one row, such as size = [1, {w}]"),
            _ => "remove the image, or choose smaller filters".into(),
        };
        Some(Error::Input(format!(
            "{}: what layer {layer} has to explain is {height} x {width} after preprocessing, smaller than its \
             {h} x {w} filters; {instead}",
            images.name(i)
        )))
    });
    all_usable(sources.len(), too_small.collect())
}

/// What several processes cannot do together is refused.
fn check_group(config: &Config, group: &Group) -> Result<()> {
    let (train, size) = (&config.train, group.size());
    let complaint = if size == 1 {
        return Ok(());
    } else if train.solver == SolverName::Adam {
        format!(
            "train.solver = \"adam\" moves maps and filters together at every step, which {size} processes \
             cannot do; use another solver, or one process"
        )
    } else if train.update_filters != Update::Epoch && train.batch < size {
        format!(
            "train.batch is {}, and {size} processes share each batch; make it {size} or more, or take \
             train.update_filters = \"epoch\", where each has batches of its own",
            train.batch
        )
    } else {
        return Ok(());
    };
    Err(Error::Config(complaint))
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
