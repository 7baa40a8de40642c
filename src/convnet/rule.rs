//! The rules of the way back, and what is open to choice.

use serde::{Deserialize, Serialize};

use crate::named::named;

named! {
    /// What a rectifier does to a signal on its way back.
    #[derive(Default)]
    pub enum Rule: "rule" {
        /// The paper: what is positive passes.
        #[default]
        Deconvnet = "deconvnet",
        /// What is positive passes, where the rectifier was open.
        Guided = "guided",
        /// All passes where the rectifier was open: the derivative.
        Gradient = "gradient",
    }
}

/// Where tools differ; the defaults are the paper's, or else what most tools do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Rectifiers with a ceiling, such as ReLU6, go back by their derivative under every rule.
    pub ceiling_by_gradient: bool,
    /// Local response normalisation goes back by its derivative under every rule.
    pub response_by_gradient: bool,
    /// Pooling windows that hold nothing but zeros send nothing back.
    pub drop_empty_windows: bool,
}

/// How a signal goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// What rectifiers do.
    pub rule: Rule,
    /// What else is open to choice.
    pub options: Options,
}
