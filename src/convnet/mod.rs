//! Trained convnets: a graph of operators read from an ONNX file or trained here, its activations, and
//! their way back to the pixels.
//!
//! Source: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014.

pub mod proto;
pub mod training;
