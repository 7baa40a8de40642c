//! Linear maps between feature maps and planes, and the linear algebra that works with any of them.
//!
//! A [`Stack`] passes its input through [`Stage`]s in order: convolutions, unpooling at given
//! switches, margins, strides, weights.
//! It is applied, transposed, and bounded in norm without ever being written out as a matrix. The
//! Krylov methods here take a linear map as a function of a tensor.
//!
//! | what | where |
//! |---|---|
//! | a linear map, its adjoint and the bound of its norm | [`Stack`] |
//! | the bound for convolutions alone, by their transfer functions | [`spectral_bound`] |
//! | systems of equations | [`conjugate_gradients`] |
//! | the largest eigenvalue, from below | [`largest_eigenvalue`] |

mod bound;
mod krylov;
mod pad;
mod stage;
mod subsample;
mod synthesis;
mod unpool;
mod weight;

pub use bound::spectral_bound;
pub(crate) use krylov::{Bidiagonalisation, divide, dot, norm, singular_extremes};
pub use krylov::{Dot, conjugate_gradients, largest_eigenvalue};
pub use pad::{Border, Pad};
pub use stage::{Stack, Stage};
pub use subsample::Subsample;
pub use synthesis::Synthesis;
pub use unpool::Unpool;
pub use weight::Weight;

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution, StandardNormal};

/// Standard normal numbers, the same on every machine.
pub fn noise(count: usize, seed: u64) -> Vec<f64> {
    let rng = ChaCha8Rng::seed_from_u64(seed);
    StandardNormal.sample_iter(rng).take(count).collect()
}

/// Places along an axis, for `select`.
fn indices(all: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let all: Vec<i32> = all.into_iter().map(|i| i as i32).collect();
    let count = all.len();
    Tensor::from_data(TensorData::new(all, [count]), device)
}
