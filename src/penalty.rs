//! The sparsity penalty `sum |z|^p`, `0 < p <= 1`: its value and its shrink.

use burn::tensor::Tensor;

/// The penalty of each element, `|z|^p`.
///
/// # Shapes
/// any -> the same.
pub fn value(maps: Tensor<4>, p: f64) -> Tensor<4> {
    if p == 1.0 {
        maps.abs()
    } else {
        maps.abs().powf_scalar(p)
    }
}

/// The penalty made safe to differentiate, `sum (z^2 + eps)^(p/2)` with `eps = 1e-12`: the gradient
/// of `|z|^p` at zero is not a number for p < 1.
///
/// # Shapes
/// maps `[n, K, h, w]` -> `[1]`.
pub fn smooth_value(maps: Tensor<4>, p: f64) -> Tensor<1> {
    if p == 1.0 {
        return maps.abs().sum();
    }
    (maps.square() + 1e-12).powf_scalar(p / 2.0).sum()
}

/// The shrink (proximal operator) of `weight |x|^p`, elementwise:
///
/// ```text
/// argmin_x  weight |x|^p + 1/2 (x - v)^2
/// ```
///
/// For the paper's `|x|^p + beta/2 (x - v)^2`, `weight = 1 / beta`. See [`shrink_by`].
pub fn shrink(v: Tensor<4>, weight: f64, p: f64) -> Tensor<4> {
    if p == 1.0 {
        return v.clone() - shrinkage(v, weight, p);
    }
    let weight = Tensor::full([1, 1, 1, 1], weight, (&v.device(), v.dtype()));
    shrink_by(v, weight, p)
}

/// What [`shrink`] takes away, `v - shrink(v)`. For p = 1 it is `v` clamped to `weight`, and more
/// exact than the difference.
pub fn shrinkage(v: Tensor<4>, weight: f64, p: f64) -> Tensor<4> {
    if p == 1.0 {
        return v.clamp(-weight, weight);
    }
    v.clone() - shrink(v, weight, p)
}

/// [`shrink`] with a weight for each element.
///
/// For p = 1 it is `sign(v) max(|v| - weight, 0)`. For p < 1 the answer is 0 where
/// `|v| <= x* (2 - p) / (2 (1 - p))`, `x* = (2 (1 - p) weight)^(1 / (2 - p))`, and above it the
/// larger root of `p weight x^(p - 1) + x - |v| = 0`, by Newton's method from `|v|`: four steps are
/// exact to single precision.
///
/// # Shapes
/// `v`: any; `weight`: the same, or broadcast to it.
pub fn shrink_by(v: Tensor<4>, weight: Tensor<4>, p: f64) -> Tensor<4> {
    let a = v.clone().abs();
    if p == 1.0 {
        return v.sign() * (a - weight).clamp_min(0.0);
    }
    let jump = (weight.clone() * (2.0 * (1.0 - p))).powf_scalar(1.0 / (2.0 - p));
    let zero = a
        .clone()
        .lower_equal(jump * ((2.0 - p) / (2.0 * (1.0 - p))));
    let slope = weight * p;
    let mut x = a.clone();
    for _ in 0..NEWTON_STEPS {
        // With q = p weight x^(p - 2): f = q x + x - |v|, f' = (p - 1) q + 1.
        let q = slope.clone() * x.clone().powf_scalar(p - 2.0);
        let f = q.clone() * x.clone() + x.clone() - a.clone();
        x = x - f / (q * (p - 1.0) + 1.0);
    }
    v.sign() * x.mask_fill(zero, 0.0)
}

/// [`shrink`] of a single number.
pub fn shrink_number(v: f64, weight: f64, p: f64) -> f64 {
    let a = v.abs();
    if p == 1.0 {
        return (a - weight).max(0.0).copysign(v);
    }
    let jump = (2.0 * (1.0 - p) * weight).powf(1.0 / (2.0 - p));
    if a <= jump * (2.0 - p) / (2.0 * (1.0 - p)) {
        return 0.0;
    }
    let mut x = a;
    for _ in 0..NEWTON_STEPS {
        let q = p * weight * x.powf(p - 2.0);
        x -= (q * x + x - a) / (q * (p - 1.0) + 1.0);
    }
    x.copysign(v)
}

const NEWTON_STEPS: usize = 4;
