//! The tables that the benchmarks print: Markdown, aligned, each row as soon as it is measured.

/// A table of `N` columns, the first aligned to the left, the others to the right.
pub struct Table<const N: usize>([usize; N]);

impl<const N: usize> Table<N> {
    /// Prints a heading above the table and the headings of the columns, which have these widths at least.
    pub fn new(heading: &str, heads: [&str; N], widths: [usize; N]) -> Self {
        let table = Self(std::array::from_fn(|i| widths[i].max(heads[i].len())));
        println!("\n{heading}\n");
        table.row(heads.map(String::from));
        let mut rule = table.0.map(|width| "-".repeat(width - 1) + ":");
        rule[0] = "-".repeat(table.0[0]);
        table.row(rule);
        table
    }

    /// Prints a row.
    pub fn row(&self, cells: [String; N]) {
        let aligned = |(i, cell): (usize, &String)| match self.0[i] {
            width if i == 0 => format!("{cell:<width$}"),
            width => format!("{cell:>width$}"),
        };
        let cells: Vec<_> = cells.iter().enumerate().map(aligned).collect();
        println!("| {} |", cells.join(" | "));
    }
}
