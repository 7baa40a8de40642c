//! `denoise` and `inpaint`: images restored by sparse codes, a file or a folder of them.

mod denoise;
mod drawing;
mod each;
mod inpaint;
mod jobs;
mod large;
mod report;

pub use denoise::{DenoiseOptions, Noise, denoise};
pub use inpaint::{InpaintOptions, inpaint};
pub use report::{Fidelity, Report, Row};

use std::path::PathBuf;

use burn::tensor::Device;

use super::{Callback, Event};
use crate::error::Result;
use crate::restore::{Filters, Step};
use crate::run::{Run, nothing_learnt};
use crate::store::CheckpointSelector;

/// What patches are coded with.
#[derive(Clone, Debug, Default)]
pub enum FilterSource {
    /// The filters that come with the library.
    #[default]
    BuiltIn,
    /// The filters of the first layer of a run.
    Run {
        /// Its folder.
        path: PathBuf,
        /// Which checkpoint.
        at: CheckpointSelector,
    },
}

impl FilterSource {
    /// The filters, what they are, in words, and a checksum of them.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) where the run cannot be read or has learnt nothing,
    /// [`Error::Input`](crate::Error::Input) for filters that patches cannot be coded with.
    fn read(&self) -> Result<(Filters, String, u32)> {
        let mut hasher = crc32fast::Hasher::new();
        let (filters, what) = match self {
            Self::BuiltIn => (Filters::built_in(), "built in".to_owned()),
            Self::Run { path, at } => {
                let network = Run::read(path, *at, &Device::flex())?.learnt();
                let layer = network
                    .layers()
                    .first()
                    .ok_or_else(|| nothing_learnt(path))?;
                // One filter for all planes that patches come in: the sum over the channels.
                let values = layer.filters.val().sum_dim(0);
                let [_, _, h, w] = values.dims();
                let values: Vec<f32> = values.to_data().iter().collect();
                for value in &values {
                    hasher.update(&value.to_le_bytes());
                }
                let what = format!("layer 1 of {}", path.display());
                (Filters::new(&values, [h, w])?, what)
            }
        };
        let [h, w] = filters.size();
        let what = format!("{} of {h} x {w}, {what}", filters.count());
        Ok((filters, what, hasher.finalize()))
    }
}

/// Where images come from and results go.
#[derive(Clone, Debug)]
pub struct Files {
    /// An image, or a folder of them.
    pub input: PathBuf,
    /// The picture written; of a folder, the folder for pictures of the same names.
    pub out: PathBuf,
    /// The image, or the folder of images, without the fault: for the table alone.
    pub reference: Option<PathBuf>,
    /// Whether what is there already may be replaced.
    pub overwrite: bool,
    /// Whether to go on where it is estimated to take more memory or disk than there is.
    pub force: bool,
}

/// Tells the steps of one image, but for those of many.
struct Steps<'a> {
    name: String,
    told: bool,
    callback: &'a mut dyn Callback<Event>,
}

impl Callback<Step> for Steps<'_> {
    fn event(&mut self, Step { done, of }: Step) {
        if self.told {
            let name = self.name.clone();
            self.callback.event(Event::Item { name, done, of });
        }
    }

    fn interrupted(&self) -> bool {
        self.callback.interrupted()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod window_tests;
