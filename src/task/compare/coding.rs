//! Finding the maps with the filters fixed.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor};

use super::report::{Optimum, Report, Row, Source};
use super::{CURVES, Filters, Interrupt, Options, RECONSTRUCTIONS, STEPS, learning, pictures};
use crate::error::Result;
use crate::model::{DataTerm, Evaluation, FeatureMaps};
use crate::problem::CodingProblem;
use crate::report::Results;
use crate::run::Images;
use crate::solve::{Evaluate, Fista, Limits, Method, Problem, Reason};
use crate::task::{Callback, Event, tell_item};

/// The run of FISTA that certifies the optimum ends after so many steps at the latest.
const LONGEST: usize = 20_000;
/// The share of the optimum that the certificate may leave open.
const CERTIFICATE: f64 = 1e-6;

/// What all contenders get.
struct Case {
    problem: Problem,
    images: Vec<String>,
    /// The least objective, where it is known without work.
    known: Option<f64>,
}

pub(super) fn run(
    options: &Options,
    output: &Results,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    let case = match &options.filters {
        Filters::Given(path) => given(path, device)?,
        _ => from_images(options, device, observer)?,
    };
    compare(&case, options, output, observer)
}

/// The problem in a file.
fn given(path: &Path, device: &Device) -> Result<Case> {
    let CodingProblem {
        problem, optimum, ..
    } = CodingProblem::read(path, device)?;
    Ok(Case {
        problem,
        images: vec![path.display().to_string()],
        known: optimum,
    })
}

/// Images under filters of a run, prepared and weighted as there, or under filters learnt first.
fn from_images(
    options: &Options,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<Case> {
    let (mut images, network, weights) =
        options.images_and_filters(device, observer, |images, observer| {
            learning::quick(options, images, device, observer)
        })?;
    let (chosen, names) = choose(&mut images, options.images, device, observer)?;
    let objective = match weights {
        Some(objective) => objective,
        None => options.objective(&network, std::slice::from_ref(&chosen))?,
    };
    Ok(Case {
        problem: Problem::new(network, chosen, objective)?,
        images: names,
        known: None,
    })
}

/// The first `count` images that have the size of the very first, as one batch.
fn choose(
    images: &mut Images,
    count: usize,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<(DataTerm, Vec<String>)> {
    let sources = images.sources();
    let shape = sources.first().map(|source| source.shape);
    let alike = |&i: &usize| Some(sources[i].shape) == shape;
    let chosen: Vec<usize> = (0..sources.len()).filter(alike).take(count).collect();
    let there = sources.len();
    if chosen.len() < count.min(there) {
        observer.event(Event::Note(format!(
            "{} of {there} images have the size of the first one; the others are left out",
            chosen.len()
        )));
    }
    let batch: Vec<_> = chosen
        .iter()
        .map(|&i| images.data(i, device))
        .collect::<Result<_>>()?;
    let names = chosen.iter().map(|&i| images.name(i)).collect();
    Ok((DataTerm::cat(&batch), names))
}

/// Lets every contender solve the case from the same start and writes the results after each.
fn compare(
    case: &Case,
    options: &Options,
    output: &Results,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    let problem = &case.problem;
    let Problem {
        network,
        data,
        objective,
    } = problem;
    let images = data.images();
    let shape = problem.maps_shape();
    let judge = problem.in_double();
    let zeros = Tensor::zeros(shape, (&judge.device(), DType::F64));
    let zero = judge.evaluate(zeros);
    let limits = options.limits(STEPS);
    let names = case.images.clone();
    let zero = Evaluation::total(&zero);
    let mut report = Report::new(options, &limits, names, shape[1], *objective, zero);
    let reference = match case.known {
        Some(value) => Some(Optimum {
            value,
            source: Source::Given,
        }),
        None if objective.is_convex() => certify(problem, observer)?,
        None => None,
    };
    for contender in &options.contenders {
        let checked = contender.method.check_network(&problem.network);
        checked.map_err(|error| contender.named(error))?;
    }
    let mut columns = Vec::new();
    for (i, contender) in options.contenders.iter().enumerate() {
        if observer.interrupted() {
            report.interrupted = true;
            break;
        }
        let start = FeatureMaps::start(
            shape,
            options.config.train.start_noise,
            options.config.seed,
            &images.device(),
        );
        let start = objective.feasible(start);
        let solved = contender
            .method
            .code(problem, start, &limits, &mut Interrupt(observer))
            .map_err(|error| contender.named(error))?;
        let last = solved.last();
        report.interrupted = solved.reason == Reason::Interrupted;
        let row = Row {
            name: contender.name.clone(),
            method: contender.method.clone(),
            at: last.at,
            own: None,
            above: 0.0,
            steps: last.step,
            seconds: last.seconds,
            reason: solved.reason,
            each: solved.each,
            curve: solved.curve,
        };
        report.add(row, reference);
        columns.push(vec![network.project(solved.codes)]);
        output.table(&report.table(), &report)?;
        output.picture(CURVES, &pictures::coding_curves(&report)?)?;
        let picture = pictures::reconstructions(&report, std::slice::from_ref(images), &columns)?;
        output.picture(RECONSTRUCTIONS, &picture)?;
        tell_item(observer, &contender.name, i + 1, options.contenders.len());
    }
    Ok(report)
}

/// The best lower bound of the objective that a long run of FISTA proves; none if interrupted.
fn certify(problem: &Problem, observer: &mut dyn Callback<Event>) -> Result<Option<Optimum>> {
    observer.event(Event::Note(
        "certifying the optimum by a long run of FISTA".into(),
    ));
    let problem = problem.in_double();
    let start = Tensor::zeros(problem.maps_shape(), (&problem.device(), DType::F64));
    let limits = Limits {
        steps: LONGEST,
        gap: Some(CERTIFICATE),
        every: 20,
        ..Limits::default()
    };
    let fista = Method::Fista(Fista::default());
    let solved = fista.code(&problem, start, &limits, &mut Interrupt(observer))?;
    if solved.reason == Reason::Interrupted {
        return Ok(None);
    }
    let looks = || solved.curve.iter().map(|point| point.at);
    let bounds = looks().filter_map(|at| Some(at.objective - at.gap?));
    let value = bounds.fold(f64::NEG_INFINITY, f64::max);
    let reached = looks().map(|at| at.objective).fold(f64::INFINITY, f64::min);
    let optimum = Optimum {
        value,
        source: Source::Certified {
            within: (reached - value) / value.abs().max(f64::MIN_POSITIVE),
        },
    };
    observer.event(Event::Note(format!(
        "{optimum}, after {} steps",
        solved.last().step
    )));
    Ok(Some(optimum))
}
