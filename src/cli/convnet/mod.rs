//! `convnet`: what a trained convnet sees.

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
    /// Train a convnet on folders of labelled images; with none given, on built-in sample scenes.
    #[command(after_help = "Examples:\n  deconvnet convnet train --epochs 20\n  \
        deconvnet convnet train --data photos --validation others --run mine\n  \
        deconvnet convnet train --resume checkpoints/mine")]
    Train(train::TrainArgs),
}

pub fn run(args: &ConvnetArgs, console: &mut Console) -> Result<bool> {
    match &args.command {
        ConvnetCommand::Train(args) => train::run(args, console),
    }
}
