//! Elementwise weights.

use burn::tensor::Tensor;

use crate::error::{Error, Result};

/// Multiplies every element by a weight, such as a mask of 0 and 1: a symmetric map of norm
/// `max |weight|`.
///
/// # Shapes
/// Kept; the weights have the shape of one image or of the batch, or 1 along any axis.
#[derive(Clone, Debug)]
pub struct Weight {
    /// The weights.
    pub values: Tensor<4>,
}

impl Weight {
    pub(super) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        x * self.values.clone()
    }

    pub(super) fn adjoint(&self, r: Tensor<4>) -> Tensor<4> {
        self.apply(r)
    }

    pub(super) fn output(&self, input: [usize; 4]) -> Result<[usize; 4]> {
        let dims = self.values.dims();
        if dims
            .iter()
            .zip(&input)
            .any(|(&d, &side)| d != 1 && d != side)
        {
            return Err(Error::Input(format!(
                "weights of shape {dims:?} cannot be applied to {input:?}; each side must be 1 or the same"
            )));
        }
        Ok(input)
    }

    pub(super) fn norm(&self) -> f64 {
        let values = self.values.to_data();
        values.iter::<f64>().fold(0.0, |most, v| most.max(v.abs()))
    }
}
