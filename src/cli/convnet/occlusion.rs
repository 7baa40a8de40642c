//! `convnet occlude`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::Console;
use super::options::{ModelArgs, OutArgs, WalkArgs, told};
use crate::error::Result;
use crate::task::convnet::occlusion::{self, Fill, Options};

/// Flags of `convnet occlude`.
#[derive(Debug, Args)]
pub struct OccludeArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The picture.
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Other pictures: the three in which that map is strongest are shown, and projected.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// The layer whose strongest map is looked at; the last rectifier with places, if not given.
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// The class, by number or name; the true one if the file's name begins with its number, else the most
    /// probable one.
    #[arg(long, value_name = "N|NAME")]
    pub class: Option<String>,
    /// Pixels of the sides of the square [default: 50 of 224 of the shorter side].
    #[arg(long, value_name = "PIXELS")]
    pub side: Option<usize>,
    /// Pixels from one place of it to the next [default: 10 of 224].
    #[arg(long, value_name = "PIXELS")]
    pub step: Option<usize>,
    /// What the square shows: grey, mean (of the training images) or blur.
    #[arg(long, value_name = "WHAT", default_value = "grey")]
    pub fill: Fill,
    /// Places that go through the model together.
    #[arg(long, value_name = "N", default_value = "16")]
    pub batch: NonZeroUsize,
    /// How the strongest unit goes back.
    #[command(flatten)]
    pub walk: WalkArgs,
    /// Where results go.
    #[command(flatten)]
    pub out: OutArgs,
}

pub fn run(args: &OccludeArgs, console: &mut Console) -> Result<bool> {
    let options = Options {
        source: args.model.source(),
        image: args.image.clone(),
        others: args.images.clone(),
        layer: args.layer.clone(),
        class: args.class.clone(),
        side: args.side,
        step: args.step,
        fill: args.fill,
        batch: args.batch.get(),
        walk: args.walk.walk(),
        out: args.out.folder("occlusion"),
        overwrite: args.out.overwrite,
    };
    let device = args.model.prepare.backend.device()?;
    let report = occlusion::run(&options, &device, &mut console.progress)?;
    told(report, console)
}
