//! What became of each image.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use super::Files;
use crate::error::{Error, Result};
use crate::report::{Cell, Format, Table, record};

/// The result of a restoration.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was done.
    pub task: &'static str,
    /// What was wrong with the images, in words.
    pub fault: String,
    /// What patches were coded with, in words.
    pub filters: String,
    /// Checksum of what else decides the results beside the images: the filters.
    pub settings: u32,
    /// How many images there are.
    pub images: usize,
    /// A row for each that is done.
    pub rows: Vec<Row>,
    /// What went wrong with the others of a folder.
    pub failures: Vec<String>,
    /// Whether somebody asked to stop before the end.
    pub interrupted: bool,
    /// The picture, or the folder of pictures, written.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
}

/// One image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The file.
    #[serde(serialize_with = "crate::files::lossily")]
    pub image: PathBuf,
    /// Checksum of the file, of the reference and of the mask.
    pub crc32: u32,
    /// The file written.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
    /// 1, or 3 of an image in colour.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Standard deviation of the noise in grey levels of 255, given or estimated.
    pub sigma: Option<f64>,
    /// Pixels that were filled in.
    pub missing: Option<usize>,
    /// How near the given image is to the reference.
    pub before: Option<Fidelity>,
    /// How near the restored image is to the reference.
    pub after: Option<Fidelity>,
    /// Seconds, without reading and writing.
    pub seconds: f64,
}

/// How near an image is to the reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// PSNR in dB, see [`crate::data::psnr`].
    #[serde(deserialize_with = "infinite")]
    pub psnr: f64,
    /// SNR in dB, see [`crate::data::snr`]; none where the reference is flat.
    pub snr: Option<f64>,
}

impl Fidelity {
    pub(super) fn new(psnr: f64, snr: f64) -> Self {
        Self {
            psnr,
            snr: Some(snr).filter(|snr| snr.is_finite()),
        }
    }
}

/// JSON has no infinity: that of an image that is the reference is written as nothing.
fn infinite<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::INFINITY))
}

/// What an earlier call wrote down.
#[derive(Deserialize)]
pub(super) struct Record {
    task: String,
    fault: String,
    filters: String,
    settings: u32,
    pub out: PathBuf,
    pub rows: Vec<Row>,
}

impl Record {
    /// That in a folder, if it can be read and its results are those that a report is about.
    pub fn of_folder(folder: &Path, report: &Report) -> Option<Self> {
        let text = fs::read(folder.join(record(""))).ok()?;
        let found: Self = serde_json::from_slice(&text).ok()?;
        let same = found.task == report.task
            && found.fault == report.fault
            && found.filters == report.filters
            && found.settings == report.settings;
        same.then_some(found)
    }
}

impl Report {
    pub(super) fn new(
        task: &'static str,
        fault: String,
        (filters, settings): (String, u32),
        files: &Files,
    ) -> Self {
        Self {
            task,
            fault,
            filters,
            settings,
            images: 0,
            rows: Vec::new(),
            failures: Vec::new(),
            interrupted: false,
            out: files.out.clone(),
        }
    }

    /// What decides the results beside the images.
    pub(super) fn identity(&self) -> String {
        let (task, settings) = (self.task, self.settings);
        format!("{task}, {}, {}, {settings:08x}", self.fault, self.filters)
    }

    /// Whether every image that was worked on has its result.
    ///
    /// # Errors
    /// [`Error::Input`] about all that failed.
    pub fn complete(&self) -> Result<()> {
        match self.failures.len() {
            0 => Ok(()),
            failed => Err(Error::Input(format!(
                "{failed} of {} images failed, the results of the others are in {}:\n{}",
                self.images,
                self.out.display(),
                self.failures.join("\n")
            ))),
        }
    }

    /// A row for each image, and the means.
    pub fn table(&self) -> Table {
        let rows = &self.rows;
        let decibel = |of: Option<f64>| Cell::number(of, Format::Decibels);
        let sigma = |of: Option<f64>| Cell::number(of, Format::Significant(3));
        let psnr = |of: Option<Fidelity>| of.map(|of| of.psnr);
        let snr = |of: Option<Fidelity>| of.and_then(|of| of.snr);
        let mut table = Table::of(rows.len())
            .words("image", |k| Cell::text(rows[k].image.display()))
            .words("size", |k| {
                let Row {
                    height,
                    width,
                    channels,
                    ..
                } = rows[k];
                Cell::text(format!("{width} x {height} x {channels}"))
            })
            .numbers("sigma", |k| sigma(rows[k].sigma))
            .numbers("missing", |k| {
                rows[k].missing.map_or(Cell::Absent, Cell::from)
            })
            .numbers("PSNR before", |k| decibel(psnr(rows[k].before)))
            .numbers("after", |k| decibel(psnr(rows[k].after)))
            .named("psnr_after")
            .numbers("SNR before", |k| decibel(snr(rows[k].before)))
            .numbers("after", |k| decibel(snr(rows[k].after)))
            .named("snr_after")
            .numbers("seconds", |k| {
                Cell::number(rows[k].seconds, Format::Seconds)
            });
        if rows.len() > 1 {
            let mean = |of: &dyn Fn(&Row) -> Option<f64>| {
                let values: Vec<f64> = rows.iter().filter_map(of).collect();
                let sum: f64 = values.iter().sum();
                (!values.is_empty()).then(|| sum / values.len() as f64)
            };
            table.push([
                Cell::text("mean"),
                Cell::text(""),
                sigma(mean(&|row| row.sigma)),
                Cell::Absent,
                decibel(mean(&|row| psnr(row.before))),
                decibel(mean(&|row| psnr(row.after))),
                decibel(mean(&|row| snr(row.before))),
                decibel(mean(&|row| snr(row.after))),
                Cell::number(mean(&|row| Some(row.seconds)), Format::Seconds),
            ]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; filters: {}\n", self.fault, self.filters)?;
        writeln!(f, "{}", self.table())?;
        if self.interrupted {
            match self.rows.len() {
                0 => writeln!(
                    f,
                    "interrupted before an image was done: the same command goes on from here"
                )?,
                done => writeln!(
                    f,
                    "interrupted after {done} of {} images: the same command goes on from here",
                    self.images
                )?,
            }
        }
        let out = self.out.display();
        match self.rows.len() {
            0 => write!(f, "No picture was written."),
            1 => write!(f, "Written: {out}, with a comparison beside"),
            _ => write!(f, "Written: {out}, with a comparison beside each"),
        }
    }
}
