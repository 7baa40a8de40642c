//! `denoise`: white noise, that of counts, salt and pepper.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::files::{Restored, each};
use super::{Files, FilterSource, Report, Steps};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::restore::{
    Denoiser, Filters, Inpainter, anscombe, anscombe_mean, estimate_sigma, impulses,
};
use crate::task::{Callback, Event};

/// Grey levels of a pixel of 1.
const LEVELS: f64 = 255.0;
/// Noise of less than so many grey levels is none.
const LEAST: f64 = 0.2;
/// Rounds in which filters are adapted.
const ROUNDS: usize = 10;

/// The kind of noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Noise {
    /// White, of this standard deviation in grey levels of 255; estimated where it is not given.
    White {
        /// The standard deviation.
        sigma: Option<f64>,
    },
    /// That of counts, of which white stands for `peak`.
    Poisson {
        /// Counts of white.
        peak: f64,
    },
    /// Salt and pepper: pixels replaced by black and white.
    Impulse,
}

impl Noise {
    /// The name used by flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::White { .. } => "white",
            Self::Poisson { .. } => "poisson",
            Self::Impulse => "impulse",
        }
    }

    fn check(self) -> Result<()> {
        match self {
            Self::White { sigma: Some(sigma) } if !(sigma > 0.0 && sigma <= LEVELS) => {
                Err(Error::Config(format!(
                    "sigma is {sigma}; the standard deviation of the noise is in grey levels of 255, \
                     above 0 and at most 255"
                )))
            }
            Self::Poisson { peak } if !(peak.is_finite() && peak > 0.0) => Err(Error::Config(
                format!("peak is {peak}; it is the counts that white stands for, above 0"),
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::White { sigma: None } => write!(f, "white noise, sigma estimated"),
            Self::White { sigma: Some(sigma) } => write!(f, "white noise, sigma {sigma}"),
            Self::Poisson { peak } => write!(f, "noise of counts, peak {peak}"),
            Self::Impulse => write!(f, "salt and pepper"),
        }
    }
}

impl FromStr for Noise {
    type Err = Error;

    /// The kind alone: sigma to be estimated, white of 255 counts.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "white" => Ok(Self::White { sigma: None }),
            "poisson" => Ok(Self::Poisson { peak: LEVELS }),
            "impulse" => Ok(Self::Impulse),
            _ => Err(Error::Config(format!(
                "there is no kind of noise '{name}'; choose white, poisson or impulse"
            ))),
        }
    }
}

/// What is denoised, and how.
#[derive(Clone, Debug)]
pub struct DenoiseOptions {
    /// Images and results.
    pub files: Files,
    /// The noise.
    pub noise: Noise,
    /// What patches are coded with.
    pub filters: FilterSource,
    /// Whether the filters are adapted to each noisy image.
    pub adapt: bool,
}

/// Denoises an image, or each of a folder.
///
/// # Errors
/// [`Error::Config`] for noise that cannot be, [`Error::Input`] for images that cannot be used,
/// [`Error::Exists`] where a result would be replaced. Of a folder, the failures of single images are in the report.
pub fn denoise(options: &DenoiseOptions, callback: &mut dyn Callback<Event>) -> Result<Report> {
    options.noise.check()?;
    let (filters, mut what) = options.filters.read()?;
    if options.adapt {
        what += ", adapted to each image";
    }
    let report = Report::new("denoise", options.noise.to_string(), what, &options.files);
    let headers = ["denoised", "given", "denoised"];
    each(
        &options.files,
        None,
        report,
        headers,
        callback,
        &mut |image, steps| one(options, &filters, image, steps),
    )
}

fn one(
    options: &DenoiseOptions,
    filters: &Filters,
    image: &Image,
    steps: &mut Steps,
) -> Result<Restored> {
    let coded = |image: &Image, sigma: f64, steps: &mut Steps| {
        let filters = match options.adapt {
            true => filters.adapted(image, sigma as f32, ROUNDS)?,
            false => filters.clone(),
        };
        Denoiser::new(filters).denoise(image, sigma, steps)
    };
    match options.noise {
        Noise::White { sigma } => {
            let sigma = match sigma {
                Some(sigma) => sigma,
                None => {
                    let sigma = LEVELS * estimate_sigma(image)?;
                    let name = &steps.name;
                    let text =
                        format!("{name}: sigma {sigma:.2}, by the least eigenvalues of patches");
                    steps.callback.event(Event::Note(text));
                    sigma
                }
            };
            let image = match sigma < LEAST {
                true => {
                    let name = &steps.name;
                    let text = format!(
                        "{name}: sigma {sigma:.2} is no noise to take away; it is left as it is"
                    );
                    steps.callback.event(Event::Note(text));
                    image.clone()
                }
                false => coded(image, sigma / LEVELS, steps)?,
            };
            Ok(Restored {
                image,
                sigma: Some(sigma),
                missing: None,
            })
        }
        Noise::Poisson { peak } => {
            let even = coded(&anscombe(image, peak)?, 1.0, steps)?;
            Ok(Restored {
                image: anscombe_mean(&even, peak)?,
                sigma: None,
                missing: None,
            })
        }
        Noise::Impulse => {
            let found = impulses(image);
            let missing = found.iter().filter(|found| **found).count();
            let image = match missing {
                0 => image.clone(),
                _ => Inpainter::new(filters.clone()).inpaint(image, &found, steps)?,
            };
            Ok(Restored {
                image,
                sigma: None,
                missing: Some(missing),
            })
        }
    }
}
