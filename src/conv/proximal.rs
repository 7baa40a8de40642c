//! The step of proximal gradient methods as one operation, so that a GPU reads and writes the maps as
//! seldom as can be.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;

use super::analyze;
use super::sizes::{Product, check, check_alike};
use crate::connectivity::Connectivity;
use crate::penalty::{self, Penalty};

/// The numbers of a proximal step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proximal {
    /// Length of the gradient step, `1 / L`.
    pub length: f64,
    /// Weight of the penalty in the shrink.
    pub weight: f64,
    /// The penalty.
    pub penalty: Penalty,
}

/// Both operations on a GPU's own tensors.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(super) trait ProximalOps: Backend {
    /// [`step`].
    #[fusion(meta = |_, _, x, _, momentum, _, _| (x.clone(), momentum.clone()))]
    fn proximal_step(
        residual: FloatTensor<Self>,
        filters: FloatTensor<Self>,
        x: FloatTensor<Self>,
        before: FloatTensor<Self>,
        momentum: FloatTensor<Self>,
        g: Connectivity,
        by: Proximal,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// [`shrink`].
    #[fusion(dtype = v, shape = v)]
    fn shrink(v: FloatTensor<Self>, weight: f64, penalty: Penalty) -> FloatTensor<Self>;
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl ProximalOps for burn_cubecl::CubeBackend {
    fn proximal_step(
        residual: FloatTensor<Self>,
        filters: FloatTensor<Self>,
        x: FloatTensor<Self>,
        before: FloatTensor<Self>,
        momentum: FloatTensor<Self>,
        g: Connectivity,
        by: Proximal,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let tensors = [residual, filters, x, before, momentum];
        super::gpu::proximal_step(tensors, &g, by.length, (by.weight, by.penalty))
    }

    fn shrink(v: FloatTensor<Self>, weight: f64, penalty: Penalty) -> FloatTensor<Self> {
        super::gpu::shrink(v, weight, penalty)
    }
}

/// One accelerated proximal gradient step from the extrapolated maps `v`, and whether it goes uphill:
///
/// ```text
/// v = x + momentum (x - before)
/// next = shrink(v - length analyze(residual), weight)
/// uphill[n] = sum (v - next) (next - x)
/// ```
///
/// with the residual at `v`, `R v - y`. On a GPU, in single precision and without autodiff, one kernel
/// does all of it: it reads `x` and `before` once and writes `next` once, so that with the `synthesize`
/// that reads `next` a step passes over the maps four times.
///
/// # Shapes
/// residual `[n, C, H, W]`, filters `[C, K, h, w]`, `x` and `before` `[n, K, H + h - 1, W + w - 1]`,
/// momentum `[n, 1, 1, 1]` -> next as `x`, uphill `[n, 1, 1, 1]`.
///
/// # Panics
/// Where the shapes do not fit each other and `g`, or the tensors differ in type or device.
///
/// # Example
/// The first step for the image 3 and the filter 2, from the map 0, `argmin 1/2 (2 z - 3)^2 + |z|`:
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::conv::proximal::{Proximal, step};
///
/// let number = |x: f32| Tensor::<4>::full([1, 1, 1, 1], x, &Device::flex());
/// let by = Proximal { length: 0.25, weight: 0.25, penalty: 1.0.into() };
/// let start = [number(0.0), number(0.0)];
/// let g = Connectivity::full(1, 1);
/// let (next, uphill) = step(number(-3.0), number(2.0), &g, start, number(0.0), by);
/// assert_eq!(next.into_scalar::<f32>(), 1.25);
/// assert!(uphill.into_scalar::<f32>() < 0.0);
/// ```
pub fn step(
    residual: Tensor<4>,
    filters: Tensor<4>,
    g: &Connectivity,
    [x, before]: [Tensor<4>; 2],
    momentum: Tensor<4>,
    by: Proximal,
) -> (Tensor<4>, Tensor<4>) {
    let sizes = check(Product::Analyze, [&residual, &filters], g);
    let maps = sizes.output(Product::Analyze, g);
    let numbers = [sizes.batch, 1, 1, 1];
    for (name, tensor, expected) in [
        ("x", &x, maps),
        ("before", &before, maps),
        ("momentum", &momentum, numbers),
    ] {
        assert!(
            tensor.dims() == expected,
            "proximal step: {name} {:?} does not fit residual {:?} and filters {:?}; expected {expected:?}",
            tensor.dims(),
            residual.dims(),
            filters.dims()
        );
        check_alike("proximal step", (name, tensor), ("filters", &filters));
    }
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if suits_gpu([&residual, &filters, &x, &before, &momentum]) {
        let (next, uphill) = Dispatch::proximal_step(
            residual.into_dispatch(),
            filters.into_dispatch(),
            x.into_dispatch(),
            before.into_dispatch(),
            momentum.into_dispatch(),
            g.clone(),
            by,
        );
        return (Tensor::from_dispatch(next), Tensor::from_dispatch(uphill));
    }
    reference(residual, filters, g, [x, before], momentum, by)
}

/// [`step`] in plain Burn operations, on every backend.
pub fn reference(
    residual: Tensor<4>,
    filters: Tensor<4>,
    g: &Connectivity,
    [x, before]: [Tensor<4>; 2],
    momentum: Tensor<4>,
    by: Proximal,
) -> (Tensor<4>, Tensor<4>) {
    let v = x.clone() + momentum * (x.clone() - before);
    let descended = v.clone() - analyze(residual, filters, g) * by.length;
    let next = penalty::shrink(descended, by.weight, by.penalty);
    let uphill = (v - next.clone()) * (next.clone() - x);
    (next, uphill.sum_dim(1).sum_dim(2).sum_dim(3))
}

/// [`penalty::shrink`]; on a GPU, in single precision and without autodiff, in one pass.
///
/// # Shapes
/// any -> the same.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::conv::proximal::shrink;
///
/// let v = Tensor::<4>::from_data([[[[-2.0, -0.5, 0.0, 3.0]]]], &Device::flex());
/// let shrunk = shrink(v, 1.0, 1.0);
/// assert_eq!(shrunk.dims(), [1, 1, 1, 4]);
/// let shrunk: Vec<f32> = shrunk.try_into_vec_as().unwrap();
/// assert_eq!(shrunk, [-1.0, 0.0, 0.0, 2.0]);
/// ```
pub fn shrink(v: Tensor<4>, weight: f64, penalty: impl Into<Penalty>) -> Tensor<4> {
    let penalty = penalty.into();
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if suits_gpu([&v]) {
        return Tensor::from_dispatch(Dispatch::shrink(v.into_dispatch(), weight, penalty));
    }
    penalty::shrink(v, weight, penalty)
}

/// Whether the kernels of a GPU take these tensors: they have no derivatives.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn suits_gpu<const N: usize>(tensors: [&Tensor<4>; N]) -> bool {
    use crate::backend::{Kernels, kernels};
    tensors
        .iter()
        .all(|x| kernels(&x.device(), x.dtype()) == Some(Kernels::Gpu) && !x.is_autodiff())
}
