//! Margins around the planes.

use burn::tensor::{DType, Element, IndexingUpdateOp, Tensor, TensorData};
use num_traits::Num;
use rayon::prelude::*;

use super::indices;
use crate::error::{Error, Result};
use crate::pass::{numbers, suits};

/// What the margins hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Zeros.
    Zeros,
    /// The plane mirrored at its outermost pixels, which are not repeated.
    Reflect,
    /// The plane again from the other side.
    Circular,
}

/// Adds margins to every plane. The adjoint adds what was copied to where it came from.
///
/// Its norm is the square root of the number of times that a pixel is copied at most.
///
/// # Shapes
/// `[n, C, H, W]` -> `[n, C, top + H + bottom, left + W + right]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    /// What the margins hold.
    pub border: Border,
    /// `[[top, bottom], [left, right]]` in pixels. Those that reflect are smaller than the plane.
    pub margins: [[usize; 2]; 2],
}

impl Pad {
    /// The pixel of a plane of `side` pixels that pixel `at` of the padded plane is along an axis,
    /// `None` where it is a zero.
    pub fn source(&self, axis: usize, side: usize, at: usize) -> Option<usize> {
        let side = side as isize;
        let at = at as isize - self.margins[axis][0] as isize;
        let source = match self.border {
            _ if (0..side).contains(&at) => at,
            Border::Zeros => return None,
            Border::Circular => at.rem_euclid(side),
            Border::Reflect if at < 0 => -at,
            Border::Reflect => 2 * (side - 1) - at,
        };
        Some(source as usize)
    }

    /// The two margins along an axis of `side` pixels: their place in the padded plane and the pixels
    /// that they copy, none where they are zeros.
    fn copies(&self, axis: usize, side: usize) -> [(usize, usize, Vec<usize>); 2] {
        let [before, after] = self.margins[axis];
        [(0, before), (before + side, after)].map(|(start, length)| {
            let places = start..start + length;
            let sources = places.filter_map(|at| self.source(axis, side, at));
            (start, length, sources.collect())
        })
    }

    fn is_empty(&self) -> bool {
        self.margins == [[0; 2]; 2]
    }

    /// [`Pad::apply`] in plain memory, row by row.
    fn copied<T: Element + Num>(&self, x: Tensor<4>) -> Tensor<4> {
        let ([n, c, h, w], options) = (x.dims(), (x.device(), x.dtype()));
        let [[top, bottom], [left, right]] = self.margins;
        let (height, width) = (top + h + bottom, left + w + right);
        let columns: Vec<_> = (0..width).map(|j| self.source(1, w, j)).collect();
        let x = numbers::<T>(x);
        let mut padded = vec![T::zero(); n * c * height * width];
        let rows = padded.par_chunks_exact_mut(width).enumerate();
        rows.for_each(|(at, row)| {
            let Some(i) = self.source(0, h, at % height) else {
                return;
            };
            let from = &x[(at / height * h + i) * w..][..w];
            row[left..left + w].copy_from_slice(from);
            for j in (0..left).chain(left + w..width) {
                row[j] = columns[j].map_or(T::zero(), |j| from[j]);
            }
        });
        let data = TensorData::new(padded, [n, c, height, width]);
        Tensor::from_data(data, (&options.0, options.1))
    }

    /// [`Pad::adjoint`] in plain memory, row by row.
    fn gathered<T: Element + Num>(&self, r: Tensor<4>) -> Tensor<4> {
        let ([n, c, height, width], options) = (r.dims(), (r.device(), r.dtype()));
        let [[top, bottom], [left, right]] = self.margins;
        let (h, w) = (height - top - bottom, width - left - right);
        let columns: Vec<_> = (0..width).map(|j| self.source(1, w, j)).collect();
        // The rows of the margins that are copies of each row.
        let mut copies = vec![Vec::new(); h];
        for at in (0..top).chain(top + h..height) {
            if let Some(i) = self.source(0, h, at) {
                copies[i].push(at);
            }
        }
        let r = numbers::<T>(r);
        let mut sums = vec![T::zero(); n * c * h * w];
        let rows = sums.par_chunks_exact_mut(w).enumerate();
        rows.for_each(|(at, sum)| {
            let (plane, i) = (at / h, at % h);
            for &k in [top + i].iter().chain(&copies[i]) {
                let from = &r[(plane * height + k) * width..][..width];
                for (sum, from) in sum.iter_mut().zip(&from[left..]) {
                    *sum = *sum + *from;
                }
                for j in (0..left).chain(left + w..width) {
                    if let Some(to) = columns[j] {
                        sum[to] = sum[to] + from[j];
                    }
                }
            }
        });
        Tensor::from_data(TensorData::new(sums, [n, c, h, w]), (&options.0, options.1))
    }

    pub(crate) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        match x.dtype() {
            _ if self.is_empty() => return x,
            DType::F64 if suits(&x) => return self.copied::<f64>(x),
            DType::F32 if suits(&x) => return self.copied::<f32>(x),
            _ => {}
        }
        (0..2).fold(x, |x, axis| {
            let dim = 2 + axis;
            let [first, last] = self
                .copies(axis, x.dims()[dim])
                .map(|(_, length, sources)| {
                    (length > 0).then(|| match self.border {
                        Border::Zeros => {
                            let mut dims = x.dims();
                            dims[dim] = length;
                            Tensor::zeros(dims, (&x.device(), x.dtype()))
                        }
                        _ => x.clone().select(dim, indices(sources, &x.device())),
                    })
                });
            match (&first, &last) {
                (None, None) => x,
                _ => Tensor::cat([first, Some(x), last].into_iter().flatten().collect(), dim),
            }
        })
    }

    pub(crate) fn adjoint(&self, r: Tensor<4>) -> Tensor<4> {
        match r.dtype() {
            _ if self.is_empty() => return r,
            DType::F64 if suits(&r) => return self.gathered::<f64>(r),
            DType::F32 if suits(&r) => return self.gathered::<f32>(r),
            _ => {}
        }
        [1, 0].into_iter().fold(r, |r, axis| {
            let dim = 2 + axis;
            let [before, after] = self.margins[axis];
            let side = r.dims()[dim] - before - after;
            let inside = r.clone().narrow(dim, before, side);
            let copied = self.copies(axis, side).into_iter();
            copied.filter(|(.., sources)| !sources.is_empty()).fold(
                inside,
                |sum, (start, length, sources)| {
                    let margin = r.clone().narrow(dim, start, length);
                    let places = indices(sources, &r.device());
                    sum.select_assign(dim, places, margin, IndexingUpdateOp::Add)
                },
            )
        })
    }

    pub(super) fn output(&self, input: [usize; 4]) -> Result<[usize; 4]> {
        let [n, c, ..] = input;
        let mut sides = [input[2], input[3]];
        for (side, [before, after]) in sides.iter_mut().zip(self.margins) {
            let widest = before.max(after);
            let fits = match self.border {
                Border::Zeros => true,
                Border::Reflect => widest == 0 || widest < *side,
                Border::Circular => widest == 0 || *side > 0,
            };
            if !fits {
                return Err(Error::Input(format!(
                    "margins of {:?} pixels cannot be filled from planes {input:?}; those that reflect \
                     must be smaller than the planes",
                    self.margins
                )));
            }
            *side += before + after;
        }
        Ok([n, c, sides[0], sides[1]])
    }

    pub(super) fn norm(&self, input: [usize; 4]) -> f64 {
        let copies = [0, 1].map(|axis| {
            let mut times = vec![1_u32; input[2 + axis]];
            for (.., sources) in self.copies(axis, input[2 + axis]) {
                sources.into_iter().for_each(|at| times[at] += 1);
            }
            times.into_iter().max().unwrap_or(1)
        });
        f64::from(copies[0] * copies[1]).sqrt()
    }
}
