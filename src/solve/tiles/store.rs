//! Where the image of tiles comes from, and where their maps are kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;

use super::Look;
use crate::error::Result;
use crate::model::SparseMaps;

/// An image of which there is never more in memory than a window.
pub trait Patches {
    /// `[C, H, W]`.
    fn shape(&self) -> [usize; 3];

    /// Some of its rows and columns, `[1, C, rows, columns]`, in single precision on the processor.
    ///
    /// # Errors
    /// Those of reading them.
    fn patch(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Tensor<4>>;
}

/// Where the maps of tiles are kept, those of the last two sweeps, and what was found of each sweep. Several
/// members of a group share one.
pub trait TileStore {
    /// The maps of a tile, where it was visited in that sweep.
    ///
    /// # Errors
    /// Those of reading them.
    fn get(&self, sweep: usize, tile: usize) -> Result<Option<SparseMaps>>;

    /// Keeps the maps of a tile.
    ///
    /// # Errors
    /// Those of writing them.
    fn put(&self, sweep: usize, tile: usize, maps: &SparseMaps) -> Result<()>;

    /// What was found of each sweep that is done.
    ///
    /// # Errors
    /// Those of reading it.
    fn looks(&self) -> Result<Vec<Look>>;

    /// Keeps that; the tiles of sweeps before the last are no longer needed.
    ///
    /// # Errors
    /// Those of writing it.
    fn keep(&self, looks: &[Look]) -> Result<()>;
}

/// Keeps the maps of tiles in memory.
#[derive(Debug, Default)]
pub struct TilesInMemory(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    tiles: BTreeMap<(usize, usize), SparseMaps>,
    looks: Vec<Look>,
}

impl TilesInMemory {
    fn kept<T>(&self, with: impl FnOnce(&mut Kept) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TileStore for TilesInMemory {
    fn get(&self, sweep: usize, tile: usize) -> Result<Option<SparseMaps>> {
        Ok(self.kept(|kept| kept.tiles.get(&(sweep, tile)).cloned()))
    }

    fn put(&self, sweep: usize, tile: usize, maps: &SparseMaps) -> Result<()> {
        self.kept(|kept| kept.tiles.insert((sweep, tile), maps.clone()));
        Ok(())
    }

    fn looks(&self) -> Result<Vec<Look>> {
        Ok(self.kept(|kept| kept.looks.clone()))
    }

    fn keep(&self, looks: &[Look]) -> Result<()> {
        self.kept(|kept| {
            kept.looks = looks.to_vec();
            let last = looks.len().saturating_sub(1);
            kept.tiles.retain(|&(sweep, _), _| sweep >= last);
        });
        Ok(())
    }
}
