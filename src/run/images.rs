//! The images of a run: found, prepared, and recognised again on a resume.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Source, State};
use crate::config::Config;
use crate::data::scan::Scan;
use crate::data::{Image, Prepare, Reader, Undo, array_file, scenes};
use crate::error::{Error, Result};
use crate::group::Group;

/// The images of a run, prepared; kept in memory if they are few, read again otherwise. Clones share what
/// is in memory.
#[derive(Clone, Debug)]
pub struct Images {
    config: Config,
    reader: Reader,
    prepare: Prepare,
    sources: Vec<Source>,
    cache: Vec<Option<Arc<Image>>>,
    /// The images themselves, where they come from memory.
    given: Arc<[Image]>,
    /// What the search for them left out.
    remarks: Vec<String>,
}

impl State {
    /// An image that the run never saw, prepared as its own images are, and the way back.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] where it cannot be used or is smaller than the filters.
    pub fn prepare_file(&self, path: &Path, reader: &Reader) -> Result<(Image, Undo)> {
        let image = raw(&self.config, reader, Some(path), 0)?;
        let prepared = self.prepare.apply(&image);
        let (prepared, undo) = prepared.map_err(|error| with_path(Some(path), error))?;
        let [_, height, width] = prepared.shape();
        self.check_size(path, [height, width])?;
        Ok((prepared, undo))
    }

    /// Whether a prepared image of a height and width is large enough for the filters.
    ///
    /// # Errors
    /// [`Error::Input`] where it is not.
    pub fn check_size(&self, path: &Path, [height, width]: [usize; 2]) -> Result<()> {
        match too_small(&self.config, [height, width]) {
            Some(TooSmall {
                layer: 1,
                filter: [h, w],
                ..
            }) => Err(Error::Input(format!(
                "{} is {height} x {width} pixels after preprocessing, smaller than the {h} x {w} \
                 filters; remove it, or train with smaller filters",
                path.display()
            ))),
            Some(TooSmall {
                layer,
                planes: [rows, columns],
                filter: [h, w],
            }) => Err(Error::Input(format!(
                "{} leaves {rows} x {columns} for layer {layer} to explain, smaller than its {h} x {w} filters; \
                 remove it, or train with smaller filters",
                path.display()
            ))),
            None => Ok(()),
        }
    }
}

/// A layer whose filters are larger than what they have to explain.
pub(crate) struct TooSmall {
    /// From 1.
    pub layer: usize,
    /// Height and width of what it has to explain.
    pub planes: [usize; 2],
    pub filter: [usize; 2],
}

/// The first layer whose filters are larger than what they have to explain of an image; pooled maps, which
/// shrink from layer to layer, may be smaller.
pub(crate) fn too_small(config: &Config, mut planes: [usize; 2]) -> Option<TooSmall> {
    for (l, layer) in config.layers.iter().enumerate() {
        let filter = layer.size;
        let pooled = l > 0 && !config.layers[l - 1].pool.is_none();
        if !pooled && (planes[0] < filter[0] || planes[1] < filter[1]) {
            let layer = l + 1;
            return Some(TooSmall {
                layer,
                planes,
                filter,
            });
        }
        let maps = [0, 1].map(|d| config.train.boundary.maps(planes[d], filter[d]));
        let [.., rows, columns] = layer.pool.pooled([1, 1, maps[0], maps[1]]);
        planes = [rows, columns];
    }
    None
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
        let mut config = config.clone();
        if let (None, Some(Some(first))) = (config.data.channels, paths.first()) {
            config.data.channels = group.agree(reader.channels(first))?;
        }
        let config = &config;
        let bare = Prepare {
            kind: config.preprocess.clone(),
            rescaling: None,
        };
        let usable = |i: usize, path: Option<&Path>| {
            let image = raw(config, &reader, path, i)?;
            // The preprocessing itself does not know which file is too small for it.
            bare.output_size(image.height, image.width)
                .map_err(|error| with_path(path, error))?;
            Ok(image)
        };
        let mut failures = Vec::new();
        let images = paths.iter().enumerate().filter_map(|(i, path)| {
            let image = usable(i, path.as_deref());
            image.map_err(|error| failures.push(error)).ok().map(Ok)
        });
        let prepare = config.preprocess.fit(images);
        let prepare = all_usable(paths.len(), failures).and(prepare);
        let images = Self::check(
            config,
            reader,
            group.agree(prepare)?,
            paths,
            Vec::new(),
            group,
        )?;
        Ok(Self { remarks, ..images })
    }

    /// Images in memory, pixels in `[0, 1]`; the preprocessing is learnt from them.
    ///
    /// # Errors
    /// [`Error::Input`] for images that cannot be used, or none.
    pub fn given(config: &Config, images: Vec<Image>) -> Result<Self> {
        let channels = config.data.planes();
        for (i, image) in images.iter().enumerate() {
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
        let prepare = config.preprocess.fit(images.iter().cloned().map(Ok))?;
        let paths = vec![None; images.len()];
        let alone = Group::alone();
        Self::check(config, Reader::default(), prepare, paths, images, &alone)
    }

    /// Finds the images of a configuration, for a preprocessing that was learnt from others.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub fn prepared_by(config: &Config, prepare: Prepare) -> Result<Self> {
        let reader = Reader::default();
        let (paths, remarks) = paths(config, &reader)?;
        let alone = Group::alone();
        let images = Self::check(config, reader, prepare, paths, Vec::new(), &alone)?;
        Ok(Self { remarks, ..images })
    }

    fn check(
        config: &Config,
        reader: Reader,
        prepare: Prepare,
        paths: Vec<Option<PathBuf>>,
        given: Vec<Image>,
        group: &Group,
    ) -> Result<Self> {
        let mut images = Self {
            config: config.clone(),
            reader,
            prepare,
            sources: Vec::new(),
            cache: vec![None; paths.len()],
            given: given.into(),
            remarks: Vec::new(),
        };
        let (mut bytes, mut failures, mut sources) = (0, Vec::new(), Vec::new());
        let part = group.part(paths.len());
        for (i, path) in paths.into_iter().enumerate() {
            if !part.contains(&i) {
                continue;
            }
            let (image, flat) = match images.prepared(path.as_deref(), i) {
                Ok(prepared) => prepared,
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            sources.push(Source {
                shape: image.shape(),
                crc32: checksum(&image),
                flat,
                path,
            });
            bytes += 4 * image.values.len();
            images.cache[i] = (bytes <= CACHE_BYTES).then(|| image.into());
        }
        group.agree(all_usable(images.cache.len(), failures))?;
        images.sources = group.gather(sources)?.concat();
        group.agree(images.flat())?;
        Ok(images)
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
            config: state.config.clone(),
            reader: Reader::default(),
            prepare: state.prepare.clone(),
            sources: state.images.clone(),
            cache: vec![None; state.images.len()],
            given: Arc::new([]),
            remarks: Vec::new(),
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

    /// Image `i` as it was read, pixels in `[0, 1]`.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn raw(&self, i: usize) -> Result<Image> {
        match self.given.get(i) {
            Some(image) => Ok(image.clone()),
            None => raw(
                &self.config,
                &self.reader,
                self.sources[i].path.as_deref(),
                i,
            ),
        }
    }

    /// Image `i`, prepared.
    ///
    /// # Errors
    /// [`Error::Input`] where it is no longer the image that the run began with.
    pub fn get(&mut self, i: usize) -> Result<Image> {
        if let Some(image) = &self.cache[i] {
            return Ok(Image::clone(image));
        }
        let source = &self.sources[i];
        let image = self
            .prepared(source.path.as_deref(), i)
            .map_err(moved_away)?
            .0;
        if checksum(&image) != source.crc32 {
            return Err(Error::Input(format!(
                "{} is not the image that this run began with; put the old file back, \
                 or start a new run",
                self.name(i)
            )));
        }
        let all: usize = self
            .sources
            .iter()
            .map(|s| s.shape.iter().product::<usize>())
            .sum();
        if 4 * all <= CACHE_BYTES {
            self.cache[i] = Some(image.clone().into());
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
    fn prepared(&self, path: Option<&Path>, i: usize) -> Result<(Image, bool)> {
        let read;
        let image = match self.given.get(i) {
            Some(image) => image,
            None => {
                read = raw(&self.config, &self.reader, path, i)?;
                &read
            }
        };
        let prepared = self.prepare.apply(image);
        let (prepared, _) = prepared.map_err(|error| with_path(path, error))?;
        Ok((prepared, image.is_flat()))
    }
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
    } = reader.find(folder, &data.exclude)?;
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

/// Tells what is wrong with each of `count` images at once, lest each cost a try of its own.
///
/// # Errors
/// The failure if there is one, [`Error::Input`] with the first ten if there are more.
pub fn all_usable(count: usize, mut failures: Vec<Error>) -> Result<()> {
    const SHOWN: usize = 10;
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        n => {
            let shown = failures.iter().take(SHOWN);
            let lines: String = shown.map(|error| format!("\n{error}")).collect();
            let rest = match n.saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!("\nand {more} more"),
            };
            Err(Error::Input(format!(
                "{n} of {count} images cannot be used:{lines}{rest}"
            )))
        }
    }
}

/// Tells which of `count` images are flat, all pixels alike.
///
/// # Errors
/// [`Error::Input`] where there are no others.
pub fn flat_images(names: &[String], count: usize) -> Result<Option<String>> {
    const SHOWN: usize = 10;
    let mut list = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        list += &format!(" and {} more", names.len() - SHOWN);
    }
    match names.len() {
        0 => Ok(None),
        n if n == count => Err(Error::Input(format!(
            "the pixels of every image are all alike, there is nothing in them to explain: {list}; give \
             other images"
        ))),
        n => Ok(Some(format!(
            "warning: {n} of {count} images are flat, all pixels alike, and count for no mean of ratios: \
             {list}"
        ))),
    }
}

/// Puts the name of the file before a message about its image.
fn with_path(path: Option<&Path>, error: Error) -> Error {
    match path {
        Some(path) => Error::Input(format!("{}: {error}", path.display())),
        None => error,
    }
}

/// Says of an image that is not there what a run needs of it.
fn moved_away(error: Error) -> Error {
    match error {
        Error::Io { ref source, .. } if source.kind() == ErrorKind::NotFound => {
            Error::Input(format!(
                "{error}; a run needs its images where they were when it began: put them back, or \
                 start a new run"
            ))
        }
        other => other,
    }
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

/// CRC-32 of the pixels of a prepared image.
pub fn checksum(image: &Image) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for value in &image.values {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finalize()
}
