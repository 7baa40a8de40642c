//! Labelled rows of images under headers.

use super::canvas::{Canvas, FAINT_INK, INK};
use super::drawable::drawable;
use super::layout::{CAPTION, GAP, Heading, MARGIN, SHEET};
use super::{png, text};
use crate::data::Image;
use crate::{Error, Result};

/// Images are zoomed to at most this side, in pixels.
const CELL: usize = 240;
/// Between columns and between rows, in pixels.
const SPACE: usize = 2 * GAP;
/// The most that labels take from the width of the sheet, in pixels.
const LABELS: f32 = 320.0;

/// Rows of images, each with a label in front: an input beside its reconstructions from each layer,
/// or the strongest patches of each map. Images have values in `[0, 1]`
/// and are zoomed one by one to fill cells of one size; rows may be of different length. `headers`
/// stand over the columns, from the first; there may be none. The result has three channels.
///
/// # Errors
///
/// [`Error::Input`] where there is no image, or one that cannot be drawn.
pub fn table(title: &str, headers: &[&str], rows: &[(String, Vec<Image>)]) -> Result<Image> {
    let rows: Vec<(&String, Vec<_>)> = rows
        .iter()
        .map(|(label, images)| (label, images.iter().map(drawable).collect()))
        .collect();
    for (label, images) in &rows {
        for (i, image) in images.iter().enumerate() {
            png::check_drawable(image, &format!("image {i} of row {label:?} of {title:?}"))?;
        }
    }
    let images = || rows.iter().flat_map(|(_, images)| images);
    let columns = rows.iter().map(|(_, images)| images.len()).max();
    let Some(largest) = images().map(|image| image.width.max(image.height)).max() else {
        return Err(Error::Input(format!(
            "the table {title:?} has no images; give it at least one"
        )));
    };
    let columns = columns.unwrap_or(0).max(headers.len());

    let labels = || rows.iter().map(|(label, _)| label.as_str());
    let label_size = text::size_to_fit(labels(), LABELS, CAPTION);
    let widths = labels().map(|label| text::width(label, label_size));
    let widest = widths.fold(0.0, f32::max);
    let label_width = match widest {
        0.0 => 0,
        _ => widest.min(LABELS).ceil() as usize + 2 * SPACE,
    };
    let room = (SHEET - 2 * MARGIN - label_width) / columns;
    let zoom = (room.saturating_sub(SPACE).min(CELL) / largest).max(1);
    let target = zoom * largest;
    let fit = |image: &Image| (target / image.width.max(image.height)).max(1);

    let cell_width = images().map(|image| image.width * fit(image)).max();
    let cell_height = images().map(|image| image.height * fit(image)).max();
    let (cell_width, cell_height) = (cell_width.unwrap_or(1), cell_height.unwrap_or(1));
    let row_height = cell_height.max(label_size as usize);
    let header_size = text::size_to_fit(headers.iter().copied(), cell_width as f32, CAPTION);
    let header_height = match headers.is_empty() {
        true => 0,
        false => header_size as usize + SPACE,
    };
    let sheet = 2 * MARGIN + label_width + columns * (cell_width + SPACE) - SPACE;
    let heading = Heading::new(title, sheet);
    let top = heading.height + MARGIN + header_height;
    let height = top + rows.len() * (row_height + SPACE) - SPACE + MARGIN;
    let mut canvas = Canvas::new(heading.sheet, height);
    heading.draw(&mut canvas);

    let left = |column: usize| MARGIN + label_width + column * (cell_width + SPACE);
    for (column, header) in headers.iter().enumerate() {
        let header = text::shorten(header, cell_width as f32, header_size);
        let middle = (left(column) + cell_width / 2) as i32;
        let y = (heading.height + MARGIN) as i32;
        canvas.text_centred(&header, middle, y, header_size, FAINT_INK);
    }
    for (row, (label, images)) in rows.iter().enumerate() {
        let y = top + row * (row_height + SPACE);
        let label = text::shorten(label, LABELS, label_size);
        let middle = (y + row_height / 2) as i32 - label_size as i32 / 2;
        canvas.text(&label, MARGIN as i32, middle, label_size, INK);
        for (column, image) in images.iter().enumerate() {
            let zoom = fit(image);
            let x = left(column) + (cell_width - image.width * zoom) / 2;
            canvas.paste(image, x, y + (row_height - image.height * zoom) / 2, zoom);
        }
    }
    Ok(canvas.into_image())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::canvas::marks;

    fn image(side: usize) -> Image {
        Image::zeros(1, side, side)
    }

    #[test]
    fn images_of_different_sizes_fill_cells_of_one_size() {
        let rows = [(String::new(), vec![image(40), image(20)])];
        let picture = table("", &[], &rows).unwrap();
        let side = 6 * 40;
        let shape = [3, side + 2 * MARGIN, 2 * (side + MARGIN) + SPACE];
        assert_eq!(picture.shape(), shape);
        let second = MARGIN + side + SPACE;
        let rows = MARGIN..MARGIN + side;
        assert_eq!(marks(&picture, second..second + side, rows), side * side);
    }

    #[test]
    fn labels_and_headers_have_their_own_place() {
        let rows = [
            ("map 3".to_owned(), vec![image(30); 4]),
            ("map 4".to_owned(), vec![image(30)]),
        ];
        let picture = table("Patches", &["1st", "2nd"], &rows).unwrap();
        let width = picture.width;
        let first = (0..picture.height)
            .find(|&y| picture.plane(0)[y * width + width - MARGIN - 1] == 0.0)
            .unwrap();
        assert!(marks(&picture, 0..width, first - 26..first) > 30);
        assert!(marks(&picture, 0..60, first..picture.height) > 60);
        // The second row is three images short.
        let below = picture.height - 60..picture.height;
        assert_eq!(marks(&picture, width / 2..width, below), 0);
    }

    #[test]
    fn what_cannot_be_drawn_is_named() {
        says!(table("t", &["a"], &[]).unwrap_err(), "no images");
        let rows = [("layer 2".to_owned(), vec![image(3), Image::zeros(1, 0, 3)])];
        let error = table("t", &[], &rows).unwrap_err().to_string();
        assert!(error.contains("image 1 of row \"layer 2\""), "{error}");
    }
}
