//! The network: five convolutions and three linear layers, fitted to the side of its images.

use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Side of the filters of the first layer: no image may be smaller.
pub const FIRST_FILTER: usize = 7;
/// Number of convolutions; the layers after them are linear.
pub const CONVOLUTIONS: usize = 5;
/// Side and step of the windows of a pooling layer; they reach one place over the border.
pub const POOL: [usize; 2] = [3, 2];
/// Maps before and maps of every convolution, side of its filters, as published.
const PUBLISHED: [(usize, usize); CONVOLUTIONS] = [(96, 7), (256, 5), (384, 3), (384, 3), (256, 3)];
/// Units of a hidden linear layer, as published.
const HIDDEN: usize = 4096;
/// Maps are halved in size as long as they keep this side.
const LEAST_SIDE: usize = 4;
/// Numbers of the windows that the convolutions look at for the images in work, half a gigabyte: of all 128 images of
/// 224 pixels they would be 2.8.
const WINDOWS: usize = 1 << 27;
/// Images of this side and larger get the published number of maps.
const FULL_SIDE: usize = 128;

/// Local response normalisation over the maps,
///
/// ```text
/// y[k] = x[k] / (1 + ALPHA / SIZE * sum_{|j - k| <= SIZE / 2} x[j]^2)^BETA
/// ```
///
/// in the form of ONNX and PyTorch. Krizhevsky's 1e-4 is for a sum, not a mean, and for pixels up to
/// 255; for pixels of unit deviation (about 60 of those) it is `1e-4 * 5 * 60^2`, about 1.
pub mod normalisation {
    /// Maps that count: the map itself and half of the others on each side.
    pub const SIZE: usize = 5;
    /// How much they count.
    pub const ALPHA: f64 = 1.0;
    /// The exponent.
    pub const BETA: f64 = 0.75;
}

/// The shape of a network: that of the paper for images of 224 pixels, with fewer maps and halvings for
/// smaller ones.
///
/// Sides are halved by, in this order of preference, the first layer's stride, the first two pooling
/// layers, the last one and the second layer's stride, as long as 4 places are left: the paper's 224
/// become 7, and 32 become 4 by the first three.
///
/// # Examples
/// ```
/// use deconvnet::convnet::training::Architecture;
///
/// let small = Architecture::new(32, 10, None)?;
/// let sides: Vec<usize> = small.convolutions().iter().map(|c| c.out).collect();
/// assert_eq!(sides, [8, 4, 4, 4, 4]);
/// assert_eq!(small.maps, [24, 64, 96, 96, 64]);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Side of an image, pixels.
    pub side: usize,
    /// Number of classes.
    pub classes: usize,
    /// Maps of each convolution.
    pub maps: [usize; CONVOLUTIONS],
    /// Units of each of the two hidden linear layers.
    pub hidden: usize,
}

/// A convolution and what follows it: rectification, then pooling, then normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Maps below.
    pub below: usize,
    /// Maps.
    pub maps: usize,
    /// Side of the filters.
    pub filter: usize,
    /// Step of the filters.
    pub stride: usize,
    /// Whether maxima over 3 x 3 places are taken, 2 apart.
    pub pool: bool,
    /// Whether the maps are normalised.
    pub normalise: bool,
    /// Side of the maps in the end.
    pub out: usize,
}

impl Architecture {
    /// For images of `side` pixels a side. `width` is the share of the published numbers of maps;
    /// `side / 128`, at least an eighth and at most all, where absent.
    ///
    /// # Errors
    /// [`Error::Config`] for images smaller than the first filter, fewer than two classes, or a share
    /// that is no positive number.
    pub fn new(side: usize, classes: usize, width: Option<f64>) -> Result<Self> {
        if side < FIRST_FILTER {
            return Err(Error::Config(format!(
                "images of {side} pixels a side are smaller than the first layer's filters, \
                 {FIRST_FILTER} x {FIRST_FILTER}; choose at least {FIRST_FILTER}"
            )));
        }
        if classes < 2 {
            return Err(Error::Config(format!(
                "{classes} class leaves nothing to tell apart: give at least two"
            )));
        }
        let width = width.unwrap_or_else(|| (side as f64 / FULL_SIDE as f64).clamp(0.125, 1.0));
        if !(width > 0.0 && width <= 8.0) {
            return Err(Error::Config(format!(
                "the width {width} is no share of the published numbers of maps: choose one above 0, \
                 such as 0.25, and up to 8"
            )));
        }
        let share = |n: usize| ((n as f64 * width).round() as usize).max(1);
        Ok(Self {
            side,
            classes,
            maps: PUBLISHED.map(|(maps, _)| share(maps)),
            hidden: share(HIDDEN),
        })
    }

    /// The convolutions, from the image up.
    pub fn convolutions(&self) -> [Convolution; CONVOLUTIONS] {
        let mut halvings = 0;
        while halvings < 5 && self.side.div_ceil(2 << halvings) >= LEAST_SIDE {
            halvings += 1;
        }
        // The first layer's stride of 2 is the paper's at every size.
        let has = |rank: usize| rank == 0 || rank < halvings;
        let (mut below, mut side) = (3, self.side);
        std::array::from_fn(|l| {
            let halves = match l {
                0 => has(0),
                1 => has(4),
                _ => false,
            };
            let pool = match l {
                0 => has(1),
                1 => has(2),
                4 => has(3),
                _ => false,
            };
            let stride = 1 + usize::from(halves);
            side = side.div_ceil(stride << u32::from(pool));
            let maps = self.maps[l];
            Convolution {
                below: std::mem::replace(&mut below, maps),
                maps,
                filter: PUBLISHED[l].1,
                stride,
                pool,
                normalise: l < 2,
                out: side,
            }
        })
    }

    /// Images that are in work at the same time, for the way there and back.
    pub fn together(&self) -> usize {
        let windows = self.convolutions().map(|c| {
            let side = c.out << u32::from(c.pool);
            c.below * c.filter * c.filter * side * side
        });
        (WINDOWS / windows.iter().sum::<usize>()).max(1)
    }

    /// The shape of the weights of every layer, `[K, C, h, w]`; a linear layer is a convolution that is as
    /// large as the maps below it.
    pub fn weights(&self) -> Vec<[usize; 4]> {
        let convolutions = self.convolutions();
        let out = convolutions[CONVOLUTIONS - 1].out;
        let shapes = convolutions.map(|c| [c.maps, c.below, c.filter, c.filter]);
        let mut shapes = shapes.to_vec();
        shapes.push([self.hidden, self.maps[CONVOLUTIONS - 1], out, out]);
        shapes.push([self.hidden, self.hidden, 1, 1]);
        shapes.push([self.classes, self.hidden, 1, 1]);
        shapes
    }
}

/// How large the weights are at the start, normally distributed around 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitialWeights {
    /// Standard deviation `sqrt(2 / n)` for `n` inputs of a unit: rectified layers keep the size of what
    /// passes through. Source: He, Zhang, Ren and Sun, ICCV 2015.
    #[default]
    Scaled,
    /// Standard deviation 1e-2 in every layer, as the paper says. Inputs of unit deviation then shrink a
    /// few times from layer to layer, and a network of this size does not learn.
    Paper,
}

impl InitialWeights {
    fn deviation(self, inputs: usize) -> f64 {
        match self {
            Self::Scaled => (2.0 / inputs as f64).sqrt(),
            Self::Paper => 1e-2,
        }
    }
}

/// Weights and biases of a layer.
#[derive(Module, Debug)]
pub struct Layer {
    /// `[K, C, h, w]`.
    pub weight: Param<Tensor<4>>,
    /// `[K, 1, 1, 1]`.
    pub bias: Param<Tensor<4>>,
}

/// The network as a Burn module.
#[derive(Module, Debug)]
pub struct Network {
    /// Five convolutions, then three linear layers.
    pub layers: Vec<Layer>,
    /// Its shape.
    #[module(skip)]
    pub architecture: Architecture,
}

impl Network {
    /// All zero: to be filled from a record, or to remember changes in.
    pub fn zeros(architecture: &Architecture, device: &Device) -> Self {
        Self::filled(architecture, |shape| Tensor::zeros(shape, device))
    }

    /// Random weights, biases of 0.
    pub fn random(
        architecture: &Architecture,
        initial: InitialWeights,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        Self::filled(architecture, |shape| {
            let deviation = initial.deviation(shape[1..].iter().product());
            let normal = |_| {
                let value: f64 = StandardNormal.sample(rng);
                (deviation * value) as f32
            };
            let values: Vec<f32> = (0..shape.iter().product()).map(normal).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        })
    }

    fn filled(
        architecture: &Architecture,
        mut weight: impl FnMut([usize; 4]) -> Tensor<4>,
    ) -> Self {
        let layers = architecture.weights().into_iter().map(|shape| {
            let weight = weight(shape);
            let bias = Tensor::zeros([shape[0], 1, 1, 1], &weight.device());
            Layer {
                weight: Param::from_tensor(weight),
                bias: Param::from_tensor(bias),
            }
        });
        Self {
            layers: layers.collect(),
            architecture: architecture.clone(),
        }
    }

    /// The logits of a batch. In training, `dropout` multiplies the units of the two hidden linear layers.
    ///
    /// # Shapes
    /// `images` `[3, n, S, S]`, `dropout` `[units, n]` -> `[classes, n]`: channels first, as the
    /// normalisation over maps and the linear layers want them.
    pub fn forward(&self, images: Tensor<4>, dropout: Option<[Tensor<2>; 2]>) -> Tensor<2> {
        let mut x = images;
        for (convolution, layer) in self.architecture.convolutions().iter().zip(&self.layers) {
            x = convolve(x, layer.weight.val(), convolution.stride) + layer.bias.val();
            x = relu(x);
            if convolution.pool {
                let [side, stride] = POOL;
                let options = MaxPoolOptions::new([side; 2])
                    .with_stride([stride; 2])
                    .with_padding([side / 2; 2]);
                x = max_pool2d(x, options);
            }
            if convolution.normalise {
                x = normalised(x);
            }
        }
        let [maps, n, height, width] = x.dims();
        let mut x: Tensor<2> = x.permute([0, 2, 3, 1]).reshape([maps * height * width, n]);
        let mut dropout = dropout.into_iter().flatten();
        let last = self.layers.len() - 1;
        for (l, layer) in self.layers.iter().enumerate().skip(CONVOLUTIONS) {
            let [units, below, h, w] = layer.weight.val().dims();
            let weight: Tensor<2> = layer.weight.val().reshape([units, below * h * w]);
            let bias: Tensor<2> = layer.bias.val().reshape([units, 1]);
            x = weight.matmul(x) + bias;
            if l < last {
                x = relu(x);
                if let Some(mask) = dropout.next() {
                    x = x * mask;
                }
            }
        }
        x
    }

    /// Scales every filter of the convolutions whose root mean square exceeds `radius` down to it: none
    /// comes to dominate.
    ///
    /// Source: Zeiler and Fergus 2014, section 3.1.
    pub fn renormalise(&mut self, radius: f64) {
        for layer in &mut self.layers[..CONVOLUTIONS] {
            layer.weight = layer.weight.clone().map(|weight| {
                let [maps, ..] = weight.dims();
                let squares: Tensor<2> =
                    (weight.clone() * weight.clone()).reshape([maps as i32, -1]);
                let rms = squares.mean_dim(1).sqrt().clamp_min(radius);
                weight * (rms.recip() * radius).reshape([maps, 1, 1, 1])
            });
        }
    }
}

/// Cross-correlation with zeros around, so that `ceil(H / stride)` rows come out.
fn convolve(x: Tensor<4>, weight: Tensor<4>, stride: usize) -> Tensor<4> {
    let [.., side, _] = weight.dims();
    let options = ConvOptions::new([stride; 2], [side / 2; 2], [1; 2], 1);
    conv2d(x.swap_dims(0, 1), weight, None, options).swap_dims(0, 1)
}

/// [`normalisation`] of maps `[K, n, H, W]`.
pub(super) fn normalised(x: Tensor<4>) -> Tensor<4> {
    use normalisation::{ALPHA, SIZE};
    let [maps, n, height, width] = x.dims();
    let reach = SIZE / 2;
    let border = Tensor::zeros([reach, n, height, width], (&x.device(), x.dtype()));
    let squares = Tensor::cat(vec![border.clone(), x.clone() * x.clone(), border], 0);
    let windows = (0..SIZE).map(|k| squares.clone().narrow(0, k, maps));
    let sum = windows.reduce(|a, b| a + b).expect("a window has a middle");
    // To the power of 3/4.
    let root = (sum * (ALPHA / SIZE as f64) + 1.0).sqrt();
    x / (root.clone() * root.sqrt())
}

/// Changes the weights by gradient descent with momentum,
///
/// ```text
/// v <- momentum v - rate (gradient + decay w),   w <- w + v
/// ```
///
/// `gradients` are those of the layers of the network, weight and bias. Biases do not decay.
///
/// Source: Krizhevsky, Sutskever and Hinton, NIPS 2012, section 5.
pub fn descend(
    network: &mut Network,
    velocity: &mut Network,
    gradients: Vec<[Tensor<4>; 2]>,
    rate: f64,
    momentum: f64,
    decay: f64,
) {
    let step =
        |w: &mut Param<Tensor<4>>, v: &mut Param<Tensor<4>>, slope: Tensor<4>, decay: f64| {
            let change = v.val() * momentum - (slope + w.val() * decay) * rate;
            *w = w.clone().map(|w| w + change.clone());
            *v = v.clone().map(|_| change);
        };
    let pairs = network.layers.iter_mut().zip(&mut velocity.layers);
    for ((layer, speed), [weight, bias]) in pairs.zip(gradients) {
        step(&mut layer.weight, &mut speed.weight, weight, decay);
        step(&mut layer.bias, &mut speed.bias, bias, 0.0);
    }
}
