//! Tensors that lie in plain memory, read where they lie.

// burn-ndarray is to go in favour of flex; until then it is one flag away.
#![cfg_attr(feature = "ndarray", allow(deprecated))]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Element, Tensor, TensorData};

/// A backend whose tensors lie in plain memory.
pub trait InMemory: Backend {
    /// Calls `f` with the numbers in row-major order, copied only if they lie otherwise.
    fn with_values<E: Element + bytemuck::Pod, R>(
        tensor: &FloatTensor<Self>,
        f: impl FnOnce(&[E]) -> R,
    ) -> R;

    /// Takes over a vector without copying it.
    fn from_vec<E: Element>(values: Vec<E>, shape: [usize; 4]) -> FloatTensor<Self>;
}

impl InMemory for Flex {
    fn with_values<E: Element + bytemuck::Pod, R>(
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
        fn with_values<E: Element + bytemuck::Pod, R>(
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
}

/// A look at the memory of a tensor of any such backend.
#[backend_extension(Flex, NdArray: cfg(feature = "ndarray"))]
pub trait Looking: Backend {
    /// Calls `look` once, with the bytes of the numbers in row-major order; how many numbers there are.
    fn bytes(x: FloatTensor<Self>, look: &mut dyn FnMut(&[u8])) -> usize;
}

impl<B: InMemory> Looking for B {
    fn bytes(x: FloatTensor<Self>, look: &mut dyn FnMut(&[u8])) -> usize {
        match x.dtype() {
            DType::F64 => B::with_values::<f64, _>(&x, |x| look(bytemuck::cast_slice(x))),
            _ => B::with_values::<f32, _>(&x, |x| look(bytemuck::cast_slice(x))),
        }
        x.shape().num_elements()
    }
}

/// Calls `look` with the numbers of a tensor on the CPU in row-major order, without a copy where they lie so,
/// whoever else holds the tensor.
///
/// # Panics
/// Where the tensor holds another type of numbers: a matter of the program, not of its input.
pub(crate) fn with_numbers<T: Element + bytemuck::Pod, R, const D: usize>(
    x: &Tensor<D>,
    look: impl FnOnce(&[T]) -> R,
) -> R {
    assert_eq!(x.dtype(), T::dtype(), "numbers of one type");
    let (mut look, mut found) = (Some(look), None);
    Dispatch::bytes(x.clone().into_dispatch(), &mut |bytes| {
        found = look.take().map(|look| look(bytemuck::cast_slice(bytes)));
    });
    found.expect("every backend in memory looks once")
}
