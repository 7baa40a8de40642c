//! Conjugate gradients for `A x = b`, `A` symmetric and positive.

use burn::tensor::Tensor;

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

/// Keeps 0 / 0 at 0 once the residual is gone; far below any residual that matters.
pub(super) const TINY: f64 = 1e-30;

/// `steps` steps of conjugate gradients on `A x = b` from `x`.
///
/// A fixed number of steps, so that nothing is read back from the device. A system that is solved
/// already stays where it is.
///
/// # Shapes
/// `x` and `b` alike; `apply` keeps the shape.
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
        let alpha = rho.clone() / (dot.of(p.clone(), q.clone()) + TINY);
        x = x + p.clone() * alpha.clone();
        if step + 1 == steps {
            break;
        }
        r = r - q * alpha;
        let new = dot.of(r.clone(), r.clone());
        p = r.clone() + p * (new.clone() / (rho + TINY));
        rho = new;
    }
    x
}
