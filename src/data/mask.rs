//! Masks in files: which pixels of an image are known.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::folder::{block_side, scaled_down};
use super::{Image, Reader, Weighted, array_file, folder, header};
use crate::arrays::{self, Array, Bundle};
use crate::{Error, Result};

const MASK: &str = "mask";
const WEIGHTS: &str = "weights";

/// The file of the mask of an image: `masks` itself, or in a folder that of the same name, as .png or with the ending of
/// the image, below it where the image lies below `images`. The sample scenes, without a path, share one.
///
/// # Errors
/// [`Error::Input`] where there is none.
pub fn mask_for(masks: &Path, images: Option<&Path>, image: Option<&Path>) -> Result<PathBuf> {
    let missing = |file: &Path, of: &Path| {
        Err(Error::Input(format!(
            "there is no mask {} of the image {}; give each image one, or one for all",
            file.display(),
            of.display()
        )))
    };
    let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io("find", path));
    if !masks.is_dir() {
        return absolute(masks);
    }
    let (Some(images), Some(image)) = (images, image) else {
        return Err(Error::Input(format!(
            "the sample scenes have no names by which {} could hold a mask of each; give one for all",
            masks.display()
        )));
    };
    let image = absolute(image)?;
    let image = array_file(&image).unwrap_or(&image);
    let root = absolute(images)?;
    let name = match image.strip_prefix(&root) {
        Ok(below) if below != Path::new("") => below,
        _ => Path::new(image.file_name().unwrap_or_default()),
    };
    let file = absolute(&masks.join(name))?;
    let picture = file.with_extension("png");
    let is_mask = |file: &PathBuf| file.is_file() && (file != image || arrays::is_bundle(file));
    match [&picture, &file].into_iter().find(|file| is_mask(file)) {
        Some(file) => Ok(file.clone()),
        None if arrays::is_bundle(image) => missing(&file, image),
        None => missing(&picture, image),
    }
}

/// Reads masks, and keeps the file that it read last.
///
/// A picture is a mask of all channels: black is missing. A file of arrays holds `mask`, in which 0 is missing, or
/// `weights`, 0 and above, with the axes of its images or without the first ones, for all images and channels alike.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    last: Arc<Mutex<Option<Arc<Stored>>>>,
}

/// What a file holds.
#[derive(Debug)]
struct Stored {
    path: PathBuf,
    array: Array,
}

impl Masks {
    /// Weighs an image, which was read from `path` by `reader`, by a mask. Where it was scaled down a pixel has the least
    /// weight of those that it was made from.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] where the mask cannot be read, is of another size, or leaves no pixel.
    pub fn weigh(
        &self,
        image: Image,
        (path, reader): (Option<&Path>, &Reader),
        max_side: Option<usize>,
        mask: &Path,
    ) -> Result<Weighted> {
        let number = path.map(|path| reader.number(path)).transpose()?.flatten();
        let channels = image.channels;
        // Neither arrays nor the sample scenes are scaled down.
        let picture = path.filter(|_| number.is_none() && max_side.is_some());
        let [_, rows, columns] = picture.map_or(Ok(image.shape()), header::shape)?;
        let of = path.map_or(String::new(), |path| format!(" {}", path.display()));
        let weights = self.weights([channels, rows, columns], (number, of.as_str()), mask)?;
        let size = |weights: &Image| [weights.height, weights.width];
        let whole = size(&weights);
        let weights = least_of_sources(weights, max_side.filter(|_| picture.is_some()));
        // Of those missing everywhere the file tells by itself.
        if size(&weights) != whole && weights.values.iter().all(|&m| m == 0.0) {
            return Err(Error::Input(format!(
                "the mask {}{of}, scaled down with its image to {} x {} pixels, leaves none: a pixel is known where all \
                 around it are that it is made from; scale down less, or not at all",
                mask.display(),
                weights.height,
                weights.width
            )));
        }
        Weighted::new(image, weights).map_err(|error| {
            Error::Input(format!(
                "the mask {} of the image{of}: {error}",
                mask.display()
            ))
        })
    }

    /// Which pixels of a single image are missing, row by row: those of which a channel is.
    ///
    /// # Errors
    /// As [`Masks::weigh`], and [`Error::Input`] where none is missing.
    pub fn missing(&self, shape: [usize; 3], mask: &Path) -> Result<Vec<bool>> {
        let weights = self.weights(shape, (None, ""), mask)?;
        let mut missing = vec![false; shape[1] * shape[2]];
        for plane in weights.values.chunks_exact(missing.len()) {
            let each = missing.iter_mut().zip(plane);
            each.for_each(|(missing, weight)| *missing |= *weight == 0.0);
        }
        match missing.contains(&true) {
            true => Ok(missing),
            false => Err(Error::Input(format!(
                "the mask {} has no black pixel, so nothing is missing; black, or 0, marks what is to be filled in",
                mask.display()
            ))),
        }
    }

    /// The weights of an image of a shape; `of` says which image it is, in words.
    fn weights(
        &self,
        shape: [usize; 3],
        (number, of): (Option<[usize; 2]>, &str),
        mask: &Path,
    ) -> Result<Image> {
        let stored = self.open(mask)?;
        stored.weights(shape, number).ok_or_else(|| {
            let [channels, height, width] = shape;
            Error::Input(format!(
                "the mask {} has the shape {:?} and the image{of} {channels} channels of {height} x {width} pixels; both \
                 must be of one size",
                mask.display(),
                stored.array.shape
            ))
        })
    }

    /// Whether a mask can be read and leaves any pixel.
    ///
    /// # Errors
    /// As [`Masks::weigh`].
    pub fn check(&self, mask: &Path) -> Result<()> {
        self.open(mask).map(drop)
    }

    fn open(&self, path: &Path) -> Result<Arc<Stored>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stored) = last.as_ref().filter(|stored| stored.path == path) {
            return Ok(Arc::clone(stored));
        }
        let stored = Arc::new(Stored::read(path)?);
        *last = Some(Arc::clone(&stored));
        Ok(stored)
    }
}

impl Stored {
    fn read(path: &Path) -> Result<Self> {
        let array = match arrays::is_bundle(path) {
            true => chosen(arrays::read(path)?, path)?,
            false => {
                let mask = folder::read(path, false, None)?;
                let known = mask.values.iter().map(|&v| f32::from(u8::from(v >= 0.5)));
                Array::new(vec![mask.height, mask.width], known.collect())?
            }
        };
        if array.values.iter().all(|&m| m == 0.0) {
            return Err(Error::Input(format!(
                "the mask {} leaves no pixel: every pixel is missing; white, or 1, marks what is known",
                path.display()
            )));
        }
        Ok(Self {
            path: path.to_path_buf(),
            array,
        })
    }

    /// The weights of an image of a shape and, among arrays, a number of so many; none where they do not fit.
    fn weights(
        &self,
        [channels, height, width]: [usize; 3],
        number: Option<[usize; 2]>,
    ) -> Option<Image> {
        let shape = &self.array.shape[..];
        let before = match shape {
            [before @ .., h, w] if [*h, *w] == [height, width] => before,
            // A signal.
            [before @ .., w] if [1, *w] == [height, width] => before,
            _ => return None,
        };
        let (count, own) = match *before {
            [] => (1, 1),
            [c] if number.is_none() && c == channels => (1, c),
            [n] => (n, 1),
            [n, c] => (n, c),
            _ => return None,
        };
        let at = match number {
            _ if count == 1 => 0,
            Some([i, n]) if n == count => i,
            _ => return None,
        };
        let length = own * height * width;
        [1, channels].contains(&own).then(|| Image {
            channels: own,
            height,
            width,
            values: self.array.values[at * length..][..length].to_vec(),
        })
    }
}

/// The array of a file that is a mask, 0 and 1, or holds weights.
fn chosen(mut bundle: Bundle, path: &Path) -> Result<Array> {
    let fail = |reason: String| Err(Error::Input(format!("{}: {reason}", path.display())));
    match [MASK, WEIGHTS].map(|name| bundle.arrays.remove(name)) {
        [Some(_), Some(_)] => fail("it holds both `mask` and `weights`; leave one of them".into()),
        [None, Some(weights)] => Ok(weights),
        [Some(mut mask), None] => {
            for value in &mut mask.values {
                *value = f32::from(u8::from(*value != 0.0));
            }
            Ok(mask)
        }
        [None, None] => fail(format!(
            "it holds {}; write which pixels are known as the array `mask`, 0 where one is missing, or how much each \
             counts as `weights`",
            bundle.contents()
        )),
    }
}

/// Weights of an image that was scaled down as [`folder::read`] does it: the least of all pixels that each was made from.
fn least_of_sources(weights: Image, max_side: Option<usize>) -> Image {
    let size = [weights.height, weights.width].map(|n| n as u32);
    let block = block_side(size, max_side);
    let rows_and_columns = size.map(|n| n.div_ceil(block));
    let weights = least(weights, rows_and_columns, |at, n, _| {
        [at * block, (at * block + block).min(n)]
    });
    let scaled = scaled_down(rows_and_columns, max_side);
    least(weights, scaled, |at, n, scaled| {
        // The reach of a Lanczos filter of three lobes, in single precision as the image is scaled.
        let ratio = n as f32 / scaled as f32;
        let (middle, reach) = ((at as f32 + 0.5) * ratio, 3.0 * ratio.max(1.0));
        let start = ((middle - reach).floor().max(0.0) as u32).min(n - 1);
        [start, ((middle + reach).ceil() as u32).clamp(start + 1, n)]
    })
}

/// The least of the weights between the ends that are told of each row and column at another size, from its number, the
/// old count and the new one.
fn least(weights: Image, size: [u32; 2], ends: impl Fn(u32, u32, u32) -> [u32; 2]) -> Image {
    let old = [weights.height, weights.width].map(|n| n as u32);
    if old == size {
        return weights;
    }
    let ranges = |axis: usize| -> Vec<[usize; 2]> {
        let all = (0..size[axis]).map(|at| ends(at, old[axis], size[axis]));
        all.map(|ends| ends.map(|end| end as usize)).collect()
    };
    let (rows, columns) = (ranges(0), ranges(1));
    let mut small = Image::zeros(weights.channels, rows.len(), columns.len());
    for c in 0..weights.channels {
        let plane = weights.plane(c);
        let out = small.plane_mut(c).chunks_exact_mut(columns.len());
        for (out, &[top, bottom]) in out.zip(&rows) {
            let mut line = vec![f32::INFINITY; weights.width];
            for row in plane[top * weights.width..bottom * weights.width].chunks(weights.width) {
                line.iter_mut().zip(row).for_each(|(l, m)| *l = l.min(*m));
            }
            for (out, &[left, right]) in out.iter_mut().zip(&columns) {
                *out = line[left..right]
                    .iter()
                    .copied()
                    .fold(f32::INFINITY, f32::min);
            }
        }
    }
    small
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn grey(path: &Path, size: [u32; 2], value: impl Fn(u32, u32) -> u8) {
        let [height, width] = size;
        ::image::GrayImage::from_fn(width, height, |x, y| ::image::Luma([value(x, y)]))
            .save(path)
            .unwrap();
    }

    #[test]
    fn masks_are_found_by_the_names_of_images() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for folder in ["images/sub", "masks/sub"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let (images, masks) = (root.join("images"), root.join("masks"));
        for name in [
            "masks/a.png",
            "masks/sub/b.bmp",
            "masks/x.npz",
            "images/a.png",
        ] {
            fs::write(root.join(name), "").unwrap();
        }
        let found = |image: &str| mask_for(&masks, Some(&images), Some(&images.join(image)));
        assert_eq!(found("a.jpg").unwrap(), masks.join("a.png"));
        assert_eq!(found("sub/b.bmp").unwrap(), masks.join("sub/b.bmp"));
        assert_eq!(found("x.npz/images-3").unwrap(), masks.join("x.npz"));
        let text = found("sub/c.jpg").unwrap_err().to_string();
        assert!(
            text.contains("sub/c.png") && text.contains("sub/c.jpg"),
            "{text}"
        );
        // No image is its own mask.
        assert!(mask_for(&images, Some(&images), Some(&images.join("a.png"))).is_err());
        let one = mask_for(&masks.join("a.png"), Some(&images), None).unwrap();
        assert_eq!(one, masks.join("a.png"));
        let text = mask_for(&masks, None, None).unwrap_err().to_string();
        assert!(text.contains("sample scenes"), "{text}");
    }

    /// Only pixels that no missing one reached are known, and where there are such, they are.
    #[test]
    fn of_a_scaled_image_a_pixel_is_known_where_all_its_sources_are() {
        let dir = tempfile::tempdir().unwrap();
        let [image, mask] = ["image.png", "mask.png"].map(|name| dir.path().join(name));
        let missing = |x: u32, y: u32| (40..45).contains(&x) && (20..50).contains(&y);
        grey(&mask, [80, 100], |x, y| if missing(x, y) { 0 } else { 255 });
        let weighed = [0, 255].map(|garbage| {
            let pixel = |x: u32, y: u32| (x * 7 + y * y * 3) as u8;
            let pixel = |x, y| if missing(x, y) { garbage } else { pixel(x, y) };
            grey(&image, [80, 100], pixel);
            let reader = Reader::default();
            let read = reader.read(&image, 1, Some(37)).unwrap();
            assert_eq!(read.shape(), [1, 30, 37]);
            let path = (Some(image.as_path()), &reader);
            let weighed = Masks::default().weigh(read.clone(), path, Some(37), &mask);
            (read, weighed.unwrap())
        });
        assert_eq!(weighed[0].1, weighed[1].1);
        let [black, white] = &weighed;
        let known = black.1.known(0).unwrap();
        for (at, known) in known.iter().enumerate() {
            // The ends of the reach have no weight.
            let differs = (black.0.values[at] - white.0.values[at]).abs() > 1e-6;
            assert!(!(differs && *known), "{at}");
        }
        let share = black.1.known_share();
        assert!((0.82..0.92).contains(&share), "{share}");
    }

    #[test]
    fn large_images_are_averaged_over_blocks_first() {
        let mut mask = Image {
            values: vec![1.0; 6000 * 6000],
            ..Image::zeros(1, 6000, 6000)
        };
        mask.values[3000 * 6000 + 3000] = 0.0;
        let small = least_of_sources(mask, Some(100));
        assert_eq!(small.shape(), [1, 100, 100]);
        let missing = small.values.iter().filter(|m| **m == 0.0).count();
        assert_eq!((missing, small.values[50 * 100 + 50]), (36, 0.0));
    }

    #[test]
    fn arrays_have_the_axes_of_their_images_or_the_last_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npz");
        let weigh = |name: &str, shape: &[usize], image: &str, wanted: [usize; 3]| {
            let mut bundle = Bundle::default();
            let axes: &[usize] = match wanted[1] {
                1 => &[2, wanted[0], wanted[2]],
                _ => &[2, wanted[0], wanted[1], wanted[2]],
            };
            let count = axes.iter().product();
            bundle.put(image, axes, vec![0.5; count]).unwrap();
            let count: usize = shape.iter().product();
            let values = (0..count).map(|i| (i % 5) as f32).collect();
            bundle.put(name, shape, values).unwrap();
            arrays::write(&path, &bundle, true).unwrap();
            let (reader, second) = (Reader::default(), path.join(format!("{image}-1")));
            let read = reader.read(&second, wanted[0], None).unwrap();
            let path = (Some(second.as_path()), &reader);
            let weighed = Masks::default().weigh(read, path, None, &dir.path().join("x.npz"));
            weighed.map(|weighed| weighed.weights().unwrap().clone())
        };
        for (shape, first) in [
            (&[2, 3, 4, 7][..], 84),
            (&[2, 1, 4, 7], 28),
            (&[2, 4, 7], 28),
            (&[1, 3, 4, 7], 0),
            (&[4, 7], 0),
        ] {
            let weights = weigh("weights", shape, "images", [3, 4, 7]).unwrap();
            assert_eq!(weights.values[0], (first % 5) as f32, "{shape:?}");
            assert_eq!(weights.values[2], ((first + 2) % 5) as f32, "{shape:?}");
        }
        for (shape, first) in [(&[2, 3, 7][..], 21), (&[2, 7], 7), (&[7], 0)] {
            let weights = weigh("weights", shape, "signals", [3, 1, 7]).unwrap();
            assert_eq!(weights.values[0], (first % 5) as f32, "{shape:?}");
        }
        let mask = weigh("mask", &[4, 7], "images", [3, 4, 7]).unwrap();
        assert_eq!(mask.values[..6], [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        for shape in [&[2, 4, 6][..], &[3, 4, 7], &[2, 2, 4, 7], &[7, 4]] {
            let text = weigh("mask", shape, "images", [3, 4, 7])
                .unwrap_err()
                .to_string();
            assert!(
                text.contains("x.npz") && text.contains("one size"),
                "{text}"
            );
        }
        let text = weigh("other", &[4, 7], "images", [3, 4, 7])
            .unwrap_err()
            .to_string();
        assert!(text.contains("`mask`"), "{text}");
    }
}
