//! `convnet evolution`: what maps answer to as training goes on.
//!
//! Source: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014,
//! section 4 and figure 4.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;

use super::looking::{show, spread};
use super::{Prepared, Source, none_read};
use crate::arrays::{self, Bundle};
use crate::convnet::{Unit, Walk, unravel};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::picture;
use crate::report::{Cell, Format, Results, Table};
use crate::task::{Callback, Event, goes_on};

const PAGE: &str = "evolution.html";
const ARRAYS: &str = "evolution.npz";

/// Which models and maps.
#[derive(Clone, Debug)]
pub struct Options {
    /// How pictures are prepared; its model is a folder of ONNX files.
    pub source: Source,
    /// A folder of pictures.
    pub images: PathBuf,
    /// The layer; the last rectifier with places if not given.
    pub layer: Option<String>,
    /// Maps, spread evenly over those that are positive at the end.
    pub maps: usize,
    /// Pictures that go through the model together.
    pub batch: usize,
    /// How signals go back.
    pub walk: Walk,
    /// Folder for pictures, arrays and tables.
    pub out: PathBuf,
    /// Whether results in it may be replaced.
    pub overwrite: bool,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The last model and how pictures were prepared.
    #[serde(flatten)]
    pub prepared: Prepared,
    /// The layer.
    pub layer: String,
    /// How signals went back.
    pub walk: Walk,
    /// An entry for each map and epoch.
    pub rows: Vec<Row>,
    /// Pictures that could not be read, each with the reason.
    pub skipped: Vec<String>,
    /// The folder with the results.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
}

/// The strongest activation of a map after an epoch.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The map.
    pub map: usize,
    /// The number in the name of the model.
    pub epoch: u64,
    /// The picture.
    #[serde(serialize_with = "crate::files::lossily")]
    pub image: PathBuf,
    /// Channel, row, column.
    pub unit: Vec<usize>,
    /// The activation.
    pub value: f32,
}

/// Looks for the strongest activation of each map over all pictures, model after model in the order of the
/// numbers in their names, and takes it back to the pixels. None if it was asked to stop before the end;
/// nothing is written then.
///
/// # Errors
/// [`Error::Input`] where there are no models with numbers or no picture can be read, [`Error::Config`]
/// where the layer does not exist, [`Error::Exists`] where results would be replaced.
pub fn run(
    options: &Options,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Option<Report>> {
    let models = models(&options.source.model)?;
    let paths = options.source.pictures(&options.images, callback)?;
    let names = ["evolution.png", PAGE, ARRAYS];
    let results = Results::claim(&options.out, &names, options.overwrite)?;
    let open = |path: &Path| {
        let source = Source {
            model: path.to_path_buf(),
            ..options.source.clone()
        };
        let ready = source.open(device)?;
        let layer = ready.layer_or_top(options.layer.as_ref())?.clone();
        let prepared = source.prepared(&ready);
        Ok::<_, Error>((ready, layer, prepared))
    };
    let (mut winners, mut skipped) = (Vec::new(), Vec::new());
    for (k, (_, path)) in models.iter().enumerate() {
        let (ready, layer, _) = open(path)?;
        let told = (
            "looking at pictures",
            k * paths.len(),
            models.len() * paths.len(),
        );
        skipped.clear();
        let batch = options.batch;
        let found = ready.strongest(&layer, &paths, 1, batch, &mut skipped, told, callback)?;
        let Some(found) = found else { return Ok(None) };
        if skipped.len() == paths.len() {
            return Err(none_read(&skipped));
        }
        let first = found.maps().iter().map(|winners| winners.first().copied());
        winners.push(first.collect::<Vec<_>>());
    }
    let last = winners.last().map(Vec::as_slice).unwrap_or_default();
    let positive: Vec<usize> = (0..last.len())
        .filter(|&map| last[map].is_some_and(|one| one.value > 0.0))
        .collect();
    let maps = spread(&positive, options.maps);
    if maps.is_empty() {
        return Err(Error::Input(
            "no map of the layer is positive at the end: look at another layer".into(),
        ));
    }
    let mut sheet: Vec<(String, Vec<Image>)> = maps
        .iter()
        .map(|map| (format!("map {map}"), Vec::new()))
        .collect();
    let mut rows = Vec::new();
    let mut bundle = Bundle::default();
    let mut described = None;
    for (k, ((epoch, path), found)) in models.iter().zip(&winners).enumerate() {
        let (ready, layer, prepared) = open(path)?;
        let shape = &ready.net.shape(layer.value)[1..];
        for (&map, (_, images)) in maps.iter().zip(&mut sheet) {
            let Some(winner) = found.get(map).copied().flatten() else {
                return Err(Error::Input(format!(
                    "`{}` in {} has no map {map}: all models must have the same layers",
                    layer.name,
                    path.display()
                )));
            };
            let unit = [&[map], &unravel(winner.place, &shape[1..])[..]].concat();
            let picture = ready.picture(&paths[winner.image])?;
            let (_, back) = ready.project(&picture, layer.value, &unit, None, &options.walk)?;
            let patch = ready.patch(&back, layer.value, &unit);
            images.push(picture::symmetric(&patch, None));
            if k + 1 == models.len() {
                images.push(ready.patch(&picture, layer.value, &unit));
            }
            let name = format!("map{map:05}.epoch{epoch:05}");
            bundle.put(name, &patch.shape(), patch.values)?;
            rows.push(Row {
                map,
                epoch: *epoch,
                image: paths[winner.image].clone(),
                unit,
                value: winner.value,
            });
        }
        described = Some((prepared, layer.name));
        if !goes_on(callback, "back to the pixels", k + 1, models.len()) {
            return Ok(None);
        }
    }
    let Some((prepared, layer)) = described else {
        return Ok(None);
    };
    rows.sort_by_key(|row| (row.map, row.epoch));
    let epochs = models.iter().map(|(epoch, _)| format!("epoch {epoch}"));
    let epochs: Vec<String> = epochs.chain(["seen at the end".into()]).collect();
    let headers: Vec<&str> = epochs.iter().map(String::as_str).collect();
    let title = format!(
        "{layer}: the strongest activation of each map after each epoch, by the rule {}",
        options.walk.rule
    );
    let picture = picture::table(&title, &headers, &sheet)?;
    let words = "A row for each map, a column for each epoch: the projection of the strongest activation over all \
        pictures, cut to what the unit sees; and that of the picture at the end. Sudden jumps come from another picture becoming the strongest.";
    show(
        &results,
        PAGE,
        &format!("The evolution of {layer}"),
        words,
        &[("evolution", &picture, &title)],
    )?;
    arrays::write(results.path(ARRAYS)?, &bundle, options.overwrite)?;
    let report = Report {
        prepared,
        layer,
        walk: options.walk,
        rows,
        skipped,
        out: options.out.clone(),
    };
    results.table(&report.table(), &report)?;
    Ok(Some(report))
}

/// The ONNX files of a folder in the order of the last number in their names.
fn models(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut models = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.extension().is_none_or(|ending| ending != "onnx") {
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut numbers = stem.split(|c: char| !c.is_ascii_digit());
        let number = numbers.rfind(|digits| !digits.is_empty());
        match number.and_then(|digits| digits.parse().ok()) {
            Some(epoch) => models.push((epoch, path)),
            None => {
                return Err(Error::Input(format!(
                    "the name of {} has no number of an epoch, such as model-epoch001.onnx",
                    path.display()
                )));
            }
        }
    }
    models.sort();
    if models.is_empty() {
        let folder = folder.display();
        return Err(Error::Input(format!("{folder} holds no ONNX file")));
    }
    Ok(models)
}

impl Report {
    fn table(&self) -> Table {
        let row = |k: usize| &self.rows[k];
        Table::of(self.rows.len())
            .numbers("map", |k| Cell::Count(row(k).map))
            .numbers("epoch", |k| Cell::Count(row(k).epoch as usize))
            .words("image", |k| Cell::text(row(k).image.display()))
            .words("unit", |k| Cell::text(Unit::At(row(k).unit.clone())))
            .numbers("activation", |k| {
                Cell::number(f64::from(row(k).value), Format::Significant(4))
            })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table())?;
        for reason in &self.skipped {
            writeln!(f, "left out: {reason}")?;
        }
        writeln!(
            f,
            "{} by the rule {}: pictures, arrays and table in {}",
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
    fn models_come_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        assert!(models(folder.path()).is_err());
        for name in [
            "net2-epoch10.onnx",
            "net2-epoch9.onnx",
            "notes.txt",
            "1.onnx",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = models(folder.path()).unwrap();
        let epochs: Vec<u64> = found.iter().map(|(epoch, _)| *epoch).collect();
        assert_eq!(epochs, [1, 9, 10]);
        fs::write(folder.path().join("last.onnx"), "").unwrap();
        says!(models(folder.path()).unwrap_err(), "last.onnx");
    }
}
