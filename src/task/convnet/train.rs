//! `convnet train`: train a convnet on labelled images, save as it goes, go on where it stopped.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;

use crate::convnet::training::{Network, Settings, TraceLine, Trainer};
use crate::data::Image;
use crate::error::Result;
use crate::files;
use crate::picture::{
    Axes, MosaicOptions, Panel, Series, Tile, mosaic, panels, save_png, symmetric,
};
use crate::run::to_image;
use crate::store::CheckpointSelector;
use crate::task::visualize::PICTURES;
use crate::task::{Callback, Event};
pub use crate::train::Ended;

/// What a training session ended with.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run folder.
    #[serde(serialize_with = "crate::files::lossily")]
    pub run: PathBuf,
    /// Why it ended.
    pub ended: Ended,
    /// The last epoch, where there is one.
    pub last: Option<TraceLine>,
    /// The highest share of held-out images told right after an epoch.
    pub best_accuracy: Option<f64>,
    /// Seconds spent, over all sessions.
    pub seconds: f64,
}

/// Starts a new run in the folder `path`, which must not hold one.
///
/// # Errors
/// Everything that can be wrong with images, settings, the folder and the numbers.
pub fn start(
    settings: Settings,
    path: &Path,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    finish(Trainer::start(settings, path, device)?, path, callback)
}

/// Goes on with the run in the folder `path`, as if it had never stopped.
///
/// # Errors
/// As [`start`], and where the checkpoint is damaged.
pub fn resume(
    path: &Path,
    which: CheckpointSelector,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    finish(Trainer::resume(path, which, device)?, path, callback)
}

/// Trains, and draws what was learnt.
fn finish(mut trainer: Trainer, path: &Path, callback: &mut dyn Callback<Event>) -> Result<Report> {
    let ended = trainer.train(callback)?;
    let trace = trainer.trace()?;
    if !trace.is_empty() {
        let pictures = path.join(PICTURES);
        files::make_folder(&pictures)?;
        save_png(&curves(&trace)?, pictures.join("curves.png"))?;
        save_png(&filters(trainer.network())?, pictures.join("filters.png"))?;
    }
    let state = trainer.state();
    Ok(Report {
        run: path.to_path_buf(),
        ended,
        last: state.metrics.clone(),
        best_accuracy: trace
            .iter()
            .map(|line| line.validation_accuracy)
            .reduce(f64::max),
        seconds: state.trainer.seconds,
    })
}

/// Loss and accuracy against epochs.
fn curves(trace: &[TraceLine]) -> Result<Image> {
    let series = |name: &str, value: fn(&TraceLine) -> f64| {
        Series::new(
            name,
            trace.iter().map(|line| (line.epoch as f64, value(line))),
        )
    };
    let panel = |y_label: &str, series: Vec<Series>| Panel {
        series,
        axes: Axes {
            x_label: "epoch".into(),
            y_label: y_label.into(),
            ..Axes::default()
        },
    };
    let loss = panel(
        "cross-entropy per image",
        vec![
            series("learnt from", |line| line.loss),
            series("held out", |line| line.validation_loss),
        ],
    );
    let accuracy = panel(
        "accuracy, %",
        vec![
            series("learnt from", |line| 100.0 * line.accuracy),
            series("held out", |line| 100.0 * line.validation_accuracy),
        ],
    );
    panels(&[loss, accuracy], 2)
}

/// The filters of the first layer, each at its own contrast.
fn filters(network: &Network) -> Result<Image> {
    let weight = network.layers[0].weight.val();
    let [maps, _, side, _] = weight.dims();
    let tiles: Result<Vec<Tile>> = (0..maps)
        .map(|k| Ok(symmetric(&to_image(&weight, k)?, None).into()))
        .collect();
    let options = MosaicOptions {
        title: format!("First layer: {maps} filters of {side} x {side} pixels"),
        ..MosaicOptions::default()
    };
    mosaic(&tiles?, &options)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, seconds) = (self.run.display(), self.seconds);
        if let Some(last) = &self.last {
            writeln!(f, "{last}")?;
        }
        if let Some(best) = self.best_accuracy {
            writeln!(f, "best accuracy on held-out images: {:.1} %", 100.0 * best)?;
        }
        match self.ended {
            Ended::Finished => writeln!(
                f,
                "finished: all epochs are done, {seconds:.1} s; networks of kept epochs are in \
                 {run}/model-epochNNN.onnx, pictures in {run}/{PICTURES}"
            ),
            Ended::Interrupted => {
                writeln!(f, "interrupted after {seconds:.1} s and saved in {run}")
            }
        }
    }
}
