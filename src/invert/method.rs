//! The methods by name.

use std::time::Instant;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    ConjugateGradients, Decomposition, Inverse, InverseAdam, InverseEvaluation, Lbfgs, Lsqr,
    PatchCodes, PrimalDual, Prior, Regularise, wiener, wiener_fits,
};
use crate::backend;
use crate::error::{Error, Result};
use crate::linop::{divide, dot};
use crate::named::named;
use crate::solve::{Callback, Evaluate, Limits, Point, Reason, Solved, Solver, drive};

named! {
    /// A method to recover `x`.
    #[derive(Hash)]
    pub enum InverseMethod: "method of inversion" {
        /// The pseudo-inverse: by a decomposition where there is one, else by LSQR.
        PseudoInverse = "pseudo-inverse",
        /// Adam by autodiff.
        Adam = "adam",
        /// L-BFGS.
        Lbfgs = "lbfgs",
        /// The transposed convolution, `W'y`.
        Transpose = "transpose",
        /// The transposed convolution times the factor that explains `y` best.
        ScaledTranspose = "scaled-transpose",
        /// Conjugate gradients on the normal equations.
        Cg = "cg",
        /// LSQR, even where there is a decomposition.
        Lsqr = "lsqr",
        /// The L1 prior.
        L1 = "l1",
        /// The total variation prior.
        TotalVariation = "total-variation",
        /// The Wiener filter.
        Wiener = "wiener",
        /// Sparse codes of patches as the prior.
        Codes = "codes",
    }
}

/// The settings of all methods.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Pseudo-inverse by a decomposition: singular values up to this share of the largest count as zero.
    pub truncation: f64,
    /// Weight of Tikhonov's term for the pseudo-inverse, Adam, L-BFGS, conjugate gradients and LSQR.
    pub tikhonov: f64,
    /// Weight of the L1 prior.
    pub l1: f64,
    /// Weight of the total variation prior.
    pub total_variation: f64,
    /// Standard deviation of the noise that the Wiener filter and the codes of patches assume; absent: 0, or
    /// the noise that an experiment adds itself.
    pub wiener_noise: Option<f64>,
    /// Adam.
    pub adam: InverseAdam,
    /// L-BFGS.
    pub lbfgs: Lbfgs,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            truncation: 0.0,
            tikhonov: 0.0,
            l1: 1e-3,
            total_variation: 1e-3,
            wiener_noise: None,
            adam: InverseAdam::default(),
            lbfgs: Lbfgs::default(),
        }
    }
}

/// What a method recovered.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The algorithm, in words: "dense SVD", "LSQR".
    pub route: &'static str,
    /// The image recovered, its quality, and the points on the way to it.
    pub solved: Solved<InverseEvaluation>,
}

impl InverseMethod {
    /// Whether it can be used on a problem.
    ///
    /// # Errors
    /// [`Error::Config`] saying why not.
    pub fn check(self, problem: &Inverse, settings: &Settings, decomposed: bool) -> Result<()> {
        match self {
            Self::Wiener => wiener_fits(&problem.operator),
            Self::Codes => PatchCodes::fits(problem),
            Self::PseudoInverse if settings.truncation > 0.0 && !decomposed => {
                let [rows, columns] = problem.operator.shape();
                Err(Error::Config(format!(
                    "truncation = {} needs the singular values of W, {rows} x {columns}, which are \
                     found for circular padding or up to {} elements; use tikhonov or fewer steps",
                    settings.truncation,
                    super::LARGEST
                )))
            }
            _ => Ok(()),
        }
    }

    /// Recovers `x`. `decomposition` is that of the problem's operator in double precision, where there
    /// is one; the limits count for what iterates.
    ///
    /// # Errors
    /// As [`InverseMethod::check`]; [`Error::Numeric`] where the numbers leave the finite range.
    pub fn run(
        self,
        problem: &Inverse,
        settings: &Settings,
        decomposition: Option<&Decomposition>,
        limits: &Limits,
        watch: &mut dyn Callback<Point<InverseEvaluation>>,
    ) -> Result<Recovery> {
        self.check(problem, settings, decomposition.is_some())?;
        let plain = Inverse {
            tikhonov: settings.tikhonov,
            prior: None,
            ..problem.clone()
        };
        let with = |prior| Inverse {
            tikhonov: 0.0,
            prior: Some(prior),
            ..problem.clone()
        };
        match (self, decomposition) {
            (Self::PseudoInverse, Some(decomposition)) => {
                let how = Regularise {
                    truncation: settings.truncation,
                    tikhonov: settings.tikhonov,
                };
                let solve = || Ok(decomposition.solve(&problem.y, how));
                direct(&plain, decomposition.route(), solve)
            }
            (Self::PseudoInverse | Self::Lsqr, _) => iterate("LSQR", &Lsqr, &plain, limits, watch),
            (Self::Adam, _) => iterate("Adam", &settings.adam, &plain, limits, watch),
            (Self::Lbfgs, _) => iterate("L-BFGS", &settings.lbfgs, &plain, limits, watch),
            (Self::Cg, _) => iterate("CGLS", &ConjugateGradients, &plain, limits, watch),
            (Self::Transpose, _) => {
                let solve = || Ok(problem.operator.adjoint(problem.y.clone()));
                direct(problem, "transpose", solve)
            }
            (Self::ScaledTranspose, _) => {
                let solve = || Ok(scaled_transpose(problem));
                direct(problem, "transpose", solve)
            }
            (Self::L1, _) => {
                let weight = settings.l1;
                let problem = with(Prior::L1 { weight });
                iterate("primal-dual", &PrimalDual, &problem, limits, watch)
            }
            (Self::TotalVariation, _) => {
                let weight = settings.total_variation;
                let problem = with(Prior::TotalVariation { weight });
                iterate("primal-dual", &PrimalDual, &problem, limits, watch)
            }
            (Self::Codes, _) => {
                let noise = settings.wiener_noise.unwrap_or(0.0);
                let solver = PatchCodes { noise };
                iterate("half-quadratic", &solver, problem, limits, watch)
            }
            (Self::Wiener, _) => {
                let noise = settings.wiener_noise.unwrap_or(0.0);
                let operator = problem.in_double().operator;
                direct(problem, "per frequency", || {
                    wiener(&operator, &problem.y, noise)
                })
            }
        }
    }
}

/// `a W'y` with `a` such that `||a W W'y - y||` is least.
fn scaled_transpose(problem: &Inverse) -> Tensor<4> {
    let back = problem.operator.adjoint(problem.y.clone());
    let there = problem.operator.apply(back.clone());
    let factor = divide(dot(&there, &problem.y), dot(&there, &there));
    back * factor
}

fn iterate<S: Solver<Inverse>>(
    route: &'static str,
    solver: &S,
    problem: &Inverse,
    limits: &Limits,
    watch: &mut dyn Callback<Point<InverseEvaluation>>,
) -> Result<Recovery> {
    let solved = drive(solver, problem, problem.zeros(), limits, watch)?;
    Ok(Recovery { route, solved })
}

/// What is given by a formula: one point, at the end.
fn direct(
    problem: &Inverse,
    route: &'static str,
    solve: impl FnOnce() -> Result<Tensor<4>>,
) -> Result<Recovery> {
    let started = Instant::now();
    let found = solve()?;
    backend::sync(&problem.device())?;
    let seconds = started.elapsed().as_secs_f64();
    let at = problem.fit(&found);
    if !at.objective.is_finite() {
        return Err(Error::Numeric(format!(
            "the objective became {}; scale the filters or the image to ordinary sizes",
            at.objective
        )));
    }
    Ok(Recovery {
        route,
        solved: Solved {
            maps: found.clone(),
            codes: found,
            each: vec![at],
            curve: vec![Point {
                step: 0,
                seconds,
                at,
            }],
            reason: Reason::Direct,
        },
    })
}
