//! Images with their maps.

use std::path::Path;

use burn::tensor::{Device, Tensor};

use crate::data::{Image, Reader, Undo, array_file, snr};
use crate::error::Result;
use crate::files::file_name;
use crate::model::{DataTerm, Network};
use crate::picture::extremes;
use crate::run::{Images, Run, to_tensor};
use crate::task::{Callback, Event, Interrupt};

/// An image with its sparse maps.
pub(super) struct Coded {
    /// What to call it.
    pub(super) name: String,
    /// What the network saw.
    pub(super) prepared: Image,
    /// The weights of its pixels, of as many channels or one, where some are missing.
    weights: Option<Image>,
    /// The way back to pixels.
    pub(super) undo: Undo,
    /// The values that are drawn black and white: 0 and 1 of a picture, the least and the largest of arrays.
    pub(super) range: [f32; 2],
    /// Layer, from 0, and codes `[1, K, ..]`, of each layer that has maps of its own.
    pub(super) codes: Vec<(usize, Tensor<4>)>,
}

impl Coded {
    /// Training image `i`, from 0, with what the checkpoint holds of its maps; where a run keeps none
    /// they are found anew, as for a file.
    pub(super) fn of_training(
        run: &Run,
        images: &mut Images,
        i: usize,
        device: &Device,
        observer: &dyn Callback<Event>,
    ) -> Result<Self> {
        let weighted = images.weighted(i)?;
        let undo = images.undo(i)?;
        let codes = match run.state.keeps_maps() {
            true => run
                .state
                .tops()
                .into_iter()
                .filter(|&layer| run.has_maps(layer, i))
                .map(|layer| Ok((layer, run.codes(layer, i, device)?)))
                .collect::<Result<_>>()?,
            false => encode(run, images.data(i, device)?, observer)?,
        };
        let path = images.sources()[i].path.as_deref();
        Ok(Self {
            range: range(path, &undo.invert(weighted.image())?),
            name: file_name(images.name(i).as_ref()),
            prepared: weighted.image().clone(),
            weights: weighted.weights().cloned(),
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
        reader: &Reader,
        device: &Device,
        observer: &dyn Callback<Event>,
    ) -> Result<Self> {
        let (prepared, undo) = run.state.prepare_file(path, reader)?;
        Ok(Self {
            range: range(Some(path), &undo.invert(&prepared)?),
            codes: encode(run, to_tensor(&prepared, device).into(), observer)?,
            name: file_name(path),
            prepared,
            weights: None,
            undo,
        })
    }

    /// The layers up to `layer` as the linear map that they are for this image: at its switches, where
    /// maps are pooled.
    pub(super) fn stack(&self, run: &Run, layer: usize) -> Result<Network> {
        let codes = self.codes.iter().map(|(l, codes)| (*l, codes));
        run.network.stack(0..layer + 1, codes)
    }

    /// The signal to noise ratio of an approximation, over the pixels that are known.
    pub(super) fn snr(&self, sum: &Image) -> f64 {
        let Some(weights) = &self.weights else {
            return snr(&self.prepared, sum);
        };
        let known = |image: &Image| {
            let pixels = image.values.iter().zip(weights.values.iter().cycle());
            let values: Vec<f32> = pixels.filter(|(_, m)| **m > 0.0).map(|(v, _)| *v).collect();
            Image::new([1, 1, values.len()], values)
        };
        snr(&known(&self.prepared), &known(sum))
    }

    /// The pixels that were prepared.
    pub(super) fn pixels(&self) -> Result<Image> {
        self.undo.invert(&self.prepared)
    }
}

/// The values of an image that are drawn black and white; of the library's own images, as of pictures.
fn range(path: Option<&Path>, pixels: &Image) -> [f32; 2] {
    match path.and_then(array_file) {
        None if pixels.height > 1 => [0.0, 1.0],
        _ => extremes(pixels),
    }
}

/// The codes of a prepared image, stage by stage.
fn encode(
    run: &Run,
    image: DataTerm,
    observer: &dyn Callback<Event>,
) -> Result<Vec<(usize, Tensor<4>)>> {
    let coded = run.encoder().encode(image, &mut Interrupt(observer))?;
    let codes = coded.into_iter();
    Ok(codes
        .map(|coded| (coded.layer, coded.solved.codes))
        .collect())
}
