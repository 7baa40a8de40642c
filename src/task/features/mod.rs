//! `features`: one vector for each image of a folder, for whatever is done with them.

mod coded;
mod describe;
mod extractor;
mod images;
mod source;

pub(crate) use describe::Descriptions;
pub(crate) use extractor::{Extractor, all_features, learn_words};
pub(crate) use images::Labelled;
pub use source::{MapOptions, Wanted};

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use serde::Serialize;

use crate::arrays::{self, Bundle};
use crate::classify::Splits;
use crate::error::{Error, Result};
use crate::features::Recipe;
use crate::report::{Format, Table};
use crate::task::{Callback, Event};

/// What is made of which images.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder of images, with a folder for each class if they have any.
    pub images: PathBuf,
    /// Patterns of names to leave out.
    pub exclude: Vec<String>,
    /// The maps.
    pub maps: MapOptions,
    /// What is made of them.
    pub recipe: Recipe,
    /// Where there are classes, so many images of each are what words, and filters, are learnt from; without
    /// classes it is all images.
    pub training: usize,
    /// What they are drawn by, and all else that is random.
    pub seed: u64,
    /// A file of features or a classifier: maps, recipe and words are those of it, and nothing is learnt.
    pub like: Option<PathBuf>,
    /// The file, `.npz` or `.safetensors`.
    pub out: PathBuf,
    /// Whether it may be replaced.
    pub overwrite: bool,
    /// Go on where it is estimated to take more memory or disk than there is.
    pub force: bool,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The file.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
    /// What maps.
    pub maps: String,
    /// Of which layers.
    pub layers: Vec<String>,
    /// Images in the file.
    pub images: usize,
    /// Numbers of each vector.
    pub dimension: usize,
    /// Images, among those, that words or filters were learnt from.
    pub training: usize,
    /// The classes, if there are any.
    pub classes: Vec<String>,
    /// Images that could not be used, each with the reason.
    pub skipped: Vec<String>,
    /// Where what was done lies, if it was interrupted: the same command goes on from there.
    #[serde(serialize_with = "crate::files::option_lossily")]
    pub interrupted: Option<PathBuf>,
    /// Seconds for filters, maps and descriptors, and for words and vectors.
    pub seconds: [f64; 2],
}

/// Makes a vector of each image and writes them all to a file:
///
/// ```text
/// features  [n, dimension]      labels  [n], with classes
/// training  rows that words or filters were learnt from, where there are any
/// texts:    names, a line each; classes, a line each; maps, recipe (JSON)
/// layer1.filters.., words1..    all that makes the same features of other images
/// ```
///
/// An interrupted call leaves the descriptors that it has in a file beside it, and the same call goes on there.
///
/// # Errors
/// [`Error::Input`] for images that cannot be used, [`Error::Config`] for choices that do not fit,
/// [`Error::Exists`], [`Error::Resources`].
pub fn run(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    arrays::check_path(&options.out, options.overwrite)?;
    options.recipe.check()?;
    let mut images = Labelled::find(&options.images, &options.exclude, callback)?;
    let began = Instant::now();
    let splits = Splits {
        training: options.training,
        test: 0,
        count: 1,
        seed: options.seed,
        shared: 1,
    };
    let learns = options.like.is_none()
        && (options.recipe.has_words() || matches!(options.maps.from, Wanted::Learnt { .. }));
    let rows_of =
        |images: &Labelled, usable: &dyn Fn(usize) -> bool| match images.classes.is_empty() {
            _ if !learns => Ok(Vec::new()),
            true => Ok((0..images.paths.len()).filter(|&row| usable(row)).collect()),
            false => splits
                .draw_among(&images.labels, &images.classes, usable)
                .map(|drawn| drawn[0].training.clone()),
        };
    let known = match &options.like {
        Some(like) => {
            let known = arrays::read(like)?;
            images.number_as(known.texts.get("classes").map_or("", String::as_str));
            Some(Extractor::get(&known, like, device)?)
        }
        None => None,
    };
    let training: Vec<usize> = rows_of(&images, &|_| true)?;
    let kept = beside(&options.out);
    let mut report = Report {
        out: options.out.clone(),
        maps: String::new(),
        layers: Vec::new(),
        images: images.paths.len(),
        dimension: 0,
        training: training.len(),
        classes: images.classes.clone(),
        skipped: Vec::new(),
        interrupted: Some(kept.clone()),
        seconds: [0.0; 2],
    };
    let (source, recipe, words) = match known {
        Some(known) => (known.source, known.recipe, Some(known.words)),
        None => {
            let paths = few(&images, &training);
            match options.maps.open(&paths, device, callback)? {
                Some(source) => (source, options.recipe.clone(), None),
                None => return Ok(report),
            }
        }
    };
    (report.maps, report.layers) = (source.name(), source.layers());
    let force = options.force;
    let mut descriptions = Descriptions::open(&source, &recipe, &images.paths, &kept, force)?;
    let all: Vec<usize> = (0..images.paths.len()).collect();
    if !descriptions.add(&all, all.len(), callback)? {
        return Ok(report);
    }
    if descriptions.unusable.len() == all.len() {
        let _ = fs::remove_file(&kept);
        return Err(none_usable(&descriptions));
    }
    report.seconds[0] = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let usable: Vec<bool> = all.iter().map(|&row| descriptions.has(row)).collect();
    // Numbered among the images that are kept.
    let numbers: Vec<usize> = usable
        .iter()
        .scan(0, |next, &usable| {
            let number = *next;
            *next += usize::from(usable);
            Some(number)
        })
        .collect();
    let training = rows_of(&images, &|row| usable[row])?;
    images.keep(&usable);
    report.skipped = descriptions.unusable.values().cloned().collect();
    let mut bundle = Bundle::default();
    let words = match words {
        Some(words) => words,
        None => {
            if learns {
                let rows = training.iter().map(|&row| numbers[row] as u32).collect();
                bundle.indices.insert("training".into(), rows);
            }
            learn_words(&recipe, &descriptions, &training, options.seed)?
        }
    };
    let rows: Vec<usize> = all.into_iter().filter(|&row| usable[row]).collect();
    let values = all_features(&recipe, &words, &descriptions, &rows)?;
    report.images = rows.len();
    report.dimension = values.len() / rows.len().max(1);
    report.training = training.len();
    let extractor = Extractor {
        source,
        recipe,
        words,
    };
    extractor.put(&mut bundle)?;
    put_features(&mut bundle, &images, &options.images, values)?;
    arrays::write(&options.out, &bundle, options.overwrite)?;
    let _ = fs::remove_file(&kept);
    report.interrupted = None;
    report.seconds[1] = began.elapsed().as_secs_f64();
    Ok(report)
}

fn put_features(
    bundle: &mut Bundle,
    images: &Labelled,
    folder: &Path,
    values: Vec<f32>,
) -> Result<()> {
    let n = images.paths.len();
    bundle.put("features", &[n, values.len() / n.max(1)], values)?;
    let below = |path: &PathBuf| match path.strip_prefix(folder) {
        Ok(below) if below.file_name().is_some() => below.to_string_lossy().into_owned(),
        _ => path.to_string_lossy().into_owned(),
    };
    let names: Vec<String> = images.paths.iter().map(below).collect();
    bundle.texts.insert("names".into(), lines(&names));
    if !images.classes.is_empty() {
        let labels = images.labels.iter().map(|&label| label as u32).collect();
        bundle.indices.insert("labels".into(), labels);
        bundle
            .texts
            .insert("classes".into(), lines(&images.classes));
    }
    Ok(())
}

/// A line for each; a name may break lines of its own.
pub(super) fn lines(names: &[String]) -> String {
    let names = names.iter().map(|name| name.replace(['\n', '\r'], " "));
    names.collect::<Vec<_>>().join("\n")
}

/// Images that filters are learnt from are few: the first of each class, at most 100.
const FEW: usize = 100;

/// Some of the training images, evenly.
fn few(images: &Labelled, training: &[usize]) -> Vec<PathBuf> {
    let step = training.len().div_ceil(FEW).max(1);
    let rows = training.iter().step_by(step);
    rows.map(|&row| images.paths[row].clone()).collect()
}

/// The file of descriptors beside a file of features.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".descriptors");
    name.into()
}

/// None of the images can be used, for this reason above all.
pub(crate) fn none_usable(descriptions: &Descriptions) -> Error {
    let count = descriptions.unusable.len();
    let first = descriptions
        .unusable
        .values()
        .next()
        .map_or("", String::as_str);
    Error::Input(format!("none of {count} images can be used: {first}"))
}

impl Report {
    fn table(&self) -> Table {
        let what = |count: usize, what: &str| format!("{count} {what}");
        let mut lines = vec![
            ("maps", format!("{}: {}", self.maps, self.layers.join(", "))),
            (
                "features",
                format!("{} of {} numbers", self.images, self.dimension),
            ),
        ];
        if !self.classes.is_empty() {
            lines.push(("classes", self.classes.len().to_string()));
        }
        if self.training > 0 {
            lines.push(("learnt from", what(self.training, "images")));
        }
        if let Some(first) = self.skipped.first() {
            let count = self.skipped.len();
            lines.push(("left out", format!("{count}, the first: {first}")));
        }
        lines.push((
            "seconds",
            self.seconds
                .map(|s| Format::Decimals(1).write(s))
                .join(" and "),
        ));
        Table::pairs(&lines)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interrupted {
            Some(kept) if kept.exists() => writeln!(
                f,
                "interrupted: the descriptors so far are in {}; the same command goes on from there",
                kept.display()
            ),
            Some(_) => writeln!(f, "interrupted before anything was made"),
            None => write!(f, "{}in {}", self.table(), self.out.display()),
        }
    }
}
