//! The parts that the maps of a pooled network stand for: their strongest activations, each projected to
//! the pixels alone, through the switches of its own image.
//!
//! What an activation stands for differs from image to image by the switches below it, so that no single
//! projection shows a map as a filter shows a map of the first layer.

use std::collections::BTreeMap;

use super::coded::Coded;
use super::display::signed;
use super::gallery::Gallery;
use super::strongest::{Search, used};
use crate::data::{Image, resize};
use crate::error::Result;
use crate::model::{Network, alone};
use crate::picture::{self, MosaicOptions, Tile};
use crate::run::{Run, to_image};

/// Maps of which the strongest places are shown; all of them are shown by one projection.
const SHOWN: usize = 24;

/// An activation of an image.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Which of the images searched, from 0.
    image: usize,
    map: usize,
    /// Row-major in the map.
    at: usize,
    value: f32,
}

impl Search<Place> {
    /// Looks at one more image, the `image`-th, for the strongest place of each map and sign.
    pub(super) fn add_parts(&mut self, image: usize, coded: &Coded) -> Result<()> {
        let count = self.per_map;
        self.add(coded, |_, codes, found| {
            let maps = to_image(codes, 0)?;
            for (map, found) in found.iter_mut().enumerate() {
                let values = maps.plane(map);
                let place = |at: usize| Place {
                    image,
                    map,
                    at,
                    value: values[at],
                };
                let found_of = |sign| strongest(values, sign).into_iter().collect();
                found.add(values, count, found_of, place);
            }
            Ok(())
        })
    }

    /// Draws `filters-layerN.png` of the layers above the first, every map by its strongest place, and
    /// `parts-layerN.png`, the places of the maps used most beside the patches that were seen there. `again`
    /// gives an image searched once more.
    pub(super) fn draw_parts(
        self,
        run: &Run,
        again: &mut dyn FnMut(usize) -> Result<Coded>,
        gallery: &mut Gallery,
    ) -> Result<()> {
        for (layer, maps) in self.layers {
            let shown: Vec<usize> = used(&maps).into_iter().take(SHOWN).collect();
            let wanted = maps.iter().enumerate().flat_map(|(k, map)| {
                let count = if shown.contains(&k) { usize::MAX } else { 1 };
                let (_, places) = map.places();
                places.iter().map(|(_, place)| *place).take(count)
            });
            let mut by_image: BTreeMap<usize, Vec<Place>> = BTreeMap::new();
            for place in wanted {
                by_image.entry(place.image).or_default().push(place);
            }
            let mut pairs: BTreeMap<(usize, usize), [Image; 2]> = BTreeMap::new();
            for (image, places) in by_image {
                let coded = again(image)?;
                let network = coded.stack(run, layer)?;
                let pixels = picture::between(&coded.pixels()?, coded.range);
                for place in places {
                    pairs.insert((place.map, image), project(&network, &pixels, place)?);
                }
            }
            let found = |k: usize| -> Vec<&[Image; 2]> {
                let (_, places) = maps[k].places();
                places
                    .iter()
                    .filter_map(|(_, place)| pairs.get(&(k, place.image)))
                    .collect()
            };
            let field = pairs.values().fold([1, 1], |[h, w], [patch, _]| {
                [h.max(patch.height), w.max(patch.width)]
            });
            let number = layer + 1;
            if run.network.part(0..layer + 1).is_pooled() {
                let tiles: Vec<Tile> = (0..maps.len())
                    .filter_map(|k| {
                        let [_, projection] = found(k).first()?;
                        let limit = Some(picture::limit([projection]));
                        Some(Tile::new(signed(projection, limit), k.to_string()))
                    })
                    .collect();
                let options = MosaicOptions {
                    title: format!(
                        "Layer {number}: {} of {} maps, each by its strongest activation through its own \
                         switches",
                        tiles.len(),
                        maps.len()
                    ),
                    zoom: Some(match field[0] {
                        1 => 1,
                        rows => (96 / rows).max(1),
                    }),
                    ..MosaicOptions::default()
                };
                if !tiles.is_empty() {
                    let picture = picture::mosaic(&tiles, &options)?;
                    gallery.save(&format!("filters-layer{number}.png"), &picture)?;
                }
            }
            let tiles: Vec<Tile> = shown
                .iter()
                .map(|&k| Tile::new(picture::pairs(&found(k), field), format!("map {k}")))
                .collect();
            if tiles.is_empty() {
                continue;
            }
            let options = MosaicOptions {
                title: format!(
                    "Layer {number}: the strongest activations of {} maps, projected alone, and what was \
                     seen there",
                    tiles.len()
                ),
                zoom: Some(1),
                ..MosaicOptions::default()
            };
            let picture = picture::mosaic(&tiles, &options)?;
            gallery.save(&format!("parts-layer{number}.png"), &picture)?;
        }
        Ok(())
    }
}

/// The strongest of `sign * values`, as index and magnitude.
fn strongest(values: &[f32], sign: f32) -> Option<(usize, f32)> {
    let signed = values.iter().map(|v| sign * v).enumerate();
    let most = signed.max_by(|a, b| a.1.total_cmp(&b.1));
    most.filter(|(_, magnitude)| *magnitude > 0.0)
}

/// The patch of the image that an activation reaches, and the activation alone projected into it.
fn project(network: &Network, pixels: &Image, place: Place) -> Result<[Image; 2]> {
    let image = [1, 1, pixels.height, pixels.width];
    let shape @ [_, _, height, width] = network.maps_shape(image);
    let device = network.top().filters.val().device();
    let at = place.map * height * width + place.at;
    let alone = alone(shape, at, place.value, &device);
    let projection = to_image(&network.project(alone), 0)?;
    let field = network.reach(
        [place.at / width, place.at % width],
        [pixels.height, pixels.width],
    );
    let (corner, size) = (
        field.clone().map(|side| side.start),
        field.map(|side| side.len()),
    );
    Ok([pixels, &projection].map(|image| resize::crop(image, corner, size)))
}
