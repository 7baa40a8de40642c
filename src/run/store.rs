//! Where a run keeps its maps: in memory, or in a run folder together with its checkpoints.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};

use super::{TraceLine, load, save};
use crate::error::{Error, Result};
use crate::model::{FeatureMaps, SparseMaps};
use crate::store::{RunFolder, Trace};

/// Where maps and checkpoints are kept. Maps of which less than half the elements are not zero are
/// compressed, see [`SparseMaps`].
#[derive(Debug)]
pub enum Store {
    /// In memory; nothing is written.
    Memory(Memory),
    /// In a run folder.
    Folder(Box<RunFolder>),
}

/// Maps and the trace in memory.
#[derive(Debug, Default)]
pub struct Memory {
    maps: BTreeMap<String, Kept>,
    trace: Vec<TraceLine>,
}

#[derive(Debug)]
enum Kept {
    Dense(Box<Tensor<4>>),
    Sparse(SparseMaps),
}

impl Kept {
    /// The smaller of the two.
    fn new(maps: &Tensor<4>) -> Result<Self> {
        let sparse = SparseMaps::from_dense(maps)?;
        Ok(match sparse.density() < 0.5 {
            true => Self::Sparse(sparse),
            false => Self::Dense(Box::new(maps.clone())),
        })
    }
}

impl Store {
    /// Nothing kept yet, in memory.
    pub fn in_memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// The run folder, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) => None,
            Self::Folder(folder) => Some(folder.path()),
        }
    }

    /// Whether there are maps of this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Memory(memory) => memory.maps.contains_key(name),
            Self::Folder(folder) => folder.contains(name),
        }
    }

    /// Keeps maps of one image, `[1, K, ..]`.
    pub(super) fn put(&mut self, name: &str, maps: &Tensor<4>) -> Result<()> {
        let kept = Kept::new(maps)?;
        match self {
            Self::Memory(memory) => {
                memory.maps.insert(name.to_owned(), kept);
                Ok(())
            }
            Self::Folder(folder) => folder.put(
                name,
                &match kept {
                    Kept::Dense(maps) => save(FeatureMaps::new(*maps))?,
                    Kept::Sparse(maps) => maps.to_bytes(),
                },
            ),
        }
    }

    /// Maps of this name and shape.
    pub(super) fn get(&self, name: &str, shape: [usize; 4], device: &Device) -> Result<Tensor<4>> {
        match self {
            Self::Memory(memory) => match memory.maps.get(name) {
                Some(Kept::Dense(maps)) => Ok(Tensor::clone(maps)),
                Some(Kept::Sparse(maps)) => Ok(maps.to_dense(device)),
                None => Err(Error::Checkpoint(format!("there are no maps `{name}` yet"))),
            },
            Self::Folder(folder) => {
                let bytes = folder.get(name)?;
                if !SparseMaps::are_in(&bytes) {
                    let blank = FeatureMaps::new(Tensor::zeros(shape, device));
                    return Ok(load(folder, name, blank)?.maps.val());
                }
                let fail = |reason: String| {
                    let path = folder.path().display();
                    Error::Checkpoint(format!(
                        "'{name}' in {path} does not fit this run: {reason}; use the checkpoint with \
                         the deconvnet that wrote it"
                    ))
                };
                let maps = SparseMaps::from_bytes(&bytes).map_err(|e| fail(e.to_string()))?;
                match maps.shape() == shape[1..] {
                    true => Ok(maps.to_dense(device)),
                    false => Err(fail(format!(
                        "its maps are {:?} instead of {:?}",
                        maps.shape(),
                        &shape[1..]
                    ))),
                }
            }
        }
    }

    /// Tells all members of the group that writes to the folder of the maps that each has put.
    ///
    /// # Errors
    /// Those of [`RunFolder::share`].
    pub(crate) fn share(&mut self) -> Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Folder(folder) => folder.share(),
        }
    }

    /// Adds a line to the trace.
    pub(crate) fn append_trace(&mut self, line: &TraceLine) -> Result<()> {
        match self {
            Self::Memory(memory) => {
                memory.trace.push(line.clone());
                Ok(())
            }
            Self::Folder(folder) => folder.append_trace(line),
        }
    }

    /// The trace.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read.
    pub fn read_trace(&self) -> Result<Trace<TraceLine>> {
        match self {
            Self::Memory(memory) => Ok(Trace {
                records: memory.trace.clone(),
                flaw: None,
            }),
            Self::Folder(folder) => folder.read_trace(),
        }
    }
}
