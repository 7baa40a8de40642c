//! The deconvolutional network as Burn modules.

mod layer;
mod maps;
mod network;
mod objective;

pub use layer::{Constraint, Layer};
pub use maps::FeatureMaps;
pub use network::Network;
pub(crate) use objective::Sums;
pub use objective::{Evaluation, Model, Objective, Terms};
