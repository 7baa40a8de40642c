//! The maps of one image, and what each adds to it; of maps over pooled ones, what single elements add.

use burn::tensor::Tensor;

use super::coded::Coded;
use super::display::{self, shrunk, signed};
use super::gallery::Gallery;
use crate::backend;
use crate::data::Image;
use crate::error::Result;
use crate::model::{Network, alone, strongest};
use crate::picture::{MosaicOptions, Tile, drawable, limit, mosaic};
use crate::run::{Run, to_image};

/// Maps shown, and how many of them side by side.
const SHOWN: usize = 12;
const COLUMNS: usize = 6;
/// Rows of single activations.
const ROWS: usize = 4;

/// Draws `maps-layerN.png` for each layer that `coded` has maps of.
pub(super) fn draw(run: &Run, coded: &Coded, gallery: &mut Gallery) -> Result<()> {
    for (layer, codes) in &coded.codes {
        let network = coded.stack(run, *layer)?;
        let picture = match network.is_pooled() {
            true => sweep(&network, coded, codes)?,
            false => sheet(&network, coded, codes)?,
        };
        gallery.save(&format!("maps-layer{}.png", layer + 1), &picture)?;
    }
    Ok(())
}

/// Pairs of rows: maps from the strongest on, and under each what it adds. The column in front
/// holds the image over the sum of all maps.
fn sheet(network: &Network, coded: &Coded, codes: &Tensor<4>) -> Result<Image> {
    let maps = to_image(codes, 0)?;
    let strength = strengths(&maps);
    let all: f64 = strength.iter().sum();
    let strongest: Vec<usize> = ranked(&strength).into_iter().take(SHOWN).collect();
    let adds: Vec<Image> = strongest
        .iter()
        .map(|&k| Ok(shrunk(&contribution(network, codes, k)?)))
        .collect::<Result<_>>()?;
    let sum = to_image(&network.synthesize(codes.clone()), 0)?;

    // Shrinking averages much of a prepared image away, so its brightness is set after that.
    let prepared = shrunk(&coded.prepared);
    let shown = Some(limit([&prepared]));
    let pixels = |image: &Image| display::pixels(&shrunk(image), coded.range);
    let in_front = [
        [
            Tile::new(pixels(&coded.pixels()?), "image"),
            Tile::new(pixels(&coded.undo.invert(&sum)?), "from all maps"),
        ],
        [
            Tile::new(signed(&prepared, shown), "prepared"),
            Tile::new(signed(&shrunk(&sum), shown), "sum of all maps"),
        ],
    ];
    let strongest_added = Some(limit(&adds));
    let mut pairs = strongest.iter().zip(&adds).map(|(&k, added)| {
        let share = 100.0 * strength[k] / all.max(f64::MIN_POSITIVE);
        let map = display::enlarged(display::shrunk_map(&maps, k), &drawable(&prepared));
        [
            Tile::new(display::map(&map), format!("map {k}: {share:.1} %")),
            Tile::new(signed(added, strongest_added), "adds"),
        ]
    });
    let paper = Tile::from(display::paper());
    let mut tiles = Vec::new();
    for front in in_front.into_iter().take(strongest.len().div_ceil(COLUMNS)) {
        let mut columns = vec![front];
        columns.extend(pairs.by_ref().take(COLUMNS));
        columns.resize(1 + COLUMNS, [paper.clone(), paper.clone()]);
        for row in 0..2 {
            tiles.extend(columns.iter().map(|pair| pair[row].clone()));
        }
    }
    let title = format!(
        "{}, layer {}: its strongest maps ({}share of all magnitudes) and what each adds",
        coded.name,
        network.layers().len(),
        if maps.height > 1 {
            "red +, blue -; "
        } else {
            ""
        }
    );
    arranged(&tiles, title)
}

/// The strongest elements of all maps, each alone projected through the switches of the image: what it stands for in
/// this image. The column in front holds the image, and sums of the projections.
fn sweep(network: &Network, coded: &Coded, codes: &Tensor<4>) -> Result<Image> {
    let values = backend::read(codes)?;
    let used = values.iter().filter(|v| **v != 0.0).count();
    let shown = strongest(&values, used.min(ROWS * COLUMNS));
    let added = shown.iter().map(|&at| {
        let alone = alone(codes.dims(), at, values[at], &codes.device());
        added(network, alone)
    });
    let added: Vec<Image> = added.collect::<Result<_>>()?;
    let [c, h, w] = coded.prepared.shape();
    let mut sum = Image::zeros(c, h, w);
    for one in &added {
        let both = sum.values.iter_mut().zip(&one.values);
        both.for_each(|(sum, one)| *sum += one);
    }
    let all = to_image(&network.synthesize(codes.clone()), 0)?;
    let prepared = shrunk(&coded.prepared);
    let seen = Some(limit([&prepared]));
    let of = |image: &Image, count: usize| {
        let label = format!("sum of {count}: {:.1} dB", coded.snr(image));
        Tile::new(signed(&shrunk(image), seen), label)
    };
    let front = [
        Tile::new(
            display::pixels(&shrunk(&coded.pixels()?), coded.range),
            "image",
        ),
        Tile::new(signed(&prepared, seen), "prepared"),
        of(&sum, shown.len()),
        of(&all, used),
    ];
    let added: Vec<Image> = added.iter().map(shrunk).collect();
    let strongest_added = Some(limit(&added));
    let plane = codes.dims()[2] * codes.dims()[3];
    let mut each = shown.iter().zip(&added).map(|(&at, added)| {
        let label = format!("map {}: {:.2}", at / plane, values[at]);
        Tile::new(signed(added, strongest_added), label)
    });
    let paper = Tile::from(display::paper());
    let mut tiles = Vec::new();
    for front in front {
        tiles.push(front);
        tiles.extend((0..COLUMNS).map(|_| each.next().unwrap_or(paper.clone())));
    }
    let title = format!(
        "{}, layer {}: the {} strongest of {used} activations, each projected alone through the switches of the \
         image, their sum, and that of all",
        coded.name,
        network.layers().len(),
        shown.len(),
    );
    arranged(&tiles, title)
}

/// Rows of a tile in front and those of [`COLUMNS`] maps or activations.
fn arranged(tiles: &[Tile], title: String) -> Result<Image> {
    let options = MosaicOptions {
        title,
        columns: Some(1 + COLUMNS),
        zoom: tiles
            .iter()
            .map(|tile| display::zoom(&drawable(&tile.image)))
            .min(),
    };
    mosaic(tiles, &options)
}

/// The sum of magnitudes of each map: what the sparsity term makes it pay for, with p = 1.
pub(super) fn strengths(maps: &Image) -> Vec<f64> {
    (0..maps.channels)
        .map(|k| maps.plane(k).iter().map(|v| f64::from(v.abs())).sum())
        .collect()
}

/// The indices of `strength`, from the strongest on.
fn ranked(strength: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..strength.len()).collect();
    order.sort_by(|&a, &b| strength[b].total_cmp(&strength[a]));
    order
}

/// What map `k` alone adds to the prepared image, `[C, H, W]`.
fn contribution(network: &Network, codes: &Tensor<4>, k: usize) -> Result<Image> {
    let [n, _, h, w] = codes.dims();
    let place = [0..n, k..k + 1, 0..h, 0..w];
    let alone = codes
        .zeros_like()
        .slice_assign(place.clone(), codes.clone().slice(place));
    added(network, alone)
}

/// What a part of the maps adds: its projection, with the scales between the layers undone. Shifts are no map's own.
fn added(network: &Network, part: Tensor<4>) -> Result<Image> {
    let below = &network.layers()[..network.layers().len() - 1];
    let scale: f64 = below
        .iter()
        .filter_map(|layer| layer.rescaling)
        .map(|rescaling| rescaling.scale)
        .product();
    to_image(&(network.project(part) / scale), 0)
}
