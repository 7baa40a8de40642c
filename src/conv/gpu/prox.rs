//! The shrink of one number, and sums in a fixed order.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use crate::backend::launch::{address_type, check_tensors, dims, empty, grid, word};
use crate::penalty::Penalty;

/// Units of a workgroup.
const UNITS: usize = 256;
/// Newton's method is exact to single precision after as many, see [`crate::penalty::shrink_by`].
const NEWTON_STEPS: usize = 4;

/// `weight |x|^p` and the magnitude up to which its shrink is zero.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Shrink {
    pub weight: f32,
    pub p: f32,
    pub jump: f32,
}

/// What of a penalty decides the code of its shrink.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Kind {
    /// It is the soft threshold, p = 1.
    soft: bool,
    /// What is below zero becomes zero.
    non_negative: bool,
}

/// The penalty as a kernel takes it.
pub(super) fn shrink_argument(weight: f64, penalty: Penalty) -> (ShrinkLaunch, Kind) {
    let Penalty { p, non_negative } = penalty;
    let least = (2.0 * (1.0 - p) * weight).powf(1.0 / (2.0 - p));
    let jump = least * (2.0 - p) / (2.0 * (1.0 - p));
    let soft = p == 1.0;
    let jump = if soft { weight } else { jump };
    let launch = ShrinkLaunch::new(weight as f32, p as f32, jump as f32);
    (launch, Kind { soft, non_negative })
}

/// The shrink of `v`, see [`crate::penalty::shrink`].
#[cube]
pub(super) fn shrink_one(v: f32, shrink: &Shrink, #[comptime] kind: Kind) -> f32 {
    let mut v = v;
    if comptime!(kind.non_negative) {
        v = select(v < 0.0f32, 0.0f32, v);
    }
    if comptime!(kind.soft) {
        v - v.clamp(-shrink.weight, shrink.weight)
    } else {
        let a = v.abs();
        let mut x = a;
        if a <= shrink.jump {
            x = 0.0f32;
        } else {
            #[unroll]
            for _ in 0..NEWTON_STEPS {
                let q = shrink.weight * shrink.p * x.powf(shrink.p - 2.0);
                let f = q * x + x - a;
                x -= f / (q * (shrink.p - 1.0) + 1.0);
            }
        }
        select(v < 0.0, -x, x)
    }
}

/// The sum of what all units of a workgroup hold, a power of two of them, always in the same order.
#[cube]
pub(super) fn sum_of_workgroup(value: f32, #[comptime] units: usize) -> f32 {
    let mut parts = Shared::<[f32]>::new_slice(units);
    let unit = UNIT_POS as usize;
    parts[unit] = value;
    sync_cube();
    #[unroll]
    for halving in 0..comptime!(units.ilog2() as usize) {
        let half = comptime!(units >> (halving + 1));
        if unit < half {
            let sum = parts[unit] + parts[unit + half];
            parts[unit] = sum;
        }
        sync_cube();
    }
    parts[0]
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn shrink_all(v: &[f32], output: &mut [f32], shrink: Shrink, #[comptime] kind: Kind) {
    if ABSOLUTE_POS < output.len() {
        output[ABSOLUTE_POS] = shrink_one(v[ABSOLUTE_POS], &shrink, kind);
    }
}

#[cube(launch_unchecked)]
fn sum_rows(parts: &[f32], output: &mut [f32], rows: u32, length: u32) {
    let row = CUBE_POS;
    if row >= rows as usize {
        terminate!();
    }
    let mut sum = 0.0f32;
    let mut i = UNIT_POS as usize;
    while i < length as usize {
        sum += parts[row * length as usize + i];
        i += UNITS;
    }
    let sum = sum_of_workgroup(sum, UNITS);
    if UNIT_POS == 0 {
        output[row] = sum;
    }
}

/// The shrink of every element, in one pass.
pub(super) fn launch_shrink(v: CubeTensor, weight: f64, penalty: Penalty) -> CubeTensor {
    let v = into_contiguous(v);
    let output = empty(&v, dims(&v));
    check_tensors([&v]);
    let count = v.meta.num_elements();
    if count == 0 {
        return output;
    }
    let client = v.client.clone();
    let (shrink, kind) = shrink_argument(weight, penalty);
    // SAFETY: both tensors lie in row-major order and hold `count` numbers, and no unit works beyond
    // those of `output`.
    unsafe {
        shrink_all::launch_unchecked(
            &client,
            grid(count.div_ceil(UNITS)),
            CubeDim::new_1d(UNITS as u32),
            address_type([&v, &output]),
            v.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            shrink,
            kind,
        );
    }
    output
}

/// The sum of each image's parts, `[n, parts, 1, 1]` -> `[n, 1, 1, 1]`.
pub(super) fn launch_sum(parts: CubeTensor) -> CubeTensor {
    let [n, length, ..] = dims(&parts);
    let output = empty(&parts, [n, 1, 1, 1]);
    if n == 0 {
        return output;
    }
    let client = parts.client.clone();
    // SAFETY: `parts` lies in row-major order, as [`empty`] made it, and holds `n` rows of `length`
    // numbers; each of the first `n` workgroups reads one and writes one of the `n` numbers of `output`.
    unsafe {
        sum_rows::launch_unchecked(
            &client,
            grid(n),
            CubeDim::new_1d(UNITS as u32),
            parts.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            word(n),
            word(length),
        );
    }
    output
}
