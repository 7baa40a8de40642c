//! The operator `W`: a convolution of several channels with stride and padding.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::connectivity::Connectivity;
use crate::error::{Error, Result};
use crate::linop::{Border, Pad, Stack, Stage, Subsample, Synthesis};
use crate::named::named;

named! {
    /// What the filters see beyond the border of the image.
    #[derive(Default)]
    pub enum Padding: "padding" {
        /// Nothing: they stay inside, and the output is smaller by the filter's size less one.
        None = "none",
        /// Zeros.
        Zeros = "zeros",
        /// The image mirrored at its outermost pixels, which are not repeated.
        Reflect = "reflect",
        /// The image again from the other side: `W` is then block-circulant.
        #[default]
        Circular = "circular",
    }
}

impl Padding {
    /// The margins that filters of `taps` down and to the right take; those of flipped filters are
    /// mirrored.
    fn around(self, taps: [usize; 2], flipped: bool) -> Pad {
        let same = taps.map(|taps| match flipped {
            false => [(taps - 1) / 2, taps / 2],
            true => [taps / 2, (taps - 1) / 2],
        });
        let (border, margins) = match self {
            Self::None => (Border::Zeros, [[0; 2]; 2]),
            Self::Zeros => (Border::Zeros, same),
            Self::Reflect => (Border::Reflect, same),
            Self::Circular => (Border::Circular, same),
        };
        Pad { border, margins }
    }
}

/// The linear operator `W` of a convolution layer without bias:
///
/// ```text
/// (W x)[o, i, j] = sum_c sum_a sum_b f[o, c, a, b] x[c, s_1 i + a - p_1, s_2 j + b - p_2]
/// ```
///
/// As in convolutional networks this is a correlation: the filters are not flipped. Without padding
/// `p = 0` and the filters stay inside the image, else `p = floor((size - 1) / 2)` and the output has
/// `ceil(side / stride)` pixels along each side. Filters of even size are padded by one more on the
/// right and below.
///
/// [`Operator::convolution`] is the true convolution instead, with flipped filters,
///
/// ```text
/// (W x)[o, i, j] = sum_c sum_a sum_b f[o, c, a, b] x[c, s_1 i + q_1 - a, s_2 j + q_2 - b]
/// ```
///
/// where `q = size - 1` without padding, else `q = floor((size - 1) / 2)`: the modes 'valid' and 'same'
/// of `scipy.signal.convolve2d`.
///
/// # Shapes
/// filters `[out, in, h, w]`, `x` `[n, in, H, W]`, `W x` `[n, out, H', W']`.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::invert::{Operator, Padding};
///
/// let device = Device::flex();
/// let filters = Tensor::<4>::from_data([[[[-1.0, 0.0, 1.0]]]], &device);
/// let operator = Operator::new(filters, [1, 1], Padding::Zeros, [1, 1, 4])?;
/// let x = Tensor::<4>::from_data([[[[1.0, 2.0, 4.0, 8.0]]]], &device);
/// let y: Vec<f32> = operator.apply(x).into_data().iter().collect();
/// assert_eq!(y, [2.0, 3.0, 6.0, -4.0]);
/// assert_eq!(operator.shape(), [4, 4]);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Operator {
    filters: Tensor<4>,
    stride: [usize; 2],
    padding: Padding,
    pad: Pad,
    input: [usize; 3],
    output: [usize; 3],
    stack: Stack,
}

impl Operator {
    /// The operator that correlates with `filters` on images of shape `input`, `[in, H, W]`.
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
        Self::checked(filters, stride, padding, input, false)
    }

    /// The operator that convolves with `filters` images of shape `input`, `[in, H, W]`.
    ///
    /// # Errors
    /// As [`Operator::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use deconvnet::invert::{Operator, Padding};
    ///
    /// let device = Device::flex();
    /// let filters = Tensor::<4>::from_data([[[[1.0, 2.0, 3.0]]]], &device);
    /// let operator = Operator::convolution(filters, [1, 1], Padding::Zeros, [1, 1, 4])?;
    /// let impulse = Tensor::<4>::from_data([[[[0.0, 1.0, 0.0, 0.0]]]], &device);
    /// let y: Vec<f32> = operator.apply(impulse).into_data().iter().collect();
    /// assert_eq!(y, [1.0, 2.0, 3.0, 0.0]);
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    pub fn convolution(
        filters: Tensor<4>,
        stride: [usize; 2],
        padding: Padding,
        input: [usize; 3],
    ) -> Result<Self> {
        Self::checked(filters, stride, padding, input, true)
    }

    /// The operator of filters that are checked first, turned about where it `convolves`.
    fn checked(
        filters: Tensor<4>,
        stride: [usize; 2],
        padding: Padding,
        input: [usize; 3],
        convolves: bool,
    ) -> Result<Self> {
        let values: Vec<f64> = filters.to_data().iter::<f64>().collect();
        check(&values, filters.dims(), stride, input)?;
        let [.., h, w] = filters.dims();
        let pad = padding.around([h, w], convolves);
        let filters = match convolves {
            true => filters.flip([2, 3]),
            false => filters,
        };
        Self::correlation(filters, stride, (padding, pad), input)
    }

    /// The operator with the margins `pad`, of what was checked.
    fn correlation(
        filters: Tensor<4>,
        stride: [usize; 2],
        (padding, pad): (Padding, Pad),
        input: [usize; 3],
    ) -> Result<Self> {
        let values: Vec<f64> = filters.to_data().iter::<f64>().collect();
        let [out, planes, h, w] = filters.dims();
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
        let margins = Stage::Pad(pad);
        let shape = [1, input[0], input[1], input[2]];
        let [.., height, width] = margins.output(shape)?;
        let stack = Stack::new(vec![
            margins,
            Stage::Synthesis(Synthesis {
                filters: filters.clone().flip([2, 3]),
                connectivity: g,
            }),
            Stage::Subsample(Subsample {
                stride,
                sides: [height + 1 - h, width + 1 - w],
            }),
        ]);
        let [_, output @ ..] = stack.output(shape)?;
        Ok(Self {
            filters,
            stride,
            padding,
            pad,
            input,
            output,
            stack,
        })
    }

    /// The filters `[out, in, h, w]` that the image is correlated with: those of a convolution, flipped.
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

    /// The margins of the image, in pixels.
    pub(super) fn margins(&self) -> Pad {
        self.pad
    }

    /// Channels, height and width of `x`.
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    /// Channels, height and width of `W x`.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// `W` in stages: padding, convolution with the flipped filters, stride.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The numbers of rows and columns of `W` as a matrix: the elements of `W x` and of `x`.
    pub fn shape(&self) -> [usize; 2] {
        [self.output, self.input].map(|shape| shape.iter().product())
    }

    /// The same filters on as much of a large image as tells what they do to all of it: for a smaller
    /// one there is none.
    ///
    /// The largest singular value differs by little: along each side the part holds 8 times as many
    /// pixels as the filters, a grid on which their transfer function falls short of its maximum by 4 %
    /// at most, see [`crate::linop::spectral_bound`].
    pub fn part(&self) -> Option<Self> {
        /// Images of more elements are looked at in part.
        const LARGE: usize = 1 << 21;
        const SIDE: usize = 256;
        let [.., h, w] = self.filters.dims();
        let [c, height, width] = self.input;
        let side = |filter: usize, side: usize| SIDE.max(8 * filter).min(side);
        let input = [c, side(h, height), side(w, width)];
        let large = self.shape().into_iter().max() > Some(LARGE) && input != self.input;
        let made = |_| {
            Self::correlation(
                self.filters.clone(),
                self.stride,
                (self.padding, self.pad),
                input,
            )
        };
        large.then_some(()).map(made)?.ok()
    }

    /// The device that computes.
    pub fn device(&self) -> Device {
        self.filters.device()
    }

    /// The type of its numbers.
    pub fn dtype(&self) -> DType {
        self.filters.dtype()
    }

    /// The same operator in other numbers or on another device.
    pub fn to(&self, device: &Device, dtype: DType) -> Self {
        Self {
            filters: Tensor::from_data(self.filters.to_data(), (device, dtype)),
            stack: self.stack.to(device, dtype),
            ..self.clone()
        }
    }

    /// `W x`.
    ///
    /// # Shapes
    /// `[n, in, H, W]` -> `[n, out, H', W']`.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        self.stack.apply(x)
    }

    /// `W' r`, the transposed convolution: `<W' r, x> = <r, W x>`.
    ///
    /// # Shapes
    /// `[n, out, H', W']` -> `[n, in, H, W]`.
    pub fn adjoint(&self, r: Tensor<4>) -> Tensor<4> {
        self.stack.adjoint(r)
    }

    /// `W` as a dense matrix in double precision, row by row, written down from the definition; for
    /// small sizes.
    pub fn matrix(&self) -> Vec<f64> {
        let [_, planes, h, w] = self.filters.dims();
        let filters: Vec<f64> = self.filters.to_data().iter::<f64>().collect();
        let [out, rows, columns] = self.output;
        let [_, height, width] = self.input;
        let [_, n] = self.shape();
        let pad = self.pad;
        let mut matrix = vec![0.0; out * rows * columns * n];
        for (row, line) in matrix.chunks_exact_mut(n).enumerate() {
            let (o, i, j) = (row / (rows * columns), row / columns % rows, row % columns);
            for (at, &f) in filters[o * planes * h * w..(o + 1) * planes * h * w]
                .iter()
                .enumerate()
            {
                let (c, a, b) = (at / (h * w), at / w % h, at % w);
                if let (Some(y), Some(x)) = (
                    pad.source(0, height, self.stride[0] * i + a),
                    pad.source(1, width, self.stride[1] * j + b),
                ) {
                    line[(c * height + y) * width + x] += f;
                }
            }
        }
        matrix
    }

    /// How far `<W x, y> = <x, W' y>` is from true for random `x` and `y`, see [`Stack::dot_test`].
    pub fn dot_test(&self, seed: u64) -> f64 {
        let [c, h, w] = self.input;
        let tested = self
            .stack
            .dot_test([1, c, h, w], seed, (&self.device(), self.dtype()));
        tested.expect("the shape was accepted when the operator was made")
    }

    /// A tensor of the operator's numbers on its device.
    pub(super) fn tensor(&self, values: Vec<f64>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(
            TensorData::new(values, shape),
            (&self.device(), self.dtype()),
        )
    }
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
