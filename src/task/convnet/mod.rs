//! What `convnet` does, a file for each of its commands.

pub mod train;
