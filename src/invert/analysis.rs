//! Rank, null space and condition of `W`, and what follows for its inversion.

use serde::Serialize;

use super::{Decomposition, Operator, noise};
use crate::error::Result;
use crate::linop::singular_extremes;

/// Steps of the bidiagonalisation: each costs one product with `W` and one with `W'`.
const STEPS: usize = 30;

/// Rank, null space and condition of `W` as a matrix, and what follows for its inversion.
///
/// # Examples
///
/// The 1-2-1 blur of an even number of pixels on a circle loses what alternates from pixel to pixel:
///
/// ```
/// use burn::tensor::{DType, Device};
/// use deconvnet::invert::{Analysis, Decomposition, Kernel, Operator, Padding};
///
/// let kernel = Kernel::Taps { taps: vec![0.25, 0.5, 0.25] };
/// let filters = kernel.filters(1)?.tensor(&Device::flex(), DType::F64);
/// let operator = Operator::new(filters, [1, 1], Padding::Circular, [1, 1, 8])?;
/// let analysis = Analysis::new(&operator, Decomposition::new(&operator)?.as_ref())?;
/// assert_eq!((analysis.rank, analysis.null_space), (Some(7), Some(1)));
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Analysis {
    /// Elements of `y`, the rows of `W`.
    pub rows: usize,
    /// Elements of `x`, the columns of `W`.
    pub columns: usize,
    /// How the singular values were found: "dense SVD", "SVD per frequency", or "Lanczos estimate", of a
    /// large image on a part of it, see [`Operator::part`].
    pub route: &'static str,
    /// The number of singular values that are not zero to rounding; absent for estimates.
    pub rank: Option<usize>,
    /// The dimension of the null space: what of `x` is lost.
    pub null_space: Option<usize>,
    /// The largest singular value.
    pub largest: f64,
    /// The smallest singular value, of `min(rows, columns)`; from above where it is an estimate.
    pub smallest: f64,
    /// The smallest one that is not zero to rounding.
    pub smallest_nonzero: f64,
    /// `largest / smallest`, absent where the smallest is exactly zero; from below where it is an
    /// estimate.
    pub condition: Option<f64>,
    /// Whether every `y` has a solution: `rank = rows`. Absent where it is not known.
    pub always_solvable: Option<bool>,
    /// Whether a solution is the only one: `rank = columns`. Absent where it is not known.
    pub unique: Option<bool>,
    /// What the dot test found, see [`Operator::dot_test`].
    pub dot_test: f64,
    /// All singular values, the largest first; empty for estimates.
    #[serde(skip)]
    pub singular_values: Vec<f64>,
}

impl Analysis {
    /// Analyses `W`, from its decomposition if there is one, else by Lanczos steps, for a large image on
    /// a part of it.
    ///
    /// # Errors
    /// [`crate::Error::Numeric`] where a small decomposition does not converge.
    pub fn new(operator: &Operator, decomposition: Option<&Decomposition>) -> Result<Self> {
        let [rows, columns] = operator.shape();
        let part = operator.part();
        let seen = part.as_ref().unwrap_or(operator);
        let dot_test = seen.dot_test(1);
        let Some(decomposition) = decomposition else {
            let [c, h, w] = seen.input();
            let start = seen.tensor(noise(c * h * w, 0), [1, c, h, w]);
            let [largest, smallest] =
                singular_extremes(|x| seen.apply(x), |r| seen.adjoint(r), start, STEPS)?;
            return Ok(Self {
                rows,
                columns,
                route: match part {
                    Some(_) => "Lanczos estimate on a part",
                    None => "Lanczos estimate",
                },
                rank: None,
                null_space: None,
                largest,
                smallest,
                smallest_nonzero: smallest,
                condition: (smallest > 0.0).then(|| largest / smallest),
                // More equations than unknowns cannot hold for every y, fewer leave freedom.
                always_solvable: (rows > columns).then_some(false),
                unique: (rows < columns).then_some(false),
                dot_test,
                singular_values: Vec::new(),
            });
        };
        let all = decomposition.singular_values();
        let rank = decomposition.rank();
        let [largest, smallest] = [all.first(), all.last()].map(|s| s.copied().unwrap_or(0.0));
        Ok(Self {
            rows,
            columns,
            route: decomposition.route(),
            rank: Some(rank),
            null_space: Some(columns - rank),
            largest,
            smallest,
            smallest_nonzero: all[..rank].last().copied().unwrap_or(0.0),
            condition: (smallest > 0.0).then(|| largest / smallest),
            always_solvable: Some(rank == rows),
            unique: Some(rank == columns),
            dot_test,
            singular_values: all.to_vec(),
        })
    }

    /// The condition number that matters to the pseudo-inverse: zero singular values left out.
    pub fn effective_condition(&self) -> f64 {
        self.largest / self.smallest_nonzero.max(f64::MIN_POSITIVE)
    }

    /// Whether numbers with rounding `epsilon` resolve every direction in which `W` has one:
    /// `condition < 1 / epsilon`. A singular `W` never does.
    pub fn resolved_by(&self, epsilon: f64) -> bool {
        self.condition
            .is_some_and(|condition| condition * epsilon < 1.0)
    }
}
