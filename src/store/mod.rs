//! The run folder: checkpoints that a kill at any moment leaves whole.
//!
//! One folder holds one run, and one process at a time writes to it:
//!
//! ```text
//! RUN/lock                              held by the process that writes
//! RUN/checkpoint.json                   the newest manifest
//! RUN/checkpoints/00000012.json         manifests still kept: the last few, and the best
//! RUN/blobs/filters-00000003.bpk        what manifests refer to; never changed once committed
//! RUN/blobs/maps/L1/img00003-00000003.bpk
//! RUN/trace.jsonl                       one line a record, only ever appended to
//! ```
//!
//! A manifest names every blob of its step with length and checksum, how much of the trace belongs
//! to it, and the caller's state. [`RunFolder::put`] writes new files beside the committed ones, so
//! nothing that a manifest refers to is ever touched; [`RunFolder::commit`] makes them count by
//! renaming one small file. Whatever a killed process leaves behind is referred to by no manifest,
//! and the next commit removes it.
//!
//! The store deals in bytes and serde values; what they mean is the caller's business.

mod commit;
mod folder;
mod layout;
mod manifest;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;

pub use folder::{RunFolder, Trace};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which checkpoint of a run is meant. Parsed from `last`, `best` or a step number; in settings
/// `"last"`, `"best"` or `{ step = 12 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointSelector {
    /// The newest one.
    Last,
    /// The one most recently committed as the best.
    Best,
    /// The one of this step, if it is still kept.
    Step(u64),
}

impl std::str::FromStr for CheckpointSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "last" => Ok(Self::Last),
            "best" => Ok(Self::Best),
            _ => text.parse().map(Self::Step).map_err(|_| {
                Error::Config(format!(
                    "`{text}` is no checkpoint: say `last`, `best` or the number of a step"
                ))
            }),
        }
    }
}
