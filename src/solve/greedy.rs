//! Greedy codes of many short signals over one dictionary: orthogonal matching pursuit.

use pulp::{Arch, Simd, WithSimd};

use super::lanes::{LANES, Largest, vectors, vectors_mut};
use crate::error::{Error, Result};

/// Signals whose correlations are worked out together.
const TOGETHER: usize = 4;
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
    /// `K`, padded.
    wide: usize,
    /// `[n, K]`, rows padded by zeros.
    transposed: Vec<f32>,
    /// `[K, K]`, padded likewise.
    gram: Vec<f32>,
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
        let wide = count.next_multiple_of(LANES);
        let mut transposed = vec![0.0; length * wide];
        let mut gram = vec![0.0; count * wide];
        for (k, atom) in scaled.chunks_exact(length).enumerate() {
            for (i, &v) in atom.iter().enumerate() {
                transposed[i * wide + k] = v;
            }
            for (l, other) in scaled.chunks_exact(length).enumerate() {
                gram[k * wide + l] = atom.iter().zip(other).map(|(a, b)| a * b).sum();
            }
        }
        Ok(Self {
            length,
            count,
            wide,
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
    /// The correlation of each atom with what is left of each signal.
    left: Vec<f32>,
    /// The correlation of each atom with each orthonormal direction, a row for each direction.
    directions: Vec<f32>,
    support: Vec<usize>,
    /// Components of the atoms chosen along the directions: lower triangular, `most` a row.
    triangle: Vec<f32>,
    /// Components of the signal along the directions; in the end, the coefficients.
    values: Vec<f32>,
}

impl<F: FnMut(usize, &[usize], &[f32])> WithSimd for Coding<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Pursuit { wide, length, .. } = *self.pursuit;
        let mut work = Work {
            left: vec![0.0; TOGETHER * wide],
            directions: vec![0.0; self.most * wide],
            support: Vec::with_capacity(self.most),
            triangle: vec![0.0; self.most * self.most],
            values: Vec::with_capacity(self.most),
        };
        for (n, signals) in self.signals.chunks(TOGETHER * length).enumerate() {
            let mut energies = [0.0; TOGETHER];
            for (energy, signal) in energies.iter_mut().zip(signals.chunks_exact(length)) {
                *energy = signal.iter().map(|v| v * v).sum::<f32>();
            }
            let count = signals.len() / length;
            if energies.iter().any(|energy| *energy > self.tolerance) {
                self.pursuit.correlate_all(simd, signals, &mut work.left);
            }
            for (k, energy) in energies[..count].iter().enumerate() {
                self.pursuit
                    .pursue(simd, k, *energy, self.tolerance, self.most, &mut work);
                (self.each)(n * TOGETHER + k, &work.support, &work.values);
            }
        }
    }
}

impl Pursuit {
    /// Codes one of the signals at hand, of which the correlations are known, into the support and the values of
    /// `work`.
    #[inline(always)]
    fn pursue<S: Simd>(
        &self,
        simd: S,
        signal: usize,
        mut energy: f32,
        tolerance: f32,
        most: usize,
        work: &mut Work,
    ) {
        work.support.clear();
        work.values.clear();
        if energy <= tolerance || most == 0 {
            return;
        }
        let left = &mut work.left[signal * self.wide..][..self.wide];
        let mut largest = Largest::new(simd);
        for &values in vectors::<S>(left) {
            largest.see(simd, values);
        }
        while energy > tolerance && work.support.len() < most {
            let Some(atom) = largest.number(simd) else {
                break;
            };
            let chosen = work.support.len();
            let (before, direction) = work.directions.split_at_mut(chosen * self.wide);
            let row = &mut work.triangle[chosen * most..][..chosen + 1];
            let mut new = 1.0;
            for (component, before) in row.iter_mut().zip(before.chunks_exact(self.wide)) {
                *component = before[atom];
                new -= *component * *component;
            }
            if new < NEW {
                break;
            }
            let norm = new.sqrt();
            row[chosen] = norm;
            let gain = left[atom] / norm;
            let step = Step {
                gram: &self.gram[atom * self.wide..][..self.wide],
                row: &row[..chosen],
                before,
                norm,
                gain,
            };
            largest = step.take(simd, &mut direction[..self.wide], left);
            work.support.push(atom);
            work.values.push(gain);
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

    /// The correlations of all atoms with a few signals.
    #[inline(always)]
    fn correlate_all<S: Simd>(&self, simd: S, signals: &[f32], left: &mut [f32]) {
        if signals.len() == TOGETHER * self.length {
            return self.correlate::<S, TOGETHER>(simd, signals, left);
        }
        let signals = signals.chunks_exact(self.length);
        for (signal, left) in signals.zip(left.chunks_exact_mut(self.wide)) {
            self.correlate::<S, 1>(simd, signal, left);
        }
    }

    #[inline(always)]
    fn correlate<S: Simd, const P: usize>(&self, simd: S, signals: &[f32], left: &mut [f32]) {
        let vectors = self.wide / S::F32_LANES;
        for first in (0..vectors - vectors % 2).step_by(2) {
            self.correlate_vectors::<S, P, 2>(simd, signals, first, left);
        }
        if vectors % 2 == 1 {
            self.correlate_vectors::<S, P, 1>(simd, signals, vectors - 1, left);
        }
    }

    #[inline(always)]
    fn correlate_vectors<S: Simd, const P: usize, const V: usize>(
        &self,
        simd: S,
        signals: &[f32],
        first: usize,
        left: &mut [f32],
    ) {
        let mut sums = [[simd.splat_f32s(0.0); V]; P];
        let mut each = signals.chunks_exact(self.length);
        let signals: [&[f32]; P] = std::array::from_fn(|_| each.next().unwrap_or_default());
        for (i, row) in self.transposed.chunks_exact(self.wide).enumerate() {
            let row = &vectors::<S>(row)[first..first + V];
            for (sums, signal) in sums.iter_mut().zip(signals) {
                let value = simd.splat_f32s(signal[i]);
                for (sum, atoms) in sums.iter_mut().zip(row) {
                    *sum = simd.mul_add_e_f32s(value, *atoms, *sum);
                }
            }
        }
        for (sums, left) in sums.iter().zip(left.chunks_exact_mut(self.wide)) {
            vectors_mut::<S>(left)[first..first + V].copy_from_slice(sums);
        }
    }
}

/// An atom joins the support.
struct Step<'a> {
    /// Its correlation with each atom.
    gram: &'a [f32],
    /// Its components along the directions before, and those.
    row: &'a [f32],
    before: &'a [f32],
    /// Of what is left of it without them.
    norm: f32,
    /// What it takes from the norm of what is left of the signal.
    gain: f32,
}

impl Step<'_> {
    /// Works out the new direction, and what is left.
    #[inline(always)]
    fn take<S: Simd>(&self, simd: S, direction: &mut [f32], left: &mut [f32]) -> Largest<S> {
        let mut largest = Largest::new(simd);
        let vectors = self.gram.len() / S::F32_LANES;
        let mut first = 0;
        while first + 4 <= vectors {
            self.take_vectors::<S, 4>(simd, first, direction, left, &mut largest);
            first += 4;
        }
        while first < vectors {
            self.take_vectors::<S, 1>(simd, first, direction, left, &mut largest);
            first += 1;
        }
        largest
    }

    #[inline(always)]
    fn take_vectors<S: Simd, const V: usize>(
        &self,
        simd: S,
        first: usize,
        direction: &mut [f32],
        left: &mut [f32],
        largest: &mut Largest<S>,
    ) {
        let range = first..first + V;
        let mut sums = [simd.splat_f32s(0.0); V];
        sums.copy_from_slice(&vectors::<S>(self.gram)[range.clone()]);
        let before = self.before.chunks_exact(self.gram.len());
        for (&component, before) in self.row.iter().zip(before) {
            let minus = simd.splat_f32s(-component);
            for (sum, before) in sums.iter_mut().zip(&vectors::<S>(before)[range.clone()]) {
                *sum = simd.mul_add_e_f32s(minus, *before, *sum);
            }
        }
        let scale = simd.splat_f32s(1.0 / self.norm);
        let minus = simd.splat_f32s(-self.gain);
        let direction = &mut vectors_mut::<S>(direction)[range.clone()];
        let left = &mut vectors_mut::<S>(left)[range];
        for ((sum, direction), left) in sums.iter().zip(direction).zip(left) {
            *direction = simd.mul_f32s(*sum, scale);
            *left = simd.mul_add_e_f32s(minus, *direction, *left);
            largest.see(simd, *left);
        }
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
