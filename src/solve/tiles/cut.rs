//! The maps along one axis, cut into tiles in three ways.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::model::Boundary;

/// The ways in which the maps are cut.
pub(super) const TILINGS: usize = 3;

/// Rows or columns of the maps, those that they touch of the image, and where they are cut.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub boundary: Boundary,
    /// Of the image, and of the maps.
    pub pixels: usize,
    pub maps: usize,
    /// An element touches so many pixels more than one.
    pub reach: usize,
    /// The tiles of each tiling, and in which of them each row lies.
    pub tilings: [Vec<Span>; TILINGS],
    tile_of: [Vec<u32>; TILINGS],
}

/// Neighbouring rows or columns of the maps; of a circular boundary they may go on at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub len: usize,
}

impl Axis {
    /// Tiles of about `tile`. The second and the third tiling are the first moved by a third and two thirds of a tile:
    /// where borders of two of them cross, a tile of the other has its inside. No tile, those cut off at the ends
    /// included, is smaller than the reach: two with a third between them touch nothing in common.
    pub fn new(boundary: Boundary, pixels: usize, taps: usize, tile: usize) -> Result<Self> {
        let (maps, reach) = (boundary.maps(pixels, taps), taps - 1);
        let least = check_size(tile, taps)?;
        // What goes round has an end nowhere, and colours its tiles in turn.
        let goes_round = boundary == Boundary::Circular && reach > 0;
        let mut count = maps.div_ceil(tile).min(maps / least).max(1);
        if goes_round && 2 * least > maps {
            return Err(Error::Input(format!(
                "{pixels} pixels that go round are too few to be cut into tiles for filters of {taps}; code the \
                 image as a whole"
            )));
        }
        if goes_round && count % 2 == 1 {
            count = match (count + 1) * least <= maps {
                true => count + 1,
                false => count - 1,
            };
        }
        let cut = |k: usize| k * maps / count;
        let tilings = [0, 1, 2].map(|tiling: usize| {
            let moved = |k: usize| cut(k) + tiling * (cut(k + 1) - cut(k)) / TILINGS;
            let mut starts: Vec<_> = (0..count).map(moved).collect();
            if count == 1 {
                starts = vec![0];
            } else if tiling > 0 && !goes_round {
                starts.insert(0, 0);
            }
            spans(&starts, maps)
        });
        let tile_of = tilings.each_ref().map(|spans| {
            let mut tile_of = vec![0; maps];
            for (tile, span) in (0..).zip(spans) {
                for place in span.start..span.start + span.len {
                    tile_of[place % maps] = tile;
                }
            }
            tile_of
        });
        Ok(Self {
            boundary,
            pixels,
            maps,
            reach,
            tilings,
            tile_of,
        })
    }

    /// The tile of a tiling that a row or column lies in.
    pub fn tile_of(&self, tiling: usize, place: usize) -> usize {
        self.tile_of[tiling][place] as usize
    }

    /// Whether what sticks out comes in again.
    pub fn goes_round(&self) -> bool {
        self.boundary == Boundary::Circular && self.reach > 0
    }

    /// The first pixel that an element touches.
    pub fn first_pixel(&self, place: isize) -> isize {
        place + self.boundary.first(self.reach + 1)
    }

    /// Where in a patch that begins at pixel `first` the pixels are that belong to a tile: those of all tiles of a
    /// tiling are the image.
    pub fn own(&self, span: Span) -> Range<usize> {
        let start = match self.boundary {
            Boundary::Valid => self.reach,
            _ => 0,
        };
        let is_last = span.start + span.len == self.maps;
        let end = match self.boundary {
            Boundary::Valid => span.len.min(self.pixels - span.start),
            Boundary::Zero if is_last => span.len + self.reach,
            _ => span.len,
        };
        start..start + end
    }

    /// The parts of `len` pixels from `first` on that are of the image: where they begin in the patch, and which
    /// they are.
    pub fn inside(&self, first: isize, len: usize) -> Vec<(usize, Range<usize>)> {
        let pixels = self.pixels as isize;
        if !self.goes_round() {
            let from = first.clamp(0, pixels);
            let to = (first + len as isize).clamp(from, pixels);
            return vec![((from - first) as usize, from as usize..to as usize)];
        }
        let (mut parts, mut at) = (Vec::new(), 0);
        while at < len {
            let from = (first + at as isize).rem_euclid(pixels) as usize;
            let to = (from + len - at).min(self.pixels);
            parts.push((at, from..to));
            at += to - from;
        }
        parts
    }

    /// Where in a window of `len` rows from `first` on a row lies, if it does.
    pub fn place_in(&self, first: isize, len: usize, row: usize) -> Option<usize> {
        let at = row as isize - first;
        let at = match self.goes_round() {
            true => at.rem_euclid(self.maps as isize),
            false => at,
        };
        usize::try_from(at).ok().filter(|&at| at < len)
    }

    /// Whether any row of a tile lies in a window.
    pub fn meets(&self, first: isize, len: usize, span: Span) -> bool {
        (span.start..span.start + span.len)
            .any(|row| self.place_in(first, len, row % self.maps).is_some())
    }
}

/// The least size of tiles, where they have it.
///
/// # Errors
/// [`Error::Config`].
pub(super) fn check_size(tile: usize, taps: usize) -> Result<usize> {
    let least = TILINGS * taps;
    match tile < least {
        false => Ok(least),
        true => Err(Error::Config(format!(
            "tiles of {tile} are too small for filters of {taps}; give at least {least}"
        ))),
    }
}

fn spans(starts: &[usize], maps: usize) -> Vec<Span> {
    let next = starts.iter().skip(1).copied().chain([starts[0] + maps]);
    let pairs = starts.iter().zip(next);
    pairs
        .map(|(&start, next)| Span {
            start,
            len: next - start,
        })
        .collect()
}
