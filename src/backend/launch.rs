//! What all launches of kernels on GPUs share: workgroups, sizes as the kernels take them, tensors to read and to write.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::prelude::{AddressType, CubeCount};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// The workgroups of a launch, spread over two dimensions: one holds 65535 on most devices. The last
/// row may be longer than the work, which the kernels see to.
pub(crate) fn grid(workgroups: usize) -> CubeCount {
    const LONGEST: usize = 65_535;
    let rows = workgroups.div_ceil(LONGEST).max(1);
    assert!(
        rows <= LONGEST,
        "{workgroups} workgroups are more than a launch can have; use smaller tensors"
    );
    CubeCount::Static(workgroups.div_ceil(rows) as u32, rows as u32, 1)
}

/// A size as the kernels take it: they may add two without an overflow.
pub(crate) fn word(size: usize) -> u32 {
    assert!(
        size <= i32::MAX as usize,
        "a size of {size} is more than the GPU kernels count to, {}; use smaller tensors",
        i32::MAX
    );
    size as u32
}

pub(crate) fn dims(tensor: &CubeTensor) -> [usize; 4] {
    tensor.shape().dims()
}

/// A tensor of single precision beside `like`, in row-major order, of which nothing is known.
pub(crate) fn empty(like: &CubeTensor, shape: [usize; 4]) -> CubeTensor {
    empty_of(DType::F32, like, shape)
}

/// The same of another type.
pub(crate) fn empty_of(dtype: DType, like: &CubeTensor, shape: [usize; 4]) -> CubeTensor {
    empty_device_contiguous_dtype(
        like.client.clone(),
        like.device.clone(),
        Shape::from(shape),
        dtype,
    )
}

/// The tensor itself where the numbers of a row lie next to each other, else a copy: the kernels read
/// any tensor right, but each number several times, which only whole lines of memory make cheap.
pub(crate) fn with_dense_rows(tensor: CubeTensor) -> CubeTensor {
    match tensor.meta.strides()[3] {
        0 | 1 => tensor,
        _ => into_contiguous(tensor),
    }
}

/// Panics unless tensors are as the kernels take them: of single precision, with sizes that fit a
/// [`word`].
pub(crate) fn check_tensors<const N: usize>(tensors: [&CubeTensor; N]) {
    for tensor in tensors {
        let dtype = tensor.dtype;
        assert!(
            dtype == DType::F32,
            "the GPU kernels take f32, not {dtype:?}"
        );
        for size in dims(tensor) {
            word(size);
        }
    }
}

/// The widest index that one of the tensors needs.
pub(crate) fn address_type<const N: usize>(tensors: [&CubeTensor; N]) -> AddressType {
    let needed = tensors.map(CubeTensor::required_address_type);
    needed.into_iter().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_a_workgroup_for_each_that_has_work_and_few_more() {
        for workgroups in [0, 1, 65_535, 65_536, 200_000, 65_535 * 65_535] {
            let CubeCount::Static(x, y, 1) = grid(workgroups) else {
                panic!("two dimensions that are known");
            };
            let all = x as usize * y as usize;
            assert!(
                (workgroups..workgroups + y as usize).contains(&all),
                "{workgroups}"
            );
            assert!(x <= 65_535 && y <= 65_535);
        }
    }

    #[test]
    #[should_panic(expected = "more than the GPU kernels count to")]
    fn sizes_that_would_wrap_are_refused() {
        assert_eq!(word(1 << 30), 1 << 30);
        word(1 << 31);
    }
}
