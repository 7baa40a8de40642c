//! Writing a picture to a file.

use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError};

use crate::data::{Depth, Image, spans};
use crate::{Error, Result, files};

/// Pictures of more pixels than this are photographs.
const PHOTOGRAPH: usize = 1 << 20;

/// Writes `image` as an 8-bit PNG: grey for one channel, colour for three; values are clamped to
/// `[0, 1]`. The file appears whole or not at all, whatever was there before.
///
/// # Errors
///
/// [`Error::Input`] where `image` cannot be shown: another number of channels, no pixels, or a
/// value that is not a number. [`Error::Io`] where the file cannot be written.
pub fn save_png(image: &Image, path: impl AsRef<Path>) -> Result<()> {
    save_png_of(image, Depth::Eight, path)
}

/// The same with 8 or 16 bits a sample.
///
/// # Errors
///
/// As [`save_png`].
pub fn save_png_of(image: &Image, depth: Depth, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes = encode(image, depth, &path.display().to_string())?;
    files::replace(path, false, |file| file.write_all(&bytes))
}

/// The bytes of an 8-bit PNG, as [`save_png`] would write them.
///
/// # Errors
///
/// [`Error::Input`] where `image` cannot be shown.
pub fn png_bytes(image: &Image) -> Result<Vec<u8>> {
    encode(image, Depth::Eight, "a page")
}

/// Refuses what cannot be drawn; `name` says which image it is, in the message.
pub(super) fn check_drawable(image: &Image, name: &str) -> Result<()> {
    let [channels, height, width] = image.shape();
    let complaint = if !matches!(channels, 1 | 3) {
        "only 1 channel (grey) or 3 (colour) can be drawn"
    } else if height == 0 || width == 0 {
        "there is nothing to draw"
    } else if image.values.len() != channels * height * width {
        "the number of values does not match the shape"
    } else {
        return Ok(());
    };
    Err(Error::Input(format!(
        "{name} has shape {channels} x {height} x {width} and {} values: {complaint}",
        image.values.len()
    )))
}

/// Writes a PNG of planes `[C, H, W]`, one channel or three, of which `rows` gives some rows at a time.
///
/// # Errors
///
/// As [`save_png`], and those of `rows`.
pub fn save_png_rows(
    path: &Path,
    depth: Depth,
    [channels, height, width]: [usize; 3],
    mut rows: impl FnMut(Range<usize>) -> Result<Image>,
) -> Result<()> {
    const ROWS: usize = 16;
    let mut failed = None;
    let written = files::replace(path, false, |file| {
        let [columns, lines] = [width, height].map(|n| u32::try_from(n).map_err(io::Error::other));
        let mut encoder = png::Encoder::new(BufWriter::new(file), columns?, lines?);
        encoder.set_color(match channels {
            1 => png::ColorType::Grayscale,
            _ => png::ColorType::Rgb,
        });
        encoder.set_depth(match depth {
            Depth::Eight => png::BitDepth::Eight,
            Depth::Sixteen => png::BitDepth::Sixteen,
        });
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        let mut out = writer.stream_writer()?;
        for part in spans(height, ROWS) {
            let part = rows(part).map_err(|error| {
                failed = Some(error);
                io::Error::other("no rows")
            })?;
            out.write_all(&bytes(&part, depth, u16::to_be_bytes))?;
        }
        out.finish()?;
        Ok(writer.finish()?)
    });
    failed.map_or(written, Err)
}

/// The pixels one after the other, samples of 16 bits in this order.
fn bytes(image: &Image, depth: Depth, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let plane = image.height * image.width;
    let samples = (0..plane)
        .flat_map(|p| (0..image.channels).map(move |c| image.values[c * plane + p]))
        .map(|v| (v.clamp(0.0, 1.0) * depth.white()).round());
    match depth {
        Depth::Eight => samples.map(|v| v as u8).collect(),
        Depth::Sixteen => samples.flat_map(|v| order(v as u16)).collect(),
    }
}

fn encode(image: &Image, depth: Depth, place: &str) -> Result<Vec<u8>> {
    check_drawable(image, &format!("the picture for {place}"))?;
    if let Some(at) = image.values.iter().position(|v| v.is_nan()) {
        let row = at / image.width % image.height;
        let column = at % image.width;
        return Err(Error::Input(format!(
            "the picture for {place} is not a number at row {row}, column {column}; \
             check the values it was made from"
        )));
    }
    let plane = image.height * image.width;
    let bytes = bytes(image, depth, u16::to_ne_bytes);
    let colour = match (image.channels, depth) {
        (1, Depth::Eight) => ExtendedColorType::L8,
        (1, Depth::Sixteen) => ExtendedColorType::L16,
        (_, Depth::Eight) => ExtendedColorType::Rgb8,
        (_, Depth::Sixteen) => ExtendedColorType::Rgb16,
    };
    let (Ok(width), Ok(height)) = (u32::try_from(image.width), u32::try_from(image.height)) else {
        return Err(Error::Input(format!(
            "the picture for {place} is {} x {} pixels, more than a PNG can hold",
            image.height, image.width
        )));
    };
    // Drawings are few colours in few bytes; photographs take the time that there is.
    let (compression, filter) = match plane > PHOTOGRAPH {
        true => (CompressionType::Fast, FilterType::Adaptive),
        false => (CompressionType::Best, FilterType::NoFilter),
    };
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, compression, filter)
        .write_image(&bytes, width, height, colour)
        .map_err(|error| match error {
            ImageError::IoError(error) => error,
            other => std::io::Error::other(other),
        })
        .map_err(Error::io("encode", place))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> image::DynamicImage {
        image::load_from_memory(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn colour_comes_back_as_written_and_clamped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut picture = Image::zeros(3, 1, 2);
        picture.values = vec![0.0, 1.5, -1.0, 0.2, 0.5, 1.0];
        save_png(&picture, &path).unwrap();
        let pixels = read(&path).into_rgb8().into_raw();
        assert_eq!(pixels, [0, 0, 128, 255, 51, 255]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn grey_is_written_with_one_channel_over_an_older_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, "older").unwrap();
        let mut picture = Image::zeros(1, 2, 1);
        picture.values[1] = 1.0;
        save_png(&picture, &path).unwrap();
        let back = read(&path);
        assert_eq!(back.color(), image::ColorType::L8);
        assert_eq!(back.into_luma8().into_raw(), [0, 255]);
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut holed = Image::zeros(3, 2, 2);
        holed.values[7] = f32::NAN;
        let mut short = Image::zeros(1, 2, 2);
        short.values.pop();
        for (image, words) in [
            (Image::zeros(2, 4, 4), "2 x 4 x 4"),
            (Image::zeros(1, 0, 4), "nothing to draw"),
            (short, "3 values"),
            (holed, "row 1, column 1"),
        ] {
            let error = save_png(&image, &path).unwrap_err();
            assert!(matches!(error, Error::Input(_)));
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = save_png(&Image::zeros(1, 1, 1), "/no/such/folder/a.png").unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("cannot write /no/such/folder/a.png"));
        assert!(matches!(error, Error::Io { .. }));
    }
}
