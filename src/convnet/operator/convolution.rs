//! Convolution as convnets have it, and its adjoint.
//!
//! ```text
//! y[k, i] = b[k] + sum_c sum_u w[k, c, u] x[c, stride i + dilation u - begin]
//! ```
//!
//! over the channels `c` of the group of `k`; `x` is 0 outside. The adjoint spreads each `y[k, i]` over the
//! same places. One spatial axis is taken for a picture of one row.

use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

use super::super::rule::Walk;
use super::super::value::Map;
use super::pad::{fit, pad_zeros};
use super::{Lowered, Region, Saved, Site};
use crate::arrays::Array;
use crate::error::Result;

/// Windows along one spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Elements of a window.
    pub kernel: usize,
    /// Steps between windows.
    pub stride: usize,
    /// Steps between the elements of a window.
    pub dilation: usize,
    /// Elements beyond the first one at which the first window begins.
    pub begin: usize,
    /// How many windows.
    pub count: usize,
}

impl Windows {
    /// One window of one element.
    pub const POINT: Self = Self {
        kernel: 1,
        stride: 1,
        dilation: 1,
        begin: 0,
        count: 1,
    };

    /// From the first to the last element of a window, both counted.
    pub fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// From the start of the first window to the end of the last.
    pub fn span(&self) -> usize {
        (self.count - 1) * self.stride + self.extent()
    }

    /// How many zeros behind `length` elements the last window reaches over.
    pub fn end(&self, length: usize) -> usize {
        self.span().saturating_sub(self.begin + length)
    }

    /// The elements from which the windows `(first, last)` are made.
    pub fn region(&self, (first, last): (i64, i64)) -> (i64, i64) {
        let start = |window| window * self.stride as i64 - self.begin as i64;
        (start(first), start(last) + self.extent() as i64 - 1)
    }

    /// The windows of a convolution or pooling, along each spatial axis of `[n, c, ..]`.
    pub fn of(site: &Site, shape: &[usize], kernel: &[usize], ceil: bool) -> Result<Vec<Self>> {
        let axes = kernel.len();
        let lengths = &shape[2..];
        let strides = positive(site, "strides", axes)?;
        let dilations = positive(site, "dilations", axes)?;
        let pads = padding(site, axes)?;
        let auto = site.attribute_text("auto_pad", "NOTSET")?;
        let mut windows = Vec::new();
        for axis in 0..axes {
            let mut one = Self {
                kernel: kernel[axis],
                stride: strides[axis],
                dilation: dilations[axis],
                ..Self::POINT
            };
            let length = lengths[axis];
            let extent = (one.kernel - 1)
                .checked_mul(one.dilation)
                .and_then(|n| n.checked_add(1));
            let extent = extent
                .filter(|&extent| extent <= 1 << 24)
                .ok_or_else(|| site.error("a window is too large"))?;
            let [begin, end] = match auto.as_str() {
                "NOTSET" => pads[axis],
                "VALID" => [0, 0],
                "SAME_UPPER" | "SAME_LOWER" => {
                    let count = length.div_ceil(one.stride);
                    let all = ((count.max(1) - 1) * one.stride + extent).saturating_sub(length);
                    let less = all / 2;
                    match auto.as_str() {
                        "SAME_UPPER" => [less, all - less],
                        _ => [all - less, less],
                    }
                }
                other => return Err(site.error(format!("auto_pad = {other} is not known"))),
            };
            one.begin = begin;
            let Some(room) = (length + begin + end).checked_sub(extent) else {
                return Err(site.error(format!(
                    "a window of {extent} elements does not fit into {length} with {begin} before and \
                     {end} behind: give larger images"
                )));
            };
            one.count = room / one.stride + 1;
            // A window more where one would be cut off, if it begins before the padding at the end.
            if ceil && room % one.stride != 0 && one.count * one.stride < length + begin {
                one.count += 1;
            }
            windows.push(one);
        }
        Ok(windows)
    }
}

/// Lengths that are at least 1, one for each spatial axis; 1 if not given.
fn positive(site: &Site, name: &str, axes: usize) -> Result<Vec<usize>> {
    let Some(given) = site.attribute_integers(name)? else {
        return Ok(vec![1; axes]);
    };
    let lengths: Option<Vec<usize>> = given
        .iter()
        .map(|&n| {
            usize::try_from(n)
                .ok()
                .filter(|&n| (1..=1 << 24).contains(&n))
        })
        .collect();
    match lengths {
        Some(lengths) if lengths.len() == axes => Ok(lengths),
        _ => Err(site.error(format!(
            "{name} = {given:?} must be {axes} positive numbers"
        ))),
    }
}

/// `[begin, end]` of each spatial axis.
fn padding(site: &Site, axes: usize) -> Result<Vec<[usize; 2]>> {
    let Some(given) = site.attribute_integers("pads")? else {
        return Ok(vec![[0, 0]; axes]);
    };
    let pads: Option<Vec<usize>> = given
        .iter()
        .map(|&n| usize::try_from(n).ok().filter(|&n| n <= 1 << 24))
        .collect();
    match pads {
        Some(pads) if pads.len() == 2 * axes => Ok((0..axes)
            .map(|axis| [pads[axis], pads[axis + axes]])
            .collect()),
        _ => Err(site.error(format!(
            "pads = {given:?} must be {} numbers that are not negative",
            2 * axes
        ))),
    }
}

/// The lengths of a kernel as the file gives them.
pub fn kernel_shape(site: &Site, axes: usize) -> Result<Option<Vec<usize>>> {
    match site.has("kernel_shape") {
        true => positive(site, "kernel_shape", axes).map(Some),
        false => Ok(None),
    }
}

/// The number of spatial axes of `[n, c, ..]`: one or two.
pub fn spatial_axes(site: &Site, shape: &[usize]) -> Result<usize> {
    match shape.len() {
        3 => Ok(1),
        4 => Ok(2),
        rank => Err(site.error(format!(
            "it works on {} spatial axes; one and two are supported",
            rank.saturating_sub(2)
        ))),
    }
}

/// One or two axes as two.
pub fn in_plane(mut windows: Vec<Windows>) -> [Windows; 2] {
    let last = windows.pop().unwrap_or(Windows::POINT);
    [windows.pop().unwrap_or(Windows::POINT), last]
}

/// `[n, c, (rows,) columns]` as `[n, c, rows, columns]`.
pub fn plane_shape(shape: &[usize]) -> [usize; 4] {
    match *shape {
        [n, c, h, w] => [n, c, h, w],
        [n, c, w] => [n, c, 1, w],
        _ => unreachable!("the number of axes was checked when the operator was made"),
    }
}

/// Convolution with stride, padding, dilation and groups.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// `[out, in / groups, h, w]`.
    weight: Tensor<4>,
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
    /// How many numbers are learnt, without the bias.
    pub fn weights(&self) -> usize {
        self.weight.dims().iter().product()
    }

    fn correlate(&self, x: &Map, bias: Option<Tensor<1>>) -> Map {
        let [_, _, height, width] = plane_shape(&self.input);
        let x = x.view([x.shape()[0], self.input[1], height, width]);
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
        let y = conv2d(x, self.weight.clone(), bias, options);
        shaped(y, &self.output)
    }

    fn spread(&self, r: &Map) -> Map {
        let [_, out, height, width] = plane_shape(&self.output);
        let r = r.view([r.shape()[0], out, height, width]);
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
        self.correlate(inputs[0], self.bias.clone())
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
            .map(|(&(first, last), one)| {
                // Window i covers the places i stride - begin to that plus the extent.
                let begin = one.begin as i64;
                let stride = one.stride as i64;
                let low = (first + begin - one.extent() as i64 + 1).div_euclid(stride)
                    + i64::from((first + begin - one.extent() as i64 + 1).rem_euclid(stride) != 0);
                (low, (last + begin).div_euclid(stride))
            });
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
