//! What is minimised, and how far a solution is from the least.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::sums::sums;
use super::{DataTerm, FeatureMaps, Network};
use crate::error::{Error, Result};
use crate::penalty::{self, Penalty};

/// An image whose variation is at most this share of its energy is flat: what is left is the rounding
/// of sums in single precision.
const FLAT: f64 = 1e-6;

/// The one objective of both conventions:
///
/// ```text
/// data_weight / 2 * sum m (R z - y)^2  +  sparsity * sum |z|^p
/// ```
///
/// `m` the weights of the pixels, see [`DataTerm`], 1 where none are given; the elements of `z` of either
/// sign, or none below zero, and each with a weight of its own where the layer has any, see
/// [`Layer::with_penalty_weights`](super::Layer::with_penalty_weights).
///
/// The paper has `data_weight = lambda`, `sparsity = 1`; the review's `SSE + lambda' L1` has
/// `data_weight = 2`, `sparsity = lambda'`; the field's later standard has `data_weight = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Objective {
    data_weight: f64,
    sparsity: f64,
    p: f64,
    #[serde(skip_serializing_if = "is_false")]
    non_negative: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// An objective as it is read.
#[derive(Deserialize)]
struct Unchecked {
    data_weight: f64,
    sparsity: f64,
    p: f64,
    #[serde(default)]
    non_negative: bool,
}

impl TryFrom<Unchecked> for Objective {
    type Error = Error;

    fn try_from(read: Unchecked) -> Result<Self> {
        let objective = Self::new(read.data_weight, read.sparsity, read.p)?;
        Ok(objective.with_non_negative(read.non_negative))
    }
}

impl Objective {
    /// Checked: both weights positive (sparsity may be 0), `0 <= p <= 1`.
    ///
    /// # Errors
    /// [`Error::Config`] otherwise.
    pub fn new(data_weight: f64, sparsity: f64, p: f64) -> Result<Self> {
        let complaint = if !(data_weight.is_finite() && data_weight > 0.0) {
            format!("data_weight is {data_weight}; it must be above 0")
        } else if !(sparsity.is_finite() && sparsity >= 0.0) {
            format!("sparsity is {sparsity}; it must be 0 or above")
        } else if !(0.0..=1.0).contains(&p) {
            format!("p is {p}; it must lie from 0 to 1")
        } else {
            return Ok(Self {
                data_weight,
                sparsity,
                p,
                non_negative: false,
            });
        };
        Err(Error::Config(complaint))
    }

    /// Weight of half the squared error.
    pub fn data_weight(&self) -> f64 {
        self.data_weight
    }

    /// Weight of the penalty.
    pub fn sparsity(&self) -> f64 {
        self.sparsity
    }

    /// Exponent of the penalty, `0 <= p <= 1`; 0 counts the elements that are not zero.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The same with maps that must not be negative, or may be.
    pub fn with_non_negative(self, non_negative: bool) -> Self {
        Self {
            non_negative,
            ..self
        }
    }

    /// Maps that may be started from: none is negative where none must be.
    pub(crate) fn feasible(&self, maps: Tensor<4>) -> Tensor<4> {
        match self.non_negative {
            true => maps.clamp_min(0.0),
            false => maps,
        }
    }

    /// Whether maps must not be negative.
    pub fn is_non_negative(&self) -> bool {
        self.non_negative
    }

    /// The penalty of an element, but for its weight.
    pub fn penalty(&self) -> Penalty {
        Penalty {
            p: self.p,
            non_negative: self.non_negative,
        }
    }

    /// Whether a duality gap can be given: the problem is convex.
    pub fn is_convex(&self) -> bool {
        self.p == 1.0
    }
}

/// The two terms of the objective, each summed over the batch; shapes `[1]`.
#[derive(Clone, Debug)]
pub struct Terms {
    /// `data_weight / 2 * sum m (R z - y)^2`
    pub data: Tensor<1>,
    /// `sparsity * sum |z|^p`
    pub sparsity: Tensor<1>,
}

/// The whole model of a batch of images as one Burn module: the masked stack of layers, the feature
/// maps, and the loss.
#[derive(Module, Debug)]
pub struct Model {
    /// The stack that reconstructs.
    pub network: Network,
    /// The top maps of the batch.
    pub codes: FeatureMaps,
    /// The weights.
    #[module(skip)]
    pub objective: Objective,
}

impl Model {
    /// The two terms for images `[n, C, H, W]`, or for a [`DataTerm`] of them, differentiable in filters
    /// and maps.
    ///
    /// For p < 1 the penalty is smoothed at zero, see [`penalty::smooth_value`]; p = 0 has no derivative, and
    /// that maps must not be negative is not told here.
    pub fn forward(&self, data: impl Into<DataTerm>) -> Terms {
        let Objective { sparsity, p, .. } = self.objective;
        let maps = self.codes.maps.val();
        let weights = self.network.top().penalty_weights(&maps);
        let smooth = penalty::smooth_values(maps, p);
        let smooth = match weights {
            Some(weights) => smooth * weights,
            None => smooth,
        };
        Terms {
            data: self.data_term(&data.into()),
            sparsity: smooth.sum() * sparsity,
        }
    }

    /// The first of them alone.
    pub fn data_term(&self, data: &DataTerm) -> Tensor<1> {
        let planes = self.network.project(self.codes.maps.val());
        let residual = planes - data.images().clone();
        data.weighted(residual.square()).sum() * (self.objective.data_weight / 2.0)
    }
}

/// How good maps are, summed over the batch in double precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The whole objective.
    pub objective: f64,
    /// Its data term.
    pub data: f64,
    /// Its sparsity term.
    pub penalty: f64,
    /// For p = 1, the duality gap: the objective is at most this far above the least possible.
    pub gap: Option<f64>,
    /// Signal to noise ratio in dB, `10 log10(sum (y - mean y)^2 / sum (y - R z)^2)`; not a number where
    /// `y` does not vary.
    pub snr: f64,
    /// Share of the maps' elements that are not zero.
    pub density: f64,
}

/// The sums over one image that an [`Evaluation`] is made of; those over its parts add up to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    /// `sum m (y - R z)^2`
    pub error: f64,
    /// `sum |z|^p`
    pub penalty: f64,
    /// Elements of the maps that are not zero, and all of them.
    pub used: usize,
    pub elements: usize,
    /// `sum m`, `sum m y`, `sum m y^2`
    pub image: [f64; 3],
    /// What the duality gap needs beside them.
    pub dual: Option<DualSums>,
}

/// `sum m r y`, and what keeps a dual point from growing along the residual `r`, and along `-r`: the steepest
/// slopes `R' (m r) / W` up and down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DualSums {
    pub along: f64,
    pub steepest: [f64; 2],
}

impl Sums {
    /// Those over both of two parts.
    pub fn plus(self, other: Self) -> Self {
        let dual = self.dual.zip(other.dual).map(|(a, b)| DualSums {
            along: a.along + b.along,
            steepest: [0, 1].map(|i| larger(a.steepest[i], b.steepest[i])),
        });
        Self {
            error: self.error + other.error,
            penalty: self.penalty + other.penalty,
            used: self.used + other.used,
            elements: self.elements + other.elements,
            image: [0, 1, 2].map(|i| self.image[i] + other.image[i]),
            dual,
        }
    }
}

impl Objective {
    /// Evaluates each image of a batch by itself.
    ///
    /// For p = 1 the gap comes from a feasible point of the dual problem, scaled from the residual:
    ///
    /// ```text
    /// P = 1/2 sum m r^2 + w |W z|_1,  r = y - R z,  w = sparsity / data_weight
    /// theta = s r,  |s| <= w / ||R' (m r) / W||_inf,  D = sum m (theta y - 1/2 theta^2),  gap = P - D
    /// ```
    ///
    /// Where maps must not be negative, `s R' (m r) <= w W` is all that is asked of it. Elements without a
    /// penalty, of weight 0, leave `s = 0` unless the residual is orthogonal to them: the gap is true, and
    /// says little.
    ///
    /// # Shapes
    /// maps `[n, K, ..]`, images `[n, C, H, W]`.
    pub fn evaluate(&self, network: &Network, maps: Tensor<4>, data: &DataTerm) -> Vec<Evaluation> {
        let residual = data.images().clone() - network.project(maps.clone());
        let mut sums = self.sums(network, residual.clone(), &maps, data);
        if self.is_convex() {
            let slope = network.lift(data.weighted(residual.clone()));
            let steepest = self.steepest(&per_weight(slope, network, &maps));
            for ((sums, steepest), along) in
                sums.iter_mut().zip(steepest).zip(along(residual, data))
            {
                sums.dual = Some(DualSums { along, steepest });
            }
        }
        sums.into_iter().map(|sums| self.evaluation(sums)).collect()
    }

    /// [`Objective::evaluate`] without the gap, which costs as much again.
    pub fn measure(&self, network: &Network, maps: Tensor<4>, data: &DataTerm) -> Vec<Evaluation> {
        let residual = data.images().clone() - network.project(maps.clone());
        let sums = self.sums(network, residual, &maps, data);
        sums.into_iter().map(|sums| self.evaluation(sums)).collect()
    }

    /// The sums over each image but for those of the gap.
    pub(crate) fn sums(
        &self,
        network: &Network,
        residual: Tensor<4>,
        maps: &Tensor<4>,
        data: &DataTerm,
    ) -> Vec<Sums> {
        let squares = sums(data.weighted(residual.square()));
        let penalties = penalty::value(maps.clone(), self.penalty());
        let penalties = sums(match network.top().penalty_weights(maps) {
            Some(weights) => penalties * weights,
            None => penalties,
        });
        let [n, k, h, w] = maps.dims();
        let used = sums(maps.clone().not_equal_elem(0.0).float());
        let moments = data.moments();
        let of = |i: usize| Sums {
            error: squares[i],
            penalty: penalties[i],
            used: used[i] as usize,
            elements: k * h * w,
            image: moments[i],
            dual: None,
        };
        (0..n).map(of).collect()
    }

    /// From the sums over one image.
    pub(crate) fn evaluation(&self, sums: Sums) -> Evaluation {
        let data = self.data_weight / 2.0 * sums.error;
        let penalty = self.sparsity * sums.penalty;
        let [count, first, second] = sums.image;
        let variation = second - first * first / at_least(count, 1e-30);
        Evaluation {
            objective: data + penalty,
            data,
            penalty,
            gap: sums
                .dual
                .map(|dual| data + penalty - self.dual(sums.error, dual)),
            // A perfect fit has no finite ratio; a very large one will do.
            snr: match variation <= FLAT * second {
                true => f64::NAN,
                false => 10.0 * (variation / at_least(sums.error, 1e-30)).log10(),
            },
            density: sums.used as f64 / sums.elements as f64,
        }
    }

    /// What keeps theta from growing along r, and along -r, of each image.
    pub(crate) fn steepest(&self, slope: &Tensor<4>) -> Vec<[f64; 2]> {
        match self.non_negative {
            true => {
                let [up, down] =
                    [slope.clone(), slope.clone().neg()].map(|slope| largest(slope.clamp_min(0.0)));
                up.into_iter().zip(down).map(<[f64; 2]>::from).collect()
            }
            false => largest(slope.clone()).into_iter().map(|x| [x; 2]).collect(),
        }
    }

    /// The dual objective at the scaled residual.
    fn dual(&self, error: f64, DualSums { along, steepest }: DualSums) -> f64 {
        let w = self.sparsity / self.data_weight;
        let feasible = |steepest: f64| w / at_least(steepest, 1e-300);
        // D = sum m (theta y - theta^2 / 2) with theta = scale * r, largest where scale is
        // sum m r y / sum m r^2, as far as theta stays feasible.
        let scale = (along / at_least(error, 1e-300))
            .min(feasible(steepest[0]))
            .max(-feasible(steepest[1]));
        self.data_weight * (scale * along - 0.5 * scale * scale * error)
    }

    /// The smallest `sparsity` for which all maps of all these images are zero (p = 1):
    /// `data_weight * ||R' (m y) / W||_inf`, over those of weight above 0.
    pub fn largest_useful_sparsity(data_weight: f64, network: &Network, data: &DataTerm) -> f64 {
        Self::largest_useful(data_weight, false, network, data)
    }

    /// The same for maps of either sign, or for those that must not be negative, which only positive pulls move.
    pub(crate) fn largest_useful(
        data_weight: f64,
        non_negative: bool,
        network: &Network,
        data: &DataTerm,
    ) -> f64 {
        let lifted = network.lift(data.weighted(data.images().clone()));
        let lifted = match non_negative {
            true => lifted.clamp_min(0.0),
            false => lifted,
        };
        let lifted = match network.top().penalty_weights(&lifted) {
            Some(weights) => {
                let free = weights.clone().equal_elem(0.0).expand(lifted.dims());
                (lifted / weights).mask_fill(free, 0.0)
            }
            None => lifted,
        };
        data_weight * largest(lifted).into_iter().fold(0.0, larger)
    }
}

impl Evaluation {
    /// The sum of objectives and gaps, the mean of SNR, of those that have one, and of density, over
    /// images.
    pub fn total(each: &[Self]) -> Self {
        let n = each.len().max(1) as f64;
        let sum = |f: fn(&Self) -> f64| each.iter().map(f).sum::<f64>();
        let ratios: Vec<f64> = each.iter().map(|e| e.snr).filter(|v| !v.is_nan()).collect();
        Self {
            objective: sum(|e| e.objective),
            data: sum(|e| e.data),
            penalty: sum(|e| e.penalty),
            gap: each.iter().map(|e| e.gap).sum(),
            snr: ratios.iter().sum::<f64>() / ratios.len() as f64,
            density: sum(|e| e.density) / n,
        }
    }
}

/// `sum m r y` of each image.
pub(crate) fn along(residual: Tensor<4>, data: &DataTerm) -> Vec<f64> {
    sums(data.weighted(residual) * data.images().clone())
}

/// `slope / W` by the weights of the penalty, 0 where both are.
pub(crate) fn per_weight(slope: Tensor<4>, network: &Network, maps: &Tensor<4>) -> Tensor<4> {
    let Some(weights) = network.top().penalty_weights(maps) else {
        return slope;
    };
    let flat = slope.clone().equal_elem(0.0);
    (slope / weights).mask_fill(flat, 0.0)
}

/// The largest magnitude among each image's elements.
fn largest(x: Tensor<4>) -> Vec<f64> {
    let n = x.dims()[0];
    let rows: Vec<f64> = x.abs().max_dim(3).into_data().iter::<f64>().collect();
    rows.chunks(rows.len() / n)
        .map(|image| image.iter().copied().fold(0.0, larger))
        .collect()
}

/// The larger of two numbers, or NaN if either is: what is not a number must not look like a good
/// one.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// `x`, but not below `floor`; NaN stays NaN.
fn at_least(x: f64, floor: f64) -> f64 {
    if x < floor { floor } else { x }
}
