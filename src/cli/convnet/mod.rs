//! `convnet`: what a trained convnet sees.

mod classify;
mod control;
mod correspondence;
mod evolution;
mod info;
mod invariance;
mod occlusion;
mod options;
mod project;
mod strongest;
mod train;

use clap::{Args, Subcommand};

use super::console::{Console, complete};
use super::processes::Sharing;
use crate::error::Result;
use crate::group::Group;

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
    /// Cover a picture part by part, and tell what the model loses where.
    #[command(after_help = "Example:\n  \
        deconvnet convnet occlude --model squeezenet.onnx --preset caffe --labels classes.txt --image photo.jpg")]
    Occlude(occlusion::OccludeArgs),
    /// Cover the same part of an object in several pictures, and tell whether the same changes.
    #[command(after_help = "Example:\n  \
        deconvnet convnet correspond --model squeezenet.onnx --preset caffe --images dogs --boxes eyes.csv")]
    Correspond(correspondence::CorrespondArgs),
    /// Shift, scale and turn pictures, and tell how far features move.
    #[command(after_help = "Example:\n  \
        deconvnet convnet invariance --model squeezenet.onnx --preset caffe --images photos")]
    Invariance(invariance::InvarianceArgs),
    /// Show what makes maps strongest, epoch by epoch of a training.
    #[command(after_help = "Example:\n  \
        deconvnet convnet evolution --models epochs --images photos --layer conv5 --maps 6")]
    Evolution(evolution::EvolutionArgs),
    /// Show the same projection under random weights, layer by layer.
    #[command(after_help = "Example:\n  \
        deconvnet convnet control --model squeezenet.onnx --preset caffe --image photo.jpg")]
    Control(control::ControlArgs),
    /// Train a convnet on folders of labelled images; with none given, on built-in sample scenes.
    #[command(after_help = "Examples:\n  deconvnet convnet train --epochs 20\n  \
        deconvnet convnet train --data photos --validation others --run mine\n  \
        deconvnet convnet train --resume checkpoints/mine")]
    Train(train::TrainArgs),
}

impl ConvnetArgs {
    /// Whether the work can be shared, and is not by shards.
    pub fn shares(&self) -> Sharing {
        match &self.command {
            ConvnetCommand::Strongest(args) => Sharing::of(args.shard),
            _ => Sharing::None,
        }
    }
}

pub fn run(args: &ConvnetArgs, group: &Group, console: &mut Console) -> Result<bool> {
    match &args.command {
        ConvnetCommand::Info(args) => info::run(args, console),
        ConvnetCommand::Project(args) => project::run(args, console),
        ConvnetCommand::Strongest(args) => strongest::run(args, group, console),
        ConvnetCommand::Classify(args) => classify::run(args, console),
        ConvnetCommand::Occlude(args) => occlusion::run(args, console),
        ConvnetCommand::Correspond(args) => correspondence::run(args, console),
        ConvnetCommand::Invariance(args) => invariance::run(args, console),
        ConvnetCommand::Evolution(args) => evolution::run(args, console),
        ConvnetCommand::Control(args) => control::run(args, console),
        ConvnetCommand::Train(args) => train::run(args, console),
    }
}
