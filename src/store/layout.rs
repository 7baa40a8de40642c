//! Where things lie in a run folder, and how manifests are found in it.

use std::ffi::OsString;
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
        self.root.join(files::RUN_MANIFEST)
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

    /// Whether anything is in the folder but the lock and what a run leaves that was stopped before its
    /// first checkpoint.
    pub fn is_occupied(&self) -> Result<bool> {
        let left = match self.lock().exists() && self.trace().exists() && !self.has_manifest()? {
            true => &["lock", "trace.jsonl", "blobs", "checkpoints"][..],
            false => &["lock"],
        };
        let is_other = |name: OsString| !left.iter().any(|left| name == *left);
        match fs::read_dir(&self.root) {
            Ok(mut entries) => Ok(entries.any(|e| e.map_or(true, |e| is_other(e.file_name())))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("read", &self.root)(error)),
        }
    }

    /// Whether there is a checkpoint, or what may have been one.
    fn has_manifest(&self) -> Result<bool> {
        Ok(self.newest().exists() || !self.kept_steps()?.is_empty())
    }

    /// Removes what a run left that was stopped before its first checkpoint.
    pub fn clear_abortive(&self) -> Result<()> {
        for path in files::walk(&self.blobs())? {
            files::remove(&path)?;
        }
        match self.trace().exists() {
            true => files::remove(&self.trace()),
            false => Ok(()),
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
        let kept = self.kept_steps().unwrap_or_default();
        if self.newest().exists() && !kept.contains(&step) {
            let kept: Vec<_> = kept.iter().map(u64::to_string).collect();
            return Err(Error::Checkpoint(format!(
                "{} has no checkpoint of step {step}; those of steps {} are kept",
                self.root.display(),
                kept.join(", ")
            )));
        }
        self.load(&self.kept(step))
    }

    /// The names of some runs beside this one, in words.
    fn others(&self) -> String {
        const SHOWN: usize = 5;
        let beside = self.root.parent().map(fs::read_dir);
        let entries = beside.into_iter().flatten().flatten().flatten();
        let is_run = |entry: &fs::DirEntry| entry.path().join(files::RUN_MANIFEST).is_file();
        let names = entries.filter(is_run).map(|entry| entry.file_name());
        let mut names: Vec<_> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.truncate(SHOWN);
        match names.is_empty() {
            true => "check the path".into(),
            false => format!("beside it are {}", names.join(", ")),
        }
    }

    /// The manifest in the file at `path`.
    pub fn load(&self, path: &Path) -> Result<Manifest> {
        let reason = match fs::read(path) {
            Ok(text) => match Manifest::parse(&text) {
                Ok(manifest) => return Ok(manifest),
                Err(reason) => reason,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if path == self.newest() && self.kept_steps().unwrap_or_default().is_empty() {
                    return Err(Error::Checkpoint(format!(
                        "there is no run in {}; {}",
                        self.root.display(),
                        self.others()
                    )));
                }
                "is not there".to_owned()
            }
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
