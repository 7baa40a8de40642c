//! Coding problems from files: images, filters and weight are given, the maps are to be found.
//!
//! A file, `.npz` or `.safetensors`, holds what other tools for convolutional sparse coding call
//!
//! ```text
//! F(x) = 1/2 || sum_m d_m * x_m - s ||^2 + lmbda || L1Weight x ||_1
//!
//! s           images, [K, C, H, W]
//! D0          filters, [M, C, h, w]
//! lmbda       weight, a number
//! boundary    the text "valid": maps of [H + h - 1, W + w - 1], the paper's geometry; "circular": of
//!             [H, W]; or "zero": of [H - h + 1, W - w + 1], see [`Boundary`]
//!
//! and, each of which may be left out,
//!
//! L1Weight    weights of the penalty, [M] for the maps, or [1, M, ..] for each element of them
//! NonNegCoef  1: maps must not be negative
//! F_opt       the least objective, a number
//! gap         the duality gap that F_opt was certified with, a number
//! ```
//!
//! `L1Weight` and `NonNegCoef` are SPORCO's names.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};

use crate::arrays::{self, Bundle};
use crate::connectivity::Connectivity;
use crate::error::{Error, Result};
use crate::model::{Boundary, Layer, Network, Objective};
use crate::solve::Problem;

/// A coding problem with, where it is known, its solution's worth.
#[derive(Clone, Debug)]
pub struct CodingProblem {
    /// One layer, all images as one batch; `data_weight` 1, `sparsity` `lmbda`, `p` 1.
    pub problem: Problem,
    /// The least objective, summed over the images.
    pub optimum: Option<f64>,
    /// How far above the least `optimum` may be.
    pub optimum_gap: Option<f64>,
}

impl CodingProblem {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] where it cannot be read, lacks an entry, has a boundary that is
    /// not known, or holds arrays that do not make a problem.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use burn::tensor::{Device, Tensor};
    /// use deconvnet::problem::CodingProblem;
    /// use deconvnet::solve::{Fista, Limits, Method};
    ///
    /// let device = Device::flex();
    /// let problem = CodingProblem::read("problem.npz".as_ref(), &device)?.problem;
    /// let start = Tensor::zeros(problem.maps_shape(), &device);
    /// let solved = Method::from(Fista::default()).code(&problem, start, &Limits::default(), &mut ())?;
    /// println!("{}", solved.last().at.objective);
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    pub fn read(path: &Path, device: &Device) -> Result<Self> {
        let bundle = arrays::read(path)?;
        let fail = |message: String| Error::Input(format!("{}: {message}", path.display()));

        let boundary = boundary(bundle.text("boundary", path)?).map_err(fail)?;
        let lmbda = bundle.scalar("lmbda", path)?;
        if !(lmbda.is_finite() && lmbda > 0.0) {
            return Err(fail(format!("`lmbda` is {lmbda}; it must be above 0")));
        }
        let (images, [k, c, height, width]) = four_axes(&bundle, "s", path)?;
        let (filters, [m, planes, h, w]) = four_axes(&bundle, "D0", path)?;
        if planes != c {
            return Err(fail(format!(
                "the filters `D0` [{m}, {planes}, {h}, {w}] are for {planes} channels, but the \
                 images `s` [{k}, {c}, {height}, {width}] have {c}"
            )));
        }
        if h > height || w > width {
            return Err(fail(format!(
                "the filters `D0` of {h} x {w} are larger than the images `s` of {height} x \
                 {width}; give larger images or smaller filters"
            )));
        }
        let images = Tensor::from_data(TensorData::new(images, [k, c, height, width]), device);
        let filters = filters_first(filters, [m, c, h, w], device);
        let mut layer = Layer::new(filters, Connectivity::full(c, m)).with_boundary(boundary);
        if let Some(array) = bundle.arrays.get("L1Weight") {
            let maps = [boundary.maps(height, h), boundary.maps(width, w)];
            let shape = match array.shape[..] {
                [all] if all == m => [1, m, 1, 1],
                [1, all, 1, 1] if all == m => [1, m, 1, 1],
                [1, all, rows, columns] if all == m && [rows, columns] == maps => {
                    [1, m, rows, columns]
                }
                _ => {
                    return Err(fail(format!(
                        "`L1Weight` has shape {:?}; it needs a weight for each of the {m} maps, [{m}], or \
                         for each of their elements, {:?}",
                        array.shape,
                        [1, m, maps[0], maps[1]]
                    )));
                }
            };
            let data = TensorData::new(array.values.clone(), shape);
            layer = layer
                .with_penalty_weights(Tensor::from_data(data, device))
                .map_err(|error| fail(format!("`L1Weight`: {error}")))?;
        }
        let non_negative = bundle.scalars.get("NonNegCoef").is_some_and(|&v| v != 0.0);
        let objective = Objective::new(1.0, lmbda, 1.0)?.with_non_negative(non_negative);
        Ok(Self {
            problem: Problem::new(Network::new(vec![layer])?, images, objective)?,
            optimum: bundle.scalars.get("F_opt").copied(),
            optimum_gap: bundle.scalars.get("gap").copied(),
        })
    }
}

/// The boundary of a name; else what to write.
pub(crate) fn boundary(name: &str) -> std::result::Result<Boundary, String> {
    name.parse().map_err(|_| {
        format!(
            "`boundary` is \"{name}\"; it must be \"valid\" (maps of [H + h - 1, W + w - 1]), \"circular\" \
             ([H, W]) or \"zero\" ([H - h + 1, W - w + 1])"
        )
    })
}

/// The largest value of an array whose squares and their sums single precision can hold.
const LARGEST: f32 = 1e15;

/// The values and the shape of an array of four axes, none of them empty, all values of a size that
/// single precision can square.
///
/// # Errors
/// [`Error::Input`] naming the file and the array.
pub(crate) fn four_axes(
    bundle: &Bundle,
    name: &str,
    path: &Path,
) -> Result<(Vec<f32>, [usize; 4])> {
    let array = bundle.array(name, path)?;
    let fail = |message: String| Error::Input(format!("{}: {message}", path.display()));
    let shape: [usize; 4] = match array.shape.as_slice().try_into() {
        Ok(shape) if !array.values.is_empty() => shape,
        _ => {
            return Err(fail(format!(
                "`{name}` has shape {:?}; it needs four axes, none of length 0",
                array.shape
            )));
        }
    };
    let usable = |v: &f32| v.abs() <= LARGEST;
    match array.values.iter().position(|v| !usable(v)) {
        None => Ok((array.values.clone(), shape)),
        Some(at) if array.values[at].is_finite() => Err(fail(format!(
            "`{name}` holds {:e} at {:?}, too large for sums of squares in single precision; scale \
             the array, its values are best about 1",
            array.values[at],
            index(at, shape)
        ))),
        Some(at) => Err(fail(format!(
            "`{name}` holds {} at {:?}; replace it by a finite number",
            array.values[at],
            index(at, shape)
        ))),
    }
}

/// Filters with the map first, `[M, C, h, w]`, as a layer has them, `[C, M, h, w]`.
pub(crate) fn filters_first(values: Vec<f32>, shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::<4>::from_data(TensorData::new(values, shape), device).swap_dims(0, 1)
}

/// The indices, along each axis, of element `at` of a row-major array.
fn index(mut at: usize, shape: [usize; 4]) -> [usize; 4] {
    let mut index = [0; 4];
    for (i, length) in index.iter_mut().zip(shape).rev() {
        *i = at % length;
        at /= length;
    }
    index
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::arrays::Array;

    /// Two images of 5 x 6 pixels, three filters of 2 x 3.
    fn bundle() -> Bundle {
        let ramp = |shape: [usize; 4]| {
            let n: usize = shape.iter().product();
            let values = (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
            Array::new(shape.to_vec(), values).unwrap()
        };
        let mut bundle = Bundle::default();
        bundle.arrays.insert("s".into(), ramp([2, 2, 5, 6]));
        bundle.arrays.insert("D0".into(), ramp([3, 2, 2, 3]));
        bundle.scalars.insert("lmbda".into(), 0.1);
        bundle.texts.insert("boundary".into(), "valid".into());
        bundle
    }

    fn read(bundle: &Bundle) -> Result<CodingProblem> {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("problem.npz");
        arrays::write(&path, bundle, false)?;
        CodingProblem::read(&path, &Device::flex())
    }

    #[test]
    fn filters_get_their_planes_first() {
        let mut file = bundle();
        file.scalars.insert("F_opt".into(), 2.5);
        let CodingProblem {
            problem, optimum, ..
        } = read(&file).unwrap();
        assert_eq!(optimum, Some(2.5));
        assert_eq!(problem.data.dims(), [2, 2, 5, 6]);
        let shape = problem.network.maps_shape(problem.data.dims());
        assert_eq!(shape, [2, 3, 6, 8]);
        let filters = problem.network.layers()[0].filters.val();
        assert_eq!(filters.dims(), [2, 3, 2, 3]);
        let plane: Vec<f32> = filters
            .slice([1..2, 2..3, 0..2, 0..3])
            .try_into_vec_as()
            .unwrap();
        assert_eq!(plane, file.arrays["D0"].values[30..36]);
    }

    #[test]
    fn what_is_no_problem_is_named() {
        type Spoil = fn(&mut Bundle);
        let cases: [(Spoil, &str); 10] = [
            (|b| drop(b.arrays.remove("s")), "no array `s`"),
            (|b| drop(b.texts.remove("boundary")), "no text `boundary`"),
            (
                |b| drop(b.texts.insert("boundary".into(), "same".into())),
                "`boundary` is \"same\"",
            ),
            (
                |b| b.scalars.extend([("lmbda".into(), 0.0)]),
                "`lmbda` is 0",
            ),
            (
                |b| b.scalars.extend([("lmbda".into(), f64::NAN)]),
                "`lmbda` is NaN",
            ),
            (
                |b| b.arrays.get_mut("s").unwrap().shape = vec![4, 5, 6],
                "four axes",
            ),
            (
                |b| b.arrays.get_mut("s").unwrap().values[67] = f32::NAN,
                "`s` holds NaN at [1, 0, 1, 1]",
            ),
            (
                |b| b.arrays.get_mut("s").unwrap().values[67] = 1e30,
                "`s` holds 1e30 at [1, 0, 1, 1]",
            ),
            (
                |b| b.arrays.get_mut("D0").unwrap().shape = vec![2, 3, 2, 3],
                "are for 3 channels",
            ),
            (
                |b| b.arrays.get_mut("D0").unwrap().shape = vec![1, 2, 9, 2],
                "larger than the images",
            ),
        ];
        for (spoil, words) in cases {
            let mut file = bundle();
            spoil(&mut file);
            let message = read(&file).unwrap_err().to_string();
            assert!(message.contains("problem.npz"), "{message}");
            assert!(message.contains(words), "{words}: {message}");
        }
    }
}
