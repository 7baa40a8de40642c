//! Images restored by sparse codes: noise taken away, missing pixels filled in.
//!
//! Patches of the size of the filters are coded greedily at every pixel and averaged: convolutional codes with the
//! filters on all grids of their size, shifted pixel by pixel. The mean of a patch, its low frequencies, stands
//! apart; the coefficients are those of least squares on the filters chosen, without the bias of an L1 penalty.
//! A second pass codes groups of patches that look alike in their own principal components.
//!
//! - [`Denoiser`]: white noise; [`estimate_sigma`] tells how strong it is, [`anscombe`] makes that of counts white;
//! - [`Inpainter`]: missing pixels, from an [`interpolate`]d image on; [`impulses`] finds salt and pepper;
//! - [`Filters`]: built in, learnt, given, or adapted to the noisy image.

mod denoise;
mod filters;
mod groups;
mod inpaint;
mod interpolate;
mod learning;
mod noise;
mod patches;
mod planes;

pub use denoise::{Denoiser, Step};
pub use filters::Filters;
pub use inpaint::Inpainter;
pub use interpolate::interpolate;
pub use noise::{anscombe, anscombe_mean, estimate_sigma, estimate_sigma_by_rows, impulses};

#[cfg(test)]
pub(crate) mod tests;
