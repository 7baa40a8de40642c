//! What the experiment works on: the filters and the image.

use burn::tensor::{DType, Tensor};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

use super::experiment::{Experiment, Input};
use super::filters::Chosen;
use crate::arrays;
use crate::backend::Backend;
use crate::data::{Image, folder, scenes};
use crate::error::{Error, Result};
use crate::invert::{Filters, Kernel, Operator, Padding};

/// `x` or `y`, and `W`, in double precision on the CPU.
pub(super) struct Given {
    pub(super) operator: Operator,
    pub(super) known: Known,
    /// The filters as they were given.
    pub(super) taps: Filters,
    /// What the filters and the image are, in words.
    pub(super) filters: String,
    pub(super) image: String,
    /// What is odd about the filters.
    pub(super) warning: Option<String>,
}

/// What is known beside the filters.
pub(super) enum Known {
    /// The image, so that errors can be told.
    X(Tensor<4>),
    /// What was made from it.
    Y(Tensor<4>),
}

impl Given {
    /// The image, where it is known.
    pub(super) fn x(&self) -> Option<&Tensor<4>> {
        match &self.known {
            Known::X(x) => Some(x),
            Known::Y(_) => None,
        }
    }

    /// Reads and checks all of it.
    ///
    /// # Errors
    /// Those of reading the files; [`Error::Input`] or [`Error::Config`] with the numbers for what does
    /// not fit together.
    pub(super) fn read(experiment: &Experiment) -> Result<Self> {
        let device = Backend::Flex.device()?;
        let observed = matches!(experiment.input, Input::Observed { .. });
        // Filters from elsewhere decide the channels, the image decides those of built-in ones and of a
        // single filter.
        let elsewhere = Chosen::from_elsewhere(experiment, &device)?;
        let planes = match (&elsewhere, &experiment.kernel) {
            (Some(chosen), _) if chosen.is_single() => None,
            (Some(chosen), _) => Some(chosen.filters.shape[usize::from(!observed)]),
            (None, Kernel::Decolour) if observed => Some(1),
            (None, _) => None,
        };
        let (mut image, name) = image(experiment, planes)?;
        let from_file = experiment.filters.is_some();
        let mut chosen = match elsewhere {
            Some(mut chosen) => {
                if chosen.is_single() {
                    image = image.without_colour();
                    let [.., h, w] = chosen.filters.shape;
                    chosen.filters = Filters::each(image.channels, [h, w], &chosen.filters.values);
                }
                chosen
            }
            None => {
                if experiment.kernel != Kernel::Decolour {
                    image = image.without_colour();
                }
                built_in(experiment, image.channels)?
            }
        };
        if experiment.normalise {
            chosen.normalise()?;
        }
        let input = match observed {
            true => recovered(experiment, chosen.filters.shape, image.shape()),
            false => image.shape(),
        };
        let filters = chosen.filters.tensor(&device, DType::F64);
        let make = match chosen.convolved {
            true => Operator::convolution,
            false => Operator::new,
        };
        let operator = make(filters, experiment.stride, experiment.padding, input)?;
        if observed && operator.output() != image.shape() {
            let ([c, h, w], [o, i, j]) = (image.shape(), operator.output());
            return Err(Error::Input(format!(
                "{name} is {c} x {h} x {w}, but the filters give {o} x {i} x {j}; give others, or what \
                 they were applied to"
            )));
        }
        let values: Vec<f64> = image.values.iter().map(|&v| f64::from(v)).collect();
        if values.iter().all(|&v| v == 0.0) {
            return Err(Error::Input(format!(
                "{name} is 0 everywhere: there is nothing to recover; give another image"
            )));
        }
        let [c, h, w] = image.shape();
        let data = burn::tensor::TensorData::new(values, [1, c, h, w]);
        let tensor = Tensor::from_data(data, (&device, DType::F64));
        Ok(Self {
            operator,
            known: match observed {
                true => Known::Y(tensor),
                false => Known::X(tensor),
            },
            // Of an image that is known, a built-in filter may be as bright as it likes.
            warning: (from_file || observed)
                .then(|| chosen.brightness_warning())
                .flatten(),
            taps: chosen.filters,
            filters: chosen.name,
            image: name,
        })
    }
}

/// The built-in filters of the experiment.
fn built_in(experiment: &Experiment, channels: usize) -> Result<Chosen> {
    let channels = match (&experiment.kernel, &experiment.input) {
        (Kernel::Decolour, Input::Observed { .. }) => 3,
        _ => channels,
    };
    let name = serde_json::to_string(&experiment.kernel).unwrap_or_default();
    Ok(Chosen {
        filters: experiment.kernel.filters(channels)?,
        name: plain(&name),
        convolved: !experiment.correlate,
    })
}

/// The shape of the image that gives one of shape `y`.
fn recovered(experiment: &Experiment, filters: [usize; 4], y: [usize; 3]) -> [usize; 3] {
    let [_, planes, h, w] = filters;
    let side = |axis: usize, taps: usize| match experiment.padding {
        Padding::None => (y[1 + axis] - 1) * experiment.stride[axis] + taps,
        _ => y[1 + axis] * experiment.stride[axis],
    };
    [planes, side(0, h), side(1, w)]
}

/// `{"kind":"gaussian","sigma":1.0}` as `gaussian, sigma 1.0`.
fn plain(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let Some(object) = value.as_object() else {
        return json.into();
    };
    let kind = object.get("kind").and_then(|kind| kind.as_str());
    let rest = object
        .iter()
        .filter(|(key, value)| *key != "kind" && !value.is_null())
        .map(|(key, value)| format!(", {key} {value}"));
    kind.unwrap_or_default().to_string() + &rest.collect::<String>()
}

/// The image, with `planes` channels where the filters decide that.
fn image(experiment: &Experiment, planes: Option<usize>) -> Result<(Image, String)> {
    let colour = match planes {
        None | Some(3) => true,
        Some(1) => false,
        Some(n) if matches!(experiment.input, Input::Scene { .. } | Input::Image { .. }) => {
            return Err(Error::Input(format!(
                "the filters are for {n} channels, and an image has 3 or 1; give random numbers \
                 of {n} channels, or an array of a file"
            )));
        }
        Some(n) if experiment.photographed() => {
            return Err(Error::Input(format!(
                "the filters give {n} channels, and an image has 3 or 1; give what was observed as an \
                 array of a .npz or .safetensors file"
            )));
        }
        Some(_) => true,
    };
    let (image, name) = match &experiment.input {
        &Input::Scene { size, index } => {
            let scene = scenes::sample(index, size, experiment.seed);
            let scene = if colour { scene } else { scene.grey() };
            (
                scene,
                format!("sample scene {} of {size} x {size}", index + 1),
            )
        }
        Input::Image { path, max_side } => {
            let image = folder::read(path, colour, *max_side)?;
            (image, path.display().to_string())
        }
        Input::Observed { path, .. } if experiment.photographed() => {
            let image = folder::read(path, colour, None)?;
            (image, path.display().to_string())
        }
        &Input::Random { shape, density } => (
            random(shape, density, experiment.seed),
            "random numbers".into(),
        ),
        Input::Array { path, name } | Input::Observed { path, name } => {
            let bundle = arrays::read(path)?;
            let array = bundle.array(name, path)?;
            let shape = sides(&array.shape).map_err(|reason| {
                let (path, shape) = (path.display(), &array.shape);
                Error::Input(format!("{path}: `{name}` has shape {shape:?}; {reason}"))
            })?;
            let image = Image::new(shape, array.values.clone());
            (image, format!("`{name}` of {}", path.display()))
        }
    };
    image
        .check()
        .map_err(|error| Error::Input(format!("{name}: {error}")))?;
    Ok((image, name))
}

/// Channels, height and width of an array: `[height, width]` is one channel, and a batch of one image
/// is that image.
pub(in crate::task) fn sides(shape: &[usize]) -> Result<[usize; 3], &'static str> {
    /// A side from which on an axis cannot be meant as that of the channels.
    const SIDE: usize = 16;
    match *shape {
        [height, width, 1 | 3 | 4] if height.min(width) >= SIDE => Err(
            "that looks like [height, width, channels]; the channels come first, [channels, height, width]",
        ),
        [height, width] => Ok([1, height, width]),
        [channels, height, width] | [1, channels, height, width] => Ok([channels, height, width]),
        _ => Err("an image needs three axes, [channels, height, width], or two, [height, width]"),
    }
}

/// Uniform from 0 to 1, about `density` of them kept.
fn random([channels, height, width]: [usize; 3], density: f64, seed: u64) -> Image {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut image = Image::zeros(channels, height, width);
    for v in &mut image.values {
        let (value, kept): (f32, f64) = (rng.random(), rng.random());
        *v = if kept < density { value } else { 0.0 };
    }
    image
}
