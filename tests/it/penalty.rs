//! The shrink against brute force, and the value of the penalty.

use burn::tensor::{DType, Device, Tensor};
use deconvnet::penalty::{self, Penalty, shrink, shrink_by, smooth_value, value};

use crate::support::*;

const EXPONENTS: [f64; 6] = [0.0, 0.3, 0.5, 2.0 / 3.0, 0.8, 1.0];
const WEIGHTS: [f64; 7] = [1e-5, 1e-3, 0.01, 0.1, 0.5, 1.0, 10.0];

fn objective(x: f64, v: f64, weight: f64, p: f64) -> f64 {
    let size = if x == 0.0 { 0.0 } else { x.abs().powf(p) };
    weight * size + 0.5 * (x - v) * (x - v)
}

/// The least of `weight |x|^p + (x - v)^2 / 2` by looking: a dense grid between 0 and `v`, then
/// finer ones around the best of it; against zero at the end.
fn brute_force(v: f64, weight: f64, p: f64) -> f64 {
    let sign = if v < 0.0 { -1.0 } else { 1.0 };
    let a = v.abs();
    let at = |x: f64| objective(x, a, weight, p);
    // The larger of the two stationary points lies where the objective curves upward.
    let inflection = (weight * p * (1.0 - p)).powf(1.0 / (2.0 - p)).min(a);
    let (mut low, mut high) = (inflection, a);
    for _ in 0..4 {
        let step = (high - low) / 40.0;
        let best = (0..=40)
            .map(|i| low + step * f64::from(i))
            .min_by(|x, y| at(*x).total_cmp(&at(*y)))
            .expect("a grid");
        (low, high) = ((best - step).max(inflection), (best + step).min(a));
    }
    // Values tell places apart to half the digits only; the slope to all.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        let slope = weight * p * middle.powf(p - 1.0) + middle - a;
        (low, high) = match slope < 0.0 {
            true => (middle, high),
            false => (low, middle),
        };
    }
    let best = 0.5 * (low + high);
    if at(best) < at(0.0) { sign * best } else { 0.0 }
}

/// Where the answer leaves zero.
fn threshold(weight: f64, p: f64) -> f64 {
    if p == 1.0 {
        return weight;
    }
    let x = (2.0 * (1.0 - p) * weight).powf(1.0 / (2.0 - p));
    x * (2.0 - p) / (2.0 * (1.0 - p))
}

/// Zero, both sides of both thresholds, and from tiny to huge.
fn inputs(weight: f64, p: f64) -> Vec<f64> {
    let t = threshold(weight, p);
    let mut all = vec![0.0];
    for near in [0.5, 0.9, 0.999, 1.001, 1.01, 1.1, 1.5, 2.0, 5.0, 50.0] {
        all.push(t * near);
    }
    all.extend([1e-12, 1e-4, 0.03, 0.3, 1.0, 7.0, 1e3, 1e6]);
    let negative: Vec<f64> = all.iter().map(|v| -v).collect();
    all.extend(negative);
    all
}

/// What an answer may be off by, as a share of `|v|`: four Newton steps are not more exact.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-9,
        _ => 3e-6,
    }
}

#[track_caller]
fn assert_shrunk(got: f64, v: f64, weight: f64, p: f64, dtype: DType) {
    let wanted = brute_force(v, weight, p);
    let near = (got - wanted).abs() <= tolerance(dtype) * v.abs();
    // At the threshold zero and the other candidate are as good.
    let at_threshold = (v.abs() / threshold(weight, p) - 1.0).abs() < 1e-6;
    let tied = at_threshold && (got == 0.0) != (wanted == 0.0);
    assert!(
        near || tied,
        "shrink({v}) is {got}, by brute force {wanted}; weight {weight}, p {p}, {dtype:?}"
    );
}

#[test]
fn shrink_is_the_least_by_brute_force() {
    for dtype in [DType::F64, DType::F32] {
        for p in EXPONENTS {
            for weight in WEIGHTS {
                let inputs = inputs(weight, p);
                let v = tensor_as(&inputs, [1, 1, 1, inputs.len()], dtype, &Device::flex());
                // What the tensor really holds.
                let held = values(&v);
                for (got, v) in values(&shrink(v, weight, p)).into_iter().zip(held) {
                    assert_shrunk(got, v, weight, p, dtype);
                }
            }
        }
    }
}

#[test]
fn shrink_of_a_number_is_that_of_a_tensor() {
    for p in [0.0, 0.3, 0.5, 0.8, 1.0] {
        for weight in [1e-3, 0.5, 4.0] {
            for v in inputs(weight, p) {
                let got = penalty::shrink_number(v, weight, p);
                assert_shrunk(got, v, weight, p, DType::F64);
            }
        }
    }
}

#[test]
fn shrink_that_must_not_be_negative_is_the_least_by_brute_force() {
    for dtype in [DType::F64, DType::F32] {
        for (p, weight) in EXPONENTS.into_iter().flat_map(|p| WEIGHTS.map(|w| (p, w))) {
            let penalty = Penalty {
                p,
                non_negative: true,
            };
            let inputs = inputs(weight, p);
            let v = tensor_as(&inputs, [1, 1, 1, inputs.len()], dtype, &Device::flex());
            let held = values(&v);
            let weights = Tensor::full([1, 1, 1, 1], weight, (&Device::flex(), dtype));
            let by_one = values(&shrink(v.clone(), weight, penalty));
            let by_each = values(&shrink_by(v, weights, penalty));
            for ((one, each), v) in by_one.into_iter().zip(by_each).zip(held) {
                let single = penalty::shrink_number(v, weight, penalty);
                if v >= 0.0 {
                    for got in [one, each, single] {
                        assert_shrunk(got, v, weight, p, dtype);
                    }
                    continue;
                }
                assert_eq!([one, each, single], [0.0; 3], "{v}, {weight}, p {p}");
                // Everything above zero is worse.
                let at = |x: f64| objective(x, v, weight, p);
                assert!((1..100).all(|i| at(v.abs() * f64::from(i) / 25.0) > at(0.0)));
            }
        }
        let nan = tensor_as(&[f64::NAN], [1, 1, 1, 1], dtype, &Device::flex());
        let penalty = Penalty {
            p: 1.0,
            non_negative: true,
        };
        assert!(number(shrink(nan, 0.1, penalty)).is_nan());
    }
    let maps = tensor(&[-1.0, 0.0, 4.0], [1, 1, 1, 3]);
    let penalty = Penalty {
        p: 0.5,
        non_negative: true,
    };
    assert_eq!(values(&value(maps, penalty)), [f64::INFINITY, 0.0, 2.0]);
}

#[test]
fn shrink_leaves_zero_where_the_notes_say() {
    // p = 0.8; beta = 1 / weight; threshold; where it jumps to.
    for (beta, v, x) in [(1.0, 1.39799, 0.46600), (100.0, 0.03012, 0.01004)] {
        let at = |v: f64| number(shrink(tensor(&[v], [1, 1, 1, 1]), 1.0 / beta, 0.8));
        // The threshold is known to five decimals.
        assert_eq!(at(v - 1e-5), 0.0, "beta {beta}");
        let jump = at(v + 1e-5);
        // It rises steeply there: by less than twice the distance to the threshold.
        assert!((jump - x).abs() < 5e-5, "beta {beta}: {jump}, not {x}");
    }
}

#[test]
fn shrink_is_exactly_odd_and_zero_at_zero() {
    for p in EXPONENTS {
        let inputs = inputs(0.1, p);
        let v = tensor_as(
            &inputs,
            [1, 1, 1, inputs.len()],
            DType::F32,
            &Device::flex(),
        );
        let there = values(&shrink(v.clone(), 0.1, p));
        let back = values(&shrink(-v.clone(), 0.1, p));
        let mirrored: Vec<f64> = back.iter().map(|x| -x).collect();
        assert_eq!(there, mirrored, "p {p}");
        assert_eq!(there[0], 0.0, "p {p}");
    }
}

#[test]
fn shrink_by_takes_a_weight_for_each_element() {
    let (mut weights, mut inputs) = (Vec::new(), Vec::new());
    for weight in WEIGHTS {
        for v in [-2.0, -0.4, -0.02, 0.0, 0.07, 0.9, 3.0] {
            weights.push(weight);
            inputs.push(v);
        }
    }
    let shape = [1, 7, 7, 1];
    for p in EXPONENTS {
        let by = shrink_by(tensor(&inputs, shape), tensor(&weights, shape), p);
        for ((got, v), weight) in values(&by).into_iter().zip(&inputs).zip(&weights) {
            assert_shrunk(got, *v, *weight, p, DType::F64);
        }
        // One weight for all is the plain shrink.
        let one = shrink_by(tensor(&inputs, shape), tensor(&[0.1], [1; 4]), p);
        let plain = shrink(tensor(&inputs, shape), 0.1, p);
        assert_near(&values(&one), &values(&plain), 1e-15, "one weight");
    }
}

/// Burn's vectorised `abs` once reordered tensors that were both shared and permuted (its issue
/// 5552): every function here is given such tensors.
#[test]
fn shared_and_permuted_tensors_keep_their_order() {
    let shape = [2, 3, 9, 37];
    let flat = normal(shape.iter().product(), &mut rng(1));
    for dtype in [DType::F32, DType::F64] {
        let original = tensor_as(&flat, shape, dtype, &Device::flex());
        let shared = original.clone();
        let permuted = original.permute([0, 2, 3, 1]);
        let again = permuted.clone();
        let held = values(&shared);
        // The same permutation by plain indices.
        let [n, c, h, w] = shape;
        let mut wanted = Vec::new();
        for i in 0..n * h * w * c {
            let (image, place, plane) = (i / (h * w * c), i / c % (h * w), i % c);
            wanted.push(held[(image * c + plane) * h * w + place]);
        }
        assert_eq!(values(&permuted), wanted, "Burn's own permute");
        for p in EXPONENTS {
            for (got, v) in values(&shrink(permuted.clone(), 0.3, p))
                .iter()
                .zip(&wanted)
            {
                assert_shrunk(*got, *v, 0.3, p, dtype);
            }
            for image in 0..n {
                let part = &wanted[image * c * h * w..][..c * h * w];
                let sum: f64 = part.iter().map(|x| x.abs().powf(p)).sum();
                let got =
                    values(&value(permuted.clone(), p).sum_dim(3).sum_dim(2).sum_dim(1))[image];
                assert_near(&[got], &[sum], 1e-5, &format!("value, p {p}"));
            }
            let all: f64 = wanted.iter().map(|x| x.abs().powf(p)).sum();
            let smooth = number(smooth_value(permuted.clone(), p));
            assert_near(&[smooth], &[all], 1e-5, &format!("smooth value, p {p}"));
        }
        assert_eq!(values(&again), wanted, "a shared tensor was changed");
        assert_eq!(values(&shared), held, "a shared tensor was changed");
    }
}

#[test]
fn the_smooth_value_has_a_finite_gradient_at_zero_and_the_right_one_elsewhere() {
    // Counting has no derivative.
    for p in EXPONENTS.into_iter().filter(|&p| p > 0.0) {
        let at = [0.0, 1e-30, -1e-12, 1e-3, -0.5, 2.0];
        for dtype in [DType::F32, DType::F64] {
            let v: Tensor<4> = tensor_as(&at, [1, 1, 1, 6], dtype, &Device::flex());
            let v = Tensor::from_inner(v).require_grad();
            let gradients = smooth_value(v.clone(), p).backward();
            let gradient = values(&v.grad(&gradients).expect("a gradient"));
            assert!(
                gradient.iter().all(|g| g.is_finite()),
                "p {p}: {gradient:?}"
            );
            assert_eq!(gradient[0], 0.0, "p {p}");
            for (g, x) in gradient.iter().zip(at).skip(3) {
                let wanted = p * x.signum() * x.abs().powf(p - 1.0);
                assert_near(&[*g], &[wanted], 1e-5, &format!("p {p}, at {x}"));
            }
        }
        let away = tensor(&[0.3, -0.7, 1.5, 2.0], [1, 2, 1, 2]);
        let smooth = |x: &[Tensor<4>]| smooth_value(x[0].clone(), p);
        assert_gradient("smooth value", smooth, &[away], 1e-3, 1e-9);
    }
}
