//! Where maps come from: filters of a run, filters learnt for the purpose, gradients, a convnet.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::coded::{Coded, layers_of};
use crate::arrays::Bundle;
use crate::backend;
use crate::config::{Config, Form};
use crate::convnet::{Convnet, Layer, Model, Preprocess};
use crate::data::{Image, folder};
use crate::error::{Error, Result};
use crate::features::gradient;
use crate::files;
use crate::group::Group;
use crate::model::Network;
use crate::run::{Images, Run, State, Store, nothing_learnt};
use crate::solve::SolverName;
use crate::store::CheckpointSelector;
use crate::task::convnet::{Ready, Source};
use crate::task::{Callback, Event};
use crate::train::{Ended, Trainer};

/// Orientations of gradients, as in SIFT.
const ORIENTATIONS: usize = 8;
/// The settings by which filters are learnt where none are given.
const LEARNING: &str = include_str!("../../../configs/features.toml");
/// The longer side of images whose gradients are taken, where none is said.
const MAX_SIDE: usize = 150;

/// What maps are wanted.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Those of a run.
    Run {
        /// Its folder.
        path: PathBuf,
        /// Which of its checkpoints.
        which: CheckpointSelector,
    },
    /// Those of filters that are learnt from training images by the settings of a file, or the built-in
    /// ones; or, `random`, that are left as they begin.
    Learnt {
        /// The settings.
        config: Option<PathBuf>,
        /// Whether the filters are left as they begin.
        random: bool,
    },
    /// Gradients by orientation, which make SIFT.
    Gradients,
    /// Those of a convnet.
    Convnet(Source),
}

/// What maps are wanted of which images.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// Where they come from.
    pub from: Wanted,
    /// Layers: by number from 1 up, of a convnet by name; all that are learnt, of a convnet the last
    /// rectifier, where none is given.
    pub layers: Vec<String>,
    /// Scale images down to this many pixels along the longer side, instead of what the settings say.
    pub max_side: Option<usize>,
    /// Rounds of the solver for each layer at most.
    pub rounds: Option<usize>,
    /// With maps of a stack of layers: so many of the strongest activations of its top layer, each projected alone to
    /// the maps of layer 1, through the image's own switches where maps are pooled, as one layer more.
    pub projections: usize,
}

/// Maps of images, ready to be made.
pub(crate) enum MapSource {
    Coded(Box<Coded>),
    Gradients {
        max_side: usize,
    },
    Convnet {
        model: PathBuf,
        ready: Box<Ready>,
        layers: Vec<Layer>,
    },
}

/// A source as a file has it; filters lie beside it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stored {
    Coded {
        state: Box<State>,
        layers: Vec<usize>,
        rounds: Option<usize>,
        #[serde(default)]
        projections: usize,
    },
    Gradients {
        max_side: usize,
    },
    Convnet {
        #[serde(with = "files::stored")]
        model: PathBuf,
        crc32: u32,
        preprocess: Preprocess,
        layers: Vec<String>,
    },
}

impl MapOptions {
    /// Makes ready what is wanted; filters, where they are to be learnt, from `training` images. None where
    /// that was interrupted.
    ///
    /// # Errors
    /// [`Error::Config`] for layers that there are not; those of runs, models, learning.
    pub(crate) fn open(
        &self,
        training: &[PathBuf],
        device: &Device,
        callback: &mut dyn Callback<Event>,
    ) -> Result<Option<MapSource>> {
        if self.max_side == Some(0) || self.rounds == Some(0) {
            return Err(Error::Config(
                "images of 0 pixels and 0 rounds of a solver give no maps; give at least 1".into(),
            ));
        }
        let mut run = match &self.from {
            Wanted::Gradients => {
                let max_side = self.max_side.unwrap_or(MAX_SIDE);
                return Ok(Some(MapSource::Gradients { max_side }));
            }
            Wanted::Convnet(source) => {
                let ready = source.open(device)?;
                let layers = match &self.layers[..] {
                    [] => vec![ready.last()?.clone()],
                    names => names
                        .iter()
                        .map(|name| ready.net.layer_as_asked(name))
                        .collect::<Result<_>>()?,
                };
                for layer in &layers {
                    ready.maps(layer)?;
                }
                let (model, ready) = (source.model.clone(), Box::new(ready));
                return Ok(Some(MapSource::Convnet {
                    model,
                    ready,
                    layers,
                }));
            }
            Wanted::Run { path, which } => {
                let run = Run::read(path, *which, device)?;
                if run.state.objectives.is_empty() {
                    return Err(nothing_learnt(path));
                }
                run
            }
            Wanted::Learnt { config, random } => {
                let mut config = match config {
                    Some(path) => Config::read(path)?,
                    None => Config::parse(LEARNING)?,
                };
                config.data.max_side = self.max_side.or(config.data.max_side);
                if *random {
                    // The one kind of step that can be left out.
                    config.train.filter_steps = 0;
                    config.train.solver = match config.train.form {
                        Form::LayerWise => SolverName::CoordinateDescent,
                        Form::Joint => SolverName::Fista,
                        Form::Adaptive => SolverName::Ista,
                    };
                    config.train.resample_dead = false;
                    config.layers.iter_mut().for_each(|layer| layer.epochs = 1);
                }
                match learn(config, training, device, callback)? {
                    Some(run) => run,
                    None => return Ok(None),
                }
            }
        };
        let max_side = &mut run.state.config.data.max_side;
        *max_side = self.max_side.or(*max_side);
        if self.projections > 0 && run.state.learnt_layers() < 2 {
            return Err(Error::Config(
                "activations are projected to the maps of layer 1 from a layer above, and there is none".into(),
            ));
        }
        let layers = layers_of(&run, &self.layers)?;
        let coded = Coded {
            run,
            layers,
            rounds: self.rounds,
            projections: self.projections,
            device: device.clone(),
        };
        Ok(Some(MapSource::Coded(Box::new(coded))))
    }
}

/// Learns filters in memory.
fn learn(
    config: Config,
    training: &[PathBuf],
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Option<Run>> {
    let (mut images, mut broken) = (Vec::new(), None);
    for path in training {
        match folder::read(path, config.data.planes() != 1, config.data.max_side) {
            Ok(image) => images.push(image),
            Err(error) => {
                let note = format!("warning: {error}; filters are learnt without it");
                callback.event(Event::Note(note));
                broken = Some(error);
            }
        }
    }
    if let (true, Some(error)) = (images.is_empty(), broken) {
        return Err(error);
    }
    let images = Images::given(&config, images)?;
    let mut trainer = Trainer::new(config, images, Store::in_memory(), device, &Group::alone())?;
    if trainer.train(callback)? == Ended::Interrupted {
        return Ok(None);
    }
    let mut state = trainer.run().state.clone();
    state.images.clear();
    let network = trainer.network().clone();
    Ok(Some(Run {
        store: Store::in_memory(),
        state,
        network,
    }))
}

impl MapSource {
    /// What it is, in words.
    pub fn name(&self) -> String {
        match self {
            Self::Coded(_) => "deconvolutional network".into(),
            Self::Gradients { .. } => format!("gradients in {ORIENTATIONS} orientations"),
            Self::Convnet { model, .. } => format!("convnet {}", model.display()),
        }
    }

    /// The layers that maps are made of.
    pub fn layers(&self) -> Vec<String> {
        match self {
            Self::Coded(coded) => coded.layer_names(),
            Self::Gradients { .. } => vec!["gradients".into()],
            Self::Convnet { layers, .. } => layers.iter().map(|layer| layer.name.clone()).collect(),
        }
    }

    /// Whether a layer is that of the projections.
    pub fn projects(&self, layer: usize) -> bool {
        matches!(self, Self::Coded(coded) if layer == coded.layers.len())
    }

    /// The maps of an image file, `[K, H, W]` for each layer, of projections one for each; those of deconvolutional
    /// networks cropped to the image, so that each element lies in the middle of what it stands for. Coding may take
    /// so many bytes of memory as there is `room` for.
    ///
    /// # Errors
    /// Those of reading the file, naming it; [`Error::Numeric`], [`Error::Resources`].
    pub fn maps(&self, path: &Path, room: Option<u64>) -> Result<Vec<Vec<Image>>> {
        match self {
            Self::Gradients { max_side } => {
                let image = folder::read(path, false, Some(*max_side))?;
                Ok(vec![vec![gradient::orientations(&image, ORIENTATIONS)]])
            }
            Self::Coded(coded) => coded.maps(path, room),
            Self::Convnet { ready, layers, .. } => {
                let batch = ready.batch([&ready.picture(path)?]);
                let mut maps = vec![Image::zeros(0, 0, 0); layers.len()];
                let values: Vec<usize> = layers.iter().map(|layer| layer.value).collect();
                ready.net.run(batch, &values, |k, map| {
                    let [channels, height, width] = ready.maps(&layers[k])?;
                    maps[k] = Image {
                        channels,
                        height,
                        width,
                        values: map.read()?,
                    };
                    Ok(())
                })?;
                Ok(maps.into_iter().map(|maps| vec![maps]).collect())
            }
        }
    }

    /// Puts all that is needed to make the same maps again into a file.
    ///
    /// # Errors
    /// [`Error::Backend`], [`Error::Io`].
    pub fn put(&self, bundle: &mut Bundle) -> Result<()> {
        let stored = match self {
            Self::Gradients { max_side } => Stored::Gradients {
                max_side: *max_side,
            },
            Self::Coded(coded) => {
                for (l, layer) in coded.run.network.layers().iter().enumerate() {
                    let filters = layer.filters.val();
                    let values = backend::read(&filters)?;
                    bundle.put(filters_name(l), &filters.dims(), values)?;
                }
                // How it was learnt does not matter for maps.
                let mut state = coded.run.state.clone();
                state.images.clear();
                state.metrics.clear();
                state.seconds = 0.0;
                Stored::Coded {
                    state: Box::new(state),
                    layers: coded.layers.clone(),
                    rounds: coded.rounds,
                    projections: coded.projections,
                }
            }
            Self::Convnet {
                model,
                ready,
                layers,
            } => Stored::Convnet {
                model: std::path::absolute(model).map_err(Error::io("find", model))?,
                crc32: ready.net.crc32(),
                preprocess: ready.preprocess.clone(),
                layers: layers.iter().map(|layer| layer.tensor.clone()).collect(),
            },
        };
        let text = serde_json::to_string(&stored).map_err(|error| {
            Error::Numeric(format!("the source of maps cannot be written: {error}"))
        })?;
        bundle.texts.insert("maps".into(), text);
        Ok(())
    }

    /// Takes it out of a file again.
    ///
    /// # Errors
    /// [`Error::Input`] where the file does not hold it, or a convnet is no longer the one it was.
    pub fn get(bundle: &Bundle, path: &Path, device: &Device) -> Result<Self> {
        let text = bundle.text("maps", path)?;
        let stored = serde_json::from_str(text).map_err(|error| {
            Error::Input(format!(
                "{}: `maps` is not what was written: {error}",
                path.display()
            ))
        })?;
        Ok(match stored {
            Stored::Gradients { max_side } => Self::Gradients { max_side },
            Stored::Coded {
                state,
                layers,
                rounds,
                projections,
            } => {
                let network = network(&state, bundle, path, device)?;
                let run = Run {
                    store: Store::in_memory(),
                    state: *state,
                    network,
                };
                Self::Coded(Box::new(Coded {
                    run,
                    layers,
                    rounds,
                    projections,
                    device: device.clone(),
                }))
            }
            Stored::Convnet {
                model,
                crc32,
                preprocess,
                layers,
            } => {
                let convnet = Model::read(&model)?;
                if convnet.crc32 != crc32 {
                    return Err(Error::Input(format!(
                        "{} is no longer the convnet that {} was made with; put the old file back",
                        model.display(),
                        path.display()
                    )));
                }
                let net = Convnet::new(&convnet, &preprocess.shape(), device, DType::F32)?;
                let layers = layers
                    .iter()
                    .map(|name| net.layer(name).cloned())
                    .collect::<Result<_>>()?;
                let ready = Box::new(Ready {
                    net,
                    preprocess,
                    labels: Vec::new(),
                });
                Self::Convnet {
                    model,
                    ready,
                    layers,
                }
            }
        })
    }
}

fn filters_name(l: usize) -> String {
    format!("layer{}.filters", l + 1)
}

/// The network of a file.
fn network(state: &State, bundle: &Bundle, path: &Path, device: &Device) -> Result<Network> {
    let mut network = state.blank(device)?;
    for (l, (layer, g)) in (network.layers_mut().iter_mut())
        .zip(&state.connectivity)
        .enumerate()
    {
        let array = bundle.array(&filters_name(l), path)?;
        let fits = |shape: &[usize]| shape.len() == 4 && shape[..2] == [g.planes(), g.maps()];
        if !fits(&array.shape) {
            return Err(Error::Input(format!(
                "{}: `{}` has the shape {:?}, and its connectivity is {} x {}",
                path.display(),
                filters_name(l),
                array.shape,
                g.planes(),
                g.maps()
            )));
        }
        let shape = [0, 1, 2, 3].map(|k| array.shape[k]);
        let data = TensorData::new(array.values.clone(), shape);
        *layer = layer.with_filters(Tensor::from_data(data, device));
    }
    Ok(network)
}
