//! The step of proximal gradient methods as one operation, so that a GPU reads and writes the maps as
//! seldom as can be.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;

use super::{analyze, check_filters};
use crate::connectivity::Connectivity;
use crate::penalty;

/// The numbers of a proximal step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proximal {
    /// Length of the gradient step, `1 / L`.
    pub length: f64,
    /// Weight of the penalty in the shrink.
    pub weight: f64,
    /// Exponent of the penalty, `0 < p <= 1`.
    pub p: f64,
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
    fn shrink(v: FloatTensor<Self>, weight: f64, p: f64) -> FloatTensor<Self>;
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
        super::gpu::proximal_step([residual, filters, x, before, momentum], &g, by)
    }

    fn shrink(v: FloatTensor<Self>, weight: f64, p: f64) -> FloatTensor<Self> {
        super::gpu::shrink(v, weight, p)
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
/// with the residual at `v`, `R v - y`. On a GPU, in single precision, one kernel does all of it: it
/// reads `x` and `before` once and writes `next` once, so that with the `synthesize` that reads
/// `next` a step passes over the maps four times. Not differentiable.
///
/// # Shapes
/// residual `[n, C, H, W]`, filters `[C, K, h, w]`, `x` and `before` `[n, K, H + h - 1, W + w - 1]`,
/// momentum `[n, 1, 1, 1]` -> next as `x`, uphill `[n, 1, 1, 1]`.
pub fn step(
    residual: Tensor<4>,
    filters: Tensor<4>,
    g: &Connectivity,
    [x, before]: [Tensor<4>; 2],
    momentum: Tensor<4>,
    by: Proximal,
) -> (Tensor<4>, Tensor<4>) {
    check_filters(&filters, g);
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if on_gpu(&x) {
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
    let next = penalty::shrink(descended, by.weight, by.p);
    let uphill = (v - next.clone()) * (next.clone() - x);
    (next, uphill.sum_dim(1).sum_dim(2).sum_dim(3))
}

/// [`penalty::shrink`]; on a GPU, in single precision, in one pass. Not differentiable there.
pub fn shrink(v: Tensor<4>, weight: f64, p: f64) -> Tensor<4> {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if on_gpu(&v) {
        return Tensor::from_dispatch(Dispatch::shrink(v.into_dispatch(), weight, p));
    }
    penalty::shrink(v, weight, p)
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn on_gpu(x: &Tensor<4>) -> bool {
    !crate::backend::is_cpu(&x.device()) && x.dtype() == burn::tensor::DType::F32
}
