//! Sums and means along axes.

use burn::tensor::Tensor;

use super::super::rule::Walk;
use super::super::value::{Map, around};
use super::{Lowered, Operand, Region, Saved, Site, whole};
use crate::error::Result;

/// Sum or mean along axes.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// Along which axes, none of them that of the images.
    axes: Vec<usize>,
    /// 1, or 1 / (number of elements).
    factor: f32,
    /// One image of the input, and of the output.
    input: Vec<usize>,
    output: Vec<usize>,
}

/// The mean of each channel.
pub fn lower_global(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    if shape.len() < 3 {
        return Err(site.error(format!("a map of the shape {shape:?} has no spatial axes")));
    }
    reduce(site, value, shape, (2..shape.len()).collect(), true, true)
}

pub fn lower(site: &Site) -> Result<Lowered> {
    let mean = site.node.op_type == "ReduceMean";
    let (value, shape) = site.map(0)?;
    let given = site.integers_or_attribute(1, "axes")?.unwrap_or_default();
    let keep = site.attribute_integer("keepdims", 1)? != 0;
    if given.is_empty() {
        if site.attribute_integer("noop_with_empty_axes", 0)? != 0 {
            return Ok(Lowered::Same(Operand::Map(value, shape.to_vec())));
        }
        return Err(site.error("it works along all axes, that of the images too; name the axes"));
    }
    let axes = given.iter().map(|&axis| site.inner_axis(axis, shape.len()));
    let mut axes = axes.collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    axes.dedup();
    reduce(site, value, shape, axes, keep, mean)
}

fn reduce(
    site: &Site,
    value: usize,
    shape: &[usize],
    axes: Vec<usize>,
    keep: bool,
    mean: bool,
) -> Result<Lowered> {
    let elements: usize = axes.iter().map(|&axis| shape[axis]).product();
    if elements == 0 {
        return Err(site.error("there is nothing to take a mean of"));
    }
    let lengths = shape.iter().enumerate();
    let output: Vec<usize> = lengths
        .filter_map(|(axis, &length)| match axes.contains(&axis) {
            true => keep.then_some(1),
            false => Some(length),
        })
        .collect();
    let operator = Reduce {
        axes,
        factor: if mean { 1.0 / elements as f32 } else { 1.0 },
        input: shape.to_vec(),
        output: output.clone(),
    };
    Ok(Lowered::step(operator.into(), &[value], output))
}

/// The sum along an axis, which keeps the length 1.
pub fn sum_along(map: &Map, axis: usize) -> Map {
    let mut shape = map.shape().to_vec();
    let sum: Tensor<3> = map.around(axis).sum_dim(1);
    shape[axis] = 1;
    Map::new(sum).reshaped(&shape)
}

impl Reduce {
    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let images = inputs[0].shape()[0];
        let mut map = inputs[0].clone();
        for &axis in &self.axes {
            map = sum_along(&map, axis);
        }
        map.pointwise(|sum| sum * self.factor)
            .reshaped(&[&[images], &self.output[1..]].concat())
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let mut shape = [&[signal.shape()[0]], &self.input[1..]].concat();
        for &axis in &self.axes {
            shape[axis] = 1;
        }
        let mut map = signal.reshaped(&shape).pointwise(|r| r * self.factor);
        for &axis in &self.axes {
            shape[axis] = self.input[axis];
            let spread = map.around(axis).expand(around(&shape, axis));
            map = Map::new(spread).reshaped(&shape);
        }
        vec![Some(map)]
    }

    pub fn region(&self, output: &Region, _: usize, input: &[usize]) -> Region {
        let kept = self.output.len() == self.input.len();
        let mut rest = output.iter();
        let all = whole(input).into_iter().enumerate();
        all.map(|(axis, all)| match self.axes.contains(&axis) {
            true => {
                if kept {
                    rest.next();
                }
                all
            }
            false => rest.next().copied().unwrap_or(all),
        })
        .collect()
    }
}
