//! The manifest: what one checkpoint consists of.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files;
use crate::{Error, Result};

/// Version 1 differs in what the state holds, which its reader sees to.
const VERSION: u64 = 2;
const OLDEST: u64 = 1;

/// One checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub format: String,
    pub version: u64,
    /// Counts attempts to commit; part of the names of the blobs written for it.
    pub revision: u64,
    pub step: u64,
    /// The step of the best checkpoint so far.
    pub best: Option<u64>,
    /// The caller's.
    pub state: Value,
    /// By name.
    pub blobs: BTreeMap<String, Blob>,
    /// How much of the trace belongs to this checkpoint.
    pub trace_bytes: u64,
}

/// One immutable file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blob {
    /// Path in the folder of blobs, with `/` between the parts.
    pub file: String,
    pub bytes: u64,
    pub crc32: u32,
}

impl Manifest {
    pub fn new(revision: u64, step: u64, state: Value) -> Self {
        Self {
            format: files::RUN_FORMAT.to_owned(),
            version: VERSION,
            revision,
            step,
            best: None,
            state,
            blobs: BTreeMap::new(),
            trace_bytes: 0,
        }
    }

    /// Reads a manifest from the text of its file; the error is the reason, without the path.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text)
            .map_err(|error| format!("is cut short or damaged ({error})"))?;
        // Before the fields, which another version may name differently.
        if value["format"] != files::RUN_FORMAT {
            return Err("is not the checkpoint of a deconvnet run".to_owned());
        }
        let known = |version: u64| (OLDEST..=VERSION).contains(&version);
        if !value["version"].as_u64().is_some_and(known) {
            return Err(format!(
                "has format version {}, and this program reads versions {OLDEST} to {VERSION}: use \
                 the deconvnet that wrote it",
                value["version"]
            ));
        }
        let manifest: Self = serde_json::from_value(value)
            .map(|manifest: Self| Self {
                version: VERSION,
                ..manifest
            })
            .map_err(|error| format!("is incomplete or damaged ({error})"))?;
        match manifest.blobs.values().find(|blob| !is_plain(&blob.file)) {
            Some(blob) => Err(format!("names a file outside the run: `{}`", blob.file)),
            None => Ok(manifest),
        }
    }

    /// Writes the manifest to the file at `path`, onto the disk.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::io("write", path)(error.into()))?;
        files::replace(path, true, |file| std::io::Write::write_all(file, &text))
    }
}

impl Blob {
    /// Describes `bytes`, to be written to `file`.
    pub fn of(file: String, bytes: &[u8]) -> Self {
        Self {
            file,
            bytes: bytes.len() as u64,
            crc32: crc32fast::hash(bytes),
        }
    }

    /// Whether `found` is what was written; the error is the reason, without the path.
    pub fn check(&self, found: &[u8]) -> Result<(), String> {
        if found.len() as u64 != self.bytes {
            let (found, expected) = (found.len(), self.bytes);
            return Err(format!(
                "is damaged: {found} bytes where {expected} were written"
            ));
        }
        let (found, expected) = (crc32fast::hash(found), self.crc32);
        if found != expected {
            return Err(format!(
                "is damaged: all {} bytes are there, but their checksum is {found:08x} where \
                 {expected:08x} was written",
                self.bytes
            ));
        }
        Ok(())
    }
}

/// Whether `name` leads to something inside the folder it is looked up in.
pub(super) fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}
