//! `convnet info`: the layers of a model under the names that its authors know.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use serde::Serialize;

use crate::convnet::{Convnet, Model, Operator};
use crate::error::{Error, Result};
use crate::report::{Cell, Table};

/// What a model is made of.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// The file.
    #[serde(serialize_with = "crate::files::lossily")]
    pub model: PathBuf,
    /// Who wrote it.
    pub producer: String,
    /// The version of its set of operators.
    pub opset: i64,
    /// The shape of the images, with one image.
    pub input: Vec<usize>,
    /// Its layers.
    pub layers: Vec<LayerInfo>,
    /// Rectifiers, all of which go back by the chosen rule.
    pub rectifiers: usize,
    /// Operators that go back by their derivative under every rule, since the paper has none for them.
    pub without_rule: Vec<String>,
    /// Numbers that were learnt, without biases.
    pub weights: usize,
}

/// A layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerInfo {
    /// The name to ask for it by.
    pub name: String,
    /// The operator.
    pub kind: String,
    /// The tensor in the file.
    pub tensor: String,
    /// Its shape for one image, without the axis of the images.
    pub shape: Vec<usize>,
    /// Rows and columns of pixels that a unit sees; none where the input is no image.
    pub receptive_field: Option<[usize; 2]>,
    /// Pixels between neighbouring units.
    pub stride: Option<[usize; 2]>,
    /// Numbers that were learnt, without biases.
    pub weights: usize,
}

/// Reads a model and lists its layers, for images of `side` pixels where it leaves their size open.
///
/// # Errors
/// [`Error::Input`] if the model cannot be used, [`Error::Config`] if it takes no images of that size.
pub fn run(path: &Path, side: Option<usize>, device: &Device) -> Result<Info> {
    let model = Model::read(path)?;
    let fixed: Option<Vec<usize>> = model.input_shape.iter().skip(1).copied().collect();
    let shape = match (fixed, side, model.layout()) {
        (Some(rest), None, _) => Some([&[1], &rest[..]].concat()),
        (_, _, Some(layout)) => {
            let [height, width] = layout.size.map(|fixed| side.or(fixed).unwrap_or(224));
            model.image_shape(height, width)
        }
        _ => None,
    };
    let shape = shape.ok_or_else(|| {
        let lengths = model.input_shape.iter();
        let lengths = lengths.map(|n| n.map_or("?".into(), |n| n.to_string()));
        Error::Config(format!(
            "the input of the model has the shape {}: images of this size do not fit it",
            lengths.collect::<Vec<String>>().join(" x ")
        ))
    })?;
    let net = Convnet::new(&model, &shape, device, DType::F32)?;
    let layers = net.layers().iter().map(|layer| {
        let field = net.field(layer.value);
        LayerInfo {
            name: layer.name.clone(),
            kind: layer.kind.clone(),
            tensor: layer.tensor.clone(),
            shape: net.shape(layer.value)[1..].to_vec(),
            receptive_field: field.map(|field| field.size),
            stride: field.map(|field| field.stride),
            weights: net
                .maker(layer.value)
                .map_or(0, |step| step.operator.weights()),
        }
    });
    let rectifiers = net
        .steps()
        .iter()
        .filter(|step| matches!(step.operator, Operator::Rectifier(_)));
    let without = net.layers().iter().filter(|layer| {
        net.maker(layer.value)
            .is_some_and(|step| step.operator.is_without_rule())
    });
    Ok(Info {
        model: path.to_path_buf(),
        producer: model.producer.clone(),
        opset: model.opset,
        input: shape.clone(),
        rectifiers: rectifiers.count(),
        without_rule: without.map(|layer| layer.name.clone()).collect(),
        weights: net.steps().iter().map(|step| step.operator.weights()).sum(),
        layers: layers.collect(),
    })
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |lengths: &[usize]| {
            let lengths: Vec<String> = lengths.iter().map(usize::to_string).collect();
            lengths.join(" x ")
        };
        writeln!(
            f,
            "{}, by {}, operators of version {}, input {}",
            self.model.display(),
            self.producer,
            self.opset,
            times(&self.input)
        )?;
        let layer = |row: usize| &self.layers[row];
        let table = Table::of(self.layers.len())
            .words("layer", |row| Cell::text(&layer(row).name))
            .words("operator", |row| Cell::text(&layer(row).kind))
            .words("shape", |row| Cell::text(times(&layer(row).shape)))
            .words("sees", |row| match layer(row).receptive_field {
                Some(size) => Cell::text(times(&size)),
                None => Cell::Absent,
            })
            .words("every", |row| match layer(row).stride {
                None | Some([0, 0]) => Cell::Absent,
                Some(stride) => Cell::text(times(&stride)),
            })
            .numbers("weights", |row| match layer(row).weights {
                0 => Cell::Absent,
                weights => Cell::Count(weights),
            })
            .words("tensor", |row| Cell::text(&layer(row).tensor));
        write!(f, "{table}")?;
        writeln!(
            f,
            "{} weights; all {} rectifiers go back by the chosen rule",
            self.weights, self.rectifiers
        )?;
        match self.without_rule.is_empty() {
            true => Ok(()),
            false => writeln!(
                f,
                "by their derivative under every rule, since the paper has none for them: {}",
                self.without_rule.join(", ")
            ),
        }
    }
}
