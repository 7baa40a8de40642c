//! The plan of `invert`: what was typed, together with the configuration.

use super::args::InvertArgs;
use super::plan::existing;
use crate::error::{Error, Result};
use crate::invert::{InverseMethod, Kernel};
use crate::task::invert::{Experiment, Input, Options};

/// What `invert` is to do.
///
/// # Errors
/// [`Error::Config`] for flags that cannot be read or settings that do not fit.
pub fn options(args: &InvertArgs) -> Result<Options> {
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
    if let Some(list) = &args.ways {
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
    let (name, numbers) = text.split_once(':').unwrap_or((text, ""));
    let parts: Vec<&str> = match name {
        "taps" => numbers.split(',').collect(),
        _ => numbers.split('x').collect(),
    };
    let whole = |i: usize| {
        parts
            .get(i)
            .and_then(|part: &&str| part.parse::<usize>().ok())
    };
    let real = |i: usize| {
        parts
            .get(i)
            .and_then(|part: &&str| part.trim().parse::<f64>().ok())
    };
    let found = match (name, parts.len()) {
        ("identity", 1) if numbers.is_empty() => Some(Kernel::Identity),
        ("decolour", 1) if numbers.is_empty() => Some(Kernel::Decolour),
        ("edge", 1) if numbers.is_empty() => Some(Kernel::Edge),
        ("singular", 1) if numbers.is_empty() => Some(Kernel::Singular),
        ("gaussian", 1) => real(0).map(|sigma| Kernel::Gaussian { sigma, size: None }),
        ("gaussian", 2) => real(0).zip(whole(1)).map(|(sigma, size)| Kernel::Gaussian {
            sigma,
            size: Some(size),
        }),
        ("random", 2) => whole(0).zip(whole(1)).map(|(maps, size)| Kernel::Random {
            maps,
            size,
            seed: 0,
        }),
        ("taps", count) => {
            let taps: Option<Vec<f64>> = (0..count).map(real).collect();
            taps.map(|taps| Kernel::Taps { taps })
        }
        _ => None,
    };
    found.ok_or_else(|| {
        Error::Config(format!(
            "'{text}' is no kernel; write identity, gaussian:SIGMA, gaussian:SIGMAxSIZE, decolour, \
             edge, random:MAPSxSIZE, taps:A,B,C or singular, for example gaussian:1.5x9"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_read() {
        for (text, wanted) in [
            ("identity", Kernel::Identity),
            ("singular", Kernel::Singular),
            (
                "gaussian:1.5",
                Kernel::Gaussian {
                    sigma: 1.5,
                    size: None,
                },
            ),
            (
                "gaussian:2x9",
                Kernel::Gaussian {
                    sigma: 2.0,
                    size: Some(9),
                },
            ),
            (
                "random:8x3",
                Kernel::Random {
                    maps: 8,
                    size: 3,
                    seed: 0,
                },
            ),
            (
                "taps:0.25, 1,-.5",
                Kernel::Taps {
                    taps: vec![0.25, 1.0, -0.5],
                },
            ),
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
