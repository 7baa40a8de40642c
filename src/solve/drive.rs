//! The one loop that runs every coding solver.

use std::fmt;
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Problem, Solver, in_double};
use crate::error::{Error, Result};
use crate::model::Evaluation;

/// When to stop. Whatever comes first ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// After this many steps.
    pub steps: usize,
    /// After this many seconds of solving; looking at the objective is not counted.
    pub seconds: Option<f64>,
    /// Once the duality gap is at most this share of the objective (p = 1 only).
    pub gap: Option<f64>,
    /// Once the objective changed by at most this share since it was last looked at.
    pub change: Option<f64>,
    /// Once the objective is at most this.
    pub target: Option<f64>,
    /// Look at the objective every so many steps; 0: at the end alone.
    pub every: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 500,
            seconds: None,
            gap: None,
            change: None,
            target: None,
            every: 10,
        }
    }
}

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The duality gap is small enough.
    Gap,
    /// The objective hardly changes any more.
    Change,
    /// The objective has reached the target.
    Target,
    /// The steps are used up.
    Steps,
    /// The seconds are used up.
    Seconds,
    /// The beta schedule has ended.
    Schedule,
    /// The solver finds nothing left to move.
    Settled,
    /// Somebody asked to stop.
    Interrupted,
}

impl Reason {
    /// One word, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Change => "change",
            Self::Target => "target",
            Self::Steps => "steps",
            Self::Seconds => "seconds",
            Self::Schedule => "schedule",
            Self::Settled => "settled",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gap => "the duality gap is below its limit",
            Self::Change => "the objective hardly changes any more",
            Self::Target => "the objective reached its target",
            Self::Steps => "the steps are used up",
            Self::Seconds => "the seconds are used up",
            Self::Schedule => "the beta schedule has ended",
            Self::Settled => "nothing moves any more",
            Self::Interrupted => "it was interrupted",
        })
    }
}

/// One look at the objective during a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps taken.
    pub step: usize,
    /// Seconds spent solving.
    pub seconds: f64,
    /// The codes at that moment, summed over the batch.
    pub at: Evaluation,
}

/// Whoever follows a run.
pub trait Watch {
    /// Told at every look at the objective.
    fn looked(&mut self, _point: &Point) {}

    /// Whether to stop after the step in progress.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Nobody follows.
impl Watch for () {}

/// What a run ended with.
#[derive(Clone, Debug)]
pub struct Solved {
    /// The sparse maps, `[n, K, ..]`.
    pub codes: Tensor<4>,
    /// The maps to start from another time.
    pub maps: Tensor<4>,
    /// How good the codes are, an entry for each image.
    pub each: Vec<Evaluation>,
    /// The looks at the objective, from before the first step to the end.
    pub curve: Vec<Point>,
    /// Why it stopped.
    pub reason: Reason,
}

impl Solved {
    /// The last look: all steps, all seconds, the final objective.
    pub fn last(&self) -> Point {
        self.curve.last().copied().unwrap_or(Point {
            step: 0,
            seconds: 0.0,
            at: Evaluation::total(&self.each),
        })
    }
}

/// Runs a solver from the maps `start` until a limit, its own end, or an interruption.
///
/// # Errors
/// [`Error::Numeric`] where the objective is not finite.
pub fn drive<S: Solver>(
    solver: &S,
    problem: &Problem,
    start: Tensor<4>,
    limits: &Limits,
    watch: &mut dyn Watch,
) -> Result<Solved> {
    let device = problem.images.device();
    // Whoever follows a convex problem wants the certificate, not its rounding.
    let judge = (limits.every > 0 && problem.objective.is_convex()).then(|| problem.in_double());
    let mut clock = Duration::ZERO;
    let mut curve: Vec<Point> = Vec::new();
    let mut step = 0;
    let mut started = Instant::now();
    let mut state = solver.init(problem, start);
    loop {
        let ended = solver
            .done(&state)
            .or((step >= limits.steps).then_some(Reason::Steps))
            .or(watch.interrupted().then_some(Reason::Interrupted));
        // A clock read is honest only once the device has done what it was told to.
        let timed_out = || {
            let seconds = (clock + started.elapsed()).as_secs_f64();
            limits
                .seconds
                .is_some_and(|limit| seconds >= limit)
                .then_some(Reason::Seconds)
        };
        let ended = ended.or_else(timed_out);
        let look = limits.every > 0 && step % limits.every == 0;
        if look || ended.is_some() {
            let _ = device.sync();
            clock += started.elapsed();
            let codes = solver.codes(&state);
            let each = match &judge {
                Some(judge) => {
                    let codes = in_double(codes.clone());
                    problem
                        .objective
                        .evaluate(&judge.network, codes, judge.images.clone())
                }
                None => problem.objective.evaluate(
                    &problem.network,
                    codes.clone(),
                    problem.images.clone(),
                ),
            };
            let at = Evaluation::total(&each);
            if !at.objective.is_finite() {
                return Err(diverged(step, at.objective));
            }
            let before = curve.last().map(|point| point.at.objective);
            let point = Point {
                step,
                seconds: clock.as_secs_f64(),
                at,
            };
            curve.push(point);
            watch.looked(&point);
            if let Some(reason) = limits.reached(&at, before).or(ended) {
                return Ok(Solved {
                    codes,
                    maps: solver.maps(&state),
                    each,
                    curve,
                    reason,
                });
            }
            started = Instant::now();
        }
        solver.step(problem, &mut state);
        step += 1;
    }
}

impl Limits {
    /// The limits on the objective itself.
    fn reached(&self, at: &Evaluation, before: Option<f64>) -> Option<Reason> {
        let f = at.objective;
        if self.target.is_some_and(|target| f <= target) {
            Some(Reason::Target)
        } else if let (Some(limit), Some(gap)) = (self.gap, at.gap)
            && gap <= limit * f
        {
            Some(Reason::Gap)
        } else if let (Some(limit), Some(before)) = (self.change, before)
            && (before - f).abs() <= limit * f.abs()
        {
            Some(Reason::Change)
        } else {
            None
        }
    }
}

fn diverged(step: usize, objective: f64) -> Error {
    Error::Numeric(format!(
        "the objective became {objective} at step {step}; \
         try a smaller learning rate, a gentler beta schedule, or check the images for huge values"
    ))
}
