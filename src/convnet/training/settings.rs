//! What a training run is asked to do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::network::InitialWeights;
use crate::backend::Backend;
use crate::error::{Error, Result};

/// Settings of a training run; the defaults are the paper's where it states them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A folder with a folder of images for each class; sample scenes where absent.
    #[serde(with = "crate::files::stored_option")]
    pub data: Option<PathBuf>,
    /// A folder of the same classes that only measures; every tenth image where absent.
    #[serde(with = "crate::files::stored_option")]
    pub validation: Option<PathBuf>,
    /// Patterns of what is left out of both folders.
    pub exclude: Vec<String>,
    /// Sample scenes of each kind, where no folder is given.
    pub samples: usize,
    /// Side that images are scaled to, pixels; that of the first image, at most 224, where absent.
    pub size: Option<usize>,
    /// Share of the published numbers of maps; by the side where absent.
    pub width: Option<f64>,
    /// Epochs.
    pub epochs: usize,
    /// Images of a step.
    pub batch: usize,
    /// The learning rate at the start.
    pub rate: f64,
    /// Share of a step that goes on into the next.
    pub momentum: f64,
    /// Weight of the penalty `decay / 2 |w|^2`, of the weights, not of the biases.
    pub decay: f64,
    /// The rate falls to a tenth where the loss on held-out images has not fallen for so many epochs; a
    /// tenth of all epochs, at least one, where absent.
    pub patience: Option<usize>,
    /// Share of the units of the hidden linear layers that are left out in a step.
    pub dropout: f64,
    /// Size of the weights at the start.
    pub initial: InitialWeights,
    /// Filters of the convolutions whose root mean square exceeds this are scaled down to it.
    pub radius: f64,
    /// Whether images are moved and mirrored at random.
    pub augment: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// Who computes.
    pub backend: Backend,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: None,
            validation: None,
            exclude: Vec::new(),
            samples: 200,
            size: None,
            width: None,
            epochs: 70,
            batch: 128,
            rate: 1e-2,
            momentum: 0.9,
            decay: 5e-4,
            patience: None,
            dropout: 0.5,
            initial: InitialWeights::default(),
            radius: 0.1,
            augment: true,
            seed: 0,
            backend: Backend::default(),
        }
    }
}

impl Settings {
    /// Epochs without a fall of the loss on held-out images after which the rate falls.
    pub fn patience(&self) -> usize {
        self.patience.unwrap_or(self.epochs / 10).max(1)
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn check(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::Config(text));
        if self.epochs == 0 || self.batch == 0 {
            return wrong("epochs and batch must be at least 1".into());
        }
        if self.data.is_none() && self.validation.is_some() {
            return wrong(
                "images to measure by are of no use without images to learn from: give both folders"
                    .into(),
            );
        }
        if self.data.is_none() && self.samples == 0 {
            return wrong("samples is 0: at least 1 scene of each kind is needed".into());
        }
        let positive = [("rate", self.rate), ("radius", self.radius)];
        for (name, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return wrong(format!("{name} is {value}: choose a number above 0"));
            }
        }
        if !(self.decay >= 0.0 && self.decay.is_finite()) {
            return wrong(format!("decay is {}: choose 0 or more", self.decay));
        }
        for (name, value) in [("momentum", self.momentum), ("dropout", self.dropout)] {
            if !(0.0..1.0).contains(&value) {
                return wrong(format!(
                    "{name} is {value}: choose from 0 up to, not including, 1"
                ));
            }
        }
        Ok(())
    }
}
