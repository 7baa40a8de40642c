//! What can be typed. Nothing is checked here beyond its form.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::backend::Backend;
use crate::invert::Padding;
use crate::solve::SolverName;
use crate::store::CheckpointSelector;
use crate::task::compare::Mode;
use crate::task::exchange::ExportMaps;
use crate::task::infer::MapsFormat;
use crate::task::invert::Precision;

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
    /// Infer the maps of new images with the filters of a run, and reconstruct the images.
    #[command(after_help = "Examples:\n  \
        deconvnet infer --checkpoint sample --images photos --out maps\n  \
        deconvnet infer --checkpoint sample --images photos --out maps --solver fista --joint\n  \
        deconvnet infer --problem code_grey_128.npz --gap 1e-5")]
    Infer(InferArgs),
    /// Compare solvers from the same start with the same budget: coding, or learning.
    #[command(after_help = "Examples:\n  deconvnet compare\n  \
        deconvnet compare --data photos --images 2 --out photos-compared\n  \
        deconvnet compare --what learning --solvers split,fista,adam --seconds 60\n  \
        deconvnet compare --solvers split:1x10x6,split:1x1.5x29,adam:0.03,fista")]
    Compare(CompareArgs),
    /// Invert a convolution by several ways: pseudo-inverse, Adam, L-BFGS, the transpose, priors.
    #[command(after_help = "Examples:\n  deconvnet invert\n  \
        deconvnet invert --config configs/invert/decolour.toml\n  \
        deconvnet invert --image photo.jpg --kernel gaussian:2x9 --padding reflect --noise 0.01\n  \
        deconvnet invert --observed blurred.png --kernel gaussian:2x9 --padding none --ways total-variation\n  \
        deconvnet invert --random 1x1x64 --kernel taps:0.25,1,0.25 --padding none --ways adam,lbfgs")]
    Invert(Box<InvertArgs>),
    /// Draw a run: filters projected to pixels, connectivity, maps, patches, curves.
    #[command(
        after_help = "Examples:\n  deconvnet visualize --checkpoint sample\n  \
        deconvnet visualize --checkpoint sample --image photo.jpg --images photos --out drawn"
    )]
    Visualize(VisualizeArgs),
    /// Write filters, and maps if asked, as .npz or .safetensors.
    #[command(after_help = "Example:\n  \
        deconvnet export --checkpoint sample --out sample.npz --maps")]
    Export(ExportArgs),
    /// Make a run of filters from a .npz or .safetensors file.
    #[command(after_help = "Example:\n  \
        deconvnet import --file sample.npz --config configs/fruit.toml --run imported")]
    Import(ImportArgs),
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
    /// split, adam, fista or descent.
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
    /// Which checkpoint to resume: last, best, or a step. Later ones are dropped.
    #[arg(long, value_name = "WHICH", requires = "resume")]
    pub at: Option<CheckpointSelector>,
}

/// Which run, and who computes.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The run: its name in checkpoints, or its folder.
    #[arg(long, value_name = "RUN")]
    pub checkpoint: PathBuf,
    /// Which of its checkpoints: last, best, or a step.
    #[arg(long, value_name = "WHICH", default_value = "last")]
    pub at: CheckpointSelector,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short, default_value = "flex")]
    pub backend: Backend,
}

/// Flags of `infer`.
#[derive(Debug, Args)]
pub struct InferArgs {
    /// The run whose filters are used: its name in checkpoints, or its folder.
    #[arg(
        long,
        value_name = "RUN",
        required_unless_present = "problem",
        requires = "images"
    )]
    pub checkpoint: Option<PathBuf>,
    /// Which of its checkpoints: last, best, or a step.
    #[arg(long, value_name = "WHICH", default_value = "last")]
    pub at: CheckpointSelector,
    /// A folder of images (searched recursively), or one image.
    #[arg(long, value_name = "DIR", requires = "checkpoint")]
    pub images: Option<PathBuf>,
    /// Solve the coding problem in this file instead: images s [K, C, H, W], filters D0 [M, C, h, w],
    /// weight lmbda, text boundary = "valid".
    #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "images", "joint"])]
    pub problem: Option<PathBuf>,
    /// Folder for the results; with --problem, a file for the maps.
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// split, adam, fista or descent; by default the run's own, or descent with --problem.
    #[arg(long)]
    pub solver: Option<SolverName>,
    /// All layers together instead of one after the other.
    #[arg(long)]
    pub joint: bool,
    /// Files that the maps are written to: npz, safetensors or none.
    #[arg(long, value_name = "FORMAT", default_value = "npz")]
    pub maps: MapsFormat,
    /// When to stop.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Replace results that are there.
    #[arg(long)]
    pub overwrite: bool,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short, default_value = "flex")]
    pub backend: Backend,
}

/// When a solver stops: whatever comes first.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// After so many steps.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub steps: usize,
    /// After so many seconds.
    #[arg(long, allow_negative_numbers = true)]
    pub seconds: Option<f64>,
    /// Once the duality gap is at most this share of the objective (p = 1).
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub gap: Option<f64>,
    /// Once the objective changes by at most this share.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub change: Option<f64>,
    /// Once the objective is at most this.
    #[arg(long, value_name = "OBJECTIVE", allow_negative_numbers = true)]
    pub target: Option<f64>,
    /// Look at the objective every so many steps; by default 10, with --solver descent or --problem 2, or
    /// 1 with --target.
    #[arg(long, value_name = "N")]
    pub every: Option<usize>,
}

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The run.
    #[command(flatten)]
    pub run: RunArgs,
    /// The file, .npz or .safetensors.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The maps of all images too: all elements (dense, if nothing is said), or those that are not zero
    /// (sparse).
    #[arg(long, value_name = "FORM", num_args = 0..=1, default_missing_value = "dense")]
    pub maps: Option<ExportMaps>,
    /// Replace the file if it is there.
    #[arg(long)]
    pub overwrite: bool,
}

/// Flags of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file, .npz or .safetensors, as `export` writes it or with filters `D0`.
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Settings that the file does not hold, the preprocessing above all.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of the run, a new folder in checkpoints, or a path.
    #[arg(long, value_name = "NAME")]
    pub run: PathBuf,
}

/// Flags of `visualize`.
#[derive(Debug, Args)]
pub struct VisualizeArgs {
    /// The run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Folder for the pictures; by default, pictures in the run's own.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The image whose maps are shown: a file, or the number of a training image; by default, the
    /// first of --images, or else training image 1.
    #[arg(long, value_name = "FILE|N")]
    pub image: Option<String>,
    /// Folder of images to search for each map's strongest places, instead of the training images.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// How many of the strongest places of each map to show.
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub patches: usize,
    /// Replace pictures in --out; the run's own are always drawn anew.
    #[arg(long)]
    pub overwrite: bool,
}

/// Flags of `invert`. What a flag does not say, the configuration does.
#[derive(Debug, Args)]
pub struct InvertArgs {
    /// An experiment, such as configs/invert/blur.toml.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Recover this image; by default, a sample scene.
    #[arg(long, value_name = "FILE", conflicts_with = "random")]
    pub image: Option<PathBuf>,
    /// Scale the image down to this many pixels a side.
    #[arg(long, value_name = "PIXELS", requires = "image")]
    pub max_side: Option<usize>,
    /// What was convolved already: an image, or the array `y` of a .npz or .safetensors file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "random"])]
    pub observed: Option<PathBuf>,
    /// Recover random numbers of this shape.
    #[arg(long, value_name = "CxHxW")]
    pub random: Option<String>,
    /// Built-in filters: identity, gaussian:SIGMA or gaussian:SIGMAxSIZE, decolour, edge,
    /// random:MAPSxSIZE, taps:A,B,C, singular.
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Option<String>,
    /// Filters [out, in, h, w] from a .npz or .safetensors file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "checkpoint"])]
    pub filters: Option<PathBuf>,
    /// The array of that file, where it holds several.
    #[arg(long, value_name = "NAME", requires = "filters")]
    pub array: Option<String>,
    /// The learnt filters of this run.
    #[arg(long, value_name = "RUN", conflicts_with = "kernel")]
    pub checkpoint: Option<PathBuf>,
    /// Which of its checkpoints: last, best, or a step.
    #[arg(long, value_name = "WHICH", requires = "checkpoint")]
    pub at: Option<CheckpointSelector>,
    /// Which layer of that run.
    #[arg(long, value_name = "N", requires = "checkpoint")]
    pub layer: Option<usize>,
    /// The stride, in both directions.
    #[arg(long, value_name = "N")]
    pub stride: Option<usize>,
    /// none, zeros, reflect or circular.
    #[arg(long)]
    pub padding: Option<Padding>,
    /// Standard deviation of the noise added to what was convolved, or known to be in --observed.
    #[arg(long, value_name = "SIGMA")]
    pub noise: Option<f64>,
    /// The ways, with commas: pseudo-inverse, adam, lbfgs, transpose, scaled-transpose, cg, lsqr, l1,
    /// total-variation, wiener.
    #[arg(long, value_name = "LIST")]
    pub ways: Option<String>,
    /// Singular values up to this share of the largest count as zero.
    #[arg(long, value_name = "SHARE")]
    pub truncation: Option<f64>,
    /// Weight of Tikhonov's term.
    #[arg(long, value_name = "WEIGHT")]
    pub tikhonov: Option<f64>,
    /// Weight of the L1 or the total variation prior.
    #[arg(long, value_name = "WEIGHT")]
    pub prior: Option<f64>,
    /// The most steps of what iterates.
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    /// The most seconds of what iterates, each way by itself.
    #[arg(long, allow_negative_numbers = true)]
    pub seconds: Option<f64>,
    /// Seed of everything random.
    #[arg(long)]
    pub seed: Option<u64>,
    /// single or double; by default double on a CPU.
    #[arg(long)]
    pub precision: Option<Precision>,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short)]
    pub backend: Option<Backend>,
    /// Folder for the table, the arrays and the pictures.
    #[arg(long, value_name = "DIR", default_value = "inverted")]
    pub out: PathBuf,
    /// Replace results that are there.
    #[arg(long)]
    pub overwrite: bool,
}

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
