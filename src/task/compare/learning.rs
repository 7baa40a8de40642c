//! Learning the filters of one layer, in memory.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use rand::{SeedableRng, rngs::ChaCha8Rng, seq::SliceRandom};

use super::report::{Report, Row};
use super::{
    CURVES, Contender, FILTERS, Filters, Interrupt, Options, RECONSTRUCTIONS, all_images, pictures,
    tell_done,
};
use crate::backend;
use crate::error::Result;
use crate::model::{DataTerm, Evaluation, FeatureMaps, Network, Objective};
use crate::report::Results;
use crate::run::Images;
use crate::solve::{
    FilterMemory, Fista, Learner, Limits, Method, Point, Problem, Reason, operator_norm,
};
use crate::task::{Callback, Event};

/// Steps of FISTA, from zero maps, when the images are coded anew to judge filters.
const JUDGING: usize = 50;

/// What all contenders get.
struct Case<'a> {
    network: Network,
    images: &'a [Tensor<4>],
    objective: Objective,
    options: &'a Options,
}

/// One contender at work: filters and maps so far. Filters are updated after every batch, and none
/// is replaced when it dies: nothing but the solvers differs.
struct FilterLearner<'a> {
    case: &'a Case<'a>,
    learner: Learner,
    network: Network,
    maps: Vec<Tensor<4>>,
    memory: FilterMemory,
    /// The codes of each image at its last visit.
    own: Vec<Option<Evaluation>>,
}

/// The images coded anew under some filters.
struct Judged {
    each: Vec<Evaluation>,
    /// Reconstructions of the first images, as many as are to be shown.
    shown: Vec<Tensor<4>>,
}

pub(super) fn run(
    options: &Options,
    output: &Results,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    let (mut images, network, weights) = match &options.filters {
        Filters::FromRun(run, which) => {
            let (images, network, objective) = options.of_run(run, *which, device)?;
            (images, network, Some(objective))
        }
        Filters::Learn | Filters::Given(_) => {
            let images = Images::open(&options.config)?;
            (images, options.random_filters(device)?, None)
        }
    };
    let all = all_images(&mut images, device)?;
    let case = Case {
        objective: match weights {
            Some(objective) => objective,
            None => options.objective(&network, &all)?,
        },
        network,
        images: &all,
        options,
    };
    let names = (0..all.len()).map(|i| images.name(i)).collect();
    compare(&case, names, output, observer)
}

/// Filters for coding, learnt from all images the way the configuration says, but in batches where it
/// says online: the maps are at hand.
pub(super) fn quick(
    options: &Options,
    images: &[Tensor<4>],
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<Network> {
    let network = options.random_filters(device)?;
    let case = Case {
        objective: options.objective(&network, images)?,
        network,
        images,
        options,
    };
    let epochs = options.config.layers[0].epochs;
    let mut pupil = FilterLearner::new(&case, options.config.learner());
    observer.event(Event::Note(format!(
        "no filters given: learning {} of them from {} images in {epochs} epochs with {}",
        case.network.top().connectivity.maps(),
        images.len(),
        pupil.learner.codes.name()
    )));
    for epoch in 0..epochs {
        for batch in case.batches(epoch) {
            pupil.visit(&batch, observer)?;
            if observer.interrupted() {
                return Ok(pupil.network);
            }
        }
    }
    Ok(pupil.network)
}

/// Lets every contender learn from the same start and writes the results after each.
fn compare(
    case: &Case,
    names: Vec<String>,
    output: &Results,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    let options = case.options;
    observer.event(Event::Note(
        "coding the images under the first filters".into(),
    ));
    let start = case.judge(&case.network)?;
    let limits = case.limits();
    let mut report = Report {
        what: options.what,
        images: names,
        maps: case.network.top().connectivity.maps(),
        objective: case.objective,
        optimum: None,
        steps: options.steps_of(&limits),
        seconds: limits.seconds,
        zero: case.nothing(),
        rows: Vec::new(),
        interrupted: false,
        out: options.out.clone(),
    };
    let mut filters = vec![case.network.clone()];
    let mut columns = Vec::new();
    for (i, contender) in options.contenders.iter().enumerate() {
        if observer.interrupted() {
            report.interrupted = true;
            break;
        }
        let mut pupil =
            FilterLearner::new(case, options.config.learner_by(contender.method.clone()));
        let (row, shown) = pupil
            .learn(contender, &start, observer)
            .map_err(|error| contender.named(error))?;
        report.interrupted = row.reason == Reason::Interrupted;
        report.add(row, None);
        filters.push(pupil.network);
        columns.push(shown);
        output.table(&report.table(), &report)?;
        output.picture(CURVES, &pictures::learning_curves(&report)?)?;
        output.picture(FILTERS, &pictures::filters(&report, &filters)?)?;
        let picture = pictures::reconstructions(&report, case.images, &columns)?;
        output.picture(RECONSTRUCTIONS, &picture)?;
        tell_done(observer, options, i);
    }
    Ok(report)
}

impl Case<'_> {
    /// The budget of each contender.
    fn limits(&self) -> Limits {
        self.options.limits(self.options.config.layers[0].epochs)
    }

    /// The batches of an epoch: the same random order for all, neighbours of equal size together.
    fn batches(&self, epoch: usize) -> Vec<Vec<usize>> {
        let config = &self.options.config;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(epoch as u64);
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        order.shuffle(&mut rng);
        let fits = |a: &usize, b: &usize| self.images[*a].dims() == self.images[*b].dims();
        order
            .chunk_by(fits)
            .flat_map(|alike| alike.chunks(config.train.batch))
            .map(<[usize]>::to_vec)
            .collect()
    }

    /// How well images can be explained with these filters, whoever found them: all are coded from
    /// zero maps by the same number of FISTA steps.
    fn judge(&self, network: &Network) -> Result<Judged> {
        let limits = Limits {
            steps: JUDGING,
            every: 0,
            ..Limits::default()
        };
        let mut judgement = Judged {
            each: Vec::new(),
            shown: Vec::new(),
        };
        let mut norm: Option<([usize; 4], f64)> = None;
        for images in self.images {
            let size = images.dims();
            let norm = match norm {
                Some((known, norm)) if known == size => norm,
                _ => norm.insert((size, operator_norm(network, size))).1,
            };
            let problem = Problem::new(network.clone(), images.clone(), self.objective)?;
            let start = Tensor::zeros(network.maps_shape(size), &images.device());
            let fista = Method::Fista(Fista { norm: Some(norm) });
            let solved = fista.code(&problem, start, &limits, &mut ())?;
            judgement.each.extend(solved.each);
            if judgement.shown.len() < self.options.images {
                judgement.shown.push(network.project(solved.codes));
            }
        }
        Ok(judgement)
    }

    /// All maps zero.
    fn nothing(&self) -> Evaluation {
        let each = self.images.iter().flat_map(|images| {
            let shape = self.network.maps_shape(images.dims());
            let zeros = Tensor::zeros(shape, &images.device());
            self.objective
                .evaluate(&self.network, zeros, &DataTerm::new(images.clone()))
        });
        Evaluation::total(&each.collect::<Vec<_>>())
    }
}

impl<'a> FilterLearner<'a> {
    fn new(case: &'a Case<'a>, learner: Learner) -> Self {
        let config = &case.options.config;
        let start = |(i, images): (usize, &Tensor<4>)| {
            let shape = case.network.maps_shape(images.dims());
            let seed = config.seed.wrapping_add(i as u64);
            FeatureMaps::start(shape, config.train.start_noise, seed, &images.device())
        };
        Self {
            learner,
            network: case.network.clone(),
            maps: case.images.iter().enumerate().map(start).collect(),
            memory: FilterMemory::default(),
            own: vec![None; case.images.len()],
            case,
        }
    }

    /// Codes a batch and updates the filters.
    fn visit(&mut self, batch: &[usize], observer: &dyn Callback<Event>) -> Result<()> {
        let gather =
            |from: &[Tensor<4>]| Tensor::cat(batch.iter().map(|&i| from[i].clone()).collect(), 0);
        let images = gather(self.case.images);
        let problem = Problem::new(self.network.clone(), images, self.case.objective)?;
        let maps = gather(&self.maps);
        let watch = &Interrupt(observer);
        let learnt = self
            .learner
            .visit(&problem, maps, true, &mut self.memory, watch)?;
        self.network = learnt.network;
        for (n, &i) in batch.iter().enumerate() {
            self.maps[i] = learnt.maps.clone().narrow(0, n, 1);
            self.own[i] = Some(learnt.after_filters[n]);
        }
        Ok(())
    }

    /// Learns until the budget is used up; judged, with the clock stopped, after every epoch.
    fn learn(
        &mut self,
        contender: &Contender,
        start: &Judged,
        observer: &mut dyn Callback<Event>,
    ) -> Result<(Row, Vec<Tensor<4>>)> {
        let limits = self.case.limits();
        let mut last = Point {
            step: 0,
            seconds: 0.0,
            at: Evaluation::total(&start.each),
        };
        let mut curve = vec![last];
        let mut clock = Duration::ZERO;
        loop {
            let ended = self.epoch(last.step, &limits, &mut clock, observer)?;
            let judgement = self.case.judge(&self.network)?;
            last = Point {
                step: last.step + 1,
                seconds: clock.as_secs_f64(),
                at: Evaluation::total(&judgement.each),
            };
            curve.push(last);
            observer.event(Event::Note(format!(
                "{}, epoch {}: objective {:.4}",
                contender.name, last.step, last.at.objective
            )));
            if let Some(reason) = ended {
                // Seconds may run out before every image was visited once.
                let own: Option<Vec<Evaluation>> = self.own.iter().copied().collect();
                let row = Row {
                    name: contender.name.clone(),
                    method: contender.method.clone(),
                    at: last.at,
                    own: own.map(|own| Evaluation::total(&own).objective),
                    above: 0.0,
                    steps: last.step,
                    seconds: last.seconds,
                    reason,
                    each: judgement.each,
                    curve,
                };
                return Ok((row, judgement.shown));
            }
        }
    }

    /// Visits every batch, or as many as the seconds allow; tells why learning is to end, if it is.
    fn epoch(
        &mut self,
        epoch: usize,
        limits: &Limits,
        clock: &mut Duration,
        observer: &dyn Callback<Event>,
    ) -> Result<Option<Reason>> {
        for batch in self.case.batches(epoch) {
            let started = Instant::now();
            self.visit(&batch, observer)?;
            // A clock read is honest only once the device has done what it was told to.
            backend::sync(&self.maps[batch[0]].device())?;
            *clock += started.elapsed();
            let seconds = clock.as_secs_f64();
            if observer.interrupted() {
                return Ok(Some(Reason::Interrupted));
            }
            if limits.seconds.is_some_and(|limit| seconds >= limit) {
                return Ok(Some(Reason::Seconds));
            }
        }
        Ok((epoch + 1 >= limits.steps).then_some(Reason::Steps))
    }
}
