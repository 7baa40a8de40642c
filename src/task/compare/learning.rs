//! Learning the filters of one layer, in memory.

use burn::tensor::{Device, Tensor};

use super::report::{Report, Row};
use super::{
    CURVES, Contender, FILTERS, Interrupt, Options, RECONSTRUCTIONS, all_images, pictures,
};
use crate::backend;
use crate::config::{LayerSettings, Sparsity, Update};
use crate::error::Result;
use crate::group::Group;
use crate::model::{DataTerm, Evaluation, Network, Objective};
use crate::report::Results;
use crate::run::{Images, Store, TraceLine};
use crate::solve::{Fista, Limits, Method, Point, Problem, Reason};
use crate::task::{Callback, Event, tell_item};
use crate::train::{Ended, Trainer};

/// Steps of FISTA, from zero maps, when the images are coded anew to judge filters.
const JUDGING: usize = 50;

/// What all contenders get.
struct Case<'a> {
    network: Network,
    /// As the trainer takes them, and as tensors.
    images: Images,
    all: Vec<DataTerm>,
    objective: Objective,
    options: &'a Options,
    device: &'a Device,
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
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    let (mut images, network, weights) =
        options.images_and_filters(device, callback, |images, _| {
            Options::random_filters(images, device)
        })?;
    let all = all_images(&mut images, device)?;
    let case = Case {
        objective: match weights {
            Some(objective) => objective,
            None => options.objective(&network, &all)?,
        },
        network,
        images,
        all,
        options,
        device,
    };
    compare(&case, output, callback)
}

/// Filters for coding, learnt from all images the way the configuration says, but in batches where it
/// says online: the maps are at hand.
pub(super) fn quick(
    options: &Options,
    images: &Images,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Network> {
    let mut config = options.config.clone();
    config.layers.truncate(1);
    if config.train.update_filters == Update::Online {
        config.train.update_filters = Update::Batch;
    }
    let mut trainer = Trainer::new(
        config,
        images.clone(),
        Store::in_memory(),
        device,
        &Group::alone(),
    )?;
    callback.event(Event::Note(format!(
        "no filters given: learning {} of them from {} images in {} epochs with {}",
        trainer.network().top().connectivity.maps(),
        images.sources().len(),
        options.config.layers[0].epochs,
        options.config.train.solver.name()
    )));
    while !trainer.run().state.finished() {
        if trainer.epoch(&mut Interrupt(callback))? == Ended::Interrupted {
            break;
        }
    }
    Ok(trainer.network().clone())
}

/// Lets every contender learn from the same start and writes the results after each.
fn compare(case: &Case, output: &Results, callback: &mut dyn Callback<Event>) -> Result<Report> {
    let options = case.options;
    callback.event(Event::Note(
        "coding the images under the first filters".into(),
    ));
    let start = case.judge(&case.network)?;
    let limits = case.limits();
    let names = (0..case.all.len()).map(|i| case.images.name(i)).collect();
    let maps = case.network.top().connectivity.maps();
    let mut report = Report::new(
        options,
        &limits,
        names,
        maps,
        case.objective,
        case.nothing(),
    );
    let mut filters = vec![case.network.clone()];
    let mut columns = Vec::new();
    for (i, contender) in options.contenders.iter().enumerate() {
        if callback.interrupted() {
            report.interrupted = true;
            break;
        }
        let (row, network, shown) = case
            .learn(contender, &start, callback)
            .map_err(|error| contender.named(error))?;
        report.interrupted = row.reason == Reason::Interrupted;
        report.add(row, None);
        filters.push(network);
        columns.push(shown);
        output.table(&report.table(), &report)?;
        output.picture(CURVES, &pictures::learning_curves(&report)?)?;
        output.picture(FILTERS, &pictures::filters(&report, &filters)?)?;
        let images: Vec<_> = case.all.iter().map(|data| data.images().clone()).collect();
        let picture = pictures::reconstructions(&report, &images, &columns)?;
        output.picture(RECONSTRUCTIONS, &picture)?;
        tell_item(callback, &contender.name, i + 1, options.contenders.len());
    }
    Ok(report)
}

impl Case<'_> {
    /// The budget of each contender.
    fn limits(&self) -> Limits {
        self.options.limits(self.options.config.layers[0].epochs)
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
        for images in &self.all {
            let size = images.dims();
            let norm = match norm {
                Some((known, norm)) if known == size => norm,
                _ => {
                    norm.insert((size, network.squared_norm_bound([size[2], size[3]])))
                        .1
                }
            };
            let problem = Problem::new(network.clone(), images.clone(), self.objective)?;
            let start = Tensor::zeros(network.maps_shape(size), &images.images().device());
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
        let each = self.all.iter().flat_map(|images| {
            let shape = self.network.maps_shape(images.dims());
            let zeros = Tensor::zeros(shape, &images.images().device());
            self.objective.evaluate(&self.network, zeros, images)
        });
        Evaluation::total(&each.collect::<Vec<_>>())
    }

    /// Learns until the budget is used up; judged, with the clock stopped, after every epoch. Filters are
    /// updated after every batch, and none is replaced when it dies: nothing but the solvers differs.
    fn learn(
        &self,
        contender: &Contender,
        start: &Judged,
        callback: &mut dyn Callback<Event>,
    ) -> Result<(Row, Network, Vec<Tensor<4>>)> {
        let limits = self.limits();
        let mut config = self.options.config.clone();
        config.layers.truncate(1);
        config.layers[0] = LayerSettings {
            sparsity: Sparsity::Weight(self.objective.sparsity()),
            data_weight: self.objective.data_weight(),
            p: self.objective.p(),
            epochs: limits.steps,
            ..config.layers[0].clone()
        };
        config.train.update_filters = Update::Batch;
        config.train.resample_dead = false;
        let learner = config.learner_by(contender.method.clone());
        let mut trainer = Trainer::new(
            config,
            self.images.clone(),
            Store::in_memory(),
            self.device,
            &Group::alone(),
        )?
        .with_network(self.network.clone())
        .with_learner(learner);
        let mut last = Point {
            step: 0,
            seconds: 0.0,
            at: Evaluation::total(&start.each),
        };
        let mut curve = vec![last];
        loop {
            let mut clock = Clock {
                callback,
                device: self.device,
                seconds: limits.seconds,
                last: None,
                out_of_time: false,
                synced: Ok(()),
            };
            let ended = trainer.epoch(&mut clock)?;
            let (line, out_of_time) = (clock.last, clock.out_of_time);
            clock.synced?;
            let judged = self.judge(trainer.network())?;
            last = Point {
                step: last.step + 1,
                seconds: trainer.run().state.seconds,
                at: Evaluation::total(&judged.each),
            };
            curve.push(last);
            callback.event(Event::Note(format!(
                "{}, epoch {}: objective {:.4}",
                contender.name, last.step, last.at.objective
            )));
            let reason = match ended {
                _ if out_of_time => Some(Reason::Seconds),
                Ended::Interrupted => Some(Reason::Interrupted),
                Ended::Finished => trainer.run().state.finished().then_some(Reason::Steps),
            };
            if let Some(reason) = reason {
                let row = Row {
                    name: contender.name.clone(),
                    method: contender.method.clone(),
                    at: last.at,
                    // Seconds may run out before every image was visited.
                    own: line.map(|line| line.after_filters * line.images as f64),
                    above: 0.0,
                    steps: last.step,
                    seconds: last.seconds,
                    reason,
                    each: judged.each,
                    curve,
                };
                return Ok((row, trainer.network().clone(), judged.shown));
            }
        }
    }
}

/// Stops training once the seconds are used up, and keeps the line of the epoch.
struct Clock<'a> {
    callback: &'a dyn Callback<Event>,
    device: &'a Device,
    seconds: Option<f64>,
    last: Option<TraceLine>,
    out_of_time: bool,
    /// What the device answered last.
    synced: Result<()>,
}

impl Callback<Event> for Clock<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Batch(line) => {
                // A clock read is honest only once the device has done what it was told to.
                self.synced = backend::sync(self.device);
                self.out_of_time = self.seconds.is_some_and(|limit| line.seconds >= limit);
            }
            Event::Epoch(line) => self.last = Some(line),
            _ => {}
        }
    }

    fn interrupted(&self) -> bool {
        self.out_of_time || self.synced.is_err() || self.callback.interrupted()
    }
}
