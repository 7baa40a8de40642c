//! `convnet control`: the same projection under random weights. A picture that stays alike without what was
//! learnt tells nothing of it.
//!
//! Source: J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt and B. Kim, Sanity Checks for Saliency
//! Maps, NeurIPS 2018.

use std::fmt;
use std::path::PathBuf;

use burn::tensor::Device;
use serde::Serialize;

use super::looking::{show, spread};
use super::{Prepared, Source};
use crate::arrays::{self, Bundle};
use crate::convnet::{Model, Unit, Walk};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::files::file_name;
use crate::picture::{self, Axes, Series};
use crate::report::{Cell, Format, Results, Table};
use crate::task::{Callback, Event, goes_on};

const PAGE: &str = "control.html";
const ARRAYS: &str = "control.npz";
/// Layers that are drawn, of all that are in the table.
const DRAWN: usize = 6;

/// What is projected, and under which random weights.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model.
    pub source: Source,
    /// The picture.
    pub image: PathBuf,
    /// The layer; if not given the output, and for the strongest unit the last rectifier whose maps have rows and columns.
    pub layer: Option<String>,
    /// The unit, in the model as it is.
    pub unit: Unit,
    /// How signals go back.
    pub walk: Walk,
    /// Of the random numbers.
    pub seed: u64,
    /// Folder for pictures, arrays and tables.
    pub out: PathBuf,
    /// Whether results in it may be replaced.
    pub overwrite: bool,
}

/// How alike the pictures are.
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
    /// Channel, row, column.
    pub unit: Vec<usize>,
    /// How signals went back.
    pub walk: Walk,
    /// Of the random numbers.
    pub seed: u64,
    /// An entry for each layer with weights, from the top down.
    pub rows: Vec<Row>,
    /// The folder with the results.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
}

/// How alike the projection stays to that of the model as it is.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The layer whose weights are random.
    pub layer: String,
    /// With this layer and all above it random.
    pub cascading: Alike,
    /// With this layer alone random.
    pub alone: Alike,
}

/// Correlation of the absolute values of two projections, over the pixels that the unit sees. None where
/// one of them is the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Alike {
    /// Of ranks (Spearman).
    pub rank: Option<f64>,
    /// Of values (Pearson).
    pub pearson: Option<f64>,
}

/// Projects one unit, starting from 1, while the weights of the layers below it become Gaussian random
/// numbers of their standard deviation: from the top down, one more layer at a time, and each layer alone.
/// Biases and normalisations stay. None if it was asked to stop before the end; nothing is written then.
///
/// # Errors
/// [`Error::Config`] where there is no such layer or unit or nothing below it has weights,
/// [`Error::Input`] where the picture cannot be read, [`Error::Exists`] where results would be replaced.
pub fn run(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Option<Report>> {
    let model = Model::read(&options.source.model)?;
    let ready = options.source.ready(&model, device)?;
    let layer = ready.layer_of(options.layer.as_ref(), &options.unit)?;
    let weights = model.weights_below(&layer.tensor);
    if weights.is_empty() {
        return Err(Error::Config(format!(
            "nothing below `{}` has weights that could be random",
            layer.name
        )));
    }
    let names = ["control.png", "correlation.png", PAGE, ARRAYS];
    let results = Results::claim(&options.out, &names, options.overwrite)?;
    let picture = ready.picture(&options.image)?;
    let activations = ready.activations(std::slice::from_ref(&picture), &[layer.value])?;
    let unit = ready
        .net
        .place(layer.value, &options.unit, &activations[0][0])?;
    let project = |model: &Model| {
        let ready = options.source.ready(model, device)?;
        let (_, back) = ready.project(&picture, layer.value, &unit, Some(1.0), &options.walk)?;
        Ok::<Image, Error>(ready.patch(&back, layer.value, &unit))
    };
    let original = project(&model)?;
    let mut cascading = model.clone();
    let mut rows = Vec::new();
    let mut pictures = Vec::new();
    for (k, of_layer) in weights.iter().enumerate() {
        cascading = cascading.with_random(&of_layer.name, options.seed)?;
        let pair = [
            project(&cascading)?,
            project(&model.with_random(&of_layer.name, options.seed)?)?,
        ];
        let [cascading, alone] = pair.each_ref().map(|one| alike(&original, one));
        rows.push(Row {
            layer: of_layer.layer.clone(),
            cascading,
            alone,
        });
        pictures.push(pair);
        if !goes_on(callback, "random weights", k + 1, weights.len()) {
            return Ok(None);
        }
    }
    let report = Report {
        prepared: options.source.prepared(&ready),
        image: options.image.clone(),
        layer: layer.name.clone(),
        unit: unit.clone(),
        walk: options.walk,
        seed: options.seed,
        rows,
        out: options.out.clone(),
    };
    let seen = ready.patch(&picture, layer.value, &unit);
    report.draw(&seen, &original, &pictures, &results)?;
    let mut bundle = Bundle::default();
    let mut put = |name: String, image: Image| bundle.put(name, &image.shape(), image.values);
    put("original".into(), original)?;
    for (k, [cascading, alone]) in pictures.into_iter().enumerate() {
        put(format!("layer{:03}.cascading", k + 1), cascading)?;
        put(format!("layer{:03}.alone", k + 1), alone)?;
    }
    arrays::write(results.path(ARRAYS)?, &bundle, options.overwrite)?;
    results.table(&report.table(), &report)?;
    Ok(Some(report))
}

/// How alike two projections are.
fn alike(a: &Image, b: &Image) -> Alike {
    let [a, b] = [a, b].map(|image| {
        let absolute = image.values.iter().map(|v| f64::from(v.abs()));
        absolute.collect::<Vec<f64>>()
    });
    Alike {
        rank: correlation(&ranks(&a), &ranks(&b)),
        pearson: correlation(&a, &b),
    }
}

/// Pearson's correlation; none where one side is the same everywhere.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    let correlation = ab / (aa * bb).sqrt();
    correlation.is_finite().then_some(correlation)
}

/// The rank of each value; those that are equal share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equal.len() - 1) as f64 / 2.0;
        for &k in equal {
            ranks[k] = rank;
        }
        first += equal.len();
    }
    ranks
}

impl Report {
    fn draw(
        &self,
        seen: &Image,
        original: &Image,
        pictures: &[[Image; 2]],
        results: &Results,
    ) -> Result<()> {
        let shown = |image: &Image| picture::symmetric(image, None);
        let mut sheet = vec![("as learnt".to_string(), vec![shown(original), seen.clone()])];
        let places: Vec<usize> = (0..self.rows.len()).collect();
        // The last one, with everything random, is always among them.
        let drawn = spread(&places, DRAWN.saturating_sub(1));
        let last = places.last().filter(|last| !drawn.contains(last));
        for &k in drawn.iter().chain(last) {
            sheet.push((
                self.rows[k].layer.clone(),
                pictures[k].each_ref().map(shown).to_vec(),
            ));
        }
        let title = format!(
            "{}: unit {} of {} by the rule {}, under random weights",
            file_name(&self.image),
            Unit::At(self.unit.clone()),
            self.layer,
            self.walk.rule
        );
        let headers = ["from the top down to it", "it alone"];
        let table = picture::table(&title, &headers, &sheet)?;
        let points = |of: &dyn Fn(&Row) -> Option<f64>| {
            let rows = self.rows.iter().enumerate();
            let points = rows.map(|(k, row)| ((k + 1) as f64, of(row).unwrap_or(f64::NAN)));
            points.collect::<Vec<_>>()
        };
        let series = [
            Series::new(
                "ranks, from the top down",
                points(&|row| row.cascading.rank),
            ),
            Series::new("ranks, one layer alone", points(&|row| row.alone.rank)),
            Series::new(
                "values, from the top down",
                points(&|row| row.cascading.pearson),
            ),
            Series::new("values, one layer alone", points(&|row| row.alone.pearson)),
        ];
        let axes = Axes {
            title: "Absolute projections: random weights against those learnt".into(),
            x_label: "layer with weights, from the top down".into(),
            y_label: "correlation".into(),
            ..Axes::default()
        };
        let curves = picture::curves(&series, &axes);
        let words = "The weights of more and more layers, from the top down, and of one layer alone become random \
            numbers of the same standard deviation. A picture that stays alike without what was learnt tells \
            nothing of it.";
        show(
            results,
            PAGE,
            &title,
            words,
            &[
                ("control", &table, "projections"),
                ("correlation", &curves, "correlation of all layers"),
            ],
        )
    }

    fn table(&self) -> Table {
        let row = |k: usize| &self.rows[k];
        let number = |x: Option<f64>| Cell::number(x, Format::Decimals(3));
        Table::of(self.rows.len())
            .words("layer", |k| Cell::text(&row(k).layer))
            .numbers("cascading ranks", |k| number(row(k).cascading.rank))
            .numbers("cascading values", |k| number(row(k).cascading.pearson))
            .numbers("alone ranks", |k| number(row(k).alone.rank))
            .numbers("alone values", |k| number(row(k).alone.pearson))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table())?;
        writeln!(
            f,
            "correlation with the projection of unit {} of {} as learnt, by the rule {}: pictures in {}",
            Unit::At(self.unit.clone()),
            self.layer,
            self.walk.rule,
            self.out.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_share_ties_and_correlations_know_lines() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 0.0]), [2.5, 1.0, 2.5, 0.0]);
        let line = [1.0, 2.0, 3.0, 4.0];
        let close = |a: Option<f64>, b: f64| a.is_some_and(|a| (a - b).abs() < 1e-12);
        assert!(close(correlation(&line, &[3.0, 5.0, 7.0, 9.0]), 1.0));
        assert!(close(correlation(&line, &[9.0, 7.0, 5.0, 3.0]), -1.0));
        // By hand: covariance 1, squares 5 and 3.
        let uneven = correlation(&line, &[0.0, 0.0, 2.0, 0.0]);
        assert!(close(uneven, 1.0 / 15.0_f64.sqrt()), "{uneven:?}");
        assert_eq!(correlation(&line, &[1.0; 4]), None);
    }
}
