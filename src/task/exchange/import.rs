//! From arrays to a run.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use super::{NON_NEGATIVE, OBJECTIVE, PENALTY_WEIGHTS, RESCALING, key};
use crate::arrays::{self, Array, Bundle};
use crate::config::{Config, Connect, ConnectName, Form, LayerSettings, Sparsity};
use crate::connectivity::Connectivity;
use crate::data::{Prepare, Preprocess, Rescaling};
use crate::error::{Error, Result};
use crate::model::{Boundary, Layer, Network, Objective};
use crate::pooling::Pool;
use crate::problem::{boundary, filters_first, four_axes};
use crate::run::{Position, State, save};
use crate::solve::SolverName;
use crate::store::RunFolder;

/// What was imported.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    /// The new run folder.
    #[serde(serialize_with = "crate::files::lossily")]
    pub run: PathBuf,
    /// The shape of the filters of each layer, `[planes, maps, h, w]`.
    pub layers: Vec<[usize; 4]>,
    /// The solver.
    pub solver: SolverName,
    /// The objectives that maps will be found by, that of each layer, or of the top one in the joint form.
    pub objectives: Vec<Objective>,
    /// How images will be prepared.
    pub preprocess: Preprocess,
    /// What the configuration given contradicts in the file.
    pub warnings: Vec<String>,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.run.display())?;
        for (l, [planes, maps, h, w]) in self.layers.iter().enumerate() {
            let separator = if l == 0 { "" } else { ";" };
            write!(
                f,
                "{separator} layer {}, {maps} maps on {planes} planes, {h} x {w}",
                l + 1
            )?;
        }
        write!(f, "\nimages are prepared by {}", settings(&self.preprocess))?;
        for objective in &self.objectives {
            let objective = settings(objective);
            write!(f, "\nmaps are found by {}, {objective}", self.solver.name())?;
        }
        let mut warnings = self.warnings.iter();
        warnings.try_for_each(|warning| write!(f, "\nwarning: {warning}"))
    }
}

/// As a configuration has them, on one line.
fn settings(of: &impl Serialize) -> String {
    let lines = toml::to_string(of).unwrap_or_default();
    lines.trim_end().replace('\n', ", ")
}

/// Makes a finished run without images in the new folder `run`, from the filters in `file`: one
/// that [`super::export`] wrote or that is laid out like it, or one with filters `D0`
/// `[M, C, h, w]` and a weight `lmbda`, as in [`crate::problem`].
///
/// Numbers of maps, filter sizes, connectivity and channels are what the filters say. The weights of
/// the objectives are those in the file, else those of `config`. All else, the preprocessing above
/// all, is that of `config`; without one, that of the file; without either, the default with contrast
/// normalisation, which needs no images. Maps in the file are not taken over, and filters are not
/// normalised.
///
/// # Errors
/// [`Error::Input`] for arrays that are missing, not finite or do not fit together;
/// [`Error::Config`] where `run` is occupied or a setting cannot be known without images.
pub fn import(
    file: &Path,
    config: Option<&Config>,
    run: &Path,
    device: &Device,
) -> Result<Imported> {
    let source = Source {
        bundle: arrays::read(file)?,
        file,
    };
    let layers = source.layers(config, device)?;
    let (settings, prepare, learnt_on) = source.settings(config)?;
    let state = source.state(settings, prepare, &layers)?;
    let mut warnings = Vec::new();
    if let Some(kind) = learnt_on
        && kind != state.prepare.kind
    {
        warnings.push(format!(
            "the configuration prepares images by {:?}, and the filters were learnt from images \
             prepared by {kind:?}; import without a configuration to do as the file says",
            state.prepare.kind
        ));
    }
    let report = Imported {
        run: run.to_path_buf(),
        warnings,
        solver: state.config.train.solver,
        objectives: state.objectives.clone(),
        preprocess: state.prepare.kind.clone(),
        layers: layers.iter().map(|l| l.filters.val().dims()).collect(),
    };
    let network = Network::new(layers)?;
    let mut folder = RunFolder::create(run)?;
    folder.put("filters", &save(network)?)?;
    folder.commit(0, &state, false)?;
    Ok(report)
}

/// An open file.
struct Source<'a> {
    bundle: Bundle,
    file: &'a Path,
}

impl Source<'_> {
    fn fail<T>(&self, message: impl fmt::Display) -> Result<T> {
        Err(Error::Input(format!("{}: {message}", self.file.display())))
    }

    /// The layers, checked one by one and against each other.
    fn layers(&self, config: Option<&Config>, device: &Device) -> Result<Vec<Layer>> {
        let arrays = &self.bundle.arrays;
        let layers = if !arrays.contains_key(&key(0, "filters")) && arrays.contains_key("D0") {
            let (values, shape) = four_axes(&self.bundle, "D0", self.file)?;
            let filters = filters_first(values, shape, device);
            let layer = Layer::new(filters, Connectivity::full(shape[1], shape[0]));
            let weights = self.bundle.arrays.get("L1Weight");
            if let Some(array) = weights.filter(|array| array.values.len() != shape[0]) {
                return self.fail(format!(
                    "`L1Weight` has shape {:?}: weights of the elements of maps belong to images of one size; a \
                     run takes one for each map",
                    array.shape
                ));
            }
            vec![self.dressed(layer, 0, weights, config)?]
        } else {
            let is_filters =
                |name: &&String| name.starts_with("layer") && name.ends_with(".filters");
            let count = arrays.keys().filter(is_filters).count().max(1);
            let each = (0..count).map(|l| self.layer(l, config, device));
            each.collect::<Result<_>>()?
        };
        let mut below: Option<usize> = None;
        for (l, layer) in layers.iter().enumerate() {
            let planes = layer.connectivity.planes();
            match below {
                Some(maps) if maps != planes => {
                    return self.fail(format!(
                        "the filters of layer {} are for {planes} planes, but layer {l} has {maps} \
                         maps",
                        l + 1
                    ));
                }
                _ => below = Some(layer.pool.pooled_maps(layer.connectivity.maps())),
            }
        }
        Ok(layers)
    }

    fn layer(&self, l: usize, config: Option<&Config>, device: &Device) -> Result<Layer> {
        let (values, shape) = four_axes(&self.bundle, &key(l, "filters"), self.file)?;
        let g = self.connectivity(l, shape)?;
        let [_, maps, h, w] = shape;
        for (at, filter) in values.chunks_exact(h * w).enumerate() {
            let (c, k) = (at / maps, at % maps);
            if !g.connects(c, k) && filter.iter().any(|&tap| tap != 0.0) {
                return self.fail(format!(
                    "`{}` is not zero at plane {c}, map {k}, which `{}` does not connect; make the \
                     two agree",
                    key(l, "filters"),
                    key(l, "connectivity")
                ));
            }
        }
        let filters = Tensor::from_data(TensorData::new(values, shape), device);
        let layer = Layer::new(filters, g).with_pool(self.pool(l)?);
        let weights = self.bundle.arrays.get(&key(l, PENALTY_WEIGHTS));
        self.dressed(layer, l, weights, config)
    }

    /// A layer with boundary and weights of the penalty, those of the file or else of the configuration.
    fn dressed(
        &self,
        layer: Layer,
        l: usize,
        weights: Option<&Array>,
        config: Option<&Config>,
    ) -> Result<Layer> {
        let boundary = match self.bundle.texts.get("boundary") {
            None => config.map_or(Boundary::Valid, |config| config.train.boundary),
            Some(name) => boundary(name).or_else(|message| self.fail(message))?,
        };
        let weights: Vec<f64> = match weights {
            Some(array) => array.values.iter().map(|&w| f64::from(w)).collect(),
            None => {
                let settings = config.and_then(|config| config.layers.get(l));
                settings.map_or_else(Vec::new, |layer| layer.penalty_weights.clone())
            }
        };
        Ok(layer.with_boundary(boundary).with_map_weights(&weights))
    }

    /// The windows of a layer; none where the file does not name them.
    fn pool(&self, l: usize) -> Result<Pool> {
        let name = key(l, "pool");
        let Some(array) = self.bundle.arrays.get(&name) else {
            return Ok(Pool::NONE);
        };
        let sizes: Vec<usize> = array.values.iter().map(|&size| size as usize).collect();
        let whole = array
            .values
            .iter()
            .zip(&sizes)
            .all(|(&v, &size)| v == size as f32);
        match <[usize; 3]>::try_from(sizes) {
            Ok(sizes) if whole => Pool::try_from(sizes),
            _ => self.fail(format!(
                "`{name}` must hold three whole numbers: rows, columns and maps"
            )),
        }
    }

    fn connectivity(&self, l: usize, [planes, maps, ..]: [usize; 4]) -> Result<Connectivity> {
        let name = key(l, "connectivity");
        let Some(g) = self.bundle.arrays.get(&name) else {
            return Ok(Connectivity::full(planes, maps));
        };
        if g.shape != [planes, maps] || g.values.iter().any(|&v| v != 0.0 && v != 1.0) {
            return self.fail(format!(
                "`{name}` {:?} must be of shape [{planes}, {maps}], as its filters are, and hold \
                 only 0 and 1",
                g.shape
            ));
        }
        let rows: Vec<Vec<u8>> = g
            .values
            .chunks_exact(maps)
            .map(|row| row.iter().map(|&v| v as u8).collect())
            .collect();
        Connectivity::matrix(&rows).or_else(|error| self.fail(format!("`{name}`: {error}")))
    }

    /// The configuration, its layers still as given, the preprocessing, and that of the file.
    fn settings(&self, given: Option<&Config>) -> Result<(Config, Prepare, Option<Preprocess>)> {
        let texts = &self.bundle.texts;
        let parse = |text: &String| {
            serde_json::from_str(text).or_else(|error| {
                self.fail(format!(
                    "its text `preprocess` is not one this program knows: {error}"
                ))
            })
        };
        let stored: Option<Prepare> = texts.get("preprocess").map(parse).transpose()?;
        let learnt_on = stored.as_ref().map(|prepare| prepare.kind.clone());
        let config = match (given, texts.get("config")) {
            (Some(config), _) => config.clone(),
            (None, Some(text)) => Config::parse(text).or_else(|error| {
                self.fail(format!(
                    "its text `config` is not one this program knows: {error}; give a \
                     configuration to take in its place"
                ))
            })?,
            // The default configuration's own preprocessing is learnt from images.
            (None, None) => {
                let mut config = Config {
                    preprocess: learnt_on.clone().unwrap_or_default(),
                    ..Config::default()
                };
                if self.bundle.arrays.contains_key("D0") {
                    // Of a convex problem the certified optimum is expected.
                    config.train.solver = SolverName::CoordinateDescent;
                }
                config
            }
        };
        let prepare = match stored {
            Some(prepare) if prepare.kind == config.preprocess => prepare,
            _ => config.preprocess.fit([]).map_err(|error| {
                Error::Config(format!(
                    "the configured preprocessing cannot be set up without images, and {} does not \
                     bring it along ({error}); export it again from its run, or configure another \
                     preprocessing",
                    self.file.display()
                ))
            })?,
        };
        Ok((config, prepare, learnt_on))
    }

    /// All that the checkpoint holds beside the filters.
    fn state(&self, mut config: Config, prepare: Prepare, layers: &[Layer]) -> Result<State> {
        let mut objectives = Vec::new();
        let mut described = Vec::new();
        for (l, layer) in layers.iter().enumerate() {
            let g = &layer.connectivity;
            let base = config.layers.get(l).cloned().unwrap_or_default();
            // In the joint form only the top layer has an objective.
            let objective = if config.train.form != Form::Joint || l + 1 == layers.len() {
                let objective = self.objective(l, &base)?;
                objectives.push(objective);
                Some(objective)
            } else {
                None
            };
            described.push(describe(base, layer, objective));
            config.train.boundary = layer.boundary;
            if l == 0 {
                let planes = g.planes();
                config.data.colour = planes == 3;
                config.data.channels = (!matches!(planes, 1 | 3)).then_some(planes);
            }
        }
        config.layers = described;
        config.check()?;
        let stages = objectives.len();
        let rescaling = match config.train.form {
            Form::LayerWise => (0..stages)
                .map(|l| self.rescaling(l))
                .collect::<Result<_>>()?,
            Form::Joint => vec![None],
            Form::Adaptive => vec![None; stages],
        };
        Ok(State {
            connectivity: layers.iter().map(|l| l.connectivity.clone()).collect(),
            sizes: layers.iter().map(Layer::filter_size).collect(),
            objectives,
            rescaling,
            position: Position {
                stage: stages,
                ..Position::default()
            },
            ..State::new(config, prepare, Vec::new())?
        })
    }

    fn objective(&self, l: usize, layer: &LayerSettings) -> Result<Objective> {
        let scalars = &self.bundle.scalars;
        let [data_weight, sparsity, p] = if scalars.contains_key(&key(l, OBJECTIVE[0])) {
            let mut values = [0.0; 3];
            for (value, name) in values.iter_mut().zip(OBJECTIVE) {
                *value = self.bundle.scalar(&key(l, name), self.file)?;
            }
            values
        } else if let Some(array) = self.bundle.arrays.get("lmbda") {
            return self.fail(format!(
                "`lmbda` has shape {:?}, and a run takes one number; weights of single maps are `L1Weight`",
                array.shape
            ));
        } else if let (Some(&lmbda), true) =
            (scalars.get("lmbda"), self.bundle.arrays.contains_key("D0"))
        {
            [1.0, lmbda, 1.0]
        } else {
            let Sparsity::Weight(weight) = layer.sparsity else {
                return Err(Error::Config(format!(
                    "layer {}: sparsity.of_max is a share of what only images can tell; give the \
                     weight itself, such as sparsity = 1.0",
                    l + 1
                )));
            };
            [layer.data_weight, weight, layer.p]
        };
        let own = key(l, NON_NEGATIVE);
        let non_negative = match scalars.get(&own).or(scalars.get("NonNegCoef")) {
            Some(&value) => value != 0.0,
            None => layer.non_negative,
        };
        Objective::new(data_weight, sparsity, p)
            .map(|objective| objective.with_non_negative(non_negative))
            .or_else(|error| self.fail(format!("layer {}: {error}", l + 1)))
    }

    fn rescaling(&self, l: usize) -> Result<Option<Rescaling>> {
        if !self.bundle.scalars.contains_key(&key(l, RESCALING[0])) {
            return Ok(None);
        }
        let [shift, scale] = RESCALING.map(|name| self.bundle.scalar(&key(l, name), self.file));
        let rescaling = Rescaling {
            shift: shift?,
            scale: scale?,
        };
        if !(rescaling.shift.is_finite() && rescaling.scale.is_normal()) {
            return self.fail(format!(
                "the rescaling of layer {} has shift {} and scale {}; both must be finite, and the \
                 scale not 0",
                l + 1,
                rescaling.shift,
                rescaling.scale
            ));
        }
        Ok(Some(rescaling))
    }
}

/// A layer as a configuration would ask for it.
fn describe(base: LayerSettings, layer: &Layer, objective: Option<Objective>) -> LayerSettings {
    let g = &layer.connectivity;
    let mut described = LayerSettings {
        maps: Some(g.maps()),
        size: layer.filter_size(),
        connect: if g.is_full() {
            Connect::Named(ConnectName::Full)
        } else {
            Connect::Matrix(g.clone().into())
        },
        pool: layer.pool,
        penalty_weights: layer.map_weights(),
        ..base
    };
    if let Some(objective) = objective {
        described.data_weight = objective.data_weight();
        described.sparsity = Sparsity::Weight(objective.sparsity());
        described.p = objective.p();
        described.non_negative = objective.is_non_negative();
    }
    described
}
