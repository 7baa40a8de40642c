//! From a picture to what a convnet was trained on: size, colours, range. No model file says it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Layout, Model};
use crate::data::{Image, resize};
use crate::error::{Error, Result};
use crate::named::named;

/// How pictures are prepared: the shorter side scaled to `size`, the middle cut out, then for each channel
///
/// ```text
/// x = (scale pixel - mean) / std,   pixel in [0, 1]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// What pixels are multiplied by: 1, or 255 for models that were trained on bytes.
    pub scale: f32,
    /// For each channel, in the order of the channels of the model.
    pub mean: Vec<f32>,
    /// For each channel.
    pub std: Vec<f32>,
    /// Whether blue comes first.
    pub bgr: bool,
    /// Pixels of the shorter side before the middle is cut out.
    pub size: usize,
    /// Rows and columns of the middle.
    pub crop: [usize; 2],
    /// Colour or grey.
    pub channels: usize,
    /// Whether channels come last in the model.
    pub channels_last: bool,
}

named! {
    /// What is common in one world.
    #[derive(Default)]
    pub enum Preset: "preset" {
        /// Pixels in `[0, 1]`, less ImageNet's mean, over its standard deviation: torchvision.
        #[default]
        Torch = "torch",
        /// Bytes, blue first, less (104, 117, 123).
        Caffe = "caffe",
        /// Pixels in `[-1, 1]`: many Keras models.
        Tf = "tf",
        /// Pixels in `[0, 1]`.
        Plain = "plain",
    }
}

/// What replaces parts of a preset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// See [`Preprocess::mean`].
    pub mean: Option<Vec<f32>>,
    /// See [`Preprocess::std`].
    pub std: Option<Vec<f32>>,
    /// See [`Preprocess::scale`].
    pub scale: Option<f32>,
    /// See [`Preprocess::bgr`].
    pub bgr: bool,
    /// See [`Preprocess::size`].
    pub size: Option<usize>,
    /// See [`Preprocess::crop`], both sides.
    pub crop: Option<usize>,
}

/// The side of the middle where neither the model nor the user says one.
const CROP: usize = 224;

impl Preprocess {
    /// A preset with changes, fitted to the input of a model.
    ///
    /// A model that was trained by this program carries its own mean and deviation, which stand in for
    /// the preset.
    ///
    /// # Errors
    /// [`Error::Config`] where the model takes no images, other sizes, or another number of channels than
    /// means and deviations are given for.
    pub fn of(model: &Model, preset: Preset, changes: &Changes) -> Result<Self> {
        let Some(layout) = model.layout() else {
            return Err(Error::Config(format!(
                "the input `{}` of {} has {} axes and takes no images: it can be looked at with arrays only",
                model.input,
                model.path.display(),
                model.input_shape.len()
            )));
        };
        let channels = layout.channels.unwrap_or(3);
        if channels != 1 && channels != 3 {
            return Err(Error::Config(format!(
                "the model takes {channels} channels; images have 1 or 3: look at it with arrays"
            )));
        }
        let side = changes.crop.unwrap_or(CROP);
        if side == 0 {
            return Err(Error::Config("images need one pixel at least".into()));
        }
        let crop = layout.size.map(|fixed| fixed.unwrap_or(side));
        if changes.crop.is_some_and(|side| crop != [side; 2]) {
            return Err(Error::Config(format!(
                "the model takes images of {} x {} pixels and no others",
                crop[0], crop[1]
            )));
        }
        let shorter = crop[0].min(crop[1]);
        let longest = crop[0].max(crop[1]);
        // ImageNet's networks are tested on the middle of images of 256 pixels.
        let size = if (193..256).contains(&longest) {
            256
        } else {
            longest
        };
        let size = changes.size.unwrap_or(size);
        if size < longest.max(shorter) {
            return Err(Error::Config(format!(
                "{} x {} pixels cannot be cut out of an image whose shorter side has {size}",
                crop[0], crop[1]
            )));
        }
        let (scale, mean, std, bgr): (f32, &[f32], &[f32], bool) = match preset {
            Preset::Torch => (1.0, &[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225], false),
            Preset::Caffe => (255.0, &[104.0, 117.0, 123.0], &[1.0; 3], true),
            Preset::Tf => (1.0, &[0.5; 3], &[0.5; 3], false),
            Preset::Plain => (1.0, &[0.0; 3], &[1.0; 3], false),
        };
        let noted = |key: &str| {
            model
                .notes
                .get(key)
                .and_then(|text| serde_json::from_str(text).ok())
        };
        let each = |given: &Option<Vec<f32>>, note: &str, preset: &[f32], what: &str| {
            let numbers = match (given, noted(note)) {
                (Some(given), _) => given.clone(),
                (None, Some(noted)) => noted,
                (None, None) if channels == 1 => vec![preset.iter().sum::<f32>() / 3.0],
                (None, None) => preset.to_vec(),
            };
            match numbers.len() {
                1 => Ok(vec![numbers[0]; channels]),
                n if n == channels => Ok(numbers),
                n => Err(Error::Config(format!(
                    "{n} numbers for the {what} of {channels} channels: give one, or one for each"
                ))),
            }
        };
        let mean = each(&changes.mean, "deconvnet.mean", mean, "mean")?;
        let std = each(&changes.std, "deconvnet.std", std, "standard deviation")?;
        if std.iter().any(|&s| !(s.is_finite() && s > 0.0)) {
            return Err(Error::Config("standard deviations must be positive".into()));
        }
        let is_scale = |scale: f32| scale.is_finite() && scale != 0.0;
        if !changes.scale.is_none_or(is_scale) || mean.iter().any(|m| !m.is_finite()) {
            return Err(Error::Config(
                "the scale must be a number other than 0, and each mean a number".into(),
            ));
        }
        let ours = model.notes.contains_key("deconvnet.mean");
        Ok(Self {
            scale: changes.scale.unwrap_or(if ours { 1.0 } else { scale }),
            mean,
            std,
            bgr: changes.bgr || (bgr && !ours),
            size,
            crop,
            channels,
            channels_last: layout.channels_last,
        })
    }

    /// The shape that the model gets for one image.
    pub fn shape(&self) -> Vec<usize> {
        let layout = Layout {
            channels_last: self.channels_last,
            channels: Some(self.channels),
            size: self.crop.map(Some),
        };
        layout.shape(self.channels, self.crop)
    }

    /// The part of a picture that the model sees, pixels in `[0, 1]`.
    pub fn fit(&self, image: &Image) -> Image {
        resize::middle(image, self.size, self.crop)
    }

    /// Where a part of a picture of `size`, first and last row or column along each axis, lies in what
    /// [`Self::fit`] makes of it; none where it is cut off.
    pub fn fit_part(&self, part: [Range<usize>; 2], size: [usize; 2]) -> Option<[Range<usize>; 2]> {
        let (scaled, corner) = resize::placed(size, self.size, self.crop);
        let along = |k: usize| {
            let ratio = scaled[k] as f64 / size[k].max(1) as f64;
            let end = |at: usize| {
                let at = (at as f64 * ratio).round() as usize;
                at.saturating_sub(corner[k]).min(self.crop[k])
            };
            end(part[k].start)..end(part[k].end)
        };
        let fitted = [along(0), along(1)];
        let is_empty = fitted.iter().any(Range::is_empty);
        (!is_empty).then_some(fitted)
    }

    /// The pixel, between 0 and 1, that the model gets as zeros: red, green, blue.
    pub fn mean_pixel(&self) -> Vec<f32> {
        let mean = (0..self.channels).map(|c| self.mean[self.source(c)] / self.scale);
        mean.collect()
    }

    /// What the model gets of a fitted picture, in the order of the axes of [`Self::shape`].
    pub fn numbers(&self, fitted: &Image) -> Vec<f32> {
        let pixels = self.crop[0] * self.crop[1];
        let mut numbers = vec![0.0; self.channels * pixels];
        for c in 0..self.channels {
            let plane = fitted.plane(self.source(c));
            for (k, &pixel) in plane.iter().enumerate() {
                numbers[self.place(c, k, pixels)] =
                    (self.scale * pixel - self.mean[c]) / self.std[c];
            }
        }
        numbers
    }

    /// A projection as a picture: red, green, blue, in the units of pixels.
    pub fn picture(&self, projection: &[f32]) -> Image {
        let pixels = self.crop[0] * self.crop[1];
        let mut picture = Image::zeros(self.channels, self.crop[0], self.crop[1]);
        for c in 0..self.channels {
            let source = self.source(c);
            let plane = picture.plane_mut(source);
            for (k, value) in plane.iter_mut().enumerate() {
                *value = projection[self.place(c, k, pixels)];
            }
        }
        picture
    }

    /// Which channel of the picture channel `c` of the model is.
    fn source(&self, c: usize) -> usize {
        if self.bgr { self.channels - 1 - c } else { c }
    }

    /// Where pixel `k` of channel `c` lies.
    fn place(&self, c: usize, k: usize, pixels: usize) -> usize {
        match self.channels_last {
            true => k * self.channels + c,
            false => c * pixels + k,
        }
    }
}
