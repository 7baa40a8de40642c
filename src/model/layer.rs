//! One layer: the filters that its feature maps are convolved with.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution as _, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::connectivity::Connectivity;
use crate::conv;

/// Burn names parameters at random unless told otherwise; with fixed names the same learning writes
/// the same files, bit for bit.
const FILTERS: u64 = 1_000;

/// A layer of the network: filters `f` shared by all images, and the connectivity `g`.
///
/// # Shapes
/// filters `[planes, maps, h, w]`: plane `c` of the layer below, feature map `k`, taps.
#[derive(Module, Debug)]
pub struct Layer {
    /// The filters; exactly zero where unconnected.
    pub filters: Param<Tensor<4>>,
    /// Which map explains which plane.
    #[module(skip)]
    pub connectivity: Connectivity,
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
        }
    }
}

impl Layer {
    /// Random filters: Gaussian taps, scaled to meet the constraint with norm 1.
    ///
    /// `size` is height and width of the filters. The same seed gives the same filters on every
    /// backend.
    pub fn random(
        connectivity: Connectivity,
        size: [usize; 2],
        constraint: Constraint,
        seed: u64,
        device: &Device,
    ) -> Self {
        let shape = [connectivity.planes(), connectivity.maps(), size[0], size[1]];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let taps: Vec<f32> = StandardNormal
            .sample_iter(&mut rng)
            .take(shape.iter().product())
            .collect();
        let taps = Tensor::from_data(TensorData::new(taps, shape), device);
        let filters = conv::reference::masked(taps, &connectivity);
        let norms = filters.clone().square().sum_dim(3).sum_dim(2);
        let filters = match constraint {
            Constraint::UnitPlanes => Constraint::UnitPlanes.project(filters),
            Constraint::UnitBall => filters / norms.sum_dim(0).sqrt().clamp_min(1e-12),
        };
        Self::new(filters, connectivity)
    }

    /// From given filters; what lies in unconnected planes is set to zero.
    pub fn new(filters: Tensor<4>, connectivity: Connectivity) -> Self {
        let filters = conv::reference::masked(filters, &connectivity);
        Self {
            filters: Param::initialized(ParamId::from(FILTERS), filters).set_require_grad(true),
            connectivity,
        }
    }

    /// The same layer as number `index` of a stack, from 0: its parameter is named accordingly.
    pub(super) fn numbered(self, index: usize) -> Self {
        let id = ParamId::from(FILTERS + index as u64);
        Self {
            filters: Param::initialized(id, self.filters.val()).set_require_grad(true),
            connectivity: self.connectivity,
        }
    }

    /// The same layer with other filters, which must be zero where unconnected.
    pub fn with_filters(&self, filters: Tensor<4>) -> Self {
        Self {
            filters: self.filters.clone().map(|_| filters),
            connectivity: self.connectivity.clone(),
        }
    }

    /// Height and width of the filters.
    pub fn filter_size(&self) -> [usize; 2] {
        let [_, _, h, w] = self.filters.lazy_shape().dims();
        [h, w]
    }

    /// Maps to the planes below. See [`conv::synthesize`].
    pub fn synthesize(&self, maps: Tensor<4>) -> Tensor<4> {
        conv::synthesize(maps, self.filters.val(), &self.connectivity)
    }

    /// Planes below to maps, the adjoint. See [`conv::analyze`].
    pub fn analyze(&self, planes: Tensor<4>) -> Tensor<4> {
        conv::analyze(planes, self.filters.val(), &self.connectivity)
    }
}
