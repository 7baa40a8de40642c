//! Images that differ from one in a box each: of every value only the part is computed that the box reaches.
//!
//! Forward, interval arithmetic tells which windows of an operator touch the box; backward, which part of its
//! input they are made from. That part is the image's own where it was computed, and the clean image's
//! elsewhere. Parts of all images have one size, so that they go through together; once that is the whole
//! plane, as behind a linear layer, nothing is left to save.

use std::ops::Range;

use burn::tensor::Tensor;

use super::graph::{Convnet, Step, Tape};
use super::operator::{Reach, Region, whole};
use super::value::Map;
use crate::error::Result;

/// What is known of a value: outside of their parts the images are as the clean one.
struct Part {
    /// First and last row and column of each image that may differ.
    boxes: Vec<Region>,
    /// The row and column where the part of each image begins.
    starts: Vec<[i64; 2]>,
    /// The parts.
    map: Map,
}

impl Convnet {
    /// Values of images that differ from one that was recorded, `clean`, in a box of rows and columns each.
    /// Equal to rounding to running the images through as a whole, and less work the smaller the boxes are.
    ///
    /// # Shapes
    /// images `[n, ..]`, a box for each -> of each of `values` `[n, ..]`.
    ///
    /// # Errors
    /// [`crate::Error::Input`] if the images have another shape.
    ///
    /// # Panics
    /// If there are not as many boxes as images.
    pub fn run_changed(
        &self,
        clean: &Tape,
        images: Map,
        boxes: &[[Range<usize>; 2]],
        values: &[usize],
    ) -> Result<Vec<Map>> {
        self.check(&images)?;
        assert_eq!(images.shape()[0], boxes.len(), "a box for each image");
        let ends = |side: &Range<usize>| (side.start as i64, side.end as i64 - 1);
        let last = self.last_uses();
        let mut parts: Vec<Option<Part>> = (0..self.values()).map(|_| None).collect();
        parts[0] = Some(Part {
            boxes: boxes
                .iter()
                .map(|one| one.each_ref().map(ends).to_vec())
                .collect(),
            starts: vec![[0; 2]; boxes.len()],
            map: images,
        });
        let mut found = vec![None; values.len()];
        let mut keep = |value: usize, part: &Part| {
            let places = values.iter().zip(&mut found);
            for (_, found) in places.filter(|(one, _)| **one == value) {
                *found = Some(self.whole_of(value, part, clean));
            }
        };
        if let Some(part) = &parts[0] {
            keep(0, part);
        }
        for (place, step) in self.steps().iter().enumerate() {
            if last[step.output] == 0 && !values.contains(&step.output) {
                continue;
            }
            let inputs: Vec<&Part> = step
                .inputs
                .iter()
                .filter_map(|&k| parts[k].as_ref())
                .collect();
            let part = self.step_of_parts(step, &inputs, clean);
            keep(step.output, &part);
            for &input in &step.inputs {
                if last[input] == place {
                    parts[input] = None;
                }
            }
            parts[step.output] = Some(part);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Rows and columns of a value, if it has both.
    fn plane(&self, value: usize) -> Option<[usize; 2]> {
        let shape = self.shape(value);
        let has_both = shape.len() == 4 && !shape.contains(&0);
        has_both.then(|| self.spatial_axes(value).map(|axis| shape[axis]))
    }

    /// What a step makes of the parts of its inputs.
    fn step_of_parts(&self, step: &Step, inputs: &[&Part], clean: &Tape) -> Part {
        let images = inputs[0].starts.len();
        let plane = self.plane(step.output);
        let reach = step.operator.reach(self.spatial_axes(step.inputs[0]));
        let reach = reach.filter(|reach| match reach {
            Reach::Places => step.inputs.iter().all(|&k| self.plane(k) == plane),
            Reach::Windows(..) => self.plane(step.inputs[0]).is_some(),
        });
        let boxes: Vec<Region> = match (&reach, plane) {
            (Some(reach), Some(plane)) => {
                let of = |image| reached(reach, plane, inputs, image);
                (0..images).map(of).collect()
            }
            (_, plane) => vec![plane.map(|plane| whole(&plane)).unwrap_or_default(); images],
        };
        let longest = |d: usize| boxes.iter().map(|one| one[d].1 - one[d].0 + 1).max();
        let part = reach.zip(plane).and_then(|(reach, plane)| {
            let size = [0, 1].map(|d| longest(d).unwrap_or(1) as usize);
            (size != plane).then_some((reach, plane, size))
        });
        let Some((reach, plane, size)) = part else {
            let maps = step.inputs.iter().zip(inputs);
            let maps: Vec<Map> = maps
                .map(|(&k, part)| self.whole_of(k, part, clean))
                .collect();
            let (map, _) = step.operator.forward(&maps.iter().collect::<Vec<_>>());
            let starts = vec![[0; 2]; images];
            return Part { boxes, starts, map };
        };
        let start = |one: &Region| [0, 1].map(|d| one[d].0.min((plane[d] - size[d]) as i64));
        let starts: Vec<[i64; 2]> = boxes.iter().map(start).collect();
        let gathered = |(&value, part): (&usize, &&Part)| match reach {
            Reach::Places => self.gathered(value, part, clean, &starts, size, 0.0),
            Reach::Windows(windows, beyond) => {
                let first = |at: &[i64; 2]| [0, 1].map(|d| windows[d].region((at[d], at[d])).0);
                let starts: Vec<[i64; 2]> = starts.iter().map(first).collect();
                let size = [0, 1].map(|d| windows[d].first(size[d]).span());
                self.gathered(value, part, clean, &starts, size, beyond)
            }
        };
        let maps: Vec<Map> = step.inputs.iter().zip(inputs).map(gathered).collect();
        let maps: Vec<&Map> = maps.iter().collect();
        let map = step.operator.forward_part(&maps, size);
        Part { boxes, starts, map }
    }

    /// A value of all images as a whole.
    fn whole_of(&self, value: usize, part: &Part, clean: &Tape) -> Map {
        let Some(plane) = self.plane(value) else {
            return part.map.clone();
        };
        let starts = vec![[0; 2]; part.starts.len()];
        self.gathered(value, part, clean, &starts, plane, 0.0)
    }

    /// `size` rows and columns of each image from `starts` on, `beyond` outside of the plane.
    fn gathered(
        &self,
        value: usize,
        part: &Part,
        clean: &Tape,
        starts: &[[i64; 2]],
        size: [usize; 2],
        beyond: f32,
    ) -> Map {
        let axes = self.spatial_axes(value);
        if starts == part.starts && axes.map(|axis| part.map.shape()[axis]) == size {
            return part.map.clone();
        }
        let four = |map: &Map| map.view::<4>(std::array::from_fn(|axis| map.shape()[axis]));
        let (clean, own) = (four(clean.map(value)), four(&part.map));
        let mut shape = clean.dims();
        let sides = axes.iter().zip(size);
        sides.for_each(|(&axis, side)| shape[axis] = side);
        let all = shape.map(|length| 0..length);
        let empty = || Tensor::full(shape, beyond, (&clean.device(), clean.dtype()));
        let pieces = starts.iter().enumerate().map(|(image, start)| {
            let mut piece = None;
            for (source, row, at) in [(&clean, 0, [0; 2]), (&own, image, part.starts[image])] {
                let mut from = source.dims().map(|length| 0..length);
                let mut to = all.clone();
                from[0] = row..row + 1;
                for (d, &axis) in axes.iter().enumerate() {
                    let low = start[d].max(at[d]);
                    let end = (start[d] + size[d] as i64).min(at[d] + source.dims()[axis] as i64);
                    let within = |from: i64| (low - from) as usize..(end.max(low) - from) as usize;
                    (from[axis], to[axis]) = (within(at[d]), within(start[d]));
                }
                if axes.iter().any(|&axis| to[axis].is_empty()) {
                    continue;
                }
                let taken = source.clone().slice(from);
                piece = Some(match to == all {
                    true => taken,
                    false => piece.unwrap_or_else(empty).slice_assign(to, taken),
                });
            }
            piece.unwrap_or_else(empty)
        });
        Map::new(Tensor::cat(pieces.collect(), 0))
    }
}

/// The rows and columns of an output that the boxes of its inputs reach, of one image.
fn reached(reach: &Reach, plane: [usize; 2], inputs: &[&Part], image: usize) -> Region {
    let along = |d: usize| {
        let sides = inputs.iter().map(|part| part.boxes[image][d]);
        let side = sides.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let side = side.unwrap_or((0, 0));
        let (low, high) = match reach {
            Reach::Places => side,
            Reach::Windows(windows, _) => windows[d].touched(side),
        };
        let last = plane[d] as i64 - 1;
        let low = low.clamp(0, last);
        (low, high.clamp(low, last))
    };
    [0, 1].map(along).to_vec()
}
