//! Sample scenes, drawn by a seeded generator: images to learn from without any to download.
//!
//! A seed gives the same picture on every machine. The scenes have what a network of small filters
//! learns from: edges in all directions, curves, corners, junctions and shading.

mod bunch;
mod facade;
mod fruit;
mod painter;
mod place;
mod solid;
mod still_life;
mod vessel;
mod wall;

use rayon::prelude::*;

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

/// Picture `index` of the sample set that `seed` stands for: square, still lifes and facades in
/// turn.
pub fn sample(index: usize, size: usize, seed: u64) -> Image {
    let scene = [Scene::StillLife, Scene::Facade][index % 2];
    draw(scene, (size, size), seed, index / 2)
}

/// A training set of `count` square pictures with sides of `size` pixels, still lifes and facades
/// in turn.
pub fn sample_set(count: usize, size: usize, seed: u64) -> Vec<Image> {
    (0..count)
        .into_par_iter()
        .map(|index| sample(index, size, seed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENES: [Scene; 2] = [Scene::StillLife, Scene::Facade];

    /// FNV-1a over the pixels as bytes, as a picture file would hold them.
    fn fingerprint(image: &Image) -> u64 {
        image.values.iter().fold(0xcbf2_9ce4_8422_2325, |hash, v| {
            (hash ^ (v * 255.0).round() as u64).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    fn mean_difference(a: &Image, b: &Image) -> f32 {
        let sum: f32 = a
            .values
            .iter()
            .zip(&b.values)
            .map(|(x, y)| (x - y).abs())
            .sum();
        sum / a.values.len() as f32
    }

    #[test]
    fn a_seed_gives_the_same_picture_everywhere() {
        let prints = SCENES.map(|scene| fingerprint(&draw(scene, (24, 32), 7, 3)));
        assert_eq!(prints, [12226542136596035837, 7769668572978074045]);
    }

    #[test]
    fn another_seed_or_index_gives_another_picture() {
        for scene in SCENES {
            let first = draw(scene, (24, 24), 1, 0);
            assert_eq!(first, draw(scene, (24, 24), 1, 0));
            assert!(mean_difference(&first, &draw(scene, (24, 24), 1, 1)) > 0.05);
            assert!(mean_difference(&first, &draw(scene, (24, 24), 2, 0)) > 0.05);
        }
    }

    #[test]
    fn pixels_lie_in_range_and_pictures_have_contrast() {
        for scene in SCENES {
            for index in 0..6 {
                let image = draw(scene, (24, 24), 5, index);
                assert_eq!(image.shape(), [3, 24, 24]);
                assert!(image.values.iter().all(|v| (0.0..=1.0).contains(v)));
                let mean = image.values.iter().sum::<f32>() / 1728.0;
                let square = image.values.iter().map(|v| v * v).sum::<f32>() / 1728.0;
                let deviation = (square - mean * mean).sqrt();
                assert!(
                    (0.2..0.85).contains(&mean),
                    "{scene:?} {index}: mean {mean}"
                );
                assert!(deviation > 0.08, "{scene:?} {index}: deviation {deviation}");
            }
        }
    }

    #[test]
    fn a_finer_picture_shows_the_same() {
        for scene in SCENES {
            let coarse = draw(scene, (20, 20), 4, 2);
            let fine = draw(scene, (40, 40), 4, 2);
            let mut halved = Image::zeros(3, 20, 20);
            for (k, v) in halved.values.iter_mut().enumerate() {
                let (c, i, j) = (k / 400, 2 * (k / 20 % 20), 2 * (k % 20));
                let at = |a, b| fine.plane(c)[(i + a) * 40 + j + b];
                *v = (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4.0;
            }
            let difference = mean_difference(&coarse, &halved);
            assert!(difference < 0.03, "{scene:?}: {difference}");
        }
    }

    #[test]
    fn every_size_can_be_drawn() {
        for scene in SCENES {
            for size in [(0, 0), (0, 5), (1, 1), (2, 60), (60, 2)] {
                assert_eq!(draw(scene, size, 1, 1).shape(), [3, size.0, size.1]);
            }
        }
    }

    #[test]
    fn the_sample_set_takes_turns() {
        let set = sample_set(3, 10, 9);
        assert_eq!(set.len(), 3);
        assert_eq!(set[0], draw(Scene::StillLife, (10, 10), 9, 0));
        assert_eq!(set[1], draw(Scene::Facade, (10, 10), 9, 0));
        assert_eq!(set[2], draw(Scene::StillLife, (10, 10), 9, 1));
    }
}
