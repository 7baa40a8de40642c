//! Greedy codes of many short signals over one dictionary: orthogonal matching pursuit.

use pulp::{Arch, Simd, WithSimd};

use crate::error::{Error, Result};

/// Atoms are looked at so many at a time; the dictionary is padded to whole blocks.
const BLOCK: usize = 16;
/// The part of an atom that must lie outside of the span of those chosen, squared: less is rounding.
const NEW: f32 = 1e-4;

/// Orthogonal matching pursuit over `K` atoms of `n` values, of norm 1.
///
/// A signal `y` gets few atoms whose combination comes near it:
///
/// ```text
/// min |S|  such that  min_a ||y - D_S a||^2 <= tolerance,   |S| <= most
/// ```
///
/// greedily: the atom that correlates most with what is left joins the support `S`, and the
/// coefficients are those of least squares on it. All correlations are kept up to date by the Gram
/// matrix: a step costs `K |S|` multiplications, whatever `n`.
///
/// Source: R. Rubinstein, M. Zibulevsky and M. Elad, Efficient Implementation of the K-SVD Algorithm
/// using Batch Orthogonal Matching Pursuit, 2008.
///
/// ```
/// use deconvnet::solve::Pursuit;
///
/// let pursuit = Pursuit::new(&[1.0, 0.0, 0.0, 0.6, 0.8, 0.0], 3)?;
/// let mut found = Vec::new();
/// let signal = [1.2, 1.6, 0.1];
/// pursuit.code(&signal, 0.02, 3, |_, atoms, values| {
///     found.push((atoms.to_vec(), values.to_vec()));
/// })?;
/// assert_eq!(found[0].0, [1]);
/// assert!((found[0].1[0] - 2.0).abs() < 1e-6);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pursuit {
    length: usize,
    count: usize,
    /// `[K, n]`
    atoms: Vec<f32>,
    /// `[n, K]`, rows padded by zeros to whole blocks.
    transposed: Vec<[f32; BLOCK]>,
    /// `[K, K]`, padded likewise.
    gram: Vec<[f32; BLOCK]>,
}

impl Pursuit {
    /// Atoms `[K, n]`, one after the other; they are scaled to norm 1.
    ///
    /// # Errors
    /// [`Error::Input`] where there is none, one is zero or not finite, or the last is cut short.
    pub fn new(atoms: &[f32], length: usize) -> Result<Self> {
        if length == 0 || atoms.is_empty() || !atoms.len().is_multiple_of(length) {
            return Err(Error::Input(format!(
                "{} values are no atoms of {length} values each; give whole atoms, at least one",
                atoms.len()
            )));
        }
        let mut scaled = atoms.to_vec();
        for (k, atom) in scaled.chunks_exact_mut(length).enumerate() {
            let norm = atom.iter().map(|v| v * v).sum::<f32>().sqrt();
            if !(norm.is_normal()) {
                return Err(Error::Input(format!(
                    "atom {k} has the norm {norm}; atoms must be finite and not zero"
                )));
            }
            atom.iter_mut().for_each(|v| *v /= norm);
        }
        let count = scaled.len() / length;
        let blocks = count.div_ceil(BLOCK);
        let mut transposed = vec![[0.0; BLOCK]; length * blocks];
        let mut gram = vec![[0.0; BLOCK]; count * blocks];
        for (k, atom) in scaled.chunks_exact(length).enumerate() {
            for (i, &v) in atom.iter().enumerate() {
                transposed[i * blocks + k / BLOCK][k % BLOCK] = v;
            }
            for (l, other) in scaled.chunks_exact(length).enumerate() {
                let product = atom.iter().zip(other).map(|(a, b)| a * b).sum();
                gram[k * blocks + l / BLOCK][l % BLOCK] = product;
            }
        }
        Ok(Self {
            length,
            count,
            atoms: scaled,
            transposed,
            gram,
        })
    }

    /// The atoms `[K, n]`, of norm 1.
    pub fn atoms(&self) -> &[f32] {
        &self.atoms
    }

    /// Atom `k`.
    pub fn atom(&self, k: usize) -> &[f32] {
        &self.atoms[k * self.length..][..self.length]
    }

    /// The values of an atom, `n`.
    pub fn signal_length(&self) -> usize {
        self.length
    }

    /// The number of atoms, `K`.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Codes `signals`, `[N, n]`, until what is left of each has a sum of squares of at most
    /// `tolerance`, or `most` atoms; `each` gets the signal's number, the atoms chosen in their order, and
    /// their coefficients.
    ///
    /// # Errors
    /// [`Error::Input`] where the last signal is cut short.
    pub fn code(
        &self,
        signals: &[f32],
        tolerance: f32,
        most: usize,
        each: impl FnMut(usize, &[usize], &[f32]),
    ) -> Result<()> {
        if !signals.len().is_multiple_of(self.length) {
            return Err(Error::Input(format!(
                "{} values are no signals of {} values each",
                signals.len(),
                self.length
            )));
        }
        Arch::new().dispatch(Coding {
            pursuit: self,
            signals,
            tolerance,
            most: most.min(self.length).min(self.count),
            each,
        });
        Ok(())
    }
}

/// Codes signals with the vectors of this machine.
struct Coding<'a, F> {
    pursuit: &'a Pursuit,
    signals: &'a [f32],
    tolerance: f32,
    most: usize,
    each: F,
}

/// What a pursuit works in.
struct Work {
    blocks: usize,
    /// The correlation of each atom with what is left.
    left: Vec<[f32; BLOCK]>,
    /// The correlation of each atom with each orthonormal direction, a row for each direction.
    directions: Vec<[f32; BLOCK]>,
    support: Vec<usize>,
    /// Components of the atoms chosen along the directions: lower triangular, `most` a row.
    triangle: Vec<f32>,
    /// Components of the signal along the directions; in the end, the coefficients.
    values: Vec<f32>,
    largest: Largest,
}

/// Where the largest magnitudes of each lane are.
#[derive(Clone, Copy)]
struct Largest {
    values: [f32; BLOCK],
    blocks: [u32; BLOCK],
}

impl Largest {
    const NONE: Self = Self {
        values: [0.0; BLOCK],
        blocks: [0; BLOCK],
    };

    #[inline(always)]
    fn see(&mut self, block: usize, values: &[f32; BLOCK]) {
        for (lane, value) in values.iter().enumerate() {
            let larger = value.abs() > self.values[lane];
            self.values[lane] = if larger {
                value.abs()
            } else {
                self.values[lane]
            };
            self.blocks[lane] = if larger {
                block as u32
            } else {
                self.blocks[lane]
            };
        }
    }

    /// The atom of the largest magnitude, the first of equals; none where all are zero.
    #[inline(always)]
    fn atom(&self) -> Option<usize> {
        let (mut best, mut atom) = (0.0, None);
        for lane in 0..BLOCK {
            let place = self.blocks[lane] as usize * BLOCK + lane;
            let value = self.values[lane];
            if value > best || (value == best && atom.is_some_and(|atom| place < atom)) {
                (best, atom) = (value, Some(place));
            }
        }
        atom
    }
}

impl<F: FnMut(usize, &[usize], &[f32])> WithSimd for Coding<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        let blocks = self.pursuit.count.div_ceil(BLOCK);
        let mut work = Work {
            blocks,
            left: vec![[0.0; BLOCK]; blocks],
            directions: vec![[0.0; BLOCK]; blocks * self.most],
            support: Vec::with_capacity(self.most),
            triangle: vec![0.0; self.most * self.most],
            values: Vec::with_capacity(self.most),
            largest: Largest::NONE,
        };
        for (n, signal) in self.signals.chunks_exact(self.pursuit.length).enumerate() {
            self.pursuit
                .pursue(signal, self.tolerance, self.most, &mut work);
            (self.each)(n, &work.support, &work.values);
        }
    }
}

impl Pursuit {
    /// Codes one signal into the support and the values of `work`.
    #[inline(always)]
    fn pursue(&self, signal: &[f32], tolerance: f32, most: usize, work: &mut Work) {
        work.support.clear();
        work.values.clear();
        let mut energy: f32 = signal.iter().map(|v| v * v).sum();
        if energy <= tolerance || most == 0 {
            return;
        }
        self.correlate(signal, work);
        while energy > tolerance && work.support.len() < most {
            let Some(atom) = work.largest.atom() else {
                break;
            };
            let Some(gain) = self.join(atom, most, work) else {
                break;
            };
            energy -= gain * gain;
        }
        // The coefficients: the transposed triangle solved from its end.
        let chosen = work.support.len();
        for k in (0..chosen).rev() {
            let mut value = work.values[k];
            for l in k + 1..chosen {
                value -= work.triangle[l * most + k] * work.values[l];
            }
            work.values[k] = value / work.triangle[k * most + k];
        }
    }

    /// The correlations of all atoms with a signal.
    #[inline(always)]
    fn correlate(&self, signal: &[f32], work: &mut Work) {
        work.largest = Largest::NONE;
        // Four blocks at a time stay in registers.
        let mut first = 0;
        while first + 4 <= work.blocks {
            self.correlate_blocks::<4>(signal, first, work);
            first += 4;
        }
        while first < work.blocks {
            self.correlate_blocks::<1>(signal, first, work);
            first += 1;
        }
    }

    #[inline(always)]
    fn correlate_blocks<const N: usize>(&self, signal: &[f32], first: usize, work: &mut Work) {
        let mut sums = [[0.0; BLOCK]; N];
        for (row, &v) in self.transposed.chunks_exact(work.blocks).zip(signal) {
            for (sum, atoms) in sums.iter_mut().zip(&row[first..first + N]) {
                for (sum, &atom) in sum.iter_mut().zip(atoms) {
                    *sum += v * atom;
                }
            }
        }
        for (b, sum) in sums.iter().enumerate() {
            work.left[first + b] = *sum;
            work.largest.see(first + b, sum);
        }
    }

    /// An atom joins the support; returns what it takes from the norm of what is left, or nothing where
    /// the atom adds nothing new.
    #[inline(always)]
    fn join(&self, atom: usize, most: usize, work: &mut Work) -> Option<f32> {
        let (blocks, chosen) = (work.blocks, work.support.len());
        let (block, lane) = (atom / BLOCK, atom % BLOCK);
        let row = &mut work.triangle[chosen * most..][..chosen + 1];
        let mut new = 1.0;
        for (k, component) in row[..chosen].iter_mut().enumerate() {
            *component = work.directions[k * blocks + block][lane];
            new -= *component * *component;
        }
        if new < NEW {
            return None;
        }
        let norm = new.sqrt();
        row[chosen] = norm;
        let gain = work.left[block][lane] / norm;
        let (before, direction) = work.directions.split_at_mut(chosen * blocks);
        work.largest = Largest::NONE;
        let gram = &self.gram[atom * blocks..][..blocks];
        for (b, (to, from)) in direction[..blocks].iter_mut().zip(gram).enumerate() {
            let mut sum = *from;
            for (k, component) in row[..chosen].iter().enumerate() {
                for (sum, before) in sum.iter_mut().zip(&before[k * blocks + b]) {
                    *sum -= component * before;
                }
            }
            let left = &mut work.left[b];
            for (left, sum) in left.iter_mut().zip(&mut sum) {
                *sum /= norm;
                *left -= gain * *sum;
            }
            *to = sum;
            work.largest.see(b, left);
        }
        work.support.push(atom);
        work.values.push(gain);
        Some(gain)
    }
}

#[cfg(test)]
mod tests {
    use faer::Mat;
    use faer::linalg::solvers::SolveLstsq;
    use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

    use super::*;

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// The coefficients of least squares on a support, and what is left, in double precision.
    fn least_squares(pursuit: &Pursuit, support: &[usize], y: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let n = y.len();
        let atom = |i: usize, k: usize| f64::from(pursuit.atom(support[k])[i]);
        let d = Mat::from_fn(n, support.len(), atom);
        let target = Mat::from_fn(n, 1, |i, _| f64::from(y[i]));
        let a = d.qr().solve_lstsq(&target);
        let left = target - &d * &a;
        let column = |m: &Mat<f64>, rows: usize| (0..rows).map(|i| m[(i, 0)]).collect();
        (column(&a, support.len()), column(&left, n))
    }

    /// Pursuit as it is written down: correlations, the largest, least squares anew.
    fn plain(pursuit: &Pursuit, y: &[f32], tolerance: f64, most: usize) -> (Vec<usize>, Vec<f64>) {
        let mut support = Vec::new();
        let mut values = Vec::new();
        let mut left: Vec<f64> = y.iter().map(|v| f64::from(*v)).collect();
        while left.iter().map(|v| v * v).sum::<f64>() > tolerance && support.len() < most {
            let correlation = |k: usize| {
                let pairs = pursuit.atom(k).iter().zip(&left);
                pairs.map(|(a, b)| f64::from(*a) * b).sum::<f64>().abs()
            };
            let best =
                (0..pursuit.count()).max_by(|&a, &b| correlation(a).total_cmp(&correlation(b)));
            support.push(best.unwrap());
            (values, left) = least_squares(pursuit, &support, y);
        }
        (support, values)
    }

    #[test]
    fn codes_are_those_of_the_plain_way() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (n, count, most) in [(16, 40, 6), (64, 129, 12), (9, 3, 3), (5, 64, 5), (1, 1, 1)] {
            let pursuit = Pursuit::new(&random(n * count, &mut rng), n).unwrap();
            let signals = random(20 * n, &mut rng);
            let mut seen = 0;
            let check = |s: usize, support: &[usize], values: &[f32]| {
                let y = &signals[s * n..][..n];
                let (wanted, coefficients) = plain(&pursuit, y, 0.01, most);
                assert_eq!(support, wanted, "{n} {count} {s}");
                for (a, b) in values.iter().zip(&coefficients) {
                    assert!(
                        (f64::from(*a) - b).abs() < 1e-3 * (1.0 + b.abs()),
                        "{a} {b}"
                    );
                }
                seen += 1;
            };
            pursuit.code(&signals, 0.01, most, check).unwrap();
            assert_eq!(seen, 20);
        }
    }

    #[test]
    fn what_is_left_is_within_the_tolerance_and_orthogonal_to_the_support() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let pursuit = Pursuit::new(&random(24 * 60, &mut rng), 24).unwrap();
        let signals = random(24 * 30, &mut rng);
        pursuit
            .code(&signals, 0.5, 24, |s, support, values| {
                let mut left = signals[s * 24..][..24].to_vec();
                for (&k, value) in support.iter().zip(values) {
                    let pairs = left.iter_mut().zip(pursuit.atom(k));
                    pairs.for_each(|(left, atom)| *left -= value * atom);
                }
                assert!(left.iter().map(|v| v * v).sum::<f32>() <= 0.5 + 1e-4);
                for &k in support {
                    let product: f32 = left.iter().zip(pursuit.atom(k)).map(|(a, b)| a * b).sum();
                    assert!(product.abs() < 1e-4, "{product}");
                }
            })
            .unwrap();
    }

    /// A sum of two atoms of three orthogonal ones is found exactly, and no pair is better.
    #[test]
    fn orthogonal_atoms_give_the_best_code_there_is() {
        let pursuit = Pursuit::new(&[1., 1., 0., 0., 1., -1., 0., 0., 0., 0., 3., 0.], 4).unwrap();
        let mut codes = Vec::new();
        let code = |_: usize, support: &[usize], values: &[f32]| {
            codes.push((support.to_vec(), values.to_vec()));
        };
        pursuit.code(&[3.0, 1.0, 0.1, 0.0], 0.02, 4, code).unwrap();
        assert_eq!(codes[0].0, [0, 1]);
        let root = 2.0_f32.sqrt();
        assert!((codes[0].1[0] - 2.0 * root).abs() < 1e-6);
        assert!((codes[0].1[1] - root).abs() < 1e-6);
    }

    #[test]
    fn signals_of_nothing_and_atoms_that_repeat_end() {
        let pursuit = Pursuit::new(&[1.0, 0.0, 1.0, 0.0], 2).unwrap();
        let mut sizes = Vec::new();
        let signals = [0.0, 0.0, 1.0, 1.0, f32::NAN, 1.0];
        pursuit
            .code(&signals, 0.0, 9, |_, support, _| sizes.push(support.len()))
            .unwrap();
        assert_eq!(sizes[..2], [0, 1]);
        for (atoms, n) in [
            (vec![], 2),
            (vec![1.0], 2),
            (vec![0.0; 2], 2),
            (vec![f32::NAN], 1),
        ] {
            assert!(Pursuit::new(&atoms, n).is_err());
        }
        assert!(pursuit.code(&[1.0], 0.0, 1, |_, _, _| {}).is_err());
    }
}
