//! Pictures of groups, a colour for each, and the legend that names them.

use super::canvas::{Canvas, INK};
use super::colour::{Colour, rgb};
use super::curves::PALETTE;
use super::layout::{GAP, MARGIN};
use super::text;
use crate::data::Image;

/// What has no group of its own.
const OTHERS: Colour = rgb(0xbbbbbb);
/// The height of a line of the legend, in pixels.
const LINE: f32 = 20.0;

/// How many groups have a colour of their own.
pub const GROUPS: usize = PALETTE.len();

/// A map of the numbers of groups in colour; grey from [`GROUPS`] on.
pub fn groups(numbers: &[usize], height: usize, width: usize) -> Image {
    let colour = |group: usize| PALETTE.get(group).copied().unwrap_or(OTHERS);
    let channel = |c: usize| numbers.iter().map(move |&group| colour(group)[c]);
    Image::new([3, height, width], (0..3).flat_map(channel).collect())
}

/// A picture over the names of its groups, from the first; the name after [`GROUPS`] is that of all others.
pub fn with_legend(picture: &Image, names: &[String]) -> Image {
    let sample = LINE as usize;
    let room = picture.width.saturating_sub(2 * MARGIN + 3 * sample) as f32;
    let mut places = Vec::new();
    let (mut x, mut line) = (MARGIN, 0);
    for name in names {
        let name = text::shorten(name, room, LINE);
        let wide = 3 * sample + text::width(&name, LINE) as usize;
        if x > MARGIN && x + wide > picture.width {
            (x, line) = (MARGIN, line + 1);
        }
        places.push((name, x, line));
        x += wide;
    }
    let step = sample + GAP;
    let lines = places.last().map_or(0, |(_, _, line)| line + 1);
    let height = picture.height + lines * step + MARGIN;
    let mut canvas = Canvas::new(picture.width, height);
    canvas.paste(picture, 0, 0, 1);
    for (group, (name, x, line)) in places.into_iter().enumerate() {
        let y = picture.height + line * step;
        let colour = PALETTE.get(group).copied().unwrap_or(OTHERS);
        canvas.fill(x, y, sample, sample, colour);
        canvas.text(&name, (x + sample + GAP) as i32, y as i32, LINE, INK);
    }
    canvas.into_image()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::canvas::marks;

    #[test]
    fn each_group_has_its_colour_and_name() {
        let map = groups(&[0, 1, GROUPS, GROUPS + 1], 2, 2);
        let pixel = |k: usize| -> Colour { std::array::from_fn(|c| map.plane(c)[k]) };
        assert_eq!([pixel(0), pixel(1)], [PALETTE[0], PALETTE[1]]);
        assert_eq!([pixel(2), pixel(3)], [OTHERS; 2]);
    }

    #[test]
    fn the_legend_lies_under_the_picture() {
        let picture = Image::zeros(3, 50, 400);
        let names = ["zebra", "a name that is rather long", "tiger cat"].map(String::from);
        let with = with_legend(&picture, &names);
        assert_eq!(with.width, 400);
        assert_eq!(marks(&with, 0..400, 0..50), 400 * 50);
        assert!(marks(&with, 0..400, 50..with.height) > 3 * 400);
        assert!(with.height >= 50 + 2 * 24);
    }
}
