//! Elementwise work as single passes over memory.
//!
//! What a solver does between two products is a formula for each element of a few tensors of the same
//! shape, and for each image a sum. As a chain of tensor operations each of its pluses and minuses reads
//! and writes all of memory; a [`Pass`] reads and writes each tensor once. On the CPU it goes block by
//! block, converted to double precision in the first cache, in place where the pass has the only handle
//! on a tensor. Everywhere else, and to check it, the same is written in plain Burn operations.
//!
//! Sums are taken over fixed parts and added in a fixed order, so that the bits do not depend on the
//! number of threads.

use std::mem;

use burn::tensor::{DType, Element, Tensor, TensorData};
use num_traits::AsPrimitive;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::backend::is_cpu;

/// So many elements of a tensor at a time.
pub type Block = [f64; BLOCK];
/// A few tensors' worth of it fit in the first cache.
pub const BLOCK: usize = 512;
/// Elements of what a thread works on at a time.
const PART: usize = 32 * BLOCK;

/// What a pass does with a tensor, and how often it goes over its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nothing: its block is zero.
    Skip,
    /// Once.
    Read,
    /// Once; what was there is lost.
    Write,
    /// Twice.
    Update,
}

impl Use {
    fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Update)
    }

    fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Update)
    }
}

/// A formula on `N` tensors of the same shape and `C` numbers for each image.
pub trait Pass<const N: usize, const C: usize>: Sync {
    /// What is done with each tensor.
    fn uses(&self) -> [Use; N];

    /// Works on a block of each tensor, in place, and gives its part of the image's sum. Blocks are
    /// filled up by zeros, for which that must be zero.
    fn block(&self, by: [f64; C], blocks: &mut [Block; N]) -> f64;

    /// The same on whole tensors, with numbers `[n, 1, 1, 1]`: what they become, and the sums.
    fn plain(&self, by: [Tensor<4>; C], tensors: [Tensor<4>; N]) -> ([Tensor<4>; N], Tensor<4>);

    /// Runs it, and gives the sums.
    ///
    /// # Shapes
    /// `by` `[n, 1, 1, 1]`, tensors all `[n, ..]` -> `[n, 1, 1, 1]`.
    fn run(&self, by: [Tensor<4>; C], tensors: [&mut Tensor<4>; N]) -> Tensor<4>
    where
        Self: Sized,
    {
        match tensors[0].dtype() {
            _ if !suits(tensors[0]) => {
                let (new, sums) = self.plain(by, tensors.each_ref().map(|x| (**x).clone()));
                for (tensor, new) in tensors.into_iter().zip(new) {
                    *tensor = new;
                }
                sums
            }
            DType::F64 => fused::<f64, _, N, C>(self, by, tensors),
            _ => fused::<f32, _, N, C>(self, by, tensors),
        }
    }
}

/// Whether a tensor lies in plain memory and nothing wants to know how it came about.
pub fn suits<const D: usize>(x: &Tensor<D>) -> bool {
    let device = x.device();
    is_cpu(&device) && !device.is_autodiff() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// The inner product of two blocks.
#[inline(always)]
pub fn dot(a: &Block, b: &Block) -> f64 {
    let mut lanes = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for i in 0..8 {
            lanes[i] += a[i] * b[i];
        }
    }
    lanes.iter().sum()
}

/// The numbers of a tensor in row-major order, without a copy where this is its only handle and
/// they are of this type already.
pub(crate) fn numbers<T: Element>(x: Tensor<4>) -> Vec<T> {
    let data = x.into_data().convert::<T>();
    data.try_into_vec().expect("numbers of this type")
}

fn fused<T, P, const N: usize, const C: usize>(
    pass: &P,
    by: [Tensor<4>; C],
    tensors: [&mut Tensor<4>; N],
) -> Tensor<4>
where
    T: Element + AsPrimitive<f64>,
    P: Pass<N, C>,
    f64: AsPrimitive<T>,
{
    let (shape, device, dtype) = (tensors[0].dims(), tensors[0].device(), tensors[0].dtype());
    let n = shape[0];
    let each = shape[1..].iter().product::<usize>();
    let by = by.map(|x| x.into_data().iter::<f64>().collect::<Vec<_>>());
    let uses = pass.uses();
    let mut values = [const { Vec::new() }; N];
    for i in (0..N).filter(|&i| uses[i] != Use::Skip) {
        assert_eq!(tensors[i].dims(), shape, "tensors of a pass are alike");
        // Something has to stay there while the numbers are out.
        let none = Tensor::empty([0; 4], (&device, dtype));
        values[i] = numbers::<T>(mem::replace(tensors[i], none));
    }
    let mut parts = values.each_mut().map(|values| {
        let images = values.chunks_exact_mut(each.max(1));
        images.flat_map(|image| image.chunks_mut(PART))
    });
    let parts_each = each.div_ceil(PART);
    let works: Vec<_> = (0..n * parts_each)
        .map(|i| Work {
            pass,
            uses,
            by: by.each_ref().map(|by| by[i / parts_each]),
            parts: parts.each_mut().map(|part| part.next().unwrap_or_default()),
        })
        .collect();
    let sums: Vec<f64> = works
        .into_par_iter()
        .map(|work| Arch::new().dispatch(work))
        .collect();
    let images = sums.chunks(parts_each.max(1));
    let sums: Vec<T> = images
        .map(|image| image.iter().sum::<f64>().as_())
        .collect();
    for i in (0..N).filter(|&i| uses[i] != Use::Skip) {
        let data = TensorData::new(mem::take(&mut values[i]), shape);
        *tensors[i] = Tensor::from_data(data, (&device, dtype));
    }
    Tensor::from_data(TensorData::new(sums, [n, 1, 1, 1]), (&device, dtype))
}

/// A part of each tensor.
struct Work<'a, T, P, const N: usize, const C: usize> {
    pass: &'a P,
    uses: [Use; N],
    by: [f64; C],
    parts: [&'a mut [T]; N],
}

impl<T, P, const N: usize, const C: usize> WithSimd for Work<'_, T, P, N, C>
where
    T: AsPrimitive<f64>,
    P: Pass<N, C>,
    f64: AsPrimitive<T>,
{
    type Output = f64;

    /// Plain loops, which the compiler turns into those of the vector unit that this is inlined for.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> f64 {
        let mut blocks = [[0.0; BLOCK]; N];
        let length = self.parts.iter().map(|part| part.len()).max();
        let length = length.unwrap_or_default();
        let mut sum = 0.0;
        for from in (0..length).step_by(BLOCK) {
            let count = BLOCK.min(length - from);
            let each = blocks.iter_mut().zip(&self.parts).zip(self.uses);
            for ((block, part), _) in each.filter(|(_, each)| each.reads()) {
                for (to, from) in block.iter_mut().zip(&part[from..from + count]) {
                    *to = from.as_();
                }
                block[count..].fill(0.0);
            }
            sum += self.pass.block(self.by, &mut blocks);
            let each = blocks.iter().zip(&mut self.parts).zip(self.uses);
            for ((block, part), _) in each.filter(|(_, each)| each.writes()) {
                for (to, from) in part[from..from + count].iter_mut().zip(block) {
                    *to = from.as_();
                }
            }
        }
        sum
    }
}
