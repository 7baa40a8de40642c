//! The descriptors of many images: on all cores, one image a core in memory, the others in a file as they come, so
//! that an interrupted pass goes on.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;

use super::source::MapSource;
use crate::data::Image;
use crate::error::{Error, Result};
use crate::features::{Cells, Descriptors, Recipe};
use crate::files;
use crate::run::Free;
use crate::task::{Callback, Event, goes_on};

/// Images between two looks at the callback.
const CHUNK: usize = 32;
/// Marks the beginning of a file of descriptors.
const MAGIC: &str = "deconvnet-descriptors 1 ";

/// Descriptors of images, in a file.
pub(crate) struct Descriptions<'a> {
    source: &'a MapSource,
    recipe: &'a Recipe,
    paths: Vec<PathBuf>,
    kept: Kept,
    force: bool,
    /// Bytes of memory for coding an image, if they are limited.
    room: Option<u64>,
    /// Where the record of each image begins; none where it was not asked for or cannot be used.
    each: Vec<Option<u64>>,
    /// Images that cannot be used, each with the reason.
    pub unusable: BTreeMap<usize, String>,
}

/// A file of records, one an image.
struct Kept {
    path: PathBuf,
    file: File,
    /// Its length.
    end: u64,
}

impl<'a> Descriptions<'a> {
    /// None yet, but for those that an earlier call left in the file `kept`.
    ///
    /// # Errors
    /// [`Error::Io`] for the file; those of [`MapSource::put`].
    pub fn open(
        source: &'a MapSource,
        recipe: &'a Recipe,
        paths: &[PathBuf],
        kept: &Path,
        force: bool,
    ) -> Result<Self> {
        let mut each = vec![None; paths.len()];
        let of = checksum(source, &recipe.cells, paths)?;
        let kept = Kept::open(kept, &of, &mut each)?;
        let at_once = rayon::current_num_threads().clamp(1, paths.len().max(1)) as u64;
        let free = Free::here(true, Path::new("")).memory;
        Ok(Self {
            room: free.filter(|_| !force).map(|free| free / at_once),
            source,
            recipe,
            paths: paths.to_vec(),
            kept,
            force,
            each,
            unusable: BTreeMap::new(),
        })
    }

    /// Whether an image is described.
    pub fn has(&self, image: usize) -> bool {
        self.each[image].is_some()
    }

    /// The descriptors of each layer of an image that has them.
    ///
    /// # Errors
    /// [`Error::Io`] for the file, [`Error::Input`] where it is not what was written.
    pub fn get(&self, image: usize) -> Result<Vec<Descriptors>> {
        match self.each[image] {
            Some(start) => self.kept.read(start, image),
            None => Err(Error::Input(format!(
                "{} is not described",
                self.paths[image].display()
            ))),
        }
    }

    /// Describes the images `wanted` that are not described yet, for features of so many `at_once`. Whether it came to
    /// the end.
    ///
    /// # Errors
    /// [`Error::Resources`] where coding, descriptors or features will not fit into memory, [`Error::Io`] for the file,
    /// [`Error::Backend`]. An image that cannot be used is told in [`Self::unusable`].
    pub fn add(
        &mut self,
        wanted: &[usize],
        at_once: usize,
        callback: &mut dyn Callback<Event>,
    ) -> Result<bool> {
        let of = wanted.len();
        let is_new = |i: &&usize| self.each[**i].is_none() && !self.unusable.contains_key(i);
        let todo: Vec<usize> = wanted.iter().filter(is_new).copied().collect();
        let mut done = of - todo.len();
        if done > 0 && !todo.is_empty() && self.unusable.is_empty() {
            callback.event(Event::Note(format!(
                "going on where an earlier call stopped: {done} of {of} images are described"
            )));
        }
        // From now on what is done can be kept.
        if callback.interrupted() {
            return Ok(false);
        }
        for (number, chunk) in todo.chunks(CHUNK).enumerate() {
            let describe =
                |&i: &usize| one(self.source, &self.recipe.cells, &self.paths[i], self.room);
            let made: Vec<Result<Vec<Descriptors>>> = chunk.par_iter().map(describe).collect();
            let mut records = Vec::new();
            let mut numbers = 0;
            for (&i, made) in chunk.iter().zip(made) {
                match made {
                    Ok(layers) => {
                        numbers = self.recipe.dimension(&layers);
                        self.each[i] = Some(self.kept.end + records.len() as u64);
                        record(&mut records, i, &layers);
                    }
                    Err(error @ (Error::Backend(_) | Error::Resources { .. })) => {
                        return Err(error);
                    }
                    Err(error) => {
                        let why = error.to_string();
                        callback.event(Event::Note(format!("warning: {why}; it is left out")));
                        self.unusable.insert(i, why);
                    }
                }
            }
            self.kept.write(&records)?;
            done += chunk.len();
            if !goes_on(callback, "describing images", done, of) {
                return Ok(false);
            }
            if number == 0 && !self.force {
                let descriptors = (of - done) * records.len() / chunk.len();
                let features = size_of::<f32>() * numbers * at_once;
                self.fits(features, descriptors)?;
            }
        }
        Ok(true)
    }

    /// Stops work whose results have no room: features in memory and descriptors on the disk, in bytes.
    fn fits(&self, features: usize, descriptors: usize) -> Result<()> {
        let free = Free::here(true, &self.kept.path);
        for (what, bytes, place, free) in [
            ("features", features, "memory", free.memory),
            ("descriptors", descriptors, "disk", free.disk),
        ] {
            if let Some(free) = free.filter(|free| *free < bytes as u64) {
                return Err(Error::Resources {
                    message: format!(
                        "{what} of all images are estimated to take {} MiB of {place}, and {} MiB are left: take a \
                         larger step between descriptors, fewer words, layers or images",
                        bytes >> 20,
                        free >> 20
                    ),
                    max_side: None,
                    forced: true,
                });
            }
        }
        Ok(())
    }
}

/// The descriptors of an image, for each layer.
fn one(
    source: &MapSource,
    cells: &Cells,
    path: &Path,
    room: Option<u64>,
) -> Result<Vec<Descriptors>> {
    let layer = |(layer, maps): (usize, Vec<Image>)| match &maps[..] {
        [maps] if !source.projects(layer) => cells.describe(maps),
        projections => {
            let mut all = Descriptors::default();
            for maps in projections {
                // A projection leaves most squares all but empty.
                all.append(&cells.describe(maps)?, |length| length > 0.99);
            }
            all.bytes.shrink_to_fit();
            Ok(all)
        }
    };
    let layers = source.maps(path, room)?.into_iter().enumerate().map(layer);
    layers.collect::<Result<_>>().map_err(|error| match error {
        Error::Input(why) => Error::Input(format!("{}: {why}", path.display())),
        Error::Resources {
            message,
            max_side,
            forced,
        } => Error::Resources {
            message: format!("{}: {message}", path.display()),
            max_side,
            forced,
        },
        other => other,
    })
}

/// What must be the same for kept descriptors to be used.
fn checksum(source: &MapSource, cells: &Cells, paths: &[PathBuf]) -> Result<String> {
    let mut bundle = crate::arrays::Bundle::default();
    source.put(&mut bundle)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bundle.text("maps", Path::new(""))?.as_bytes());
    for (name, array) in &bundle.arrays {
        hasher.update(name.as_bytes());
        array
            .values
            .iter()
            .for_each(|v| hasher.update(&v.to_le_bytes()));
    }
    hasher.update(format!("{cells:?}").as_bytes());
    for path in paths {
        hasher.update(path.as_os_str().as_encoded_bytes());
        let file = fs::metadata(path).ok();
        let changed = file.as_ref().and_then(|file| file.modified().ok());
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        hasher.update(&file.map_or(0, |file| file.len()).to_le_bytes());
        hasher.update(&changed.unwrap_or_default().as_nanos().to_le_bytes());
    }
    Ok(format!(
        "{MAGIC}{:08x} {}\n",
        hasher.finalize(),
        paths.len()
    ))
}

impl Kept {
    /// Opens the file for adding to it, and tells of which images an earlier pass of the same kind has left a whole
    /// record.
    fn open(path: &Path, of: &str, described: &mut [Option<u64>]) -> Result<Self> {
        let end = Self::whole(path, of, described)?;
        if end == 0 {
            files::replace(path, false, |file| file.write_all(of.as_bytes()))?;
        }
        let end = end.max(of.len() as u64);
        let file = OpenOptions::new().append(true).open(path);
        let cut = file.and_then(|file| file.set_len(end).map(|()| file));
        Ok(Self {
            path: path.to_path_buf(),
            file: cut.map_err(Error::io("write", path))?,
            end,
        })
    }

    /// The length of the file up to the end of its last whole record; 0 where it is of another kind.
    fn whole(path: &Path, of: &str, described: &mut [Option<u64>]) -> Result<u64> {
        if !path.exists() {
            return Ok(0);
        }
        let file = File::open(path).map_err(Error::io("read", path))?;
        let mut file = BufReader::new(file);
        let mut first = vec![0; of.len()];
        if file.read_exact(&mut first).is_err() || first != of.as_bytes() {
            return Ok(0);
        }
        let mut end = of.len() as u64;
        while let Some((image, _, length)) = next(&mut file) {
            if let Some(place) = described.get_mut(image) {
                *place = Some(end);
            }
            end += length as u64;
        }
        Ok(end)
    }

    fn write(&mut self, records: &[u8]) -> Result<()> {
        let written = self.file.write_all(records);
        written.map_err(Error::io("write", &self.path))?;
        self.end += records.len() as u64;
        Ok(())
    }

    fn read(&self, start: u64, image: usize) -> Result<Vec<Descriptors>> {
        let mut file = File::open(&self.path).map_err(Error::io("read", &self.path))?;
        let found = file.seek(SeekFrom::Start(start));
        found.map_err(Error::io("read", &self.path))?;
        match next(&mut BufReader::new(file)) {
            Some((number, layers, _)) if number == image => Ok(layers),
            _ => Err(Error::Input(format!(
                "{} cannot be read as it was written; remove it, and begin anew",
                self.path.display()
            ))),
        }
    }
}

/// Adds a record: its length, a checksum, the image, and for each layer the dimension, the number of
/// descriptors, places, scales and bytes; numbers of 32 bits, little-endian.
fn record(into: &mut Vec<u8>, image: usize, layers: &[Descriptors]) {
    let mut content = (image as u32).to_le_bytes().to_vec();
    for layer in layers {
        for number in [layer.dimension, layer.len()] {
            content.extend((number as u32).to_le_bytes());
        }
        let numbers = layer.places.as_flattened().iter().chain(&layer.scales);
        content.extend(numbers.flat_map(|v| v.to_le_bytes()));
        content.extend(&layer.bytes);
    }
    into.extend((content.len() as u32).to_le_bytes());
    into.extend(crc32fast::hash(&content).to_le_bytes());
    into.extend(content);
}

/// The next whole record: the image, its descriptors, and how long the record is.
fn next(file: &mut impl Read) -> Option<(usize, Vec<Descriptors>, usize)> {
    let mut head = [0; 8];
    file.read_exact(&mut head).ok()?;
    let (length, crc32) = word(&head).and_then(|(length, rest)| Some((length, word(rest)?.0)))?;
    let mut content = Vec::new();
    let read = file.take(length.into()).read_to_end(&mut content).ok()?;
    if read != length as usize || crc32fast::hash(&content) != crc32 {
        return None;
    }
    let (image, mut content) = word(&content)?;
    let mut layers = Vec::new();
    while !content.is_empty() {
        let (dimension, after) = word(content)?;
        let (count, after) = word(after)?;
        let (dimension, count) = (dimension as usize, count as usize);
        let (numbers, after) = after.split_at_checked(count.checked_mul(12)?)?;
        let (bytes, after) = after.split_at_checked(count.checked_mul(dimension)?)?;
        let numbers: Vec<f32> = numbers
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        let (places, scales) = numbers.split_at(2 * count);
        layers.push(Descriptors {
            dimension,
            places: places.as_chunks().0.to_vec(),
            scales: scales.to_vec(),
            bytes: bytes.to_vec(),
        });
        content = after;
    }
    Some((image as usize, layers, head.len() + read))
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*word), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Preset;
    use crate::task::features::extractor::{all_features, learn_words};
    use crate::task::test_runs;

    #[test]
    fn records_come_back_and_what_is_cut_short_does_not() {
        let layer = |n: usize| Descriptors {
            dimension: 3,
            places: vec![[0.25, 0.5]; n],
            scales: vec![0.1; n],
            bytes: (0..3 * n as u8).collect(),
        };
        let mut bytes = Vec::new();
        record(&mut bytes, 7, &[layer(2), layer(1)]);
        let first = bytes.len();
        record(&mut bytes, 8, &[layer(0)]);
        let mut rest = &bytes[..];
        assert_eq!(next(&mut rest), Some((7, vec![layer(2), layer(1)], first)));
        assert_eq!(
            next(&mut rest),
            Some((8, vec![layer(0)], bytes.len() - first))
        );
        assert_eq!(next(&mut rest), None);
        for length in 0..first {
            assert_eq!(next(&mut &bytes[..length]), None, "{length}");
        }
        bytes[20] ^= 1;
        assert_eq!(next(&mut &bytes[..]), None);
    }

    #[test]
    fn descriptors_come_back_from_their_file_and_a_pass_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let paths: Vec<PathBuf> = (0..3).map(|k| folder.join(format!("{k}.png"))).collect();
        for (k, path) in paths.iter().enumerate() {
            test_runs::image(path, k as u64, 100 - 4 * k);
        }
        fs::write(&paths[1], "no picture").unwrap();
        let source = MapSource::Gradients { max_side: 100 };
        let recipe = Preset::Paper2010.recipe();
        let [kept, whole] = ["kept", "whole"].map(|name| folder.join(name));
        let open = |kept: &Path| Descriptions::open(&source, &recipe, &paths, kept, false).unwrap();
        let features = |all: &Descriptions| {
            let words = learn_words(&recipe, all, &[2, 0], 5).unwrap();
            all_features(&recipe, &words, all, &[0, 2]).unwrap()
        };
        let mut at_once = open(&whole);
        assert!(at_once.add(&[0, 1, 2], 3, &mut ()).unwrap());
        for (image, path) in paths.iter().enumerate().filter(|(image, _)| *image != 1) {
            let wanted = one(&source, &recipe.cells, path, None).unwrap();
            assert!(!wanted[0].is_empty());
            assert_eq!(at_once.get(image).unwrap(), wanted);
        }
        // The image in the middle is none.
        assert!(at_once.get(1).is_err() && at_once.unusable.contains_key(&1));
        // A pass that ended within a record loses that one.
        assert!(open(&kept).add(&[2, 0], 3, &mut ()).unwrap());
        let bytes = fs::read(&kept).unwrap();
        fs::write(&kept, &bytes[..bytes.len() - 1]).unwrap();
        let mut again = open(&kept);
        assert_eq!([0, 1, 2].map(|k| again.has(k)), [false, false, true]);
        assert!(again.add(&[0, 1, 2], 3, &mut ()).unwrap());
        assert_eq!(features(&again), features(&at_once));
        fs::write(&kept, "another").unwrap();
        let error = again.get(2).unwrap_err().to_string();
        assert!(
            error.contains("cannot be read as it was written"),
            "{error}"
        );
    }
}
