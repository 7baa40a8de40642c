//! The messages of an ONNX file that matter here, for reading and for writing.
//!
//! Field numbers are those of `onnx.proto`, IR version 3 to 11; fields that are left out (training
//! information, sparse initialisers, quantisation) are skipped on reading.
//!
//! Source: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.
#![allow(missing_docs)] // The names are those of the schema, which describes them.

use prost::Message;

/// What a file holds.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(string, tag = "3")]
    pub producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// The version of a set of operators.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// Nodes in an order in which they can be computed, and what they start from.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// One application of an operator.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub domain: String,
    #[prost(message, repeated, tag = "9")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

impl NodeProto {
    /// What it chooses from, in an If.
    pub fn branches(&self) -> impl Iterator<Item = &GraphProto> {
        self.attribute.iter().filter_map(|one| one.g.as_ref())
    }

    /// What it needs, and what the nodes of its branches need.
    pub fn needs(&self) -> Box<dyn Iterator<Item = &String> + '_> {
        let inner = self.branches().flat_map(|branch| {
            let results = branch.output.iter().map(|one| &one.name);
            branch.node.iter().flat_map(Self::needs).chain(results)
        });
        Box::new(
            self.input
                .iter()
                .chain(inner)
                .filter(|name| !name.is_empty()),
        )
    }

    /// Its name for people; where it has none, that of what it makes.
    pub fn label(&self) -> &str {
        match (self.name.as_str(), self.output.first()) {
            ("", Some(output)) => output,
            (name, _) => name,
        }
    }
}

/// A parameter of a node that is part of the file.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, tag = "2")]
    pub f: f32,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    #[prost(message, optional, tag = "6")]
    pub g: Option<GraphProto>,
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// See [`attribute_type`].
    #[prost(int32, tag = "20")]
    pub r#type: i32,
}

impl AttributeProto {
    fn named(name: &str, r#type: i32) -> Self {
        Self {
            name: name.into(),
            r#type,
            ..Self::default()
        }
    }

    /// A whole number.
    pub fn integer(name: &str, i: i64) -> Self {
        Self {
            i,
            ..Self::named(name, attribute_type::INT)
        }
    }

    /// Whole numbers.
    pub fn integers(name: &str, ints: &[i64]) -> Self {
        Self {
            ints: ints.to_vec(),
            ..Self::named(name, attribute_type::INTS)
        }
    }

    /// A number.
    pub fn float(name: &str, f: f32) -> Self {
        Self {
            f,
            ..Self::named(name, attribute_type::FLOAT)
        }
    }

    /// A word.
    pub fn text(name: &str, s: &str) -> Self {
        Self {
            s: s.into(),
            ..Self::named(name, attribute_type::STRING)
        }
    }
}

/// Which field of an [`AttributeProto`] counts.
pub mod attribute_type {
    pub const FLOAT: i32 = 1;
    pub const INT: i32 = 2;
    pub const STRING: i32 = 3;
    pub const TENSOR: i32 = 4;
    pub const FLOATS: i32 = 6;
    pub const INTS: i32 = 7;
}

/// An array of numbers: in one of the fields by type, in `raw_data` (little endian), or in a file beside
/// the model.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// See [`data_type`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub raw_data: Option<Vec<u8>>,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// `location` (a path relative to the model), `offset` and `length` in bytes.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// 1 where the data lie in a file beside the model.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// Types of elements.
pub mod data_type {
    pub const FLOAT: i32 = 1;
    pub const UINT8: i32 = 2;
    pub const INT8: i32 = 3;
    pub const INT32: i32 = 6;
    pub const INT64: i32 = 7;
    pub const BOOL: i32 = 9;
    pub const FLOAT16: i32 = 10;
    pub const DOUBLE: i32 = 11;
    pub const BFLOAT16: i32 = 16;
}

/// A key and its text.
#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The name and type of an input or output of the graph.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// A type; only tensors are used.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

/// Element type and shape of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// A length along an axis: a number, or a name (such as `batch`) where it is free.
#[derive(Clone, PartialEq, Message)]
pub struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub dim_param: Option<String>,
}
