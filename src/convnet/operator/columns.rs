//! Windows in memory: convolution and its adjoint as products of matrices, the windows of a part of the map being
//! the columns of one, so small that it stays in cache; and the largest of each window.
//!
//! ```text
//! columns[c u v, i j] = x[c, s i + d u - b, s j + d v - b]          0 outside of x
//! y = weight[K, C h w] columns,       columns' = weight' r, each added to where it was taken from
//! ```
//!
//! Windows of one element that lie side by side are columns already. Where a map sees one channel alone there is
//! nothing for a product to win, and the taps are added one by one.

use std::ops::Range;

use burn::tensor::{Element, Int, Tensor, TensorData};
use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, MatMut, MatRef, Par};
use num_traits::Float;
use rayon::prelude::*;

use super::windows::Windows;
use crate::pass::numbers;

/// Numbers that both products are made for.
pub(super) trait Number: ComplexField + Float + Element + Sync + Send {}

impl<T: ComplexField + Float + Element + Sync + Send> Number for T {}

/// Columns of so many numbers are made at a time.
const PART: usize = 1 << 17;
/// Channels whose adjoint is worked out together.
const CHANNELS: usize = 32;

/// A convolution of maps of one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub groups: usize,
    /// Channels of the input and of the output, of all groups.
    pub channels: [usize; 2],
    /// Height and width of the input.
    pub input: [usize; 2],
    pub windows: [Windows; 2],
}

impl Geometry {
    /// Channels of the input and of the output in one group.
    fn each(&self) -> [usize; 2] {
        self.channels.map(|all| all / self.groups)
    }

    /// Elements of a window in one channel, of a channel of the input, and windows.
    fn sizes(&self) -> [usize; 3] {
        let [rows, columns] = self.windows;
        let taps = rows.kernel * columns.kernel;
        [
            taps,
            self.input[0] * self.input[1],
            rows.count * columns.count,
        ]
    }

    /// Rows of windows that are worked on together where columns have so many numbers.
    fn part(&self, height: usize) -> usize {
        (PART / (height * self.windows[1].count).max(1)).clamp(1, self.windows[0].count)
    }

    /// Whether the columns are the map as it lies in memory.
    fn is_plain(&self) -> bool {
        let sides = self.windows.iter().zip(self.input);
        sides
            .into_iter()
            .all(|(one, side)| (one.kernel, one.stride, one.begin, one.count) == (1, 1, 0, side))
    }

    /// For the taps of one channel, one after the other, and the rows of windows in `part`: where the row lies
    /// among the columns, where its first element lies in the plane, and how many there are.
    fn rows(&self, part: &Range<usize>, mut visit: impl FnMut(usize, usize, usize)) {
        let [down, across] = self.windows;
        let length = part.len() * across.count;
        for u in 0..down.kernel {
            let rows = reached(&down, u, self.input[0]);
            for v in 0..across.kernel {
                let columns = reached(&across, v, self.input[1]);
                if columns.is_empty() {
                    continue;
                }
                let left = columns.start * across.stride + v * across.dilation - across.begin;
                let tap = u * across.kernel + v;
                for i in rows.start.max(part.start)..rows.end.min(part.end) {
                    let y = i * down.stride + u * down.dilation - down.begin;
                    let at = tap * length + (i - part.start) * across.count + columns.start;
                    visit(at, y * self.input[1] + left, columns.len());
                }
            }
        }
    }
}

/// The windows whose element `tap` lies within a side of `length`.
fn reached(one: &Windows, tap: usize, length: usize) -> Range<usize> {
    let offset = tap * one.dilation;
    let first = one.begin.saturating_sub(offset).div_ceil(one.stride);
    let end = (length + one.begin)
        .saturating_sub(offset)
        .div_ceil(one.stride)
        .min(one.count);
    first..end.max(first)
}

/// Matrices of `height` rows, one after the other in `values`.
fn matrix<T>(values: &[T], height: usize) -> MatRef<'_, T> {
    MatRef::from_row_major_slice(values, height, values.len() / height.max(1))
}

/// `y`, see [`self`].
///
/// # Shapes
/// x `[n, C, H, W]`, weight `[K, C / groups, h, w]`, bias `[K]` -> `[n, K, I, J]`.
pub(super) fn correlate<T: Number>(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    geometry: &Geometry,
) -> Tensor<4> {
    let ([n, ..], options) = (x.dims(), (x.device(), x.dtype()));
    let bias: Option<Vec<T>> = bias.map(|bias| bias.into_data().iter().collect());
    let (x, weight) = (numbers::<T>(x), numbers::<T>(weight));
    let [taps, plane, windows] = geometry.sizes();
    let [own, out] = geometry.each();
    let mut y = vec![T::zero(); n * geometry.channels[1] * windows];
    if let Some(bias) = &bias {
        let planes = y.par_chunks_mut(windows.max(1)).enumerate();
        planes.for_each(|(k, plane)| plane.fill(bias[k % bias.len()]));
    }
    if own == 1 {
        let planes = y.par_chunks_mut(windows.max(1)).enumerate();
        planes.for_each(|(at, y)| {
            let (image, k) = (at / geometry.channels[1], at % geometry.channels[1]);
            let x = &x[(image * geometry.channels[0] + k / out) * plane..][..plane];
            add_taps(x, &weight[k * taps..][..taps], y, geometry);
        });
    } else {
        let across = geometry.windows[1].count;
        let rows = geometry.part(own * taps);
        let blocks = y.par_chunks_mut((out * windows).max(1)).enumerate();
        blocks.for_each(|(at, y)| {
            let (image, group) = (at / geometry.groups, at % geometry.groups);
            let x = &x[(image * geometry.channels[0] + group * own) * plane..][..own * plane];
            let weight = matrix(&weight[group * out * own * taps..][..out * own * taps], out);
            let starts: Vec<usize> = (0..geometry.windows[0].count).step_by(rows).collect();
            let product = |&start: &usize| {
                let part = start..(start + rows).min(geometry.windows[0].count);
                let mut product = vec![T::zero(); out * part.len() * across];
                let into = MatMut::from_row_major_slice_mut(&mut product, out, part.len() * across);
                if geometry.is_plain() {
                    let whole = matrix(x, own);
                    let columns = whole.subcols(start * across, part.len() * across);
                    matmul(into, Accum::Replace, weight, columns, T::one(), Par::Seq);
                } else {
                    let columns = gather(x, own, &part, geometry);
                    let columns = matrix(&columns, own * taps);
                    matmul(into, Accum::Replace, weight, columns, T::one(), Par::Seq);
                }
                product
            };
            let parts: Vec<Vec<T>> = starts.par_iter().map(product).collect();
            for (start, part) in starts.iter().zip(&parts) {
                let length = part.len() / out;
                for (y, part) in y.chunks_mut(windows).zip(part.chunks(length)) {
                    let y = &mut y[start * across..][..length];
                    y.iter_mut().zip(part).for_each(|(y, &p)| *y += p);
                }
            }
        });
    }
    let [down, across] = geometry.windows;
    let shape = [n, geometry.channels[1], down.count, across.count];
    Tensor::from_data(TensorData::new(y, shape), (&options.0, options.1))
}

/// The adjoint of [`correlate`] without bias.
///
/// # Shapes
/// r `[n, K, I, J]`, weight `[K, C / groups, h, w]` -> `[n, C, H, W]`.
pub(super) fn spread<T: Number>(r: Tensor<4>, weight: Tensor<4>, geometry: &Geometry) -> Tensor<4> {
    let ([n, ..], options) = (r.dims(), (r.device(), r.dtype()));
    let (r, weight) = (numbers::<T>(r), numbers::<T>(weight));
    let [taps, plane, windows] = geometry.sizes();
    let [own, out] = geometry.each();
    let across = geometry.windows[1].count;
    let mut x = vec![T::zero(); n * geometry.channels[0] * plane];
    let blocks = x.par_chunks_mut((own * plane).max(1)).enumerate();
    blocks.for_each(|(at, x)| {
        let (image, group) = (at / geometry.groups, at % geometry.groups);
        let r = &r[(image * geometry.channels[1] + group * out) * windows..][..out * windows];
        let weight = &weight[group * out * own * taps..][..out * own * taps];
        let (r, weight) = (matrix(r, out), matrix(weight, out));
        let chunks = x.par_chunks_mut(CHANNELS * plane.max(1)).enumerate();
        chunks.for_each(|(chunk, x)| {
            let channels = x.len() / plane.max(1);
            let weight = weight.subcols(chunk * CHANNELS * taps, channels * taps);
            let rows = geometry.part(channels * taps);
            for start in (0..geometry.windows[0].count).step_by(rows) {
                let part = start..(start + rows).min(geometry.windows[0].count);
                let length = part.len() * across;
                let mut columns = vec![T::zero(); channels * taps * length];
                let into = MatMut::from_row_major_slice_mut(&mut columns, channels * taps, length);
                let r = r.subcols(start * across, length);
                matmul(
                    into,
                    Accum::Replace,
                    weight.transpose(),
                    r,
                    T::one(),
                    Par::Seq,
                );
                scatter(&columns, x, &part, geometry);
            }
        });
    });
    let [height, width] = geometry.input;
    let shape = [n, geometry.channels[0], height, width];
    Tensor::from_data(TensorData::new(x, shape), (&options.0, options.1))
}

/// The largest of each window, of each channel, and where it lies in the plane with its padding: the first in
/// row-major order where several are largest, and what is not a number before all that is.
///
/// # Shapes
/// x `[n, C, H, W]` -> largest `[n, C, I, J]`, places `[n, C, I J]`.
pub(super) fn largest<T: Number>(x: Tensor<4>, geometry: &Geometry) -> (Tensor<4>, Tensor<3, Int>) {
    let ([n, c, ..], device, dtype) = (x.dims(), x.device(), x.dtype());
    let x = numbers::<T>(x);
    let [_, plane, windows] = geometry.sizes();
    let [down, across] = geometry.windows;
    let mut y = vec![T::neg_infinity(); n * c * windows];
    let mut places = vec![-1_i32; n * c * windows];
    let planes = y
        .par_chunks_mut(windows.max(1))
        .zip(places.par_chunks_mut(windows.max(1)))
        .zip(x.par_chunks(plane.max(1)));
    planes.for_each(|((y, places), x)| {
        geometry.rows(&(0..down.count), |at, from, count| {
            let (tap, window) = (at / windows, at % windows);
            let (u, v) = (tap / across.kernel, tap % across.kernel);
            let (i, j) = (window / across.count, window % across.count);
            let row = (i * down.stride + u * down.dilation) * across.span();
            let place = (row + j * across.stride + v * across.dilation) as i32;
            let found = y[window..window + count].iter_mut();
            let found = found.zip(&mut places[window..window + count]);
            let values = x[from..].iter().step_by(across.stride);
            for (k, ((y, at), &x)) in found.zip(values).enumerate() {
                let better = *at < 0 || x > *y || (x.is_nan() && !y.is_nan());
                *y = if better { x } else { *y };
                *at = if better {
                    place + (k * across.stride) as i32
                } else {
                    *at
                };
            }
        });
    });
    let largest = TensorData::new(y, [n, c, down.count, across.count]);
    let places = TensorData::new(places, [n, c, windows]);
    (
        Tensor::from_data(largest, (&device, dtype)),
        Tensor::from_data(places, &device),
    )
}

/// The windows of some rows as columns.
fn gather<T: Number>(x: &[T], channels: usize, part: &Range<usize>, geometry: &Geometry) -> Vec<T> {
    let [taps, plane, _] = geometry.sizes();
    let of_channel = taps * part.len() * geometry.windows[1].count;
    let mut columns = vec![T::zero(); channels * of_channel];
    for (x, columns) in x.chunks(plane).zip(columns.chunks_mut(of_channel)) {
        geometry.rows(part, |at, from, count| {
            let columns = &mut columns[at..at + count];
            match geometry.windows[1].stride {
                1 => columns.copy_from_slice(&x[from..from + count]),
                stride => {
                    let values = x[from..].iter().step_by(stride);
                    columns.iter_mut().zip(values).for_each(|(c, &x)| *c = x);
                }
            }
        });
    }
    columns
}

/// Adds columns to where [`gather`] takes them from.
fn scatter<T: Number>(columns: &[T], x: &mut [T], part: &Range<usize>, geometry: &Geometry) {
    let [taps, plane, _] = geometry.sizes();
    let of_channel = taps * part.len() * geometry.windows[1].count;
    for (x, columns) in x.chunks_mut(plane).zip(columns.chunks(of_channel)) {
        geometry.rows(part, |at, to, count| {
            let columns = columns[at..at + count].iter();
            match geometry.windows[1].stride {
                1 => {
                    let x = x[to..to + count].iter_mut();
                    x.zip(columns).for_each(|(x, &c)| *x += c);
                }
                stride => {
                    let x = x[to..].iter_mut().step_by(stride);
                    x.zip(columns).for_each(|(x, &c)| *x += c);
                }
            }
        });
    }
}

/// `y += weight * x` for one channel.
fn add_taps<T: Number>(x: &[T], weight: &[T], y: &mut [T], geometry: &Geometry) {
    let windows = y.len();
    geometry.rows(&(0..geometry.windows[0].count), |at, from, count| {
        let tap = weight[at / windows];
        let y = y[at % windows..][..count].iter_mut();
        match geometry.windows[1].stride {
            1 => {
                let x = &x[from..from + count];
                y.zip(x).for_each(|(y, &x)| *y += tap * x);
            }
            stride => {
                let x = x[from..].iter().step_by(stride);
                y.zip(x).for_each(|(y, &x)| *y += tap * x);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::linop::noise;

    fn tensor(shape: [usize; 4], seed: u64) -> (Vec<f64>, Tensor<4>) {
        let values = noise(shape.iter().product(), seed);
        let data = TensorData::new(values.clone(), shape);
        (
            values,
            Tensor::from_data(data, (&Device::flex(), DType::F64)),
        )
    }

    fn along(
        kernel: usize,
        stride: usize,
        dilation: usize,
        begin: usize,
        length: usize,
    ) -> Windows {
        let extent = (kernel - 1) * dilation + 1;
        Windows {
            kernel,
            stride,
            dilation,
            begin,
            // Two elements of padding behind.
            count: (length + begin + 2 - extent) / stride + 1,
        }
    }

    /// Groups, channels, sizes and windows of all kinds; the last is worked on in several parts.
    fn geometries() -> Vec<Geometry> {
        let new = |groups, channels, input: [usize; 2], windows: [[usize; 4]; 2]| Geometry {
            groups,
            channels,
            input,
            windows: [0, 1].map(|d| {
                let [kernel, stride, dilation, begin] = windows[d];
                along(kernel, stride, dilation, begin, input[d])
            }),
        };
        let plain = Geometry {
            groups: 2,
            channels: [6, 4],
            input: [5, 7],
            windows: [5, 7].map(|count| Windows {
                count,
                ..Windows::POINT
            }),
        };
        vec![
            plain,
            new(1, [3, 4], [8, 9], [[3, 1, 1, 1], [3, 1, 1, 0]]),
            new(1, [2, 3], [11, 10], [[3, 2, 1, 1], [5, 3, 1, 2]]),
            new(2, [4, 6], [9, 12], [[2, 1, 3, 0], [3, 2, 2, 4]]),
            new(4, [4, 8], [7, 6], [[3, 1, 1, 1], [3, 2, 1, 1]]),
            new(1, [40, 5], [64, 61], [[5, 1, 1, 2], [5, 1, 1, 2]]),
        ]
    }

    #[test]
    fn both_products_are_their_definition() {
        for (seed, geometry) in geometries().into_iter().enumerate() {
            let Geometry {
                groups,
                channels: [c, k],
                input: [height, width],
                windows: [down, across],
            } = geometry;
            let own = c / groups;
            let seed = 10 * seed as u64;
            let (x, of_x) = tensor([2, c, height, width], seed);
            let (f, of_f) = tensor([k, own, down.kernel, across.kernel], seed + 1);
            let (r, of_r) = tensor([2, k, down.count, across.count], seed + 2);
            let mut y = vec![0.0; r.len()];
            let mut back = vec![0.0; x.len()];
            for (at, y) in y.iter_mut().enumerate() {
                let (j, i) = (at % across.count, at / across.count % down.count);
                let (map, n) = (
                    at / (across.count * down.count) % k,
                    at / (across.count * down.count * k),
                );
                for channel in 0..own {
                    for (u, v) in
                        (0..down.kernel).flat_map(|u| (0..across.kernel).map(move |v| (u, v)))
                    {
                        let row = (i * down.stride + u * down.dilation).checked_sub(down.begin);
                        let column =
                            (j * across.stride + v * across.dilation).checked_sub(across.begin);
                        let (Some(row), Some(column)) = (row, column) else {
                            continue;
                        };
                        if row >= height || column >= width {
                            continue;
                        }
                        let plane = n * c + map / (k / groups) * own + channel;
                        let place = (plane * height + row) * width + column;
                        let tap = f[((map * own + channel) * down.kernel + u) * across.kernel + v];
                        *y += tap * x[place];
                        back[place] += tap * r[at];
                    }
                }
            }
            let near = |found: Tensor<4>, wanted: &[f64], what: &str| {
                let found: Vec<f64> = found.into_data().iter().collect();
                assert_eq!(found.len(), wanted.len());
                for (a, b) in found.iter().zip(wanted) {
                    assert!((a - b).abs() < 1e-10, "{what} {geometry:?}: {a}, not {b}");
                }
            };
            near(
                correlate::<f64>(of_x, of_f.clone(), None, &geometry),
                &y,
                "there",
            );
            near(spread::<f64>(of_r, of_f, &geometry), &back, "back");
        }
    }

    #[test]
    fn the_bias_is_added_to_every_window() {
        for geometry in geometries() {
            let [c, k] = geometry.channels;
            let [height, width] = geometry.input;
            let [down, across] = geometry.windows;
            let shape = [k, c / geometry.groups, down.kernel, across.kernel];
            let like = (&Device::flex(), DType::F32);
            let bias: Vec<f32> = (0..k).map(|k| k as f32 - 1.5).collect();
            let y = correlate::<f32>(
                Tensor::zeros([1, c, height, width], like),
                Tensor::ones(shape, like),
                Some(Tensor::from_data(TensorData::new(bias.clone(), [k]), like)),
                &geometry,
            );
            let values: Vec<f32> = y.into_data().iter().collect();
            let windows = down.count * across.count;
            assert!(
                values
                    .iter()
                    .enumerate()
                    .all(|(at, v)| *v == bias[at / windows])
            );
        }
    }
}
