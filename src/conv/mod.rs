//! The masked convolution of one layer and its adjoints: the one heavy kernel of the model.
//!
//! Feature maps `z` and filters `f` make the planes below by the 'valid' part of true convolutions,
//! over the connected pairs of the layer's [`Connectivity`] `g`:
//!
//! ```text
//! synthesize:       (z * f)[n, c]  = sum_k g[c, k] z[n, k] * f[c, k]
//! analyze:          adjoint in z: <analyze(r, f), z> = <r, z * f>
//! filter_gradient:  adjoint in f: <filter_gradient(z, r), f> = <r, z * f>
//! ```
//!
//! The three are the partial derivatives of one trilinear form, `<r, z * f>`, so the derivatives of
//! each are the other two: that is all that autodiff needs.
//!
//! On the CPU backends they run the kernels of [`cpu`], sums over the taps or Fourier transforms of
//! tiles, whichever is expected to be faster; on GPUs, in single precision, those of `gpu`; else, and
//! to check both, the plain Burn operations of [`mod@reference`].
//!
//! # Shapes
//! - maps: `[batch, maps, height + h - 1, width + w - 1]`
//! - filters: `[planes, maps, h, w]`
//! - planes below, and residuals: `[batch, planes, height, width]`
//!
//! Source: Zeiler, Krishnan, Taylor and Fergus, Deconvolutional Networks, CVPR 2010, section 3.

pub mod cpu;
mod extension;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod gpu;
pub mod patch;
pub mod proximal;
pub mod reference;

use burn::backend::Dispatch;
use burn::tensor::{DType, Tensor};
use extension::ConvolutionOps;

use crate::backend::is_cpu;
use crate::connectivity::Connectivity;

/// Maps to planes: `(z * f)[n, c] = sum_k g[c, k] z[n, k] * f[c, k]`, the 'valid' part.
///
/// # Shapes
/// maps `[n, K, H + h - 1, W + w - 1]`, filters `[C, K, h, w]` -> `[n, C, H, W]`.
///
/// # Panics
/// Where the filters do not have the planes and maps of `g`: shapes are a matter of the program, not
/// of its input.
pub fn synthesize(maps: Tensor<4>, filters: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    check_filters(&filters, g);
    if !has_kernels(&maps) {
        return reference::synthesize(maps, filters, g);
    }
    Tensor::from_dispatch(Dispatch::synthesize(
        maps.into_dispatch(),
        filters.into_dispatch(),
        g.clone(),
    ))
}

/// Planes to maps: the 'full' correlation with the filters, the adjoint of [`synthesize`] in the
/// maps.
///
/// # Shapes
/// residual `[n, C, H, W]`, filters `[C, K, h, w]` -> `[n, K, H + h - 1, W + w - 1]`.
///
/// # Panics
/// As [`synthesize`].
pub fn analyze(residual: Tensor<4>, filters: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    check_filters(&filters, g);
    if !has_kernels(&residual) {
        return reference::analyze(residual, filters, g);
    }
    Tensor::from_dispatch(Dispatch::analyze(
        residual.into_dispatch(),
        filters.into_dispatch(),
        g.clone(),
    ))
}

/// The adjoint of [`synthesize`] in the filters; exactly zero where `g` is.
///
/// # Shapes
/// maps `[n, K, H + h - 1, W + w - 1]`, residual `[n, C, H, W]` -> `[C, K, h, w]`.
pub fn filter_gradient(maps: Tensor<4>, residual: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    if !has_kernels(&maps) {
        return reference::filter_gradient(maps, residual, g);
    }
    Tensor::from_dispatch(Dispatch::filter_gradient(
        maps.into_dispatch(),
        residual.into_dispatch(),
        g.clone(),
    ))
}

/// Whether there are kernels for a tensor. Few GPUs compute in double precision, so theirs are single.
fn has_kernels(x: &Tensor<4>) -> bool {
    is_cpu(&x.device()) || x.dtype() == DType::F32
}

fn check_filters(filters: &Tensor<4>, g: &Connectivity) {
    let [c, k, ..] = filters.dims();
    assert_eq!(
        [c, k],
        [g.planes(), g.maps()],
        "filters [planes, maps, ..] must fit the connectivity"
    );
}
