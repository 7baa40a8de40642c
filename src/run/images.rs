//! The images of a run: found, prepared, and recognised again on a resume.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;

use super::unusable::{all_usable, flat_images, moved_away, with_path};
use super::{Source, State, to_tensor};
use crate::config::Config;
use crate::data::scan::Scan;
use crate::data::{Image, Masks, Prepare, Reader, Undo, Weighted, array_file, mask_for, scenes};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::model::DataTerm;

/// The images of a run, prepared; kept in memory if they are few, read again otherwise. Clones share what
/// is in memory.
#[derive(Clone, Debug)]
pub struct Images {
    config: Config,
    reader: Reader,
    prepare: Prepare,
    sources: Vec<Source>,
    masks: Masks,
    cache: Vec<Option<Arc<Weighted>>>,
    /// The images themselves, where they come from memory.
    given: Arc<[Weighted]>,
    /// What the search for them left out.
    remarks: Vec<String>,
}

impl State {
    /// An image that the run never saw, prepared as its own images are, and the way back.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] where it cannot be used or is smaller than the filters.
    pub fn prepare_file(&self, path: &Path, reader: &Reader) -> Result<(Image, Undo)> {
        let (prepared, undo) = self.prepare_masked(path, reader, None)?;
        Ok((prepared.into_image(), undo))
    }

    /// The same with a mask, where there is one.
    ///
    /// # Errors
    /// As [`State::prepare_file`], and those of [`Masks::weigh`].
    pub fn prepare_masked(
        &self,
        path: &Path,
        reader: &Reader,
        mask: Option<(&Masks, &Path)>,
    ) -> Result<(Weighted, Undo)> {
        let image = raw(&self.config, reader, Some(path), 0)?;
        let image = match mask {
            Some((masks, mask)) => {
                masks.weigh(image, (Some(path), reader), self.config.data.max_side, mask)?
            }
            None => image.into(),
        };
        let prepared = self.prepare.apply_weighted(&image);
        let (prepared, undo) = prepared.map_err(|error| with_path(Some(path), error))?;
        let [_, height, width] = prepared.image().shape();
        self.check_size(path, [height, width])?;
        Ok((prepared, undo))
    }
}

/// Prepared images are kept in memory up to this many bytes in all.
pub const CACHE_BYTES: usize = 512 << 20;

impl Images {
    /// Finds the images of a configuration, learns the preprocessing from them, and checks them. Where they
    /// are arrays, the first decides the number of channels, unless the configuration says it.
    ///
    /// # Errors
    /// [`Error::Input`] or [`Error::Io`] for images that cannot be used.
    pub fn open(config: &Config) -> Result<Self> {
        Self::open_together(config, &Group::alone())
    }

    /// The same by a group, each member of which prepares and checks a part of the images.
    ///
    /// # Errors
    /// As [`Images::open`], and [`Error::Input`] where the members find other images.
    pub fn open_together(config: &Config, group: &Group) -> Result<Self> {
        let reader = Reader::default();
        let (paths, remarks) = group.agree(paths(config, &reader))?;
        alike(&paths, group)?;
        let masks = Masks::default();
        let files = group.agree(mask_files(config, &paths, &masks))?;
        let mut config = config.clone();
        if let (None, Some(Some(first))) = (config.data.channels, paths.first()) {
            config.data.channels = group.agree(reader.channels(first))?;
        }
        let config = &config;
        let bare = Prepare {
            kind: config.preprocess.clone(),
            rescaling: None,
        };
        let mut images = Self::unread(config, reader, bare, Vec::new());
        images.masks = masks;
        let usable = |i: usize, (path, mask): &Files| {
            let image = images.read(i, path.as_deref(), mask.as_deref())?;
            let (height, width) = (image.image().height, image.image().width);
            // The preprocessing itself does not know which file is too small for it.
            let fits = images.prepare.output_size(height, width);
            fits.map_err(|error| with_path(path.as_deref(), error))?;
            Ok(image)
        };
        let mut failures = Vec::new();
        let all = files.iter().enumerate().filter_map(|(i, files)| {
            let image = usable(i, files);
            image.map_err(|error| failures.push(error)).ok().map(Ok)
        });
        let prepare = config.preprocess.fit_weighted(all);
        let prepare = all_usable(files.len(), failures).and(prepare);
        images.prepare = group.agree(prepare)?;
        images.remarks = remarks;
        images.checked(files, group)
    }

    /// Images in memory, pixels in `[0, 1]`, with weights of their pixels or without; the preprocessing is learnt
    /// from them.
    ///
    /// # Errors
    /// [`Error::Input`] for images that cannot be used, or none; [`Error::Config`] for a mask in a file.
    pub fn given<I: Into<Weighted>>(config: &Config, images: Vec<I>) -> Result<Self> {
        let images: Vec<Weighted> = images.into_iter().map(Into::into).collect();
        let channels = config.data.planes();
        if config.data.mask.is_some() {
            return Err(Error::Config(
                "data.mask is for images in files; leave it out".into(),
            ));
        }
        for (i, image) in images.iter().map(Weighted::image).enumerate() {
            if image.channels != channels {
                return Err(Error::Input(format!(
                    "image {} has {} channels, but the configuration is for {channels}",
                    i + 1,
                    image.channels
                )));
            }
        }
        if images.is_empty() {
            return Err(Error::Input("there are no images to learn from".to_owned()));
        }
        let all = images.iter().cloned().map(Ok);
        let prepare = config.preprocess.fit_weighted(all)?;
        let files = vec![(None, None); images.len()];
        Self::unread(config, Reader::default(), prepare, images).checked(files, &Group::alone())
    }

    /// Finds the images of a configuration, for a preprocessing that was learnt from others.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub fn prepared_by(config: &Config, prepare: Prepare) -> Result<Self> {
        let reader = Reader::default();
        let (paths, remarks) = paths(config, &reader)?;
        let masks = Masks::default();
        let files = mask_files(config, &paths, &masks)?;
        let images = Self {
            remarks,
            masks,
            ..Self::unread(config, reader, prepare, Vec::new())
        };
        images.checked(files, &Group::alone())
    }

    fn unread(config: &Config, reader: Reader, prepare: Prepare, given: Vec<Weighted>) -> Self {
        Self {
            config: config.clone(),
            reader,
            masks: Masks::default(),
            prepare,
            sources: Vec::new(),
            cache: Vec::new(),
            given: given.into(),
            remarks: Vec::new(),
        }
    }

    /// With what is known of each image, all of which are prepared.
    fn checked(mut self, files: Vec<Files>, group: &Group) -> Result<Self> {
        self.cache = vec![None; files.len()];
        let (mut bytes, mut failures, mut sources) = (0, Vec::new(), Vec::new());
        let (mut missing, part) = (0.0, group.part(files.len()));
        for (i, (path, mask)) in files.into_iter().enumerate() {
            if !part.contains(&i) {
                continue;
            }
            let prepared = self.prepared(i, path.as_deref(), mask.as_deref());
            let (image, flat) = match prepared {
                Ok(prepared) => prepared,
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            sources.push(Source {
                shape: image.image().shape(),
                crc32: checksum(&image),
                flat,
                path,
                mask,
            });
            missing += 1.0 - image.known_share();
            bytes += bytes_of(&image);
            self.cache[i] = (bytes <= CACHE_BYTES).then(|| image.into());
        }
        let count = self.cache.len();
        group.agree(all_usable(count, failures))?;
        self.sources = group.gather(sources)?.concat();
        group.agree(self.flat())?;
        let mut missing = [missing];
        group.sum(&mut missing);
        if missing[0] > 0.0 {
            let share = 100.0 * missing[0] / count as f64;
            let remark = format!("{share:.1} % of the pixels are missing");
            self.remarks.push(remark);
        }
        Ok(self)
    }

    /// Tells which images are flat, if any are.
    ///
    /// # Errors
    /// [`Error::Input`] where all are.
    fn flat(&self) -> Result<Option<String>> {
        let flat = (0..self.sources.len()).filter(|&i| self.sources[i].flat);
        let names: Vec<_> = flat.map(|i| self.name(i)).collect();
        flat_images(&names, self.sources.len())
    }

    /// The images of a run that is resumed; each is compared with its checksum when it is read.
    pub fn resume(state: &State) -> Self {
        Self {
            sources: state.images.clone(),
            cache: vec![None; state.images.len()],
            ..Self::unread(
                &state.config,
                Reader::default(),
                state.prepare.clone(),
                Vec::new(),
            )
        }
    }

    /// The configuration that they were found by, with their number of channels.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether a limit on their sides would scale them down: pictures, but not arrays.
    pub fn can_be_scaled(&self) -> bool {
        let mut paths = self.sources.iter().filter_map(|s| s.path.as_deref());
        !paths.any(|path| array_file(path).is_some())
    }

    /// What is known of each image.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// `[channels, height, width]` of each image after preprocessing.
    pub fn shapes(&self) -> Vec<[usize; 3]> {
        self.sources.iter().map(|source| source.shape).collect()
    }

    /// What there is to say about them, a line each: what the search for them left out and why, see
    /// [`crate::data::scan::scan`], and which of them are flat.
    ///
    /// # Errors
    /// [`Error::Input`] where all are flat.
    pub fn notes(&self) -> Result<Vec<String>> {
        let remarks = self.remarks.iter().cloned();
        Ok(remarks.chain(self.flat()?).collect())
    }

    /// The preprocessing.
    pub fn prepare(&self) -> &Prepare {
        &self.prepare
    }

    /// The way back from image `i` prepared.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn undo(&self, i: usize) -> Result<Undo> {
        let source = self.sources[i].clone();
        let image = self.read(i, source.path.as_deref(), source.mask.as_deref())?;
        Ok(self.prepare.apply_weighted(&image)?.1)
    }

    /// Image `i`, prepared.
    ///
    /// # Errors
    /// [`Error::Input`] where it is no longer the image that the run began with.
    pub fn get(&mut self, i: usize) -> Result<Image> {
        Ok(self.weighted(i)?.image().clone())
    }

    /// Image `i`, prepared, with the weights of its pixels, as a batch of one.
    ///
    /// # Errors
    /// As [`Images::get`].
    pub fn data(&mut self, i: usize, device: &Device) -> Result<DataTerm> {
        let weighted = self.weighted(i)?;
        data_of(&weighted, device)
    }

    /// Image `i`, prepared, with the weights of its pixels.
    ///
    /// # Errors
    /// As [`Images::get`].
    pub(crate) fn weighted(&mut self, i: usize) -> Result<Arc<Weighted>> {
        if let Some(image) = &self.cache[i] {
            return Ok(Arc::clone(image));
        }
        let source = &self.sources[i];
        let prepared = self.prepared(i, source.path.as_deref(), source.mask.as_deref());
        let image = Arc::new(prepared.map_err(moved_away)?.0);
        if checksum(&image) != source.crc32 {
            let (with_mask, file) = match &source.mask {
                Some(mask) => (format!(" with the mask {}", mask.display()), "files"),
                None => (String::new(), "file"),
            };
            return Err(Error::Input(format!(
                "{}{with_mask} is not the image that this run began with; put the old {file} back, \
                 or start a new run",
                self.name(i)
            )));
        }
        let all: usize = self
            .sources
            .iter()
            .map(|s| s.shape.iter().product::<usize>() * if s.mask.is_some() { 2 } else { 1 })
            .sum();
        if 4 * all <= CACHE_BYTES {
            self.cache[i] = Some(Arc::clone(&image));
        }
        Ok(image)
    }

    /// The name of image `i` for messages and pictures.
    pub fn name(&self, i: usize) -> String {
        match &self.sources[i].path {
            Some(path) => path.display().to_string(),
            None if !self.given.is_empty() => format!("image {}", i + 1),
            None => format!("sample scene {}", i + 1),
        }
    }

    /// Image `i`, prepared, and whether it is flat before that.
    fn prepared(
        &self,
        i: usize,
        path: Option<&Path>,
        mask: Option<&Path>,
    ) -> Result<(Weighted, bool)> {
        let image = self.read(i, path, mask)?;
        let prepared = self.prepare.apply_weighted(&image);
        let (prepared, _) = prepared.map_err(|error| with_path(path, error))?;
        Ok((prepared, image.image().is_flat()))
    }

    /// Image `i` as it was read, pixels in `[0, 1]`, and what its mask leaves of it.
    fn read(&self, i: usize, path: Option<&Path>, mask: Option<&Path>) -> Result<Weighted> {
        if let Some(image) = self.given.get(i) {
            return Ok(image.clone());
        }
        let image = raw(&self.config, &self.reader, path, i)?;
        let Some(mask) = mask else {
            return Ok(image.into());
        };
        let max_side = self.config.data.max_side;
        self.masks
            .weigh(image, (path, &self.reader), max_side, mask)
    }
}

/// The file of an image, absent for a sample scene, and that of its mask.
type Files = (Option<PathBuf>, Option<PathBuf>);

/// The files of images with those of their masks; a mask that all share is looked at once.
fn mask_files(config: &Config, paths: &[Option<PathBuf>], masks: &Masks) -> Result<Vec<Files>> {
    let data = &config.data;
    let Some(mask) = &data.mask else {
        return Ok(paths.iter().map(|path| (path.clone(), None)).collect());
    };
    if !mask.is_dir() {
        masks.check(mask)?;
    }
    let (mut files, mut failures) = (Vec::new(), Vec::new());
    for path in paths {
        match mask_for(mask, data.images.as_deref(), path.as_deref()) {
            Ok(mask) => files.push((path.clone(), Some(mask))),
            Err(error) => failures.push(error),
        }
    }
    all_usable(paths.len(), failures)?;
    Ok(files)
}

/// The files of a configuration, absolute, so that a run can be resumed from any folder, `None` for
/// each sample scene; and what was left out.
fn paths(config: &Config, reader: &Reader) -> Result<(Vec<Option<PathBuf>>, Vec<String>)> {
    let data = &config.data;
    let Some(folder) = &data.images else {
        return Ok((vec![None; data.sample_count], Vec::new()));
    };
    let Scan {
        images: mut files,
        remarks,
    } = reader
        .find(folder, &data.exclude)?
        .without(data.mask.as_deref(), "masks", folder)?;
    files.truncate(data.limit.unwrap_or(usize::MAX));
    let absolute = files.into_iter().map(|file| {
        std::path::absolute(&file)
            .map(Some)
            .map_err(Error::io("find", file))
    });
    Ok((absolute.collect::<Result<_>>()?, remarks))
}

/// Whether all members of a group have found the same images.
///
/// # Errors
/// [`Error::Input`] where they have not.
fn alike(paths: &[Option<PathBuf>], group: &Group) -> Result<()> {
    let mut hasher = crc32fast::Hasher::new();
    for path in paths.iter().flatten() {
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(b"\n");
    }
    let found = group.gather((paths.len(), hasher.finalize()))?;
    let other = found.iter().position(|other| *other != found[0]);
    group.agree(other.map_or(Ok(()), |other| {
        Err(Error::Input(format!(
            "process {other} finds {} images and process 0 finds {}, or others: give all of them the same \
             folder, at the same path",
            found[other].0, found[0].0
        )))
    }))
}

fn raw(config: &Config, reader: &Reader, path: Option<&Path>, i: usize) -> Result<Image> {
    let data = &config.data;
    if let Some(path) = path {
        return reader.read(path, data.planes(), data.max_side);
    }
    let image = scenes::sample(i, data.sample_size, config.seed);
    match data.planes() {
        1 => Ok(image.grey()),
        3 => Ok(image),
        n => Err(Error::Config(format!(
            "the sample scenes have 3 channels, or 1 in grey, and data.channels is {n}; give images"
        ))),
    }
}

/// A prepared image with the weights of its pixels, as a batch of one.
pub(crate) fn data_of(image: &Weighted, device: &Device) -> Result<DataTerm> {
    let data = DataTerm::new(to_tensor(image.image(), device));
    match image.weights() {
        Some(weights) => data.with_weights(to_tensor(weights, device)),
        None => Ok(data),
    }
}

/// CRC-32 of the pixels of a prepared image, and of their weights.
pub(crate) fn checksum(image: &Weighted) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let all = [image.image()].into_iter().chain(image.weights());
    for value in all.flat_map(|image| &image.values) {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finalize()
}

fn bytes_of(image: &Weighted) -> usize {
    let weights = image.weights().map_or(0, |weights| weights.values.len());
    4 * (image.image().values.len() + weights)
}
