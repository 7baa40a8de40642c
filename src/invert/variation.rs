//! The primal-dual steps in plain memory, each a single pass over it.
//!
//! As tensor operations the differences of an image are copies of it, a dozen for each step.

use std::mem;

use burn::tensor::{DType, Element, ElementConversion, Tensor, TensorData};
use num_traits::Float;
use rayon::prelude::*;

use super::Prior;
use crate::pass::numbers;

/// Numbers as tensors have them.
trait Number: Float + Element {}

impl Number for f32 {}
impl Number for f64 {}

/// Values that a thread works on at a time.
const PART: usize = 1 << 14;

/// Calls `$function` with the type of the numbers of a tensor.
macro_rules! of_type {
    ($tensor:expr, $function:ident($($argument:expr),*)) => {
        match $tensor.dtype() {
            DType::F64 => $function::<f64>($($argument),*),
            _ => $function::<f32>($($argument),*),
        }
    };
}

/// `x' = (x - tau (force + D'q)) / (1 + tau tikhonov)`, `force` being `W'p`; gives `2 x' - x`.
pub(super) fn primal(
    x: &mut Tensor<4>,
    force: Tensor<4>,
    dual: Option<(Prior, &mut Tensor<4>)>,
    numbers: [f64; 2],
) -> Tensor<4> {
    of_type!(x, primal_of(x, force, dual, numbers))
}

/// `p' = (p + sigma (there - y)) / (1 + sigma)`, `there` being `W v`.
pub(super) fn data_dual(p: &mut Tensor<4>, there: Tensor<4>, y: &Tensor<4>, sigma: f64) {
    of_type!(p, data_dual_of(p, there, y, sigma));
}

/// `q' = clip(q + sigma D v, weight)`.
pub(super) fn prior_dual(prior: Prior, q: &mut Tensor<4>, v: Tensor<4>, sigma: f64) {
    of_type!(q, prior_dual_of(prior, q, v, sigma));
}

/// `sum_ij sqrt(sum_c |D x|^2)`, the total variation without its weight.
pub(super) fn total_variation(x: &Tensor<4>) -> f64 {
    of_type!(x, total_variation_of(x))
}

fn primal_of<T: Number>(
    x: &mut Tensor<4>,
    force: Tensor<4>,
    mut dual: Option<(Prior, &mut Tensor<4>)>,
    [tau, tikhonov]: [f64; 2],
) -> Tensor<4> {
    let dims @ [_, _, h, w] = x.dims();
    let [tau, shrink] = [tau, 1.0 / (1.0 + tau * tikhonov)].map(number::<T>);
    let (mut image, mut v) = (take::<T>(x), numbers::<T>(force));
    let q = dual.as_mut().map(|(prior, q)| (*prior, take::<T>(q)));
    let whole = image.len();
    let rows = image.par_chunks_mut(w).zip(v.par_chunks_mut(w));
    rows.enumerate().for_each(|(at, (x, v))| {
        let row = |at: usize| at * w..(at + 1) * w;
        match &q {
            Some((Prior::TotalVariation { .. }, q)) => {
                let (down, right) = q.split_at(whole);
                if at % h > 0 {
                    add(v, &down[row(at - 1)], T::one());
                }
                if at % h + 1 < h {
                    add(v, &down[row(at)], -T::one());
                }
                let right = &right[row(at)][..w - 1];
                add(&mut v[1..], right, T::one());
                add(&mut v[..w - 1], right, -T::one());
            }
            Some((Prior::L1 { .. }, q)) => add(v, &q[row(at)], T::one()),
            None => {}
        }
        for (x, v) in x.iter_mut().zip(v) {
            let new = (*x - tau * *v) * shrink;
            *v = new + new - *x;
            *x = new;
        }
    });
    if let (Some((_, place)), Some((_, q))) = (dual, q) {
        let dims = [1, q.len() / (h * w), h, w];
        put(place, q, dims);
    }
    put(x, image, dims);
    let mut twice = x.clone();
    put(&mut twice, v, dims);
    twice
}

fn add<T: Number>(to: &mut [T], from: &[T], factor: T) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *to + *from * factor;
    }
}

fn data_dual_of<T: Number>(p: &mut Tensor<4>, there: Tensor<4>, y: &Tensor<4>, sigma: f64) {
    let dims = p.dims();
    let [sigma, shrink] = [sigma, 1.0 / (1.0 + sigma)].map(number::<T>);
    let (mut dual, there, y) = (take::<T>(p), numbers::<T>(there), numbers::<T>(y.clone()));
    dual.par_chunks_mut(PART)
        .zip(there.par_chunks(PART))
        .zip(y.par_chunks(PART))
        .for_each(|((p, there), y)| {
            for ((p, there), y) in p.iter_mut().zip(there).zip(y) {
                *p = (*p + sigma * (*there - *y)) * shrink;
            }
        });
    put(p, dual, dims);
}

fn prior_dual_of<T: Number>(prior: Prior, q: &mut Tensor<4>, v: Tensor<4>, sigma: f64) {
    let (dims, [_, planes, h, w]) = (q.dims(), v.dims());
    let [sigma, weight] = [sigma, prior.weight()].map(number::<T>);
    let (mut dual, v) = (take::<T>(q), numbers::<T>(v));
    match prior {
        Prior::L1 { .. } => {
            let parts = dual.par_chunks_mut(PART).zip(v.par_chunks(PART));
            parts.for_each(|(q, v)| {
                for (q, v) in q.iter_mut().zip(v) {
                    *q = (*q + sigma * *v).max(-weight).min(weight);
                }
            });
        }
        Prior::TotalVariation { .. } => {
            let mut rows: Vec<Vec<&mut [T]>> = (0..h).map(|_| Vec::new()).collect();
            for plane in dual.chunks_exact_mut(h * w) {
                for (row, part) in rows.iter_mut().zip(plane.chunks_exact_mut(w)) {
                    row.push(part);
                }
            }
            rows.into_par_iter().enumerate().for_each(|(i, mut row)| {
                let mut squares = vec![T::zero(); w];
                for (k, q) in row.iter_mut().enumerate() {
                    difference(&v, (k, i), [planes, h, w], |j, d| q[j] = q[j] + sigma * d);
                    for (square, q) in squares.iter_mut().zip(q.iter()) {
                        *square = *square + *q * *q;
                    }
                }
                for square in &mut squares {
                    let length = square.sqrt().max(weight);
                    // Without a weight nothing is left.
                    *square = weight / length.max(T::min_positive_value());
                }
                for q in row {
                    q.iter_mut().zip(&squares).for_each(|(q, s)| *q = *q * *s);
                }
            });
        }
    }
    put(q, dual, dims);
}

/// Row `i` of plane `k` of `D v`, whose first half are the differences downwards, the second those to
/// the right: each is handed on with its column, but for the zeros at the last row or column.
fn difference<T: Number>(
    v: &[T],
    (k, i): (usize, usize),
    [planes, h, w]: [usize; 3],
    mut to: impl FnMut(usize, T),
) {
    let row = |i: usize| &v[((k % planes) * h + i) * w..][..w];
    let (here, ahead) = match k < planes {
        true if i + 1 < h => (row(i), row(i + 1)),
        true => return,
        false => (row(i), &row(i)[1..]),
    };
    for (j, (ahead, here)) in ahead.iter().zip(here).enumerate() {
        to(j, *ahead - *here);
    }
}

fn total_variation_of<T: Number>(x: &Tensor<4>) -> f64 {
    let [_, planes, h, w] = x.dims();
    let x = numbers::<T>(x.clone());
    let row = |i: usize| {
        let mut squares = vec![0.0; w];
        for k in 0..2 * planes {
            difference(&x, (k, i), [planes, h, w], |j, d| {
                let d: f64 = d.elem();
                squares[j] += d * d;
            });
        }
        squares.into_iter().map(f64::sqrt).sum::<f64>()
    };
    // Added in order, so that the bits do not depend on the number of threads.
    let rows: Vec<f64> = (0..h).into_par_iter().map(row).collect();
    rows.into_iter().sum()
}

fn number<T: Number>(value: f64) -> T {
    value.elem()
}

/// The numbers of a tensor, without a copy where this is its only handle; nothing is left in it.
fn take<T: Number>(tensor: &mut Tensor<4>) -> Vec<T> {
    let none = Tensor::empty([0; 4], (&tensor.device(), tensor.dtype()));
    numbers(mem::replace(tensor, none))
}

/// Numbers back into a tensor of the same type and device.
fn put<T: Number>(tensor: &mut Tensor<4>, values: Vec<T>, dims: [usize; 4]) {
    let options = (&tensor.device(), tensor.dtype());
    *tensor = Tensor::from_data(TensorData::new(values, dims), options);
}
