//! `train`: learn filters and maps from images, save as it goes, go on where it stopped.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;

use super::visualize::{PICTURES, pictures_of};
use super::{Callback, Event};
use crate::backend::is_cpu;
use crate::config::{Config, Form};
use crate::error::Result;
use crate::group::Group;
use crate::report::{Cell, Format, Table};
use crate::run::{Free, TraceLine, Work};
use crate::store::CheckpointSelector;
pub use crate::train::Ended;
use crate::train::Trainer;

/// What a training session ended with.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run folder.
    #[serde(serialize_with = "crate::files::lossily")]
    pub run: PathBuf,
    /// Why it ended.
    pub ended: Ended,
    /// The last epoch of every stage that has one.
    pub stages: Vec<TraceLine>,
    /// Filters replaced because no image used them.
    pub resampled: usize,
    /// Seconds spent learning, over all sessions.
    pub seconds: f64,
    /// What the layers explain.
    pub form: Form,
}

/// Starts a new run in the folder `path`, which must not hold one. Work that is estimated to take more
/// memory or disk than there is begins only with `force`. All members of a group work on the one run, and
/// the first draws the pictures.
///
/// # Errors
/// Everything that can be wrong with images, settings, the folder and the numbers;
/// [`Error::Resources`](crate::Error::Resources).
pub fn start(
    config: Config,
    path: &Path,
    device: &Device,
    force: bool,
    group: &Group,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    let trainer = Trainer::in_folder(config, path, device, force, group)?;
    finish(trainer, path, device, callback)
}

/// Goes on with the run in the folder `path`, as if it had never stopped, or as if it had been begun with `epochs`;
/// `force` as in [`start`], but for the disk, of which the run has taken its part.
///
/// # Errors
/// As [`start`], where the checkpoint is damaged, for a run that was imported, and for epochs fewer than it has had.
pub fn resume(
    path: &Path,
    which: CheckpointSelector,
    epochs: Option<usize>,
    device: &Device,
    force: bool,
    group: &Group,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    let mut trainer = Trainer::resume(path, which, epochs, device, group, callback)?;
    if !(force || trainer.run().state.finished()) {
        let free = Free {
            disk: None,
            ..Free::here(is_cpu(device), path)
        };
        let shapes = trainer.images().shapes();
        let work = Work::learning(&trainer.run().state.config);
        group.agree(work.and_then(|work| work.check(&shapes, free, false)))?;
    }
    finish(trainer, path, device, callback)
}

/// Trains, and draws what was learnt.
fn finish(
    mut trainer: Trainer,
    path: &Path,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    let ended = trainer.train(callback)?;
    let leads = trainer.group().leads();
    let (run, mut images) = trainer.into_parts();
    if ended == Ended::Finished && leads {
        pictures_of(&run, &mut images, device, &path.join(PICTURES), callback)?;
    }
    Ok(Report {
        run: path.to_path_buf(),
        ended,
        stages: run.last_epochs()?,
        resampled: run.state.resampled,
        seconds: run.state.seconds,
        form: run.state.config.train.form,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = &self.stages;
        let table = Table::of(lines.len())
            .words("layer", |i| match self.form {
                Form::Joint => Cell::text("all"),
                Form::LayerWise | Form::Adaptive => (lines[i].stage + 1).into(),
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
        let input = match self.form {
            Form::Joint | Form::Adaptive => "the prepared image",
            Form::LayerWise => {
                "a layer's own input: the prepared image for layer 1, the maps below for others"
            }
        };
        writeln!(f, "{table}SNR is that of {input}")?;
        let (run, seconds) = (self.run.display(), self.seconds);
        match self.ended {
            Ended::Finished => writeln!(
                f,
                "finished: all epochs are done, {seconds:.1} s; pictures are in {run}/{PICTURES}"
            ),
            Ended::Interrupted => {
                writeln!(f, "interrupted after {seconds:.1} s and saved in {run}")
            }
        }
    }
}
