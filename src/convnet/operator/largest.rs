//! The largest of each window in memory, and the way back through where it lay.

use burn::tensor::{Tensor, TensorData};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::columns::{Geometry, Number, copy};
use crate::backend::with_numbers;

/// No place of a plane.
const NOWHERE: u32 = u32::MAX;

/// The largest of each window, of each channel, and where it lies in the plane: the first in row-major order where
/// several are largest, and what is not a number before all that is.
///
/// # Shapes
/// x `[n, C, H, W]` -> largest `[n, C, I, J]`, places in the order of the windows.
pub(super) fn largest<T: Number>(x: &Tensor<4>, geometry: &Geometry) -> (Tensor<4>, Vec<u32>) {
    let ([n, c, ..], options) = (x.dims(), (x.device(), x.dtype()));
    let [_, plane, windows] = geometry.sizes();
    let mut y = vec![T::neg_infinity(); n * c * windows];
    let mut places = vec![NOWHERE; n * c * windows];
    let planes = y
        .par_chunks_mut(windows.max(1))
        .zip(places.par_chunks_mut(windows.max(1)));
    let arch = Arch::new();
    with_numbers(x, |x: &[T]| {
        let planes = planes.zip(x.par_chunks(plane.max(1)));
        planes.for_each(|((y, places), x)| {
            arch.dispatch(Largest {
                x,
                y,
                places,
                geometry,
            });
        });
    });
    let [down, across] = geometry.windows.map(|one| one.count);
    let shape = [n, c, down, across];
    let largest = Tensor::from_data(TensorData::new(y, shape), (&options.0, options.1));
    (largest, places)
}

/// [`largest`] of one plane, in the widest vectors that there are.
struct Largest<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
    places: &'a mut [u32],
    geometry: &'a Geometry,
}

impl<T: Number> WithSimd for Largest<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [taps, ..] = self.geometry.sizes();
        let [down, across] = self.geometry.windows;
        let mut row = vec![T::zero(); across.count];
        let steps = (0..across.count).map(|k| (k * across.stride) as u32);
        let steps: Vec<u32> = steps.collect();
        for tap in 0..taps {
            self.geometry
                .tap(tap, &(0..down.count), |window, from, count| {
                    let row = &mut row[..count];
                    copy(row, &self.x[from..], across.stride);
                    let found = self.y[window..][..count].iter_mut();
                    let found = found.zip(&mut self.places[window..][..count]);
                    let from = from as u32;
                    for (((y, at), &x), &step) in found.zip(row.iter()).zip(&steps) {
                        let better = (*at == NOWHERE) | ((x > *y) | x.is_nan()) & !y.is_nan();
                        *y = if better { x } else { *y };
                        *at = if better { from + step } else { *at };
                    }
                });
        }
    }
}

/// Adds a signal at each window to where its largest element lay in image `rows[k]`.
///
/// # Shapes
/// r `[rows, C, I, J]` -> `[rows, C, H, W]`.
pub(super) fn unpool<T: Number>(
    r: &Tensor<4>,
    places: &[u32],
    rows: &[usize],
    geometry: &Geometry,
) -> Tensor<4> {
    let ([n, c, ..], options) = (r.dims(), (r.device(), r.dtype()));
    let [_, plane, windows] = geometry.sizes();
    let mut x = vec![T::zero(); n * c * plane];
    with_numbers(r, |r: &[T]| {
        let planes = x.par_chunks_mut(plane.max(1)).enumerate();
        planes
            .zip(r.par_chunks(windows.max(1)))
            .for_each(|((at, x), r)| {
                let places = &places[(rows[at / c] * c + at % c) * windows..][..windows];
                for (&place, &r) in places.iter().zip(r) {
                    x[place as usize] += r;
                }
            });
    });
    let [height, width] = geometry.input;
    let data = TensorData::new(x, [n, c, height, width]);
    Tensor::from_data(data, (&options.0, options.1))
}
