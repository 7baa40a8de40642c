//! Slices of numbers as vectors of the machine.

use pulp::Simd;

/// The most numbers that a vector holds.
pub(super) const LANES: usize = 16;
/// The number of each lane.
const NUMBERS: [f32; LANES] = {
    let mut numbers = [0.0; LANES];
    let mut lane = 1;
    while lane < LANES {
        numbers[lane] = numbers[lane - 1] + 1.0;
        lane += 1;
    }
    numbers
};

/// Where the largest magnitude of each lane is.
#[derive(Clone, Copy)]
pub(super) struct Largest<S: Simd> {
    values: S::f32s,
    /// Whole, and exact up to 2^24.
    numbers: S::f32s,
    next: S::f32s,
}

impl<S: Simd> Largest<S> {
    #[inline(always)]
    pub fn new(simd: S) -> Self {
        Self {
            values: simd.splat_f32s(0.0),
            numbers: simd.splat_f32s(0.0),
            next: vectors::<S>(&NUMBERS)[0],
        }
    }

    /// Sees the numbers after those seen.
    #[inline(always)]
    pub fn see(&mut self, simd: S, values: S::f32s) {
        let values = simd.abs_f32s(values);
        let larger = simd.greater_than_f32s(values, self.values);
        self.values = simd.select_f32s(larger, values, self.values);
        self.numbers = simd.select_f32s(larger, self.next, self.numbers);
        self.next = simd.add_f32s(self.next, simd.splat_f32s(S::F32_LANES as f32));
    }

    /// The place of the largest magnitude, the first of equals; none where all are zero.
    #[inline(always)]
    pub fn number(self, simd: S) -> Option<usize> {
        let most = simd.reduce_max_f32s(self.values);
        let first = simd.select_f32s(
            simd.equal_f32s(self.values, simd.splat_f32s(most)),
            self.numbers,
            simd.splat_f32s(f32::INFINITY),
        );
        (most > 0.0).then(|| simd.reduce_min_f32s(first) as usize)
    }
}

/// Numbers as vectors; there are whole ones.
#[inline(always)]
pub(crate) fn vectors<S: Simd>(values: &[f32]) -> &[S::f32s] {
    S::as_simd_f32s(values).0
}

#[inline(always)]
pub(crate) fn vectors_mut<S: Simd>(values: &mut [f32]) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(values).0
}
