//! What all sheets share: their measures and their title.

use super::canvas::{Canvas, INK};
use super::text;

/// The widest that a sheet gets where nothing forces it to be wider, in pixels.
pub(super) const SHEET: usize = 1400;
/// Around the sheet, in pixels.
pub(super) const MARGIN: usize = 16;
/// Between tiles, in pixels.
pub(super) const GAP: usize = 4;
/// Sizes of titles and captions, smallest and largest, in pixels a line.
pub(super) const TITLE: (f32, f32) = (20.0, 30.0);
pub(super) const CAPTION: (f32, f32) = (13.0, 20.0);

/// The title of a sheet: as large as fits over it; a sheet too narrow for the smallest is widened.
pub(super) struct Heading<'a> {
    title: &'a str,
    size: f32,
    /// Width of the sheet, margins included, in pixels.
    pub(super) sheet: usize,
    /// Rows that the title takes from the top margin on; 0 without a title.
    pub(super) height: usize,
}

impl<'a> Heading<'a> {
    pub(super) fn new(title: &'a str, sheet: usize) -> Self {
        let room = sheet.saturating_sub(2 * MARGIN);
        let size = text::size_to_fit([title], room as f32, TITLE);
        let needed = text::width(title, size).ceil() as usize;
        Self {
            title,
            size,
            sheet: room.max(needed) + 2 * MARGIN,
            height: if title.is_empty() {
                0
            } else {
                size as usize + 12
            },
        }
    }

    pub(super) fn draw(&self, canvas: &mut Canvas) {
        canvas.text(self.title, MARGIN as i32, MARGIN as i32 - 4, self.size, INK);
    }
}
