//! Which image goes where, what speaks against it, and what an earlier call has done.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::report::{Failure, Row, Settings};
use super::{Coder, Options};
use crate::backend::is_cpu;
use crate::data::{array_file, header};
use crate::error::{Error, Result};
use crate::files::walk;
use crate::named::named;
use crate::report::{Results, record};
use crate::run::{Estimate, Free, Work, all_usable, flat_images};
use crate::task::shard::{Shard, Share};
use crate::task::{Callback, Event, tell_found};

/// No more than one in so many elements of sparse maps is taken to be other than zero.
const SPARSE: u64 = 8;

/// The kind of file that maps are written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapsFormat {
    /// `NAME-maps.npz`
    #[default]
    Npz,
    /// `NAME-maps.safetensors`
    Safetensors,
    /// The maps are not written.
    None,
}

named!("format for maps", MapsFormat {
    Npz = "npz",
    Safetensors = "safetensors",
    None = "none",
});

impl MapsFormat {
    /// The ending of the file, if there is to be one.
    fn ending(self) -> Option<&'static str> {
        (self != Self::None).then(|| self.name())
    }
}

/// One image and its results.
#[derive(Debug)]
pub(super) struct Job {
    pub image: PathBuf,
    /// Whether it is of arrays.
    pub is_array: bool,
    /// The path below the folder of images.
    pub name: String,
    /// Names of its results in the folder for them.
    pub picture: PathBuf,
    pub maps: Option<PathBuf>,
    /// Of a large image, every pixel.
    pub reconstruction: Option<PathBuf>,
    /// Checksum of the prepared pixels.
    pub crc32: u32,
    /// Their `[channels, height, width]`.
    pub shape: [usize; 3],
}

impl Job {
    /// The name of a result that has this in place of the ending of the picture.
    pub fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(self.picture.with_extension(""));
        name.push(ending);
        name.into()
    }

    /// All results.
    fn results(&self) -> impl Iterator<Item = &PathBuf> {
        let more = self.maps.iter().chain(&self.reconstruction);
        more.chain([&self.picture])
    }
}

/// What an earlier call wrote down.
#[derive(Default, Deserialize)]
struct Record {
    settings: Option<Settings>,
    rows: Vec<Row>,
    finished: BTreeMap<String, u32>,
}

/// What is to be done, and what is done.
pub(super) struct Plan {
    /// Images found, of the shard where there is one.
    pub images: usize,
    pub share: Option<Share>,
    pub jobs: Vec<Job>,
    pub results: Results,
    /// The results of an earlier call, and the checksums of its images.
    pub rows: Vec<Row>,
    pub finished: BTreeMap<String, u32>,
    /// Images that cannot be used.
    pub failures: Vec<Failure>,
    /// What is to be told before the work.
    pub notes: Vec<String>,
}

/// Finds the images, `look`s at each and tells which are flat, checks what coding them takes, checks that no result is in the way, and
/// makes the folder for them.
///
/// # Errors
/// Those of [`all_usable`] where no image can be used, [`Error::Input`] where all are flat,
/// [`Error::Exists`] naming a result that is there already, unless an earlier call with the same
/// settings left some images undone, and [`Error::Finished`] where it left none.
pub(super) fn plan(
    options: &Options,
    coder: &Coder,
    tile: Option<usize>,
    look: &dyn Fn(&mut Job) -> Result<bool>,
    observer: &mut dyn Callback<Event>,
) -> Result<Plan> {
    let found = coder.reader.find(&options.images, &options.exclude)?;
    let found = found.without(options.mask.as_deref(), "masks", &options.images)?;
    let found = tell_found(found, observer);
    let mut jobs = jobs(options, found);
    if tile.is_some() {
        for job in &mut jobs {
            job.reconstruction = Some(job.beside("-reconstruction.png"));
            job.maps = job.maps.is_some().then(|| job.beside("-maps"));
        }
        refuse_shared_results(&jobs)?;
    }
    let share = share(options, &mut jobs);
    let images = jobs.len();
    let (mut failures, mut flat) = (Vec::new(), Vec::new());
    jobs.retain_mut(|job| match look(job) {
        Ok(false) => true,
        Ok(true) => {
            flat.push(job.name.clone());
            true
        }
        Err(error) => {
            let image = job.image.clone();
            failures.push(Failure { image, error });
            false
        }
    });
    // A shard may be as unlucky, or have no image at all.
    if jobs.is_empty() && share.is_none() {
        let errors = failures.into_iter().map(|failure| failure.error);
        all_usable(images, errors.collect())?;
        failures = Vec::new();
    }
    let mut notes: Vec<_> = failures
        .iter()
        .map(|failure| format!("warning: {}; it is left out", failure.error))
        .collect();
    let all = share.as_ref().map_or(jobs.len(), |share| share.all);
    notes.extend(flat_images(&flat, all)?);
    notes.extend(shrunk(&jobs, coder.state.config.data.max_side));
    let record = match options.overwrite {
        true => Record::default(),
        false => earlier(options).unwrap_or_default(),
    };
    // An image that is no longer the same makes it another set.
    let same = |job: &Job| {
        let known = record.finished.get(&job.name);
        known.is_none_or(|crc32| *crc32 == job.crc32)
    };
    // So does one of other images.
    let names: HashSet<&String> = jobs.iter().map(|job| &job.name).collect();
    let resumes = record.settings.as_ref() == Some(&coder.settings(options)?)
        && record.finished.keys().all(|name| names.contains(name))
        && jobs.iter().all(same);
    let (mut done, mut all_done) = (Record::default(), false);
    if resumes {
        let written = |job: &Job| {
            record.finished.contains_key(&job.name)
                && job.results().all(|name| options.out.join(name).exists())
        };
        let (finished, rest): (Vec<_>, Vec<_>) = jobs.into_iter().partition(written);
        let names: HashSet<_> = finished.iter().map(|job| job.name.clone()).collect();
        // With nothing left to do it is a call whose results are there already; a shard, which a batch system
        // may start again with others, has then nothing to do.
        all_done = rest.is_empty() && share.is_none();
        jobs = match all_done {
            true => finished,
            false => rest,
        };
        done.rows = record.rows;
        done.rows.retain(|row| names.contains(&row.image));
        done.finished = record.finished;
        done.finished.retain(|name, _| names.contains(name));
    }
    let goes_on = resumes
        && jobs
            .iter()
            .all(|job| !done.finished.contains_key(&job.name));
    if goes_on && !done.finished.is_empty() {
        notes.push(format!(
            "going on where an earlier call stopped: {} of {images} images are done",
            done.finished.len()
        ));
    }
    if !options.force {
        let free = Free::here(is_cpu(coder.device), &options.out);
        match tile {
            Some(tile) => {
                let advice = "smaller tiles take less memory, and no maps written less disk";
                in_tiles(options, coder, &jobs, tile).check(free, advice)?;
            }
            None => {
                let shapes: Vec<_> = jobs.iter().map(|job| job.shape).collect();
                let scaled = !jobs.iter().any(|job| job.is_array);
                work(coder, writes_maps(options)).check(&shapes, free, scaled)?;
            }
        }
    }
    let claimed = claim(options, &jobs, options.overwrite || goes_on);
    let results = claimed.map_err(|error| match error {
        Error::Exists(_) if all_done => Error::Finished(options.out.clone()),
        error => error,
    })?;
    Ok(Plan {
        images,
        share,
        jobs,
        results,
        rows: done.rows,
        finished: done.finished,
        failures,
        notes,
    })
}

/// The record of an earlier call, if it can be read.
fn earlier(options: &Options) -> Option<Record> {
    let text = fs::read_to_string(options.out.join(record(&part(options)))).ok()?;
    serde_json::from_str(&text).ok()
}

/// The tiles of an earlier call that this one may go on from.
pub(super) fn earlier_tile(options: &Options) -> Option<usize> {
    let earlier = (!options.overwrite).then(|| earlier(options)).flatten();
    earlier?.settings?.tile
}

/// What the names of the tables of a shard have more than those of a call that codes all images.
fn part(options: &Options) -> String {
    options.shard.map(Shard::part).unwrap_or_default()
}

/// Leaves the images of the shard, where there is one, and tells which they are.
fn share(options: &Options, jobs: &mut Vec<Job>) -> Option<Share> {
    let shard = options.shard?;
    let all = jobs.len();
    let mut hasher = crc32fast::Hasher::new();
    for job in jobs.iter() {
        hasher.update(job.name.as_bytes());
        hasher.update(b"\n");
    }
    let mut index = 0..;
    jobs.retain(|_| index.next().is_some_and(|index| shard.has(index)));
    Some(Share {
        shard,
        names: jobs.iter().map(|job| job.name.clone()).collect(),
        all,
        crc32: hasher.finalize(),
    })
}

/// How many images are scaled down, in words.
fn shrunk(jobs: &[Job], max_side: Option<usize>) -> Option<String> {
    let most = max_side?;
    let sides = jobs
        .iter()
        .filter_map(|job| header::longer_side(&job.image));
    let count = sides.filter(|&side| side > most).count();
    (count > 0).then(|| {
        format!(
            "{count} of {} images are scaled down to {most} pixels along the longer side",
            jobs.len()
        )
    })
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
                is_array: array_file(&image).is_some(),
                image,
                crc32: 0,
                shape: [0; 3],
                name: path.to_string_lossy().into_owned(),
                picture: result(".png"),
                reconstruction: None,
                maps: options
                    .maps_format
                    .ending()
                    .map(|ending| result(&format!("-maps.{ending}"))),
            }
        })
        .collect()
}

/// `a-reconstruction.png` beside `a.png` would have its picture where the other has its reconstruction.
fn refuse_shared_results(jobs: &[Job]) -> Result<()> {
    let mut seen = HashSet::new();
    let mut all = jobs
        .iter()
        .flat_map(|job| job.results().map(move |name| (job, name)));
    match all.find(|(_, name)| !seen.insert(name.to_string_lossy().to_lowercase())) {
        None => Ok(()),
        Some((job, name)) => Err(Error::Input(format!(
            "{} and another image would both be written to {}: rename one, or leave it out",
            job.image.display(),
            name.display()
        ))),
    }
}

fn writes_maps(options: &Options) -> bool {
    options.maps_format != MapsFormat::None
}

/// What coding takes, the maps written or not.
pub(super) fn work(coder: &Coder, written: bool) -> Work {
    let tops = coder.encoder.stages.iter();
    let tops = tops.map(|stage| stage.layers.end - 1).collect();
    Work::coding(coder.state, tops, written)
}

/// What coding in tiles takes: the memory of a tile, and on disk the results of all images and the scratch files of
/// one. What an earlier call left of those is there already.
fn in_tiles(options: &Options, coder: &Coder, jobs: &[Job], tile: usize) -> Estimate {
    let work = work(coder, true);
    let (mut memory, mut results, mut scratch) = (0, 0, 0);
    for job in jobs {
        let [channels, height, width] = job.shape;
        let of_tile = work.estimate(&[[channels, height.min(tile), width.min(tile)]]);
        memory = of_tile.memory.max(memory);
        let pixels = job.shape.iter().map(|&n| n as u64).product::<u64>();
        // An element that is not zero is stored as a place and a value, of 4 bytes each.
        let maps = 2 * work.estimate(&[job.shape]).disk / SPARSE;
        // Of pixels, the picture of the reconstruction.
        results += pixels + u64::from(writes_maps(options)) * maps;
        let there = walk(&options.out.join(job.beside("-tiles"))).unwrap_or_default();
        let there = there.iter().filter_map(|path| fs::metadata(path).ok());
        let there: u64 = there.map(|file| file.len()).sum();
        // The pixels and those of the reconstruction as numbers, the maps of two sweeps.
        scratch = (2 * 4 * pixels + 2 * maps)
            .saturating_sub(there)
            .max(scratch);
    }
    Estimate {
        memory,
        disk: results + scratch,
    }
}

/// No result may be there already; and even to overwrite them, none may be one of the images.
fn claim(options: &Options, jobs: &[Job], overwrite: bool) -> Result<Results> {
    let names: Vec<&PathBuf> = jobs.iter().flat_map(Job::results).collect();
    let images: HashSet<PathBuf> = jobs
        .iter()
        .map(|job| array_file(&job.image).unwrap_or(&job.image))
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    // Those of arrays lie in a folder called as their file.
    let is_image = |path: &Path| {
        fs::canonicalize(options.out.join(path)).is_ok_and(|path| images.contains(&path))
    };
    for result in &names {
        if result.ancestors().any(is_image) {
            return Err(Error::Config(format!(
                "the result {} would replace the image of that name; choose another folder for the \
                 results",
                options.out.join(result).display()
            )));
        }
    }
    Results::claim_part(&options.out, &part(options), &names, overwrite)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::run::Run;
    use crate::task::infer::large::tests::options;
    use crate::task::test_runs;

    #[test]
    fn tiles_take_the_memory_of_one_and_the_disk_of_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        test_runs::run(folder, "");
        test_runs::image(&folder.join("images/a.png"), 5, 47);
        let options = options(folder, Some(12));
        let device = Device::flex();
        let run = Run::read(&options.checkpoint, options.which, &device).unwrap();
        let coder = Coder::new(&run, &options, &device).unwrap();
        let mut jobs = jobs(&options, vec![folder.join("images/a.png")]);
        jobs[0].shape = [1, 47, 47];
        let estimate = in_tiles(&options, &coder, &jobs, 12);
        let (pixels, maps) = (47 * 47, 3 * 49 * 49 + 6 * 50 * 50);
        assert_eq!(estimate.disk, 9 * pixels + 3 * maps);
        assert!(estimate.memory < 14 * 4 * maps);
        // What is there already takes no more; maps that are not written take nothing.
        let scratch = options.out.join("a-tiles/layer1");
        fs::create_dir_all(&scratch).unwrap();
        fs::write(scratch.join("tile"), [0; 100]).unwrap();
        let none = Options {
            maps_format: MapsFormat::None,
            ..options.clone()
        };
        let left = in_tiles(&none, &coder, &jobs, 12);
        assert_eq!(left.disk, 9 * pixels + 2 * maps - 100);
        assert_eq!(left.memory, estimate.memory);
    }
}
