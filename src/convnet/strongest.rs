//! The strongest places of each map over any number of images: only those are kept.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// A unit that a map was strong at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Winner {
    /// Its activation.
    pub value: f32,
    /// Which image.
    pub image: usize,
    /// Where in the map, in row-major order.
    pub place: usize,
}

impl Winner {
    /// The stronger first; of equal ones that of the earlier image, and in it of the first place.
    fn order(&self, other: &Self) -> Ordering {
        let stronger = other.value.partial_cmp(&self.value);
        let stronger = stronger.unwrap_or(Ordering::Equal);
        stronger.then_with(|| (self.image, self.place).cmp(&(other.image, other.place)))
    }
}

/// How many places are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Of each map.
    pub places: usize,
    /// Of one image.
    pub each: usize,
    /// Rows and columns of units around a place within which no other of the same image counts.
    pub apart: [usize; 2],
}

/// The strongest places of the maps of one layer, strongest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strongest {
    keep: Keep,
    maps: Vec<Vec<Winner>>,
}

impl Strongest {
    /// Nothing seen yet of so many maps.
    pub fn new(maps: usize, keep: Keep) -> Self {
        Self {
            keep,
            maps: vec![Vec::new(); maps],
        }
    }

    /// Looks at the maps of an image, `[maps, rows, columns]`; images may come in any order, each once. Of equal
    /// activations the earlier image, and in it the first place, wins. What is not finite never does.
    ///
    /// # Panics
    /// If there are not as many maps as at the beginning.
    pub fn look(&mut self, image: usize, activations: &[f32], [rows, columns]: [usize; 2]) {
        let each = rows * columns;
        assert_eq!(
            activations.len(),
            self.maps.len() * each,
            "maps of another layer"
        );
        for (winners, map) in self.maps.iter_mut().zip(activations.chunks_exact(each)) {
            let mut chosen: Vec<usize> = Vec::new();
            for _ in 0..self.keep.each {
                let near = |place: usize| {
                    chosen.iter().any(|&other| {
                        (place / columns).abs_diff(other / columns) < self.keep.apart[0]
                            && (place % columns).abs_diff(other % columns) < self.keep.apart[1]
                    })
                };
                let Some((place, value)) = largest(map, near) else {
                    break;
                };
                let winner = Winner {
                    value,
                    image,
                    place,
                };
                let at = winners.partition_point(|other| other.order(&winner).is_lt());
                if at == self.keep.places {
                    break;
                }
                winners.insert(at, winner);
                winners.truncate(self.keep.places);
                chosen.push(place);
            }
        }
    }

    /// Takes in what was seen in other images, or in some of the same: what one that has seen all of them would
    /// keep.
    pub fn join(&mut self, other: &Self) {
        for (winners, others) in self.maps.iter_mut().zip(&other.maps) {
            winners.extend(others);
            winners.sort_by(Winner::order);
            // Seen twice, in other batches, a place may differ in the last bit.
            let mut places = HashSet::new();
            winners.retain(|winner| places.insert((winner.image, winner.place)));
            winners.truncate(self.keep.places);
        }
    }

    /// For each map its strongest places, strongest first.
    pub fn maps(&self) -> &[Vec<Winner>] {
        &self.maps
    }
}

/// The first largest of a map outside of what is `near` another.
fn largest(map: &[f32], near: impl Fn(usize) -> bool) -> Option<(usize, f32)> {
    let mut best: Option<(usize, f32)> = None;
    for (place, &value) in map.iter().enumerate() {
        let better = best.is_none_or(|(_, largest)| value > largest);
        if better && value.is_finite() && !near(place) {
            best = Some((place, value));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Keep = Keep {
        places: 3,
        each: 1,
        apart: [1, 1],
    };

    #[test]
    fn one_place_an_image_the_first_of_equals() {
        let mut strongest = Strongest::new(1, KEEP);
        strongest.look(0, &[1.0, 5.0, 5.0, 4.0], [2, 2]);
        strongest.look(1, &[5.0, 0.0, 0.0, 0.0], [2, 2]);
        strongest.look(2, &[0.0, 0.0, 9.0, 0.0], [2, 2]);
        strongest.look(3, &[f32::NAN, 2.0, 0.0, f32::INFINITY], [2, 2]);
        let found: Vec<_> = strongest.maps()[0]
            .iter()
            .map(|one| (one.image, one.place))
            .collect();
        assert_eq!(found, [(2, 2), (0, 1), (1, 0)]);
    }

    #[test]
    fn several_places_of_an_image_lie_apart() {
        let keep = Keep {
            places: 4,
            each: 2,
            apart: [1, 2],
        };
        let mut strongest = Strongest::new(1, keep);
        strongest.look(0, &[9.0, 8.0, 7.0, 1.0], [1, 4]);
        let found: Vec<_> = strongest.maps()[0].iter().map(|one| one.place).collect();
        assert_eq!(found, [0, 2]);
    }

    #[test]
    fn it_keeps_what_a_sort_of_everything_keeps() {
        let map = |image: usize| {
            let value = |place: usize| ((image * 37 + place * 11) % 23) as f32;
            (0..6).map(value).collect::<Vec<f32>>()
        };
        let looked = |images: &mut dyn Iterator<Item = usize>| {
            let mut strongest = Strongest::new(1, KEEP);
            images.for_each(|image| strongest.look(image, &map(image), [2, 3]));
            strongest
        };
        let strongest = looked(&mut (0..20));
        let best = |image| (map(image).into_iter().fold(0.0, f32::max), image);
        let mut all: Vec<_> = (0..20).map(best).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let found: Vec<_> = strongest.maps()[0]
            .iter()
            .map(|one| (one.value, one.image))
            .collect();
        assert_eq!(found, all[..3]);
        assert!(
            found[1].0 == found[2].0 || found[0].0 == found[1].0,
            "a tie"
        );
        // In any order, and in any parts, of which some may overlap.
        assert_eq!(looked(&mut (0..20).rev()), strongest);
        for parts in 1..5 {
            let mut joined = Strongest::new(1, KEEP);
            for part in (0..parts).rev() {
                let mut of_part = (0..20).filter(|image| image % parts == part || image % 7 == 0);
                joined.join(&looked(&mut of_part));
            }
            assert_eq!(joined, strongest, "{parts} parts");
        }
    }
}
