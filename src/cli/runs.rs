//! Runs by name or by folder.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::backend::Backend;
use crate::store::CheckpointSelector;

/// Where runs lie unless a path says otherwise.
const RUNS: &str = "checkpoints";

/// Which run, and who computes.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The run: its name in checkpoints, or its folder.
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

/// The folder of a run that should be there: as it was typed, or in [`RUNS`].
pub fn existing(name: &Path) -> PathBuf {
    if name.exists() {
        name.to_path_buf()
    } else {
        folder(name)
    }
}

/// A folder in [`RUNS`] that is not there yet, named after what the run is about.
pub fn unused(about: Option<&Path>) -> PathBuf {
    let stem = about
        .and_then(Path::file_stem)
        .and_then(|stem| stem.to_str())
        .unwrap_or("sample");
    let numbered = (2..).map(|n| format!("{stem}-{n}"));
    std::iter::once(stem.to_string())
        .chain(numbered)
        .map(|name| Path::new(RUNS).join(name))
        .find(|path| !path.exists())
        .unwrap_or_else(|| Path::new(RUNS).join(stem))
}
