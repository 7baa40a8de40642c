//! The pass over all pictures: shared by several calls or processes, and interrupted at any time.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Looked, Options, Ready};
use crate::convnet::{Keep, Strongest};
use crate::error::{Error, Result};
use crate::files::{self, refuse_existing};
use crate::task::shard::Shard;
use crate::task::{Callback, Event, goes_on};

/// How often an interrupted pass loses at most.
const SAVED_EVERY: Duration = Duration::from_secs(20);
/// What a pass has seen lies in `strongest.json`, and of a shard in `strongest-2-of-8.json`.
const STEM: &str = "strongest";

/// What was seen of some of the pictures.
#[derive(Serialize, Deserialize)]
pub(super) struct Seen {
    /// What must be the same to go on.
    of: String,
    /// The numbers of the pictures, in order.
    pub pictures: Vec<Range<usize>>,
    /// Those that could not be read, with the reason.
    pub skipped: BTreeMap<usize, String>,
    pub layers: Vec<Strongest>,
}

impl Seen {
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// How many pictures were looked at, but for those that could not be read.
    pub fn count(&self) -> usize {
        let all: usize = self.pictures.iter().map(Range::len).sum();
        all - self.skipped.len()
    }

    /// Those that could not be read are tried again: the reason may be gone.
    fn without_skipped(mut self) -> Self {
        if !self.skipped.is_empty() {
            let tried = std::mem::take(&mut self.pictures).into_iter().flatten();
            let skipped = std::mem::take(&mut self.skipped);
            self.add(tried.filter(|k| !skipped.contains_key(k)).map(|k| k..k + 1));
        }
        self
    }

    /// Takes in what was seen of others, or again of the same.
    pub fn join(&mut self, other: Self) {
        self.add(other.pictures);
        self.skipped.extend(other.skipped);
        for (mine, theirs) in self.layers.iter_mut().zip(&other.layers) {
            mine.join(theirs);
        }
    }

    fn add(&mut self, pictures: impl IntoIterator<Item = Range<usize>>) {
        self.pictures.extend(pictures);
        self.pictures.sort_by_key(|range| range.start);
        self.pictures.dedup_by(|next, before| {
            let touches = next.start <= before.end;
            if touches {
                before.end = before.end.max(next.end);
            }
            touches
        });
    }
}

/// Whether a picture is one of those that were seen.
fn has(seen: &[Range<usize>], picture: usize) -> bool {
    let at = seen.partition_point(|range| range.end <= picture);
    seen.get(at).is_some_and(|range| range.contains(&picture))
}

/// A pass over pictures.
pub(super) struct Pass<'a> {
    options: &'a Options,
    ready: &'a Ready,
    looked: &'a [Looked],
    paths: &'a [PathBuf],
    of: String,
}

impl<'a> Pass<'a> {
    pub fn new(
        options: &'a Options,
        ready: &'a Ready,
        looked: &'a [Looked],
        paths: &'a [PathBuf],
    ) -> Self {
        let values: Vec<usize> = looked.iter().map(|one| one.layer.value).collect();
        let mut names = crc32fast::Hasher::new();
        for path in paths {
            names.update(path.as_os_str().as_encoded_bytes());
            let size = fs::metadata(path).map_or(0, |file| file.len());
            names.update(&size.to_le_bytes());
        }
        let of = format!(
            "model {:08x}, pictures {} {:08x}, {:?}, layers {values:?}, places {} {}",
            ready.net.crc32(),
            paths.len(),
            names.finalize(),
            ready.preprocess,
            options.places,
            options.each
        );
        Self {
            options,
            ready,
            looked,
            paths,
            of,
        }
    }

    /// Model, pictures and settings: with others there is nothing to share, and nothing to go on from.
    pub fn of(&self) -> &str {
        &self.of
    }

    /// Nothing seen yet.
    pub fn nothing(&self) -> Seen {
        let layers = self.looked.iter().map(|one| {
            let maps = self.ready.net.shape(one.layer.value)[1];
            let apart = [0, 1].map(|k| match one.field.stride[k] {
                0 => 1,
                stride => (one.field.size[k] / (2 * stride)).max(1),
            });
            let keep = Keep {
                places: self.options.places,
                each: self.options.each,
                apart,
            };
            Strongest::new(maps, keep)
        });
        Seen {
            of: self.of.clone(),
            pictures: Vec::new(),
            skipped: BTreeMap::new(),
            layers: layers.collect(),
        }
    }

    /// Where a shard keeps what it has seen, or a call that looks at all pictures.
    fn file(&self, shard: Option<Shard>) -> PathBuf {
        let part = shard.map(Shard::part).unwrap_or_default();
        self.options.out.join(format!("{STEM}{part}.json"))
    }

    /// All such files in the folder for the results.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.options.out).into_iter().flatten();
        let parts = entries.flatten().filter(|entry| {
            let name = entry.file_name();
            Shard::of_file(STEM, &name.to_string_lossy()).is_some()
        });
        let mut parts: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
        parts.sort();
        parts.insert(0, self.file(None));
        parts
    }

    fn read(&self, path: &Path) -> Option<Seen> {
        let seen: Seen = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (seen.of == self.of).then_some(seen)
    }

    /// Whether a file is of this pass.
    fn owns(&self, path: &Path) -> bool {
        #[derive(Deserialize)]
        struct Head {
            of: String,
        }
        let head = fs::read(path).ok();
        let head = head.and_then(|bytes| serde_json::from_slice::<Head>(&bytes).ok());
        head.is_some_and(|head| head.of == self.of)
    }

    /// Refuses to replace what was seen of something else.
    fn refuse_other(&self, path: &Path) -> Result<()> {
        match self.options.overwrite || self.owns(path) {
            true => Ok(()),
            false => refuse_existing(path, false),
        }
    }

    fn save(&self, path: &Path, seen: &Seen) -> Result<()> {
        let bytes = serde_json::to_vec(seen)
            .map_err(|error| Error::Numeric(format!("cannot write what was seen: {error}")))?;
        files::replace(path, false, |file| file.write_all(&bytes))
    }

    /// What there is to go on from; those that could not be read are tried again.
    pub fn earlier(&self, callback: &mut dyn Callback<Event>) -> Seen {
        self.kept(callback).without_skipped()
    }

    /// All that calls have seen, by themselves or as shards, however many; tells what cannot be taken in.
    pub fn kept(&self, callback: &mut dyn Callback<Event>) -> Seen {
        let mut all = self.nothing();
        for path in self.files().iter().filter(|path| path.exists()) {
            match self.read(path) {
                Some(seen) => all.join(seen),
                None => callback.event(Event::Note(format!(
                    "{} is of another model, other pictures or other settings, or damaged: nothing is taken from it",
                    path.display()
                ))),
            }
        }
        all
    }

    /// Puts all of it into one file.
    pub fn fold(&self, all: &Seen) -> Result<()> {
        if self.files().len() > 1 {
            self.refuse_other(&self.file(None))?;
            self.save(&self.file(None), all)?;
            self.clear(&self.files()[1..]);
        }
        Ok(())
    }

    /// What this shard has seen so far.
    pub fn of_shard(&self, shard: Shard) -> Seen {
        let earlier = self.read(&self.file(Some(shard)));
        earlier.map_or_else(|| self.nothing(), Seen::without_skipped)
    }

    /// Removes what is to go on from.
    pub fn finish(&self) {
        self.clear(&self.files());
    }

    fn clear(&self, files: &[PathBuf]) {
        for path in files.iter().filter(|path| self.owns(path)) {
            // Best effort: what is left is of a pass that is done, or is taken in once more.
            let _ = fs::remove_file(path);
        }
    }

    /// Looks at the pictures of a shard that were not looked at before; `mine` is kept in the file of shard `kept`.
    /// Whether it came to the end.
    ///
    /// Pictures are dealt out a batch at a time: what a picture gives may hang on its batch in the last bits.
    pub fn look(
        &self,
        shard: Option<Shard>,
        before: &[Range<usize>],
        mine: &mut Seen,
        kept: Option<Shard>,
        callback: &mut dyn Callback<Event>,
    ) -> Result<bool> {
        let (each, all) = (self.options.batch.max(1), self.paths.len());
        let file = self.file(kept);
        self.refuse_other(&file)?;
        let layers = self.looked.iter().map(|one| (one.layer.value, one.size));
        let layers: Vec<_> = layers.collect();
        let firsts = (0..all).step_by(each).enumerate();
        let own = firsts.filter(|(k, _)| shard.is_none_or(|shard| shard.has(*k)));
        let own: Vec<_> = own.map(|(_, first)| first..all.min(first + each)).collect();
        let of = own.iter().map(Range::len).sum();
        let (mut done, mut saved) = (0, Instant::now());
        for batch in own {
            done += batch.len();
            let rest: Vec<usize> = batch.filter(|&k| !has(before, k)).collect();
            if rest.is_empty() {
                continue;
            }
            let (layers, skipped) = (&layers, &mut mine.skipped);
            self.ready
                .search(self.paths, &rest, layers, &mut mine.layers, skipped)?;
            mine.add(rest.into_iter().map(|k| k..k + 1));
            if !goes_on(callback, "looking at pictures", done, of) {
                self.save(&file, mine)?;
                return Ok(false);
            }
            if saved.elapsed() > SAVED_EVERY {
                self.save(&file, mine)?;
                saved = Instant::now();
            }
        }
        self.save(&file, mine)?;
        Ok(true)
    }
}
