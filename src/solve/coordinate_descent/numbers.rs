//! Numbers of either precision, and sums over lists of them.

use num_traits::Float;
use rayon::prelude::*;

use crate::conv::cpu::Scalar;

/// A number type that is calculated with one at a time, too.
pub(super) trait Real: Scalar + Float {}

impl<T: Scalar + Float> Real for T {}

/// The largest size of a number.
pub(super) fn largest<T: Real>(numbers: &[T]) -> T {
    const LANES: usize = 16;
    let part = |numbers: &[T]| {
        let mut most = [T::zero(); LANES];
        for numbers in numbers.chunks(LANES) {
            for (most, x) in most.iter_mut().zip(numbers) {
                let x = x.abs();
                *most = if x > *most { x } else { *most };
            }
        }
        most.into_iter().fold(T::zero(), T::max)
    };
    numbers
        .par_chunks(1 << 14)
        .map(part)
        .reduce(T::zero, T::max)
}

/// The sum of a term in the numbers of lists of the same length, in lanes, since one sum after the
/// other waits for each addition.
pub(super) fn sum_of<T: Real, const N: usize>(
    lists: [&[T]; N],
    term: impl Fn([f64; N]) -> f64,
) -> f64 {
    const LANES: usize = 8;
    let (parts, rests) = (
        lists.map(|l| l.as_chunks().0),
        lists.map(|l| l.as_chunks::<LANES>().1),
    );
    let mut sums = [0.0; LANES];
    for i in 0..parts[0].len() {
        let part: [[T; LANES]; N] = parts.map(|p| p[i]);
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(part.map(|p| to_f64(p[lane])));
        }
    }
    let rest = (0..rests[0].len()).map(|i| term(rests.map(|r| to_f64(r[i]))));
    sums.into_iter().sum::<f64>() + rest.sum::<f64>()
}

/// `sum m r^2` from the weighted residual `m r` on the canvas and the weights there.
pub(super) fn weighted_square<T: Real>(residual: &[T], weights: Option<&[T]>) -> f64 {
    match weights {
        Some(weights) => sum_of([residual, weights], |[r, m]| match m > 0.0 {
            true => r * r / m,
            false => 0.0,
        }),
        None => sum_of([residual], |[r]| r * r),
    }
}

/// As a double; a number stays one.
pub(super) fn to_f64<T: Float>(x: T) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}

/// From a double, rounded.
pub(super) fn real<T: Float>(x: f64) -> T {
    T::from(x).unwrap_or_else(T::nan)
}
