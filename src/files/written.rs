//! The pictures in a folder that this program wrote, so that no search for images takes them for images.
//!
//! Their names are in the hidden file [`LIST`] of the folder, relative to it, a JSON value a line; several
//! that write to one folder have a list each, whose name begins so. What else is in the folder is the
//! user's own.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Stored;
use crate::{Error, Result};

const LIST: &str = ".deconvnet-pictures";

/// The list of one folder, to add to.
#[derive(Debug)]
pub(crate) struct Written {
    list: PathBuf,
}

impl Written {
    /// Makes the folder, and strikes from its list the pictures that are gone.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written to.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        Self::part_of_folder(folder, "")
    }

    /// The same with a list of its own, for one of several that write to the folder.
    ///
    /// # Errors
    /// As [`Written::in_folder`].
    pub fn part_of_folder(folder: &Path, part: &str) -> Result<Self> {
        super::make_folder(folder)?;
        let list = folder.join(format!("{LIST}{part}"));
        let before = listed(&list);
        let left: Vec<_> = before.iter().filter(|n| folder.join(n).exists()).collect();
        if left.len() < before.len() {
            let lines: String = left.iter().map(|name| line(name)).collect();
            super::replace(&list, false, |file| file.write_all(lines.as_bytes()))?;
        }
        Ok(Self { list })
    }

    /// Adds a picture that is about to be written, so that a kill leaves none that is not listed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn add(&self, name: &Path) -> Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.list);
        let added = file.and_then(|mut file| file.write_all(line(name).as_bytes()));
        added.map_err(Error::io("write", &self.list))
    }
}

/// The pictures in a folder that this program wrote; none where there is no list.
pub(crate) fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let lists = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(LIST));
    lists.flat_map(|list| listed(&list.path())).collect()
}

/// The pictures of one list.
fn listed(list: &Path) -> BTreeSet<PathBuf> {
    let text = fs::read(list).unwrap_or_default();
    let lines = text.split(|&byte| byte == b'\n');
    let stored = lines.filter_map(|line| serde_json::from_slice::<Stored>(line).ok());
    stored.map(Stored::into_path).collect()
}

fn line(name: &Path) -> String {
    let json = serde_json::to_string(&Stored::new(name)).unwrap_or_default();
    json + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_grows_and_forgets_what_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(names(folder).is_empty());
        let written = Written::in_folder(folder).unwrap();
        for name in ["a.png", "b/c.png", "a.png"] {
            written.add(Path::new(name)).unwrap();
        }
        let both = ["a.png", "b/c.png"].map(PathBuf::from);
        assert!(names(folder).into_iter().eq(both));
        fs::write(folder.join("a.png"), "").unwrap();
        Written::in_folder(folder).unwrap();
        assert!(names(folder).into_iter().eq([PathBuf::from("a.png")]));
        // One of several has a list of its own.
        let part = Written::part_of_folder(folder, "-1-of-2").unwrap();
        part.add(Path::new("d.png")).unwrap();
        Written::in_folder(folder).unwrap();
        assert_eq!(names(folder).len(), 2);
        // A damaged list is no reason to fail.
        fs::write(folder.join(LIST), b"\xff\n\"a.png\"\n[\n").unwrap();
        assert_eq!(names(folder).len(), 2);
    }
}
