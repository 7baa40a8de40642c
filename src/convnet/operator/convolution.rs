//! Convolution as convnets have it, and its adjoint.
//!
//! ```text
//! y[k, i] = b[k] + sum_c sum_u w[k, c, u] x[c, stride i + dilation u - begin]
//! ```
//!
//! over the channels `c` of the group of `k`; `x` is 0 outside. The adjoint spreads each `y[k, i]` over the
//! same places. One spatial axis is taken for a picture of one row.

use std::sync::{Arc, OnceLock};

use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

use super::super::rule::Walk;
use super::super::value::Map;
use super::columns::{self, Geometry, in_type_of};
use super::pad::{fit, pad_zeros};
use super::windows::{
    Windows, in_plane, kernel_shape, padding, plane_shape, positive, spatial_axes,
};
use super::winograd;
use super::{Lowered, Region, Saved, Site};
use crate::arrays::Array;
use crate::error::Result;
use crate::pass::suits;

/// Convolution with stride, padding, dilation and groups.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// `[out, in / groups, h, w]`.
    weight: Tensor<4>,
    /// The same for [`winograd`], once it is asked for.
    transformed: Arc<OnceLock<Tensor<3>>>,
    bias: Option<Tensor<1>>,
    groups: usize,
    windows: [Windows; 2],
    /// Input and output of one image as the file has them.
    input: Vec<usize>,
    output: Vec<usize>,
}

/// The layer that the adjoint of a convolution is.
#[derive(Clone, Debug)]
pub struct TransposedConvolution {
    /// The convolution whose adjoint it is: from its output to its input.
    adjoint: Convolution,
    bias: Option<Tensor<1>>,
}

/// The weights at input 1, `[.., .., (rows,) columns]`, with the bias at input 2 for `out` channels.
fn weights(
    site: &Site,
    axes: usize,
    out: impl Fn(&Array) -> usize,
) -> Result<(Array, Option<Array>)> {
    let weight = site.floats(1)?.clone();
    if weight.shape.len() != axes + 2 || weight.shape.contains(&0) {
        return Err(site.error(format!(
            "weights of the shape {:?} do not fit {axes} spatial axes",
            weight.shape
        )));
    }
    if let Some(kernel) = kernel_shape(site, axes)?
        && kernel != weight.shape[2..]
    {
        return Err(site.error("kernel_shape contradicts the weights"));
    }
    let bias = site.optional_floats(2)?.cloned();
    if let Some(bias) = &bias
        && bias.values.len() != out(&weight)
    {
        return Err(site.error(format!("a bias of the shape {:?} does not fit", bias.shape)));
    }
    Ok((weight, bias))
}

/// The number of groups, of `channels` channels.
fn groups(site: &Site, channels: usize) -> Result<usize> {
    let given = site.attribute_integer("group", 1)?;
    match usize::try_from(given) {
        Ok(groups) if groups >= 1 && channels.is_multiple_of(groups) => Ok(groups),
        _ => Err(site.error(format!("{channels} channels cannot be {given} groups"))),
    }
}

pub fn lower(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let axes = spatial_axes(site, shape)?;
    let (weight, bias) = weights(site, axes, |weight| weight.shape[0])?;
    let [out, each] = [weight.shape[0], weight.shape[1]];
    let groups = groups(site, out)?;
    if each.checked_mul(groups) != Some(shape[1]) {
        return Err(site.error(format!(
            "weights of the shape {:?} in {groups} groups do not fit a map of the shape {shape:?}",
            weight.shape
        )));
    }
    let windows = Windows::of(site, shape, &weight.shape[2..], false)?;
    let counts = windows.iter().map(|one| one.count);
    let output: Vec<usize> = [shape[0], out].into_iter().chain(counts).collect();
    site.count(&output)?;
    let operator = Convolution {
        weight: site.constant(&weight).view(plane_shape(&weight.shape)),
        transformed: Arc::default(),
        bias: bias.map(|bias| site.constant(&bias).flat()),
        groups,
        windows: in_plane(windows),
        input: shape.to_vec(),
        output: output.clone(),
    };
    Ok(Lowered::step(operator.into(), &[value], output))
}

pub fn lower_transposed(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    let axes = spatial_axes(site, shape)?;
    let groups = groups(site, shape[1])?;
    let (weight, bias) = weights(site, axes, |weight| weight.shape[1] * groups)?;
    if weight.shape[0] != shape[1] {
        return Err(site.error(format!(
            "weights of the shape {:?} do not fit a map of the shape {shape:?}",
            weight.shape
        )));
    }
    let strides = positive(site, "strides", axes)?;
    let dilations = positive(site, "dilations", axes)?;
    let pads = padding(site, axes)?;
    let more = match site.attribute_integers("output_padding")? {
        Some(given) => given,
        None => vec![0; axes],
    };
    let wanted = site.attribute_integers("output_shape")?;
    let auto = site.attribute_text("auto_pad", "NOTSET")?;
    let mut windows = Vec::new();
    let mut output = vec![shape[0], weight.shape[1] * groups];
    for axis in 0..axes {
        let mut one = Windows {
            kernel: weight.shape[2 + axis],
            stride: strides[axis],
            dilation: dilations[axis],
            begin: pads[axis][0],
            count: shape[2 + axis],
        };
        let more = more.get(axis).and_then(|&n| usize::try_from(n).ok());
        let more = more
            .filter(|&more| more < one.stride.max(one.dilation))
            .ok_or_else(|| site.error("output_padding does not fit the strides"))?;
        let full = one.span() + more;
        let wanted = wanted.as_ref().and_then(|shape| shape.get(axis));
        let same = match auto.as_str() {
            "NOTSET" | "VALID" => None,
            "SAME_UPPER" | "SAME_LOWER" => Some((one.count * one.stride) as i64),
            other => return Err(site.error(format!("auto_pad = {other} is not known"))),
        };
        let length = match wanted.copied().or(same) {
            Some(length) => {
                let length = usize::try_from(length).unwrap_or(0);
                let all = full.saturating_sub(length);
                one.begin = match auto.as_str() {
                    "SAME_UPPER" => all / 2,
                    _ => all - all / 2,
                };
                length
            }
            None => full.saturating_sub(pads[axis][0] + pads[axis][1]),
        };
        if length == 0 {
            return Err(site.error("nothing is left after cutting off the padding"));
        }
        windows.push(one);
        output.push(length);
    }
    site.count(&output)?;
    let adjoint = Convolution {
        weight: site.constant(&weight).view(plane_shape(&weight.shape)),
        transformed: Arc::default(),
        bias: None,
        groups,
        windows: in_plane(windows),
        input: output.clone(),
        output: shape.to_vec(),
    };
    let bias = bias.map(|bias| site.constant(&bias).flat());
    let operator = TransposedConvolution { adjoint, bias };
    Ok(Lowered::step(operator.into(), &[value], output))
}

impl Convolution {
    /// Along rows and columns.
    pub fn windows(&self) -> [Windows; 2] {
        self.windows
    }

    /// How many numbers are learnt, without the bias.
    pub fn weights(&self) -> usize {
        self.weight.dims().iter().product()
    }

    fn geometry(&self) -> Geometry {
        let [_, _, height, width] = plane_shape(&self.input);
        Geometry {
            groups: self.groups,
            channels: [self.input[1], self.output[1]],
            input: [height, width],
            windows: self.windows,
        }
    }

    /// The weights for [`winograd`], where that suits.
    fn transformed(&self, geometry: &Geometry) -> Option<&Tensor<3>> {
        winograd::suits(geometry).then(|| {
            let weight = &self.weight;
            let new = || in_type_of!(weight, winograd::transformed(weight));
            self.transformed.get_or_init(new)
        })
    }

    /// The same for `size` windows that begin with the input.
    pub fn part(&self, size: [usize; 2]) -> Self {
        let (windows, [input, output]) =
            Windows::part(self.windows, [self.input[1], self.output[1]], size);
        Self {
            windows,
            input,
            output,
            ..self.clone()
        }
    }

    fn correlate(&self, x: &Map, bias: Option<&Tensor<1>>) -> Map {
        let [_, _, height, width] = plane_shape(&self.input);
        let x: Tensor<4> = x.view([x.shape()[0], self.input[1], height, width]);
        if suits(&x) {
            let geometry = self.geometry();
            let y = match self.transformed(&geometry) {
                Some(filters) => {
                    in_type_of!(x, winograd::correlate(&x, filters, bias, &geometry))
                }
                None => in_type_of!(x, columns::correlate(&x, &self.weight, bias, &geometry)),
            };
            return shaped(y, &self.output);
        }
        let [rows, columns] = self.windows;
        let pads = [
            (rows.begin, rows.end(height)),
            (columns.begin, columns.end(width)),
        ];
        let stride = [rows.stride, columns.stride];
        let dilation = [rows.dilation, columns.dilation];
        // What no window reaches is cut off, so that the number of windows is as planned.
        let x = fit(x, 2, 0, rows.span().saturating_sub(rows.begin).min(height));
        let x = fit(
            x,
            3,
            0,
            columns.span().saturating_sub(columns.begin).min(width),
        );
        let x = pad_zeros(x, pads);
        let options = ConvOptions::new(stride, [0, 0], dilation, self.groups);
        let y = conv2d(x, self.weight.clone(), bias.cloned(), options);
        shaped(y, &self.output)
    }

    fn spread(&self, r: &Map) -> Map {
        let [_, out, height, width] = plane_shape(&self.output);
        let r: Tensor<4> = r.view([r.shape()[0], out, height, width]);
        if suits(&r) {
            let geometry = self.geometry();
            let x = match self.transformed(&geometry) {
                Some(filters) => in_type_of!(r, winograd::spread(&r, filters, &geometry)),
                None => in_type_of!(r, columns::spread(&r, &self.weight, &geometry)),
            };
            return shaped(x, &self.input);
        }
        let [rows, columns] = self.windows;
        let options = ConvTransposeOptions::new(
            [rows.stride, columns.stride],
            [0, 0],
            [0, 0],
            [rows.dilation, columns.dilation],
            self.groups,
        );
        let x = conv_transpose2d(r, self.weight.clone(), None, options);
        let [_, _, height, width] = plane_shape(&self.input);
        let x = fit(x, 2, rows.begin, height);
        let x = fit(x, 3, columns.begin, width);
        shaped(x, &self.input)
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        self.correlate(inputs[0], self.bias.as_ref())
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        vec![Some(self.spread(&signal))]
    }

    pub fn region(&self, output: &Region, _: usize, input: &[usize]) -> Region {
        let spatial = output.len() - 2;
        let windows = &self.windows[2 - spatial..];
        let places = output[2..]
            .iter()
            .zip(windows)
            .map(|(&part, one)| one.region(part));
        let each = (input[1] / self.groups) as i64;
        let group = |k: i64| k * self.groups as i64 / self.output[1] as i64;
        let (first, last) = output[1];
        let channels = (group(first) * each, (group(last) + 1) * each - 1);
        [output[0], channels].into_iter().chain(places).collect()
    }
}

impl TransposedConvolution {
    /// How many numbers are learnt, without the bias.
    pub fn weights(&self) -> usize {
        self.adjoint.weights()
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let y = self.adjoint.spread(inputs[0]);
        match &self.bias {
            Some(bias) => {
                let [n, c] = [y.shape()[0], y.shape()[1]];
                let shape = y.shape().to_vec();
                let sum = y.view([n, c, y.count() / (n * c)]) + bias.clone().reshape([1, c, 1]);
                Map::new(sum).reshaped(&shape)
            }
            None => y,
        }
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        vec![Some(self.adjoint.correlate(&signal, None))]
    }

    pub fn region(&self, output: &Region, _: usize, input: &[usize]) -> Region {
        let spatial = output.len() - 2;
        let windows = &self.adjoint.windows[2 - spatial..];
        let places = output[2..]
            .iter()
            .zip(windows)
            .map(|(&part, one)| one.touched(part));
        let groups = self.adjoint.groups as i64;
        let group = |k: i64| k * groups / self.adjoint.input[1] as i64;
        let each = input[1] as i64 / groups;
        let (first, last) = output[1];
        let channels = (group(first) * each, (group(last) + 1) * each - 1);
        [output[0], channels].into_iter().chain(places).collect()
    }
}

/// Planes under the shape that the file has for one image.
fn shaped(planes: Tensor<4>, one: &[usize]) -> Map {
    let images = planes.dims()[0];
    Map::new(planes).reshaped(&[&[images], &one[1..]].concat())
}
