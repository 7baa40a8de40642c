//! `convnet correspond`: whether a part of an object means the same to a model in different pictures.
//!
//! ```text
//! d_i = x_i - x_i',   C = mean over i < j of H(sign(d_i), sign(d_j))
//! ```
//!
//! with the features `x_i` of picture `i`, `x_i'` those with the part covered, and `H` the share of features
//! whose signs differ. The smaller, the more alike is what the part changes.
//!
//! Source: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014,
//! section 4.4 and table 1.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice::from_ref;

use burn::tensor::Device;
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use serde::{Deserialize, Serialize};

pub use super::looking::Fill;
use super::looking::{Part, covered, show};
use super::{Prepared, Ready, Source};
use crate::data::{Image, folder};
use crate::error::{Error, Result};
use crate::picture;
use crate::report::{Cell, Format, Results, Table};
use crate::task::{Callback, Event, goes_on};

const PAGE: &str = "correspondence.html";
/// Pictures that are drawn.
const DRAWN: usize = 5;
const RANDOM: &str = "random";

/// Which parts of which pictures.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model.
    pub source: Source,
    /// The folder of the pictures.
    pub images: PathBuf,
    /// The parts: a CSV or JSON file of [`Marked`].
    pub boxes: PathBuf,
    /// Layers by name; the last rectifier with places and the last of all, if none is given.
    pub layers: Vec<String>,
    /// What covers a part.
    pub fill: Fill,
    /// Random parts of the size of each part, in each picture.
    pub random: usize,
    /// Of the random parts.
    pub seed: u64,
    /// Folder for pictures and tables.
    pub out: PathBuf,
    /// Whether results in it may be replaced.
    pub overwrite: bool,
}

/// A part of a picture, in pixels of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// The name of the file.
    pub image: String,
    /// What it is, such as an eye.
    pub part: String,
    /// Its first row.
    pub top: usize,
    /// Its first column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// How alike the changes are.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model and how pictures were prepared.
    #[serde(flatten)]
    pub prepared: Prepared,
    /// What covered the parts.
    pub fill: Fill,
    /// Of the random parts.
    pub seed: u64,
    /// Random parts of the size of each part, in each picture.
    pub random: usize,
    /// An entry for each part and layer; random parts last.
    pub rows: Vec<Row>,
    /// The folder with the results.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
}

/// The consistency of a part.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The part.
    pub part: String,
    /// The layer.
    pub layer: String,
    /// Pairs of pictures.
    pub pairs: usize,
    /// The mean share of features whose changes differ in sign.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

/// Pictures with a part covered that go through the model together.
const TOGETHER: usize = 16;

/// A picture and where its parts lie.
struct Looked {
    picture: Image,
    parts: BTreeMap<String, Part>,
}

/// Covers the same part in several pictures, and random parts of the same size, and compares what changes.
/// None if it was asked to stop before the end; nothing is written then.
///
/// # Errors
/// [`Error::Input`] where boxes or pictures cannot be read or a part lies outside of what the model sees,
/// [`Error::Config`] where a layer does not exist or a part is in fewer than two pictures,
/// [`Error::Exists`] where results would be replaced.
pub fn run(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Option<Report>> {
    let marked = read(&options.boxes)?;
    let ready = options.source.open(device)?;
    let layers = ready.layers_or(&options.layers, || {
        let mut layers = vec![ready.top()?, ready.last()?];
        layers.dedup_by_key(|layer| layer.value);
        Ok(layers)
    })?;
    let values: Vec<usize> = layers.iter().map(|layer| layer.value).collect();
    let looked = looked(&ready, options, &marked)?;
    let results = Results::claim(
        &options.out,
        &["correspondence.png", PAGE],
        options.overwrite,
    )?;
    // For each part, layer and picture the signs of the change; for random parts a number of times.
    let mut signs: BTreeMap<(bool, String), Vec<Vec<Vec<i8>>>> = BTreeMap::new();
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    for (done, one) in looked.iter().enumerate() {
        let cover = ready.cover(&one.picture, options.fill);
        let clean = ready.activations(from_ref(&one.picture), &values)?;
        let mut parts = Vec::new();
        for (name, part) in &one.parts {
            parts.push(((false, name.clone()), part.clone()));
            for draw in 0..options.random {
                let part = elsewhere(part, &one.picture, &mut rng);
                parts.push(((true, format!("{name} {draw}")), part));
            }
        }
        for parts in parts.chunks(TOGETHER) {
            let pictures = parts.iter();
            let pictures = pictures.map(|(_, part)| covered(&one.picture, &cover, part));
            let features = ready.activations(&pictures.collect::<Vec<_>>(), &values)?;
            for (k, (key, _)) in parts.iter().enumerate() {
                let of_key = signs
                    .entry(key.clone())
                    .or_insert_with(|| vec![Vec::new(); values.len()]);
                for (of_layer, (clean, covered)) in
                    of_key.iter_mut().zip(clean.iter().zip(&features))
                {
                    of_layer.push(changes(&clean[0], &covered[k]));
                }
            }
        }
        if !goes_on(callback, "covering parts", done + 1, looked.len()) {
            return Ok(None);
        }
    }
    let mut distances: Vec<(String, Vec<Vec<f64>>)> = Vec::new();
    for ((is_random, name), layers) in &signs {
        let name = if *is_random { RANDOM } else { name };
        let of_key: Vec<Vec<f64>> = layers.iter().map(|signs| pairwise(signs)).collect();
        match distances.last_mut().filter(|(last, _)| last == name) {
            Some((_, sums)) => {
                for (sum, more) in sums.iter_mut().zip(of_key) {
                    sum.extend(more);
                }
            }
            None => distances.push((name.to_string(), of_key)),
        }
    }
    let mut rows = Vec::new();
    for (part, of_part) in &distances {
        for (layer, distances) in layers.iter().zip(of_part) {
            let (mean, error) = mean_and_error(distances);
            rows.push(Row {
                part: part.clone(),
                layer: layer.name.clone(),
                pairs: distances.len(),
                mean,
                error,
            });
        }
    }
    let report = Report {
        prepared: options.source.prepared(&ready),
        fill: options.fill,
        seed: options.seed,
        random: options.random,
        rows,
        out: options.out.clone(),
    };
    draw(&ready, options, &looked, &report, &results)?;
    results.table(&report.table(), &report)?;
    Ok(Some(report))
}

/// Parts from a CSV file, whose first line is `image,part,top,left,height,width`, or a JSON list.
fn read(path: &Path) -> Result<Vec<Marked>> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let told = |why: String| Error::Input(format!("{}: {why}", path.display()));
    if path.extension().is_some_and(|ending| ending == "json") {
        return serde_json::from_str(&text)
            .map_err(|error| told(format!("it is no list of parts ({error})")));
    }
    const HEAD: [&str; 6] = ["image", "part", "top", "left", "height", "width"];
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines().map(|line| line.split(',').map(str::trim));
    let head: Vec<&str> = lines.next().into_iter().flatten().collect();
    if head != HEAD {
        return Err(told(format!("its first line must be {}", HEAD.join(","))));
    }
    let mut marked = Vec::new();
    for (k, cells) in lines.enumerate() {
        let cells: Vec<&str> = cells.collect();
        if cells == [""] {
            continue;
        }
        let wrong = || {
            told(format!(
                "line {} must hold a name, a part and four whole numbers",
                k + 2
            ))
        };
        let [image, part, numbers @ ..] = &cells[..] else {
            return Err(wrong());
        };
        let numbers: Vec<usize> = numbers
            .iter()
            .map(|number| number.parse().map_err(|_| wrong()))
            .collect::<Result<_>>()?;
        let [top, left, height, width] = numbers[..] else {
            return Err(wrong());
        };
        marked.push(Marked {
            image: (*image).to_string(),
            part: (*part).to_string(),
            top,
            left,
            height,
            width,
        });
    }
    Ok(marked)
}

/// Reads the pictures, and finds their parts in what the model sees of them.
fn looked(ready: &Ready, options: &Options, marked: &[Marked]) -> Result<Vec<Looked>> {
    let mut by_image: BTreeMap<&str, Vec<&Marked>> = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in marked {
        by_image.entry(&one.image).or_default().push(one);
        *counts.entry(&one.part).or_default() += 1;
    }
    if counts.contains_key(RANDOM) {
        return Err(Error::Config(format!(
            "{}: a part cannot be called `{RANDOM}`, as the random parts are in the results: give it another name",
            options.boxes.display()
        )));
    }
    let lonely = counts.iter().find(|(_, count)| **count < 2);
    if marked.is_empty() || lonely.is_some() {
        let part = lonely.map_or("every part", |(part, _)| part);
        return Err(Error::Config(format!(
            "{}: mark `{part}` in two pictures or more",
            options.boxes.display()
        )));
    }
    let mut looked = Vec::new();
    for (name, marked) in by_image {
        let image = folder::read(
            &options.images.join(name),
            ready.preprocess.channels == 3,
            None,
        )?;
        let mut parts = BTreeMap::new();
        for one in marked {
            let part = [
                one.top..one.top.saturating_add(one.height),
                one.left..one.left.saturating_add(one.width),
            ];
            let size = [image.height, image.width];
            let part = ready.preprocess.fit_part(part, size).ok_or_else(|| {
                Error::Input(format!(
                    "{}: `{}` of {name} lies outside of what the model sees, the middle of the picture",
                    options.boxes.display(),
                    one.part
                ))
            })?;
            if parts.insert(one.part.clone(), part).is_some() {
                return Err(Error::Config(format!(
                    "{}: `{}` is marked twice in {name}: give the second another name",
                    options.boxes.display(),
                    one.part
                )));
            }
        }
        let picture = ready.preprocess.fit(&image);
        looked.push(Looked { picture, parts });
    }
    Ok(looked)
}

/// A part of the same size at a random place.
fn elsewhere(part: &Part, picture: &Image, rng: &mut ChaCha8Rng) -> Part {
    let mut along = |k: usize, side: usize| {
        let length = part[k].len();
        let first = rng.random_range(0..=side - length);
        first..first + length
    };
    [along(0, picture.height), along(1, picture.width)]
}

/// The sign of the change of each feature: -1, 0 or 1.
fn changes(original: &[f32], covered: &[f32]) -> Vec<i8> {
    let pairs = original.iter().zip(covered);
    let sign = |(a, b): (&f32, &f32)| i8::from(a > b) - i8::from(a < b);
    pairs.map(sign).collect()
}

/// The share of signs that differ, for all pairs.
fn pairwise(signs: &[Vec<i8>]) -> Vec<f64> {
    let mut distances = Vec::new();
    for (k, a) in signs.iter().enumerate() {
        for b in &signs[k + 1..] {
            let differ = a.iter().zip(b).filter(|(a, b)| a != b).count();
            distances.push(differ as f64 / a.len() as f64);
        }
    }
    distances
}

/// The mean, and the standard deviation over the root of the count.
fn mean_and_error(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, (squares / (count - 1.0).max(1.0) / count).sqrt())
}

fn draw(
    ready: &Ready,
    options: &Options,
    looked: &[Looked],
    report: &Report,
    results: &Results,
) -> Result<()> {
    let shown = &looked[..looked.len().min(DRAWN)];
    let mut sheet = vec![(
        "pictures".to_string(),
        shown.iter().map(|one| one.picture.clone()).collect(),
    )];
    let parts = report.rows.iter().filter(|row| row.part != RANDOM);
    let mut parts: Vec<&String> = parts.map(|row| &row.part).collect();
    parts.dedup();
    for name in parts {
        let images = shown.iter().filter_map(|one| {
            let part = one.parts.get(name)?;
            let cover = ready.cover(&one.picture, options.fill);
            Some(covered(&one.picture, &cover, part))
        });
        sheet.push((name.clone(), images.collect()));
    }
    let title = "The same parts covered in different pictures";
    let picture = picture::table(title, &[], &sheet)?;
    let words = format!(
        "The share of features whose changes differ in sign between two pictures, when the same part is covered \
         in both, and when random parts of the same size are; the smaller, the more alike. {}",
        report
            .rows
            .iter()
            .map(|row| format!(
                "{} in {}: {:.3} +- {:.3}.",
                row.part, row.layer, row.mean, row.error
            ))
            .collect::<Vec<_>>()
            .join(" ")
    );
    show(
        results,
        PAGE,
        title,
        &words,
        &[("correspondence", &picture, title)],
    )
}

impl Report {
    fn table(&self) -> Table {
        let row = |k: usize| &self.rows[k];
        Table::of(self.rows.len())
            .words("part", |k| Cell::text(&row(k).part))
            .words("layer", |k| Cell::text(&row(k).layer))
            .numbers("pairs", |k| Cell::Count(row(k).pairs))
            .numbers("signs that differ", |k| {
                Cell::number(row(k).mean, Format::Decimals(4))
            })
            .numbers("standard error", |k| {
                Cell::number(row(k).error, Format::Decimals(4))
            })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table())?;
        writeln!(f, "pictures and table in {}", self.out.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_distances_by_hand() {
        let signs = [
            changes(&[1.0, 2.0, 3.0, 4.0], &[0.0, 2.0, 5.0, 1.0]),
            changes(&[1.0, 2.0, 3.0, 4.0], &[0.0, 1.0, 5.0, 6.0]),
            changes(&[0.0; 4], &[0.0; 4]),
        ];
        assert_eq!(signs[0], [1, 0, -1, 1]);
        assert_eq!(pairwise(&signs), [0.5, 0.75, 1.0]);
        let (mean, error) = mean_and_error(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (error - 3.0_f64.sqrt().recip()).abs() < 1e-12);
    }

    #[test]
    fn boxes_are_read_from_both_kinds_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let [csv, json] = ["boxes.csv", "boxes.json"].map(|name| folder.path().join(name));
        fs::write(
            &csv,
            "image,part,top,left,height,width\na.png, eye,1,2,3,4\n\n",
        )
        .unwrap();
        let marked = read(&csv).unwrap();
        assert_eq!((marked[0].part.as_str(), marked[0].width), ("eye", 4));
        fs::write(&json, serde_json::to_string(&marked).unwrap()).unwrap();
        assert_eq!(read(&json).unwrap(), marked);
        for wrong in [
            "",
            "image,part\n",
            "image,part,top,left,height,width\na,b,1,2,3",
            "image,part,top,left,height,width\na,b,1,2,3,-4",
        ] {
            fs::write(&csv, wrong).unwrap();
            assert!(read(&csv).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn random_parts_have_the_size_and_stay_inside() {
        let picture = Image::zeros(1, 9, 12);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..50 {
            let [rows, columns] = elsewhere(&[2..6, 0..12], &picture, &mut rng);
            assert_eq!([rows.len(), columns.len()], [4, 12]);
            assert!(rows.end <= 9 && columns == (0..12));
        }
    }
}
