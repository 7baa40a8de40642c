//! The x/z alternation of the paper: half-quadratic splitting with a growing weight beta.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::coding_solver::CodingSolver;
use super::{Problem, Reason, Solver};
use crate::conv::proximal;
use crate::error::{Error, Result};
use crate::linop::Dot;
use crate::pass::{BLOCK, Block, Pass, Use, dot};
use crate::penalty::Shrink;

/// Keeps 0 / 0 at 0 once the residual is gone; far below any residual that matters.
const TINY: f64 = 1e-30;

/// How beta grows: `start, start * growth, ..`, `steps` values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// The first beta.
    pub start: f64,
    /// What each beta is multiplied by to give the next.
    pub growth: f64,
    /// How many values.
    pub steps: usize,
}

impl Default for Schedule {
    /// The authors' tool: 1, 10, .., 1e5.
    fn default() -> Self {
        Self {
            start: 1.0,
            growth: 10.0,
            steps: 6,
        }
    }
}

impl Schedule {
    /// `START x GROWTH x STEPS`, all above 0.
    fn parse(text: &str) -> Option<Self> {
        let positive = |text: &str| {
            let number = text.parse().ok();
            number.filter(|x: &f64| x.is_finite() && *x > 0.0)
        };
        let mut parts = text.split('x').map(str::trim);
        let schedule = Self {
            start: positive(parts.next()?)?,
            growth: positive(parts.next()?)?,
            steps: parts.next()?.parse().ok().filter(|&steps| steps > 0)?,
        };
        parts.next().is_none().then_some(schedule)
    }

    /// Beta number `step`, from 0.
    pub fn beta(&self, step: usize) -> f64 {
        self.start * self.growth.powi(step as i32)
    }
}

/// The alternation: with an auxiliary copy `x` of the maps,
///
/// ```text
/// min_{x, z}  data_weight/2 sum m (R z - y)^2 + beta/2 ||z - x||^2 + sparsity sum |x|^p
/// ```
///
/// One step is one beta: `x = shrink(z)`, then a few conjugate gradients on
/// `(data_weight R'm R + beta I) z = data_weight R'm y + beta x` from the present `z`.
/// The answer is `x`, which is sparse; `z`, which fits the image better, is what goes on.
///
/// `R z` and `R p` of the directions `p` follow from products with the residuals alone, and
/// `<p, A p> = data_weight <R p, m R p> + beta ||p||^2`, so that a step with `cg` conjugate gradients
/// takes `cg` products of each kind, and `cg + 1` passes over the maps beside them.
///
/// It ends with the schedule, above the least objective unless beta grows slowly.
///
/// Source: Zeiler et al. 2010, section 3.1; the defaults are those of the authors' tool.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HalfQuadratic {
    /// The values of beta.
    pub schedule: Schedule,
    /// Conjugate gradient steps on `z` for each beta.
    pub cg: usize,
}

impl Default for HalfQuadratic {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            cg: 2,
        }
    }
}

/// `x`, `z` and the place in the schedule.
#[derive(Clone, Debug)]
pub struct HalfQuadraticState {
    x: Tensor<4>,
    z: Tensor<4>,
    /// `R z`.
    planes: Tensor<4>,
    /// The direction of the conjugate gradients.
    p: Tensor<4>,
    step: usize,
}

impl Solver for HalfQuadratic {
    type State = HalfQuadraticState;

    fn init(&self, problem: &Problem, start: Tensor<4>) -> HalfQuadraticState {
        HalfQuadraticState {
            planes: problem.network.project(start.clone()),
            p: start.zeros_like(),
            x: start.clone(),
            z: start,
            step: 0,
        }
    }

    fn step(&self, problem: &Problem, state: &mut HalfQuadraticState) {
        let Problem {
            network,
            data,
            objective,
        } = problem;
        let data_weight = objective.data_weight();
        let beta = self.schedule.beta(state.step);
        let HalfQuadraticState {
            x, z, planes, p: d, ..
        } = state;
        let mut r = network.lift(data.residual(planes.clone()));
        let start = ShrinkPass {
            shrink: Shrink::new(objective.sparsity() / beta, objective.penalty()),
            data_weight,
            beta,
        };
        let mut rho = start.run([], [z, x, &mut r]);
        // p = r + turn (the direction before), with its square norm and R p.
        let mut square = rho.clone();
        let mut turn = rho.zeros_like();
        let mut there = network.project(r.clone());
        // How far along the direction before z has yet to go.
        let mut due = rho.zeros_like();
        for step in 0..self.cg {
            let weighted = data.weighted(there.clone());
            let curvature = Dot::EachImage.of(there.clone(), weighted.clone()) * data_weight
                + square.clone() * beta;
            let along = rho.clone() / (curvature + TINY);
            *planes = planes.clone() + there.clone() * along.clone();
            let first = step == 0;
            if step + 1 == self.cg {
                let before = due + along.clone() * turn.clone();
                LastPass { first }.run([before, along], [z, &mut r, d]);
                break;
            }
            let mut q = network.lift(weighted);
            let pass = DirectionPass {
                first,
                data_weight,
                beta,
            };
            let new = pass.run([due, turn, along.clone()], [z, d, &mut r, &mut q]);
            due = along;
            turn = new.clone() / (rho + TINY);
            square = new.clone() + turn.clone().square() * square;
            there = network.project(r.clone()) + there * turn.clone();
            rho = new;
        }
        state.step += 1;
    }

    fn codes(&self, state: &HalfQuadraticState) -> Tensor<4> {
        state.x.clone()
    }

    fn maps(&self, state: &HalfQuadraticState) -> Option<Tensor<4>> {
        Some(state.z.clone())
    }

    fn done(&self, state: &HalfQuadraticState) -> Option<Reason> {
        (state.step >= self.schedule.steps).then_some(Reason::Schedule)
    }
}

impl CodingSolver for HalfQuadratic {
    const SEPARATE_MAPS: bool = true;
    const RESTARTS: bool = true;

    /// The schedule, `START x GROWTH x STEPS`, with or without spaces.
    fn variant(self, name: &str, text: &str) -> Result<Self> {
        let schedule = Schedule::parse(text).ok_or_else(|| {
            Error::Config(format!(
                "'{name}:{text}' has no beta schedule; write START x GROWTH x STEPS, all above 0, for \
                 example {name}:1x10x6"
            ))
        })?;
        Ok(Self { schedule, ..self })
    }
}

/// The shrink and the residual that conjugate gradients start from. On `z`, `x` and `r`, which comes
/// as `R'(R z - y)`:
///
/// ```text
/// x = shrink(z),  r = beta (x - z) - data_weight R'(R z - y),  sum r^2
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ShrinkPass {
    /// The shrink.
    pub shrink: Shrink,
    /// Weight of the data term.
    pub data_weight: f64,
    /// Weight of `||z - x||^2 / 2`.
    pub beta: f64,
}

impl Pass<3, 0> for ShrinkPass {
    fn uses(&self) -> [Use; 3] {
        [Use::Read, Use::Write, Use::Update]
    }

    #[inline(always)]
    fn block(&self, _: [f64; 0], [z, x, r]: &mut [Block; 3]) -> f64 {
        *x = *z;
        self.shrink.apply(x);
        for ((r, x), z) in r.iter_mut().zip(&*x).zip(&*z) {
            *r = self.beta * (x - z) - self.data_weight * *r;
        }
        dot(r, r)
    }

    fn plain(&self, _: [Tensor<4>; 0], [z, _, r]: [Tensor<4>; 3]) -> ([Tensor<4>; 3], Tensor<4>) {
        let x = proximal::shrink(z.clone(), self.shrink.weight, self.shrink.penalty);
        let r = (x.clone() - z.clone()) * self.beta - r * self.data_weight;
        let square = Dot::EachImage.of(r.clone(), r.clone());
        ([z, x, r], square)
    }
}

/// A step of conjugate gradients but for the last. On `z`, the direction `p`, the residual `r` and
/// `q = R'R p'`, with the numbers `due`, `turn` and `along`:
///
/// ```text
/// z' = z + due p,  p' = r + turn p,  r' = r - along (data_weight q + beta p'),  sum r'^2
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DirectionPass {
    /// There is no direction before: `due` and `turn` are zero, `z` stays.
    pub first: bool,
    /// Weight of the data term.
    pub data_weight: f64,
    /// Weight of `||z - x||^2 / 2`.
    pub beta: f64,
}

impl Pass<4, 3> for DirectionPass {
    fn uses(&self) -> [Use; 4] {
        let (z, p) = match self.first {
            true => (Use::Skip, Use::Write),
            false => (Use::Update, Use::Update),
        };
        [z, p, Use::Update, Use::Read]
    }

    #[inline(always)]
    fn block(&self, [due, turn, along]: [f64; 3], [z, p, r, q]: &mut [Block; 4]) -> f64 {
        for i in 0..BLOCK {
            // What lies in the block of a first direction is the one before.
            let before = if self.first { 0.0 } else { p[i] };
            z[i] += due * before;
            p[i] = r[i] + turn * before;
            r[i] -= along * (self.data_weight * q[i] + self.beta * p[i]);
        }
        dot(r, r)
    }

    fn plain(
        &self,
        [due, turn, along]: [Tensor<4>; 3],
        [z, p, r, q]: [Tensor<4>; 4],
    ) -> ([Tensor<4>; 4], Tensor<4>) {
        let (z, p) = match self.first {
            true => (z, r.clone()),
            false => (z + p.clone() * due, r.clone() + p * turn),
        };
        let r = r - (q.clone() * self.data_weight + p.clone() * self.beta) * along;
        let square = Dot::EachImage.of(r.clone(), r.clone());
        ([z, p, r, q], square)
    }
}

/// The last step of conjugate gradients. On `z`, the residual `r` and the direction before, `p`:
///
/// ```text
/// z' = z + before p + along r
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LastPass {
    /// There is no direction before.
    pub first: bool,
}

impl Pass<3, 2> for LastPass {
    fn uses(&self) -> [Use; 3] {
        let p = if self.first { Use::Skip } else { Use::Read };
        [Use::Update, Use::Read, p]
    }

    #[inline(always)]
    fn block(&self, [before, along]: [f64; 2], [z, r, p]: &mut [Block; 3]) -> f64 {
        for i in 0..BLOCK {
            z[i] += before * p[i] + along * r[i];
        }
        0.0
    }

    fn plain(
        &self,
        [before, along]: [Tensor<4>; 2],
        [z, r, p]: [Tensor<4>; 3],
    ) -> ([Tensor<4>; 3], Tensor<4>) {
        let sums = along.zeros_like();
        let z = z + r.clone() * along;
        let z = match self.first {
            true => z,
            false => z + p.clone() * before,
        };
        ([z, r, p], sums)
    }
}
