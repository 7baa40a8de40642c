//! A run: what a checkpoint holds, and its way to and from the run folder, or to memory.

mod estimate;
mod images;
mod state;
mod store;
mod unusable;

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor, TensorData};

use crate::backend;
use crate::data::Image;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::model::{Network, SparseMaps};
use crate::solve::{Budget, Encoder, FilterMemory, Moments, OnlineStatistics, Stage};
use crate::store::{CheckpointSelector, RunFolder};
pub use estimate::{Estimate, Free, Work};
pub use images::{CACHE_BYTES, Images};
pub(crate) use images::{checksum, data_of};
pub use state::{EpochSums, KIND, Position, Source, State, TraceLine};
pub use store::Store;
pub(crate) use unusable::{TooSmall, too_small};
pub use unusable::{all_usable, flat_images};

/// A network that is learnt or being learnt, what is known of its learning, and the maps of its images.
#[derive(Debug)]
pub struct Run {
    /// Where maps and checkpoints are kept.
    pub store: Store,
    /// What a checkpoint holds beside the arrays.
    pub state: State,
    /// The filters.
    pub network: Network,
}

impl Run {
    /// Opens a checkpoint for reading.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is missing, damaged, or of other shapes than it says.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use burn::tensor::Device;
    /// use deconvnet::run::Run;
    /// use deconvnet::store::CheckpointSelector;
    ///
    /// let run = Run::read("checkpoints/mine".as_ref(), CheckpointSelector::Last, &Device::flex())?;
    /// println!("{} layers learnt", run.state.learnt_layers());
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    pub fn read(path: &Path, which: CheckpointSelector, device: &Device) -> Result<Self> {
        Self::from_folder(RunFolder::read(path, which)?, device)
    }

    /// Opens a checkpoint to go on from it, by all of a group.
    ///
    /// # Errors
    /// As [`Run::read`], and where another process is writing to it.
    pub fn open(
        path: &Path,
        which: CheckpointSelector,
        device: &Device,
        group: &Group,
    ) -> Result<Self> {
        Self::from_folder(RunFolder::open_together(path, which, group)?, device)
    }

    fn from_folder(folder: RunFolder, device: &Device) -> Result<Self> {
        let (_, state): (_, State) = folder.state()?;
        let network = load(&folder, "filters", state.blank(device)?)?;
        Ok(Self {
            store: Store::Folder(Box::new(folder)),
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
        match self.store.contains(&name) {
            true => self.tensor(&name, layer, i, device),
            false => self.maps(layer, i, device),
        }
    }

    /// The maps of image `i` in layer `layer` that learning goes on from, and that the layer above
    /// explains, `[1, K, ..]`.
    ///
    /// # Errors
    /// As [`Run::codes`].
    pub fn maps(&self, layer: usize, i: usize, device: &Device) -> Result<Tensor<4>> {
        self.tensor(&maps_name(layer, i), layer, i, device)
    }

    /// The sparse maps of image `i` in layer `layer` by their elements.
    ///
    /// # Errors
    /// As [`Run::codes`].
    pub fn sparse_codes(&self, layer: usize, i: usize) -> Result<SparseMaps> {
        SparseMaps::from_dense(&self.codes(layer, i, &Device::flex())?)
    }

    /// Whether image `i` has maps in layer `layer`.
    pub fn has_maps(&self, layer: usize, i: usize) -> bool {
        self.store.contains(&maps_name(layer, i))
    }

    /// Keeps the maps of image `i` in layer `layer` that learning goes on from, and the sparse codes
    /// where those are others.
    ///
    /// # Errors
    /// [`Error::Io`] where they cannot be written.
    pub(crate) fn put_maps(
        &mut self,
        layer: usize,
        i: usize,
        maps: &Tensor<4>,
        codes: Option<&Tensor<4>>,
    ) -> Result<()> {
        self.store.put(&maps_name(layer, i), maps)?;
        match codes {
            Some(codes) => self.store.put(&codes_name(layer, i), codes),
            None => Ok(()),
        }
    }

    fn tensor(&self, name: &str, layer: usize, i: usize, device: &Device) -> Result<Tensor<4>> {
        let [c, h, w] = self.state.images[i].shape;
        let shape = self.network.part(0..layer + 1).maps_shape([1, c, h, w]);
        self.store.get(name, shape, device)
    }

    /// The last epoch of every stage that has one.
    ///
    /// # Errors
    /// [`Error::Io`] where the trace of a run of an older version cannot be read.
    pub fn last_epochs(&self) -> Result<Vec<TraceLine>> {
        if !self.state.metrics.is_empty() {
            return Ok(self.state.metrics.clone());
        }
        let trace = self.store.read_trace()?.records;
        let last = |stage| {
            let mut lines = trace.iter().rev();
            lines
                .find(|l| l.stage == stage && l.batch.is_none())
                .cloned()
        };
        Ok((0..self.state.stages()).filter_map(last).collect())
    }

    /// Finds the maps of images that the run holds none of: stage by stage as in training, by the run's
    /// own solver from zero, in as many steps as a training image was given.
    pub fn encoder(&self) -> Encoder<'_> {
        let state = &self.state;
        let learner = state.config.learner();
        let begins_anew = learner.codes.restarts() || !state.keeps_maps();
        let stages = state.objectives.iter().enumerate();
        let stages = stages.map(|(stage, &objective)| {
            let layers = state.layers_of(stage);
            let visits = match begins_anew {
                true => 1,
                false => state.config.layers[layers.end - 1].epochs,
            };
            Stage {
                budget: Budget::Rounds(visits * learner.steps),
                layers,
                objective,
            }
        });
        Encoder {
            stages: stages.collect(),
            network: &self.network,
            method: learner.codes,
            start_noise: 0.0,
            seed: 0,
        }
    }

    /// Makes all of it a checkpoint, where it is kept in a folder.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written; the checkpoint before then is still whole.
    pub(crate) fn commit(&mut self, memory: &FilterMemory, best: bool) -> Result<()> {
        let state = &mut self.state;
        let FilterMemory {
            moments,
            statistics,
        } = memory;
        state.adam_steps = moments.iter().map(|m| m.time).collect();
        state.statistics_batches = statistics.iter().map(|s| s.batches).collect();
        let Store::Folder(folder) = &mut self.store else {
            return Ok(());
        };
        let group = folder.group().clone();
        let write = || {
            folder.put("filters", &save(self.network.clone())?)?;
            let layers = state.layers_of(state.position.stage.min(state.stages() - 1));
            for (layer, moments) in layers.clone().zip(moments) {
                folder.put(&moments_name(layer), &save(moments.clone())?)?;
            }
            for (layer, statistics) in layers.zip(statistics) {
                folder.put(&statistics_name(layer), &save(statistics.clone())?)?;
            }
            Ok(())
        };
        group.lead(write)?;
        let step = folder.last_step().map_or(0, |step| step + 1);
        folder.commit(step, state, best)
    }
}

/// The run in `path` has no filters that are worth using.
pub(crate) fn nothing_learnt(path: &Path) -> Error {
    Error::Checkpoint(format!(
        "{} has learnt nothing yet; go on training it first",
        path.display()
    ))
}

/// The name under which the maps of an image are stored.
fn maps_name(layer: usize, image: usize) -> String {
    format!("maps/layer{}/image{:05}", layer + 1, image + 1)
}

/// The name under which the sparse copy is stored, where the solver keeps one.
fn codes_name(layer: usize, image: usize) -> String {
    format!("codes/layer{}/image{:05}", layer + 1, image + 1)
}

/// The name under which Adam's memory of a layer's filters is stored.
fn moments_name(layer: usize) -> String {
    format!("adam/layer{}", layer + 1)
}

/// The name under which what an online learner remembers of a layer is stored.
fn statistics_name(layer: usize) -> String {
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
    let Store::Folder(folder) = &run.store else {
        return Ok(FilterMemory::default());
    };
    let State {
        adam_steps,
        statistics_batches,
        ..
    } = &run.state;
    let filters = |layer: usize| run.network.layers()[layer].filters.val();
    let mut memory = FilterMemory::default();
    for (layer, &time) in run.state.layers_of(stage).zip(adam_steps) {
        let blank = Moments::zeros(&filters(layer));
        let moments = load(folder, &moments_name(layer), blank)?;
        memory.moments.push(Moments { time, ..moments });
    }
    for (layer, &batches) in run.state.layers_of(stage).zip(statistics_batches) {
        let blank = OnlineStatistics::none(&filters(layer));
        let past = load(folder, &statistics_name(layer), blank)?;
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
    Ok(Image::new([channels, height, width], backend::read(&one)?))
}
