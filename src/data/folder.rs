//! Reading image files.

use std::io::Cursor;
use std::path::Path;

use ::image::imageops::{self, FilterType};
use ::image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits,
    Rgb32FImage, RgbaImage,
};

use super::{Image, jpeg};
use crate::{Error, Result, files};

/// The most bytes of a decoded image, and of one that is then scaled down.
const DECODED: u64 = 512 << 20;
const SCALED: u64 = 4 << 30;
/// Images of more pixels than this are averaged over blocks before they are scaled down.
const LARGE: u64 = 1 << 25;

/// Reads an image file: three channels if `colour`, else one, with pixels in `[0, 1]`.
///
/// The pixels are those stored, `value / 255` or `value / 65535`, without a change of colour
/// space. Grey is Rec. 601 luma, `0.299 R + 0.587 G + 0.114 B`. Where the image is transparent, it
/// is laid over white; a BMP that is transparent everywhere is taken as opaque, for many programs leave
/// its fourth channel at 0, which in other formats they write on purpose. A photograph is turned upright
/// as its camera noted. With `max_side`, an image whose longer side exceeds it is scaled down to it
/// (Lanczos filter, proportions kept; from 2^25 pixels on after averages over blocks that leave twice the
/// side or more). Of a file of several pictures, such as a TIFF of several pages or a GIF that moves, the
/// first is read.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Input`], naming the file, if it is broken or
/// damaged as far as its format tells (PNG has checksums; of JPEG the coded data must add up), cut
/// short, of an unknown format, empty or too large (over 512 MiB decoded, or 4 GiB with `max_side`), or if that
/// is zero.
///
/// # Examples
///
/// ```no_run
/// let image = deconvnet::data::folder::read("photo.jpg".as_ref(), false, Some(150))?;
/// assert_eq!(image.channels, 1);
/// assert!(image.height.max(image.width) <= 150);
/// # Ok::<(), deconvnet::Error>(())
/// ```
pub fn read(path: &Path, colour: bool, max_side: Option<usize>) -> Result<Image> {
    if max_side == Some(0) {
        return Err(Error::Input(
            "images cannot be scaled down to a longest side of 0 pixels: give at least 1".into(),
        ));
    }
    let bytes = files::read(path)?;
    let unusable = |why: String| {
        Error::Input(format!(
            "cannot use the image {}: {why}; replace or remove the file",
            path.display()
        ))
    };
    if bytes.is_empty() {
        return Err(unusable("the file is empty".into()));
    }
    jpeg::check(&bytes).map_err(unusable)?;
    // Some decoders put their reasons on several lines.
    let on_one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (most, advice) = match max_side {
        None => (
            DECODED,
            "images of over 512 MiB are read only if they are to be scaled down",
        ),
        Some(_) => (SCALED, "images of over 4 GiB are not read"),
    };
    let decoded = decode(&bytes, most).map_err(|error| {
        let text = on_one_line(error.to_string());
        unusable(match error {
            ImageError::Limits(_) => format!("{text}: {advice}"),
            _ => text,
        })
    })?;
    let image = planes(&shrink(blocks(&decoded, max_side), max_side), colour);
    image.check().map_err(|e| unusable(e.to_string()))?;
    Ok(image)
}

/// Decodes to at most `most` bytes, and turns the picture upright.
///
/// The format is told by the content, not by the name.
fn decode(bytes: &[u8], most: u64) -> ImageResult<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(most);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits.clone());
    let is_bmp = reader.format() == Some(ImageFormat::Bmp);
    let mut decoder = reader.into_decoder()?;
    // The reader limits what the decoder allocates for itself; the pixels are counted here.
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let unused_alpha = |pixels: &RgbaImage| pixels.pixels().all(|pixel| pixel.0[3] == 0);
    match is_bmp && image.as_rgba8().is_some_and(unused_alpha) {
        true => Ok(image.to_rgb8().into()),
        false => Ok(image),
    }
}

fn over_white(image: &DynamicImage) -> Rgb32FImage {
    if !image.color().has_alpha() {
        return image.to_rgb32f();
    }
    let source = image.to_rgba32f();
    let mut flat = Rgb32FImage::new(source.width(), source.height());
    for (to, from) in flat.pixels_mut().zip(source.pixels()) {
        let [r, g, b, a] = from.0;
        to.0 = [r, g, b].map(|v| a * v + (1.0 - a));
    }
    flat
}

/// A picture over white, of three channels if `colour`, else of one.
pub(super) fn opaque(image: &DynamicImage, colour: bool) -> Image {
    planes(&over_white(image), colour)
}

/// The pixels over white; of an image far larger than `max_side`, means over square blocks, worked out
/// strip by strip, since all pixels as floating-point numbers would take gigabytes.
fn blocks(image: &DynamicImage, max_side: Option<usize>) -> Rgb32FImage {
    let (width, height) = (image.width(), image.height());
    let block = block_side([height, width], max_side);
    if block < 2 {
        return over_white(image);
    }
    let (columns, rows) = (width.div_ceil(block), height.div_ceil(block));
    let mut means = Rgb32FImage::new(columns, rows);
    for row in 0..rows {
        let top = row * block;
        let strip = over_white(&image.crop_imm(0, top, width, block.min(height - top)));
        for (x, _, pixel) in strip.enumerate_pixels() {
            let count = block.min(width - x / block * block) * strip.height();
            let mean = &mut means.get_pixel_mut(x / block, row).0;
            for (mean, value) in mean.iter_mut().zip(pixel.0) {
                *mean += value / count as f32;
            }
        }
    }
    means
}

/// The side of the blocks that an image of a height and width is averaged over before it is scaled down.
pub(super) fn block_side([height, width]: [u32; 2], max_side: Option<usize>) -> u32 {
    let side = max_side.and_then(|side| u32::try_from(side).ok());
    match u64::from(width) * u64::from(height) > LARGE {
        true => side.map_or(1, |side| {
            (width.max(height) / side.saturating_mul(2)).max(1)
        }),
        false => 1,
    }
}

/// The height and width that an image, averaged over blocks if it was large, is scaled down to.
pub(super) fn scaled_down(size: [u32; 2], max_side: Option<usize>) -> [u32; 2] {
    let longer = size[0].max(size[1]);
    match max_side.and_then(|side| u32::try_from(side).ok()) {
        Some(side) if side < longer => size.map(|n| {
            let exact = f64::from(n) * f64::from(side) / f64::from(longer);
            (exact.round() as u32).max(1)
        }),
        _ => size,
    }
}

fn shrink(image: Rgb32FImage, max_side: Option<usize>) -> Rgb32FImage {
    let (width, height) = image.dimensions();
    let [rows, columns] = scaled_down([height, width], max_side);
    match [rows, columns] == [height, width] {
        true => image,
        false => imageops::resize(&image, columns, rows, FilterType::Lanczos3),
    }
}

/// Interleaved pixels to planes, or to one plane of luma. The clamp takes back the overshoot of
/// the Lanczos filter.
fn planes(image: &Rgb32FImage, colour: bool) -> Image {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut out = Image::zeros(if colour { 3 } else { 1 }, height, width);
    let n = width * height;
    for (k, pixel) in image.pixels().enumerate() {
        let rgb = pixel.0.map(|v| v.clamp(0.0, 1.0));
        if colour {
            for (c, v) in rgb.into_iter().enumerate() {
                out.values[c * n + k] = v;
            }
        } else {
            let [r, g, b] = rgb.map(f64::from);
            out.values[k] = (0.299 * r + 0.587 * g + 0.114 * b) as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
    use std::fs::{self, File, write};
    use std::io::Write;

    fn error(result: Result<impl std::fmt::Debug>) -> String {
        result.unwrap_err().to_string()
    }

    /// A picture that no coder can squeeze to nothing.
    fn busy(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([x * 37 + y * 11, x * y * 3, x * 5 + y * 91].map(|v| v as u8))
        })
    }

    #[test]
    fn keeps_the_precision_of_8_and_16_bits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep.png");
        ::image::ImageBuffer::<Luma<u16>, _>::from_fn(3, 2, |x, y| Luma([(1000 * x + y) as u16]))
            .save(&path)
            .unwrap();
        let image = read(&path, false, None).unwrap();
        assert_eq!(image.shape(), [1, 2, 3]);
        let expected = [0, 1000, 2000, 1, 1001, 2001].map(|v| v as f32 / 65535.0);
        assert_eq!(image.values, expected);

        let path = dir.path().join("shallow.bmp");
        let pixel = RgbImage::from_pixel(1, 1, Rgb([255, 51, 7]));
        pixel.save(&path).unwrap();
        let image = read(&path, true, None).unwrap();
        assert_eq!(image.values, [1.0, 0.2, 7.0 / 255.0]);
        let grey = read(&path, false, None).unwrap().values[0];
        let luma: f64 = 0.299 + 0.587 * 0.2 + 0.114 * 7.0 / 255.0;
        assert!((f64::from(grey) - luma).abs() < 1e-7);
    }

    #[test]
    fn lays_transparent_pixels_over_white() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clear.png");
        let mut source = RgbaImage::from_pixel(2, 1, Rgba([255, 0, 0, 0]));
        source.put_pixel(1, 0, Rgba([255, 0, 0, 51]));
        source.save(&path).unwrap();
        let image = read(&path, true, None).unwrap();
        for (value, expected) in image.values.iter().zip([1.0, 1.0, 1.0, 0.8, 1.0, 0.8]) {
            assert!((value - expected).abs() < 1e-6, "{:?}", image.values);
        }
    }

    #[test]
    fn scales_down_but_never_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wide.png");
        let grey = RgbImage::from_pixel(90, 30, Rgb([51; 3]));
        grey.save(&path).unwrap();
        let shape = |side| read(&path, true, side).unwrap().shape();
        assert_eq!(shape(Some(45)), [3, 15, 45]);
        assert_eq!(shape(Some(1)), [3, 1, 1]);
        assert_eq!(shape(Some(usize::MAX)), [3, 30, 90]);
        let small = read(&path, true, Some(10)).unwrap();
        assert!(small.values.iter().all(|v| (v - 0.2).abs() < 1e-5));
        assert!(error(read(&path, true, Some(0))).contains("0 pixels"));
    }

    #[test]
    fn a_huge_scan_is_read_if_it_is_scaled_down() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scan.pgm");
        // Too much to be read as it is; most of the file is a hole.
        let mut file = File::create(&path).unwrap();
        file.write_all(b"P5 23000 24000 255\n\xff").unwrap();
        file.set_len(23_000 * 24_000 + 19).unwrap();
        let message = error(read(&path, false, None));
        says!(message, "only if they are to be scaled down");
        let image = read(&path, false, Some(24)).unwrap();
        assert_eq!(image.shape(), [1, 24, 23]);
        // One white pixel of a block of a million.
        assert!(image.values.iter().all(|&v| v < 1e-5));
    }

    #[test]
    fn blocks_of_a_large_image_are_averaged() {
        let image = GrayImage::from_fn(6000, 5999, |x, _| Luma([if x < 3000 { 51 } else { 204 }]));
        let image = DynamicImage::from(image);
        let means = blocks(&image, Some(100));
        assert_eq!(means.dimensions(), (200, 200));
        for (x, expected) in [(0, 0.2), (99, 0.2), (100, 0.8), (199, 0.8)] {
            let found = means.get_pixel(x, 199).0[0];
            assert!((found - expected).abs() < 1e-5, "{found}");
        }
        assert_eq!(blocks(&image, Some(3001)).dimensions(), (6000, 5999));
    }

    #[test]
    fn of_several_pictures_in_a_file_the_first_is_read() {
        use ::image::codecs::gif::GifEncoder;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("moving.gif");
        let mut encoder = GifEncoder::new(File::create(&path).unwrap());
        for red in [255, 0] {
            let frame = RgbaImage::from_pixel(4, 3, Rgba([red, 0, 0, 255]));
            encoder.encode_frame(::image::Frame::new(frame)).unwrap();
        }
        drop(encoder);
        let image = read(&path, true, None).unwrap();
        assert_eq!((image.shape(), image.values[0]), ([3, 3, 4], 1.0));
    }

    #[test]
    fn every_bad_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes, why) in [
            ("empty.png", &b""[..], "empty"),
            ("text.png", b"this is no image at all", "format"),
            ("flat.pgm", b"P5 0 4 255\n", ""),
            ("huge.ppm", b"P6 20000 20000 255\n", "emory limit"),
        ] {
            let path = dir.path().join(name);
            write(&path, bytes).unwrap();
            let message = error(read(&path, true, None));
            assert!(message.contains(name) && message.contains(why), "{message}");
        }
        assert!(error(read(&dir.path().join("gone.png"), true, None)).contains("gone.png"));
        assert!(error(read(dir.path(), true, None)).contains("cannot read"));
    }

    #[test]
    fn files_cut_short_are_errors_in_every_format() {
        let dir = tempfile::tempdir().unwrap();
        for format in ["png", "jpg", "bmp", "ppm", "webp", "tiff", "gif"] {
            let name = &format!("a.{format}");
            let path = dir.path().join(name);
            busy(40, 30).save(&path).unwrap();
            assert_eq!(read(&path, true, None).unwrap().shape(), [3, 30, 40]);
            let whole = fs::read(&path).unwrap();
            for part in [8, whole.len() / 2, whole.len() * 9 / 10] {
                write(&path, &whole[..part]).unwrap();
                let message = error(read(&path, true, None));
                says!(message, name, "replace or remove");
            }
        }
    }

    /// A BMP with a mask for a fourth channel, of 2 x 1 pixels as they are stored: blue, green, red, alpha.
    fn bmp_with_alpha(pixels: [[u8; 4]; 2]) -> Vec<u8> {
        let mut header = vec![0_u8; 14 + 108];
        header[..2].copy_from_slice(b"BM");
        let masks = [0x00FF_0000, 0x0000_FF00, 0x0000_00FF, 0xFF00_0000];
        let places = [2, 10, 14, 18, 22, 30, 34];
        let numbers = places.into_iter().zip([130, 122, 108, 2, 1, 3, 8]);
        let masks = (54..).step_by(4).zip(masks);
        for (at, value) in numbers.chain(masks) {
            header[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        }
        header[26] = 1;
        header[28] = 32;
        [header, pixels.concat()].concat()
    }

    #[test]
    fn an_alpha_channel_of_zeros_is_none_in_a_bmp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v4.bmp");
        write(&path, bmp_with_alpha([[0, 51, 255, 0], [255, 0, 0, 0]])).unwrap();
        let image = read(&path, true, None).unwrap();
        assert_eq!(image.values, [1.0, 0.0, 0.2, 0.0, 0.0, 1.0]);
        // One that is used is meant.
        write(&path, bmp_with_alpha([[0, 51, 255, 0], [255, 0, 0, 255]])).unwrap();
        let image = read(&path, true, None).unwrap();
        assert_eq!(image.values, [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn damaged_pixels_are_told_where_the_format_can_tell() {
        let dir = tempfile::tempdir().unwrap();
        let (mut damaged, mut told) = (0, 0);
        for name in ["a.png", "a.jpg"] {
            let path = dir.path().join(name);
            busy(160, 120).save(&path).unwrap();
            let whole = fs::read(&path).unwrap();
            // A stretch of zeros in the middle and up to the end marker.
            for end in [whole.len() - 2, whole.len() / 2 + 200] {
                let mut zeroed = whole.clone();
                zeroed[whole.len() / 2..end].fill(0);
                write(&path, zeroed).unwrap();
                let message = error(read(&path, true, None));
                says!(message, name, "replace or remove");
            }
            for first in 0..20 {
                let mut flipped = whole.clone();
                for i in 0..6 {
                    let at = whole.len() / 3 + (first * 977 + i * 1409) % (whole.len() / 2);
                    flipped[at] ^= 0x5A;
                }
                write(&path, flipped).unwrap();
                damaged += 1;
                told += usize::from(read(&path, true, None).is_err());
            }
        }
        assert!(told * 20 >= damaged * 19, "{told} of {damaged}");
    }

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end_of_the_picture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg");
        busy(40, 30).save(&path).unwrap();
        let plain = fs::read(&path).unwrap();
        // An application segment of 8 bytes that holds an end marker, and a trailer as some
        // cameras add it.
        let segment = [0xFF, 0xEA, 0, 8, 0xFF, 0xDA, 0xFF, 0xD9, 0, 0];
        let mut whole = [&plain[..2], &segment[..], &plain[2..]].concat();
        write(&path, &whole[..whole.len() * 3 / 4]).unwrap();
        assert!(error(read(&path, true, None)).contains("cut short"));
        whole.extend([0xFF, 0xDA, 1, 2, 3]);
        write(&path, &whole).unwrap();
        assert!(read(&path, true, None).is_ok());
    }
}
