//! The kernels of [`super::cpu`] and [`super::gpu`] as a Burn backend extension, with their autodiff.

// burn-ndarray is to go in favour of flex; until then it is one flag away.
#![cfg_attr(feature = "ndarray", allow(deprecated))]

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata, backend_extension};
use burn::tensor::{DType, Element};

use super::cpu::{self, Scalar};
use super::sizes::{Product, Sizes};
use crate::backend::InMemory;
use crate::connectivity::Connectivity;
use crate::pooling::Switches;

/// The three products on a backend's own tensors.
#[backend_extension(
    Flex,
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "wgpu", feature = "cuda")),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait ConvolutionOps: Backend {
    /// [`super::synthesize`], [`super::analyze`] or [`super::filter_gradient`] of `a` and `b`, or, on the
    /// CPU, their namesakes in [`super::at`] for maps pooled at switches.
    #[fusion(dtype = a, shape = {
        let sizes = Sizes::at(*product, [a.dims(), b.dims()], g, at.as_ref());
        burn::tensor::Shape::from(sizes.output_at(*product, g, at.as_ref()))
    })]
    fn product(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        product: Product,
        g: Connectivity,
        at: Option<Switches>,
    ) -> FloatTensor<Self>;
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl ConvolutionOps for burn_cubecl::CubeBackend {
    fn product(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        product: Product,
        g: Connectivity,
        at: Option<Switches>,
    ) -> FloatTensor<Self> {
        assert!(at.is_none(), "pooled maps are written out for a GPU");
        super::gpu::product(product, a, b, &g)
    }
}

/// By the kernels of [`cpu`].
impl<B: InMemory> ConvolutionOps for B {
    fn product(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        product: Product,
        g: Connectivity,
        at: Option<Switches>,
    ) -> FloatTensor<Self> {
        match a.dtype() {
            DType::F32 => in_precision::<B, f32>(product, a, b, &g, at.as_ref()),
            DType::F64 => in_precision::<B, f64>(product, a, b, &g, at.as_ref()),
            other => unreachable!("tensors of type {other:?} go to the plain Burn operations"),
        }
    }
}

fn in_precision<B: InMemory, E: Element + bytemuck::Pod + Scalar>(
    product: Product,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    g: &Connectivity,
    at: Option<&Switches>,
) -> FloatTensor<B> {
    let sizes = Sizes::at(product, [a.shape().dims(), b.shape().dims()], g, at);
    let kernel = |a: &[E], b: &[E]| match (product, at) {
        (_, Some(switches)) => cpu::at_switches(product, [a, b], g, switches, sizes),
        (Product::Synthesize, None) => cpu::synthesize(a, b, g, sizes),
        (Product::Analyze, None) => cpu::analyze(a, b, g, sizes),
        (Product::FilterGradient, None) => cpu::filter_gradient(a, b, g, sizes),
    };
    let values = B::with_values(&a, |a| B::with_values(&b, |b| kernel(a, b)));
    B::from_vec(values, sizes.output_at(product, g, at))
}

/// The derivatives of a product are the two others: the node holds the two factors of the trilinear
/// form `<r, z * f>` that its inputs are, and gets the third as gradient.
#[derive(Debug)]
struct Derivatives;

impl<B: ConvolutionOps> Backward<B, 2> for Derivatives {
    type State = (
        FloatTensor<B>,
        FloatTensor<B>,
        Product,
        Connectivity,
        Option<Switches>,
    );

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        use Product::*;
        let (a, b, product, g, at) = ops.state;
        let [node_a, node_b] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(node) = node_a {
            let (b, grad) = (b, grad.clone());
            let slope = match product {
                Synthesize => B::product(grad, b, Analyze, g.clone(), at.clone()),
                Analyze => B::product(grad, b, Synthesize, g.clone(), at.clone()),
                FilterGradient => B::product(b, grad, Analyze, g.clone(), at.clone()),
            };
            grads.register::<B>(node.id, slope);
        }
        if let Some(node) = node_b {
            let slope = match product {
                Synthesize => B::product(a, grad, FilterGradient, g, at),
                Analyze => B::product(grad, a, FilterGradient, g, at),
                FilterGradient => B::product(a, grad, Synthesize, g, at),
            };
            grads.register::<B>(node.id, slope);
        }
    }
}

impl<B: ConvolutionOps, C: CheckpointStrategy> ConvolutionOps for Autodiff<B, C> {
    fn product(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        product: Product,
        g: Connectivity,
        at: Option<Switches>,
    ) -> FloatTensor<Self> {
        let nodes = [a.node(), b.node()];
        let (a, b) = (a.into_primitive(), b.into_primitive());
        match Derivatives.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (a.clone(), b.clone(), product, g.clone(), at.clone());
                prep.finish(state, B::product(a, b, product, g, at))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::product(a, b, product, g, at)),
        }
    }
}
