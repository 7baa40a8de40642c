//! Conjugate gradients on linear systems with a known answer.

use burn::tensor::{DType, Device, Tensor};
use deconvnet::linop::{Dot, conjugate_gradients};

use crate::support::dense::solve;
use crate::support::*;

const N: usize = 8;

/// A symmetric positive matrix with eigenvalues spread over about two decades.
fn positive(seed: u64) -> Vec<Vec<f64>> {
    let b = normal(N * N, &mut rng(seed));
    let row = |i: usize| &b[i * N..(i + 1) * N];
    let entry = |i: usize, j: usize| dot(row(i), row(j)) + if i == j { 0.5 } else { 0.0 };
    (0..N)
        .map(|i| (0..N).map(|j| entry(i, j)).collect())
        .collect()
}

/// A matrix as an operator on `[.., N]`; it is symmetric.
fn operator(matrix: &[Vec<f64>], dtype: DType) -> impl Fn(Tensor<4>) -> Tensor<4> {
    let matrix: Tensor<4> = tensor_as(&matrix.concat(), [1, 1, N, N], dtype, &Device::flex());
    move |x| {
        let [n, ..] = x.dims();
        x.matmul(matrix.clone().expand([n, 1, N, N]))
    }
}

#[test]
fn as_many_steps_as_unknowns_solve_a_system_to_precision() {
    for seed in 0..5 {
        let matrix = positive(seed);
        let b = normal(N, &mut rng(seed + 10));
        let wanted = solve(matrix.clone(), b.clone());
        // Rounding in single precision takes as many steps again.
        for (dtype, steps, tolerance) in [(DType::F64, N, 1e-8), (DType::F32, 2 * N, 1e-3)] {
            let as_tensor = |x: &[f64]| tensor_as(x, [1, 1, 1, N], dtype, &Device::flex());
            for start in [vec![0.0; N], normal(N, &mut rng(seed + 20))] {
                let x = conjugate_gradients(
                    operator(&matrix, dtype),
                    as_tensor(&b),
                    as_tensor(&start),
                    steps,
                    Dot::Whole,
                );
                assert_near(&values(&x), &wanted, tolerance, "solution");
            }
        }
    }
}

#[test]
fn systems_side_by_side_do_not_disturb_each_other() {
    let matrix = positive(1);
    let apply = operator(&matrix, DType::F64);
    // Of very different sizes; the third is solved from the start.
    let b: Vec<Vec<f64>> = [1.0, 1e-6, 0.0]
        .iter()
        .enumerate()
        .map(|(i, size)| {
            normal(N, &mut rng(i as u64))
                .iter()
                .map(|x| size * x)
                .collect()
        })
        .collect();
    let together = conjugate_gradients(
        &apply,
        tensor(&b.concat(), [3, 1, 1, N]),
        tensor(&[0.0; 3 * N], [3, 1, 1, N]),
        N,
        Dot::EachImage,
    );
    for (n, b) in b.into_iter().enumerate() {
        let part = values(&together.clone().narrow(0, n, 1));
        assert_near(
            &part,
            &solve(matrix.clone(), b),
            1e-8,
            &format!("system {n}"),
        );
    }
}

#[test]
fn a_solved_system_stays_solved_however_many_steps_follow() {
    for dtype in [DType::F32, DType::F64] {
        let matrix = positive(2);
        let b = normal(N, &mut rng(3));
        let as_tensor = |x: &[f64]| tensor_as(x, [1, 1, 1, N], dtype, &Device::flex());
        let after = |steps| {
            let apply = operator(&matrix, dtype);
            let zero = as_tensor(&[0.0; N]);
            conjugate_gradients(apply, as_tensor(&b), zero, steps, Dot::Whole)
        };
        let wanted = solve(matrix.clone(), b.clone());
        assert_near(&values(&after(200)), &wanted, 1e-4, "after 200 steps");
        let still = conjugate_gradients(
            operator(&matrix, dtype),
            as_tensor(&[0.0; N]),
            as_tensor(&[0.0; N]),
            50,
            Dot::EachImage,
        );
        assert_eq!(values(&still), [0.0; N]);
    }
}
