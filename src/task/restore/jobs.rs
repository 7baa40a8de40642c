//! The images of a restoration: what there is of each, where its result goes, and what an earlier call has done.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::Files;
use super::drawing::compare;
use super::report::{Record, Report, Row};
use crate::arrays;
use crate::data::scan::scan;
use crate::data::{Depth, Image, header, mask_for};
use crate::error::{Error, Result};
use crate::files::{Written, file_name, refuse_existing, refuse_special};
use crate::picture;
use crate::run::all_usable;
use crate::task::{Callback, Event, tell_found};

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
            false => header::depth(&self.image),
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

/// The one image.
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

/// Gives each image its mask; one that has none fails, and leaves the others.
///
/// # Errors
/// Those of [`all_usable`] where none has one.
pub(super) fn find_masks(
    masks: &Path,
    images: &Path,
    jobs: &mut Vec<Job>,
    report: &mut Report,
) -> Result<()> {
    let mut failures = Vec::new();
    jobs.retain_mut(
        |job| match mask_for(masks, Some(images), Some(&job.image)) {
            Ok(mask) => {
                job.mask = Some(mask);
                true
            }
            Err(error) => {
                failures.push(error);
                false
            }
        },
    );
    if jobs.is_empty() {
        return all_usable(failures.len(), failures);
    }
    let failed = failures.iter().map(ToString::to_string);
    report.failures.extend(failed);
    Ok(())
}

/// The images of a folder, each with a name of its own.
pub(super) fn jobs_of_folder(
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
    // A picture that is called as its result comes before others that would be.
    let own: HashSet<PathBuf> = found
        .iter()
        .map(|image| {
            files
                .out
                .join(image.strip_prefix(&files.input).unwrap_or(image))
        })
        .collect();
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
        let is_own = files.out.join(below) == out;
        while [&out, &compared(&out)]
            .iter()
            .any(|name| names.contains(*name) || !is_own && own.contains(*name))
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

/// Leaves the jobs that an earlier call with the same settings has not done, and takes its rows of the others; whether
/// there was such a call, whose results without a row may be replaced. It counts for none where one of its images is
/// another or not there by now, where its results lie among the images, and where there are results that it cannot have
/// written.
///
/// # Errors
/// [`Error::Finished`] where it has done them all.
pub(super) fn take_done(
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
