//! One layer: the filters that its feature maps are convolved with.

use burn::module::{Content, Module, ModuleDisplay, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution as _, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::connectivity::Connectivity;
use crate::conv;
use crate::data::Rescaling;
use crate::pooling::{Pool, Switches};

/// A layer of the network: filters `f` shared by all images, and the connectivity `g`.
///
/// # Shapes
/// filters `[planes, maps, h, w]`: plane `c` of the layer below, feature map `k`, taps.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Layer {
    /// The filters; exactly zero where unconnected.
    pub filters: Param<Tensor<4>>,
    /// Which map explains which plane.
    #[module(skip)]
    pub connectivity: Connectivity,
    /// What is done to the maps of this layer before the layer above explains them.
    #[module(skip)]
    pub rescaling: Option<Rescaling>,
    /// The windows over which the maps of this layer are pooled for the layer above.
    #[module(skip)]
    pub pool: Pool,
    /// Where the maps of a batch of images lay before they were pooled, see
    /// [`Network::at`](super::Network::at).
    #[module(skip)]
    pub(super) switches: Option<Switches>,
}

impl ModuleDisplay for Layer {
    fn custom_content(&self, content: Content) -> Option<Content> {
        let [h, w] = self.filter_size();
        let content = content
            .add("planes", &self.connectivity.planes())
            .add("maps", &self.connectivity.maps())
            .add("filter_size", &format!("[{h}, {w}]"))
            .add("connected_pairs", &self.connectivity.pairs());
        let content = match self.pool.is_none() {
            true => content,
            false => content.add("pool", &format!("{:?}", <[usize; 3]>::from(self.pool))),
        };
        content.optional()
    }
}

/// How the scale that is free between filters and maps is pinned down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Constraint {
    /// Every connected plane of every filter has norm 1 (the authors' tool).
    #[default]
    UnitPlanes,
    /// Every filter, over all its planes together, has norm at most 1 (the field's later standard).
    UnitBall,
    /// Every filter, over all its planes together, has norm 1.
    UnitFilters,
}

impl Constraint {
    /// The nearest filters that satisfy it.
    ///
    /// # Shapes
    /// filters `[planes, maps, h, w]` -> the same.
    pub fn project(self, filters: Tensor<4>) -> Tensor<4> {
        let squares = filters.clone().square().sum_dim(3).sum_dim(2);
        match self {
            // A plane of zeros, as every unconnected one is, stays zero.
            Self::UnitPlanes => filters / squares.sqrt().clamp_min(1e-12),
            Self::UnitBall => filters / squares.sum_dim(0).sqrt().clamp_min(1.0),
            Self::UnitFilters => filters / squares.sum_dim(0).sqrt().clamp_min(1e-12),
        }
    }
}

/// A layer to be made with random filters: Gaussian taps, scaled to meet the constraint with norm 1.
/// The same seed gives the same filters on every backend.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::model::LayerConfig;
///
/// let layer = LayerConfig::new(Connectivity::full(3, 9), [7, 7]).init(&Device::flex());
/// assert_eq!(layer.filters.dims(), [3, 9, 7, 7]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// Which map explains which plane.
    pub connectivity: Connectivity,
    /// Height and width of the filters.
    pub filter_size: [usize; 2],
    /// What the filters satisfy.
    pub constraint: Constraint,
    /// The windows over which its maps are pooled for the layer above.
    pub pool: Pool,
    /// Seed of the filters.
    pub seed: u64,
}

impl LayerConfig {
    /// With unit planes, no pooling and seed 0.
    pub fn new(connectivity: Connectivity, filter_size: [usize; 2]) -> Self {
        Self {
            connectivity,
            filter_size,
            constraint: Constraint::default(),
            pool: Pool::NONE,
            seed: 0,
        }
    }

    /// The same with another constraint.
    pub fn with_constraint(self, constraint: Constraint) -> Self {
        Self { constraint, ..self }
    }

    /// The same with its maps pooled for the layer above.
    pub fn with_pool(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// The same with another seed.
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The layer.
    pub fn init(&self, device: &Device) -> Layer {
        let g = &self.connectivity;
        let [h, w] = self.filter_size;
        let shape = [g.planes(), g.maps(), h, w];
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let taps: Vec<f32> = StandardNormal
            .sample_iter(&mut rng)
            .take(shape.iter().product())
            .collect();
        let taps = Tensor::from_data(TensorData::new(taps, shape), device);
        let filters = conv::reference::masked(taps, g);
        let filters = match self.constraint {
            Constraint::UnitPlanes => Constraint::UnitPlanes.project(filters),
            Constraint::UnitBall | Constraint::UnitFilters => {
                Constraint::UnitFilters.project(filters)
            }
        };
        Layer::new(filters, g.clone()).with_pool(self.pool)
    }
}

impl Layer {
    /// From given filters; what lies in unconnected planes is set to zero.
    ///
    /// # Panics
    /// Where the filters do not have the planes and maps of the connectivity.
    pub fn new(filters: Tensor<4>, connectivity: Connectivity) -> Self {
        let [planes, maps, ..] = filters.dims();
        assert_eq!(
            [planes, maps],
            [connectivity.planes(), connectivity.maps()],
            "filters [planes, maps, h, w] must fit the connectivity"
        );
        let filters = conv::reference::masked(filters, &connectivity);
        Self {
            filters: Param::from_tensor(filters),
            connectivity,
            rescaling: None,
            pool: Pool::NONE,
            switches: None,
        }
    }

    /// The same layer with its maps pooled for the layer above.
    pub fn with_pool(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// The same layer with other filters, which must be zero where unconnected.
    pub fn with_filters(&self, filters: Tensor<4>) -> Self {
        Self {
            filters: self.filters.clone().map(|_| filters),
            ..self.clone()
        }
    }

    /// Height and width of the filters.
    pub fn filter_size(&self) -> [usize; 2] {
        let [_, _, h, w] = self.filters.lazy_shape().dims();
        [h, w]
    }

    /// The shape of the maps that explain planes of a given shape.
    pub(super) fn maps_shape(&self, [n, _, height, width]: [usize; 4]) -> [usize; 4] {
        let [h, w] = self.filter_size();
        [n, self.connectivity.maps(), height + h - 1, width + w - 1]
    }

    /// [`Layer::synthesize`], by Burn's name.
    ///
    /// # Shapes
    /// maps `[n, K, H + h - 1, W + w - 1]` -> planes `[n, C, H, W]`.
    pub fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        self.synthesize(maps)
    }

    /// Maps to the planes below. See [`conv::synthesize`].
    ///
    /// # Shapes
    /// maps `[n, K, H + h - 1, W + w - 1]` -> planes `[n, C, H, W]`.
    pub fn synthesize(&self, maps: Tensor<4>) -> Tensor<4> {
        conv::synthesize(maps, self.filters.val(), &self.connectivity)
    }

    /// Planes below to maps, the adjoint. See [`conv::analyze`].
    ///
    /// # Shapes
    /// planes `[n, C, H, W]` -> maps `[n, K, H + h - 1, W + w - 1]`.
    pub fn analyze(&self, planes: Tensor<4>) -> Tensor<4> {
        conv::analyze(planes, self.filters.val(), &self.connectivity)
    }

    /// The maps of this layer as the layer above explains them, `(z - shift) * scale`.
    pub fn rescale(&self, maps: Tensor<4>) -> Tensor<4> {
        match self.rescaling {
            Some(rescaling) => (maps - rescaling.shift) * rescaling.scale,
            None => maps,
        }
    }

    /// Undoes [`Layer::rescale`].
    pub fn undo_rescaling(&self, maps: Tensor<4>) -> Tensor<4> {
        match self.rescaling {
            Some(rescaling) => maps / rescaling.scale + rescaling.shift,
            None => maps,
        }
    }
}
