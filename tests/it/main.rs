//! Tests of the library as a whole, through its public interface: one program, because linking
//! is slow.

#[macro_use]
#[path = "../support/says.rs"]
mod says;

mod arrays;
mod backends;
mod conv;
mod convnet;
mod epochs;
mod gpu;
mod invert;
mod kernels;
mod linop;
mod missing;
mod model;
mod passes;
mod penalty;
mod pooling;
mod reference;
mod resume;
#[path = "../support/skipped.rs"]
mod skipped;
mod solve;
mod structure;
mod support;
mod together;
mod versions;
