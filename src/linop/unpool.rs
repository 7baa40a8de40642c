//! Unpooling at given switches.

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::pooling::Switches;

/// Puts the values of pooled maps back where the switches of each image say, zeros elsewhere; the adjoint
/// reads them there. A partial isometry: its norm is 1. See [`crate::pooling`].
///
/// # Shapes
/// `[n, ceil(K / maps), ceil(H / rows), ceil(W / columns)]` -> `[n, K, H, W]`, `n` that of the switches.
#[derive(Clone, Debug)]
pub struct Unpool {
    /// The switches of every image of the batch.
    pub switches: Switches,
}

impl Unpool {
    pub(super) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        self.switches.unpool(x)
    }

    pub(super) fn adjoint(&self, r: Tensor<4>) -> Tensor<4> {
        self.switches.pool(r)
    }

    pub(super) fn output(&self, input: [usize; 4]) -> Result<[usize; 4]> {
        let pooled = self.switches.pooled_shape();
        match input == pooled {
            true => Ok(self.switches.maps_shape()),
            false => Err(Error::Input(format!(
                "switches for pooled maps {pooled:?} cannot be applied to {input:?}; they belong to the \
                 images whose maps were pooled"
            ))),
        }
    }
}
