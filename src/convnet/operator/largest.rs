//! The largest of each window in memory, and the way back through where it lay.

use burn::tensor::{Tensor, TensorData};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::columns::{Geometry, Number};
use super::windows::Windows;
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
        let [down, across] = self.geometry.windows;
        let [height, width] = self.geometry.input;
        let mut row = Phases::new(&across, width);
        let whole = across.count.next_multiple_of(LANES);
        let steps = (0..whole).map(|k| (k * across.stride) as u32);
        let steps: Vec<u32> = steps.collect();
        let (mut best, mut at) = (vec![T::zero(); whole], vec![0; whole]);
        let results = self.y.chunks_exact_mut(across.count.max(1));
        let results = results.zip(self.places.chunks_exact_mut(across.count.max(1)));
        for (i, (y, places)) in results.enumerate() {
            best.fill(T::neg_infinity());
            at.fill(NOWHERE);
            let rows = (0..down.kernel).filter_map(|u| {
                let row = (i * down.stride + u * down.dilation).checked_sub(down.begin);
                row.filter(|&row| row < height)
            });
            for r in rows.clone() {
                row.take(&self.x[r * width..][..width]);
                for offset in (0..across.kernel).map(|v| v * across.dilation) {
                    let place = ((r * width + offset) as u32).wrapping_sub(across.begin as u32);
                    let found = best.iter_mut().zip(&mut at);
                    for (((y, at), &x), &step) in found.zip(row.tap(offset)).zip(&steps) {
                        let better = (x > *y) | (x.is_nan() & !y.is_nan());
                        *y = if better { x } else { *y };
                        *at = if better {
                            place.wrapping_add(step)
                        } else {
                            *at
                        };
                    }
                }
            }
            y.copy_from_slice(&best[..y.len()]);
            places.copy_from_slice(&at[..places.len()]);
            // Nothing is above -inf: where all are that, the first.
            let least = places.iter_mut().enumerate();
            for (j, place) in least.filter(|(_, place)| **place == NOWHERE) {
                let before = across.begin.saturating_sub(j * across.stride);
                let tap = before.div_ceil(across.dilation) * across.dilation;
                let column = j * across.stride + tap - across.begin;
                *place = (rows.clone().next().unwrap_or(0) * width + column) as u32;
            }
        }
    }
}

/// Windows that are worked on together.
const LANES: usize = 16;

/// A row whose elements that are as far apart as windows lie side by side, -inf before and behind.
struct Phases<T> {
    values: Vec<T>,
    /// Elements of a phase, those before and behind the row counted.
    each: usize,
    /// Elements before the row.
    before: usize,
    stride: usize,
    begin: usize,
}

impl<T: Number> Phases<T> {
    #[inline(always)]
    fn new(windows: &Windows, width: usize) -> Self {
        let stride = windows.stride;
        let before = windows.begin.div_ceil(stride);
        let last = windows.extent() / stride + windows.count.next_multiple_of(LANES);
        let each = before + last.max(width.div_ceil(stride)) + 1;
        Self {
            values: vec![T::neg_infinity(); stride * each],
            each,
            before,
            stride,
            begin: windows.begin,
        }
    }

    #[inline(always)]
    fn take(&mut self, row: &[T]) {
        let phases = self.values.chunks_exact_mut(self.each);
        let mut phases = phases.map(|phase| &mut phase[self.before..]);
        match self.stride {
            1 => phases.for_each(|phase| phase[..row.len()].copy_from_slice(row)),
            2 => {
                let (even, odd) = (phases.next(), phases.next());
                let (even, odd) = even.zip(odd).expect("two phases");
                let (pairs, rest) = row.as_chunks::<2>();
                for ((pair, even), odd) in pairs.iter().zip(even.iter_mut()).zip(odd) {
                    (*even, *odd) = (pair[0], pair[1]);
                }
                even[pairs.len()..][..rest.len()].copy_from_slice(rest);
            }
            stride => phases.enumerate().for_each(|(phase, to)| {
                let from = row.iter().skip(phase).step_by(stride);
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }),
        }
    }

    /// Element `offset` of each window, one after the other.
    #[inline(always)]
    fn tap(&self, offset: usize) -> &[T] {
        let at = self.before * self.stride + offset - self.begin;
        &self.values[at % self.stride * self.each..][..self.each][at / self.stride..]
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

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    /// Few different numbers, so that many are largest at once; some are -inf, or no numbers.
    fn planes(count: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let next = (0..count).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match state >> 24 {
                0..4 => f32::NAN,
                4..200 => f32::NEG_INFINITY,
                rest => (rest % 3) as f32,
            }
        });
        next.collect()
    }

    #[test]
    fn the_first_of_the_largest_of_each_window_is_found() {
        let (mut least, mut unknown) = (0, 0);
        for (stride, dilation, begin, [height, width]) in [
            (1, 1, 1, [5, 40]),
            (2, 1, 0, [11, 37]),
            (2, 2, 2, [9, 20]),
            (3, 1, 1, [8, 35]),
            (5, 2, 3, [13, 12]),
        ] {
            let along = |length: usize| Windows {
                kernel: 3,
                stride,
                dilation,
                begin,
                count: (length + begin - 2 * dilation - 1) / stride + 1,
            };
            let windows = [along(height), along(width)];
            let geometry = Geometry {
                groups: 2,
                channels: [2; 2],
                input: [height, width],
                windows,
            };
            let x = planes(2 * height * width);
            let data = TensorData::new(x.clone(), [1, 2, height, width]);
            let of_x = Tensor::from_data(data, (&Device::flex(), DType::F32));
            let (y, places) = largest::<f32>(&of_x, &geometry);
            let y: Vec<f32> = y.into_data().iter().collect();
            let [down, across] = windows.map(|one| one.count);
            for (at, (y, place)) in y.into_iter().zip(places).enumerate() {
                let (channel, i, j) = (at / (down * across), at / across % down, at % across);
                let mut wanted = None;
                for (u, v) in (0..3).flat_map(|u| (0..3).map(move |v| (u, v))) {
                    let row = (i * stride + u * dilation).checked_sub(begin);
                    let column = (j * stride + v * dilation).checked_sub(begin);
                    let inside = row.zip(column).filter(|&(r, c)| r < height && c < width);
                    let Some((row, column)) = inside else {
                        continue;
                    };
                    let value = x[(channel * height + row) * width + column];
                    let better = wanted.is_none_or(|(best, _): (f32, usize)| {
                        !best.is_nan() && (value > best || value.is_nan())
                    });
                    if better {
                        wanted = Some((value, row * width + column));
                    }
                }
                let (value, wanted) = wanted.expect("no window lies outside");
                assert_eq!(place as usize, wanted, "window {at} at stride {stride}");
                assert!(
                    y == value || y.is_nan() && value.is_nan(),
                    "{y}, not {value}"
                );
                least += usize::from(value == f32::NEG_INFINITY);
                unknown += usize::from(value.is_nan());
            }
        }
        assert!(least > 5 && unknown > 20, "{least} {unknown}");
    }
}
