//! The pictures of an experiment.

use burn::tensor::Tensor;

use super::table::short;
use super::{Report, Row};
use crate::data::Image;
use crate::error::Result;
use crate::invert::Operator;
use crate::picture::{
    Axes, MosaicOptions, Panel, Series, Tile, curves, heat, mosaic, panels, peak,
};
use crate::solve::Point;

/// Matrices of more rows or columns than this are not drawn.
const DRAWN: usize = 256;
/// Images in a row, and their width in pixels as far as whole zooms allow.
const COLUMNS: usize = 4;
const TILE: usize = 260;
/// Lines of signals that differ by no more than this look the same.
const INVISIBLE: f64 = 0.005;
/// Paper between an image and its error.
const GAP: usize = 1;

/// `W` as a field of squares, where it is small.
pub(super) fn matrix(operator: &Operator) -> Result<Option<Image>> {
    let [rows, columns] = operator.shape();
    if rows.max(columns) > DRAWN {
        return Ok(None);
    }
    let values = Image {
        channels: 1,
        height: rows,
        width: columns,
        values: operator.matrix().into_iter().map(|v| v as f32).collect(),
    };
    let title = format!("W, {rows} × {columns}, padding: {}", operator.padding());
    crate::picture::matrix(&values, &title, "element of y", "element of x").map(Some)
}

/// The singular values, and where rounding begins.
pub(super) fn spectrum(report: &Report) -> Image {
    let all = &report.operator.singular_values;
    let [rows, columns] = [report.operator.rows, report.operator.columns];
    let points = all.iter().enumerate().map(|(i, &s)| (i as f64 + 1.0, s));
    let zero = rows.max(columns) as f64 * f64::EPSILON * report.operator.largest;
    let title = format!(
        "Singular values of W, {rows} × {columns}, rank {}",
        report.operator.rank.unwrap_or(0)
    );
    curves(
        &[Series::new("singular value", points)],
        &Axes {
            title,
            x_label: "number".into(),
            y_label: "singular value".into(),
            y_log: true,
            reference: Some(("counts as zero".into(), zero)),
            ..Axes::default()
        },
    )
}

/// Error and residual against steps, from the first on.
pub(super) fn iterations(report: &Report) -> Result<Image> {
    let iterated = || report.rows.iter().filter(|row| row.steps > 0);
    let inverse = report.rows.iter().find(|row| row.steps == 0);
    let panel = |what: &str, y: fn(&Point<crate::invert::Fit>) -> f64, level: Option<f64>| {
        let line = |row: &Row| {
            let moved = row.curve.iter().filter(|point| point.step > 0);
            let points: Vec<_> = moved.map(|point| (point.step as f64, y(point))).collect();
            Series::new(row.way.name(), points)
        };
        Panel {
            series: iterated().map(line).collect(),
            axes: Axes {
                title: format!("Relative {what} against steps"),
                x_label: "step".into(),
                y_label: format!("relative {what}"),
                x_log: true,
                y_log: true,
                reference: inverse.and_then(|row| Some((row.way.name().into(), level?))),
            },
        }
    };
    panels(
        &[
            panel(
                "error",
                |point| point.at.error.unwrap_or(f64::NAN),
                inverse.and_then(|row| row.error),
            ),
            panel(
                "residual",
                |point| point.at.residual,
                inverse.map(|row| row.residual),
            ),
        ],
        2,
    )
}

/// The error of every way against the noise.
pub(super) fn noise(report: &Report) -> Image {
    let series = report.rows.iter().map(|row| {
        let points = report.noise.iter().filter_map(|level| {
            let found = level.errors.iter().find(|(way, _)| *way == row.way);
            found.map(|(_, error)| (level.noise, *error))
        });
        Series::new(row.way.name(), points.collect::<Vec<_>>())
    });
    curves(
        &series.collect::<Vec<_>>(),
        &Axes {
            title: "Error against noise".into(),
            x_label: "standard deviation of the noise".into(),
            y_label: "relative error".into(),
            x_log: true,
            y_log: true,
            reference: Some(("an image of zeros".into(), 1.0)),
        },
    )
}

/// `x`, `y` and every recovery, each with its error below; lines for one-dimensional signals.
pub(super) fn recovered(
    report: &Report,
    x: &Tensor<4>,
    y: &Tensor<4>,
    all: &[Tensor<4>],
) -> Result<Image> {
    if report.input[1] == 1 {
        return signals(report, x, y, all);
    }
    let (x, y) = (plain(x), plain(y));
    let all: Vec<Image> = all.iter().map(plain).collect();
    let (low, high) = range(&x);
    let difference = |image: &Image| Image {
        values: image
            .values
            .iter()
            .zip(&x.values)
            .map(|(a, b)| a - b)
            .collect(),
        ..*image
    };
    let errors: Vec<Image> = all.iter().map(difference).collect();
    // An error as large as the image is white; larger ones look no worse.
    let scale = peak(&errors).min(high - low).max(f32::MIN_POSITIVE);
    let shown_error = |error: &Image| heat(&montage(error), Some(scale));
    let of_y = (x.shape() == y.shape()).then(|| shown_error(&difference(&y)));
    let (darkest, lightest) = range(&y);
    let mut tiles = vec![
        Tile::new(above(&scaled(&x, low, high), None), "x"),
        Tile::new(
            above(&scaled(&y, darkest, lightest), of_y.as_ref()),
            "y = W x",
        ),
    ];
    for ((row, image), error) in report.rows.iter().zip(&all).zip(&errors) {
        let shown = above(&scaled(image, low, high), Some(&shown_error(error)));
        let error = row
            .error
            .map_or(String::new(), |error| format!(", error {}", short(error)));
        tiles.push(Tile::new(shown, format!("{}{error}", row.way)));
    }
    let width = tiles.iter().map(|tile| tile.image.width).max();
    let options = MosaicOptions {
        title: format!("Recovered; below it the error, black 0, white {scale:.2}"),
        columns: Some(COLUMNS),
        zoom: width.map(|width| (TILE / width).max(1)),
    };
    mosaic(&tiles, &options)
}

/// One-dimensional signals, the first channel of each, as lines; their errors below.
fn signals(report: &Report, x: &Tensor<4>, y: &Tensor<4>, all: &[Tensor<4>]) -> Result<Image> {
    let numbers = |tensor: &Tensor<4>| -> Vec<f64> {
        let width = tensor.dims()[3];
        tensor.to_data().iter::<f64>().take(width).collect()
    };
    let line = |name: &str, values: Vec<f64>| {
        let points = values.into_iter().enumerate();
        Series::new(name, points.map(|(i, v)| (i as f64, v)))
    };
    let truth = numbers(x);
    // Lines that cannot be told apart are one, with all their names.
    let mut lines = vec![
        ("x".to_string(), truth.clone()),
        ("y = W x".into(), numbers(y)),
    ];
    let mut errors = Vec::new();
    for (row, tensor) in report.rows.iter().zip(all) {
        let values = numbers(tensor);
        let off = |other: &[f64]| -> Vec<f64> {
            let pairs = values.iter().zip(other);
            pairs.map(|(a, b)| (a - b).abs()).collect()
        };
        errors.push(line(row.way.name(), off(&truth)));
        let alike = |other: &[f64]| {
            other.len() == values.len() && off(other).iter().all(|&d| d < INVISIBLE)
        };
        match lines.iter_mut().find(|(_, other)| alike(other)) {
            Some((names, _)) => *names += &format!(", {}", row.way),
            None => lines.push((row.way.to_string(), values)),
        }
    }
    let series = lines
        .into_iter()
        .map(|(names, values)| line(&names, values))
        .collect();
    let axes = |title: &str, y_log| Axes {
        title: title.into(),
        x_label: "element".into(),
        y_label: "value".into(),
        y_log,
        ..Axes::default()
    };
    let recovered = Panel {
        series,
        axes: axes("Recovered", false),
    };
    let errors = Panel {
        series: errors,
        axes: axes("Magnitude of the error", true),
    };
    panels(&[recovered, errors], 1)
}

/// A tensor as planes.
fn plain(tensor: &Tensor<4>) -> Image {
    let [_, channels, height, width] = tensor.dims();
    Image {
        channels,
        height,
        width,
        values: tensor.to_data().iter::<f32>().collect(),
    }
}

/// The least and the largest value.
fn range(image: &Image) -> (f32, f32) {
    let values = image.values.iter().copied();
    values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    })
}

/// `low` becomes black and `high` white; drawable, whatever the channels.
fn scaled(image: &Image, low: f32, high: f32) -> Image {
    let scale = if high > low {
        (high - low).recip()
    } else {
        0.0
    };
    let values = image
        .values
        .iter()
        .map(|v| ((v - low) * scale).clamp(0.0, 1.0));
    montage(&Image {
        values: values.collect(),
        ..*image
    })
}

/// Images of other than one or three channels as a square of their planes.
fn montage(image: &Image) -> Image {
    let [channels, height, width] = image.shape();
    if channels == 1 || channels == 3 {
        return image.clone();
    }
    let columns = (channels as f64).sqrt().ceil() as usize;
    let rows = channels.div_ceil(columns);
    let mut sheet = Image::zeros(1, rows * height, columns * width);
    for c in 0..channels {
        for (i, line) in image.plane(c).chunks_exact(width).enumerate() {
            let at = (c / columns * height + i) * columns * width + c % columns * width;
            sheet.values[at..at + width].copy_from_slice(line);
        }
    }
    sheet
}

/// An image over another, or over paper.
fn above(top: &Image, below: Option<&Image>) -> Image {
    let mut sheet = Image::zeros(3, 2 * top.height + GAP, top.width);
    sheet.values.fill(1.0);
    let size = top.height * top.width;
    for c in 0..3 {
        let plane = sheet.plane_mut(c);
        plane[..size].copy_from_slice(top.plane(c.min(top.channels - 1)));
        if let Some(below) = below {
            let start = plane.len() - size;
            plane[start..].copy_from_slice(below.plane(c.min(below.channels - 1)));
        }
    }
    sheet
}
