//! A trained network as an ONNX file: opset 17, nodes named by module path, any number of images.
//!
//! The file also says how pixels become its input, in `metadata_props` of the model:
//!
//! | key | value |
//! |---|---|
//! | `deconvnet.mean` | mean of red, green and blue, of pixels in `[0, 1]`: a JSON list of three numbers |
//! | `deconvnet.std` | their standard deviation: the input is `(x - mean) / std` |
//! | `deconvnet.size` | side of the square input, pixels |
//! | `deconvnet.labels` | the names of the classes in order: a JSON list |

use std::path::Path;

use burn::tensor::Tensor;
use prost::Message;
use serde_json::json;

use super::network::{CONVOLUTIONS, Network, POOL, normalisation};
use super::state::Model;
use crate::backend;
use crate::convnet::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, data_type,
};
use crate::error::Result;
use crate::files;

/// The version of the file's messages that goes with opset 17.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// Writes the network to the file at `path`, replacing what is there.
///
/// # Errors
/// [`crate::Error::Io`] where it cannot be written.
pub fn write(network: &Network, model: &Model, path: &Path) -> Result<()> {
    let bytes = to_onnx(network, model)?.encode_to_vec();
    files::replace(path, true, |file| std::io::Write::write_all(file, &bytes))
}

/// The network as the message of an ONNX file.
///
/// # Shapes
/// Input `input` `[batch, 3, S, S]`, output `logits` `[batch, classes]`.
///
/// # Errors
/// [`crate::Error::Backend`] where the device cannot hand over the weights.
pub fn to_onnx(network: &Network, model: &Model) -> Result<ModelProto> {
    let mut graph = Graph::default();
    let convolutions = network.architecture.convolutions();
    for (l, (convolution, layer)) in convolutions.iter().zip(&network.layers).enumerate() {
        let number = l + 1;
        let name = format!("features.conv{number}");
        let parameters = graph.parameters(&name, &layer.weight.val(), &layer.bias.val(), false)?;
        let [side, reach, stride] = [
            convolution.filter,
            convolution.filter / 2,
            convolution.stride,
        ]
        .map(|n| n as i64);
        let attributes = vec![
            AttributeProto::integers("dilations", &[1, 1]),
            AttributeProto::integer("group", 1),
            AttributeProto::integers("kernel_shape", &[side; 2]),
            AttributeProto::integers("pads", &[reach; 4]),
            AttributeProto::integers("strides", &[stride; 2]),
        ];
        graph.node("Conv", &name, parameters, attributes);
        graph.node("Relu", &format!("features.relu{number}"), vec![], vec![]);
        if convolution.pool {
            let [side, stride] = POOL.map(|n| n as i64);
            let attributes = vec![
                AttributeProto::integer("ceil_mode", 0),
                AttributeProto::integers("kernel_shape", &[side; 2]),
                AttributeProto::integers("pads", &[side / 2; 4]),
                AttributeProto::integers("strides", &[stride; 2]),
            ];
            graph.node(
                "MaxPool",
                &format!("features.pool{number}"),
                vec![],
                attributes,
            );
        }
        if convolution.normalise {
            let attributes = vec![
                AttributeProto::float("alpha", normalisation::ALPHA as f32),
                AttributeProto::float("beta", normalisation::BETA as f32),
                AttributeProto::float("bias", 1.0),
                AttributeProto::integer("size", normalisation::SIZE as i64),
            ];
            graph.node("LRN", &format!("features.norm{number}"), vec![], attributes);
        }
    }
    graph.node(
        "Flatten",
        "flatten",
        vec![],
        vec![AttributeProto::integer("axis", 1)],
    );
    let last = network.layers.len();
    for (l, layer) in network.layers.iter().enumerate().skip(CONVOLUTIONS) {
        let number = l + 1;
        let name = format!("classifier.fc{number}");
        let parameters = graph.parameters(&name, &layer.weight.val(), &layer.bias.val(), true)?;
        graph.node(
            "Gemm",
            &name,
            parameters,
            vec![AttributeProto::integer("transB", 1)],
        );
        if number < last {
            graph.node("Relu", &format!("classifier.relu{number}"), vec![], vec![]);
        }
    }
    let side = network.architecture.side as i64;
    let batch = DimensionProto {
        dim_param: Some("batch".into()),
        ..DimensionProto::default()
    };
    let mut graph = graph.proto;
    if let Some(node) = graph.node.last_mut() {
        node.output = vec!["logits".into()];
    }
    graph.name = "convnet".into();
    graph.input = vec![value(
        "input",
        vec![batch.clone(), fixed(3), fixed(side), fixed(side)],
    )];
    graph.output = vec![value(
        "logits",
        vec![batch, fixed(network.architecture.classes as i64)],
    )];
    let metadata = [
        (
            "deconvnet.mean",
            format!("{:?}", model.standardisation.mean),
        ),
        ("deconvnet.std", format!("{:?}", model.standardisation.std)),
        ("deconvnet.size", side.to_string()),
        ("deconvnet.labels", json!(model.classes).to_string()),
    ];
    let metadata = metadata.map(|(key, value)| StringStringEntryProto {
        key: key.into(),
        value,
    });
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        metadata_props: metadata.into(),
    })
}

/// A chain of nodes: each reads what the one before it has written.
#[derive(Default)]
struct Graph {
    proto: GraphProto,
}

impl Graph {
    /// Keeps weights and bias of a layer and gives their names. A linear layer's weights are a matrix.
    fn parameters(
        &mut self,
        name: &str,
        weight: &Tensor<4>,
        bias: &Tensor<4>,
        is_linear: bool,
    ) -> Result<Vec<String>> {
        let [units, below, height, width] = weight.dims().map(|n| n as i64);
        let dims = match is_linear {
            true => vec![units, below * height * width],
            false => vec![units, below, height, width],
        };
        let tensors = [("weight", weight, dims), ("bias", bias, vec![units])];
        let mut names = Vec::new();
        for (part, tensor, dims) in tensors {
            let values = backend::read(tensor)?;
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let name = format!("{name}.{part}");
            self.proto.initializer.push(TensorProto {
                dims,
                data_type: data_type::FLOAT,
                name: name.clone(),
                raw_data: Some(bytes),
                ..TensorProto::default()
            });
            names.push(name);
        }
        Ok(names)
    }

    /// Adds the node of the module at `path`, named as PyTorch names those of its modules.
    fn node(
        &mut self,
        operator: &str,
        path: &str,
        parameters: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        let name = format!("/{}/{operator}", path.replace('.', "/"));
        let below = match self.proto.node.last() {
            Some(node) => node.output[0].clone(),
            None => "input".into(),
        };
        self.proto.node.push(NodeProto {
            input: [vec![below], parameters].concat(),
            output: vec![format!("{name}_output_0")],
            name,
            op_type: operator.into(),
            attribute,
            ..NodeProto::default()
        });
    }
}

fn fixed(length: i64) -> DimensionProto {
    DimensionProto {
        dim_value: Some(length),
        ..DimensionProto::default()
    }
}

fn value(name: &str, dim: Vec<DimensionProto>) -> ValueInfoProto {
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: data_type::FLOAT,
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
    }
}
