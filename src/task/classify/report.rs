//! How well classes are told apart.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{CLASSIFIER, CONFUSION, Options, Outcome};
use crate::classify::{Choice, Kernel, Splits};
use crate::data::Image;
use crate::error::Result;
use crate::features::Recipe;
use crate::picture;
use crate::report::{Cell, Format, Results, Table};

/// Classes that are shown at either end.
const SHOWN: usize = 5;
/// Of so many classes the picture has the names.
const NAMED: usize = 16;

/// How well classes are told apart.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was learnt from.
    #[serde(serialize_with = "crate::files::lossily")]
    pub input: PathBuf,
    /// The folder of the results.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
    /// What maps.
    pub maps: String,
    /// Of which layers.
    pub layers: Vec<String>,
    /// What was made of them.
    pub recipe: Recipe,
    /// How features were compared.
    pub kernel: Kernel,
    /// Numbers of each vector.
    pub dimension: usize,
    /// Images, or vectors, that there are.
    pub images: usize,
    /// How they were parted.
    pub splits: Splits,
    /// The mean over the splits of the mean accuracy of the classes.
    pub mean: f64,
    /// Its standard deviation over the splits; none of one.
    pub deviation: Option<f64>,
    /// A row for each split.
    pub each: Vec<SplitRow>,
    /// A row for each class.
    pub classes: Vec<ClassRow>,
    /// Over all splits, how many of each class were taken for each: `[classes, classes]`.
    pub confusion: Vec<usize>,
    /// Images that could not be used, each with the reason.
    pub skipped: Vec<String>,
    /// What was kept, if it was interrupted.
    #[serde(serialize_with = "crate::files::option_lossily")]
    pub kept: Option<PathBuf>,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Where the time went.
    pub seconds: Seconds,
}

/// Seconds of all splits together.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Seconds {
    /// To learn filters.
    pub filters: f64,
    /// To make maps and descriptors.
    pub maps: f64,
    /// To learn words.
    pub words: f64,
    /// To make features.
    pub features: f64,
    /// To learn machines, try weights of errors, and tell classes.
    pub learning: f64,
}

/// What one split gave.
#[derive(Clone, Debug, Serialize)]
pub struct SplitRow {
    /// The mean accuracy of the classes.
    pub mean: f64,
    /// The share of all images that were told right.
    pub overall: f64,
    /// How much errors weigh, and what was tried.
    #[serde(flatten)]
    pub choice: Choice,
}

/// How well one class was told.
#[derive(Clone, Debug, Serialize)]
pub struct ClassRow {
    /// Its name.
    pub class: String,
    /// Images that measured, over all splits.
    pub tested: usize,
    /// The share of these that was told right.
    pub accuracy: f64,
    /// What others were taken for the most.
    pub taken_for: Option<String>,
}

impl Report {
    pub(super) fn new(options: &Options, classes: &[String]) -> Self {
        let row = |class: &String| ClassRow {
            class: class.clone(),
            tested: 0,
            accuracy: 0.0,
            taken_for: None,
        };
        Self {
            input: options.input.clone(),
            out: options.out.clone(),
            maps: String::new(),
            layers: Vec::new(),
            recipe: options.recipe.clone(),
            kernel: options.kernel(),
            dimension: 0,
            images: 0,
            splits: options.splits,
            mean: 0.0,
            deviation: None,
            each: Vec::new(),
            classes: classes.iter().map(row).collect(),
            confusion: vec![0; classes.len() * classes.len()],
            skipped: Vec::new(),
            kept: None,
            interrupted: true,
            seconds: Seconds::default(),
        }
    }

    /// It was interrupted, and descriptors are there to go on from.
    pub(super) fn kept(mut self, path: &Path) -> Self {
        self.kept = Some(path.to_path_buf());
        self
    }

    /// Adds a split.
    pub(super) fn add(&mut self, outcome: &Outcome, dimension: usize) {
        self.dimension = dimension;
        self.each.push(SplitRow {
            mean: outcome.accuracy.mean,
            overall: outcome.accuracy.overall,
            choice: outcome.choice.clone(),
        });
        for (sum, n) in self.confusion.iter_mut().zip(&outcome.accuracy.confusion) {
            *sum += n;
        }
        let n = self.each.len() as f64;
        self.mean = self.each.iter().map(|one| one.mean).sum::<f64>() / n;
        let squares = self.each.iter().map(|one| (one.mean - self.mean).powi(2));
        let variance = squares.sum::<f64>() / (n - 1.0).max(1.0);
        self.deviation = (self.each.len() > 1).then(|| variance.sqrt());
        let names: Vec<String> = self.classes.iter().map(|row| row.class.clone()).collect();
        let rows = self.confusion.chunks_exact(names.len()).enumerate();
        for ((class, counts), row) in rows.zip(&mut self.classes) {
            row.tested = counts.iter().sum();
            row.accuracy = counts[class] as f64 / row.tested.max(1) as f64;
            let others = (0..names.len()).filter(|&other| other != class && counts[other] > 0);
            let most = others.max_by_key(|&other| (counts[other], usize::MAX - other));
            row.taken_for = most.map(|other| names[other].clone());
        }
    }

    /// Writes table and picture.
    pub(super) fn finish(&mut self, results: &Results) -> Result<()> {
        self.interrupted = false;
        results.table(&self.table(), self)?;
        results.picture(CONFUSION, &self.picture()?)
    }

    fn table(&self) -> Table {
        let table = Table::of(self.classes.len()).numbers("number", Cell::Count);
        let all: Vec<&ClassRow> = self.classes.iter().collect();
        columns(table, &all, "class", "accuracy")
    }

    /// The share of each class that was taken for each.
    fn picture(&self) -> Result<Image> {
        let n = self.classes.len();
        let rows = self.confusion.chunks_exact(n).zip(&self.classes);
        let values = rows.flat_map(|(counts, row)| {
            let all = row.tested.max(1) as f32;
            counts.iter().map(move |&count| count as f32 / all)
        });
        let shares = Image::new([1, n, n], values.collect());
        let title = format!(
            "{n} classes, {:.1} % right: shares of each",
            100.0 * self.mean
        );
        if n > NAMED {
            return picture::matrix(&shares, &title, "number of table.csv", "taken for");
        }
        let names: Vec<&str> = self.classes.iter().map(|row| row.class.as_str()).collect();
        picture::shares(&shares, &names, &title, ["class", "taken for, %"])
    }
}

/// What is told of classes, which have one heading and the share told right another.
fn columns(table: Table, rows: &[&ClassRow], class: &'static str, right: &'static str) -> Table {
    table
        .words(class, |k| Cell::text(&rows[k].class))
        .numbers("tested", |k| Cell::Count(rows[k].tested))
        .numbers(right, |k| {
            Cell::number(rows[k].accuracy, Format::Percent(Some(1)))
        })
        .words("taken for", |k| {
            rows[k].taken_for.as_ref().map_or(Cell::Absent, Cell::text)
        })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interrupted {
            return match &self.kept {
                Some(kept) => writeln!(
                    f,
                    "interrupted: the descriptors so far are in {}; the same command goes on from there",
                    kept.display()
                ),
                None => writeln!(f, "interrupted before anything was kept"),
            };
        }
        let tested = self.classes.iter().filter(|row| row.tested > 0);
        let mut rows: Vec<&ClassRow> = tested.collect();
        rows.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy));
        if rows.len() > 2 * SHOWN {
            rows.drain(SHOWN..rows.len() - SHOWN);
        }
        let table = columns(
            Table::of(rows.len()),
            &rows,
            "best and worst classes",
            "right",
        );
        write!(f, "{table}")?;
        let cs = self.each.iter().map(|one| one.choice.c.to_string());
        let cs: Vec<String> = cs.collect();
        let spread = self.deviation.map(|d| format!(" +- {:.1}", 100.0 * d));
        let spread = spread.unwrap_or_default();
        writeln!(
            f,
            "{}; {} images, {} features, {} kernel, weight of errors {}",
            [self.maps.clone(), self.layers.join(", ")]
                .join(": ")
                .trim_end_matches([':', ' ']),
            self.images,
            self.dimension,
            self.kernel.name(),
            cs.join(", ")
        )?;
        let Seconds {
            filters,
            maps,
            words,
            features,
            learning,
        } = self.seconds;
        writeln!(
            f,
            "seconds: filters {filters:.1}, maps {maps:.1}, words {words:.1}, features {features:.1}, machines {learning:.1}"
        )?;
        writeln!(
            f,
            "mean accuracy of {} classes over {} split{}: {:.1}{spread} %",
            self.classes.len(),
            self.each.len(),
            if self.each.len() == 1 { "" } else { "s" },
            100.0 * self.mean
        )?;
        writeln!(
            f,
            "table.csv, {CONFUSION} and {CLASSIFIER} in {}",
            self.out.display()
        )
    }
}
