//! The kernels for GPUs: one source, in CubeCL, for wgpu, Vulkan, Metal and CUDA; single precision.
//!
//! [`correlate`] has `synthesize` and `analyze`, [`gradient`] the filter gradient, [`step`]
//! the proximal step, [`prox`] the shrink.
//! All visit connected pairs alone, by the lists of [`groups`], take tensors as they lie in memory,
//! need at most 256 units and 16 KiB of shared memory for a workgroup, no subgroups and no atomics,
//! and give the same bits every time. None waits for the device.

mod correlate;
mod gradient;
mod groups;
mod prox;
mod step;

use burn::backend::TensorMetadata;
use burn::tensor::Shape;
use burn_cubecl::cubecl::prelude::{AddressType, CubeCount};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::proximal::Proximal;
use crate::connectivity::Connectivity;
use groups::Product;

/// Rows and columns of taps that a kernel works off in one pass. Kernels are compiled for each number
/// of rows, so this also bounds how many there are.
const MOST: usize = 16;

/// [`super::synthesize`].
pub(super) fn synthesize(maps: CubeTensor, filters: CubeTensor, g: &Connectivity) -> CubeTensor {
    let ([n, _, height, width], [.., h, w]) = (dims(&maps), dims(&filters));
    let output = [n, g.planes(), height + 1 - h, width + 1 - w];
    correlate::launch(maps, filters, g, Product::Synthesize, output)
}

/// [`super::analyze`].
pub(super) fn analyze(residual: CubeTensor, filters: CubeTensor, g: &Connectivity) -> CubeTensor {
    let ([n, _, height, width], [.., h, w]) = (dims(&residual), dims(&filters));
    let output = [n, g.maps(), height + h - 1, width + w - 1];
    correlate::launch(residual, filters, g, Product::Analyze, output)
}

/// [`super::filter_gradient`].
pub(super) fn filter_gradient(
    maps: CubeTensor,
    residual: CubeTensor,
    g: &Connectivity,
) -> CubeTensor {
    let ([_, _, map_height, map_width], [_, _, height, width]) = (dims(&maps), dims(&residual));
    let filter = [map_height + 1 - height, map_width + 1 - width];
    gradient::launch(maps, residual, g, filter)
}

/// [`super::proximal::step`] of residual, filters, `x`, `before` and momentum.
pub(super) fn proximal_step(
    tensors: [CubeTensor; 5],
    g: &Connectivity,
    by: Proximal,
) -> (CubeTensor, CubeTensor) {
    let penalty = prox::penalty(by.weight, by.p);
    let (next, parts) = step::launch(tensors, g, by.length as f32, penalty);
    (next, prox::launch_sum(parts))
}

/// [`super::proximal::shrink`].
pub(super) fn shrink(v: CubeTensor, weight: f64, p: f64) -> CubeTensor {
    prox::launch_shrink(v, weight, p)
}

/// The workgroups of a launch, spread over two dimensions: one holds 65535 on most devices. The last
/// row may be longer than the work, which the kernels see to.
#[derive(Clone, Copy)]
struct Grid([u32; 2]);

impl Grid {
    fn of(blocks: usize) -> Self {
        const LONGEST: usize = 65_535;
        let rows = blocks.div_ceil(LONGEST).max(1);
        Self([blocks.div_ceil(rows) as u32, rows as u32])
    }

    fn count(self) -> CubeCount {
        CubeCount::Static(self.0[0], self.0[1], 1)
    }
}

fn dims(tensor: &CubeTensor) -> [usize; 4] {
    tensor.shape().dims()
}

/// A tensor of single precision beside `like`, in row-major order, of which nothing is known.
fn empty(like: &CubeTensor, shape: [usize; 4]) -> CubeTensor {
    empty_device_contiguous_dtype(
        like.client.clone(),
        like.device.clone(),
        Shape::from(shape),
        like.dtype,
    )
}

/// The tensor itself where the numbers of a row lie next to each other, else a copy: the kernels read
/// any tensor right, but each number several times, which only whole lines of memory make cheap.
fn readable(tensor: CubeTensor) -> CubeTensor {
    match tensor.meta.strides()[3] {
        0 | 1 => tensor,
        _ => into_contiguous(tensor),
    }
}

/// The widest index that one of the tensors needs.
fn address_type<const N: usize>(tensors: [&CubeTensor; N]) -> AddressType {
    let needed = tensors.map(CubeTensor::required_address_type);
    needed.into_iter().max().unwrap_or_default()
}
