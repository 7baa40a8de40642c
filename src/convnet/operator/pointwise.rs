//! Functions of each element: rectifiers, which the rules are about, and others, which go back by their
//! true gradient under every rule: the paper has none for them.

use burn::tensor::Tensor;
use burn::tensor::activation;

use super::super::rule::{Rule, Walk};
use super::super::value::Map;
use super::{Lowered, Operand, Region, Saved, Site};
use crate::error::Result;

/// `max(x, 0)`, or `min(max(x, 0), ceiling)`.
///
/// | rule | the way back |
/// |---|---|
/// | deconvnet | `max(R, 0)` |
/// | guided | `max(R, 0)` where `0 < x < ceiling` |
/// | gradient | `R` where `0 < x < ceiling` |
#[derive(Clone, Debug)]
pub struct Rectifier {
    ceiling: Option<f32>,
}

/// `x` above 0 and `slope x` below, with a slope for all or for each channel.
#[derive(Clone, Debug)]
pub struct Parametric {
    /// `[1, slopes, 1]`.
    slope: Tensor<3>,
}

/// Another function of each element.
#[derive(Clone, Debug)]
pub struct Pointwise {
    function: Function,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Abs,
    Clamp {
        low: f32,
        high: f32,
    },
    /// `x` above 0, `scale alpha (e^x - 1)` below, all times `scale`.
    Elu {
        alpha: f32,
        scale: f32,
    },
    Erf,
    Exp,
    Gelu,
    GeluTanh,
    HardSigmoid {
        slope: f32,
        shift: f32,
    },
    HardSwish,
    Log,
    Mish,
    Neg,
    Pow(f32),
    Reciprocal,
    Sigmoid,
    Softplus,
    Sqrt,
    Tanh,
}

pub fn lower_rectifier(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let shape = shape.to_vec();
    if site.node.op_type == "Relu" {
        return Ok(Lowered::step(
            Rectifier { ceiling: None }.into(),
            &[value],
            shape,
        ));
    }
    let bound = |k: usize, name: &str, default: f32| match site.optional_number(k)? {
        Some(bound) => Ok(bound),
        None => site.attribute_float(name, default),
    };
    let low = bound(1, "min", f32::MIN)?;
    let high = bound(2, "max", f32::MAX)?;
    if low.is_nan() || high.is_nan() || low > high {
        return Err(site.error(format!("nothing lies between {low} and {high}")));
    }
    let operator = match low == 0.0 {
        true => Rectifier {
            ceiling: (high < f32::MAX).then_some(high),
        }
        .into(),
        false => Pointwise::between(low, high).into(),
    };
    Ok(Lowered::step(operator, &[value], shape))
}

/// `max(x, low)` with one known number, or `min(x, high)`: a Clip of one side.
pub fn one_sided(site: &Site, value: usize, shape: &[usize], bound: f32) -> Lowered {
    let operator = match (site.node.op_type.as_str(), bound) {
        ("Max", 0.0) => Rectifier { ceiling: None }.into(),
        ("Max", low) => Pointwise::between(low, f32::MAX).into(),
        (_, high) => Pointwise::between(f32::MIN, high).into(),
    };
    Lowered::step(operator, &[value], shape.to_vec())
}

pub fn lower_parametric(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let slopes = match site.node.op_type.as_str() {
        "LeakyRelu" => vec![site.attribute_float("alpha", 0.01)?],
        _ => site.floats(1)?.values.clone(),
    };
    let count = slopes.len();
    if count != 1 && (shape.len() < 2 || count != shape[1]) {
        return Err(site.error(format!(
            "{count} slopes do not fit a map of the shape {shape:?}: one, or one for each channel"
        )));
    }
    let slope = Map::from_values(slopes, &[1, count, 1], site.device, site.dtype);
    let operator = Parametric {
        slope: slope.view([1, count, 1]),
    };
    Ok(Lowered::step(operator.into(), &[value], shape.to_vec()))
}

pub fn lower(site: &Site) -> Result<Lowered> {
    use Function::*;
    let function = match site.node.op_type.as_str() {
        "Abs" => Abs,
        "Elu" => Elu {
            alpha: site.attribute_float("alpha", 1.0)?,
            scale: 1.0,
        },
        "Selu" => Elu {
            alpha: site.attribute_float("alpha", 1.673_263_2)?,
            scale: site.attribute_float("gamma", 1.050_701)?,
        },
        "Erf" => Erf,
        "Exp" => Exp,
        "Gelu" => match site.attribute_text("approximate", "none")?.as_str() {
            "tanh" => GeluTanh,
            _ => Gelu,
        },
        "HardSigmoid" => HardSigmoid {
            slope: site.attribute_float("alpha", 0.2)?,
            shift: site.attribute_float("beta", 0.5)?,
        },
        "HardSwish" => HardSwish,
        "Log" => Log,
        "Mish" => Mish,
        "Neg" => Neg,
        "Pow" => match site.optional_number(1)? {
            Some(exponent) => Pow(exponent),
            None => return Err(site.error("its exponent is missing")),
        },
        "Reciprocal" => Reciprocal,
        "Sigmoid" => Sigmoid,
        "Softplus" => Softplus,
        "Sqrt" => Sqrt,
        _ => Tanh,
    };
    let shape = site.inputs.first().map_or(&[][..], Operand::shape);
    site.apply(Pointwise { function }.into(), shape.to_vec())
}

impl Rectifier {
    /// Where a number was added before that makes it the factor of a hard sigmoid, `min(max(x + 3, 0), 6)`: a
    /// function like others then, and no rectifier.
    pub fn hard_sigmoid(&self, added: f32) -> Option<Pointwise> {
        let high = self.ceiling.filter(|ceiling| 2.0 * added == *ceiling)?;
        Some(Pointwise::between(0.0, high))
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        inputs[0].clone().pointwise(|x| match self.ceiling {
            Some(ceiling) => x.clamp(0.0, ceiling),
            None => activation::relu(x),
        })
    }

    pub fn reverse(&self, signal: Map, saved: &Saved, walk: &Walk) -> Vec<Option<Map>> {
        let rule = match self.ceiling {
            Some(_) if walk.options.ceiling_by_gradient => Rule::Gradient,
            _ => walk.rule,
        };
        let signal = match rule {
            Rule::Deconvnet | Rule::Guided => signal.pointwise(activation::relu),
            Rule::Gradient => signal,
        };
        if rule == Rule::Deconvnet {
            return vec![Some(signal)];
        }
        let share = signal.with(&saved.output(), |r, y| {
            let dtype = r.dtype();
            let open = r * y.clone().greater_elem(0.0).float().cast(dtype);
            match self.ceiling {
                Some(ceiling) => open * y.lower_elem(ceiling).float().cast(dtype),
                None => open,
            }
        });
        vec![Some(share)]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        output.clone()
    }
}

impl Parametric {
    /// `[images, channels, rest]`, whether the slopes are one for all or one for each channel.
    fn channels(&self, map: &Map) -> Tensor<3> {
        let shape = map.shape();
        let channels = self.slope.dims()[1];
        map.view([shape[0], channels, map.count() / (shape[0] * channels)])
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let x = self.channels(inputs[0]);
        let below = x.clone().clamp_max(0.0) * self.slope.clone();
        Map::new(x.clamp_min(0.0) + below).reshaped(inputs[0].shape())
    }

    pub fn reverse(&self, signal: Map, saved: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let x = self.channels(&saved.input(0));
        let r = self.channels(&signal);
        let above = x.greater_elem(0.0).float().cast(r.dtype());
        let slope = above.clone() + (-above + 1.0) * self.slope.clone();
        vec![Some(Map::new(r * slope).reshaped(signal.shape()))]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        output.clone()
    }
}

impl Function {
    fn of(self, x: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Abs => x.abs(),
            Self::Clamp { low, high } => x.clamp(low, high),
            Self::Elu { alpha, scale } => {
                let below = (x.clone().clamp_max(0.0).exp() - 1.0) * alpha;
                (x.clamp_min(0.0) + below) * scale
            }
            Self::Erf => x.erf(),
            Self::Exp => x.exp(),
            Self::Gelu => x.clone() * Self::normal(x),
            Self::GeluTanh => x.clone() * (Self::inner(x).tanh() + 1.0) * 0.5,
            Self::HardSigmoid { slope, shift } => (x * slope + shift).clamp(0.0, 1.0),
            Self::HardSwish => x.clone() * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Log => x.log(),
            Self::Mish => x.clone() * Self::Softplus.of(x).tanh(),
            Self::Neg => -x,
            Self::Pow(exponent) => x.powf_scalar(exponent),
            Self::Reciprocal => x.recip(),
            Self::Sigmoid => activation::sigmoid(x),
            // Without overflow: max(x, 0) + log(1 + e^-|x|).
            Self::Softplus => x.clone().clamp_min(0.0) + (-x.abs()).exp().log1p(),
            Self::Sqrt => x.sqrt(),
            Self::Tanh => x.tanh(),
        }
    }

    /// Its derivative.
    fn slope(self, x: Tensor<1>) -> Tensor<1> {
        let dtype = x.dtype();
        let between = |x: Tensor<1>, low: f32, high: f32| {
            x.clone().greater_elem(low).float().cast(dtype) * x.lower_elem(high).float().cast(dtype)
        };
        match self {
            Self::Abs => x.sign(),
            Self::Clamp { low, high } => between(x, low, high),
            Self::Elu { alpha, scale } => {
                let above = x.clone().greater_elem(0.0).float().cast(dtype);
                let below = x.clamp_max(0.0).exp() * alpha * (-above.clone() + 1.0);
                (above + below) * scale
            }
            Self::Erf => (-(x.clone() * x)).exp() * (2.0 / std::f64::consts::PI.sqrt()),
            Self::Exp => x.exp(),
            Self::Gelu => {
                let density =
                    (-(x.clone() * x.clone()) / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
                Self::normal(x.clone()) + x * density
            }
            Self::GeluTanh => {
                let t = Self::inner(x.clone()).tanh();
                let inner = (x.clone() * x.clone() * (3.0 * 0.044715) + 1.0)
                    * (2.0 / std::f64::consts::PI).sqrt();
                (t.clone() + 1.0) * 0.5 + x * (-(t.clone() * t) + 1.0) * inner * 0.5
            }
            Self::HardSigmoid { slope, shift } => {
                let [a, b] = [-shift / slope, (1.0 - shift) / slope];
                between(x, a.min(b), a.max(b)) * slope
            }
            Self::HardSwish => {
                let above = x.clone().greater_equal_elem(3.0).float().cast(dtype);
                above + between(x.clone(), -3.0, 3.0) * (x / 3.0 + 0.5)
            }
            Self::Log => x.recip(),
            Self::Mish => {
                let t = Self::Softplus.of(x.clone()).tanh();
                let s = activation::sigmoid(x.clone());
                t.clone() + x * s * (-(t.clone() * t) + 1.0)
            }
            Self::Neg => x.zeros_like() - 1.0,
            Self::Pow(exponent) => x.powf_scalar(exponent - 1.0) * exponent,
            Self::Reciprocal => -(x.clone() * x).recip(),
            Self::Sigmoid => {
                let y = activation::sigmoid(x);
                y.clone() * (-y + 1.0)
            }
            Self::Softplus => activation::sigmoid(x),
            // At 0, where there is none, 0: beside it stands the slope 0 of what was squared.
            Self::Sqrt => {
                let none = x.clone().equal_elem(0.0);
                (x.sqrt().recip() * 0.5).mask_fill(none, 0.0)
            }
            Self::Tanh => {
                let y = x.tanh();
                -(y.clone() * y) + 1.0
            }
        }
    }

    /// The distribution function of the normal distribution.
    fn normal(x: Tensor<1>) -> Tensor<1> {
        ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5
    }

    /// What the hyperbolic tangent in GELU's approximation is taken of.
    fn inner(x: Tensor<1>) -> Tensor<1> {
        let cube = x.clone() * x.clone() * x.clone();
        (x + cube * 0.044715) * (2.0 / std::f64::consts::PI).sqrt()
    }
}

impl Pointwise {
    /// `x^2`.
    pub const SQUARE: Self = Self {
        function: Function::Pow(2.0),
    };
    /// The square root.
    pub const ROOT: Self = Self {
        function: Function::Sqrt,
    };
    /// `-x`.
    pub const OPPOSITE: Self = Self {
        function: Function::Neg,
    };

    fn between(low: f32, high: f32) -> Self {
        Self {
            function: Function::Clamp { low, high },
        }
    }

    /// Whether the paper has no rule for it.
    pub fn is_without_rule(&self) -> bool {
        self.function != Function::Neg
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        inputs[0].clone().pointwise(|x| self.function.of(x))
    }

    pub fn reverse(&self, signal: Map, saved: &Saved, _: &Walk) -> Vec<Option<Map>> {
        vec![Some(
            signal.with(&saved.input(0), |r, x| r * self.function.slope(x)),
        )]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        output.clone()
    }
}
