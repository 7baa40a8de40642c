//! A model as its file has it: nodes, known numbers, and what flows in and out.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use prost::Message;

use super::fuse;
use super::operator::{self, Operand};
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::weights;
use crate::error::{Error, Result};

/// A model as read from an ONNX file.
///
/// The messages are decoded by `prost`, with the part of the schema that matters in
/// [`super::proto`]: it is widely kept up, has no unsafe code of ours to trust, keeps the metadata in
/// which the newer exporter of PyTorch hides the names of modules, and writes what it reads.
#[derive(Clone, Debug)]
pub struct Model {
    /// The file.
    pub path: PathBuf,
    /// Who wrote it, as it says.
    pub producer: String,
    /// The version of the set of operators.
    pub opset: i64,
    /// A checksum of the file, and of its weights in files beside it.
    pub crc32: u32,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) known: HashMap<String, Operand>,
    /// The name of what the images are fed to.
    pub input: String,
    /// Its lengths; none where a length is free.
    pub input_shape: Vec<Option<usize>>,
    /// The names of what comes out.
    pub outputs: Vec<String>,
    /// What the writer noted down: names and texts.
    pub notes: HashMap<String, String>,
}

impl Model {
    /// Reads an ONNX file, and the file of weights beside it if there is one.
    ///
    /// # Errors
    /// [`Error::Input`] if it is no ONNX model, damaged, has not one input for images, or holds operators
    /// that are not supported: all of those in one message. [`Error::Io`] if it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let is_file = std::fs::metadata(path)
            .map_err(Error::io("read", path))?
            .is_file();
        if !is_file {
            return Err(Error::Input(format!(
                "{} is no file: give an ONNX model",
                path.display()
            )));
        }
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Self::decode(&bytes, path)
    }

    /// Decodes the bytes of an ONNX file; `path` says where it lies, for messages and for the file of
    /// weights beside it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        let told =
            |why: String| Error::Input(format!("cannot use the model {}: {why}", path.display()));
        let proto = ModelProto::decode(bytes).map_err(|error| {
            told(format!(
                "it is no ONNX model, or it is damaged ({error}); export it again"
            ))
        })?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(bytes);
        Self::from_proto(proto, path, crc).map_err(|error| told(error.to_string()))
    }

    fn from_proto(proto: ModelProto, path: &Path, mut crc: crc32fast::Hasher) -> Result<Self> {
        let versions = proto.opset_import.iter();
        let default = versions.filter(|set| set.domain.is_empty() || set.domain == "ai.onnx");
        let opset = default.map(|set| set.version).max().unwrap_or(1);
        let mut graph = proto.graph.unwrap_or_default();
        if graph.node.is_empty() {
            return Err(Error::Input("it holds no graph; export it again".into()));
        }
        let outputs: Vec<String> = graph.output.iter().map(|one| one.name.clone()).collect();
        if outputs.is_empty() {
            return Err(Error::Input("it has no output; export it again".into()));
        }
        sort(&mut graph.node);
        fuse::together(&mut graph.node, &graph.initializer, path.parent());
        fuse::drop_unneeded(&mut graph.node, &outputs);
        refuse_unknown(&graph)?;
        let mut known = HashMap::new();
        for tensor in &graph.initializer {
            let numbers = weights::decode(tensor, path.parent())
                .map_err(|why| Error::Input(format!("the weights `{}`: {why}", tensor.name)))?;
            if let (weights::Known::Floats(array), 1) = (&numbers, tensor.data_location) {
                crc.update(bytemuck::cast_slice(&array.values));
            }
            known.insert(tensor.name.clone(), numbers.into());
        }
        // The old model zoo lists weights among the inputs; others may be for what no output needs.
        let flowing = graph.node.iter().flat_map(|node| &node.input);
        let flowing: HashSet<&String> = flowing.collect();
        let inputs = graph
            .input
            .iter()
            .filter(|one| !known.contains_key(&one.name) && flowing.contains(&one.name));
        let inputs: Vec<&ValueInfoProto> = inputs.collect();
        let [input] = inputs[..] else {
            let names: Vec<_> = inputs.iter().map(|one| one.name.as_str()).collect();
            return Err(Error::Input(format!(
                "it has {} inputs ({}); one, for images, is supported",
                names.len(),
                names.join(", ")
            )));
        };
        let notes = proto
            .metadata_props
            .into_iter()
            .map(|note| (note.key, note.value));
        Ok(Self {
            path: path.to_path_buf(),
            producer: format!("{} {}", proto.producer_name, proto.producer_version)
                .trim()
                .into(),
            opset,
            crc32: crc.finalize(),
            input: input.name.clone(),
            input_shape: declared(input),
            outputs,
            known,
            notes: notes.collect(),
            nodes: graph.node,
        })
    }

    /// What the axes of its images mean; none where its input has not four axes.
    pub fn layout(&self) -> Option<Layout> {
        let [_, a, b, c] = self.input_shape[..] else {
            return None;
        };
        let few = |n: Option<usize>| matches!(n, Some(1 | 3));
        let channels_last = few(c) && !few(a);
        let (channels, size) = if channels_last {
            (c, [a, b])
        } else {
            (a, [b, c])
        };
        Some(Layout {
            channels_last,
            channels,
            size,
        })
    }

    /// The shape of one image, with `height` and `width` where the file leaves them open, or `None` if
    /// the file asks for others or for something that is no image.
    pub fn image_shape(&self, height: usize, width: usize) -> Option<Vec<usize>> {
        let layout = self.layout()?;
        let mut sides = layout.size.iter().zip([height, width]);
        let fits = sides.all(|(fixed, side)| fixed.is_none_or(|fixed| fixed == side));
        fits.then(|| layout.shape(layout.channels.unwrap_or(3), [height, width]))
    }
}

/// What the axes of the images of a model mean, and their lengths; none where a length is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whether channels come last, as in files made from TensorFlow: `[n, h, w, c]`.
    pub channels_last: bool,
    /// Channels.
    pub channels: Option<usize>,
    /// Rows and columns.
    pub size: [Option<usize>; 2],
}

impl Layout {
    /// The shape of one image.
    pub fn shape(&self, channels: usize, [height, width]: [usize; 2]) -> Vec<usize> {
        match self.channels_last {
            true => vec![1, height, width, channels],
            false => vec![1, channels, height, width],
        }
    }

    /// Where rows and columns are among the axes.
    pub fn axes(&self) -> [usize; 2] {
        if self.channels_last { [1, 2] } else { [2, 3] }
    }
}

/// The lengths of an input as declared.
fn declared(input: &ValueInfoProto) -> Vec<Option<usize>> {
    let tensor = input
        .r#type
        .as_ref()
        .and_then(|one| one.tensor_type.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let dims = shape.map(|shape| shape.dim.as_slice()).unwrap_or_default();
    let length = |value: i64| usize::try_from(value).ok().filter(|&n| n > 0);
    dims.iter()
        .map(|dim| dim.dim_value.and_then(length))
        .collect()
}

/// Puts nodes behind what makes their inputs: some converters append theirs at the end.
fn sort(nodes: &mut Vec<NodeProto>) {
    let made = nodes.iter().flat_map(|node| &node.output);
    let mut waited: HashSet<String> = made.cloned().collect();
    let mut rest = std::mem::take(nodes);
    loop {
        let before = rest.len();
        for node in std::mem::take(&mut rest) {
            if node.needs().any(|name| waited.contains(name)) {
                rest.push(node);
                continue;
            }
            for output in &node.output {
                waited.remove(output);
            }
            nodes.push(node);
        }
        // What needs itself is told when it is used.
        if rest.is_empty() || rest.len() == before {
            nodes.append(&mut rest);
            return;
        }
    }
}

/// Operators that are not known, each with the nodes that have it.
type Unknown<'a> = Vec<(&'a str, Vec<&'a str>)>;

/// Finds them among nodes and their branches; `maps` are the values that depend on the images, and grow.
fn find_unknown<'a>(
    nodes: &'a [NodeProto],
    maps: &mut HashSet<&'a str>,
    unknown: &mut Unknown<'a>,
) {
    for node in nodes {
        let on_images = node.input.iter().any(|input| maps.contains(input.as_str()));
        for branch in node.branches() {
            find_unknown(&branch.node, maps, unknown);
        }
        if node.op_type != "Shape" && node.needs().any(|name| maps.contains(name.as_str())) {
            maps.extend(node.output.iter().map(String::as_str));
        }
        let ours = matches!(node.domain.as_str(), "" | "ai.onnx");
        if ours && operator::is_known(&node.op_type, on_images) {
            continue;
        }
        match unknown.iter_mut().find(|(name, _)| *name == node.op_type) {
            Some((_, names)) => names.push(node.label()),
            None => unknown.push((&node.op_type, vec![node.label()])),
        }
    }
}

/// Refuses a model with operators that are not known, and names all of them.
fn refuse_unknown(graph: &GraphProto) -> Result<()> {
    let mut unknown = Unknown::new();
    let weights: HashSet<&str> = graph
        .initializer
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let inputs = graph.input.iter().map(|one| one.name.as_str());
    // What depends on the images, and not on their shape alone.
    let mut maps: HashSet<&str> = inputs.filter(|name| !weights.contains(name)).collect();
    find_unknown(&graph.node, &mut maps, &mut unknown);
    if unknown.is_empty() {
        return Ok(());
    }
    let lines = unknown.iter().map(|(operator, names)| {
        let shown = names
            .iter()
            .take(4)
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let more = match names.len() {
            0..=4 => String::new(),
            n => format!(" and {} more", n - 4),
        };
        format!("\n  {operator}, {} times: {shown}{more}", names.len())
    });
    Err(Error::Input(format!(
        "{} of its operators are not supported:{}",
        unknown.len(),
        lines.collect::<String>()
    )))
}
