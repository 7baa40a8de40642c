//! The winners back to the pixels, and the pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::search::Progress;
use super::{Looked, Options, PAGE, Ready};
use crate::arrays::{self, Array, Bundle};
use crate::convnet::{Strongest, Winner, signals, unravel};
use crate::data::Image;
use crate::error::Result;
use crate::picture::{self, MosaicOptions, Tile};
use crate::report::{Page, Results};
use crate::task::convnet::file_stem;
use crate::task::convnet::looking::spread;
use crate::task::{Callback, Event};

/// Units that go back together.
const TOGETHER: usize = 24;

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

/// Projects the winners of the maps that are drawn, one picture after the other, and draws them. Whether
/// it came to the end.
pub(super) fn draw(
    options: &Options,
    ready: &Ready,
    looked: &[Looked],
    paths: &[PathBuf],
    progress: &Progress,
    results: &Results,
    callback: &mut dyn Callback<Event>,
) -> Result<bool> {
    // By picture, so that each goes through the model once: layer, map, rank.
    let mut by_image: BTreeMap<usize, Vec<(usize, usize, usize)>> = BTreeMap::new();
    let maps: Vec<Vec<usize>> = progress
        .layers
        .iter()
        .map(|strongest| chosen(strongest, options.maps))
        .collect();
    for (layer, strongest) in progress.layers.iter().enumerate() {
        for &map in &maps[layer] {
            for (rank, winner) in strongest.maps()[map].iter().enumerate() {
                by_image
                    .entry(winner.image)
                    .or_default()
                    .push((layer, map, rank));
            }
        }
    }
    let mut pairs: BTreeMap<(usize, usize, usize), Pair> = BTreeMap::new();
    let count = by_image.len();
    for (done, (image, wanted)) in by_image.into_iter().enumerate() {
        project(
            options,
            ready,
            looked,
            progress,
            &paths[image],
            &wanted,
            &mut pairs,
        )?;
        callback.event(Event::Item {
            name: "back to the pixels".into(),
            done: done + 1,
            of: count,
        });
        if callback.interrupted() {
            return Ok(false);
        }
    }
    let mut page = Page::new(&format!(
        "What the maps of {} see",
        options.source.model.display()
    ));
    page.words(&format!(
        "For each map its {} strongest places in {} pictures: projections by the rule {} beside the patches \
         that the units see.",
        options.places,
        progress.done - progress.skipped.len(),
        options.walk.rule
    ));
    for (layer, one) in looked.iter().enumerate() {
        let mut tiles = Vec::new();
        let mut bundle = Bundle::default();
        for &map in &maps[layer] {
            let ranks = 0..progress.layers[layer].maps()[map].len();
            let found: Vec<&Pair> = ranks
                .filter_map(|rank| pairs.get(&(layer, map, rank)))
                .collect();
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
            zoom: Some(1),
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

/// Takes the wanted units of one picture back, and cuts out what each sees.
fn project(
    options: &Options,
    ready: &Ready,
    looked: &[Looked],
    progress: &Progress,
    path: &Path,
    wanted: &[(usize, usize, usize)],
    pairs: &mut BTreeMap<(usize, usize, usize), Pair>,
) -> Result<()> {
    let picture = ready.picture(path)?;
    let tape = ready.net.record(ready.batch([&picture]))?;
    for (layer, one) in looked.iter().enumerate() {
        let of_layer: Vec<_> = wanted.iter().filter(|wanted| wanted.0 == layer).collect();
        let value = one.layer.value;
        let shape = &ready.net.shape(value)[1..];
        for together in of_layer.chunks(TOGETHER) {
            let starts: Vec<(Vec<usize>, f32)> = together
                .iter()
                .map(|&&(_, map, rank)| {
                    let winner = progress.layers[layer].maps()[map][rank];
                    let mut place = vec![map];
                    place.extend(unravel(winner.place, &shape[1..]));
                    (place, winner.value)
                })
                .collect();
            let rows = vec![0; starts.len()];
            let signal = signals(&starts, shape, tape.map(value));
            let back = ready
                .net
                .project(&tape, value, signal, &rows, &options.walk)
                .read()?;
            let pixels = back.len() / starts.len();
            for ((key, (place, _)), back) in
                together.iter().zip(&starts).zip(back.chunks_exact(pixels))
            {
                let projection = ready.preprocess.picture(back);
                let pair = [&picture, &projection].map(|image| ready.patch(image, value, place));
                pairs.insert(**key, pair);
            }
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
