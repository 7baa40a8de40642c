//! Deconvolutional networks: learn filters from unlabelled images so that each image is a sum of
//! convolutions of sparse feature maps with filters shared by all images; stack such layers; infer
//! the maps of a new image by the same optimisation.
//!
//! # The model
//!
//! Layer `l` explains the planes below it, the image's channels for `l = 1` and the feature maps of
//! layer `l - 1` above that, by minimising over all images
//!
//! ```text
//! data_weight/2 sum_c m (sum_k g[c, k] z[k] * f[c, k] - y[c])^2  +  sparsity sum_k |z[k]|^p
//! ```
//!
//! | symbol | in the code | what it is |
//! |---|---|---|
//! | `y` | `images` | what is explained, `[n, C, H, W]`: the image, or the maps of the layer below |
//! | `z` | [`model::FeatureMaps`] | feature maps, each image has its own, `[n, K, H + h - 1, W + w - 1]` |
//! | `f` | [`model::Layer::filters`] | filters, shared by all images, `[C, K, h, w]` |
//! | `g` | [`connectivity::Connectivity`] | which map is connected to which plane, fixed, 0 or 1 |
//! | `*` | [`conv::synthesize`] | true convolution, the 'valid' part |
//! | `R` | [`model::Network::operator`] | the whole stack, from the top maps to the image |
//! | `m` | [`model::DataTerm`] | how much each pixel counts, 1 unless given |
//! | `lambda` | `data_weight` | weight of the data term in the paper; 1 elsewhere in the field |
//! | `p` | [`model::Objective::p`] | exponent of the penalty, `0 <= p <= 1` |
//! | `x`, `beta` | [`solve::HalfQuadratic`] | the auxiliary copy of the maps and the weight that ties it to them |
//!
//! # An example
//!
//! Code an image with fixed filters, and know how far the answer is from the best there is:
//!
//! ```
//! use deconvnet::{backend::Backend, connectivity::Connectivity, data::scenes, run};
//! use deconvnet::model::{Constraint, LayerConfig, Network, Objective};
//! use deconvnet::solve::{Fista, Limits, Method, Problem};
//!
//! let device = Backend::Flex.device()?;
//! let layer = LayerConfig::new(Connectivity::full(3, 4), [5, 5])
//!     .with_constraint(Constraint::UnitBall)
//!     .init(&device);
//! let images = run::to_tensor(&scenes::sample(0, 24, 7), &device);
//! let objective = Objective::new(1.0, 0.5, 1.0)?;
//! let problem = Problem::new(Network::new(vec![layer])?, images, objective)?;
//! let start = burn::tensor::Tensor::zeros(problem.maps_shape(), &device);
//! let limits = Limits { gap: Some(1e-3), ..Limits::default() };
//! let solved = Method::Fista(Fista::default()).code(&problem, start, &limits, &mut ())?;
//! let end = solved.last().at;
//! assert!(end.gap.is_some_and(|gap| gap <= 1e-3 * end.objective), "{}", solved.reason);
//! # Ok::<(), deconvnet::Error>(())
//! ```
//!
//! Learn a stack from images in memory: see [`train`].
//!
//! # Where things are
//!
//! | module | what is there |
//! |---|---|
//! | [`backend`] | the choice of who computes |
//! | [`group`] | processes that work on one task together, by MPI or threads |
//! | [`connectivity`], [`conv`], [`penalty`] | the parts of the equation: `g`, `*`, `\|z\|^p` |
//! | [`pooling`] | 3-D pooling with switches between layers: the adaptive model |
//! | [`pass`] | elementwise work as single passes over memory |
//! | [`linop`] | linear maps in stages with adjoints and norms; conjugate gradients, Lanczos steps |
//! | [`model`] | layers, networks, maps (dense and sparse), the data term and the objective |
//! | [`solve`] | the solvers for maps and filters, the loop that runs them, coding layer by layer |
//! | [`invert`] | the ways to invert a convolution |
//! | [`restore`] | images restored by greedy codes of patches |
//! | [`convnet`] | trained convnets: read, run forward, and back to the pixels |
//! | [`features`], [`classify`] | maps to feature vectors by words and a pyramid; support vector machines on them |
//! | [`data`], [`arrays`], [`picture`] | images in, arrays in and out, pictures out |
//! | [`config`], [`store`], [`run`] | settings, the run folder, and what a checkpoint holds |
//! | [`train`] | the trainer, over memory or a run folder |
//! | [`task`] | one file or folder for each command: arguments to calls and reports |
//! | [`report`] | tables as text and CSV, folders of results |
//! | `cli` | the command line (feature `command`) |
//!
//! # Sources
//!
//! - M. D. Zeiler, D. Krishnan, G. W. Taylor and R. Fergus, Deconvolutional Networks, CVPR 2010.
//! - T. Moreau, L. Oudre and N. Vayatis, DICOD: Distributed Convolutional Coordinate Descent for
//!   Convolutional Sparse Coding, ICML 2018.
//! - M. D. Zeiler, G. W. Taylor and R. Fergus, Adaptive Deconvolutional Networks for Mid and High Level
//!   Feature Learning, ICCV 2011.
//! - A. Beck and M. Teboulle, A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse
//!   Problems, SIAM J. Imaging Sciences, 2009.
#![warn(missing_docs)]

#[cfg(test)]
#[macro_use]
#[path = "../tests/support/says.rs"]
mod says;

pub mod arrays;
pub mod backend;
pub mod classify;
#[cfg(feature = "command")]
pub mod cli;
pub mod config;
pub mod connectivity;
pub mod conv;
pub mod convnet;
pub mod data;
pub mod error;
pub mod features;
mod files;
pub mod group;
pub mod invert;
pub mod linop;
mod machine;
pub mod model;
mod named;
pub mod pass;
pub mod penalty;
pub mod picture;
pub mod pooling;
pub mod problem;
pub mod report;
pub mod restore;
pub mod run;
pub mod solve;
pub mod store;
pub mod task;
pub mod train;

#[cfg(test)]
#[path = "../tests/support/skipped.rs"]
mod skipped;

pub use error::{Error, Result};
