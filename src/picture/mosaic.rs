//! Sheets of many small images: filters, feature maps, patches.

use super::canvas::{Canvas, FAINT_INK};
use super::drawable::drawable;
use super::layout::{CAPTION, GAP, Heading, MARGIN, SHEET};
use super::{png, text};
use crate::data::Image;
use crate::{Error, Result};

/// Tiles are zoomed to between these sides, in pixels, as far as whole zooms allow.
const TILE: (usize, usize) = (48, 160);
/// One image of a sheet.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Values in `[0, 1]`; any size.
    pub image: Image,
    /// A few words under the image, or nothing.
    pub caption: String,
}

impl Tile {
    /// A tile with a caption.
    pub fn new(image: Image, caption: impl Into<String>) -> Self {
        Self {
            image,
            caption: caption.into(),
        }
    }
}

impl From<Image> for Tile {
    fn from(image: Image) -> Self {
        Self::new(image, "")
    }
}

/// How [`mosaic()`] lays out its tiles; the default leaves every choice to it.
#[derive(Clone, Debug, Default)]
pub struct MosaicOptions {
    /// Over the sheet, or nothing.
    pub title: String,
    /// Tiles in a row; chosen for a sheet that is somewhat wider than high where it is `None`.
    pub columns: Option<usize>,
    /// The side of the square that a pixel of a tile becomes; chosen by the sizes of tile and sheet
    /// where it is `None`.
    pub zoom: Option<usize>,
}

/// A sheet of tiles, row by row, each pixel a crisp square; tiles smaller than the largest one are
/// centred. The result has three channels.
///
/// # Errors
///
/// [`Error::Input`] where there is no tile, or one that cannot be drawn.
///
/// # Examples
///
/// ```no_run
/// use deconvnet::data::Image;
/// use deconvnet::picture::{MosaicOptions, Tile, mosaic, save_png, symmetric};
///
/// # fn filters() -> Vec<Image> { Vec::new() }
/// let tile = |(k, filter): (usize, Image)| Tile::new(symmetric(&filter, None), format!("map {k}"));
/// let tiles: Vec<Tile> = filters().into_iter().enumerate().map(tile).collect();
/// save_png(&mosaic(&tiles, &MosaicOptions::default())?, "filters.png")?;
/// # Ok::<(), deconvnet::Error>(())
/// ```
pub fn mosaic(tiles: &[Tile], options: &MosaicOptions) -> Result<Image> {
    let images: Vec<_> = tiles.iter().map(|tile| drawable(&tile.image)).collect();
    for (i, image) in images.iter().enumerate() {
        png::check_drawable(
            image,
            &format!("tile {i} of the mosaic {:?}", options.title),
        )?;
    }
    let height = images.iter().map(|image| image.height).max();
    let width = images.iter().map(|image| image.width).max();
    let (Some(height), Some(width)) = (height, width) else {
        return Err(Error::Input(format!(
            "the mosaic {:?} has no tiles; give it at least one image",
            options.title
        )));
    };
    let columns = match options.columns {
        Some(columns) => columns.clamp(1, tiles.len()),
        None => choose_columns(tiles.len(), width as f64 / height as f64),
    };
    let rows = tiles.len().div_ceil(columns);
    let zoom = options.zoom.unwrap_or_else(|| {
        let room = ((SHEET - 2 * MARGIN) / columns)
            .saturating_sub(GAP)
            .min(TILE.1);
        // Planes side by side are to be seen one by one.
        let side = match tiles
            .iter()
            .any(|tile| !matches!(tile.image.channels, 1 | 3))
        {
            true => width.min(height),
            false => width.max(height),
        };
        (room / width.max(height)).max(TILE.0.div_ceil(side))
    });
    let zoom = zoom.max(1);

    let cell = width * zoom;
    let captions = || tiles.iter().map(|tile| tile.caption.as_str());
    let caption_size = text::size_to_fit(captions(), cell as f32, CAPTION);
    let caption_height = match captions().all(str::is_empty) {
        true => 0,
        false => caption_size as usize + 8,
    };
    let sheet = 2 * MARGIN + columns * (cell + GAP) - GAP;
    let heading = Heading::new(&options.title, sheet);
    let line = height * zoom + caption_height + GAP;
    let mut canvas = Canvas::new(
        heading.sheet,
        heading.height + 2 * MARGIN + rows * line - GAP,
    );
    heading.draw(&mut canvas);
    for (i, (Tile { caption, .. }, image)) in tiles.iter().zip(&images).enumerate() {
        let x = MARGIN + i % columns * (cell + GAP);
        let y = heading.height + MARGIN + i / columns * line;
        let left = x + (width - image.width) * zoom / 2;
        let top = y + (height - image.height) * zoom / 2;
        canvas.paste(image, left, top, zoom);
        let caption = text::shorten(caption, cell as f32, caption_size);
        let (middle, under) = ((x + cell / 2) as i32, (y + height * zoom + 2) as i32);
        canvas.text_centred(&caption, middle, under, caption_size, FAINT_INK);
    }
    Ok(canvas.into_image())
}

/// The number of columns whose sheet comes closest to 3 : 2 with few places left empty in its last
/// row; `aspect` is width over height of a tile.
fn choose_columns(count: usize, aspect: f64) -> usize {
    let cost = |columns: usize| {
        let rows = count.div_ceil(columns);
        let shape = (columns as f64 * aspect / rows as f64 / 1.5).ln().abs();
        let empty = (columns * rows - count) as f64 / count as f64;
        shape + 2.0 * empty
    };
    (1..=count)
        .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::canvas::marks;
    use crate::picture::layout::TITLE;

    fn tiles(count: usize, side: usize, caption: &str) -> Vec<Tile> {
        let mut image = Image::zeros(3, side, side);
        image.values.fill(0.5);
        vec![Tile::new(image, caption); count]
    }

    #[test]
    fn the_usual_sheets_are_full_rectangles() {
        let columns = [9, 45, 150].map(|count| choose_columns(count, 1.0));
        assert_eq!(columns, [3, 9, 15]);
        assert_eq!(choose_columns(1, 1.0), 1);
    }

    #[test]
    fn small_filters_are_zoomed_and_many_tiles_fit_the_sheet() {
        let nine = mosaic(&tiles(9, 7, ""), &MosaicOptions::default()).unwrap();
        let side = 2 * MARGIN + 3 * (7 * 22) + 2 * GAP;
        assert_eq!(nine.shape(), [3, side, side]);
        let many = mosaic(&tiles(150, 25, ""), &MosaicOptions::default()).unwrap();
        assert!((1000..=SHEET).contains(&many.width), "{}", many.width);
    }

    #[test]
    fn pixels_of_tiles_come_out_unchanged() {
        let mut sheet = tiles(2, 4, "");
        sheet[1].image = Image::zeros(1, 2, 4);
        let options = MosaicOptions {
            columns: Some(2),
            zoom: Some(5),
            ..Default::default()
        };
        let picture = mosaic(&sheet, &options).unwrap();
        assert_eq!(picture.shape(), [3, 2 * MARGIN + 20, 2 * MARGIN + 40 + GAP]);
        let at = |x: usize, y: usize| picture.plane(2)[(MARGIN + y) * picture.width + MARGIN + x];
        assert_eq!([at(0, 0), at(19, 19), at(20, 0)], [0.5, 0.5, 1.0]);
        // The second tile is half as high and sits in the middle.
        let second = [4, 5, 14, 15].map(|y| at(24, y));
        assert_eq!(second, [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn captions_and_title_are_drawn_beside_the_tiles() {
        let options = MosaicOptions {
            title: "Filters".into(),
            zoom: Some(8),
            columns: Some(2),
        };
        let picture = mosaic(&tiles(2, 8, "map 1"), &options).unwrap();
        let first = MARGIN + Heading::new("Filters", picture.width).height;
        assert!(marks(&picture, 0..picture.width, 0..first) > 50);
        assert!(marks(&picture, MARGIN..MARGIN + 64, first + 64..picture.height) > 20);
    }

    #[test]
    fn a_long_title_widens_a_narrow_sheet() {
        let title = "A title that is far wider than the one tile that stands under it";
        let options = MosaicOptions {
            title: title.into(),
            ..Default::default()
        };
        let picture = mosaic(&tiles(1, 7, ""), &options).unwrap();
        assert!(picture.width as f32 >= text::width(title, TITLE.0));
    }

    #[test]
    fn what_cannot_be_drawn_is_named() {
        let error = mosaic(&[], &MosaicOptions::default()).unwrap_err();
        assert!(error.to_string().contains("no tiles"));
        let bad = [
            Tile::from(Image::zeros(1, 2, 2)),
            Tile::from(Image::zeros(1, 0, 2)),
        ];
        let error = mosaic(&bad, &MosaicOptions::default()).unwrap_err();
        assert!(error.to_string().contains("tile 1"), "{error}");
    }
}
