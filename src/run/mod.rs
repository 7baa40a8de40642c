//! A run: what a checkpoint holds, and its way to and from the run folder.

mod code;
mod images;

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::config::{Config, Form, Update};
use crate::connectivity::Connectivity;
use crate::data::{Image, Prepare, Rescaling};
use crate::error::{Error, Result};
use crate::model::{Evaluation, FeatureMaps, Layer, Network, Objective};
use crate::solve::{FilterMemory, Moments, OnlineStatistics};
use crate::store::{CheckpointSelector, RunFolder};
pub use images::{CACHE_BYTES, Images, all_usable};

/// Where learning has come to: what is to be done next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The stage: the layer in the layer-wise form; the joint form has one stage only.
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
    /// Density of the codes.
    pub density: f64,
    /// Which maps were used by any image.
    pub used: Vec<bool>,
}

/// One image that the run learns from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The file; absent for a sample scene.
    pub path: Option<PathBuf>,
    /// `[channels, height, width]` after preprocessing.
    pub shape: [usize; 3],
    /// Checksum of the prepared pixels: a resume must find the same image.
    pub crc32: u32,
}

/// All that a checkpoint holds beside the arrays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The lowest objective at the end of an epoch of this stage.
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
    /// Mean SNR in dB of the maps that go on.
    pub snr: f64,
    /// Mean share of non-zero codes.
    pub density: f64,
    /// Filters that no image used, found and replaced.
    pub resampled: usize,
    /// Seconds spent learning so far.
    pub seconds: f64,
}

impl State {
    /// Number of stages: one a layer in the layer-wise form, one in the joint form.
    pub fn stages(&self) -> usize {
        match self.config.train.form {
            Form::LayerWise => self.config.layers.len(),
            Form::Joint => 1,
        }
    }

    /// The layers that a stage learns.
    pub fn layers_of(&self, stage: usize) -> std::ops::Range<usize> {
        match self.config.train.form {
            Form::LayerWise => stage..stage + 1,
            Form::Joint => 0..self.config.layers.len(),
        }
    }

    /// Whether learning is done.
    pub fn finished(&self) -> bool {
        self.position.stage >= self.stages()
    }

    /// Whether the maps of every image are stored, for the next visit and the layer above.
    pub fn keeps_maps(&self) -> bool {
        self.config.train.update_filters != Update::Online
    }

    /// How many layers have filters that are worth looking at.
    pub fn learnt_layers(&self) -> usize {
        match self.config.train.form {
            Form::Joint => self.config.layers.len(),
            Form::LayerWise => self.objectives.len(),
        }
    }

    /// A network of the right shapes, all zero, to be filled from a record.
    fn blank(&self, device: &Device) -> Result<Network> {
        let layers = self.connectivity.iter().zip(&self.sizes);
        let layers = layers.map(|(g, &[h, w])| {
            let filters = Tensor::zeros([g.planes(), g.maps(), h, w], device);
            Layer::new(filters, g.clone())
        });
        let mut network = Network::new(layers.collect())?;
        for (layer, rescaling) in network.layers_mut().iter_mut().zip(&self.rescaling) {
            layer.rescaling = *rescaling;
        }
        Ok(network)
    }
}

/// A run opened for looking at and for use: the network of a checkpoint, and the way to its maps.
#[derive(Debug)]
pub struct Run {
    /// The folder.
    pub folder: RunFolder,
    /// What the checkpoint holds beside the arrays.
    pub state: State,
    /// The filters that were learnt.
    pub network: Network,
}

impl Run {
    /// Opens a checkpoint for reading.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is missing, damaged, or of other shapes than it says.
    pub fn read(path: &Path, which: CheckpointSelector, device: &Device) -> Result<Self> {
        Self::from_folder(RunFolder::read(path, which)?, device)
    }

    /// Opens a checkpoint to go on from it.
    ///
    /// # Errors
    /// As [`Run::read`], and where another process is writing to it.
    pub fn open(path: &Path, which: CheckpointSelector, device: &Device) -> Result<Self> {
        Self::from_folder(RunFolder::open(path, which)?, device)
    }

    fn from_folder(folder: RunFolder, device: &Device) -> Result<Self> {
        let (_, state): (_, State) = folder.state()?;
        let network = load(&folder, "filters", state.blank(device)?)?;
        Ok(Self {
            folder,
            state,
            network,
        })
    }

    /// The layers that are learnt, in part at least, as a network.
    pub fn learnt(&self) -> Network {
        self.network.part(0..self.state.learnt_layers())
    }

    /// The sparse maps of image `i` in layer `layer`, `[1, K, ..]`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the image has none yet or the file is damaged.
    pub fn codes(&self, layer: usize, i: usize, device: &Device) -> Result<Tensor<4>> {
        let name = codes_name(layer, i);
        let name = if self.folder.contains(&name) {
            name
        } else {
            maps_name(layer, i)
        };
        self.tensor(&name, layer, i, device)
    }

    /// The maps of image `i` in layer `layer` that learning goes on from, and that the layer above
    /// explains, `[1, K, ..]`.
    ///
    /// # Errors
    /// As [`Run::codes`].
    pub fn maps(&self, layer: usize, i: usize, device: &Device) -> Result<Tensor<4>> {
        self.tensor(&maps_name(layer, i), layer, i, device)
    }

    /// Whether image `i` has maps in layer `layer`.
    pub fn has_maps(&self, layer: usize, i: usize) -> bool {
        self.folder.contains(&maps_name(layer, i))
    }

    fn tensor(&self, name: &str, layer: usize, i: usize, device: &Device) -> Result<Tensor<4>> {
        let [c, h, w] = self.state.images[i].shape;
        let shape = self.network.part(0..layer + 1).maps_shape([1, c, h, w]);
        let blank = FeatureMaps::new(Tensor::zeros(shape, device));
        Ok(load(&self.folder, name, blank)?.maps.val())
    }
}

/// The name under which the maps of an image are stored.
pub fn maps_name(layer: usize, image: usize) -> String {
    format!("maps/layer{}/image{:05}", layer + 1, image + 1)
}

/// The name under which the sparse copy is stored, where the solver keeps one.
pub fn codes_name(layer: usize, image: usize) -> String {
    format!("codes/layer{}/image{:05}", layer + 1, image + 1)
}

/// The name under which Adam's memory of a layer's filters is stored.
pub fn moments_name(layer: usize) -> String {
    format!("adam/layer{}", layer + 1)
}

/// The name under which what an online learner remembers of a layer is stored.
pub fn statistics_name(layer: usize) -> String {
    format!("past/layer{}", layer + 1)
}

/// A module as bytes. Its parameters are numbered, since Burn names them at random: the same learning
/// writes the same files.
///
/// # Errors
/// [`Error::Checkpoint`] where Burn cannot write it.
pub fn save<M: Module>(module: M) -> Result<Vec<u8>> {
    let bytes = module
        .map(&mut Rename(Some(1)))
        .into_record()
        .into_bytes()
        .map_err(|error| Error::Checkpoint(format!("cannot write a record: {error}")))?;
    Ok(bytes.to_vec())
}

/// A module from a blob of a run, into one of the same shapes. Its parameters get new names: two
/// modules read from runs can be parts of a third.
///
/// # Errors
/// [`Error::Checkpoint`] where the blob is missing, damaged, or of other shapes.
pub fn load<M: Module>(folder: &RunFolder, name: &str, into: M) -> Result<M> {
    let bytes = folder.get(name)?;
    ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes))
        .and_then(|record| into.try_load_record(record))
        .map(|module| module.map(&mut Rename(None)))
        .map_err(|error| {
            Error::Checkpoint(format!(
                "'{name}' in {} does not fit this run: {error}; \
                 use the checkpoint with the deconvnet that wrote it",
                folder.path().display()
            ))
        })
}

/// Renames the parameters of a module: by numbers from one on, or at random.
struct Rename(Option<u64>);

impl ModuleMapper for Rename {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = match &mut self.0 {
            Some(next) => {
                *next += 1;
                ParamId::from(*next - 1)
            }
            None => ParamId::new(),
        };
        let (_, value, mapper) = parameter.consume();
        Param::from_mapped_value(id, value, mapper)
    }
}

/// What is remembered of the filters of a stage.
///
/// # Errors
/// As [`load`].
pub fn load_memory(run: &Run, stage: usize) -> Result<FilterMemory> {
    let State {
        adam_steps,
        statistics_batches,
        ..
    } = &run.state;
    let filters = |layer: usize| run.network.layers()[layer].filters.val();
    let mut memory = FilterMemory::default();
    for (layer, &time) in run.state.layers_of(stage).zip(adam_steps) {
        let blank = Moments::zeros(&filters(layer));
        let moments = load(&run.folder, &moments_name(layer), blank)?;
        memory.moments.push(Moments { time, ..moments });
    }
    for (layer, &batches) in run.state.layers_of(stage).zip(statistics_batches) {
        let blank = OnlineStatistics::none(&filters(layer));
        let past = load(&run.folder, &statistics_name(layer), blank)?;
        memory.statistics.push(OnlineStatistics { batches, ..past });
    }
    Ok(memory)
}

/// An image as a batch of one, `[1, C, H, W]`.
pub fn to_tensor(image: &Image, device: &Device) -> Tensor<4> {
    let [c, h, w] = image.shape();
    Tensor::from_data(TensorData::new(image.values.clone(), [1, c, h, w]), device)
}

/// Image `n` of a batch, or the maps of one, as plain planes.
///
/// # Errors
/// [`Error::Backend`] where the device cannot hand it over.
pub fn to_image(batch: &Tensor<4>, n: usize) -> Result<Image> {
    let one = batch.clone().narrow(0, n, 1);
    let [_, channels, height, width] = one.dims();
    let values = one
        .try_into_vec_as::<f32>()
        .map_err(|error| Error::Backend(format!("cannot read from the device: {error}")))?;
    Ok(Image {
        channels,
        height,
        width,
        values,
    })
}

/// Sums of an epoch as its line in the trace.
impl EpochSums {
    /// Adds what a visit gave.
    pub fn add(&mut self, after_codes: &[Evaluation], after_filters: &[Evaluation], snr: &[f64]) {
        self.images += snr.len();
        self.after_codes += Evaluation::total(after_codes).objective;
        self.after_filters += Evaluation::total(after_filters).objective;
        self.snr += snr.iter().sum::<f64>();
        self.density += after_filters.iter().map(|e| e.density).sum::<f64>();
    }

    /// The means, as a line of the trace.
    pub fn line(&self, position: Position, batch: Option<usize>, seconds: f64) -> TraceLine {
        let n = self.images.max(1) as f64;
        TraceLine {
            stage: position.stage,
            epoch: position.epoch,
            batch,
            images: self.images,
            after_codes: self.after_codes / n,
            after_filters: self.after_filters / n,
            snr: self.snr / n,
            density: self.density / n,
            resampled: 0,
            seconds,
        }
    }
}
