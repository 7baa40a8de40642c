//! Pooling: the largest of each window.
//!
//! The largest remembers where it was, its switch; the way back puts a signal there, and adds up what
//! overlapping windows send to one place. Where several are largest, the first in row-major order counts.

use burn::tensor::module::max_pool2d_with_indices;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{IndexingUpdateOp, Tensor};

use super::super::rule::Walk;
use super::super::value::Map;
use super::columns::{Geometry, in_type_of};
use super::largest;
use super::pad::{fit, pad_with};
use super::windows::{Windows, in_plane, kernel_shape, plane_shape, spatial_axes};
use super::{Lowered, Region, Saved, Site, Switches};
use crate::error::Result;
use crate::pass::suits;

/// The largest of each window.
#[derive(Clone, Debug)]
pub struct MaxPool {
    windows: [Windows; 2],
    /// Input and output of one image as the file has them.
    input: Vec<usize>,
    output: Vec<usize>,
}

pub fn lower_maximum(site: &Site) -> Result<Lowered> {
    if site.node.output.iter().skip(1).any(|name| !name.is_empty()) {
        return Err(site.error("the places of its maxima as an output are not supported"));
    }
    let (value, shape) = site.map(0)?;
    let axes = spatial_axes(site, shape)?;
    let kernel = kernel_shape(site, axes)?.ok_or_else(|| site.error("kernel_shape is missing"))?;
    let ceil = site.attribute_integer("ceil_mode", 0)? != 0;
    let windows = Windows::of(site, shape, &kernel, ceil)?;
    for (one, &length) in windows.iter().zip(&shape[2..]) {
        let inside = |window: usize, k: usize| {
            let at = (window * one.stride + k * one.dilation).checked_sub(one.begin);
            at.is_some_and(|at| at < length)
        };
        let sees = |window: usize| (0..one.kernel).any(|k| inside(window, k));
        if !(0..one.count).all(sees) {
            return Err(site.error("a window would lie in the padding as a whole"));
        }
    }
    maximum(value, shape, windows)
}

/// The largest of each channel: one window of all.
pub fn lower_global_maximum(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    spatial_axes(site, shape)?;
    let window = |&kernel: &usize| Windows {
        kernel,
        ..Windows::POINT
    };
    maximum(value, shape, shape[2..].iter().map(window).collect())
}

fn maximum(value: usize, shape: &[usize], windows: Vec<Windows>) -> Result<Lowered> {
    let counts = windows.iter().map(|one| one.count);
    let output: Vec<usize> = shape[..2].iter().copied().chain(counts).collect();
    let operator = MaxPool {
        windows: in_plane(windows),
        input: shape.to_vec(),
        output: output.clone(),
    };
    Ok(Lowered::step(operator.into(), &[value], output))
}

impl MaxPool {
    /// The largest of `length` numbers, `[1, rows, length]` for one image.
    pub fn of_all(rows: usize, length: usize) -> Self {
        let window = Windows {
            kernel: length,
            ..Windows::POINT
        };
        Self {
            windows: in_plane(vec![window]),
            input: vec![1, rows, length],
            output: vec![1, rows, 1],
        }
    }

    /// Rows and columns of the input with its padding: what the switches count in.
    fn padded(&self) -> [usize; 2] {
        self.windows.map(|one| one.span())
    }

    /// Along rows and columns.
    pub fn windows(&self) -> [Windows; 2] {
        self.windows
    }

    fn geometry(&self) -> Geometry {
        let [_, c, height, width] = plane_shape(&self.input);
        Geometry {
            groups: c,
            channels: [c; 2],
            input: [height, width],
            windows: self.windows,
        }
    }

    /// The same for `size` windows that begin with the input.
    pub fn part(&self, size: [usize; 2]) -> Self {
        let (windows, [input, output]) =
            Windows::part(self.windows, [self.input[1], self.output[1]], size);
        Self {
            windows,
            input,
            output,
        }
    }

    pub fn forward(&self, inputs: &[&Map]) -> (Map, Switches) {
        let [_, c, height, width] = plane_shape(&self.input);
        let [rows, columns] = self.windows;
        let images = inputs[0].shape()[0];
        let x: Tensor<4> = inputs[0].view([images, c, height, width]);
        let shape = [&[images], &self.output[1..]].concat();
        if suits(&x) {
            let (y, places) = in_type_of!(x, largest::largest(&x, &self.geometry()));
            let switches = Switches::InMemory(places.into());
            return (Map::new(y).reshaped(&shape), switches);
        }
        let x = fit(x, 2, 0, rows.span().saturating_sub(rows.begin).min(height));
        let x = fit(
            x,
            3,
            0,
            columns.span().saturating_sub(columns.begin).min(width),
        );
        let pads = [
            (rows.begin, rows.end(height)),
            (columns.begin, columns.end(width)),
        ];
        let x = pad_with(x, pads, f32::NEG_INFINITY);
        let options = MaxPoolOptions::new([rows.kernel, columns.kernel])
            .with_stride([rows.stride, columns.stride])
            .with_dilation([rows.dilation, columns.dilation]);
        let (y, switches) = max_pool2d_with_indices(x, options);
        let windows = rows.count * columns.count;
        let switches = switches.reshape([images, c, windows]);
        (Map::new(y).reshaped(&shape), Switches::Padded(switches))
    }

    pub fn reverse(&self, signal: Map, saved: &Saved, walk: &Walk) -> Vec<Option<Map>> {
        let Some(switches) = saved.switches else {
            return vec![None];
        };
        let signal = match walk.options.drop_empty_windows {
            true => {
                let dtype = signal.dtype();
                let filled = saved
                    .output()
                    .pointwise(|y| y.not_equal_elem(0.0).float().cast(dtype));
                signal.with(&filled, |r, filled| r * filled)
            }
            false => signal,
        };
        let [_, c, height, width] = plane_shape(&self.input);
        let images = signal.shape()[0];
        let shape = [&[images], &self.input[1..]].concat();
        let [down, across] = self.windows.map(|one| one.count);
        let switches = match switches {
            Switches::InMemory(places) => {
                let r: Tensor<4> = signal.view([images, c, down, across]);
                let x = in_type_of!(r, largest::unpool(&r, places, saved.rows, &self.geometry()));
                return vec![Some(Map::new(x).reshaped(&shape))];
            }
            Switches::Padded(switches) => switches.clone(),
        };
        let [padded_rows, padded_columns] = self.padded();
        let r = signal.view([images, c, down * across]);
        let device = signal.device();
        let rows = super::super::value::indices(saved.rows, &device);
        let switches = switches.select(0, rows);
        let plane = Tensor::<3>::zeros(
            [images, c, padded_rows * padded_columns],
            (&device, r.dtype()),
        );
        let x = plane
            .scatter(2, switches, r, IndexingUpdateOp::Add)
            .reshape([images, c, padded_rows, padded_columns]);
        let x = fit(x, 2, self.windows[0].begin, height);
        let x = fit(x, 3, self.windows[1].begin, width);
        vec![Some(Map::new(x).reshaped(&shape))]
    }

    pub fn region(&self, output: &Region, _: usize, _: &[usize]) -> Region {
        let windows = &self.windows[2 - (output.len() - 2)..];
        let places = output[2..]
            .iter()
            .zip(windows)
            .map(|(&part, one)| one.region(part));
        output[..2].iter().copied().chain(places).collect()
    }
}
