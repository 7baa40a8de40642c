//! The command line: what was typed, what it means, and what is printed.

mod allocator;
mod classify;
mod compare;
mod console;
mod convnet;
mod exit;
mod export;
mod features;
mod given;
mod import;
mod infer;
mod invert;
mod output;
mod panics;
mod processes;
mod progress;
mod recipe;
mod restore;
mod runs;
mod train;
mod visualize;

pub use allocator::Telling;
pub use exit::guard;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use console::Console;
use processes::Sharing;

use crate::backend;
use crate::error::{Error, Result};

/// Learn deconvolutional networks from images: filters, sparse feature maps, pictures of both.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 2 settings, 3 images, 4 checkpoint, 5 numbers, \
    6 backend, 7 reading or writing, 8 too little memory or disk, 70 a bug, 130 interrupted: what was done is saved."
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
        deconvnet train --config configs/signals.toml --data ecg.npz\n  \
        deconvnet train --resume checkpoints/mine")]
    Train(train::TrainArgs),
    /// Infer the maps of new images with the filters of a run, and reconstruct the images.
    #[command(after_help = "Examples:\n  \
        deconvnet infer --checkpoint sample --images photos --out maps\n  \
        deconvnet infer --checkpoint sample --images photos --out maps --solver fista --joint\n  \
        deconvnet infer --checkpoint normal --images parts --out scored --anomaly\n  \
        deconvnet infer --checkpoint sample --images photos --out maps --shard 2/8\n  \
        deconvnet infer --merge maps\n  \
        deconvnet infer --problem code_grey_128.npz --gap 1e-5")]
    Infer(infer::InferArgs),
    /// Compare solvers from the same start with the same budget: coding, or learning.
    #[command(after_help = "Examples:\n  deconvnet compare\n  \
        deconvnet compare --data photos --images 2 --out photos-compared\n  \
        deconvnet compare --what learning --solvers split,fista,adam --seconds 60\n  \
        deconvnet compare --solvers split:1x10x6,split:1x1.5x29,adam:0.03,fista")]
    Compare(compare::CompareArgs),
    /// Invert a convolution by several methods: pseudo-inverse, Adam, L-BFGS, the transpose, priors.
    #[command(after_help = "Examples:\n  deconvnet invert\n  \
        deconvnet invert --config configs/invert/decolour.toml\n  \
        deconvnet invert --image photo.jpg --kernel gaussian:2x9 --padding reflect --noise 0.01\n  \
        deconvnet invert --observed blurred.png --kernel gaussian:2x9 --padding none --methods total-variation\n  \
        deconvnet invert --random 1x1x64 --kernel taps:0.25,1,0.25 --padding none --methods adam,lbfgs")]
    Invert(Box<invert::InvertArgs>),
    /// Take noise away from images: white noise, that of counts, salt and pepper.
    #[command(
        after_help = "Examples:\n  deconvnet denoise noisy.png --sigma 25 --out clean.png\n  \
        deconvnet denoise photos --out denoised\n  \
        deconvnet denoise counts.png --noise poisson --peak 30 --out clean.png"
    )]
    Denoise(restore::DenoiseArgs),
    /// Fill in missing pixels: black in the mask.
    #[command(after_help = "Example:\n  \
        deconvnet inpaint scratched.png --mask mask.png --out whole.png")]
    Inpaint(restore::InpaintArgs),
    /// Draw a run: filters projected to pixels, connectivity, maps, patches, curves.
    #[command(
        after_help = "Examples:\n  deconvnet visualize --checkpoint sample\n  \
        deconvnet visualize --checkpoint sample --image photo.jpg --images photos --out drawn"
    )]
    Visualize(visualize::VisualizeArgs),
    /// Write filters, and maps if asked, as .npz or .safetensors.
    #[command(after_help = "Example:\n  \
        deconvnet export --checkpoint sample --out sample.npz --maps")]
    Export(export::ExportArgs),
    /// Make a run of filters from a .npz or .safetensors file.
    #[command(after_help = "Example:\n  \
        deconvnet import --file sample.npz --config configs/fruit.toml --run imported")]
    Import(import::ImportArgs),
    /// See what a trained convnet sees: layers, strongest activations, projections to pixels.
    #[command(after_help = "Examples:\n  deconvnet convnet info model.onnx\n  \
        deconvnet convnet strongest --model model.onnx --images photos --layers conv3")]
    Convnet(convnet::ConvnetArgs),
    /// Make a feature vector of each image of a folder, for whatever is done with them.
    #[command(
        after_help = "Examples:\n  deconvnet features photos --out photos.npz\n  \
        deconvnet features photos --run mine --layers 1,2 --recipe soft\n  \
        deconvnet features photos --convnet squeezenet.onnx --preset caffe --layers fire9\n  \
        deconvnet features others --like photos.npz --out others.npz"
    )]
    Features(Box<features::FeaturesArgs>),
    /// Learn to tell classes of images apart, a folder each, measure how well, and tell those of new images.
    #[command(
        after_help = "Examples:\n  deconvnet classify photos --recipe 2010\n  \
        deconvnet classify photos --run mine --recipe soft --out told\n  \
        deconvnet classify photos.npz --kernel linear\n  \
        deconvnet classify --model classified/classifier.npz new.jpg others"
    )]
    Classify(Box<classify::ClassifyArgs>),
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

/// Runs a command. `Ok(false)`: it was interrupted and has saved what there was.
///
/// # Errors
/// Whatever the command ran into; [`guard`] turns it into a message and an exit code.
pub fn run(arguments: Arguments) -> Result<bool> {
    let group = processes::group(match &arguments.command {
        Command::Train(_) => Sharing::Together,
        Command::Infer(args) => args.shares(),
        Command::Convnet(args) => args.shares(),
        Command::Backends | Command::Completions { .. } => Sharing::Apart,
        _ => Sharing::None,
    })?;
    // Of several processes the first tells how far all are.
    let (json, quiet) = (
        arguments.json && group.leads(),
        arguments.quiet || !group.leads(),
    );
    let mut console = Console::new(json, quiet, catch_interrupts()?);
    let console = &mut console;
    match arguments.command {
        Command::Train(args) => train::run(&args, &group, console),
        Command::Infer(args) => infer::run(&args, &group, console),
        Command::Compare(args) => compare::run(&args, console),
        Command::Invert(args) => invert::run(&args, console),
        Command::Denoise(args) => restore::denoise(&args, console),
        Command::Inpaint(args) => restore::inpaint(&args, console),
        Command::Visualize(args) => visualize::run(&args, console),
        Command::Export(args) => export::run(&args, console),
        Command::Import(args) => import::run(&args, console),
        Command::Convnet(args) => convnet::run(&args, &group, console),
        Command::Features(args) => features::run(&args, console),
        Command::Classify(args) => classify::run(&args, console),
        Command::Backends => console.report(&backend::survey()).map(|()| true),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "deconvnet", &mut script);
            output::print(&String::from_utf8_lossy(&script)).map(|()| true)
        }
    }
}

/// A first Ctrl-C asks to save and stop; a second one ends the program at once, and so does the first
/// where no task has asked yet whether there was one: then it only reads, and nothing is to be saved.
fn catch_interrupts() -> Result<Arc<Interruption>> {
    let interruption = Arc::new(Interruption::default());
    let shared = interruption.clone();
    ctrlc::set_handler(move || {
        let again = shared.wanted.swap(true, Ordering::SeqCst);
        if again || !shared.heeded.load(Ordering::SeqCst) {
            if !again {
                output::say("\ninterrupted before there was anything new to save");
            }
            std::process::exit(exit::INTERRUPTED.into());
        }
        output::say("\nfinishing the step in progress; press Ctrl-C again to stop at once");
    })
    .map_err(|error| Error::Backend(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(interruption)
}

/// What Ctrl-C and its like have asked for.
#[derive(Debug, Default)]
struct Interruption {
    /// To stop.
    wanted: AtomicBool,
    /// A task looks at that from time to time.
    heeded: AtomicBool,
}
