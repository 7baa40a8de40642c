//! The results in words: what the operator is like, and a table.

use std::fmt;

use super::report::Report;
use crate::report::{Cell, Format, Table};

/// Norms and shares.
pub(super) const SHORT: Format = Format::Significant(3);

impl Report {
    /// A row for each way.
    pub fn table(&self) -> Table {
        let rows = &self.rows;
        Table::of(rows.len())
            .words("way", |i| Cell::text(rows[i].way))
            .words("by", |i| Cell::text(rows[i].route))
            .named("route")
            .numbers("residual", |i| Cell::number(rows[i].residual, SHORT))
            .numbers("error", |i| Cell::number(rows[i].error, SHORT))
            .numbers("null part", |i| Cell::number(rows[i].null_error, SHORT))
            .named("null_error")
            .numbers("steps", |i| rows[i].steps.into())
            .numbers("seconds", |i| {
                Cell::number(rows[i].seconds, Format::Seconds)
            })
            .words("stopped", |i| Cell::text(rows[i].reason.name()))
            .in_csv(false)
            .words("stopped because", |i| Cell::text(rows[i].reason))
            .in_text(false)
    }

    /// The operator, a line for each thing to know.
    fn head(&self) -> Table {
        let operator = &self.operator;
        let experiment = &self.experiment;
        let sides = |[c, h, w]: [usize; 3]| format!("{c} x {h} x {w}");
        let (x, y) = match self.observed() {
            true => (String::new(), format!("{}, ", self.image)),
            false => (format!("{}, ", self.image), String::new()),
        };
        let mut lines = Vec::new();
        let mut line = |name, text| lines.push((name, text));
        line("x", x + &sides(self.input));
        line("filters", self.filters.clone());
        let [down, right] = experiment.stride;
        line(
            "y = W x",
            format!(
                "{y}{}, padding {}, stride {down} x {right}, noise {}, {} precision",
                sides(self.output),
                experiment.padding,
                experiment.noise,
                self.precision.name()
            ),
        );
        line("W", format!("{} x {}", operator.rows, operator.columns));
        if let (Some(rank), Some(null)) = (operator.rank, operator.null_space) {
            line("rank", format!("{rank}, null space of {null} dimensions"));
        }
        let [smallest, largest] = [operator.smallest, operator.largest].map(|s| SHORT.write(s));
        let route = &operator.route;
        line(
            "singular values",
            format!("{smallest} to {largest} ({route})"),
        );
        let estimate = match operator.rank {
            Some(_) => "",
            None => "at least ",
        };
        let condition = match operator.condition {
            Some(condition) => format!("{estimate}{}", SHORT.write(condition)),
            None => "infinite".into(),
        };
        let rest = match operator.rank {
            Some(rank) if rank < operator.rows.min(operator.columns) => {
                let rest = SHORT.write(operator.effective_condition());
                format!(", {rest} without the zeros")
            }
            _ => String::new(),
        };
        line("condition", condition + &rest);
        let seconds = Format::Seconds.write(self.preparation);
        line("prepared", format!("in {seconds} s, which no limit counts"));
        line("solution", self.solution());
        let error = SHORT.write(operator.dot_test);
        line(
            "dot test",
            format!("<W a, b> and <a, W' b> differ by {error}"),
        );
        Table::pairs(&lines)
    }

    /// Whether there is a solution and whether it is the only one.
    fn solution(&self) -> String {
        let exists = match self.solvable() {
            Some(true) => "exists".to_string(),
            Some(false) => format!(
                "does not exist: {} of y is outside of W's range",
                SHORT.write(self.unexplained.unwrap_or(0.0))
            ),
            None => "exists as far as y is W x".to_string(),
        };
        let unique = match self.operator.unique {
            Some(true) => "unique",
            Some(false) => "not unique",
            None => "unique or not: unknown at this size",
        };
        format!("{exists}; {unique}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.head(), self.table())?;
        let shares = match self.observed() {
            true => "Residuals are shares of y; x is not known, and so no error.",
            false => "Errors are shares of x; the null part is what W does not see of them.",
        };
        writeln!(f, "{shares}")?;
        if self.interrupted {
            writeln!(f, "It was interrupted.")?;
        }
        write!(f, "Tables and pictures: {}", self.out.display())
    }
}
