//! `classify`: learn to tell the classes of images apart, measure how well, and tell those of others.

mod predict;
mod report;
mod saved;

pub use predict::{Prediction, Predictions, predict};
pub use report::{ClassRow, Report, SplitRow};

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;

use crate::arrays;
use crate::classify::{
    Accuracy, Choice, Classifier, Kernel, Split, Splits, Vectors, accuracy, choose,
};
use crate::error::{Error, Result};
use crate::features::{Gather, Recipe};
use crate::report::Results;
use crate::task::features::{
    Descriptions, Extractor, Labelled, MapOptions, all_features, learn_words, none_usable,
};
use crate::task::{Callback, Event, tell_item};

/// The file of the classifier in the folder of results.
const CLASSIFIER: &str = "classifier.npz";
/// The picture of which class was taken for which.
const CONFUSION: &str = "confusion.png";
/// Descriptors of an earlier call.
const DESCRIPTORS: &str = "descriptors";

/// What is learnt from.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder with a folder of images for each class, or a file of features with their labels.
    pub input: PathBuf,
    /// Patterns of names to leave out.
    pub exclude: Vec<String>,
    /// The maps, of images.
    pub maps: MapOptions,
    /// What is made of them.
    pub recipe: Recipe,
    /// How features are compared; as suits what the recipe gathers where absent.
    pub kernel: Option<Kernel>,
    /// How much errors weigh; chosen on a part of the training images where absent.
    pub c: Option<f32>,
    /// What is learnt from and what measures.
    pub splits: Splits,
    /// The folder for table, picture and classifier.
    pub out: PathBuf,
    /// Whether results in it may be replaced.
    pub overwrite: bool,
    /// Whether the descriptors of the images stay there, for calls with other words, pyramids and kernels.
    pub keep: bool,
    /// Go on where it is estimated to take more memory or disk than there is.
    pub force: bool,
}

impl Options {
    fn kernel(&self) -> Kernel {
        self.kernel.unwrap_or(match self.recipe.pyramid.gather {
            Gather::Sum => Kernel::Intersection,
            Gather::Largest => Kernel::Linear,
        })
    }
}

/// Vectors to learn from and to measure by, and what makes them.
struct Material {
    training: Vectors,
    training_labels: Vec<usize>,
    test: Vectors,
    test_labels: Vec<usize>,
}

/// What one split gave.
struct Outcome {
    choice: Choice,
    accuracy: Accuracy,
    classifier: Classifier,
}

/// Learns a machine for each class from some images of each, tells the classes of others, and writes
///
/// ```text
/// OUT/table.csv, table.json    a row for each class; with all that is in the report
/// OUT/confusion.png            the share of each class that was taken for each
/// OUT/classifier.npz           the classifier of the first split, and all that makes features of images
/// ```
///
/// In every split words are learnt from its training images alone; filters, where they are to be learnt, from
/// training images that all splits have in common.
///
/// An interrupted call leaves the descriptors that it has in the folder, and the same call goes on there.
///
/// # Errors
/// [`Error::Input`] for images or features that cannot be used, fewer than two classes or classes too small;
/// [`Error::Config`] for choices that do not fit; [`Error::Exists`], [`Error::Resources`].
pub fn run(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    options.recipe.check()?;
    if options.c.is_some_and(|c| !(c.is_finite() && c > 0.0)) {
        return Err(Error::Config("the weight of errors must be above 0".into()));
    }
    match is_file_of_features(&options.input) {
        true => from_features(options, callback),
        false => from_images(options, device, callback),
    }
}

fn claim(options: &Options) -> Result<Results> {
    Results::claim(&options.out, &[CLASSIFIER, CONFUSION], options.overwrite)
}

fn from_images(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    let images = Labelled::by_class(&options.input, &options.exclude, callback)?;
    // What is wrong with the numbers of images is told before the work.
    options.splits.draw(&images.labels, &images.classes)?;
    let results = claim(options)?;
    let mut report = Report::new(options, &images.classes);
    let began = Instant::now();
    let splits = &options.splits;
    let shared = splits.shared_rows(&images.labels, &images.classes)?;
    let shared = shared.iter().map(|&row| images.paths[row].clone());
    let shared: Vec<PathBuf> = shared.collect();
    let Some(source) = options.maps.open(&shared, device, callback)? else {
        return Ok(report);
    };
    report.seconds.filters = began.elapsed().as_secs_f64();
    (report.maps, report.layers) = (source.name(), source.layers());
    let began = Instant::now();
    let kept = options.out.join(DESCRIPTORS);
    let recipe = &options.recipe;
    let mut descriptions =
        Descriptions::open(&source, recipe, &images.paths, &kept, options.force)?;
    let splits = loop {
        let before = descriptions.unusable.len();
        let splits = usable(options, &images, &descriptions)?;
        let rows = splits
            .iter()
            .flat_map(|split| split.training.iter().chain(&split.test));
        let wanted: BTreeSet<usize> = rows.copied().collect();
        let wanted: Vec<usize> = wanted.into_iter().collect();
        // Splits are learnt one after the other.
        let sizes = splits
            .iter()
            .map(|split| split.training.len() + split.test.len());
        let at_once = sizes.max().unwrap_or(0);
        if !descriptions.add(&wanted, at_once, callback)? {
            return Ok(report.kept(&kept));
        }
        if descriptions.unusable.len() == wanted.len() {
            let _ = fs::remove_file(&kept);
            return Err(none_usable(&descriptions));
        }
        if descriptions.unusable.len() == before {
            break splits;
        }
    };
    report.seconds.maps = began.elapsed().as_secs_f64();
    report.images = images.paths.len() - descriptions.unusable.len();
    report.skipped = descriptions.unusable.values().cloned().collect();
    let mut first = None;
    for (number, split) in splits.iter().enumerate() {
        let began = Instant::now();
        let seed = options.splits.seed.wrapping_add(number as u64);
        let words = learn_words(recipe, &descriptions, &split.training, seed)?;
        report.seconds.words += began.elapsed().as_secs_f64();
        let began = Instant::now();
        let vectors = |rows: &[usize]| {
            let values = all_features(recipe, &words, &descriptions, rows)?;
            let dimension = values.len() / rows.len().max(1);
            Vectors::new(values, dimension)
        };
        let (training, test) = (vectors(&split.training)?, vectors(&split.test)?);
        let material = Material::new(training, test, split, &images.labels);
        report.seconds.features += began.elapsed().as_secs_f64();
        let outcome = measure(options, &material, images.classes.len(), &mut report)?;
        report.add(&outcome, material.training.dimension());
        first.get_or_insert((outcome.classifier, words));
        if told(number, splits.len(), callback) {
            return Ok(report.kept(&kept));
        }
    }
    if let Some((classifier, words)) = first {
        let extractor = Extractor {
            source,
            recipe: options.recipe.clone(),
            words,
        };
        let file = results.path(CLASSIFIER)?;
        saved::write(&file, &classifier, &images.classes, Some(&extractor))?;
    }
    report.finish(&results)?;
    if !options.keep {
        let _ = fs::remove_file(&kept);
    }
    Ok(report)
}

/// The splits of the images that can be used.
fn usable(options: &Options, images: &Labelled, descriptions: &Descriptions) -> Result<Vec<Split>> {
    let usable = |row: usize| !descriptions.unusable.contains_key(&row);
    let splits = &options.splits;
    splits.draw_among(&images.labels, &images.classes, &usable)
}

/// Tells that a split is done. Whether to stop before the next.
fn told(number: usize, of: usize, callback: &mut dyn Callback<Event>) -> bool {
    let done = number + 1;
    tell_item(callback, "learning and measuring splits", done, of);
    callback.interrupted() && done < of
}

fn from_features(options: &Options, callback: &mut dyn Callback<Event>) -> Result<Report> {
    let path = &options.input;
    let bundle = arrays::read(path)?;
    // What suits a file is told by the recipe that it was made by, where it brings that along.
    let recipe = saved::recipe(&bundle, path)?;
    let options = &Options {
        recipe: recipe.unwrap_or(options.recipe.clone()),
        ..options.clone()
    };
    let (vectors, dimension) = saved::features(&bundle, path)?;
    let (labels, classes) = saved::labels(&bundle, path, vectors.len())?;
    let splits = match bundle.arrays.get("training") {
        // Words were learnt from these, so that no other may.
        Some(rows) => {
            callback.event(Event::Note(
                "the features have training images of their own: one split, those and all others"
                    .into(),
            ));
            vec![saved::own_split(&rows.values, &labels, &classes, path)?]
        }
        None => options.splits.draw(&labels, &classes)?,
    };
    let results = claim(options)?;
    let mut report = Report::new(options, &classes);
    report.maps = format!("features in {}", path.display());
    report.images = vectors.len();
    let mut first = None;
    for (number, split) in splits.iter().enumerate() {
        let (training, test) = (vectors.rows(&split.training), vectors.rows(&split.test));
        let material = Material::new(training, test, split, &labels);
        let outcome = measure(options, &material, classes.len(), &mut report)?;
        report.add(&outcome, dimension);
        first.get_or_insert(outcome.classifier);
        if told(number, splits.len(), callback) {
            return Ok(report);
        }
    }
    if let Some(classifier) = first {
        saved::write(&results.path(CLASSIFIER)?, &classifier, &classes, None)?;
    }
    report.finish(&results)?;
    Ok(report)
}

impl Material {
    fn new(training: Vectors, test: Vectors, split: &Split, labels: &[usize]) -> Self {
        let of = |rows: &[usize]| rows.iter().map(|&row| labels[row]).collect();
        Self {
            training,
            training_labels: of(&split.training),
            test,
            test_labels: of(&split.test),
        }
    }
}

/// Chooses the weight of errors, learns, and tells the classes of the others.
fn measure(
    options: &Options,
    material: &Material,
    classes: usize,
    report: &mut Report,
) -> Result<Outcome> {
    let began = Instant::now();
    let (vectors, labels) = (&material.training, &material.training_labels[..]);
    let choice = match options.c {
        Some(c) => Choice {
            c,
            tried: Vec::new(),
        },
        None => choose(vectors, labels, classes, options.kernel())?,
    };
    let classifier = Classifier::learn(vectors, labels, classes, options.kernel(), choice.c)?;
    let told = classifier.classify(&material.test)?;
    report.seconds.learning += began.elapsed().as_secs_f64();
    Ok(Outcome {
        accuracy: accuracy(&material.test_labels, &told, classes),
        choice,
        classifier,
    })
}

/// Whether a file holds a classifier or features, rather than being an image.
fn is_file_of_features(path: &Path) -> bool {
    path.is_file() && arrays::is_bundle(path)
}
