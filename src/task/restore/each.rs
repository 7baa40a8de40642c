//! Restoring image by image, and what is written of each.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::jobs::{Job, check, find_masks, inputs, job_of_file, jobs_of_folder, take_done};
use super::report::{Fidelity, Report, Row};
use super::{Files, Steps};
use crate::arrays::{self, Bundle};
use crate::data::{Depth, Image, folder, header, psnr, snr};
use crate::error::{Error, Result};
use crate::files::{file_name, try_to_write};
use crate::picture;
use crate::report::{Results, record};
use crate::run::{Estimate, Free};
use crate::task::invert::sides;
use crate::task::{Callback, Event, TABLE_EVERY, ends_all};

/// Of [`Held`], with a reference.
const REFERENCE: usize = 3;

/// What became of one image.
pub(super) struct Restored {
    pub image: Image,
    /// Standard deviation of the noise taken away, in grey levels of 255.
    pub sigma: Option<f64>,
    /// Pixels filled in.
    pub missing: Option<usize>,
}

/// Pixels as a file will hold them.
pub(super) fn round(image: &mut Image, depth: Depth) {
    for v in &mut image.values {
        *v = (v.clamp(0.0, 1.0) * depth.white()).round() / depth.white();
    }
}

/// Numbers of single precision that a restoration holds for each pixel at its peak, as measured; for each channel
/// [`REFERENCE`] more where there is one.
pub(super) struct Held {
    pub each_channel: usize,
    pub beside: usize,
}

/// Refuses images that take more memory than there is, by their headers.
fn check_memory(jobs: &[Job], held: &Held) -> Result<()> {
    let bytes = |job: &Job| {
        let shape = match arrays::is_bundle(&job.image) {
            true => read(&job.image).ok()?.shape(),
            false => header::shape(&job.image).ok()?,
        };
        let [channels, height, width] = shape.map(|n| n as u64);
        let each_channel = held.each_channel + REFERENCE * usize::from(job.reference.is_some());
        let numbers = each_channel as u64 * channels + held.beside as u64;
        Some(4 * numbers * height * width)
    };
    let memory = jobs.iter().filter_map(bytes).max().unwrap_or(0);
    let free = Free::here(true, Path::new("."));
    Estimate { memory, disk: 0 }.check(free, "smaller images take less")
}

/// What restores an image, in one channel where it has no colour; it gets the mask too, where there is one.
pub(super) type Restore<'a> =
    &'a mut dyn FnMut(&Image, Option<&PathBuf>, &mut Steps) -> Result<Option<Restored>>;

/// Restores each image, perhaps with masks, a file for all of them or a folder.
pub(super) fn each(
    files: &Files,
    masks: Option<&PathBuf>,
    held: &Held,
    mut report: Report,
    headers: [&str; 3],
    callback: &mut dyn Callback<Event>,
    restore: Restore,
) -> Result<Report> {
    let is_folder = files.input.is_dir();
    let mut jobs = match is_folder {
        true => jobs_of_folder(files, masks, callback)?,
        false => vec![job_of_file(files)?],
    };
    report.images = jobs.len();
    if let Some(masks) = masks {
        find_masks(masks, &files.input, &mut jobs, &mut report)?;
    }
    let without = || jobs.iter().filter(|job| job.reference.is_none());
    if let (Some(_), Some(first)) = (&files.reference, without().next()) {
        callback.event(Event::Note(format!(
            "{} of {} images have no reference of the same name, the first: {}",
            without().count(),
            jobs.len(),
            first.image.display()
        )));
    }
    let inputs = inputs(&jobs);
    let mut overwrite = files.overwrite;
    if is_folder && !overwrite {
        overwrite = take_done(&mut jobs, &inputs, &mut report)?;
        if !overwrite && files.out.join(record("")).exists() {
            callback.event(Event::Note(format!(
                "what is in {} is of other settings or images, so that this call does not go on with it",
                files.out.display()
            )));
        }
        if !report.rows.is_empty() {
            callback.event(Event::Note(format!(
                "going on where an earlier call stopped: {} of {} images are done",
                report.rows.len(),
                report.images
            )));
        }
    }
    check(&jobs, &inputs, overwrite)?;
    if !files.force {
        check_memory(&jobs, held)?;
    }
    let results = match is_folder {
        true => Some(Results::claim(&files.out, &[""; 0], overwrite)?),
        false => {
            // Where nothing can be written that is told before the work.
            let folder = files.out.parent().unwrap_or(Path::new(""));
            try_to_write(folder)?;
            None
        }
    };
    // From now on what lies there is of these settings.
    if let Some(results) = &results {
        results.table(&report.table(), &report)?;
    }
    let mut told = Instant::now();
    for (k, job) in jobs.iter().enumerate() {
        if k > 0 && callback.interrupted() {
            report.interrupted = true;
            break;
        }
        let name = file_name(&job.image);
        let mut steps = Steps {
            name: name.clone(),
            told: !is_folder,
            callback: &mut *callback,
        };
        let done = one(job, headers, &mut steps, restore);
        match done {
            Ok(Some(row)) => report.rows.push(row),
            Ok(None) => {
                report.interrupted = true;
                break;
            }
            Err(error) if !is_folder || ends_all(&error) => {
                if let Some(results) = results {
                    // Best effort: this error is the one to tell.
                    let _ = results.table(&report.table(), &report);
                }
                return Err(error);
            }
            Err(error) => report
                .failures
                .push(format!("{}: {error}", job.image.display())),
        }
        if is_folder {
            let (done, of) = (k + 1, jobs.len());
            callback.event(Event::Item { name, done, of });
        }
        if let Some(results) = results.as_ref().filter(|_| told.elapsed() >= TABLE_EVERY) {
            results.table(&report.table(), &report)?;
            told = Instant::now();
        }
    }
    if let Some(results) = results {
        results.table(&report.table(), &report)?;
    }
    Ok(report)
}

/// Restores one image and writes what came of it.
fn one(job: &Job, headers: [&str; 3], steps: &mut Steps, restore: Restore) -> Result<Option<Row>> {
    let image = read(&job.image)?;
    let reference = job.reference.as_ref().map(|path| reference(path, &image));
    let reference = reference.transpose()?;
    let row = job.row(image.shape())?;
    let picture = match arrays::is_bundle(&job.out) {
        true => None,
        false => Some(job.depth()?),
    };
    let started = Instant::now();
    let Some(mut restored) = restore(&image, job.mask.as_ref(), steps)? else {
        return Ok(None);
    };
    let seconds = started.elapsed().as_secs_f64();
    if let Some(depth) = picture {
        round(&mut restored.image, depth);
    }
    let of = |x: &Image| {
        let reference = reference.as_ref();
        reference.map(|y| Fidelity::new(psnr(y, x), snr(y, x)))
    };
    let row = Row {
        sigma: restored.sigma,
        missing: restored.missing,
        before: of(&image),
        after: of(&restored.image),
        seconds,
        ..row
    };
    let images = [&image, &restored.image];
    job.compare(&row, headers, images, reference.as_ref())?;
    match picture {
        Some(depth) => picture::save_png_of(&restored.image, depth, &job.out)?,
        None => {
            let mut bundle = Bundle::default();
            bundle.put("x", &restored.image.shape(), restored.image.values)?;
            arrays::write(&job.out, &bundle, true)?;
        }
    }
    Ok(Some(row))
}

/// A picture, in one channel where it has no colour, or the array `y` of a file of arrays.
fn read(path: &Path) -> Result<Image> {
    if !arrays::is_bundle(path) {
        return Ok(folder::read(path, true, None)?.without_colour());
    }
    let bundle = arrays::read(path)?;
    let array = bundle.array("y", path)?;
    let place = |reason: String| Error::Input(format!("{}: {reason}", path.display()));
    let [channels, height, width] = sides(&array.shape)
        .map_err(|reason| place(format!("`y` has shape {:?}; {reason}", array.shape)))?;
    let image = Image {
        channels,
        height,
        width,
        values: array.values.clone(),
    };
    image.check().map_err(|error| place(error.to_string()))?;
    Ok(image)
}

/// The image without the fault, of as many channels as the other.
fn reference(path: &Path, image: &Image) -> Result<Image> {
    let clean = match arrays::is_bundle(path) {
        true => read(path)?,
        false => folder::read(path, image.channels == 3, None)?,
    };
    same_size(path, clean.shape(), image.shape()).map(|()| clean)
}

/// Whether a reference, of this shape, has that of the image.
pub(super) fn same_size(path: &Path, reference: [usize; 3], image: [usize; 3]) -> Result<()> {
    match reference == image {
        true => Ok(()),
        false => Err(Error::Input(format!(
            "the reference {} has the shape {reference:?} and the image {image:?} (channels, height, width); both \
             must be of one size",
            path.display(),
        ))),
    }
}
