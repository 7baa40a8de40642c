//! The same elements in another order, shape or number: nothing is computed.

use super::super::rule::Walk;
use super::super::value::{Map, around};
use super::{Lowered, Operand, Region, Saved, Site, whole};
use crate::arrays::Array;
use crate::error::Result;

/// The same elements under another shape.
#[derive(Clone, Debug)]
pub struct View {
    /// One image before and after.
    input: Vec<usize>,
    output: Vec<usize>,
}

/// Axes in another order; that of the images stays the first.
#[derive(Clone, Debug)]
pub struct Permute {
    /// Which axis of the input each of the output is.
    axes: Vec<usize>,
}

/// Repetition along axes of length 1.
#[derive(Clone, Debug)]
pub struct Expand {
    input: Vec<usize>,
    output: Vec<usize>,
}

/// `one` with `images` images.
fn batch(one: &[usize], images: usize) -> Vec<usize> {
    [&[images], &one[1..]].concat()
}

pub fn lower_same(site: &Site) -> Result<Lowered> {
    use super::super::proto::data_type;
    let operand = site.inputs.first().cloned().unwrap_or(Operand::Absent);
    if site.node.op_type != "Cast" {
        return Ok(Lowered::Same(operand));
    }
    let to = site.attribute_integer("to", i64::from(data_type::FLOAT))?;
    let to_float = [
        data_type::FLOAT,
        data_type::FLOAT16,
        data_type::DOUBLE,
        data_type::BFLOAT16,
    ]
    .contains(&(to as i32));
    match (operand, to_float) {
        (Operand::Integers(integers), true) => {
            let values = integers.values.iter().map(|&v| v as f32).collect();
            Ok(Lowered::Floats(Array::new(integers.shape.clone(), values)?))
        }
        (operand, true) | (operand @ Operand::Integers(_), false) => Ok(Lowered::Same(operand)),
        (Operand::Floats(array), false) => {
            let values = array.values.iter().map(|&v| v as i64).collect();
            let shape = array.shape.clone();
            Ok(Lowered::Integers(super::super::value::Integers {
                shape,
                values,
            }))
        }
        _ => Err(site.error("a map cannot become whole numbers")),
    }
}

pub fn lower_shape(site: &Site) -> Result<Lowered> {
    let operand = site.inputs.first().unwrap_or(&Operand::Absent);
    let input = operand.shape().to_vec();
    let count = site.count(&input)?;
    let output = new_shape(site, &input, matches!(operand, Operand::Map(..)))?;
    if site.count(&output)? != count {
        return Err(site.error(format!("{input:?} cannot become {output:?}")));
    }
    match operand {
        Operand::Floats(array) => Ok(Lowered::Floats(Array::new(output, array.values.clone())?)),
        Operand::Map(value, _) => {
            if output.first() != Some(&1) || input.first() != Some(&1) {
                return Err(site.error(format!(
                    "{input:?} becomes {output:?}: the axis of the images would not be the first any more"
                )));
            }
            let operator = View::new(input, output.clone());
            Ok(Lowered::step(operator.into(), &[*value], output))
        }
        _ => Err(site.error("its input is missing")),
    }
}

/// The shape after Flatten, Reshape, Squeeze or Unsqueeze.
fn new_shape(site: &Site, input: &[usize], of_images: bool) -> Result<Vec<usize>> {
    let rank = input.len();
    match site.node.op_type.as_str() {
        "Flatten" => {
            let axis = site.attribute_integer("axis", 1)?;
            let axis = if axis == rank as i64 {
                rank
            } else {
                site.axis(axis, rank)?
            };
            Ok(vec![
                input[..axis].iter().product(),
                input[axis..].iter().product(),
            ])
        }
        "Squeeze" => {
            let given = site.integers_or_attribute(1, "axes")?;
            let gone = match given {
                Some(axes) => axes
                    .iter()
                    .map(|&axis| site.axis(axis, rank))
                    .collect::<Result<Vec<_>>>()?,
                None => (usize::from(of_images)..rank)
                    .filter(|&axis| input[axis] == 1)
                    .collect(),
            };
            if let Some(axis) = gone.iter().find(|&&axis| input[axis] != 1) {
                return Err(site.error(format!("axis {axis} of {input:?} is not of length 1")));
            }
            let kept = (0..rank).filter(|axis| !gone.contains(axis));
            Ok(kept.map(|axis| input[axis]).collect())
        }
        "Unsqueeze" => {
            let given = site.integers_or_attribute(1, "axes")?.unwrap_or_default();
            let all = rank + given.len();
            let new = given
                .iter()
                .map(|&axis| site.axis(axis, all))
                .collect::<Result<Vec<_>>>()?;
            let mut rest = input.iter();
            let lengths = (0..all).map(|axis| match new.contains(&axis) {
                true => Some(1),
                false => rest.next().copied(),
            });
            lengths
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| site.error("an axis is given twice"))
        }
        _ => reshaped(site, input, of_images),
    }
}

fn reshaped(site: &Site, input: &[usize], of_images: bool) -> Result<Vec<usize>> {
    let given = site.integers_or_attribute(1, "shape")?;
    let mut given = given.ok_or_else(|| site.error("the new shape is missing"))?;
    // An exporter that was shown a batch of so many images wrote that number into the file.
    if let (true, Some(frozen), Some(first)) = (of_images, site.frozen_batch, given.first_mut())
        && *first == frozen as i64
    {
        *first = 1;
    }
    let keep_zero = site.attribute_integer("allowzero", 0)? != 0;
    let mut shape = Vec::new();
    let mut open = None;
    for (axis, &length) in given.iter().enumerate() {
        shape.push(match length {
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            0 if !keep_zero && axis < input.len() => input[axis],
            length => {
                usize::try_from(length).map_err(|_| site.error(format!("{given:?} is no shape")))?
            }
        });
    }
    if let Some(axis) = open {
        let known = site.count(&shape)?;
        let count = site.count(input)?;
        if known == 0 || !count.is_multiple_of(known) {
            return Err(site.error(format!("{input:?} cannot become {given:?}")));
        }
        shape[axis] = count / known;
    }
    Ok(shape)
}

impl View {
    /// From one shape of an image to another of as many elements.
    pub fn new(input: Vec<usize>, output: Vec<usize>) -> Self {
        Self { input, output }
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        inputs[0].reshaped(&batch(&self.output, inputs[0].shape()[0]))
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        vec![Some(
            signal.reshaped(&batch(&self.input, signal.shape()[0])),
        )]
    }

    /// Where rows and columns go: with their axis, or the first of those that it is cut into or joined with.
    pub fn moved(&self, axes: [usize; 2]) -> Option<[usize; 2]> {
        let groups = groups(&self.input, &self.output);
        let [rows, columns] = axes.map(|axis| {
            let mut groups = groups.iter();
            let [_, to] = groups.find(|[from, _]| from.first() == Some(&axis))?;
            to.first().copied()
        });
        match (rows, columns) {
            (Some(rows), Some(columns)) => Some([rows, columns]),
            _ => (self.input.len() == self.output.len()).then_some(axes),
        }
    }

    /// The box of what lies between the first and the last element, as far as axes are cut or joined; exact
    /// where axes stay, and where those of length 1 come and go.
    pub fn region(&self, output: &Region, _: usize, input: &[usize]) -> Region {
        let mut region = whole(input);
        for [from, to] in groups(input, &self.output) {
            if let (&[from], &[to]) = (&from[..], &to[..]) {
                region[from] = output[to];
                continue;
            }
            let [mut low, mut high] = [0, 0];
            for &axis in &to {
                let length = self.output[axis] as i64;
                low = low * length + output[axis].0.clamp(0, length - 1);
                high = high * length + output[axis].1.clamp(0, length - 1);
            }
            let mut behind: i64 = from.iter().map(|&axis| input[axis] as i64).product();
            for &axis in &from {
                behind /= input[axis] as i64;
                region[axis] = (low / behind, high / behind);
                if region[axis].0 != region[axis].1 {
                    break;
                }
                (low, high) = (low % behind, high % behind);
            }
        }
        region
    }
}

/// Axes of two shapes, without those of length 1, in the smallest groups of equally many elements.
fn groups(input: &[usize], output: &[usize]) -> Vec<[Vec<usize>; 2]> {
    let long = |shape: &[usize]| {
        let axes = (0..shape.len()).filter(|&axis| shape[axis] != 1);
        axes.collect::<Vec<_>>().into_iter().peekable()
    };
    let (mut from, mut to) = (long(input), long(output));
    let mut groups = Vec::new();
    while from.peek().is_some() || to.peek().is_some() {
        let mut group = [Vec::new(), Vec::new()];
        let (mut before, mut after) = (1, 1);
        while group[0].is_empty() || before != after {
            let next = if before <= after { from.next() } else { None };
            match next
                .map(|axis| (0, axis))
                .or_else(|| to.next().map(|axis| (1, axis)))
            {
                Some((0, axis)) => {
                    before *= input[axis];
                    group[0].push(axis);
                }
                Some((_, axis)) => {
                    after *= output[axis];
                    group[1].push(axis);
                }
                None => break,
            }
        }
        groups.push(group);
    }
    groups
}

pub fn lower_permutation(site: &Site) -> Result<Lowered> {
    let operand = site.inputs.first().unwrap_or(&Operand::Absent);
    let input = operand.shape().to_vec();
    let rank = input.len();
    let given = site.attribute_integers("perm")?;
    let given = given.unwrap_or_else(|| (0..rank as i64).rev().collect());
    let axes = given
        .iter()
        .map(|&axis| site.axis(axis, rank))
        .collect::<Result<Vec<_>>>()?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(site.error(format!("perm = {given:?} is no order of {rank} axes")));
    }
    let output: Vec<usize> = axes.iter().map(|&axis| input[axis]).collect();
    if rank > 6 {
        return Err(site.error("more than 6 axes are not supported"));
    }
    if matches!(operand, Operand::Map(..)) && axes.first() != Some(&0) {
        return Err(site.error("the axis of the images would not be the first any more"));
    }
    site.apply(Permute { axes }.into(), output)
}

/// DepthToSpace and SpaceToDepth: blocks of a plane as channels, and back.
pub fn lower_blocks(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let side = site.attribute_integer("blocksize", 0)?;
    let side = usize::try_from(side).ok().filter(|&side| side >= 1);
    let (Some(side), &[_, channels, height, width]) = (side, shape) else {
        return Err(site.error(format!("a map of the shape {shape:?} has no blocks")));
    };
    let to_space = site.node.op_type == "DepthToSpace";
    let columns_first = site.attribute_text("mode", "DCR")? == "CRD";
    let [tall, wide] = [height / side, width / side];
    let fits = match to_space {
        true => side
            .checked_mul(side)
            .is_some_and(|n| channels.is_multiple_of(n)),
        false => [height, width] == [tall * side, wide * side],
    };
    if !fits {
        return Err(site.error(format!("{shape:?} cannot be cut into blocks of {side}")));
    }
    let few = channels / if to_space { side * side } else { 1 };
    let (parts, axes, output) = match (to_space, columns_first) {
        (true, false) => (
            [1, side, side, few, height, width],
            [0, 3, 4, 1, 5, 2],
            vec![1, few, height * side, width * side],
        ),
        (true, true) => (
            [1, few, side, side, height, width],
            [0, 1, 4, 2, 5, 3],
            vec![1, few, height * side, width * side],
        ),
        (false, _) => (
            [1, channels, tall, side, wide, side],
            [0, 3, 5, 1, 2, 4],
            vec![1, channels * side * side, tall, wide],
        ),
    };
    let turned = axes.map(|axis| parts[axis]).to_vec();
    let cut = View::new(shape.to_vec(), parts.to_vec());
    let join = View::new(turned.clone(), output.clone());
    Ok(Lowered::Steps(
        vec![value],
        vec![
            (cut.into(), parts.to_vec()),
            (Permute::to(axes.to_vec()).into(), turned),
            (join.into(), output),
        ],
    ))
}

impl Permute {
    /// The axes of the input in this order.
    pub fn to(axes: Vec<usize>) -> Self {
        Self { axes }
    }

    fn permuted(map: &Map, axes: &[usize]) -> Map {
        fn of<const D: usize>(map: &Map, axes: &[usize]) -> Map {
            let shape: [usize; D] = std::array::from_fn(|axis| map.shape()[axis]);
            let axes: [isize; D] = std::array::from_fn(|axis| axes[axis] as isize);
            Map::new(map.view(shape).permute(axes))
        }
        match axes.len() {
            0 | 1 => map.clone(),
            2 => of::<2>(map, axes),
            3 => of::<3>(map, axes),
            4 => of::<4>(map, axes),
            5 => of::<5>(map, axes),
            _ => of::<6>(map, axes),
        }
    }

    /// Which axis of the output each of the input is.
    fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.axes.len()];
        for (to, &from) in self.axes.iter().enumerate() {
            inverse[from] = to;
        }
        inverse
    }

    /// Where axes of the input are in the output.
    pub fn moved<const N: usize>(&self, axes: [usize; N]) -> [usize; N] {
        let inverse = self.inverse();
        axes.map(|axis| inverse[axis])
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        Self::permuted(inputs[0], &self.axes)
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        vec![Some(Self::permuted(&signal, &self.inverse()))]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        self.inverse()
            .into_iter()
            .map(|axis| output[axis])
            .collect()
    }
}

pub fn lower_expansion(site: &Site) -> Result<Lowered> {
    let operand = site.inputs.first().unwrap_or(&Operand::Absent);
    let of_images = matches!(operand, Operand::Map(..));
    let wanted = site
        .integers(1)?
        .values
        .iter()
        .map(|&n| usize::try_from(n).ok());
    let wanted = wanted.collect::<Option<Vec<_>>>();
    let rank = operand.shape().len();
    let wanted = wanted.filter(|wanted| wanted.len() <= rank || !of_images);
    let wanted = wanted.ok_or_else(|| site.error("its new shape does not fit"))?;
    let shape = [&vec![1; wanted.len().saturating_sub(rank)], operand.shape()].concat();
    let mut output = shape.clone();
    let behind = shape.len() - wanted.len();
    for (length, &wanted) in output[behind..].iter_mut().zip(&wanted) {
        *length = match (*length, wanted) {
            (length, wanted) if length == wanted || wanted == 1 => length,
            (1, wanted) => wanted,
            _ => return Err(site.error(format!("{shape:?} cannot become {wanted:?}"))),
        };
    }
    if site.count(&output)? == 0 || (of_images && output[0] != 1) {
        return Err(site.error(format!("{shape:?} cannot become {output:?}")));
    }
    let operator = Expand {
        input: shape,
        output: output.clone(),
    };
    site.apply(operator.into(), output)
}

impl Expand {
    /// The axes that are repeated.
    fn axes(&self) -> impl Iterator<Item = usize> {
        (0..self.input.len()).filter(|&axis| self.input[axis] != self.output[axis])
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let mut map = inputs[0].clone();
        // Known numbers may have fewer axes than what they become.
        if map.shape().len() < self.input.len() {
            map = map.reshaped(&self.input);
        }
        for axis in self.axes() {
            let mut shape = map.shape().to_vec();
            shape[axis] = self.output[axis];
            map = Map::new(map.around(axis).expand(around(&shape, axis))).reshaped(&shape);
        }
        map
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        vec![Some(self.axes().fold(signal, |map, axis| {
            super::reduce::sum_along(&map, axis)
        }))]
    }

    pub fn region(&self, output: &Region, _: usize, input: &[usize]) -> Region {
        let lengths = output.iter().zip(input);
        lengths
            .map(|(&part, &length)| if length == 1 { (0, 0) } else { part })
            .collect()
    }
}
