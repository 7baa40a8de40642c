//! `invert`.

use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::runs::existing;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::invert::{InverseMethod, Kernel, Padding};
use crate::store::CheckpointSelector;
use crate::task::invert::{self, Experiment, Input, Options, Precision};

/// Flags of `invert`. What a flag does not say, the configuration does.
#[derive(Debug, Args)]
pub struct InvertArgs {
    /// An experiment, such as configs/invert/blur.toml.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Recover this image; by default, a sample scene.
    #[arg(long, value_name = "FILE", conflicts_with = "random")]
    pub image: Option<PathBuf>,
    /// Scale the image down to this many pixels a side.
    #[arg(long, value_name = "PIXELS", requires = "image")]
    pub max_side: Option<usize>,
    /// What was convolved already: an image, or the array `y` of a .npz, .npy or .safetensors file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "random"])]
    pub observed: Option<PathBuf>,
    /// Recover random numbers of this shape.
    #[arg(long, value_name = "CxHxW")]
    pub random: Option<String>,
    /// Built-in filters, convolved with the image: identity, gaussian:SIGMA or gaussian:SIGMAxSIZE,
    /// decolour, edge, random:MAPSxSIZE, taps:A,B,C, singular.
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Option<String>,
    /// Filters [out, in, h, w] from a .npz, .npy or .safetensors file; one filter, [1, 1, h, w] or [h, w], is
    /// applied to every channel.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "checkpoint"])]
    pub filters: Option<PathBuf>,
    /// The array of that file, where it holds several.
    #[arg(long, value_name = "NAME", requires = "filters")]
    pub array: Option<String>,
    /// Correlate with --kernel or --filters, as convolutional networks do; without it they are convolved
    /// with the image, as by scipy.signal.convolve2d.
    #[arg(long)]
    pub correlate: bool,
    /// Divide every filter by the sum of its taps.
    #[arg(long, visible_alias = "normalize")]
    pub normalise: bool,
    /// The learnt filters of this run; each is correlated with the planes below, as in coding.
    #[arg(long, value_name = "RUN", conflicts_with = "kernel")]
    pub checkpoint: Option<PathBuf>,
    /// Which of its checkpoints: last, best, or a step.
    #[arg(long, value_name = "WHICH", requires = "checkpoint")]
    pub at: Option<CheckpointSelector>,
    /// Which layer of that run.
    #[arg(long, value_name = "N", requires = "checkpoint")]
    pub layer: Option<usize>,
    /// The stride, in both directions.
    #[arg(long, value_name = "N")]
    pub stride: Option<usize>,
    /// none, zeros, reflect or circular.
    #[arg(long)]
    pub padding: Option<Padding>,
    /// Standard deviation of the noise added to what was convolved, or known to be in --observed.
    #[arg(long, value_name = "SIGMA")]
    pub noise: Option<f64>,
    /// The methods, with commas: pseudo-inverse, adam, lbfgs, transpose, scaled-transpose, cg, lsqr, l1,
    /// total-variation, wiener, codes.
    #[arg(long, value_name = "LIST", alias = "ways")]
    pub methods: Option<String>,
    /// Singular values up to this share of the largest count as zero.
    #[arg(long, value_name = "SHARE")]
    pub truncation: Option<f64>,
    /// Weight of Tikhonov's term.
    #[arg(long, value_name = "WEIGHT")]
    pub tikhonov: Option<f64>,
    /// Weight of the L1 or the total variation prior.
    #[arg(long, value_name = "WEIGHT")]
    pub prior: Option<f64>,
    /// The most steps of what iterates.
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    /// The most seconds of what iterates, each method by itself.
    #[arg(long, allow_negative_numbers = true)]
    pub seconds: Option<f64>,
    /// Seed of everything random.
    #[arg(long)]
    pub seed: Option<u64>,
    /// single or double; by default double on a CPU.
    #[arg(long)]
    pub precision: Option<Precision>,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short)]
    pub backend: Option<Backend>,
    /// Folder for the table, the arrays and the pictures.
    #[arg(long, value_name = "DIR", default_value = "inverted")]
    pub out: PathBuf,
    /// Replace results that are there.
    #[arg(long)]
    pub overwrite: bool,
}

pub fn run(args: &InvertArgs, console: &mut Console) -> Result<bool> {
    let options = options(args)?;
    let device = options.experiment.backend.device()?;
    let report = invert::run(&options, &device, &mut console.progress)?;
    console.report(&report)?;
    Ok(!report.interrupted)
}

fn options(args: &InvertArgs) -> Result<Options> {
    let mut experiment = match &args.config {
        Some(path) => Experiment::read(path)?,
        None => Experiment::default(),
    };
    if let Some(path) = &args.image {
        experiment.input = Input::Image {
            path: path.clone(),
            max_side: args.max_side,
        };
    }
    if let Some(path) = &args.observed {
        experiment.input = Input::Observed {
            path: path.clone(),
            name: "y".into(),
        };
    }
    if let Some(shape) = &args.random {
        experiment.input = Input::Random {
            shape: shape_of(shape)?,
            density: 1.0,
        };
    }
    experiment.checkpoint = experiment.checkpoint.map(|run| existing(&run));
    if let Some(name) = &args.kernel {
        experiment.kernel = kernel(name)?;
        (experiment.filters, experiment.checkpoint) = (None, None);
    }
    if let Some(path) = &args.filters {
        experiment.filters = Some(path.clone());
        experiment.array = args.array.clone();
        experiment.checkpoint = None;
    }
    if let Some(run) = &args.checkpoint {
        experiment.checkpoint = Some(existing(run));
        experiment.filters = None;
    }
    experiment.correlate |= args.correlate;
    experiment.normalise |= args.normalise;
    experiment.at = args.at.unwrap_or(experiment.at);
    experiment.layer = args.layer.unwrap_or(experiment.layer);
    experiment.stride = args.stride.map_or(experiment.stride, |stride| [stride; 2]);
    experiment.padding = args.padding.unwrap_or(experiment.padding);
    experiment.noise = args.noise.unwrap_or(experiment.noise);
    experiment.steps = args.steps.unwrap_or(experiment.steps);
    experiment.seconds = args.seconds.or(experiment.seconds);
    experiment.seed = args.seed.unwrap_or(experiment.seed);
    experiment.precision = args.precision.or(experiment.precision);
    experiment.backend = args.backend.unwrap_or(experiment.backend);
    let settings = &mut experiment.settings;
    settings.truncation = args.truncation.unwrap_or(settings.truncation);
    settings.tikhonov = args.tikhonov.unwrap_or(settings.tikhonov);
    if let Some(weight) = args.prior {
        (settings.l1, settings.total_variation) = (weight, weight);
    }
    if let Some(list) = &args.methods {
        let names = list.split(',').map(|name| name.trim().parse());
        experiment.ways = names.collect::<Result<Vec<InverseMethod>>>()?;
    }
    experiment.check()?;
    Ok(Options {
        experiment,
        out: args.out.clone(),
        overwrite: args.overwrite,
    })
}

/// `3x32x32` as channels, height and width.
fn shape_of(text: &str) -> Result<[usize; 3]> {
    let sides: Option<Vec<usize>> = text.split('x').map(|side| side.parse().ok()).collect();
    sides
        .and_then(|sides| sides.try_into().ok())
        .filter(|sides: &[usize; 3]| !sides.contains(&0))
        .ok_or_else(|| {
            Error::Config(format!(
                "'{text}' is no shape; write channels x height x width, all above 0, for example \
                 3x32x32"
            ))
        })
}

/// `gaussian:2x9`, `random:8x3`, `taps:0.25,1,0.25` and the names that take no numbers.
fn kernel(text: &str) -> Result<Kernel> {
    read_kernel(text).ok_or_else(|| {
        Error::Config(format!(
            "'{text}' is no kernel; write identity, gaussian:SIGMA, gaussian:SIGMAxSIZE, decolour, \
             edge, random:MAPSxSIZE, taps:A,B,C or singular, for example gaussian:1.5x9"
        ))
    })
}

fn read_kernel(text: &str) -> Option<Kernel> {
    let (name, numbers) = text.split_once(':').unwrap_or((text, ""));
    let separator = if name == "taps" { ',' } else { 'x' };
    let parts: Vec<&str> = match numbers {
        "" => Vec::new(),
        _ => numbers.split(separator).map(str::trim).collect(),
    };
    let whole = |part: &str| part.parse::<usize>().ok();
    let real = |part: &str| part.parse::<f64>().ok();
    Some(match (name, parts.as_slice()) {
        ("identity", []) => Kernel::Identity,
        ("decolour", []) => Kernel::Decolour,
        ("edge", []) => Kernel::Edge,
        ("singular", []) => Kernel::Singular,
        ("gaussian", [sigma]) => gaussian(real(sigma)?, None),
        ("gaussian", [sigma, size]) => gaussian(real(sigma)?, Some(whole(size)?)),
        ("random", [maps, size]) => random(whole(maps)?, whole(size)?),
        ("taps", [_, ..]) => Kernel::Taps {
            taps: parts.into_iter().map(real).collect::<Option<_>>()?,
        },
        _ => return None,
    })
}

fn gaussian(sigma: f64, size: Option<usize>) -> Kernel {
    Kernel::Gaussian { sigma, size }
}

fn random(maps: usize, size: usize) -> Kernel {
    let seed = 0;
    Kernel::Random { maps, size, seed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_read() {
        let taps = vec![0.25, 1.0, -0.5];
        for (text, wanted) in [
            ("identity", Kernel::Identity),
            ("singular", Kernel::Singular),
            ("gaussian:1.5", gaussian(1.5, None)),
            ("gaussian:2x9", gaussian(2.0, Some(9))),
            ("random:8x3", random(8, 3)),
            ("taps:0.25, 1,-.5", Kernel::Taps { taps }),
        ] {
            assert_eq!(kernel(text).unwrap(), wanted, "{text}");
        }
        for wrong in [
            "",
            "blurr",
            "gaussian",
            "gaussian:",
            "gaussian:ax9",
            "random:8",
            "taps:",
            "taps:1,,2",
            "edge:3",
        ] {
            let error = kernel(wrong).expect_err(wrong).to_string();
            assert!(error.contains("is no kernel"), "{error}");
        }
    }

    #[test]
    fn shapes_are_read() {
        assert_eq!(shape_of("3x32x16").unwrap(), [3, 32, 16]);
        for wrong in ["", "3x32", "3x0x4", "3x32x16x2", "axbxc"] {
            assert!(shape_of(wrong).is_err(), "{wrong}");
        }
    }
}
