//! `denoise`: white noise, that of counts, salt and pepper.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::each::{Held, Restored, each};
use super::large::Large;
use super::{Files, FilterSource, Report, Steps, inpaint};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::report::Format;
use crate::restore::{
    Denoiser, Filters, Inpainter, anscombe, anscombe_mean, estimate_sigma, impulses,
};
use crate::task::{Callback, Event};

/// Grey levels of a pixel of 1.
const LEVELS: f64 = 255.0;
/// Noise of less than so many grey levels is none: that of rounding to 16 bits.
const LEAST: f64 = 1e-3;
/// Pictures of more pixels are denoised window by window.
const LARGE: usize = 1 << 24;
/// Of the comparison.
const HEADERS: [&str; 3] = ["denoised", "given", "denoised"];
/// Of white noise and that of counts.
const HELD: Held = Held {
    each_channel: 5,
    beside: 11,
};
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
/// A single picture of more than 2^24 pixels, a PNG, PGM or PPM, is denoised window by window and never whole in
/// memory, with white noise and that of counts: see [`Denoiser::around`].
///
/// # Errors
/// [`Error::Config`] for noise that cannot be, [`Error::Input`] for images that cannot be used,
/// [`Error::Exists`] where a result would be replaced, [`Error::Resources`] for images that take more memory or disk
/// than there is. Of a folder, the failures of single images are in the report.
pub fn denoise(options: &DenoiseOptions, callback: &mut dyn Callback<Event>) -> Result<Report> {
    denoise_above(LARGE, options, callback)
}

/// The same, where pictures of more than so many pixels are large.
pub(super) fn denoise_above(
    most: usize,
    options: &DenoiseOptions,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    options.noise.check()?;
    let (filters, mut what, settings) = options.filters.read()?;
    if options.adapt {
        what += ", adapted to each image";
    }
    let fault = options.noise.to_string();
    let report = Report::new("denoise", fault, (what, settings), &options.files);
    let by_windows = !options.adapt && options.noise != Noise::Impulse;
    let large = by_windows.then(|| Large::open(&options.files, most, &report));
    if let Some(large) = large.transpose()?.flatten() {
        return denoise_large(options.noise, filters, large, report, callback);
    }
    each(
        &options.files,
        None,
        match options.noise {
            Noise::Impulse => &inpaint::HELD,
            _ => &HELD,
        },
        report,
        HEADERS,
        callback,
        &mut |image, _, steps| one(options, &filters, image, steps),
    )
}

fn one(
    options: &DenoiseOptions,
    filters: &Filters,
    image: &Image,
    steps: &mut Steps,
) -> Result<Option<Restored>> {
    let coded = |image: &Image, sigma: f64, steps: &mut Steps| {
        let filters = match options.adapt {
            true => filters.adapted(image, sigma as f32, ROUNDS)?,
            false => filters.clone(),
        };
        Denoiser::new(filters).denoise(image, sigma, steps)
    };
    match options.noise {
        Noise::White { sigma } => {
            let estimate = || estimate_sigma(image);
            let sigma = known_sigma(sigma, estimate, &steps.name, steps.callback)?;
            let noise = Noise::White { sigma: Some(sigma) };
            Ok(Some(Restored {
                image: without(noise, image, |image, sigma| coded(image, sigma, steps))?,
                sigma: Some(sigma),
                missing: None,
            }))
        }
        noise @ Noise::Poisson { .. } => Ok(Some(Restored {
            image: without(noise, image, |image, sigma| coded(image, sigma, steps))?,
            sigma: None,
            missing: None,
        })),
        Noise::Impulse => {
            let found = impulses(image);
            let missing = found.iter().filter(|found| **found).count();
            let image = match missing {
                0 => Some(image.clone()),
                _ => Inpainter::new(filters.clone()).inpaint(image, &found, steps)?,
            };
            Ok(image.map(|image| Restored {
                image,
                sigma: None,
                missing: Some(missing),
            }))
        }
    }
}

/// In grey levels, the deviation that was given or is estimated; tells the latter, and one that is none.
fn known_sigma(
    given: Option<f64>,
    estimate: impl FnOnce() -> Result<f64>,
    name: &str,
    callback: &mut dyn Callback<Event>,
) -> Result<f64> {
    let mut tell = |text: String| callback.event(Event::Note(format!("{name}: sigma {text}")));
    let sigma = match given {
        Some(sigma) => sigma,
        None => {
            let sigma = LEVELS * estimate()?;
            let digits = Format::Significant(3).write(sigma);
            tell(format!(
                "{digits}, by the least eigenvalues of flat patches"
            ));
            sigma
        }
    };
    if sigma < LEAST {
        let digits = Format::Significant(3).write(sigma);
        tell(format!(
            "{digits} is no noise to take away; it is left as it is"
        ));
    }
    Ok(sigma)
}

/// White noise of a known deviation, and that of counts, taken away by what takes white noise away.
fn without(
    noise: Noise,
    image: &Image,
    denoise: impl FnOnce(&Image, f64) -> Result<Image>,
) -> Result<Image> {
    match noise {
        Noise::White { sigma: Some(sigma) } if sigma >= LEAST => denoise(image, sigma / LEVELS),
        Noise::Poisson { peak } => anscombe_mean(&denoise(&anscombe(image, peak)?, 1.0)?, peak),
        Noise::White { .. } | Noise::Impulse => Ok(image.clone()),
    }
}

/// White noise and that of counts, in a picture that is never whole in memory.
fn denoise_large(
    noise: Noise,
    filters: Filters,
    large: Large,
    report: Report,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    let denoiser = Denoiser::new(filters);
    let sigma = match noise {
        Noise::White { sigma } => {
            let name = large.name();
            Some(known_sigma(sigma, || large.sigma(), &name, callback)?)
        }
        Noise::Poisson { .. } | Noise::Impulse => None,
    };
    let noise = match sigma {
        Some(_) => Noise::White { sigma },
        None => noise,
    };
    let around = |kept, side| denoiser.around(kept, side);
    let restore = |window: &Image| {
        without(noise, window, |image, sigma| {
            denoiser.denoise(image, sigma, &mut ())
        })
    };
    large.restore(&around, &restore, sigma, HEADERS, report, callback)
}
