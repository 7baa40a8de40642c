//! Images of which not all pixels count alike.

use super::Image;
use crate::{Error, Result};

/// An image and, where not all its pixels count alike, a weight for each; a pixel of weight 0 is missing.
///
/// ```
/// use deconvnet::data::{Image, Weighted};
///
/// let row = |values: [f32; 3]| Image { channels: 1, height: 1, width: 3, values: values.into() };
/// let image = Weighted::new(row([0.25, 0.75, f32::NAN]), row([1.0, 1.0, 0.0]))?;
/// assert_eq!(image.image().values, [0.25, 0.75, 0.5]);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    image: Image,
    weights: Option<Image>,
}

impl From<Image> for Weighted {
    /// All pixels count alike.
    fn from(image: Image) -> Self {
        Self {
            image,
            weights: None,
        }
    }
}

impl Weighted {
    /// With weights `[C, H, W]`, or `[1, H, W]` for all channels alike. What lies in missing pixels is forgotten, for
    /// the mean of the others in the channel.
    ///
    /// # Errors
    /// [`Error::Input`] for weights of another size, below 0 or not finite, and where all pixels are missing.
    pub fn new(image: Image, weights: Image) -> Result<Self> {
        let [[c, h, w], [channels, height, width]] = [weights.shape(), image.shape()];
        if [h, w] != [height, width] || ![1, channels].contains(&c) {
            return Err(Error::Input(format!(
                "the weights have {c} channels of {h} x {w} pixels, and the image {channels} of {height} x {width}"
            )));
        }
        if let Some(m) = weights
            .values
            .iter()
            .find(|m| !(m.is_finite() && **m >= 0.0))
        {
            return Err(Error::Input(format!(
                "a pixel has the weight {m}; weights must be finite and 0 or above"
            )));
        }
        if weights.values.iter().all(|&m| m == 0.0) {
            return Err(Error::Input(
                "every pixel is missing; white in a mask, or 1, marks what is known".into(),
            ));
        }
        if weights.values.iter().all(|&m| m == 1.0) {
            return Ok(image.into());
        }
        let mut weighted = Self {
            image,
            weights: Some(weights),
        };
        for c in 0..channels {
            let known = weighted.known(c).unwrap_or_default();
            let plane = weighted.image.plane_mut(c);
            let each = plane.iter().zip(&known).filter(|(_, known)| **known);
            let sum: f64 = each.clone().map(|(&v, _)| f64::from(v)).sum();
            let mean = (sum / each.count().max(1) as f64) as f32;
            for (v, _) in plane.iter_mut().zip(known).filter(|(_, known)| !known) {
                *v = mean;
            }
        }
        Ok(weighted)
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The image alone.
    pub fn into_image(self) -> Image {
        self.image
    }

    pub(super) fn image_mut(&mut self) -> &mut Image {
        &mut self.image
    }

    /// The weights, of as many channels as the image or one, unless all are 1.
    pub fn weights(&self) -> Option<&Image> {
        self.weights.as_ref()
    }

    /// The share of its pixels that are known.
    pub fn known_share(&self) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| {
            let known = weights.values.iter().filter(|m| **m > 0.0).count();
            known as f64 / weights.values.len() as f64
        })
    }

    /// Which pixels of a channel are known, where not all are weighted alike.
    pub(super) fn known(&self, c: usize) -> Option<Vec<bool>> {
        let weights = self.weights.as_ref()?;
        let plane = weights.plane(c.min(weights.channels - 1)).iter();
        Some(plane.map(|&m| m > 0.0).collect())
    }

    /// The values of the pixels that are known.
    pub(super) fn known_values(&self) -> Vec<f32> {
        self.known_of(&self.image).values
    }

    /// What an image of the same shape holds where pixels of this one are known, as one row.
    ///
    /// ```
    /// use deconvnet::data::{Image, Weighted};
    ///
    /// let row = |values: [f32; 3]| Image { channels: 1, height: 1, width: 3, values: values.into() };
    /// let image = Weighted::new(row([0.1, 0.2, 0.3]), row([1.0, 0.0, 1.0]))?;
    /// assert_eq!(image.known_of(&row([4.0, 5.0, 6.0])).values, [4.0, 6.0]);
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    pub fn known_of(&self, other: &Image) -> Image {
        let mut values = other.values.clone();
        if self.weights.is_some() {
            let known = (0..self.image.channels).flat_map(|c| self.known(c).unwrap_or_default());
            let mut known = known.collect::<Vec<_>>().into_iter();
            values.retain(|_| known.next().unwrap_or(true));
        }
        Image {
            channels: 1,
            height: 1,
            width: values.len(),
            values,
        }
    }
}
