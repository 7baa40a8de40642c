//! ISTA with 3-D pooling: of each window one element survives a step.

use burn::tensor::{DType, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::coding_solver::CodingSolver;
use super::pooled_step::{Pooled, Step, Stepped};
use super::{Problem, Solver};
use crate::conv::at;
use crate::error::{Error, Result};
use crate::linop::Dot;
use crate::pooling::{Switches, pool};

/// Proximal gradient steps, each followed by pooling and unpooling over the windows of the top layer:
///
/// ```text
/// v = z + momentum (z - z before)
/// u = shrink(v - R' m (R v - y) / L, sparsity / (data_weight L))
/// s = argmax |u| over each window,   z' = U_s U_s' u
/// ```
///
/// `R` is the stack at the switches of the layers below, see [`Network::at`](crate::model::Network::at).
/// The shrink is a descent step of the objective where `L >= ||R||^2`; pooling is none, so the objective
/// need not fall from step to step. Where the top layer is not pooled this is ISTA, and with momentum
/// FISTA with restart, as in [`Fista`](super::Fista).
///
/// `L` is found for each image: from one power step, then doubled whenever a step contradicts it,
/// `sum m (R d)^2 > L |d|^2` for the move `d = z' - v`; such a step is not taken. The bound of the norm
/// by the product of the layers' norms holds for all switches, but is many times too large.
///
/// Sources: Zeiler, Taylor and Fergus 2011, algorithm 1; Beck and Teboulle 2009.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ista {
    /// Whether steps have momentum.
    pub accelerated: bool,
    /// Whether the switches of the top layer are found anew in each step, or kept after the first.
    pub refresh: bool,
    /// `L`; found for each image where absent.
    pub norm: Option<f64>,
}

impl Default for Ista {
    fn default() -> Self {
        Self {
            accelerated: true,
            refresh: true,
            norm: None,
        }
    }
}

/// The present maps and those before, their planes, the momentum and the bound.
#[derive(Clone, Debug)]
pub struct IstaState {
    x: Pooled,
    before: Pooled,
    /// `R x` and `R before`.
    planes: [Tensor<4>; 2],
    /// For each image, as the next two.
    t: Vec<f64>,
    momentum: Vec<f64>,
    norm: Vec<f64>,
    /// Those of the first step, where they are kept.
    switches: Option<Switches>,
}

impl Ista {
    /// The curvature of the data term along the maps that the data alone would make.
    fn curvature(problem: &Problem) -> Vec<f64> {
        let images = problem.data.images().clone();
        let lifted = problem.network.lift(problem.data.weighted(images));
        let lifted = pooled(problem, lifted);
        let planes = planes(problem, &lifted);
        let moved = Dot::EachImage.of(lifted.values.clone(), lifted.values);
        let bent = Dot::EachImage.of(problem.data.weighted(planes.clone()), planes);
        let ratios = numbers(bent).into_iter().zip(numbers(moved));
        ratios
            .map(|(bent, moved)| if bent > 0.0 { bent / moved } else { 1.0 })
            .collect()
    }
}

/// Of each window of the top layer the element of largest magnitude.
fn pooled(problem: &Problem, maps: Tensor<4>) -> Pooled {
    let (values, switches) = pool(maps, problem.network.top().pool);
    Pooled { values, switches }
}

/// `R U_s p`.
fn planes(problem: &Problem, maps: &Pooled) -> Tensor<4> {
    let network = &problem.network;
    let Pooled { values, switches } = maps;
    let top = network.top();
    let planes = at::synthesize(
        values.clone(),
        top.filters.val(),
        &top.connectivity,
        switches,
    );
    let below = network.operator_of(0..network.layers().len() - 1);
    below.apply(planes)
}

fn numbers(x: Tensor<4>) -> Vec<f64> {
    x.into_data().iter().collect()
}

/// Numbers for each image as a tensor.
fn each(values: &[f64], like: &Tensor<4>) -> Tensor<4> {
    let data = TensorData::new(values.to_vec(), [values.len(), 1, 1, 1]);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

impl Solver for Ista {
    type State = IstaState;

    fn init(&self, problem: &Problem, start: Tensor<4>) -> IstaState {
        let [n, ..] = start.dims();
        let x = pooled(problem, start);
        let planes = planes(problem, &x);
        IstaState {
            t: vec![1.0; n],
            momentum: vec![0.0; n],
            norm: match self.norm {
                Some(norm) => vec![norm * problem.data.largest_weight(); n],
                None => Self::curvature(problem),
            },
            planes: [planes.clone(), planes],
            before: x.clone(),
            x,
            switches: None,
        }
    }

    fn step(&self, problem: &Problem, state: &mut IstaState) {
        let Problem {
            network,
            data,
            objective,
        } = problem;
        let [present, before] = &state.planes;
        let momentum = each(&state.momentum, present);
        let ahead = present.clone() + (present.clone() - before.clone()) * momentum;
        let step = Step {
            gradient: network.lift(data.residual(ahead.clone())),
            maps: [&state.x, &state.before],
            momentum: state.momentum.clone(),
            length: state.norm.iter().map(|norm| 1.0 / norm).collect(),
            weight: objective.sparsity() / objective.data_weight(),
            penalty: objective.penalty(),
            kept: state.switches.as_ref(),
        };
        let Stepped {
            next,
            moved,
            uphill,
        } = step.take();
        let planes = planes(problem, &next);
        let n = moved.len();
        let wrong: Vec<bool> = match self.norm {
            Some(_) => vec![false; n],
            None => {
                let squares_of = ahead.clone();
                let bent = planes.clone() - ahead;
                let bent = numbers(Dot::EachImage.of(data.weighted(bent.clone()), bent));
                // Rounding must not pass for curvature: neither of the sums nor of the planes.
                let rounding = match squares_of.dtype() {
                    DType::F64 => 8.0 * f64::EPSILON,
                    _ => 8.0 * f64::from(f32::EPSILON),
                };
                let squares = numbers(Dot::EachImage.of(squares_of.clone(), squares_of));
                let bound = |i: usize| {
                    moved[i] * state.norm[i] * (1.0 + 1e-4) + rounding * rounding * squares[i]
                };
                (0..n).map(|i| bent[i] > bound(i)).collect()
            }
        };
        if !self.refresh && state.switches.is_none() && !wrong.contains(&true) {
            state.switches = Some(next.switches.clone());
        }
        for i in 0..n {
            let t = if uphill[i] > 0.0 || wrong[i] {
                1.0
            } else {
                state.t[i]
            };
            let next = ((t * t * 4.0 + 1.0).sqrt() + 1.0) / 2.0;
            // After a restart t = 1, so the momentum (t - 1) / t' is zero.
            state.momentum[i] = if self.accelerated {
                (t - 1.0) / next
            } else {
                0.0
            };
            state.t[i] = if t == 1.0 && (uphill[i] > 0.0 || wrong[i]) {
                1.0
            } else {
                next
            };
            if wrong[i] {
                state.norm[i] *= 2.0;
            }
        }
        let [present, _] = state.planes.clone();
        let old = state.x.clone();
        state.planes = [chosen(&wrong, planes, &present), present];
        state.x = next.unless(&wrong, &old);
        state.before = old;
    }

    fn codes(&self, state: &IstaState) -> Tensor<4> {
        state.x.switches.unpool(state.x.values.clone())
    }
}

/// `new`, but `old` for the images where the step was wrong.
fn chosen(wrong: &[bool], new: Tensor<4>, old: &Tensor<4>) -> Tensor<4> {
    if !wrong.contains(&true) {
        return new;
    }
    let wrong: Vec<f64> = wrong
        .iter()
        .map(|&wrong| f64::from(u8::from(wrong)))
        .collect();
    let wrong = each(&wrong, &new).greater_elem(0.5).expand(new.dims());
    new.mask_where(wrong, old.clone())
}

impl Pooled {
    fn unless(self, wrong: &[bool], old: &Self) -> Self {
        if !wrong.contains(&true) {
            return self;
        }
        let part = |i: usize| {
            if wrong[i] {
                &old.switches
            } else {
                &self.switches
            }
        };
        let switches: Vec<_> = (0..wrong.len()).map(|i| part(i).image(i)).collect();
        Self {
            switches: Switches::cat(&switches),
            values: chosen(wrong, self.values, &old.values),
        }
    }
}

impl CodingSolver for Ista {
    const POOLS: bool = true;
    const BOUNDARIES: bool = false;

    fn variant(self, name: &str, text: &str) -> Result<Self> {
        match text {
            "plain" => Ok(Self {
                accelerated: false,
                ..self
            }),
            "frozen" => Ok(Self {
                refresh: false,
                ..self
            }),
            _ => Err(Error::Config(format!(
                "{name} has no variant '{text}'; write {name}, {name}:plain (without momentum) or \
                 {name}:frozen (the switches of the first step are kept)"
            ))),
        }
    }
}
