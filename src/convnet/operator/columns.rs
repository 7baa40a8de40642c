//! Windows in memory: convolution and its adjoint as products of matrices, the windows of a part of the map being
//! the columns of one, so small that it stays in cache.
//!
//! ```text
//! columns[c u v, i j] = x[c, s i + d u - b, s j + d v - b]          0 outside of x
//! y = weight[K, C h w] columns,       columns' = weight' r, each added to where it was taken from
//! ```
//!
//! Windows of one element that lie side by side are columns already. Where a map sees one channel alone there is
//! nothing for a product to win, and the taps are added one by one.

use std::ops::Range;

use burn::tensor::{Element, Tensor, TensorData};
use bytemuck::Pod;
use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, MatMut, MatRef, Par};
use num_traits::Float;
use rayon::prelude::*;

use super::windows::Windows;
use crate::backend::with_numbers;

/// Numbers that the products are made for.
pub(super) trait Number: ComplexField + Float + Element + Pod + Sync + Send {}

impl<T: ComplexField + Float + Element + Pod + Sync + Send> Number for T {}

/// A function of a module in the type of numbers that a tensor holds.
macro_rules! in_type_of {
    ($x:expr, $module:ident::$function:ident($($argument:expr),*)) => {
        match $x.dtype() {
            burn::tensor::DType::F64 => $module::$function::<f64>($($argument),*),
            _ => $module::$function::<f32>($($argument),*),
        }
    };
}

pub(super) use in_type_of;

/// Columns of so many numbers are made at a time.
const PART: usize = 1 << 17;
/// Channels whose adjoint is worked out together.
const CHANNELS: usize = 32;

/// A convolution of maps of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
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
    pub fn sizes(&self) -> [usize; 3] {
        let [rows, columns] = self.windows;
        let taps = rows.kernel * columns.kernel;
        [
            taps,
            self.input[0] * self.input[1],
            rows.count * columns.count,
        ]
    }

    /// The rows of windows in parts that are worked on together where columns have so many numbers.
    fn parts(&self, height: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let [down, across] = self.windows;
        let rows = (PART / (height * across.count).max(1)).clamp(1, down.count);
        let starts = (0..down.count).step_by(rows);
        starts.map(move |start| start..(start + rows).min(down.count))
    }

    /// Whether the columns are the map as it lies in memory.
    fn is_plain(&self) -> bool {
        let sides = self.windows.iter().zip(self.input);
        sides
            .into_iter()
            .all(|(one, side)| (one.kernel, one.stride, one.begin, one.count) == (1, 1, 0, side))
    }

    /// For a tap of one channel and the rows of windows in `part`, the stretches of windows at which it lies
    /// within the plane: the first window, counted within the part, where its element lies in the plane, and how
    /// many there are.
    #[inline(always)]
    fn tap(&self, tap: usize, part: &Range<usize>, mut visit: impl FnMut(usize, usize, usize)) {
        let [down, across] = self.windows;
        let (u, v) = (tap / across.kernel, tap % across.kernel);
        let rows = reached(&down, u, self.input[0]);
        let columns = reached(&across, v, self.input[1]);
        if columns.is_empty() {
            return;
        }
        let left = columns.start * across.stride + v * across.dilation - across.begin;
        for i in rows.start.max(part.start)..rows.end.min(part.end) {
            let y = i * down.stride + u * down.dilation - down.begin;
            let window = (i - part.start) * across.count + columns.start;
            visit(window, y * self.input[1] + left, columns.len());
        }
    }

    /// A tap of one channel at the windows in `part`: where it lies outside the plane, `columns` stays as it is.
    pub fn gather<T: Copy>(&self, tap: usize, part: &Range<usize>, x: &[T], columns: &mut [T]) {
        self.tap(tap, part, |window, from, count| {
            copy(
                &mut columns[window..][..count],
                &x[from..],
                self.windows[1].stride,
            );
        });
    }

    /// Adds a tap of one channel, times a factor, to the windows in `part`.
    fn add<T: Float>(
        &self,
        tap: usize,
        part: &Range<usize>,
        factor: T,
        x: &[T],
        columns: &mut [T],
    ) {
        let add = |to: &mut T, &from: &T| *to = *to + factor * from;
        self.tap(tap, part, |window, from, count| {
            let columns = columns[window..][..count].iter_mut();
            match self.windows[1].stride {
                1 => columns
                    .zip(&x[from..][..count])
                    .for_each(|(y, x)| add(y, x)),
                stride => {
                    let x = x[from..].iter().step_by(stride);
                    columns.zip(x).for_each(|(y, x)| add(y, x));
                }
            }
        });
    }

    /// The adjoint of [`Self::add`]: adds to where [`Self::gather`] takes the tap from.
    pub fn scatter<T: Float>(
        &self,
        tap: usize,
        part: &Range<usize>,
        factor: T,
        columns: &[T],
        x: &mut [T],
    ) {
        let add = |to: &mut T, &from: &T| *to = *to + factor * from;
        self.tap(tap, part, |window, to, count| {
            let columns = &columns[window..][..count];
            match self.windows[1].stride {
                1 => {
                    let x = x[to..][..count].iter_mut();
                    x.zip(columns).for_each(|(x, y)| add(x, y));
                }
                stride => {
                    let x = x[to..].iter_mut().step_by(stride);
                    x.zip(columns).for_each(|(x, y)| add(x, y));
                }
            }
        });
    }
}

/// Elements `stride` apart, one after the other.
#[inline(always)]
fn copy<T: Copy>(to: &mut [T], from: &[T], stride: usize) {
    match stride {
        1 => to.copy_from_slice(&from[..to.len()]),
        stride => {
            let from = from.iter().step_by(stride);
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
    }
}

/// The windows whose element `tap` lies within a side of `length`.
#[inline(always)]
pub(super) fn reached(one: &Windows, tap: usize, length: usize) -> Range<usize> {
    let offset = tap * one.dilation;
    let first = one.begin.saturating_sub(offset).div_ceil(one.stride);
    let end = (length + one.begin)
        .saturating_sub(offset)
        .div_ceil(one.stride)
        .min(one.count);
    first..end.max(first)
}

/// Matrices of `height` rows, one after the other in `values`.
pub(super) fn matrix<T>(values: &[T], height: usize) -> MatRef<'_, T> {
    MatRef::from_row_major_slice(values, height, values.len() / height.max(1))
}

/// `y`, see [`self`].
///
/// # Shapes
/// x `[n, C, H, W]`, weight `[K, C / groups, h, w]`, bias `[K]` -> `[n, K, I, J]`.
pub(super) fn correlate<T: Number>(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    geometry: &Geometry,
) -> Tensor<4> {
    let ([n, ..], options) = (x.dims(), (x.device(), x.dtype()));
    let [taps, plane, windows] = geometry.sizes();
    let [own, out] = geometry.each();
    let mut y = vec![T::zero(); n * geometry.channels[1] * windows];
    if let Some(bias) = bias {
        let bias: Vec<T> = bias.to_data().iter().collect();
        let planes = y.par_chunks_mut(windows.max(1)).enumerate();
        planes.for_each(|(k, plane)| plane.fill(bias[k % bias.len()]));
    }
    let whole = 0..geometry.windows[0].count;
    let of_one_channel = |x: &[T], weight: &[T], y: &mut [T]| {
        let planes = y.par_chunks_mut(windows.max(1)).enumerate();
        planes.for_each(|(at, y)| {
            let (image, k) = (at / geometry.channels[1], at % geometry.channels[1]);
            let x = &x[(image * geometry.channels[0] + k / out) * plane..][..plane];
            for (tap, &factor) in weight[k * taps..][..taps].iter().enumerate() {
                geometry.add(tap, &whole, factor, x, y);
            }
        });
    };
    let of_many = |x: &[T], weight: &[T], y: &mut [T]| {
        let blocks = y.par_chunks_mut((out * windows).max(1)).enumerate();
        blocks.for_each(|(at, y)| {
            let (image, group) = (at / geometry.groups, at % geometry.groups);
            let x = &x[(image * geometry.channels[0] + group * own) * plane..][..own * plane];
            let weight = matrix(&weight[group * out * own * taps..][..out * own * taps], out);
            let mut rest = MatMut::from_row_major_slice_mut(y, out, windows);
            let mut parts = Vec::new();
            for part in geometry.parts(own * taps) {
                let (y, behind) = rest.split_at_col_mut(part.len() * geometry.windows[1].count);
                parts.push((part, y));
                rest = behind;
            }
            parts.into_par_iter().for_each(|(part, y)| {
                let length = y.ncols();
                if geometry.is_plain() {
                    let start = part.start * geometry.windows[1].count;
                    let columns = matrix(x, own).subcols(start, length);
                    matmul(y, Accum::Add, weight, columns, T::one(), Par::Seq);
                    return;
                }
                let mut columns = vec![T::zero(); own * taps * length];
                for (row, columns) in columns.chunks_mut(length).enumerate() {
                    let x = &x[row / taps * plane..][..plane];
                    geometry.gather(row % taps, &part, x, columns);
                }
                let columns = matrix(&columns, own * taps);
                matmul(y, Accum::Add, weight, columns, T::one(), Par::Seq);
            });
        });
    };
    with_numbers(x, |x| {
        with_numbers(weight, |weight| match own {
            1 => of_one_channel(x, weight, &mut y),
            _ => of_many(x, weight, &mut y),
        })
    });
    let [down, across] = geometry.windows;
    let shape = [n, geometry.channels[1], down.count, across.count];
    Tensor::from_data(TensorData::new(y, shape), (&options.0, options.1))
}

/// The adjoint of [`correlate`] without bias.
///
/// # Shapes
/// r `[n, K, I, J]`, weight `[K, C / groups, h, w]` -> `[n, C, H, W]`.
pub(super) fn spread<T: Number>(
    r: &Tensor<4>,
    weight: &Tensor<4>,
    geometry: &Geometry,
) -> Tensor<4> {
    let ([n, ..], options) = (r.dims(), (r.device(), r.dtype()));
    let [taps, plane, windows] = geometry.sizes();
    let [own, out] = geometry.each();
    let mut x = vec![T::zero(); n * geometry.channels[0] * plane];
    let all = |r: &[T], weight: &[T], x: &mut [T]| {
        let blocks = x.par_chunks_mut((own * plane).max(1)).enumerate();
        blocks.for_each(|(at, x)| {
            let (image, group) = (at / geometry.groups, at % geometry.groups);
            let r = &r[(image * geometry.channels[1] + group * out) * windows..][..out * windows];
            let weight = &weight[group * out * own * taps..][..out * own * taps];
            if own == 1 {
                let whole = 0..geometry.windows[0].count;
                for (r, weight) in r.chunks(windows.max(1)).zip(weight.chunks(taps)) {
                    for (tap, &factor) in weight.iter().enumerate() {
                        geometry.scatter(tap, &whole, factor, r, x);
                    }
                }
                return;
            }
            let (r, weight) = (matrix(r, out), matrix(weight, out).transpose());
            let chunks = x.par_chunks_mut(CHANNELS * plane.max(1)).enumerate();
            chunks.for_each(|(chunk, x)| {
                let channels = x.len() / plane.max(1);
                let weight = weight.subrows(chunk * CHANNELS * taps, channels * taps);
                if geometry.is_plain() {
                    let x = MatMut::from_row_major_slice_mut(x, channels, plane);
                    matmul(x, Accum::Replace, weight, r, T::one(), Par::Seq);
                    return;
                }
                let mut columns = Vec::new();
                for part in geometry.parts(channels * taps) {
                    let length = part.len() * geometry.windows[1].count;
                    let r = r.subcols(part.start * geometry.windows[1].count, length);
                    columns.resize(channels * taps * length, T::zero());
                    let into =
                        MatMut::from_row_major_slice_mut(&mut columns, channels * taps, length);
                    matmul(into, Accum::Replace, weight, r, T::one(), Par::Seq);
                    for (row, columns) in columns.chunks(length.max(1)).enumerate() {
                        let x = &mut x[row / taps * plane..][..plane];
                        geometry.scatter(row % taps, &part, T::one(), columns, x);
                    }
                }
            });
        });
    };
    with_numbers(r, |r| with_numbers(weight, |weight| all(r, weight, &mut x)));
    let [height, width] = geometry.input;
    let shape = [n, geometry.channels[0], height, width];
    Tensor::from_data(TensorData::new(x, shape), (&options.0, options.1))
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
            near(correlate::<f64>(&of_x, &of_f, None, &geometry), &y, "there");
            near(spread::<f64>(&of_r, &of_f, &geometry), &back, "back");
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
                &Tensor::zeros([1, c, height, width], like),
                &Tensor::ones(shape, like),
                Some(&Tensor::from_data(TensorData::new(bias.clone(), [k]), like)),
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
