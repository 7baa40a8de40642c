//! Small problems written out as dense matrices, and independent solvers for them.

use super::dot;

/// A matrix, column by column.
pub struct Dense {
    columns: Vec<Vec<f64>>,
}

impl Dense {
    /// The matrix of a linear map from `columns` numbers.
    pub fn of(columns: usize, apply: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let unit = |c: usize| {
            let mut e = vec![0.0; columns];
            e[c] = 1.0;
            e
        };
        Self {
            columns: (0..columns).map(|c| apply(&unit(c))).collect(),
        }
    }

    /// Column `at`.
    pub fn column(&self, at: usize) -> &[f64] {
        &self.columns[at]
    }

    /// The matrix times `x`.
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.columns[0].len()];
        for (column, &x) in self.columns.iter().zip(x) {
            add(&mut out, column, x);
        }
        out
    }

    /// `argmin_z data_weight/2 ||A z - y||^2 + sparsity |z|_1`; with its objective.
    pub fn lasso(&self, y: &[f64], data_weight: f64, sparsity: f64) -> (Vec<f64>, f64) {
        self.sparse_code(y, data_weight, &vec![sparsity; self.columns.len()], false)
    }

    /// The same with a weight of the penalty for each element, and elements that must not be negative or
    /// may be, by coordinate descent, until a whole sweep moves nothing by more than 1e-14.
    pub fn sparse_code(
        &self,
        y: &[f64],
        data_weight: f64,
        sparsity: &[f64],
        non_negative: bool,
    ) -> (Vec<f64>, f64) {
        let mut z = vec![0.0; self.columns.len()];
        let mut r = y.to_vec();
        let squares: Vec<f64> = self.columns.iter().map(|a| dot(a, a)).collect();
        for sweep in 0.. {
            assert!(sweep < 200_000, "coordinate descent does not settle");
            let mut moved = 0.0_f64;
            for (c, a) in self.columns.iter().enumerate() {
                if squares[c] == 0.0 {
                    continue;
                }
                let w = sparsity[c] / data_weight;
                let v = dot(a, &r) + squares[c] * z[c];
                let new = match non_negative && v < 0.0 {
                    true => 0.0,
                    false => v.signum() * (v.abs() - w).max(0.0) / squares[c],
                };
                if new != z[c] {
                    add(&mut r, a, z[c] - new);
                    moved = moved.max((new - z[c]).abs());
                    z[c] = new;
                }
            }
            if moved <= 1e-14 {
                break;
            }
        }
        let penalty: f64 = z.iter().zip(sparsity).map(|(z, w)| w * z.abs()).sum();
        (z, data_weight / 2.0 * dot(&r, &r) + penalty)
    }

    /// `argmin_x ||A x - y||^2` over the columns in `free`, the others zero, by the normal
    /// equations.
    pub fn least_squares(&self, y: &[f64], free: &[usize]) -> Vec<f64> {
        let gram: Vec<Vec<f64>> = free
            .iter()
            .map(|&a| {
                let products = free
                    .iter()
                    .map(|&b| dot(&self.columns[a], &self.columns[b]));
                products.collect()
            })
            .collect();
        let right: Vec<f64> = free.iter().map(|&a| dot(&self.columns[a], y)).collect();
        let mut x = vec![0.0; self.columns.len()];
        for (&place, value) in free.iter().zip(solve(gram, right)) {
            x[place] = value;
        }
        x
    }
}

/// The solution of a square system, by elimination with pivots.
pub fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&p, &q| a[p][i].abs().total_cmp(&a[q][i].abs()));
        let pivot = pivot.expect("a row");
        assert!(a[pivot][i].abs() > 1e-9, "a singular system");
        a.swap(i, pivot);
        b.swap(i, pivot);
        let row = a[i].clone();
        for j in i + 1..n {
            let factor = a[j][i] / row[i];
            add(&mut a[j], &row, -factor);
            b[j] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
}

fn add(to: &mut [f64], x: &[f64], factor: f64) {
    for (to, x) in to.iter_mut().zip(x) {
        *to += factor * x;
    }
}
