//! Files that are either whole or not there, and their names.

mod paths;
mod written;

pub(crate) use paths::{
    Stored, each_lossily, file_name, lossily, option_lossily, stored, stored_option,
};
pub(crate) use written::{Written, names as written};

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// What the manifest of a run says it is.
pub(crate) const RUN_FORMAT: &str = "deconvnet-run";
/// The newest manifest of a run folder.
pub(crate) const RUN_MANIFEST: &str = "checkpoint.json";

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

/// Makes a folder, and sees whether it can be written to.
///
/// # Errors
/// [`Error::Io`] where it cannot.
pub(crate) fn try_to_write(folder: &Path) -> Result<()> {
    make_folder(folder)?;
    let probe = folder.join(format!(".deconvnet-{}", std::process::id()));
    fs::write(&probe, "").map_err(Error::io("write", &probe))?;
    remove(&probe)
}

/// Refuses what is neither a file nor a folder: a pipe has no end until its writer is done, a device may
/// have none.
pub(crate) fn refuse_special(path: &Path) -> Result<()> {
    let kind = fs::metadata(path).map_err(Error::io("read", path))?;
    match kind.is_file() || kind.is_dir() {
        true => Ok(()),
        false => Err(Error::io("read", path)(io::Error::other(
            "it is a pipe, a socket or a device; give a regular file",
        ))),
    }
}

/// The content of the regular file at `path`.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    refuse_special(path)?;
    fs::read(path).map_err(Error::io("read", path))
}

/// Whether there is a run in the folder at `path`, by what its manifest says.
pub(crate) fn is_run(path: &Path) -> bool {
    // The format is the first of its fields.
    let mut start = [0; 64];
    let manifest = path.join(RUN_MANIFEST);
    let is_file = fs::metadata(&manifest).is_ok_and(|kind| kind.is_file());
    let read = is_file.then(|| File::open(manifest).and_then(|mut file| file.read(&mut start)));
    let Some(Ok(length)) = read else { return false };
    String::from_utf8_lossy(&start[..length]).contains(RUN_FORMAT)
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
