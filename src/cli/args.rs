//! What can be typed. Nothing is checked here beyond its form.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::backend::Backend;
use crate::config::SolverName;
use crate::store::Which;

/// Learn deconvolutional networks from images: filters, sparse feature maps, pictures of both.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 2 settings, 3 images, 4 checkpoint, 5 numbers, \
    6 backend, 7 reading or writing, 70 a bug, 130 interrupted and saved."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print the report as JSON, and nothing else.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Learn filters and maps from images; with no images given, from built-in sample scenes.
    #[command(after_help = "Examples:\n  deconvnet train\n  \
        deconvnet train --data photos --backend wgpu\n  \
        deconvnet train --config configs/fruit.toml --data photos --run mine\n  \
        deconvnet train --resume checkpoints/mine")]
    Train(TrainArgs),
    /// List the backends that are compiled in and the devices that answer.
    #[command(after_help = "Example:\n  deconvnet backends --json")]
    Backends,
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  deconvnet completions bash > deconvnet.bash")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Flags of `train`. What a flag does not say, the configuration does.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// An experiment, such as configs/fruit.toml.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A folder of images (searched recursively), or one image.
    #[arg(long, short, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Take the first so many images only.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Scale larger images down to this many pixels a side.
    #[arg(long, value_name = "PIXELS")]
    pub max_side: Option<usize>,
    /// Grey instead of colour.
    #[arg(long)]
    pub grey: bool,
    /// split, adam or fista.
    #[arg(long)]
    pub solver: Option<SolverName>,
    /// Epochs of every layer.
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
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "data", "limit", "max_side",
        "grey", "solver", "epochs", "seed", "run"])]
    pub resume: Option<PathBuf>,
    /// Which checkpoint to resume: last, best, or a step.
    #[arg(long, value_name = "WHICH", requires = "resume")]
    pub at: Option<Which>,
}
