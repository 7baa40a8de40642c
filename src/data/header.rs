//! What the header of an image file tells.

use std::path::Path;

use ::image::{ImageDecoder, ImageReader, ImageResult};

use crate::{Error, Result, files};

/// How finely a picture tells values apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// 8 bits a sample.
    Eight,
    /// 16 bits.
    Sixteen,
}

impl Depth {
    /// The sample that stands for white, 1.
    pub fn white(self) -> f32 {
        match self {
            Self::Eight => 255.0,
            Self::Sixteen => 65535.0,
        }
    }
}

/// Bits of a sample, from the header of an image file: more than 8 count as 16.
///
/// # Errors
/// As [`shape`].
pub fn depth(path: &Path) -> Result<Depth> {
    header(path, |decoder| {
        let kind = decoder.color_type();
        Ok(match kind.bytes_per_pixel() > kind.channel_count() {
            true => Depth::Sixteen,
            false => Depth::Eight,
        })
    })
}

/// Channels, 1 or 3, rows and columns of an upright image, from the header of its file.
///
/// # Errors
/// [`Error::Io`] or [`Error::Input`] where it cannot be read.
pub fn shape(path: &Path) -> Result<[usize; 3]> {
    header(path, |decoder| {
        let channels = match decoder.color_type().has_color() {
            true => 3,
            false => 1,
        };
        let (width, height) = decoder.dimensions();
        let [height, width] = [height, width].map(|side| side as usize);
        Ok(match decoder.orientation()?.to_exif() {
            1..=4 => [channels, height, width],
            _ => [channels, width, height],
        })
    })
}

/// What the header of an image file tells.
fn header<T>(
    path: &Path,
    tells: impl FnOnce(&mut dyn ImageDecoder) -> ImageResult<T>,
) -> Result<T> {
    files::refuse_special(path)?;
    let read = || {
        let reader = ImageReader::open(path)?.with_guessed_format()?;
        tells(&mut reader.into_decoder()?)
    };
    read()
        .map_err(|error| Error::Input(format!("cannot use the image {}: {error}", path.display())))
}

/// The longer side of an image file in pixels, from its header; none where that cannot be read.
pub fn longer_side(path: &Path) -> Option<usize> {
    let [_, height, width] = shape(path).ok()?;
    Some(height.max(width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::DynamicImage;

    #[test]
    fn headers_tell_how_deep_a_picture_is() {
        let dir = tempfile::tempdir().unwrap();
        let picture = DynamicImage::new_rgb8(5, 4);
        for (name, picture, deep) in [
            ("a.png", picture.to_luma16().into(), true),
            ("b.png", picture.to_luma_alpha16().into(), true),
            ("c.png", picture.to_rgba16().into(), true),
            ("d.tiff", picture.to_rgb16().into(), true),
            ("e.pgm", picture.to_luma16().into(), true),
            ("f.png", picture.to_luma_alpha8().into(), false),
            ("g.jpg", picture.clone(), false),
            ("h.ppm", picture.clone(), false),
        ] {
            let (path, picture): (_, DynamicImage) = (dir.path().join(name), picture);
            picture.save(&path).unwrap();
            assert_eq!(depth(&path).unwrap() == Depth::Sixteen, deep, "{name}");
        }
    }

    #[test]
    fn the_longer_side_is_read_from_the_header() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg");
        DynamicImage::new_rgb8(40, 30).save(&path).unwrap();
        assert_eq!(longer_side(&path), Some(40));
        std::fs::write(&path, "text").unwrap();
        assert_eq!(longer_side(&path), None);
    }
}
