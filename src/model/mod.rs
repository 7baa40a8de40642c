//! The deconvolutional network as Burn modules.

mod data_term;
mod layer;
mod maps;
mod network;
mod objective;
mod sparse;

pub use data_term::DataTerm;
pub use layer::{Constraint, Layer, LayerConfig};
pub use maps::FeatureMaps;
pub use network::{Network, NetworkConfig};
pub use objective::{Evaluation, Model, Objective, Terms};
pub(crate) use objective::{Sums, sums};
pub use sparse::SparseMaps;
