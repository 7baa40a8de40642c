//! `convnet`: what a trained convnet sees.

mod classify;
mod info;
mod options;
mod project;
mod strongest;
mod train;

use clap::{Args, Subcommand};

use super::console::Console;
use crate::error::Result;

/// Flags of `convnet`.
#[derive(Debug, Args)]
pub struct ConvnetArgs {
    /// What to do with a convnet.
    #[command(subcommand)]
    pub command: ConvnetCommand,
}

/// The commands about convnets.
#[derive(Debug, Subcommand)]
pub enum ConvnetCommand {
    /// List the layers of a model: names, shapes, receptive fields, weights.
    #[command(after_help = "Example:\n  deconvnet convnet info squeezenet.onnx")]
    Info(info::InfoArgs),
    /// Take a unit back to the pixels: the strongest, a channel's, one place, a class.
    #[command(after_help = "Examples:\n  \
        deconvnet convnet project --model squeezenet.onnx --preset caffe --images photo.jpg --layer fire5\n  \
        deconvnet convnet project --model m.onnx --images photos --layer conv3 --unit 12 --rule guided\n  \
        deconvnet convnet project --model m.onnx --arrays in.npz --layer conv3 --unit 3,5,5 --start one \
        --out out.npz")]
    Project(project::ProjectArgs),
    /// Find what makes each map strongest over a folder, and take it back to the pixels.
    #[command(after_help = "Example:\n  \
        deconvnet convnet strongest --model squeezenet.onnx --preset caffe --images photos --layers fire3,fire5")]
    Strongest(strongest::StrongestArgs),
    /// Tell the most probable classes of pictures, and how often they are right.
    #[command(after_help = "Example:\n  \
        deconvnet convnet classify --model squeezenet.onnx --preset caffe --labels classes.txt --images photos")]
    Classify(classify::ClassifyArgs),
    /// Train a convnet on folders of labelled images; with none given, on built-in sample scenes.
    #[command(after_help = "Examples:\n  deconvnet convnet train --epochs 20\n  \
        deconvnet convnet train --data photos --validation others --run mine\n  \
        deconvnet convnet train --resume checkpoints/mine")]
    Train(train::TrainArgs),
}

pub fn run(args: &ConvnetArgs, console: &mut Console) -> Result<bool> {
    match &args.command {
        ConvnetCommand::Info(args) => info::run(args, console),
        ConvnetCommand::Project(args) => project::run(args, console),
        ConvnetCommand::Strongest(args) => strongest::run(args, console),
        ConvnetCommand::Classify(args) => classify::run(args, console),
        ConvnetCommand::Train(args) => train::run(args, console),
    }
}
