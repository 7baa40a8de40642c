//! The stack of layers.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::Tensor;

use super::Layer;
use crate::data::Lump;

/// A stack of layers, the image side first.
///
/// With filters alone it is the linear map `R = F_1 F_2 ... F_L` from the maps of the top layer to
/// the image. In the layer-wise form each layer explains the maps of the layer below after those
/// were shifted and scaled as a lump; [`Network::synthesize`] undoes that on the way down.
#[derive(Module, Debug)]
pub struct Network {
    /// The layers; `layers[0]` explains the image.
    pub layers: Vec<Layer>,
    /// `rescaling[l]` was applied to the maps of layer `l` before layer `l + 1` was to explain them.
    #[module(skip)]
    pub rescaling: Vec<Option<Lump>>,
}

impl Network {
    /// A network of the given layers, without rescaling between them.
    pub fn new(layers: Vec<Layer>) -> Self {
        let rescaling = vec![None; layers.len()];
        let numbered = layers.into_iter().enumerate();
        Self {
            layers: numbered.map(|(l, layer)| layer.numbered(l)).collect(),
            rescaling,
        }
    }

    /// The part of the stack made of `layers`.
    pub fn part(&self, layers: Range<usize>) -> Self {
        Self {
            layers: self.layers[layers.clone()].to_vec(),
            rescaling: self.rescaling[layers].to_vec(),
        }
    }

    /// The top layer.
    pub fn top(&self) -> &Layer {
        &self.layers[self.layers.len() - 1]
    }

    /// The shape of the top maps for a batch of planes `[n, C, height, width]` at the bottom.
    pub fn maps_shape(&self, [n, _, height, width]: [usize; 4]) -> [usize; 4] {
        let grown = |size: usize, d: usize| {
            let taps = self.layers.iter().map(|layer| layer.filter_size()[d] - 1);
            size + taps.sum::<usize>()
        };
        let maps = self.top().connectivity.maps();
        [n, maps, grown(height, 0), grown(width, 1)]
    }

    /// Top maps down to the planes at the bottom, `R z`, linear: no rescaling is undone.
    pub fn project(&self, maps: Tensor<4>) -> Tensor<4> {
        self.layers
            .iter()
            .rev()
            .fold(maps, |maps, layer| layer.synthesize(maps))
    }

    /// The adjoint of [`Network::project`]: planes at the bottom up to the top maps, `R' r`.
    pub fn lift(&self, planes: Tensor<4>) -> Tensor<4> {
        self.layers
            .iter()
            .fold(planes, |planes, layer| layer.analyze(planes))
    }

    /// Top maps down to the planes at the bottom, undoing the rescaling between layers: the
    /// reconstruction that the maps stand for.
    pub fn synthesize(&self, maps: Tensor<4>) -> Tensor<4> {
        let mut planes = maps;
        for (l, layer) in self.layers.iter().enumerate().rev() {
            planes = layer.synthesize(planes);
            if let Some(lump) = self.rescaled_below(l) {
                planes = planes / lump.scale + lump.shift;
            }
        }
        planes
    }

    /// The same stack with the rescaling folded into the filters: layer `l` is divided by the scale
    /// that the maps below it were multiplied by. What the shifts add does not depend on the maps,
    /// so that
    ///
    /// ```text
    /// synthesize(z) = flattened().project(z) + synthesize(0)
    /// ```
    pub fn flattened(&self) -> Self {
        let fold = |(l, layer): (usize, &Layer)| match self.rescaled_below(l) {
            Some(lump) => layer.with_filters(layer.filters.val() / lump.scale),
            None => layer.clone(),
        };
        Self::new(self.layers.iter().enumerate().map(fold).collect())
    }

    /// The maps of layer `l` as the layer above is to explain them, `(z - shift) * scale`.
    pub fn rescale(&self, l: usize, maps: Tensor<4>) -> Tensor<4> {
        match self.rescaling[l] {
            Some(lump) => (maps - lump.shift) * lump.scale,
            None => maps,
        }
    }

    /// What was done to the maps that layer `l` explains.
    fn rescaled_below(&self, l: usize) -> Option<Lump> {
        l.checked_sub(1).and_then(|below| self.rescaling[below])
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::connectivity::Connectivity;
    use crate::model::{Constraint, FeatureMaps};

    #[test]
    fn flattened_is_synthesize_but_for_what_zero_maps_stand_for() {
        let device = Device::flex();
        let layer = |g, size, seed| Layer::random(g, size, Constraint::UnitPlanes, seed, &device);
        let mut network = Network::new(vec![
            layer(Connectivity::full(2, 3), [3, 2], 0),
            layer(Connectivity::singles_and_pairs(3), [2, 4], 1),
            layer(Connectivity::full(6, 4), [3, 3], 2),
        ]);
        for (l, (shift, scale)) in [(0.3, 1.7), (-1.1, 0.2), (9.0, 9.0)]
            .into_iter()
            .enumerate()
        {
            network.rescaling[l] = Some(Lump { shift, scale });
        }
        let shape = network.maps_shape([2, 2, 7, 8]);
        let maps = FeatureMaps::start(shape, 1.0, 3, &device);
        let offset = network.synthesize(Tensor::zeros(shape, &device));
        let flat = network.flattened().project(maps.clone()) + offset;
        let error: f32 = (flat - network.synthesize(maps)).abs().max().into_scalar();
        assert!(error < 1e-4, "{error}");
    }
}
