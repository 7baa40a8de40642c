//! Opening a run folder, and reading what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::CheckpointSelector;
use super::layout::Layout;
use super::manifest::{Blob, Manifest};
use crate::files;
use crate::group::Group;
use crate::{Error, Result};

/// One run on disk: blobs by name, a trace, and checkpoints of both with the caller's state.
///
/// A folder opened for writing stays locked until it is dropped. One opened for reading stands for
/// one checkpoint; if another process goes on writing to the run, that checkpoint's files are there
/// until it is no longer kept.
#[derive(Debug)]
pub struct RunFolder {
    /// How many of the newest checkpoints [`commit`](Self::commit) leaves in place, at least one;
    /// the best is left in place as well. Starts at 3.
    pub keep: usize,
    pub(super) layout: Layout,
    /// The checkpoint committed last, or the one that was opened.
    pub(super) committed: Option<Manifest>,
    /// What is current, committed or not.
    pub(super) blobs: BTreeMap<String, Blob>,
    pub(super) trace_bytes: u64,
    pub(super) writer: Option<Writer>,
    /// Those who write blobs to it, and of whom the first commits.
    pub(super) group: Group,
}

/// What only a process that may write holds.
#[derive(Debug)]
pub(super) struct Writer {
    /// These two the first of a group alone has.
    _lock: Option<File>,
    pub trace: Option<File>,
    /// The revision that blobs written now belong to.
    pub revision: u64,
    /// Files of blobs not yet known to be on the disk.
    pub fresh: BTreeSet<String>,
    /// Blobs that the others of the group do not know of yet.
    pub untold: BTreeMap<String, Blob>,
}

impl Writer {
    fn new(files: Option<(File, File)>, revision: u64) -> Self {
        let (lock, trace) = files.unzip();
        Self {
            _lock: lock,
            trace,
            revision,
            fresh: BTreeSet::new(),
            untold: BTreeMap::new(),
        }
    }
}

impl RunFolder {
    /// Starts a run in a new or empty folder at `path`, or in one where a run was stopped before its first
    /// checkpoint.
    ///
    /// # Errors
    /// [`Error::Occupied`] if there is anything in the folder; [`Error::Checkpoint`] if another
    /// process writes to it; [`Error::Io`] if it cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        Self::create_together(path, &Group::alone())
    }

    /// The same for a group that shares the file system: each member writes blobs, [`share`](Self::share)
    /// tells the others of them, and all [`commit`](Self::commit) together.
    ///
    /// # Errors
    /// As [`create`](Self::create), by the first member.
    pub fn create_together(path: impl Into<PathBuf>, group: &Group) -> Result<Self> {
        let layout = Layout { root: path.into() };
        let mut files = None;
        group.lead(|| {
            files = Some(begin(&layout)?);
            Ok(())
        })?;
        let writer = Writer::new(files, 1);
        Ok(Self::at(layout, None, Some(writer), group))
    }

    /// Opens the run at `path` to go on from the checkpoint that is meant, which becomes the last
    /// one: checkpoints and lines of the trace that came after it are removed. A trace that was cut
    /// short goes on from its last whole line.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if another process writes to the run, or if the checkpoint is not
    /// there, cut short or of another version; [`Error::Io`] if reading or writing fails.
    pub fn open(path: impl Into<PathBuf>, which: CheckpointSelector) -> Result<Self> {
        Self::open_together(path, which, &Group::alone())
    }

    /// The same for a group, as [`create_together`](Self::create_together).
    ///
    /// # Errors
    /// As [`open`](Self::open), by the first member.
    pub fn open_together(
        path: impl Into<PathBuf>,
        which: CheckpointSelector,
        group: &Group,
    ) -> Result<Self> {
        let layout = Layout { root: path.into() };
        let mut files = None;
        let manifest = group.lead(|| {
            let (manifest, lock, trace) = reopen(&layout, which)?;
            files = Some((lock, trace));
            Ok(manifest)
        })?;
        let writer = Writer::new(files, manifest.revision + 1);
        Ok(Self::at(layout, Some(manifest), Some(writer), group))
    }

    /// Whether a run lies at `path`, be it damaged.
    pub fn is_at(path: impl Into<PathBuf>) -> bool {
        let layout = Layout { root: path.into() };
        layout.newest().exists() || layout.trace().exists()
    }

    /// Opens a checkpoint of the run at `path` for reading, without a lock.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is not there, cut short or of another version.
    pub fn read(path: impl Into<PathBuf>, which: CheckpointSelector) -> Result<Self> {
        let layout = Layout { root: path.into() };
        let manifest = layout.pick(which)?;
        Ok(Self::at(layout, Some(manifest), None, &Group::alone()))
    }

    fn at(
        layout: Layout,
        committed: Option<Manifest>,
        writer: Option<Writer>,
        group: &Group,
    ) -> Self {
        Self {
            keep: 3,
            blobs: committed
                .as_ref()
                .map_or_else(BTreeMap::new, |m| m.blobs.clone()),
            trace_bytes: committed.as_ref().map_or(0, |m| m.trace_bytes),
            layout,
            committed,
            writer,
            group: group.clone(),
        }
    }

    /// Those who write to the folder together.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.layout.root
    }

    /// The step and the state of the checkpoint committed last, or of the one that was opened.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is none yet, or if its state is not an `S`.
    pub fn state<S: DeserializeOwned>(&self) -> Result<(u64, S)> {
        let root = self.layout.root.display();
        let Some(manifest) = &self.committed else {
            return Err(Error::Checkpoint(format!(
                "{root} holds no checkpoint yet: commit one first"
            )));
        };
        let step = manifest.step;
        let state = S::deserialize(&manifest.state).map_err(|error| {
            Error::Checkpoint(format!(
                "{root}: the state of step {step} is not that of such a run ({error}): it is one of another kind, as of \
                 a convnet, or of another version"
            ))
        })?;
        Ok((step, state))
    }

    /// The step of the checkpoint committed last, or of the one that was opened.
    pub fn last_step(&self) -> Option<u64> {
        self.committed.as_ref().map(|manifest| manifest.step)
    }

    /// Whether there is a blob called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.blobs.contains_key(name)
    }

    /// The bytes last [`put`](Self::put) under `name`, committed or not, checked against their
    /// length and checksum.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is no such blob or its file is missing or damaged;
    /// [`Error::Io`] if it cannot be read.
    pub fn get(&self, name: &str) -> Result<Vec<u8>> {
        let Some(blob) = self.blobs.get(name) else {
            let some: Vec<_> = self.blobs.keys().take(8).map(String::as_str).collect();
            return Err(Error::Checkpoint(format!(
                "{} holds no `{name}`; it holds {} blobs: {}",
                self.layout.root.display(),
                self.blobs.len(),
                some.join(", ")
            )));
        };
        let path = self.layout.blob(&blob.file);
        let checked = match fs::read(&path) {
            Ok(bytes) => blob.check(&bytes).map(|()| bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Err("is not there".to_owned()),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        checked.map_err(|reason| {
            // Checkpoints share the blobs that did not change between them.
            let suits = |manifest: &Manifest| manifest.blobs.get(name) != Some(blob);
            Error::Damaged {
                whole: self.layout.newest_whole(suits),
                path,
                reason,
            }
        })
    }

    /// The trace, up to the checkpoint in a folder opened for reading, all of it in one opened for
    /// writing. No more than curves hang on it, so what of it cannot be read is left out.
    ///
    /// # Errors
    /// [`Error::Io`] if reading fails.
    pub fn read_trace<T: DeserializeOwned>(&self) -> Result<Trace<T>> {
        let text = trace_text(&self.layout, self.trace_bytes)?;
        let whole = whole_lines(&text);
        let mut records = Vec::new();
        let mut unreadable: Vec<usize> = Vec::new();
        for (number, line) in (1..).zip(whole.split_inclusive(|&byte| byte == b'\n')) {
            match serde_json::from_slice(line) {
                Ok(record) => records.push(record),
                Err(_) => unreadable.push(number),
            }
        }
        let mut flaws = Vec::new();
        if (whole.len() as u64) < self.trace_bytes {
            flaws.push(format!(
                "{} bytes of whole lines where {} were written",
                whole.len(),
                self.trace_bytes
            ));
        }
        if let [first, ..] = unreadable[..] {
            flaws.push(format!(
                "no record in {} of its lines, the first of them line {first}",
                unreadable.len()
            ));
        }
        let flaw = (!flaws.is_empty()).then(|| {
            format!(
                "{} is damaged: {}; the curves leave out what is lost, and nothing else hangs on it",
                self.layout.trace().display(),
                flaws.join("; ")
            )
        });
        Ok(Trace { records, flaw })
    }
}

/// The lines of a trace that can be read.
#[derive(Debug)]
pub struct Trace<T> {
    /// A record for each, oldest first.
    pub records: Vec<T>,
    /// What is wrong with the others, if anything is.
    pub flaw: Option<String>,
}

/// So many bytes of the trace, as far as they are there.
fn trace_text(layout: &Layout, bytes: u64) -> Result<Vec<u8>> {
    let path = layout.trace();
    let mut text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    text.truncate(bytes as usize);
    Ok(text)
}

/// Without the line at the end that has no end itself.
fn whole_lines(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte == b'\n');
    &text[..end.map_or(0, |end| end + 1)]
}

/// Makes the folder of a new run; its lock and its trace.
fn begin(layout: &Layout) -> Result<(File, File)> {
    refuse_occupied(layout)?;
    files::make_folder(&layout.root)?;
    let lock = lock(layout)?;
    // Again, for whoever held the lock between the look and the lock.
    refuse_occupied(layout)?;
    layout.clear_abortive()?;
    files::make_folder(&layout.blobs())?;
    files::make_folder(&layout.manifests())?;
    let trace = File::create_new(layout.trace()).map_err(Error::io("create", layout.trace()))?;
    Ok((lock, trace))
}

/// Makes a checkpoint the last one; it, and the lock and the trace of the run.
fn reopen(layout: &Layout, which: CheckpointSelector) -> Result<(Manifest, File, File)> {
    // A look before the lock, so that no lock is left in a folder that holds no run.
    layout.pick(which)?;
    let lock = lock(layout)?;
    let mut manifest = layout.pick(which)?;
    let mut trace = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(layout.trace())
        .map_err(Error::io("open", layout.trace()))?;
    let whole = whole_lines(&trace_text(layout, manifest.trace_bytes)?).len() as u64;
    let is_cut = whole < manifest.trace_bytes;
    manifest.trace_bytes = whole;

    // From here on this checkpoint is the last one. A kill between these lines leaves nothing
    // that the next opening does not put right.
    if which != CheckpointSelector::Last || is_cut {
        manifest.save(&layout.newest())?;
    }
    manifest.save(&layout.kept(manifest.step))?;
    for step in layout.kept_steps()? {
        let path = layout.kept(step);
        if step > manifest.step {
            files::remove(&path)?;
        } else if is_cut && let Ok(mut older) = layout.load(&path) {
            older.trace_bytes = older.trace_bytes.min(whole);
            older.save(&path)?;
        }
    }
    cut(&mut trace, whole).map_err(Error::io("write", layout.trace()))?;
    Ok((manifest, lock, trace))
}

fn refuse_occupied(layout: &Layout) -> Result<()> {
    if !layout.is_occupied()? {
        return Ok(());
    }
    Err(Error::Occupied {
        folder: layout.root.clone(),
        resumable: layout.newest().exists(),
    })
}

/// Takes the lock, which the system gives back when the process ends, however it ends.
fn lock(layout: &Layout) -> Result<File> {
    let path = layout.lock();
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    // A killed process, or a child between fork and exec, may hold it for a moment more.
    let patience = Instant::now() + Duration::from_millis(200);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Checkpoint(format!(
                    "another process is writing to {}: wait until it ends, or choose another folder",
                    layout.root.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
    }
}

/// Makes `file` end, and the next write begin, after `bytes`.
pub(super) fn cut(file: &mut File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes)).map(|_| ())
}
