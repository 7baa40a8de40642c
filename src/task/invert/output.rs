//! The files that an experiment writes beside its table.

use burn::tensor::Tensor;

use super::input::Given;
use super::{Experiment, Report, pictures};
use crate::arrays::{self, Bundle};
use crate::error::Result;
use crate::invert::{Inverse, InverseMethod};
use crate::report::Results;

const ARRAYS: &str = "recovered.npz";
const MATRIX: &str = "matrix.png";
const SPECTRUM: &str = "spectrum.png";
const RECOVERED: &str = "recovered.png";
const CURVES: &str = "iterations.png";
const NOISE: &str = "noise.png";

/// The names of all of them.
pub(super) fn names(experiment: &Experiment) -> Vec<String> {
    let fixed = [ARRAYS, MATRIX, SPECTRUM, RECOVERED, CURVES, NOISE].map(String::from);
    let found = experiment.ways.iter().filter(|_| experiment.photographed());
    fixed
        .into_iter()
        .chain(found.map(|&way| photograph(way)))
        .collect()
}

/// The name of a recovery by itself.
fn photograph(way: InverseMethod) -> String {
    format!("{way}.png")
}

/// Writes `x`, `y`, the filters and every recovery as arrays.
pub(super) fn arrays(
    results: &Results,
    report: &Report,
    given: &Given,
    y: &Tensor<4>,
    recovered: &[Tensor<4>],
) -> Result<()> {
    let mut bundle = Bundle::default();
    let mut put = |name: &str, tensor: &Tensor<4>, axes: usize| {
        let values = tensor.to_data().iter::<f32>().collect();
        let shape = tensor.dims()[4 - axes..].to_vec();
        bundle.put(name, &shape, values)
    };
    let filters = given
        .taps
        .tensor(&given.operator.device(), given.operator.dtype());
    put("filters", &filters, 4)?;
    if let Some(x) = given.x() {
        put("x", x, 3)?;
    }
    put("y", y, 3)?;
    for (row, tensor) in report.rows.iter().zip(recovered) {
        put(row.way.name(), tensor, 3)?;
    }
    arrays::write(results.path(ARRAYS)?, &bundle, true)
}

/// Draws what there is to see.
pub(super) fn pictures(
    results: &Results,
    report: &Report,
    given: &Given,
    problem: &Inverse,
    recovered: &[Tensor<4>],
) -> Result<()> {
    let drawn = |there: bool, draw: &dyn Fn() -> Result<_>| there.then(draw).transpose();
    let spectrum = !report.operator.singular_values.is_empty();
    let iterated = report.rows.iter().any(|row| row.steps > 0);
    for (name, picture) in [
        (MATRIX, pictures::matrix(&given.operator)?),
        (
            SPECTRUM,
            drawn(spectrum, &|| Ok(pictures::spectrum(report)))?,
        ),
        (
            RECOVERED,
            drawn(!report.rows.is_empty(), &|| {
                pictures::recovered(report, given.x(), &problem.y, recovered)
            })?,
        ),
        (CURVES, drawn(iterated, &|| pictures::iterations(report))?),
        (
            NOISE,
            drawn(!report.noise.is_empty(), &|| Ok(pictures::noise(report)))?,
        ),
    ] {
        match picture {
            Some(picture) => results.picture(name, &picture)?,
            None => results.no_picture(name)?,
        }
    }
    if report.experiment.photographed() {
        for (row, tensor) in report.rows.iter().zip(recovered) {
            results.picture(photograph(row.way), &pictures::photograph(tensor))?;
        }
    }
    Ok(())
}
