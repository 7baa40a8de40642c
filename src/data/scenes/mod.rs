//! Sample scenes, drawn by a seeded generator: images to learn from without any to download.
//!
//! A seed gives the same picture on every machine. The scenes have what a network of small filters
//! learns from: edges in all directions, curves, corners, junctions and shading.

mod facade;
mod fruit;
mod painter;
mod solid;
mod still_life;
mod wall;

use super::Image;
use painter::{Canvas, Dice};

/// What a scene shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Fruit on a table.
    StillLife,
    /// The front of a house or of a row of houses.
    Facade,
}

/// Draws picture number `index` of the series that `seed` stands for: three channels of
/// `size = (height, width)` pixels in `[0, 1]`.
///
/// The composition is chosen in parts of the shorter side, so that another size of the same
/// proportions gives the same picture, coarser or finer.
pub fn draw(scene: Scene, size: (usize, usize), seed: u64, index: usize) -> Image {
    let (paint, kind): (fn(&mut Canvas, &mut Dice), u64) = match scene {
        Scene::StillLife => (still_life::paint, 0),
        Scene::Facade => (facade::paint, 1),
    };
    let mut canvas = Canvas::new(size.0, size.1);
    paint(&mut canvas, &mut Dice::new(seed, 2 * index as u64 + kind));
    canvas.finish()
}

/// A training set of `count` square pictures with sides of `size` pixels, still lifes and facades
/// in turn.
pub fn sample_set(count: usize, size: usize, seed: u64) -> Vec<Image> {
    (0..count)
        .map(|k| {
            let scene = [Scene::StillLife, Scene::Facade][k % 2];
            draw(scene, (size, size), seed, k / 2)
        })
        .collect()
}
