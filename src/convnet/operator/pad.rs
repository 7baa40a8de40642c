//! Elements that come or go at the ends of axes.

use burn::tensor::{Tensor, s};

use super::super::rule::Walk;
use super::super::value::{Map, around};
use super::select::pick;
use super::windows::Windows;
use super::{Lowered, Region, Saved, Site};
use crate::error::Result;

/// Elements `start .. start + length` along an axis, zeros beyond the end.
pub fn fit<const D: usize>(x: Tensor<D>, axis: usize, start: usize, length: usize) -> Tensor<D> {
    let have = x.dims()[axis];
    if start == 0 && length == have {
        return x;
    }
    let taken = length.min(have.saturating_sub(start));
    let mut zeros = x.dims();
    zeros[axis] = length - taken;
    let zeros = (zeros[axis] > 0).then(|| Tensor::zeros(zeros, (&x.device(), x.dtype())));
    let part = (taken > 0).then(|| x.narrow(axis, start, taken));
    Tensor::cat([part, zeros].into_iter().flatten().collect(), axis)
}

/// A frame of zeros, `(before, behind)` for rows and columns.
pub fn pad_zeros(x: Tensor<4>, pads: [(usize, usize); 2]) -> Tensor<4> {
    pad_with(x, pads, 0.0)
}

/// A frame of a number.
pub fn pad_with(x: Tensor<4>, pads: [(usize, usize); 2], value: f32) -> Tensor<4> {
    let [(top, bottom), (left, right)] = pads;
    if [top, bottom, left, right] == [0; 4] {
        return x;
    }
    let [n, c, height, width] = x.dims();
    let shape = [n, c, top + height + bottom, left + width + right];
    let frame = Tensor::full(shape, value, (&x.device(), x.dtype()));
    frame.slice_assign(s![.., .., top..top + height, left..left + width], x)
}

/// Elements before and behind along each axis: a number, or fewer than there were.
#[derive(Clone, Debug)]
pub struct Pad {
    /// `(before, behind)`, negative where elements go.
    pads: Vec<(i64, i64)>,
    value: f32,
}

pub fn lower(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let rank = shape.len();
    let given = match site.integers_or_attribute(1, "pads")? {
        Some(pads) => pads,
        None => site
            .attribute_integers("paddings")?
            .ok_or_else(|| site.error("its pads are missing"))?,
    };
    let number = match site.optional_number(2)? {
        Some(number) => number,
        None => site.attribute_float("value", 0.0)?,
    };
    let axes: Vec<usize> = match site.optional_integers(3)? {
        Some(axes) => axes
            .values
            .iter()
            .map(|&axis| site.axis(axis, rank))
            .collect::<Result<_>>()?,
        None => (0..rank).collect(),
    };
    if given.len() != 2 * axes.len() {
        return Err(site.error(format!(
            "{} pads do not fit {} axes",
            given.len(),
            axes.len()
        )));
    }
    let mut pads = vec![(0, 0); rank];
    for (k, &axis) in axes.iter().enumerate() {
        pads[axis] = (given[k], given[k + axes.len()]);
    }
    let mode = site.attribute_text("mode", "constant")?;
    if mode != "constant" {
        let padded = pads.iter().enumerate().filter(|&(_, &pads)| pads != (0, 0));
        let parts =
            padded.map(|(axis, &pads)| Ok((axis, mirrored(site, shape[axis], pads, &mode)?)));
        return pick(site, parts.collect::<Result<_>>()?);
    }
    if pads[0] != (0, 0) {
        return Err(site.error("it adds images, which are kept apart"));
    }
    let mut output = shape.to_vec();
    for (length, &(before, behind)) in output.iter_mut().zip(&pads) {
        let new = (*length as i64)
            .saturating_add(before)
            .saturating_add(behind);
        *length = usize::try_from(new).unwrap_or(0);
    }
    if site.count(&output)? == 0 {
        return Err(site.error("nothing would be left"));
    }
    let operator = Pad {
        pads,
        value: number,
    };
    Ok(Lowered::step(operator.into(), &[value], output))
}

/// The places along an axis that a reflection at its ends, or a repetition of them, runs through.
fn mirrored(site: &Site, length: usize, pads: (i64, i64), mode: &str) -> Result<Vec<usize>> {
    let (before, behind) = pads;
    let last = length as i64 - 1;
    let reach = before.max(behind);
    let fits = match mode {
        "reflect" => reach <= last,
        "edge" => reach < 1 << 24,
        _ => return Err(site.error(format!("mode = {mode} is not supported"))),
    };
    if !fits || length == 0 {
        return Err(site.error(format!("{length} elements cannot be padded by {pads:?}")));
    }
    let places = -before..length as i64 + behind;
    let mirror = |place: i64| match mode {
        "edge" => place.clamp(0, last),
        _ if place < 0 => -place,
        _ if place > last => 2 * last - place,
        _ => place,
    };
    Ok(places.map(|place| mirror(place) as usize).collect())
}

impl Pad {
    /// Windows of one element along rows and columns, and what lies beyond the borders, where nothing else
    /// is padded.
    pub fn windows(&self, axes: [usize; 2]) -> Option<([Windows; 2], f32)> {
        let still = |axis: usize| axes.contains(&axis) || self.pads[axis] == (0, 0);
        let begins = axes.map(|axis| usize::try_from(self.pads[axis].0).ok());
        match begins {
            [Some(top), Some(left)] if (0..self.pads.len()).all(still) => {
                let windows = [top, left].map(|begin| Windows {
                    begin,
                    ..Windows::POINT
                });
                Some((windows, self.value))
            }
            _ => None,
        }
    }

    /// Lets so many elements come or go at the ends of an axis.
    fn along(map: &Map, axis: usize, (before, behind): (i64, i64), value: f32) -> Map {
        if (before, behind) == (0, 0) {
            return map.clone();
        }
        let mut shape = map.shape().to_vec();
        let length = shape[axis] as i64;
        let kept = (-before).max(0) as usize..(length - (-behind).max(0)) as usize;
        shape[axis] = (length + before + behind) as usize;
        let at = before.max(0) as usize;
        let frame = Tensor::<3>::full(around(&shape, axis), value, (&map.device(), map.dtype()));
        let part = map.around(axis).narrow(1, kept.start, kept.len());
        Map::new(frame.slice_assign(s![.., at..at + kept.len(), ..], part)).reshaped(&shape)
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let pads = self.pads.iter().enumerate();
        pads.fold(inputs[0].clone(), |map, (axis, &pads)| {
            Self::along(&map, axis, pads, self.value)
        })
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let pads = self.pads.iter().enumerate();
        let map = pads.fold(signal, |map, (axis, &(before, behind))| {
            Self::along(&map, axis, (-before, -behind), 0.0)
        });
        vec![Some(map)]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        let parts = output.iter().zip(&self.pads);
        parts
            .map(|(&(first, last), &(before, _))| (first - before, last - before))
            .collect()
    }
}
