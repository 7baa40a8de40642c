//! The maps of tiles in a folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::files;
use crate::model::SparseMaps;
use crate::solve::{Look, TileStore};

/// A folder `sweep-1`, `sweep-2`, .. for each of the last sweeps, and what was found of all in `looks.json`.
pub(super) struct TileFolder(PathBuf);

impl TileFolder {
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn sweep(&self, sweep: usize) -> PathBuf {
        self.0.join(format!("sweep-{}", sweep + 1))
    }

    fn tile(&self, sweep: usize, tile: usize) -> PathBuf {
        self.sweep(sweep).join(format!("tile-{:05}", tile + 1))
    }
}

impl TileStore for TileFolder {
    fn get(&self, sweep: usize, tile: usize) -> Result<Option<SparseMaps>> {
        let path = self.tile(sweep, tile);
        if !path.exists() {
            return Ok(None);
        }
        let maps = SparseMaps::from_bytes(&files::read(&path)?);
        maps.map(Some).map_err(|error| {
            Error::Checkpoint(format!(
                "{}: {error}; remove the folder {}, and the image is coded anew",
                path.display(),
                self.0.display()
            ))
        })
    }

    fn put(&self, sweep: usize, tile: usize, maps: &SparseMaps) -> Result<()> {
        files::make_folder(&self.sweep(sweep))?;
        write(&self.tile(sweep, tile), &maps.to_bytes())
    }

    fn looks(&self) -> Result<Vec<Look>> {
        Ok(read(&self.0.join("looks.json"))?.unwrap_or_default())
    }

    fn keep(&self, looks: &[Look]) -> Result<()> {
        write_json(&self.0.join("looks.json"), &looks)?;
        match looks.len().checked_sub(2).map(|sweep| self.sweep(sweep)) {
            Some(old) if old.exists() => {
                fs::remove_dir_all(&old).map_err(Error::io("remove", &old))
            }
            _ => Ok(()),
        }
    }
}

/// Makes the folder for work of this identity, or goes on in it.
///
/// # Errors
/// [`Error::Exists`] where there is work of another one, unless it may be replaced.
pub(super) fn begin(folder: &Path, identity: &impl Serialize, overwrite: bool) -> Result<()> {
    let path = folder.join("work.json");
    let wanted = serde_json::to_value(identity)
        .map_err(|error| Error::Config(format!("the settings cannot be written: {error}")))?;
    if folder.exists() {
        let found: Option<serde_json::Value> = read(&path)?;
        if found.as_ref() == Some(&wanted) {
            return Ok(());
        }
        // A folder of somebody's own is never removed.
        if !overwrite || found.is_none() {
            return Err(Error::Exists(folder.to_path_buf()));
        }
        super::remove(folder)?;
    }
    files::make_folder(folder)?;
    write_json(&path, &wanted)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    serde_json::from_slice(&files::read(path)?)
        .map(Some)
        .map_err(|error| {
            Error::Checkpoint(format!(
                "{} is damaged ({error}); remove the folder, and the image is coded anew",
                path.display()
            ))
        })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(value)
        .map_err(|error| Error::Numeric(format!("cannot write {}: {error}", path.display())))?;
    write(path, &json)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    files::replace(path, false, |file| file.write_all(bytes))
}
