//! `convnet classify`: the most probable classes of pictures, and how often they are right.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;

use super::{Prepared, Ready, Source, none_read};
use crate::error::Result;
use crate::report::{Cell, Format, Results, Table};
use crate::task::{Callback, Event, tell_item};

/// Classes that are told of each picture.
const TOLD: usize = 5;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model and how pictures were prepared.
    #[serde(flatten)]
    pub prepared: Prepared,
    /// An entry for each picture.
    pub rows: Vec<Row>,
    /// The share of pictures whose class is the most probable one, if their classes are known.
    pub top1: Option<f64>,
    /// The share of pictures whose class is among the five most probable.
    pub top5: Option<f64>,
    /// The first picture whose class is not told by its folder or name, where those of others are: then no
    /// share is told.
    #[serde(serialize_with = "crate::files::option_lossily")]
    pub stray: Option<PathBuf>,
    /// Pictures that could not be read, each with the reason.
    pub skipped: Vec<String>,
    /// Pictures that there are; more than were classified where it was asked to stop.
    pub of: usize,
    /// The folder with the table.
    #[serde(serialize_with = "crate::files::option_lossily")]
    pub out: Option<PathBuf>,
}

/// The classes of one picture.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The picture.
    #[serde(serialize_with = "crate::files::lossily")]
    pub image: PathBuf,
    /// Its true class, if known.
    pub truth: Option<usize>,
    /// The most probable classes, the first the most.
    pub classes: Vec<Class>,
}

/// A class and its probability.
#[derive(Clone, Debug, Serialize)]
pub struct Class {
    /// Its number.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// Between 0 and 1, all classes together 1.
    pub probability: f32,
}

/// Classifies the pictures of a file or folder. The true class is known where every picture lies in a
/// folder named after a class, or every name begins with the number of one.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) where no picture can be read, and what [`Source`] runs into.
pub fn run(
    source: &Source,
    images: &Path,
    out: Option<&Path>,
    overwrite: bool,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Report> {
    let paths = source.pictures(images, callback)?;
    let ready = source.open(device)?;
    let results = out
        .map(|out| Results::claim(out, &[""; 0], overwrite))
        .transpose()?;
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for (k, path) in paths.iter().enumerate() {
        if callback.interrupted() {
            break;
        }
        match ready.picture(path) {
            Ok(picture) => {
                let probabilities = ready.probabilities(ready.batch([&picture]))?;
                rows.push(Row {
                    image: path.clone(),
                    truth: None,
                    classes: best(&ready, &probabilities[0]),
                });
            }
            Err(error) => skipped.push(error.to_string()),
        }
        tell_item(callback, "classifying", k + 1, paths.len());
    }
    if rows.is_empty() && !callback.interrupted() {
        return Err(none_read(&skipped));
    }
    let read: Vec<PathBuf> = rows.iter().map(|row| row.image.clone()).collect();
    let truths = truths(&ready, &read);
    let stray = truths.as_ref().err().copied().flatten().cloned();
    for (row, truth) in rows.iter_mut().zip(truths.iter().flatten()) {
        row.truth = Some(*truth);
    }
    let share = |most: usize| {
        let right = rows.iter().filter(|row| {
            let classes = row.classes.iter().take(most);
            classes.clone().any(|class| Some(class.class) == row.truth)
        });
        let is_known = truths.is_ok() && !rows.is_empty();
        is_known.then(|| right.count() as f64 / rows.len() as f64)
    };
    let report = Report {
        prepared: source.prepared(&ready),
        top1: share(1),
        top5: share(TOLD),
        rows,
        stray,
        skipped,
        of: paths.len(),
        out: out.map(Path::to_path_buf),
    };
    if let Some(results) = results {
        results.table(&report.table(), &report)?;
    }
    Ok(report)
}

impl Ready {
    /// The probabilities of all classes, for each image.
    pub fn probabilities(&self, images: crate::convnet::Map) -> Result<Vec<Vec<f32>>> {
        let mut logits = Vec::new();
        let count = images.shape()[0];
        self.net.run(images, &[self.net.top()], |_, map| {
            logits = map.read()?;
            Ok(())
        })?;
        let each = logits.len() / count;
        let images = logits.chunks_exact(each);
        Ok(images.map(|output| self.probabilities_of(output)).collect())
    }
}

/// Exponentials that sum to 1; what sums to 1 already, at the end of a model with a softmax, stays.
pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let is_distribution = logits.iter().all(|&p| (0.0..=1.0).contains(&p))
        && (logits.iter().map(|&p| f64::from(p)).sum::<f64>() - 1.0).abs() < 1e-4;
    if is_distribution {
        return logits.to_vec();
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = logits.iter().map(|&v| (v - largest).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.iter().map(|&v| v / sum).collect()
}

fn best(ready: &Ready, probabilities: &[f32]) -> Vec<Class> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| {
        probabilities[b]
            .total_cmp(&probabilities[a])
            .then(a.cmp(&b))
    });
    let told = order.into_iter().take(TOLD);
    told.map(|class| Class {
        class,
        name: ready.class(class),
        probability: probabilities[class],
    })
    .collect()
}

/// Whether a label, such as `n01440764 tench, Tinca tinca`, calls its class so.
pub(super) fn calls(label: &str, name: &str) -> bool {
    let plain = |text: &str| text.trim().to_lowercase().replace(['_', '-'], " ");
    // The number of a word in WordNet, by which folders of ImageNet are called.
    let is_number = |word: &str| {
        let digits = word.strip_prefix('n').unwrap_or_default();
        digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_digit())
    };
    let (number, names) = match label.split_once(char::is_whitespace) {
        Some((word, names)) if is_number(word) => (word, names),
        _ => (label, label),
    };
    let mut all = [label, number].into_iter().chain(names.split(','));
    all.any(|one| plain(one) == plain(name))
}

/// The true class of each picture, where all are known; or else, where some are, the first picture whose
/// class is not.
pub(super) fn truths<'a>(
    ready: &Ready,
    paths: &'a [PathBuf],
) -> std::result::Result<Vec<usize>, Option<&'a PathBuf>> {
    let classes = ready.classes();
    let by_folder = |path: &PathBuf| {
        let folder = path.parent()?.file_name()?.to_string_lossy();
        ready.labels.iter().position(|label| calls(label, &folder))
    };
    let by_number = |path: &PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let end = name
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(name.len());
        name[..end].parse().ok().filter(|&class| class < classes)
    };
    let all = |of: &dyn Fn(&PathBuf) -> Option<usize>| {
        let found: Vec<Option<usize>> = paths.iter().map(of).collect();
        let unknown = found.iter().position(Option::is_none);
        let is_known = found.iter().any(Option::is_some);
        let stray = unknown.filter(|_| is_known).map(|k| &paths[k]);
        found.into_iter().collect::<Option<Vec<_>>>().ok_or(stray)
    };
    all(&by_folder).or_else(|stray| all(&by_number).map_err(|other| stray.or(other)))
}

impl Report {
    fn table(&self) -> Table {
        let row = |k: usize| &self.rows[k];
        Table::of(self.rows.len())
            .words("image", |k| Cell::text(row(k).image.display()))
            .words("class", |k| Cell::text(&row(k).classes[0].name))
            .numbers("probability", |k| {
                Cell::number(
                    f64::from(row(k).classes[0].probability),
                    Format::Percent(Some(1)),
                )
            })
            .words("then", |k| {
                let others = row(k)
                    .classes
                    .iter()
                    .skip(1)
                    .map(|class| class.name.as_str());
                Cell::text(others.collect::<Vec<_>>().join("; "))
            })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table())?;
        for reason in &self.skipped {
            writeln!(f, "left out: {reason}")?;
        }
        let done = self.rows.len() + self.skipped.len();
        if done < self.of {
            writeln!(f, "interrupted after {done} of {} pictures", self.of)?;
        }
        if let Some(stray) = &self.stray {
            writeln!(
                f,
                "how often the classes are right is not told: neither folder nor name of {} tells its class",
                stray.display()
            )?;
        }
        match (self.top1, self.top5) {
            (Some(top1), Some(top5)) => writeln!(
                f,
                "{} pictures: the class is the first in {:.1} %, among the first five in {:.1} %",
                self.rows.len(),
                100.0 * top1,
                100.0 * top5
            ),
            _ => Ok(()),
        }
    }
}
