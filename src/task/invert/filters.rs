//! The filters of an experiment: built in, of a file or of a run.

use std::path::Path;

use burn::tensor::Device;

use super::experiment::Experiment;
use crate::arrays::{self, Array, Bundle};
use crate::error::{Error, Result};
use crate::invert::Filters;
use crate::run::Run;

/// Filters whose sum is further from 1 than this are told of.
const BRIGHTNESS: f64 = 0.01;

/// Filters, and how they are applied.
pub(super) struct Chosen {
    pub(super) filters: Filters,
    /// What they are, in words.
    pub(super) name: String,
    /// Whether they are flipped, as a true convolution does.
    pub(super) convolved: bool,
}

impl Chosen {
    /// Filters of a file or of a run, where the experiment names one.
    ///
    /// # Errors
    /// Those of reading; [`Error::Input`] or [`Error::Config`] for arrays or layers that are not there.
    pub(super) fn from_elsewhere(experiment: &Experiment, device: &Device) -> Result<Option<Self>> {
        if let Some(path) = &experiment.filters {
            let bundle = arrays::read(path)?;
            let (name, array, shape) = choose(&bundle, experiment.array.as_deref(), path)?;
            let values = array.values.iter().map(|&v| f64::from(v)).collect();
            return Ok(Some(Self {
                filters: Filters { shape, values },
                name: format!("`{name}` of {}", path.display()),
                convolved: !experiment.correlate,
            }));
        }
        let Some(run) = &experiment.checkpoint else {
            return Ok(None);
        };
        let network = Run::read(run, experiment.at, device)?.learnt();
        let l = experiment.layer;
        let Some(layer) = network.layers().get(l - 1) else {
            return Err(Error::Config(format!(
                "layer {l} of {} is asked for, but it has learnt {}; choose 1 to that",
                run.display(),
                network.layers().len()
            )));
        };
        // The layer convolves maps with its filters. Each map's filter looks at the planes below as the
        // adjoint of that does, which correlates.
        let filters = layer.filters.val().swap_dims(0, 1);
        Ok(Some(Self {
            filters: Filters {
                shape: filters.dims(),
                values: filters.to_data().iter::<f64>().collect(),
            },
            name: format!("layer {l} of {}", run.display()),
            convolved: false,
        }))
    }

    /// Whether it is one filter from one channel to one, which serves every channel alike.
    pub(super) fn is_single(&self) -> bool {
        self.filters.shape[..2] == [1, 1]
    }

    /// Divides every filter by its sum, so that flat areas keep their brightness.
    ///
    /// # Errors
    /// [`Error::Input`] where a filter sums to 0.
    pub(super) fn normalise(&mut self) -> Result<()> {
        let [_, planes, h, w] = self.filters.shape;
        for (o, filter) in self
            .filters
            .values
            .chunks_exact_mut((planes * h * w).max(1))
            .enumerate()
        {
            let sum = brightness(filter).ok_or_else(|| {
                Error::Input(format!(
                    "filter {o} of {} sums to 0 and cannot be normalised; take the filters as they are",
                    self.name
                ))
            })?;
            filter.iter_mut().for_each(|v| *v /= sum);
        }
        Ok(())
    }

    /// A warning with the sum of the filter that least keeps the brightness of flat areas, where each
    /// channel has a filter of its own.
    pub(super) fn brightness_warning(&self) -> Option<String> {
        let [out, planes, h, w] = self.filters.shape;
        let plane = |o: usize, c: usize| &self.filters.values[(o * planes + c) * h * w..][..h * w];
        let others = |o: usize| (0..planes).filter(move |&c| c != o);
        let separate = out == planes
            && (0..out).all(|o| others(o).all(|c| plane(o, c).iter().all(|&v| v == 0.0)));
        if !separate {
            return None;
        }
        let sums = (0..out).filter_map(|o| brightness(plane(o, o)));
        let sum = sums.max_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs()))?;
        ((sum - 1.0).abs() > BRIGHTNESS).then(|| {
            format!(
                "the taps of {} sum to {sum:.4}, not to 1: an image blurred without a change of \
                 brightness comes back {:.3} times as bright as it was; normalise the filters unless \
                 the sum is meant",
                self.name,
                1.0 / sum
            )
        })
    }
}

/// The sum of taps, `None` where they cancel each other.
fn brightness(taps: &[f64]) -> Option<f64> {
    let sum: f64 = taps.iter().sum();
    let size: f64 = taps.iter().map(|v| v.abs()).sum();
    (sum.abs() > 1e-6 * size).then_some(sum)
}

/// The array called `name`, or the only one of four axes, or, where there is none, of two; with its
/// shape as filters, `[h, w]` being `[1, 1, h, w]`.
fn choose<'a>(
    bundle: &'a Bundle,
    name: Option<&'a str>,
    path: &Path,
) -> Result<(&'a str, &'a Array, [usize; 4])> {
    let fail = |message: String| Err(Error::Input(format!("{}: {message}", path.display())));
    if let Some(name) = name {
        let array = bundle.array(name, path)?;
        return match (as_filters(&array.shape), array.shape.len()) {
            (Some(shape), _) => Ok((name, array, shape)),
            (None, 3) => fail(format!(
                "`{name}` has shape {:?}, which could be filters from one channel or to one; save it \
                 with four axes, [out, in, h, w]",
                array.shape
            )),
            (None, _) => fail(format!(
                "`{name}` has shape {:?}; filters need four axes, [out, in, h, w], or two, [h, w]",
                array.shape
            )),
        };
    }
    for axes in [4, 2] {
        let mut found = bundle
            .arrays
            .iter()
            .filter(|(_, array)| array.shape.len() == axes);
        match (found.next(), found.next()) {
            (Some((first, _)), Some((second, _))) => {
                return fail(format!(
                    "it holds several arrays of {axes} axes, `{first}` and `{second}` among them; name \
                     the one that is meant"
                ));
            }
            (Some((name, array)), None) => {
                if let Some(shape) = as_filters(&array.shape) {
                    return Ok((name, array, shape));
                }
            }
            (None, _) => {}
        }
    }
    fail(format!(
        "it holds no filters, an array of four axes, [out, in, h, w], or of two, [h, w]; it holds {}",
        bundle.contents()
    ))
}

fn as_filters(shape: &[usize]) -> Option<[usize; 4]> {
    match *shape {
        [h, w] => Some([1, 1, h, w]),
        [out, planes, h, w] => Some([out, planes, h, w]),
        _ => None,
    }
}
