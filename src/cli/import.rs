//! `import`.

use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::runs::folder;
use crate::backend::Backend;
use crate::config::Config;
use crate::error::Result;
use crate::task::exchange;

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

pub fn run(args: &ImportArgs, console: &mut Console) -> Result<bool> {
    let config = args.config.as_deref().map(Config::read).transpose()?;
    let device = Backend::Flex.device()?;
    let done = exchange::import(&args.file, config.as_ref(), &folder(&args.run), &device)?;
    console.report(&done)?;
    Ok(true)
}
