//! `export`.

use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::runs::{RunArgs, existing};
use crate::error::Result;
use crate::task::exchange::{self, ExportMaps};

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The run.
    #[command(flatten)]
    pub run: RunArgs,
    /// The file, .npz or .safetensors.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The maps of all images too: all elements (dense, if nothing is said), or the values of those that are not zero
    /// with the gaps between them (sparse: smaller, much so in .safetensors, which is not compressed).
    #[arg(long, value_name = "FORM", num_args = 0..=1, default_missing_value = "dense")]
    pub maps: Option<ExportMaps>,
    /// Replace the file if it is there.
    #[arg(long)]
    pub overwrite: bool,
}

pub fn run(args: &ExportArgs, console: &mut Console) -> Result<bool> {
    let done = exchange::export(
        &existing(&args.run.checkpoint),
        args.run.at,
        &args.out,
        args.maps.unwrap_or_default(),
        args.overwrite,
        &args.run.backend.device()?,
    )?;
    console.report(&done)?;
    Ok(true)
}
