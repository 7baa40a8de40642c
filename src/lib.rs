//! Deconvolutional networks.
#![warn(missing_docs)]

pub mod arrays;
pub mod backend;
pub mod config;
pub mod connectivity;
pub mod conv;
pub mod data;
pub mod error;
mod files;
pub mod model;
pub mod penalty;
pub mod picture;
pub mod problem;
pub mod run;
pub mod solve;
pub mod store;
pub mod task;

pub use error::{Error, Result};
