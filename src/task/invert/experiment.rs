//! The settings of an experiment: a TOML file, checked once.

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use crate::arrays;
use crate::backend::Backend;
use crate::config::{Table, read_settings, with_suggestion};
use crate::error::{Error, Result};
use crate::files;
use crate::invert::{InverseMethod, Kernel, Padding, Settings};
use crate::named::named;
use crate::store::CheckpointSelector;

/// Everything that decides an experiment. Every key has a default; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Experiment {
    /// Seed of a random image and of the noise.
    pub seed: u64,
    /// Who computes what iterates.
    pub backend: Backend,
    /// In which numbers; absent: double on a CPU, single elsewhere.
    pub precision: Option<Precision>,
    /// What is to be recovered.
    pub input: Input,
    /// The built-in filters, unless others are given.
    pub kernel: Kernel,
    /// A `.npz` or `.safetensors` file with the filters `[out, in, h, w]`, in place of `kernel`; one
    /// filter `[1, 1, h, w]` or `[h, w]` is applied to every channel.
    #[serde(with = "files::stored_option")]
    pub filters: Option<PathBuf>,
    /// The array of that file, where it holds several.
    pub array: Option<String>,
    /// Whether `kernel` or `filters` are correlated with the image, as in convolutional networks; else
    /// they are convolved with it, as by `scipy.signal.convolve2d`.
    pub correlate: bool,
    /// Whether every filter is divided by the sum of its taps.
    pub normalise: bool,
    /// A run whose learnt filters are taken, in place of `kernel`: each map's filter is correlated
    /// with the planes below, `[maps, planes, h, w]`.
    #[serde(with = "files::stored_option")]
    pub checkpoint: Option<PathBuf>,
    /// Which checkpoint of that run.
    pub at: CheckpointSelector,
    /// Which layer of that run, from 1.
    pub layer: usize,
    /// The stride down and to the right.
    pub stride: [usize; 2],
    /// What is beyond the border.
    pub padding: Padding,
    /// Standard deviation of the noise added to `W x`, or known to be in what was observed.
    pub noise: f64,
    /// The noise levels of the picture of errors against noise; absent: five levels where the image is
    /// known and there is a decomposition, none otherwise.
    pub noise_levels: Option<Vec<f64>>,
    /// The ways to be compared, in the order of the table.
    pub ways: Vec<InverseMethod>,
    /// Their settings.
    pub settings: Settings,
    /// The most steps of what iterates.
    pub steps: usize,
    /// The most seconds of what iterates, each way by itself.
    pub seconds: Option<f64>,
}

impl Default for Experiment {
    fn default() -> Self {
        Self {
            seed: 0,
            backend: Backend::Flex,
            precision: None,
            input: Input::default(),
            kernel: Kernel::Gaussian {
                sigma: 1.0,
                size: None,
            },
            filters: None,
            array: None,
            correlate: false,
            normalise: false,
            checkpoint: None,
            at: CheckpointSelector::Last,
            layer: 1,
            stride: [1, 1],
            padding: Padding::Circular,
            noise: 0.0,
            noise_levels: None,
            ways: vec![
                InverseMethod::PseudoInverse,
                InverseMethod::Adam,
                InverseMethod::Lbfgs,
                InverseMethod::Transpose,
                InverseMethod::ScaledTranspose,
            ],
            settings: Settings::default(),
            steps: 1000,
            seconds: None,
        }
    }
}

/// What is to be recovered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Input {
    /// A built-in sample scene, in colour or grey as the filters need it.
    Scene {
        /// Height and width in pixels.
        size: usize,
        /// Which of the series.
        #[serde(default)]
        index: usize,
    },
    /// An image file, in colour or grey as the filters need it.
    Image {
        /// The file.
        #[serde(with = "files::stored")]
        path: PathBuf,
        /// Scale it down so that neither side is longer than this many pixels.
        #[serde(default)]
        max_side: Option<usize>,
    },
    /// Random numbers, uniform from 0 to 1.
    Random {
        /// Channels, height and width.
        shape: [usize; 3],
        /// The share of elements that are kept; the others are 0.
        #[serde(default = "whole")]
        density: f64,
    },
    /// An array `[channels, height, width]` or `[height, width]` of a `.npz` or `.safetensors` file.
    Array {
        /// The file.
        #[serde(with = "files::stored")]
        path: PathBuf,
        /// Its name.
        #[serde(default = "x")]
        name: String,
    },
    /// What was convolved already, where the image that it was made from is not known: an image file,
    /// or an array `[channels, height, width]` of a `.npz` or `.safetensors` file. Of the images that
    /// give this size the one is sought whose sides the stride divides, or the smallest one where
    /// there is no padding.
    Observed {
        /// The file.
        #[serde(with = "files::stored")]
        path: PathBuf,
        /// The name of the array.
        #[serde(default = "y")]
        name: String,
    },
}

impl Default for Input {
    fn default() -> Self {
        Self::Scene { size: 64, index: 0 }
    }
}

fn whole() -> f64 {
    1.0
}

fn x() -> String {
    "x".into()
}

fn y() -> String {
    "y".into()
}

/// An image of more elements than this would take a gigabyte, and every way several of them.
const MOST: usize = 1 << 27;

named! {
    /// In which numbers the work is done.
    pub enum Precision: "precision" {
        /// 32 bits.
        Single = "single",
        /// 64 bits.
        Double = "double",
    }
}

impl Precision {
    /// As Burn names it.
    pub fn dtype(self) -> DType {
        match self {
            Self::Single => DType::F32,
            Self::Double => DType::F64,
        }
    }
}

/// Where the keys of an experiment are, each table with a text that begins it.
const TABLES: &[Table] = &[
    ("at the top, before every table", ""),
    ("under [input]", "[input]\nkind = \"scene\"\nsize = 9"),
    ("under [input]", "[input]\nkind = \"image\"\npath = \"\""),
    (
        "under [input]",
        "[input]\nkind = \"random\"\nshape = [1, 1, 1]",
    ),
    ("under [input]", "[input]\nkind = \"array\"\npath = \"\""),
    (
        "under [kernel]",
        "[kernel]\nkind = \"gaussian\"\nsigma = 1.0",
    ),
    (
        "under [kernel]",
        "[kernel]\nkind = \"random\"\nmaps = 1\nsize = 1",
    ),
    ("under [kernel]", "[kernel]\nkind = \"taps\"\ntaps = []"),
    ("under [settings]", "[settings]"),
];

impl Experiment {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Config`] where it is not what is expected.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_settings(path)?;
        let experiment: Self = toml::from_str(&text).map_err(|error| {
            let message = with_suggestion::<Self>(&error, TABLES);
            Error::Config(format!("{}: {message}", path.display()))
        })?;
        experiment
            .check()
            .map_err(|error| Error::Config(format!("{}: {error}", path.display())))?;
        Ok(experiment)
    }

    /// Whether an image file is what was observed.
    pub(super) fn photographed(&self) -> bool {
        matches!(&self.input, Input::Observed { path, .. } if !arrays::is_bundle(path))
    }

    /// Checks every number, and settings that contradict each other.
    ///
    /// # Errors
    /// [`Error::Config`], naming the key.
    pub fn check(&self) -> Result<()> {
        let fail = |message: String| Err(Error::Config(message));
        let settings = &self.settings;
        let adam = &settings.adam;
        for (key, value) in [
            ("noise", self.noise),
            ("settings.truncation", settings.truncation),
            ("settings.tikhonov", settings.tikhonov),
            ("settings.l1", settings.l1),
            ("settings.total_variation", settings.total_variation),
            (
                "settings.wiener_noise",
                settings.wiener_noise.unwrap_or(0.0),
            ),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return fail(format!("{key} is {value}; it must be 0 or above"));
            }
        }
        for (key, value) in [
            ("seconds", self.seconds.unwrap_or(1.0)),
            ("settings.adam.rate", adam.rate),
            ("settings.adam.half_life", adam.half_life),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return fail(format!("{key} is {value}; it must be above 0"));
            }
        }
        for (key, value) in [("beta_1", adam.beta_1), ("beta_2", adam.beta_2)] {
            if !(0.0..1.0).contains(&value) {
                let range = "it must lie from 0 to below 1";
                return fail(format!("settings.adam.{key} is {value}; {range}"));
            }
        }
        if settings.truncation >= 1.0 {
            return fail(format!(
                "settings.truncation is {}; it is a share of the largest singular value and must be \
                 below 1",
                settings.truncation
            ));
        }
        if let Some(level) = self
            .noise_levels
            .iter()
            .flatten()
            .find(|v| !(v.is_finite() && **v >= 0.0))
        {
            return fail(format!(
                "noise_levels holds {level}; each must be 0 or above"
            ));
        }
        for (key, value) in [
            ("steps", self.steps),
            ("layer", self.layer),
            ("settings.lbfgs.memory", settings.lbfgs.memory),
        ] {
            if value == 0 {
                return fail(format!("{key} is 0; it must be at least 1"));
            }
        }
        let shape = match self.input {
            Input::Scene { size, .. } => [3, size, size],
            Input::Random { shape, .. } => shape,
            _ => [1; 3],
        };
        let elements = shape.into_iter().fold(1, usize::saturating_mul);
        if elements == 0 || elements > MOST {
            let [c, h, w] = shape;
            return fail(format!(
                "the image is to have {c} x {h} x {w} elements; it must have at least 1 and at most {MOST}"
            ));
        }
        if matches!(self.input, Input::Observed { .. })
            && self.noise_levels.iter().flatten().next().is_some()
        {
            return fail(
                "noise_levels are for errors, and of what was observed the image is not known; leave \
                 them out"
                    .into(),
            );
        }
        if let Input::Random { density, .. } = self.input
            && !(density > 0.0 && density <= 1.0)
        {
            return fail(format!(
                "input.density is {density}; it must lie above 0 and be at most 1"
            ));
        }
        if self.filters.is_some() && self.checkpoint.is_some() {
            return fail(
                "filters and checkpoint both say where filters come from; leave one".into(),
            );
        }
        if self.ways.is_empty() {
            return fail("there is no way to invert by; name at least one in ways".into());
        }
        for (i, way) in self.ways.iter().enumerate() {
            if self.ways[..i].contains(way) {
                return fail(format!(
                    "'{way}' is to be compared twice; name every way once"
                ));
            }
        }
        Ok(())
    }
}
