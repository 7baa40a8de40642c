//! Deconvolutional networks.
#![warn(missing_docs)]

pub mod backend;
pub mod connectivity;
pub mod conv;
pub mod data;
pub mod error;
pub mod model;
pub mod penalty;
pub mod solve;

pub use error::{Error, Result};
