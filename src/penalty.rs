//! The sparsity penalty `sum |z|^p`, `0 <= p <= 1`: its value and its shrink. With p = 0 it counts the
//! elements that are not zero.

mod roots;

use burn::tensor::Tensor;

use self::roots::{Roots, jump, power};
use crate::pass::{BLOCK, Block, Pass, Use};

/// The penalty of an element: `|z|^p`, and no end of it below zero where elements must not be negative.
///
/// # Examples
///
/// ```
/// use deconvnet::penalty::{Penalty, shrink_number};
///
/// let either_sign = Penalty::from(1.0);
/// let non_negative = Penalty { non_negative: true, ..either_sign };
/// assert_eq!(shrink_number(-3.0, 1.0, either_sign), -2.0);
/// assert_eq!(shrink_number(-3.0, 1.0, non_negative), 0.0);
/// assert_eq!(shrink_number(3.0, 1.0, non_negative), 2.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalty {
    /// The exponent, `0 <= p <= 1`; 0 counts the elements that are not zero.
    pub p: f64,
    /// Whether elements below zero are ruled out.
    pub non_negative: bool,
}

/// Of either sign.
impl From<f64> for Penalty {
    fn from(p: f64) -> Self {
        Self {
            p,
            non_negative: false,
        }
    }
}

/// The penalty of each element.
///
/// # Shapes
/// any -> the same.
pub fn value(maps: Tensor<4>, penalty: impl Into<Penalty>) -> Tensor<4> {
    let Penalty { p, non_negative } = penalty.into();
    let ruled_out = non_negative.then(|| maps.clone().lower_elem(0.0));
    let value = if p == 1.0 {
        maps.abs()
    } else if p == 0.0 {
        // Not a number where a map is not.
        maps.clone().not_equal_elem(0.0).float().cast(maps.dtype()) + maps * 0.0
    } else {
        maps.abs().powf_scalar(p)
    };
    match ruled_out {
        Some(ruled_out) => value.mask_fill(ruled_out, f64::INFINITY),
        None => value,
    }
}

/// [`value`] of one number.
pub(crate) fn value_number(z: f64, Penalty { p, non_negative }: Penalty) -> f64 {
    if non_negative && z < 0.0 {
        f64::INFINITY
    } else if p == 1.0 || z == 0.0 {
        z.abs()
    } else {
        z.abs().powf(p)
    }
}

/// The penalty made safe to differentiate, `sum (z^2 + eps)^(p/2)` with `eps = 1e-12`: the gradient
/// of `|z|^p` at zero is not a number for p < 1.
///
/// # Shapes
/// maps `[n, K, h, w]` -> `[1]`.
pub fn smooth_value(maps: Tensor<4>, p: f64) -> Tensor<1> {
    smooth_values(maps, p).sum()
}

/// The terms of [`smooth_value`].
pub(crate) fn smooth_values(maps: Tensor<4>, p: f64) -> Tensor<4> {
    if p == 1.0 {
        return maps.abs();
    }
    (maps.square() + 1e-12).powf_scalar(p / 2.0)
}

/// The shrink (proximal operator) of `weight |x|^p`, elementwise:
///
/// ```text
/// argmin_x  weight |x|^p + 1/2 (x - v)^2
/// ```
///
/// For the paper's `|x|^p + beta/2 (x - v)^2`, `weight = 1 / beta`. For p = 1 it is
/// `sign(v) max(|v| - weight, 0)`. For p < 1 the answer is 0 where
/// `|v| <= x* (2 - p) / (2 (1 - p))`, `x* = (2 (1 - p) weight)^(1 / (2 - p))`, and above it the
/// larger root of `p weight x^(p - 1) + x - |v| = 0`, for p = 0 `v` itself. Where elements must not be negative it is 0 for
/// `v < 0`. On the CPU it takes one pass over memory and is exact to 1e-11 of `|v|`; elsewhere, four
/// steps of Newton's method from `|v|` are exact to single precision.
pub fn shrink(mut v: Tensor<4>, weight: f64, penalty: impl Into<Penalty>) -> Tensor<4> {
    Shrink::new(weight, penalty).run([], [&mut v]);
    v
}

/// [`shrink`] with a weight for each element.
///
/// # Shapes
/// `v`: any; `weight`: the same, or broadcast to it.
pub fn shrink_by(mut v: Tensor<4>, weight: Tensor<4>, penalty: impl Into<Penalty>) -> Tensor<4> {
    let mut weight = weight.expand(v.dims());
    ShrinkBy::new(penalty).run([], [&mut v, &mut weight]);
    v
}

/// The shrink of one weight as a pass over `v`.
#[derive(Clone, Copy, Debug)]
pub struct Shrink {
    pub(crate) weight: f64,
    pub(crate) penalty: Penalty,
    /// Magnitude up to which it is zero.
    jump: f64,
    roots: Roots,
}

impl Shrink {
    /// Of `weight |x|^p`.
    pub fn new(weight: f64, penalty: impl Into<Penalty>) -> Self {
        let penalty = penalty.into();
        let p = penalty.p;
        Self {
            weight,
            penalty,
            jump: jump(weight, p),
            roots: Roots::new(p),
        }
    }

    /// The shrink of a block.
    #[inline(always)]
    pub fn apply(&self, v: &mut Block) {
        let Penalty { p, non_negative } = self.penalty;
        if non_negative {
            positive_part(v);
        }
        if p == 1.0 {
            v.iter_mut().for_each(|v| *v = soft(*v, self.weight));
            return;
        }
        if p == 0.0 {
            v.iter_mut().for_each(|v| *v = hard(*v, self.jump));
            return;
        }
        let mut above = Above::new();
        for (i, v) in v.iter().enumerate() {
            above.push(i, *v, v.abs() > self.jump || v.is_nan());
        }
        let mut steepness = above.values;
        for c in above.whole(&mut steepness) {
            *c = self.weight * p * power(c.abs(), p - 2.0);
        }
        above.shrink(steepness, &self.roots, v);
    }
}

impl Pass<1, 0> for Shrink {
    fn uses(&self) -> [Use; 1] {
        [Use::Update]
    }

    #[inline(always)]
    fn block(&self, _: [f64; 0], [v]: &mut [Block; 1]) -> f64 {
        self.apply(v);
        0.0
    }

    fn plain(&self, _: [Tensor<4>; 0], [v]: [Tensor<4>; 1]) -> ([Tensor<4>; 1], Tensor<4>) {
        let [n, ..] = v.dims();
        let like = (&v.device(), v.dtype());
        let weight = Tensor::full([1, 1, 1, 1], self.weight, like);
        (
            [plain(v, weight, self.penalty)],
            Tensor::zeros([n, 1, 1, 1], like),
        )
    }
}

/// The shrink with a weight for each element as a pass over `v` and the weights.
#[derive(Clone, Copy, Debug)]
pub struct ShrinkBy {
    penalty: Penalty,
    roots: Roots,
}

impl ShrinkBy {
    /// Of `weight |x|^p`.
    pub fn new(penalty: impl Into<Penalty>) -> Self {
        let penalty = penalty.into();
        let roots = Roots::new(penalty.p);
        Self { penalty, roots }
    }

    /// The shrink of a block.
    #[inline(always)]
    pub fn apply(&self, v: &mut Block, weight: &Block) {
        let Penalty { p, non_negative } = self.penalty;
        if non_negative {
            positive_part(v);
        }
        if p == 1.0 {
            v.iter_mut()
                .zip(weight)
                .for_each(|(v, w)| *v = soft(*v, *w));
            return;
        }
        if p == 0.0 {
            v.iter_mut()
                .zip(weight)
                .for_each(|(v, w)| *v = hard(*v, jump(*w, p)));
            return;
        }
        let mut all = [0.0; BLOCK];
        for i in 0..BLOCK {
            // Not a number where `v` is not.
            let a = v[i].abs();
            all[i] = p * weight[i] * power(a, p - 2.0) + 0.0 * a;
        }
        let mut above = Above::new();
        let mut steepness = [0.0; BLOCK];
        for i in 0..BLOCK {
            steepness[above.count] = all[i];
            above.push(i, v[i], all[i] < self.roots.most || all[i].is_nan());
        }
        above.shrink(steepness, &self.roots, v);
    }
}

impl Pass<2, 0> for ShrinkBy {
    fn uses(&self) -> [Use; 2] {
        [Use::Update, Use::Read]
    }

    #[inline(always)]
    fn block(&self, _: [f64; 0], [v, weight]: &mut [Block; 2]) -> f64 {
        self.apply(v, weight);
        0.0
    }

    fn plain(&self, _: [Tensor<4>; 0], [v, weight]: [Tensor<4>; 2]) -> ([Tensor<4>; 2], Tensor<4>) {
        let [n, ..] = v.dims();
        let zeros = Tensor::zeros([n, 1, 1, 1], (&v.device(), v.dtype()));
        ([plain(v, weight.clone(), self.penalty), weight], zeros)
    }
}

/// The shrink in plain Burn operations, on every backend.
fn plain(v: Tensor<4>, weight: Tensor<4>, penalty: Penalty) -> Tensor<4> {
    let Penalty { p, non_negative } = penalty;
    let v = match non_negative {
        true => v.clone().mask_fill(v.lower_elem(0.0), 0.0),
        false => v,
    };
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

/// What is below zero becomes zero; what is not a number stays.
#[inline(always)]
fn positive_part(v: &mut Block) {
    v.iter_mut()
        .for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v });
}

/// The shrink for p = 1; not a number where `v` is not.
#[inline(always)]
fn soft(v: f64, weight: f64) -> f64 {
    if v > weight {
        v - weight
    } else if v < -weight {
        v + weight
    } else {
        0.0 * v.abs()
    }
}

/// The shrink for p = 0, zero up to the jump; not a number where `v` is not.
#[inline(always)]
fn hard(v: f64, jump: f64) -> f64 {
    if v.abs() <= jump { 0.0 } else { v }
}

/// Those elements of a block whose shrink for p < 1 is not zero.
struct Above {
    places: [u16; BLOCK],
    values: Block,
    count: usize,
}

impl Above {
    #[inline(always)]
    fn new() -> Self {
        Self {
            places: [0; BLOCK],
            values: [1.0; BLOCK],
            count: 0,
        }
    }

    /// Adds one if it belongs here; without a branch, which would be taken at random.
    #[inline(always)]
    fn push(&mut self, place: usize, value: f64, belongs: bool) {
        self.places[self.count] = place as u16;
        self.values[self.count] = value;
        self.count += usize::from(belongs);
    }

    /// As much of a block as is in use, in whole vectors.
    #[inline(always)]
    fn whole<'a>(&self, block: &'a mut Block) -> &'a mut [f64] {
        let vectors = self.count.div_ceil(VECTOR);
        block.as_chunks_mut::<VECTOR>().0[..vectors].as_flattened_mut()
    }

    /// Writes their shrinks, given the steepness of the penalty at each, and zero elsewhere.
    #[inline(always)]
    fn shrink(&self, mut steepness: Block, roots: &Roots, to: &mut Block) {
        for c in self.whole(&mut steepness) {
            *c = roots.at(*c);
        }
        to.fill(0.0);
        for i in 0..self.count {
            to[usize::from(self.places[i])] = self.values[i] * steepness[i];
        }
    }
}

/// Elements of the widest vector, twice.
const VECTOR: usize = 16;

/// [`shrink`] of a single number.
pub fn shrink_number(v: f64, weight: f64, penalty: impl Into<Penalty>) -> f64 {
    let Penalty { p, non_negative } = penalty.into();
    let a = v.abs();
    if non_negative && v < 0.0 {
        return 0.0;
    }
    if p == 1.0 {
        return (a - weight).max(0.0).copysign(v);
    }
    if a <= jump(weight, p) {
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
