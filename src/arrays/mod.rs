//! Named plain arrays in and out, for what comes from Python or goes on there.
//!
//! A [`Bundle`] is one file: `.npz`, as `numpy.load` and `numpy.savez` know it, or `.safetensors`.
//! Arrays are float32 in row-major (C) order; numbers of other types, half precision among them, of
//! either order of bytes, and Fortran order are converted on reading. Single numbers keep float64, and short texts go along: 0-d entries of an `.npz`, and
//! 0-d tensors and the metadata of a `.safetensors`.

mod npy;
mod npz;
mod number;
mod safetensors;

#[cfg(test)]
mod python_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::{Error, Result, files};

/// A dense array, row-major: the last index runs fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Lengths along the axes, such as `[images, channels, height, width]`.
    pub shape: Vec<usize>,
    /// The elements, as many as the product of the shape.
    pub values: Vec<f32>,
}

impl Array {
    /// An array of this shape with these values.
    ///
    /// # Errors
    /// [`Error::Input`] if there are not as many values as the shape asks for.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Result<Self> {
        let array = Self { shape, values };
        array.check().map_err(Error::Input)?;
        Ok(array)
    }

    fn check(&self) -> Result<(), String> {
        match number::count(&self.shape) {
            Some(count) if count == self.values.len() => Ok(()),
            _ => Err(format!(
                "an array of shape {:?} cannot have {} values",
                self.shape,
                self.values.len()
            )),
        }
    }
}

/// What one file holds, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bundle {
    /// Arrays with one axis or more.
    pub arrays: BTreeMap<String, Array>,
    /// Whole numbers along one axis, such as the places of sparse maps; written as 32-bit integers, read
    /// back as an array.
    pub indices: BTreeMap<String, Vec<u32>>,
    /// Single numbers.
    pub scalars: BTreeMap<String, f64>,
    /// Texts.
    pub texts: BTreeMap<String, String>,
    /// The arrays whose numbers were unsigned bytes, as those of pictures are. Not written.
    pub bytes: BTreeSet<String>,
    /// Entries that were read but are none of these, each with the reason. Not written.
    pub others: BTreeMap<String, String>,
}

impl Bundle {
    /// Puts in an array.
    ///
    /// # Errors
    /// [`Error::Input`] if there are not as many values as the shape asks for.
    pub fn put(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<()> {
        let array = Array::new(shape.to_vec(), values)?;
        self.arrays.insert(name.into(), array);
        Ok(())
    }

    /// The array called `name`; `path` is for the message.
    ///
    /// # Errors
    /// [`Error::Input`] listing what is there, if there is no such array.
    pub fn array(&self, name: &str, path: &Path) -> Result<&Array> {
        // What a single array is called is a matter of its file.
        let only = || {
            let single = matches!(Format::of(path), Ok(Format::Npy));
            single.then(|| self.arrays.values().next()).flatten()
        };
        let found = self.arrays.get(name).or_else(only);
        found.ok_or_else(|| self.missing("array", name, path))
    }

    /// The number called `name`; `path` is for the message.
    ///
    /// # Errors
    /// [`Error::Input`] listing what is there, if there is no such number.
    pub fn scalar(&self, name: &str, path: &Path) -> Result<f64> {
        let found = self.scalars.get(name).copied();
        found.ok_or_else(|| self.missing("number", name, path))
    }

    /// The text called `name`; `path` is for the message.
    ///
    /// # Errors
    /// [`Error::Input`] listing what is there, if there is no such text.
    pub fn text(&self, name: &str, path: &Path) -> Result<&str> {
        let found = self.texts.get(name).map(String::as_str);
        found.ok_or_else(|| self.missing("text", name, path))
    }

    /// What there is, in words.
    pub fn contents(&self) -> String {
        let arrays = self.arrays.iter();
        let there: Vec<_> = arrays
            .map(|(name, array)| format!("array `{name}` {:?}", array.shape))
            .chain(self.scalars.keys().map(|name| format!("number `{name}`")))
            .chain(self.texts.keys().map(|name| format!("text `{name}`")))
            .chain(
                self.others
                    .iter()
                    .map(|(name, reason)| format!("`{name}`, which {reason}")),
            )
            .collect();
        match there.is_empty() {
            true => "nothing".to_owned(),
            false => there.join(", "),
        }
    }

    fn missing(&self, kind: &str, name: &str, path: &Path) -> Error {
        let single = matches!(Format::of(path), Ok(Format::Npy));
        let other = self.others.get(name);
        if let Some(reason) = other.or_else(|| self.others.values().next().filter(|_| single)) {
            return Error::Input(format!("{}: `{name}` {reason}", path.display()));
        }
        let there = self.contents();
        let path = path.display();
        Error::Input(format!("{path} holds no {kind} `{name}`; it holds {there}"))
    }
}

/// Reads the file at `path`, `.npz` or `.safetensors`, or the single array of a `.npy`.
///
/// # Errors
/// [`Error::Input`] if it is neither, cut short or damaged; [`Error::Io`] if it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Result<Bundle> {
    let path = path.as_ref();
    let format = Format::of(path)?;
    files::refuse_special(path)?;
    match format {
        Format::Npz => npz::read(path),
        Format::Npy => npz::read_single(path),
        Format::Safetensors => safetensors::read(path),
    }
}

/// Writes the file at `path`, `.npz` or `.safetensors`: all of it or nothing. What is there already
/// is replaced only with `overwrite`.
///
/// # Errors
/// [`Error::Exists`] if the file does; [`Error::Config`] if its name ends in neither; [`Error::Input`]
/// if an array has not as many values as its shape asks for or a name is taken twice; [`Error::Io`]
/// if it cannot be written.
///
/// # Examples
///
/// ```
/// use deconvnet::arrays::{self, Bundle};
///
/// let path = std::env::temp_dir().join(format!("deconvnet-example-{}.npz", std::process::id()));
/// let mut bundle = Bundle::default();
/// bundle.put("images", &[1, 1, 2, 2], vec![0.0, 0.25, 0.5, 1.0])?;
/// arrays::write(&path, &bundle, true)?;
/// assert_eq!(arrays::read(&path)?.array("images", &path)?.values[3], 1.0);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), deconvnet::Error>(())
/// ```
pub fn write(path: impl AsRef<Path>, bundle: &Bundle, overwrite: bool) -> Result<()> {
    let path = path.as_ref();
    check_path(path, overwrite)?;
    let format = Format::of(path)?;
    for (name, array) in &bundle.arrays {
        let place = |reason| Error::Input(format!("cannot write `{name}`: {reason}"));
        array.check().map_err(place)?;
        let taken = bundle.indices.contains_key(name)
            || bundle.scalars.contains_key(name)
            || bundle.texts.contains_key(name);
        if taken {
            return Err(place(
                "it names both an array and something else".to_owned(),
            ));
        }
    }
    match format {
        Format::Npz | Format::Npy => npz::write(path, bundle),
        Format::Safetensors => safetensors::write(path, bundle),
    }
}

/// Whether [`write()`] would take `path`, to be asked before work whose result it is to hold.
///
/// # Errors
/// [`Error::Exists`] if the file does, unless with `overwrite`; [`Error::Config`] if its name ends in
/// neither `.npz` nor `.safetensors`.
pub fn check_path(path: &Path, overwrite: bool) -> Result<()> {
    if let Format::Npy = Format::of(path)? {
        return Err(Error::Config(format!(
            "{} would hold a single array: its name must end in .npz or .safetensors",
            path.display()
        )));
    }
    files::refuse_existing(path, overwrite)
}

/// Whether a file holds arrays, by the ending of its name.
pub fn is_bundle(path: &Path) -> bool {
    Format::of(path).is_ok()
}

enum Format {
    Npz,
    /// Read alone.
    Npy,
    Safetensors,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str());
        match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("npz") => Ok(Self::Npz),
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => Err(Error::Config(format!(
                "{} is no file of arrays: its name must end in .npz, .npy or .safetensors",
                path.display()
            ))),
        }
    }
}
