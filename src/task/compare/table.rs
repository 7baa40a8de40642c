//! The results in words: a table with a closing sentence.

use std::fmt::{self, Write as _};

use super::Mode;
use super::report::{Optimum, Report, Row, Source};
use crate::model::Evaluation;
use crate::report::{Cell, Format, Table};
use crate::solve::{Method, Schedule};

/// The name of the row for comparison.
const ZERO: &str = "all maps zero";
const OBJECTIVE: Format = Format::Significant(6);
const SHARE: Format = Format::Percent(None);

impl Report {
    /// A row for each contender, after one for all maps zero.
    pub fn table(&self) -> Table {
        let learning = self.what == Mode::Learning;
        let above = match self.optimum.map(|o| o.source) {
            Some(Source::Best) | None => "above the best",
            Some(_) => "above optimum",
        };
        let steps = if learning { "epochs" } else { "steps" };
        let zero = (ZERO, &self.zero, None);
        let done = self.rows.iter();
        let done = done.map(|row| (row.name.as_str(), &row.at, Some(row)));
        let rows: Vec<(&str, &Evaluation, Option<&Row>)> = [zero].into_iter().chain(done).collect();
        let at = |i: usize| rows[i].1;
        let known = |i: usize, cell: fn(&Row) -> Cell, otherwise| rows[i].2.map_or(otherwise, cell);
        let own = |i| known(i, |row| Cell::number(row.own, OBJECTIVE), Cell::Absent);
        // No solver ran, which CSV tells by zeros.
        let none = || Cell::number(0.0, Format::Hidden);
        Table::of(rows.len())
            .words("solver", |i| Cell::text(rows[i].0))
            .numbers("objective", |i| Cell::number(at(i).objective, OBJECTIVE))
            .numbers("data", |i| Cell::number(at(i).data, OBJECTIVE))
            .in_text(false)
            .numbers("penalty", |i| Cell::number(at(i).penalty, OBJECTIVE))
            .in_text(false)
            .numbers("own", own)
            .in_text(false)
            .numbers(above, |i| Cell::number(self.above(at(i)), SHARE))
            .named("above")
            .numbers("own codes", own)
            .in_text(learning)
            .in_csv(false)
            .numbers("gap", |i| Cell::number(at(i).gap, OBJECTIVE))
            .in_text(!learning)
            .numbers("SNR", |i| {
                let snr = Some(at(i).snr).filter(|snr| !snr.is_nan());
                Cell::number(snr, Format::Decibels)
            })
            .unit("dB")
            .numbers("density", |i| Cell::number(at(i).density, SHARE))
            .numbers(steps, |i| known(i, |row| row.steps.into(), none()))
            .named("steps")
            .numbers("seconds", |i| {
                known(i, |row| Cell::number(row.seconds, Format::Seconds), none())
            })
            .words("stopped because", |i| {
                known(i, |row| Cell::text(row.reason), Cell::Absent)
            })
    }

    fn above(&self, at: &Evaluation) -> Option<f64> {
        self.optimum.map(|o| o.share_above(at.objective))
    }

    /// What was compared and on what terms, a line each.
    fn head(&self) -> Vec<String> {
        let [data_weight, sparsity, p] = [
            self.objective.data_weight(),
            self.objective.sparsity(),
            self.objective.p(),
        ];
        let images = match self.images.len() {
            1 => "1 image".to_owned(),
            n => format!("{n} images"),
        };
        let (task, unit) = match self.what {
            Mode::Coding => (
                format!("Coding {images} with {} fixed filters", self.maps),
                "steps",
            ),
            Mode::Learning => (
                format!("Learning {} filters from {images}", self.maps),
                "epochs",
            ),
        };
        let steps = self.steps.map(|steps| format!("{steps} {unit}"));
        let seconds = self.seconds.map(|seconds| format!("{seconds} seconds"));
        let budget: Vec<_> = steps.into_iter().chain(seconds).collect();
        let mut lines = vec![
            format!("{task}, at most {} each.", budget.join(" or ")),
            format!(
                "Objective: {data_weight}/2 ‖R z − y‖² + {} ∑ |z|{}, summed over images.",
                short(sparsity),
                match p {
                    1.0 => String::new(),
                    p => format!("^{p}"),
                }
            ),
        ];
        match (self.what, &self.optimum) {
            (Mode::Coding, Some(optimum)) => lines.push(format!("{optimum}.")),
            (Mode::Coding, None) => {}
            (Mode::Learning, _) => lines.push(
                "All images are coded anew by FISTA to judge the filters; own codes: \
                 each image when it was last visited."
                    .into(),
            ),
        }
        let split = |row: &Row| matches!(row.method, Method::HalfQuadratic(_));
        if self.what == Mode::Coding && self.rows.iter().any(split) {
            lines.push(
                "A step of split is one beta with its conjugate gradients; \
                 it ends with its schedule, split:START x GROWTH x STEPS."
                    .into(),
            );
        }
        lines
    }

    /// What the numbers say, in a sentence or two.
    fn conclusion(&self) -> String {
        let by_objective = |a: &&Row, b: &&Row| a.at.objective.total_cmp(&b.at.objective);
        let Some(best) = self.rows.iter().min_by(by_objective) else {
            return "It was interrupted before any solver was done.".into();
        };
        let mut text = match (self.what, self.optimum.map(|o| o.source)) {
            (Mode::Learning, _) => format!(
                "{} learnt the filters that explain the images best.",
                best.name
            ),
            (_, Some(Source::Best) | None) => {
                format!("{} reached the lowest objective.", best.name)
            }
            (_, Some(Source::Certified { .. } | Source::Given)) => format!(
                "{} came closest, {} above the optimum.",
                best.name,
                SHARE.write(best.above)
            ),
        };
        let published = |row: &&Row| match &row.method {
            Method::HalfQuadratic(split) => split.schedule == Schedule::default(),
            _ => false,
        };
        let worst = self.rows.iter().max_by(by_objective);
        let other = match self.what {
            Mode::Coding => self.rows.iter().find(published).or(worst),
            Mode::Learning => worst,
        };
        if let Some(row) = other.filter(|row| row.name != best.name) {
            let who = match self.what == Mode::Coding && published(&row) {
                true => format!("The published beta schedule ({})", row.name),
                false => row.name.clone(),
            };
            let than = match self.optimum.map(|o| o.source) {
                Some(Source::Best) | None => "that",
                Some(_) => "it",
            };
            let _ = write!(text, " {who} ended {} above {than}", SHARE.write(row.above));
            text += match row.at.objective > self.zero.objective {
                true => ", worse than all maps zero.",
                false => ".",
            };
        }
        if self.interrupted {
            text += " It was interrupted before all were done.";
        }
        text
    }
}

impl fmt::Display for Optimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = OBJECTIVE.write(self.value);
        match self.source {
            Source::Certified { within } => {
                write!(
                    f,
                    "Optimum: {value}, certified by a duality gap of {within:.0e} of it"
                )
            }
            Source::Given => write!(f, "Optimum: {value}, given with the problem"),
            Source::Best => write!(f, "Lowest objective: {value}; the optimum is not known"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.head() {
            writeln!(f, "{line}")?;
        }
        write!(f, "{}{}", self.table(), self.conclusion())
    }
}

/// Without zeros at the end.
fn short(x: f64) -> String {
    let text = OBJECTIVE.write(x);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_are_left_out() {
        let texts = [1.0, 0.0904491, 120.0, 1e-7].map(short);
        assert_eq!(texts, ["1", "0.0904491", "120", "1.00e-7"]);
    }
}
