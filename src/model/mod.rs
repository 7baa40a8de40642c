//! The deconvolutional network as Burn modules.

mod boundary;
mod data_term;
mod layer;
mod maps;
mod network;
mod objective;
mod sparse;
mod sums;

pub use boundary::Boundary;
pub use data_term::DataTerm;
pub use layer::{Constraint, Layer, LayerConfig};
pub use maps::FeatureMaps;
pub(crate) use maps::{alone, strongest};
pub use network::{Network, NetworkConfig};
pub(crate) use objective::{DualSums, Sums, along, per_weight};
pub use objective::{Evaluation, Model, Objective, Terms};
pub use sparse::SparseMaps;
pub(crate) use sums::sums as totals;
