//! Maps of any boundary as those of 'valid' convolutions, on which the products of [`crate::conv::patch`]
//! are defined: elements have their places there, in the first rows and columns only where those are free.

use std::borrow::Cow;

use num_traits::Float;

use crate::conv::cpu::Sizes;
use crate::conv::patch::Place;
use crate::model::Boundary;

/// The boundary of maps for images and filters of a size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Border {
    pub boundary: Boundary,
    sizes: Sizes,
}

impl Border {
    pub fn new(boundary: Boundary, sizes: Sizes) -> Self {
        Self { boundary, sizes }
    }

    /// Height and width of the maps.
    pub fn maps(&self) -> [usize; 2] {
        let Sizes { image, filter, .. } = self.sizes;
        [0, 1].map(|d| self.boundary.maps(image[d], filter[d]))
    }

    /// The place, among those of 'valid' convolutions, of the first element of the maps.
    fn first(&self) -> [usize; 2] {
        match self.boundary {
            Boundary::Valid => [0; 2],
            Boundary::Circular | Boundary::Zero => self.sizes.filter.map(|taps| taps - 1),
        }
    }

    /// Row and column in the maps of the element at a place.
    pub fn at(&self, place: Place) -> [usize; 2] {
        let [row, column] = self.first();
        [place.row as usize - row, place.column as usize - column]
    }

    /// The first row whose elements touch the first rows of the image again.
    pub fn seam(&self) -> Option<usize> {
        (self.boundary == Boundary::Circular).then_some(self.sizes.image[0])
    }

    /// Whether the atom of a place sticks out and comes in again on the other side.
    #[inline(always)]
    pub fn goes_round(&self, place: Place) -> bool {
        let [height, width] = self.sizes.image;
        let sticks_out = place.row as usize >= height || place.column as usize >= width;
        sticks_out && self.boundary == Boundary::Circular
    }

    /// The places of what comes in again.
    #[inline(always)]
    pub fn copies(&self, place: Place) -> [Option<Place>; 3] {
        let [height, width] = self.sizes.image.map(|side| side as u32);
        let row = place.row.checked_sub(height);
        let column = place.column.checked_sub(width);
        let below = row.map(|row| Place { row, ..place });
        let beside = |place: Place| column.map(|column| Place { column, ..place });
        [below, beside(place), below.and_then(beside)]
    }

    /// A gradient in the elements of 'valid' convolutions, as it is in those that there are: what copies
    /// have goes to their elements, and where there are none it is zero.
    pub fn fold<T: Float>(&self, gradient: &mut [T]) {
        let [height, width] = self.sizes.map();
        let [top, left] = self.first();
        let [h, w] = self.sizes.image;
        if self.boundary == Boundary::Valid {
            return;
        }
        for map in gradient.chunks_exact_mut(height * width) {
            if self.boundary == Boundary::Circular {
                for row in map.chunks_exact_mut(width) {
                    for j in 0..left {
                        row[w + j] = row[w + j] + row[j];
                    }
                }
                let (first, rest) = map.split_at_mut(top * width);
                let last = &mut rest[(h - top) * width..];
                for (sum, &copy) in last.iter_mut().zip(&*first) {
                    *sum = *sum + copy;
                }
            }
            let [maps_h, maps_w] = self.maps();
            for (i, row) in map.chunks_exact_mut(width).enumerate() {
                if !(top..top + maps_h).contains(&i) {
                    row.fill(T::zero());
                }
                row[..left].fill(T::zero());
                row[left + maps_w..].fill(T::zero());
            }
        }
    }

    /// Maps with zeros at the places of 'valid' convolutions that they lack.
    pub fn embed<'a, T: Float>(&self, maps: &'a [T]) -> Cow<'a, [T]> {
        if self.boundary == Boundary::Valid {
            return Cow::Borrowed(maps);
        }
        let [height, width] = self.sizes.map();
        let ([top, left], [h, w]) = (self.first(), self.maps());
        let mut all = vec![T::zero(); maps.len() / (h * w) * height * width];
        let pairs = all
            .chunks_exact_mut(height * width)
            .zip(maps.chunks_exact(h * w));
        for (to, from) in pairs {
            for (to, from) in to[top * width..]
                .chunks_mut(width)
                .zip(from.chunks_exact(w))
            {
                to[left..left + w].copy_from_slice(from);
            }
        }
        Cow::Owned(all)
    }
}
