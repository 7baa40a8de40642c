//! The places of many images where a map is strongest.

use super::coded::{Coded, top_layers};
use super::filters::receptive_field;
use super::gallery::Gallery;
use super::maps::ranked;
use crate::data::Image;
use crate::error::Result;
use crate::picture::{symmetric, table};
use crate::run::{Run, to_image};

/// Maps shown of each layer.
const SHOWN: usize = 16;

/// The strongest places so far, image by image.
pub(super) struct Search {
    layers: Vec<LayerSearch>,
    per_map: usize,
}

struct LayerSearch {
    layer: usize,
    field: [usize; 2],
    maps: Vec<MapSearch>,
}

/// The strongest places of one map, those above zero and those below: its filter and its values may
/// both be turned round, so that either kind can be the one that matters.
#[derive(Clone, Default)]
struct MapSearch {
    strength: f64,
    signs: [Vec<Place>; 2],
}

#[derive(Clone)]
struct Place {
    value: f32,
    patch: Image,
}

impl Search {
    /// To find `per_map` places for each map.
    pub(super) fn new(run: &Run, per_map: usize) -> Self {
        let layer = |layer: usize| {
            let network = run.network.part(0..layer + 1);
            LayerSearch {
                layer,
                field: receptive_field(&network),
                maps: vec![MapSearch::default(); network.top().connectivity.maps()],
            }
        };
        Self {
            layers: top_layers(run).into_iter().map(layer).collect(),
            per_map,
        }
    }

    /// Looks at one more image.
    pub(super) fn add(&mut self, coded: &Coded) -> Result<()> {
        let pixels = coded.pixels()?;
        for (layer, codes) in &coded.codes {
            let maps = to_image(codes, 0)?;
            let search = self.layers.iter_mut().find(|search| search.layer == *layer);
            let Some(LayerSearch {
                field, maps: found, ..
            }) = search
            else {
                continue;
            };
            for (k, map) in found.iter_mut().enumerate() {
                map.add(maps.plane(k), maps.width, &pixels, *field, self.per_map);
            }
        }
        Ok(())
    }

    /// Draws `patches-layerN.png`: a row for each of the maps used most, its filter in front.
    pub(super) fn draw(self, filters: &[Vec<Image>], gallery: &mut Gallery) -> Result<()> {
        let numbers: Vec<String> = (1..=self.per_map).map(|n| n.to_string()).collect();
        let mut headers = vec!["filter"];
        headers.extend(numbers.iter().map(String::as_str));
        for LayerSearch { layer, maps, .. } in self.layers {
            let strength: Vec<f64> = maps.iter().map(|map| map.strength).collect();
            let used = ranked(&strength).into_iter().filter(|&k| strength[k] > 0.0);
            let rows: Vec<(String, Vec<Image>)> = used
                .take(SHOWN)
                .map(|k| (format!("map {k}"), maps[k].row(&filters[layer][k])))
                .collect();
            if rows.is_empty() {
                continue;
            }
            let title = format!("Layer {}: where each map is strongest", layer + 1);
            let picture = table(&title, &headers, &rows)?;
            gallery.save(&format!("patches-layer{}.png", layer + 1), &picture)?;
        }
        Ok(())
    }
}

impl MapSearch {
    /// Takes in the map `values` of one image.
    fn add(
        &mut self,
        values: &[f32],
        width: usize,
        pixels: &Image,
        field: [usize; 2],
        count: usize,
    ) {
        self.strength += values.iter().map(|v| f64::from(v.abs())).sum::<f64>();
        for (sign, places) in [1.0, -1.0].into_iter().zip(&mut self.signs) {
            for (at, value) in peaks(values, width, sign, field, count) {
                if places.len() == count && places[count - 1].value >= value {
                    break;
                }
                let patch = patch(pixels, [at / width, at % width], field);
                let rank = places.partition_point(|place| place.value >= value);
                places.insert(rank, Place { value, patch });
                places.truncate(count);
            }
        }
    }

    /// The filter, with the sign of the places that matter more, and the patches of those.
    fn row(&self, filter: &Image) -> Vec<Image> {
        let [above, below] = &self.signs;
        let sum = |places: &[Place]| places.iter().map(|place| place.value).sum::<f32>();
        let (sign, places) = match sum(above) >= sum(below) {
            true => (1.0, above),
            false => (-1.0, below),
        };
        let mut filter = symmetric(filter, None);
        for v in &mut filter.values {
            *v = 0.5 + sign * (*v - 0.5);
        }
        let patches = places.iter().map(|place| place.patch.clone());
        std::iter::once(filter).chain(patches).collect()
    }
}

/// The `count` strongest places of `sign * values`, as index and magnitude, none of them within
/// half a receptive field of a stronger one: those would show the same thing again.
fn peaks(
    values: &[f32],
    width: usize,
    sign: f32,
    [height_of_field, width_of_field]: [usize; 2],
    count: usize,
) -> Vec<(usize, f32)> {
    let mut candidates: Vec<(usize, f32)> = values
        .iter()
        .map(|v| sign * v)
        .enumerate()
        .filter(|(_, v)| *v > 0.0)
        .collect();
    candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
    let near = |a: usize, b: usize| {
        2 * (a / width).abs_diff(b / width) < height_of_field
            && 2 * (a % width).abs_diff(b % width) < width_of_field
    };
    let mut found: Vec<(usize, f32)> = Vec::with_capacity(count);
    for (at, value) in candidates {
        if found.len() == count {
            break;
        }
        if !found.iter().any(|&(other, _)| near(at, other)) {
            found.push((at, value));
        }
    }
    found
}

/// The pixels that the unit at row `i`, column `j` of a map reaches: rows `i - (R - 1)` to `i`, and
/// columns alike, because the map of a 'valid' convolution begins `R - 1` before the image. What
/// lies outside of the image is mid grey.
fn patch(pixels: &Image, [i, j]: [usize; 2], [height, width]: [usize; 2]) -> Image {
    let mut patch = Image::zeros(pixels.channels, height, width);
    patch.values.fill(0.5);
    for c in 0..pixels.channels {
        let source = pixels.plane(c);
        for (at, out) in patch.plane_mut(c).iter_mut().enumerate() {
            let row = (i + at / width).checked_sub(height - 1);
            let column = (j + at % width).checked_sub(width - 1);
            let inside = row
                .zip(column)
                .filter(|&(r, c)| r < pixels.height && c < pixels.width);
            if let Some((row, column)) = inside {
                *out = source[row * pixels.width + column];
            }
        }
    }
    patch
}
