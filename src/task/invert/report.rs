//! The results: what the operator is like, and a row for each way.

use std::path::PathBuf;

use serde::Serialize;

use super::{Experiment, Input, Precision};
use crate::invert::{Analysis, InverseEvaluation, InverseMethod};
use crate::solve::{Point, Reason};

/// What an experiment found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its settings.
    pub experiment: Experiment,
    /// What was to be recovered, or what was observed of it, in words.
    pub image: String,
    /// What it was convolved with, in words.
    pub filters: String,
    /// Channels, height and width of `x`.
    pub input: [usize; 3],
    /// Channels, height and width of `y`.
    pub output: [usize; 3],
    /// In which numbers.
    pub precision: Precision,
    /// The operator.
    pub operator: Analysis,
    /// The part of `y` that no `x` explains, as a share of it, where known: above rounding there is no
    /// solution, only a least-squares one.
    pub unexplained: Option<f64>,
    /// The part of `x` in the null space, as a share of it, where known: the least error there is
    /// without knowing more of `x`.
    pub lost: Option<f64>,
    /// The error to be expected of the plain pseudo-inverse from the noise, as a share of `x`.
    pub amplified: Option<f64>,
    /// What makes an inversion difficult or impossible, in words.
    pub warnings: Vec<String>,
    /// The ways that are done, in their order.
    pub rows: Vec<Row>,
    /// The errors at other noise levels.
    pub noise: Vec<NoiseLevel>,
    /// Seconds of reading and analysing before the first way; no limit counts them.
    pub preparation: f64,
    /// Whether somebody asked to stop before the end.
    pub interrupted: bool,
    /// The folder with table and pictures.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
}

/// How one way fared.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub way: InverseMethod,
    /// How it was done, in words.
    pub route: &'static str,
    /// `||W x - y|| / ||y||`
    pub residual: f64,
    /// The error of `x`, as a share of the truth.
    pub error: Option<f64>,
    /// Its part in the null space of `W`, as a share of the truth.
    pub null_error: Option<f64>,
    /// Steps taken; 0 for a formula.
    pub steps: usize,
    /// Seconds spent.
    pub seconds: f64,
    /// Why it stopped.
    pub reason: Reason,
    /// From the start to the end.
    pub curve: Vec<Point<InverseEvaluation>>,
}

/// The errors of all ways at one noise level.
#[derive(Clone, Debug, Serialize)]
pub struct NoiseLevel {
    /// Standard deviation of the noise.
    pub noise: f64,
    /// The error of each way, as a share of the truth.
    pub errors: Vec<(InverseMethod, f64)>,
}

impl Report {
    /// The rounding of the numbers.
    fn epsilon(&self) -> f64 {
        match self.precision {
            Precision::Single => f64::from(f32::EPSILON),
            Precision::Double => f64::EPSILON,
        }
    }

    /// Whether `y` was given, and `x` is not known.
    pub fn observed(&self) -> bool {
        matches!(self.experiment.input, Input::Observed { .. })
    }

    /// Whether `y` has a solution to rounding, where known.
    pub fn solvable(&self) -> Option<bool> {
        let rounding = 100.0 * self.epsilon();
        self.unexplained.map(|part| part <= rounding)
    }

    /// What makes an inversion difficult or impossible, with the numbers.
    pub(super) fn warn(&self) -> Vec<String> {
        let operator = &self.operator;
        let mut all = Vec::new();
        let [rows, columns] = [operator.rows, operator.columns];
        if let (Some(rank), Some(null)) = (operator.rank, operator.null_space)
            && null > 0
        {
            all.push(format!(
                "W, {rows} x {columns}, has rank {rank}: {null} of {columns} dimensions of the image \
                 are lost for good{}",
                self.lost.map_or(String::new(), |lost| {
                    format!(", {:.3} % of its norm", 100.0 * lost)
                })
            ));
        } else if operator.unique == Some(false) {
            all.push(format!(
                "W has {rows} rows for {columns} columns: at least {} dimensions of the image are lost \
                 for good",
                columns - rows
            ));
        }
        let limit = 1.0 / self.epsilon();
        let resolved = operator.resolved_by(self.epsilon());
        if !resolved && operator.null_space != Some(columns.saturating_sub(rows)) {
            let condition = match operator.condition {
                Some(condition) => format!("{condition:.2e}"),
                None => "infinite".into(),
            };
            all.push(format!(
                "the condition number of W is {condition}, past what {} precision resolves ({limit:.1e}): \
                 what its smallest singular values carry comes back as rounding, or not at all",
                self.precision.name()
            ));
        } else if !resolved {
            // Exactly as singular as its shape says; the rest is what is inverted.
            let rest = operator.effective_condition();
            if rest * self.epsilon() >= 1.0 {
                all.push(format!(
                    "the condition number of what W keeps is {rest:.2e}, past what {} precision \
                     resolves ({limit:.1e})",
                    self.precision.name()
                ));
            }
        }
        if let Some(amplified) = self.amplified
            && amplified > 1.0
        {
            all.push(format!(
                "noise of {} becomes an expected error of {amplified:.3} times the image in the plain \
                 pseudo-inverse; hold it back by truncation, tikhonov or a prior",
                self.experiment.noise
            ));
        }
        all
    }
}
