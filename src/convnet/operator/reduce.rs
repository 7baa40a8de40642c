//! Sums, means, lengths and extremes along axes.

use burn::tensor::Tensor;

use super::super::rule::Walk;
use super::super::value::{Map, around};
use super::{
    Lowered, MaxPool, Operand, Operator, Permute, Pointwise, Region, Saved, Site, View, whole,
};
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
    let (_, shape) = site.map(0)?;
    if shape.len() < 3 {
        return Err(site.error(format!("a map of the shape {shape:?} has no spatial axes")));
    }
    reduce(site, shape, (2..shape.len()).collect(), true, true)
}

pub fn lower(site: &Site) -> Result<Lowered> {
    let operand = site.inputs.first().unwrap_or(&Operand::Absent);
    let shape = operand.shape();
    let Some((axes, keep)) = axes(site, shape)? else {
        return Ok(Lowered::Same(operand.clone()));
    };
    if site.node.op_type == "ReduceL2" {
        site.map(0)?;
    }
    let mean = site.node.op_type == "ReduceMean";
    let sum = reduce(site, shape, axes, keep, mean)?;
    match (site.node.op_type.as_str(), sum) {
        ("ReduceL2", Lowered::Steps(inputs, mut steps)) => {
            let output = steps[0].1.clone();
            steps.insert(0, (Pointwise::SQUARE.into(), shape.to_vec()));
            steps.push((Pointwise::ROOT.into(), output));
            Ok(Lowered::Steps(inputs, steps))
        }
        (_, sum) => Ok(sum),
    }
}

/// ReduceMax and ReduceMin: the largest of one window, of the numbers or their opposites.
pub fn lower_extreme(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let Some((along, keep)) = axes(site, shape)? else {
        return Ok(Lowered::Same(Operand::Map(value, shape.to_vec())));
    };
    let output = reduced(shape, &along, keep);
    let (kept, last): (Vec<usize>, Vec<usize>) =
        (0..shape.len()).partition(|axis| !along.contains(axis));
    let order = [kept, last].concat();
    let turned: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let length: usize = along.iter().map(|&axis| shape[axis]).product();
    let rows = site.count(shape)? / length.max(1);
    if length == 0 || shape.len() > 6 {
        return Err(site.error(format!("it cannot work on a map of the shape {shape:?}")));
    }
    let opposite = |shape: &[usize]| (Operator::from(Pointwise::OPPOSITE), shape.to_vec());
    let least = site.node.op_type == "ReduceMin";
    let mut steps: Vec<(Operator, Vec<usize>)> = Vec::new();
    steps.extend(least.then(|| opposite(shape)));
    steps.push((Permute::to(order).into(), turned.clone()));
    let flat = vec![1, rows, length];
    steps.push((View::new(turned, flat.clone()).into(), flat));
    let one = vec![1, rows, 1];
    steps.push((MaxPool::of_all(rows, length).into(), one.clone()));
    steps.push((View::new(one, output.clone()).into(), output.clone()));
    steps.extend(least.then(|| opposite(&output)));
    Ok(Lowered::Steps(vec![value], steps))
}

/// The axes along which a node reduces, in order, and whether they stay with a length of 1; none where it
/// leaves all as it is.
fn axes(site: &Site, shape: &[usize]) -> Result<Option<(Vec<usize>, bool)>> {
    let given = site.integers_or_attribute(1, "axes")?.unwrap_or_default();
    let keep = site.attribute_integer("keepdims", 1)? != 0;
    if given.is_empty() {
        if site.attribute_integer("noop_with_empty_axes", 0)? != 0 {
            return Ok(None);
        }
        return Err(site.error("it works along all axes, that of the images too; name the axes"));
    }
    let axes = given.iter().map(|&axis| site.inner_axis(axis, shape.len()));
    let mut axes = axes.collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(Some((axes, keep)))
}

/// The shape that is left.
fn reduced(shape: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let lengths = shape.iter().enumerate();
    lengths
        .filter_map(|(axis, &length)| match axes.contains(&axis) {
            true => keep.then_some(1),
            false => Some(length),
        })
        .collect()
}

fn reduce(
    site: &Site,
    shape: &[usize],
    axes: Vec<usize>,
    keep: bool,
    mean: bool,
) -> Result<Lowered> {
    let elements: usize = axes.iter().map(|&axis| shape[axis]).product();
    if elements == 0 {
        return Err(site.error("there is nothing to take a mean of"));
    }
    let output = reduced(shape, &axes, keep);
    let operator = Reduce {
        axes,
        factor: if mean { 1.0 / elements as f32 } else { 1.0 },
        input: shape.to_vec(),
        output: output.clone(),
    };
    site.apply(operator.into(), output)
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
