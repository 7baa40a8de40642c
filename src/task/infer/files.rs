//! Which image goes where, and what speaks against it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use super::Options;
use crate::data::scan::scan;
use crate::error::{Error, Result};
use crate::report::Results;
use crate::run::{Free, State, Work, all_usable};
use crate::task::{Callback, Event};

/// One image and its results.
#[derive(Debug)]
pub(super) struct Job {
    pub image: PathBuf,
    /// The path below the folder of images.
    pub name: String,
    /// Names of its results in the folder for them.
    pub picture: PathBuf,
    pub maps: Option<PathBuf>,
}

/// Finds the images, checks each and what `work` on them takes, checks that no result is in the way, and makes the folder for them.
///
/// # Errors
/// Those of [`all_usable`] for images that cannot be used, [`Error::Exists`] naming a result that is
/// there already.
pub(super) fn plan(
    options: &Options,
    state: &State,
    work: &Work,
    free: Free,
    observer: &mut dyn Callback<Event>,
) -> Result<(Vec<Job>, Results)> {
    let found = scan(&options.images, &options.exclude)?;
    let remarks = found.remarks.into_iter();
    remarks.for_each(|remark| observer.event(Event::Note(remark)));
    let jobs = jobs(options, found.images);
    let shapes = check_images(&jobs, state)?;
    if !options.force {
        work.check(&shapes, free, true)?;
    }
    let results = claim(options, &jobs)?;
    Ok((jobs, results))
}

/// Results are called after their image without its ending, or with it where that tells two apart.
fn jobs(options: &Options, images: Vec<PathBuf>) -> Vec<Job> {
    let below: Vec<PathBuf> = images
        .iter()
        .map(|image| match image.strip_prefix(&options.images) {
            Ok(path) if path.file_name().is_some() => path.to_path_buf(),
            _ => PathBuf::from(image.file_name().unwrap_or(image.as_os_str())),
        })
        .collect();
    // Not every file system tells upper from lower case.
    let mut seen = HashSet::new();
    let distinct = below.iter().all(|path| {
        let stem = path.with_extension("");
        seen.insert(stem.to_string_lossy().to_lowercase())
    });
    images
        .into_iter()
        .zip(below)
        .map(|(image, path)| {
            let stem = if distinct {
                path.with_extension("")
            } else {
                path.clone()
            };
            let result = |ending: &str| {
                let mut name = OsString::from(&stem);
                name.push(ending);
                PathBuf::from(name)
            };
            Job {
                image,
                name: path.to_string_lossy().into_owned(),
                picture: result(".png"),
                maps: options
                    .maps_format
                    .ending()
                    .map(|ending| result(&format!("-maps.{ending}"))),
            }
        })
        .collect()
}

/// Reads and prepares every image once, so that a broken or too small one is found before hours of
/// work and not after; gives their shapes.
fn check_images(jobs: &[Job], state: &State) -> Result<Vec<[usize; 3]>> {
    let (mut shapes, mut failures) = (Vec::new(), Vec::new());
    for job in jobs {
        match state.prepare_file(&job.image) {
            Ok((image, _)) => shapes.push(image.shape()),
            Err(error) => failures.push(error),
        }
    }
    all_usable(jobs.len(), failures).map(|()| shapes)
}

/// No result may be there already; and even to overwrite them, none may be one of the images.
fn claim(options: &Options, jobs: &[Job]) -> Result<Results> {
    let names = jobs
        .iter()
        .flat_map(|job| job.maps.iter().chain([&job.picture]));
    let names: Vec<&PathBuf> = names.collect();
    let images: HashSet<PathBuf> = jobs
        .iter()
        .filter_map(|job| fs::canonicalize(&job.image).ok())
        .collect();
    for result in names.iter().map(|name| options.out.join(name)) {
        if fs::canonicalize(&result).is_ok_and(|path| images.contains(&path)) {
            return Err(Error::Config(format!(
                "the result {} would replace the image of that name; choose another folder for the \
                 results",
                result.display()
            )));
        }
    }
    Results::claim(&options.out, &names, options.overwrite)
}
