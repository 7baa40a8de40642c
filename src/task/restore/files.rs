//! The images of a restoration, and what is written of each.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::drawing::compare;
use super::report::{Fidelity, Record, Report, Row};
use super::{Files, Steps};
use crate::arrays::{self, Bundle};
use crate::data::scan::scan;
use crate::data::{Depth, Image, folder, mask_for, psnr, snr};
use crate::error::{Error, Result};
use crate::files::{Written, file_name, refuse_existing, refuse_special, try_to_write};
use crate::picture;
use crate::report::Results;
use crate::run::{Estimate, Free, all_usable};
use crate::task::invert::sides;
use crate::task::{Callback, Event, TABLE_EVERY, ends_all, tell_found};

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

/// One image to be restored.
pub(super) struct Job {
    pub image: PathBuf,
    pub out: PathBuf,
    pub compared: PathBuf,
    pub reference: Option<PathBuf>,
    pub mask: Option<PathBuf>,
}

impl Job {
    /// Of the bytes of the image, of the reference and of the mask.
    pub fn checksum(&self) -> Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        for path in self.inputs() {
            refuse_special(path)?;
            let mut file = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
            loop {
                let bytes = file.fill_buf().map_err(Error::io("read", path))?;
                let count = bytes.len();
                if count == 0 {
                    break;
                }
                hasher.update(bytes);
                file.consume(count);
            }
        }
        Ok(hasher.finalize())
    }

    fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        let more = self.reference.iter().chain(&self.mask);
        [&self.image].into_iter().chain(more)
    }

    /// That of a picture of the result: of 16 bits where the image has them.
    pub fn depth(&self) -> Result<Depth> {
        match arrays::is_bundle(&self.image) {
            true => Ok(Depth::Eight),
            false => folder::depth(&self.image),
        }
    }

    /// What is known before the work: the image is of this shape.
    pub fn row(&self, [channels, height, width]: [usize; 3]) -> Result<Row> {
        Ok(Row {
            image: self.image.clone(),
            crc32: self.checksum()?,
            out: self.out.clone(),
            channels,
            height,
            width,
            sigma: None,
            missing: None,
            before: None,
            after: None,
            seconds: 0.0,
        })
    }

    /// Writes the comparison, which searches for images leave out. Of the images the middle is enough.
    pub fn compare(
        &self,
        row: &Row,
        headers: [&str; 3],
        [given, restored]: [&Image; 2],
        reference: Option<&Image>,
    ) -> Result<()> {
        let compared = compare(row, headers, given, restored, reference)?;
        let folder = match self.compared.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        Written::in_folder(folder)?.add(Path::new(&file_name(&self.compared)))?;
        picture::save_png(&compared, &self.compared)
    }
}

/// Pixels as a file will hold them.
pub(super) fn round(image: &mut Image, depth: Depth) {
    for v in &mut image.values {
        *v = (v.clamp(0.0, 1.0) * depth.white()).round() / depth.white();
    }
}

/// The files that results must not replace, by their places.
pub(super) fn inputs(jobs: &[Job]) -> HashMap<PathBuf, PathBuf> {
    jobs.iter()
        .flat_map(Job::inputs)
        .filter_map(|path| Some((fs::canonicalize(path).ok()?, path.clone())))
        .collect()
}

/// Refuses results that are there already, and, even to overwrite them, that would replace an input.
pub(super) fn check(
    jobs: &[Job],
    inputs: &HashMap<PathBuf, PathBuf>,
    overwrite: bool,
) -> Result<()> {
    for path in jobs.iter().flat_map(|job| [&job.out, &job.compared]) {
        refuse_existing(path, overwrite)?;
        let place = fs::canonicalize(path).ok();
        if let Some(input) = place.and_then(|place| inputs.get(&place)) {
            return Err(Error::Config(format!(
                "{} would replace {}; choose another name for the result",
                path.display(),
                input.display()
            )));
        }
    }
    Ok(())
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
            false => folder::shape(&job.image).ok()?,
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
    if let Some(masks) = masks {
        find_masks(masks, &files.input, &mut jobs)?;
    }
    report.images = jobs.len();
    let without = jobs.iter().filter(|job| job.reference.is_none()).count();
    if files.reference.is_some() && without > 0 {
        callback.event(Event::Note(format!(
            "{without} of {} images have no reference of the same name",
            jobs.len()
        )));
    }
    let inputs = inputs(&jobs);
    let mut overwrite = files.overwrite;
    if is_folder && !overwrite {
        overwrite = take_done(&mut jobs, &inputs, &mut report)?;
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

/// Leaves the jobs that an earlier call with the same settings has not done, and takes its rows of the others; whether
/// there was such a call, whose results without a row may be replaced. It counts for none where one of its images is
/// another or not there by now, where its results lie among the images, and where there are results that it cannot have
/// written.
///
/// # Errors
/// [`Error::Finished`] where it has done them all.
fn take_done(
    jobs: &mut Vec<Job>,
    inputs: &HashMap<PathBuf, PathBuf>,
    report: &mut Report,
) -> Result<bool> {
    let Some(record) = Record::of_folder(&report.out, report) else {
        return Ok(false);
    };
    // By the names of the results in their folder.
    let rows = record.rows.into_iter().filter_map(|row| {
        let name = row.out.strip_prefix(&record.out).ok()?.to_owned();
        Some((name, row))
    });
    let rows: HashMap<PathBuf, Row> = rows.collect();
    let row = |job: &Job| rows.get(job.out.strip_prefix(&report.out).ok()?);
    let same = |job: &Job| row(job).is_none_or(|row| job.checksum().ok() == Some(row.crc32));
    let is_done = |job: &Job| row(job).is_some() && job.out.exists() && job.compared.exists();
    let known = jobs.iter().filter(|job| row(job).is_some()).count();
    let is_input = |name: &PathBuf| {
        let place = fs::canonicalize(report.out.join(name));
        place.is_ok_and(|place| inputs.contains_key(&place))
    };
    // A result is written after its comparison.
    let is_foreign = |job: &Job| row(job).is_none() && job.out.exists() && !job.compared.exists();
    if known < rows.len()
        || !jobs.iter().all(same)
        || rows.keys().any(is_input)
        || jobs.iter().any(is_foreign)
    {
        return Ok(false);
    }
    if jobs.iter().all(is_done) {
        return Err(Error::Finished(report.out.clone()));
    }
    let done = jobs.iter().filter(|job| is_done(job));
    let done = done.filter_map(row).cloned().collect();
    jobs.retain(|job| !is_done(job));
    report.rows = done;
    Ok(true)
}

/// Restores one image and writes what came of it.
fn one(job: &Job, headers: [&str; 3], steps: &mut Steps, restore: Restore) -> Result<Option<Row>> {
    let image = read(&job.image)?;
    let reference = job.reference.as_ref().map(|path| reference(path, &image));
    let reference = reference.transpose()?;
    let row = job.row(image.shape())?;
    let started = Instant::now();
    let Some(mut restored) = restore(&image, job.mask.as_ref(), steps)? else {
        return Ok(None);
    };
    let seconds = started.elapsed().as_secs_f64();
    let picture = match arrays::is_bundle(&job.out) {
        true => None,
        false => Some(job.depth()?),
    };
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
        Some(depth) => picture::save_png_of(depth, &restored.image, &job.out)?,
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

pub(super) fn job_of_file(files: &Files) -> Result<Job> {
    let is_png = |end: &OsStr| end.eq_ignore_ascii_case("png");
    if !arrays::is_bundle(&files.out) && !files.out.extension().is_some_and(is_png) {
        return Err(Error::Config(format!(
            "{} is no name of a picture that can be written; let it end in .png, or in .npz for an array",
            files.out.display()
        )));
    }
    if arrays::is_bundle(&files.out) {
        arrays::check_path(&files.out, files.overwrite)?;
    }
    if let Some(reference) = files.reference.as_ref().filter(|path| path.is_dir()) {
        return Err(Error::Input(format!(
            "the reference {} is a folder, and the image a file; give a file",
            reference.display()
        )));
    }
    Ok(Job {
        image: files.input.clone(),
        out: files.out.clone(),
        compared: compared(&files.out),
        reference: files.reference.clone(),
        mask: None,
    })
}

/// Gives each image its mask.
fn find_masks(masks: &Path, images: &Path, jobs: &mut [Job]) -> Result<()> {
    let mut failures = Vec::new();
    for job in &mut *jobs {
        match mask_for(masks, Some(images), Some(&job.image)) {
            Ok(mask) => job.mask = Some(mask),
            Err(error) => failures.push(error),
        }
    }
    all_usable(jobs.len(), failures)
}

/// The images of a folder, each with a name of its own.
fn jobs_of_folder(
    files: &Files,
    masks: Option<&PathBuf>,
    callback: &mut dyn Callback<Event>,
) -> Result<Vec<Job>> {
    if files.out.is_file() {
        return Err(Error::Config(format!(
            "{} is a file, and the results of a folder need a folder",
            files.out.display()
        )));
    }
    if let Some(file) = files.reference.as_ref().filter(|path| !path.is_dir()) {
        return Err(Error::Input(format!(
            "the reference {} is no folder, and the images are one; give a folder with an image of the same name for \
             each",
            file.display()
        )));
    }
    let found = scan(&files.input, &[])?
        .without(Some(&files.out), "results", &files.input)?
        .without(masks.map(PathBuf::as_path), "masks", &files.input)?;
    let found = tell_found(found, callback);
    let mut jobs: Vec<Job> = Vec::new();
    let mut names = HashSet::new();
    for image in found {
        let below = image.strip_prefix(&files.input).unwrap_or(&image);
        let reference = files.reference.as_ref().and_then(|folder| {
            let same = folder.join(below);
            let either = [same.clone(), same.with_extension("png")];
            either.into_iter().find(|path| path.is_file())
        });
        let mut out = files.out.join(below).with_extension("png");
        // `a.jpg` beside `a.png`.
        let mut number = 2;
        while [&out, &compared(&out)]
            .iter()
            .any(|name| names.contains(*name))
        {
            let stem = below.file_stem().unwrap_or(OsStr::new("image"));
            let name = format!("{}-{number}.png", stem.to_string_lossy());
            out = files.out.join(below).with_file_name(name);
            number += 1;
        }
        names.extend([out.clone(), compared(&out)]);
        jobs.push(Job {
            compared: compared(&out),
            image,
            out,
            reference,
            mask: None,
        });
    }
    Ok(jobs)
}

/// The name of the comparison beside a result.
fn compared(out: &Path) -> PathBuf {
    let mut name = out.file_stem().unwrap_or(OsStr::new("image")).to_owned();
    name.push("-compared.png");
    out.with_file_name(name)
}
