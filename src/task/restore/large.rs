//! A picture that is restored window by window, with all that grows with it in files.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::slice::from_ref;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Files;
use super::drawing::SHOWN;
use super::each::{round, same_size};
use super::jobs::{Job, check, inputs, job_of_file};
use super::report::{Fidelity, Report, Row};
use crate::arrays;
use crate::data::{Depth, Errors, Image, Raster, Rows, resize::crop, spans, survey, windows};
use crate::error::{Error, Result};
use crate::files::{self, file_name};
use crate::picture::save_png_rows;
use crate::restore::estimate_sigma_by_rows;
use crate::run::{Estimate, Free};
use crate::task::{Callback, Event};

/// Rows and columns of a window, without what its estimate needs around it.
const SIDE: usize = 512;

/// A picture in a file of numbers.
pub(super) struct Large {
    job: Job,
    depth: Depth,
    image: Raster,
    reference: Option<Raster>,
    scratch: Scratch,
}

/// What an interrupted call has done.
#[derive(Serialize, Deserialize)]
struct Done {
    /// What must be the same to go on.
    of: String,
    windows: usize,
    seconds: f64,
}

/// The folder for what grows with the picture; it stays where there are windows to go on from.
struct Scratch {
    folder: PathBuf,
    done: Done,
}

impl Scratch {
    const DONE: &str = "done.json";

    /// Makes the folder for work of this identity, or goes on in it.
    fn begin(folder: PathBuf, of: String, overwrite: bool) -> Result<Self> {
        let mark = folder.join(Self::DONE);
        let found = fs::read(&mark).ok();
        let found = found.and_then(|bytes| serde_json::from_slice::<Done>(&bytes).ok());
        if let Some(done) = found.filter(|done| done.of == of) {
            return Ok(Self { folder, done });
        }
        // A folder of somebody's own is never taken, nor removed in the end.
        files::refuse_existing(&folder, overwrite && mark.exists())?;
        files::make_folder(&folder)?;
        let (windows, seconds) = (0, 0.0);
        let done = Done {
            of,
            windows,
            seconds,
        };
        let begun = Self { folder, done };
        begun.keep().map(|()| begun)
    }

    fn keep(&self) -> Result<()> {
        let bytes = serde_json::to_vec(&self.done)
            .map_err(|error| Error::Numeric(format!("cannot write what is done: {error}")))?;
        files::replace(&self.folder.join(Self::DONE), false, |file| {
            file.write_all(&bytes)
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.done.windows == 0 {
            // Best effort: what is left takes space.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl Large {
    /// The picture of `files`, where it is one that can be read row by row and has more than so many pixels, for what
    /// `report` tells.
    ///
    /// # Errors
    /// [`Error::Exists`] where a result is in the way, and those of reading the picture and the reference.
    pub fn open(files: &Files, most: usize, report: &Report) -> Result<Option<Self>> {
        let is_picture = files.input.is_file() && !arrays::is_bundle(&files.out);
        let rows = is_picture.then(|| Rows::open(&files.input).ok()).flatten();
        let pixels = rows.map_or(0, |rows| rows.size().iter().product::<usize>());
        if pixels <= most {
            return Ok(None);
        }
        let job = job_of_file(files)?;
        let jobs = from_ref(&job);
        check(jobs, &inputs(jobs), files.overwrite)?;
        let depth = job.depth()?;
        let channels = match survey(&job.image, 3, None)?.grey {
            true => 1,
            false => 3,
        };
        let folder = job.out.with_extension("windows");
        let of = format!("{} {:08x}", report.identity(), job.checksum()?);
        // From here on the folder is this call's own, to be removed.
        let scratch = Scratch::begin(folder, of, files.overwrite)?;
        // Of a call that goes on it is there already.
        if !files.force && scratch.done.windows == 0 {
            // The image, the result and maybe the reference as numbers of 4 bytes, and the picture.
            let sample = match depth {
                Depth::Eight => 1,
                Depth::Sixteen => 2,
            };
            let each = 4 * (2 + u64::from(job.reference.is_some())) + sample;
            let disk = each * channels as u64 * pixels as u64;
            let wanted = Estimate { memory: 0, disk };
            let free = Free::here(true, &scratch.folder);
            wanted.check(free, "smaller pictures take less")?;
        }
        let raster = |name: &str, picture: &PathBuf| {
            let file = scratch.folder.join(name);
            let shape = survey(picture, channels, Some(&file))?.shape;
            Raster::open(&file, shape)
        };
        let image = raster("image", &job.image)?;
        let reference = job.reference.as_ref().map(|path| {
            let reference = raster("reference", path)?;
            same_size(path, reference.shape(), image.shape()).map(|()| reference)
        });
        Ok(Some(Self {
            reference: reference.transpose()?,
            image,
            depth,
            job,
            scratch,
        }))
    }

    pub fn name(&self) -> String {
        file_name(&self.job.image)
    }

    /// See [`estimate_sigma_by_rows`].
    pub fn sigma(&self) -> Result<f64> {
        let shape = self.image.shape();
        estimate_sigma_by_rows(shape, |rows| self.image.read(rows, 0..shape[2]))
    }

    /// Restores window by window: `around` tells the rows or columns that some hang on.
    pub fn restore(
        mut self,
        around: &dyn Fn(Range<usize>, usize) -> Range<usize>,
        restore: &dyn Fn(&Image) -> Result<Image>,
        sigma: Option<f64>,
        headers: [&str; 3],
        mut report: Report,
        callback: &mut dyn Callback<Event>,
    ) -> Result<Report> {
        let shape @ [_, height, width] = self.image.shape();
        let path = self.scratch.folder.join("restored");
        let before = self.scratch.done.windows;
        let out = match before {
            0 => Raster::create(&path, shape)?,
            _ => Raster::open(&path, shape)?,
        };
        let of = height.div_ceil(SIDE) * width.div_ceil(SIDE);
        if before > 0 {
            callback.event(Event::Note(format!(
                "going on where an earlier call stopped: {before} of {of} windows are done"
            )));
        }
        report.images = 1;
        for [rows, columns] in windows([height, width], SIDE).skip(before) {
            if callback.interrupted() {
                report.interrupted = true;
                return Ok(report);
            }
            let started = Instant::now();
            let [tall, wide] = [around(rows.clone(), height), around(columns.clone(), width)];
            let corner = [rows.start - tall.start, columns.start - wide.start];
            let restored = restore(&self.image.read(tall, wide)?)?;
            let mut kept = crop(&restored, corner, [rows.len(), columns.len()]);
            round(&mut kept, self.depth);
            out.write(rows.start, columns.start, &kept)?;
            let done = &mut self.scratch.done;
            done.windows += 1;
            done.seconds += started.elapsed().as_secs_f64();
            self.scratch.keep()?;
            callback.event(Event::Item {
                name: self.name(),
                done: self.scratch.done.windows,
                of,
            });
        }
        let corner = [height, width].map(|side| (side - side.min(SHOWN)) / 2);
        let middle = |raster: &Raster| {
            let [rows, columns] = [(corner[0], height), (corner[1], width)]
                .map(|(start, side)| start..start + side.min(SHOWN));
            raster.read(rows, columns)
        };
        let reference = self.reference.as_ref();
        let of = |other: &Raster| reference.map(|clean| fidelity(clean, other)).transpose();
        let row = Row {
            sigma,
            before: of(&self.image)?,
            after: of(&out)?,
            seconds: self.scratch.done.seconds,
            ..self.job.row(shape)?
        };
        let (given, restored) = (middle(&self.image)?, middle(&out)?);
        let reference = reference.map(middle).transpose()?;
        let images = [&given, &restored];
        self.job
            .compare(&row, headers, images, reference.as_ref())?;
        // What lies there is done.
        save_png_rows(&self.job.out, self.depth, shape, |rows| {
            out.read(rows, 0..width)
        })?;
        report.rows.push(row);
        // Nothing is left to go on from.
        self.scratch.done.windows = 0;
        Ok(report)
    }
}

/// How near one picture is to another.
fn fidelity(clean: &Raster, other: &Raster) -> Result<Fidelity> {
    const ROWS: usize = 16;
    let [_, height, width] = clean.shape();
    let mut errors = Errors::default();
    for rows in spans(height, ROWS) {
        errors.add(
            &clean.read(rows.clone(), 0..width)?,
            &other.read(rows, 0..width)?,
        );
    }
    Ok(Fidelity::new(errors.psnr(), errors.snr()))
}
