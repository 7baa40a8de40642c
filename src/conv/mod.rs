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
//! On the CPU backends, in single and double precision, they run the kernels of [`cpu`], sums over the
//! taps or Fourier transforms of tiles, whichever is expected to be faster; on GPUs, in single
//! precision, those of `gpu`; else, and to check both, the plain Burn operations of [`mod@reference`].
//!
//! # Shapes
//! - maps: `[batch, maps, height + h - 1, width + w - 1]`
//! - filters: `[planes, maps, h, w]`
//! - planes below, and residuals: `[batch, planes, height, width]`
//!
//! Source: Zeiler, Krishnan, Taylor and Fergus, Deconvolutional Networks, CVPR 2010, section 3.

pub mod at;
pub mod cpu;
mod extension;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod gpu;
pub mod patch;
pub mod proximal;
pub mod reference;
mod sizes;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use extension::ConvolutionOps;
use sizes::Product;

use crate::backend::kernels;
use crate::connectivity::Connectivity;

/// Maps to planes: `(z * f)[n, c] = sum_k g[c, k] z[n, k] * f[c, k]`, the 'valid' part.
///
/// # Shapes
/// maps `[n, K, H + h - 1, W + w - 1]`, filters `[C, K, h, w]` -> `[n, C, H, W]`.
///
/// # Panics
/// Where the shapes do not fit each other and `g`, or the tensors differ in type or device: both are a
/// matter of the program, not of its input.
///
/// # Example
/// A single element of a map places its filter in the image:
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::conv::synthesize;
///
/// let device = Device::flex();
/// let maps = Tensor::<4>::from_data([[[[0.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]]], &device);
/// let filters = Tensor::<4>::from_data([[[[1.0, 3.0]]]], &device);
/// let image = synthesize(maps, filters, &Connectivity::full(1, 1));
/// assert_eq!(image.dims(), [1, 1, 2, 3]);
/// let image: Vec<f32> = image.try_into_vec_as().unwrap();
/// assert_eq!(image, [0.0, 0.0, 0.0, 2.0, 6.0, 0.0]);
/// ```
pub fn synthesize(maps: Tensor<4>, filters: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    product(Product::Synthesize, [maps, filters], g)
}

/// Planes to maps: the 'full' correlation with the filters, the adjoint of [`synthesize`] in the
/// maps.
///
/// # Shapes
/// planes `[n, C, H, W]`, filters `[C, K, h, w]` -> `[n, K, H + h - 1, W + w - 1]`.
///
/// # Panics
/// As [`synthesize`].
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::conv::analyze;
///
/// let device = Device::flex();
/// let planes = Tensor::<4>::from_data([[[[0.0, 2.0, 0.0]]]], &device);
/// let filters = Tensor::<4>::from_data([[[[1.0, 3.0]]]], &device);
/// let maps = analyze(planes, filters, &Connectivity::full(1, 1));
/// assert_eq!(maps.dims(), [1, 1, 1, 4]);
/// let maps: Vec<f32> = maps.try_into_vec_as().unwrap();
/// assert_eq!(maps, [0.0, 6.0, 2.0, 0.0]);
/// ```
pub fn analyze(planes: Tensor<4>, filters: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    product(Product::Analyze, [planes, filters], g)
}

/// The adjoint of [`synthesize`] in the filters; exactly zero where `g` is.
///
/// # Shapes
/// maps `[n, K, H + h - 1, W + w - 1]`, planes `[n, C, H, W]` -> `[C, K, h, w]`.
///
/// # Panics
/// As [`synthesize`].
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::conv::filter_gradient;
///
/// let device = Device::flex();
/// let maps = Tensor::<4>::from_data([[[[0.0, 2.0, 0.0, 0.0]]]], &device);
/// let residual = Tensor::<4>::from_data([[[[5.0, 7.0, 9.0]]]], &device);
/// let gradient = filter_gradient(maps, residual, &Connectivity::full(1, 1));
/// assert_eq!(gradient.dims(), [1, 1, 1, 2]);
/// let gradient: Vec<f32> = gradient.try_into_vec_as().unwrap();
/// assert_eq!(gradient, [10.0, 14.0]);
/// ```
pub fn filter_gradient(maps: Tensor<4>, planes: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    product(Product::FilterGradient, [maps, planes], g)
}

fn product(product: Product, [a, b]: [Tensor<4>; 2], g: &Connectivity) -> Tensor<4> {
    sizes::check(product, [&a, &b], g);
    if kernels(&a.device(), a.dtype()).is_none() {
        return reference::product(product, [a, b], g);
    }
    let (a, b) = (a.into_dispatch(), b.into_dispatch());
    Tensor::from_dispatch(Dispatch::product(a, b, product, g.clone(), None))
}
