//! What stands around the lines of a plot: title, legend, grid and numbers.

use super::axis::Axis;
use super::canvas::{Canvas, FAINT_INK, INK};
use super::colour::{Colour, rgb};
use super::layout::TITLE;
use super::text;

/// Around a plot.
pub(super) const MARGIN: usize = 24;
/// Height of a line of text.
pub(super) const LABEL: f32 = 24.0;
/// Width of a curve.
pub(super) const LINE: f32 = 3.0;
/// Between a number and its axis.
pub(super) const SPACE: usize = 10;
const GRID: Colour = rgb(0xd8dee4);
const FAINT_GRID: Colour = rgb(0xeff2f5);
/// The most rows that a legend takes; the last one only says how many entries are missing.
const LEGEND: usize = 5;

/// The rectangle that the lines of a plot lie in.
pub(super) struct Field {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
    x_axis: Axis,
    y_axis: Axis,
}

impl Field {
    /// The field that title and legend, which end at row `top`, and numbers leave on `canvas`.
    pub(super) fn new(canvas: &Canvas, top: usize, x_axis: Axis, y_axis: Axis) -> Self {
        let widest = |axis: &Axis| {
            let widths = axis
                .ticks
                .iter()
                .map(|(_, label)| text::width(label, LABEL));
            widths.fold(0.0, f32::max) as usize
        };
        let line = LABEL as usize;
        Self {
            left: MARGIN + line + SPACE + widest(&y_axis) + SPACE,
            // A number at the very end reaches beyond the field.
            right: canvas.width() - MARGIN.max(widest(&x_axis) / 2 + 4),
            top,
            bottom: canvas.height() - MARGIN - 2 * line - 2 * SPACE,
            x_axis,
            y_axis,
        }
    }

    /// Column and row of its middle.
    pub(super) fn middle(&self) -> (i32, i32) {
        (
            (self.left + self.right) as i32 / 2,
            (self.top + self.bottom) as i32 / 2,
        )
    }

    /// Its first and its last column.
    pub(super) fn sides(&self) -> (f32, f32) {
        (self.left as f32, self.right as f32)
    }

    /// The column of a value.
    pub(super) fn x(&self, v: f64) -> f32 {
        self.left as f32 + (self.right - self.left) as f32 * self.x_axis.place(v)
    }

    /// The row of a value.
    pub(super) fn y(&self, v: f64) -> f32 {
        self.bottom as f32 - (self.bottom - self.top) as f32 * self.y_axis.place(v)
    }

    /// Lines at all ticks, their labels, and the two axes.
    pub(super) fn draw_grid(&self, canvas: &mut Canvas) {
        let (width, height) = (self.right - self.left, self.bottom - self.top);
        let lines = |axis: &Axis| -> Vec<(f64, Colour)> {
            let minor = axis.minor.iter().map(|v| (*v, FAINT_GRID));
            minor
                .chain(axis.ticks.iter().map(|(v, _)| (*v, GRID)))
                .collect()
        };
        for (v, colour) in lines(&self.x_axis) {
            canvas.fill(self.x(v) as usize, self.top, 1, height, colour);
        }
        for (v, colour) in lines(&self.y_axis) {
            canvas.fill(self.left, self.y(v) as usize, width, 1, colour);
        }
        canvas.fill(self.left, self.top, 2, height, FAINT_INK);
        canvas.fill(self.left, self.bottom, width, 2, FAINT_INK);
        let under = (self.bottom + SPACE) as i32;
        for (v, label) in &self.x_axis.ticks {
            canvas.text_centred(label, self.x(*v) as i32, under, LABEL, FAINT_INK);
        }
        for (v, label) in &self.y_axis.ticks {
            let x = self.left as f32 - SPACE as f32 - text::width(label, LABEL);
            canvas.text(
                label,
                x as i32,
                (self.y(*v) - LABEL / 2.0) as i32,
                LABEL,
                FAINT_INK,
            );
        }
    }
}

/// One entry of the legend.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) colour: Colour,
    pub(super) dashed: bool,
}

/// Title and legend; returns the row at which the plot itself may begin.
pub(super) fn draw_head(canvas: &mut Canvas, title: &str, entries: &[Entry]) -> usize {
    let room = (canvas.width() - 2 * MARGIN) as f32;
    let mut y = MARGIN as f32;
    if !title.is_empty() {
        let size = text::size_to_fit([title], room, TITLE);
        let title = text::shorten(title, room, size);
        canvas.text(&title, MARGIN as i32, y as i32, size, INK);
        y += size + 12.0;
    }
    // The title says enough about a lone line.
    if entries.len() < 2 {
        return y as usize;
    }
    let (sample, space, left) = (40.0, 10.0, MARGIN as f32);
    let mut x = left;
    let mut row = 1;
    for (i, entry) in entries.iter().enumerate() {
        let name = text::shorten(&entry.name, room - sample - space, LABEL);
        let wide = sample + space + text::width(&name, LABEL);
        if x > left && x + wide > left + room {
            (x, y, row) = (left, y + LABEL + 4.0, row + 1);
            if row == LEGEND {
                let rest = format!("and {} more", entries.len() - i);
                canvas.text(&rest, x as i32, y as i32, LABEL, FAINT_INK);
                break;
            }
        }
        let middle = y + LABEL / 2.0;
        match entry.dashed {
            true => draw_dashes(canvas, x, x + sample, middle),
            false => canvas.stroke(
                &[(x, middle), (x + sample, middle)],
                LINE + 1.0,
                entry.colour,
            ),
        }
        canvas.text(&name, (x + sample + space) as i32, y as i32, LABEL, INK);
        x += wide + 3.0 * space;
    }
    (y + LABEL) as usize + 16
}

/// The horizontal line that stands for the reference.
pub(super) fn draw_dashes(canvas: &mut Canvas, left: f32, right: f32, y: f32) {
    let (dash, gap) = (12.0_f32, 8.0);
    let mut x = left;
    while x < right {
        let width = dash.min(right - x);
        canvas.fill(
            x as usize,
            (y - 1.0).max(0.0) as usize,
            width as usize,
            2,
            FAINT_INK,
        );
        x += dash + gap;
    }
}
