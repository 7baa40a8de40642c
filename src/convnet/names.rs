//! Names that the authors of a model know its layers by.
//!
//! In this order: the path of the PyTorch module in the metadata of the node, the path in the node's own
//! name, the name of its weights, and else its operator and a number. Layers of the same name are told
//! apart by their operator, and numbers.

use std::collections::HashMap;

use strsim::jaro_winkler;

use super::graph::{Convnet, Layer};
use super::proto::NodeProto;
use crate::error::{Error, Result};

/// Where the newer exporter of PyTorch keeps the path of a module.
const SCOPES: &str = "pkg.torch.onnx.name_scopes";
/// How alike two names must be for one to be proposed for the other.
const ALIKE: f64 = 0.75;

/// The names of nodes.
pub fn of(nodes: &[NodeProto]) -> Vec<String> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let paths: Vec<Vec<&str>> = nodes.iter().map(|node| path(&node.name)).collect();
    // What all paths begin with tells nothing: StatefulPartitionedCall, model.
    let long = || paths.iter().filter(|path| path.len() > 1);
    let first = long().next().and_then(|path| path.first());
    let shared = match long().count() > 1 && long().all(|path| path.first() == first) {
        true => first.copied(),
        false => None,
    };
    let named = nodes.iter().zip(&paths).map(|(node, path)| {
        let number = numbers.entry(&node.op_type).or_default();
        *number += 1;
        let path = match path.first().copied() == shared && path.len() > 1 {
            true if shared.is_some() => &path[1..],
            _ => path,
        };
        scopes(node)
            .or_else(|| modules(path))
            .or_else(|| weights(node))
            .unwrap_or_else(|| format!("{}{number}", node.op_type.to_lowercase()))
    });
    named.collect()
}

/// The parts of a name such as `/features/features.3/Conv`; none where it is no path.
fn path(name: &str) -> Vec<&str> {
    match name.contains('/') {
        true => name.split('/').filter(|part| !part.is_empty()).collect(),
        false => Vec::new(),
    }
}

/// The path of the module in a node's metadata, such as `['', 'layer1', 'layer1.0', 'relu']`, whose last
/// part is the operation.
fn scopes(node: &NodeProto) -> Option<String> {
    let text = &node
        .metadata_props
        .iter()
        .find(|one| one.key == SCOPES)?
        .value;
    let parts: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
    let (operation, modules) = parts.split_last()?;
    match modules.last() {
        Some(module) if !module.is_empty() => Some((*module).to_string()),
        _ => (!operation.is_empty()).then(|| (*operation).to_string()),
    }
}

/// `layer1`, `layer1.0`, `conv1`, `Conv` as `layer1.0.conv1`: a part that begins with the one before says
/// it once more.
fn modules(path: &[&str]) -> Option<String> {
    let (operation, modules) = path.split_last()?;
    let mut name = String::new();
    let mut last = "";
    for &module in modules {
        let again = !last.is_empty()
            && module
                .strip_prefix(last)
                .is_some_and(|rest| rest.starts_with('.'));
        if again {
            name.truncate(name.len() - last.len());
        } else if !name.is_empty() {
            name.push('.');
        }
        name.push_str(module);
        last = module;
    }
    Some(match name.is_empty() {
        true => operation.to_lowercase(),
        false => name,
    })
}

/// The name of the weights.
fn weights(node: &NodeProto) -> Option<String> {
    let name = node.input.get(1)?;
    let endings = [".weight", "_w_0", "_w", "_weight"];
    let stem = endings
        .iter()
        .find_map(|ending| name.strip_suffix(ending))?;
    Some(stem.to_string())
}

/// Gives layers of the same name different ones.
pub fn tell_apart(layers: &mut [Layer]) {
    let counts = |layers: &[Layer]| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for layer in layers {
            *counts.entry(layer.name.clone()).or_default() += 1;
        }
        counts
    };
    let before = counts(layers);
    let is_container = |name: &str| {
        let inside = format!("{name}.");
        before.keys().any(|other| other.starts_with(&inside))
    };
    for layer in &mut *layers {
        let operation = layer.kind.to_lowercase();
        if (before[&layer.name] > 1 || is_container(&layer.name)) && layer.name != operation {
            layer.name = format!("{}.{operation}", layer.name);
        }
    }
    let after = counts(layers);
    let mut seen: HashMap<String, usize> = HashMap::new();
    for layer in layers {
        let number = seen.entry(layer.name.clone()).or_default();
        *number += 1;
        if after[&layer.name] > 1 && *number > 1 {
            layer.name = format!("{}_{}", layer.name, *number - 1);
        }
    }
}

impl Convnet {
    /// The layer of a name: that of its tensor, its own, that of its node, of a module (whose last layer it
    /// is), the end of one of these, or an operator and its number, such as `conv3`.
    ///
    /// # Errors
    /// [`Error::Config`] proposing names that are like it.
    pub fn layer(&self, name: &str) -> Result<&Layer> {
        let layers = self.layers();
        let exact = |of: fn(&Layer) -> &str| layers.iter().find(|layer| of(layer) == name);
        let inside = format!("{name}.");
        let below = format!(".{name}");
        let ending = || {
            let mut found = layers.iter().filter(|layer| layer.name.ends_with(&below));
            found.next().filter(|_| found.next().is_none())
        };
        exact(|layer| &layer.tensor)
            .or_else(|| exact(|layer| &layer.name))
            .or_else(|| exact(|layer| &layer.node))
            .or_else(|| {
                layers
                    .iter()
                    .rev()
                    .find(|layer| layer.name.starts_with(&inside))
            })
            .or_else(ending)
            .or_else(|| self.numbered(name))
            .ok_or_else(|| self.no_layer(name))
    }

    /// `conv3`: the third layer of a kind.
    fn numbered(&self, name: &str) -> Option<&Layer> {
        let digits = name.find(|c: char| c.is_ascii_digit())?;
        let (kind, number) = name.split_at(digits);
        let number: usize = number.parse().ok()?;
        let mut layers = self
            .layers()
            .iter()
            .filter(|layer| layer.kind.eq_ignore_ascii_case(kind));
        layers.nth(number.checked_sub(1)?)
    }

    fn no_layer(&self, name: &str) -> Error {
        let mut alike: Vec<(f64, &str)> = self
            .layers()
            .iter()
            .map(|layer| (jaro_winkler(name, &layer.name), layer.name.as_str()))
            .filter(|&(likeness, _)| likeness >= ALIKE)
            .collect();
        alike.sort_by(|a, b| b.0.total_cmp(&a.0));
        let names: Vec<String> = alike
            .iter()
            .take(3)
            .map(|(_, name)| format!("`{name}`"))
            .collect();
        Error::Config(match names.is_empty() {
            true => format!("the model has no layer `{name}`: list its layers to see their names"),
            false => format!(
                "the model has no layer `{name}`; did you mean {}?",
                names.join(" or ")
            ),
        })
    }
}
