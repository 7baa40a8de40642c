//! The data term: what the maps have to explain, and how much each pixel counts.

use burn::tensor::{DType, Device, Tensor};

use super::sums::sums;
use crate::error::{Error, Result};

/// Images and, where not all pixels count alike, a weight for each:
///
/// ```text
/// 1/2 sum m (R z - y)^2,   m >= 0
/// ```
///
/// A weight of 0 leaves a pixel out (missing pixels, borders), other weights tell how reliable each is.
/// Without weights all are 1.
///
/// # Shapes
/// images `y` and planes `[n, C, H, W]`; weights `m` the same, or 1 in place of `n` or `C`.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::model::DataTerm;
///
/// let device = Device::flex();
/// let images = Tensor::<4>::from_data([[[[1.0, 2.0, 9.0]]]], &device);
/// let mask = Tensor::<4>::from_data([[[[1.0, 1.0, 0.0]]]], &device);
/// let data = DataTerm::new(images).with_weights(mask)?;
/// let residual = data.residual(Tensor::zeros([1, 1, 1, 3], &device));
/// assert_eq!(residual.try_into_vec_as::<f32>().unwrap(), [-1.0, -2.0, 0.0]);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DataTerm {
    images: Tensor<4>,
    weights: Option<Tensor<4>>,
}

impl From<Tensor<4>> for DataTerm {
    fn from(images: Tensor<4>) -> Self {
        Self::new(images)
    }
}

impl DataTerm {
    /// Images of which every pixel counts alike.
    pub fn new(images: Tensor<4>) -> Self {
        Self {
            images,
            weights: None,
        }
    }

    /// The same images with a weight for each pixel.
    ///
    /// # Errors
    /// [`Error::Input`] where the shape does not fit the images, or a weight is negative or not finite.
    pub fn with_weights(self, weights: Tensor<4>) -> Result<Self> {
        let (wanted, given) = (self.images.dims(), weights.dims());
        let fits = (0..4).all(|axis| given[axis] == wanted[axis] || (axis < 2 && given[axis] == 1));
        if !fits {
            return Err(Error::Input(format!(
                "the weights of the pixels are {given:?}, but the images are {wanted:?}; give a weight \
                 for each pixel, with 1 in place of the batch or the channels where all share them"
            )));
        }
        let wrong = |w: &f64| !(w.is_finite() && *w >= 0.0);
        if let Some(w) = weights.to_data().iter::<f64>().find(wrong) {
            return Err(Error::Input(format!(
                "a pixel has the weight {w}; weights must be finite and 0 or above"
            )));
        }
        let weights = weights.cast(self.images.dtype()).expand(wanted);
        Ok(Self {
            weights: Some(weights),
            ..self
        })
    }

    /// Several as one batch.
    pub(crate) fn cat(terms: &[Self]) -> Self {
        let images = terms.iter().map(|term| term.images.clone()).collect();
        let weighted = terms.iter().any(|term| term.weights.is_some());
        let weights = terms.iter().map(|term| {
            let ones = || term.images.ones_like();
            term.weights.clone().unwrap_or_else(ones)
        });
        Self {
            images: Tensor::cat(images, 0),
            weights: weighted.then(|| Tensor::cat(weights.collect(), 0)),
        }
    }

    /// The mean weight of each image, `[n, 1, 1, 1]`, where there are weights.
    pub(crate) fn mean_weights(&self) -> Option<Tensor<4>> {
        let weights = self.weights.clone()?;
        Some(weights.mean_dim(3).mean_dim(2).mean_dim(1))
    }

    /// The images, `[n, C, H, W]`.
    pub fn images(&self) -> &Tensor<4> {
        &self.images
    }

    /// The weights, of the shape of the images, where there are any.
    pub fn weights(&self) -> Option<&Tensor<4>> {
        self.weights.as_ref()
    }

    /// The shape of the images.
    pub fn dims(&self) -> [usize; 4] {
        self.images.dims()
    }

    /// The same with `offset` taken off the images.
    pub(crate) fn shifted(self, offset: Tensor<4>) -> Self {
        Self {
            images: self.images - offset,
            ..self
        }
    }

    /// `m x`.
    pub fn weighted(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.weights {
            Some(weights) => x * weights.clone(),
            None => x,
        }
    }

    /// `m (R z - y)`, the gradient of the term in the planes `R z`.
    pub fn residual(&self, planes: Tensor<4>) -> Tensor<4> {
        self.weighted(planes - self.images.clone())
    }

    /// The largest weight: the data term bends at most so many times as much as without weights.
    pub(crate) fn largest_weight(&self) -> f64 {
        match &self.weights {
            Some(weights) => {
                let all = weights.to_data();
                all.iter::<f64>().fold(0.0, f64::max)
            }
            None => 1.0,
        }
    }

    /// `sum m`, `sum m y` and `sum m y^2` of each image.
    pub(crate) fn moments(&self) -> Vec<[f64; 3]> {
        let y = self.images.clone();
        let weighted = self.weighted(y.clone());
        let (first, second) = (sums(weighted.clone()), sums(weighted * y));
        let [_, c, h, w] = self.dims();
        let count = match &self.weights {
            Some(weights) => sums(weights.clone()),
            None => vec![(c * h * w) as f64; first.len()],
        };
        let each = count.into_iter().zip(first).zip(second);
        each.map(|((n, a), b)| [n, a, b]).collect()
    }

    /// The same in numbers of another type or on another device.
    pub fn to(&self, device: &Device, dtype: DType) -> Self {
        self.each(|x| Tensor::from_data(x.into_data().convert_dtype(dtype), (device, dtype)))
    }

    /// Image `i` alone.
    pub fn image(&self, i: usize) -> Self {
        self.each(|x| x.narrow(0, i, 1))
    }

    /// The same with images and weights mapped.
    pub(crate) fn each(&self, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        Self {
            images: f(self.images.clone()),
            weights: self.weights.clone().map(f),
        }
    }
}
