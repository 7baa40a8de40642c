//! Runs by name or by folder.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::store::{CheckpointSelector, RunFolder};

/// Where runs lie unless a path says otherwise.
const RUNS: &str = "checkpoints";

/// Which run, and who computes.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The run: its name in checkpoints, which comes first, or its folder.
    #[arg(long, value_name = "RUN")]
    pub checkpoint: PathBuf,
    /// Which of its checkpoints: last, best, or a step.
    #[arg(long, value_name = "WHICH", default_value = "last")]
    pub at: CheckpointSelector,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short, default_value = "flex")]
    pub backend: Backend,
}

/// The folder of a run: a bare name lies in [`RUNS`].
pub fn folder(name: &Path) -> PathBuf {
    if name.components().count() > 1 || name.is_absolute() {
        name.to_path_buf()
    } else {
        Path::new(RUNS).join(name)
    }
}

/// The folder of a run that should be there. A run of this name in [`RUNS`] comes before a folder of the
/// same name, whatever is in it: `./NAME` is always the folder.
pub fn existing(name: &Path) -> PathBuf {
    let named = folder(name);
    match name.exists() && !RunFolder::is_at(&named) {
        true => name.to_path_buf(),
        false => named,
    }
}

/// Refuses to take a checkpoint of no run; what clap requires it lets pass beside flags that conflict with it.
///
/// # Errors
/// [`Error::Config`].
pub fn at_needs_resume(at: Option<CheckpointSelector>, resume: Option<&PathBuf>) -> Result<()> {
    match (at, resume) {
        (Some(_), None) => Err(Error::Config(
            "--at says which checkpoint to resume; name the run, --resume RUN".into(),
        )),
        _ => Ok(()),
    }
}

/// A folder in [`RUNS`] that is not there yet, named after what the run is about.
pub fn unused(about: Option<&Path>) -> PathBuf {
    let stem = about
        .and_then(Path::file_stem)
        .map_or("sample".into(), OsStr::to_string_lossy);
    let numbered = (2..).map(|n| format!("{stem}-{n}"));
    std::iter::once(stem.to_string())
        .chain(numbered)
        .map(|name| Path::new(RUNS).join(name))
        .find(|path| !path.exists())
        .unwrap_or_else(|| Path::new(RUNS).join(&*stem))
}
