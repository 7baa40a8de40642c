//! Images from pictures and from arrays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::scan::{Scan, search};
use super::{Image, folder};
use crate::arrays::{self, Bundle};
use crate::{Error, Result};

const IMAGES: &str = "images";
const SIGNALS: &str = "signals";

/// How arrays are to be laid out, for messages.
const LAYOUT: &str = "write images as the array `images`, [n, C, H, W] or [n, H, W], signals as `signals`, \
    [n, C, L] or [n, L], such as by numpy.savez(\"data.npz\", signals=x)";

/// Reads images, those of pictures and those of arrays. Of arrays it keeps the file that it read last.
///
/// A file of arrays, `.npz`, `.npy` or `.safetensors`, holds any number of images, of any number of channels
/// `C`, in the array of one of two names:
///
/// | array | axes | each image |
/// |---|---|---|
/// | `images` | `[n, C, H, W]` or `[n, H, W]` | `[C, H, W]` or `[1, H, W]` |
/// | `signals` | `[n, C, L]` or `[n, L]` | of height 1: `[C, 1, L]` or `[1, 1, L]` |
///
/// The one array of a `.npy` goes by the name of the file; under another name four axes are images, two are
/// signals, and three, which could be either, are refused. Numbers are taken as they are, but for unsigned
/// bytes, which are divided by 255 as those of pictures.
///
/// Image 7, from 0, of the array `signals` of `ecg.npz` has the path `ecg.npz/signals-7`.
///
/// ```
/// use deconvnet::{arrays::{Bundle, write}, data::Reader};
///
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("ecg.npz");
/// let mut bundle = Bundle::default();
/// bundle.put("signals", &[3, 2, 50], vec![0.5; 300])?;
/// write(&file, &bundle, false)?;
///
/// let reader = Reader::default();
/// let found = reader.find(&file, &[])?.images;
/// assert_eq!(found[2], file.join("signals-2"));
/// assert_eq!(reader.read(&found[2], 2, None)?.shape(), [2, 1, 50]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Reader {
    last: Arc<Mutex<Option<Arc<Stack>>>>,
}

/// The images of one file of arrays.
#[derive(Debug)]
struct Stack {
    path: PathBuf,
    name: &'static str,
    /// `[n, C, H, W]`
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Reader {
    /// The images that `path` stands for: a picture, one of the images of a file of arrays or all of them, or
    /// a folder of pictures, see [`super::scan::scan`]. A folder without any picture is taken for its files
    /// of arrays.
    ///
    /// # Errors
    /// Those of the search and of reading the arrays.
    pub fn find(&self, path: &Path, exclude: &[String]) -> Result<Scan> {
        let of = |images| Scan {
            images,
            remarks: Vec::new(),
        };
        if array_file(path).is_some() {
            return Ok(of(vec![path.to_path_buf()]));
        }
        if !path.is_dir() && arrays::is_bundle(path) {
            return Ok(of(self.open(path)?.paths()));
        }
        let (found, files) = search(path, exclude)?;
        if !found.images.is_empty() || files.is_empty() {
            let mut found = found.with_images(path)?;
            if !files.is_empty() {
                found.remarks.push(format!(
                    "left out: {} files of arrays, since there are pictures",
                    files.len()
                ));
            }
            return Ok(found);
        }
        let mut images = Vec::new();
        for file in files {
            images.extend(self.open(&file)?.paths());
        }
        Ok(Scan { images, ..found })
    }

    /// Reads the image at `path`, which must have so many channels: a picture by [`folder::read`], or one of
    /// a file of arrays, which is never scaled down.
    ///
    /// # Errors
    /// Those of [`folder::read`] and [`arrays::read`]; [`Error::Input`] for an image that is not there, not
    /// finite, of other channels, or of arrays and larger than `max_side`.
    pub fn read(&self, path: &Path, channels: usize, max_side: Option<usize>) -> Result<Image> {
        let Some((stack, i)) = self.place(path)? else {
            let image = folder::read(path, channels != 1, max_side)?;
            return with_channels(image, channels, path);
        };
        let image = stack.image(i);
        let place = |reason: String| Error::Input(format!("{}: {reason}", path.display()));
        image.check().map_err(|error| place(error.to_string()))?;
        let [_, height, width] = image.shape();
        if let Some(most) = max_side.filter(|&most| height.max(width) > most) {
            return Err(place(format!(
                "the image is {height} x {width}, and arrays are not scaled down to a longest side of {most}: \
                 make them smaller before, or lift that limit"
            )));
        }
        with_channels(image, channels, path)
    }

    /// The number of channels of an image of arrays, none of a picture.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn channels(&self, path: &Path) -> Result<Option<usize>> {
        Ok(self.place(path)?.map(|(stack, _)| stack.shape[1]))
    }

    /// The number of an image of arrays in its file, from 0, and how many there are; none of a picture.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn number(&self, path: &Path) -> Result<Option<[usize; 2]>> {
        Ok(self.place(path)?.map(|(stack, i)| [i, stack.shape[0]]))
    }

    /// The file of arrays that `path` leads into, and the number of the image there; none of a picture.
    fn place(&self, path: &Path) -> Result<Option<(Arc<Stack>, usize)>> {
        if let Some(file) = array_file(path) {
            let stack = self.open(file)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name.rsplit_once('-').and_then(|(array, number)| {
                let number = number.parse().ok()?;
                (array == stack.name && number < stack.shape[0]).then_some(number)
            });
            let number = number.ok_or_else(|| stack.has_no(&name))?;
            return Ok(Some((stack, number)));
        }
        if path.is_dir() || !arrays::is_bundle(path) {
            return Ok(None);
        }
        let stack = self.open(path)?;
        match stack.shape[0] {
            1 => Ok(Some((stack, 0))),
            _ => Err(stack.has_no("without a number")),
        }
    }

    fn open(&self, path: &Path) -> Result<Arc<Stack>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stack) = last.as_ref().filter(|stack| stack.path == path) {
            return Ok(Arc::clone(stack));
        }
        // Before the next one, lest both be in memory.
        *last = None;
        let stack = Arc::new(Stack::read(path)?);
        *last = Some(Arc::clone(&stack));
        Ok(stack)
    }
}

/// The file of arrays that a path leads into.
pub fn array_file(path: &Path) -> Option<&Path> {
    let file = path.parent()?;
    (arrays::is_bundle(file) && !file.is_dir()).then_some(file)
}

fn with_channels(image: Image, channels: usize, path: &Path) -> Result<Image> {
    match image.channels == channels {
        true => Ok(image),
        false => Err(Error::Input(format!(
            "{} has {} channels, where {channels} are expected: all images of a run have as many as its first",
            path.display(),
            image.channels
        ))),
    }
}

impl Stack {
    fn read(path: &Path) -> Result<Self> {
        let mut bundle = arrays::read(path)?;
        let fail = |reason: String| Error::Input(format!("{}: {reason}", path.display()));
        let (name, key) = chosen(&bundle, path)?;
        let bytes = bundle.bytes.contains(&key);
        let array = bundle.arrays.remove(&key).expect("it was chosen");
        let given = &array.shape[..];
        let shape = match (name, given) {
            (IMAGES, &[_, height, width, 1 | 3 | 4]) if height.min(width) >= 16 => {
                return Err(fail(format!(
                    "`{key}` of shape {given:?} looks like [n, H, W, C]; the channels come before the rows: \
                     numpy.moveaxis(x, -1, 1)"
                )));
            }
            (IMAGES, &[n, c, h, w]) => [n, c, h, w],
            (IMAGES, &[n, h, w]) => [n, 1, h, w],
            (SIGNALS, &[n, c, length]) => [n, c, 1, length],
            (SIGNALS, &[n, length]) => [n, 1, 1, length],
            _ => return Err(fail(format!("`{key}` has the shape {given:?}; {LAYOUT}"))),
        };
        if array.values.is_empty() {
            return Err(fail(format!("`{key}` of shape {given:?} is empty")));
        }
        let mut values = array.values;
        if bytes {
            values.iter_mut().for_each(|value| *value /= 255.0);
        }
        Ok(Self {
            path: path.to_path_buf(),
            name,
            shape,
            values,
        })
    }

    fn image(&self, i: usize) -> Image {
        let [_, channels, height, width] = self.shape;
        let length = channels * height * width;
        let values = self.values[i * length..(i + 1) * length].to_vec();
        Image::new([channels, height, width], values)
    }

    /// The paths of all images, with as many digits as the last one needs.
    fn paths(&self) -> Vec<PathBuf> {
        let digits = (self.shape[0] - 1).max(1).ilog10() as usize + 1;
        let name = |i: usize| format!("{}-{i:0digits$}", self.name);
        (0..self.shape[0])
            .map(|i| self.path.join(name(i)))
            .collect()
    }

    fn has_no(&self, name: &str) -> Error {
        let (file, array, n) = (self.path.display(), self.name, self.shape[0]);
        Error::Input(format!(
            "{file} has no image {name}; it holds {n}, {file}/{array}-0 to {file}/{array}-{}",
            n - 1
        ))
    }
}

/// What the images of a file are, images or signals, and the name of their array.
fn chosen(bundle: &Bundle, path: &Path) -> Result<(&'static str, String)> {
    let fail = |reason: String| Err(Error::Input(format!("{}: {reason}", path.display())));
    let there = [IMAGES, SIGNALS].map(|name| bundle.arrays.contains_key(name).then_some(name));
    match there {
        [Some(_), Some(_)] => {
            let both = "it holds both `images` and `signals`; put each into a file of its own";
            return fail(both.into());
        }
        [Some(name), _] | [_, Some(name)] => return Ok((name, name.into())),
        [None, None] => {}
    }
    for name in [IMAGES, SIGNALS] {
        if bundle.others.contains_key(name) {
            bundle.array(name, path)?;
        }
    }
    let is_single = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("npy"));
    match bundle.arrays.iter().next().filter(|_| is_single) {
        None => fail(format!("it holds {}; {LAYOUT}", bundle.contents())),
        Some((key, array)) => match array.shape.len() {
            2 => Ok((SIGNALS, key.clone())),
            4 => Ok((IMAGES, key.clone())),
            3 => fail(format!(
                "an array of three axes, here {:?}, may be images or signals; call the file images.npy or \
                 signals.npy, or {LAYOUT}",
                array.shape
            )),
            _ => fail(format!(
                "the array has the shape {:?}; {LAYOUT}",
                array.shape
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(folder: &Path, name: &str, arrays: &[(&str, &[usize])]) -> PathBuf {
        let path = folder.join(name);
        let mut bundle = Bundle::default();
        for (array, shape) in arrays {
            let count = shape.iter().product();
            let values = (0..count).map(|i: usize| i as f32).collect();
            bundle.put(*array, shape, values).unwrap();
        }
        arrays::write(&path, &bundle, true).unwrap();
        path
    }

    /// A `.npy` as numpy writes it.
    fn npy(path: &Path, kind: &str, shape: &str, bytes: &[u8]) {
        let line = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let length = u16::try_from(line.len()).unwrap().to_le_bytes();
        let whole = [b"\x93NUMPY\x01\x00", &length[..], line.as_bytes(), bytes].concat();
        fs::write(path, whole).unwrap();
    }

    fn refused(path: &Path) -> String {
        Reader::default().find(path, &[]).unwrap_err().to_string()
    }

    #[test]
    fn names_say_what_axes_mean() {
        let dir = tempfile::tempdir().unwrap();
        let reader = Reader::default();
        for (array, shape, wanted) in [
            ("images", &[2, 4, 5][..], [1, 4, 5]),
            ("images", &[2, 7, 4, 5], [7, 4, 5]),
            ("signals", &[2, 9], [1, 1, 9]),
            ("signals", &[2, 3, 9], [3, 1, 9]),
        ] {
            let path = file(dir.path(), "x.npz", &[(array, shape), ("labels", &[2])]);
            let reader = Reader::default();
            let found = reader.find(&path, &[]).unwrap().images;
            let paths = [0, 1].map(|i| path.join(format!("{array}-{i}")));
            assert_eq!(found, paths);
            let image = reader.read(&found[1], wanted[0], None).unwrap();
            assert_eq!(image.shape(), wanted);
            let count = wanted.iter().product::<usize>();
            assert_eq!(image.values[0], count as f32, "the second image");
            assert_eq!(reader.channels(&found[0]).unwrap(), Some(wanted[0]));
            let other = reader.read(&found[0], 31, None).unwrap_err().to_string();
            assert!(other.contains("where 31 are expected"), "{other}");
        }
        let path = file(dir.path(), "many.npz", &[("signals", &[11, 4])]);
        let found = reader.find(&path, &[]).unwrap().images;
        assert_eq!(found[3], path.join("signals-03"));
        // A number without the leading zero is the same image.
        let image = reader.read(&path.join("signals-3"), 1, None).unwrap();
        assert_eq!(image.values, [12.0, 13.0, 14.0, 15.0]);
        assert_eq!(reader.find(&found[3], &[]).unwrap().images, found[3..4]);
    }

    #[test]
    fn a_single_array_goes_by_its_axes_or_the_name_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let values: Vec<u8> = (0..6_i32).flat_map(i32::to_le_bytes).collect();
        let path = dir.path().join("recording.npy");
        npy(&path, "<i4", "2, 3", &values);
        let reader = Reader::default();
        let found = reader.find(&path, &[]).unwrap().images;
        let image = reader.read(&found[1], 1, None).unwrap();
        assert_eq!(image, Image::new([1, 1, 3], vec![3.0, 4.0, 5.0]));
        npy(&path, "<i4", "1, 2, 3", &values);
        let text = refused(&path);
        says!(text, "[1, 2, 3], may be images or signals");
        let named = dir.path().join("signals.npy");
        fs::rename(&path, &named).unwrap();
        // The only image of a file needs no number.
        let image = reader.read(&named, 2, None).unwrap();
        assert_eq!(image.shape(), [2, 1, 3]);
    }

    #[test]
    fn bytes_are_scaled_as_those_of_pictures() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        npy(&path, "|u1", "1, 1, 1, 2", &[51, 255]);
        let image = Reader::default().read(&path, 1, None).unwrap();
        assert_eq!(image.values, [0.2, 1.0]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_how_to_write_it() {
        let dir = tempfile::tempdir().unwrap();
        for (arrays, words) in [
            (&[("x", &[2, 3][..])][..], "array `x` [2, 3]; write images"),
            (&[("images", &[2, 3])], "`images` has the shape [2, 3]"),
            (&[("signals", &[2, 1, 1, 9])], "shape [2, 1, 1, 9]"),
            (&[("images", &[2, 16, 20, 3])], "moveaxis"),
            (&[("signals", &[0, 9])], "is empty"),
            (&[("images", &[1, 2, 3]), ("signals", &[2, 3])], "both"),
        ] {
            let path = file(dir.path(), "x.npz", arrays);
            let text = refused(&path);
            assert!(text.contains("x.npz") && text.contains(words), "{text}");
        }
        let path = file(dir.path(), "x.npz", &[("signals", &[2, 9])]);
        let read = |name: &str, max_side| {
            let read = Reader::default().read(&path.join(name), 1, max_side);
            read.unwrap_err().to_string()
        };
        for name in ["signals-2", "images-0", "signals", "signals-x"] {
            assert!(read(name, None).contains("it holds 2"), "{name}");
        }
        assert!(read("signals-0", Some(8)).contains("not scaled down"));
        let mut bundle = Bundle::default();
        bundle
            .put("signals", &[1, 3], vec![0.0, f32::NAN, 1.0])
            .unwrap();
        arrays::write(&path, &bundle, true).unwrap();
        let text = read("signals-0", None);
        says!(text, "x.npz/signals-0", "NaN in channel 0, row 0, column 1");
    }

    #[test]
    fn a_folder_without_pictures_is_taken_for_its_arrays() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("sub")).unwrap();
        file(root, "sub/b.npz", &[("signals", &[1, 9])]);
        file(root, "a.npz", &[("signals", &[2, 7])]);
        let reader = Reader::default();
        let found = reader.find(root, &[]).unwrap().images;
        let names = ["a.npz/signals-0", "a.npz/signals-1", "sub/b.npz/signals-0"];
        assert_eq!(found, names.map(|name| root.join(name)));
        fs::write(root.join("c.png"), "").unwrap();
        let found = reader.find(root, &[]).unwrap();
        assert_eq!(found.images, [root.join("c.png")]);
        assert!(found.remarks[0].contains("2 files of arrays"));
    }
}
