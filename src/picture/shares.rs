//! A small matrix of shares under names: which class was taken for which.

use super::canvas::{Canvas, FAINT_INK, INK, PAPER};
use super::colour::mix;
use super::layout::{CAPTION, Heading, MARGIN, SHEET};
use super::matrix::{OFF, ON, check};
use super::text;
use crate::data::Image;
use crate::{Error, Result};

/// The height of a square, and its width, which names decide between these, in pixels.
const HEIGHT: usize = 44;
const WIDTH: (usize, usize) = (64, 140);
/// The most that the names of the rows take from the width, in pixels.
const NAMES: f32 = 240.0;

/// `values`, `[1, n, n]`, shares from 0 to 1, as squares from pale to dark, each with its number in per cent. Rows and
/// columns are called by the `n` names; the labels say what they are. The result has three channels.
///
/// # Errors
///
/// [`Error::Input`] where `values` is empty, no square of as many as there are names, or holds what is not finite.
pub fn shares(
    values: &Image,
    names: &[&str],
    title: &str,
    [row_label, col_label]: [&str; 2],
) -> Result<Image> {
    check(values, title)?;
    let n = names.len();
    if [values.height, values.width] != [n; 2] {
        return Err(Error::Input(format!(
            "the matrix {title:?} is {} x {}, and there are {n} names",
            values.height, values.width
        )));
    }
    let size = CAPTION.1;
    let line = size as usize + 8;
    let widest = names.iter().map(|name| text::width(name, size));
    let widest = widest.fold(0.0, f32::max);
    let left = MARGIN + line + widest.min(NAMES).ceil() as usize + 10;
    let room = SHEET.saturating_sub(left + MARGIN) / n;
    let width = (widest as usize + 16).clamp(WIDTH.0, WIDTH.1.min(room).max(WIDTH.0));
    let heading = Heading::new(title, left + n * width + MARGIN);
    let over = heading.height + MARGIN;
    let top = over + 2 * line;
    let mut canvas = Canvas::new(heading.sheet, top + n * HEIGHT + MARGIN);
    heading.draw(&mut canvas);

    let middle = |side: usize, of: usize| (of * side + side / 2) as i32;
    let (x, y) = (
        |column| left as i32 + middle(width, column),
        |row| top as i32 + middle(HEIGHT, row) - size as i32 / 2,
    );
    let across = (left + n * width / 2) as i32;
    canvas.text_centred(col_label, across, over as i32, size, INK);
    let down = (top + n * HEIGHT / 2) as i32;
    canvas.text_upwards(row_label, MARGIN as i32, down, size, INK);
    for (k, name) in names.iter().enumerate() {
        let short = text::shorten(name, width as f32 - 8.0, size);
        canvas.text_centred(&short, x(k), (over + line) as i32, size, FAINT_INK);
        let short = text::shorten(name, NAMES, size);
        let start = left as i32 - 10 - text::width(&short, size).round() as i32;
        canvas.text(&short, start, y(k), size, FAINT_INK);
    }
    for (i, &share) in values.values.iter().enumerate() {
        let (row, column) = (i / n, i % n);
        let corner = [left + column * width, top + row * HEIGHT];
        let colour = mix(OFF, ON, share.clamp(0.0, 1.0));
        canvas.fill(corner[0], corner[1], width - 1, HEIGHT - 1, colour);
        if share > 0.0 {
            let number = format!("{:.0}", 100.0 * share);
            let ink = if share > 0.5 { PAPER } else { INK };
            canvas.text_centred(&number, x(column), y(row), size, ink);
        }
    }
    Ok(canvas.into_image())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::colour::Colour;

    #[test]
    fn squares_bear_their_numbers() {
        let values = Image::new([1, 2, 2], vec![1.0, 0.0, 0.25, 0.75]);
        let draw = |names: [&str; 2]| shares(&values, &names, "", ["class", "taken for"]).unwrap();
        let picture = draw(["cat", "dog"]);
        let [left, top] = [
            picture.width - MARGIN - 2 * WIDTH.0,
            picture.height - MARGIN - 2 * HEIGHT,
        ];
        let pixel = |row: usize, column: usize| -> Colour {
            let at = (top + row * HEIGHT + 2) * picture.width + left + column * WIDTH.0 + 2;
            std::array::from_fn(|c| picture.plane(c)[at])
        };
        assert_eq!([pixel(0, 0), pixel(0, 1)], [ON, OFF]);
        assert_eq!(pixel(1, 1), mix(OFF, ON, 0.75));
        // A number is written where there is something to tell.
        let written = |row: usize, column: usize| {
            let square = pixel(row, column);
            let rows = top + row * HEIGHT..top + (row + 1) * HEIGHT - 1;
            let columns = left + column * WIDTH.0..left + (column + 1) * WIDTH.0 - 1;
            rows.flat_map(|y| columns.clone().map(move |x| y * picture.width + x))
                .filter(|&at| (picture.plane(0)[at] - square[0]).abs() > 0.2)
                .count()
        };
        assert!(written(0, 0) > 20 && written(1, 0) > 20);
        assert_eq!(written(0, 1), 0);
        // Long names widen the squares, and are cut.
        let long = "a name that is longer than any square is to be wide, and longer yet";
        assert!(draw(["cat", long]).width <= SHEET);
        assert!(draw(["cat", "elephant seals"]).width > picture.width);
    }

    #[test]
    fn names_belong_to_rows() {
        let values = Image::zeros(1, 2, 2);
        says!(
            shares(&values, &["a"], "t", ["", ""]).unwrap_err(),
            "1 names"
        );
    }
}
