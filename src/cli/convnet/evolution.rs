//! `convnet evolution`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::Console;
use super::options::{OutArgs, PrepareArgs, WalkArgs, told};
use crate::error::Result;
use crate::task::convnet::evolution::{self, Options};

/// Flags of `convnet evolution`.
#[derive(Debug, Args)]
pub struct EvolutionArgs {
    /// Folder of ONNX files of one training, with the number of the epoch in their names.
    #[arg(long, value_name = "DIR")]
    pub models: PathBuf,
    /// How pictures are prepared.
    #[command(flatten)]
    pub prepare: PrepareArgs,
    /// Folder of pictures to search.
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// The layer; the last rectifier with places, if not given.
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// Maps, spread evenly over those that are positive at the end.
    #[arg(long, value_name = "N", default_value = "6")]
    pub maps: NonZeroUsize,
    /// Pictures that go through the model together.
    #[arg(long, value_name = "N", default_value = "8")]
    pub batch: NonZeroUsize,
    /// How signals go back.
    #[command(flatten)]
    pub walk: WalkArgs,
    /// Where results go.
    #[command(flatten)]
    pub out: OutArgs,
}

pub fn run(args: &EvolutionArgs, console: &mut Console) -> Result<bool> {
    let options = Options {
        source: args.prepare.source(&args.models),
        images: args.images.clone(),
        layer: args.layer.clone(),
        maps: args.maps.get(),
        batch: args.batch.get(),
        walk: args.walk.walk(),
        out: args.out.folder("evolution"),
        overwrite: args.out.overwrite,
    };
    let device = args.prepare.backend.device()?;
    let report = evolution::run(&options, &device, &mut console.progress)?;
    told(report, console)
}
