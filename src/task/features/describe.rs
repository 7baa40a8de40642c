//! The descriptors of many images: on all cores, one image a core in memory, kept as they come so that an
//! interrupted pass goes on.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::source::MapSource;
use crate::error::{Error, Result};
use crate::features::{Cells, Descriptors};
use crate::files;
use crate::run::Free;
use crate::task::{Callback, Event};

/// Images between two looks at the callback.
pub(super) const CHUNK: usize = 32;
/// Marks the beginning of a file of descriptors.
const MAGIC: &str = "deconvnet-descriptors 1 ";

/// What became of the images.
pub(super) struct Pass {
    /// For each image the descriptors of each layer; none where it could not be used, or was not reached.
    pub described: Vec<Option<Vec<Descriptors>>>,
    /// Images that could not be used, each with the reason.
    pub skipped: Vec<String>,
    pub finished: bool,
}

/// Descriptors of the images, from the file `kept` as far as they are there; others are added to it.
///
/// # Errors
/// [`Error::Resources`] where they will not fit into memory, [`Error::Io`] for the file, [`Error::Backend`].
/// An image that cannot be used is told in [`Pass::skipped`].
pub(super) fn describe(
    source: &MapSource,
    cells: &Cells,
    paths: &[PathBuf],
    kept: &Path,
    force: bool,
    callback: &mut dyn Callback<Event>,
) -> Result<Pass> {
    let mut pass = Pass {
        described: vec![None; paths.len()],
        skipped: Vec::new(),
        finished: false,
    };
    let of = checksum(source, cells, paths)?;
    let mut file = open(kept, &of, &mut pass.described)?;
    let before = pass.described.iter().flatten().count();
    if before > 0 {
        callback.event(Event::Note(format!(
            "going on where an earlier call stopped: {before} of {} images are described",
            paths.len()
        )));
    }
    let todo: Vec<usize> = (0..paths.len())
        .filter(|&i| pass.described[i].is_none())
        .collect();
    let (mut done, mut bytes) = (before, 0);
    for chunk in todo.chunks(CHUNK) {
        let made: Vec<Result<Vec<Descriptors>>> = chunk
            .par_iter()
            .map(|&i| one(source, cells, &paths[i]))
            .collect();
        let mut records = Vec::new();
        for (&i, made) in chunk.iter().zip(made) {
            match made {
                Ok(layers) => {
                    record(&mut records, i, &layers);
                    pass.described[i] = Some(layers);
                }
                Err(Error::Backend(message)) => return Err(Error::Backend(message)),
                Err(error) => pass.skipped.push(error.to_string()),
            }
        }
        file.write_all(&records).map_err(Error::io("write", kept))?;
        bytes += records.len() as u64;
        done += chunk.len();
        callback.event(Event::Item {
            name: "describing images".into(),
            done,
            of: paths.len(),
        });
        if callback.interrupted() {
            return Ok(pass);
        }
        let left = (paths.len() - done) as u64 * (bytes / (done - before) as u64);
        if !force && bytes == records.len() as u64 {
            fits(left, kept)?;
        }
    }
    pass.finished = true;
    Ok(pass)
}

/// Stops work whose results have no room.
fn fits(bytes: u64, kept: &Path) -> Result<()> {
    let free = Free::here(true, kept);
    for (what, free) in [("memory", free.memory), ("disk", free.disk)] {
        if let Some(free) = free.filter(|free| *free < bytes) {
            return Err(Error::Resources {
                message: format!(
                    "the descriptors of all images are estimated to take {} MiB of {what}, and {} MiB are left: \
                     take a larger step between descriptors, fewer layers or fewer images",
                    bytes >> 20,
                    free >> 20
                ),
                max_side: None,
            });
        }
    }
    Ok(())
}

/// The descriptors of an image, for each layer.
pub(super) fn one(source: &MapSource, cells: &Cells, path: &Path) -> Result<Vec<Descriptors>> {
    let layers = source
        .maps(path)?
        .into_iter()
        .map(|maps| cells.describe(&maps));
    layers.collect::<Result<_>>().map_err(|error| match error {
        Error::Input(why) => Error::Input(format!("{}: {why}", path.display())),
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
        let size = fs::metadata(path).map_or(0, |file| file.len());
        hasher.update(&size.to_le_bytes());
    }
    Ok(format!(
        "{MAGIC}{:08x} {}\n",
        hasher.finalize(),
        paths.len()
    ))
}

/// Opens the file for adding to it; takes out of it what an earlier pass of the same kind has left, but for a
/// record that was cut short.
fn open(path: &Path, of: &str, described: &mut [Option<Vec<Descriptors>>]) -> Result<File> {
    let earlier = if path.exists() {
        files::read(path)?
    } else {
        Vec::new()
    };
    let mut whole = 0;
    if let Some(mut rest) = earlier.strip_prefix(of.as_bytes()) {
        while let Some((image, layers, more)) = parse(rest) {
            if let Some(place) = described.get_mut(image) {
                *place = Some(layers);
            }
            rest = more;
        }
        whole = earlier.len() - rest.len();
    }
    if whole == 0 {
        files::replace(path, false, |file| file.write_all(of.as_bytes()))?;
        whole = of.len();
    }
    let file = OpenOptions::new().append(true).open(path);
    let cut = file.and_then(|file| file.set_len(whole as u64).map(|()| file));
    cut.map_err(Error::io("write", path))
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

/// The first record, and what follows it.
fn parse(bytes: &[u8]) -> Option<(usize, Vec<Descriptors>, &[u8])> {
    let (length, rest) = word(bytes)?;
    let (crc32, rest) = word(rest)?;
    let (content, rest) = rest.split_at_checked(length as usize)?;
    if crc32fast::hash(content) != crc32 {
        return None;
    }
    let (image, mut content) = word(content)?;
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
    Some((image as usize, layers, rest))
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*word), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (image, layers, rest) = parse(&bytes).unwrap();
        assert_eq!((image, layers), (7, vec![layer(2), layer(1)]));
        let (image, layers, rest) = parse(rest).unwrap();
        assert!(image == 8 && layers == [layer(0)] && rest.is_empty());
        for length in 0..first {
            assert!(parse(&bytes[..length]).is_none(), "{length}");
        }
        bytes[20] ^= 1;
        assert!(parse(&bytes).is_none());
    }
}
