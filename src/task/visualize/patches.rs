//! The places of many images where a map is strongest.

use super::coded::Coded;
use super::display;
use super::filters::receptive_field;
use super::gallery::Gallery;
use super::strongest::{Search, Strongest, used};
use crate::data::Image;
use crate::data::resize::crop;
use crate::error::Result;
use crate::picture::table;
use crate::run::{Run, to_image};

/// Maps shown of each layer.
const SHOWN: usize = 16;

/// What was seen at a place.
#[derive(Clone)]
pub(super) struct Patch {
    image: Image,
    /// The values that are drawn black and white.
    range: [f32; 2],
}

impl Search<Patch> {
    /// Looks at one more image.
    pub(super) fn add_patches(&mut self, run: &Run, coded: &Coded) -> Result<()> {
        let (pixels, count) = (coded.pixels()?, self.per_map);
        self.add(coded, |layer, codes, found| {
            let network = run.network.part(0..layer + 1);
            let field = receptive_field(&network);
            let maps = to_image(&network.boundary().widened(codes.clone(), field), 0)?;
            for (k, map) in found.iter_mut().enumerate() {
                let (values, width) = (maps.plane(k), maps.width);
                map.add(
                    values,
                    count,
                    |sign| peaks(values, width, sign, field, count),
                    |at| Patch {
                        image: crop(&pixels, corner([at / width, at % width], field), field),
                        range: coded.range,
                    },
                );
            }
            Ok(())
        })
    }

    /// Draws `patches-layerN.png`: a row for each of the maps used most, its filter in front.
    pub(super) fn draw_patches(self, filters: &[Vec<Image>], gallery: &mut Gallery) -> Result<()> {
        let numbers: Vec<String> = (1..=self.per_map).map(|n| n.to_string()).collect();
        let mut headers = vec!["filter"];
        headers.extend(numbers.iter().map(String::as_str));
        for (layer, maps) in self.layers {
            let rows: Vec<(String, Vec<Image>)> = used(&maps)
                .into_iter()
                .take(SHOWN)
                .map(|k| (format!("map {k}"), row(&filters[layer][k], &maps[k])))
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

/// The filter, with the sign of the places that matter more, and the patches of those.
fn row(filter: &Image, map: &Strongest<Patch>) -> Vec<Image> {
    let (sign, places) = map.places();
    let mut filter = filter.clone();
    filter.values.iter_mut().for_each(|v| *v *= sign);
    let patches = places
        .iter()
        .map(|(_, patch)| display::pixels(&patch.image, patch.range));
    std::iter::once(display::signed(&filter, None))
        .chain(patches)
        .collect()
}

/// The `count` strongest places of `sign * values`, as index and magnitude.
///
/// Only units whose field lies within the image count, because there is nothing to compare those at
/// the borders with; and none within half a field of a stronger one, because it would show the same
/// again.
fn peaks(
    values: &[f32],
    width: usize,
    sign: f32,
    [field_height, field_width]: [usize; 2],
    count: usize,
) -> Vec<(usize, f32)> {
    let height = values.len() / width;
    // A map is larger than the image by R - 1.
    let rows = field_height - 1..(height + 1).saturating_sub(field_height);
    let columns = field_width - 1..(width + 1).saturating_sub(field_width);
    let mut candidates: Vec<(usize, f32)> = rows
        .flat_map(|i| columns.clone().map(move |j| i * width + j))
        .map(|at| (at, sign * values[at]))
        .filter(|(_, v)| *v > 0.0)
        .collect();
    candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
    let near = |a: usize, b: usize| {
        2 * (a / width).abs_diff(b / width) < field_height
            && 2 * (a % width).abs_diff(b % width) < field_width
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

/// The first pixel that the unit at row `i`, column `j` of a map reaches: the map of a 'valid' convolution
/// begins as many rows and columns before the image.
fn corner([i, j]: [usize; 2], [height, width]: [usize; 2]) -> [usize; 2] {
    [i + 1 - height, j + 1 - width]
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};

    use super::*;
    use crate::backend::Backend;
    use crate::connectivity::Connectivity;
    use crate::model::{Layer, Network};

    /// Two layers of one map whose filters have a single tap each: a unit makes a single dot.
    fn pointer(taps: [[usize; 2]; 2]) -> Network {
        let device = Backend::Flex.device().unwrap();
        let layer = |[i, j]: [usize; 2]| {
            let mut filter = [0.0_f32; 12];
            filter[4 * i + j] = 1.0;
            let filters =
                Tensor::from_data(TensorData::new(filter.to_vec(), [1, 1, 3, 4]), &device);
            Layer::new(filters, Connectivity::full(1, 1))
        };
        Network::new(taps.map(layer).to_vec()).unwrap()
    }

    #[test]
    fn a_patch_shows_what_the_unit_makes() {
        let network = pointer([[0, 3], [2, 1]]);
        let field = receptive_field(&network);
        assert_eq!(field, [5, 7]);
        let shape = network.maps_shape([1, 1, 20, 30]);
        let [.., height, width] = shape;
        let (i, j) = (9, 17);
        let mut maps = vec![0.0_f32; height * width];
        maps[i * width + j] = 2.0;
        let device = Backend::Flex.device().unwrap();
        let dot = network.project(Tensor::from_data(
            TensorData::new(maps.clone(), shape),
            &device,
        ));
        let dot = to_image(&dot, 0).unwrap();
        assert_eq!(dot.shape(), [1, 20, 30]);

        let found = peaks(&maps, width, 1.0, field, 9);
        assert_eq!(found, [(i * width + j, 2.0)]);
        let patch = crop(&dot, corner([i, j], field), field);
        // The taps of both layers add up: row 0 + 2, column 3 + 1.
        let mut expected = vec![0.0; 35];
        expected[2 * 7 + 4] = 2.0;
        assert_eq!(patch.values, expected);
    }

    #[test]
    fn units_near_a_stronger_one_or_reaching_over_the_border_do_not_count() {
        // An image of 6 x 8 under a field of 3 x 3: maps of 8 x 10.
        let mut map = vec![0.0_f32; 80];
        map[0] = 9.0; // Over the border.
        map[5 * 10 + 7] = 8.0; // The last one inside.
        map[5 * 10 + 8] = 7.0; // Over the border.
        map[4 * 10 + 6] = 6.0; // Too near to the first.
        map[2 * 10 + 2] = 5.0; // The first one inside.
        map[2 * 10 + 6] = -4.0; // Of the other sign.
        let find = |sign| peaks(&map, 10, sign, [3, 3], 9);
        assert_eq!(find(1.0), [(57, 8.0), (22, 5.0)]);
        assert_eq!(find(-1.0), [(26, 4.0)]);
        // A field larger than the image has no place in it.
        assert!(peaks(&map, 10, 1.0, [7, 7], 9).is_empty());
    }
}
