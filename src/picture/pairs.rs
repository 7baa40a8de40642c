//! Patches beside the projections of what was seen in them.

use super::colour::mean;
use super::{limit, symmetric, wave};
use crate::data::{Image, resize};

/// Height and width of the curves of a signal, in pixels.
const CURVES: [usize; 2] = [48, 96];

/// Nine by nine: see [`pairs_in_rows`].
pub fn pairs(pairs: &[&[Image; 2]], field: [usize; 2]) -> Image {
    pairs_in_rows(pairs, field, 3, 96)
}

/// Pairs of a patch and the projection of what was seen in it: projections to the left, patches to the
/// right, `row` of them in each, scaled down together where their `field`, height and width, is larger than
/// `side`. Of other than one or three channels the mean is shown, of signals curves.
pub fn pairs_in_rows(pairs: &[&[Image; 2]], field: [usize; 2], row: usize, side: usize) -> Image {
    const GAP: usize = 2;
    // Between projections and patches, and to the next map.
    const MARGIN: usize = 8;
    let longest = field[0].max(field[1]).max(1);
    let shrink = (side as f64 / longest as f64).min(1.0);
    let is_signal = field[0] == 1;
    let cell = match is_signal {
        true => CURVES,
        false => field.map(|side| ((side as f64 * shrink).round() as usize).max(1)),
    };
    let rows = pairs.len().div_ceil(row).max(1);
    let step = cell.map(|side| side + GAP);
    let half = row * step[1] + MARGIN;
    let mut sheet = Image::zeros(3, rows * step[0] - GAP, 2 * half + MARGIN);
    sheet.values.fill(1.0);
    for (k, [patch, projection]) in pairs.iter().enumerate() {
        let most = limit([projection]);
        let (shown, patch) = match is_signal {
            true => (wave(projection, [-most, most]), wave(patch, [0.0, 1.0])),
            false => (symmetric(projection, Some(most)), patch.clone()),
        };
        for (side, image) in [(0, &shown), (half, &patch)] {
            let fitted = |n: usize, most: usize| match is_signal {
                true => most,
                false => ((n as f64 * shrink).round() as usize).clamp(1, most),
            };
            let [height, width] = [fitted(image.height, cell[0]), fitted(image.width, cell[1])];
            let mut small = resize::resize(image, height, width);
            if !matches!(small.channels, 1 | 3) {
                small = mean(&small);
            }
            let corner = [k / row * step[0], side + k % row * step[1]];
            resize::paste(&mut sheet, &small, corner);
        }
    }
    sheet
}
