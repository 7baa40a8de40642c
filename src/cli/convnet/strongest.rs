//! `convnet strongest`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::options::{ModelArgs, OutArgs, WalkArgs};
use super::{Console, complete};
use crate::cli::processes::GroupArgs;
use crate::error::Result;
use crate::group::Group;
use crate::task::convnet::strongest::{self, Options, Shard};

/// Flags of `convnet strongest`.
#[derive(Debug, Args)]
pub struct StrongestArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Folder of pictures to search.
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// Layers by name, with commas between; all rectifiers and the output, if not given.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub layers: Vec<String>,
    /// Maps of each layer to draw, spread evenly over those that are ever positive; the table has all.
    #[arg(long, value_name = "N", default_value = "16")]
    pub maps: NonZeroUsize,
    /// The strongest places of each map to keep.
    #[arg(long, value_name = "N", default_value = "9")]
    pub places: NonZeroUsize,
    /// How many of them may lie in one picture, at least half a receptive field apart.
    #[arg(long, value_name = "N", default_value = "1")]
    pub each: NonZeroUsize,
    /// Pictures that go through the model together.
    #[arg(long, value_name = "N", default_value = "8")]
    pub batch: NonZeroUsize,
    /// Look only at every n-th batch of pictures, from the i-th on: one of n calls that write to the same folder. The
    /// same command without it then draws what all have found.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// When to give up.
    #[command(flatten)]
    pub group: GroupArgs,
    /// How signals go back.
    #[command(flatten)]
    pub walk: WalkArgs,
    /// Where results go.
    #[command(flatten)]
    pub out: OutArgs,
}

pub fn run(args: &StrongestArgs, group: &Group, console: &mut Console) -> Result<bool> {
    let options = Options {
        source: args.model.source(),
        images: args.images.clone(),
        layers: args.layers.clone(),
        maps: args.maps.get(),
        places: args.places.get(),
        each: args.each.get(),
        batch: args.batch.get(),
        walk: args.walk.walk(),
        group: group.clone(),
        shard: args.shard,
        out: args.out.folder("strongest"),
        overwrite: args.out.overwrite,
    };
    args.group.watch(group, &options.out)?;
    let device = group.agree(args.model.prepare.backend.device())?;
    let report = strongest::run(&options, &device, &mut console.progress)?;
    console.report(&report)?;
    group.agree(complete(!report.interrupted, &report.skipped))
}
