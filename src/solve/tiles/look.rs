//! One look at all tiles: the objective of the whole image, its duality gap, and what is left to do where.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{COLOURS, State, TileStep, Tiles};
use crate::error::Result;
use crate::model::{DataTerm, DualSums, Sums, along, per_weight, totals};
use crate::solve::{Callback, in_double};

/// What was found after a sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Look {
    pub(super) sums: Sums,
    /// Tiles that were visited.
    pub(super) visits: usize,
    /// Seconds so far.
    pub(super) seconds: f64,
    /// The tiles of the sweep that comes next.
    pub(super) tiles: Vec<TileSums>,
}

/// What was found at one tile of the sweep that comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TileSums {
    pub(super) sums: Sums,
    /// `sum z R'r` over its maps: at the optimum `sparsity / data_weight` times its penalty.
    pub(super) pull: f64,
}

impl Tiles<'_> {
    /// The tiles of the sweep that comes next, after this one; none after an interruption.
    pub(super) fn look(
        &self,
        looks: &[Look],
        visits: usize,
        callback: &mut dyn Callback<TileStep>,
    ) -> Result<Option<Vec<TileSums>>> {
        let sweep = looks.len();
        let state = State {
            sweep,
            colours: COLOURS,
        };
        let tiles = self.spans(sweep + 1);
        let (rank, size) = (self.group.rank(), self.group.size());
        let mine = || (rank..tiles.len()).step_by(size);
        let of = visits + mine().count();
        let mut work = || {
            let mut found = Vec::new();
            for (k, tile) in mine().enumerate() {
                if callback.interrupted() {
                    return Ok(None);
                }
                found.push((tile, self.sums(state, tiles[tile])?));
                callback.event(TileStep {
                    sweep,
                    done: visits + k + 1,
                    of,
                    at: looks
                        .last()
                        .map(|look| self.objective.evaluation(look.sums)),
                });
            }
            Ok(Some(found))
        };
        let found = work();
        let found = self.group.agree(found)?;
        if self.group.any(found.is_none()) {
            return Ok(None);
        }
        // In the order of the tiles, so that the sums do not depend on the number of members.
        let mut found = self.group.gather(found.unwrap_or_default())?.concat();
        found.sort_by_key(|(tile, _)| *tile);
        Ok(Some(found.into_iter().map(|(_, sums)| sums).collect()))
    }

    fn sums(&self, state: State, tile: [super::Span; 2]) -> Result<TileSums> {
        let (patch, around) = self.surroundings(state, tile)?;
        let [network, window] = [&self.tile, &self.window].map(|n| n.map_filters(in_double));
        let around = in_double(around);
        let maps = around.clone().slice(self.inner(tile));
        let planes = in_double(patch.planes);
        let mut residual = planes.clone() - window.project(around);
        if let Some(inside) = patch.inside {
            residual = residual * in_double(inside);
        }
        let slope = network.lift(residual.clone());
        let pull = totals(slope.clone() * maps.clone())[0];
        let slope = per_weight(slope, &network, &maps);
        let own = |x: Tensor<4>| {
            let [_, channels, ..] = x.dims();
            let [rows, columns] = [0, 1].map(|d| self.axes[d].own(tile[d]));
            x.slice([0..1, 0..channels, rows, columns])
        };
        let (residual, data) = (own(residual), DataTerm::new(own(planes)));
        let sums = self
            .objective
            .sums(&network, residual.clone(), &maps, &data)[0];
        Ok(TileSums {
            sums: Sums {
                dual: Some(DualSums {
                    along: along(residual, &data)[0],
                    steepest: self.objective.steepest(&slope)[0],
                }),
                ..sums
            },
            pull,
        })
    }

    /// Whether the conditions of the optimum hold at a tile to within a share: no slope is steeper than the penalty
    /// holds, and where elements are not zero it is as steep.
    pub(super) fn is_settled(&self, tile: &TileSums, tolerance: f64) -> bool {
        let w = self.objective.sparsity() / self.objective.data_weight();
        let steepest = tile
            .sums
            .dual
            .map_or(f64::INFINITY, |dual| dual.steepest[0]);
        let slack = w * tile.sums.penalty - tile.pull;
        steepest <= (1.0 + tolerance) * w && slack <= tolerance * w * tile.sums.penalty
    }

    /// The share of the penalty in a tile's objective.
    pub(super) fn share(&self, tile: &TileSums) -> f64 {
        let at = self.objective.evaluation(tile.sums);
        at.penalty / at.objective.max(f64::MIN_POSITIVE)
    }
}
