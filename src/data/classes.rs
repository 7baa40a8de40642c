//! Classes of images: folders in a folder.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// The names of the folders in a folder, sorted; hidden ones are left out.
///
/// # Errors
/// [`Error::Io`] where it cannot be read.
pub fn folders(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The names of the classes that a folder holds, a folder each: at least two.
///
/// # Errors
/// [`Error::Input`] for fewer, [`Error::Io`].
pub fn class_folders(path: &Path) -> Result<Vec<String>> {
    let names = folders(path)?;
    let found = match &names[..] {
        [] => "no folder".into(),
        [name] => format!("one folder ({name})"),
        _ => return Ok(names),
    };
    Err(Error::Input(format!(
        "{} holds {found} of images, and at least two classes are needed to learn to tell them apart: \
         put the images of each class into a folder of its own there",
        path.display()
    )))
}
