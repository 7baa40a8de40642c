//! Flags that commands about convnets share.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Console;
use crate::backend::Backend;
use crate::convnet::{Changes, Options, Preset, Rule, Walk};
use crate::error::Result;
use crate::task::convnet::Source;

/// Which model, and how pictures are prepared for it.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The model, an ONNX file.
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// How pictures are prepared.
    #[command(flatten)]
    pub prepare: PrepareArgs,
}

/// How pictures are prepared, and where they are looked at.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// How pictures are prepared: torch, caffe, tf or plain (pixels from 0 to 1).
    #[arg(long, value_name = "NAME", default_value = "torch")]
    pub preset: Preset,
    /// What is taken from each channel, instead of the preset's.
    #[arg(
        long,
        value_name = "M,..",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    pub mean: Option<Vec<f32>>,
    /// What each channel is divided by then, instead of the preset's.
    #[arg(long, value_name = "S,..", value_delimiter = ',')]
    pub std: Option<Vec<f32>>,
    /// What pixels from 0 to 1 are multiplied by first, instead of the preset's.
    #[arg(long, value_name = "X")]
    pub scale: Option<f32>,
    /// Blue comes first.
    #[arg(long)]
    pub bgr: bool,
    /// Pixels of the shorter side, before the middle is cut out.
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<usize>,
    /// Pixels of the sides of the middle, where the model leaves them open.
    #[arg(long, value_name = "PIXELS")]
    pub crop: Option<usize>,
    /// A text file with the name of a class on each line.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Leave out what this pattern matches in folders of pictures, such as '*.thumb.*' or old/**; may be
    /// repeated.
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short, default_value = "flex")]
    pub backend: Backend,
}

impl ModelArgs {
    pub fn source(&self) -> Source {
        self.prepare.source(&self.model)
    }
}

impl PrepareArgs {
    pub fn source(&self, model: &Path) -> Source {
        Source {
            model: model.to_path_buf(),
            preset: self.preset,
            changes: Changes {
                mean: self.mean.clone(),
                std: self.std.clone(),
                scale: self.scale,
                bgr: self.bgr,
                size: self.size,
                crop: self.crop,
            },
            labels: self.labels.clone(),
            exclude: self.exclude.clone(),
        }
    }
}

/// How a signal goes back.
#[derive(Debug, Args)]
pub struct WalkArgs {
    /// What rectifiers do to it: deconvnet, guided or gradient.
    #[arg(long, value_name = "RULE", default_value = "deconvnet")]
    pub rule: Rule,
    /// Rectifiers with a ceiling, such as ReLU6, go back by their derivative.
    #[arg(long)]
    pub ceiling_by_gradient: bool,
    /// Local response normalisation goes back by its derivative instead of as if it were not there.
    #[arg(long)]
    pub lrn_by_gradient: bool,
    /// Pooling windows that hold nothing but zeros send nothing back.
    #[arg(long)]
    pub drop_empty_windows: bool,
}

impl WalkArgs {
    pub fn walk(&self) -> Walk {
        Walk {
            rule: self.rule,
            options: Options {
                ceiling_by_gradient: self.ceiling_by_gradient,
                response_by_gradient: self.lrn_by_gradient,
                drop_empty_windows: self.drop_empty_windows,
            },
        }
    }
}

/// Where results go.
#[derive(Debug, Args)]
pub struct OutArgs {
    /// Folder for pictures, arrays, table and page; named after what is done, if not given.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace what is in --out.
    #[arg(long)]
    pub overwrite: bool,
}

impl OutArgs {
    pub fn folder(&self, name: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| name.into())
    }
}

/// Tells what was found. Whether it came to the end.
pub fn told<R: Display + serde::Serialize>(
    report: Option<R>,
    console: &mut Console,
) -> Result<bool> {
    if let Some(report) = &report {
        console.report(report)?;
    }
    Ok(report.is_some())
}
