//! `convnet project`.

use std::path::PathBuf;

use clap::Args;

use super::options::{ModelArgs, WalkArgs, told};
use super::{Console, complete};
use crate::convnet::Unit;
use crate::error::Result;
use crate::task::convnet::project::{self, Start, Target};

/// Flags of `convnet project`.
#[derive(Debug, Args)]
pub struct ProjectArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// A picture, or a folder of them.
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "arrays")]
    pub images: Option<PathBuf>,
    /// Images as the model has them: the array `x` of an .npz or .safetensors file, taken as it is. The
    /// result is `logits`, `value` and `projection` in the file --out.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["images", "preset", "mean", "std", "scale", "bgr",
        "size", "crop", "labels", "exclude"])]
    pub arrays: Option<PathBuf>,
    /// The layer, by the name of its tensor, module or node; if not given the output, and for the strongest unit
    /// of pictures the last rectifier whose maps have rows and columns.
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// The unit: channel,row,column; a channel, for its strongest, or a class; strongest.
    #[arg(long, value_name = "C,Y,X", default_value = "strongest")]
    pub unit: Unit,
    /// How the signal goes back.
    #[command(flatten)]
    pub walk: WalkArgs,
    /// What the signal starts with: the unit's activation, or one.
    #[arg(long, value_name = "WHAT", default_value = "activation")]
    pub start: Start,
    /// Folder for pictures and table, or with --arrays the file.
    #[arg(long, value_name = "DIR|FILE", default_value = "projected")]
    pub out: PathBuf,
    /// Replace what is in --out.
    #[arg(long)]
    pub overwrite: bool,
}

pub fn run(args: &ProjectArgs, console: &mut Console) -> Result<bool> {
    let target = Target {
        layer: args.layer.clone(),
        unit: args.unit.clone(),
        walk: args.walk.walk(),
        start: args.start,
    };
    let device = args.model.prepare.backend.device()?;
    match (&args.arrays, &args.images) {
        (Some(arrays), _) => {
            let model = &args.model.model;
            let done = project::arrays(model, arrays, &target, &args.out, args.overwrite, &device)?;
            console.report(&done)?;
        }
        (None, Some(images)) => {
            let source = args.model.source();
            let (out, progress) = (&args.out, &mut console.progress);
            let report = project::pictures(
                &source,
                images,
                &target,
                out,
                args.overwrite,
                &device,
                progress,
            )?;
            let skipped = report.as_ref().map(|report| report.skipped.clone());
            return complete(told(report, console)?, &skipped.unwrap_or_default());
        }
        (None, None) => unreachable!("one of the two is required"),
    }
    Ok(true)
}
