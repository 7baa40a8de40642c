//! Images with their maps.

use std::path::Path;

use burn::tensor::{Device, Tensor};

use crate::config::SolverName;
use crate::data::{Image, Undo, folder};
use crate::error::{Error, Result};
use crate::run::{Images, Run, to_tensor};
use crate::solve::{Limits, Problem, Watch};
use crate::task::{Ear, Observer};

/// An image with its sparse maps.
pub(super) struct Coded {
    /// What to call it.
    pub(super) name: String,
    /// What the network saw.
    pub(super) prepared: Image,
    /// The way back to pixels.
    pub(super) undo: Undo,
    /// Layer, from 0, and codes `[1, K, ..]`, of each layer that has maps of its own.
    pub(super) codes: Vec<(usize, Tensor<4>)>,
}

impl Coded {
    /// Training image `i`, from 0, with what the checkpoint holds of its maps.
    pub(super) fn stored(
        run: &Run,
        images: &mut Images,
        i: usize,
        device: &Device,
    ) -> Result<Self> {
        let prepared = images.get(i)?;
        let (_, undo) = images.prepare().apply(&images.raw(i)?)?;
        let codes = top_layers(run)
            .into_iter()
            .filter(|&layer| run.has_maps(layer, i))
            .map(|layer| Ok((layer, run.codes(layer, i, device)?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            name: short(&images.name(i)),
            prepared,
            undo,
            codes,
        })
    }

    /// An image file; its maps are found stage by stage as in training, by the run's own solver
    /// from zero, in as many steps as a training image was given.
    ///
    /// An interruption leaves the maps where they are.
    pub(super) fn from_file(
        run: &Run,
        path: &Path,
        device: &Device,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let name = path.display().to_string();
        let in_file = |error| match error {
            Error::Input(message) => Error::Input(format!("{name}: {message}")),
            other => other,
        };
        let data = &run.state.config.data;
        let raw = folder::read(path, data.colour, data.max_side)?;
        let (prepared, undo) = run.state.prepare.apply(&raw).map_err(in_file)?;
        Ok(Self {
            codes: code(run, &prepared, device, &mut Ear(observer))?,
            name: short(&name),
            prepared,
            undo,
        })
    }

    /// The pixels that were prepared.
    pub(super) fn pixels(&self) -> Result<Image> {
        self.undo.invert(&self.prepared)
    }
}

/// The layer at the top of each stage that learning has reached.
pub(super) fn top_layers(run: &Run) -> Vec<usize> {
    (0..run.state.objectives.len())
        .map(|stage| run.state.layers_of(stage).end - 1)
        .collect()
}

/// The codes of each stage: the first explains the image, each other one the rescaled maps of the
/// stage below.
fn code(
    run: &Run,
    prepared: &Image,
    device: &Device,
    watch: &mut dyn Watch,
) -> Result<Vec<(usize, Tensor<4>)>> {
    let train = &run.state.config.train;
    let learner = run.state.config.learner();
    let mut target = to_tensor(prepared, device);
    let mut codes = Vec::new();
    for (stage, objective) in run.state.objectives.iter().enumerate() {
        let layers = run.state.layers_of(stage);
        let top = layers.end - 1;
        let network = run.network.part(layers);
        let start = Tensor::zeros(network.maps_shape(target.dims()), device);
        let visits = match train.solver {
            // Its schedule begins anew at every visit.
            SolverName::Split => 1,
            SolverName::Adam | SolverName::Fista | SolverName::Descent => {
                run.state.config.layers[top].epochs
            }
        };
        let limits = Limits {
            steps: visits * learner.steps,
            every: 0,
            ..Limits::default()
        };
        let problem = Problem {
            network,
            images: target,
            objective: *objective,
        };
        let solved = learner.codes.code(&problem, start, &limits, watch)?;
        target = run.network.rescale(top, solved.maps);
        codes.push((top, solved.codes));
    }
    Ok(codes)
}

/// The name of a file without its folder.
fn short(name: &str) -> String {
    let file = Path::new(name).file_name();
    file.map_or(name.to_string(), |file| file.to_string_lossy().into_owned())
}
