//! `invert`: a convolution, the image it was made from, and the ways to get it back, side by side.
//!
//! What is wrong with the operator is told before any way begins. The table is written after every
//! way, so that a later failure loses nothing.

mod experiment;
mod filters;
mod input;
mod output;
mod pictures;
mod report;
mod table;

pub use experiment::{Experiment, Input, Precision};
pub use report::{NoiseLevel, Report, Row};

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::{DType, Device, Tensor};

use super::{Callback, Event, Interrupt, tell_item};
use crate::backend::is_cpu;
use crate::error::{Error, Result};
use crate::invert::{Analysis, Decomposition, Inverse, InverseMethod, Recovery, Settings, noise};
use crate::report::Results;
use crate::solve::{Limits, Reason};
pub(super) use input::sides;
use input::{Given, Known};

/// What to invert, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The experiment.
    pub experiment: Experiment,
    /// The folder for the results.
    pub out: PathBuf,
    /// Whether to replace results that are there.
    pub overwrite: bool,
}

/// Images of more elements than this are looked at less often.
const LARGE: usize = 1 << 16;
/// The noise levels where none are given.
const LEVELS: [f64; 5] = [1e-8, 1e-6, 1e-4, 1e-2, 1e-1];

/// Recovers the image by every way and writes `table.csv`, `table.json`, `recovered.npz` and pictures
/// to the folder `out`; of an observed image file each recovery by itself too, such as `cg.png`.
///
/// An interruption ends it after the step in progress; the report then tells what was done so far.
///
/// # Errors
/// [`Error::Config`] or [`Error::Input`] for what does not fit together, before any work;
/// [`Error::Numeric`] where a way diverges; [`Error::Io`] where the results cannot be written.
pub fn run(
    options: &Options,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    let experiment = &options.experiment;
    experiment.check()?;
    let began = Instant::now();
    let given = Given::read(experiment)?;
    let precision = precision(experiment.precision, device)?;
    if given.operator.part().is_some() {
        let [rows, columns] = given.operator.shape();
        observer.event(Event::Note(format!(
            "preparing: W, {rows} x {columns}, is too large to be decomposed and is analysed on a part of \
             the image"
        )));
    }
    let lab = Setup::new(experiment, &given, device, precision)?;
    for &way in &experiment.ways {
        way.check(&lab.problem, &lab.settings, lab.decomposition.is_some())?;
    }
    let results = Results::claim(&options.out, &output::names(experiment), options.overwrite)?;
    let mut report = lab.report(options, &given, precision)?;
    report.preparation = began.elapsed().as_secs_f64();
    for warning in &report.warnings {
        observer.event(Event::Note(format!("warning: {warning}")));
    }
    let mut recovered = Vec::new();
    for (i, &way) in experiment.ways.iter().enumerate() {
        if observer.interrupted() {
            report.interrupted = true;
            break;
        }
        let found = lab.recover(way, &lab.problem, &lab.settings, observer)?;
        report.interrupted = found.solved.reason == Reason::Interrupted;
        report.rows.push(lab.row(way, &found));
        recovered.push(found.solved.codes);
        results.table(&report.table(), &report)?;
        tell_item(observer, way.name(), i + 1, experiment.ways.len());
    }
    report.noise = lab.against_noise(experiment, observer)?;
    report.interrupted |= observer.interrupted();
    results.table(&report.table(), &report)?;
    if given.operator.part().is_some() {
        observer.event(Event::Note("writing the arrays and the pictures".into()));
    }
    output::arrays(&results, &report, &given, &lab.problem.y, &recovered)?;
    output::pictures(&results, &report, &given, &lab.problem, &recovered)?;
    Ok(report)
}

/// Double on a CPU unless said otherwise; GPUs compute in single precision.
fn precision(wanted: Option<Precision>, device: &Device) -> Result<Precision> {
    match wanted {
        Some(Precision::Double) if !is_cpu(device) => Err(Error::Config(
            "double precision is for the CPU backends; use single precision on a GPU".into(),
        )),
        Some(precision) => Ok(precision),
        None if is_cpu(device) => Ok(Precision::Double),
        None => Ok(Precision::Single),
    }
}

/// The problem and all that is worked out once.
struct Setup {
    problem: Inverse,
    /// `W x` before the noise, or what was observed.
    clean: Tensor<4>,
    /// Noise of deviation 1 to be added to it, where it is known without.
    noise: Option<Tensor<4>>,
    decomposition: Option<Decomposition>,
    settings: Settings,
    limits: Limits,
}

impl Setup {
    fn new(
        experiment: &Experiment,
        given: &Given,
        device: &Device,
        precision: Precision,
    ) -> Result<Self> {
        let operator = given.operator.to(device, precision.dtype());
        // That of the filters as they are computed with, rounded to single precision or not.
        let exact = operator.to(&Device::flex(), DType::F64);
        let decomposition = Decomposition::new(&exact)?;
        let clean = match &given.known {
            Known::X(x) => exact.apply(x.clone()),
            Known::Y(y) => y.clone(),
        };
        let noise = given.x().map(|_| {
            // Another stream than a random image has.
            let values = noise(
                clean.shape().num_elements(),
                experiment.seed.wrapping_add(1),
            );
            let noise = burn::tensor::TensorData::new(values, clean.dims());
            Tensor::from_data(noise, (&Device::flex(), DType::F64))
        });
        let moved = |x: &Tensor<4>| -> Tensor<4> {
            let data = x.to_data().convert_dtype(precision.dtype());
            Tensor::from_data(data, (device, precision.dtype()))
        };
        let y = match &noise {
            Some(noise) => moved(&(clean.clone() + noise.clone() * experiment.noise)),
            None => moved(&clean),
        };
        let mut problem = Inverse::new(operator, y)?;
        if let Some(x) = given.x() {
            problem = problem.with_truth(moved(x));
        }
        let [rows, columns] = problem.operator.shape();
        let often = experiment.steps.div_ceil(200);
        Ok(Self {
            settings: Settings {
                wiener_noise: experiment.settings.wiener_noise.or(Some(experiment.noise)),
                ..experiment.settings
            },
            limits: Limits {
                steps: experiment.steps,
                seconds: experiment.seconds,
                every: match rows.max(columns) > LARGE {
                    true => often.max(10),
                    false => often.min(5),
                },
                ..Limits::default()
            },
            problem,
            clean,
            noise,
            decomposition,
        })
    }

    fn recover(
        &self,
        way: InverseMethod,
        problem: &Inverse,
        settings: &Settings,
        observer: &dyn Callback<Event>,
    ) -> Result<Recovery> {
        let decomposition = self.decomposition.as_ref();
        way.run(
            problem,
            settings,
            decomposition,
            &self.limits,
            &mut Interrupt(observer),
        )
        .map_err(|error| match error {
            Error::Numeric(message) => Error::Numeric(format!("{way}: {message}")),
            other => other,
        })
    }

    fn row(&self, way: InverseMethod, found: &Recovery) -> Row {
        let last = found.solved.last();
        let null = self.decomposition.as_ref();
        Row {
            way,
            route: found.route,
            residual: last.at.residual,
            error: last.at.error,
            null_error: null.and_then(|d| self.problem.null_error(&found.solved.codes, d)),
            steps: last.step,
            seconds: last.seconds,
            reason: found.solved.reason,
            curve: found.solved.curve.clone(),
        }
    }

    /// The error of every way at each noise level, everything else as it is.
    fn against_noise(
        &self,
        experiment: &Experiment,
        observer: &mut dyn Callback<Event>,
    ) -> Result<Vec<NoiseLevel>> {
        let levels = match &experiment.noise_levels {
            Some(levels) => levels.as_slice(),
            None if self.decomposition.is_some() && self.problem.truth.is_some() => &LEVELS,
            None => &[],
        };
        let Some(noise) = &self.noise else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for (i, &level) in levels.iter().enumerate() {
            if observer.interrupted() {
                break;
            }
            let noisy = self.clean.clone() + noise.clone() * level;
            let operator = &self.problem.operator;
            let data = noisy.into_data().convert_dtype(operator.dtype());
            let problem = Inverse {
                y: Tensor::from_data(data, (&operator.device(), operator.dtype())),
                ..self.problem.clone()
            };
            let settings = Settings {
                wiener_noise: experiment.settings.wiener_noise.or(Some(level)),
                ..self.settings
            };
            let error = |way| {
                let found = self.recover(way, &problem, &settings, observer)?;
                Ok((way, found.solved.last().at.error))
            };
            let errors = experiment.ways.iter().copied().map(error);
            let errors: Vec<_> = errors.collect::<Result<_>>()?;
            let known =
                |(way, error): (InverseMethod, Option<f64>)| error.map(|error| (way, error));
            all.push(NoiseLevel {
                noise: level,
                errors: errors.into_iter().filter_map(known).collect(),
            });
            tell_item(observer, &format!("noise {level}"), i + 1, levels.len());
        }
        Ok(all)
    }

    fn report(&self, options: &Options, given: &Given, precision: Precision) -> Result<Report> {
        let operator = Analysis::new(&self.problem.operator, self.decomposition.as_ref())?;
        let known = self.decomposition.as_ref();
        let y = &self.problem.y;
        let x = given.x();
        let share = |part: Tensor<4>, whole: &Tensor<4>| norm(&part) / norm(whole);
        let mut report = Report {
            experiment: options.experiment.clone(),
            image: given.image.clone(),
            filters: given.filters.clone(),
            input: self.problem.operator.input(),
            output: self.problem.operator.output(),
            precision,
            unexplained: known.map(|d| share(d.unexplained(y), y)),
            lost: known.zip(x).map(|(d, x)| share(d.null_part(x), x)),
            amplified: known
                .zip(x)
                .map(|(_, x)| amplified(&operator, options.experiment.noise, x)),
            operator,
            warnings: Vec::new(),
            rows: Vec::new(),
            noise: Vec::new(),
            preparation: 0.0,
            interrupted: false,
            out: options.out.clone(),
        };
        report.warnings = report.warn();
        report.warnings.extend(given.warning.clone());
        Ok(report)
    }
}

/// The expected error of the plain pseudo-inverse through white noise, as a share of the image:
/// `noise sqrt(sum 1 / s^2) / ||x||`.
fn amplified(operator: &Analysis, noise: f64, x: &Tensor<4>) -> f64 {
    let known = &operator.singular_values[..operator.rank.unwrap_or(0)];
    let sum: f64 = known.iter().map(|s| s.powi(-2)).sum();
    noise * sum.sqrt() / norm(x)
}

fn norm(x: &Tensor<4>) -> f64 {
    x.to_data().iter::<f64>().map(|v| v * v).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests;
