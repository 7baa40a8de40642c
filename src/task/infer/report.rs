//! What inference found, as a table for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Coder, Options};
use crate::error::{Error, Result};
use crate::report::{Cell, Format, Table};
use crate::solve::{Limits, Reason};
use crate::task::shard::Share;

const OBJECTIVE: Format = Format::Decimals(4);
const SHARE: Format = Format::Percent(Some(2));

/// What inference found. Shown, it is an aligned table.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// The folder of the results.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
    /// The run whose filters were used.
    #[serde(serialize_with = "crate::files::lossily")]
    pub checkpoint: PathBuf,
    /// The solver.
    pub solver: String,
    /// Whether all layers were solved for at once.
    pub joint: bool,
    /// How many images there are.
    pub images: usize,
    /// What else decides the results, so that a later call adds to them only what belongs to them.
    pub settings: Settings,
    /// The images that are done, each with a checksum of its prepared pixels.
    pub finished: BTreeMap<String, u32>,
    /// A row for each image and layer.
    pub rows: Vec<Row>,
    /// The images that have no rows because something went wrong.
    pub failures: Vec<Failure>,
    /// Whether somebody asked to stop before the last image was done.
    pub interrupted: bool,
    /// The share of this call, where several share the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

/// What decides the results of an image, beside its pixels: results are added to those of an earlier
/// call only where all of this is the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Checksum of the filters and of all that the checkpoint holds beside them.
    pub run: u32,
    /// The solver.
    pub solver: String,
    /// Whether all layers were solved for at once.
    pub joint: bool,
    /// When the optimisation of one layer ends.
    pub limits: Limits,
    /// The kind of file of the maps.
    pub maps: String,
    /// Whether images are scored.
    #[serde(default)]
    pub anomaly: bool,
    /// Rows and columns of tiles, where images are coded so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile: Option<usize>,
}

/// How well one layer explains one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// SNR in dB of the reconstruction of the prepared image, see [`crate::data::snr`]; none of a flat
    /// image.
    pub snr: Option<f64>,
    /// PSNR in dB of the reconstruction of the pixels, see [`crate::data::psnr`]; none of a flat image, nor of
    /// arrays, whose values have no range of their own.
    pub psnr: Option<f64>,
    /// Share of the maps' elements that are not zero.
    pub density: f64,
    /// Steps taken.
    pub steps: usize,
    /// Seconds spent solving.
    pub seconds: f64,
    /// Why the solver stopped.
    pub reason: Reason,
    /// The largest score of a pixel, where images are scored, see [`super::anomaly`].
    #[serde(default)]
    pub anomaly: Option<f64>,
    /// Its row and column in the area that the preprocessing keeps.
    #[serde(default)]
    pub place: Option<[usize; 2]>,
    /// The tiles of an image that was coded so; the steps are then visits of tiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<usize>,
    /// Sweeps over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweeps: Option<usize>,
}

/// An image that came to nothing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The file.
    #[serde(serialize_with = "crate::files::lossily")]
    pub image: PathBuf,
    /// What went wrong.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub error: Error,
}

fn as_text<S: Serializer>(error: &Error, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

/// Whose fault it was is not written down.
fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Error, D::Error> {
    String::deserialize(deserializer).map(Error::Input)
}

impl Report {
    pub(super) fn new(options: &Options, coder: &Coder, images: usize) -> Result<Self> {
        Ok(Self {
            out: options.out.clone(),
            checkpoint: options.checkpoint.clone(),
            solver: coder.encoder.method.name().into(),
            joint: coder.joint,
            images,
            settings: coder.settings(options)?,
            finished: BTreeMap::new(),
            rows: Vec::new(),
            failures: Vec::new(),
            interrupted: false,
            share: None,
        })
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

    /// A row for each image and layer.
    pub fn table(&self) -> Table {
        let rows = &self.rows;
        let share = |i: usize| rows[i].gap.map(|gap| gap / rows[i].objective.max(1e-300));
        let table = Table::of(rows.len())
            .words("image", |i| Cell::text(&rows[i].image))
            .numbers("layer", |i| rows[i].layer.into())
            .numbers("objective", |i| Cell::number(rows[i].objective, OBJECTIVE))
            .numbers("data", |i| Cell::number(rows[i].data, OBJECTIVE))
            .in_text(false)
            .numbers("penalty", |i| Cell::number(rows[i].penalty, OBJECTIVE))
            .in_text(false)
            .numbers("gap", |i| Cell::number(rows[i].gap, OBJECTIVE))
            .in_text(false)
            .numbers("rel. gap", |i| {
                Cell::number(share(i), Format::Scientific(1))
            })
            .in_csv(false)
            .numbers("SNR", |i| Cell::number(rows[i].snr, Format::Decibels))
            .unit("dB")
            .numbers("PSNR", |i| Cell::number(rows[i].psnr, Format::Decibels))
            .unit("dB")
            .numbers("non-zero", |i| Cell::number(rows[i].density, SHARE))
            .named("density")
            .numbers("steps", |i| rows[i].steps.into())
            .numbers("seconds", |i| {
                Cell::number(rows[i].seconds, Format::Seconds)
            })
            .words("stopped by", |i| Cell::text(rows[i].reason.name()))
            .named("reason");
        if self.settings.tile.is_some() {
            let count = |n: Option<usize>| n.map_or(Cell::Absent, Cell::from);
            return table
                .numbers("tiles", move |i| count(rows[i].tiles))
                .numbers("sweeps", move |i| count(rows[i].sweeps));
        }
        if !self.settings.anomaly {
            return table;
        }
        let place = |[row, column]: [usize; 2]| Cell::text(format!("{row} {column}"));
        table
            .numbers("anomaly", |i| {
                Cell::number(rows[i].anomaly, Format::Decimals(2))
            })
            .words("at", |i| rows[i].place.map_or(Cell::Absent, place))
    }

    /// The rows of one layer.
    fn layer(&self, layer: usize) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.layer == layer)
    }

    /// Adds the means over all images, for each layer.
    fn push_means(&self, table: &mut Table) {
        let last = self.rows.iter().map(|row| row.layer).max().unwrap_or(0);
        for layer in 1..=last {
            let n = self.layer(layer).count();
            if n <= 1 {
                continue;
            }
            // Flat images have no ratios.
            let known = |value: fn(&Row) -> Option<f64>, format| {
                let values: Vec<f64> = self.layer(layer).filter_map(value).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                Cell::number((!values.is_empty()).then_some(mean), format)
            };
            let mean = |value: fn(&Row) -> f64, format| {
                let sum: f64 = self.layer(layer).map(value).sum();
                Cell::number(sum / n as f64, format)
            };
            table.push([
                Cell::text("mean"),
                layer.into(),
                mean(|row| row.objective, OBJECTIVE),
                mean(|row| row.data, OBJECTIVE),
                mean(|row| row.penalty, OBJECTIVE),
                Cell::text(""),
                Cell::text(""),
                known(|row| row.snr, Format::Decibels),
                known(|row| row.psnr, Format::Decibels),
                mean(|row| row.density, SHARE),
                mean(|row| row.steps as f64, Format::Decimals(0)),
                mean(|row| row.seconds, Format::Seconds),
                Cell::text(""),
            ]);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = self.table();
        self.push_means(&mut table);
        let solver = &self.solver;
        let form = if self.joint { "jointly" } else { "greedily" };
        write!(
            f,
            "{table}{solver} {form}; results in {}",
            self.out.display()
        )?;
        if self.interrupted {
            let done = self.images_done();
            write!(
                f,
                "\ninterrupted after {done} of {} images: the same command goes on from here",
                self.images
            )?;
        }
        Ok(())
    }
}

impl Report {
    fn images_done(&self) -> usize {
        self.finished.len() + self.failures.len()
    }

    /// Whether every image was worked on.
    pub(super) fn is_whole(&self) -> bool {
        self.images_done() == self.images
    }
}
