//! The results in words: what the operator is like, a table, and a file for spreadsheets.

use std::fmt::{self, Write as _};

use super::report::{Report, Row};

impl Report {
    /// One line for each way, numbers in full.
    pub fn to_csv(&self) -> String {
        let mut csv =
            "way,route,residual,error,null_error,steps,seconds,stopped_because\n".to_owned();
        let number = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
        for row in &self.rows {
            // Writing to a string cannot fail.
            let _ = writeln!(
                csv,
                "{},{},{},{},{},{},{},{}",
                row.way,
                row.route,
                row.residual,
                number(row.error),
                number(row.null_error),
                row.steps,
                row.seconds,
                row.reason,
            );
        }
        csv
    }

    /// The operator, a line for each thing to know.
    fn head(&self) -> Vec<[String; 2]> {
        let operator = &self.operator;
        let experiment = &self.experiment;
        let sides = |[c, h, w]: [usize; 3]| format!("{c} x {h} x {w}");
        let (x, y) = match self.observed() {
            true => (String::new(), format!("{}, ", self.image)),
            false => (format!("{}, ", self.image), String::new()),
        };
        let mut lines = vec![
            ["x".to_string(), x + &sides(self.input)],
            ["filters".into(), self.filters.clone()],
            [
                "y = W x".into(),
                format!(
                    "{y}{}, padding {}, stride {} x {}, noise {}, {} precision",
                    sides(self.output),
                    experiment.padding,
                    experiment.stride[0],
                    experiment.stride[1],
                    experiment.noise,
                    self.precision.name()
                ),
            ],
            [
                "W".into(),
                format!("{} x {}", operator.rows, operator.columns),
            ],
        ];
        let estimate = if operator.rank.is_some() {
            ""
        } else {
            "at least "
        };
        if let (Some(rank), Some(null)) = (operator.rank, operator.null_space) {
            lines.push([
                "rank".into(),
                format!("{rank}, null space of {null} dimensions"),
            ]);
        }
        lines.push([
            "singular values".into(),
            format!(
                "{} to {} ({})",
                short(operator.smallest),
                short(operator.largest),
                operator.route
            ),
        ]);
        let condition = match operator.condition {
            Some(condition) => format!("{estimate}{}", short(condition)),
            None => "infinite".into(),
        };
        let rest = match operator.rank {
            Some(rank) if rank < operator.rows.min(operator.columns) => format!(
                ", {} without the zeros",
                short(operator.effective_condition())
            ),
            _ => String::new(),
        };
        lines.push(["condition".into(), condition + &rest]);
        lines.push(["solution".into(), self.solution()]);
        lines.push([
            "dot test".into(),
            format!(
                "<W a, b> and <a, W' b> differ by {}",
                short(operator.dot_test)
            ),
        ]);
        lines
    }

    /// Whether there is a solution and whether it is the only one.
    fn solution(&self) -> String {
        let exists = match self.solvable() {
            Some(true) => "exists".to_string(),
            Some(false) => format!(
                "does not exist: {} of y is outside of W's range",
                short(self.unexplained.unwrap_or(0.0))
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

    /// The table, the first row its header.
    fn cells(&self) -> Vec<[String; 8]> {
        let header = [
            "way",
            "by",
            "residual",
            "error",
            "null part",
            "steps",
            "seconds",
            "stopped",
        ];
        let known = |x: Option<f64>| x.map_or("-".to_string(), short);
        let line = |row: &Row| {
            [
                row.way.to_string(),
                row.route.to_string(),
                short(row.residual),
                known(row.error),
                known(row.null_error),
                row.steps.to_string(),
                format!("{:.2}", row.seconds),
                row.reason.name().to_string(),
            ]
        };
        let mut cells = vec![header.map(str::to_string)];
        cells.extend(self.rows.iter().map(line));
        cells
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for [name, text] in self.head() {
            writeln!(f, "{name:<17}{text}")?;
        }
        writeln!(f)?;
        let cells = self.cells();
        let widths: Vec<usize> = (0..cells[0].len())
            .map(|i| {
                cells
                    .iter()
                    .map(|row| row[i].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for row in &cells {
            let mut line = String::new();
            for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                // Words to the left, numbers to the right.
                let _ = match i {
                    0 | 1 | 7 => write!(line, "{cell:<width$}  "),
                    _ => write!(line, "{cell:>width$}  "),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f)?;
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

/// Three digits, with a power of ten where that is shorter.
pub(super) fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        size if (1e-2..1e4).contains(&size) => {
            let digits = (2 - size.log10().floor() as i32).max(0) as usize;
            format!("{x:.digits$}")
        }
        _ => format!("{x:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let texts = [0.0, 1.0, 0.0123, 12.34, 1234.5, 45600.0, 1.2e-9].map(short);
        assert_eq!(
            texts,
            ["0", "1.00", "0.0123", "12.3", "1234", "4.56e4", "1.20e-9"]
        );
    }
}
