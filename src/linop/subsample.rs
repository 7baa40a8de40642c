//! Strides.

use burn::tensor::{IndexingUpdateOp, Tensor};

use super::indices;
use crate::error::{Error, Result};

/// Keeps every `stride`-th pixel along each side, the first included; its norm is 1. The adjoint puts
/// zeros between the pixels.
///
/// # Shapes
/// `[n, C, H, W]` -> `[n, C, ceil(H / stride), ceil(W / stride)]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subsample {
    /// Steps down and to the right, at least 1.
    pub stride: [usize; 2],
    /// Height and width of the input.
    pub sides: [usize; 2],
}

impl Subsample {
    pub(super) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        (0..2).fold(x, |x, axis| match self.stride[axis] {
            1 => x,
            stride => {
                let kept = indices((0..self.sides[axis]).step_by(stride), &x.device());
                x.select(2 + axis, kept)
            }
        })
    }

    pub(super) fn adjoint(&self, r: Tensor<4>) -> Tensor<4> {
        (0..2).fold(r, |r, axis| match self.stride[axis] {
            1 => r,
            stride => {
                let (dim, mut dims) = (2 + axis, r.dims());
                dims[dim] = self.sides[axis];
                let kept = indices((0..self.sides[axis]).step_by(stride), &r.device());
                let zeros = Tensor::zeros(dims, (&r.device(), r.dtype()));
                zeros.select_assign(dim, kept, r, IndexingUpdateOp::Add)
            }
        })
    }

    pub(super) fn output(&self, input: [usize; 4]) -> Result<[usize; 4]> {
        let [n, c, height, width] = input;
        if [height, width] != self.sides || self.stride.contains(&0) {
            return Err(Error::Input(format!(
                "a stride of {:?} made for {:?} pixels cannot be applied to {input:?}; the sides must be \
                 the same and the stride at least 1",
                self.stride, self.sides
            )));
        }
        let [down, right] = self.stride;
        Ok([n, c, height.div_ceil(down), width.div_ceil(right)])
    }
}
