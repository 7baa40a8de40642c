//! `export` and `import`: filters and maps as plain arrays, for people who go on in Python.
//!
//! A file, `.npz` or `.safetensors`, holds for each layer, from 1,
//!
//! ```text
//! layer1.filters           [planes, maps, h, w]: plane of the layer below, map, taps
//! layer1.connectivity      [planes, maps], 1 where connected; on import, all ones where absent
//! layer1.maps.image00001   [maps, H + h - 1, W + w - 1], the sparse maps of one image; or, sparse,
//! layer1.maps.image00001.values, .gaps, .shape
//!                          the elements that are not zero, how far in the row-major order of the
//!                          dense maps each lies behind the one before (the first behind 0), so that
//!                          `numpy.cumsum(gaps)` are their places, and the shape of those maps
//! layer1.rescaling.shift, layer1.rescaling.scale
//!                          layer 2 explains (maps - shift) * scale
//! layer1.objective.data_weight, .sparsity, .p
//! layer1.objective.non_negative, layer1.penalty_weights
//!                          1 where maps must not be negative; [maps], weights of the penalty on each;
//!                          both absent where there are none
//! ```
//!
//! and the texts `version` (the deconvnet that wrote it), `config` (TOML), `preprocess` (JSON, with
//! what was learnt from the data set), `image00001` (the file that the maps belong to) and, where it is not
//! "valid", `boundary` (see [`Boundary`], which decides the size of the maps).
//! Reconstruction is the 'valid' part of true convolutions: for one layer and with NumPy arrays
//! `f` and `z`, plane `c` is `sum(scipy.signal.convolve2d(z[k], f[c, k], "valid") for k in ..)`.

mod import;

#[cfg(test)]
mod tests;

pub use import::{Imported, import};

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use serde::Serialize;

use crate::arrays::{self, Array, Bundle};
use crate::backend;
use crate::error::{Error, Result};
use crate::model::Boundary;
use crate::named::named;
use crate::run::{Run, nothing_learnt};
use crate::store::CheckpointSelector;

/// What was exported.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// The file.
    #[serde(serialize_with = "crate::files::lossily")]
    pub file: PathBuf,
    /// Layers whose filters are in it.
    pub layers: usize,
    /// Sets of maps in it, one for each image and layer.
    pub maps: usize,
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layers, maps, .. } = self;
        let file = self.file.display();
        let many = |n: &usize, what: &str| match n {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        write!(
            f,
            "{file}: filters of {}, {} of maps",
            many(layers, "layer"),
            many(maps, "set")
        )
    }
}

named! {
    /// The form in which maps are exported.
    #[derive(Default)]
    pub enum ExportMaps: "form of maps" {
        /// Not at all.
        #[default]
        None = "none",
        /// As arrays of all elements.
        Dense = "dense",
        /// By the elements that are not zero.
        Sparse = "sparse",
    }
}

/// Writes the filters of the learnt layers of a run to `file`, and the sparse maps of all its images
/// where `maps` asks for them, which are held in memory together.
///
/// # Errors
/// [`Error::Config`] for a file that is there already (unless `overwrite`) or of another ending;
/// [`Error::Checkpoint`] where the run is damaged or has learnt nothing yet.
pub fn export(
    run: &Path,
    which: CheckpointSelector,
    file: &Path,
    maps: ExportMaps,
    overwrite: bool,
    device: &Device,
) -> Result<Exported> {
    arrays::check_path(file, overwrite)?;
    let path = run;
    let run = Run::read(path, which, device)?;
    if run.state.objectives.is_empty() {
        return Err(nothing_learnt(path));
    }
    if maps != ExportMaps::None && !run.state.keeps_maps() {
        return Err(Error::Config(format!(
            "{} was learnt online and holds no maps; find those of any image with infer, or export the \
             filters alone",
            path.display()
        )));
    }
    let mut bundle = Bundle::default();
    let layers = put_filters(&run, &mut bundle)?;
    put_settings(&run, &mut bundle)?;
    let maps = put_maps(&run, maps, &mut bundle)?;
    arrays::write(file, &bundle, overwrite)?;
    Ok(Exported {
        file: file.to_path_buf(),
        layers,
        maps,
    })
}

/// The name of something that belongs to a layer, `l` from 0.
fn key(l: usize, name: &str) -> String {
    format!("layer{}.{name}", l + 1)
}

/// A tensor as a plain array of the same shape.
///
/// # Errors
/// [`Error::Backend`] where the device cannot hand it over.
pub(super) fn to_array(tensor: &Tensor<4>) -> Result<Array> {
    Array::new(tensor.dims().to_vec(), backend::read(tensor)?)
}

const RESCALING: [&str; 2] = ["rescaling.shift", "rescaling.scale"];
const NON_NEGATIVE: &str = "objective.non_negative";
const PENALTY_WEIGHTS: &str = "penalty_weights";
const OBJECTIVE: [&str; 3] = ["objective.data_weight", "objective.sparsity", "objective.p"];

fn put_filters(run: &Run, bundle: &mut Bundle) -> Result<usize> {
    let network = run.learnt();
    for (l, layer) in network.layers().iter().enumerate() {
        let g = &layer.connectivity;
        let filters = layer.filters.val();
        bundle.put(key(l, "filters"), &filters.dims(), backend::read(&filters)?)?;
        bundle.put(key(l, "connectivity"), &[g.planes(), g.maps()], g.values())?;
        if !layer.pool.is_none() {
            let sizes = <[usize; 3]>::from(layer.pool).map(|size| size as f32);
            bundle.put(key(l, "pool"), &[3], sizes.to_vec())?;
        }
        if let Some(rescaling) = layer.rescaling {
            let values = [rescaling.shift, rescaling.scale];
            for (name, value) in RESCALING.into_iter().zip(values) {
                bundle.scalars.insert(key(l, name), value);
            }
        }
    }
    Ok(network.layers().len())
}

fn put_settings(run: &Run, bundle: &mut Bundle) -> Result<()> {
    let state = &run.state;
    for (top, objective) in state.tops().into_iter().zip(&state.objectives) {
        let values = [objective.data_weight(), objective.sparsity(), objective.p()];
        for (name, value) in OBJECTIVE.into_iter().zip(values) {
            bundle.scalars.insert(key(top, name), value);
        }
        if objective.is_non_negative() {
            bundle.scalars.insert(key(top, NON_NEGATIVE), 1.0);
        }
    }
    for (l, layer) in state.config.layers.iter().enumerate() {
        let weights: Vec<f32> = layer.penalty_weights.iter().map(|&w| w as f32).collect();
        if !weights.is_empty() {
            bundle.put(key(l, PENALTY_WEIGHTS), &[weights.len()], weights)?;
        }
    }
    let boundary = state.config.train.boundary;
    if boundary != Boundary::Valid {
        let texts = &mut bundle.texts;
        texts.insert("boundary".into(), boundary.name().into());
    }
    let preprocess = serde_json::to_string(&state.prepare)
        .map_err(|error| Error::Checkpoint(format!("cannot write the preprocessing: {error}")))?;
    for (name, text) in [
        ("version", env!("CARGO_PKG_VERSION").to_string()),
        ("config", state.config.to_toml()),
        ("preprocess", preprocess),
    ] {
        bundle.texts.insert(name.into(), text);
    }
    Ok(())
}

/// Returns how many sets of maps there are.
fn put_maps(run: &Run, form: ExportMaps, bundle: &mut Bundle) -> Result<usize> {
    if form == ExportMaps::None {
        return Ok(0);
    }
    let mut sets = 0;
    for (i, source) in run.state.images.iter().enumerate() {
        let image = format!("image{:05}", i + 1);
        for l in (0..run.state.learnt_layers()).filter(|&l| run.has_maps(l, i)) {
            let name = key(l, &format!("maps.{image}"));
            let maps = run.sparse_codes(l, i)?;
            if form == ExportMaps::Sparse {
                let (values, gaps) = (maps.values().to_vec(), gaps(maps.places()));
                let shape = maps.shape().map(|n| n as u32).to_vec();
                bundle.put(format!("{name}.values"), &[values.len()], values)?;
                bundle.indices.insert(format!("{name}.gaps"), gaps);
                bundle.indices.insert(format!("{name}.shape"), shape);
            } else {
                bundle.put(name, &maps.shape(), maps.to_vec())?;
            }
            sets += 1;
        }
        let name = match &source.path {
            Some(path) => path.display().to_string(),
            None => format!("sample scene {}", i + 1),
        };
        bundle.texts.insert(image, name);
    }
    Ok(sets)
}

/// How far each place lies behind the one before: numbers that, unlike the places, are small and alike, and shrink when
/// they are compressed.
fn gaps(places: &[u32]) -> Vec<u32> {
    let before = [0].iter().chain(places);
    places
        .iter()
        .zip(before)
        .map(|(at, before)| at - before)
        .collect()
}
