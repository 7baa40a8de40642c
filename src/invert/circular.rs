//! The singular value decomposition of `W` where the image is continued periodically: one small block
//! for each frequency, whatever the size of the image.

use faer::{Mat, c64};
use rayon::prelude::*;
use rustfft::{FftDirection, FftPlanner};

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
    channels: [usize; 2],
    /// Sides of the input and of the output.
    fine: [usize; 2],
    coarse: [usize; 2],
    stride: [usize; 2],
    /// In row-major order of the output's frequencies.
    blocks: Vec<Block>,
    /// Of all blocks, the largest first.
    singular_values: Vec<f64>,
}

/// `B = U diag(s) V'`, the thin form, both stored vector by vector.
#[derive(Clone, Debug)]
struct Block {
    u: Vec<c64>,
    s: Vec<f64>,
    v: Vec<c64>,
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

    /// The decomposition of `W diag(weight)`, the weight of each frequency of the input being a
    /// function of its distance from frequency 0, in cycles per pixel.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn weighted(
        operator: &Operator,
        weight: impl Fn(f64) -> f64 + Sync,
    ) -> Result<Self> {
        let [channels_in, height, width] = operator.input();
        let [channels_out, rows, columns] = operator.output();
        let mut this = Self {
            channels: [channels_out, channels_in],
            fine: [height, width],
            coarse: [rows, columns],
            stride: operator.stride(),
            blocks: Vec::new(),
            singular_values: Vec::new(),
        };
        let transfer = operator.transfer();
        let scale = (this.stride[0] * this.stride[1]) as f64;
        let block = |k: usize| -> Option<Block> {
            let aliases = this.aliases(k);
            let entry = |o: usize, at: usize| {
                let (c, f) = (at / aliases.len(), aliases[at % aliases.len()]);
                let plane = o * channels_in + c;
                let transfer = transfer[plane * height * width + f];
                transfer * (weight(distance(f, this.fine)) / scale.sqrt())
            };
            decompose(channels_out, channels_in * aliases.len(), entry)
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

    /// `V diag(factor(s)) U' y`; `weight` as in [`Self::weighted`], applied once more on the left.
    pub(super) fn solve(
        &self,
        y: &[f64],
        factor: impl Fn(f64) -> f64 + Sync,
        weight: impl Fn(f64) -> f64 + Sync,
    ) -> Vec<f64> {
        let spectrum = transform(y, self.coarse);
        let [out, _] = self.channels;
        // Unitary transforms of sides that differ by the stride.
        let scale = ((self.stride[0] * self.stride[1]) as f64).sqrt();
        self.assemble(|k, block| {
            let y: Vec<c64> = (0..out).map(|o| spectrum[o * self.count() + k]).collect();
            let mut along = project(&block.u, &y, block.s.len());
            for (c, &s) in along.iter_mut().zip(&block.s) {
                *c *= factor(s) * scale;
            }
            let mut x = combine(&block.v, &along);
            let aliases = self.aliases(k);
            for (at, x) in x.iter_mut().enumerate() {
                *x *= weight(distance(aliases[at % aliases.len()], self.fine));
            }
            x
        })
    }

    /// The part of `x` in the row space of `W`, as far as `keep` takes the singular values.
    pub(super) fn row_part(&self, x: &[f64], keep: impl Fn(f64) -> bool + Sync) -> Vec<f64> {
        let spectrum = transform(x, self.fine);
        let [_, planes] = self.channels;
        let size = self.fine[0] * self.fine[1];
        self.assemble(|k, block| {
            let aliases = self.aliases(k);
            let at = (0..planes).flat_map(|c| aliases.iter().map(move |f| c * size + f));
            let x: Vec<c64> = at.map(|at| spectrum[at]).collect();
            let mut along = project(&block.v, &x, block.s.len());
            drop_others(&mut along, &block.s, &keep);
            combine(&block.v, &along)
        })
    }

    /// The part of `y` in the range of `W`, as far as `keep` takes the singular values.
    pub(super) fn range_part(&self, y: &[f64], keep: impl Fn(f64) -> bool) -> Vec<f64> {
        let mut spectrum = transform(y, self.coarse);
        let [out, _] = self.channels;
        for (k, block) in self.blocks.iter().enumerate() {
            let y: Vec<c64> = (0..out).map(|o| spectrum[o * self.count() + k]).collect();
            let mut along = project(&block.u, &y, block.s.len());
            drop_others(&mut along, &block.s, &keep);
            for (o, y) in combine(&block.u, &along).into_iter().enumerate() {
                spectrum[o * self.count() + k] = y;
            }
        }
        inverse(spectrum, self.coarse)
    }

    /// An image from what `part` gives for each frequency of the output, `[in s_1 s_2]`.
    fn assemble(&self, part: impl Fn(usize, &Block) -> Vec<c64> + Sync) -> Vec<f64> {
        let [_, planes] = self.channels;
        let size = self.fine[0] * self.fine[1];
        let parts: Vec<Vec<c64>> = self
            .blocks
            .par_iter()
            .enumerate()
            .map(|(k, block)| part(k, block))
            .collect();
        let mut spectrum = vec![c64::new(0.0, 0.0); planes * size];
        for (k, part) in parts.into_iter().enumerate() {
            let aliases = self.aliases(k);
            for (at, x) in part.into_iter().enumerate() {
                spectrum[at / aliases.len() * size + aliases[at % aliases.len()]] = x;
            }
        }
        inverse(spectrum, self.fine)
    }

    /// Frequencies of the output.
    fn count(&self) -> usize {
        self.coarse[0] * self.coarse[1]
    }

    /// The frequencies of the input that the stride folds onto frequency `k` of the output.
    fn aliases(&self, k: usize) -> Vec<usize> {
        let [rows, columns] = self.coarse;
        let (i, j) = (k / columns, k % columns);
        let [down, right] = self.stride;
        (0..down * right)
            .map(|b| (i + b / right * rows) * self.fine[1] + j + b % right * columns)
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
        let mut response = vec![0.0; out * planes * height * width];
        for (at, &f) in filters.iter().enumerate() {
            let (plane, a, b) = (at / (h * w), at / w % h, at % w);
            // Output i sees input i + a - p, so an impulse at 0 is seen at p - a.
            let i = ((h - 1) / 2 + height - a) % height;
            let j = ((w - 1) / 2 + width - b) % width;
            response[(plane * height + i) * width + j] += f;
        }
        transform(&response, [height, width])
    }
}

/// The thin decomposition of a small matrix.
fn decompose(rows: usize, columns: usize, entry: impl Fn(usize, usize) -> c64) -> Option<Block> {
    let svd = Mat::from_fn(rows, columns, entry).thin_svd().ok()?;
    let vectors = |basis: faer::MatRef<'_, c64>| {
        let columns = basis.col_iter().map(|column| column.iter().copied());
        columns.flatten().collect()
    };
    Some(Block {
        u: vectors(svd.U()),
        s: svd.S().column_vector().iter().map(|s| s.re).collect(),
        v: vectors(svd.V()),
    })
}

/// `basis' x`: one number for each of `count` vectors.
fn project(basis: &[c64], x: &[c64], count: usize) -> Vec<c64> {
    (0..count)
        .map(|i| {
            let vector = &basis[i * x.len()..(i + 1) * x.len()];
            vector.iter().zip(x).map(|(b, x)| b.conj() * x).sum()
        })
        .collect()
}

/// `basis c`.
fn combine(basis: &[c64], coefficients: &[c64]) -> Vec<c64> {
    let length = basis.len() / coefficients.len();
    (0..length)
        .map(|at| {
            let terms = coefficients.iter().enumerate();
            terms.map(|(i, c)| basis[i * length + at] * c).sum()
        })
        .collect()
}

fn drop_others(along: &mut [c64], s: &[f64], keep: &impl Fn(f64) -> bool) {
    for (c, &s) in along.iter_mut().zip(s) {
        if !keep(s) {
            *c = c64::new(0.0, 0.0);
        }
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
