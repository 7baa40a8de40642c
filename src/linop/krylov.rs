//! Krylov methods: linear algebra with maps that are only known by what they do.
//!
//! Scalars stay tensors of one element, so that nothing is read back from the device before the end.

use burn::tensor::{DType, Tensor};
use faer::Mat;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::pass::{numbers as values, suits};

/// What an inner product runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dot {
    /// Each image by itself: as many independent systems as images, solved side by side.
    EachImage,
    /// The whole tensor: one system.
    Whole,
}

impl Dot {
    /// `<a, b>`, of shape `[n, 1, 1, 1]` or `[1, 1, 1, 1]`.
    pub fn of(self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        let image = (a * b).sum_dim(3).sum_dim(2).sum_dim(1);
        match self {
            Self::EachImage => image,
            Self::Whole => image.sum_dim(0),
        }
    }
}

/// `<a, b>` over the whole tensors, `[1, 1, 1, 1]`.
pub(crate) fn dot(a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
    Dot::Whole.of(a.clone(), b.clone())
}

/// `a / b`, 0 where `b` is 0.
pub(crate) fn divide(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    let none = b.clone().equal_elem(0.0);
    (a / b.mask_fill(none.clone(), 1.0)).mask_fill(none, 0.0)
}

/// `||x||`, in double precision, on a GPU from rows on.
pub(crate) fn norm(x: &Tensor<4>) -> f64 {
    match x.dtype() {
        DType::F64 if suits(x) => return squares(&values::<f64>(x.clone())).sqrt(),
        DType::F32 if suits(x) => return squares(&values::<f32>(x.clone())).sqrt(),
        _ => {}
    }
    let rows = x.clone().square().sum_dim(3).into_data();
    rows.iter::<f64>().sum::<f64>().sqrt()
}

/// The sum of squares, in parts whose order does not depend on the number of threads.
fn squares<T: Copy + Into<f64> + Sync>(x: &[T]) -> f64 {
    let part = |part: &[T]| part.iter().map(|&v| v.into() * v.into()).sum::<f64>();
    let parts: Vec<f64> = x.par_chunks(1 << 14).map(part).collect();
    parts.into_iter().sum()
}

/// `x / ||x||` and `||x||`, `[1, 1, 1, 1]`; zeros stay zeros.
fn unit(x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let length = dot(&x, &x).sqrt();
    let none = length.clone().equal_elem(0.0);
    (x / length.clone().mask_fill(none, 1.0), length)
}

/// `steps` steps of conjugate gradients on `A x = b` from `x`, `A` symmetric and positive.
///
/// A fixed number of steps, so that nothing is read back from the device. A system that is solved
/// already stays where it is.
///
/// # Shapes
/// `x` and `b` alike; `apply` keeps the shape.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::linop::{Dot, conjugate_gradients};
///
/// let device = Device::flex();
/// let diagonal = Tensor::<4>::from_data([[[[1.0, 2.0, 4.0]]]], &device);
/// let b = Tensor::from_data([[[[3.0, 4.0, 4.0]]]], &device);
/// let apply = |x: Tensor<4>| x * diagonal.clone();
/// let x = conjugate_gradients(apply, b.clone(), b.zeros_like(), 3, Dot::Whole);
/// let error: f32 = (x * diagonal - b).abs().max().into_scalar();
/// assert!(error < 1e-5);
/// ```
pub fn conjugate_gradients(
    apply: impl Fn(Tensor<4>) -> Tensor<4>,
    b: Tensor<4>,
    mut x: Tensor<4>,
    steps: usize,
    dot: Dot,
) -> Tensor<4> {
    let mut r = b - apply(x.clone());
    let mut p = r.clone();
    let mut rho = dot.of(r.clone(), r.clone());
    for step in 0..steps {
        let q = apply(p.clone());
        let alpha = divide(rho.clone(), dot.of(p.clone(), q.clone()));
        x = x + p.clone() * alpha.clone();
        if step + 1 == steps {
            break;
        }
        r = r - q * alpha;
        let new = dot.of(r.clone(), r.clone());
        p = r.clone() + p * divide(new.clone(), rho);
        rho = new;
    }
    x
}

/// The largest eigenvalue of a symmetric positive map, from below, by Lanczos steps.
///
/// At the price of a power iteration it is far nearer: the eigenvalues of a convolution lie close
/// together at the top. The start must not be orthogonal to the eigenvector sought; random numbers
/// are not.
///
/// # Shapes
/// `apply` keeps the shape of `start`, which is not zero.
pub fn largest_eigenvalue(
    apply: impl Fn(Tensor<4>) -> Tensor<4>,
    start: Tensor<4>,
    steps: usize,
) -> f64 {
    let mut before = start.zeros_like();
    let (mut v, length) = unit(start);
    let mut beta = length.zeros_like();
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let w = apply(v.clone()) - before * beta.clone();
        let alpha = dot(&w, &v);
        let w = w - v.clone() * alpha.clone();
        diagonal.push(alpha);
        beside.push(beta);
        before = v;
        (v, beta) = unit(w);
    }
    largest_of_tridiagonal(&numbers(diagonal), &numbers(beside)).max(1e-12)
}

/// The largest eigenvalue of a symmetric tridiagonal matrix by bisection; `beside[i]` stands between
/// `diagonal[i - 1]` and `diagonal[i]`.
fn largest_of_tridiagonal(diagonal: &[f64], beside: &[f64]) -> f64 {
    // All pivots of `T - x` are negative where `x` lies above every eigenvalue.
    let above_all = |x: f64| {
        let mut pivot = 1.0;
        diagonal.iter().zip(beside).enumerate().all(|(i, (a, b))| {
            let below = if i == 0 { 0.0 } else { b * b / pivot };
            pivot = a - x - below;
            pivot < 0.0
        })
    };
    let most = |values: &[f64]| values.iter().map(|v| v.abs()).fold(0.0, f64::max);
    let (mut low, mut high) = (0.0, most(diagonal) + 2.0 * most(beside));
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if above_all(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// Golub-Kahan bidiagonalisation of `A` from `b`:
///
/// ```text
/// beta u = b,                alpha v = A'u
/// beta' u' = A v - alpha u,  alpha' v' = A'u' - beta' v
/// ```
///
/// with `u` and `v` of length 1, and zero once there is nothing left.
///
/// Source: G. Golub and W. Kahan 1965; C. Paige and M. Saunders, LSQR, ACM TOMS 1982.
#[derive(Clone, Debug)]
pub(crate) struct Bidiagonalisation {
    pub(crate) u: Tensor<4>,
    pub(crate) v: Tensor<4>,
    /// `[1, 1, 1, 1]`
    pub(crate) alpha: Tensor<4>,
    /// `[1, 1, 1, 1]`
    pub(crate) beta: Tensor<4>,
}

impl Bidiagonalisation {
    pub(crate) fn new(b: Tensor<4>, adjoint: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Self {
        let (u, beta) = unit(b);
        let (v, alpha) = unit(adjoint(u.clone()));
        Self { u, v, alpha, beta }
    }

    pub(crate) fn step(
        &mut self,
        apply: impl FnOnce(Tensor<4>) -> Tensor<4>,
        adjoint: impl FnOnce(Tensor<4>) -> Tensor<4>,
    ) {
        (self.u, self.beta) = unit(apply(self.v.clone()) - self.u.clone() * self.alpha.clone());
        (self.v, self.alpha) = unit(adjoint(self.u.clone()) - self.v.clone() * self.beta.clone());
    }
}

/// The largest and smallest singular values of a bidiagonalisation of `A` in `steps` steps from a
/// start in its domain: the first approaches that of `A` from below, quickly; the second from above,
/// slowly, so that their ratio is a lower bound of the condition number.
///
/// # Errors
/// [`Error::Numeric`] where the small decomposition does not converge.
pub(crate) fn singular_extremes(
    apply: impl Fn(Tensor<4>) -> Tensor<4>,
    adjoint: impl Fn(Tensor<4>) -> Tensor<4>,
    start: Tensor<4>,
    steps: usize,
) -> Result<[f64; 2]> {
    // That of A' from a vector in the domain of A: A and its adjoint change places.
    let mut at = Bidiagonalisation::new(start, &apply);
    let (mut diagonal, mut beside) = (vec![at.alpha.clone()], Vec::new());
    for _ in 1..steps {
        at.step(&adjoint, &apply);
        beside.push(at.beta.clone());
        diagonal.push(at.alpha.clone());
    }
    let (diagonal, beside) = (numbers(diagonal), numbers(beside));
    // Where the start lies in an invariant space, what follows once that is used up is rounding.
    let ends = |&i: &usize| {
        diagonal[i] <= f64::MIN_POSITIVE || beside.get(i).is_none_or(|b| *b <= 1e-12 * diagonal[0])
    };
    let n = 1 + (0..diagonal.len()).find(ends).unwrap_or(0);
    let small = Mat::from_fn(n, n, |i, j| match j {
        _ if i == j => diagonal[i],
        _ if j == i + 1 => beside[i],
        _ => 0.0,
    });
    let s = small.singular_values().map_err(|error| {
        Error::Numeric(format!(
            "the singular values cannot be estimated: {error:?}"
        ))
    })?;
    Ok([s[0], s[n - 1]])
}

/// Scalars `[1, 1, 1, 1]`, none or more, read from the device together.
fn numbers(all: Vec<Tensor<4>>) -> Vec<f64> {
    match all.is_empty() {
        true => Vec::new(),
        false => Tensor::cat(all, 0).into_data().iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    #[test]
    fn tridiagonal_by_hand() {
        // Eigenvalues 2 - sqrt 2, 2, 2 + sqrt 2.
        let found = largest_of_tridiagonal(&[2.0; 3], &[0.0, 1.0, -1.0]);
        assert!((found - 2.0 - 2f64.sqrt()).abs() < 1e-14, "{found}");
        assert_eq!(largest_of_tridiagonal(&[0.0; 2], &[0.0; 2]), 0.0);
    }
    #[test]
    fn bidiagonalisation_finds_the_singular_values_that_its_start_has_a_part_of() {
        let like = (&Device::flex(), DType::F64);
        let diagonal = Tensor::<4>::from_data([[[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]]], like);
        let times = |x: Tensor<4>| x * diagonal.clone();
        for (start, [largest, smallest]) in [
            ([1.0; 6], [6.0, 1.0]),
            ([0.0, 1.0, 0.0, 0.0, 3.0, 0.0], [5.0, 2.0]),
            ([0.0, 0.0, 7.0, 0.0, 0.0, 0.0], [3.0, 3.0]),
            ([0.0; 6], [0.0, 0.0]),
        ] {
            for steps in [6, 30] {
                let start = Tensor::<4>::from_data([[[start]]], like);
                let [high, low] = singular_extremes(times, times, start, steps).unwrap();
                assert!((high - largest).abs() < 1e-12, "{high} for {largest}");
                assert!((low - smallest).abs() < 1e-12, "{low} for {smallest}");
            }
        }
    }

    #[test]
    fn lanczos_steps_find_the_largest_eigenvalue() {
        let like = (&Device::flex(), DType::F64);
        let diagonal = Tensor::<4>::from_data([[[[1.0, 2.0, 3.0, 4.0, 9.0]]]], like);
        let times = |x: Tensor<4>| x * diagonal.clone();
        for steps in [5, 40] {
            let found = largest_eigenvalue(times, diagonal.ones_like(), steps);
            assert!((found - 9.0).abs() < 1e-12, "{found}");
        }
    }
}
