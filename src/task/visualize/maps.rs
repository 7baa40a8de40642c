//! The maps of one image, and what each adds to it.

use burn::tensor::Tensor;

use super::coded::Coded;
use super::gallery::Gallery;
use crate::data::Image;
use crate::error::Result;
use crate::model::Network;
use crate::picture::{MosaicOptions, Tile, diverging, mosaic, peak, symmetric};
use crate::run::{Run, to_image};

/// Maps shown, and how many of them side by side.
const SHOWN: usize = 12;
const COLUMNS: usize = 6;
/// Tiles are brought near this side, in pixels.
const SIDE: usize = 200;

/// Draws `maps-layerN.png` for each layer that `coded` has maps of.
pub(super) fn draw(run: &Run, coded: &Coded, gallery: &mut Gallery) -> Result<()> {
    for (layer, codes) in &coded.codes {
        let network = run.network.part(0..layer + 1);
        let picture = sheet(&network, coded, codes)?;
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
        .map(|&k| contribution(network, codes, k))
        .collect::<Result<_>>()?;
    let sum = to_image(&network.synthesize(codes.clone()), 0)?;

    let limit = peak([&coded.prepared]);
    let largest_added = peak(&adds);
    let side = maps.height.max(maps.width);
    let shrink = side.div_ceil(2 * SIDE);
    let tile = |image: Image, caption: &str| Tile::new(mean_of_blocks(&image, shrink), caption);
    let mut in_front = vec![
        (
            tile(coded.pixels()?, "image"),
            tile(coded.undo.invert(&sum)?, "from all maps"),
        ),
        (
            tile(symmetric(&coded.prepared, Some(limit)), "prepared"),
            tile(symmetric(&sum, Some(limit)), "from all maps"),
        ),
    ]
    .into_iter();
    let paper = Image {
        values: vec![1.0],
        ..Image::zeros(1, 1, 1)
    };
    let mut tiles = Vec::new();
    for (maps_shown, adds) in strongest.chunks(COLUMNS).zip(adds.chunks(COLUMNS)) {
        let Some((above, below)) = in_front.next() else {
            break;
        };
        tiles.push(above);
        for &k in maps_shown {
            let map = strongest_of_blocks(&maps, k, shrink);
            let share = 100.0 * strength[k] / all.max(f64::MIN_POSITIVE);
            tiles.push(Tile::new(
                diverging(&map, None),
                format!("map {k}: {share:.1} %"),
            ));
        }
        let missing = COLUMNS - maps_shown.len();
        let blank = || Tile::from(paper.clone());
        tiles.extend((0..missing).map(|_| blank()));
        tiles.push(below);
        for added in adds {
            tiles.push(tile(symmetric(added, Some(largest_added)), "adds"));
        }
        tiles.extend((0..missing).map(|_| blank()));
    }
    let options = MosaicOptions {
        title: format!(
            "{}, layer {}: its strongest maps (share of all magnitudes) and what each adds",
            coded.name,
            network.layers.len()
        ),
        columns: Some(COLUMNS + 1),
        zoom: Some((SIDE * shrink / side).max(1)),
    };
    mosaic(&tiles, &options)
}

/// The sum of magnitudes of each map: what the sparsity term makes it pay for, with p = 1.
pub(super) fn strengths(maps: &Image) -> Vec<f64> {
    (0..maps.channels)
        .map(|k| maps.plane(k).iter().map(|v| f64::from(v.abs())).sum())
        .collect()
}

/// The indices of `strength`, from the strongest on.
pub(super) fn ranked(strength: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..strength.len()).collect();
    order.sort_by(|&a, &b| strength[b].total_cmp(&strength[a]));
    order
}

/// What map `k` alone adds to the prepared image, `[C, H, W]`: its projection, with the scales
/// between the layers undone. Shifts are no map's own.
fn contribution(network: &Network, codes: &Tensor<4>, k: usize) -> Result<Image> {
    let [n, _, h, w] = codes.dims();
    let place = [0..n, k..k + 1, 0..h, 0..w];
    let alone = codes
        .zeros_like()
        .slice_assign(place.clone(), codes.clone().slice(place));
    let below = network.rescaling.len() - 1;
    let scale: f64 = network.rescaling[..below]
        .iter()
        .flatten()
        .map(|lump| lump.scale)
        .product();
    to_image(&(network.project(alone) / scale), 0)
}

/// Each `size x size` block as its mean; blocks at the far borders may be smaller.
fn mean_of_blocks(image: &Image, size: usize) -> Image {
    blocks(image, size, |values| {
        values.iter().sum::<f32>() / values.len() as f32
    })
}

/// Each block of plane `k` as its value of largest magnitude: a lone unit must not fade.
fn strongest_of_blocks(maps: &Image, k: usize, size: usize) -> Image {
    let map = Image {
        channels: 1,
        values: maps.plane(k).to_vec(),
        ..*maps
    };
    blocks(&map, size, |values| {
        let larger = |a: f32, &b: &f32| if b.abs() > a.abs() { b } else { a };
        values.iter().fold(0.0, larger)
    })
}

fn blocks(image: &Image, size: usize, value: impl Fn(&[f32]) -> f32) -> Image {
    let [channels, height, width] = image.shape();
    let mut small = Image::zeros(channels, height.div_ceil(size), width.div_ceil(size));
    let columns = small.width;
    let mut block = Vec::with_capacity(size * size);
    for c in 0..channels {
        let plane = image.plane(c);
        for (at, out) in small.plane_mut(c).iter_mut().enumerate() {
            let (top, left) = (at / columns * size, at % columns * size);
            block.clear();
            for row in plane.chunks(width).skip(top).take(size) {
                block.extend_from_slice(&row[left..(left + size).min(width)]);
            }
            *out = value(&block);
        }
    }
    small
}
