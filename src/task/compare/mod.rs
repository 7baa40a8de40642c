//! `compare`: solvers against each other, from the same start, on the same images, with the same
//! budget of steps or seconds.
//!
//! - Coding: the filters are fixed and each contender looks for the maps. For p = 1 the problem is
//!   convex, so the least objective is known and certified by a duality gap.
//! - Learning: each contender learns the filters of one layer. Whatever it found is judged by the
//!   same yardstick: all images coded anew by FISTA under its filters.
//!
//! Looking at the objective is never counted as time spent. The results are written after every
//! contender, so that a later failure loses nothing.

mod coding;
mod contender;
mod learning;
mod pictures;
mod report;
mod table;

pub use contender::Contender;
pub use report::{Optimum, Report, Row, Source};

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::{Callback, Event, Interrupt};
use crate::config::{Config, Form};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::model::{DataTerm, Network, Objective};
use crate::named::named;
use crate::pooling::Pool;
use crate::report::Results;
use crate::run::{Images, Run, nothing_learnt};
use crate::solve::Limits;
use crate::store::CheckpointSelector;

named! {
    /// What is compared.
    #[derive(Default)]
    pub enum Mode: "comparison of" {
        /// Finding the maps with the filters fixed.
        #[default]
        Coding = "coding",
        /// Learning the filters.
        Learning = "learning",
    }
}

/// Where the filters come from: those that are kept for coding, those to start from for learning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filters {
    /// The first layer of a run, with its weights. The images are read and prepared as the run does
    /// it, and are its own where the configuration names none.
    FromRun(PathBuf, CheckpointSelector),
    /// Coding: learnt first, from the same data set, as the configuration says. Learning: random.
    Learn,
    /// A problem file, which brings its image and weights along (coding only).
    Given(PathBuf),
}

/// What to compare, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Data, preprocessing, layer 1 and the settings of the solvers. Under the filters of a run only
    /// the settings of the solvers, the epochs, and the place and number of the images matter.
    pub config: Config,
    /// The filters.
    pub filters: Filters,
    /// Coding or learning.
    pub what: Mode,
    /// The solvers, in the order of the table.
    pub contenders: Vec<Contender>,
    /// The most steps (coding) or epochs (learning) of each. Without this and `seconds`: 200 steps,
    /// or the epochs of the layer.
    pub steps: Option<usize>,
    /// The most seconds of each, looking at the objective not counted.
    pub seconds: Option<f64>,
    /// Coding: how many images to code, all of one size. Learning: how many to show.
    pub images: usize,
    /// The folder for the results.
    pub out: PathBuf,
    /// Whether to replace results that are there.
    pub overwrite: bool,
}

const CURVES: &str = "curves.png";
const RECONSTRUCTIONS: &str = "reconstructions.png";
const FILTERS: &str = "filters.png";

/// Steps of each contender at coding where no budget is given.
const STEPS: usize = 200;

/// Compares, and writes `table.csv`, `table.json`, `curves.png`, `reconstructions.png` and, for
/// learning, `filters.png` to the folder `out`.
///
/// An interruption ends it after the step in progress; the report then tells what was done so far.
///
/// # Errors
/// [`Error::Config`] for options that contradict each other and [`Error::Exists`] for results that
/// would be replaced, before any work; those of reading images and filters; [`Error::Numeric`] where a contender
/// diverges; [`Error::Io`] where the results cannot be written.
pub fn run(
    options: &Options,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    options.check()?;
    let names: &[&str] = match options.what {
        Mode::Coding => &[CURVES, RECONSTRUCTIONS],
        Mode::Learning => &[CURVES, RECONSTRUCTIONS, FILTERS],
    };
    let output = Results::claim(&options.out, names, options.overwrite)?;
    match options.what {
        Mode::Coding => coding::run(options, &output, device, observer),
        Mode::Learning => learning::run(options, &output, device, observer),
    }
}

impl Options {
    /// Coding with the usual contenders and budget, filters learnt first.
    pub fn new(config: Config, what: Mode, out: impl Into<PathBuf>) -> Self {
        Self {
            contenders: Contender::usual(what, &config),
            config,
            filters: Filters::Learn,
            what,
            steps: None,
            seconds: None,
            images: 2,
            out: out.into(),
            overwrite: false,
        }
    }

    fn check(&self) -> Result<()> {
        let fail = |message: String| Err(Error::Config(message));
        self.config.check()?;
        if self.config.train.form == Form::Adaptive {
            return fail(
                "solvers are compared on a layer that is not pooled; use settings of another form"
                    .into(),
            );
        }
        if self.contenders.is_empty() {
            return fail("there is nothing to compare; name at least one solver".into());
        }
        for (i, contender) in self.contenders.iter().enumerate() {
            if self.contenders[..i]
                .iter()
                .any(|c| c.name == contender.name)
            {
                return fail(format!(
                    "'{}' is to be compared twice; name every solver once",
                    contender.name
                ));
            }
        }
        if self.images == 0 {
            return fail("0 images are to be compared on; choose at least 1".into());
        }
        if self.steps == Some(0) {
            return fail("the budget is 0 steps; give each solver at least 1".into());
        }
        if let Some(seconds) = self.seconds
            && !(seconds.is_finite() && seconds > 0.0)
        {
            return fail(format!(
                "the budget is {seconds} seconds; it must be above 0"
            ));
        }
        if self.what == Mode::Learning
            && let Filters::Given(path) = &self.filters
        {
            return fail(format!(
                "{} holds fixed filters, which leaves nothing to learn; compare coding instead",
                path.display()
            ));
        }
        Ok(())
    }

    /// The budget; without one, `otherwise` steps.
    fn limits(&self, otherwise: usize) -> Limits {
        let unlimited = self.seconds.map(|_| usize::MAX);
        Limits {
            steps: self.steps.or(unlimited).unwrap_or(otherwise),
            seconds: self.seconds,
            every: 1,
            ..Limits::default()
        }
    }

    /// Layer 1 with random filters, the same for every contender.
    fn random_filters(images: &Images, device: &Device) -> Result<Network> {
        let mut config = images.config().network()?;
        config.layers.truncate(1);
        config.init(device)
    }

    /// The images with what there is to say about them, and the filters: those of a run with its objective, or
    /// `otherwise`.
    fn images_and_filters(
        &self,
        device: &Device,
        observer: &mut dyn Callback<Event>,
        otherwise: impl FnOnce(&Images, &mut dyn Callback<Event>) -> Result<Network>,
    ) -> Result<(Images, Network, Option<Objective>)> {
        let found = match &self.filters {
            Filters::FromRun(run, which) => {
                let (images, network, objective) = self.of_run(run, *which, device)?;
                (images, network, Some(objective))
            }
            Filters::Learn | Filters::Given(_) => {
                let images = Images::open(&self.config)?;
                let network = otherwise(&images, observer)?;
                (images, network, None)
            }
        };
        for note in found.0.notes()? {
            observer.event(Event::Note(note));
        }
        Ok(found)
    }

    /// Layer 1 of a run, its objective, and the images as the run sees them.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for the run, those of [`Images::prepared_by`] for the images.
    fn of_run(
        &self,
        path: &Path,
        which: CheckpointSelector,
        device: &Device,
    ) -> Result<(Images, Network, Objective)> {
        let Run { state, network, .. } = Run::read(path, which, device)?;
        let objective = state.objectives.first().copied();
        let objective = objective.ok_or_else(|| nothing_learnt(path))?;
        let mut config = state.config;
        if let Some(images) = &self.config.data.images {
            config.data.images = Some(images.clone());
            config.data.mask = self.config.data.mask.clone();
            config.data.exclude = self.config.data.exclude.clone();
            config.data.limit = self.config.data.limit;
        }
        let images = Images::prepared_by(&config, state.prepare)?;
        // Of the first layer alone nothing is pooled.
        let layer = network.layers()[0].clone().with_pool(Pool::NONE);
        Ok((images, Network::new(vec![layer])?, objective))
    }

    /// The weights of layer 1, with a relative sparsity worked out from these filters and images.
    fn objective(&self, network: &Network, images: &[DataTerm]) -> Result<Objective> {
        let targets = images.iter();
        let targets = targets.map(|images| Ok((network.clone(), images.clone())));
        let (objective, _) = self.config.layers[0].objective(targets, &Group::alone())?;
        Ok(objective)
    }
}

/// All images of the data set, `[1, C, H, W]` each.
fn all_images(images: &mut Images, device: &Device) -> Result<Vec<DataTerm>> {
    (0..images.sources().len())
        .map(|i| images.data(i, device))
        .collect()
}

#[cfg(test)]
mod tests;
