//! The stack of layers.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Layer, LayerConfig};
use crate::error::{Error, Result};
use crate::linop::{Stack, Stage, Synthesis, spectral_bound};

/// A stack of at least one layer, the image side first; each explains the maps of the layer below.
///
/// With filters alone it is the linear map `R = F_1 F_2 ... F_L` from the maps of the top layer to
/// the image. In the layer-wise form each layer explains the maps of the layer below after those
/// were shifted and scaled together; [`Network::synthesize`] undoes that on the way down.
#[derive(Module, Debug)]
pub struct Network {
    layers: Vec<Layer>,
}

/// A stack of layers to be made with random filters.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::model::{LayerConfig, NetworkConfig};
///
/// let network = NetworkConfig {
///     layers: vec![
///         LayerConfig::new(Connectivity::full(3, 9), [7, 7]),
///         LayerConfig::new(Connectivity::singles_and_pairs(9), [7, 7]),
///     ],
/// };
/// let device = Device::flex();
/// let network = network.init(&device)?;
/// let maps = Tensor::zeros(network.maps_shape([1, 3, 32, 32]), &device);
/// assert_eq!(network.forward(maps).dims(), [1, 3, 32, 32]);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// The layers, the image side first.
    pub layers: Vec<LayerConfig>,
}

impl NetworkConfig {
    /// The network.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn init(&self, device: &Device) -> Result<Network> {
        Network::new(self.layers.iter().map(|layer| layer.init(device)).collect())
    }
}

impl Network {
    /// A network of the given layers.
    ///
    /// # Errors
    /// [`Error::Config`] where there is none, or one has other planes than the layer below has maps.
    pub fn new(layers: Vec<Layer>) -> Result<Self> {
        if layers.is_empty() {
            return Err(Error::Config(
                "a network needs at least one layer".to_owned(),
            ));
        }
        for (l, pair) in layers.windows(2).enumerate() {
            let [maps, planes] = [pair[0].connectivity.maps(), pair[1].connectivity.planes()];
            if maps != planes {
                return Err(Error::Config(format!(
                    "layer {} explains {planes} planes, but layer {} has {maps} maps",
                    l + 2,
                    l + 1
                )));
            }
        }
        Ok(Self { layers })
    }

    /// The layers; the first explains the image.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layers, to be changed.
    pub fn layers_mut(&mut self) -> &mut [Layer] {
        &mut self.layers
    }

    /// The part of the stack made of `layers`.
    ///
    /// # Panics
    /// Where there are no such layers, or the range is empty.
    pub fn part(&self, layers: Range<usize>) -> Self {
        assert!(!layers.is_empty(), "a network has at least one layer");
        Self {
            layers: self.layers[layers].to_vec(),
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

    /// [`Network::project`], by Burn's name.
    ///
    /// # Shapes
    /// top maps `[n, K, ..]`, see [`Network::maps_shape`] -> planes `[n, C, H, W]`.
    pub fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        self.project(maps)
    }

    /// Top maps down to the planes at the bottom, `R z`, linear: no rescaling is undone.
    ///
    /// # Shapes
    /// top maps `[n, K, ..]`, see [`Network::maps_shape`] -> planes `[n, C, H, W]`.
    pub fn project(&self, maps: Tensor<4>) -> Tensor<4> {
        self.operator().apply(maps)
    }

    /// The adjoint of [`Network::project`]: planes at the bottom up to the top maps, `R' r`.
    ///
    /// # Shapes
    /// planes `[n, C, H, W]` -> top maps `[n, K, ..]`.
    pub fn lift(&self, planes: Tensor<4>) -> Tensor<4> {
        self.operator().adjoint(planes)
    }

    /// `R` as a linear map of stages, from the top maps to the planes at the bottom.
    pub fn operator(&self) -> Stack {
        self.operator_of(0..self.layers.len())
    }

    /// [`Network::operator`] of some of the layers, none included.
    pub(crate) fn operator_of(&self, layers: Range<usize>) -> Stack {
        let down = self.layers[layers].iter().rev();
        let stage = |layer: &Layer| {
            Stage::Synthesis(Synthesis {
                filters: layer.filters.val(),
                connectivity: layer.connectivity.clone(),
            })
        };
        Stack::new(down.map(stage).collect())
    }

    /// An upper bound of `||R||^2` for images of a height and width, see [`spectral_bound`].
    pub fn squared_norm_bound(&self, image: [usize; 2]) -> f64 {
        let filters: Vec<_> = self.layers.iter().map(|l| l.filters.val()).collect();
        let layers: Vec<_> = filters
            .iter()
            .zip(&self.layers)
            .map(|(filters, layer)| (filters, &layer.connectivity))
            .collect();
        spectral_bound(&layers, image)
    }

    /// Top maps down to the planes at the bottom, undoing the rescaling between layers: the
    /// reconstruction that the maps stand for.
    ///
    /// # Shapes
    /// As [`Network::project`].
    pub fn synthesize(&self, maps: Tensor<4>) -> Tensor<4> {
        let mut planes = maps;
        for (l, layer) in self.layers.iter().enumerate().rev() {
            planes = layer.synthesize(planes);
            if l > 0 {
                planes = self.layers[l - 1].undo_rescaling(planes);
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
        let fold = |(l, layer): (usize, &Layer)| {
            let below = l.checked_sub(1).and_then(|l| self.layers[l].rescaling);
            let filters = match below {
                Some(rescaling) => layer.filters.val() / rescaling.scale,
                None => layer.filters.val(),
            };
            Layer {
                rescaling: None,
                ..layer.with_filters(filters)
            }
        };
        Self {
            layers: self.layers.iter().enumerate().map(fold).collect(),
        }
    }

    /// The same stack with other filters, one tensor for each layer.
    pub(crate) fn map_filters(&self, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        let layers = self.layers.iter();
        Self {
            layers: layers
                .map(|layer| layer.with_filters(f(layer.filters.val())))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::connectivity::Connectivity;
    use crate::data::Rescaling;
    use crate::model::FeatureMaps;

    #[test]
    fn flattened_is_synthesize_but_for_what_zero_maps_stand_for() {
        let device = Device::flex();
        let layer = |g, size, seed| LayerConfig::new(g, size).with_seed(seed).init(&device);
        let mut network = Network::new(vec![
            layer(Connectivity::full(2, 3), [3, 2], 0),
            layer(Connectivity::singles_and_pairs(3), [2, 4], 1),
            layer(Connectivity::full(6, 4), [3, 3], 2),
        ])
        .unwrap();
        for (l, (shift, scale)) in [(0.3, 1.7), (-1.1, 0.2), (9.0, 9.0)]
            .into_iter()
            .enumerate()
        {
            network.layers_mut()[l].rescaling = Some(Rescaling { shift, scale });
        }
        let shape = network.maps_shape([2, 2, 7, 8]);
        let maps = FeatureMaps::start(shape, 1.0, 3, &device);
        let offset = network.synthesize(Tensor::zeros(shape, &device));
        let flat = network.flattened().project(maps.clone()) + offset;
        let error: f32 = (flat - network.synthesize(maps)).abs().max().into_scalar();
        assert!(error < 1e-4, "{error}");
    }
}
