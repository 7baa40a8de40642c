//! Line plots.

use super::axis::Axis;
use super::canvas::{Canvas, FAINT_INK, INK};
use super::colour::{Colour, rgb};
use super::frame::{Entry, Field, LABEL, LINE, MARGIN, draw_dashes, draw_head};
use crate::data::Image;
use crate::{Error, Result};

/// Width and height of a single plot and of one among several; in pixels, as all lengths here.
const SINGLE: (usize, usize) = (1200, 720);
const SHARED: (usize, usize) = (800, 560);
/// Series of no more points than this show each of them.
const MARKED: usize = 30;

/// Told apart by colour-blind readers too (Okabe and Ito, without the yellow that paper swallows).
pub(super) const PALETTE: [Colour; 7] = [
    rgb(0x0072b2),
    rgb(0xd55e00),
    rgb(0x009e73),
    rgb(0xcc79a7),
    rgb(0xe69f00),
    rgb(0x56b4e9),
    rgb(0x000000),
];

/// One line of a plot.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// `(x, y)`, joined in this order. Points that are not finite, or not above 0 on a logarithmic
    /// axis, are left out.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// A named line through `points`.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            name: name.into(),
            points: points.into_iter().collect(),
        }
    }
}

/// What stands around a plot.
#[derive(Clone, Debug, Default)]
pub struct Axes {
    /// Over the plot.
    pub title: String,
    /// Under it, with the unit.
    pub x_label: String,
    /// Beside it, with the unit.
    pub y_label: String,
    /// Whether the horizontal axis is logarithmic.
    pub x_log: bool,
    /// Whether the vertical axis is logarithmic.
    pub y_log: bool,
    /// A dashed horizontal line, such as a known optimum: its name and height.
    pub reference: Option<(String, f64)>,
}

/// One plot among several.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// Its lines.
    pub series: Vec<Series>,
    /// What stands around them.
    pub axes: Axes,
}

/// A plot of 1200 x 720 pixels, three channels. A plot without a single point says so.
pub fn curves(series: &[Series], axes: &Axes) -> Image {
    plot(series, axes, SINGLE).into_image()
}

/// Plots of 800 x 560 pixels each in rows of `columns`; three channels.
///
/// # Errors
///
/// [`Error::Input`] where there is no panel.
pub fn panels(panels: &[Panel], columns: usize) -> Result<Image> {
    if panels.is_empty() {
        return Err(Error::Input(
            "there are no plots to put side by side; give at least one".into(),
        ));
    }
    let columns = columns.clamp(1, panels.len());
    let (width, height) = SHARED;
    let mut sheet = Canvas::new(columns * width, panels.len().div_ceil(columns) * height);
    for (i, panel) in panels.iter().enumerate() {
        let picture = plot(&panel.series, &panel.axes, SHARED).into_image();
        sheet.paste(&picture, i % columns * width, i / columns * height, 1);
    }
    Ok(sheet.into_image())
}

fn plot(series: &[Series], axes: &Axes, (width, height): (usize, usize)) -> Canvas {
    let shows = |p: &(f64, f64)| Axis::shows(axes.x_log, p.0) && Axis::shows(axes.y_log, p.1);
    let lines: Vec<Vec<(f64, f64)>> = series
        .iter()
        .map(|series| series.points.iter().copied().filter(shows).collect())
        .collect();
    let reference = axes.reference.as_ref();
    let reference = reference.filter(|(_, y)| Axis::shows(axes.y_log, *y));
    let points = || lines.iter().flatten();
    let heights = points().map(|p| p.1).chain(reference.map(|(_, y)| *y));
    let x_axis = Axis::covering(points().map(|p| p.0), axes.x_log, width / 150);
    let y_axis = Axis::covering(heights, axes.y_log, height / 80);

    let mut canvas = Canvas::new(width, height);
    let top = draw_head(&mut canvas, &axes.title, &legend(series, &lines, reference));
    let field = Field::new(&canvas, top, x_axis, y_axis);
    field.draw_grid(&mut canvas);
    let (middle, centre) = field.middle();
    let under = (height - MARGIN) as i32 - LABEL as i32;
    canvas.text_centred(&axes.x_label, middle, under, LABEL, INK);
    canvas.text_upwards(&axes.y_label, MARGIN as i32, centre, LABEL, INK);
    if points().next().is_none() {
        canvas.text_centred("no points to show", middle, centre, LABEL, FAINT_INK);
    }
    if let Some((_, y)) = reference {
        let (left, right) = field.sides();
        draw_dashes(&mut canvas, left, right, field.y(*y));
    }
    for (line, colour) in lines.iter().zip(PALETTE.into_iter().cycle()) {
        let line: Vec<(f32, f32)> = line
            .iter()
            .map(|&(x, y)| (field.x(x), field.y(y)))
            .collect();
        canvas.stroke(&line, LINE, colour);
        if line.len() <= MARKED {
            for point in line {
                canvas.stroke(&[point], 3.0 * LINE, colour);
            }
        }
    }
    canvas
}

/// What the legend lists: the series, of which `lines` are the points that are shown, then the
/// reference.
fn legend(
    series: &[Series],
    lines: &[Vec<(f64, f64)>],
    reference: Option<&(String, f64)>,
) -> Vec<Entry> {
    let of_series = series.iter().zip(lines).zip(PALETTE.into_iter().cycle());
    let of_series = of_series.map(|((series, line), colour)| Entry {
        name: match line.is_empty() {
            true => format!("{} (no points)", series.name),
            false => series.name.clone(),
        },
        colour,
        dashed: false,
    });
    let of_reference = reference.map(|(name, _)| Entry {
        name: name.clone(),
        colour: FAINT_INK,
        dashed: true,
    });
    of_series.chain(of_reference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::canvas::marks;

    /// How many pixels have about the colour of series `i`.
    fn coloured(picture: &Image, i: usize) -> usize {
        let near = |p: &usize| (0..3).all(|c| (picture.plane(c)[*p] - PALETTE[i][c]).abs() < 0.01);
        (0..picture.height * picture.width).filter(near).count()
    }

    fn line(points: &[(f64, f64)]) -> Series {
        Series::new("a line", points.iter().copied())
    }

    fn logarithmic(both: bool) -> Axes {
        Axes {
            x_log: both,
            y_log: both,
            ..Axes::default()
        }
    }

    #[test]
    fn every_series_and_label_is_drawn() {
        let ramp = |slope: f64| (0..100).map(move |i| (f64::from(i), slope * f64::from(i)));
        let series =
            [1.0, 2.0, 3.0].map(|slope| Series::new(format!("slope {slope}"), ramp(slope)));
        let axes = Axes {
            title: "Slopes".into(),
            x_label: "step".into(),
            y_label: "height".into(),
            reference: Some(("limit".into(), 150.0)),
            ..Default::default()
        };
        let picture = curves(&series, &axes);
        assert_eq!(picture.shape(), [3, SINGLE.1, SINGLE.0]);
        for i in 0..3 {
            assert!(coloured(&picture, i) > 1000, "series {i}");
        }
        assert_eq!(coloured(&picture, 3), 0);
        let title = marks(&picture, MARGIN..300, MARGIN..MARGIN + 30);
        let rows = SINGLE.1 - MARGIN - 24..SINGLE.1 - MARGIN;
        let below = marks(&picture, 400..800, rows);
        let beside = marks(&picture, MARGIN..MARGIN + 24, 100..SINGLE.1);
        assert!(title > 100 && below > 50 && beside > 50);
    }

    #[test]
    fn points_that_have_no_place_are_left_out() {
        let good = [(1.0, 1.0), (10.0, 4.0), (100.0, 2.0)];
        let mut bad = good.to_vec();
        bad.extend([(f64::NAN, 1.0), (3.0, f64::INFINITY)]);
        bad.extend([(0.0, 5.0), (-1.0, 7.0), (4.0, -1.0)]);
        let axes = logarithmic(true);
        assert_eq!(curves(&[line(&bad)], &axes), curves(&[line(&good)], &axes));
    }

    #[test]
    fn plots_without_range_or_points_can_be_drawn() {
        for log in [false, true] {
            let axes = logarithmic(log);
            let flat = curves(&[line(&[(1.0, 0.25), (2.0, 0.25)])], &axes);
            let dot = curves(&[line(&[(5.0, 5.0)])], &axes);
            assert!(coloured(&flat, 0) > 1000 && coloured(&dot, 0) > 20);
            let nothing = curves(&[line(&[]), line(&[(f64::NAN, 1.0)])], &axes);
            let middle = SINGLE.0 / 2 - 100..SINGLE.0 / 2 + 100;
            assert!(marks(&nothing, middle, SINGLE.1 / 2 - 40..SINGLE.1 / 2 + 60) > 300);
        }
    }

    #[test]
    fn a_long_legend_leaves_room_for_the_plot() {
        let series = vec![Series::new("a name of some length", [(0.0, 0.0), (1.0, 1.0)]); 200];
        let picture = curves(&series, &Axes::default());
        assert!(marks(&picture, MARGIN..SINGLE.0, 300..SINGLE.1) > 10_000);
    }

    #[test]
    fn panels_stand_side_by_side() {
        let panel = Panel {
            series: vec![line(&[(0.0, 0.0), (1.0, 1.0)])],
            ..Default::default()
        };
        let sheet = panels(&vec![panel; 3], 2).unwrap();
        assert_eq!(sheet.shape(), [3, 2 * SHARED.1, 2 * SHARED.0]);
        let (columns, rows) = (SHARED.0..2 * SHARED.0, SHARED.1..2 * SHARED.1);
        assert_eq!(marks(&sheet, columns, rows), 0);
        assert!(panels(&[], 2).unwrap_err().to_string().contains("no plots"));
    }
}
