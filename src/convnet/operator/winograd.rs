//! Convolution by filters of 3 x 3 in fewer products: Winograd's minimal filtering F(2 x 2, 3 x 3).
//!
//! The result is cut into tiles of 2 x 2, each of which sees 4 x 4 elements `d` of the input:
//!
//! ```text
//! tile = A' [ (G w G') * (B' d B) ] A          * element by element, summed over channels
//! ```
//!
//! For each of the 16 elements that is a product of matrices, `[K, C]` by `[C, tiles]`: 16 multiplications make 4
//! elements of the result, where windows as columns take 36. The adjoint is the same with filters turned round,
//! which exchanges the first and the last row and column of `G w G'`, and with the channels' roles exchanged.
//!
//! Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.1.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use num_traits::Float;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::columns::{Geometry, Number, matrix};
use super::windows::Windows;
use crate::backend::with_numbers;

/// Elements of a tile of the input.
const ELEMENTS: usize = 16;
/// Tiles that are worked on together.
const TILES: usize = 256;
/// With fewer channels there is less to win than tiles cost.
const LEAST: usize = 16;

/// Whether a convolution can be worked out so, and gains by it.
pub(super) fn suits(geometry: &Geometry) -> bool {
    let plain = |one: &Windows| {
        (one.kernel, one.stride, one.dilation) == (3, 1, 1) && one.begin <= 2 && one.count > 0
    };
    geometry.groups == 1
        && geometry.channels.iter().all(|&channels| channels >= LEAST)
        && geometry.windows.iter().all(plain)
}

/// `G w G'`.
///
/// # Shapes
/// weight `[K, C, 3, 3]` -> `[16, K, C]`.
pub(super) fn transformed<T: Number>(weight: &Tensor<4>) -> Tensor<3> {
    let ([k, c, ..], options) = (weight.dims(), (weight.device(), weight.dtype()));
    let ([zero, one], half) = ([T::zero(), T::one()], T::one() / (T::one() + T::one()));
    let g = [
        [one, zero, zero],
        [half, half, half],
        [half, -half, half],
        [zero, zero, one],
    ];
    let mut all = vec![zero; ELEMENTS * k * c];
    with_numbers(weight, |weight: &[T]| {
        let matrices = all.par_chunks_mut((k * c).max(1)).enumerate();
        matrices.for_each(|(element, matrix)| {
            let [down, across] = [g[element / 4], g[element % 4]];
            for (to, filter) in matrix.iter_mut().zip(weight.chunks_exact(9)) {
                for (row, factor) in filter.chunks_exact(3).zip(down) {
                    let row = row.iter().zip(across);
                    *to += factor * row.fold(zero, |sum, (&w, g)| sum + g * w);
                }
            }
        });
    });
    Tensor::from_data(
        TensorData::new(all, [ELEMENTS, k, c]),
        (&options.0, options.1),
    )
}

/// See [`super::columns::correlate`]; of [`transformed`] filters.
pub(super) fn correlate<T: Number>(
    x: &Tensor<4>,
    filters: &Tensor<3>,
    bias: Option<&Tensor<1>>,
    geometry: &Geometry,
) -> Tensor<4> {
    let [_, k, c] = filters.dims();
    let tiles = Tiles {
        input: geometry.input,
        begin: geometry.windows.map(|one| one.begin),
        output: geometry.windows.map(|one| one.count),
    };
    let bias: Option<Vec<T>> = bias.map(|bias| bias.to_data().iter().collect());
    with_numbers(filters, |filters: &[T]| {
        tiles.filter(x, bias.as_deref(), [k, c], |element| {
            matrix(&filters[element * k * c..][..k * c], k)
        })
    })
}

/// See [`super::columns::spread`]; of [`transformed`] filters.
pub(super) fn spread<T: Number>(
    r: &Tensor<4>,
    filters: &Tensor<3>,
    geometry: &Geometry,
) -> Tensor<4> {
    let [_, k, c] = filters.dims();
    let tiles = Tiles {
        input: geometry.windows.map(|one| one.count),
        begin: geometry.windows.map(|one| 2 - one.begin),
        output: geometry.input,
    };
    let turned = [3, 1, 2, 0];
    with_numbers(filters, |filters: &[T]| {
        tiles.filter(r, None, [c, k], |element| {
            let element = 4 * turned[element / 4] + turned[element % 4];
            matrix(&filters[element * k * c..][..k * c], k).transpose()
        })
    })
}

/// How a plane is cut into tiles; height and width.
struct Tiles {
    input: [usize; 2],
    /// Rows and columns of zeros before the input.
    begin: [usize; 2],
    output: [usize; 2],
}

impl Tiles {
    /// Down and across.
    fn count(&self) -> [usize; 2] {
        self.output.map(|length| length.div_ceil(2))
    }

    /// The convolution of all images `[n, C, H, W]` with filters that are `[K, C]` for each element.
    fn filter<'a, T: Number>(
        &self,
        x: &Tensor<4>,
        bias: Option<&[T]>,
        [k, c]: [usize; 2],
        filters: impl Fn(usize) -> MatRef<'a, T> + Sync,
    ) -> Tensor<4> {
        let ([n, ..], options) = (x.dims(), (x.device(), x.dtype()));
        let [input, output] = [self.input, self.output].map(|[height, width]| height * width);
        let mut y = vec![T::zero(); n * k * output];
        with_numbers(x, |x: &[T]| {
            // Image by image, so that the bits of one do not depend on the others.
            let images = y.par_chunks_mut(k * output).zip(x.par_chunks(c * input));
            images.for_each(|(y, x)| self.filter_image(x, y, bias, [k, c], &filters));
        });
        let shape = [n, k, self.output[0], self.output[1]];
        Tensor::from_data(TensorData::new(y, shape), (&options.0, options.1))
    }

    /// [`Self::filter`] of one image.
    fn filter_image<'a, T: Number>(
        &self,
        x: &[T],
        y: &mut [T],
        bias: Option<&[T]>,
        [k, c]: [usize; 2],
        filters: &(impl Fn(usize) -> MatRef<'a, T> + Sync),
    ) {
        let ([down, across], arch) = (self.count(), Arch::new());
        let [input, output] = [self.input, self.output].map(|[height, width]| height * width);
        let rows = (TILES / across).clamp(1, down);
        let mut seen = vec![T::zero(); ELEMENTS * c * rows * across];
        let mut made = vec![T::zero(); ELEMENTS * k * rows * across];
        for start in (0..down).step_by(rows) {
            let part = start..(start + rows).min(down);
            let count = part.len() * across;
            let seen = &mut seen[..ELEMENTS * c * count];
            let made = &mut made[..ELEMENTS * k * count];
            let channels = seen
                .par_chunks_mut(ELEMENTS * count)
                .zip(x.par_chunks(input));
            channels.for_each(|(seen, plane)| {
                arch.dispatch(Take {
                    tiles: self,
                    plane,
                    part: part.clone(),
                    seen,
                });
            });
            let seen = matrix(seen, c);
            let mut rest = MatMut::from_row_major_slice_mut(made, k, ELEMENTS * count);
            let mut products = Vec::with_capacity(ELEMENTS);
            for element in 0..ELEMENTS {
                let (first, behind) = rest.split_at_col_mut(count);
                products.push((element, first));
                rest = behind;
            }
            products.into_par_iter().for_each(|(element, made)| {
                let seen = seen.subcols(element * count, count);
                let filters = filters(element);
                matmul(made, Accum::Replace, filters, seen, T::one(), Par::Seq);
            });
            let maps = made
                .par_chunks(ELEMENTS * count)
                .zip(y.par_chunks_mut(output));
            maps.enumerate().for_each(|(map, (made, plane))| {
                arch.dispatch(Put {
                    tiles: self,
                    made,
                    part: part.clone(),
                    bias: bias.map_or(T::zero(), |bias| bias[map]),
                    plane,
                });
            });
        }
    }
}

/// `B' d B` of one channel in the rows of tiles `part`.
struct Take<'a, T> {
    tiles: &'a Tiles,
    plane: &'a [T],
    part: Range<usize>,
    /// `[16, tiles]`.
    seen: &'a mut [T],
}

impl<T: Number> WithSimd for Take<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let ([height, width], [_, across]) = (self.tiles.input, self.tiles.count());
        let begin = self.tiles.begin;
        let count = self.part.len() * across;
        // A row of the input between its zeros, and four rows of `d B`.
        let mut row = vec![T::zero(); 2 * across + 2];
        let length = width.min((2 * across + 2).saturating_sub(begin[1]));
        let mut half = vec![T::zero(); ELEMENTS * across];
        for at in self.part.clone() {
            // Tiles overlap by two rows.
            let overlap = if at > self.part.start { 2 } else { 0 };
            if overlap > 0 {
                half.copy_within(ELEMENTS / 2 * across.., 0);
            }
            for r in overlap..4 {
                let half = &mut half[4 * r * across..][..4 * across];
                match (2 * at + r).checked_sub(begin[0]) {
                    Some(y) if y < height => {
                        row[begin[1]..][..length]
                            .copy_from_slice(&self.plane[y * width..][..length]);
                        let [a, b, c, d] = quarters(half, across);
                        let row = &row[..2 * across + 2];
                        for j in 0..across {
                            let d0 = row[2 * j];
                            let d1 = row[2 * j + 1];
                            let d2 = row[2 * j + 2];
                            let d3 = row[2 * j + 3];
                            a[j] = d0 - d2;
                            b[j] = d1 + d2;
                            c[j] = d2 - d1;
                            d[j] = d1 - d3;
                        }
                    }
                    _ => half.fill(T::zero()),
                }
            }
            let from = (at - self.part.start) * across;
            for column in 0..4 {
                let row = |row: usize| &half[(4 * row + column) * across..][..across];
                let [d0, d1, d2, d3] = [row(0), row(1), row(2), row(3)];
                let to = |element: usize| element * count + from;
                difference(&mut self.seen[to(column)..][..across], d0, d2);
                sum(&mut self.seen[to(4 + column)..][..across], d1, d2);
                difference(&mut self.seen[to(8 + column)..][..across], d2, d1);
                difference(&mut self.seen[to(12 + column)..][..across], d1, d3);
            }
        }
    }
}

/// Four parts of `across` elements.
#[inline(always)]
fn quarters<T>(all: &mut [T], across: usize) -> [&mut [T]; 4] {
    let (a, rest) = all.split_at_mut(across);
    let (b, rest) = rest.split_at_mut(across);
    let (c, rest) = rest.split_at_mut(across);
    [a, b, c, &mut rest[..across]]
}

#[inline(always)]
fn sum<T: Float>(to: &mut [T], a: &[T], b: &[T]) {
    for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
        *to = a + b;
    }
}

#[inline(always)]
fn difference<T: Float>(to: &mut [T], a: &[T], b: &[T]) {
    for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
        *to = a - b;
    }
}

/// `A' m A` of one map in the rows of tiles `part`.
struct Put<'a, T> {
    tiles: &'a Tiles,
    /// `[16, tiles]`.
    made: &'a [T],
    part: Range<usize>,
    bias: T,
    plane: &'a mut [T],
}

impl<T: Number> WithSimd for Put<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let ([height, width], [_, across]) = (self.tiles.output, self.tiles.count());
        let count = self.made.len() / ELEMENTS;
        // Upper and lower row of `A' m`, four columns each, and a row of the result.
        let mut half = vec![T::zero(); 8 * across];
        let mut row = vec![T::zero(); 2 * across];
        for (step, at) in self.part.clone().enumerate() {
            let from = step * across;
            let (upper, lower) = half.split_at_mut(4 * across);
            for column in 0..4 {
                let m = |row: usize| &self.made[(4 * row + column) * count + from..][..across];
                let [m0, m1, m2, m3] = [m(0), m(1), m(2), m(3)];
                let upper = &mut upper[column * across..][..across];
                let lower = &mut lower[column * across..][..across];
                for j in 0..across {
                    upper[j] = m0[j] + m1[j] + m2[j];
                    lower[j] = m1[j] - m2[j] - m3[j];
                }
            }
            for (y, half) in [2 * at, 2 * at + 1].into_iter().zip([upper, lower]) {
                if y >= height {
                    break;
                }
                let [m0, m1, m2, m3] = quarters(half, across);
                for (j, pair) in row.chunks_exact_mut(2).enumerate() {
                    pair[0] = m0[j] + m1[j] + m2[j] + self.bias;
                    pair[1] = m1[j] - m2[j] - m3[j] + self.bias;
                }
                self.plane[y * width..][..width].copy_from_slice(&row[..width]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::super::columns;
    use super::*;
    use crate::linop::noise;

    fn tensor(shape: [usize; 4], seed: u64, dtype: DType) -> Tensor<4> {
        let data = TensorData::new(noise(shape.iter().product(), seed), shape);
        Tensor::from_data(data, (&Device::flex(), dtype))
    }

    /// Channels, sizes, and padding before and behind: odd and even ones, less than a tile, several parts that end
    /// within an image.
    fn geometries() -> Vec<Geometry> {
        let new = |channels, input: [usize; 2], pads: [[usize; 2]; 2]| Geometry {
            groups: 1,
            channels,
            input,
            windows: [0, 1].map(|d| Windows {
                kernel: 3,
                begin: pads[d][0],
                count: input[d] + pads[d][0] + pads[d][1] - 2,
                ..Windows::POINT
            }),
        };
        vec![
            new([16, 17], [8, 9], [[1, 1], [1, 1]]),
            new([18, 16], [7, 12], [[0, 0], [2, 0]]),
            new([16, 16], [1, 2], [[2, 2], [0, 3]]),
            new([16, 16], [1, 1], [[1, 1], [1, 1]]),
            new([16, 20], [61, 70], [[1, 1], [0, 1]]),
            new([16, 16], [4, 700], [[1, 0], [1, 1]]),
        ]
    }

    #[test]
    fn both_products_are_those_of_columns() {
        for (seed, geometry) in geometries().into_iter().enumerate() {
            assert!(suits(&geometry), "{geometry:?}");
            let [c, k] = geometry.channels;
            let [[height, width], [down, across]] =
                [geometry.input, geometry.windows.map(|one| one.count)];
            let of = |shape, step| tensor(shape, 10 * seed as u64 + step, DType::F64);
            let (x, weight) = (of([3, c, height, width], 0), of([k, c, 3, 3], 1));
            let (r, bias) = (of([3, k, down, across], 2), of([1, 1, 1, k], 3));
            let (filters, bias) = (transformed::<f64>(&weight), bias.reshape([k]));
            let near = |found: Tensor<4>, wanted: Tensor<4>| {
                assert_eq!(found.dims(), wanted.dims());
                let most: f64 = (found - wanted).abs().max().into_scalar();
                assert!(most < 1e-12, "{most} {geometry:?}");
            };
            near(
                correlate::<f64>(&x, &filters, Some(&bias), &geometry),
                columns::correlate::<f64>(&x, &weight, Some(&bias), &geometry),
            );
            near(
                spread::<f64>(&r, &filters, &geometry),
                columns::spread::<f64>(&r, &weight, &geometry),
            );
        }
    }

    #[test]
    fn single_precision_loses_little() {
        let geometry = Geometry {
            channels: [256, 64],
            ..geometries()[0]
        };
        let of = |shape, seed, dtype| tensor(shape, seed, dtype);
        let result = |dtype| {
            let (x, weight) = (of([1, 256, 8, 9], 0, dtype), of([64, 256, 3, 3], 1, dtype));
            match dtype {
                DType::F64 => columns::correlate::<f64>(&x, &weight, None, &geometry),
                _ => correlate::<f32>(&x, &transformed::<f32>(&weight), None, &geometry),
            }
        };
        let [single, double] = [DType::F32, DType::F64].map(|dtype| {
            let values: Vec<f64> = result(dtype).into_data().iter().collect();
            values
        });
        let most = double.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        for (a, b) in single.iter().zip(&double) {
            assert!((a - b).abs() < 2e-6 * most, "{a}, not {b}");
        }
    }
}
