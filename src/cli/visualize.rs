//! `visualize`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::runs::{RunArgs, existing};
use crate::error::Result;
use crate::solve::Callback;
use crate::task::visualize::{self, Options, Subject};

/// Flags of `visualize`.
#[derive(Debug, Args)]
pub struct VisualizeArgs {
    /// The run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Folder for the pictures; by default, pictures in the run's own.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The image whose maps are shown: a file, one of arrays as ecg.npz/signals-7, or the number of a training
    /// image; by default, the first of --images, or else training image 1.
    #[arg(long, value_name = "FILE|N")]
    pub image: Option<OsString>,
    /// Folder of images to search for each map's strongest places, instead of the training images.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Leave out what this pattern matches in that folder, such as '*.thumb.*' or old/**; may be repeated.
    #[arg(long, value_name = "PATTERN", requires = "images")]
    pub exclude: Vec<String>,
    /// How many of the strongest places of each map to show.
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub patches: usize,
    /// Replace pictures in --out; the run's own are always drawn anew.
    #[arg(long)]
    pub overwrite: bool,
}

pub fn run(args: &VisualizeArgs, console: &mut Console) -> Result<bool> {
    let subject = |image: &OsString| match image.to_str().and_then(|text| text.parse().ok()) {
        Some(number) => Subject::Training(number),
        None => Subject::File(PathBuf::from(image)),
    };
    let options = Options {
        checkpoint: existing(&args.run.checkpoint),
        which: args.run.at,
        out: args.out.clone(),
        overwrite: args.overwrite,
        image: args.image.as_ref().map(subject),
        images: args.images.clone(),
        exclude: args.exclude.clone(),
        patches_per_map: args.patches,
    };
    let device = args.run.backend.device()?;
    let report = visualize::run(&options, &device, &mut console.progress)?;
    console.report(&report)?;
    Ok(!console.progress.interrupted())
}
