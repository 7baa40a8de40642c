//! The winners back to the pixels, and the pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::search::Seen;
use super::{Looked, Options, PAGE, Ready};
use crate::arrays::{self, Array, Bundle};
use crate::convnet::{Strongest, Winner, unravel};
use crate::data::Image;
use crate::error::Result;
use crate::picture::{self, MosaicOptions, Tile};
use crate::report::{Page, Results};
use crate::task::convnet::file_stem;
use crate::task::convnet::looking::spread;
use crate::task::{Callback, Event, goes_on};

/// Units that go back together.
const TOGETHER: usize = 24;
/// Patches are enlarged up to so many pixels.
const SIDE: usize = 64;

/// So many maps, spread evenly over those that are ever positive.
fn chosen(strongest: &Strongest, count: usize) -> Vec<usize> {
    let alive = |winners: &Vec<Winner>| winners.first().is_some_and(|first| first.value > 0.0);
    let maps = strongest.maps().iter().enumerate();
    let alive: Vec<usize> = maps
        .filter(|(_, winners)| alive(winners))
        .map(|(map, _)| map)
        .collect();
    spread(&alive, count)
}

/// A patch that a unit sees, and the projection into it.
type Pair = [Image; 2];

/// Projects the winners of the maps that are drawn, layer by layer and one picture after the other, and
/// draws them. Whether it came to the end.
pub(super) fn draw(
    options: &Options,
    ready: &Ready,
    looked: &[Looked],
    paths: &[PathBuf],
    seen: &Seen,
    results: &Results,
    callback: &mut dyn Callback<Event>,
) -> Result<bool> {
    let maps: Vec<Vec<usize>> = seen
        .layers
        .iter()
        .map(|strongest| chosen(strongest, options.maps))
        .collect();
    let wanted: Vec<_> = seen.layers.iter().zip(&maps).map(by_image).collect();
    let count = wanted.iter().map(BTreeMap::len).sum();
    let mut done = 0;
    let mut page = Page::new(&format!(
        "What the maps of {} see",
        options.source.model.display()
    ));
    page.words(&format!(
        "For each map its {} strongest places in {} pictures: projections by the rule {} beside the patches \
         that the units see.",
        options.places,
        seen.count(),
        options.walk.rule
    ));
    for (layer, one) in looked.iter().enumerate() {
        // Those of one layer at a time: patches and projections of all take gigabytes.
        let mut pairs = BTreeMap::new();
        let strongest = &seen.layers[layer];
        for (&image, units) in &wanted[layer] {
            project(
                options,
                ready,
                one,
                strongest,
                &paths[image],
                units,
                &mut pairs,
            )?;
            done += 1;
            if !goes_on(callback, "back to the pixels", done, count) {
                return Ok(false);
            }
        }
        let mut tiles = Vec::new();
        let mut bundle = Bundle::default();
        for &map in &maps[layer] {
            let ranks = 0..strongest.maps()[map].len();
            let found: Vec<&Pair> = ranks.filter_map(|rank| pairs.get(&(map, rank))).collect();
            let caption = match one.size {
                [1, 1] => ready.class(map),
                _ => format!("map {map}"),
            };
            tiles.push(Tile::new(picture::pairs(&found, one.field.size), caption));
            for (name, k) in [("patches", 0), ("projections", 1)] {
                let images: Vec<&Image> = found.iter().map(|pair| &pair[k]).collect();
                bundle
                    .arrays
                    .insert(format!("map{map:05}.{name}"), stacked(&images)?);
            }
        }
        let stem = file_stem(&one.layer.name);
        if tiles.is_empty() {
            continue;
        }
        let title = format!("{}: projections, and what the units see", one.layer.name);
        let mosaic = MosaicOptions {
            title,
            zoom: Some((SIDE / one.field.size[0].max(one.field.size[1])).max(1)),
            ..MosaicOptions::default()
        };
        let picture = picture::mosaic(&tiles, &mosaic)?;
        results.picture(format!("{stem}.png"), &picture)?;
        arrays::write(results.path(format!("{stem}.npz"))?, &bundle, true)?;
        page.section(&one.layer.name);
        let figures = tiles.iter().map(|tile| (&tile.image, tile.caption.clone()));
        page.figures(true, figures)?;
    }
    results.page(PAGE, &page)?;
    Ok(true)
}

/// The winners of the maps that are drawn, map and rank, by picture, so that each goes through the model
/// once.
fn by_image((strongest, maps): (&Strongest, &Vec<usize>)) -> BTreeMap<usize, Vec<(usize, usize)>> {
    let mut by_image: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for &map in maps {
        for (rank, winner) in strongest.maps()[map].iter().enumerate() {
            by_image.entry(winner.image).or_default().push((map, rank));
        }
    }
    by_image
}

/// Takes the wanted units of one layer in one picture back, and cuts out what each sees.
fn project(
    options: &Options,
    ready: &Ready,
    looked: &Looked,
    strongest: &Strongest,
    path: &Path,
    wanted: &[(usize, usize)],
    pairs: &mut BTreeMap<(usize, usize), Pair>,
) -> Result<()> {
    let picture = ready.picture(path)?;
    let tape = ready.net.record(ready.batch([&picture]))?;
    let value = looked.layer.value;
    let size = &ready.net.shape(value)[2..];
    for together in wanted.chunks(TOGETHER) {
        let starts = together.iter().map(|&(map, rank)| {
            let winner = strongest.maps()[map][rank];
            let place = [&[map], &unravel(winner.place, size)[..]].concat();
            (place, winner.value)
        });
        let starts: Vec<(Vec<usize>, f32)> = starts.collect();
        let rows = vec![0; starts.len()];
        let back = ready
            .net
            .project_units(&tape, value, &starts, &rows, &options.walk)?;
        for ((&key, (place, _)), back) in together.iter().zip(&starts).zip(back) {
            let projection = ready.preprocess.picture(&back);
            let pair = [&picture, &projection].map(|image| ready.patch(image, value, place));
            pairs.insert(key, pair);
        }
    }
    Ok(())
}

/// Images of different sizes in one array, zeros where a border cut a patch off.
fn stacked(images: &[&Image]) -> Result<Array> {
    let channels = images.first().map_or(0, |image| image.channels);
    let height = images.iter().map(|image| image.height).max().unwrap_or(0);
    let width = images.iter().map(|image| image.width).max().unwrap_or(0);
    let mut values = vec![0.0; images.len() * channels * height * width];
    for (k, image) in images.iter().enumerate() {
        for c in 0..channels {
            for (row, line) in image.plane(c).chunks_exact(image.width).enumerate() {
                let at = ((k * channels + c) * height + row) * width;
                values[at..at + image.width].copy_from_slice(line);
            }
        }
    }
    Array::new(vec![images.len(), channels, height, width], values)
}
