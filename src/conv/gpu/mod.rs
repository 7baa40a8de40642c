//! The kernels for GPUs: one source, in CubeCL, for wgpu, Vulkan, Metal and CUDA; single precision.
//!
//! [`correlate`] has `synthesize` and `analyze`, [`gradient`] the filter gradient, [`step`]
//! the proximal step, [`prox`] the shrink.
//! All visit connected pairs alone, by the lists of [`groups`], take tensors as they lie in memory,
//! need at most 256 units and 16 KiB of shared memory for a workgroup, no subgroups and no atomics,
//! and give the same bits every time. None waits for the device.
//!
//! Their indices are not checked when they run. What keeps them within the tensors is told beside each
//! launch; it rests on [`Sizes::of`], which refuses shapes that do not fit, on the lists, which name no
//! plane or map that the connectivity does not have, and on [`check_tensors`](crate::backend::launch::check_tensors).

mod correlate;
mod gradient;
mod groups;
mod prox;
mod step;

use burn_cubecl::tensor::CubeTensor;

use super::sizes::{Product, Sizes};
use crate::backend::launch::dims;
use crate::connectivity::Connectivity;
use crate::penalty::Penalty;

/// Rows and columns of taps that a kernel works off in one pass. Kernels are compiled for each number
/// of rows, so this also bounds how many there are.
const MAX_TAPS: usize = 16;

/// A product of `a` and `b`.
pub(super) fn product(
    product: Product,
    a: CubeTensor,
    b: CubeTensor,
    g: &Connectivity,
) -> CubeTensor {
    let sizes = Sizes::of(product, [dims(&a), dims(&b)], g);
    match product {
        Product::FilterGradient => gradient::launch([a, b], g, sizes),
        _ => correlate::launch(product, [a, b], g, sizes),
    }
}

/// [`super::proximal::step`] of residual, filters, `x`, `before` and momentum.
pub(super) fn proximal_step(
    tensors: [CubeTensor; 5],
    g: &Connectivity,
    length: f64,
    (weight, penalty): (f64, Penalty),
) -> (CubeTensor, CubeTensor) {
    let shrink = prox::shrink_argument(weight, penalty);
    let (next, parts) = step::launch(tensors, g, length, shrink);
    (next, prox::launch_sum(parts))
}

/// [`super::proximal::shrink`].
pub(super) fn shrink(v: CubeTensor, weight: f64, penalty: Penalty) -> CubeTensor {
    prox::launch_shrink(v, weight, penalty)
}
