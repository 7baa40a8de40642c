//! The classes of images, or of vectors, by a saved classifier.

use std::path::{Path, PathBuf};
use std::{env, fmt};

use burn::tensor::Device;
use serde::Serialize;

use super::{is_file_of_features, saved};
use crate::arrays;
use crate::classify::Vectors;
use crate::error::{Error, Result};
use crate::report::{Cell, Format, Table};
use crate::task::features::{Descriptions, Extractor, all_features, none_usable};
use crate::task::{Callback, Event, find_images};

/// What was told.
#[derive(Clone, Debug, Serialize)]
pub struct Predictions {
    /// The classifier.
    #[serde(serialize_with = "crate::files::lossily")]
    pub classifier: PathBuf,
    /// A row for each image.
    pub rows: Vec<Prediction>,
    /// The share that is right, where every image lies in a folder named after a class.
    pub right: Option<f64>,
    /// Images that could not be used, each with the reason.
    pub skipped: Vec<String>,
    /// Whether it was asked to stop: then the rows are those of the first images.
    pub interrupted: bool,
}

/// The class of an image.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// The image.
    pub image: String,
    /// Its class.
    pub class: String,
    /// The value of that class less that of the next: how clear it is.
    pub margin: f32,
    /// The next class.
    pub second: String,
}

/// Tells the classes of the images in files and folders, or of the vectors in one file of features; `force`: also
/// where that is estimated to take more memory than there is.
///
/// # Errors
/// [`Error::Input`] for a file that holds no classifier, one that knows no images, images that cannot be used,
/// and vectors of another dimension.
pub fn predict(
    classifier: &Path,
    paths: &[PathBuf],
    exclude: &[String],
    force: bool,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Predictions> {
    let bundle = arrays::read(classifier)?;
    let (machine, classes) = saved::read(&bundle, classifier)?;
    let mut report = Predictions {
        classifier: classifier.to_path_buf(),
        rows: Vec::new(),
        right: None,
        skipped: Vec::new(),
        interrupted: false,
    };
    let (names, vectors) = match paths {
        [file] if is_file_of_features(file) => {
            let given = arrays::read(file)?;
            let (vectors, _) = saved::features(&given, file)?;
            let known = given.texts.get("names");
            let names: Vec<String> = match known {
                Some(text) => text.lines().map(str::to_owned).collect(),
                None => (0..vectors.len()).map(|k| format!("vector {k}")).collect(),
            };
            (names, vectors)
        }
        paths => {
            if !bundle.texts.contains_key("maps") {
                return Err(Error::Input(format!(
                    "{} was learnt from features alone and cannot tell the classes of images: give it \
                     features made in the same way",
                    classifier.display()
                )));
            }
            let mut images = Vec::new();
            for path in paths {
                images.extend(find_images(path, exclude, callback)?);
            }
            let extractor = Extractor::get(&bundle, classifier, device)?;
            let Extractor {
                source,
                recipe,
                words,
            } = &extractor;
            let scratch = tempfile::tempdir().map_err(Error::io("create", env::temp_dir()))?;
            let kept = scratch.path().join("descriptors");
            let mut descriptions = Descriptions::open(source, recipe, &images, &kept, force)?;
            let all: Vec<usize> = (0..images.len()).collect();
            report.interrupted = !descriptions.add(&all, all.len(), callback)?;
            if descriptions.unusable.len() == images.len() {
                return Err(none_usable(&descriptions));
            }
            report.skipped = descriptions.unusable.values().cloned().collect();
            let rows: Vec<usize> = all.into_iter().filter(|&k| descriptions.has(k)).collect();
            let name = |&row: &usize| images[row].to_string_lossy().into_owned();
            let names = rows.iter().map(name).collect();
            let values = all_features(recipe, words, &descriptions, &rows)?;
            (names, Vectors::new(values, machine.support.dimension())?)
        }
    };
    let values = machine.values(&vectors)?;
    for (name, values) in names.into_iter().zip(values.chunks_exact(classes.len())) {
        let mut order: Vec<usize> = (0..classes.len()).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        report.rows.push(Prediction {
            image: name,
            class: classes[order[0]].clone(),
            margin: values[order[0]] - values[order[1]],
            second: classes[order[1]].clone(),
        });
    }
    report.right = right(&report.rows, &classes);
    Ok(report)
}

/// The share that is right, where all folders are named after classes.
fn right(rows: &[Prediction], classes: &[String]) -> Option<f64> {
    let truth = |row: &Prediction| {
        let folder = Path::new(&row.image).parent()?.file_name()?;
        let folder = folder.to_string_lossy().into_owned();
        classes.contains(&folder).then_some(folder == row.class)
    };
    let told: Vec<bool> = rows.iter().map(truth).collect::<Option<_>>()?;
    let right = told.iter().filter(|right| **right).count();
    (!told.is_empty()).then(|| right as f64 / told.len() as f64)
}

impl fmt::Display for Predictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = &self.rows;
        let table = Table::of(rows.len())
            .words("image", |k| Cell::text(&rows[k].image))
            .words("class", |k| Cell::text(&rows[k].class))
            .numbers("margin", |k| {
                Cell::number(f64::from(rows[k].margin), Format::Decimals(2))
            })
            .words("then", |k| Cell::text(&rows[k].second));
        write!(f, "{table}")?;
        if self.interrupted {
            writeln!(f, "interrupted: the other images were not looked at")?;
        }
        for reason in &self.skipped {
            writeln!(f, "left out: {reason}")?;
        }
        match self.right {
            Some(right) => writeln!(
                f,
                "{:.1} % of {} are of the class of their folder",
                100.0 * right,
                rows.len()
            ),
            None => Ok(()),
        }
    }
}
