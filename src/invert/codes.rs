//! Sparse codes of patches as the prior.

use burn::tensor::{Tensor, TensorData};

use super::Inverse;
use crate::data::Image;
use crate::error::{Error, Result};
use crate::linop::{Dot, conjugate_gradients};
use crate::restore::{Denoiser, Filters};
use crate::solve::{Reason, Solver};

/// Rounds from the first strength of the prior to the last.
const ROUNDS: usize = 12;
/// The first standard deviation that is taken for noise: there the estimate is still mostly blur.
const FIRST: f64 = 49.0 / 255.0;
/// The least that is believed of a noise: a quarter of what eight bits resolve.
const LEAST: f64 = 0.25 / 255.0;
/// How much the prior weighs against the data.
const WEIGHT: f64 = 0.23;
/// Conjugate gradients of a round, from the estimate of the last.
const GRADIENTS: usize = 30;

/// An image whose patches have sparse codes, and that explains `y`, by half-quadratic splitting:
///
/// ```text
/// x = argmin 1/2 ||W x - y||^2 + mu/2 ||x - z||^2,   mu = 0.23 noise^2 / s^2
/// z = denoised(x, s)
/// ```
///
/// in twelve rounds, `s` falling from 49 of 255 to the noise of `y`; `denoised` is [`Denoiser`], which takes
/// `x - z` for white noise of standard deviation `s`. The answer is `z`. There is no objective that all of it
/// descends; what is reported is the error of the data.
///
/// Sources: D. Zoran and Y. Weiss 2011, for the splitting with a prior of patches; K. Zhang and others, IRCNN
/// 2017 and DPIR 2021, for the schedule and the weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchCodes {
    /// The standard deviation of the noise of `y`.
    pub noise: f64,
}

/// The estimates and the round.
#[derive(Clone, Debug)]
pub struct PatchCodesState {
    x: Tensor<4>,
    z: Tensor<4>,
    back: Tensor<4>,
    denoiser: Denoiser,
    round: usize,
}

impl PatchCodes {
    /// Whether it can be used on a problem.
    ///
    /// # Errors
    /// [`Error::Config`] for images that are neither grey nor of three channels.
    pub fn fits(problem: &Inverse) -> Result<()> {
        let [channels, ..] = problem.operator.input();
        match channels {
            1 | 3 => Ok(()),
            _ => Err(Error::Config(format!(
                "the codes of patches are for grey images and colours, not for {channels} channels; use \
                 total-variation"
            ))),
        }
    }

    fn strength(&self, round: usize) -> f64 {
        let last = self.noise.max(LEAST);
        let first = FIRST.max(last);
        first * (last / first).powf(round as f64 / (ROUNDS - 1) as f64)
    }
}

impl Solver<Inverse> for PatchCodes {
    type State = PatchCodesState;

    fn init(&self, problem: &Inverse, _: Tensor<4>) -> PatchCodesState {
        let back = problem.operator.adjoint(problem.y.clone());
        PatchCodesState {
            x: back.clone(),
            z: back.clone(),
            back,
            denoiser: Denoiser::new(Filters::built_in()),
            round: 0,
        }
    }

    fn step(&self, problem: &Inverse, state: &mut PatchCodesState) {
        let s = self.strength(state.round);
        let mu = WEIGHT * self.noise.max(LEAST).powi(2) / (s * s);
        let normal = |x: Tensor<4>| {
            let there = problem.operator.apply(x.clone());
            problem.operator.adjoint(there) + x * mu
        };
        let right = state.back.clone() + state.z.clone() * mu;
        state.x = conjugate_gradients(normal, right, state.z.clone(), GRADIENTS, Dot::Whole);
        let denoised = state.denoiser.denoise(&to_image(&state.x), s, &mut ());
        // What is not finite is told when it is evaluated.
        state.z = denoised.map_or_else(|_| state.x.clone(), |image| tensor(&image, &state.x));
        state.round += 1;
    }

    fn codes(&self, state: &PatchCodesState) -> Tensor<4> {
        state.z.clone()
    }

    fn done(&self, state: &PatchCodesState) -> Option<Reason> {
        (state.round >= ROUNDS).then_some(Reason::Schedule)
    }
}

/// A tensor as planes.
pub(crate) fn to_image(x: &Tensor<4>) -> Image {
    let [_, channels, height, width] = x.dims();
    Image::new([channels, height, width], x.to_data().iter().collect())
}

fn tensor(image: &Image, like: &Tensor<4>) -> Tensor<4> {
    let data = TensorData::new(image.values.clone(), like.dims());
    Tensor::from_data(
        data.convert_dtype(like.dtype()),
        (&like.device(), like.dtype()),
    )
}
