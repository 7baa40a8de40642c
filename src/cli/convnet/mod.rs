//! `convnet`: what a trained convnet sees.

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
pub enum ConvnetCommand {}

pub fn run(args: &ConvnetArgs, console: &mut Console) -> Result<bool> {
    let _ = console;
    match args.command {}
}
