//! A picture that is restored window by window, with all that grows with it in files.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::slice::from_ref;
use std::time::Instant;

use super::Files;
use super::drawing::SHOWN;
use super::files::{Job, check, inputs, job_of_file, round, same_size};
use super::report::{Fidelity, Report, Row};
use crate::arrays;
use crate::data::{Errors, Image, Raster, Rows, resize::crop, spans, survey, windows};
use crate::error::Result;
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
    image: Raster,
    reference: Option<Raster>,
    /// Removed in the end.
    scratch: Scratch,
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: what is left takes space and is replaced by the next call.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Large {
    /// The picture of `files`, where it is one that can be read row by row and has more than so many pixels.
    ///
    /// # Errors
    /// [`Error::Exists`] where a result is in the way, and those of reading the picture and the reference.
    pub fn open(files: &Files, most: usize) -> Result<Option<Self>> {
        let is_picture = files.input.is_file() && !arrays::is_bundle(&files.out);
        let rows = is_picture.then(|| Rows::open(&files.input).ok()).flatten();
        let pixels = rows.map_or(0, |rows| rows.size().iter().product::<usize>());
        if pixels <= most {
            return Ok(None);
        }
        let job = job_of_file(files)?;
        let jobs = from_ref(&job);
        check(jobs, &inputs(jobs), files.overwrite)?;
        let channels = match survey(&job.image, 3, None)?.grey {
            true => 1,
            false => 3,
        };
        let folder = job.out.with_extension("windows");
        files::refuse_existing(&folder, files.overwrite)?;
        if !files.force {
            // The image, the result and maybe the reference as numbers of 4 bytes, and the picture.
            let each = 4 * (2 + u64::from(job.reference.is_some())) + 1;
            let disk = each * channels as u64 * pixels as u64;
            let wanted = Estimate { memory: 0, disk };
            wanted.check(Free::here(true, &folder), "smaller pictures take less")?;
        }
        files::make_folder(&folder)?;
        // From here on the folder is this call's own, to be removed.
        let scratch = Scratch(folder);
        let raster = |name: &str, picture: &PathBuf| {
            let file = scratch.0.join(name);
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
        self,
        around: &dyn Fn(Range<usize>, usize) -> Range<usize>,
        restore: &dyn Fn(&Image) -> Result<Image>,
        sigma: Option<f64>,
        headers: [&str; 3],
        mut report: Report,
        callback: &mut dyn Callback<Event>,
    ) -> Result<Report> {
        let shape @ [_, height, width] = self.image.shape();
        let out = Raster::create(&self.scratch.0.join("restored"), shape)?;
        let (started, mut done) = (Instant::now(), 0);
        report.images = 1;
        for [rows, columns] in windows([height, width], SIDE) {
            if callback.interrupted() {
                report.interrupted = true;
                return Ok(report);
            }
            let [tall, wide] = [around(rows.clone(), height), around(columns.clone(), width)];
            let corner = [rows.start - tall.start, columns.start - wide.start];
            let restored = restore(&self.image.read(tall, wide)?)?;
            let mut kept = crop(&restored, corner, [rows.len(), columns.len()]);
            round(&mut kept);
            out.write(rows.start, columns.start, &kept)?;
            done += 1;
            callback.event(Event::Item {
                name: self.name(),
                done,
                of: height.div_ceil(SIDE) * width.div_ceil(SIDE),
            });
        }
        let seconds = started.elapsed().as_secs_f64();
        let corner = [height, width].map(|side| (side - side.min(SHOWN)) / 2);
        let middle = |raster: &Raster| {
            let [rows, columns] = [(corner[0], height), (corner[1], width)]
                .map(|(start, side)| start..start + side.min(SHOWN));
            raster.read(rows, columns)
        };
        save_png_rows(&self.job.out, shape, |rows| out.read(rows, 0..width))?;
        let reference = self.reference.as_ref();
        let of = |other: &Raster| reference.map(|clean| fidelity(clean, other)).transpose();
        let row = Row {
            sigma,
            before: of(&self.image)?,
            after: of(&out)?,
            seconds,
            ..self.job.row(shape)?
        };
        let (given, restored) = (middle(&self.image)?, middle(&out)?);
        let reference = reference.map(middle).transpose()?;
        let images = [&given, &restored];
        self.job
            .compare(&row, headers, images, reference.as_ref())?;
        report.rows.push(row);
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
