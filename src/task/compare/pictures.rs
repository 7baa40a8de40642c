//! The pictures of a comparison.

use burn::tensor::Tensor;

use super::report::{Report, Row, Source};
use crate::data::{Image, resize};
use crate::error::Result;
use crate::model::Network;
use crate::picture::{Axes, Panel, Series, heat, panels, peak, symmetric, table};
use crate::run::to_image;
use crate::solve::Point;

/// The most images in the picture of reconstructions.
const SHOWN: usize = 4;

/// How far each contender is above the optimum, against steps and against seconds.
pub(super) fn coding_curves(report: &Report) -> Result<Image> {
    let Some(optimum) = report.optimum else {
        return panels(&[], 1);
    };
    let above = |point: &Point| optimum.share_above(point.at.objective);
    let known = match optimum.source {
        Source::Best => "the best",
        Source::Certified { .. } | Source::Given => "the optimum",
    };
    let axes = Axes {
        y_label: format!("share above {known}"),
        x_log: true,
        y_log: true,
        reference: Some((
            "all maps zero".into(),
            optimum.share_above(report.zero.objective),
        )),
        ..Axes::default()
    };
    let title = format!("How far above {known}");
    pair(report, &axes, above, (&title, "step"))
}

/// The objective under each contender's filters, against epochs and against seconds.
pub(super) fn learning_curves(report: &Report) -> Result<Image> {
    let axes = Axes {
        y_label: "objective, images coded anew".into(),
        ..Axes::default()
    };
    let objective = |point: &Point| point.at.objective;
    pair(
        report,
        &axes,
        objective,
        ("How good the filters are", "epoch"),
    )
}

/// Two plots of `y`: against steps, by their name, and against seconds.
fn pair(
    report: &Report,
    axes: &Axes,
    y: impl Fn(&Point) -> f64,
    (title, step): (&str, &str),
) -> Result<Image> {
    let panel = |x_label: &str, x: fn(&Point) -> f64| {
        let line = |row: &Row| {
            // The start is common to all, has no place on a logarithmic axis of steps, and, where
            // filters are learnt, is so far up that differences between contenders vanish.
            let moved = row.curve.iter().filter(|point| point.step > 0);
            let points = moved.map(|point| (x(point), y(point)));
            Series::new(row.name.clone(), points.collect::<Vec<_>>())
        };
        Panel {
            series: report.rows.iter().map(line).collect(),
            axes: Axes {
                title: format!("{title}, by {x_label}"),
                x_label: x_label.into(),
                ..axes.clone()
            },
        }
    };
    let by_steps = panel(step, |point| point.step as f64);
    let by_seconds = panel("seconds", |point| point.seconds);
    panels(&[by_steps, by_seconds], 2)
}

/// Every image beside what the contenders made of it, and, below, where they are wrong.
///
/// `originals`: batches of images; `columns`: for each contender, reconstructions of the first of
/// them in the same batches or one by one.
pub(super) fn reconstructions(
    report: &Report,
    originals: &[Tensor<4>],
    columns: &[Vec<Tensor<4>>],
) -> Result<Image> {
    let originals = planes(originals)?;
    let columns: Vec<Vec<Image>> = columns.iter().map(|c| planes(c)).collect::<Result<_>>()?;
    let mut headers = vec!["image".to_owned()];
    headers.extend(report.rows.iter().map(|row| row.name.clone()));
    let mut rows = Vec::new();
    let count = columns.iter().map(Vec::len).min().unwrap_or(0);
    for (i, original) in originals.iter().take(count.min(SHOWN)).enumerate() {
        // One scale for a row; a few bright pixels must not take the contrast from all others.
        let limit = 3.0 * root_mean_square(original);
        let answers = || columns.iter().map(|column| &column[i]);
        let mut shown = vec![symmetric(original, Some(limit))];
        shown.extend(answers().map(|image| symmetric(image, Some(limit))));
        rows.push((format!("image {}", i + 1), shown));
        let errors: Vec<Image> = answers().map(|image| image.minus(original)).collect();
        let scale = peak(&errors);
        let mut shown = vec![blank(original)];
        shown.extend(errors.iter().map(|error| heat(error, Some(scale))));
        rows.push(("error".into(), shown));
    }
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    table("Reconstructions and their errors", &headers, &rows)
}

/// The filters to start from, then those that each contender learnt.
pub(super) fn filters(report: &Report, networks: &[Network]) -> Result<Image> {
    let mut headers = vec!["start".to_owned()];
    headers.extend(report.rows.iter().map(|row| row.name.clone()));
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let sheets: Vec<Image> = networks.iter().map(sheet).collect::<Result<_>>()?;
    table("Filters", &headers, &[(String::new(), sheets)])
}

/// The filters of the first layer in a square with a white pixel around each; each by its own peak.
fn sheet(network: &Network) -> Result<Image> {
    let filters = network.layers()[0].filters.val().swap_dims(0, 1);
    let [count, _, height, width] = filters.dims();
    let columns = (count as f64).sqrt().ceil() as usize;
    let tiles = planes(&[filters])?;
    let mut sheet = Image::zeros(
        tiles.first().map_or(1, |tile| tile.channels),
        count.div_ceil(columns) * (height + 1) + 1,
        columns * (width + 1) + 1,
    );
    sheet.values.fill(1.0);
    for (k, tile) in tiles.iter().enumerate() {
        let corner = [k / columns * (height + 1), k % columns * (width + 1)];
        resize::paste(&mut sheet, &symmetric(tile, None), corner.map(|at| at + 1));
    }
    Ok(sheet)
}

/// Every image of every batch; of other than one or three channels, their mean.
fn planes(batches: &[Tensor<4>]) -> Result<Vec<Image>> {
    let drawable = |batch: &Tensor<4>| match batch.dims()[1] {
        1 | 3 => batch.clone(),
        _ => batch.clone().mean_dim(1),
    };
    let mut images = Vec::new();
    for batch in batches.iter().map(drawable) {
        for n in 0..batch.dims()[0] {
            images.push(to_image(&batch, n)?);
        }
    }
    Ok(images)
}

fn root_mean_square(image: &Image) -> f32 {
    let squares: f32 = image.values.iter().map(|v| v * v).sum();
    (squares / image.values.len() as f32).sqrt()
}

/// White, to leave a cell empty.
fn blank(like: &Image) -> Image {
    Image::new(
        [1, like.height, like.width],
        vec![1.0; like.height * like.width],
    )
}
