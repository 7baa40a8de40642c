//! `convnet correspond`.

use std::path::PathBuf;

use clap::Args;

use super::Console;
use super::options::{ModelArgs, OutArgs, told};
use crate::error::Result;
use crate::task::convnet::correspondence::{self, Fill, Options};

/// Flags of `convnet correspond`.
#[derive(Debug, Args)]
pub struct CorrespondArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Folder of the pictures.
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// The parts: a CSV file whose first line is image,part,top,left,height,width, in pixels of the files,
    /// or a JSON list of objects with these names.
    #[arg(long, value_name = "FILE")]
    pub boxes: PathBuf,
    /// Layers by name, with commas between; the last rectifier with places and the last of all, if not given.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub layers: Vec<String>,
    /// What covers a part: grey, mean (of the training images) or blur.
    #[arg(long, value_name = "WHAT", default_value = "grey")]
    pub fill: Fill,
    /// Random parts of the size of each part, in each picture.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub random: usize,
    /// Seed of the random parts.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Where results go.
    #[command(flatten)]
    pub out: OutArgs,
}

pub fn run(args: &CorrespondArgs, console: &mut Console) -> Result<bool> {
    let options = Options {
        source: args.model.source(),
        images: args.images.clone(),
        boxes: args.boxes.clone(),
        layers: args.layers.clone(),
        fill: args.fill,
        random: args.random,
        seed: args.seed,
        out: args.out.folder("correspondence"),
        overwrite: args.out.overwrite,
    };
    let device = args.model.prepare.backend.device()?;
    let report = correspondence::run(&options, &device, &mut console.progress)?;
    told(report, console)
}
