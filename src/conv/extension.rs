//! The kernels of [`super::cpu`] and [`super::gpu`] as a Burn backend extension, with their autodiff.

// burn-ndarray is to go in favour of flex; until then it is one flag away.
#![cfg_attr(feature = "ndarray", allow(deprecated))]

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Element, TensorData};

use super::cpu::{self, Scalar, Sizes};
use crate::connectivity::Connectivity;
#[cfg(feature = "fusion")]
use shapes::{filters_shape, maps_shape, planes_shape};

/// The three products on a backend's own tensors; see [`super`] for what they are.
#[backend_extension(
    Flex,
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "wgpu", feature = "cuda")),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait ConvolutionOps: Backend {
    /// [`super::synthesize`].
    #[fusion(dtype = maps, shape = planes_shape(maps, filters, g))]
    fn synthesize(
        maps: FloatTensor<Self>,
        filters: FloatTensor<Self>,
        g: Connectivity,
    ) -> FloatTensor<Self>;

    /// [`super::analyze`].
    #[fusion(dtype = residual, shape = maps_shape(residual, filters, g))]
    fn analyze(
        residual: FloatTensor<Self>,
        filters: FloatTensor<Self>,
        g: Connectivity,
    ) -> FloatTensor<Self>;

    /// [`super::filter_gradient`].
    #[fusion(dtype = maps, shape = filters_shape(maps, residual, g))]
    fn filter_gradient(
        maps: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        g: Connectivity,
    ) -> FloatTensor<Self>;
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl ConvolutionOps for burn_cubecl::CubeBackend {
    fn synthesize(
        maps: FloatTensor<Self>,
        filters: FloatTensor<Self>,
        g: Connectivity,
    ) -> FloatTensor<Self> {
        super::gpu::synthesize(maps, filters, &g)
    }

    fn analyze(
        residual: FloatTensor<Self>,
        filters: FloatTensor<Self>,
        g: Connectivity,
    ) -> FloatTensor<Self> {
        super::gpu::analyze(residual, filters, &g)
    }

    fn filter_gradient(
        maps: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        g: Connectivity,
    ) -> FloatTensor<Self> {
        super::gpu::filter_gradient(maps, residual, &g)
    }
}

/// The three products of a backend whose tensors lie in plain memory, by the kernels of [`cpu`].
macro_rules! on_the_cpu {
    ($backend:ty) => {
        impl ConvolutionOps for $backend {
            fn synthesize(
                maps: FloatTensor<Self>,
                filters: FloatTensor<Self>,
                g: Connectivity,
            ) -> FloatTensor<Self> {
                synthesize::<Self>(maps, filters, g)
            }

            fn analyze(
                residual: FloatTensor<Self>,
                filters: FloatTensor<Self>,
                g: Connectivity,
            ) -> FloatTensor<Self> {
                analyze::<Self>(residual, filters, g)
            }

            fn filter_gradient(
                maps: FloatTensor<Self>,
                residual: FloatTensor<Self>,
                g: Connectivity,
            ) -> FloatTensor<Self> {
                filter_gradient::<Self>(maps, residual, g)
            }
        }
    };
}

/// The shapes of the three results, for a backend that runs them later.
#[cfg(feature = "fusion")]
mod shapes {
    use burn::tensor::Shape;

    use super::Connectivity;

    pub fn planes_shape(maps: &Shape, filters: &Shape, g: &Connectivity) -> Shape {
        let ([n, _, height, width], [.., h, w]) = (maps.dims::<4>(), filters.dims::<4>());
        Shape::from([n, g.planes(), height + 1 - h, width + 1 - w])
    }

    pub fn maps_shape(residual: &Shape, filters: &Shape, g: &Connectivity) -> Shape {
        let ([n, _, height, width], [.., h, w]) = (residual.dims::<4>(), filters.dims::<4>());
        Shape::from([n, g.maps(), height + h - 1, width + w - 1])
    }

    pub fn filters_shape(maps: &Shape, residual: &Shape, g: &Connectivity) -> Shape {
        let ([_, _, map_h, map_w], [.., height, width]) = (maps.dims::<4>(), residual.dims::<4>());
        Shape::from([g.planes(), g.maps(), map_h + 1 - height, map_w + 1 - width])
    }
}

/// A backend whose tensors lie in plain memory.
trait InMemory: Backend {
    /// Calls `f` with the numbers in row-major order, copied only if they lie otherwise.
    fn with_values<E: Element + bytemuck::Pod + Scalar, R>(
        tensor: &FloatTensor<Self>,
        f: impl FnOnce(&[E]) -> R,
    ) -> R;

    /// Takes over a vector without copying it.
    fn from_vec<E: Element>(values: Vec<E>, shape: [usize; 4]) -> FloatTensor<Self>;
}

impl InMemory for Flex {
    fn with_values<E: Element + bytemuck::Pod + Scalar, R>(
        tensor: &FloatTensor<Self>,
        f: impl FnOnce(&[E]) -> R,
    ) -> R {
        match tensor.as_slice() {
            Some(values) => f(values),
            None => {
                let copy = tensor.to_contiguous();
                f(&copy.storage()[..copy.shape().num_elements()])
            }
        }
    }

    fn from_vec<E: Element>(values: Vec<E>, shape: [usize; 4]) -> FloatTensor<Self> {
        FloatTensor::<Self>::from_data(TensorData::new(values, shape))
    }
}

#[cfg(feature = "ndarray")]
mod ndarray {
    use burn::backend::{NdArray, ops::FloatTensorOps};
    use burn_ndarray::NdArrayTensor;

    use super::*;

    impl InMemory for NdArray {
        fn with_values<E: Element + bytemuck::Pod + Scalar, R>(
            tensor: &FloatTensor<Self>,
            f: impl FnOnce(&[E]) -> R,
        ) -> R {
            macro_rules! values {
                ($storage:ident) => {{
                    let view = $storage.view();
                    match view.as_slice() {
                        Some(values) => f(bytemuck::cast_slice(values)),
                        None => {
                            let copy: Vec<_> = view.iter().copied().collect();
                            f(bytemuck::cast_slice(&copy))
                        }
                    }
                }};
            }
            match tensor {
                NdArrayTensor::F32(storage) => values!(storage),
                NdArrayTensor::F64(storage) => values!(storage),
                other => unreachable!("a float tensor of type {:?}", other.dtype()),
            }
        }

        fn from_vec<E: Element>(values: Vec<E>, shape: [usize; 4]) -> FloatTensor<Self> {
            Self::float_from_data(TensorData::new(values, shape), &Default::default())
        }
    }

    on_the_cpu!(NdArray);
}

on_the_cpu!(Flex);

/// Runs a kernel of [`cpu`] on two tensors of the same type, `f32` or `f64`.
macro_rules! run {
    ($B:ty, $kernel:path, $x:ident, $y:ident, $g:ident, $sizes:expr, $shape:expr) => {{
        macro_rules! typed {
            ($E:ty) => {{
                let values = <$B>::with_values::<$E, _>(&$x, |x| {
                    <$B>::with_values::<$E, _>(&$y, |y| $kernel(x, y, &$g, $sizes))
                });
                <$B>::from_vec(values, $shape)
            }};
        }
        match $x.dtype() {
            DType::F32 => typed!(f32),
            DType::F64 => typed!(f64),
            other => panic!("the convolution kernels take f32 and f64, not {other:?}"),
        }
    }};
}

fn synthesize<B: InMemory>(
    maps: FloatTensor<B>,
    filters: FloatTensor<B>,
    g: Connectivity,
) -> FloatTensor<B> {
    let ([batch, _, height, width], [.., h, w]) = (dims::<B>(&maps), dims::<B>(&filters));
    let image = [height + 1 - h, width + 1 - w];
    let sizes = Sizes {
        batch,
        image,
        filter: [h, w],
    };
    let shape = [batch, g.planes(), image[0], image[1]];
    run!(B, cpu::synthesize, maps, filters, g, sizes, shape)
}

fn analyze<B: InMemory>(
    residual: FloatTensor<B>,
    filters: FloatTensor<B>,
    g: Connectivity,
) -> FloatTensor<B> {
    let ([batch, _, height, width], [.., h, w]) = (dims::<B>(&residual), dims::<B>(&filters));
    let sizes = Sizes {
        batch,
        image: [height, width],
        filter: [h, w],
    };
    let shape = [batch, g.maps(), height + h - 1, width + w - 1];
    run!(B, cpu::analyze, residual, filters, g, sizes, shape)
}

fn filter_gradient<B: InMemory>(
    maps: FloatTensor<B>,
    residual: FloatTensor<B>,
    g: Connectivity,
) -> FloatTensor<B> {
    let [batch, _, map_height, map_width] = dims::<B>(&maps);
    let [_, _, height, width] = dims::<B>(&residual);
    let filter = [map_height + 1 - height, map_width + 1 - width];
    let sizes = Sizes {
        batch,
        image: [height, width],
        filter,
    };
    let shape = [g.planes(), g.maps(), filter[0], filter[1]];
    run!(B, cpu::filter_gradient, maps, residual, g, sizes, shape)
}

fn dims<B: Backend>(tensor: &FloatTensor<B>) -> [usize; 4] {
    tensor.shape().dims()
}

/// The derivatives of the three products are the products themselves: each node holds the two
/// factors of the trilinear form `<r, z * f>` that its inputs are, and gets the third as gradient.
macro_rules! differentiable {
    ($name:ident, $node:ident, |$a:ident, $b:ident, $grad:ident, $g:ident| $da:expr, $db:expr) => {
        fn $name(a: FloatTensor<Self>, b: FloatTensor<Self>, g: Connectivity) -> FloatTensor<Self> {
            #[derive(Debug)]
            struct $node;

            impl<B: ConvolutionOps> Backward<B, 2> for $node {
                type State = (FloatTensor<B>, FloatTensor<B>, Connectivity);

                fn backward(
                    self,
                    ops: Ops<Self::State, 2>,
                    grads: &mut Gradients,
                    _: &mut Checkpointer,
                ) {
                    let ($a, $b, $g) = ops.state;
                    let [node_a, node_b] = ops.parents;
                    let $grad = grads.consume::<B>(&ops.node);
                    if let Some(node) = node_a {
                        let ($grad, $b, $g) = ($grad.clone(), $b.clone(), $g.clone());
                        grads.register::<B>(node.id, $da);
                    }
                    if let Some(node) = node_b {
                        grads.register::<B>(node.id, $db);
                    }
                }
            }

            let nodes = [a.node(), b.node()];
            let (a, b) = (a.into_primitive(), b.into_primitive());
            match $node.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => {
                    let state = (a.clone(), b.clone(), g.clone());
                    prep.finish(state, B::$name(a, b, g))
                }
                OpsKind::UnTracked(prep) => prep.finish(B::$name(a, b, g)),
            }
        }
    };
}

impl<B: ConvolutionOps, C: CheckpointStrategy> ConvolutionOps for Autodiff<B, C> {
    differentiable!(
        synthesize,
        Synthesize,
        |z, f, r, g| B::analyze(r, f, g),
        B::filter_gradient(z, r, g)
    );
    differentiable!(
        analyze,
        Analyze,
        |r, f, z, g| B::synthesize(z, f, g),
        B::filter_gradient(z, r, g)
    );
    differentiable!(
        filter_gradient,
        FilterGradient,
        |z, r, f, g| B::analyze(r, f, g),
        B::synthesize(z, f, g)
    );
}
