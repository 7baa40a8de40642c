//! Inverting a convolution: recovering `x` from `y = W x + noise` by several methods.
//!
//! `W` is a convolution layer without bias, an [`Operator`]. Its singular values ([`Analysis`]) decide
//! what can be recovered:
//!
//! - With fewer rows than columns, or a singular `W`, many `x` give the same `y`. The pseudo-inverse
//!   and every method that starts from zero and moves along gradients `W'r` find the one of least
//!   norm; the part of `x` in the null space of `W` is lost, whatever the method.
//! - Where `W` has small singular values, noise in `y` is amplified by their reciprocals. Truncation,
//!   Tikhonov's term, a prior or an early stop trade that for a bias.
//! - The transposed convolution `W'` is the adjoint of `W`, not its inverse: it is right only where all
//!   singular values are one.
//!
//! ```
//! use burn::tensor::{DType, Tensor};
//! use deconvnet::backend::Backend;
//! use deconvnet::invert::{Decomposition, Inverse, InverseMethod, Kernel, Operator, Padding, Settings};
//! use deconvnet::solve::Limits;
//!
//! let device = Backend::Flex.device()?;
//! let filters = Kernel::Taps { taps: vec![0.25, 1.0, 0.25] }.filters(1)?;
//! let operator = Operator::new(filters.tensor(&device, DType::F64), [1, 1], Padding::Zeros, [1, 1, 5])?;
//! let x = Tensor::<4>::from_data([[[[1.0, 2.0, 0.0, 0.0, 3.0]]]], (&device, DType::F64));
//! let problem = Inverse::new(operator.clone(), operator.apply(x.clone()))?.with_truth(x);
//! let known = Decomposition::new(&operator)?;
//! let (settings, limits) = (Settings::default(), Limits::default());
//! let method = InverseMethod::PseudoInverse;
//! let recovery = method.run(&problem, &settings, known.as_ref(), &limits, &mut ())?;
//! assert!(recovery.solved.last().at.error.is_some_and(|error| error < 1e-14));
//! # Ok::<(), deconvnet::Error>(())
//! ```
//!
//! # Sources
//! - G. Golub and C. Van Loan, Matrix Computations, chapters 2 and 5, for the pseudo-inverse.
//! - P. C. Hansen, Rank-Deficient and Discrete Ill-Posed Problems, 1998, for regularisation.

mod adam;
mod analysis;
mod cg;
mod circular;
mod codes;
mod decomposition;
mod dense;
mod kernel;
mod lbfgs;
mod lsqr;
mod method;
mod operator;
mod primal_dual;
mod problem;
mod variation;
mod wiener;

pub use adam::InverseAdam;
pub use analysis::Analysis;
pub use cg::ConjugateGradients;
pub use circular::LARGEST_BLOCKS;
pub use codes::PatchCodes;
pub(crate) use codes::to_image;
pub use decomposition::{Decomposition, Regularise};
pub use dense::LARGEST;
pub use kernel::{Filters, Kernel};
pub use lbfgs::Lbfgs;
pub use lsqr::Lsqr;
pub use method::{InverseMethod, Recovery, Settings};
pub use operator::{Operator, Padding};
pub use primal_dual::PrimalDual;
pub use problem::{Inverse, InverseEvaluation, Prior};
pub use wiener::{wiener, wiener_fits};

pub use crate::linop::noise;
