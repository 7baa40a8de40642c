//! `convnet project`: one unit back to the pixels, of pictures or of arrays.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use serde::Serialize;

use super::{Prepared, Source, file_stem, none_read};
use crate::arrays::{self, Bundle};
use crate::convnet::{Convnet, Map, Model, Rule, Unit, Walk, ravel};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::files::file_name;
use crate::named::named;
use crate::picture;
use crate::report::{Cell, Format, Results, Table};
use crate::run::{Estimate, Free};
use crate::task::{Callback, Event, goes_on};

named! {
    /// What a signal starts with.
    #[derive(Default)]
    pub enum Start: "start of a signal" {
        /// The activation of the unit, as in the paper.
        #[default]
        Activation = "activation",
        /// 1.
        One = "one",
    }
}

/// Which unit goes back, and how.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The layer, by any of its names; if not given the output, and for the strongest unit of pictures the last
    /// rectifier whose maps have rows and columns.
    pub layer: Option<String>,
    /// The unit.
    pub unit: Unit,
    /// How a signal goes back.
    pub walk: Walk,
    /// What it starts with.
    pub start: Start,
}

/// A unit and its projection.
struct Projected {
    /// Channel, row, column.
    place: Vec<usize>,
    value: f32,
    /// As the model has its input.
    projection: Vec<f32>,
}

impl Target {
    fn value(&self, net: &Convnet) -> Result<usize> {
        match &self.layer {
            Some(name) => net.layer(name).map(|layer| layer.value),
            None => Ok(net.top()),
        }
    }

    /// The unit of each image, taken back to the pixels; and the classes.
    fn project(&self, net: &Convnet, images: Map) -> Result<(Vec<Projected>, Map)> {
        let value = self.value(net)?;
        let count = images.shape()[0];
        let shape = &net.shape(value)[1..];
        let tape = net.record(images)?;
        let activations = tape.map(value).read()?;
        let each = activations.len() / count;
        let mut units = Vec::new();
        for activations in activations.chunks_exact(each) {
            let place = net.place(value, &self.unit, activations)?;
            let value = activations[ravel(&place, shape)];
            units.push((place, value));
        }
        let start = |value| match self.start {
            Start::Activation => value,
            Start::One => 1.0,
        };
        let starts = units
            .iter()
            .map(|(place, value)| (place.clone(), start(*value)));
        let starts: Vec<_> = starts.collect();
        let rows: Vec<usize> = (0..count).collect();
        let projections = net.project_units(&tape, value, &starts, &rows, &self.walk)?;
        let projected = units.into_iter().zip(projections);
        let projected = projected.map(|((place, value), projection)| Projected {
            place,
            value,
            projection,
        });
        Ok((projected.collect(), tape.map(net.logits()).clone()))
    }
}

/// What was projected from arrays.
#[derive(Clone, Debug, Serialize)]
pub struct Arrays {
    /// The file written, with `logits`, `value` and `projection`.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
    /// The rule.
    pub rule: Rule,
    /// The activation of the unit in each image.
    pub values: Vec<f32>,
}

/// Takes `x`, images as the model has them, from a file of arrays, and writes `logits`, the `value` of
/// the unit and its `projection`, of the shape of `x`, to another.
///
/// # Errors
/// [`Error::Input`] if the model or the arrays cannot be used, [`Error::Config`] if there is no such layer
/// or unit, [`Error::Exists`] if `out` does.
pub fn arrays(
    model: &Path,
    input: &Path,
    target: &Target,
    out: &Path,
    overwrite: bool,
    device: &Device,
) -> Result<Arrays> {
    arrays::check_path(out, overwrite)?;
    let model = Model::read(model)?;
    let bundle = arrays::read(input)?;
    let x = bundle.array("x", input)?;
    if x.shape.len() < 2 || x.values.is_empty() {
        return Err(Error::Input(format!(
            "{}: `x` has the shape {:?}; it must hold images along its first axis",
            input.display(),
            x.shape
        )));
    }
    let one = [&[1], &x.shape[1..]].concat();
    let net = Convnet::new(&model, &one, device, DType::F32)?;
    let images = Map::from_values(x.values.clone(), &x.shape, device, DType::F32);
    let (projected, logits) = target.project(&net, images)?;
    let values: Vec<f32> = projected.iter().map(|one| one.value).collect();
    let pixels = projected
        .iter()
        .flat_map(|one| one.projection.iter().copied());
    let mut bundle = Bundle::default();
    bundle.put("projection", &x.shape, pixels.collect())?;
    bundle.put("logits", logits.shape(), logits.read()?)?;
    match values[..] {
        [value] => drop(bundle.scalars.insert("value".into(), value.into())),
        _ => bundle.put("value", &[values.len()], values.clone())?,
    }
    arrays::write(out, &bundle, overwrite)?;
    Ok(Arrays {
        out: out.to_path_buf(),
        rule: target.walk.rule,
        values,
    })
}

impl fmt::Display for Arrays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images = self.values.len();
        writeln!(
            f,
            "{}: {} of {images} by the rule {}",
            self.out.display(),
            if images == 1 {
                "projection"
            } else {
                "projections"
            },
            self.rule
        )
    }
}

/// What was projected from pictures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model and how pictures were prepared.
    #[serde(flatten)]
    pub prepared: Prepared,
    /// The layer.
    pub layer: String,
    /// How signals went back.
    pub walk: Walk,
    /// What they started with.
    pub start: Start,
    /// An entry for each picture.
    pub rows: Vec<Row>,
    /// Pictures that could not be read, each with the reason.
    pub skipped: Vec<String>,
    /// The folder with the pictures.
    #[serde(serialize_with = "crate::files::lossily")]
    pub out: PathBuf,
}

/// A unit of one picture.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The picture.
    #[serde(serialize_with = "crate::files::lossily")]
    pub image: PathBuf,
    /// Channel, row, column.
    pub unit: Vec<usize>,
    /// Its activation.
    pub value: f32,
    /// First and last row of the pixels that it sees.
    pub rows: (usize, usize),
    /// First and last column.
    pub columns: (usize, usize),
}

/// Projects a unit of each picture in a file or folder, and draws it beside the patch that it sees. None if
/// it was asked to stop before the end; nothing is written then.
///
/// # Errors
/// As [`arrays()`], and where no picture can be read.
pub fn pictures(
    source: &Source,
    images: &Path,
    target: &Target,
    out: &Path,
    overwrite: bool,
    device: &Device,
    callback: &mut dyn Callback<Event>,
) -> Result<Option<Report>> {
    let paths = source.pictures(images, callback)?;
    let ready = source.open(device)?;
    let layer = ready.layer_of(target.layer.as_ref(), &target.unit)?;
    let target = Target {
        layer: Some(layer.tensor.clone()),
        ..target.clone()
    };
    let (value, layer) = (layer.value, layer.name.clone());
    let name = format!("{}-{}.png", file_stem(&layer), target.walk.rule);
    let pixels: usize = ready.preprocess.shape().iter().product();
    let held = Estimate {
        memory: 8 * (paths.len() * pixels) as u64,
        disk: 0,
    };
    held.must_fit(Free::here(true, out), "fewer pictures take less")?;
    if paths.len() > DRAWN {
        let note = format!(
            "{DRAWN} of {} pictures are drawn; the others are in {ARRAYS}",
            paths.len()
        );
        callback.event(Event::Note(note));
    }
    let results = Results::claim(out, &[name.as_str(), ARRAYS], overwrite)?;
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    let mut sheet = Vec::new();
    let mut bundle = Bundle::default();
    for (k, path) in paths.iter().enumerate() {
        match ready.picture(path) {
            Ok(image) => {
                let (projected, _) = target.project(&ready.net, ready.batch([&image]))?;
                for one in projected {
                    if one.projection.iter().all(|v| *v == 0.0) {
                        callback.event(Event::Note(format!(
                            "{}: the projection is zero: nothing comes through the rectifiers by this rule",
                            path.display()
                        )));
                    }
                    let picture = ready.preprocess.picture(&one.projection);
                    let [rows_seen, columns_seen] = ready.net.patch(value, &one.place);
                    let patch = |image: &Image| ready.patch(image, value, &one.place);
                    let seen = picture::symmetric(&picture, None);
                    let label = format!(
                        "{}: unit {}, {:.3}",
                        file_name(path),
                        Unit::At(one.place.clone()),
                        one.value
                    );
                    if sheet.len() < DRAWN {
                        let whole = [image.clone(), seen.clone()];
                        let pictures = whole.into_iter().chain([patch(&image), patch(&seen)]);
                        sheet.push((label, pictures.collect()));
                    }
                    let name = format!("image{:05}", k + 1);
                    bundle.put(name, &picture.shape(), picture.values)?;
                    rows.push(Row {
                        image: path.clone(),
                        unit: one.place,
                        value: one.value,
                        rows: rows_seen,
                        columns: columns_seen,
                    });
                }
            }
            Err(error) => skipped.push(error.to_string()),
        }
        if !goes_on(callback, "back to the pixels", k + 1, paths.len()) {
            return Ok(None);
        }
    }
    if rows.is_empty() {
        return Err(none_read(&skipped));
    }
    let title = format!("{layer}, by the rule {}", target.walk.rule);
    let headers = ["image", "projection", "what the unit sees", "projected"];
    results.picture(&name, &picture::table(&title, &headers, &sheet)?)?;
    arrays::write(results.path(ARRAYS)?, &bundle, overwrite)?;
    let report = Report {
        prepared: source.prepared(&ready),
        layer,
        walk: target.walk,
        start: target.start,
        rows,
        skipped,
        out: out.to_path_buf(),
    };
    results.table(&report.table(), &report)?;
    Ok(Some(report))
}

/// More pictures than anybody looks at on one sheet.
const DRAWN: usize = 200;
/// The projections as arrays.
const ARRAYS: &str = "projections.npz";

impl Report {
    fn table(&self) -> Table {
        let row = |k: usize| &self.rows[k];
        Table::of(self.rows.len())
            .words("image", |k| Cell::text(row(k).image.display()))
            .words("unit", |k| Cell::text(Unit::At(row(k).unit.clone())))
            .numbers("activation", |k| {
                Cell::number(f64::from(row(k).value), Format::Significant(4))
            })
            .words("rows", |k| {
                Cell::text(format!("{} - {}", row(k).rows.0, row(k).rows.1))
            })
            .words("columns", |k| {
                Cell::text(format!("{} - {}", row(k).columns.0, row(k).columns.1))
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
            "{} by the rule {}: pictures in {}",
            self.layer,
            self.walk.rule,
            self.out.display()
        )
    }
}
