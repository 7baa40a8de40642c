//! Planes in a file, of which there is never more in memory than a window.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Image;
use crate::{Error, Result};

/// The parts of a length, `step` each, the last maybe shorter.
pub fn spans(length: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length)
        .step_by(step)
        .map(move |at| at..(at + step).min(length))
}

/// The rows and columns of the windows that an image is cut into, `side` each, row by row.
pub fn windows(
    [height, width]: [usize; 2],
    side: usize,
) -> impl Iterator<Item = [Range<usize>; 2]> {
    let of_rows =
        move |rows: Range<usize>| spans(width, side).map(move |columns| [rows.clone(), columns]);
    spans(height, side).flat_map(of_rows)
}

/// Planes `[C, H, W]` in a file of numbers in single precision, little-endian, to be read and written a window at a
/// time.
///
/// ```
/// use deconvnet::data::{Image, Raster};
///
/// let folder = tempfile::tempdir()?;
/// let raster = Raster::create(&folder.path().join("planes"), [2, 100, 80])?;
/// let mut window = Image::zeros(2, 3, 4);
/// window.plane_mut(1)[5] = 0.5;
/// raster.write(10, 20, &window)?;
/// assert_eq!(raster.read(10..13, 20..24)?, window);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Raster {
    file: File,
    path: PathBuf,
    shape: [usize; 3],
}

impl Raster {
    /// A file of zeros; one that is there is replaced.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, shape: [usize; 3]) -> Result<Self> {
        let file = File::create(path).and_then(|file| {
            file.set_len(bytes(shape))?;
            Ok(())
        });
        file.map_err(Error::io("write", path))?;
        Self::open(path, shape)
    }

    /// A file that is there.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Input`] where its length is not that of the shape.
    pub fn open(path: &Path, shape: [usize; 3]) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(Error::io("read", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        if length != bytes(shape) {
            return Err(Error::Input(format!(
                "{} has {length} bytes, and planes {shape:?} have {}; remove it",
                path.display(),
                bytes(shape)
            )));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            shape,
        })
    }

    /// `[C, H, W]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// A window of all planes.
    ///
    /// # Errors
    /// [`Error::Io`], also where the file was cut short.
    ///
    /// # Panics
    /// Where the window reaches over the border.
    pub fn read(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Image> {
        let mut window = Image::zeros(self.shape[0], rows.len(), columns.len());
        let mut raw = vec![0; 4 * columns.len()];
        for (k, line) in window.values.chunks_exact_mut(columns.len()).enumerate() {
            let row = rows.start + k % rows.len();
            self.seek(k / rows.len(), row, columns.clone())
                .and_then(|mut file| file.read_exact(&mut raw))
                .map_err(Error::io("read", &self.path))?;
            for (value, raw) in line.iter_mut().zip(raw.as_chunks().0) {
                *value = f32::from_le_bytes(*raw);
            }
        }
        Ok(window)
    }

    /// Writes a window of all planes from row `top` and column `left` on.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// Where the window reaches over the border.
    pub fn write(&self, top: usize, left: usize, window: &Image) -> Result<()> {
        let (height, width) = (window.height, window.width);
        for (k, line) in window.values.chunks_exact(width).enumerate() {
            let raw: Vec<u8> = line.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.seek(k / height, top + k % height, left..left + width)
                .and_then(|mut file| file.write_all(&raw))
                .map_err(Error::io("write", &self.path))?;
        }
        Ok(())
    }

    fn seek(&self, plane: usize, row: usize, columns: Range<usize>) -> std::io::Result<&File> {
        let [planes, height, width] = self.shape;
        assert!(
            plane < planes && row < height && columns.end <= width,
            "a window lies inside"
        );
        let at = 4 * ((plane * height + row) * width + columns.start) as u64;
        (&self.file).seek(SeekFrom::Start(at))?;
        Ok(&self.file)
    }
}

fn bytes(shape: [usize; 3]) -> u64 {
    4 * shape.iter().map(|&n| n as u64).product::<u64>()
}
