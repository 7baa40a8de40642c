//! The singular value decomposition of `W` where the image is continued periodically: one small block
//! for each frequency, whatever the size of the image.

use faer::{Col, Mat, c64};
use rayon::prelude::*;
use rustfft::{FftDirection, FftPlanner};

use super::dense::Side;
use super::{Operator, Padding};
use crate::error::{Error, Result};

/// Decompositions with more entries in all blocks together would take gigabytes: about 1300 x 1300
/// pixels in colour.
pub const LARGEST_BLOCKS: usize = 1 << 24;

/// One small decomposition for each frequency of the output.
///
/// With unitary Fourier transforms on both sides a circular convolution is block-diagonal: at
/// frequency `k` the outputs are a matrix times the inputs, whose entries are the filters' transfer
/// functions. A stride `s` folds the input's frequencies `k + b N / s`, `b = 0 .. s - 1`, onto one of
/// the output, so that the block is `[out, in s_1 s_2]`. The singular values of `W` are those of all
/// blocks together.
#[derive(Clone, Debug)]
pub(super) struct Circular {
    /// Of `y` and of `x`: channels, height and width.
    output: [usize; 3],
    input: [usize; 3],
    stride: [usize; 2],
    /// In row-major order of the output's frequencies.
    blocks: Vec<Block>,
    /// Of all blocks, the largest first.
    singular_values: Vec<f64>,
}

/// `B = U diag(s) V'`, the thin form.
#[derive(Clone, Debug)]
struct Block {
    u: Mat<c64>,
    s: Vec<f64>,
    v: Mat<c64>,
}

impl Block {
    fn basis(&self, side: Side) -> &Mat<c64> {
        match side {
            Side::Left => &self.u,
            Side::Right => &self.v,
        }
    }
}

impl Circular {
    /// Whether `W` has that form, a stride must divide the side it walks along, and is not too large.
    pub(super) fn fits(operator: &Operator) -> bool {
        let [channels, height, width] = operator.input();
        let [out, ..] = operator.output();
        let [down, right] = operator.stride();
        let entries = [out, channels, height, width].into_iter();
        operator.padding() == Padding::Circular
            && height % down == 0
            && width % right == 0
            && entries.fold(1_usize, usize::saturating_mul) <= LARGEST_BLOCKS
    }

    /// # Errors
    /// [`Error::Numeric`] where a decomposition does not converge.
    pub(super) fn new(operator: &Operator) -> Result<Self> {
        Self::weighted(operator, |_| 1.0)
    }

    /// The decomposition `U diag(s) V'` of `W diag(weight)`, with `diag(weight) V` in the place of `V`;
    /// the weight of each frequency of the input is a function of its distance from frequency 0, in
    /// cycles per pixel.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn weighted(
        operator: &Operator,
        weight: impl Fn(f64) -> f64 + Sync,
    ) -> Result<Self> {
        let mut this = Self {
            output: operator.output(),
            input: operator.input(),
            stride: operator.stride(),
            blocks: Vec::new(),
            singular_values: Vec::new(),
        };
        let ([out, rows, columns], [planes, height, width]) = (this.output, this.input);
        let transfer = operator.transfer();
        let scale = ((this.stride[0] * this.stride[1]) as f64).sqrt();
        let block = |k: usize| -> Option<Block> {
            let aliases = this.aliases(k);
            let weights: Vec<f64> = aliases
                .iter()
                .map(|&f| weight(distance(f, [height, width])))
                .collect();
            let n = aliases.len();
            let entry = |o: usize, at: usize| {
                let plane = o * planes + at / n;
                let transfer = transfer[plane * height * width + aliases[at % n]];
                transfer * (weights[at % n] / scale)
            };
            let svd = Mat::from_fn(out, planes * n, entry).thin_svd().ok()?;
            let v = svd.V();
            Some(Block {
                u: svd.U().to_owned(),
                s: svd.S().column_vector().iter().map(|s| s.re).collect(),
                v: Mat::from_fn(v.nrows(), v.ncols(), |at, i| v[(at, i)] * weights[at % n]),
            })
        };
        let blocks: Option<Vec<Block>> = (0..rows * columns).into_par_iter().map(block).collect();
        this.blocks = blocks.ok_or_else(|| {
            Error::Numeric(
                "the singular values of a frequency's block cannot be found; scale the filters to \
                 ordinary sizes"
                    .into(),
            )
        })?;
        let all = this.blocks.iter().flat_map(|block| &block.s);
        this.singular_values = all.copied().collect();
        this.singular_values.sort_by(|a, b| b.total_cmp(a));
        Ok(this)
    }

    /// The sum of the squares of the singular values that [`Self::weighted`] would find.
    pub(super) fn energy(operator: &Operator, weight: impl Fn(f64) -> f64) -> f64 {
        let [_, height, width] = operator.input();
        let squares = operator.transfer().into_iter().enumerate().map(|(at, t)| {
            let weight = weight(distance(at % (height * width), [height, width]));
            t.norm_sqr() * weight * weight
        });
        let [down, right] = operator.stride();
        squares.sum::<f64>() / (down * right) as f64
    }

    /// The singular values, the largest first.
    pub(super) fn singular_values(&self) -> &[f64] {
        &self.singular_values
    }

    /// `to diag(factor(s)) from' x`, where `from` and `to` are `U` or `V`.
    pub(super) fn map(
        &self,
        [from, to]: [Side; 2],
        x: &[f64],
        factor: impl Fn(f64) -> f64 + Sync,
    ) -> Vec<f64> {
        let [[_, h, w], [channels, height, width]] = [from, to].map(|side| self.shape(side));
        let spectrum = transform(x, [h, w]);
        // The unitary transforms of sides that differ by the stride.
        let scale = ((height * width) as f64 / (h * w) as f64).sqrt();
        let part = |(k, block): (usize, &Block)| {
            let x: Col<c64> = self
                .places(from, k)
                .iter()
                .map(|&at| spectrum[at])
                .collect();
            let mut along = block.basis(from).adjoint() * x;
            for (c, &s) in along.iter_mut().zip(&block.s) {
                *c *= factor(s) * scale;
            }
            block.basis(to) * along
        };
        let parts: Vec<Col<c64>> = self.blocks.par_iter().enumerate().map(part).collect();
        let mut spectrum = vec![c64::new(0.0, 0.0); channels * height * width];
        for (k, part) in parts.iter().enumerate() {
            for (at, &x) in self.places(to, k).into_iter().zip(part.iter()) {
                spectrum[at] = x;
            }
        }
        inverse(spectrum, [height, width])
    }

    /// Channels, height and width of the vectors on a side.
    fn shape(&self, side: Side) -> [usize; 3] {
        match side {
            Side::Left => self.output,
            Side::Right => self.input,
        }
    }

    /// Where the elements of block `k` are in the spectrum of a side.
    fn places(&self, side: Side, k: usize) -> Vec<usize> {
        let [channels, height, width] = self.shape(side);
        let frequencies = match side {
            Side::Left => vec![k],
            Side::Right => self.aliases(k),
        };
        (0..channels)
            .flat_map(|c| frequencies.iter().map(move |f| c * height * width + f))
            .collect()
    }

    /// The frequencies of the input that the stride folds onto frequency `k` of the output.
    fn aliases(&self, k: usize) -> Vec<usize> {
        let [_, rows, columns] = self.output;
        let (i, j) = (k / columns, k % columns);
        let [down, right] = self.stride;
        (0..down * right)
            .map(|b| (i + b / right * rows) * self.input[2] + j + b % right * columns)
            .collect()
    }
}

/// The distance of frequency `f` from frequency 0, in cycles per pixel.
fn distance(f: usize, [height, width]: [usize; 2]) -> f64 {
    let along = |k: usize, side: usize| k.min(side - k) as f64 / side as f64;
    along(f / width, height).hypot(along(f % width, width))
}

impl Operator {
    /// The transfer function of every pair of channels, `[out, in, H, W]`: the Fourier transform of
    /// what an impulse at pixel 0 becomes.
    fn transfer(&self) -> Vec<c64> {
        let [out, planes, h, w] = self.filters().dims();
        let [_, height, width] = self.input();
        let filters: Vec<f64> = self.filters().to_data().iter::<f64>().collect();
        let [[top, _], [left, _]] = self.margins().margins;
        let mut response = vec![0.0; out * planes * height * width];
        for (at, &f) in filters.iter().enumerate() {
            let (plane, a, b) = (at / (h * w), at / w % h, at % w);
            // Output i sees input i + a - p, so an impulse at 0 is seen at p - a.
            let i = (top + height - a) % height;
            let j = (left + width - b) % width;
            response[(plane * height + i) * width + j] += f;
        }
        transform(&response, [height, width])
    }
}

/// The two-dimensional Fourier transform of every plane.
fn transform(planes: &[f64], sides: [usize; 2]) -> Vec<c64> {
    let mut spectrum: Vec<c64> = planes.iter().map(|&v| c64::new(v, 0.0)).collect();
    both_axes(&mut spectrum, sides, FftDirection::Forward);
    spectrum
}

/// The real planes of a spectrum.
fn inverse(mut spectrum: Vec<c64>, sides: [usize; 2]) -> Vec<f64> {
    both_axes(&mut spectrum, sides, FftDirection::Inverse);
    let scale = 1.0 / (sides[0] * sides[1]) as f64;
    spectrum.iter().map(|v| v.re * scale).collect()
}

fn both_axes(planes: &mut [c64], [height, width]: [usize; 2], direction: FftDirection) {
    let mut planner = FftPlanner::new();
    let (rows, columns) = (
        planner.plan_fft(width, direction),
        planner.plan_fft(height, direction),
    );
    planes
        .par_chunks_exact_mut(height * width)
        .for_each(|plane| {
            rows.process(plane);
            let mut turned: Vec<c64> = (0..plane.len())
                .map(|at| plane[at % height * width + at / height])
                .collect();
            columns.process(&mut turned);
            for (at, v) in turned.into_iter().enumerate() {
                plane[at % height * width + at / height] = v;
            }
        });
}
