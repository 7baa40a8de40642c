//! From values of any range to pixels in `[0, 1]`.
//!
//! A value that is not a number stays one, so that [`save_png`](super::save_png) reports it instead
//! of showing it as a colour.

use crate::data::Image;

/// The share of values that may be brighter than a sheet can show.
const OVER: f64 = 0.005;

/// Red, green and blue in `[0, 1]`.
pub(super) type Colour = [f32; 3];

/// The colour written `0xrrggbb`.
pub(super) const fn rgb(hex: u32) -> Colour {
    [
        (hex >> 16 & 255) as f32 / 255.0,
        (hex >> 8 & 255) as f32 / 255.0,
        (hex & 255) as f32 / 255.0,
    ]
}

/// Blue, white, red at even steps of lightness on both sides (ColorBrewer's RdBu, turned round).
const DIVERGING: [Colour; 11] = [
    rgb(0x053061),
    rgb(0x2166ac),
    rgb(0x4393c3),
    rgb(0x92c5de),
    rgb(0xd1e5f0),
    rgb(0xf7f7f7),
    rgb(0xfddbc7),
    rgb(0xf4a582),
    rgb(0xd6604d),
    rgb(0xb2182b),
    rgb(0x67001f),
];

/// Black, purple, orange, cream, evenly growing lighter (matplotlib's magma).
const HEAT: [Colour; 10] = [
    rgb(0x000004),
    rgb(0x180f3d),
    rgb(0x440f76),
    rgb(0x721f81),
    rgb(0x9e2f7f),
    rgb(0xcd4071),
    rgb(0xf1605d),
    rgb(0xfd9668),
    rgb(0xfeca8d),
    rgb(0xfcfdbf),
];

/// The largest finite magnitude in all of `images`, 0 where there is none: the limit to give to
/// [`symmetric`], [`diverging`] or [`heat`] when several images are to share one scale.
pub fn peak<'a>(images: impl IntoIterator<Item = &'a Image>) -> f32 {
    images
        .into_iter()
        .flat_map(|image| &image.values)
        .map(|v| v.abs())
        .filter(|v| v.is_finite())
        .fold(0.0, f32::max)
}

/// The magnitude that all but the largest few values of `images` stay below: a lone extreme value
/// must not turn the rest to grey.
pub fn limit<'a>(images: impl IntoIterator<Item = &'a Image>) -> f32 {
    let mut magnitudes: Vec<f32> = images
        .into_iter()
        .flat_map(|image| image.values.iter().map(|v| v.abs()))
        .collect();
    let over = (OVER * magnitudes.len() as f64) as usize;
    match magnitudes.len().checked_sub(over + 1) {
        Some(rank) => *magnitudes.select_nth_unstable_by(rank, f32::total_cmp).1,
        None => 0.0,
    }
}

/// 0 becomes mid grey, `-limit` black and `+limit` white; the channels share the scale, so that a
/// colour filter keeps its hue. Without a limit the image's own [`peak`] is taken.
pub fn symmetric(image: &Image, limit: Option<f32>) -> Image {
    let scale = reciprocal(limit.unwrap_or_else(|| peak([image])));
    image.map(|v| (0.5 + 0.5 * scale * v).clamp(0.0, 1.0))
}

/// The smallest and the largest finite value.
pub fn extremes(image: &Image) -> [f32; 2] {
    let finite = image.values.iter().filter(|v| v.is_finite());
    finite.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], &v| {
        [low.min(v), high.max(v)]
    })
}

/// The smallest value becomes 0 and the largest 1; an image of one value becomes mid grey.
pub fn unit_range(image: &Image) -> Image {
    let [low, high] = extremes(image);
    image.map(|v| match high > low {
        true => ((v - low) / (high - low)).clamp(0.0, 1.0),
        false => 0.5 + 0.0 * v,
    })
}

/// A signed map in colour: blue below 0, white at 0, red above, darkest at `±limit` (the [`peak`]
/// of the map where none is given). Several channels are averaged; the result has three.
pub fn diverging(map: &Image, limit: Option<f32>) -> Image {
    let mean = mean(map);
    let scale = reciprocal(limit.unwrap_or_else(|| peak([&mean])));
    paint(&mean, |v| ramp(&DIVERGING, 0.5 + 0.5 * scale * v))
}

/// The mean of the channels.
pub(super) fn mean(map: &Image) -> Image {
    reduce(map, |sum, v| sum + v, |sum| sum / map.channels as f32)
}

/// A magnitude in colour: black at 0, through purple and orange to cream at `limit` (the [`peak`]
/// of the map where none is given). Of several channels the Euclidean norm is shown; the result has
/// three.
pub fn heat(map: &Image, limit: Option<f32>) -> Image {
    let norm = reduce(map, |sum, v| sum + v * v, f32::sqrt);
    let scale = reciprocal(limit.unwrap_or_else(|| peak([&norm])));
    paint(&norm, |v| ramp(&HEAT, scale * v))
}

/// `1 / limit`, or 0 for a limit that cannot scale anything: an image of zeros stays at zero.
pub(super) fn reciprocal(limit: f32) -> f32 {
    match limit.is_normal() {
        true => limit.abs().recip(),
        false => 0.0,
    }
}

/// One plane: `fold` over the channels of each pixel, from 0, then `finish`.
fn reduce(map: &Image, fold: impl Fn(f32, f32) -> f32, finish: impl Fn(f32) -> f32) -> Image {
    let mut sum = Image::zeros(1, map.height, map.width);
    for c in 0..map.channels {
        for (s, &v) in sum.values.iter_mut().zip(map.plane(c)) {
            *s = fold(*s, v);
        }
    }
    sum.map(finish)
}

/// Three channels from the first one of `map`.
fn paint(map: &Image, colour: impl Fn(f32) -> Colour) -> Image {
    let colours: Vec<Colour> = map.values.iter().map(|&v| colour(v)).collect();
    let channel = |c: usize| colours.iter().map(move |colour| colour[c]);
    let values = (0..3).flat_map(channel);
    Image::new([3, map.height, map.width], values.collect())
}

/// The colour at `t` in `[0, 1]`, linear between the entries of `table`.
fn ramp(table: &[Colour], t: f32) -> Colour {
    let at = t.clamp(0.0, 1.0) * (table.len() - 1) as f32;
    let low = (at as usize).min(table.len() - 2);
    mix(table[low], table[low + 1], at - low as f32)
}

/// `from` at `t = 0`, `to` at `t = 1`.
pub(super) fn mix(from: Colour, to: Colour, t: f32) -> Colour {
    std::array::from_fn(|c| (1.0 - t) * from[c] + t * to[c])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[f32]) -> Image {
        Image::new([1, 1, values.len()], values.to_vec())
    }

    #[test]
    fn the_limit_overlooks_a_lone_extreme() {
        let mut image = Image::zeros(1, 1, 1000);
        image.values.fill(-2.0);
        image.values[7] = 100.0;
        assert_eq!(limit([&image]), 2.0);
        assert_eq!(limit([]), 0.0);
    }

    #[test]
    fn zero_is_mid_grey_and_the_peak_is_black_or_white() {
        let pixels = symmetric(&map(&[0.0, -2.0, 1.0]), None);
        assert_eq!(pixels.values, [0.5, 0.0, 0.75]);
        assert_eq!(symmetric(&map(&[1.0]), Some(4.0)).values, [0.625]);
    }

    #[test]
    fn images_without_range_are_mid_grey() {
        assert_eq!(symmetric(&map(&[0.0, 0.0]), None).values, [0.5, 0.5]);
        assert_eq!(unit_range(&map(&[7.0, 7.0])).values, [0.5, 0.5]);
    }

    #[test]
    fn unit_range_spans_zero_to_one() {
        assert_eq!(unit_range(&map(&[-1.0, 0.0, 3.0])).values, [0.0, 0.25, 1.0]);
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for picture in [
            symmetric(&map(&[f32::NAN, 1.0]), None),
            unit_range(&map(&[f32::NAN, 1.0])),
            diverging(&map(&[f32::NAN, 1.0]), None),
            heat(&map(&[f32::NAN, 1.0]), None),
        ] {
            assert!(picture.values[0].is_nan() && picture.values[1].is_finite());
        }
    }

    #[test]
    fn diverging_is_blue_white_red() {
        let picture = diverging(&map(&[-3.0, 0.0, 3.0]), None);
        assert_eq!(picture.shape(), [3, 1, 3]);
        let pixel = |i| -> Colour { std::array::from_fn(|c| picture.plane(c)[i]) };
        assert_eq!(pixel(0), rgb(0x053061));
        assert_eq!(pixel(1), rgb(0xf7f7f7));
        assert_eq!(pixel(2), rgb(0x67001f));
    }

    #[test]
    fn heat_grows_lighter_with_the_norm_over_channels() {
        let two = Image::new([2, 1, 3], vec![0.0, 1.0, -3.0, 0.0, 1.0, 4.0]);
        let picture = heat(&two, None);
        let light = |i| (0..3).map(|c| picture.plane(c)[i]).sum::<f32>();
        assert!(light(0) < light(1) && light(1) < light(2));
        assert_eq!(picture.plane(0)[2], rgb(0xfcfdbf)[0]);
    }

    #[test]
    fn the_peak_ignores_what_is_not_finite() {
        let images = [map(&[1.0, -4.0]), map(&[f32::INFINITY, f32::NAN])];
        assert_eq!(peak(&images), 4.0);
        assert_eq!(peak(&[]), 0.0);
    }
}
