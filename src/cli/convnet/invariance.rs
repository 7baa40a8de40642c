//! `convnet invariance`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::Console;
use super::options::{ModelArgs, OutArgs, told};
use crate::error::Result;
use crate::task::convnet::invariance::{self, Options};

/// Flags of `convnet invariance`.
#[derive(Debug, Args)]
pub struct InvarianceArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// A picture, or a folder of them.
    #[arg(long, value_name = "FILE|DIR")]
    pub images: PathBuf,
    /// Pictures, spread evenly over the folder.
    #[arg(long, value_name = "N", default_value = "5")]
    pub count: NonZeroUsize,
    /// Layers by name, with commas between; the first and the last rectifier, if not given.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub layers: Vec<String>,
    /// Pictures that go through the model together.
    #[arg(long, value_name = "N", default_value = "16")]
    pub batch: NonZeroUsize,
    /// Where results go.
    #[command(flatten)]
    pub out: OutArgs,
}

pub fn run(args: &InvarianceArgs, console: &mut Console) -> Result<bool> {
    let options = Options {
        source: args.model.source(),
        images: args.images.clone(),
        count: args.count.get(),
        layers: args.layers.clone(),
        batch: args.batch.get(),
        out: args.out.folder("invariance"),
        overwrite: args.out.overwrite,
    };
    let device = args.model.prepare.backend.device()?;
    let report = invariance::run(&options, &device, &mut console.progress)?;
    told(report, console)
}
