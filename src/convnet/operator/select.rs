//! Parts of a map: Slice, Split, Gather, Tile and the paddings that mirror what is there.

use burn::tensor::{IndexingUpdateOp, Tensor, s};

use super::super::rule::Walk;
use super::super::value::{Map, around, indices};
use super::{LONGEST, Lowered, Operand, Region, Saved, Site, View};
use crate::arrays::Array;
use crate::error::Result;

/// Chosen places along some axes, in any order, any number of times.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Axes with the places that are kept.
    parts: Vec<(usize, Vec<usize>)>,
    /// One image of the input.
    input: Vec<usize>,
}

/// Places along axes of the first input; known numbers stay known.
pub fn pick(site: &Site, parts: Vec<(usize, Vec<usize>)>) -> Result<Lowered> {
    let operand = site.inputs.first().unwrap_or(&Operand::Absent);
    let input = operand.shape().to_vec();
    let mut output = input.clone();
    for (axis, places) in &parts {
        output[*axis] = places.len();
    }
    site.count(&output)?;
    let of_images = parts.iter().any(|&(axis, _)| axis == 0);
    if of_images && matches!(operand, Operand::Map(..)) {
        return Err(site.error("it picks among the images, which are kept apart"));
    }
    site.apply(Slice { parts, input }.into(), output)
}

pub fn lower_gather(site: &Site) -> Result<Lowered> {
    let shape = site.inputs.first().unwrap_or(&Operand::Absent).shape();
    let axis = site.axis(site.attribute_integer("axis", 0)?, shape.len())?;
    let wanted = site.integers(1)?;
    let places = wanted
        .values
        .iter()
        .map(|&place| site.axis(place, shape[axis]));
    let picked = pick(site, vec![(axis, places.collect::<Result<_>>()?)])?;
    if wanted.shape.len() == 1 {
        return Ok(picked);
    }
    // The axes of the places stand where theirs was: none, for a single number.
    let output = [&shape[..axis], &wanted.shape, &shape[axis + 1..]].concat();
    match picked {
        Lowered::Floats(array) => Ok(Lowered::Floats(Array::new(output, array.values)?)),
        Lowered::Steps(inputs, mut steps) => {
            let mut shape = shape.to_vec();
            shape[axis] = wanted.values.len();
            steps.push((View::new(shape, output.clone()).into(), output));
            Ok(Lowered::Steps(inputs, steps))
        }
        picked => Ok(picked),
    }
}

/// The places that a Slice keeps along each of its axes.
fn kept(site: &Site, shape: &[usize]) -> Result<Vec<(usize, Vec<usize>)>> {
    let need = |found: Option<Vec<i64>>, what: &str| {
        found.ok_or_else(|| site.error(format!("its {what} are missing")))
    };
    let starts = need(site.integers_or_attribute(1, "starts")?, "starts")?;
    let ends = need(site.integers_or_attribute(2, "ends")?, "ends")?;
    let axes = site.integers_or_attribute(3, "axes")?;
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = site.optional_integers(4)?.map(|steps| steps.values.clone());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || steps.contains(&0) {
        return Err(site.error("its starts, ends, axes and steps do not fit each other"));
    }
    let mut parts = Vec::new();
    for (k, &axis) in axes.iter().enumerate() {
        let axis = site.axis(axis, shape.len())?;
        let (length, step) = (shape[axis] as i64, steps[k]);
        let counted = |place: i64| {
            if place < 0 {
                place.saturating_add(length)
            } else {
                place
            }
        };
        let (low, high) = if step > 0 {
            (0, length)
        } else {
            (-1, length - 1)
        };
        // -1 itself counts as the last place, so that only a lower end goes past the first.
        let end = counted(ends[k]).clamp(low, high);
        let mut at = counted(starts[k]).clamp(0, high.max(0));
        let mut places = Vec::new();
        while at < length && ((step > 0 && at < end) || (step < 0 && at > end)) {
            places.push(at as usize);
            at = at.saturating_add(step);
        }
        parts.push((axis, places));
    }
    parts.retain(|(axis, places)| !places.iter().copied().eq(0..shape[*axis]));
    Ok(parts)
}

pub fn lower_slice(site: &Site) -> Result<Lowered> {
    let operand = site.inputs.first().unwrap_or(&Operand::Absent);
    let parts = kept(site, operand.shape())?;
    match parts.is_empty() {
        true => Ok(Lowered::Same(operand.clone())),
        false => pick(site, parts),
    }
}

pub fn lower_split(site: &Site) -> Result<Lowered> {
    let shape = site.inputs.first().map_or(&[][..], Operand::shape);
    let axis = site.axis(site.attribute_integer("axis", 0)?, shape.len())?;
    let outputs = site.node.output.len().max(1);
    let length = shape[axis];
    let lengths = match site.integers_or_attribute(1, "split")? {
        Some(given) => given
            .iter()
            .map(|&n| usize::try_from(n).ok().filter(|&n| n <= length))
            .collect::<Option<Vec<_>>>()
            .unwrap_or_default(),
        None => {
            let each = length.div_ceil(outputs);
            let start = |part: usize| (part * each).min(length);
            (0..outputs)
                .map(|part| start(part + 1) - start(part))
                .collect()
        }
    };
    if lengths.len() != outputs || lengths.iter().sum::<usize>() != length || lengths.contains(&0) {
        return Err(site.error(format!(
            "{length} elements cannot be split into {lengths:?}"
        )));
    }
    let mut start = 0;
    let parts = lengths.into_iter().map(|length| {
        start += length;
        pick(site, vec![(axis, (start - length..start).collect())])
    });
    Ok(Lowered::Each(parts.collect::<Result<_>>()?))
}

pub fn lower_tile(site: &Site) -> Result<Lowered> {
    let shape = site.inputs.first().map_or(&[][..], Operand::shape);
    let times = &site.integers(1)?.values;
    if times.len() != shape.len() {
        return Err(site.error(format!(
            "{times:?} does not fit a map of the shape {shape:?}"
        )));
    }
    let mut parts = Vec::new();
    for (axis, (&length, &times)) in shape
        .iter()
        .zip(times)
        .enumerate()
        .filter(|(_, (_, n))| **n != 1)
    {
        let times = usize::try_from(times).ok();
        let times = times.filter(|times| times.saturating_mul(length) <= LONGEST);
        let times = times.ok_or_else(|| site.error("it repeats too often"))?;
        parts.push((axis, (0..length * times).map(|at| at % length).collect()));
    }
    pick(site, parts)
}

/// The first place where the places are one after the other.
fn start(places: &[usize]) -> Option<usize> {
    let one_after_the_other = places.windows(2).all(|pair| pair[1] == pair[0] + 1);
    one_after_the_other.then_some(places[0])
}

impl Slice {
    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let mut map = inputs[0].clone();
        for (axis, places) in &self.parts {
            if let Some(start) = start(places) {
                map = map.part(*axis, start, places.len());
                continue;
            }
            let mut shape = map.shape().to_vec();
            shape[*axis] = places.len();
            let picked = map.around(*axis).select(1, indices(places, &map.device()));
            map = Map::new(picked).reshaped(&shape);
        }
        map
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let mut map = signal;
        for (axis, places) in self.parts.iter().rev() {
            let mut shape = map.shape().to_vec();
            shape[*axis] = self.input[*axis];
            let device = map.device();
            let zeros = Tensor::<3>::zeros(around(&shape, *axis), (&device, map.dtype()));
            let r = map.around(*axis);
            let x = match start(places) {
                Some(start) => zeros.slice_assign(s![.., start..start + places.len(), ..], r),
                None => zeros.select_assign(1, indices(places, &device), r, IndexingUpdateOp::Add),
            };
            map = Map::new(x).reshaped(&shape);
        }
        vec![Some(map)]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        let mut region = output.clone();
        for (axis, places) in &self.parts {
            let (first, last) = region[*axis];
            let end = places.len() as i64 - 1;
            let part = first.clamp(0, end) as usize..=last.clamp(0, end) as usize;
            let ends = |(low, high): (i64, i64), &place: &usize| {
                (low.min(place as i64), high.max(place as i64))
            };
            region[*axis] = places[part].iter().fold((i64::MAX, i64::MIN), ends);
        }
        region
    }
}
