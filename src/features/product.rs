//! Products of all rows of one matrix with all rows of another.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows that a thread works on at a time.
const ROWS: usize = 256;

/// `A B'` of row-major `a` `[n, d]` and `b` `[m, d]`: `[n, m]`.
pub(crate) fn products(a: &[f32], b: &[f32], d: usize) -> Vec<f32> {
    let (n, m) = (a.len() / d, b.len() / d);
    let mut out = vec![0.0; n * m];
    if out.is_empty() {
        return out;
    }
    let right = MatRef::from_row_major_slice(b, m, d).transpose();
    let parts = out.par_chunks_mut(ROWS * m).zip(a.par_chunks(ROWS * d));
    parts.for_each(|(out, a)| {
        let rows = a.len() / d;
        let out = MatMut::from_row_major_slice_mut(out, rows, m);
        let left = MatRef::from_row_major_slice(a, rows, d);
        matmul(out, Accum::Replace, left, right, 1.0, Par::Seq);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_a_plain_loop() {
        let number = |k: usize| ((k * 37 % 101) as f32 - 50.0) / 50.0;
        let (n, m, d) = (300, 7, 11);
        let a: Vec<f32> = (0..n * d).map(number).collect();
        let b: Vec<f32> = (0..m * d).map(|k| number(k + 5)).collect();
        let found = products(&a, &b, d);
        for (k, found) in found.iter().enumerate() {
            let rows = (&a[k / m * d..][..d], &b[k % m * d..][..d]);
            let wanted: f32 = rows.0.iter().zip(rows.1).map(|(x, y)| x * y).sum();
            assert!((found - wanted).abs() < 1e-5, "{k}: {found} {wanted}");
        }
        assert!(products(&[], &b, d).is_empty());
    }
}
