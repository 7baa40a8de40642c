//! The results: a row for each contender, and the reference they are measured against.

use std::path::PathBuf;

use serde::Serialize;

use super::{Mode, Options};
use crate::model::{Evaluation, Objective};
use crate::solve::{Limits, Method, Point, Reason};

/// What a comparison found. Objectives are sums over the images, SNR and density are means.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was compared.
    pub what: Mode,
    /// The images, by name.
    pub images: Vec<String>,
    /// How many feature maps explain each.
    pub maps: usize,
    /// The objective that all of them minimise.
    pub objective: Objective,
    /// What the objectives are measured against; absent as long as there is nothing.
    pub optimum: Option<Optimum>,
    /// The most steps (coding) or epochs (learning) of each, where they are limited.
    pub steps: Option<usize>,
    /// The most seconds of each, where they are limited.
    pub seconds: Option<f64>,
    /// All maps zero, for comparison.
    pub zero: Evaluation,
    /// The contenders that are done, in their order.
    pub rows: Vec<Row>,
    /// Whether somebody asked to stop before the end.
    pub interrupted: bool,
    /// The folder with table and pictures.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
}

impl Report {
    /// Of a comparison that begins.
    pub(super) fn new(
        options: &Options,
        limits: &Limits,
        images: Vec<String>,
        maps: usize,
        objective: Objective,
        zero: Evaluation,
    ) -> Self {
        Self {
            what: options.what,
            images,
            maps,
            objective,
            optimum: None,
            steps: (limits.steps < usize::MAX).then_some(limits.steps),
            seconds: limits.seconds,
            zero,
            rows: Vec::new(),
            interrupted: false,
            out: options.out.clone(),
        }
    }
}

/// The least objective, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Optimum {
    /// At most every objective of the report.
    pub value: f64,
    /// How it is known.
    pub source: Source,
}

/// How the least objective is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A lower bound proved by the dual problem.
    Certified {
        /// How far above it the best objective seen is, as a share: the bound is no lower than that.
        within: f64,
    },
    /// It came with the problem.
    Given,
    /// It is only the lowest that any contender reached.
    Best,
}

/// How one contender fared.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub method: Method,
    /// Coding: its answer. Learning: the images coded anew by FISTA under its filters.
    #[serde(flatten)]
    pub at: Evaluation,
    /// Learning: the objective of its own codes, where it coded every image.
    pub own: Option<f64>,
    /// How far the objective is above the optimum, as a share of it.
    pub above: f64,
    /// Steps (coding) or epochs (learning) taken.
    pub steps: usize,
    /// Seconds spent solving.
    pub seconds: f64,
    /// Why it stopped.
    pub reason: Reason,
    /// The answer for each image.
    pub each: Vec<Evaluation>,
    /// The objective from the start to the end.
    pub curve: Vec<Point>,
}

impl Report {
    /// Adds a contender and measures all of them anew.
    ///
    /// `reference` is what is known of the optimum beforehand. No objective may lie below the
    /// optimum: single precision can put one there by a rounding, or the file that gave it was wrong.
    pub(super) fn add(&mut self, row: Row, reference: Option<Optimum>) {
        self.rows.push(row);
        let lowest = self
            .rows
            .iter()
            .map(|row| row.at.objective)
            .fold(f64::INFINITY, f64::min);
        let optimum = match reference {
            Some(Optimum { value, source }) => Optimum {
                value: value.min(lowest),
                source,
            },
            None => Optimum {
                value: lowest,
                source: Source::Best,
            },
        };
        for row in &mut self.rows {
            row.above = optimum.share_above(row.at.objective);
        }
        self.optimum = Some(optimum);
    }
}

impl Optimum {
    /// How far `objective` is above, as a share of the optimum.
    pub fn share_above(&self, objective: f64) -> f64 {
        (objective - self.value) / self.value.abs().max(f64::MIN_POSITIVE)
    }
}
