//! `compare`.

use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::runs::existing;
use crate::backend::Backend;
use crate::config::Config;
use crate::error::Result;
use crate::store::CheckpointSelector;
use crate::task::compare::{self, Contender, Filters, Mode, Options};

/// Flags of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// coding: maps with the filters fixed; learning: maps and filters.
    #[arg(long, default_value = "coding")]
    pub what: Mode,
    /// An experiment; its first layer is what is compared. By default p = 1, so that the optimum is
    /// certified.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A folder of images, or one image.
    #[arg(long, short, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Leave out what this pattern matches in that folder, such as '*.thumb.*' or old/**; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Take the filters of this run instead of learning some first.
    #[arg(long, value_name = "RUN")]
    pub checkpoint: Option<PathBuf>,
    /// Which of its checkpoints: last, best, or a step.
    #[arg(long, value_name = "WHICH", default_value = "last")]
    pub at: CheckpointSelector,
    /// Compare on the problem in this file (s, D0, lmbda, boundary) instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "data"])]
    pub problem: Option<PathBuf>,
    /// Who is compared: split, split:STARTxGROWTHxSTEPS, adam, adam:RATE, fista, descent, with
    /// commas.
    #[arg(long, value_name = "LIST")]
    pub solvers: Option<String>,
    /// The most steps (coding) or epochs (learning) of each.
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    /// The most seconds of each.
    #[arg(long, allow_negative_numbers = true)]
    pub seconds: Option<f64>,
    /// How many images to code, or to show.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub images: usize,
    /// Folder for the table and the pictures.
    #[arg(long, value_name = "DIR", default_value = "compared")]
    pub out: PathBuf,
    /// Replace results that are there.
    #[arg(long)]
    pub overwrite: bool,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short)]
    pub backend: Option<Backend>,
}

pub fn run(args: &CompareArgs, console: &mut Console) -> Result<bool> {
    let options = options(args)?;
    let device = options.config.backend.device()?;
    let report = compare::run(&options, &device, &mut console.progress)?;
    console.report(&report)?;
    Ok(!report.interrupted)
}

fn options(args: &CompareArgs) -> Result<Options> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => {
            let mut config = Config::default();
            config.layers.truncate(1);
            config.layers[0].p = 1.0;
            config
        }
    };
    config.data.images = args.data.clone().or(config.data.images);
    config.data.exclude.extend(args.exclude.iter().cloned());
    config.backend = args.backend.unwrap_or(config.backend);
    let contenders = match &args.solvers {
        Some(list) => Contender::list(list, &config)?,
        None => Contender::usual(args.what, &config),
    };
    let filters = match (&args.problem, &args.checkpoint) {
        (Some(file), _) => Filters::Given(file.clone()),
        (None, Some(run)) => Filters::FromRun(existing(run), args.at),
        (None, None) => Filters::Learn,
    };
    Ok(Options {
        contenders,
        filters,
        steps: args.steps,
        seconds: args.seconds,
        images: args.images,
        overwrite: args.overwrite,
        ..Options::new(config, args.what, &args.out)
    })
}
