//! What a checkpoint holds beside the arrays.

use std::ops::Range;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::{Map, Value, json};

use crate::config::{Config, Form};
use crate::connectivity::Connectivity;
use crate::data::{Prepare, Rescaling};
use crate::error::{Error, Result};
use crate::files;
use crate::model::{Evaluation, Layer, Network, Objective};

/// Where learning has come to: what is to be done next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The stage: the layer in the layer-wise and the adaptive form; the joint form has one stage only.
    pub stage: usize,
    /// The epoch within the stage, from 0.
    pub epoch: usize,
    /// The batch within the epoch, from 0.
    pub batch: usize,
}

/// Sums over the part of the epoch that is done, so that a resumed epoch is told as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochSums {
    /// Images visited.
    pub images: usize,
    /// Objective of the codes before the filters were updated.
    pub after_codes: f64,
    /// Objective of the codes after.
    pub after_filters: f64,
    /// SNR of the maps that go on, dB.
    pub snr: f64,
    /// Images visited that have no SNR: they are flat, or their maps below are.
    #[serde(default)]
    pub without_snr: usize,
    /// Density of the codes.
    pub density: f64,
    /// Which maps were used by any image.
    pub used: Vec<bool>,
}

/// One image that the run learns from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The file; absent for a sample scene.
    #[serde(default, with = "files::stored_option")]
    pub path: Option<PathBuf>,
    /// `[channels, height, width]` after preprocessing.
    pub shape: [usize; 3],
    /// The file of its mask, where it has one.
    #[serde(
        default,
        with = "files::stored_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub mask: Option<PathBuf>,
    /// Checksum of the prepared pixels and their weights: a resume must find the same image and mask.
    pub crc32: u32,
    /// Whether all its pixels are alike: it has no SNR.
    #[serde(default)]
    pub flat: bool,
}

/// All that a checkpoint holds beside the arrays. It is written under a header:
///
/// ```text
/// { "kind": "deconvolutional-network", "model": {..}, "trainer": {..}, "metrics": [..] }
/// ```
///
/// Runs of format version 1 had the fields of all three side by side; they are still read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct State {
    /// The effective configuration.
    pub config: Config,
    /// The preprocessing, with what it learnt from the data set.
    pub prepare: Prepare,
    /// The images.
    pub images: Vec<Source>,
    /// The connectivity of every layer.
    pub connectivity: Vec<Connectivity>,
    /// Height and width of the filters of every layer.
    pub sizes: Vec<[usize; 2]>,
    /// The objective of every stage that was reached, with its weights worked out.
    pub objectives: Vec<Objective>,
    /// The rescaling of the maps of every layer that is done.
    pub rescaling: Vec<Option<Rescaling>>,
    /// What is to be done next.
    pub position: Position,
    /// The epoch so far.
    pub epoch: EpochSums,
    /// The lowest objective at the end of an epoch of this stage that was saved.
    pub best: Option<f64>,
    /// Steps that Adam has taken on the filters of each layer of the stage.
    pub adam_steps: Vec<usize>,
    /// Batches that an online learner remembers of each layer of the stage.
    #[serde(default, rename = "past_batches")]
    pub statistics_batches: Vec<usize>,
    /// Filters replaced so far because no image used them.
    pub resampled: usize,
    /// Seconds spent learning, over all sessions.
    pub seconds: f64,
    /// The last epoch of every stage that has one.
    #[serde(default)]
    pub metrics: Vec<TraceLine>,
}

/// One line of the trace: a batch, or, with `batch` absent, an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceLine {
    /// The stage, from 0.
    pub stage: usize,
    /// The epoch within it, from 0.
    pub epoch: usize,
    /// The batch within that; absent on the line that sums up the epoch.
    pub batch: Option<usize>,
    /// Images visited.
    pub images: usize,
    /// Mean objective per image after the maps were found.
    pub after_codes: f64,
    /// Mean objective per image after the filters were updated.
    pub after_filters: f64,
    /// Mean SNR in dB of the maps that go on; none where all images are flat.
    pub snr: Option<f64>,
    /// Mean share of non-zero codes.
    pub density: f64,
    /// Filters that no image used, found and replaced.
    pub resampled: usize,
    /// Seconds spent learning so far.
    pub seconds: f64,
}

/// The kind of model that a run holds; the checkpoint's header names it.
pub const KIND: &str = "deconvolutional-network";

/// The fields of a [`State`] that describe the model; the others are the trainer's.
const MODEL: [&str; 6] = [
    "config",
    "prepare",
    "connectivity",
    "sizes",
    "objectives",
    "rescaling",
];

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = Self::serialize(self, serde_json::value::Serializer);
        let Value::Object(mut fields) = fields.map_err(ser::Error::custom)? else {
            return Err(ser::Error::custom("the state is no map of fields"));
        };
        let metrics = fields.remove("metrics").unwrap_or_default();
        let is_model = |key: &String| MODEL.contains(&key.as_str());
        let (model, trainer): (Map<_, _>, Map<_, _>) =
            fields.into_iter().partition(|(key, _)| is_model(key));
        json!({ "kind": KIND, "model": model, "trainer": trainer, "metrics": metrics })
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut whole = Map::deserialize(deserializer)?;
        let fields = match whole.remove("kind") {
            Some(kind) if kind == KIND => {
                let mut fields = Map::new();
                for part in ["model", "trainer"] {
                    if let Some(Value::Object(part)) = whole.remove(part) {
                        fields.extend(part);
                    }
                }
                fields.extend(whole.remove_entry("metrics"));
                fields
            }
            Some(kind) => {
                return Err(de::Error::custom(format!(
                    "it holds a model of kind {kind}, and what was asked for works on a {KIND}"
                )));
            }
            // Format version 1.
            None => whole,
        };
        Self::deserialize(Value::from(fields)).map_err(de::Error::custom)
    }
}

impl State {
    /// Nothing learnt yet.
    ///
    /// # Errors
    /// [`crate::Error::Config`] where numbers of maps do not fit together.
    pub fn new(config: Config, prepare: Prepare, images: Vec<Source>) -> Result<Self> {
        Ok(Self {
            connectivity: config.connectivities()?,
            sizes: config.layers.iter().map(|l| l.size).collect(),
            config,
            prepare,
            images,
            objectives: Vec::new(),
            rescaling: Vec::new(),
            position: Position::default(),
            epoch: EpochSums::default(),
            best: None,
            adam_steps: Vec::new(),
            statistics_batches: Vec::new(),
            resampled: 0,
            seconds: 0.0,
            metrics: Vec::new(),
        })
    }

    /// Number of stages: one a layer in the layer-wise and the adaptive form, one in the joint form.
    pub fn stages(&self) -> usize {
        match self.config.train.form {
            Form::LayerWise | Form::Adaptive => self.config.layers.len(),
            Form::Joint => 1,
        }
    }

    /// The layers that a stage learns.
    pub fn layers_of(&self, stage: usize) -> Range<usize> {
        match self.config.train.form {
            Form::LayerWise => stage..stage + 1,
            Form::Adaptive => 0..stage + 1,
            Form::Joint => 0..self.config.layers.len(),
        }
    }

    /// The layer at the top of each stage that learning has reached.
    pub fn tops(&self) -> Vec<usize> {
        let stages = 0..self.objectives.len();
        stages.map(|stage| self.layers_of(stage).end - 1).collect()
    }

    /// Whether learning is done.
    pub fn finished(&self) -> bool {
        self.position.stage >= self.stages()
    }

    /// Gives the stage that is next, or where learning is done the last one, and those after it so many epochs in all.
    ///
    /// # Errors
    /// [`Error::Config`] for 0, and where the stage has had more.
    pub fn set_epochs(&mut self, epochs: usize) -> Result<()> {
        let stage = self.position.stage.min(self.stages() - 1);
        let layers = self.layers_of(stage);
        let had = match self.finished() {
            true => self.config.layers[layers.end - 1].epochs,
            false => self.position.epoch + usize::from(self.position.batch > 0),
        };
        if epochs < had {
            return Err(Error::Config(format!(
                "{epochs} epochs are those of layer {} in all, which has had {had} by now; give more",
                layers.end
            )));
        }
        if self.finished() && epochs > had {
            self.position = Position {
                stage,
                epoch: had,
                batch: 0,
            };
            self.rescaling.pop();
        }
        // Of the joint form the one stage has all layers.
        for layer in &mut self.config.layers[stage..] {
            layer.epochs = epochs;
        }
        self.config.check()
    }

    /// Whether the maps of every image are stored, for the next visit and the layer above.
    pub fn keeps_maps(&self) -> bool {
        self.config.keeps_maps()
    }

    /// How many layers have filters that are worth looking at.
    pub fn learnt_layers(&self) -> usize {
        match self.config.train.form {
            Form::Joint => self.config.layers.len(),
            Form::LayerWise | Form::Adaptive => self.objectives.len(),
        }
    }

    /// A network of the right shapes, all zero, to be filled from a record.
    pub(crate) fn blank(&self, device: &Device) -> Result<Network> {
        let layers = self.connectivity.iter().zip(&self.sizes);
        let layers = layers
            .zip(&self.config.layers)
            .map(|((g, &[h, w]), settings)| {
                let filters = Tensor::zeros([g.planes(), g.maps(), h, w], device);
                Layer::new(filters, g.clone())
                    .with_pool(settings.pool)
                    .with_boundary(self.config.train.boundary)
                    .with_map_weights(&settings.penalty_weights)
            });
        let mut network = Network::new(layers.collect())?;
        for (layer, rescaling) in network.layers_mut().iter_mut().zip(&self.rescaling) {
            layer.rescaling = *rescaling;
        }
        Ok(network)
    }
}

/// Sums of an epoch as its line in the trace.
impl EpochSums {
    /// Adds what a visit gave; an SNR that is not a number is one that an image does not have.
    pub fn add(&mut self, after_codes: &[Evaluation], after_filters: &[Evaluation], snr: &[f64]) {
        self.images += snr.len();
        let known = snr.iter().filter(|snr| snr.is_finite());
        self.without_snr += snr.len() - known.clone().count();
        self.after_codes += Evaluation::total(after_codes).objective;
        self.after_filters += Evaluation::total(after_filters).objective;
        self.snr += known.sum::<f64>();
        self.density += after_filters.iter().map(|e| e.density).sum::<f64>();
    }

    /// Adds the sums over other images.
    pub fn merge(&mut self, other: &Self) {
        self.images += other.images;
        self.without_snr += other.without_snr;
        self.after_codes += other.after_codes;
        self.after_filters += other.after_filters;
        self.snr += other.snr;
        self.density += other.density;
        let maps = self.used.len().max(other.used.len());
        self.used.resize(maps, false);
        for (so_far, now) in self.used.iter_mut().zip(&other.used) {
            *so_far |= now;
        }
    }

    /// The means, as a line of the trace.
    pub fn line(&self, position: Position, batch: Option<usize>, seconds: f64) -> TraceLine {
        let n = self.images.max(1) as f64;
        let with_snr = self.images.saturating_sub(self.without_snr);
        TraceLine {
            stage: position.stage,
            epoch: position.epoch,
            batch,
            images: self.images,
            after_codes: self.after_codes / n,
            after_filters: self.after_filters / n,
            snr: (with_snr > 0).then(|| self.snr / with_snr as f64),
            density: self.density / n,
            resampled: 0,
            seconds,
        }
    }
}
