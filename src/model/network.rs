//! The stack of layers.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Boundary, Layer, LayerConfig};
use crate::error::{Error, Result};
use crate::linop::{Stack, Stage, Synthesis, Unpool, spectral_bound};
use crate::pooling::{Pool, Switches};

/// A stack of at least one layer, the image side first; each explains the maps of the layer below.
///
/// With filters alone it is the linear map `R = F_1 F_2 ... F_L` from the maps of the top layer to
/// the image. In the layer-wise form each layer explains the maps of the layer below after those
/// were shifted and scaled together; [`Network::synthesize`] undoes that on the way down.
///
/// Where the maps of a layer are pooled for the layer above, the map is linear at given switches, those of
/// the images at hand, see [`Network::at`]:
///
/// ```text
/// R = F_1 U_s1 F_2 U_s2 ... F_L
/// ```
#[derive(Module, Debug)]
pub struct Network {
    layers: Vec<Layer>,
}

/// The side of an image for which [`spectral_bound`] looks at all frequencies.
const ALL_FREQUENCIES: usize = 1 << 20;

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
    /// [`Error::Config`] where there is none, or one has other planes than the layer below has maps, or
    /// another boundary; [`Error::Input`] for weights of the penalty that are not for its maps.
    pub fn new(layers: Vec<Layer>) -> Result<Self> {
        if layers.is_empty() {
            return Err(Error::Config(
                "a network needs at least one layer".to_owned(),
            ));
        }
        layers.iter().try_for_each(Layer::check_penalty_weights)?;
        for (l, pair) in layers.windows(2).enumerate() {
            let [below, above] = [pair[0].boundary, pair[1].boundary];
            if below != above {
                return Err(Error::Config(format!(
                    "layer {} has the boundary {}, but layer {} has {}; give all layers one",
                    l + 1,
                    below.name(),
                    l + 2,
                    above.name()
                )));
            }
            let maps = pair[0].connectivity.maps();
            let [pooled, planes] = [
                pair[0].pool.pooled_maps(maps),
                pair[1].connectivity.planes(),
            ];
            if pooled != planes {
                let after = match pair[0].pool.maps {
                    1 => String::new(),
                    adjacent => format!(", which windows of {adjacent} make {pooled}"),
                };
                return Err(Error::Config(format!(
                    "layer {} explains {planes} planes, but layer {} has {maps} maps{after}",
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

    /// Takes over the filters of `part`, which is made of these layers.
    pub(crate) fn take_filters(&mut self, layers: Range<usize>, part: &Self) {
        for (own, new) in self.layers[layers].iter_mut().zip(&part.layers) {
            *own = own.with_filters(new.filters.val());
        }
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

    /// The same network for images whose maps of each pooled layer below the top, the image side first,
    /// were pooled at these switches: the linear map that it is for them. Those of the top layer, which the
    /// linear map does not need, may follow.
    ///
    /// # Errors
    /// [`Error::Input`] where there is not one for each pooled layer below the top, or windows or maps are
    /// not those of the layer, or the batches differ.
    pub fn at(mut self, switches: Vec<Switches>) -> Result<Self> {
        let top_is_pooled = !self.top().pool.is_none();
        let pooled = self.layers.iter_mut();
        let pooled: Vec<_> = pooled.filter(|layer| !layer.pool.is_none()).collect();
        let below = pooled.len() - usize::from(top_is_pooled);
        let batch = |s: &Switches| s.maps_shape()[0];
        let alike = switches
            .windows(2)
            .all(|pair| batch(&pair[0]) == batch(&pair[1]));
        let fits = |(layer, switches): (&&mut Layer, &Switches)| {
            let [_, maps, ..] = switches.maps_shape();
            switches.windows() == layer.pool && maps == layer.connectivity.maps()
        };
        let count = (below..=pooled.len()).contains(&switches.len());
        if !count || !alike || !pooled.iter().zip(&switches).all(fits) {
            let shapes: Vec<_> = switches.iter().map(Switches::maps_shape).collect();
            return Err(Error::Input(format!(
                "switches for maps {shapes:?} do not fit the {below} pooled layers below the top; give those \
                 of the same images for each, found with the windows of the layer"
            )));
        }
        let mut switches = switches.into_iter();
        for layer in pooled {
            layer.switches = switches.next();
        }
        Ok(self)
    }

    /// [`Network::part`] at the switches of the maps of its layers, given by the layer's number in the whole
    /// network; only those of pooled layers below the top of the part are looked at.
    ///
    /// # Errors
    /// As [`Network::at`].
    pub fn stack<'a>(
        &self,
        layers: Range<usize>,
        maps: impl IntoIterator<Item = (usize, &'a Tensor<4>)>,
    ) -> Result<Self> {
        let below = layers.start..layers.end - 1;
        let pool = |l: usize| self.layers[l].pool;
        let pooled = maps
            .into_iter()
            .filter(|(l, _)| below.contains(l) && !pool(*l).is_none());
        let switches = pooled.map(|(l, maps)| Switches::of(maps, pool(l)));
        let switches = switches.collect();
        self.part(layers).at(switches)
    }

    /// The same with the switches of the top layer, those of its maps, where it is pooled.
    pub(crate) fn with_top_of(mut self, maps: &Tensor<4>) -> Self {
        let shape = maps.dims();
        let wanted = |top: &&mut Layer| {
            let known = top.switches.as_ref();
            !top.pool.is_none() && known.is_none_or(|known| known.maps_shape() != shape)
        };
        if let Some(top) = self.layers.last_mut().filter(wanted) {
            top.switches = Some(Switches::of(maps, top.pool));
        }
        self
    }

    /// The switches of each pooled layer, as [`Network::at`] was given them.
    pub fn switches(&self) -> Vec<Switches> {
        self.layers
            .iter()
            .filter_map(|layer| layer.switches.clone())
            .collect()
    }

    /// [`Network::switches`] without those of the top layer.
    pub(crate) fn switches_below(&self) -> Vec<Switches> {
        let below = &self.layers[..self.layers.len() - 1];
        let known = below.iter().filter_map(|layer| layer.switches.clone());
        known.collect()
    }

    /// The switches of a layer, where it is pooled and they are known.
    pub(crate) fn switches_of(&self, layer: usize) -> Option<&Switches> {
        self.layers[layer].switches.as_ref()
    }

    /// Whether maps are pooled between layers.
    pub fn is_pooled(&self) -> bool {
        let below = &self.layers[..self.layers.len() - 1];
        below.iter().any(|layer| !layer.pool.is_none())
    }

    /// The top layer.
    pub fn top(&self) -> &Layer {
        &self.layers[self.layers.len() - 1]
    }

    /// What maps are beyond the planes that they explain, in every layer.
    pub fn boundary(&self) -> Boundary {
        self.top().boundary
    }

    /// The same network with another boundary in every layer.
    pub fn with_boundary(&self, boundary: Boundary) -> Self {
        let layers = self.layers.iter().cloned();
        Self {
            layers: layers.map(|l| l.with_boundary(boundary)).collect(),
        }
    }

    /// The rows and the columns of the image, of a height and width, that an element of the top maps at
    /// a row and a column can reach, whatever the switches; what of it comes in again on the other side of a
    /// circular boundary is left out.
    pub fn reach(&self, place: [usize; 2], image: [usize; 2]) -> [Range<usize>; 2] {
        [0, 1].map(|d| {
            let [mut first, mut last] = [place[d] as isize; 2];
            for l in (0..self.layers.len()).rev() {
                let taps = self.layers[l].filter_size()[d];
                first += self.boundary().first(taps);
                last = last + self.boundary().first(taps) + taps as isize - 1;
                if let Some(below) = l.checked_sub(1) {
                    let Pool { rows, columns, .. } = self.layers[below].pool;
                    let size = [rows, columns][d] as isize;
                    (first, last) = (first * size, last * size + size - 1);
                }
            }
            let inside = |at: isize| at.clamp(0, image[d] as isize) as usize;
            inside(first)..inside(last + 1)
        })
    }

    /// The shape of the top maps for a batch of planes `[n, C, height, width]` at the bottom.
    pub fn maps_shape(&self, image: [usize; 4]) -> [usize; 4] {
        let below = &self.layers[..self.layers.len() - 1];
        let planes = below.iter().fold(image, |shape, layer| {
            layer.pool.pooled(layer.maps_shape(shape))
        });
        self.top().maps_shape(planes)
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

    /// [`Network::operator`] of some of the layers, none included: from the maps of the top one of them, or
    /// its pooled maps where there is a layer above and they are pooled for it.
    ///
    /// # Panics
    /// Where maps are pooled and the switches are not known, see [`Network::at`].
    pub(crate) fn operator_of(&self, layers: Range<usize>) -> Stack {
        let top = self.layers.len() - 1;
        let down = layers.rev().flat_map(|l| {
            let layer = &self.layers[l];
            let unpool = (l < top && !layer.pool.is_none()).then(|| {
                let switches = layer.switches.clone();
                let switches =
                    switches.expect("a pooled network is a linear map at given switches");
                Stage::Unpool(Unpool { switches })
            });
            let synthesis = Stage::Synthesis(Synthesis {
                filters: layer.filters.val(),
                connectivity: layer.connectivity.clone(),
            });
            let margin = layer.boundary.margin(layer.filter_size()).map(Stage::Pad);
            unpool.into_iter().chain(margin).chain([synthesis])
        });
        Stack::new(down.collect())
    }

    /// An upper bound of `||R||^2` for images of a height and width, see [`spectral_bound`]; with pooling
    /// the product of those of the layers, which holds for all switches, see [`Stack::norm_bound`].
    pub fn squared_norm_bound(&self, image: [usize; 2]) -> f64 {
        if self.is_pooled() {
            let n = self
                .switches()
                .first()
                .map_or(1, |switches| switches.maps_shape()[0]);
            let planes = [n, self.layers[0].connectivity.planes(), image[0], image[1]];
            let bound = self.operator().norm_bound(self.maps_shape(planes));
            return bound.expect("switches of these images").powi(2);
        }
        let filters: Vec<_> = self.layers.iter().map(|l| l.filters.val()).collect();
        let layers: Vec<_> = filters
            .iter()
            .zip(&self.layers)
            .map(|(filters, layer)| (filters, &layer.connectivity))
            .collect();
        // A circular stack is that of 'valid' convolutions on the grid of its maps, before the crop.
        let reach = |d: usize| {
            self.layers
                .iter()
                .map(move |l| l.filter_size()[d] - 1)
                .sum()
        };
        let grid = |d: usize| match self.boundary() {
            Boundary::Circular => image[d].checked_sub(reach(d)).filter(|&side| side > 0),
            Boundary::Valid | Boundary::Zero => Some(image[d]),
        };
        // Where the filters are as large as that, the bound over all frequencies holds.
        let image = [0, 1].map(|d| grid(d).unwrap_or(ALL_FREQUENCIES));
        spectral_bound(&layers, image)
    }

    /// Top maps down to the planes at the bottom, undoing the rescaling between layers: the
    /// reconstruction that the maps stand for.
    ///
    /// # Shapes
    /// As [`Network::project`].
    pub fn synthesize(&self, maps: Tensor<4>) -> Tensor<4> {
        (0..self.layers.len()).rev().fold(maps, |maps, l| {
            let planes = self.operator_of(l..l + 1).apply(maps);
            match l.checked_sub(1) {
                Some(below) => self.layers[below].undo_rescaling(planes),
                None => planes,
            }
        })
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
