//! `convnet classify`.

use std::path::PathBuf;

use clap::Args;

use super::options::ModelArgs;
use super::{Console, complete};
use crate::error::Result;
use crate::solve::Callback;
use crate::task::convnet::classify;

/// Flags of `convnet classify`.
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// A picture, or a folder of them.
    #[arg(long, value_name = "FILE|DIR")]
    pub images: PathBuf,
    /// Folder for the table.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace the table.
    #[arg(long, requires = "out")]
    pub overwrite: bool,
}

pub fn run(args: &ClassifyArgs, console: &mut Console) -> Result<bool> {
    let device = args.model.prepare.backend.device()?;
    let source = args.model.source();
    let progress = &mut console.progress;
    let out = args.out.as_deref();
    let report = classify::run(
        &source,
        &args.images,
        out,
        args.overwrite,
        &device,
        progress,
    )?;
    console.report(&report)?;
    complete(!console.progress.interrupted(), &report.skipped)
}
