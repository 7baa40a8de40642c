//! The two kinds of number that the kernels take, on whatever vector unit there is.

use std::ops::{Add, Mul, Sub};

use pulp::Simd;

/// No vector unit holds more numbers than this in a register: 512 bits of `f32`.
pub(super) const MAX_LANES: usize = 16;

/// A real number that fits the vector unit: `f32` or `f64`.
pub trait Scalar:
    Copy
    + PartialEq
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + 'static
{
    /// Nought.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The nearest number.
    fn from_f64(x: f64) -> Self;
    /// A vector register's worth of numbers.
    type Vector<S: Simd>: Copy;
    /// How many numbers a register holds.
    fn lanes<S: Simd>() -> usize;
    /// The same number in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// `a + b`, lane by lane.
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a - b`, lane by lane.
    fn minus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a b`, lane by lane.
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a b + c`, lane by lane.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// The first lanes of a slice that is at least as long.
    fn load<S: Simd>(simd: S, from: &[Self]) -> Self::Vector<S>;
    /// Writes the lanes to the front of a slice that is at least as long.
    fn store<S: Simd>(simd: S, x: Self::Vector<S>, to: &mut [Self]);
    /// The sum of the lanes.
    fn sum<S: Simd>(simd: S, x: Self::Vector<S>) -> Self;
}

macro_rules! scalar {
    ($t:ty, $vector:ident, $lanes:ident, $splat:ident, $add:ident, $sub:ident,
     $mul:ident, $mul_add:ident, $sum:ident) => {
        impl Scalar for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as Self
            }

            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::$lanes
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }
            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn minus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$sub(a, b)
            }
            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                c: S::$vector,
            ) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn load<S: Simd>(_: S, from: &[Self]) -> S::$vector {
                bytemuck::pod_read_unaligned(bytemuck::cast_slice(&from[..S::$lanes]))
            }
            #[inline(always)]
            fn store<S: Simd>(_: S, x: S::$vector, to: &mut [Self]) {
                bytemuck::cast_slice_mut(&mut to[..S::$lanes])
                    .copy_from_slice(bytemuck::bytes_of(&x));
            }
            #[inline(always)]
            fn sum<S: Simd>(simd: S, x: S::$vector) -> Self {
                simd.$sum(x)
            }
        }
    };
}

scalar!(
    f32,
    f32s,
    F32_LANES,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    mul_add_e_f32s,
    reduce_sum_f32s
);
scalar!(
    f64,
    f64s,
    F64_LANES,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    mul_add_e_f64s,
    reduce_sum_f64s
);

/// Writes vectors to column `j` on of a row, or what fits of one to a row shorter than a vector.
#[inline(always)]
pub(super) fn store_row<T: Scalar, S: Simd, const V: usize>(
    simd: S,
    values: [T::Vector<S>; V],
    j: usize,
    row: &mut [T],
) {
    let lanes = T::lanes::<S>();
    for (v, x) in values.into_iter().enumerate() {
        if row.len() >= lanes {
            T::store(simd, x, &mut row[j + v * lanes..]);
        } else {
            let mut values = [T::ZERO; MAX_LANES];
            T::store(simd, x, &mut values);
            row.copy_from_slice(&values[..row.len()]);
        }
    }
}
