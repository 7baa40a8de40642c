//! The feature maps of a batch of images.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution, StandardNormal};

/// The feature maps `z` of a batch: each image has its own.
///
/// # Shapes
/// `[batch, maps, height + h - 1, width + w - 1]`
#[derive(Module, Debug)]
pub struct FeatureMaps {
    /// The maps.
    pub maps: Param<Tensor<4>>,
}

impl FeatureMaps {
    /// From given maps.
    pub fn new(maps: Tensor<4>) -> Self {
        Self {
            maps: Param::from_tensor(maps),
        }
    }

    /// Small Gaussian noise of standard deviation `deviation`; all zero where that is 0.
    pub fn start(shape: [usize; 4], deviation: f64, seed: u64, device: &Device) -> Tensor<4> {
        if deviation == 0.0 {
            return Tensor::zeros(shape, device);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (&StandardNormal)
            .sample_iter(&mut rng)
            .take(shape.iter().product())
            .map(|x: f64| (deviation * x) as f32)
            .collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// The `count` elements of largest magnitude, strongest first.
pub(crate) fn strongest(values: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    let strength = |at: usize| values[at].abs();
    places.sort_unstable_by(|&a, &b| strength(b).total_cmp(&strength(a)).then(a.cmp(&b)));
    places.truncate(count);
    places
}

/// Maps of zeros but for the element `at`, counted row by row.
pub(crate) fn alone(shape: [usize; 4], at: usize, value: f32, device: &Device) -> Tensor<4> {
    let mut values = vec![0.0; shape.iter().product()];
    values[at] = value;
    Tensor::from_data(TensorData::new(values, shape), device)
}
