//! `convnet occlude`: a square slides over a picture, and what it hides is told by what the model loses.
//!
//! Source: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014,
//! section 4.2 and figure 6.

use std::fmt;
use std::path::PathBuf;

use burn::tensor::Device;
use serde::Serialize;

pub use super::looking::Fill;
use super::looking::{Part, covered, most_probable, share, show};
use super::{Prepared, Ready, Source};
use crate::arrays::{self, Bundle};
use crate::convnet::{Layer, Map, Unit, Walk, unravel};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::files::file_name;
use crate::picture;
use crate::report::{Cell, Format, Results, Table};
use crate::task::{Callback, Event, goes_on};

const NAME: &str = "occlusion";
const PAGE: &str = "occlusion.html";
const ARRAYS: &str = "occlusion.npz";
/// Other pictures that are shown.
const OTHERS: usize = 3;

/// What is covered, and what is looked at.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model.
    pub source: Source,
    /// The picture.
    pub image: PathBuf,
    /// Other pictures: the three in which the map is strongest are shown.
    pub others: Option<PathBuf>,
    /// The layer whose strongest map is looked at; the last rectifier with places if not given.
    pub layer: Option<String>,
    /// The class, by number or name; the true one if the name of the file tells it, else the most
    /// probable one.
    pub class: Option<String>,
    /// Pixels of the sides of the square; 50 of 224 of the shorter side of the picture, if not given.
    pub side: Option<usize>,
    /// Pixels from one place of it to the next; 10 of 224, if not given.
    pub step: Option<usize>,
    /// What it is filled with.
    pub fill: Fill,
    /// Places that go through the model together.
    pub batch: usize,
    /// How the strongest unit goes back to the pixels.
    pub walk: Walk,
    /// Folder for pictures, arrays and tables.
    pub out: PathBuf,
    /// Whether results in it may be replaced.
    pub overwrite: bool,
}

/// What the model loses where.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model and how the picture was prepared.
    #[serde(flatten)]
    pub prepared: Prepared,
    /// The picture.
    #[serde(serialize_with = "crate::files::lossily")]
    pub image: PathBuf,
    /// The layer.
    pub layer: String,
    /// The strongest unit of the picture as it is: channel, row, column. Its channel is the map.
    pub unit: Vec<usize>,
    /// The total activation of the map in the picture as it is.
    pub activation: f64,
    /// The class.
    pub class: usize,
    /// Its name.
    pub class_name: String,
    /// Its probability in the picture as it is.
    pub probability: f32,
    /// Pixels of the sides of the square.
    pub side: usize,
    /// Pixels from one place of it to the next.
    pub step: usize,
    /// What it was filled with.
    pub fill: Fill,
    /// Places along rows and columns.
    pub places: [usize; 2],
    /// An entry for each place, row by row.
    pub rows: Vec<Row>,
    /// The other pictures in which the map is strongest, strongest first.
    pub others: Vec<Other>,
    /// The folder with the results.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
}

/// Another picture in which the map is strong.
#[derive(Clone, Debug, Serialize)]
pub struct Other {
    /// The picture.
    #[serde(serialize_with = "crate::files::lossily")]
    pub image: PathBuf,
    /// Channel, row, column.
    pub unit: Vec<usize>,
    /// The activation of the unit.
    pub value: f32,
}

/// What the model makes of the picture with the square at one place.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Row of the middle of the square.
    pub y: usize,
    /// Column of the middle.
    pub x: usize,
    /// The total activation of the map.
    pub activation: f64,
    /// The probability of the class.
    pub probability: f32,
    /// The most probable class.
    pub class: usize,
    /// Its name.
    pub class_name: String,
}

/// Slides the square over the picture, its middle on every `step`-th pixel from half a step on, cut off at
/// the borders. None if it was asked to stop before the end; nothing is written then.
///
/// # Errors
/// [`Error::Config`] where a layer or class does not exist, [`Error::Input`] where the picture cannot be
/// read, [`Error::Exists`] where results would be replaced.
pub fn run(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Option<Report>> {
    let ready = options.source.open(device)?;
    let [height, width] = ready.preprocess.crop;
    let shorter = height.min(width);
    let [side, step] = [(options.side, 50), (options.step, 10)]
        .map(|(given, pixels)| given.unwrap_or_else(|| share(pixels, shorter)));
    if !(1..=shorter).contains(&side) || !(1..=shorter).contains(&step) {
        return Err(Error::Config(format!(
            "the side of the square and its step must be at least one pixel, and no more than the picture, \
             of {height} x {width}, has: they are {side} and {step}"
        )));
    }
    let layer = ready.layer_or_top(options.layer.as_ref())?.clone();
    let maps = ready.maps(&layer)?;
    let results = Results::claim(
        &options.out,
        &["occlusion.png", PAGE, ARRAYS],
        options.overwrite,
    )?;
    let picture = ready.picture(&options.image)?;
    let clean = ready.net.record(ready.batch([&picture]))?;
    let values = [layer.value, ready.net.top()];
    let activations = &clean.map(layer.value).read()?;
    let probabilities = &ready.probabilities_of(&clean.map(values[1]).read()?);
    let unit = ready
        .net
        .place(layer.value, &Unit::Strongest, activations)?;
    let map = unit[0] * maps[1] * maps[2]..(unit[0] + 1) * maps[1] * maps[2];
    let total = |activations: &[f32]| {
        let of_map = &activations[map.clone()];
        of_map.iter().map(|&a| f64::from(a)).sum::<f64>()
    };
    let class = ready.class_or(options.class.as_deref(), &options.image, probabilities)?;
    let mut report = Report {
        prepared: options.source.prepared(&ready),
        image: options.image.clone(),
        layer: layer.name.clone(),
        activation: total(activations),
        unit: unit.clone(),
        class,
        class_name: ready.class(class),
        probability: probabilities[class],
        side,
        step,
        fill: options.fill,
        places: [height, width].map(|length| middles(length, step).count()),
        rows: Vec::new(),
        others: Vec::new(),
        out: options.out.clone(),
    };
    let cover = ready.cover(&picture, options.fill);
    let squares = squares([height, width], side, step);
    for together in squares.chunks(options.batch.max(1)) {
        let pictures: Vec<Image> = together
            .iter()
            .map(|(_, part)| covered(&picture, &cover, part))
            .collect();
        let parts: Vec<Part> = together.iter().map(|(_, part)| part.clone()).collect();
        let batch = ready.batch(&pictures);
        let found = ready.net.run_changed(&clean, batch, &parts, &values)?;
        let found = found.iter().map(Map::read).collect::<Result<Vec<_>>>()?;
        let [activations, logits] =
            [0, 1].map(|k| found[k].chunks_exact(found[k].len() / parts.len()));
        let rows = together
            .iter()
            .zip(activations.zip(logits.map(|output| ready.probabilities_of(output))));
        report
            .rows
            .extend(rows.map(|(&([y, x], _), (activations, probabilities))| {
                let best = most_probable(&probabilities);
                Row {
                    y,
                    x,
                    activation: total(activations),
                    probability: probabilities[class],
                    class: best,
                    class_name: ready.class(best),
                }
            }));
        if !goes_on(callback, "covering", report.rows.len(), squares.len()) {
            return Ok(None);
        }
    }
    let (_, projection) = ready.project(&picture, layer.value, &unit, None, &options.walk)?;
    let Some(pairs) = report.others(options, &ready, &layer, callback)? else {
        return Ok(None);
    };
    report.draw(&ready, &picture, &projection, &pairs, &results)?;
    arrays::write(
        results.path(ARRAYS)?,
        &report.arrays(&picture, projection)?,
        options.overwrite,
    )?;
    results.table(&report.table(), &report)?;
    Ok(Some(report))
}

/// The middles of the squares and what they cover, row by row.
fn squares([height, width]: [usize; 2], side: usize, step: usize) -> Vec<([usize; 2], Part)> {
    let covers = |middle: usize, length: usize| {
        let first = middle as i64 - side as i64 / 2;
        let last = first + side as i64;
        first.max(0) as usize..(last as usize).min(length)
    };
    middles(height, step)
        .flat_map(|y| middles(width, step).map(move |x| [y, x]))
        .map(|[y, x]| ([y, x], [covers(y, height), covers(x, width)]))
        .collect()
}

/// The middles of squares along a length, the first half a step from its begin.
fn middles(length: usize, step: usize) -> impl Iterator<Item = usize> {
    (step / 2..length).step_by(step)
}

impl Report {
    /// Looks for the other pictures in which the map is strongest; what its unit sees of each, and the
    /// projection into it. None if it was asked to stop.
    fn others(
        &mut self,
        options: &Options,
        ready: &Ready,
        layer: &Layer,
        callback: &mut dyn Callback<Event>,
    ) -> Result<Option<Vec<[Image; 2]>>> {
        let Some(folder) = &options.others else {
            return Ok(Some(Vec::new()));
        };
        let same = |path: &PathBuf| path.canonicalize().ok() == options.image.canonicalize().ok();
        let mut paths = options.source.pictures(folder, callback)?;
        paths.retain(|path| !same(path));
        let told = ("looking at other pictures", 0, paths.len());
        let (batch, mut skipped) = (options.batch, Vec::new());
        let found = ready.strongest(layer, &paths, OTHERS, batch, &mut skipped, told, callback)?;
        let Some(found) = found else { return Ok(None) };
        skipped
            .into_iter()
            .for_each(|reason| callback.event(Event::Note(reason)));
        let shape = &ready.net.shape(layer.value)[1..];
        let mut pairs = Vec::new();
        for winner in &found.maps()[self.unit[0]] {
            let unit = [&self.unit[..1], &unravel(winner.place, &shape[1..])[..]].concat();
            let picture = ready.picture(&paths[winner.image])?;
            let (value, back) = ready.project(&picture, layer.value, &unit, None, &options.walk)?;
            pairs.push([&picture, &back].map(|image| ready.patch(image, layer.value, &unit)));
            let image = paths[winner.image].clone();
            self.others.push(Other { image, unit, value });
        }
        Ok(Some(pairs))
    }

    /// A number of each place as a map of the size of the picture, a block of `step` pixels for each.
    fn map<T: Copy>(&self, picture: &Image, number: impl Fn(&Row) -> T) -> Vec<T> {
        let pixels = 0..picture.height * picture.width;
        // What is left behind the last middle belongs to it.
        let block = |at: usize, d: usize| (at / self.step).min(self.places[d] - 1);
        let place = |k: usize| {
            let [row, column] = [block(k / picture.width, 0), block(k % picture.width, 1)];
            number(&self.rows[row * self.places[1] + column])
        };
        pixels.map(place).collect()
    }

    /// The most frequent classes, as many as have colours.
    fn frequent(&self) -> Vec<usize> {
        let mut counts: Vec<(usize, usize)> = Vec::new();
        for row in &self.rows {
            match counts.iter_mut().find(|(class, _)| *class == row.class) {
                Some((_, count)) => *count += 1,
                None => counts.push((row.class, 1)),
            }
        }
        counts.sort_by_key(|&(class, count)| (std::cmp::Reverse(count), class));
        let classes = counts.into_iter().map(|(class, _)| class);
        classes.take(picture::GROUPS).collect()
    }

    fn draw(
        &self,
        ready: &Ready,
        picture: &Image,
        projection: &Image,
        others: &[[Image; 2]],
        results: &Results,
    ) -> Result<()> {
        let plane = |values: Vec<f32>| Image::new([1, picture.height, picture.width], values);
        let activation = plane(self.map(picture, |row| row.activation as f32));
        let probability = plane(self.map(picture, |row| row.probability));
        let frequent = self.frequent();
        let group = |row: &Row| {
            let place = frequent.iter().position(|&class| class == row.class);
            place.unwrap_or(picture::GROUPS)
        };
        let classes = self.map(picture, group);
        let mut names: Vec<String> = frequent.iter().map(|&class| ready.class(class)).collect();
        if classes.contains(&picture::GROUPS) {
            names.push("others".into());
        }
        let peak = |image: &Image| {
            let peak = f64::from(picture::peak([image]));
            Format::Significant(3).write(peak)
        };
        let mut headers = vec![
            "image".to_string(),
            format!("map {}, up to {}", self.unit[0], peak(&activation)),
            "its strongest unit".into(),
            format!("probability, up to {}", peak(&probability)),
            "most probable class".into(),
        ];
        let mut columns = vec![
            picture.clone(),
            picture::heat(&activation, None),
            picture::symmetric(projection, None),
            picture::heat(&probability, None),
            picture::groups(&classes, picture.height, picture.width),
        ];
        let title = format!(
            "{}: {} pixels covered, layer {}, class {}",
            file_name(&self.image),
            self.side,
            self.layer,
            self.class_name
        );
        let others: Vec<&[Image; 2]> = others.iter().collect();
        if !others.is_empty() {
            let field = [0, 1].map(|d| {
                let sides = others
                    .iter()
                    .map(|[patch, _]| [patch.height, patch.width][d]);
                sides.max().unwrap_or(1)
            });
            let side = picture.height.max(picture.width) / OTHERS;
            headers.push("strongest elsewhere".into());
            columns.push(picture::pairs_in_rows(&others, field, 1, side));
        }
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let table = picture::table(&title, &headers, &[(String::new(), columns)])?;
        let table = picture::with_legend(&table, &names);
        let words = format!(
            "A square of {0} x {0} pixels slides over the picture. At each place: the total activation of the map \
             that is strongest in the picture as it is, the probability of {1}, and the most probable class. In the \
             middle the projection of the strongest unit of that map.{2}",
            self.side,
            self.class_name,
            match self.others.is_empty() {
                true => "",
                false =>
                    " To the right what it sees in the other pictures in which it is strongest, and the projections.",
            }
        );
        show(results, PAGE, &title, &words, &[(NAME, &table, &title)])
    }

    fn arrays(&self, picture: &Image, projection: Image) -> Result<Bundle> {
        let mut bundle = Bundle::default();
        let rows = self.rows.iter();
        let activations = rows.clone().map(|row| row.activation as f32).collect();
        bundle.put("activation", &self.places, activations)?;
        let probabilities = rows.clone().map(|row| row.probability).collect();
        bundle.put("probability", &self.places, probabilities)?;
        bundle.put("image", &picture.shape(), picture.values.clone())?;
        bundle.put("projection", &projection.shape(), projection.values)?;
        let classes = rows.map(|row| row.class as u32);
        bundle.indices.insert("class".into(), classes.collect());
        Ok(bundle)
    }

    fn table(&self) -> Table {
        let row = |k: usize| &self.rows[k];
        Table::of(self.rows.len())
            .numbers("y", |k| Cell::Count(row(k).y))
            .numbers("x", |k| Cell::Count(row(k).x))
            .numbers("activation", |k| {
                Cell::number(row(k).activation, Format::Significant(4))
            })
            .numbers("probability", |k| {
                Cell::number(f64::from(row(k).probability), Format::Percent(Some(1)))
            })
            .words("class", |k| Cell::text(&row(k).class_name))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = |number: &dyn Fn(&Row) -> f64| {
            let places = self.rows.iter();
            places.min_by(|a, b| number(a).total_cmp(&number(b)))
        };
        let activation = least(&|row| row.activation);
        let probability = least(&|row| f64::from(row.probability));
        if let (Some(activation), Some(probability)) = (activation, probability) {
            writeln!(
                f,
                "{} map {}: total activation {:.4}, {:.4} with row {}, column {} covered",
                self.layer,
                self.unit[0],
                self.activation,
                activation.activation,
                activation.y,
                activation.x
            )?;
            writeln!(
                f,
                "{}: {:.1} %, {:.1} % with row {}, column {} covered",
                self.class_name,
                100.0 * self.probability,
                100.0 * probability.probability,
                probability.y,
                probability.x
            )?;
        }
        let kept = self.rows.iter().filter(|row| row.class == self.class);
        writeln!(
            f,
            "{} is the most probable class at {} of {} places; pictures, arrays and table in {}",
            self.class_name,
            kept.count(),
            self.rows.len(),
            self.out.display()
        )
    }
}
