//! The pictures of an experiment.

use burn::tensor::Tensor;

use super::table::SHORT;
use super::{Report, Row};
use crate::data::{Image, resize};
use crate::error::Result;
use crate::invert::{InverseEvaluation, Operator, Padding, to_image};
use crate::picture::{
    Axes, MosaicOptions, Panel, Series, Tile, between, curves, extremes, heat, mosaic, panels, peak,
};
use crate::solve::Point;

/// Matrices of more rows or columns than this are not drawn.
const DRAWN: usize = 256;
/// Images in a row, and their longer side in pixels as far as whole zooms allow.
const COLUMNS: usize = 4;
const TILE: usize = 260;
/// The longer side of a tile in pixels, however large the image.
const LARGEST_TILE: usize = 1024;
/// Paper between an image and its error, in pixels.
const GAP: usize = 4;

/// `W` as a field of squares, where it is small.
pub(super) fn matrix(operator: &Operator) -> Result<Option<Image>> {
    let [rows, columns] = operator.shape();
    if rows.max(columns) > DRAWN {
        return Ok(None);
    }
    let values = operator.matrix().into_iter().map(|v| v as f32);
    let values = Image::new([1, rows, columns], values.collect());
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
            reference: near(zero, all.iter().copied()).map(|zero| ("counts as zero".into(), zero)),
            ..Axes::default()
        },
    )
}

/// The level of a reference line, unless it lies so far below the curves that it would squeeze them.
fn near(level: f64, curves: impl Iterator<Item = f64>) -> Option<f64> {
    let lowest = curves.fold(f64::INFINITY, f64::min);
    (level >= 1e-3 * lowest).then_some(level)
}

/// Error and residual against steps, from the first on.
pub(super) fn iterations(report: &Report) -> Result<Image> {
    let iterated = || report.rows.iter().filter(|row| row.steps > 0);
    let inverse = report.rows.iter().find(|row| row.steps == 0);
    let panel = |what: &str, y: fn(&Point<InverseEvaluation>) -> f64, level: Option<f64>| {
        let all = iterated().flat_map(|row| row.curve.iter().map(y));
        let level = level.and_then(|level| near(level, all));
        let line = |row: &Row| {
            let moved = row.curve.iter().filter(|point| point.step > 0);
            let points: Vec<_> = moved.map(|point| (point.step as f64, y(point))).collect();
            Series::new(row.way.name(), points)
        };
        Panel {
            series: joined(iterated().map(line), as_logarithms),
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
    let residual = panel(
        "residual",
        |point| point.at.residual,
        inverse.map(|row| row.residual),
    );
    if report.observed() {
        return panels(&[residual], 1);
    }
    let error = panel(
        "error",
        |point| point.at.error.unwrap_or(f64::NAN),
        inverse.and_then(|row| row.error),
    );
    panels(&[error, residual], 2)
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
        &joined(series, as_logarithms),
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

/// `x` where it is known, `y`, and every recovery, each with its error below; lines for
/// one-dimensional signals.
pub(super) fn recovered(
    report: &Report,
    x: Option<&Tensor<4>>,
    y: &Tensor<4>,
    all: &[Tensor<4>],
) -> Result<Image> {
    if report.input[1] == 1 {
        return signals(report, x, y, all);
    }
    let (x, y) = (x.map(to_image), to_image(y));
    let all: Vec<Image> = all.iter().map(to_image).collect();
    let [darkest, lightest] = extremes(&y);
    let [low, high] = x.as_ref().map_or([darkest, lightest], extremes);
    let difference = |image: &Image| {
        let x = x.as_ref().filter(|x| x.shape() == image.shape())?;
        Some(image.minus(x))
    };
    let errors: Vec<Image> = all.iter().filter_map(difference).collect();
    // An error as large as the image is white; larger ones look no worse.
    let scale = peak(&errors).min(high - low).max(f32::MIN_POSITIVE);
    let shown_error =
        |image: &Image| Some(enlarged(&heat(&montage(&difference(image)?), Some(scale))));
    let shown = |image: &Image| enlarged(&scaled(image, low, high));
    let mut stacks = vec![(
        enlarged(&scaled(&y, darkest, lightest)),
        shown_error(&y),
        "y = W x".to_string(),
    )];
    if let Some(x) = &x {
        stacks.insert(0, (shown(x), None, "x".into()));
    }
    for (row, image) in report.rows.iter().zip(&all) {
        let (name, number) = match row.error {
            Some(error) => ("error", error),
            None => ("residual", row.residual),
        };
        let caption = format!("{}, {name} {}", row.way, SHORT.write(number));
        stacks.push((shown(image), shown_error(image), caption));
    }
    let tallest = stacks.iter().map(|(top, ..)| top.height).max().unwrap_or(0);
    let tiles: Vec<Tile> = stacks
        .iter()
        .map(|(top, below, caption)| {
            let image = match &x {
                Some(_) => above(top, below.as_ref(), tallest),
                None => top.clone(),
            };
            Tile::new(image, caption)
        })
        .collect();
    let title = match x {
        Some(_) => format!("Recovered; below it the error, black 0, white {scale:.2}"),
        None => "Recovered".into(),
    };
    let options = MosaicOptions {
        title,
        columns: Some(COLUMNS),
        zoom: Some(1),
    };
    mosaic(&tiles, &options)
}

/// One-dimensional signals, the first channel of each, as lines; their errors below.
fn signals(
    report: &Report,
    x: Option<&Tensor<4>>,
    y: &Tensor<4>,
    all: &[Tensor<4>],
) -> Result<Image> {
    let line = |name: &str, tensor: &Tensor<4>| {
        let data = tensor.to_data();
        let points = data.iter::<f64>().take(tensor.dims()[3]).enumerate();
        Series::new(name, points.map(|(i, v)| (i as f64, v)))
    };
    let names = report.rows.iter().map(|row| row.way.name());
    let found: Vec<Series> = names.zip(all).map(|(name, x)| line(name, x)).collect();
    let truth = x.map(|x| line("x", x));
    let mut seen = line("y = W x", y);
    for (i, _) in &mut seen.points {
        *i = place(report, *i);
    }
    let known = truth.clone().into_iter().chain([seen]);
    let axes = |title: &str, y_log| Axes {
        title: title.into(),
        x_label: "element".into(),
        y_label: "value".into(),
        y_log,
        ..Axes::default()
    };
    let mut plots = vec![Panel {
        series: joined(known.chain(found.clone()), as_values),
        axes: axes("Recovered", false),
    }];
    if let Some(truth) = truth {
        let off = |line: Series| {
            let pairs = line.points.into_iter().zip(&truth.points);
            Series::new(line.name, pairs.map(|((i, a), (_, b))| (i, (a - b).abs())))
        };
        plots.push(Panel {
            series: joined(found.into_iter().map(off), as_logarithms),
            axes: axes("Magnitude of the error", true),
        });
    }
    panels(&plots, 1)
}

/// The element of `x` under the middle of the filter that makes element `i` of `y`.
fn place(report: &Report, i: f64) -> f64 {
    let stride = report.experiment.stride[1];
    let middle = match report.experiment.padding {
        Padding::None => (report.input[2] - 1 - (report.output[2] - 1) * stride) / 2,
        _ => 0,
    };
    i * stride as f64 + middle as f64
}

/// Lines that look the same, but for a tenth of their points, are one, with all their names.
fn joined(lines: impl IntoIterator<Item = Series>, alike: fn(f64, f64) -> bool) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for line in lines {
        let same = |other: &&mut Series| {
            let pairs = other.points.iter().zip(&line.points);
            let agree = pairs.filter(|(a, b)| a.0 == b.0 && alike(a.1, b.1));
            10 * agree.count() >= 9 * other.points.len().max(line.points.len())
        };
        match all.iter_mut().find(same) {
            Some(other) => other.name += &format!(", {}", line.name),
            None => all.push(line),
        }
    }
    all
}

/// Whether values of signals look the same.
fn as_values(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.005
}

/// Whether values look the same on a logarithmic axis.
fn as_logarithms(a: f64, b: f64) -> bool {
    a == b || (a / b).ln().abs() < 0.1
}

/// A recovery by itself, in the values of image files: what is below 0 is black, above 1 white.
pub(super) fn photograph(tensor: &Tensor<4>) -> Image {
    scaled(&to_image(tensor), 0.0, 1.0)
}

/// `low` becomes black and `high` white; drawable, whatever the channels.
fn scaled(image: &Image, low: f32, high: f32) -> Image {
    montage(&between(image, [low, high]))
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
        let corner = [c / columns * height, c % columns * width];
        resize::paste(&mut sheet, &image.only(c), corner);
    }
    sheet
}

/// An image with each pixel as a square, as large as a tile has room for; of a large one, means of
/// squares of pixels.
fn enlarged(image: &Image) -> Image {
    let reduction = image.width.max(image.height).div_ceil(LARGEST_TILE);
    if reduction > 1 {
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        return resize::blocks(image, reduction, mean);
    }
    let zoom = (TILE / image.width.max(image.height)).max(1);
    resize::zoomed(image, zoom)
}

/// An image over another, which begins under the `tallest`, or over paper.
fn above(top: &Image, below: Option<&Image>, tallest: usize) -> Image {
    let mut sheet = Image::zeros(3, 2 * tallest + GAP, top.width);
    sheet.values.fill(1.0);
    for (image, start) in [(Some(top), 0), (below, tallest + GAP)] {
        if let Some(image) = image {
            resize::paste(&mut sheet, image, [start, 0]);
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_look_the_same_are_one() {
        let line = |name: &str, length: usize, factor: f64| {
            let points = (0..length).map(|i| (i as f64, factor * 0.1f64.powi(i as i32)));
            Series::new(name, points)
        };
        let lines = [
            line("a", 20, 1.0),
            line("b", 20, 2.0),
            line("c", 19, 1.01),
            line("d", 10, 1.0),
        ];
        let names: Vec<String> = joined(lines, as_logarithms)
            .into_iter()
            .map(|line| line.name)
            .collect();
        assert_eq!(names, ["a, c", "b", "d"]);
        assert!(as_values(0.001, -0.003) && !as_logarithms(0.001, 0.002));
    }

    #[test]
    fn small_images_fill_a_tile_and_stand_on_one_line() {
        let mut image = Image::zeros(1, 2, 3);
        image.values[4] = 1.0;
        let large = enlarged(&image);
        assert_eq!(large.shape(), [1, 2 * 86, 3 * 86]);
        let wide = Image::zeros(1, 1500, 3000);
        assert_eq!(enlarged(&wide).shape(), [1, 500, 1000]);
        let (top, below) = (large.plane(0)[86 * 258 + 86], large.plane(0)[85 * 258 + 86]);
        assert_eq!((top, below), (1.0, 0.0));
        let sheet = above(&image, Some(&image), 5);
        assert_eq!(sheet.shape(), [3, 10 + GAP, 3]);
        // Paper between them, the second at the height of all.
        assert_eq!(&sheet.plane(2)[3..9], [0.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(sheet.plane(2)[(5 + GAP + 1) * 3 + 1], 1.0);
        assert_eq!(sheet.plane(2)[(5 + GAP) * 3], 0.0);
    }
}
