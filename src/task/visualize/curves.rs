//! Training curves.

use crate::config::Form;
use crate::data::Image;
use crate::error::Result;
use crate::picture::{Axes, Panel, Series, panels};
use crate::run::{Run, TraceLine};

/// Objective, SNR and density against epochs: a row of plots for each stage. Nothing where learning
/// has left no trace.
pub(super) fn draw(run: &Run) -> Result<Option<Image>> {
    let trace = run.store.read_trace()?.records;
    if trace.is_empty() {
        return Ok(None);
    }
    let stages = run.state.objectives.len().max(1);
    let rows: Vec<Panel> = (0..stages)
        .flat_map(|stage| {
            let epochs: Vec<&TraceLine> = trace
                .iter()
                .filter(|line| line.stage == stage && line.batch.is_none())
                .collect();
            row(&stage_name(run, stage), &epochs)
        })
        .collect();
    panels(&rows, 3).map(Some)
}

fn stage_name(run: &Run, stage: usize) -> String {
    match run.state.config.train.form {
        Form::LayerWise | Form::Adaptive => format!("Layer {}", stage + 1),
        Form::Joint => "All layers".into(),
    }
}

fn row(stage: &str, epochs: &[&TraceLine]) -> [Panel; 3] {
    let series = |name: &str, value: fn(&TraceLine) -> f64| {
        let points = epochs
            .iter()
            .map(|line| ((line.epoch + 1) as f64, value(line)));
        Series::new(name, points)
    };
    let panel = |title: &str, unit: &str, series: Vec<Series>| Panel {
        series,
        axes: Axes {
            title: format!("{stage}: {title}"),
            x_label: "epoch".into(),
            y_label: unit.into(),
            ..Axes::default()
        },
    };
    [
        panel(
            "objective",
            "mean per image",
            vec![
                series("after the maps", |line| line.after_codes),
                series("after the filters", |line| line.after_filters),
            ],
        ),
        panel(
            "SNR",
            "dB",
            vec![series("SNR", |line| line.snr.unwrap_or(f64::NAN))],
        ),
        panel(
            "density",
            "non-zero, %",
            vec![series("density", |line| 100.0 * line.density)],
        ),
    ]
}
