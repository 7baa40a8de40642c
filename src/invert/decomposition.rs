//! The singular value decomposition of `W`, in the form that its geometry allows.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Operator;
use super::circular::Circular;
use super::dense::{Dense, Side};
use crate::error::Result;

/// How a pseudo-inverse is held back; by default, not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Regularise {
    /// Singular values up to this share of the largest count as zero.
    pub truncation: f64,
    /// Weight of Tikhonov's term, `tikhonov/2 ||x||^2`.
    pub tikhonov: f64,
}

/// The singular value decomposition `W = U S V'`.
///
/// # Examples
///
/// ```
/// use burn::tensor::{DType, Device, Tensor};
/// use deconvnet::invert::{Decomposition, Kernel, Operator, Padding, Regularise};
///
/// let like = (&Device::flex(), DType::F64);
/// let kernel = Kernel::Taps { taps: vec![0.25, 1.0, 0.25] };
/// let filters = kernel.filters(1)?.tensor(like.0, like.1);
/// let operator = Operator::new(filters, [1, 1], Padding::Circular, [1, 1, 4])?;
/// let decomposition = Decomposition::new(&operator)?.expect("a small operator");
/// // 1 + cos(k pi / 2) / 2
/// let wanted = [1.5, 1.0, 1.0, 0.5];
/// for (s, wanted) in decomposition.singular_values().iter().zip(wanted) {
///     assert!((s - wanted).abs() < 1e-15);
/// }
/// let x = Tensor::<4>::from_data([[[[1.0, 0.0, 2.0, 5.0]]]], like);
/// let found = decomposition.solve(&operator.apply(x.clone()), Regularise::default());
/// assert!((found - x).abs().max().into_scalar::<f64>() < 1e-14);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decomposition {
    operator: Operator,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Dense(Dense),
    Circular(Circular),
}

impl Decomposition {
    /// Decomposes `W` where that can be done: per frequency for circular padding if the stride divides
    /// the image's sides, with at most [`super::LARGEST_BLOCKS`] entries `out in H W`; else as a dense
    /// matrix of at most [`super::LARGEST`] elements; `None` for what is larger.
    ///
    /// # Errors
    /// [`crate::Error::Numeric`] where the iteration inside does not converge.
    pub fn new(operator: &Operator) -> Result<Option<Self>> {
        let form = if Circular::fits(operator) {
            Form::Circular(Circular::new(operator)?)
        } else if Dense::fits(operator) {
            Form::Dense(Dense::new(operator)?)
        } else {
            return Ok(None);
        };
        Ok(Some(Self {
            operator: operator.clone(),
            form,
        }))
    }

    /// Decomposes `W` as a dense matrix even where that is not the quickest way.
    ///
    /// # Errors
    /// [`crate::Error::Numeric`] where the iteration inside does not converge.
    pub fn dense(operator: &Operator) -> Result<Self> {
        Ok(Self {
            operator: operator.clone(),
            form: Form::Dense(Dense::new(operator)?),
        })
    }

    /// In which form, in words.
    pub fn route(&self) -> &'static str {
        match self.form {
            Form::Dense(_) => "dense SVD",
            Form::Circular(_) => "SVD per frequency",
        }
    }

    /// All singular values, the largest first: as many as `W` has rows or columns, whichever are fewer.
    pub fn singular_values(&self) -> &[f64] {
        match &self.form {
            Form::Dense(dense) => dense.singular_values(),
            Form::Circular(circular) => circular.singular_values(),
        }
    }

    /// Singular values at most this large count as zero unless told otherwise: NumPy's
    /// `max(rows, columns) eps s_max`.
    pub fn rounding(&self) -> f64 {
        let [rows, columns] = self.operator.shape();
        rows.max(columns) as f64 * f64::EPSILON * self.largest()
    }

    /// The number of singular values above [`Self::rounding`].
    pub fn rank(&self) -> usize {
        let least = self.rounding();
        let values = self.singular_values();
        values.iter().filter(|&&s| s > least).count()
    }

    /// The pseudo-inverse applied to `y`, or the regularised one:
    ///
    /// ```text
    /// x = V diag(s / (s^2 + tikhonov)) U' y    over the s > max(truncation s_max, rounding)
    /// ```
    ///
    /// Without regularisation it is the least-squares solution of least norm.
    ///
    /// # Shapes
    /// `[1, out, H', W']` -> `[1, in, H, W]`.
    pub fn solve(&self, y: &Tensor<4>, how: Regularise) -> Tensor<4> {
        let cut = self.rounding().max(how.truncation * self.largest());
        let factor = |s: f64| match s > cut {
            true => s / (s * s + how.tikhonov),
            false => 0.0,
        };
        let y: Vec<f64> = y.to_data().iter().collect();
        self.tensor(self.map([Side::Left, Side::Right], &y, factor), Side::Right)
    }

    /// The part of `x` in the null space of `W`: what `W` does not see of it.
    ///
    /// # Shapes
    /// `[1, in, H, W]`, kept.
    pub fn null_part(&self, x: &Tensor<4>) -> Tensor<4> {
        self.rest(x, Side::Right)
    }

    /// The part of `y` outside of the range of `W`: what no `x` explains.
    ///
    /// # Shapes
    /// `[1, out, H', W']`, kept.
    pub fn unexplained(&self, y: &Tensor<4>) -> Tensor<4> {
        self.rest(y, Side::Left)
    }

    /// The part of `x` outside of the span of one side's singular vectors of nonzero values.
    fn rest(&self, x: &Tensor<4>, side: Side) -> Tensor<4> {
        let least = self.rounding();
        let x: Vec<f64> = x.to_data().iter().collect();
        let span = self.map([side, side], &x, |s| f64::from(u8::from(s > least)));
        let rest = x.iter().zip(span).map(|(x, s)| x - s);
        self.tensor(rest.collect(), side)
    }

    /// `to diag(factor(s)) from' x`, where `from` and `to` are `U` or `V`.
    fn map(&self, sides: [Side; 2], x: &[f64], factor: impl Fn(f64) -> f64 + Sync) -> Vec<f64> {
        match &self.form {
            Form::Dense(dense) => dense.map(sides, x, factor),
            Form::Circular(circular) => circular.map(sides, x, factor),
        }
    }

    fn tensor(&self, values: Vec<f64>, side: Side) -> Tensor<4> {
        let [c, h, w] = match side {
            Side::Left => self.operator.output(),
            Side::Right => self.operator.input(),
        };
        self.operator.tensor(values, [1, c, h, w])
    }

    fn largest(&self) -> f64 {
        self.singular_values().first().copied().unwrap_or(0.0)
    }
}
