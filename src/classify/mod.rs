//! Classifiers of feature vectors: support vector machines, one class against the rest, and how good they are.
//!
//! Both kernels go through one solver: the products of all pairs of training vectors are worked out once,
//! then every class is learnt by coordinate descent on its dual. There are more features than images as a
//! rule, so that this is also the fastest way to a linear machine, and the intersection kernel needs no
//! approximation.
//!
//! ```
//! use deconvnet::classify::{Classifier, Kernel, Vectors, accuracy};
//!
//! // Two classes on two sides of a line.
//! let values: Vec<f32> = (0..20).flat_map(|k| [k as f32, 19.0 - k as f32]).collect();
//! let vectors = Vectors::new(values, 2)?;
//! let labels: Vec<usize> = (0..20).map(|k| usize::from(k >= 10)).collect();
//! let classifier = Classifier::learn(&vectors, &labels, 2, Kernel::Intersection, 10.0)?;
//! let told = classifier.classify(&vectors)?;
//! assert_eq!(accuracy(&labels, &told, 2).mean, 1.0);
//! # Ok::<(), deconvnet::Error>(())
//! ```
//!
//! # Sources
//!
//! - C.-J. Hsieh, K.-W. Chang, C.-J. Lin, S. S. Keerthi and S. Sundararajan, A Dual Coordinate Descent Method
//!   for Large-scale Linear SVM, ICML 2008.
//! - S. Maji, A. C. Berg and J. Malik, Classification using Intersection Kernel Support Vector Machines is
//!   Efficient, CVPR 2008.

mod classifier;
mod kernel;
mod score;
mod split;
mod svm;

pub use classifier::{Choice, Classifier, choose};
pub use kernel::{Kernel, Vectors};
pub use score::{Accuracy, accuracy};
pub use split::{Split, Splits};
pub use svm::{Dual, learn};
