//! `convnet invariance`: how far features move when what is seen is shifted, scaled or turned.
//!
//! Source: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014,
//! section 4.1 and figure 5.

use std::fmt;
use std::path::PathBuf;

use burn::tensor::Device;
use serde::Serialize;

use super::looking::{most_probable, share, show, spread};
use super::{Prepared, Ready, Source, classify};
use crate::arrays::{self, Bundle};
use crate::data::Image;
use crate::data::warp::{Affine, warp};
use crate::error::{Error, Result};
use crate::named::named;
use crate::picture::{self, Axes, Panel, Series};
use crate::report::{Cell, Format, Results, Table};
use crate::task::{Callback, Event, tell_item};

const PAGE: &str = "invariance.html";
const ARRAYS: &str = "invariance.npz";
/// Steps that are shown as pictures.
const SHOWN: usize = 5;

/// What is moved, and what is looked at.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model.
    pub source: Source,
    /// A picture or a folder of them.
    pub images: PathBuf,
    /// Pictures, spread evenly over the folder.
    pub count: usize,
    /// Two layers by name; the first and the last rectifier if none is given.
    pub layers: Vec<String>,
    /// Pictures that go through the model together.
    pub batch: usize,
    /// Folder for pictures, arrays and tables.
    pub out: PathBuf,
    /// Whether results in it may be replaced.
    pub overwrite: bool,
}

named! {
    /// What is done to a picture.
    pub enum Change: "change" {
        /// Moved down, in pixels.
        Translation = "translation",
        /// Made so many times as large.
        Scaling = "scaling",
        /// Turned counterclockwise, in degrees.
        Rotation = "rotation",
    }
}

impl Change {
    fn axis(self) -> &'static str {
        match self {
            Self::Translation => "moved down, in pixels",
            Self::Scaling => "times as large",
            Self::Rotation => "turned, in degrees",
        }
    }

    /// The amounts of the paper's figure, for pictures of so many rows.
    fn amounts(self, rows: usize) -> Vec<f64> {
        match self {
            Self::Translation => {
                let step = share(10, rows) as f64;
                (-6..=6).map(|k| step * f64::from(k)).collect()
            }
            Self::Scaling => (10..=18).map(|k| f64::from(k) / 10.0).collect(),
            Self::Rotation => (0..36).map(|k| 10.0 * f64::from(k)).collect(),
        }
    }

    fn map(self, amount: f64) -> Affine {
        match self {
            Self::Translation => Affine::translation(amount, 0.0),
            Self::Scaling => Affine::scaling(amount),
            Self::Rotation => Affine::rotation(amount),
        }
    }
}

/// How far features moved.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model and how pictures were prepared.
    #[serde(flatten)]
    pub prepared: Prepared,
    /// The layers.
    pub layers: Vec<String>,
    /// The pictures.
    pub images: Vec<Looked>,
    /// An entry for each picture, change and amount.
    pub rows: Vec<Row>,
    /// The folder with the results.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
}

/// A picture as it is.
#[derive(Clone, Debug, Serialize)]
pub struct Looked {
    /// The picture.
    #[serde(serialize_with = "crate::files::lossily")]
    pub image: PathBuf,
    /// Its true class, where known, or else the most probable one.
    pub class: usize,
    /// The name of the class.
    pub class_name: String,
    /// Its probability.
    pub probability: f32,
}

/// A picture after a change.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The number of the picture.
    pub image: usize,
    /// What was done to it.
    pub change: Change,
    /// How much.
    pub amount: f64,
    /// For each layer, the Euclidean distance of the features to those of the picture as it is, over the
    /// length of those.
    pub distances: Vec<f64>,
    /// The probability of the class.
    pub probability: f32,
}

/// Shifts, scales and turns pictures about their middle; what comes in at the borders is what the model
/// gets as zeros. None if it was asked to stop before the end; nothing is written then.
///
/// # Errors
/// [`Error::Config`] where a layer does not exist, [`Error::Input`] where a picture cannot be read,
/// [`Error::Exists`] where results would be replaced.
pub fn run(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Option<Report>> {
    let all = options.source.pictures(&options.images, callback)?;
    let paths: Vec<&PathBuf> = spread(&all.iter().collect::<Vec<_>>(), options.count);
    if paths.is_empty() {
        return Err(Error::Config("at least one picture is needed".into()));
    }
    let ready = options.source.open(device)?;
    let layers = ready.layers_or(&options.layers, || {
        let last = ready.last()?;
        Ok(vec![ready.rectifiers().next().unwrap_or(last), last])
    })?;
    let values: Vec<usize> = layers.iter().map(|layer| layer.value).collect();
    let names = ["invariance.png", "examples.png", PAGE, ARRAYS];
    let results = Results::claim(&options.out, &names, options.overwrite)?;
    let mut report = Report {
        prepared: options.source.prepared(&ready),
        layers: layers.iter().map(|layer| layer.name.clone()).collect(),
        images: Vec::new(),
        rows: Vec::new(),
        out: options.out.clone(),
    };
    let truths = classify::truths(&ready, &all);
    let fill = ready.preprocess.mean_pixel();
    let mut first = None;
    for (number, path) in paths.iter().enumerate() {
        let picture = ready.picture(path)?;
        let (features, probabilities) =
            ready.activations_and_classes(std::slice::from_ref(&picture), &values)?;
        let place = all.iter().position(|one| one == *path);
        let truth = truths.as_ref().ok().zip(place).map(|(truths, k)| truths[k]);
        let class = truth.unwrap_or_else(|| most_probable(&probabilities[0]));
        report.images.push(Looked {
            image: (*path).clone(),
            class,
            class_name: ready.class(class),
            probability: probabilities[0][class],
        });
        for change in Change::ALL {
            let amounts = change.amounts(picture.height);
            for amounts in amounts.chunks(options.batch.max(1)) {
                let changed: Vec<Image> = amounts
                    .iter()
                    .map(|&amount| warp(&picture, &change.map(amount), &fill))
                    .collect();
                let (found, probabilities) = ready.activations_and_classes(&changed, &values)?;
                for (k, &amount) in amounts.iter().enumerate() {
                    let layers = features.iter().zip(&found);
                    report.rows.push(Row {
                        image: number,
                        change,
                        amount,
                        distances: layers
                            .map(|(original, changed)| distance(&original[0], &changed[k]))
                            .collect(),
                        probability: probabilities[k][class],
                    });
                }
                if callback.interrupted() {
                    return Ok(None);
                }
            }
        }
        first.get_or_insert(picture);
        tell_item(callback, "moving pictures", number + 1, paths.len());
    }
    if let Some(picture) = first {
        report.draw(&ready, &picture, &results)?;
    }
    arrays::write(results.path(ARRAYS)?, &report.arrays()?, options.overwrite)?;
    results.table(&report.table(), &report)?;
    Ok(Some(report))
}

/// `|changed - original| / |original|`, Euclidean.
fn distance(original: &[f32], changed: &[f32]) -> f64 {
    let squares = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
    let pairs = original.iter().zip(changed);
    let apart = squares(&mut pairs.map(|(&a, &b)| f64::from(b) - f64::from(a)));
    let length = squares(&mut original.iter().map(|&a| f64::from(a)));
    match apart == 0.0 {
        true => 0.0,
        false => (apart / length).sqrt(),
    }
}

impl Report {
    /// What is measured, for each layer the distance and then the probability.
    fn measures(&self) -> Vec<(String, Measure)> {
        let mut measures: Vec<(String, Measure)> = Vec::new();
        for (k, layer) in self.layers.iter().enumerate() {
            let distance: Measure = Box::new(move |row| row.distances[k]);
            measures.push((format!("distance in {layer}"), distance));
        }
        let probability: Measure = Box::new(|row| f64::from(row.probability));
        measures.push(("probability of the class".into(), probability));
        measures
    }

    fn points(&self, image: usize, change: Change) -> impl Iterator<Item = &Row> {
        let rows = self.rows.iter();
        rows.filter(move |row| row.image == image && row.change == change)
    }

    fn draw(&self, ready: &Ready, picture: &Image, results: &Results) -> Result<()> {
        let measures = self.measures();
        let mut panels = Vec::new();
        for change in Change::ALL {
            for (name, measure) in &measures {
                let images = self.images.iter().enumerate();
                let series = images.map(|(image, looked)| {
                    let points = self.points(image, change);
                    let name = looked.class_name.split(',').next().unwrap_or_default();
                    Series::new(name, points.map(|row| (row.amount, measure(row))))
                });
                panels.push(Panel {
                    series: series.collect(),
                    axes: Axes {
                        title: format!("{}: {name}", change.name()),
                        x_label: change.axis().into(),
                        y_label: name.split(" in ").next().unwrap_or_default().into(),
                        ..Axes::default()
                    },
                });
            }
        }
        let curves = picture::panels(&panels, measures.len())?;
        let fill = ready.preprocess.mean_pixel();
        let examples = Change::ALL.map(|change| {
            let amounts = spread(&change.amounts(picture.height), SHOWN);
            let images = amounts
                .iter()
                .map(|&amount| warp(picture, &change.map(amount), &fill));
            let amounts: Vec<String> = amounts.iter().map(f64::to_string).collect();
            let label = format!("{}: {}", change.name(), amounts.join(", "));
            (label, images.collect())
        });
        let examples = picture::table("What is done to the pictures", &[], &examples)?;
        show(
            results,
            PAGE,
            "Features under translation, scaling and rotation",
            "Euclidean distance of the features to those of the picture as it is, over the length of those, and \
             the probability of the class.",
            &[
                ("invariance", &curves, "distances and probabilities"),
                ("examples", &examples, "what is done to the pictures"),
            ],
        )
    }

    fn arrays(&self) -> Result<Bundle> {
        let mut bundle = Bundle::default();
        let images = 0..self.images.len();
        for change in Change::ALL {
            let amounts: Vec<f64> = self.points(0, change).map(|row| row.amount).collect();
            let shape = [self.images.len(), amounts.len()];
            let name = change.name();
            bundle.put(
                format!("{name}.amount"),
                &[amounts.len()],
                amounts.iter().map(|&amount| amount as f32).collect(),
            )?;
            for (k, (_, measure)) in self.measures().iter().enumerate() {
                let what = match self.layers.get(k) {
                    Some(_) => format!("{name}.distance{}", k + 1),
                    None => format!("{name}.probability"),
                };
                let values = images
                    .clone()
                    .flat_map(|image| self.points(image, change))
                    .map(|row| measure(row) as f32);
                bundle.put(what, &shape, values.collect())?;
            }
        }
        Ok(bundle)
    }

    fn table(&self) -> Table {
        let layers = self.layers.len();
        let row = |k: usize| &self.rows[k / layers];
        Table::of(self.rows.len() * layers)
            .words("image", |k| {
                Cell::text(self.images[row(k).image].image.display())
            })
            .words("change", |k| Cell::text(row(k).change.name()))
            .numbers("amount", |k| {
                Cell::number(row(k).amount, Format::Significant(3))
            })
            .words("layer", |k| Cell::text(&self.layers[k % layers]))
            .numbers("distance", |k| {
                Cell::number(row(k).distances[k % layers], Format::Significant(4))
            })
            .numbers("probability", |k| {
                Cell::number(f64::from(row(k).probability), Format::Percent(Some(1)))
            })
    }
}

type Measure = Box<dyn Fn(&Row) -> f64>;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measures = self.measures();
        let mean = |change: Change, measure: &Measure| {
            let rows = self.rows.iter().filter(|row| row.change == change);
            let numbers: Vec<f64> = rows.map(measure).collect();
            numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
        };
        for change in Change::ALL {
            let told = measures.iter().map(|(name, measure)| {
                let mean = Format::Significant(3).write(mean(change, measure));
                format!("{name} {mean}")
            });
            let told: Vec<String> = told.collect();
            writeln!(f, "{}, in the mean: {}", change.name(), told.join(", "))?;
        }
        writeln!(
            f,
            "{} pictures: curves, arrays and table in {}",
            self.images.len(),
            self.out.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_over_the_length_of_the_original() {
        assert_eq!(distance(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(distance(&[3.0, 4.0], &[0.0, 0.0]), 1.0);
        assert_eq!(distance(&[3.0, 4.0], &[9.0, 12.0]), 2.0);
        assert_eq!(distance(&[0.0], &[0.0]), 0.0);
    }
}
