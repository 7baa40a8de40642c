//! The three products in plain Burn operations: slow, obvious, on every backend.
//!
//! A dense convolution with masked filters. What the kernels are tested against, and what runs on
//! a backend that has none of its own.

use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};

use super::sizes::Product;
use crate::connectivity::Connectivity;

pub(super) fn product(product: Product, [a, b]: [Tensor<4>; 2], g: &Connectivity) -> Tensor<4> {
    match product {
        Product::Synthesize => synthesize(a, b, g),
        Product::Analyze => analyze(a, b, g),
        Product::FilterGradient => filter_gradient(a, b, g),
    }
}

/// See [`super::synthesize`].
pub fn synthesize(maps: Tensor<4>, filters: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    // Burn's conv2d correlates; with flipped filters it is a true convolution.
    conv2d(maps, masked(filters, g).flip([2, 3]), None, plain())
}

/// See [`super::analyze`].
pub fn analyze(residual: Tensor<4>, filters: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    let options = ConvTransposeOptions::new([1, 1], [0, 0], [0, 0], [1, 1], 1);
    conv_transpose2d(residual, masked(filters, g).flip([2, 3]), None, options)
}

/// See [`super::filter_gradient`].
pub fn filter_gradient(maps: Tensor<4>, residual: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    // The batch takes the place of the channels, the residual that of the filters.
    let products = conv2d(
        maps.swap_dims(0, 1),
        residual.swap_dims(0, 1),
        None,
        plain(),
    );
    masked(products.swap_dims(0, 1).flip([2, 3]), g)
}

/// Filters with the unconnected planes set to zero.
pub fn masked(filters: Tensor<4>, g: &Connectivity) -> Tensor<4> {
    if g.is_full() {
        return filters;
    }
    let mask = mask(g, &filters.device()).cast(filters.dtype());
    filters * mask
}

/// The connectivity as a tensor of 0 and 1, `[planes, maps, 1, 1]`.
pub fn mask(g: &Connectivity, device: &Device) -> Tensor<4> {
    Tensor::from_data(
        TensorData::new(g.values(), [g.planes(), g.maps(), 1, 1]),
        device,
    )
}

fn plain() -> ConvOptions<2> {
    ConvOptions::new([1, 1], [0, 0], [1, 1], 1)
}
