//! The convolution of a layer.

use burn::tensor::Tensor;

use crate::connectivity::Connectivity;
use crate::conv;
use crate::error::{Error, Result};

/// Maps to planes by the 'valid' part of true convolutions, [`conv::synthesize`]; the adjoint is
/// [`conv::analyze`]. With flipped filters it is the correlation of convolutional networks.
///
/// # Shapes
/// `[n, K, H + h - 1, W + w - 1]` -> `[n, C, H, W]`.
#[derive(Clone, Debug)]
pub struct Synthesis {
    /// The filters, `[C, K, h, w]`.
    pub filters: Tensor<4>,
    /// The pairs of planes and maps that are convolved.
    pub connectivity: Connectivity,
}

impl Synthesis {
    pub(super) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        conv::synthesize(x, self.filters.clone(), &self.connectivity)
    }

    pub(super) fn adjoint(&self, r: Tensor<4>) -> Tensor<4> {
        conv::analyze(r, self.filters.clone(), &self.connectivity)
    }

    pub(super) fn output(&self, input: [usize; 4]) -> Result<[usize; 4]> {
        let [n, k, height, width] = input;
        let filters @ [planes, maps, h, w] = self.filters.dims();
        let g = &self.connectivity;
        let fits = [planes, maps] == [g.planes(), g.maps()] && maps == k;
        if !fits || h == 0 || w == 0 || height < h || width < w {
            return Err(Error::Input(format!(
                "filters {filters:?} [planes, maps, h, w] connected as {} x {} cannot be applied to maps \
                 {input:?}; the maps must be as many as those of the filters and not smaller than them",
                g.planes(),
                g.maps()
            )));
        }
        Ok([n, planes, height - h + 1, width - w + 1])
    }
}
