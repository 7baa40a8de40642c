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

use std::ops::{AddAssign, Range};

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Element, Tensor};
use rayon::prelude::*;

use crate::backend::is_cpu;
use crate::conv::InMemory;

/// A batch of planes and the square windows on them, as many as make `ceil(H / stride)` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// `[C, n, H, W]`.
    pub planes: [usize; 4],
    /// Side of a window, odd: it reaches as far to all sides of its middle.
    pub side: usize,
    /// Step from a window to the next.
    pub stride: usize,
}

impl Windows {
    /// `[C side side, n, I, J]`.
    pub fn columns(&self) -> [usize; 4] {
        let [c, n, h, w] = self.planes;
        let [h, w] = [h, w].map(|length| length.div_ceil(self.stride));
        [c * self.side * self.side, n, h, w]
    }

    /// The windows whose element at `offset` lies within a side of `length`, and where that element of
    /// the first of them lies.
    fn inside(&self, offset: usize, length: usize) -> (Range<usize>, usize) {
        let reach = self.side / 2;
        let first = reach.saturating_sub(offset).div_ceil(self.stride);
        let last = (length + reach)
            .saturating_sub(offset)
            .div_ceil(self.stride);
        let last = last.min(length.div_ceil(self.stride)).max(first);
        (
            first..last,
            (first * self.stride + offset).saturating_sub(reach),
        )
    }

    /// Goes over the rows that a row of the matrix and the planes have in common: for each, where in the
    /// row and where in the channel's planes its first elements lie, and how many there are.
    fn for_each_row(&self, row: usize, mut f: impl FnMut(usize, usize, usize)) {
        let [_, images, height, width] = self.planes;
        let [_, _, rows, columns] = self.columns();
        let (down, across) = (row / self.side % self.side, row % self.side);
        let (i_range, top) = self.inside(down, height);
        let (j_range, left) = self.inside(across, width);
        if j_range.is_empty() {
            return;
        }
        for n in 0..images {
            for (k, i) in i_range.clone().enumerate() {
                let to = (n * rows + i) * columns + j_range.start;
                let from = (n * height + top + k * self.stride) * width + left;
                f(to, from, j_range.len());
            }
        }
    }

    /// The windows of `planes` as columns.
    fn gather<E: Element>(&self, planes: &[E]) -> Vec<E> {
        let [rows, ..] = self.columns();
        let length = self.columns()[1..].iter().product();
        let plane: usize = self.planes[1..].iter().product();
        let mut out = vec![E::default(); rows * length];
        if length == 0 {
            return out;
        }
        out.par_chunks_mut(length)
            .enumerate()
            .for_each(|(row, out)| {
                let planes = &planes[row / (self.side * self.side) * plane..][..plane];
                self.for_each_row(row, |to, from, count| {
                    let out = &mut out[to..to + count];
                    match self.stride {
                        1 => out.copy_from_slice(&planes[from..from + count]),
                        _ => {
                            let values = planes[from..].iter().step_by(self.stride);
                            out.iter_mut().zip(values).for_each(|(o, v)| *o = *v);
                        }
                    }
                });
            });
        out
    }

    /// The adjoint: adds every element of the columns to the place that it was taken from.
    fn scatter<E: Element + AddAssign>(&self, columns: &[E]) -> Vec<E> {
        let length: usize = self.columns()[1..].iter().product();
        let plane: usize = self.planes[1..].iter().product();
        let mut out = vec![E::default(); self.planes.iter().product()];
        if plane == 0 {
            return out;
        }
        let taps = self.side * self.side;
        out.par_chunks_mut(plane).enumerate().for_each(|(c, out)| {
            for row in c * taps..(c + 1) * taps {
                let columns = &columns[row * length..][..length];
                self.for_each_row(row, |at, to, count| {
                    let values = columns[at..at + count].iter();
                    match self.stride {
                        1 => add(out[to..to + count].iter_mut().zip(values)),
                        stride => add(out[to..].iter_mut().step_by(stride).zip(values)),
                    }
                });
            }
        });
        out
    }
}

fn add<'a, E: Element + AddAssign>(pairs: impl Iterator<Item = (&'a mut E, &'a E)>) {
    pairs.for_each(|(o, v)| *o += *v);
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
    /// Planes to columns, or back.
    fn windows(x: FloatTensor<Self>, windows: Windows, way: Way) -> FloatTensor<Self>;
}

impl<B: InMemory> ColumnsOps for B {
    fn windows(x: FloatTensor<Self>, windows: Windows, way: Way) -> FloatTensor<Self> {
        fn copied<B: InMemory, E: Element + bytemuck::Pod + AddAssign>(
            x: &FloatTensor<B>,
            windows: Windows,
            way: Way,
        ) -> FloatTensor<B> {
            match way {
                Way::Gather => {
                    let values = B::with_values::<E, _>(x, |x| windows.gather(x));
                    B::from_vec(values, windows.columns())
                }
                Way::Scatter => {
                    let values = B::with_values::<E, _>(x, |x| windows.scatter(x));
                    B::from_vec(values, windows.planes)
                }
            }
        }
        match x.dtype() {
            DType::F64 => copied::<B, f64>(&x, windows, way),
            _ => copied::<B, f32>(&x, windows, way),
        }
    }
}

/// The derivative of a linear map is its adjoint.
#[derive(Debug)]
struct Adjoint;

impl<B: ColumnsOps> Backward<B, 1> for Adjoint {
    type State = (Windows, Way);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (windows, way) = ops.state;
        let back = match way {
            Way::Gather => Way::Scatter,
            Way::Scatter => Way::Gather,
        };
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::windows(grad, windows, back));
        }
    }
}

impl<B: ColumnsOps, C: CheckpointStrategy> ColumnsOps for Autodiff<B, C> {
    fn windows(x: FloatTensor<Self>, windows: Windows, way: Way) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let x = x.into_primitive();
        match Adjoint.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((windows, way), B::windows(x, windows, way)),
            OpsKind::UnTracked(prep) => prep.finish(B::windows(x, windows, way)),
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
    let windows = Windows {
        planes: x.dims(),
        side,
        stride,
    };
    let [rows, n, height, width] = windows.columns();
    let columns = Dispatch::windows(x.into_dispatch(), windows, Way::Gather);
    let columns = Tensor::<4>::from_dispatch(columns).reshape([rows, n * height * width]);
    let weight: Tensor<2> = weight.reshape([maps, rows]);
    weight.matmul(columns).reshape([maps, n, height, width])
}
