//! Labelled images: read from class folders or drawn, and put together to batches.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, RngExt};
use rayon::prelude::*;

use super::network::FIRST_FILTER;
use super::settings::Settings;
use crate::data::classes::{class_folders, folders};
use crate::data::scan::scan;
use crate::data::scenes::{self, Scene};
use crate::data::{Image, folder, resize};
use crate::error::{Error, Result};
use crate::run::{Estimate, Free};

/// The largest side that is chosen where none is given.
const LARGEST_SIDE: usize = 224;
/// Side of sample scenes where none is given.
const SCENE_SIDE: usize = 48;
/// One image in so many of each class is held out where no folder of others is given.
const HELD_OUT: usize = 10;

/// Square colour images of one size, in bytes, with the class of each.
#[derive(Clone, Debug, Default)]
pub struct LabelledImages {
    /// Pixels, `[n, 3, S, S]`.
    pub pixels: Vec<u8>,
    /// The class of each, from 0.
    pub labels: Vec<usize>,
}

/// What a network learns from.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The names of the classes, sorted.
    pub classes: Vec<String>,
    /// Side of every image, `S`.
    pub side: usize,
    /// Images to learn from.
    pub training: LabelledImages,
    /// Images that only measure.
    pub validation: LabelledImages,
}

/// The mean and the standard deviation of each channel, of pixels in `[0, 1]`: an image is prepared as
/// `(x - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Standardisation {
    /// Of red, green and blue.
    pub mean: [f32; 3],
    /// Of red, green and blue.
    pub std: [f32; 3],
}

/// Which part of an image goes into a batch, in pixels, and whether it is seen in a mirror.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Rows and columns that the image is moved by.
    pub shift: [i64; 2],
    /// Whether left and right change places.
    pub flip: bool,
}

impl View {
    /// A random view of an image of `side` pixels, moved by up to an eighth of that; what comes in over
    /// the border is the image reflected.
    pub fn random(side: usize, rng: &mut impl Rng) -> Self {
        let most = (side / 8) as i64;
        Self {
            shift: std::array::from_fn(|_| rng.random_range(-most..=most)),
            flip: rng.random(),
        }
    }
}

impl DataSet {
    /// Reads the images that the settings name, or draws sample scenes, a class for each kind.
    ///
    /// An image is scaled (bilinearly, smoothed where it shrinks) until its shorter side is the side of
    /// the network, and the middle of it is taken. That side is the one given, else the shorter side of
    /// the first image, at most 224.
    ///
    /// # Errors
    /// [`Error::Input`] for folders without classes, without images or with one class only, for images
    /// that cannot be read or are smaller than the first filter; [`Error::Io`].
    pub fn open(settings: &Settings) -> Result<Self> {
        let Some(data) = &settings.data else {
            return Ok(Self::scenes(settings));
        };
        let classes = class_folders(data)?;
        let mut files = Vec::new();
        for (label, class) in classes.iter().enumerate() {
            files.push((label, scan(&data.join(class), &settings.exclude)?.images));
        }
        let side = match settings.size {
            Some(side) => side,
            None => {
                let first = folder::read(&files[0].1[0], true, None)?;
                first.height.min(first.width).min(LARGEST_SIDE)
            }
        };
        let (training, validation) = match &settings.validation {
            Some(other) => (
                files,
                files_of_classes(other, data, &classes, &settings.exclude)?,
            ),
            None => split(files),
        };
        Ok(Self {
            side,
            training: LabelledImages::read(training, side)?,
            validation: LabelledImages::read(validation, side)?,
            classes,
        })
    }

    fn scenes(settings: &Settings) -> Self {
        let side = settings.size.unwrap_or(SCENE_SIDE);
        let kinds = [("facade", Scene::Facade), ("still-life", Scene::StillLife)];
        let draw = |from: usize, count: usize| {
            let images = (from..from + count).into_par_iter().flat_map_iter(|index| {
                kinds.map(|(_, kind)| scenes::draw(kind, (side, side), settings.seed, index))
            });
            let pixels: Vec<Vec<u8>> = images.map(|image| bytes(&image)).collect();
            LabelledImages {
                labels: (0..pixels.len()).map(|i| i % kinds.len()).collect(),
                pixels: pixels.concat(),
            }
        };
        let held_out = settings.samples.div_ceil(HELD_OUT);
        Self {
            classes: kinds.map(|(name, _)| name.into()).into(),
            side,
            training: draw(0, settings.samples),
            validation: draw(settings.samples, held_out),
        }
    }

    /// Mean and deviation of the pixels that are learnt from.
    pub fn standardisation(&self) -> Standardisation {
        let plane = self.side * self.side;
        let mut sums = [[0_u64; 2]; 3];
        for (k, values) in self.training.pixels.chunks(plane).enumerate() {
            for &value in values {
                sums[k % 3][0] += u64::from(value);
                sums[k % 3][1] += u64::from(value) * u64::from(value);
            }
        }
        let n = (self.training.labels.len() * plane).max(1) as f64;
        let mean = sums.map(|[sum, _]| sum as f64 / n / 255.0);
        let std = std::array::from_fn(|c| {
            let variance = sums[c][1] as f64 / n / (255.0 * 255.0) - mean[c] * mean[c];
            // An image set of one colour has none.
            variance.max(1e-6).sqrt() as f32
        });
        Standardisation {
            mean: mean.map(|mean| mean as f32),
            std,
        }
    }

    /// Checksum of all that is learnt from: a resumed run must find the same.
    pub fn crc32(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for images in [&self.training, &self.validation] {
            hasher.update(&images.pixels);
            for label in &images.labels {
                hasher.update(&(*label as u64).to_le_bytes());
            }
        }
        hasher.finalize()
    }
}

impl LabelledImages {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn read(files: Vec<(usize, Vec<PathBuf>)>, side: usize) -> Result<Self> {
        let files: Vec<(usize, PathBuf)> = files
            .into_iter()
            .flat_map(|(label, files)| files.into_iter().map(move |file| (label, file)))
            .collect();
        let each = 3 * side * side;
        let wanted = Estimate {
            memory: (files.len() * each) as u64,
            disk: 0,
        };
        let free = Free::here(true, Path::new("."));
        wanted.must_fit(free, "smaller or fewer images take less")?;
        let mut pixels = vec![0; files.len() * each];
        let images = pixels.par_chunks_mut(each.max(1)).zip(&files);
        images.try_for_each(|(pixels, (_, file))| {
            pixels.copy_from_slice(&square(file, side)?);
            Ok(())
        })?;
        Ok(Self {
            pixels,
            labels: files.iter().map(|(label, _)| *label).collect(),
        })
    }

    /// The images `chosen`, seen as the views say, standardised: `[3, n, S, S]`.
    pub fn batch(
        &self,
        chosen: &[usize],
        views: &[View],
        side: usize,
        standardisation: &Standardisation,
        device: &Device,
    ) -> Tensor<4> {
        let Standardisation { mean, std } = standardisation;
        let plane = side * side;
        let mut values = vec![0.0_f32; 3 * chosen.len() * plane];
        let planes = values.par_chunks_mut(plane).enumerate();
        planes.for_each(|(k, out)| {
            let (c, n) = (k / chosen.len(), k % chosen.len());
            let pixels = &self.pixels[(3 * chosen[n] + c) * plane..][..plane];
            let View { shift, flip } = views[n];
            let rows = (0..side).map(|i| reflected(i as i64 + shift[0], side));
            for (i, out) in rows.zip(out.chunks_mut(side)) {
                let pixels = &pixels[i * side..][..side];
                for (j, out) in out.iter_mut().enumerate() {
                    let j = if flip { side - 1 - j } else { j };
                    let pixel = pixels[reflected(j as i64 + shift[1], side)];
                    *out = (f32::from(pixel) / 255.0 - mean[c]) / std[c];
                }
            }
        });
        Tensor::from_data(
            TensorData::new(values, [3, chosen.len(), side, side]),
            device,
        )
    }
}

/// The index folded back into `0..n` at the outermost places, for one less than `n` outside of it.
fn reflected(i: i64, n: usize) -> usize {
    let last = n as i64 - 1;
    (last - (last - i.abs()).abs()) as usize
}

/// The images of a folder of held-out images, which must have the classes of the other.
fn files_of_classes(
    path: &Path,
    training: &Path,
    classes: &[String],
    exclude: &[String],
) -> Result<Vec<(usize, Vec<PathBuf>)>> {
    let found = folders(path)?;
    if found.is_empty() {
        return Err(Error::Input(format!(
            "{} holds no folder of images: it must have folders of classes as {} has",
            path.display(),
            training.display()
        )));
    }
    let files = found.into_iter().map(|name| {
        let label = classes.binary_search(&name).map_err(|_| {
            Error::Input(format!(
                "the class {name} of {} is not among those of {}: they must have the same folders",
                path.display(),
                training.display()
            ))
        })?;
        Ok((label, scan(&path.join(name), exclude)?.images))
    });
    files.collect()
}

/// Files by the label of their class.
type Files = Vec<(usize, Vec<PathBuf>)>;

/// Every tenth image of a class is held out, and the last of a class of fewer than ten, unless it is the
/// only one.
fn split(files: Files) -> (Files, Files) {
    let parts = files.into_iter().map(|(label, files)| {
        let n = files.len();
        let is_held_out =
            |i: usize| i % HELD_OUT == HELD_OUT - 1 || (1 < n && n < HELD_OUT && i == n - 1);
        let (held, kept): (Vec<_>, Vec<_>) = files
            .into_iter()
            .enumerate()
            .partition(|(i, _)| is_held_out(*i));
        let paths = |part: Vec<(usize, PathBuf)>| part.into_iter().map(|(_, path)| path).collect();
        ((label, paths(kept)), (label, paths(held)))
    });
    parts.unzip()
}

/// Reads a file as the middle square of an image whose shorter side is scaled to `side`.
fn square(path: &Path, side: usize) -> Result<Vec<u8>> {
    let image = folder::read(path, true, None)?;
    let shorter = image.height.min(image.width);
    if shorter < FIRST_FILTER {
        return Err(Error::Input(format!(
            "{}: {} x {} pixels are fewer than the {FIRST_FILTER} x {FIRST_FILTER} of the first layer's \
             filters; remove the image",
            path.display(),
            image.height,
            image.width
        )));
    }
    Ok(bytes(&resize::middle(&image, side, [side; 2])))
}

fn bytes(image: &Image) -> Vec<u8> {
    let byte = |v: &f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    image.values.iter().map(byte).collect()
}
