//! One layer: the filters that its feature maps are convolved with.

use burn::module::{Content, Module, ModuleDisplay, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution as _, StandardNormal};
use serde::{Deserialize, Serialize};

use super::Boundary;
use crate::connectivity::Connectivity;
use crate::conv;
use crate::data::Rescaling;
use crate::error::{Error, Result};
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
    /// What the maps are beyond the planes that they explain.
    #[module(skip)]
    pub boundary: Boundary,
    /// Weights of the penalty on the maps of this layer, see [`Layer::with_penalty_weights`].
    #[module(skip)]
    pub(super) penalty_weights: Option<Tensor<4>>,
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
        let content = match self.boundary {
            Boundary::Valid => content,
            other => content.add("boundary", &other.name().to_string()),
        };
        content.optional()
    }
}

/// How the scale that is free between filters and maps is pinned down, and whether taps may be negative.
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
    /// As [`Constraint::UnitPlanes`], and no tap is negative.
    NonNegativePlanes,
    /// As [`Constraint::UnitBall`], and no tap is negative.
    NonNegativeBall,
    /// As [`Constraint::UnitFilters`], and no tap is negative.
    NonNegativeFilters,
}

impl Constraint {
    /// Whether taps may be negative, and what is asked of the norms.
    fn parts(self) -> (bool, Self) {
        match self {
            Self::NonNegativePlanes => (true, Self::UnitPlanes),
            Self::NonNegativeBall => (true, Self::UnitBall),
            Self::NonNegativeFilters => (true, Self::UnitFilters),
            norm => (false, norm),
        }
    }

    /// The nearest filters that satisfy it; of a filter without a tap above zero, and where norms of 1 are
    /// asked for, zeros.
    ///
    /// # Shapes
    /// filters `[planes, maps, h, w]` -> the same.
    pub fn project(self, filters: Tensor<4>) -> Tensor<4> {
        let (non_negative, norm) = self.parts();
        let filters = match non_negative {
            true => filters.clamp_min(0.0),
            false => filters,
        };
        let squares = filters.clone().square().sum_dim(3).sum_dim(2);
        // A plane of zeros, as every unconnected one is, stays zero.
        let norms = match norm {
            Self::UnitPlanes => squares.sqrt().clamp_min(1e-12),
            Self::UnitBall => squares.sum_dim(0).sqrt().clamp_min(1.0),
            _ => squares.sum_dim(0).sqrt().clamp_min(1e-12),
        };
        filters / norms
    }

    /// The same with norms of exactly 1.
    fn of_norm_one(self) -> Self {
        match self {
            Self::UnitBall => Self::UnitFilters,
            Self::NonNegativeBall => Self::NonNegativeFilters,
            norm => norm,
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
    /// What its maps are beyond the planes that they explain.
    pub boundary: Boundary,
    /// Weights of the penalty on each map; none: 1 for all.
    pub penalty_weights: Vec<f64>,
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
            boundary: Boundary::Valid,
            penalty_weights: Vec::new(),
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

    /// The same with another boundary.
    pub fn with_boundary(self, boundary: Boundary) -> Self {
        Self { boundary, ..self }
    }

    /// The same with a weight of the penalty for each map; a [`Network`](super::Network) checks them.
    pub fn with_penalty_weights(self, penalty_weights: Vec<f64>) -> Self {
        Self {
            penalty_weights,
            ..self
        }
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
        let filters = self.constraint.of_norm_one().project(filters);
        Layer::new(filters, g.clone())
            .with_pool(self.pool)
            .with_boundary(self.boundary)
            .with_map_weights(&self.penalty_weights)
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
            boundary: Boundary::Valid,
            penalty_weights: None,
            switches: None,
        }
    }

    /// The same layer with its maps pooled for the layer above.
    pub fn with_pool(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// The same layer with another boundary.
    pub fn with_boundary(self, boundary: Boundary) -> Self {
        Self { boundary, ..self }
    }

    /// The same layer with a weight for the penalty on each of its maps, or on each element:
    /// `sparsity sum W |z|^p`. They are looked at where the layer is the top of a problem.
    ///
    /// # Shapes
    /// weights `[1, K, 1, 1]`, or of the maps of one image.
    ///
    /// # Errors
    /// [`Error::Input`] where they are not for as many maps, or one is negative or not finite.
    ///
    /// # Examples
    /// The second map is twice as dear:
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use deconvnet::connectivity::Connectivity;
    /// use deconvnet::model::{DataTerm, LayerConfig, Network, Objective};
    ///
    /// let device = Device::flex();
    /// let layer = LayerConfig::new(Connectivity::full(1, 2), [3, 3]).init(&device);
    /// let weights = Tensor::<4>::from_data([[[[1.0]], [[2.0]]]], &device);
    /// let network = Network::new(vec![layer.with_penalty_weights(weights)?])?;
    /// let images = DataTerm::new(Tensor::zeros([1, 1, 4, 4], &device));
    /// let maps = Tensor::ones([1, 2, 6, 6], &device);
    /// let at = Objective::new(1.0, 0.5, 1.0)?.measure(&network, maps, &images)[0];
    /// assert_eq!(at.penalty, 0.5 * 3.0 * 36.0);
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    pub fn with_penalty_weights(self, weights: Tensor<4>) -> Result<Self> {
        let weighted = Self {
            penalty_weights: Some(weights),
            ..self
        };
        weighted.check_penalty_weights()?;
        Ok(weighted)
    }

    /// The same layer with a weight of the penalty for each map, 1 for all where there are none; a
    /// [`Network`](super::Network) checks them.
    pub(crate) fn with_map_weights(self, weights: &[f64]) -> Self {
        let filters = self.filters.val();
        let options = (&filters.device(), filters.dtype());
        let penalty_weights = (!weights.is_empty()).then(|| {
            let data = TensorData::new(weights.to_vec(), [1, weights.len(), 1, 1]);
            Tensor::from_data(data, options)
        });
        Self {
            penalty_weights,
            ..self
        }
    }

    pub(super) fn check_penalty_weights(&self) -> Result<()> {
        let Some(weights) = &self.penalty_weights else {
            return Ok(());
        };
        let [n, k, ..] = weights.dims();
        let maps = self.connectivity.maps();
        if n != 1 || k != maps {
            return Err(Error::Input(format!(
                "the weights of the penalty are {:?}, but there are {maps} maps; give [1, {maps}, 1, 1], or \
                 one for each element of the maps of an image",
                weights.dims()
            )));
        }
        let wrong = |w: &f64| !(w.is_finite() && *w >= 0.0);
        match weights.to_data().iter::<f64>().find(wrong) {
            Some(w) => Err(Error::Input(format!(
                "a weight of the penalty is {w}; weights must be finite and 0 or above"
            ))),
            None => Ok(()),
        }
    }

    /// The weights of the penalty, where there are any, in the numbers of `maps` and of their shape but for
    /// the batch.
    ///
    /// # Panics
    /// Where they are for maps of another size.
    pub(crate) fn penalty_weights(&self, maps: &Tensor<4>) -> Option<Tensor<4>> {
        let weights = self.penalty_weights.as_ref()?;
        let [_, k, h, w] = maps.dims();
        let options = (&maps.device(), maps.dtype());
        let weights =
            Tensor::<4>::from_data(weights.to_data().convert_dtype(maps.dtype()), options);
        Some(weights.expand([1, k, h, w]))
    }

    /// The size of maps that the weights of the penalty are for, where they are for each element.
    pub(crate) fn weighted_size(&self) -> Option<[usize; 2]> {
        let [.., h, w] = self.penalty_weights.as_ref()?.dims();
        ([h, w] != [1, 1]).then_some([h, w])
    }

    /// The weights of the penalty on each map, where they are not for each element.
    pub(crate) fn map_weights(&self) -> Vec<f64> {
        let for_maps = |w: &&Tensor<4>| w.dims()[2..] == [1, 1];
        let weights = self.penalty_weights.as_ref().filter(for_maps);
        weights.map_or_else(Vec::new, |w| w.to_data().iter().collect())
    }

    /// Whether the penalty has weights.
    pub fn has_penalty_weights(&self) -> bool {
        self.penalty_weights.is_some()
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
        let [height, width] = [(height, h), (width, w)].map(|(s, t)| self.boundary.maps(s, t));
        [n, self.connectivity.maps(), height, width]
    }

    /// The maps with the margins that the boundary gives them.
    pub(crate) fn extend(&self, maps: Tensor<4>) -> Tensor<4> {
        self.boundary.extended(maps, self.filter_size())
    }

    /// [`Layer::synthesize`], by Burn's name.
    ///
    /// # Shapes
    /// maps `[n, K, H + h - 1, W + w - 1]`, see [`Boundary`] for others -> planes `[n, C, H, W]`.
    pub fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        self.synthesize(maps)
    }

    /// Maps to the planes below. See [`conv::synthesize`].
    ///
    /// # Shapes
    /// maps `[n, K, H + h - 1, W + w - 1]`, see [`Boundary`] for others -> planes `[n, C, H, W]`.
    pub fn synthesize(&self, maps: Tensor<4>) -> Tensor<4> {
        let maps = self.extend(maps);
        conv::synthesize(maps, self.filters.val(), &self.connectivity)
    }

    /// Planes below to maps, the adjoint. See [`conv::analyze`].
    ///
    /// # Shapes
    /// planes `[n, C, H, W]` -> maps `[n, K, H + h - 1, W + w - 1]`, see [`Boundary`] for others.
    pub fn analyze(&self, planes: Tensor<4>) -> Tensor<4> {
        let maps = conv::analyze(planes, self.filters.val(), &self.connectivity);
        match self.boundary.margin(self.filter_size()) {
            Some(margin) => margin.adjoint(maps),
            None => maps,
        }
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
