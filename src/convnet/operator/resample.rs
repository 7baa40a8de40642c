//! Matrices along axes: means of windows, and maps of another size.

use burn::tensor::{Tensor, TensorData};

use super::super::rule::Walk;
use super::super::value::{Map, around};
use super::select::pick;
use super::windows::{Windows, kernel_shape};
use super::{LONGEST, Lowered, Operand, Region, Saved, Site};
use crate::error::Result;

/// A matrix along each of some axes; the way back is the transposed matrices.
///
/// ```text
/// y[i, j] = sum_kl A[i, k] B[j, l] x[k, l]
/// ```
#[derive(Clone, Debug)]
pub struct Resample {
    axes: Vec<Along>,
}

#[derive(Clone, Debug)]
struct Along {
    axis: usize,
    /// `[out, in]`.
    matrix: Tensor<2>,
    /// The first and the last element that each element of the output is made from, in the padding too.
    seen: Vec<(i64, i64)>,
}

impl Along {
    /// From the elements, each with its weight, that each element of the output is made of; and from what
    /// those are a part of.
    fn new(
        site: &Site,
        axis: usize,
        length: usize,
        rows: &[Vec<(usize, f32)>],
        seen: Vec<(i64, i64)>,
    ) -> Result<Self> {
        let mut values = vec![0.0; site.count(&[rows.len(), length])?];
        for (row, elements) in values.chunks_exact_mut(length).zip(rows) {
            for &(at, weight) in elements {
                row[at] += weight;
            }
        }
        let data = TensorData::new(values, [rows.len(), length]);
        Ok(Self {
            axis,
            matrix: Tensor::from_data(data, (site.device, site.dtype)),
            seen,
        })
    }

    fn apply(&self, map: &Map, transposed: bool) -> Map {
        let matrix = self.matrix.clone();
        let matrix = if transposed {
            matrix.transpose()
        } else {
            matrix
        };
        let [before, length, behind] = around(map.shape(), self.axis);
        let mut shape = map.shape().to_vec();
        shape[self.axis] = matrix.dims()[0];
        let product = match behind {
            1 => Map::new(map.view([before, length]).matmul(matrix.transpose())),
            _ => Map::new(matrix.unsqueeze::<3>().matmul(map.around(self.axis))),
        };
        product.reshaped(&shape)
    }

    /// What an element is made from; of one beyond the ends, as the steps inside go on.
    fn seen(&self, at: i64) -> (i64, i64) {
        let last = self.seen.len() as i64 - 1;
        let near = at.clamp(0, last);
        let (low, high) = self.seen[near as usize];
        let shift = match last {
            0 => at - near,
            _ => (at - near) * (self.seen[last as usize].0 - self.seen[0].0) / last,
        };
        (low + shift, high + shift)
    }
}

impl Resample {
    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let maps = self.axes.iter();
        maps.fold(inputs[0].clone(), |map, one| one.apply(&map, false))
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let back = self.axes.iter();
        vec![Some(back.fold(signal, |map, one| one.apply(&map, true)))]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        let mut region = output.clone();
        for one in &self.axes {
            let (first, last) = region[one.axis];
            region[one.axis] = (one.seen(first).0, one.seen(last).1);
        }
        region
    }
}

pub fn lower_average(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    if shape.len() < 3 || shape[2..].contains(&0) {
        return Err(site.error(format!("a map of the shape {shape:?} has no windows")));
    }
    let spatial = shape.len() - 2;
    let kernel = kernel_shape(site, spatial)?;
    let kernel = kernel.ok_or_else(|| site.error("kernel_shape is missing"))?;
    let ceil = site.attribute_integer("ceil_mode", 0)? != 0;
    let count_padding = site.attribute_integer("count_include_pad", 0)? != 0;
    let windows = Windows::of(site, shape, &kernel, ceil)?;
    let pads = site.attribute_integers("pads")?;
    let counts = windows.iter().map(|one| one.count);
    let output: Vec<usize> = shape[..2].iter().copied().chain(counts).collect();
    site.count(&output)?;
    let mut axes = Vec::new();
    for (axis, (one, &length)) in windows.iter().zip(&shape[2..]).enumerate() {
        // Padding that the file asks for counts; what the last window reaches over beyond it does not.
        let behind = pads.as_ref().and_then(|pads| pads.get(spatial + axis));
        let behind = behind.map_or(one.end(length), |&n| n as usize);
        let row = |window: usize| {
            let places =
                (0..one.kernel).map(|element| window * one.stride + element * one.dilation);
            let inside: Vec<usize> = places
                .clone()
                .filter_map(|place| place.checked_sub(one.begin).filter(|&at| at < length))
                .collect();
            let counted = match count_padding {
                true => places
                    .filter(|&at| at < one.begin + length + behind)
                    .count(),
                false => inside.len(),
            };
            let weight = 1.0 / counted.max(1) as f32;
            inside.into_iter().map(|at| (at, weight)).collect()
        };
        let rows: Vec<_> = (0..one.count).map(row).collect();
        let seen = (0..one.count as i64).map(|window| one.region((window, window)));
        axes.push(Along::new(site, axis + 2, length, &rows, seen.collect())?);
    }
    Ok(Lowered::step(Resample { axes }.into(), &[value], output))
}

/// Between which elements an element of a resized map lies, and how they weigh.
struct Interpolation {
    mode: Mode,
    coordinates: String,
    nearest: String,
}

enum Mode {
    Nearest,
    Linear,
    /// With the parameter of the cubic, and whether elements beyond the ends are left out.
    Cubic(f32, bool),
}

pub fn lower_resize(site: &Site) -> Result<Lowered> {
    let operand = site.inputs.first().unwrap_or(&Operand::Absent);
    let shape = operand.shape().to_vec();
    let interpolation = Interpolation::of(site)?;
    let targets = targets(site, &shape)?;
    let mut output = shape.clone();
    let (mut picked, mut axes) = (Vec::new(), Vec::new());
    for (axis, scale, length) in targets {
        let all = shape[axis];
        output[axis] = length;
        site.count(&output)?;
        if length == all && scale == 1.0 {
            continue;
        }
        let elements = |at: usize| interpolation.elements(at, scale, [all, length]);
        let elements: Vec<_> = (0..length).map(elements).collect();
        let inside = |place: i64| place.clamp(0, all as i64 - 1) as usize;
        if let Mode::Nearest = interpolation.mode {
            picked.push((axis, elements.iter().map(|one| inside(one[0].0)).collect()));
            continue;
        }
        let seen = elements.iter().map(|one| (one[0].0, one[one.len() - 1].0));
        let seen = seen.collect();
        let row = |one: &Vec<(i64, f32)>| one.iter().map(|&(at, w)| (inside(at), w)).collect();
        let rows: Vec<_> = elements.iter().map(row).collect();
        axes.push(Along::new(site, axis, all, &rows, seen)?);
    }
    match (picked.is_empty(), axes.is_empty()) {
        (true, true) => Ok(Lowered::Same(operand.clone())),
        (false, _) => pick(site, picked),
        _ if axes.iter().any(|one| one.axis == 0) => {
            Err(site.error("it works along the axis of the images, which are kept apart"))
        }
        _ => site.apply(Resample { axes }.into(), output),
    }
}

/// Axes, each with how many times longer it becomes and how long.
fn targets(site: &Site, shape: &[usize]) -> Result<Vec<(usize, f32, usize)>> {
    let old = site.node.op_type == "Upsample" || site.opset < 11;
    let scales = match site.optional_floats(if old { 1 } else { 2 })? {
        Some(scales) => Some(scales.values.clone()),
        None => site.attribute_floats("scales")?,
    };
    let scales = scales.filter(|scales| !scales.is_empty());
    let lengths = if old {
        None
    } else {
        site.optional_integers(3)?
    };
    let given = lengths.map(|one| one.values.len());
    let given = scales.as_ref().map(Vec::len).or(given).unwrap_or(0);
    let axes: Vec<usize> = match site.attribute_integers("axes")? {
        Some(axes) => axes
            .iter()
            .map(|&axis| site.axis(axis, shape.len()))
            .collect(),
        None => Ok((0..shape.len()).collect()),
    }?;
    if given != axes.len() || given == 0 {
        return Err(site.error("it needs a scale or a length for each axis"));
    }
    let target = |(k, &axis): (usize, &usize)| {
        let all = shape[axis];
        let (scale, length) = match (&scales, lengths) {
            (Some(scales), _) => (scales[k], (all as f32 * scales[k]).floor()),
            // An exporter that was shown a batch of so many images wrote that number into the file.
            (_, Some(lengths))
                if axis > 0 || Some(lengths.values[k]) != site.frozen_batch.map(|n| n as i64) =>
            {
                let length = lengths.values[k] as f32;
                (length / all as f32, length)
            }
            _ => (1.0, all as f32),
        };
        let is_length = all > 0 && scale > 0.0 && (1.0..=LONGEST as f32).contains(&length);
        match is_length {
            true => Ok((axis, scale, length as usize)),
            false => Err(site.error(format!("{all} elements cannot become {length}"))),
        }
    };
    axes.iter().enumerate().map(target).collect()
}

impl Interpolation {
    fn of(site: &Site) -> Result<Self> {
        let old = site.node.op_type == "Upsample" || site.opset < 11;
        let refused = |what: &str| Err(site.error(format!("{what} is not supported")));
        let mode = match site.attribute_text("mode", "nearest")?.as_str() {
            "nearest" => Mode::Nearest,
            "linear" | "bilinear" => Mode::Linear,
            "cubic" => Mode::Cubic(
                site.attribute_float("cubic_coeff_a", -0.75)?,
                site.attribute_integer("exclude_outside", 0)? != 0,
            ),
            other => return refused(&format!("the mode {other}")),
        };
        if site.attribute_integer("antialias", 0)? != 0 {
            return refused("antialias");
        }
        if site.attribute_text("keep_aspect_ratio_policy", "stretch")? != "stretch" {
            return refused("keep_aspect_ratio_policy");
        }
        let word = |name: &str, before: &str, default: &str| match old {
            true => Ok(before.to_string()),
            false => site.attribute_text(name, default),
        };
        let coordinates = word("coordinate_transformation_mode", "asymmetric", "half_pixel")?;
        let nearest = word("nearest_mode", "simple", "round_prefer_floor")?;
        let known = [
            "align_corners",
            "asymmetric",
            "half_pixel",
            "half_pixel_symmetric",
            "pytorch_half_pixel",
            "tf_half_pixel_for_nn",
        ];
        if !known.contains(&coordinates.as_str()) {
            return refused(&format!("coordinate_transformation_mode = {coordinates}"));
        }
        Ok(Self {
            mode,
            coordinates,
            nearest,
        })
    }

    /// Where an element of the output lies among those of the input, in the single precision of ONNX Runtime,
    /// since the nearest of two that are equally far is a matter of rounding.
    fn place(&self, at: usize, scale: f32, [all, length]: [usize; 2]) -> f32 {
        let (at, all, length) = (at as f32, all as f32, length as f32);
        let half_pixel = (at + 0.5) / scale - 0.5;
        match self.coordinates.as_str() {
            "align_corners" if length == 1.0 => 0.0,
            "align_corners" => at * (all - 1.0) / (length - 1.0),
            "asymmetric" => at / scale,
            "tf_half_pixel_for_nn" => (at + 0.5) / scale,
            "pytorch_half_pixel" if length == 1.0 => 0.0,
            "half_pixel_symmetric" => {
                let adjusted = length / (scale * all);
                all / 2.0 * (1.0 - adjusted) + half_pixel
            }
            _ => half_pixel,
        }
    }

    /// The elements that one of the output is made of, beyond the ends too.
    fn elements(&self, at: usize, scale: f32, lengths: [usize; 2]) -> Vec<(i64, f32)> {
        let x = self.place(at, scale, lengths);
        let low = x.floor();
        let t = x - low;
        let low = low as i64;
        let weights: Vec<f32> = match self.mode {
            Mode::Nearest => {
                let nearest = match self.nearest.as_str() {
                    "floor" => x.floor(),
                    "ceil" => x.ceil(),
                    "simple" if scale < 1.0 => x.ceil(),
                    "simple" => x.floor(),
                    "round_prefer_ceil" => (x + 0.5).floor(),
                    _ => (x - 0.5).ceil(),
                };
                return vec![(nearest as i64, 1.0)];
            }
            Mode::Linear => vec![1.0 - t, t],
            Mode::Cubic(a, _) => {
                let inner = |t: f32| ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
                let outer = |t: f32| ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
                vec![outer(t + 1.0), inner(t), inner(1.0 - t), outer(2.0 - t)]
            }
        };
        let first = low - (weights.len() as i64 / 2 - 1);
        let elements = weights.into_iter().enumerate();
        let elements = elements.map(|(k, weight)| (first + k as i64, weight));
        let inside = 0..lengths[0] as i64;
        let outside = |at: &i64| matches!(self.mode, Mode::Cubic(_, true)) && !inside.contains(at);
        let kept = elements.filter(|(at, weight)| *weight != 0.0 && !outside(at));
        let kept: Vec<_> = kept.collect();
        if kept.is_empty() {
            return vec![(low, 1.0)];
        }
        let sum: f32 = kept.iter().map(|(_, weight)| weight).sum();
        kept.into_iter()
            .map(|(at, weight)| (at, weight / sum))
            .collect()
    }
}
