//! `infer`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::console::Console;
use super::processes::{GroupArgs, Sharing};
use super::runs::existing;
use crate::backend::Backend;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::solve::{Limits, Method, Reason, SolverName};
use crate::store::CheckpointSelector;
use crate::task::infer::{self, MapsFormat, Shard};

/// Flags of `infer`.
#[derive(Debug, Args)]
pub struct InferArgs {
    /// The run whose filters are used: its name in checkpoints, which comes first, or its folder.
    #[arg(
        long,
        value_name = "RUN",
        required_unless_present_any = ["problem", "merge"],
        requires = "images"
    )]
    pub checkpoint: Option<PathBuf>,
    /// Which of its checkpoints: last, best, or a step.
    #[arg(long, value_name = "WHICH", default_value = "last")]
    pub at: CheckpointSelector,
    /// A folder of images (searched recursively), one image, or a .npz or .npy with arrays `images` or
    /// `signals`.
    #[arg(long, value_name = "DIR", requires = "checkpoint")]
    pub images: Option<PathBuf>,
    /// Leave out what this pattern matches in that folder, such as '*.thumb.*' or old/**; may be repeated.
    #[arg(long, value_name = "PATTERN", requires = "images")]
    pub exclude: Vec<String>,
    /// Which pixels are known: a picture, black where one is missing, for all images, a folder with one of the same name for
    /// each, or a file of arrays `mask` or `weights`.
    #[arg(long, value_name = "PATH", requires = "images")]
    pub mask: Option<PathBuf>,
    /// Code each image, a PNG, PGM or PPM that may be larger than the memory, in tiles of about this many rows and
    /// columns; by default a single picture that the memory does not hold.
    #[arg(long, value_name = "PIXELS", requires = "images")]
    pub tile: Option<usize>,
    /// Code only every n-th image, from the i-th on: one of n calls that write to the same folder.
    #[arg(long, value_name = "I/N", requires = "images")]
    pub shard: Option<Shard>,
    /// Make one table of those of all shards in this folder.
    #[arg(long, value_name = "OUT", conflicts_with_all = ["checkpoint", "images", "problem", "out"])]
    pub merge: Option<PathBuf>,
    /// Solve the coding problem in this file instead: images s [K, C, H, W], filters D0 [M, C, h, w],
    /// weight lmbda, text boundary: "valid", "circular" or "zero"; L1Weight and NonNegCoef if wanted.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "images", "joint"])]
    pub problem: Option<PathBuf>,
    /// Folder for the results; the same command goes on there where it was interrupted. With --problem, a file for the maps.
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// split, adam, fista, descent or ista; by default the run's own, or descent with --problem.
    #[arg(long)]
    pub solver: Option<SolverName>,
    /// All layers together instead of one after the other.
    #[arg(long)]
    pub joint: bool,
    /// Scale images down to this many pixels along the longer side; by default, as the run's own were.
    #[arg(long, value_name = "PIXELS", requires = "checkpoint")]
    pub max_side: Option<usize>,
    /// Files that the maps are written to: npz, safetensors or none.
    #[arg(long, value_name = "FORMAT", default_value = "npz")]
    pub maps: MapsFormat,
    /// When to stop.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Score how foreign each image is to those that the run was trained on, and show where.
    #[arg(long, requires = "checkpoint")]
    pub anomaly: bool,
    /// Replace results that are there.
    #[arg(long)]
    pub overwrite: bool,
    /// Go on where this is estimated to take more memory or disk than there is.
    #[arg(long)]
    pub force: bool,
    /// When to give up.
    #[command(flatten)]
    pub group: GroupArgs,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short, default_value = "flex")]
    pub backend: Backend,
}

/// When a solver stops: whatever comes first.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// After so many steps.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub steps: usize,
    /// After so many seconds.
    #[arg(long, allow_negative_numbers = true)]
    pub seconds: Option<f64>,
    /// Once the duality gap is at most this share of the objective (p = 1).
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub gap: Option<f64>,
    /// Once the objective changes by at most this share.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub change: Option<f64>,
    /// Once the objective is at most this.
    #[arg(long, value_name = "OBJECTIVE", allow_negative_numbers = true)]
    pub target: Option<f64>,
    /// Look at the objective every so many steps; by default 10, with --solver descent or --problem 2, or
    /// 1 with --target.
    #[arg(long, value_name = "N")]
    pub every: Option<usize>,
}

impl InferArgs {
    /// Whether the processes that were started together share the images.
    pub fn shares(&self) -> Sharing {
        match self.checkpoint {
            Some(_) => Sharing::of(self.shard),
            None => Sharing::None,
        }
    }
}

pub fn run(args: &InferArgs, group: &Group, console: &mut Console) -> Result<bool> {
    if let Some(out) = &args.merge {
        let report = infer::merge(out, args.overwrite)?;
        console.report(&report)?;
        report.complete()?;
        return Ok(true);
    }
    match (&args.problem, &args.checkpoint, &args.images) {
        (Some(file), ..) => problem(args, file, console),
        (None, Some(run), Some(images)) => {
            let options = infer::Options {
                checkpoint: existing(run),
                which: args.at,
                images: images.clone(),
                exclude: args.exclude.clone(),
                mask: args.mask.clone(),
                tile: args.tile,
                // Processes share the tiles of an image, or the images.
                group: match args.tile {
                    Some(_) => group.clone(),
                    None => Group::alone(),
                },
                shard: match args.tile {
                    Some(_) => args.shard,
                    None => args.shard.or(Shard::of_member(group)),
                },
                out: args.out.clone().unwrap_or_else(|| "inferred".into()),
                solver: args.solver,
                joint: args.joint,
                max_side: args.max_side,
                limits: group.agree(limits(&args.limits, args.solver))?,
                maps_format: args.maps,
                anomaly: args.anomaly,
                overwrite: args.overwrite,
                force: args.force,
            };
            args.group.watch(group, &options.out)?;
            let device = args.backend.device();
            let inferred =
                device.and_then(|device| infer::run(&options, &device, &mut console.progress));
            let mut report = group.agree(inferred)?;
            report.interrupted = group.any(report.interrupted);
            if !(group.is_alone() || report.interrupted || args.tile.is_some()) {
                report = group.lead(|| infer::merge(&options.out, args.overwrite))?;
            }
            console.report(&report)?;
            group.agree(report.complete())?;
            if let Some(shard) = args.shard {
                let out = report.out.display();
                console.tell(&format!(
                    "this is shard {shard}; once all are done: deconvnet infer --merge {out}"
                ))?;
            }
            Ok(!report.interrupted)
        }
        _ => Err(Error::Config(
            "say which filters and which images: --checkpoint RUN --images DIR, \
             or --problem FILE"
                .into(),
        )),
    }
}

/// Solves the problem in a file.
fn problem(args: &InferArgs, file: &Path, console: &mut Console) -> Result<bool> {
    let solver = args.solver.unwrap_or(SolverName::CoordinateDescent);
    let report = infer::solve_problem(
        file,
        &Config::default().method(solver),
        &limits(&args.limits, Some(solver))?,
        args.out.as_deref(),
        args.overwrite,
        &args.backend.device()?,
        &mut console.progress,
    )?;
    console.report(&report)?;
    Ok(report.reason != Reason::Interrupted)
}

fn limits(args: &LimitArgs, solver: Option<SolverName>) -> Result<Limits> {
    for (flag, value) in [
        ("--seconds", args.seconds),
        ("--gap", args.gap),
        ("--change", args.change),
        ("--target", args.target),
    ] {
        if let Some(value) = value
            && !(value.is_finite() && value >= 0.0)
        {
            return Err(Error::Config(format!(
                "{flag} is {value}; it must be 0 or above"
            )));
        }
    }
    let usual = match solver.map(SolverName::method) {
        // A Newton step that is given up changes nothing, which must not pass for the end.
        Some(Method::CoordinateDescent(_)) if args.target.is_some() && args.change.is_none() => 1,
        Some(method) => method.usual_every(),
        None => Limits::default().every,
    };
    let every = args.every.unwrap_or(usual);
    if every == 0 && (args.gap.is_some() || args.change.is_some() || args.target.is_some()) {
        return Err(Error::Config(
            "--every 0 never looks at the objective before the end, so --gap, --change and \
             --target could not stop it; give --every 1 or more"
                .into(),
        ));
    }
    Ok(Limits {
        steps: args.steps,
        seconds: args.seconds,
        gap: args.gap,
        change: args.change,
        target: args.target,
        every,
    })
}
