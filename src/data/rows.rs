//! Pictures read row by row.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageBuffer};
use png::{BitDepth, ColorType, Transformations};

use super::{Image, Raster, folder};
use crate::{Error, Result, files};

/// A picture that is read row by row, so that it is never whole in memory: a PNG that is not interlaced, or a binary
/// PGM or PPM. The pixels are those of [`folder::read`].
pub struct Rows {
    kind: Kind,
    size: [usize; 2],
    name: String,
}

enum Kind {
    Png(Box<png::Reader<BufReader<File>>>),
    /// Samples a pixel, and whether they have two bytes.
    Pnm(BufReader<File>, usize, bool),
}

impl Rows {
    /// Opens a picture.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Input`] where it is damaged or not to be read row by row.
    pub fn open(path: &Path) -> Result<Self> {
        files::refuse_special(path)?;
        let file = File::open(path).map_err(Error::io("read", path))?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        let name = path.display().to_string();
        let start = file.fill_buf().map_err(Error::io("read", path))?;
        let opened = match start {
            [0x89, b'P', b'N', b'G', ..] => open_png(file),
            [b'P', b'5' | b'6', ..] => open_pnm(file),
            _ => Err("it is neither a PNG nor a binary PGM or PPM".to_owned()),
        };
        let (kind, size) = opened.map_err(|why| unusable(&name, &why))?;
        Ok(Self { kind, size, name })
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The next row, of one or three channels; pixels in `[0, 1]`.
    ///
    /// # Errors
    /// [`Error::Input`] where the file is damaged or cut short.
    pub fn next(&mut self, colour: bool) -> Result<Image> {
        let row = match &mut self.kind {
            Kind::Png(reader) => {
                let (kind, depth) = reader.output_color_type();
                match reader.next_row() {
                    Ok(Some(row)) => picture(row.data(), kind, depth == BitDepth::Sixteen),
                    Ok(None) => Err("it has too few rows".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            }
            Kind::Pnm(file, samples, deep) => {
                let mut row = vec![0; self.size[1] * *samples * (1 + usize::from(*deep))];
                let kind = match samples {
                    1 => ColorType::Grayscale,
                    _ => ColorType::Rgb,
                };
                match file.read_exact(&mut row) {
                    Ok(()) => picture(&row, kind, *deep),
                    Err(error) => Err(error.to_string()),
                }
            }
        };
        let row = row.map_err(|why| unusable(&self.name, &why))?;
        Ok(folder::opaque(&row, colour))
    }

    /// Ends after the last row.
    ///
    /// # Errors
    /// [`Error::Input`] where what follows is damaged.
    pub fn finish(self) -> Result<()> {
        match self.kind {
            Kind::Png(mut reader) => reader
                .finish()
                .map_err(|error| unusable(&self.name, &error.to_string())),
            Kind::Pnm(..) => Ok(()),
        }
    }
}

/// What is known of a picture that was read row by row.
#[derive(Clone, Copy, Debug)]
pub struct Survey {
    /// `[C, H, W]`.
    pub shape: [usize; 3],
    /// Of the pixels.
    pub crc32: u32,
    /// Whether the pixels of each channel are all alike.
    pub flat: bool,
    /// Whether all channels are alike.
    pub grey: bool,
}

/// Reads a picture row by row, in one channel or three, into a [`Raster`] where a file for one is given.
///
/// # Errors
/// As [`Rows`], and [`Error::Io`] for the file.
pub fn survey(picture: &Path, channels: usize, file: Option<&Path>) -> Result<Survey> {
    if ![1, 3].contains(&channels) {
        return Err(Error::Input(format!(
            "{} is a picture, of one channel or three, where {channels} are needed",
            picture.display()
        )));
    }
    let mut rows = Rows::open(picture)?;
    let [height, width] = rows.size();
    let shape = [channels, height, width];
    let raster = file.map(|file| Raster::create(file, shape)).transpose()?;
    let mut hasher = crc32fast::Hasher::new();
    let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); channels];
    let mut grey = true;
    for i in 0..height {
        let row = rows.next(channels == 3)?;
        for (c, (low, high)) in ranges.iter_mut().enumerate() {
            grey &= row.plane(c) == row.plane(0);
            for &value in row.plane(c) {
                hasher.update(&value.to_le_bytes());
                (*low, *high) = (low.min(value), high.max(value));
            }
        }
        if let Some(raster) = &raster {
            raster.write(i, 0, &row)?;
        }
    }
    rows.finish()?;
    Ok(Survey {
        shape,
        crc32: hasher.finalize(),
        flat: ranges.iter().all(|(low, high)| low == high),
        grey,
    })
}

fn unusable(name: &str, why: &str) -> Error {
    Error::Input(format!(
        "cannot read the image {name} row by row: {why}; replace the file, or convert it to PNG without interlacing"
    ))
}

type Opened = std::result::Result<(Kind, [usize; 2]), String>;

fn open_png(file: BufReader<File>) -> Opened {
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(Transformations::EXPAND);
    let reader = decoder.read_info().map_err(|error| error.to_string())?;
    let info = reader.info();
    if info.interlaced {
        return Err("it is interlaced".into());
    }
    let exif = info.exif_metadata.as_deref();
    let turned = exif.and_then(Orientation::from_exif_chunk);
    if turned.is_some_and(|turned| turned != Orientation::NoTransforms) {
        return Err("its camera noted that it is to be turned".into());
    }
    let size = [info.height as usize, info.width as usize];
    Ok((Kind::Png(Box::new(reader)), size))
}

fn open_pnm(mut file: BufReader<File>) -> Opened {
    let mut numbers = Vec::new();
    let (mut word, mut comment) = (String::new(), false);
    for byte in (&mut file).bytes() {
        let byte = byte.map_err(|error| error.to_string())?;
        match byte {
            b'\n' | b'\r' => comment = false,
            _ if comment => continue,
            b'#' => comment = true,
            _ if !byte.is_ascii_whitespace() => {
                word.push(byte.into());
                if word.len() > 12 {
                    break;
                }
                continue;
            }
            _ => {}
        }
        if !word.is_empty() {
            numbers.push(std::mem::take(&mut word));
        }
        // One white space after the last, and the pixels begin.
        if numbers.len() == 4 {
            break;
        }
    }
    let number = |k: usize| numbers.get(k).and_then(|word| word.parse().ok());
    let (Some(width @ 1..), Some(height @ 1..), Some(white @ (255 | 65535))) =
        (number(1), number(2), number(3))
    else {
        return Err("its header does not tell a size and a white of 255 or 65535".into());
    };
    let samples = if numbers[0] == "P5" { 1 } else { 3 };
    let deep = white == 65535;
    Ok((Kind::Pnm(file, samples, deep), [height, width]))
}

/// A row of samples, those of two bytes big-endian, as a picture.
fn picture(row: &[u8], kind: ColorType, deep: bool) -> std::result::Result<DynamicImage, String> {
    let samples = kind.samples();
    let width = row.len() / samples / (1 + usize::from(deep));
    let width = u32::try_from(width).map_err(|error| error.to_string())?;
    let pairs = || row.as_chunks().0.iter().copied().map(u16::from_be_bytes);
    macro_rules! of {
        ($shallow:ident, $deep:ident) => {
            match deep {
                false => ImageBuffer::from_raw(width, 1, row.to_vec()).map(DynamicImage::$shallow),
                true => ImageBuffer::from_raw(width, 1, pairs().collect()).map(DynamicImage::$deep),
            }
        };
    }
    let picture = match samples {
        1 => of!(ImageLuma8, ImageLuma16),
        2 => of!(ImageLumaA8, ImageLumaA16),
        3 => of!(ImageRgb8, ImageRgb16),
        _ => of!(ImageRgba8, ImageRgba16),
    };
    picture.ok_or_else(|| "a row is cut short".into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::resize::paste;

    fn read(path: &Path, colour: bool) -> Result<Image> {
        let mut rows = Rows::open(path)?;
        let [height, width] = rows.size();
        let mut image = Image::zeros(if colour { 3 } else { 1 }, height, width);
        for i in 0..height {
            let row = rows.next(colour)?;
            paste(&mut image, &row, [i, 0]);
        }
        rows.finish()?;
        Ok(image)
    }

    #[test]
    fn rows_are_those_of_the_picture() {
        let dir = tempfile::tempdir().unwrap();
        let busy = ::image::RgbaImage::from_fn(40, 30, |x, y| {
            ::image::Rgba([x * 37 + y * 11, x * y * 3, x * 5 + y * 91, 200 + y].map(|v| v as u8))
        });
        let busy = DynamicImage::from(busy);
        for (name, picture) in [
            ("rgba.png", busy.clone()),
            ("rgb.png", busy.to_rgb8().into()),
            ("grey.png", busy.to_luma8().into()),
            ("alpha.png", busy.to_luma_alpha8().into()),
            ("deep.png", busy.to_rgb16().into()),
        ] {
            let path = dir.path().join(name);
            picture.save(&path).unwrap();
            check(&path);
        }
        for (name, header, samples) in [
            ("grey.pgm", "P5\n# by hand\n40 30\n255\n", 1),
            ("deep.ppm", "P6 40 30 65535 ", 6),
        ] {
            let path = dir.path().join(name);
            let pixels = busy.to_rgb8().into_raw().into_iter().cycle();
            let pixels: Vec<u8> = pixels.take(1200 * samples).collect();
            fs::write(&path, [header.as_bytes(), &pixels].concat()).unwrap();
            check(&path);
        }
        let path = dir.path().join("a.bmp");
        busy.to_rgb8().save(&path).unwrap();
        says!(read(&path, true).unwrap_err(), "neither a PNG");
    }

    /// Reads a picture whole and row by row, and cut short.
    fn check(path: &Path) {
        for colour in [false, true] {
            let whole = folder::read(path, colour, None).unwrap();
            let by_rows = read(path, colour).unwrap();
            assert_eq!(by_rows, whole, "{} {colour}", path.display());
        }
        let bytes = fs::read(path).unwrap();
        for part in [3, bytes.len() / 2, bytes.len() - 20] {
            fs::write(path, &bytes[..part]).unwrap();
            says!(read(path, true).unwrap_err(), "row by row");
        }
    }
}
