//! Windows of the maps, put together from tiles, and of the image.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::cut::{Span, TILINGS};
use super::{COLOURS, State, Tiles};
use crate::error::{Error, Result};

/// Pixels, and which of them are of the image, where not all are.
pub(super) struct Patch {
    pub planes: Tensor<4>,
    pub inside: Option<Tensor<4>>,
}

impl Tiles<'_> {
    /// What a tile touches of the image, and the maps of the tile and the ring around it.
    pub(super) fn surroundings(&self, state: State, tile: [Span; 2]) -> Result<(Patch, Tensor<4>)> {
        let reach = self.axes.each_ref().map(|axis| axis.reach);
        let first = [0, 1].map(|d| tile[d].start as isize - reach[d] as isize);
        let len = [0, 1].map(|d| tile[d].len + 2 * reach[d]);
        Ok((self.patch(tile)?, self.gather(state, first, len)?))
    }

    /// The tile itself in the maps of its surroundings.
    pub(super) fn inner(&self, tile: [Span; 2]) -> [Range<usize>; 4] {
        let [rows, columns] = [0, 1].map(|d| {
            let reach = self.axes[d].reach;
            reach..reach + tile[d].len
        });
        [0..1, 0..self.maps_shape()[0], rows, columns]
    }

    /// The pixels that a tile touches; what lies beyond the border of the image is zero.
    fn patch(&self, tile: [Span; 2]) -> Result<Patch> {
        let first = [0, 1].map(|d| self.axes[d].first_pixel(tile[d].start as isize));
        let len = [0, 1].map(|d| tile[d].len + self.axes[d].reach);
        let [rows, columns] = [0, 1].map(|d| self.axes[d].inside(first[d], len[d]));
        let [channels, ..] = self.image.shape();
        let covered =
            [&rows, &columns].map(|parts| parts.iter().map(|(_, part)| part.len()).sum::<usize>());
        let device = Device::flex();
        let mut planes = Tensor::zeros([1, channels, len[0], len[1]], &device);
        let mut inside = Tensor::zeros([1, 1, len[0], len[1]], &device);
        for (top, rows) in &rows {
            for (left, columns) in &columns {
                let place = |channels| {
                    let rows = *top..top + rows.len();
                    [0..1, 0..channels, rows, *left..left + columns.len()]
                };
                let part = self.image.patch(rows.clone(), columns.clone())?;
                let ones = Tensor::ones([1, 1, rows.len(), columns.len()], &device);
                planes = planes.slice_assign(place(channels), part);
                inside = inside.slice_assign(place(1), ones);
            }
        }
        Ok(Patch {
            planes,
            inside: (covered != len).then_some(inside),
        })
    }

    /// The maps that a sweep ended with, in a window of `len` rows and columns from `first` on; zero beyond their border.
    ///
    /// # Shapes
    /// `[1, K, rows, columns]`
    ///
    /// # Errors
    /// Those of the store.
    pub fn window(&self, sweeps: usize, first: [isize; 2], len: [usize; 2]) -> Result<Tensor<4>> {
        let state = State {
            sweep: sweeps.saturating_sub(1),
            colours: COLOURS,
        };
        self.gather(state, first, len)
    }

    pub(super) fn gather(
        &self,
        state: State,
        first: [isize; 2],
        len: [usize; 2],
    ) -> Result<Tensor<4>> {
        let [k, ..] = self.maps_shape();
        let mut maps = vec![0.0; k * len[0] * len[1]];
        let is_visited = |tile: usize| self.colour(state.sweep, tile) < state.colours;
        // What a tile of this sweep that is visited covers has a newer value than that of the sweep before.
        let columns = self.axes[1].tilings[state.sweep % TILINGS].len();
        let is_new = |[row, column]: [usize; 2]| {
            let [i, j] = [(0, row), (1, column)].map(|(d, place): (usize, usize)| {
                self.axes[d].tile_of(state.sweep % TILINGS, place)
            });
            is_visited(i * columns + j)
        };
        let before = state
            .sweep
            .checked_sub(1)
            .filter(|_| state.colours < COLOURS);
        for sweep in before.into_iter().chain([state.sweep]) {
            let is_this = sweep == state.sweep;
            for (number, tile) in self.spans(sweep).into_iter().enumerate() {
                let meets = (0..2).all(|d| self.axes[d].meets(first[d], len[d], tile[d]));
                if !meets || (is_this && !is_visited(number)) {
                    continue;
                }
                let found = self
                    .store
                    .get(sweep, number)?
                    .filter(|maps| maps.shape() == [k, tile[0].len, tile[1].len]);
                let found = found.ok_or_else(|| {
                    Error::Checkpoint(format!(
                        "the maps of tile {} of sweep {} are missing or of another image; begin anew",
                        number + 1,
                        sweep + 1
                    ))
                })?;
                for (&place, &value) in found.places().iter().zip(found.values()) {
                    let (place, width) = (place as usize, tile[1].len);
                    let (line, column) = (place / width, place % width);
                    let (map, row) = (line / tile[0].len, line % tile[0].len);
                    let at = [row, column];
                    let at = [0, 1].map(|d| (tile[d].start + at[d]) % self.axes[d].maps);
                    if !is_this && is_new(at) {
                        continue;
                    }
                    let [row, column] =
                        [0, 1].map(|d| self.axes[d].place_in(first[d], len[d], at[d]));
                    if let (Some(row), Some(column)) = (row, column) {
                        maps[(map * len[0] + row) * len[1] + column] = value;
                    }
                }
            }
        }
        let data = TensorData::new(maps, [1, k, len[0], len[1]]);
        Ok(Tensor::from_data(data, (&Device::flex(), DType::F32)))
    }
}
