//! Normalisation: of each channel by known numbers, by neighbouring channels, and to probabilities.

use burn::tensor::{Tensor, TensorData, activation};

use super::super::rule::{Rule, Walk};
use super::super::value::Map;
use super::{Lowered, Region, Saved, Site, View, whole};
use crate::arrays::Array;
use crate::error::Result;

/// `y = scale x + shift`, a number of each for each channel: batch normalisation after training.
#[derive(Clone, Debug)]
pub struct ChannelAffine {
    /// `[1, channels, 1]`.
    scale: Tensor<3>,
    shift: Tensor<3>,
}

/// Local response normalisation, over channels `c - before ..` of the same place:
///
/// ```text
/// y[c] = x[c] / s[c]^beta,   s[c] = bias + alpha sum_u x[c + u]^2
/// ```
///
/// Under the rules of the paper a signal passes as it is, unless told otherwise.
#[derive(Clone, Debug)]
pub struct LocalResponse {
    /// `[channels, channels]`: 1 where a channel counts.
    neighbours: Tensor<2>,
    alpha: f32,
    beta: f32,
    bias: f32,
    /// How far it reaches to each side.
    reach: [usize; 2],
}

/// `e^x / sum e^x` along an axis, or the logarithm of that.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// `[before, length, behind]` of one image.
    around: [usize; 3],
    /// Along which axes of the map.
    axes: (usize, usize),
    logarithm: bool,
}

/// The numbers of each place along the last axes, less their mean and over their deviation, then times a
/// factor and plus a shift for each.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// From which axis on, and how many numbers of one place that is.
    axis: usize,
    length: usize,
    /// `[1, length]`.
    scale: Option<Tensor<2>>,
    shift: Option<Tensor<2>>,
    epsilon: f32,
}

pub fn lower_batch(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    if site.attribute_integer("training_mode", 0)? != 0 {
        return Err(site.error("it is in training mode: export the model in evaluation mode"));
    }
    let epsilon = f64::from(site.attribute_float("epsilon", 1e-5)?);
    if shape.len() < 2 {
        return Err(site.error(format!("a map of the shape {shape:?} has no channels")));
    }
    let channels = shape[1];
    let mut numbers = Vec::new();
    for k in 1..5 {
        let array = site.floats(k)?;
        if array.values.len() != channels {
            return Err(site.error(format!(
                "input {k} has {} numbers for {channels} channels",
                array.values.len()
            )));
        }
        numbers.push(&array.values);
    }
    let [scale, shift, mean, variance] = [numbers[0], numbers[1], numbers[2], numbers[3]];
    let factor = |c: usize| f64::from(scale[c]) / (f64::from(variance[c]) + epsilon).sqrt();
    let offset = |c: usize| f64::from(shift[c]) - factor(c) * f64::from(mean[c]);
    let numbers = |of: &dyn Fn(usize) -> f64| (0..channels).map(|c| of(c) as f32).collect();
    let operator = ChannelAffine::new(site, numbers(&factor), numbers(&offset));
    Ok(Lowered::step(operator.into(), &[value], shape.to_vec()))
}

impl ChannelAffine {
    fn new(site: &Site, scale: Vec<f32>, shift: Vec<f32>) -> Self {
        let [scale, shift] = [scale, shift].map(|values| {
            let shape = [1, values.len(), 1];
            Map::from_values(values, &shape, site.device, site.dtype).view(shape)
        });
        Self { scale, shift }
    }

    fn channels(&self, map: &Map) -> Tensor<3> {
        let [images, channels] = [map.shape()[0], self.scale.dims()[1]];
        map.view([images, channels, map.count() / (images * channels)])
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let y = self.channels(inputs[0]) * self.scale.clone() + self.shift.clone();
        Map::new(y).reshaped(inputs[0].shape())
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let x = self.channels(&signal) * self.scale.clone();
        vec![Some(Map::new(x).reshaped(signal.shape()))]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        output.clone()
    }
}

pub fn lower_response(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let size = site.attribute_integer("size", 0)?;
    let size = usize::try_from(size)
        .ok()
        .filter(|&size| size >= 1)
        .ok_or_else(|| site.error(format!("a size of {size} is impossible")))?;
    let alpha = site.attribute_float("alpha", 1e-4)? / size as f32;
    let beta = site.attribute_float("beta", 0.75)?;
    let bias = site.attribute_float("bias", 1.0)?;
    if shape.len() < 2 {
        return Err(site.error(format!("a map of the shape {shape:?} has no channels")));
    }
    let reach = [(size - 1) / 2, size / 2];
    let channels = shape[1];
    site.count(&[channels, channels])?;
    let counts =
        |c: usize, other: usize| other + reach[0] >= c && other <= c.saturating_add(reach[1]);
    let pairs = (0..channels).flat_map(|c| (0..channels).map(move |other| (c, other)));
    let values = pairs
        .map(|(c, other)| f32::from(counts(c, other)))
        .collect::<Vec<_>>();
    let data = TensorData::new(values, [channels, channels]);
    let operator = LocalResponse {
        neighbours: Tensor::from_data(data, (site.device, site.dtype)),
        alpha,
        beta,
        bias,
        reach,
    };
    Ok(Lowered::step(operator.into(), &[value], shape.to_vec()))
}

impl LocalResponse {
    fn channels(&self, map: &Map) -> Tensor<3> {
        let [images, channels] = [map.shape()[0], self.neighbours.dims()[0]];
        map.view([images, channels, map.count() / (images * channels)])
    }

    fn energy(&self, x: Tensor<3>) -> Tensor<3> {
        let neighbours = self.neighbours.clone().unsqueeze::<3>();
        neighbours.matmul(x.clone() * x) * self.alpha + self.bias
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let x = self.channels(inputs[0]);
        let y = x.clone() * self.energy(x).powf_scalar(-self.beta);
        Map::new(y).reshaped(inputs[0].shape())
    }

    pub fn reverse(&self, signal: Map, saved: &Saved, walk: &Walk) -> Vec<Option<Map>> {
        if walk.rule != Rule::Gradient && !walk.options.response_by_gradient {
            return vec![Some(signal)];
        }
        let x = self.channels(&saved.input(0));
        let r = self.channels(&signal);
        let s = self.energy(x.clone());
        let through = r.clone() * s.clone().powf_scalar(-self.beta);
        let shared = r * x.clone() * s.powf_scalar(-self.beta - 1.0);
        let neighbours = self.neighbours.clone().transpose().unsqueeze::<3>();
        let share = through - x * neighbours.matmul(shared) * (2.0 * self.alpha * self.beta);
        vec![Some(Map::new(share).reshaped(signal.shape()))]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        let mut region = output.clone();
        let [before, behind] = self.reach.map(|reach| reach as i64);
        region[1] = (region[1].0 - before, region[1].1 + behind);
        region
    }
}

pub fn lower_softmax(site: &Site) -> Result<Lowered> {
    let logarithm = site.node.op_type == "LogSoftmax";
    let (value, shape) = site.map(0)?;
    let rank = shape.len();
    // Before version 13 all axes from the given one on were taken as one.
    let together = site.opset < 13;
    let axis = site.attribute_integer("axis", if together { 1 } else { -1 })?;
    let axis = site.inner_axis(axis, rank)?;
    let end = if together { rank } else { axis + 1 };
    let product = |axes: &[usize]| axes.iter().product::<usize>();
    let operator = Softmax {
        around: [
            product(&shape[..axis]),
            product(&shape[axis..end]),
            product(&shape[end..]),
        ],
        axes: (axis, end),
        logarithm,
    };
    Ok(Lowered::step(operator.into(), &[value], shape.to_vec()))
}

impl Softmax {
    fn view(&self, map: &Map) -> Tensor<3> {
        let [before, length, behind] = self.around;
        map.view([map.shape()[0] * before, length, behind])
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let x = self.view(inputs[0]);
        let y = match self.logarithm {
            true => activation::log_softmax(x, 1),
            false => activation::softmax(x, 1),
        };
        Map::new(y).reshaped(inputs[0].shape())
    }

    pub fn reverse(&self, signal: Map, saved: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let y = self.view(&saved.output());
        let r = self.view(&signal);
        let share = match self.logarithm {
            true => r.clone() - y.exp() * r.sum_dim(1),
            false => y.clone() * (r.clone() - (r * y).sum_dim(1)),
        };
        vec![Some(Map::new(share).reshaped(signal.shape()))]
    }

    pub fn region(&self, output: &Region, _: usize, input: &[usize]) -> Region {
        let mut region = output.clone();
        let (first, end) = self.axes;
        region[first..end].copy_from_slice(&whole(input)[first..end]);
        region
    }
}

pub fn lower_layer(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let axis = site.inner_axis(site.attribute_integer("axis", -1)?, shape.len())?;
    let length: usize = shape[axis..].iter().product();
    let row = |array: &Array| match array.values.len() == length {
        true => Ok(site.constant(array).view([1, length])),
        false => Err(site.error(format!("{:?} numbers do not fit {shape:?}", array.shape))),
    };
    let operator = LayerNorm {
        axis,
        length,
        scale: Some(row(site.floats(1)?)?),
        shift: site.optional_floats(2)?.map(row).transpose()?,
        epsilon: site.attribute_float("epsilon", 1e-5)?,
    };
    Ok(Lowered::step(operator.into(), &[value], shape.to_vec()))
}

/// InstanceNormalization and GroupNormalization: channels, or groups of them, to mean 0 and deviation 1, then
/// a factor and a shift for each channel.
pub fn lower_groups(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let [_, channels, ..] = *shape else {
        return Err(site.error(format!("a map of the shape {shape:?} has no channels")));
    };
    let groups = match site.node.op_type.as_str() {
        "GroupNormalization" => site.attribute_integer("num_groups", 0)?,
        _ => channels as i64,
    };
    let groups = usize::try_from(groups).ok();
    let groups = groups.filter(|&n| n >= 1 && channels.is_multiple_of(n));
    let groups =
        groups.ok_or_else(|| site.error(format!("{channels} channels are not in equal groups")))?;
    let each = |k: usize| {
        let numbers = &site.floats(k)?.values;
        // Before version 21 a group had one number.
        match numbers.len() {
            n if n == channels => Ok(numbers.clone()),
            n if n == groups => {
                let group = |c: usize| numbers[c / (channels / groups)];
                Ok((0..channels).map(group).collect())
            }
            n => Err(site.error(format!("{n} numbers do not fit {channels} channels"))),
        }
    };
    let affine = ChannelAffine::new(site, each(1)?, each(2)?);
    let length = site.count(shape)? / groups;
    let rows = vec![1, groups, length];
    let norm = LayerNorm {
        axis: 2,
        length,
        scale: None,
        shift: None,
        epsilon: site.attribute_float("epsilon", 1e-5)?,
    };
    let steps = vec![
        (View::new(shape.to_vec(), rows.clone()).into(), rows.clone()),
        (norm.into(), rows.clone()),
        (View::new(rows, shape.to_vec()).into(), shape.to_vec()),
        (affine.into(), shape.to_vec()),
    ];
    Ok(Lowered::Steps(vec![value], steps))
}

impl LayerNorm {
    fn rows(&self, map: &Map) -> Tensor<2> {
        map.view([map.count() / self.length, self.length])
    }

    fn scaled(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.scale {
            Some(scale) => x * scale.clone(),
            None => x,
        }
    }

    /// What is left of the mean and the deviation of each place, and one over that deviation.
    fn normalised(&self, map: &Map) -> (Tensor<2>, Tensor<2>) {
        let x = self.rows(map);
        let x = x.clone() - x.mean_dim(1);
        let variance = (x.clone() * x.clone()).mean_dim(1);
        let factor = (variance + self.epsilon).sqrt().recip();
        (x * factor.clone(), factor)
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let (x, _) = self.normalised(inputs[0]);
        let y = self.scaled(x);
        let y = match &self.shift {
            Some(shift) => y + shift.clone(),
            None => y,
        };
        Map::new(y).reshaped(inputs[0].shape())
    }

    pub fn reverse(&self, signal: Map, saved: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let (x, factor) = self.normalised(&saved.input(0));
        let r = self.scaled(self.rows(&signal));
        let along = (r.clone() * x.clone()).mean_dim(1);
        let share = (r.clone() - r.mean_dim(1) - x * along) * factor;
        vec![Some(Map::new(share).reshaped(signal.shape()))]
    }

    pub fn region(&self, output: &Region, _: usize, input: &[usize]) -> Region {
        [&output[..self.axis], &whole(input)[self.axis..]].concat()
    }
}
