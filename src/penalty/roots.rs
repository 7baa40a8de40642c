//! The roots that the shrink for p < 1 comes to, fast for many at a time.

/// The shrink for p < 1 above its jump, as a share `s` of `|v|`: a function of one number, the steepness
/// `c` of the penalty at `v`. It is the larger root of
///
/// ```text
/// c s^(p - 1) + s - 1 = 0,   c = p weight |v|^(p - 2)
/// ```
///
/// Both roots meet at `s = (1 - p) / (2 - p)`, where `c` is as large as it can be, `c*`, and
/// `sqrt(c* - c)` tells them apart: in that variable `s` is smooth, and a polynomial through its
/// Chebyshev points comes to 1e-13 of it for p up to 0.95, to 1e-7 up to 0.999.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roots {
    /// The steepness at the jump; beyond it the shrink is zero.
    pub(super) most: f64,
    /// `c*`
    end: f64,
    /// `sqrt(c* - c)` from there to `c = 0`, as middle and half the width.
    middle: f64,
    half: f64,
    coefficients: [f64; TERMS],
}

/// Each is worth a factor of nearly 6, see [`Roots`].
const TERMS: usize = 16;

impl Roots {
    pub(super) fn new(p: f64) -> Self {
        if p == 1.0 || p == 0.0 {
            // These are not used.
            return Self {
                most: 0.0,
                end: 0.0,
                middle: 0.0,
                half: 1.0,
                coefficients: [0.0; TERMS],
            };
        }
        let least = (1.0 - p) / (2.0 - p);
        let end = (1.0 - least) * least.powf(1.0 - p);
        let most = p * jump(1.0, p).powf(p - 2.0);
        let [from, to] = [end - most, end].map(f64::sqrt);
        let (middle, half) = ((from + to) / 2.0, (to - from) / 2.0);
        let angle = |i: usize| (i as f64 + 0.5) * std::f64::consts::PI / TERMS as f64;
        let samples: [f64; TERMS] = std::array::from_fn(|i| {
            let u = middle + half * angle(i).cos();
            larger_root(end - u * u, p)
        });
        // Chebyshev's polynomials one after the other, by their powers.
        let mut coefficients = [0.0; TERMS];
        let (mut now, mut next) = ([0.0; TERMS], [0.0; TERMS]);
        (now[0], next[1]) = (1.0, 1.0);
        for k in 0..TERMS {
            let terms = samples.iter().enumerate();
            let sum: f64 = terms.map(|(i, s)| s * (k as f64 * angle(i)).cos()).sum();
            let share = if k == 0 { 1.0 } else { 2.0 } / TERMS as f64 * sum;
            let mut after = [0.0; TERMS];
            for i in 0..TERMS {
                coefficients[i] += share * now[i];
                after[i] = if i > 0 { 2.0 * next[i - 1] } else { 0.0 } - now[i];
            }
            (now, next) = (next, after);
        }
        Self {
            most,
            end,
            middle,
            half,
            coefficients,
        }
    }

    /// The share at a steepness.
    #[inline(always)]
    pub(super) fn at(&self, c: f64) -> f64 {
        let u = (self.end - c).sqrt();
        polynomial(&self.coefficients, (u - self.middle) / self.half)
    }
}

/// The larger root of `c s^(p - 1) + s - 1`, by Newton's method from 1, which never passes it.
fn larger_root(c: f64, p: f64) -> f64 {
    let mut s = 1.0_f64;
    loop {
        let q = c * s.powf(p - 2.0);
        let step = (q * s + s - 1.0) / (1.0 - (1.0 - p) * q);
        // Once rounding is all there is, it may point either way.
        if step <= 1e-16 || step.is_nan() {
            return s;
        }
        s -= step;
    }
}

/// The magnitude up to which the shrink is zero.
pub(super) fn jump(weight: f64, p: f64) -> f64 {
    if p == 1.0 {
        return weight;
    }
    let least = (2.0 * (1.0 - p) * weight).powf(1.0 / (2.0 - p));
    least * (2.0 - p) / (2.0 * (1.0 - p))
}

/// A polynomial with its coefficients from the lowest on: even and odd powers apart, for two chains
/// instead of one that is twice as long.
#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    let square = x * x;
    let (mut even, mut odd) = (0.0, 0.0);
    for pair in coefficients.as_chunks::<2>().0.iter().rev() {
        even = even * square + pair[0];
        odd = odd * square + pair[1];
    }
    even + odd * x
}

/// `x^e` of a positive normal number to 1e-12, for many at a time: `powf` would be a call for each.
#[inline(always)]
pub(super) fn power(x: f64, e: f64) -> f64 {
    exp2(e * log2(x))
}

/// With `x = 2^k m`, `1/sqrt(2) <= m < sqrt(2)`, and `s = (m - 1) / (m + 1)`:
/// `log2 x = k + 2 / ln 2 (s + s^3 / 3 + s^5 / 5 + ..)`.
#[inline(always)]
fn log2(x: f64) -> f64 {
    const ONE: u64 = 1.0_f64.to_bits();
    const SERIES: [f64; 8] = {
        let mut all = [0.0; 8];
        let mut i = 0;
        while i < 8 {
            all[i] = 2.0 / std::f64::consts::LN_2 / (2 * i + 1) as f64;
            i += 1;
        }
        all
    };
    let bits = x.to_bits();
    // The exponent with its bias, one more from sqrt(2) on.
    let k = bits.wrapping_add(ONE - std::f64::consts::FRAC_1_SQRT_2.to_bits()) >> 52;
    let m = f64::from_bits(bits.wrapping_sub(k << 52).wrapping_add(ONE));
    // An integer in the last bits of 2^52.
    let k = f64::from_bits(k | TWO_52.to_bits()) - (TWO_52 + 1023.0);
    let s = (m - 1.0) / (m + 1.0);
    k + s * polynomial(&SERIES, s * s)
}

/// With `t = k + f`, `|f| <= 1/2`: `2^t = 2^k e^(f ln 2)`, the latter by its series.
#[inline(always)]
fn exp2(t: f64) -> f64 {
    const SERIES: [f64; 12] = {
        let mut all = [1.0; 12];
        let mut i = 1;
        while i < 12 {
            all[i] = all[i - 1] * std::f64::consts::LN_2 / i as f64;
            i += 1;
        }
        all
    };
    let t = t.clamp(-1000.0, 1000.0);
    let rounded = t + 1.5 * TWO_52;
    let power = polynomial(&SERIES, t - (rounded - 1.5 * TWO_52));
    f64::from_bits(power.to_bits().wrapping_add(rounded.to_bits() << 52))
}

const TWO_52: f64 = (1_u64 << 52) as f64;
