//! Small ONNX models made on the spot.

use std::path::Path;

use burn::tensor::{DType, Device};
use deconvnet::convnet::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, data_type,
};
use deconvnet::convnet::{Convnet, Map, Model};
use prost::Message;

/// An attribute with its name.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto::integer(name, i)
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto::integers(name, ints)
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto::float(name, f)
}

pub fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto::text(name, s)
}

/// A node that makes one value.
pub fn node(op: &str, inputs: &[&str], output: &str, attributes: &[AttributeProto]) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: format!("/{output}/{op}"),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        attribute: attributes.to_vec(),
        ..Default::default()
    }
}

/// Weights.
pub fn weights(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: shape.iter().map(|&n| n as i64).collect(),
        data_type: data_type::FLOAT,
        float_data: values.to_vec(),
        ..Default::default()
    }
}

/// Weights that look random and are the same every time.
pub fn random(name: &str, shape: &[usize]) -> TensorProto {
    let seed = name.bytes().map(u64::from).sum();
    weights(name, shape, &numbers(shape.iter().product(), seed))
}

pub fn whole(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: data_type::INT64,
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

/// Numbers between -1 and 1, none of them near 0 or near another.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let number = |k: usize| {
        let x = ((k as f64 + 1.0) * 0.618_033_988_75 + seed as f64 * 0.414_213_56).fract();
        let x = 2.0 * x - 1.0;
        (x + 0.05 * x.signum()) as f32
    };
    (0..count).map(number).collect()
}

/// A model from `x` of a shape, whose first length is free where it is 0, to `y`.
pub fn model(shape: &[i64], nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> ModelProto {
    let dim = |&n: &i64| DimensionProto {
        dim_value: (n > 0).then_some(n),
        dim_param: (n == 0).then(|| "batch".into()),
    };
    let shape = TensorShapeProto {
        dim: shape.iter().map(dim).collect(),
    };
    let tensor_type = TensorTypeProto {
        elem_type: data_type::FLOAT,
        shape: Some(shape),
    };
    let value = |name: &str, r#type: Option<TypeProto>| ValueInfoProto {
        name: name.into(),
        r#type,
    };
    let r#type = TypeProto {
        tensor_type: Some(tensor_type),
    };
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            node: nodes,
            initializer: weights,
            input: vec![value("x", Some(r#type))],
            output: vec![value("y", None)],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// As the library reads it.
pub fn read(model: &ModelProto) -> deconvnet::Result<Model> {
    Model::decode(&model.encode_to_vec(), Path::new("made.onnx"))
}

/// Ready for one image of the declared shape.
pub fn ready(model: &ModelProto, dtype: DType) -> Convnet {
    let model = read(model).unwrap();
    let rest = model.input_shape.iter().skip(1).map(|n| n.unwrap());
    let shape: Vec<usize> = std::iter::once(1).chain(rest).collect();
    Convnet::new(&model, &shape, &Device::flex(), dtype).unwrap()
}

/// Images as a map.
pub fn images(values: &[f64], shape: &[usize]) -> Map {
    use burn::tensor::{Tensor, TensorData};
    let data = TensorData::new(values.to_vec(), [values.len()]);
    let flat = Tensor::<1>::from_data(data, (&Device::flex(), DType::F64));
    Map::new(flat).reshaped(shape)
}

/// The numbers of a map.
pub fn values(map: &Map) -> Vec<f64> {
    map.flat().try_into_vec_as().unwrap()
}
