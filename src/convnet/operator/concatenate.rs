//! Several maps one after the other along an axis.

use burn::tensor::Tensor;

use super::super::rule::Walk;
use super::super::value::Map;
use super::{Lowered, Operand, Region, Saved, Site};
use crate::arrays::Array;
use crate::error::Result;

/// One after the other along an axis.
#[derive(Clone, Debug)]
pub struct Concatenate {
    axis: usize,
    /// Known numbers of one image, or none where a map comes.
    parts: Vec<Option<Map>>,
    /// Where each part begins, and the whole ends.
    starts: Vec<usize>,
}

pub fn lower(site: &Site) -> Result<Lowered> {
    let shapes: Vec<_> = site.inputs.iter().map(Operand::shape).collect();
    let Some(first) = shapes.first() else {
        return Err(site.error("it has no inputs"));
    };
    let rank = first.len();
    let axis = site.axis(site.attribute_integer("axis", 1)?, rank)?;
    let fits = |shape: &&[usize]| {
        shape.len() == rank && (0..rank).all(|k| k == axis || shape[k] == first[k])
    };
    if !shapes.iter().all(fits) {
        return Err(site.error(format!("shapes {shapes:?} do not fit along axis {axis}")));
    }
    let mut starts = vec![0];
    let (mut parts, mut maps) = (Vec::new(), Vec::new());
    for operand in &site.inputs {
        starts.push(starts[starts.len() - 1] + operand.shape()[axis]);
        parts.push(match operand {
            Operand::Map(value, _) => {
                maps.push(*value);
                None
            }
            Operand::Floats(array) => Some(site.constant(array)),
            _ => return Err(site.error("whole numbers and maps do not go together")),
        });
    }
    let mut output = first.to_vec();
    output[axis] = starts[starts.len() - 1];
    site.count(&output)?;
    let operator = Concatenate {
        axis,
        parts,
        starts,
    };
    if maps.is_empty() && output.contains(&0) {
        return Ok(Lowered::Floats(Array::new(output, Vec::new())?));
    }
    if maps.is_empty() {
        let known = operator.joined(operator.parts.iter().flatten().cloned().collect());
        return Ok(Lowered::Floats(Array::new(output, known.read()?)?));
    }
    if axis == 0 || output[0] != 1 {
        return Err(site.error("it works along the axis of the images, which are kept apart"));
    }
    Ok(Lowered::step(operator.into(), &maps, output))
}

impl Concatenate {
    fn joined(&self, parts: Vec<Map>) -> Map {
        let mut shape = parts[0].shape().to_vec();
        shape[self.axis] = self.starts[self.starts.len() - 1];
        let parts = parts.iter().filter(|part| part.count() > 0);
        let parts = parts.map(|part| part.around(self.axis)).collect();
        Map::new(Tensor::cat(parts, 1)).reshaped(&shape)
    }

    /// Whether maps alone come one after the other, along another axis than these.
    pub fn is_even_along(&self, axes: &[usize]) -> bool {
        !axes.contains(&self.axis) && self.parts.iter().all(Option::is_none)
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let images = inputs[0].shape()[0];
        let mut inputs = inputs.iter();
        let parts = self.parts.iter().filter_map(|part| match part {
            Some(known) => Some(known.images(&vec![0; images])),
            None => inputs.next().map(|&map| map.clone()),
        });
        self.joined(parts.collect())
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let maps = (0..self.parts.len()).filter(|&k| self.parts[k].is_none());
        let part = |k: usize| (self.starts[k], self.starts[k + 1] - self.starts[k]);
        maps.map(part)
            .map(|(start, length)| Some(signal.part(self.axis, start, length)))
            .collect()
    }

    pub fn region(&self, output: &Region, k: usize, input: &[usize]) -> Region {
        let maps = self
            .parts
            .iter()
            .enumerate()
            .filter(|(_, part)| part.is_none());
        let start = maps
            .map(|(place, _)| self.starts[place] as i64)
            .nth(k)
            .unwrap_or(0);
        let mut region = output.clone();
        let (first, last) = region[self.axis];
        // Empty where the part of the output lies in other inputs: the first after the last.
        let end = input[self.axis] as i64 - 1;
        region[self.axis] = ((first - start).max(0), (last - start).min(end));
        region
    }
}
