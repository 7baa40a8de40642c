//! `denoise` and `inpaint`.

use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::runs::existing;
use crate::error::{Error, Result};
use crate::store::CheckpointSelector;
use crate::task::restore::{self, DenoiseOptions, Files, FilterSource, InpaintOptions, Noise};

/// Images, results and filters.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// An image, or a folder of them (searched recursively); or the array `y` of a .npz, .npy or .safetensors file,
    /// [channels, height, width] with white as 1.
    #[arg(value_name = "IMAGE|DIR")]
    pub input: PathBuf,
    /// The picture to write, a .png, or a .npz for the array `x` without rounding; of a folder, the folder for
    /// pictures of the same names, where the same command goes on after an interruption. A comparison is written
    /// beside each.
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// The image as it should be, or the folder of them: for PSNR and SNR.
    #[arg(long, value_name = "IMAGE|DIR")]
    pub reference: Option<PathBuf>,
    /// Code with the filters of the first layer of this run: its name in checkpoints, which comes first, or its
    /// folder. By default, with 256 built-in ones learnt from photographs.
    #[arg(long, value_name = "RUN", visible_alias = "run")]
    pub checkpoint: Option<PathBuf>,
    /// Which of its checkpoints: last, best, or a step.
    #[arg(
        long,
        value_name = "WHICH",
        default_value = "last",
        requires = "checkpoint"
    )]
    pub at: CheckpointSelector,
    /// Replace results that are there.
    #[arg(long)]
    pub overwrite: bool,
    /// Go on where this is estimated to take more memory or disk than there is.
    #[arg(long)]
    pub force: bool,
}

/// Flags of `denoise`.
#[derive(Debug, Args)]
pub struct DenoiseArgs {
    /// What both commands take.
    #[command(flatten)]
    pub restore: RestoreArgs,
    /// Standard deviation of white noise in grey levels of 255; by default estimated from the smallest eigenvalues
    /// of the covariance of patches.
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    pub sigma: Option<f64>,
    /// white, poisson (counts) or impulse (salt and pepper).
    #[arg(long, value_name = "KIND", default_value = "white")]
    pub noise: Noise,
    /// With --noise poisson: the counts that white stands for.
    #[arg(long, value_name = "COUNTS", allow_negative_numbers = true)]
    pub peak: Option<f64>,
    /// Adapt the filters to each noisy image first.
    #[arg(long)]
    pub adapt: bool,
}

/// Flags of `inpaint`.
#[derive(Debug, Args)]
pub struct InpaintArgs {
    /// What both commands take.
    #[command(flatten)]
    pub restore: RestoreArgs,
    /// An image of the same size, black where pixels are missing, for all images; a folder with one for each, of the
    /// same name; or a file of arrays with `mask`, 0 where one is missing.
    #[arg(long, value_name = "IMAGE|DIR")]
    pub mask: PathBuf,
}

impl RestoreArgs {
    fn files(&self) -> Files {
        Files {
            input: self.input.clone(),
            out: self.out.clone(),
            reference: self.reference.clone(),
            overwrite: self.overwrite,
            force: self.force,
        }
    }

    fn filters(&self) -> FilterSource {
        match &self.checkpoint {
            None => FilterSource::BuiltIn,
            Some(run) => FilterSource::Run {
                path: existing(run),
                at: self.at,
            },
        }
    }
}

pub fn denoise(args: &DenoiseArgs, console: &mut Console) -> Result<bool> {
    let fail = |message: &str| Err(Error::Config(message.into()));
    let noise = match (args.noise, args.sigma, args.peak) {
        (Noise::White { .. }, sigma, None) => Noise::White { sigma },
        (Noise::Poisson { .. }, None, Some(peak)) => Noise::Poisson { peak },
        (Noise::Impulse, None, None) if !args.adapt => Noise::Impulse,
        (Noise::Poisson { .. }, None, None) => {
            return fail(
                "--noise poisson needs --peak, the counts that white stands for: 255 where grey levels are counts",
            );
        }
        (Noise::White { .. }, _, Some(_)) => {
            return fail("--peak is for --noise poisson; leave it out");
        }
        (_, Some(_), _) => return fail("--sigma is for white noise; leave it out"),
        (_, _, Some(_)) => return fail("--peak is for --noise poisson; leave it out"),
        (Noise::Impulse, ..) => {
            return fail("--adapt is for white noise and that of counts; leave it out");
        }
    };
    let options = DenoiseOptions {
        files: args.restore.files(),
        noise,
        filters: args.restore.filters(),
        adapt: args.adapt,
    };
    let report = restore::denoise(&options, &mut console.progress)?;
    console.report(&report)?;
    report.complete()?;
    Ok(!report.interrupted)
}

pub fn inpaint(args: &InpaintArgs, console: &mut Console) -> Result<bool> {
    let options = InpaintOptions {
        files: args.restore.files(),
        mask: args.mask.clone(),
        filters: args.restore.filters(),
    };
    let report = restore::inpaint(&options, &mut console.progress)?;
    console.report(&report)?;
    report.complete()?;
    Ok(!report.interrupted)
}
