//! Training a convnet as in the paper: five convolutions with rectification, max pooling and response
//! normalisation, three linear layers with dropout, stochastic gradient descent with momentum at a rate
//! that falls where the loss on held-out images no longer does, filters scaled down where they outgrow the
//! others, images moved and mirrored at random.
//!
//! What differs from the paper, and why:
//!
//! | paper | here |
//! |---|---|
//! | weights of deviation 1e-2 | [`InitialWeights::Scaled`]: with the other a small network does not learn |
//! | ten crops of 224 out of 256 pixels | shifts by up to an eighth of the side, reflected at the border |
//! | the mean image is subtracted | the mean of each channel, and its deviation is divided by |
//! | the rate falls by hand | to a tenth, after some epochs without a fall of the loss on held-out images, which is smoother than their error |
//! | 224 pixels, 1000 classes | any side from 7 pixels, with fewer maps and halvings: [`Architecture`] |
//!
//! # Examples
//! ```
//! use burn::tensor::Device;
//! use deconvnet::convnet::training::{Settings, Trainer};
//!
//! let folder = std::env::temp_dir().join(format!("convnet-{}", std::process::id()));
//! let settings = Settings {
//!     samples: 8,
//!     size: Some(16),
//!     epochs: 1,
//!     ..Settings::default()
//! };
//! let mut trainer = Trainer::start(settings, &folder, &Device::flex())?;
//! trainer.train(&mut ())?;
//! assert!(folder.join("model-epoch001.onnx").exists());
//! # std::fs::remove_dir_all(folder).ok();
//! # Ok::<(), deconvnet::Error>(())
//! ```
//!
//! Source: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014,
//! section 3, after A. Krizhevsky, I. Sutskever and G. Hinton, NIPS 2012.

pub mod export;
mod labelled;
mod network;
mod settings;
mod state;
mod trainer;

#[cfg(test)]
mod export_tests;
#[cfg(test)]
mod tests;

pub use labelled::{DataSet, LabelledImages, Standardisation, View};
pub use network::{
    Architecture, Convolution, InitialWeights, Layer, Network, descend, normalisation,
};
pub use settings::Settings;
pub use state::{Model, Progress, State, Sums, TraceLine};
pub use trainer::{KEPT_EPOCHS, Trainer, read};
