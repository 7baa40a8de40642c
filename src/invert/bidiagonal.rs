//! Extreme singular values of an operator that is only known by what it does.

use burn::tensor::Tensor;
use faer::Mat;

use super::Operator;
use crate::error::{Error, Result};

/// Steps of the bidiagonalisation: each costs one product with `W` and one with `W'`.
const STEPS: usize = 30;

/// The largest and smallest singular values of a Golub-Kahan bidiagonalisation of `W` from a fixed
/// random start: the first approaches that of `W` from below, quickly; the second from above, slowly,
/// so that their ratio is a lower bound of the condition number.
///
/// Source: G. Golub and W. Kahan 1965.
///
/// # Errors
/// [`Error::Numeric`] where the small decomposition does not converge.
pub(super) fn extremes(operator: &Operator) -> Result<[f64; 2]> {
    let [_, columns] = operator.shape();
    let [c, h, w] = operator.input();
    let start = super::noise(columns, 0);
    let norm = |v: &Tensor<4>| -> f64 {
        let squares = v.clone().square().sum_dim(3).into_data();
        squares.iter::<f64>().sum::<f64>().sqrt()
    };
    let start = operator.tensor(start, [1, c, h, w]);
    let length = norm(&start);
    let mut v = start / length;
    let mut u = operator.apply(v.clone());
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..STEPS {
        let alpha = norm(&u);
        diagonal.push(alpha);
        if alpha <= f64::MIN_POSITIVE {
            break;
        }
        u = u / alpha;
        let next = operator.adjoint(u.clone()) - v * alpha;
        let beta = norm(&next);
        // The start lies in an invariant space, which has been used up.
        if beta <= 1e-12 * diagonal[0] {
            break;
        }
        beside.push(beta);
        v = next / beta;
        u = operator.apply(v.clone()) - u * beta;
    }
    let n = diagonal.len();
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
