//! Trained convnets: a graph of operators read from an ONNX file or trained here, its activations, and
//! their way back to the pixels.
//!
//! [`Model::read`] reads a file; [`Convnet::new`] makes it ready for images of one size on a device;
//! [`Convnet::record`] runs images through; [`Convnet::project`] takes a signal at any value back to the
//! pixels by a [`Rule`].
//!
//! Source: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014.

mod change;
mod fuse;
mod graph;
mod lookup;
mod model;
mod names;
mod operator;
mod preprocess;
pub mod proto;
mod random;
mod receptive;
mod reverse;
mod rule;
mod strongest;
pub mod training;
mod unit;
mod value;
mod weights;

pub use graph::{Convnet, Layer, Step, Tape};
pub use model::{Layout, Model};
pub use operator::Operator;
pub use preprocess::{Changes, Preprocess, Preset};
pub use random::Weights;
pub use receptive::Field;
pub use rule::{Options, Rule, Walk};
pub use strongest::{Keep, Strongest, Winner};
pub use unit::{Unit, ravel, signals, unravel};
pub use value::Map;
