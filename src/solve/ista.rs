//! ISTA with 3-D pooling: of each window one element survives a step.

use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use super::coding_solver::CodingSolver;
use super::{Problem, Solver};
use crate::conv::at;
use crate::error::{Error, Result};
use crate::linop::Dot;
use crate::penalty;
use crate::pooling::Switches;

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
    x: Tensor<4>,
    before: Tensor<4>,
    /// `R x` and `R before`.
    planes: [Tensor<4>; 2],
    /// `[n, 1, 1, 1]`, as the next two.
    t: Tensor<4>,
    momentum: Tensor<4>,
    norm: Tensor<4>,
    /// Those of the first step, where they are kept.
    switches: Option<Switches>,
}

impl Ista {
    /// The curvature of the data term along the maps that the data alone would make.
    fn curvature(problem: &Problem) -> Tensor<4> {
        let images = problem.data.images().clone();
        let lifted = problem.network.lift(problem.data.weighted(images));
        let (lifted, planes) = pooled(problem, lifted, None);
        let moved = Dot::EachImage.of(lifted.clone(), lifted);
        let bent = Dot::EachImage.of(problem.data.weighted(planes.clone()), planes);
        let flat = moved.clone().lower_equal_elem(0.0);
        (bent / moved.clamp_min(1e-30)).mask_fill(flat, 1.0)
    }
}

/// Of each window of the top layer the largest element, or that at the switches, and the planes that these
/// make. The switches found are left in `kept` where it has room for them.
fn pooled(
    problem: &Problem,
    maps: Tensor<4>,
    kept: Option<&mut Option<Switches>>,
) -> (Tensor<4>, Tensor<4>) {
    let network = &problem.network;
    let top = network.top();
    if top.pool.is_none() {
        let planes = network.project(maps.clone());
        return (maps, planes);
    }
    let switches = match kept {
        Some(kept) => kept
            .get_or_insert_with(|| Switches::of(&maps, top.pool))
            .clone(),
        None => Switches::of(&maps, top.pool),
    };
    let values = switches.pool(maps);
    let filters = top.filters.val();
    let planes = at::synthesize(values.clone(), filters, &top.connectivity, &switches);
    let below = network.operator_of(0..network.layers().len() - 1);
    (switches.unpool(values), below.apply(planes))
}

impl Solver for Ista {
    type State = IstaState;

    fn init(&self, problem: &Problem, start: Tensor<4>) -> IstaState {
        let [n, ..] = start.dims();
        let like = (&start.device(), start.dtype());
        let (x, planes) = pooled(problem, start, None);
        IstaState {
            t: Tensor::ones([n, 1, 1, 1], like),
            momentum: Tensor::zeros([n, 1, 1, 1], like),
            norm: match self.norm {
                Some(norm) => {
                    Tensor::full([n, 1, 1, 1], norm, like) * problem.data.largest_weight()
                }
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
        let [at, at_before] = &state.planes;
        let momentum = state.momentum.clone();
        let v = state.x.clone() + (state.x.clone() - state.before.clone()) * momentum.clone();
        let ahead = at.clone() + (at.clone() - at_before.clone()) * momentum;
        let gradient = network.lift(data.residual(ahead.clone()));
        let length = state.norm.clone().recip();
        let weight = length.clone() * (objective.sparsity() / objective.data_weight());
        let shrunk = penalty::shrink_by(v.clone() - gradient * length, weight, objective.p());
        let kept = (!self.refresh).then_some(&mut state.switches);
        let (next, planes) = pooled(problem, shrunk, kept);
        let moved = next.clone() - v.clone();
        let wrong = match self.norm {
            Some(_) => None,
            None => {
                let bent = planes.clone() - ahead;
                let bent = Dot::EachImage.of(data.weighted(bent.clone()), bent);
                let bound = Dot::EachImage.of(moved.clone(), moved.clone()) * state.norm.clone();
                // Rounding must not pass for curvature.
                Some(bent.greater(bound * (1.0 + 1e-4)))
            }
        };
        let uphill = Dot::EachImage.of(moved.neg(), next.clone() - state.x.clone());
        let uphill = uphill.greater_elem(0.0);
        let t = state.t.clone().mask_fill(uphill.clone(), 1.0);
        let next_t = ((t.clone().square() * 4.0 + 1.0).sqrt() + 1.0) / 2.0;
        // After a restart t = 1, so the momentum (t - 1) / t' is zero.
        let momentum = match self.accelerated {
            true => (t - 1.0) / next_t.clone(),
            false => state.momentum.zeros_like(),
        };
        let taken = IstaState {
            x: next,
            before: state.x.clone(),
            planes: [planes, state.planes[0].clone()],
            t: next_t.mask_fill(uphill, 1.0),
            momentum,
            norm: state.norm.clone(),
            switches: state.switches.clone(),
        };
        *state = match wrong {
            None => taken,
            Some(wrong) => taken.unless(wrong, state),
        };
    }

    fn codes(&self, state: &IstaState) -> Tensor<4> {
        state.x.clone()
    }
}

impl IstaState {
    /// For the images where the step was wrong, `old` with twice the bound and no momentum.
    fn unless(self, wrong: Tensor<4, Bool>, old: &Self) -> Self {
        let choose = |new: Tensor<4>, old: &Tensor<4>| {
            let wrong = wrong.clone().expand(new.dims());
            new.mask_where(wrong, old.clone())
        };
        let [planes, planes_before] = self.planes;
        Self {
            x: choose(self.x, &old.x),
            before: choose(self.before, &old.x),
            planes: [
                choose(planes, &old.planes[0]),
                choose(planes_before, &old.planes[0]),
            ],
            t: self.t.mask_fill(wrong.clone(), 1.0),
            momentum: self.momentum.mask_fill(wrong.clone(), 0.0),
            norm: choose(self.norm, &(old.norm.clone() * 2.0)),
            switches: self.switches,
        }
    }
}

impl CodingSolver for Ista {
    const POOLS: bool = true;

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
