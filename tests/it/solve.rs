//! The solvers against problems whose answer is known.

mod codes;
mod descent;
mod drive;
mod filters;
mod learn;
mod maps;
mod pooled;
mod weights;
