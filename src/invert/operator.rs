//! The operator `W`: a convolution of several channels with stride and padding.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::connectivity::Connectivity;
use crate::conv;
use crate::error::{Error, Result};

/// What the filters see beyond the border of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// Nothing: they stay inside, and the output is smaller by the filter's size less one.
    None,
    /// Zeros.
    Zeros,
    /// The image mirrored at its outermost pixels, which are not repeated.
    Reflect,
    /// The image again from the other side: `W` is then block-circulant.
    #[default]
    Circular,
}

impl Padding {
    /// The name used by flags, configs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zeros => "zeros",
            Self::Reflect => "reflect",
            Self::Circular => "circular",
        }
    }
}

impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Padding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::None, Self::Zeros, Self::Reflect, Self::Circular]
            .into_iter()
            .find(|padding| padding.name() == name)
            .ok_or_else(|| {
                Error::Config(format!(
                    "there is no padding '{name}'; choose none, zeros, reflect or circular"
                ))
            })
    }
}

/// The linear operator `W` of a convolution layer without bias:
///
/// ```text
/// (W x)[o, i, j] = sum_c sum_a sum_b f[o, c, a, b] x[c, s_1 i + a - p_1, s_2 j + b - p_2]
/// ```
///
/// As in convolutional networks this is a correlation: the filters are not flipped. (The true
/// convolution of [`conv::synthesize`] is the one with flipped filters.) Without padding `p = 0` and
/// the filters stay inside the image, else `p = floor((size - 1) / 2)` and the output has
/// `ceil(side / stride)` pixels along each side. Filters of even size are padded by one more on the
/// right and below.
///
/// # Shapes
/// filters `[out, in, h, w]`, `x` `[n, in, H, W]`, `W x` `[n, out, H', W']`.
#[derive(Clone, Debug)]
pub struct Operator {
    filters: Tensor<4>,
    /// What [`conv::synthesize`] takes to correlate with `filters`.
    flipped: Tensor<4>,
    /// The pairs of channels that have a filter; the others are not computed.
    g: Connectivity,
    stride: [usize; 2],
    padding: Padding,
    input: [usize; 3],
}

impl Operator {
    /// The operator of `filters` on images of shape `input`, `[in, H, W]`.
    ///
    /// # Errors
    /// [`Error::Input`] with the numbers, where the filters are empty, larger than the image, made
    /// for another number of channels, all zero, not finite or past squaring; [`Error::Config`] for a stride of 0.
    pub fn new(
        filters: Tensor<4>,
        stride: [usize; 2],
        padding: Padding,
        input: [usize; 3],
    ) -> Result<Self> {
        let values: Vec<f64> = filters.to_data().iter::<f64>().collect();
        let [out, planes, h, w] = filters.dims();
        check(&values, [out, planes, h, w], stride, input)?;
        let taps = h * w;
        let connected = |o: usize, c: usize| {
            let at = (o * planes + c) * taps;
            u8::from(values[at..at + taps].iter().any(|&v| v != 0.0))
        };
        let rows: Vec<Vec<u8>> = (0..out)
            .map(|o| (0..planes).map(|c| connected(o, c)).collect())
            .collect();
        // A channel that no filter sees is allowed here, but not in a connectivity.
        let g = Connectivity::matrix(&rows).unwrap_or_else(|_| Connectivity::full(out, planes));
        Ok(Self {
            flipped: filters.clone().flip([2, 3]),
            filters,
            g,
            stride,
            padding,
            input,
        })
    }

    /// The filters `[out, in, h, w]`.
    pub fn filters(&self) -> &Tensor<4> {
        &self.filters
    }

    /// The stride down and to the right.
    pub fn stride(&self) -> [usize; 2] {
        self.stride
    }

    /// What is beyond the border.
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Channels, height and width of `x`.
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    /// Channels, height and width of `W x`.
    pub fn output(&self) -> [usize; 3] {
        [self.filters.dims()[0], self.length(0), self.length(1)]
    }

    /// The numbers of rows and columns of `W` as a matrix: the elements of `W x` and of `x`.
    pub fn shape(&self) -> [usize; 2] {
        [self.output(), self.input].map(|shape| shape.iter().product())
    }

    /// Where the work is done.
    pub fn device(&self) -> Device {
        self.filters.device()
    }

    /// The type of its numbers.
    pub fn dtype(&self) -> DType {
        self.filters.dtype()
    }

    /// The same operator in other numbers or on another device.
    pub fn to(&self, device: &Device, dtype: DType) -> Self {
        let data = |x: &Tensor<4>| {
            let data = x.to_data().convert_dtype(dtype);
            Tensor::from_data(data, (device, dtype))
        };
        Self {
            filters: data(&self.filters),
            flipped: data(&self.flipped),
            ..self.clone()
        }
    }

    /// The same operator for tensors that are differentiated.
    pub(super) fn train(&self) -> Self {
        Self {
            filters: Tensor::from_inner(self.filters.clone()),
            flipped: Tensor::from_inner(self.flipped.clone()),
            ..self.clone()
        }
    }

    /// `W x`. Differentiable in `x` where `x` and the operator are tracked.
    ///
    /// # Shapes
    /// `[n, in, H, W]` -> `[n, out, H', W']`.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let padded = self.pad_axis(self.pad_axis(x, 0), 1);
        let dense = conv::synthesize(padded, self.flipped.clone(), &self.g);
        (0..2).fold(dense, |y, axis| match self.stride[axis] {
            1 => y,
            stride => {
                let kept = indices((0..self.length(axis)).map(|i| i * stride), &y.device());
                y.select(2 + axis, kept)
            }
        })
    }

    /// `W' r`, the transposed convolution: `<W' r, x> = <r, W x>`.
    ///
    /// # Shapes
    /// `[n, out, H', W']` -> `[n, in, H, W]`.
    pub fn adjoint(&self, r: Tensor<4>) -> Tensor<4> {
        let dense = (0..2).fold(r, |r, axis| match self.stride[axis] {
            1 => r,
            stride => {
                let kept = indices((0..self.length(axis)).map(|i| i * stride), &r.device());
                scatter(r, 2 + axis, self.dense_length(axis), kept)
            }
        });
        let padded = conv::analyze(dense, self.flipped.clone(), &self.g);
        self.fold_axis(self.fold_axis(padded, 1), 0)
    }

    /// `W` as a dense matrix in double precision, row by row, written down from the definition; for
    /// small sizes.
    pub fn matrix(&self) -> Vec<f64> {
        let [_, planes, h, w] = self.filters.dims();
        let filters: Vec<f64> = self.filters.to_data().iter::<f64>().collect();
        let [out, rows, columns] = self.output();
        let [_, height, width] = self.input;
        let [_, n] = self.shape();
        let mut matrix = vec![0.0; out * rows * columns * n];
        for (row, line) in matrix.chunks_exact_mut(n).enumerate() {
            let (o, i, j) = (row / (rows * columns), row / columns % rows, row % columns);
            for (at, &f) in filters[o * planes * h * w..(o + 1) * planes * h * w]
                .iter()
                .enumerate()
            {
                let (c, a, b) = (at / (h * w), at / w % h, at % w);
                if let (Some(y), Some(x)) = (
                    self.source(0, self.stride[0] * i + a),
                    self.source(1, self.stride[1] * j + b),
                ) {
                    line[(c * height + y) * width + x] += f;
                }
            }
        }
        matrix
    }

    /// How far `<W x, y> = <x, W' y>` is from true for random `x` and `y`, as a share of
    /// `||W x|| ||y||`: rounding, or the adjoint is wrong.
    pub fn dot_test(&self, seed: u64) -> f64 {
        let [[c, h, w], [o, i, j]] = [self.input, self.output()];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |shape: [usize; 4]| {
            let values: Vec<f64> = StandardNormal
                .sample_iter(&mut rng)
                .take(shape.iter().product())
                .collect();
            self.tensor(values, shape)
        };
        let (x, y) = (draw([1, c, h, w]), draw([1, o, i, j]));
        let numbers = |x: Tensor<4>| -> Vec<f64> { x.into_data().iter::<f64>().collect() };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (there, back) = (
            numbers(self.apply(x.clone())),
            numbers(self.adjoint(y.clone())),
        );
        let (x, y) = (numbers(x), numbers(y));
        let scale = (dot(&there, &there) * dot(&y, &y)).sqrt();
        (dot(&there, &y) - dot(&x, &back)).abs() / scale.max(f64::MIN_POSITIVE)
    }

    /// A tensor of the operator's numbers on its device.
    pub(super) fn tensor(&self, values: Vec<f64>, shape: [usize; 4]) -> Tensor<4> {
        let data = TensorData::new(values, shape).convert_dtype(self.dtype());
        Tensor::from_data(data, (&self.device(), self.dtype()))
    }

    /// Taps of the filters along an axis.
    fn taps(&self, axis: usize) -> usize {
        self.filters.dims()[2 + axis]
    }

    /// Pixels added before the first and after the last along an axis.
    fn margins(&self, axis: usize) -> [usize; 2] {
        let all = self.taps(axis) - 1;
        match self.padding {
            Padding::None => [0, 0],
            _ => [all / 2, all - all / 2],
        }
    }

    /// Output pixels along an axis before the stride.
    fn dense_length(&self, axis: usize) -> usize {
        let [before, after] = self.margins(axis);
        before + self.input[1 + axis] + after + 1 - self.taps(axis)
    }

    /// Output pixels along an axis.
    fn length(&self, axis: usize) -> usize {
        (self.dense_length(axis) - 1) / self.stride[axis] + 1
    }

    /// The pixel of the image that pixel `at` of the padded image is, `None` where it is a zero.
    fn source(&self, axis: usize, at: usize) -> Option<usize> {
        let side = self.input[1 + axis] as isize;
        let at = at as isize - self.margins(axis)[0] as isize;
        let inside = (0..side).contains(&at);
        let source = match self.padding {
            _ if inside => at,
            Padding::None | Padding::Zeros => return None,
            Padding::Circular => at.rem_euclid(side),
            Padding::Reflect if at < 0 => -at,
            Padding::Reflect => 2 * (side - 1) - at,
        };
        Some(source as usize)
    }

    /// The pixels of the image that stand in the margins along an axis, first those before it.
    fn sources(&self, axis: usize) -> [Vec<usize>; 2] {
        let [before, after] = self.margins(axis);
        let end = before + self.input[1 + axis];
        [0..before, end..end + after]
            .map(|margin| margin.filter_map(|at| self.source(axis, at)).collect())
    }

    fn pad_axis(&self, x: Tensor<4>, axis: usize) -> Tensor<4> {
        let dim = 2 + axis;
        let [before, after] = self.margins(axis);
        if before + after == 0 {
            return x;
        }
        let margin = |length: usize, sources: Vec<usize>| match self.padding {
            Padding::Zeros | Padding::None => {
                let mut dims = x.dims();
                dims[dim] = length;
                Tensor::zeros(dims, (&x.device(), x.dtype()))
            }
            Padding::Circular | Padding::Reflect => {
                x.clone().select(dim, indices(sources, &x.device()))
            }
        };
        let [first, last] = self.sources(axis);
        let parts = [
            (before > 0).then(|| margin(before, first)),
            Some(x.clone()),
            (after > 0).then(|| margin(after, last)),
        ];
        Tensor::cat(parts.into_iter().flatten().collect(), dim)
    }

    /// The adjoint of [`Self::pad_axis`]: what was copied is summed.
    fn fold_axis(&self, r: Tensor<4>, axis: usize) -> Tensor<4> {
        let dim = 2 + axis;
        let [before, after] = self.margins(axis);
        let side = self.input[1 + axis];
        let inside = r.clone().narrow(dim, before, side);
        let [first, last] = self.sources(axis);
        [(0, before, first), (before + side, after, last)]
            .into_iter()
            .filter(|(.., sources)| !sources.is_empty())
            .fold(inside, |sum, (start, length, sources)| {
                let margin = r.clone().narrow(dim, start, length);
                let places = indices(sources, &r.device());
                sum.select_assign(dim, places, margin, IndexingUpdateOp::Add)
            })
    }
}

fn indices(all: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let all: Vec<i32> = all.into_iter().map(|i| i as i32).collect();
    let count = all.len();
    Tensor::from_data(TensorData::new(all, [count]), device)
}

/// Zeros of `length` along `dim`, to which each slice of `r` is added at its place.
fn scatter(r: Tensor<4>, dim: usize, length: usize, places: Tensor<1, Int>) -> Tensor<4> {
    let mut dims = r.dims();
    dims[dim] = length;
    Tensor::zeros(dims, (&r.device(), r.dtype())).select_assign(
        dim,
        places,
        r,
        IndexingUpdateOp::Add,
    )
}

fn check(
    values: &[f64],
    [out, planes, h, w]: [usize; 4],
    stride: [usize; 2],
    [channels, height, width]: [usize; 3],
) -> Result<()> {
    let fail = |message: String| Err(Error::Input(message));
    if values.is_empty() || channels * height * width == 0 {
        return fail(format!(
            "filters [{out}, {planes}, {h}, {w}] on an image of [{channels}, {height}, {width}] \
             leave nothing to convolve; no side may be 0"
        ));
    }
    if planes != channels {
        return fail(format!(
            "the filters [{out}, {planes}, {h}, {w}] are for {planes} channels, but the image \
             [{channels}, {height}, {width}] has {channels}"
        ));
    }
    if h > height || w > width {
        return fail(format!(
            "the filters of {h} x {w} are larger than the image of {height} x {width}; give a \
             larger image or smaller filters"
        ));
    }
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        let (o, c, a, b) = (
            at / (planes * h * w),
            at / (h * w) % planes,
            at / w % h,
            at % w,
        );
        return fail(format!(
            "the filters hold {} at [{o}, {c}, {a}, {b}]; replace it by a finite number",
            values[at]
        ));
    }
    if values.iter().all(|&v| v == 0.0) {
        return fail(format!(
            "all {} taps of the filters are 0: W has rank 0, every image becomes 0 and nothing can \
             be recovered; give other filters",
            values.len()
        ));
    }
    let energy: f64 = values.iter().map(|v| v * v).sum();
    if !energy.is_normal() {
        let largest = values.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        return fail(format!(
            "the largest tap of the filters is {largest:e}, whose square double precision does not \
             hold; scale the filters to ordinary sizes"
        ));
    }
    if stride.contains(&0) {
        return Err(Error::Config(format!(
            "the stride is {} x {}; it must be at least 1",
            stride[0], stride[1]
        )));
    }
    Ok(())
}
