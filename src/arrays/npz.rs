//! `.npz`: a zip archive of `.npy` entries; or one such entry by itself.

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::Bundle;
use super::npy::{self, Entry};
use crate::files;
use crate::{Error, Result};

/// Bytes from which on a zip entry needs longer fields.
const LARGE: usize = 1 << 31;
/// Bytes from which on an entry is compressed in the least time.
const LONG: usize = 1 << 24;

pub(super) fn read(path: &Path) -> Result<Bundle> {
    let damaged = |reason: String| {
        Error::Input(format!(
            "{}: {reason}; write it again, such as by numpy.savez",
            path.display()
        ))
    };
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| damaged(format!("not an .npz archive, or cut short ({error})")))?;
    let mut bundle = Bundle::default();
    for index in 0..archive.len() {
        let unpacked = |error| damaged(format!("entry {index} cannot be unpacked ({error})"));
        let mut entry = archive.by_index(index).map_err(unpacked)?;
        let name = entry.name().map_err(unpacked)?.into_owned();
        // As numpy does: whatever else is in the archive is no array.
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
            continue;
        };
        let mut bytes = Vec::new();
        entry
            .read_to_end(&mut bytes)
            .map_err(|error| damaged(format!("`{name}` cannot be unpacked ({error})")))?;
        let entry = npy::decode(&bytes);
        bundle.put_entry(
            &name,
            entry.map_err(|reason| damaged(format!("`{name}` {reason}")))?,
        );
    }
    Ok(bundle)
}

/// A single `.npy`, under the name of the file.
pub(super) fn read_single(path: &Path) -> Result<Bundle> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let entry = npy::decode(&bytes).map_err(|reason| {
        Error::Input(format!(
            "{} {reason}; write it again, such as by numpy.save",
            path.display()
        ))
    })?;
    let mut bundle = Bundle::default();
    let name = path.file_stem().unwrap_or_default();
    bundle.put_entry(&name.to_string_lossy(), entry);
    Ok(bundle)
}

impl Bundle {
    fn put_entry(&mut self, name: &str, entry: Entry) {
        let name = name.to_owned();
        match entry {
            Entry::Array(array) => drop(self.arrays.insert(name, array)),
            Entry::Bytes(array) => {
                self.bytes.insert(name.clone());
                self.arrays.insert(name, array);
            }
            Entry::Scalar(value) => drop(self.scalars.insert(name, value)),
            Entry::Text(text) => drop(self.texts.insert(name, text)),
            Entry::Other(reason) => drop(self.others.insert(name, reason)),
        }
    }
}

pub(super) fn write(path: &Path, bundle: &Bundle) -> Result<()> {
    files::replace(path, false, |file| {
        // In memory: on a full disk a writer that is dropped would have its own say on the terminal.
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, array) in &bundle.arrays {
            begin(&mut zip, name, array.values.len() * size_of::<f32>())?;
            npy::write_array(&mut zip, array)?;
        }
        for (name, values) in &bundle.indices {
            begin(&mut zip, name, values.len() * size_of::<u32>())?;
            npy::write_indices(&mut zip, values)?;
        }
        for (name, value) in &bundle.scalars {
            begin(&mut zip, name, 0)?;
            npy::write_scalar(&mut zip, *value)?;
        }
        for (name, text) in &bundle.texts {
            begin(&mut zip, name, 0)?;
            npy::write_text(&mut zip, text)?;
        }
        file.write_all(zip.finish()?.get_ref())
    })
}

/// Starts the entry called `name`, of about so many bytes.
fn begin<W: Write + Seek>(zip: &mut ZipWriter<W>, name: &str, bytes: usize) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        // Zeros shrink at any level; the digits of images hardly at all, whatever time it takes.
        .compression_level((bytes >= LONG).then_some(1))
        .large_file(bytes >= LARGE);
    Ok(zip.start_file(format!("{name}.npy"), options)?)
}
