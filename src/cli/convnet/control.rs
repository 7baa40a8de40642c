//! `convnet control`.

use std::path::PathBuf;

use clap::Args;

use super::Console;
use super::options::{ModelArgs, OutArgs, WalkArgs, told};
use crate::convnet::Unit;
use crate::error::Result;
use crate::task::convnet::control::{self, Options};

/// Flags of `convnet control`.
#[derive(Debug, Args)]
pub struct ControlArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The picture.
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// The layer of the unit; if not given the output, and for the strongest unit the last rectifier
    /// whose maps have rows and columns.
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// The unit: channel,row,column; a channel, for its strongest, or a class; strongest.
    #[arg(long, value_name = "C,Y,X", default_value = "strongest")]
    pub unit: Unit,
    /// How the signal goes back.
    #[command(flatten)]
    pub walk: WalkArgs,
    /// Seed of the random weights.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Where results go.
    #[command(flatten)]
    pub out: OutArgs,
}

pub fn run(args: &ControlArgs, console: &mut Console) -> Result<bool> {
    let options = Options {
        source: args.model.source(),
        image: args.image.clone(),
        layer: args.layer.clone(),
        unit: args.unit.clone(),
        walk: args.walk.walk(),
        seed: args.seed,
        out: args.out.folder("control"),
        overwrite: args.out.overwrite,
    };
    let device = args.model.prepare.backend.device()?;
    let report = control::run(&options, &device, &mut console.progress)?;
    told(report, console)
}
