//! `train`.

use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::processes::GroupArgs;
use super::runs::{at_needs_resume, existing, folder, unused};
use crate::backend::Backend;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::run::State;
use crate::solve::SolverName;
use crate::store::{CheckpointSelector, RunFolder};
use crate::task::train::{self, Ended};

/// Flags of `train`. What a flag does not say, the configuration does.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// An experiment, such as configs/fruit.toml.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A folder of images (searched recursively), one image, or a .npz or .npy with arrays `images`, [n, C, H,
    /// W], or `signals`, [n, C, L].
    #[arg(long, short, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A picture, black where pixels are missing, for all images, a folder with one of the same name for each, or a
    /// file of arrays `mask` or `weights`.
    #[arg(long, value_name = "PATH")]
    pub mask: Option<PathBuf>,
    /// Leave out what this pattern matches in that folder, such as '*.thumb.*' or old/**; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Take the first so many images only.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Scale larger images down to this many pixels a side.
    #[arg(long, value_name = "PIXELS")]
    pub max_side: Option<usize>,
    /// Grey instead of colour; arrays have as many channels as they have.
    #[arg(long)]
    pub grey: bool,
    /// split, adam, fista, descent or ista.
    #[arg(long)]
    pub solver: Option<SolverName>,
    /// Images coded side by side; several processes share them.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Epochs of every layer; with --resume, in all, of the layer that is next, or where all are done of the last
    /// one, and of those after it.
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
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
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "data", "mask", "exclude", "limit", "max_side",
        "grey", "solver", "batch", "seed", "run"])]
    pub resume: Option<PathBuf>,
    /// Which checkpoint to resume: last, best, or a step. Later ones are dropped.
    #[arg(long, value_name = "WHICH")]
    pub at: Option<CheckpointSelector>,
    /// Go on where this is estimated to take more memory or disk than there is.
    #[arg(long)]
    pub force: bool,
    /// When to give up.
    #[command(flatten)]
    pub group: GroupArgs,
}

pub fn run(args: &TrainArgs, group: &Group, console: &mut Console) -> Result<bool> {
    at_needs_resume(args.at, args.resume.as_ref())?;
    let progress = &mut console.progress;
    let report = match &args.resume {
        Some(name) => {
            let run = existing(name);
            args.group.watch(group, &run)?;
            let which = args.at.unwrap_or(CheckpointSelector::Last);
            let backend = || -> Result<_> {
                let (_, state): (_, State) = RunFolder::read(&run, which)?.state()?;
                args.backend.unwrap_or(state.config.backend).device()
            };
            let device = group.agree(backend())?;
            train::resume(
                &run,
                which,
                args.epochs,
                &device,
                args.force,
                group,
                progress,
            )?
        }
        None => {
            let config = group.agree(config(args))?;
            // A name that is free for one process may be that of the folder that another has made.
            let run = group.lead(|| {
                Ok(match &args.run {
                    Some(name) => folder(name),
                    None => unused(args.config.as_deref().or(args.data.as_deref())),
                })
            })?;
            args.group.watch(group, &run)?;
            let device = group.agree(config.backend.device())?;
            train::start(config, &run, &device, args.force, group, progress)?
        }
    };
    console.report(&report)?;
    if report.ended == Ended::Interrupted {
        let run = report.run.display();
        console.tell(&format!("go on with: deconvnet train --resume {run}"))?;
    }
    Ok(report.ended == Ended::Finished)
}

/// The settings of a new run.
fn config(args: &TrainArgs) -> Result<Config> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    let data = &mut config.data;
    data.images = args.data.clone().or(data.images.take());
    data.mask = args.mask.clone().or(data.mask.take());
    data.exclude.extend(args.exclude.iter().cloned());
    data.limit = args.limit.or(data.limit);
    data.max_side = args.max_side.or(data.max_side);
    if let Some(channels) = data.channels.filter(|&channels| args.grey && channels != 1) {
        return Err(Error::Config(format!(
            "--grey is for pictures, and data.channels is {channels}; leave one of them out"
        )));
    }
    if args.max_side.is_some() && data.images.is_none() {
        return Err(Error::Config(
            "--max-side is for images from files, --data; data.sample_size is the side of sample scenes".into(),
        ));
    }
    data.colour &= !args.grey;
    config.train.solver = args.solver.unwrap_or(config.train.solver);
    config.train.batch = args.batch.unwrap_or(config.train.batch);
    config.seed = args.seed.unwrap_or(config.seed);
    config.backend = args.backend.unwrap_or(config.backend);
    for layer in &mut config.layers {
        layer.epochs = args.epochs.unwrap_or(layer.epochs);
    }
    config.check()?;
    Ok(config)
}
