//! Tables: columns, and cells that know how they are written.

use std::fmt;

use super::Format;

/// Rows of cells under headings, made column by column. Shown, it is aligned text, a line for each
/// row; see also [`Table::csv`].
///
/// ```
/// use deconvnet::report::{Cell, Format, Table};
///
/// let (names, snr) = (["fista", "adam"], [Some(20.125), None]);
/// let table = Table::of(2)
///     .words("solver", |row| Cell::text(names[row]))
///     .numbers("SNR", |row| Cell::number(snr[row], Format::Decibels))
///     .unit("dB");
/// assert_eq!(table.to_string(), "solver  SNR dB\nfista    20.12\nadam         -\n");
/// assert_eq!(table.csv(), "solver,snr_db\nfista,20.125\nadam,\n");
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    rows: usize,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    heading: &'static str,
    unit: &'static str,
    /// Its name in CSV, where that does not follow from heading and unit.
    name: Option<&'static str>,
    left: bool,
    in_text: bool,
    in_csv: bool,
    cells: Vec<Cell>,
}

/// A cell of a [`Table`]: CSV holds numbers in full, text as their format has it.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A whole number.
    Count(usize),
    /// Any other number.
    Number(f64, Format),
    /// What does not apply or is not known: a dash for people, nothing in CSV.
    Absent,
}

impl Table {
    /// A table of so many rows, without columns yet.
    pub fn of(rows: usize) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    /// Names, each with its text beside it, without headings.
    pub fn pairs(lines: &[(&str, String)]) -> Self {
        Self::of(lines.len())
            .words("", |row| Cell::text(lines[row].0))
            .words("", |row| Cell::text(&lines[row].1))
    }

    /// Adds a column of words, aligned to the left: the cell of each row, which are counted from 0.
    pub fn words(self, heading: &'static str, cell: impl FnMut(usize) -> Cell) -> Self {
        self.column(heading, true, cell)
    }

    /// Adds a column of numbers, aligned to the right.
    pub fn numbers(self, heading: &'static str, cell: impl FnMut(usize) -> Cell) -> Self {
        self.column(heading, false, cell)
    }

    /// The unit of the last column.
    pub fn unit(self, unit: &'static str) -> Self {
        self.change(|column| column.unit = unit)
    }

    /// The name of the last column in CSV, which else is made of heading and unit: `snr_db`.
    pub fn named(self, name: &'static str) -> Self {
        self.change(|column| column.name = Some(name))
    }

    /// Whether the last column is in text.
    pub fn in_text(self, in_text: bool) -> Self {
        self.change(|column| column.in_text = in_text)
    }

    /// Whether the last column is in CSV.
    pub fn in_csv(self, in_csv: bool) -> Self {
        self.change(|column| column.in_csv = in_csv)
    }

    /// Adds a row at the end, a cell for each column.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        self.rows += 1;
        let mut row = row.into_iter();
        for column in &mut self.columns {
            column.cells.push(row.next().unwrap_or(Cell::Absent));
        }
    }

    /// Comma-separated values, the first line the names of the columns.
    pub fn csv(&self) -> String {
        let columns = self.columns.iter().filter(|column| column.in_csv);
        let columns: Vec<Vec<String>> = columns
            .map(|column| {
                let made = || column.title().to_lowercase().replace(' ', "_");
                let name = column.name.map_or_else(made, String::from);
                let cells = column.cells.iter().map(Cell::in_full);
                [name].into_iter().chain(cells).collect()
            })
            .collect();
        let line = |row: usize| {
            let fields = columns.iter().map(|column| quote(&column[row]));
            fields.collect::<Vec<_>>().join(",") + "\n"
        };
        (0..=self.rows).map(line).collect()
    }

    fn column(
        mut self,
        heading: &'static str,
        left: bool,
        cell: impl FnMut(usize) -> Cell,
    ) -> Self {
        self.columns.push(Column {
            heading,
            unit: "",
            name: None,
            left,
            in_text: true,
            in_csv: true,
            cells: (0..self.rows).map(cell).collect(),
        });
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Column)) -> Self {
        if let Some(column) = self.columns.last_mut() {
            change(column);
        }
        self
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns.iter().filter(|column| column.in_text);
        let columns: Vec<Vec<String>> = columns.map(Column::padded).collect();
        // Columns without headings have no line for them.
        let first = usize::from(self.columns.iter().all(|column| column.heading.is_empty()));
        for row in first..=self.rows {
            let line: Vec<&str> = columns.iter().map(|column| column[row].as_str()).collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

impl Column {
    fn title(&self) -> String {
        [self.heading, self.unit].join(" ").trim_end().into()
    }

    /// Title and cells, all of one width.
    fn padded(&self) -> Vec<String> {
        let cells = self.cells.iter().map(Cell::shown);
        let texts: Vec<String> = [self.title()].into_iter().chain(cells).collect();
        let widths = texts.iter().map(|text| text.chars().count());
        let width = widths.max().unwrap_or(0);
        let pad = |text| match self.left {
            true => format!("{text:<width$}"),
            false => format!("{text:>width$}"),
        };
        texts.into_iter().map(pad).collect()
    }
}

impl Cell {
    /// A number, or [`Cell::Absent`].
    pub fn number(x: impl Into<Option<f64>>, format: Format) -> Self {
        x.into().map_or(Self::Absent, |x| Self::Number(x, format))
    }

    /// Words.
    pub fn text(words: impl ToString) -> Self {
        Self::Text(words.to_string())
    }

    fn shown(&self) -> String {
        match self {
            Self::Number(x, format) => format.write(*x),
            Self::Absent => "-".into(),
            Self::Text(_) | Self::Count(_) => self.in_full(),
        }
    }

    fn in_full(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(n) => n.to_string(),
            Self::Number(x, _) => x.to_string(),
            Self::Absent => String::new(),
        }
    }
}

impl From<usize> for Cell {
    fn from(n: usize) -> Self {
        Self::Count(n)
    }
}

/// A field of a CSV file, quoted where a comma, a quote or the end of a line would break the row.
fn quote(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_csv_have_the_columns_that_are_theirs() {
        let gap = |row| [Some(0.5), None][row];
        let mut table = Table::of(2)
            .words("image", |row| Cell::text(["a, \"b\".png", "über.png"][row]))
            .numbers("gap", |row| Cell::number(gap(row), Format::Hidden))
            .in_text(false)
            .numbers("rel. gap", |row| {
                Cell::number(gap(row), Format::Scientific(1))
            })
            .in_csv(false)
            .numbers("non-zero", |row| row.into())
            .named("density")
            .words("stopped because", |_| Cell::text("gap"));
        let [mean, none] = ["mean", ""].map(Cell::text);
        table.push([mean, none.clone(), none, 3.into(), Cell::Absent]);
        assert_eq!(
            table.to_string(),
            "image       rel. gap  non-zero  stopped because\n\
             a, \"b\".png    5.0e-1         0  gap\n\
             über.png           -         1  gap\n\
             mean                         3  -\n"
        );
        assert_eq!(
            table.csv(),
            "image,gap,density,stopped_because\n\
             \"a, \"\"b\"\".png\",0.5,0,gap\n\
             über.png,,1,gap\n\
             mean,,3,\n"
        );
    }

    #[test]
    fn without_headings_there_is_no_line_for_them() {
        let table = Table::pairs(&[("rank", "3".into()), ("W", "3 x 4".into())]);
        assert_eq!(table.to_string(), "rank  3\nW     3 x 4\n");
    }
}
