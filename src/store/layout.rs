//! Where things lie in a run folder, and how manifests are found in it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::CheckpointSelector;
use super::manifest::{Blob, Manifest};
use crate::files;
use crate::{Error, Result};

/// The paths of one run folder.
#[derive(Debug)]
pub(super) struct Layout {
    pub root: PathBuf,
}

impl Layout {
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub fn trace(&self) -> PathBuf {
        self.root.join("trace.jsonl")
    }

    pub fn newest(&self) -> PathBuf {
        self.root.join("checkpoint.json")
    }

    pub fn manifests(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    pub fn kept(&self, step: u64) -> PathBuf {
        self.manifests().join(format!("{step:08}.json"))
    }

    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub fn blob(&self, file: &str) -> PathBuf {
        self.blobs().join(file)
    }

    /// Whether anything but the lock is in the folder.
    pub fn is_occupied(&self) -> Result<bool> {
        match fs::read_dir(&self.root) {
            Ok(mut entries) => {
                Ok(entries.any(|entry| entry.map_or(true, |e| e.file_name() != "lock")))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("read", &self.root)(error)),
        }
    }

    /// The steps whose manifests are kept, oldest first.
    pub fn kept_steps(&self) -> Result<Vec<u64>> {
        let mut steps: Vec<u64> = files::walk(&self.manifests())?
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .filter_map(|path| path.file_stem()?.to_str()?.parse().ok())
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The manifest of the checkpoint that is meant.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is not there, cut short or of another version.
    pub fn pick(&self, which: CheckpointSelector) -> Result<Manifest> {
        let step = match which {
            CheckpointSelector::Last => return self.load(&self.newest()),
            CheckpointSelector::Best => self.load(&self.newest())?.best.ok_or_else(|| {
                Error::Checkpoint(format!(
                    "{}: no checkpoint was marked as the best; take the last one",
                    self.root.display()
                ))
            })?,
            CheckpointSelector::Step(step) => step,
        };
        self.load(&self.kept(step))
    }

    /// The manifest in the file at `path`.
    pub fn load(&self, path: &Path) -> Result<Manifest> {
        let reason = match fs::read(path) {
            Ok(text) => match Manifest::parse(&text) {
                Ok(manifest) => return Ok(manifest),
                Err(reason) => reason,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => "is not there".to_owned(),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        Err(Error::Damaged {
            path: path.to_path_buf(),
            reason,
            whole: self.newest_whole(|manifest| self.kept(manifest.step) != path),
        })
    }

    /// The step of the newest kept checkpoint that `suits`, of those whose files are all there in full
    /// length.
    pub fn newest_whole(&self, suits: impl Fn(&Manifest) -> bool) -> Option<u64> {
        let readable = |step| Manifest::parse(&fs::read(self.kept(step)).ok()?).ok();
        let is_there = |blob: &Blob| {
            fs::metadata(self.blob(&blob.file)).is_ok_and(|file| file.len() == blob.bytes)
        };
        let whole = |m: &Manifest| suits(m) && m.blobs.values().all(is_there);
        let steps = self.kept_steps().unwrap_or_default();
        let found = steps.into_iter().rev().filter_map(readable).find(whole);
        found.map(|manifest| manifest.step)
    }
}
