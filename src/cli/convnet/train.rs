//! `convnet train`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::backend::Backend;
use crate::cli::console::Console;
use crate::cli::runs::{at_needs_resume, existing, folder, unused};
use crate::convnet::training::{Settings, State};
use crate::error::Result;
use crate::store::{CheckpointSelector, RunFolder};
use crate::task::convnet::train::{self, Ended};

/// Flags of `convnet train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// A folder with a folder of images for each class; sample scenes without it.
    #[arg(long, short, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A folder of the same classes to measure by; every tenth image of --data without it.
    #[arg(long, value_name = "DIR", requires = "data")]
    pub validation: Option<PathBuf>,
    /// Leave out what this pattern matches in those folders, such as '*.thumb.*' or old/**; may be repeated.
    #[arg(long, value_name = "PATTERN", requires = "data")]
    pub exclude: Vec<String>,
    /// Sample scenes of each kind, without --data [default: 200].
    #[arg(long, value_name = "N", conflicts_with = "data")]
    pub samples: Option<usize>,
    /// Scale images to this many pixels a side [default: as the first image, at most 224].
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<usize>,
    /// Share of the paper's numbers of maps and hidden units [default: size / 128, from 1/8 to 1].
    #[arg(long, value_name = "SHARE")]
    pub width: Option<f64>,
    /// Epochs [default: 70].
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Images of a step [default: 128].
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Learning rate at the start [default: 0.01].
    #[arg(long, value_name = "RATE")]
    pub rate: Option<f64>,
    /// Divide the rate by ten after so many epochs without a fall of the loss on held-out images
    /// [default: a tenth of all epochs].
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<usize>,
    /// Start from weights of standard deviation 0.01 in every layer, as the paper says.
    #[arg(long)]
    pub paper_weights: bool,
    /// Show images as they are, neither moved nor mirrored.
    #[arg(long)]
    pub no_augmentation: bool,
    /// Seed of everything random.
    #[arg(long)]
    pub seed: Option<u64>,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short)]
    pub backend: Option<Backend>,
    /// Name of the run, a new folder in checkpoints, or a path.
    #[arg(long, value_name = "NAME")]
    pub run: Option<PathBuf>,
    /// Go on with this run instead of starting one.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["data", "validation", "exclude", "samples",
        "size", "width", "epochs", "batch", "rate", "patience", "paper_weights", "no_augmentation", "seed", "run"])]
    pub resume: Option<PathBuf>,
    /// Which checkpoint to resume: last, best, or a step. Later ones are dropped.
    #[arg(long, value_name = "WHICH")]
    pub at: Option<CheckpointSelector>,
}

pub fn run(args: &TrainArgs, console: &mut Console) -> Result<bool> {
    at_needs_resume(args.at, args.resume.as_ref())?;
    let progress = &mut console.progress;
    let report = match &args.resume {
        Some(name) => {
            let run = existing(name);
            let which = args.at.unwrap_or(CheckpointSelector::Last);
            let (_, state): (_, State) = RunFolder::read(&run, which)?.state()?;
            let backend = args.backend.unwrap_or(state.trainer.settings.backend);
            train::resume(&run, which, &backend.device()?, progress)?
        }
        None => {
            let settings = settings(args);
            let run = match &args.run {
                Some(name) => folder(name),
                None => unused(args.data.as_deref().or(Some(Path::new("convnet")))),
            };
            let device = settings.backend.device()?;
            train::start(settings, &run, &device, progress)?
        }
    };
    console.report(&report)?;
    if report.ended == Ended::Interrupted {
        let run = report.run.display();
        console.tell(&format!(
            "go on with: deconvnet convnet train --resume {run}"
        ))?;
    }
    Ok(report.ended == Ended::Finished)
}

/// The settings of a new run.
fn settings(args: &TrainArgs) -> Settings {
    use crate::convnet::training::InitialWeights;
    let default = Settings::default();
    Settings {
        data: args.data.clone(),
        validation: args.validation.clone(),
        exclude: args.exclude.clone(),
        samples: args.samples.unwrap_or(default.samples),
        size: args.size,
        width: args.width,
        epochs: args.epochs.unwrap_or(default.epochs),
        batch: args.batch.unwrap_or(default.batch),
        rate: args.rate.unwrap_or(default.rate),
        patience: args.patience,
        initial: match args.paper_weights {
            true => InitialWeights::Paper,
            false => InitialWeights::Scaled,
        },
        augment: !args.no_augmentation,
        seed: args.seed.unwrap_or(default.seed),
        backend: args.backend.unwrap_or(default.backend),
        ..default
    }
}
