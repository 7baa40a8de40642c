//! The configuration of a run: a TOML file, checked once, then stored in the checkpoint.

mod check;
mod layer;
mod suggestion;
#[cfg(test)]
mod tests;

pub use layer::{Connect, ConnectName, LayerSettings, Sparsity};
pub(crate) use suggestion::{Table, with_suggestion};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::connectivity::Connectivity;
use crate::data::Preprocess;
use crate::error::{Error, Result};
use crate::files;
use crate::group::Group;
use crate::model::{Boundary, Constraint, LayerConfig, NetworkConfig};
use crate::solve::{Adam, FilterStep, HalfQuadratic, Ista, Learner, Method, Schedule, SolverName};

/// Everything that decides a run. Every key has a default; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seed of filters, order of images, connectivity and noise.
    pub seed: u64,
    /// Who computes.
    pub backend: Backend,
    /// The images.
    pub data: Data,
    /// What is done to them first.
    pub preprocess: Preprocess,
    /// How maps and filters are learnt.
    pub train: Train,
    /// How often the run is saved.
    pub checkpoint: Checkpointing,
    /// The layers, the image side first.
    #[serde(rename = "layer")]
    pub layers: Vec<LayerSettings>,
}

/// Which images to learn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// A folder of images, searched recursively, one image, or a file of arrays, see
    /// [`crate::data::Reader`]; absent: the built-in sample scenes.
    #[serde(with = "files::stored_option")]
    pub images: Option<PathBuf>,
    /// Which pixels are known: a picture, black where one is missing, for all images, a folder with one of the same name
    /// for each, or a file of arrays `mask` or `weights`, see [`crate::data::Masks`].
    #[serde(with = "files::stored_option", skip_serializing_if = "Option::is_none")]
    pub mask: Option<PathBuf>,
    /// Patterns of names and paths below that folder to leave out, see [`crate::data::scan::scan`].
    pub exclude: Vec<String>,
    /// Colour (three channels) or grey (one) of pictures.
    pub colour: bool,
    /// Channels of each image of arrays, which decide it where it is left out; stored in the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Scale larger images down so that neither side is longer than this many pixels.
    pub max_side: Option<usize>,
    /// Take the first so many images only.
    pub limit: Option<usize>,
    /// How many sample scenes to draw.
    pub sample_count: usize,
    /// Height and width of the sample scenes in pixels.
    pub sample_size: usize,
}

impl Data {
    /// The number of channels of every image.
    pub fn planes(&self) -> usize {
        self.channels.unwrap_or(if self.colour { 3 } else { 1 })
    }
}

impl Default for Data {
    fn default() -> Self {
        Self {
            images: None,
            mask: None,
            exclude: Vec::new(),
            colour: true,
            channels: None,
            max_side: None,
            limit: None,
            sample_count: 10,
            sample_size: 100,
        }
    }
}

/// What each layer's maps explain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Layer by layer: layer l explains the maps of layer l - 1.
    #[default]
    LayerWise,
    /// Only the top maps are free, and the whole stack reconstructs the image.
    Joint,
    /// Layer by layer, and every layer explains the image, down through the layers below it at the
    /// switches of their pooled maps: the adaptive model of 2011.
    Adaptive,
}

/// When the filters are updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// After each batch of images (the authors' tool, with a batch of one).
    #[default]
    Batch,
    /// Once per epoch, from all images.
    Epoch,
    /// After each batch, by less and less: filters learnt from many images, each coded from the start
    /// at every visit. No maps are stored; what grows with the images is their list and the trace. For
    /// one layer; in the adaptive form for any number, with the maps stored.
    Online,
}

/// How maps and filters are learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Layer-wise, joint or adaptive.
    pub form: Form,
    /// The solver.
    pub solver: SolverName,
    /// Images coded side by side; images of different sizes never share a batch.
    pub batch: usize,
    /// When the filters are updated.
    pub update_filters: Update,
    /// What every filter has to satisfy.
    pub constraint: Constraint,
    /// What maps are beyond the planes that they explain. Layer-wise and joint form only, but for `valid`.
    pub boundary: Boundary,
    /// Replace filters that no image uses, at the end of each epoch but the last.
    pub resample_dead: bool,
    /// Shift and scale all maps of a layer together to this range, zero mean, before the next layer
    /// explains them; 0: leave them. Layer-wise form only.
    pub rescale_maps: f64,
    /// Standard deviation of the noise that maps start from.
    pub start_noise: f64,
    /// Values of beta of the split solver.
    pub beta: Schedule,
    /// Conjugate gradient steps of the split solver on the maps, for each beta.
    pub cg: usize,
    /// Conjugate gradient steps of the split solver on the filters.
    pub cg_filters: usize,
    /// Steps on each visit of a batch by fista, adam and ista.
    pub steps: usize,
    /// Rounds on each visit of a batch by descent. From maps of zeros, as online, the weight of the
    /// penalty falls by half from round to round: take a few more than bring it to its value.
    pub rounds: usize,
    /// Gradient steps of fista, descent and ista on the filters; 0 leaves them as they began.
    pub filter_steps: usize,
    /// Learning rates and decays of adam.
    pub adam: Adam,
    /// Learning rate of the filters under adam.
    pub filter_rate: f64,
    /// Momentum, switches and step of ista.
    pub ista: Ista,
    /// Adaptive form: whether learning a layer also moves the filters of the layers below it.
    pub refine: bool,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            form: Form::LayerWise,
            solver: SolverName::HalfQuadratic,
            batch: 1,
            update_filters: Update::Batch,
            constraint: Constraint::UnitPlanes,
            boundary: Boundary::Valid,
            resample_dead: true,
            rescale_maps: 2.0,
            start_noise: 0.0,
            beta: Schedule::default(),
            cg: 2,
            cg_filters: 2,
            steps: 30,
            rounds: 5,
            filter_steps: 5,
            adam: Adam::default(),
            filter_rate: 0.003,
            ista: Ista::default(),
            refine: false,
        }
    }
}

/// How often the run is saved and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpointing {
    /// Save when this many seconds have passed since the last save; besides, at the end of every layer.
    pub every_seconds: f64,
    /// Keep so many of the last checkpoints, and that of the epoch with the lowest objective of those that were saved.
    pub keep: usize,
}

impl Default for Checkpointing {
    fn default() -> Self {
        Self {
            every_seconds: 30.0,
            keep: 2,
        }
    }
}

impl Default for Config {
    /// What `train` does when nothing is said: 9, 45 and 150 maps as in the paper, on the sample
    /// scenes.
    fn default() -> Self {
        let layer = |maps, connect, p, data_weight| LayerSettings {
            maps: Some(maps),
            connect: Connect::Named(connect),
            p,
            data_weight,
            ..LayerSettings::default()
        };
        Self {
            seed: 0,
            backend: Backend::Flex,
            data: Data::default(),
            preprocess: Preprocess::local_mean(),
            train: Train::default(),
            checkpoint: Checkpointing::default(),
            layers: vec![
                // Rescaled maps are small: with the weight of layer 1 the layers above would leave
                // nearly all of them unexplained.
                layer(9, ConnectName::Full, 0.8, 1.0),
                layer(45, ConnectName::SinglesAndPairs, 0.8, 10.0),
                layer(150, ConnectName::RandomPairs, 1.0, 10.0),
            ],
        }
    }
}

/// Where the keys of a configuration are, each table with a text that begins it.
const TABLES: &[Table] = &[
    ("at the top, before every table", ""),
    ("under [data]", "[data]"),
    ("under [preprocess]", "[preprocess]\nkind = \"local-mean\""),
    (
        "under [preprocess]",
        "[preprocess]\nkind = \"contrast-normalize\"",
    ),
    ("under [train]", "[train]"),
    ("under [train.beta]", "[train.beta]"),
    ("under [train.adam]", "[train.adam]"),
    ("under [train.ista]", "[train.ista]"),
    ("under [checkpoint]", "[checkpoint]"),
    ("under [[layer]]", "[[layer]]"),
];

/// The text of a file of settings, which is not to be empty.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Config`] where it is empty.
pub(crate) fn read_settings(path: &Path) -> Result<String> {
    let text = String::from_utf8(files::read(path)?)
        .map_err(|error| Error::Config(format!("{} is no text: {error}", path.display())))?;
    if text.trim().is_empty() {
        return Err(Error::Config(format!(
            "{} is empty; to have the defaults, leave it out",
            path.display()
        )));
    }
    Ok(text)
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Config`] where it is not what is expected,
    /// with the line and, for an unknown key, the nearest right one.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_settings(path)?;
        let config = Self::parse(&text)
            .map_err(|error| Error::Config(format!("{}: {error}", path.display())))?;
        Ok(config)
    }

    /// Parses and checks a text.
    ///
    /// # Errors
    /// As [`Config::read`].
    ///
    /// # Examples
    ///
    /// ```
    /// use deconvnet::config::Config;
    ///
    /// let config = Config::parse("[train]\nsolver = \"fista\"\n[[layer]]\nmaps = 9\nsize = 7\n")?;
    /// assert_eq!(config.network()?.layers.len(), 1);
    /// let typo = Config::parse("[[layer]]\nmap = 9\nsize = 7\n").unwrap_err();
    /// assert!(typo.to_string().contains("maps"));
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)
            .map_err(|error| Error::Config(with_suggestion::<Self>(&error, TABLES)))?;
        config.check()?;
        Ok(config)
    }

    /// As TOML, every key spelt out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// The connectivity of every layer, from the image up.
    ///
    /// # Errors
    /// [`Error::Config`] where numbers of maps do not fit together.
    pub fn connectivities(&self) -> Result<Vec<Connectivity>> {
        let mut planes = self.data.planes();
        let mut all = Vec::new();
        for (l, layer) in self.layers.iter().enumerate() {
            let g = layer
                .connectivity(planes, self.seed.wrapping_add(1000 + l as u64))
                .map_err(|error| Error::Config(format!("layer {}: {error}", l + 1)))?;
            planes = layer.pool.pooled_maps(g.maps());
            all.push(g);
        }
        Ok(all)
    }

    /// The layers with their first filters, random ones.
    ///
    /// # Errors
    /// As [`Config::connectivities`].
    pub fn network(&self) -> Result<NetworkConfig> {
        let layers = self.connectivities()?.into_iter().zip(&self.layers);
        let layers = layers.enumerate().map(|(l, (g, settings))| {
            LayerConfig::new(g, settings.size)
                .with_constraint(self.train.constraint)
                .with_pool(settings.pool)
                .with_boundary(self.train.boundary)
                .with_penalty_weights(settings.penalty_weights.clone())
                .with_seed(self.seed.wrapping_add(l as u64))
        });
        Ok(NetworkConfig {
            layers: layers.collect(),
        })
    }

    /// Whether the maps of every image are stored, for the next visit and the layer above.
    pub fn keeps_maps(&self) -> bool {
        self.train.update_filters != Update::Online || self.train.form == Form::Adaptive
    }

    /// The learner that the settings describe.
    pub fn learner(&self) -> Learner {
        self.learner_by(self.method(self.train.solver))
    }

    /// The same with another solver for the maps.
    pub fn learner_by(&self, codes: Method) -> Learner {
        let train = &self.train;
        let (steps, filters) = match &codes {
            Method::HalfQuadratic(split) => {
                let cg = train.cg_filters;
                (split.schedule.steps, FilterStep::LeastSquares { cg })
            }
            Method::CoordinateDescent(_) => (train.rounds, self.filter_gradients()),
            _ => (train.steps, self.filter_gradients()),
        };
        Learner {
            codes,
            steps,
            filters,
            filter_rate: train.filter_rate,
            constraint: train.constraint,
            all_layers: train.form != Form::Adaptive || train.refine,
            group: Group::alone(),
        }
    }

    fn filter_gradients(&self) -> FilterStep {
        FilterStep::ProjectedGradient {
            steps: self.train.filter_steps,
        }
    }

    /// A solver for the maps, with the settings of this configuration.
    pub fn method(&self, name: SolverName) -> Method {
        let train = &self.train;
        match name.method() {
            Method::HalfQuadratic(_) => Method::HalfQuadratic(HalfQuadratic {
                schedule: train.beta,
                cg: train.cg,
            }),
            Method::Adam(_) => Method::Adam(train.adam),
            Method::Ista(_) => Method::Ista(train.ista),
            usual => usual,
        }
    }
}
