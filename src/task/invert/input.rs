//! What the experiment works on: the filters and the image.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

use super::experiment::{Experiment, Input};
use crate::arrays::{self, Array, Bundle};
use crate::backend::Backend;
use crate::data::{Image, folder, scenes};
use crate::error::{Error, Result};
use crate::invert::{Filters, Kernel, Operator, Padding};
use crate::run::Run;

/// `x` or `y`, and `W`, in double precision on the CPU.
pub(super) struct Given {
    pub(super) operator: Operator,
    pub(super) known: Known,
    /// What the filters and the image are, in words.
    pub(super) filters: String,
    pub(super) image: String,
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
        // Filters from elsewhere decide the channels, the image decides those of built-in ones.
        let elsewhere = from_elsewhere(experiment, &device)?;
        let planes = elsewhere
            .as_ref()
            .map(|(filters, _)| filters.shape[usize::from(!observed)]);
        let planes = match experiment.kernel {
            Kernel::Decolour if observed && planes.is_none() => Some(1),
            _ => planes,
        };
        let (image, name) = image(experiment, planes)?;
        let (filters, of_filters) = match elsewhere {
            Some(found) => found,
            None => {
                let channels = match experiment.kernel {
                    Kernel::Decolour if observed => 3,
                    _ => image.channels,
                };
                let filters = experiment.kernel.filters(channels)?;
                let text = serde_json::to_string(&experiment.kernel).unwrap_or_default();
                (filters, plain(&text))
            }
        };
        let input = match observed {
            true => recovered(experiment, filters.shape, image.shape()),
            false => image.shape(),
        };
        let filters = filters.tensor(&device, DType::F64);
        let operator = Operator::new(filters, experiment.stride, experiment.padding, input)?;
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
            filters: of_filters,
            image: name,
        })
    }
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

/// Filters of a file or of a run, with what they are.
fn from_elsewhere(experiment: &Experiment, device: &Device) -> Result<Option<(Filters, String)>> {
    if let Some(path) = &experiment.filters {
        let bundle = arrays::read(path)?;
        let (name, array) = four_axes(&bundle, experiment.array.as_deref(), path)?;
        let shape = [0, 1, 2, 3].map(|axis| array.shape[axis]);
        let values = array.values.iter().map(|&v| f64::from(v)).collect();
        let name = format!("`{name}` of {}", path.display());
        return Ok(Some((Filters { shape, values }, name)));
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
    // Each map's filter looks at the planes below, as the adjoint of the layer does.
    let filters = layer.filters.val().swap_dims(0, 1);
    let values = filters.to_data().iter::<f64>().collect();
    let name = format!("layer {l} of {}", run.display());
    let shape = filters.dims();
    Ok(Some((Filters { shape, values }, name)))
}

/// The array called `name`, or the only one of four axes.
fn four_axes<'a>(
    bundle: &'a Bundle,
    name: Option<&'a str>,
    path: &Path,
) -> Result<(&'a str, &'a Array)> {
    let fail = |message: String| Err(Error::Input(format!("{}: {message}", path.display())));
    if let Some(name) = name {
        let array = bundle.array(name, path)?;
        return match array.shape.len() {
            4 => Ok((name, array)),
            _ => fail(format!(
                "`{name}` has shape {:?}; filters need four axes, [out, in, h, w]",
                array.shape
            )),
        };
    }
    let mut found = bundle
        .arrays
        .iter()
        .filter(|(_, array)| array.shape.len() == 4);
    match (found.next(), found.next()) {
        (Some((name, array)), None) => Ok((name, array)),
        (None, _) => fail("it holds no array of four axes; filters are [out, in, h, w]".into()),
        (Some((first, _)), Some((second, _))) => fail(format!(
            "it holds several arrays of four axes, `{first}` and `{second}` among them; name \
             the one that is meant"
        )),
    }
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
            let &[channels, height, width] = array.shape.as_slice() else {
                return Err(Error::Input(format!(
                    "{}: `{name}` has shape {:?}; an image needs three axes, [channels, height, width]",
                    path.display(),
                    array.shape
                )));
            };
            let values = array.values.clone();
            let image = Image {
                channels,
                height,
                width,
                values,
            };
            (image, format!("`{name}` of {}", path.display()))
        }
    };
    image
        .check()
        .map_err(|error| Error::Input(format!("{name}: {error}")))?;
    Ok((image, name))
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
