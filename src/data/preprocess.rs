//! What is done to an image before a network sees it, and how it is undone.
//!
//! Every kind is an affine map of each pixel, so one formula inverts them all:
//! `prepared = ((pixel - offset) / deviation - shift) * scale`.

mod streamed;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::window::{crop, floor_at_median, gaussian, local_mean, statistics};
use super::{Image, Range, Rescaling, Weighted, resize};
use crate::{Error, Result};
pub use streamed::Streamed;

/// The largest Gaussian window; a larger one is surely a typing error.
const MAX_SIZE: usize = 999;

/// What is done to every image before a network sees it.
///
/// The Gaussian windows have `size x size` weights `exp(-(a^2 + b^2) / (2 sigma^2))` that sum to
/// one, with `a` and `b` in pixels from the middle.
///
/// Of a [`Weighted`] image all means, deviations, medians and ranges are those of the pixels that are known, of weight
/// above 0; a window counts those of them that it reaches, and they share its sum of one.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Preprocess {
    /// Nothing: pixels in `[0, 1]` as they are.
    None,
    /// Each channel of each image is shifted to zero mean.
    ZeroMean,
    /// Local contrast normalisation: each channel is shifted to zero mean, its Gaussian-weighted
    /// local mean is subtracted, and the result is divided by the local standard deviation
    /// `sqrt(local mean of squares - square of local mean)`, or by the median of that over the
    /// channel where it is smaller.
    ///
    /// Borders are reflected about the outermost pixels (`c b | a b c`), as often as the window
    /// needs, so that images smaller than the window work, and the size does not change.
    ContrastNormalize {
        /// Side of the Gaussian window in pixels, odd.
        #[serde(default = "contrast_size")]
        size: usize,
        /// Standard deviation of the Gaussian in pixels.
        #[serde(default = "contrast_sigma")]
        sigma: f64,
    },
    /// Each channel is shifted to zero mean and its Gaussian-weighted local mean is subtracted
    /// where the window fits, which takes `size - 1` off both sides (100 becomes 96); then all
    /// images of the data set are shifted and scaled together to zero mean and a range of 2. The window of
    /// an image of height 1, a signal, lies along its columns alone.
    LocalMean {
        /// Side of the Gaussian window in pixels, odd.
        #[serde(default = "local_size")]
        size: usize,
        /// Standard deviation of the Gaussian in pixels.
        #[serde(default = "local_sigma")]
        sigma: f64,
    },
}

fn contrast_size() -> usize {
    13
}
fn contrast_sigma() -> f64 {
    4.773
}
fn local_size() -> usize {
    5
}
fn local_sigma() -> f64 {
    1.591
}

impl Default for Preprocess {
    fn default() -> Self {
        Self::ContrastNormalize {
            size: contrast_size(),
            sigma: contrast_sigma(),
        }
    }
}

impl Preprocess {
    /// Local mean removal with the usual 5 x 5 window.
    pub fn local_mean() -> Self {
        Self::LocalMean {
            size: local_size(),
            sigma: local_sigma(),
        }
    }

    /// Checks the window.
    ///
    /// # Errors
    /// [`Error::Config`] if its size is even, below 3 or above 999, or if its sigma is not a
    /// positive number.
    pub fn check(&self) -> Result<()> {
        let Some((size, sigma)) = self.window() else {
            return Ok(());
        };
        if size % 2 == 0 || !(3..=MAX_SIZE).contains(&size) {
            return Err(Error::Config(format!(
                "the window of the preprocessing cannot have size {size}: \
                 give an odd number of pixels from 3 to {MAX_SIZE}"
            )));
        }
        // From 1000 pixels on, or below a thousandth of one, the weights are flat or a single 1.
        if !(1e-3..=1e3).contains(&sigma) {
            return Err(Error::Config(format!(
                "the window of the preprocessing cannot have sigma {sigma}: \
                 give its standard deviation in pixels, from 0.001 to 1000"
            )));
        }
        Ok(())
    }

    /// Learns what the whole data set decides: the rescaling of [`Preprocess::LocalMean`]. The other
    /// kinds do not touch `images`.
    ///
    /// # Errors
    /// Those of [`Preprocess::check`], of the images themselves, and of [`Prepare::apply`];
    /// [`Error::Input`] if there is no image.
    pub fn fit(&self, images: impl IntoIterator<Item = Result<Image>>) -> Result<Prepare> {
        self.fit_weighted(images.into_iter().map(|image| image.map(Weighted::from)))
    }

    /// The same from images of which not all pixels count.
    ///
    /// # Errors
    /// As [`Preprocess::fit`].
    pub fn fit_weighted(
        &self,
        images: impl IntoIterator<Item = Result<Weighted>>,
    ) -> Result<Prepare> {
        self.check()?;
        let mut prepare = Prepare {
            kind: self.clone(),
            rescaling: None,
        };
        if let Self::LocalMean { .. } = self {
            let mut range = Range::new();
            for image in images {
                range.add(&prepare.center(&image?)?.0.known_values());
            }
            if range.count == 0 {
                return Err(Error::Input(
                    "there is no image to measure the range of the data set from: give at least one"
                        .into(),
                ));
            }
            prepare.rescaling = Some(range.rescaling(2.0));
        }
        Ok(prepare)
    }

    /// What is subtracted from each pixel of a plane, or of a window of one of which the mean and the least
    /// deviation are given, and what the difference is divided by. Pixels that are not `known` are at the mean.
    fn split(
        &self,
        pixels: &[f64],
        width: usize,
        given: Option<Plane>,
        known: Option<&[bool]>,
    ) -> (Vec<f64>, Option<Vec<f64>>) {
        let own = || pixels.iter().sum::<f64>() / pixels.len() as f64;
        let mean = given.map_or_else(own, |plane| plane.mean);
        match *self {
            Self::None => (vec![0.0; pixels.len()], None),
            Self::ZeroMean => (vec![mean; pixels.len()], None),
            // The weights sum to one, so the mean of the channel drops out of `pixel - local mean`.
            Self::LocalMean { size, sigma } => {
                let kernel = gaussian(size, sigma);
                (local_mean(pixels, width, &kernel, known), None)
            }
            Self::ContrastNormalize { size, sigma } => {
                // Squares of centred values are small, so that their difference loses few digits.
                let centred: Vec<f64> = pixels.iter().map(|v| v - mean).collect();
                let (mut local, mut deviation) =
                    statistics(&centred, width, &gaussian(size, sigma), known);
                for m in &mut local {
                    *m += mean;
                }
                match given {
                    None => deviation = floor_at_median(deviation, known),
                    Some(plane) => deviation.iter_mut().for_each(|d| *d = d.max(plane.floor)),
                }
                (local, Some(deviation))
            }
        }
    }

    fn window(&self) -> Option<(usize, f64)> {
        match *self {
            Self::None | Self::ZeroMean => None,
            Self::ContrastNormalize { size, sigma } | Self::LocalMean { size, sigma } => {
                Some((size, sigma))
            }
        }
    }
}

/// What the whole of a plane decides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Plane {
    mean: f64,
    /// The least deviation that is divided by.
    floor: f64,
}

/// The rows and columns of an image that are kept.
#[derive(Clone, Copy, Debug)]
struct Area {
    corner: [usize; 2],
    size: [usize; 2],
}

/// A preprocessing fitted to a data set, ready for any image; a checkpoint stores it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// What is done to each image.
    pub kind: Preprocess,
    /// The shift and scale of the data set, for [`Preprocess::LocalMean`] only.
    #[serde(default)]
    #[serde(rename = "lump")]
    pub rescaling: Option<Rescaling>,
}

impl Prepare {
    /// The height and width of a prepared image, given those of the image.
    ///
    /// # Errors
    /// [`Error::Input`] if the image is smaller than the window of [`Preprocess::LocalMean`].
    pub fn output_size(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        match self.kind {
            Preprocess::LocalMean { size, .. } => {
                // A signal has no rows above and below.
                let rows = if height == 1 { 1 } else { size };
                match height < rows || width < size {
                    true => Err(Error::Input(format!(
                        "the image has {height} x {width} pixels, and the local mean is taken over \
                         {rows} x {size}: give larger images, or another preprocessing"
                    ))),
                    false => Ok((height + 1 - rows, width + 1 - size)),
                }
            }
            _ => Ok((height, width)),
        }
    }

    /// Prepares one image; [`Undo`] brings back its pixels.
    ///
    /// # Errors
    /// [`Error::Input`] if the image is inconsistent, not finite or too small;
    /// [`Error::Config`] for an impossible window; [`Error::Checkpoint`] if the rescaling is missing
    /// or is none, which only a damaged checkpoint can cause.
    pub fn apply(&self, image: &Image) -> Result<(Image, Undo)> {
        let (prepared, undo) = self.apply_weighted(&image.clone().into())?;
        Ok((prepared.into_image(), undo))
    }

    /// The same with the weights of the area that is kept; nothing in it depends on what lies in pixels of weight 0.
    ///
    /// # Errors
    /// As [`Prepare::apply`], and [`Error::Input`] where no pixel of that area is known.
    pub fn apply_weighted(&self, image: &Weighted) -> Result<(Weighted, Undo)> {
        self.sound()?;
        let (mut prepared, mut undo) = self.center(image)?;
        self.rescale(prepared.image_mut(), &mut undo);
        Ok((prepared, undo))
    }

    /// Whether what is stored goes together.
    fn sound(&self) -> Result<()> {
        let local_mean = matches!(self.kind, Preprocess::LocalMean { .. });
        let sound =
            |rescaling: Rescaling| rescaling.shift.is_finite() && rescaling.scale.is_normal();
        if local_mean != self.rescaling.is_some() || !self.rescaling.is_none_or(sound) {
            return Err(Error::Checkpoint(format!(
                "the stored preprocessing {:?} does not go with the shift and scale {:?}: \
                 the checkpoint is damaged, so train again or take another",
                self.kind, self.rescaling
            )));
        }
        Ok(())
    }

    fn rescale(&self, prepared: &mut Image, undo: &mut Undo) {
        if let Some(rescaling) = self.rescaling {
            rescaling.apply(&mut prepared.values);
            undo.rescaling = Some(rescaling);
        }
    }

    /// Everything but the rescaling: `(pixel - offset) / deviation`, over the area that is kept.
    fn center(&self, weighted: &Weighted) -> Result<(Weighted, Undo)> {
        let image = weighted.image();
        self.kind.check()?;
        image.check()?;
        let (height, width) = self.output_size(image.height, image.width)?;
        let corner = [(image.height - height) / 2, (image.width - width) / 2];
        let size = [height, width];
        let (prepared, undo) = self.center_area(weighted, Area { corner, size }, None);
        let prepared = match weighted.weights() {
            None => prepared.into(),
            Some(weights) => Weighted::new(prepared, resize::crop(weights, corner, size))?,
        };
        Ok((prepared, undo))
    }

    fn center_area(
        &self,
        weighted: &Weighted,
        area: Area,
        given: Option<&[Plane]>,
    ) -> (Image, Undo) {
        let image = weighted.image();
        let [height, width] = area.size;
        let mut prepared = Image::zeros(image.channels, height, width);
        let mut offset = prepared.clone();
        let mut deviation = None;
        let crop = |plane: &[f64], out: &mut [f32]| {
            crop(plane, image.width, area.corner, (out, width));
        };
        for c in 0..image.channels {
            let pixels: Vec<f64> = image.plane(c).iter().map(|&v| f64::from(v)).collect();
            let given = given.map(|planes| planes[c]);
            let known = weighted.known(c);
            let (mut values, scale) =
                self.kind
                    .split(&pixels, image.width, given, known.as_deref());
            crop(&values, offset.plane_mut(c));
            for (v, pixel) in values.iter_mut().zip(&pixels) {
                let difference = pixel - *v;
                // Less is rounding, which the scale of a flat data set would blow up.
                let real = difference.abs() > 1e-12 * pixel.abs();
                *v = if real { difference } else { 0.0 };
            }
            if let Some(scale) = scale {
                for (v, s) in values.iter_mut().zip(&scale) {
                    *v /= s;
                }
                let deviation = deviation.get_or_insert_with(|| offset.clone());
                crop(&scale, deviation.plane_mut(c));
            }
            crop(&values, prepared.plane_mut(c));
        }
        let undo = Undo {
            offset,
            deviation,
            rescaling: None,
        };
        (prepared, undo)
    }
}

/// What [`Prepare::apply`] took out of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Undo {
    offset: Image,
    deviation: Option<Image>,
    rescaling: Option<Rescaling>,
}

impl Undo {
    /// Brings a prepared image, or a reconstruction of it, back to pixels:
    /// `pixel = offset + deviation * (u / scale + shift)`.
    ///
    /// They are those of the area that the preprocessing kept, exact up to rounding, and may lie
    /// outside `[0, 1]` where a reconstruction overshoots.
    ///
    /// # Errors
    /// [`Error::Input`] if the shape is not that of the prepared image.
    pub fn invert(&self, prepared: &Image) -> Result<Image> {
        if prepared.shape() != self.offset.shape()
            || prepared.values.len() != self.offset.values.len()
        {
            return Err(Error::Input(format!(
                "cannot undo the preprocessing of an image of shape {:?} with what was taken out \
                 of one of shape {:?}: give the image that belongs to it",
                prepared.shape(),
                self.offset.shape()
            )));
        }
        let mut pixels = prepared.clone();
        if let Some(rescaling) = self.rescaling {
            rescaling.undo(&mut pixels.values);
        }
        if let Some(deviation) = &self.deviation {
            for (v, d) in pixels.values.iter_mut().zip(&deviation.values) {
                *v *= d;
            }
        }
        for (v, o) in pixels.values.iter_mut().zip(&self.offset.values) {
            *v += o;
        }
        Ok(pixels)
    }
}
