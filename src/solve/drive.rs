//! The loop that runs a solver: with looks at the objective and limits, or for so many steps alone.

use std::fmt;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Solver, in_double};
use crate::backend;
use crate::error::{Error, Result};
use crate::model::Evaluation;

/// What [`drive`] needs to know of a problem: how good a tensor is as its solution.
pub trait Evaluate: Sized {
    /// What a look at a tensor finds.
    type Quality: Quality;

    /// Where the work is done.
    fn device(&self) -> Device;

    /// The same problem in double precision on the CPU, where looks need to be that exact.
    fn judge(&self) -> Option<Self> {
        None
    }

    /// How good `x` is, an entry for each image of the batch.
    fn evaluate(&self, x: Tensor<4>) -> Vec<Self::Quality>;

    /// Whether the problem is solved as far as it can be, judged by the looks so far.
    fn settled(&self, _looks: &[Point<Self::Quality>]) -> Option<Reason> {
        None
    }
}

/// What a look finds, as far as every problem has it.
pub trait Quality: Copy {
    /// What is minimised.
    fn objective(&self) -> f64;

    /// How far above the least it is at most, where that is known.
    fn gap(&self) -> Option<f64> {
        None
    }

    /// Those of a batch as one.
    fn total(each: &[Self]) -> Self;
}

impl Quality for Evaluation {
    fn objective(&self) -> f64 {
        self.objective
    }

    fn gap(&self) -> Option<f64> {
        self.gap
    }

    fn total(each: &[Self]) -> Self {
        Evaluation::total(each)
    }
}

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
    /// The gradient is as good as zero.
    Converged,
    /// The objective no longer falls: what is left is rounding.
    Rounding,
    /// The answer is given by a formula; there is nothing to iterate.
    Direct,
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
            Self::Converged => "converged",
            Self::Rounding => "rounding",
            Self::Direct => "direct",
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
            Self::Converged => "the gradient is as good as zero",
            Self::Rounding => "it no longer improves: what is left is rounding",
            Self::Direct => "it is given by a formula",
            Self::Interrupted => "it was interrupted",
        })
    }
}

/// One look at the objective during a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point<Q = Evaluation> {
    /// Steps taken.
    pub step: usize,
    /// Seconds spent solving.
    pub seconds: f64,
    /// The codes at that moment, summed over the batch.
    pub at: Q,
}

/// What a caller hands to a long computation: it is told of events as they come, and may ask to stop.
/// A solver's events are the evaluations of its objective, [`Point`].
pub trait Callback<E> {
    /// Receives an event.
    fn event(&mut self, _event: E) {}

    /// Whether to stop after the step in progress.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Ignores every event and never stops.
impl<E> Callback<E> for () {}

/// What a run ended with.
#[derive(Clone, Debug)]
pub struct Solved<Q = Evaluation> {
    /// The answer: sparse maps `[n, K, ..]` for the coding problem.
    pub codes: Tensor<4>,
    /// What to start from another time.
    pub maps: Tensor<4>,
    /// How good the codes are, an entry for each image.
    pub each: Vec<Q>,
    /// The looks at the objective, from before the first step to the end.
    pub curve: Vec<Point<Q>>,
    /// Why it stopped.
    pub reason: Reason,
}

impl<Q: Quality> Solved<Q> {
    /// The last look: all steps, all seconds, the final objective.
    pub fn last(&self) -> Point<Q> {
        self.curve.last().copied().unwrap_or(Point {
            step: 0,
            seconds: 0.0,
            at: Q::total(&self.each),
        })
    }
}

/// Runs a solver from `start` until a limit, its own end, or an interruption.
///
/// # Errors
/// [`Error::Numeric`] where the objective is not finite.
pub fn drive<P: Evaluate, S: Solver<P>>(
    solver: &S,
    problem: &P,
    start: Tensor<4>,
    limits: &Limits,
    callback: &mut dyn Callback<Point<P::Quality>>,
) -> Result<Solved<P::Quality>> {
    let device = problem.device();
    let judge = (limits.every > 0).then(|| problem.judge()).flatten();
    let mut clock = Duration::ZERO;
    let mut curve: Vec<Point<P::Quality>> = Vec::new();
    let mut step = 0;
    let mut started = Instant::now();
    let mut state = solver.init(problem, start);
    loop {
        let ended = solver
            .done(&state)
            .or((step >= limits.steps).then_some(Reason::Steps))
            .or(callback.interrupted().then_some(Reason::Interrupted));
        let ended = match limits.seconds {
            Some(limit) if ended.is_none() => {
                // Steps are only queued on a GPU: the clock counts once it has done them.
                backend::sync(&device)?;
                let seconds = (clock + started.elapsed()).as_secs_f64();
                (seconds >= limit).then_some(Reason::Seconds)
            }
            _ => ended,
        };
        let look = limits.every > 0 && step % limits.every == 0;
        if look || ended.is_some() {
            backend::sync(&device)?;
            clock += started.elapsed();
            let codes = solver.codes(&state);
            let each = match &judge {
                Some(judge) => judge.evaluate(in_double(codes.clone())),
                None => problem.evaluate(codes.clone()),
            };
            let at = P::Quality::total(&each);
            if !at.objective().is_finite() {
                return Err(diverged(step, at.objective()));
            }
            let before = curve.last().map(|point| point.at.objective());
            let point = Point {
                step,
                seconds: clock.as_secs_f64(),
                at,
            };
            curve.push(point);
            callback.event(point);
            let reached = limits
                .reached(&at, before)
                .or_else(|| problem.settled(&curve));
            if let Some(reason) = reached.or(ended) {
                return Ok(Solved {
                    maps: solver.maps(&state).unwrap_or_else(|| codes.clone()),
                    codes,
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

/// Rounds of a solver from `start` without a look at the objective, until there are so many, it has
/// nothing more to do, or an interruption.
pub(super) fn advance<P, S: Solver<P>>(
    solver: &S,
    problem: &P,
    start: Tensor<4>,
    rounds: usize,
    interrupted: &dyn Fn() -> bool,
) -> S::State {
    let mut state = solver.init(problem, start);
    for _ in 0..rounds {
        if solver.done(&state).is_some() || interrupted() {
            break;
        }
        solver.round(problem, &mut state);
    }
    state
}

impl Limits {
    /// The limits on the objective itself.
    pub(super) fn reached(&self, at: &impl Quality, before: Option<f64>) -> Option<Reason> {
        let f = at.objective();
        if self.target.is_some_and(|target| f <= target) {
            Some(Reason::Target)
        } else if let (Some(limit), Some(gap)) = (self.gap, at.gap())
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
