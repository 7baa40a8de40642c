//! The sheet that every picture is drawn on.

use super::colour::{Colour, mix, rgb};
use super::text;
use crate::data::Image;

/// The colour of the sheet.
pub(super) const PAPER: Colour = rgb(0xffffff);
/// The colour of text.
pub(super) const INK: Colour = rgb(0x24292f);
/// The colour of text of less weight.
pub(super) const FAINT_INK: Colour = rgb(0x57606a);

/// A sheet of colour pixels; what falls outside of it is cut off.
pub(super) struct Canvas {
    image: Image,
}

impl Canvas {
    /// An empty sheet.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let mut image = Image::zeros(3, height, width);
        for (c, value) in PAPER.into_iter().enumerate() {
            image.plane_mut(c).fill(value);
        }
        Self { image }
    }

    /// Columns.
    pub(super) fn width(&self) -> usize {
        self.image.width
    }

    /// Rows.
    pub(super) fn height(&self) -> usize {
        self.image.height
    }

    /// The finished picture.
    pub(super) fn into_image(self) -> Image {
        self.image
    }

    /// Lays `colour` over one pixel; `cover` in `[0, 1]` is how much of it is covered.
    pub(super) fn blend(&mut self, x: i32, y: i32, colour: Colour, cover: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x >= self.width() || y >= self.height() {
            return;
        }
        let plane = self.width() * self.height();
        let at = y * self.width() + x;
        let values = &mut self.image.values;
        let under = std::array::from_fn(|c| values[c * plane + at]);
        for (c, value) in mix(under, colour, cover.clamp(0.0, 1.0)).iter().enumerate() {
            values[c * plane + at] = *value;
        }
    }

    /// Fills the rectangle whose upper left pixel is `(x, y)`.
    pub(super) fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
        let row = self.width();
        let (x, right) = (x.min(row), (x + width).min(row));
        for (c, value) in colour.into_iter().enumerate() {
            let plane = self.image.plane_mut(c);
            for line in plane.chunks_exact_mut(row).skip(y).take(height) {
                line[x..right].fill(value);
            }
        }
    }

    /// Copies `image` (1 or 3 channels) with its upper left pixel at `(x, y)`, each of its pixels
    /// a crisp square of `zoom x zoom`.
    pub(super) fn paste(&mut self, image: &Image, x: usize, y: usize, zoom: usize) {
        let row = self.width();
        let left = x.min(row);
        for c in 0..3 {
            let source = image.plane(c.min(image.channels - 1));
            let lines = self.image.plane_mut(c).chunks_exact_mut(row);
            for (i, line) in lines.skip(y).take(image.height * zoom).enumerate() {
                let pixels = &source[i / zoom * image.width..][..image.width];
                let zoomed = pixels.iter().flat_map(|v| std::iter::repeat_n(*v, zoom));
                for (to, from) in line[left..].iter_mut().zip(zoomed) {
                    *to = from;
                }
            }
        }
    }

    /// Draws a line through `points` with smooth edges and round ends; a disc if there is but one.
    pub(super) fn stroke(&mut self, points: &[(f32, f32)], width: f32, colour: Colour) {
        // The pieces of the line are joined before they are laid on the sheet: where the soft edges
        // of two of them overlap they must not add up.
        let mut covers = vec![0.0_f32; self.width() * self.height()];
        let row = self.width();
        let reach = width / 2.0 + 1.0;
        for (i, &(ax, ay)) in points.iter().enumerate() {
            let (bx, by) = *points.get(i + 1).unwrap_or(&(ax, ay));
            let (dx, dy) = (bx - ax, by - ay);
            let length = (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
            let span = |a: f32, b: f32, size: usize| {
                (a.min(b) - reach).max(0.0) as usize..((a.max(b) + reach).ceil() as usize).min(size)
            };
            for y in span(ay, by, self.height()) {
                for x in span(ax, bx, row) {
                    let (px, py) = (x as f32 + 0.5 - ax, y as f32 + 0.5 - ay);
                    let along = ((px * dx + py * dy) / length).clamp(0.0, 1.0);
                    let distance = (px - along * dx).hypot(py - along * dy);
                    let cover = (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
                    covers[y * row + x] = covers[y * row + x].max(cover);
                }
            }
        }
        let covers = covers.into_iter().enumerate();
        for (at, cover) in covers.filter(|(_, cover)| *cover > 0.0) {
            self.blend((at % row) as i32, (at / row) as i32, colour, cover);
        }
    }

    /// Writes `text` with the upper left corner of its box at `(x, y)`; `size` is the height of a
    /// line in pixels.
    pub(super) fn text(&mut self, text: &str, x: i32, y: i32, size: f32, colour: Colour) {
        text::draw(text, size, |dx, dy, cover| {
            self.blend(x + dx, y + dy, colour, cover);
        });
    }

    /// [`Canvas::text`] centred on column `x`.
    pub(super) fn text_centred(&mut self, text: &str, x: i32, y: i32, size: f32, colour: Colour) {
        let left = x - (text::width(text, size) / 2.0).round() as i32;
        self.text(text, left, y, size, colour);
    }

    /// Writes `text` from bottom to top, its box starting at column `x` and centred on row `y`.
    pub(super) fn text_upwards(&mut self, text: &str, x: i32, y: i32, size: f32, colour: Colour) {
        let bottom = y + (text::width(text, size) / 2.0).round() as i32;
        text::draw(text, size, |dx, dy, cover| {
            self.blend(x + dy, bottom - dx, colour, cover);
        });
    }
}

/// How many pixels of the given rectangle of `picture` are not paper: for tests of what is drawn.
#[cfg(test)]
pub(super) fn marks(
    picture: &Image,
    x: std::ops::Range<usize>,
    y: std::ops::Range<usize>,
) -> usize {
    let marked = |x: usize, y: usize| {
        (0..3).any(|c| (picture.plane(c)[y * picture.width + x] - PAPER[c]).abs() > 0.02)
    };
    y.map(|y| x.clone().filter(|&x| marked(x, y)).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_pixels_become_squares() {
        let mut grey = Image::zeros(1, 2, 2);
        grey.values = vec![0.1, 0.2, 0.3, 0.4];
        let mut canvas = Canvas::new(8, 8);
        canvas.paste(&grey, 1, 2, 3);
        let picture = canvas.into_image();
        for c in 0..3 {
            let at = |x: usize, y: usize| picture.plane(c)[y * 8 + x];
            let squares = [at(1, 2), at(3, 4), at(4, 4), at(6, 7)];
            assert_eq!(squares, [0.1, 0.1, 0.2, 0.4]);
            assert_eq!([at(0, 2), at(1, 1), at(7, 7)], [1.0; 3]);
        }
    }

    #[test]
    fn what_falls_outside_is_cut_off() {
        let mut canvas = Canvas::new(4, 4);
        canvas.paste(&Image::zeros(1, 3, 3), 2, 2, 2);
        canvas.paste(&Image::zeros(3, 3, 3), 9, 9, 2);
        canvas.fill(3, 3, 9, 9, INK);
        canvas.stroke(&[(-3.0, -3.0), (9.0, 9.0)], 1.0, INK);
        canvas.text("outside", -9, -9, 30.0, INK);
        assert_eq!(canvas.into_image().shape(), [3, 4, 4]);
    }

    #[test]
    fn a_stroke_covers_its_width() {
        let mut canvas = Canvas::new(20, 11);
        canvas.stroke(&[(2.0, 5.5), (9.0, 5.5), (17.0, 5.5)], 3.0, [0.0; 3]);
        let picture = canvas.into_image();
        let column: Vec<f32> = (0..11).map(|y| picture.plane(1)[y * 20 + 9]).collect();
        assert_eq!(column[4..7], [0.0; 3]);
        assert_eq!((column[3], column[7]), (1.0, 1.0));
    }
}
