//! What a layer explains, window by window: a picture, or the maps of the layer below.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use crate::data::Streamed;
use crate::error::Result;
use crate::model::Layer;
use crate::run::to_tensor;
use crate::solve::{Patches, Tiles};

/// A prepared picture.
pub(super) struct Pixels(pub Streamed);

impl Patches for Pixels {
    fn shape(&self) -> [usize; 3] {
        self.0.shape()
    }

    fn patch(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Tensor<4>> {
        let (window, _) = self.0.window(rows, columns)?;
        Ok(to_tensor(&window, &Device::flex()))
    }
}

/// The maps of a layer, as the one above explains them.
pub(super) struct Maps<'a> {
    pub tiles: &'a Tiles<'a>,
    pub sweeps: usize,
    pub layer: &'a Layer,
}

impl Patches for Maps<'_> {
    fn shape(&self) -> [usize; 3] {
        self.tiles.maps_shape()
    }

    fn patch(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Tensor<4>> {
        let first = [rows.start as isize, columns.start as isize];
        let maps = self
            .tiles
            .window(self.sweeps, first, [rows.len(), columns.len()])?;
        Ok(self.layer.rescale(maps))
    }
}
