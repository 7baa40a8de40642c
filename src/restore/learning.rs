//! Filters learnt from patches: greedy codes and filters in turn.

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use rayon::prelude::*;

use crate::error::Result;
use crate::solve::Pursuit;

/// Patches that are coded together.
const CHUNK: usize = 1024;

/// Rounds of greedy codes of all `patches`, `[N, n]`, and filters.
///
/// With `A = sum a a'` and `B = sum y a'` over the codes `a` of the patches `y`, every filter in turn
/// becomes the best one with the others and the codes fixed, `d_k + (B_k - D A_k) / A_kk`, scaled to
/// norm 1 (J. Mairal, F. Bach, J. Ponce and G. Sapiro, Online Learning for Matrix Factorization and
/// Sparse Coding, JMLR 2010). Filters that no patch uses become patches drawn at random.
pub(super) fn learn(
    mut pursuit: Pursuit,
    patches: &[f32],
    tolerance: f32,
    most: usize,
    rounds: usize,
    seed: u64,
) -> Result<Pursuit> {
    let (n, count) = (pursuit.signal_length(), pursuit.count());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..rounds {
        let parts = patches.par_chunks(CHUNK * n).map(|chunk| {
            let mut a = vec![0.0f32; count * count];
            let mut b = vec![0.0f32; count * n];
            pursuit.code(chunk, tolerance, most, |s, atoms, values| {
                let patch = &chunk[s * n..][..n];
                for (&k, value) in atoms.iter().zip(values) {
                    for (&l, other) in atoms.iter().zip(values) {
                        a[k * count + l] += value * other;
                    }
                    let to = b[k * n..][..n].iter_mut().zip(patch);
                    to.for_each(|(to, y)| *to += value * y);
                }
            })?;
            Ok((a, b))
        });
        // In their order, so that the bits do not depend on the number of threads.
        let parts: Vec<(Vec<f32>, Vec<f32>)> = parts.collect::<Result<_>>()?;
        let mut a = vec![0.0f64; count * count];
        let mut b = vec![0.0f64; count * n];
        for (part_a, part_b) in parts {
            let to = a.iter_mut().zip(part_a);
            to.for_each(|(to, v)| *to += f64::from(v));
            let to = b.iter_mut().zip(part_b);
            to.for_each(|(to, v)| *to += f64::from(v));
        }
        let mut atoms = pursuit.atoms().to_vec();
        for k in 0..count {
            let own = a[k * count + k];
            if own <= 1e-12 {
                let patch = rng.random_range(0..patches.len() / n) * n;
                let patch = &patches[patch..patch + n];
                if patch.iter().any(|v| v.abs() > 1e-6) {
                    atoms[k * n..][..n].copy_from_slice(patch);
                }
                continue;
            }
            let mut new: Vec<f64> = (0..n)
                .map(|i| f64::from(atoms[k * n + i]) + b[k * n + i] / own)
                .collect();
            for l in 0..count {
                let factor = a[k * count + l] / own;
                if factor != 0.0 {
                    let atom = &atoms[l * n..][..n];
                    let to = new.iter_mut().zip(atom);
                    to.for_each(|(to, v)| *to -= factor * f64::from(*v));
                }
            }
            let norm = new.iter().map(|v| v * v).sum::<f64>().sqrt();
            if norm > 1e-12 {
                let to = atoms[k * n..][..n].iter_mut().zip(new);
                to.for_each(|(to, v)| *to = (v / norm) as f32);
            }
        }
        pursuit = Pursuit::new(&atoms, n)?;
    }
    Ok(pursuit)
}
