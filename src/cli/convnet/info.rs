//! `convnet info`.

use std::path::PathBuf;

use burn::tensor::Device;
use clap::Args;

use super::Console;
use crate::error::Result;
use crate::task::convnet::info;

/// Flags of `convnet info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The model, an ONNX file.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The sides of the images in pixels, where the model leaves them open.
    #[arg(long, value_name = "PIXELS")]
    pub crop: Option<usize>,
}

pub fn run(args: &InfoArgs, console: &mut Console) -> Result<bool> {
    let found = info::run(&args.model, args.crop, &Device::flex())?;
    console.report(&found)?;
    Ok(true)
}
