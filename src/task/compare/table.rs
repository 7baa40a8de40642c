//! The results in words: a table with a closing sentence, and a file for spreadsheets.

use std::fmt::{self, Write as _};

use super::Mode;
use super::report::{Optimum, Report, Row, Source};
use crate::model::Evaluation;
use crate::solve::{Method, Schedule};

/// The name of the row for comparison.
const ZERO: &str = "all maps zero";

impl Report {
    /// One line for each contender, after a line for all maps zero; numbers in full.
    pub fn to_csv(&self) -> String {
        let mut csv = "solver,objective,data,penalty,own,above,gap,snr_db,density,steps,seconds,\
                       stopped_because\n"
            .to_owned();
        let number = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
        let mut line = |name: &str, at: &Evaluation, row: Option<&Row>| {
            // Writing to a string cannot fail.
            let _ = writeln!(
                csv,
                "{},{},{},{},{},{},{},{},{},{},{},{}",
                quoted(name),
                at.objective,
                at.data,
                at.penalty,
                number(row.and_then(|row| row.own)),
                number(self.above(at, row)),
                number(at.gap),
                at.snr,
                at.density,
                row.map_or(0, |row| row.steps),
                row.map_or(0.0, |row| row.seconds),
                row.map(|row| row.reason.to_string()).unwrap_or_default(),
            );
        };
        line(ZERO, &self.zero, None);
        for row in &self.rows {
            line(&row.name, &row.at, Some(row));
        }
        csv
    }

    fn above(&self, at: &Evaluation, row: Option<&Row>) -> Option<f64> {
        match row {
            Some(row) => Some(row.above),
            None => self.optimum.map(|o| o.share_above(at.objective)),
        }
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

    /// The table, the first row its header.
    fn cells(&self) -> Vec<Vec<String>> {
        let learning = self.what == Mode::Learning;
        let above = match self.optimum.map(|o| o.source) {
            Some(Source::Best) | None => "above the best",
            Some(_) => "above optimum",
        };
        let (fifth, steps) = match learning {
            true => ("own codes", "epochs"),
            false => ("gap", "steps"),
        };
        let header = ["solver", "objective", above, fifth];
        let header = header.into_iter().chain(["SNR dB", "density", steps]);
        let header = header.chain(["seconds", "stopped because"]);
        let line = |name: &str, at: &Evaluation, row: Option<&Row>| {
            let optional = |x: Option<f64>| x.map_or("-".to_owned(), significant);
            vec![
                name.to_owned(),
                significant(at.objective),
                self.above(at, row).map_or("-".to_owned(), percent),
                optional(match learning {
                    true => row.and_then(|row| row.own),
                    false => at.gap,
                }),
                decibels(at.snr),
                percent(at.density),
                row.map_or("-".to_owned(), |row| row.steps.to_string()),
                row.map_or("-".to_owned(), |row| format!("{:.2}", row.seconds)),
                row.map_or("-".to_owned(), |row| row.reason.to_string()),
            ]
        };
        let mut table = vec![header.map(str::to_owned).collect()];
        table.push(line(ZERO, &self.zero, None));
        let rows = self.rows.iter();
        table.extend(rows.map(|row| line(&row.name, &row.at, Some(row))));
        table
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
                percent(best.above)
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
            let _ = write!(text, " {who} ended {} above {than}", percent(row.above));
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
        let value = significant(self.value);
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
        let cells = self.cells();
        let columns = cells.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let widths = cells.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &cells {
            let mut line = String::new();
            for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                // Words to the left, numbers to the right.
                match i == 0 || i + 1 == columns {
                    true => write!(line, "{cell:width$}  ")?,
                    false => write!(line, "{cell:>width$}  ")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        write!(f, "{}", self.conclusion())
    }
}

/// Six significant digits, or powers of ten where the number is very small or large.
fn significant(x: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    match x.abs().log10().floor() {
        digits if (-3.0..6.0).contains(&digits) => format!("{x:.*}", (5.0 - digits) as usize),
        _ => format!("{x:.2e}"),
    }
}

/// [`significant`] without zeros at the end.
fn short(x: f64) -> String {
    let text = significant(x);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// Two digits, and no sign on what is rounded to zero.
fn decibels(snr: f64) -> String {
    format!("{:.2}", (100.0 * snr).round() / 100.0 + 0.0)
}

/// A share in per cent, with as many digits as can matter.
fn percent(share: f64) -> String {
    match 100.0 * share {
        0.0 => "0 %".into(),
        p if p < 0.001 => "< 0.001 %".into(),
        p if p < 1.0 => format!("{p:.3} %"),
        p => format!("{p:.1} %"),
    }
}

/// A field of a CSV file.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        let significant = [0.0, 284.9131, 12.0, 0.00123456789, 1e-5, 1e7].map(significant);
        let expected = ["0", "284.913", "12.0000", "0.00123457", "1.00e-5", "1.00e7"];
        assert_eq!(significant, expected);
        assert_eq!(
            [1.0, 0.0904491, 120.0].map(short),
            ["1", "0.0904491", "120"]
        );
        let percent = [0.0, 1e-7, 0.00123, 0.3549, 3.0].map(percent);
        assert_eq!(
            percent,
            ["0 %", "< 0.001 %", "0.123 %", "35.5 %", "300.0 %"]
        );
        assert_eq!([-0.0001, -1.0].map(decibels), ["0.00", "-1.00"]);
        assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
    }
}
