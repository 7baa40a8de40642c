//! What inference found, as a table for people and for programs.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::Options;
use crate::error::{Error, Result};
use crate::files;
use crate::solve::Reason;

/// The files that the report is written to.
pub(super) const TABLES: [&str; 2] = ["table.csv", "table.json"];

/// What inference found. Shown, it is an aligned table.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The folder of the results.
    pub out: PathBuf,
    /// The run whose filters were used.
    pub checkpoint: PathBuf,
    /// The solver.
    pub solver: &'static str,
    /// Whether all layers were solved for at once.
    pub joint: bool,
    /// How many images there are.
    pub images: usize,
    /// A row for each image and layer.
    pub rows: Vec<Row>,
    /// The images that have no rows because something went wrong.
    pub failures: Vec<Failure>,
    /// Whether somebody asked to stop before the last image was done.
    pub interrupted: bool,
}

/// How well one layer explains one image.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The image, as its path below the folder of images.
    pub image: String,
    /// The layer whose maps were found, from 1.
    pub layer: usize,
    /// The objective that was minimised; greedily, a layer's own.
    pub objective: f64,
    /// Its data term.
    pub data: f64,
    /// Its sparsity term.
    pub penalty: f64,
    /// For p = 1, how far above the least the objective is at most.
    pub gap: Option<f64>,
    /// SNR in dB of the reconstruction of the prepared image, see [`crate::data::snr`].
    pub snr: f64,
    /// PSNR in dB of the reconstruction of the pixels, see [`crate::data::psnr`].
    pub psnr: f64,
    /// Share of the maps' elements that are not zero.
    pub density: f64,
    /// Steps taken.
    pub steps: usize,
    /// Seconds spent solving.
    pub seconds: f64,
    /// Why the solver stopped.
    pub reason: Reason,
}

/// An image that came to nothing.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The file.
    pub image: PathBuf,
    /// What went wrong.
    #[serde(serialize_with = "as_text")]
    pub error: Error,
}

fn as_text<S: Serializer>(error: &Error, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

impl Report {
    pub(super) fn new(options: &Options, solver: &'static str, joint: bool, images: usize) -> Self {
        Self {
            out: options.out.clone(),
            checkpoint: options.checkpoint.clone(),
            solver,
            joint,
            images,
            rows: Vec::new(),
            failures: Vec::new(),
            interrupted: false,
        }
    }

    /// Whether every image that was worked on has its results.
    ///
    /// # Errors
    /// One error about all images that failed, in the group of the first.
    pub fn complete(&self) -> Result<()> {
        let Some(first) = self.failures.first() else {
            return Ok(());
        };
        let each: Vec<_> = self
            .failures
            .iter()
            .map(|f| format!("{}: {}", f.image.display(), f.error))
            .collect();
        let message = format!(
            "{} of {} images failed, the results of the others are in {}:\n{}",
            each.len(),
            self.images,
            self.out.display(),
            each.join("\n")
        );
        Err(match first.error {
            Error::Numeric(_) => Error::Numeric(message),
            _ => Error::Input(message),
        })
    }

    /// Writes the tables anew.
    pub(super) fn save(&self) -> Result<()> {
        let [csv, json] = TABLES.map(|name| self.out.join(name));
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::io("write", &json)(error.into()))?;
        files::replace(&csv, false, |file| file.write_all(self.csv().as_bytes()))?;
        files::replace(&json, false, |file| writeln!(file, "{text}"))
    }

    /// The rows as comma-separated values.
    fn csv(&self) -> String {
        let head = "image,layer,objective,data,penalty,gap,snr_db,psnr_db,density,steps,seconds,\
                    reason\n";
        let mut text = head.to_string();
        for row in &self.rows {
            let gap = row.gap.map_or(String::new(), |gap| gap.to_string());
            text += &format!(
                "{},{},{},{},{},{gap},{},{},{},{},{},{}\n",
                quoted(&row.image),
                row.layer,
                row.objective,
                row.data,
                row.penalty,
                row.snr,
                row.psnr,
                row.density,
                row.steps,
                row.seconds,
                row.reason.name()
            );
        }
        text
    }

    /// The rows of one layer.
    fn layer(&self, layer: usize) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.layer == layer)
    }

    /// The mean over all images, for each layer.
    fn means(&self) -> Vec<[String; COLUMNS]> {
        let last = self.rows.iter().map(|row| row.layer).max().unwrap_or(0);
        (1..=last)
            .filter_map(|layer| {
                let n = self.layer(layer).count();
                let mean = |f: fn(&Row) -> f64| self.layer(layer).map(f).sum::<f64>() / n as f64;
                (n > 1).then(|| {
                    [
                        "mean".into(),
                        layer.to_string(),
                        format!("{:.4}", mean(|r| r.objective)),
                        String::new(),
                        format!("{:.2}", mean(|r| r.snr)),
                        format!("{:.2}", mean(|r| r.psnr)),
                        format!("{:.2} %", 100.0 * mean(|r| r.density)),
                        format!("{:.0}", mean(|r| r.steps as f64)),
                        format!("{:.2}", mean(|r| r.seconds)),
                        String::new(),
                    ]
                })
            })
            .collect()
    }
}

/// Quoted where a comma, a quote or the end of a line would break the row.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

const COLUMNS: usize = 10;
const HEAD: [&str; COLUMNS] = [
    "image",
    "layer",
    "objective",
    "rel. gap",
    "SNR dB",
    "PSNR dB",
    "non-zero",
    "steps",
    "seconds",
    "stopped by",
];

impl Row {
    fn cells(&self) -> [String; COLUMNS] {
        [
            self.image.clone(),
            self.layer.to_string(),
            format!("{:.4}", self.objective),
            self.gap.map_or("-".into(), |gap| {
                format!("{:.1e}", gap / self.objective.max(1e-300))
            }),
            format!("{:.2}", self.snr),
            format!("{:.2}", self.psnr),
            format!("{:.2} %", 100.0 * self.density),
            self.steps.to_string(),
            format!("{:.2}", self.seconds),
            self.reason.name().into(),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![HEAD.map(str::to_string)];
        lines.extend(self.rows.iter().map(Row::cells));
        lines.extend(self.means());
        let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
            let width = |line: &[String; COLUMNS]| line[column].chars().count();
            lines.iter().map(width).max().unwrap_or(0)
        });
        for line in &lines {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                text += &match column {
                    0 => format!("{cell:<width$}"),
                    _ if column + 1 == COLUMNS => format!("  {cell}"),
                    _ => format!("  {cell:>width$}"),
                };
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        let form = if self.joint { "jointly" } else { "greedily" };
        write!(
            f,
            "{} {form}; results in {}",
            self.solver,
            self.out.display()
        )?;
        if self.interrupted {
            let done = self.images_done();
            write!(f, "\ninterrupted after {done} of {} images", self.images)?;
        }
        Ok(())
    }
}

impl Report {
    fn images_done(&self) -> usize {
        let rows = self.rows.iter().map(|row| &row.image);
        rows.collect::<std::collections::HashSet<_>>().len() + self.failures.len()
    }
}
