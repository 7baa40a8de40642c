//! `visualize`: what a run has learnt, as pictures.
//!
//! | file | what it shows |
//! |---|---|
//! | `curves.png` | objective, SNR and density against epochs |
//! | `filters-layerN.png` | the filters of a layer, projected down to pixels |
//! | `connectivity-layerN.png` | which maps of the layer below each map is connected to |
//! | `maps-layerN.png` | the strongest maps of an image, and what each adds to it; over pooled maps single activations |
//! | `reconstructions.png` | images beside what each layer makes of them |
//! | `patches-layerN.png` | the places of many images where a map is strongest |
//! | `parts-layerN.png` | with pooling: such activations projected alone, each through its own switches |
//! | `switches.png` | with pooling: what the switches carry, and what the maps carry |
//!
//! A run that was imported has no images and no curves; of it the last three are drawn from the
//! images that are given, if any are.

mod coded;
mod curves;
mod display;
mod filters;
mod gallery;
mod maps;
mod parts;
mod patches;
mod reconstructions;
mod strongest;
mod switches;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;

use super::{Callback, Event, tell_found, tell_item};
use crate::data::Reader;
use crate::error::{Error, Result};
use crate::run::{Images, Run, all_usable};
use crate::store::CheckpointSelector;
use coded::Coded;
use gallery::Gallery;
use strongest::Search;

pub use filters::{projected_filters, receptive_field};

/// The folder for pictures within a run folder.
pub const PICTURES: &str = "pictures";
/// How many images `reconstructions.png` shows.
const RECONSTRUCTED: usize = 4;
/// How many of the strongest places of each map are shown if nothing is said.
const PATCHES: usize = 9;
/// The most training images whose maps are found anew.
const MOST_CODED: usize = 100;
/// The most patches in a row that can still be told apart on a sheet.
const MOST_PATCHES: usize = 20;

/// What to draw, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The run folder.
    pub checkpoint: PathBuf,
    /// Which of its checkpoints.
    pub which: CheckpointSelector,
    /// The folder for the pictures; the run's own, [`PICTURES`], where absent.
    pub out: Option<PathBuf>,
    /// Whether to replace files in a folder that is not the run's own.
    pub overwrite: bool,
    /// The image whose maps are shown; where absent, the first that is searched.
    pub image: Option<Subject>,
    /// A folder of images to search for the strongest places; the training images where absent.
    pub images: Option<PathBuf>,
    /// Patterns of names and paths in that folder to leave out.
    pub exclude: Vec<String>,
    /// How many of the strongest places of each map to show.
    pub patches_per_map: usize,
}

/// The image whose maps are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A training image by its number, from 1, with the maps that the run has stored for it, or, of an
    /// online run, that it finds anew.
    Training(usize),
    /// A file, or a path into a file of arrays; its maps are found with the solver and the weights of the run.
    File(PathBuf),
}

impl Options {
    /// The last checkpoint of a run, its training images, and the run's own folder for pictures.
    pub fn new(checkpoint: impl Into<PathBuf>) -> Self {
        Self {
            checkpoint: checkpoint.into(),
            which: CheckpointSelector::Last,
            out: None,
            overwrite: false,
            image: None,
            images: None,
            exclude: Vec::new(),
            patches_per_map: PATCHES,
        }
    }
}

/// The pictures that were drawn.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Their folder.
    #[serde(serialize_with = "crate::files::lossily")]
    pub folder: PathBuf,
    /// Their files, in the order they were drawn.
    #[serde(serialize_with = "crate::files::each_lossily")]
    pub files: Vec<PathBuf>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pictures", self.files.len())?;
        self.files
            .iter()
            .try_for_each(|file| write!(f, "\n  {}", file.display()))
    }
}

/// Draws a run; of one without images, what needs none and what the given ones allow.
///
/// # Errors
/// [`Error::Config`] for a training image that does not exist or an impossible number of patches,
/// [`Error::Exists`] for a picture that would replace a file outside of the run; and everything that
/// can be wrong with the checkpoint, the images and the folder.
pub fn run(
    options: &Options,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    if !(1..=MOST_PATCHES).contains(&options.patches_per_map) {
        return Err(Error::Config(format!(
            "cannot show {} patches for each map; choose 1 to {MOST_PATCHES}",
            options.patches_per_map
        )));
    }
    let run = Run::read(&options.checkpoint, options.which, device)?;
    let mut images = Images::resume(&run.state);
    let own = options.checkpoint.join(PICTURES);
    let (folder, overwrite) = match &options.out {
        Some(out) if *out != own => (out.clone(), options.overwrite),
        _ => (own, true),
    };
    let reader = Reader::default();
    let searched = match &options.images {
        Some(path) => {
            let found = reader.find(path, &options.exclude)?;
            let found = tell_found(found, observer);
            found.into_iter().map(Source::File).collect()
        }
        None => training(&run),
    };
    let subject = match &options.image {
        Some(Subject::File(path)) => Some(Source::File(path.clone())),
        Some(Subject::Training(number)) => Some(Source::Training(training_image(&run, *number)?)),
        None => searched.first().cloned(),
    };
    if subject.is_none() {
        observer.event(Event::Note(
            "the run has no images of its own; give some to see maps, patches and \
             reconstructions"
                .into(),
        ));
    }
    run.warn_of_trace(observer)?;
    // Finding maps comes late; that an image cannot be used is to be told before anything is drawn.
    let beside = subject.iter().filter(|source| !searched.contains(source));
    let (mut looked, mut failures) = (0, Vec::new());
    for source in searched.iter().chain(beside) {
        if observer.interrupted() {
            break;
        }
        looked += 1;
        failures.extend(match source {
            Source::Training(i) => images.get(*i).err(),
            Source::File(path) => run.state.prepare_file(path, &reader).err(),
        });
    }
    all_usable(looked, failures)?;
    let mut artist = Artist {
        run: &run,
        images: &mut images,
        reader,
        device,
        gallery: Gallery::new(folder, overwrite)?,
    };
    artist.draw(
        subject.as_ref(),
        &searched,
        options.patches_per_map,
        observer,
    )?;
    Ok(artist.gallery.into_report())
}

/// Draws a run at hand, from its training images and the maps stored for them, into the folder
/// `out`, over what is there.
///
/// # Errors
/// As [`run`].
pub fn pictures_of(
    run: &Run,
    images: &mut Images,
    device: &Device,
    out: &Path,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    let searched = training(run);
    let mut artist = Artist {
        run,
        images,
        reader: Reader::default(),
        device,
        gallery: Gallery::new(out.to_path_buf(), true)?,
    };
    artist.draw(searched.first(), &searched, PATCHES, observer)?;
    Ok(artist.gallery.into_report())
}

/// Where an image and its maps come from.
#[derive(Clone, PartialEq)]
enum Source {
    /// Training image, from 0.
    Training(usize),
    File(PathBuf),
}

/// The training images that are searched: all, or where none has maps, of which there may be any
/// number, the first few.
fn training(run: &Run) -> Vec<Source> {
    let most = match run.state.keeps_maps() {
        true => usize::MAX,
        false => MOST_CODED,
    };
    let count = run.state.images.len().min(most);
    (0..count).map(Source::Training).collect()
}

/// The index of training image `number`, which counts from 1.
fn training_image(run: &Run, number: usize) -> Result<usize> {
    let count = run.state.images.len();
    if count == 0 {
        return Err(Error::Config(format!(
            "there is no training image {number}: the run has none of its own; give a file"
        )));
    }
    number.checked_sub(1).filter(|&i| i < count).ok_or_else(|| {
        Error::Config(format!(
            "there is no training image {number}; choose 1 to {count}, or give a file"
        ))
    })
}

/// All that drawing needs.
struct Artist<'a> {
    run: &'a Run,
    images: &'a mut Images,
    /// Of other images.
    reader: Reader,
    device: &'a Device,
    gallery: Gallery,
}

impl Artist<'_> {
    /// Draws everything that the images at hand allow; the cheap and always possible pictures first.
    fn draw(
        &mut self,
        subject: Option<&Source>,
        searched: &[Source],
        patches_per_map: usize,
        observer: &mut dyn Callback<Event>,
    ) -> Result<()> {
        let run = self.run;
        if let Some(picture) = curves::draw(run)? {
            self.gallery.save("curves.png", &picture)?;
        }
        let filters = filters::draw(run, &mut self.gallery)?;
        let mut reconstructed = Vec::new();
        if let Some(subject) = subject {
            let first = self.coded(subject, observer)?;
            maps::draw(run, &first, &mut self.gallery)?;
            reconstructed.push(first);
        }

        let pooled = run.network.is_pooled();
        let mut patches = Search::new(run, patches_per_map);
        let mut parts = Search::new(run, patches_per_map);
        let trained_on = self.run.state.images.len();
        if matches!(searched.first(), Some(Source::Training(_))) && searched.len() < trained_on {
            observer.event(Event::Note(format!(
                "the patches come from the first {} of {trained_on} images, whose maps are found anew; \
                 others can be given to be searched",
                searched.len()
            )));
        }
        for (done, source) in searched.iter().enumerate() {
            if observer.interrupted() {
                observer.event(Event::Note(format!(
                    "interrupted: the patches come from the first {done} images"
                )));
                break;
            }
            let other = (Some(source) != subject)
                .then(|| self.coded(source, observer))
                .transpose()?;
            if pooled && observer.interrupted() {
                // Its maps may be half done.
                continue;
            }
            let coded = other.as_ref().unwrap_or_else(|| &reconstructed[0]);
            match pooled {
                true => parts.add_parts(done, coded)?,
                false => patches.add_patches(run, coded)?,
            }
            tell_item(observer, &coded.name, done + 1, searched.len());
            if reconstructed.len() < RECONSTRUCTED {
                reconstructed.extend(other);
            }
        }
        if pooled {
            let Self {
                run,
                images,
                reader,
                device,
                gallery,
            } = self;
            // To the end, also after an interruption: what was found is shown.
            let again = &mut |i: usize| match &searched[i] {
                Source::Training(i) => Coded::of_training(run, images, *i, device, &()),
                Source::File(path) => Coded::from_file(run, path, reader, device, &()),
            };
            parts.draw_parts(run, again, gallery)?;
            let above = |coded: &Coded| coded.codes.iter().any(|(layer, _)| *layer > 0);
            if reconstructed.iter().any(above) {
                let picture = switches::draw(run, &reconstructed)?;
                self.gallery.save("switches.png", &picture)?;
            }
        } else {
            patches.draw_patches(&filters, &mut self.gallery)?;
        }
        if reconstructed.is_empty() {
            return Ok(());
        }
        let picture = reconstructions::draw(run, &reconstructed)?;
        self.gallery.save("reconstructions.png", &picture)
    }

    fn coded(&mut self, source: &Source, observer: &dyn Callback<Event>) -> Result<Coded> {
        match source {
            Source::Training(i) => {
                Coded::of_training(self.run, self.images, *i, self.device, observer)
            }
            Source::File(path) => {
                Coded::from_file(self.run, path, &self.reader, self.device, observer)
            }
        }
    }
}
