//! The strongest places of maps, those above zero and those below: a map and what it explains may both be
//! turned round, so that either kind can be the one that matters.

use burn::tensor::Tensor;

use super::coded::Coded;
use crate::error::Result;
use crate::run::Run;

/// The strongest places so far, image by image.
pub(super) struct Search<P> {
    /// Each layer, from 0, with its maps.
    pub(super) layers: Vec<(usize, Vec<Strongest<P>>)>,
    /// How many places of each sign are kept of each map.
    pub(super) per_map: usize,
}

impl<P: Clone> Search<P> {
    /// To find `per_map` places for each map.
    pub(super) fn new(run: &Run, per_map: usize) -> Self {
        let maps = |layer: usize| run.network.layers()[layer].connectivity.maps();
        let layer = |layer: usize| (layer, vec![Strongest::default(); maps(layer)]);
        Self {
            layers: run.state.tops().into_iter().map(layer).collect(),
            per_map,
        }
    }

    /// Looks at the maps that one more image has of each layer.
    pub(super) fn add(
        &mut self,
        coded: &Coded,
        look: impl Fn(usize, &Tensor<4>, &mut [Strongest<P>]) -> Result<()>,
    ) -> Result<()> {
        coded.codes.iter().try_for_each(|(layer, codes)| {
            let found = self.layers.iter_mut().find(|(known, _)| known == layer);
            found.map_or(Ok(()), |(_, maps)| look(*layer, codes, maps))
        })
    }
}

/// The strongest places of one map so far, each with what is kept of it.
#[derive(Clone)]
pub(super) struct Strongest<P> {
    /// The sum of all magnitudes seen.
    strength: f64,
    signs: [Vec<(f32, P)>; 2],
}

impl<P> Default for Strongest<P> {
    fn default() -> Self {
        Self {
            strength: 0.0,
            signs: [Vec::new(), Vec::new()],
        }
    }
}

impl<P> Strongest<P> {
    /// Takes in the `values` of a map and those of its places that come into question of each sign,
    /// strongest first, `found(sign)`, as index and magnitude; of all seen, `count` of each sign stay.
    pub(super) fn add(
        &mut self,
        values: &[f32],
        count: usize,
        found: impl Fn(f32) -> Vec<(usize, f32)>,
        keep: impl Fn(usize) -> P,
    ) {
        self.strength += values.iter().map(|v| f64::from(v.abs())).sum::<f64>();
        for (sign, places) in [1.0, -1.0].into_iter().zip(&mut self.signs) {
            for (at, magnitude) in found(sign) {
                let rank = places.partition_point(|(other, _)| *other >= magnitude);
                if rank == count {
                    break;
                }
                places.insert(rank, (magnitude, keep(at)));
                places.truncate(count);
            }
        }
    }

    /// The sign that matters more, and its places, strongest first.
    pub(super) fn places(&self) -> (f32, &[(f32, P)]) {
        let [above, below] = &self.signs;
        let sum = |places: &[(f32, P)]| places.iter().map(|(magnitude, _)| magnitude).sum::<f32>();
        match sum(above) >= sum(below) {
            true => (1.0, above),
            false => (-1.0, below),
        }
    }
}

/// The maps that are used at all, those used most first.
pub(super) fn used<P>(maps: &[Strongest<P>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..maps.len())
        .filter(|&k| maps[k].strength > 0.0)
        .collect();
    order.sort_by(|&a, &b| maps[b].strength.total_cmp(&maps[a].strength));
    order
}
