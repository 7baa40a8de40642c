//! What a checkpoint of a convnet holds beside the arrays.

use serde::{Deserialize, Serialize};

use super::labelled::Standardisation;
use super::network::Architecture;
use super::settings::Settings;

/// The kind of model that a run holds; the checkpoint's header names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A convnet.
    #[default]
    Convnet,
}

/// All that a checkpoint holds beside weights and velocities, in the layout of all runs:
///
/// ```text
/// { "kind": "convnet", "model": {..}, "trainer": {..}, "metrics": {..} }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What the run holds.
    pub kind: Kind,
    /// What is needed to use the weights.
    pub model: Model,
    /// What is needed to go on.
    pub trainer: Progress,
    /// The last epoch, where there is one.
    pub metrics: Option<TraceLine>,
}

/// What is needed to use the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The shape of the network.
    pub architecture: Architecture,
    /// How pixels are prepared.
    pub standardisation: Standardisation,
    /// The names of the classes.
    pub classes: Vec<String>,
}

/// Where learning has come to. Everything random is drawn from streams that the seed, the epoch and the
/// batch name, so nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What was asked for.
    pub settings: Settings,
    /// Checksum of the images and their classes.
    pub crc32: u32,
    /// The epoch to go on with, from 0.
    pub epoch: usize,
    /// The batch within it, from 0.
    pub batch: usize,
    /// The learning rate.
    pub rate: f64,
    /// The lowest mean cross-entropy of the held-out images so far.
    pub best: Option<f64>,
    /// Epochs since that or the rate has fallen.
    pub waited: usize,
    /// The epoch so far.
    pub sums: Sums,
    /// Seconds spent, over all sessions.
    pub seconds: f64,
}

/// Sums over images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Images.
    pub images: usize,
    /// Cross-entropy.
    pub loss: f64,
    /// Images whose class has the largest logit.
    pub right: usize,
}

/// One line of the trace: an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceLine {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The learning rate in it.
    pub rate: f64,
    /// Mean cross-entropy of the images learnt from, as they were seen, dropout included.
    pub loss: f64,
    /// Share of them that were told right then.
    pub accuracy: f64,
    /// Mean cross-entropy of the held-out images after the epoch.
    pub validation_loss: f64,
    /// Share of them that are told right.
    pub validation_accuracy: f64,
    /// Seconds spent so far, over all sessions.
    pub seconds: f64,
}

impl Sums {
    /// Adds logits `[classes, n]`, row-major, of images of the classes `labels`.
    pub fn add(&mut self, logits: &[f32], labels: &[usize]) {
        let n = labels.len();
        for (i, &label) in labels.iter().enumerate() {
            let of_image = || logits[i..].iter().step_by(n).map(|&v| f64::from(v));
            let top = of_image().fold(f64::NEG_INFINITY, f64::max);
            let own = f64::from(logits[label * n + i]);
            let log_sum = of_image().map(|v| (v - top).exp()).sum::<f64>().ln() + top;
            self.loss += log_sum - own;
            let place = of_image().position(|v| v == top);
            self.right += usize::from(place == Some(label));
        }
        self.images += n;
    }

    /// Mean cross-entropy.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    /// Share that is told right.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.images.max(1) as f64
    }
}
