//! What was typed, together with the configuration, as something that can be done.

use std::path::{Path, PathBuf};

use super::args::{CompareArgs, InferArgs, LimitArgs, TrainArgs, VisualizeArgs};
use crate::backend::Backend;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::run::State;
use crate::solve::SolverName;
use crate::solve::{Limits, Method};
use crate::store::{CheckpointSelector, RunFolder};
use crate::task::compare::{self, Contender, Filters};
use crate::task::infer;
use crate::task::visualize::{self, Subject};

/// Where runs lie unless a path says otherwise.
const RUNS: &str = "checkpoints";

/// What `train` is to do.
#[derive(Debug)]
pub enum Train {
    /// A new run.
    Start {
        /// The settings.
        config: Box<Config>,
        /// Its folder.
        run: PathBuf,
    },
    /// Go on with a run.
    Resume {
        /// Its folder.
        run: PathBuf,
        /// Which checkpoint.
        which: CheckpointSelector,
        /// Who computes.
        backend: Backend,
    },
}

/// The plan of `train`.
///
/// # Errors
/// [`Error::Config`] for settings that do not fit, [`Error::Checkpoint`] for a run that is not one.
pub fn train(args: &TrainArgs) -> Result<Train> {
    if let Some(name) = &args.resume {
        let run = existing(name);
        let which = args.at.unwrap_or(CheckpointSelector::Last);
        let (_, state): (_, State) = RunFolder::read(&run, which)?.state()?;
        let backend = args.backend.unwrap_or(state.config.backend);
        return Ok(Train::Resume {
            run,
            which,
            backend,
        });
    }
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    let data = &mut config.data;
    data.images = args.data.clone().or(data.images.take());
    data.limit = args.limit.or(data.limit);
    data.max_side = args.max_side.or(data.max_side);
    data.colour &= !args.grey;
    config.train.solver = args.solver.unwrap_or(config.train.solver);
    config.seed = args.seed.unwrap_or(config.seed);
    config.backend = args.backend.unwrap_or(config.backend);
    for layer in &mut config.layers {
        layer.epochs = args.epochs.unwrap_or(layer.epochs);
    }
    config.check()?;
    let run = match &args.run {
        Some(name) => folder(name),
        None => unused(args.config.as_deref().or(args.data.as_deref())),
    };
    Ok(Train::Start {
        config: Box::new(config),
        run,
    })
}

/// What `infer` is to do.
#[derive(Debug)]
pub enum Infer {
    /// Images, with the filters of a run.
    Images(infer::Options),
    /// A problem from a file.
    Problem {
        /// The file.
        file: PathBuf,
        /// The solver.
        method: Method,
        /// When to stop.
        limits: Limits,
    },
}

/// The plan of `infer`.
///
/// # Errors
/// [`Error::Config`] where it is not said what to infer.
pub fn infer(args: &InferArgs) -> Result<Infer> {
    if let Some(file) = &args.problem {
        let solver = args.solver.unwrap_or(SolverName::CoordinateDescent);
        return Ok(Infer::Problem {
            file: file.clone(),
            method: Config::default().method(solver),
            limits: limits(&args.limits, Some(solver))?,
        });
    }
    let (Some(run), Some(images)) = (&args.checkpoint, &args.images) else {
        return Err(Error::Config(
            "say which filters and which images: --checkpoint RUN --images DIR, \
             or --problem FILE"
                .into(),
        ));
    };
    Ok(Infer::Images(infer::Options {
        checkpoint: existing(run),
        which: args.at,
        images: images.clone(),
        out: args
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from("inferred")),
        solver: args.solver,
        joint: args.joint,
        limits: limits(&args.limits, args.solver)?,
        maps_format: args.maps,
        overwrite: args.overwrite,
    }))
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

/// The plan of `visualize`.
pub fn visualize(args: &VisualizeArgs) -> visualize::Options {
    let subject = |image: &String| match image.parse() {
        Ok(number) => Subject::Training(number),
        Err(_) => Subject::File(PathBuf::from(image)),
    };
    visualize::Options {
        checkpoint: existing(&args.run.checkpoint),
        which: args.run.at,
        out: args.out.clone(),
        overwrite: args.overwrite,
        image: args.image.as_ref().map(subject),
        images: args.images.clone(),
        patches_per_map: args.patches,
    }
}

/// The plan of `compare`.
///
/// # Errors
/// [`crate::Error::Config`] for settings or solvers that do not fit.
pub fn compare(args: &CompareArgs) -> Result<compare::Options> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => {
            let mut config = Config::default();
            config.layers.truncate(1);
            config.layers[0].p = 1.0;
            config
        }
    };
    config.data.images = args.data.clone().or(config.data.images);
    config.backend = args.backend.unwrap_or(config.backend);
    let contenders = match &args.solvers {
        Some(list) => Contender::list(list, &config)?,
        None => Contender::usual(args.what, &config),
    };
    let filters = match (&args.problem, &args.checkpoint) {
        (Some(file), _) => Filters::Given(file.clone()),
        (None, Some(run)) => Filters::FromRun(existing(run), args.at),
        (None, None) => Filters::Learn,
    };
    Ok(compare::Options {
        contenders,
        filters,
        steps: args.steps,
        seconds: args.seconds,
        images: args.images,
        overwrite: args.overwrite,
        ..compare::Options::new(config, args.what, &args.out)
    })
}

/// The folder of a run: a bare name lies in [`RUNS`].
pub fn folder(name: &Path) -> PathBuf {
    if name.components().count() > 1 || name.is_absolute() {
        name.to_path_buf()
    } else {
        Path::new(RUNS).join(name)
    }
}

/// The folder of a run that should be there: as it was typed, or in [`RUNS`].
pub fn existing(name: &Path) -> PathBuf {
    if name.exists() {
        name.to_path_buf()
    } else {
        folder(name)
    }
}

/// A folder in [`RUNS`] that is not there yet, named after what the run is about.
fn unused(about: Option<&Path>) -> PathBuf {
    let stem = about
        .and_then(Path::file_stem)
        .and_then(|stem| stem.to_str())
        .unwrap_or("sample");
    let numbered = (2..).map(|n| format!("{stem}-{n}"));
    std::iter::once(stem.to_string())
        .chain(numbered)
        .map(|name| Path::new(RUNS).join(name))
        .find(|path| !path.exists())
        .unwrap_or_else(|| Path::new(RUNS).join(stem))
}
