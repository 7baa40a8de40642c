//! The pass over all pictures, which may be interrupted.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Looked, Options, PROGRESS, Ready};
use crate::convnet::{Keep, Strongest};
use crate::error::{Error, Result};
use crate::files;
use crate::task::{Callback, Event, goes_on};

/// How often an interrupted pass loses at most.
const SAVED_EVERY: Duration = Duration::from_secs(20);

/// What an interrupted pass goes on from.
#[derive(Serialize, Deserialize)]
pub(super) struct Progress {
    /// What must be the same to go on.
    pub of: String,
    /// Pictures looked at, from the first.
    pub done: usize,
    pub skipped: Vec<String>,
    pub layers: Vec<Strongest>,
}

/// What an earlier pass of the same kind left, or nothing seen yet.
pub(super) fn start(
    options: &Options,
    ready: &Ready,
    looked: &[Looked],
    paths: &[PathBuf],
) -> Result<Progress> {
    let model =
        fs::read(&options.source.model).map_err(Error::io("read", &options.source.model))?;
    let values: Vec<usize> = looked.iter().map(|one| one.layer.value).collect();
    let mut names = crc32fast::Hasher::new();
    for path in paths {
        names.update(path.as_os_str().as_encoded_bytes());
        names.update(&[0]);
    }
    let of = format!(
        "model {:08x}, pictures {} {:08x}, {:?}, layers {values:?}, places {} {}",
        crc32fast::hash(&model),
        paths.len(),
        names.finalize(),
        ready.preprocess,
        options.places,
        options.each
    );
    let file = options.out.join(PROGRESS);
    let earlier = fs::read(&file).ok();
    let earlier = earlier.and_then(|bytes| serde_json::from_slice::<Progress>(&bytes).ok());
    if let Some(progress) = earlier.filter(|progress| progress.of == of) {
        return Ok(progress);
    }
    let fresh = looked.iter().map(|one| {
        let maps = ready.net.shape(one.layer.value)[1];
        let apart = [0, 1].map(|k| match one.field.stride[k] {
            0 => 1,
            stride => (one.field.size[k] / (2 * stride)).max(1),
        });
        let keep = Keep {
            places: options.places,
            each: options.each,
            apart,
        };
        Strongest::new(maps, keep)
    });
    Ok(Progress {
        of,
        done: 0,
        skipped: Vec::new(),
        layers: fresh.collect(),
    })
}

/// Looks at the pictures that were not looked at yet. Whether it came to the end.
pub(super) fn pass(
    options: &Options,
    ready: &Ready,
    looked: &[Looked],
    paths: &[PathBuf],
    progress: &mut Progress,
    callback: &mut dyn Callback<Event>,
) -> Result<bool> {
    let save = |progress: &Progress| {
        let bytes = serde_json::to_vec(progress)
            .map_err(|error| Error::Numeric(format!("cannot write the progress: {error}")))?;
        files::replace(&options.out.join(PROGRESS), false, |file| {
            file.write_all(&bytes)
        })
    };
    let layers = looked.iter().map(|one| (one.layer.value, one.size));
    let layers: Vec<_> = layers.collect();
    let mut saved = Instant::now();
    while progress.done < paths.len() {
        let end = paths.len().min(progress.done + options.batch.max(1));
        ready.search(
            paths,
            progress.done..end,
            &layers,
            &mut progress.layers,
            &mut progress.skipped,
        )?;
        progress.done = end;
        if !goes_on(callback, "looking at pictures", end, paths.len()) {
            save(progress)?;
            return Ok(false);
        }
        if saved.elapsed() > SAVED_EVERY {
            save(progress)?;
            saved = Instant::now();
        }
    }
    save(progress)?;
    Ok(true)
}
