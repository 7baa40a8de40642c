//! Files that are either whole or not there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The ending of files still being written.
pub(crate) const UNFINISHED: &str = "tmp";

/// Creates or replaces the file at `path` by what `fill` writes, all of it or nothing: the bytes go
/// to a file beside it that is renamed at the end. `synced` also waits until they are on the disk,
/// so that the new name cannot outlive its content when the power fails.
///
/// # Errors
/// [`Error::Io`] naming `path`; then what was at `path` is still there.
pub(crate) fn replace(
    path: &Path,
    synced: bool,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<()> {
    let unfinished = beside(path);
    let written = File::create(&unfinished).and_then(|mut file| {
        fill(&mut file)?;
        if synced { file.sync_all() } else { Ok(()) }
    });
    let renamed = written.and_then(|()| fs::rename(&unfinished, path));
    renamed.map_err(|error| {
        // Best effort: the error that stopped the writing is the one to tell.
        let _ = fs::remove_file(&unfinished);
        Error::io("write", path)(error)
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(UNFINISHED);
    name.into()
}

/// Waits until the content of the file at `path` is on the disk.
pub(crate) fn sync(path: &Path) -> Result<()> {
    // Opened for writing because Windows flushes no other handle.
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("write", path))
}

/// Waits until the names in the folder at `path` are on the disk.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    // Other systems cannot open a folder, and keep names in a journal of their own.
    if cfg!(unix) {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("write", path))?;
    }
    Ok(())
}

/// Makes the folder at `path` and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io("create", path))
}

/// Refuses to go on where there is something at `path` already, unless it may be replaced.
///
/// # Errors
/// [`Error::Exists`].
pub(crate) fn refuse_existing(path: &Path, overwrite: bool) -> Result<()> {
    match path.exists() && !overwrite {
        true => Err(Error::Exists(path.to_path_buf())),
        false => Ok(()),
    }
}

/// Removes the file at `path`.
pub(crate) fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(Error::io("remove", path))
}

/// Every file under the folder at `path`, at any depth; none if there is no such folder.
pub(crate) fn walk(path: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let entry = entry.map_err(Error::io("read", &folder))?;
            let kind = entry.file_type().map_err(Error::io("read", entry.path()))?;
            let list = if kind.is_dir() {
                &mut folders
            } else {
                &mut files
            };
            list.push(entry.path());
        }
    }
    Ok(files)
}
