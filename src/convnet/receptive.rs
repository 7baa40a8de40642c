//! Which pixels a unit sees, by exact interval arithmetic back through the graph.

use super::graph::Convnet;
use super::operator::{Region, whole};

/// The receptive field of the units of a layer along rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Rows and columns of pixels that a unit sees, where no border cuts it off; where maps were made larger
    /// and units see more or less by turns, the most of two neighbours.
    pub size: [usize; 2],
    /// Pixels between neighbouring units, on the average and at least 1; 0 where there is one unit.
    pub stride: [usize; 2],
}

impl Convnet {
    /// The pixels that a part of a value is made from, as a region of the input for one image; places
    /// beyond the borders, in the padding, are kept.
    pub fn seen(&self, value: usize, part: &Region) -> Region {
        let mut regions: Vec<Option<Region>> = vec![None; self.values()];
        regions[value] = Some(part.clone());
        for step in self.steps().iter().rev() {
            let Some(region) = regions[step.output].take() else {
                continue;
            };
            for (k, &input) in step.inputs.iter().enumerate() {
                let seen = step.operator.region(&region, k, self.shape(input));
                let is_empty = seen.iter().any(|(first, last)| first > last);
                if is_empty {
                    continue;
                }
                regions[input] = Some(match regions[input].take() {
                    Some(before) => hull(&before, &seen),
                    None => seen,
                });
            }
        }
        regions[0].take().unwrap_or_else(|| whole(self.shape(0)))
    }

    /// The box of pixels, first and last row and column, that a unit sees, within the image, of four axes.
    pub fn patch(&self, value: usize, unit: &[usize]) -> [(usize, usize); 2] {
        let [rows, columns] = self.spatial_axes(0);
        let shape = self.shape(0);
        let seen = self.seen(value, &self.unit_region(unit));
        [rows, columns].map(|axis| {
            let last = shape[axis] as i64 - 1;
            let (low, high) = seen[axis];
            (low.clamp(0, last) as usize, high.clamp(0, last) as usize)
        })
    }

    /// The receptive field of the units of a value with rows and columns; of all others, the image. None
    /// where the input is no image, of four axes.
    pub fn field(&self, value: usize) -> Option<Field> {
        if self.shape(0).len() != 4 {
            return None;
        }
        let axes = self.spatial_axes(0);
        let image = self.shape(0);
        let size = axes.map(|axis| image[axis]);
        let shape = self.shape(value);
        if shape.len() != 4 {
            return Some(Field {
                size,
                stride: [0; 2],
            });
        }
        let unit_axes = self.spatial_axes(value);
        let last = unit_axes.map(|axis| shape[axis] as i64 - 1);
        let at = |[row, column]: [i64; 2]| {
            let mut unit = whole(shape);
            unit[unit_axes[0]] = (row, row);
            unit[unit_axes[1]] = (column, column);
            self.seen(value, &unit)
        };
        // Within a map, as near a border a part that was cut out or mirrored is not seen to its end.
        let middle = [at(last.map(|n| n / 2)), at(last.map(|n| n / 2 + n.min(1)))];
        let [from, to] = [last.map(|n| n / 4), last.map(|n| (3 * n + 3) / 4)];
        let ends = [at(from), at(to)];
        let along = |k: usize| {
            let length = |seen: &Region| seen[axes[k]].1 - seen[axes[k]].0 + 1;
            let size = middle.iter().map(length).max().unwrap_or(1);
            let [low, high] = [0, 1].map(|end: usize| ends[end][axes[k]].0);
            let units = (to[k] - from[k]).max(1);
            let stride = match (high - low).max(0) {
                // One unit, or all of them see the same.
                0 => 0,
                all => ((all + units / 2) / units).max(1),
            };
            (size as usize, stride as usize)
        };
        let [(height, down), (width, right)] = [along(0), along(1)];
        Some(Field {
            size: [height, width],
            stride: [down, right],
        })
    }

    fn unit_region(&self, unit: &[usize]) -> Region {
        let places = unit.iter().map(|&at| (at as i64, at as i64));
        [(0, 0)].into_iter().chain(places).collect()
    }
}

/// The smallest box around two.
fn hull(a: &Region, b: &Region) -> Region {
    let ends = a.iter().zip(b);
    ends.map(|(a, b)| (a.0.min(b.0), a.1.max(b.1))).collect()
}
