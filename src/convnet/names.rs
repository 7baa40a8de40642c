//! Names that the authors of a model know its layers by.
//!
//! In this order: the path of the PyTorch module in the metadata of the node, the path in the node's own
//! name, the name of its weights, and else its operator and a number. Layers of the same name are told
//! apart by their operator, and numbers.

use std::collections::HashMap;

use super::proto::NodeProto;

/// Where the newer exporter of PyTorch keeps the path of a module.
const SCOPES: &str = "pkg.torch.onnx.name_scopes";

/// What a node is called.
pub struct Name {
    /// Its own name.
    pub name: String,
    /// That of a normalisation that tf2onnx folded into a convolution, which left its bias.
    pub folded: Option<String>,
}

/// The names of nodes.
pub fn of(nodes: &[NodeProto]) -> Vec<Name> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let paths: Vec<Vec<&str>> = nodes.iter().map(path_of).collect();
    // What all paths begin with tells nothing: StatefulPartitionedCall, model.
    let long = || paths.iter().filter(|path| path.len() > 1);
    let first = long().next().and_then(|path| path.first());
    let is_shared = long().count() > 1 && long().all(|path| path.first() == first);
    let is_traced = is_shared && traced(&paths);
    let named = nodes.iter().zip(&paths).map(|(node, path)| {
        let number = numbers.entry(&node.op_type).or_default();
        *number += 1;
        let module = |path: &[&str]| {
            let mut own = path[usize::from(is_shared && path.len() > 1)..].to_vec();
            if let (true, Some((_, modules))) = (is_traced, own.split_last_mut()) {
                for part in modules {
                    let name = *part;
                    *part = untraced(name).unwrap_or(name);
                }
            }
            modules(&own)
        };
        let name = scopes(node)
            .or_else(|| module(path))
            .or_else(|| weights(node))
            .unwrap_or_else(|| format!("{}{number}", node.op_type.to_lowercase()));
        let own = self::path(&node.name);
        let bias = node.input.get(2).map(|name| self::path(name));
        let folded = match (own.as_slice(), bias.as_deref()) {
            _ if node.op_type != "Conv" || !is_traced => None,
            ([], Some([bias @ .., _])) => module(bias),
            (own, _) => module(own),
        };
        Name { name, folded }
    });
    named.collect()
}

/// The path in the name of a node; or in that of its weights, as where tf2onnx made one node of a convolution
/// and a normalisation. A Transpose that it put before a node bears the name of that node and a number.
fn path_of(node: &NodeProto) -> Vec<&str> {
    let put_before = node.op_type == "Transpose" && node.name.contains("__");
    if put_before {
        return Vec::new();
    }
    let own = path(&node.name);
    // TensorFlow numbers what an operation returns: its names have a colon.
    let weights = node.input.get(1).filter(|name| name.contains(':'));
    let weights = weights.map(|name| path(name)).unwrap_or_default();
    match weights.split_last() {
        Some((_, weights)) if own.is_empty() || node.op_type == "Conv" => weights.to_vec(),
        _ => own,
    }
}

/// Whether these are the paths of Keras 3, which traces a model once more and numbers the names that are
/// taken then: `vgg16_1/block1_conv1_1/convolution` for the layer `block1_conv1`.
fn traced(paths: &[Vec<&str>]) -> bool {
    let mut layers = paths.iter().filter(|path| path.len() > 2);
    let is_keras = |path: &Vec<&str>| {
        path.last()
            .is_some_and(|last| last.starts_with("convolution"))
    };
    let numbered = |part: &&str| untraced(part).is_some();
    layers.clone().any(is_keras) && layers.all(|path| path[..2].iter().all(numbered))
}

/// A name without the number at its end.
fn untraced(name: &str) -> Option<&str> {
    let (stem, number) = name.rsplit_once('_')?;
    let is_number = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
    (is_number && !stem.is_empty()).then_some(stem)
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

/// Gives names that are equal different ones, by the operator that comes with each.
pub fn tell_apart(names: &mut [(String, String)]) {
    let counts = |names: &[(String, String)]| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for (name, _) in names {
            *counts.entry(name.clone()).or_default() += 1;
        }
        counts
    };
    let before = counts(names);
    let is_container = |name: &str| {
        let inside = format!("{name}.");
        before.keys().any(|other| other.starts_with(&inside))
    };
    for (name, operator) in &mut *names {
        let operation = operator.to_lowercase();
        if (before[name] > 1 || is_container(name)) && *name != operation {
            *name = format!("{name}.{operation}");
        }
    }
    let after = counts(names);
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (name, _) in names {
        let number = seen.entry(name.clone()).or_default();
        *number += 1;
        if after[name] > 1 && *number > 1 {
            *name = format!("{name}_{}", *number - 1);
        }
    }
}
