//! Support vector machines from the kernel of all pairs of training vectors.

use rand::{SeedableRng, rngs::ChaCha8Rng, seq::SliceRandom};

/// Rounds over all vectors at most.
const ROUNDS: usize = 1000;

/// A machine as its dual has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dual {
    /// `y_i a_i`: what the kernel with each training vector counts.
    pub weights: Vec<f32>,
    /// How far the optimality conditions are missed at most.
    pub violation: f32,
    /// The primal less the dual objective, over the primal: how far from the least it is at most.
    pub gap: f64,
}

/// Learns to tell the vectors where `positive` from the others, by coordinate descent on the dual of
///
/// ```text
/// minimise  1/2 (|w|^2 + b^2) + c sum_i max(0, 1 - y_i (<w, x_i> + b)),     y_i = 1 where positive, else -1
/// dual:     minimise  1/2 a'Qa - sum a,   0 <= a <= c,   Q_ij = y_i y_j (K_ij + 1)
/// ```
///
/// `<w, x> + b = sum_i y_i a_i (K(x_i, x) + 1)`: the threshold `b` is the weight of one more feature that is 1.
/// Each `a_i` in turn takes its best value, in an order drawn anew for every round, until the optimality
/// conditions are missed by at most `tolerance`.
///
/// # Shapes
/// gram `[n, n]`.
///
/// # Panics
/// If `gram` has not that shape.
///
/// Source: Hsieh and others 2008 (their algorithm 1, with the gradients kept instead of `w`).
pub fn learn(gram: &[f32], positive: &[bool], c: f32, tolerance: f32) -> Dual {
    let n = positive.len();
    assert_eq!(gram.len(), n * n, "the kernel of all pairs");
    let y = |i: usize| if positive[i] { 1.0_f32 } else { -1.0 };
    let mut weights = vec![0.0_f32; n];
    // f(x_i) of every training vector.
    let mut values = vec![0.0_f32; n];
    let mut order: Vec<usize> = (0..n).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut violation = f32::INFINITY;
    for _ in 0..ROUNDS {
        order.shuffle(&mut rng);
        violation = 0.0;
        for &i in &order {
            let alpha = weights[i] * y(i);
            let gradient = y(i) * values[i] - 1.0;
            let missed = match alpha {
                a if a <= 0.0 => gradient.min(0.0),
                a if a >= c => gradient.max(0.0),
                _ => gradient,
            };
            violation = violation.max(missed.abs());
            if missed == 0.0 {
                continue;
            }
            let row = &gram[i * n..][..n];
            let moved = (alpha - gradient / (row[i] + 1.0).max(1e-12)).clamp(0.0, c);
            let change = (moved - alpha) * y(i);
            weights[i] = moved * y(i);
            for (value, k) in values.iter_mut().zip(row) {
                *value += change * (k + 1.0);
            }
        }
        if violation <= tolerance {
            break;
        }
    }
    let (mut norm, mut loss, mut sum) = (0.0, 0.0, 0.0);
    for i in 0..n {
        norm += f64::from(weights[i]) * f64::from(values[i]);
        loss += f64::from((1.0 - y(i) * values[i]).max(0.0));
        sum += f64::from(weights[i].abs());
    }
    let primal = 0.5 * norm + f64::from(c) * loss;
    Dual {
        gap: (primal - (sum - 0.5 * norm)) / primal.max(1e-300),
        weights,
        violation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Kernel, Vectors};

    fn problem(n: usize, d: usize) -> (Vectors, Vec<bool>) {
        let number = |k: usize| ((k * 7919 + k * k % 37) % 613) as f32 / 306.0 - 1.0;
        let values: Vec<f32> = (0..n * d).map(number).collect();
        let vectors = Vectors::new(values, d).unwrap();
        // Not separable: the sign of a feature, turned round now and then.
        let rows = vectors.values().chunks_exact(d).enumerate();
        let positive = rows.map(|(i, row)| (row[0] + 0.3 * row[1] > 0.0) != (i % 7 == 0));
        (vectors.clone(), positive.collect())
    }

    #[test]
    fn the_optimality_conditions_hold() {
        let (vectors, positive) = problem(60, 3);
        let gram = vectors.gram(Kernel::Linear).unwrap();
        let c = 0.7;
        let dual = learn(&gram, &positive, c, 1e-4);
        assert!(dual.violation <= 1e-4 && dual.gap.abs() < 1e-3, "{dual:?}");
        let mut at_bounds = [0; 3];
        for i in 0..60 {
            let y = if positive[i] { 1.0 } else { -1.0 };
            let value: f32 = (0..60)
                .map(|j| dual.weights[j] * (gram[j * 60 + i] + 1.0))
                .sum();
            let (alpha, margin) = (dual.weights[i] * y, y * value);
            let kind = match alpha {
                a if a <= 0.0 => 0,
                a if a >= c => 1,
                _ => 2,
            };
            at_bounds[kind] += 1;
            let holds = match kind {
                0 => margin >= 1.0 - 1e-3,
                1 => margin <= 1.0 + 1e-3,
                _ => (margin - 1.0).abs() < 1e-3,
            };
            assert!(holds, "{i}: {alpha} {margin}");
        }
        assert!(at_bounds.iter().all(|&n| n > 0), "{at_bounds:?}");
    }

    #[test]
    fn no_step_of_a_slow_descent_gets_lower() {
        let (vectors, positive) = problem(40, 2);
        let gram = vectors.gram(Kernel::Linear).unwrap();
        let (c, n) = (0.5, 40);
        let y: Vec<f64> = positive
            .iter()
            .map(|&p| if p { 1.0 } else { -1.0 })
            .collect();
        let q = |i: usize, j: usize| y[i] * y[j] * (f64::from(gram[i * n + j]) + 1.0);
        let objective = |a: &[f64]| {
            let pairs = (0..n * n).map(|k| 0.5 * a[k / n] * a[k % n] * q(k / n, k % n));
            pairs.sum::<f64>() - a.iter().sum::<f64>()
        };
        // Projected gradient with a small step, for long.
        let mut plain = vec![0.0; n];
        for _ in 0..20_000 {
            let gradient: Vec<f64> = (0..n)
                .map(|i| (0..n).map(|j| q(i, j) * plain[j]).sum::<f64>() - 1.0)
                .collect();
            for (a, g) in plain.iter_mut().zip(gradient) {
                *a = (*a - 0.005 * g).clamp(0.0, c);
            }
        }
        let found = learn(&gram, &positive, c as f32, 1e-5).weights;
        let found: Vec<f64> = found
            .iter()
            .zip(&y)
            .map(|(w, y)| f64::from(*w) * y)
            .collect();
        let (found, plain) = (objective(&found), objective(&plain));
        assert!(
            (found - plain).abs() < 1e-4 * plain.abs(),
            "{found} {plain}"
        );
    }
}
