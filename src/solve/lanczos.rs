//! The largest eigenvalue of an operator that is only known by what it does.

use burn::tensor::Tensor;

use super::Dot;

/// The largest eigenvalue of a symmetric positive operator, from below, by Lanczos steps.
///
/// At the price of a power iteration it is far nearer: the eigenvalues of a convolution lie close
/// together at the top. The start must not be orthogonal to the eigenvector sought; random numbers
/// are not. Nothing is read back from the device before the end.
pub(crate) fn largest_eigenvalue(
    apply: impl Fn(Tensor<4>) -> Tensor<4>,
    start: Tensor<4>,
    steps: usize,
) -> f64 {
    // Keeps 0 / 0 at 0 once nothing is left to be found.
    const TINY: f64 = 1e-30;
    let norm = |v: &Tensor<4>| Dot::Whole.of(v.clone(), v.clone()).sqrt();
    let mut before = start.zeros_like();
    let mut beta = norm(&before);
    let mut v = start.clone() / norm(&start).clamp_min(TINY);
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let w = apply(v.clone()) - before * beta.clone();
        let alpha = Dot::Whole.of(w.clone(), v.clone());
        let w = w - v.clone() * alpha.clone();
        diagonal.push(alpha);
        beside.push(beta);
        beta = norm(&w);
        before = v;
        v = w / beta.clone().clamp_min(TINY);
    }
    let read =
        |all: Vec<Tensor<4>>| -> Vec<f64> { Tensor::cat(all, 0).into_data().iter().collect() };
    largest_of_tridiagonal(&read(diagonal), &read(beside)).max(1e-12)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tridiagonal_by_hand() {
        // Eigenvalues 2 - sqrt 2, 2, 2 + sqrt 2.
        let found = largest_of_tridiagonal(&[2.0; 3], &[0.0, 1.0, -1.0]);
        assert!((found - 2.0 - 2f64.sqrt()).abs() < 1e-14, "{found}");
        assert_eq!(largest_of_tridiagonal(&[0.0; 2], &[0.0; 2]), 0.0);
    }
}
