//! What `convnet` does, a file for each of its commands.

pub mod classify;
pub mod control;
pub mod correspondence;
#[cfg(test)]
mod default_tests;
pub mod evolution;
pub mod info;
pub mod invariance;
mod looking;
#[cfg(test)]
mod looking_tests;
pub mod occlusion;
pub mod project;
pub mod strongest;
pub mod train;

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use serde::Serialize;

use crate::convnet::{Changes, Convnet, Map, Model, Preprocess, Preset};
use crate::data::{Image, folder};
use crate::error::{Error, Result};
use crate::task::{Callback, Event, find_images};

/// A model and how pictures are prepared for it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The ONNX file.
    pub model: PathBuf,
    /// The world that it comes from.
    pub preset: Preset,
    /// What replaces parts of the preset.
    pub changes: Changes,
    /// A text file with the name of a class on each line, in their order.
    pub labels: Option<PathBuf>,
    /// Patterns of what is left out of folders of pictures.
    pub exclude: Vec<String>,
}

/// A model ready for pictures.
pub(crate) struct Ready {
    pub net: Convnet,
    pub preprocess: Preprocess,
    /// Names of classes; empty where none are known.
    pub labels: Vec<String>,
}

/// What was done to the pictures, for the record.
#[derive(Clone, Debug, Serialize)]
pub struct Prepared {
    /// The model.
    #[serde(serialize_with = "crate::files::lossily")]
    pub model: PathBuf,
    /// How pictures were prepared.
    pub preprocess: Preprocess,
}

impl Source {
    /// The pictures that a path stands for; tells what is left out.
    pub(crate) fn pictures(
        &self,
        path: &Path,
        callback: &mut dyn Callback<Event>,
    ) -> Result<Vec<PathBuf>> {
        find_images(path, &self.exclude, callback)
    }

    /// Reads the model and makes it ready for pictures.
    pub(crate) fn open(&self, device: &Device) -> Result<Ready> {
        self.ready(&Model::read(&self.model)?, device)
    }

    /// Makes a model ready that was read, and maybe changed, before.
    pub(crate) fn ready(&self, model: &Model, device: &Device) -> Result<Ready> {
        let preprocess = Preprocess::of(model, self.preset, &self.changes)?;
        let net = Convnet::new(model, &preprocess.shape(), device, DType::F32)?;
        let labels = match &self.labels {
            Some(path) => read_labels(path)?,
            None => model
                .notes
                .get("deconvnet.labels")
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
        };
        let ready = Ready {
            net,
            preprocess,
            labels,
        };
        let (labels, classes) = (ready.labels.len(), ready.classes());
        if labels > 0 && labels != classes {
            return Err(Error::Config(format!(
                "{labels} labels do not fit a model of {classes} classes"
            )));
        }
        Ok(ready)
    }

    pub(crate) fn prepared(&self, ready: &Ready) -> Prepared {
        Prepared {
            model: self.model.clone(),
            preprocess: ready.preprocess.clone(),
        }
    }
}

fn read_labels(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let lines = text.trim_end().lines();
    Ok(lines.map(|line| line.trim().to_string()).collect())
}

impl Ready {
    /// A picture as the model sees it, pixels in `[0, 1]`.
    pub fn picture(&self, path: &Path) -> Result<Image> {
        let image = folder::read(path, self.preprocess.channels == 3, None)?;
        Ok(self.preprocess.fit(&image))
    }

    /// Pictures as a batch.
    pub fn batch<'a>(&self, pictures: impl IntoIterator<Item = &'a Image>) -> Map {
        let mut numbers = Vec::new();
        let mut count = 0;
        for picture in pictures {
            numbers.extend(self.preprocess.numbers(picture));
            count += 1;
        }
        let shape = [&[count], &self.preprocess.shape()[1..]].concat();
        Map::from_values(numbers, &shape, self.net.device(), self.net.dtype())
    }

    /// How many classes there are: the channels of the output, or its only axis that is longer than 1.
    pub fn classes(&self) -> usize {
        let shape = &self.net.shape(self.net.top())[1..];
        let mut long = shape.iter().filter(|&&n| n > 1);
        match (long.next(), long.next()) {
            (Some(&classes), None) => classes,
            _ => shape.first().copied().unwrap_or(1),
        }
    }

    /// The probabilities of the classes from the output of one image: of the mean of each map, where the
    /// output has rows and columns.
    pub fn probabilities_of(&self, output: &[f32]) -> Vec<f32> {
        let places = output.len() / self.classes().max(1);
        let mean = |map: &[f32]| map.iter().sum::<f32>() / places as f32;
        let means = output.chunks_exact(places.max(1)).map(mean);
        classify::softmax(&means.collect::<Vec<f32>>())
    }

    /// The name of a class.
    pub fn class(&self, class: usize) -> String {
        match self.labels.get(class) {
            Some(label) => label.clone(),
            None => format!("class {class}"),
        }
    }
}

/// There is nothing to look at, for these reasons.
fn none_read(reasons: &[String]) -> Error {
    Error::Input(format!("no picture can be read: {}", reasons.join("; ")))
}

/// A file name that tells a layer.
pub(crate) fn file_stem(layer: &str) -> String {
    let special = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    layer.replace(special, "-")
}
