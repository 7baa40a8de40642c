//! Convolution as a product of matrices, on planes that lie channel first.
//!
//! With the windows of a batch as the columns of a matrix, a convolution and its two derivatives are
//! matrix products, which Burn has fast on every backend; what is left is a copy and its adjoint:
//!
//! ```text
//! columns[c h w, n i j] = x[c, n, s i + h - p, s j + w - p]     0 outside of x
//! y = weight[K, C h w] columns
//! ```
//!
//! Planes are `[C, n, H, W]`: then `y` is `[K, n, I, J]` as it stands and the next layer reads it so.

// burn-ndarray is to go in favour of flex; until then it is one flag away.
#![cfg_attr(feature = "ndarray", allow(deprecated))]

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Element, Tensor};
use num_traits::Float;
use rayon::prelude::*;

use super::super::operator::Windows;
use super::super::operator::columns::Geometry;
use crate::backend::{InMemory, is_cpu};

/// The square windows on planes `[C, n, H, W]`, of an odd side, with zeros around, as many as make
/// `ceil(H / stride)` rows.
fn geometry([channels, _, height, width]: [usize; 4], side: usize, stride: usize) -> Geometry {
    let along = |length: usize| Windows {
        kernel: side,
        stride,
        dilation: 1,
        begin: side / 2,
        count: length.div_ceil(stride),
    };
    Geometry {
        groups: 1,
        channels: [channels; 2],
        input: [height, width],
        windows: [along(height), along(width)],
    }
}

/// The windows of `planes` as columns, or the adjoint: every element of the columns added to where it comes from.
fn copied<E: Float + Element>(x: &[E], images: usize, geometry: &Geometry, way: Way) -> Vec<E> {
    let [taps, plane, windows] = geometry.sizes();
    let whole = 0..geometry.windows[0].count;
    let [columns, planes] = [taps * windows, plane].map(|one| geometry.channels[0] * images * one);
    if x.is_empty() {
        return Vec::new();
    }
    match way {
        Way::Gather => {
            let mut out = vec![E::zero(); columns];
            let rows = out.par_chunks_mut(images * windows).enumerate();
            rows.for_each(|(row, out)| {
                let x = &x[row / taps * images * plane..];
                for (x, out) in x.chunks(plane).zip(out.chunks_mut(windows)) {
                    geometry.gather(row % taps, &whole, x, out);
                }
            });
            out
        }
        Way::Scatter => {
            let mut out = vec![E::zero(); planes];
            let channels = out.par_chunks_mut(images * plane).enumerate();
            channels.for_each(|(channel, out)| {
                for tap in 0..taps {
                    let x = &x[(channel * taps + tap) * images * windows..];
                    for (x, out) in x.chunks(windows).zip(out.chunks_mut(plane)) {
                        geometry.scatter(tap, &whole, E::one(), x, out);
                    }
                }
            });
            out
        }
    }
}

/// Which way the copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Planes to columns.
    Gather,
    /// Columns to planes, adding up: the adjoint.
    Scatter,
}

/// The copy on a backend's own tensors.
#[backend_extension(
    Flex,
    NdArray: cfg(feature = "ndarray"),
    Autodiff,
)]
pub trait ColumnsOps: Backend {
    /// Planes `[C, n, H, W]` to columns `[C h w, n, I, J]`, or back.
    fn windows(x: FloatTensor<Self>, geometry: Geometry, way: Way) -> FloatTensor<Self>;
}

impl<B: InMemory> ColumnsOps for B {
    fn windows(x: FloatTensor<Self>, geometry: Geometry, way: Way) -> FloatTensor<Self> {
        let images = x.shape().dims::<4>()[1];
        let channels = geometry.channels[0];
        let (channels, [height, width]) = match way {
            Way::Gather => (
                channels * geometry.sizes()[0],
                geometry.windows.map(|one| one.count),
            ),
            Way::Scatter => (channels, geometry.input),
        };
        let shape = [channels, images, height, width];
        macro_rules! of_type {
            ($type:ty) => {
                B::from_vec(
                    B::with_values::<$type, _>(&x, |x| copied(x, images, &geometry, way)),
                    shape,
                )
            };
        }
        match x.dtype() {
            DType::F64 => of_type!(f64),
            _ => of_type!(f32),
        }
    }
}

/// The derivative of a linear map is its adjoint.
#[derive(Debug)]
struct Adjoint;

impl<B: ColumnsOps> Backward<B, 1> for Adjoint {
    type State = (Geometry, Way);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (geometry, way) = ops.state;
        let back = match way {
            Way::Gather => Way::Scatter,
            Way::Scatter => Way::Gather,
        };
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::windows(grad, geometry, back));
        }
    }
}

impl<B: ColumnsOps, C: CheckpointStrategy> ColumnsOps for Autodiff<B, C> {
    fn windows(x: FloatTensor<Self>, geometry: Geometry, way: Way) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let x = x.into_primitive();
        match Adjoint.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((geometry, way), B::windows(x, geometry, way)),
            OpsKind::UnTracked(prep) => prep.finish(B::windows(x, geometry, way)),
        }
    }
}

/// Cross-correlation with zeros around, so that `ceil(H / stride)` rows come out:
///
/// ```text
/// y[k, n, i, j] = sum_{c, a, b} weight[k, c, a, b] x[c, n, s i + a - p, s j + b - p],   p = (h - 1) / 2
/// ```
///
/// # Shapes
/// `x` `[C, n, H, W]`, `weight` `[K, C, h, h]` with `h` odd -> `[K, n, ceil(H / stride), ceil(W / stride)]`.
///
/// # Panics
/// Where the channels of the two differ: a matter of the program, not of its input.
pub fn convolve(x: Tensor<4>, weight: Tensor<4>, stride: usize) -> Tensor<4> {
    let [maps, _, side, _] = weight.dims();
    if !is_cpu(&x.device()) {
        let options = ConvOptions::new([stride; 2], [side / 2; 2], [1; 2], 1);
        return conv2d(x.swap_dims(0, 1), weight, None, options).swap_dims(0, 1);
    }
    let geometry = geometry(x.dims(), side, stride);
    let [height, width] = geometry.windows.map(|one| one.count);
    let [channels, n, ..] = x.dims();
    let rows = channels * side * side;
    let columns = Dispatch::windows(x.into_dispatch(), geometry, Way::Gather);
    let columns = Tensor::<4>::from_dispatch(columns).reshape([rows, n * height * width]);
    let weight: Tensor<2> = weight.reshape([maps, rows]);
    weight.matmul(columns).reshape([maps, n, height, width])
}
