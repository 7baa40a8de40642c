//! Writing to a run folder, and the commit that makes it count.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::mem;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::folder::{RunFolder, Writer, cut};
use super::manifest::{Blob, Manifest, is_plain};
use crate::files;
use crate::{Error, Result};

/// One step of a commit. A process may be killed before or within any of them.
pub(super) type Stage = fn(&mut RunFolder, &Manifest) -> Result<()>;

/// The steps of a commit. The second makes the new checkpoint the last one, in one rename; those
/// after it tidy up, and the next commit makes up for what a kill left undone.
pub(super) const STAGES: [Stage; 5] = [
    RunFolder::sync_new,
    RunFolder::switch,
    RunFolder::keep_copy,
    RunFolder::drop_old,
    RunFolder::collect,
];

impl RunFolder {
    /// Writes `bytes` as the blob called `name`, such as `filters` or `maps/L1/img00003`. They
    /// count from the next [`commit`](Self::commit) on; what was committed before stays as it is.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; the blob then is what it was before.
    /// [`Error::Checkpoint`] if `name` leads out of the folder or the run was opened for reading.
    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if !is_plain(name) {
            return Err(Error::Checkpoint(format!(
                "`{name}` cannot name a blob: it leads out of the run folder"
            )));
        }
        let revision = self.writer()?.revision;
        let blob = Blob::of(format!("{name}-{revision:08}.bpk"), bytes);
        let path = self.layout.blob(&blob.file);
        files::make_folder(path.parent().unwrap_or(&path))?;
        files::replace(&path, false, |file| file.write_all(bytes))?;
        let alone = self.group.is_alone();
        let writer = self.writer()?;
        writer.fresh.insert(blob.file.clone());
        if !alone {
            writer.untold.insert(name.to_owned(), blob.clone());
        }
        self.blobs.insert(name.to_owned(), blob);
        Ok(())
    }

    /// Tells all members of the group of the blobs that each has put since the last time.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the run was opened for reading; those of [`Group::gather`].
    ///
    /// [`Group::gather`]: crate::group::Group::gather
    pub fn share(&mut self) -> Result<()> {
        if self.group.is_alone() {
            return Ok(());
        }
        let untold = mem::take(&mut self.writer()?.untold);
        let all = self.group.gather(untold)?;
        self.blobs.extend(all.into_iter().flatten());
        Ok(())
    }

    /// Appends `line` to the trace, at once and whole; of a group, the first member's. JSON has no infinities and no NaN: they read
    /// back as `null`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; the trace then is what it was before.
    /// [`Error::Checkpoint`] if the run was opened for reading.
    pub fn append_trace(&mut self, line: &impl Serialize) -> Result<()> {
        let (path, end) = (self.layout.trace(), self.trace_bytes);
        let mut text =
            serde_json::to_vec(line).map_err(|error| Error::io("write", &path)(error.into()))?;
        text.push(b'\n');
        let Some(trace) = &mut self.writer()?.trace else {
            return Ok(());
        };
        trace.write_all(&text).map_err(|error| {
            // Best effort: half a line would make the lines after it unreadable.
            let _ = cut(trace, end);
            Error::io("write", &path)(error)
        })?;
        self.trace_bytes += text.len() as u64;
        Ok(())
    }

    /// Makes the blobs and the trace as they are now, together with `state`, the checkpoint of
    /// `step`, all of it or nothing; with `best`, also the best one so far. Then removes what is no
    /// longer kept. Steps must not go backwards; the same step may be committed again.
    ///
    /// A group commits together: once the blobs of all members are on the disk, the first does.
    ///
    /// # Errors
    /// [`Error::Io`] if writing fails; the checkpoint committed before then is still whole.
    /// [`Error::Checkpoint`] if `step` is before the last one, if `state` could not be read back,
    /// or if the run was opened for reading.
    pub fn commit<S>(&mut self, step: u64, state: &S, best: bool) -> Result<()>
    where
        S: Serialize + DeserializeOwned,
    {
        let group = self.group.clone();
        if !group.leads() {
            let synced = self.sync_new_blobs();
            let writer = self.writer()?;
            writer.revision += 1;
            writer.fresh.clear();
            group.agree(synced)?;
        } else {
            group.agree(Ok(()))?;
        }
        self.share()?;
        group.lead(|| {
            let next = self.next(step, state, best)?;
            STAGES.iter().try_for_each(|stage| stage(self, &next))
        })
    }

    pub(super) fn next<S>(&mut self, step: u64, state: &S, best: bool) -> Result<Manifest>
    where
        S: Serialize + DeserializeOwned,
    {
        let writer = self.writer()?;
        let revision = writer.revision;
        // Also when the commit fails: it may have failed after its manifest reached the disk, and
        // then files of this revision must not be written again.
        writer.revision += 1;
        let committed = self.committed.as_ref();
        let (last, best_before) = committed.map_or((0, None), |m| (m.step, m.best));
        if step < last {
            return Err(Error::Checkpoint(format!(
                "cannot commit step {step} to {}, which is at step {last} already",
                self.layout.root.display()
            )));
        }
        // Infinities become `null`, which no number is read from: better found now than on resuming.
        let readable = |state: Value| S::deserialize(&state).map(|_| state);
        let state = serde_json::to_value(state).and_then(readable).map_err(|error| {
            Error::Checkpoint(format!(
                "the state of step {step} could not be read back and is not committed ({error}): \
                 are all its numbers finite?"
            ))
        })?;
        Ok(Manifest {
            best: if best { Some(step) } else { best_before },
            blobs: self.blobs.clone(),
            trace_bytes: self.trace_bytes,
            ..Manifest::new(revision, step, state)
        })
    }

    /// Brings new blobs, the folders they are in, and the trace onto the disk.
    fn sync_new(&mut self, _: &Manifest) -> Result<()> {
        self.sync_new_blobs()
    }

    fn sync_new_blobs(&self) -> Result<()> {
        let Self { layout, writer, .. } = self;
        let Some(writer) = writer else { return Ok(()) };
        let mut folders = BTreeSet::new();
        for file in &writer.fresh {
            let path = layout.blob(file);
            files::sync(&path)?;
            let above = path.ancestors().skip(1);
            let above = above.take_while(|folder| *folder != layout.root);
            folders.extend(above.map(Path::to_path_buf));
        }
        for folder in folders {
            files::sync_folder(&folder)?;
        }
        let synced = writer.trace.as_ref().map_or(Ok(()), File::sync_all);
        synced.map_err(Error::io("write", layout.trace()))
    }

    /// The moment of the commit.
    fn switch(&mut self, next: &Manifest) -> Result<()> {
        next.save(&self.layout.newest())?;
        self.committed = Some(next.clone());
        self.writer()?.fresh.clear();
        files::sync_folder(&self.layout.root)
    }

    fn keep_copy(&mut self, next: &Manifest) -> Result<()> {
        next.save(&self.layout.kept(next.step))
    }

    /// Removes the manifests that are neither among the newest nor the best.
    fn drop_old(&mut self, next: &Manifest) -> Result<()> {
        let steps = self.layout.kept_steps()?;
        let old = steps.len().saturating_sub(self.keep.max(1));
        for &step in steps[..old].iter().filter(|step| Some(**step) != next.best) {
            files::remove(&self.layout.kept(step))?;
        }
        Ok(())
    }

    /// Removes the blobs that no manifest refers to, and what a killed process had not finished.
    fn collect(&mut self, next: &Manifest) -> Result<()> {
        let mut used: BTreeSet<_> = next
            .blobs
            .values()
            .map(|b| self.layout.blob(&b.file))
            .collect();
        for step in self.layout.kept_steps()? {
            // Who knows what a damaged manifest refers to: then nothing is removed.
            let Ok(manifest) = self.layout.load(&self.layout.kept(step)) else {
                return Ok(());
            };
            used.extend(manifest.blobs.values().map(|b| self.layout.blob(&b.file)));
        }
        for folder in [self.layout.blobs(), self.layout.manifests()] {
            for path in files::walk(&folder)? {
                let unused = match path.extension().and_then(OsStr::to_str) {
                    Some("bpk") => !used.contains(&path),
                    Some(ending) => ending == files::UNFINISHED,
                    None => false,
                };
                if unused {
                    files::remove(&path)?;
                }
            }
        }
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut Writer> {
        let root = self.layout.root.display();
        self.writer.as_mut().ok_or_else(|| {
            Error::Checkpoint(format!(
                "{root} was opened for reading: open it for writing to go on with it"
            ))
        })
    }
}
