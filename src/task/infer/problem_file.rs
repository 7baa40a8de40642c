//! Solving a problem from a file.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use serde::Serialize;

use crate::arrays::{self, Bundle};
use crate::error::Result;
use crate::files;
use crate::model::Evaluation;
use crate::problem::CodingProblem;
use crate::report::Table;
use crate::solve::{Callback, Limits, Method, Point, Reason};
use crate::task::Event;
use crate::task::exchange::to_array;

/// How a problem from a file was solved.
#[derive(Clone, Debug, Serialize)]
pub struct ProblemReport {
    /// The file.
    #[serde(serialize_with = "crate::files::lossily")]
    pub file: PathBuf,
    /// The solver.
    pub solver: &'static str,
    /// The maps that were found, summed over all images.
    pub found: Evaluation,
    /// The least objective, where the file tells it.
    pub optimum: Option<f64>,
    /// How far above the least the objective is, as a share of it: `F / F_opt - 1`.
    pub above: Option<f64>,
    /// Steps taken.
    pub steps: usize,
    /// Seconds spent solving.
    pub seconds: f64,
    /// Why the solver stopped.
    pub reason: Reason,
    /// Every look at the objective, from before the first step to the end.
    pub curve: Vec<Point>,
    /// The file that the maps were written to.
    #[serde(serialize_with = "crate::files::option_lossily")]
    pub maps: Option<PathBuf>,
}

/// Solves the problem in `file`, see [`crate::problem`], from maps of zeros, and writes the maps to
/// `out` (`.npz` or `.safetensors`, key `x`, `[K, M, H + h - 1, W + w - 1]`) if that is given.
///
/// An interruption ends it early; what was found until then is reported and written.
///
/// # Errors
/// Those of reading and of writing; [`crate::Error::Exists`] if `out` does already and is not
/// to be overwritten; [`crate::Error::Numeric`] where the numbers leave the finite range.
pub fn solve_problem(
    file: &Path,
    method: &Method,
    limits: &Limits,
    out: Option<&Path>,
    overwrite: bool,
    device: &Device,
    observer: &mut dyn Callback<Event>,
) -> Result<ProblemReport> {
    let CodingProblem {
        problem, optimum, ..
    } = CodingProblem::read(file, device)?;
    if let Some(out) = out {
        arrays::check_path(out, overwrite)?;
        out.parent().map_or(Ok(()), files::make_folder)?;
    }
    let start = Tensor::zeros(problem.maps_shape(), device);
    let mut follow = Follow {
        observer,
        steps: limits.steps,
    };
    let solved = method.code(&problem, start, limits, &mut follow)?;
    if let Some(out) = out {
        let mut bundle = Bundle::default();
        bundle.arrays.insert("x".into(), to_array(&solved.codes)?);
        arrays::write(out, &bundle, overwrite)?;
    }
    let last = solved.last();
    Ok(ProblemReport {
        file: file.to_path_buf(),
        solver: method.name(),
        found: last.at,
        optimum,
        above: optimum.map(|optimum| last.at.objective / optimum - 1.0),
        steps: last.step,
        seconds: last.seconds,
        reason: solved.reason,
        curve: solved.curve,
        maps: out.map(Path::to_path_buf),
    })
}

/// Hands the looks of a solver on to an observer.
struct Follow<'a> {
    observer: &'a mut dyn Callback<Event>,
    steps: usize,
}

impl Callback<Point> for Follow<'_> {
    fn event(&mut self, point: Point) {
        self.observer.event(Event::Item {
            name: format!("objective {:.6}", point.at.objective),
            done: point.step,
            of: self.steps,
        });
    }

    fn interrupted(&self) -> bool {
        self.observer.interrupted()
    }
}

impl fmt::Display for ProblemReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objective = self.found.objective;
        let mut lines = Vec::new();
        let mut line = |name, text| lines.push((name, text));
        line("objective", format!("{objective:.6}"));
        if let (Some(optimum), Some(above)) = (self.optimum, self.above) {
            line("optimum", format!("{optimum:.6}, {above:+.2e} from it"));
        }
        if let Some(gap) = self.found.gap {
            let share = gap / objective.max(1e-300);
            let text = format!("{gap:.3e}, {share:.2e} of the objective");
            line("duality gap", text);
        }
        if !self.found.snr.is_nan() {
            line("SNR", format!("{:.2} dB", self.found.snr));
        }
        line("non-zero", format!("{:.3} %", 100.0 * self.found.density));
        let taken = format!("{} steps, {:.2} s", self.steps, self.seconds);
        line(self.solver, taken);
        line("stopped as", self.reason.to_string());
        if let Some(maps) = &self.maps {
            line("maps", maps.display().to_string());
        }
        write!(f, "{}\n{}", self.file.display(), Table::pairs(&lines))
    }
}
