//! The three products for maps that were pooled: only the elements at the switches are there.
//!
//! ```text
//! synthesize:       F (U_s p)
//! analyze:          U_s' F' r
//! filter_gradient:  in the filters
//! ```
//!
//! They are the products of [`super`] with [unpooling](crate::pooling) before or after, and again the
//! derivatives of one trilinear form, in `p`, `f` and `r`. On the CPU a kernel visits the elements at the
//! switches alone, one in 9 to 27 for the windows of the paper; elsewhere the maps are written out.
//!
//! # Shapes
//! - pooled maps `p`: `[batch, ceil(K / maps), ceil((H + h - 1) / rows), ceil((W + w - 1) / columns)]`
//! - filters: `[planes, maps, h, w]`
//! - planes: `[batch, planes, H, W]`

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::extension::ConvolutionOps;
use super::sizes::{self, Product};
use super::{
    analyze as analyze_all, filter_gradient as filter_gradient_all, synthesize as synthesize_all,
};
use crate::backend::{Kernels, kernels};
use crate::connectivity::Connectivity;
use crate::pooling::Switches;

/// Pooled maps to planes, `F U_s p`.
///
/// # Panics
/// As [`super::synthesize`].
///
/// # Example
/// The one element of a window that is kept places its filter in the image:
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::conv::at;
/// use deconvnet::pooling::{Pool, Switches};
///
/// let device = Device::flex();
/// let pool = Pool { rows: 1, columns: 2, maps: 1 };
/// let switches = Switches::from_places(pool, [1, 1, 1, 4], vec![1, -1])?;
/// let values = Tensor::<4>::from_data([[[[2.0, 5.0]]]], &device);
/// let filters = Tensor::<4>::from_data([[[[1.0, 3.0]]]], &device);
/// let image = at::synthesize(values, filters, &Connectivity::full(1, 1), &switches);
/// assert_eq!(image.to_data().to_vec::<f32>().unwrap(), [2.0, 6.0, 0.0]);
/// # Ok::<(), deconvnet::Error>(())
/// ```
pub fn synthesize(
    values: Tensor<4>,
    filters: Tensor<4>,
    g: &Connectivity,
    switches: &Switches,
) -> Tensor<4> {
    match by_kernel(Product::Synthesize, [&values, &filters], g, switches) {
        Some(planes) => planes,
        None => synthesize_all(switches.unpool(values), filters, g),
    }
}

/// Planes to pooled maps, `U_s' F' r`, the adjoint of [`synthesize`] in the pooled maps.
///
/// # Panics
/// As [`super::analyze`].
pub fn analyze(
    planes: Tensor<4>,
    filters: Tensor<4>,
    g: &Connectivity,
    switches: &Switches,
) -> Tensor<4> {
    match by_kernel(Product::Analyze, [&planes, &filters], g, switches) {
        Some(values) => values,
        None => switches.pool(analyze_all(planes, filters, g)),
    }
}

/// The adjoint of [`synthesize`] in the filters; exactly zero where `g` is.
///
/// # Panics
/// As [`super::filter_gradient`].
pub fn filter_gradient(
    values: Tensor<4>,
    planes: Tensor<4>,
    g: &Connectivity,
    switches: &Switches,
) -> Tensor<4> {
    match by_kernel(Product::FilterGradient, [&values, &planes], g, switches) {
        Some(filters) => filters,
        None => filter_gradient_all(switches.unpool(values), planes, g),
    }
}

fn by_kernel(
    product: Product,
    inputs: [&Tensor<4>; 2],
    g: &Connectivity,
    switches: &Switches,
) -> Option<Tensor<4>> {
    sizes::check_at(product, inputs, g, switches);
    let [a, b] = inputs;
    if kernels(&a.device(), a.dtype()) != Some(Kernels::Cpu) {
        return None;
    }
    let [a, b] = [a, b].map(|x| x.clone().into_dispatch());
    let out = Dispatch::product(a, b, product, g.clone(), Some(switches.clone()));
    Some(Tensor::from_dispatch(out))
}
