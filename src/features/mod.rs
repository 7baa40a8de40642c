//! Features of images, made from maps of any kind: what classifiers and searches work on.
//!
//! ```text
//! maps [K, H, W] -> magnitudes in n x n cells, every few pixels: descriptors of n n K numbers, normalised
//!                -> each descriptor as a code over words: the nearest one, or a few of the nearest
//!                -> codes added up, or their largest, in the parts of a pyramid: one vector an image
//! ```
//!
//! With the maps of a deconvolutional network this is the recognition system of 2010; with planes of
//! [`gradient::orientations`] it is dense SIFT under a spatial pyramid; with maps of one cell of one element
//! it takes the channels of a convnet as they are.
//!
//! # An example
//!
//! ```
//! use deconvnet::data::scenes;
//! use deconvnet::features::{Recipe, Words, gradient};
//!
//! let recipe = Recipe { word_count: 20, ..Recipe::default() };
//! let images = scenes::sample_set(2, 64, 1);
//! let describe = |image: &deconvnet::data::Image| {
//!     recipe.cells.describe(&gradient::orientations(&image.clone().grey(), 8))
//! };
//! let described = images.iter().map(describe).collect::<deconvnet::Result<Vec<_>>>()?;
//! let samples: Vec<f32> = described.iter().flat_map(|one| one.to_vec()).collect();
//! let words = Words::learn(&samples, described[0].dimension, recipe.word_count, 0)?;
//! let features = recipe.features(&described[0], Some(&words));
//! assert_eq!(features.len(), (1 + 4 + 16) * 20);
//! # Ok::<(), deconvnet::Error>(())
//! ```
//!
//! # Sources
//!
//! - M. D. Zeiler, D. Krishnan, G. W. Taylor and R. Fergus, Deconvolutional Networks, CVPR 2010 (cells of
//!   magnitudes, words, pyramid).
//! - S. Lazebnik, C. Schmid and J. Ponce, Beyond Bags of Features, CVPR 2006 (the pyramid and its weights).
//! - L. Liu, L. Wang and X. Liu, In Defense of Soft-assignment Coding, ICCV 2011 (codes over the nearest
//!   words, their largest).
//! - D. G. Lowe, Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004.

mod cells;
pub mod gradient;
mod product;
mod pyramid;
mod recipe;
mod words;

pub use cells::{Cells, Descriptors, Magnitude};
pub(crate) use product::products;
pub use pyramid::{Gather, Pyramid};
pub use recipe::{Coding, Preset, Recipe};
pub use words::{Code, Words};
