//! A matrix as a field of squares: which map is connected to which.

use super::canvas::{Canvas, FAINT_INK, INK};
use super::colour::{Colour, mix, peak, rgb};
use super::layout::{CAPTION, Heading, MARGIN, SHEET};
use super::{png, text};
use crate::data::Image;
use crate::{Error, Result};

/// Squares have sides between these, in pixels, the line between them included.
const SQUARE: (usize, usize) = (5, 24);
/// The colours of 0 and of the largest magnitude.
pub(super) const OFF: Colour = rgb(0xeaeef2);
pub(super) const ON: Colour = rgb(0x0b4f8a);

/// `values` (one channel, `rows x columns`) as squares from pale, 0, to dark, the largest
/// magnitude. Rows and columns are numbered from 0, downwards and to the right; the labels say what
/// they count. The result has three channels.
///
/// # Errors
///
/// [`Error::Input`] where `values` is empty, has several channels or holds what is not finite.
pub fn matrix(values: &Image, title: &str, row_label: &str, col_label: &str) -> Result<Image> {
    check(values, title)?;
    let (rows, columns) = (values.height, values.width);
    let size = CAPTION.1;
    let line = size as usize + 8;
    let numbers = text::width(&rows.saturating_sub(1).to_string(), size).ceil() as usize + 10;
    let left = MARGIN + line + numbers;
    let square = (SHEET.saturating_sub(left + MARGIN) / columns).clamp(SQUARE.0, SQUARE.1);
    let (field_width, field_height) = (columns * square, rows * square);
    // A label longer than its side needs room beyond the field.
    let need = |label: &str| text::width(label, size).ceil() as usize;
    let heading = Heading::new(title, left + field_width.max(need(col_label)) + MARGIN);
    let top = heading.height + MARGIN;
    let depth = field_height.max(need(row_label));
    let mut canvas = Canvas::new(heading.sheet, top + depth + 2 * line + MARGIN);
    heading.draw(&mut canvas);

    let limit = peak([values]).max(f32::MIN_POSITIVE);
    for (i, v) in values.values.iter().enumerate() {
        let (x, y) = (left + i % columns * square, top + i / columns * square);
        canvas.fill(x, y, square - 1, square - 1, mix(OFF, ON, v.abs() / limit));
    }
    for row in ticks(rows, size as usize + 4, square) {
        let number = row.to_string();
        let x = left - 8 - text::width(&number, size).round() as usize;
        let y = (top + row * square + square / 2) as i32 - size as i32 / 2;
        canvas.text(&number, x as i32, y, size, FAINT_INK);
    }
    let under = (top + field_height + 4) as i32;
    for column in ticks(columns, 2 * need(&columns.to_string()), square) {
        let x = (left + column * square + square / 2) as i32;
        canvas.text_centred(&column.to_string(), x, under, size, FAINT_INK);
    }
    let across = (left + field_width.max(need(col_label)) / 2) as i32;
    canvas.text_centred(col_label, across, under + line as i32, size, INK);
    canvas.text_upwards(
        row_label,
        MARGIN as i32,
        (top + depth / 2) as i32,
        size,
        INK,
    );
    Ok(canvas.into_image())
}

/// Refuses what is no matrix of finite numbers.
pub(super) fn check(values: &Image, title: &str) -> Result<()> {
    png::check_drawable(values, &format!("the matrix {title:?}"))?;
    let complaint = if values.channels != 1 {
        "has three channels; it needs one"
    } else if values.values.iter().any(|v| !v.is_finite()) {
        "holds what is not finite; check the values it was made from"
    } else {
        return Ok(());
    };
    Err(Error::Input(format!("the matrix {title:?} {complaint}")))
}

/// Every 1st, 2nd, 5th, 10th, ... of `count`, the least far apart that leaves `space` pixels each.
fn ticks(count: usize, space: usize, square: usize) -> impl Iterator<Item = usize> {
    let step = std::iter::successors(Some(1_usize), |step| step.checked_mul(10))
        .flat_map(|ten| [ten, ten.saturating_mul(2), ten.saturating_mul(5)])
        .find(|step| step.saturating_mul(square) >= space);
    (0..count).step_by(step.unwrap_or(count).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::canvas::marks;

    #[test]
    fn squares_show_what_is_connected() {
        let mut values = Image::zeros(1, 3, 4);
        values.values[4 + 2] = 1.0;
        let picture = matrix(&values, "", "", "").unwrap();
        let pixel = |x: usize, y: usize| -> Colour {
            std::array::from_fn(|c| picture.plane(c)[y * picture.width + x])
        };
        let left = picture.width - MARGIN - 4 * SQUARE.1;
        let middle = |i: usize| i * SQUARE.1 + SQUARE.1 / 2;
        assert_eq!(pixel(left + middle(2), MARGIN + middle(1)), ON);
        assert_eq!(pixel(left + middle(1), MARGIN + middle(1)), OFF);
        assert_eq!(pixel(left + middle(2), MARGIN + middle(2)), OFF);
    }

    #[test]
    fn axes_are_numbered_and_named() {
        let picture = matrix(&Image::zeros(1, 9, 45), "Connected", "below", "above").unwrap();
        let bottom = picture.height - MARGIN;
        assert!(marks(&picture, 0..picture.width, bottom - 28..bottom) > 50);
        assert!(marks(&picture, 0..MARGIN + 20, 0..picture.height) > 50);
        assert!(picture.width <= SHEET);
    }

    #[test]
    fn wide_matrices_get_small_squares_and_few_numbers() {
        assert_eq!(ticks(150, 60, 8).collect::<Vec<_>>()[..3], [0, 10, 20]);
        assert_eq!(ticks(3, 10, 24).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(matrix(&Image::zeros(1, 45, 150), "", "", "").unwrap().width <= SHEET);
    }

    #[test]
    fn bad_matrices_are_refused() {
        let mut holed = Image::zeros(1, 2, 2);
        holed.values[0] = f32::NAN;
        for bad in [holed, Image::zeros(3, 2, 2), Image::zeros(1, 0, 2)] {
            says!(matrix(&bad, "links", "", "").unwrap_err(), "\"links\"");
        }
    }
}
