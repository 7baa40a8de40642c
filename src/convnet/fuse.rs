//! Operators that an exporter has taken apart, put together again.

use std::collections::{HashMap, HashSet};

use super::proto::{AttributeProto, NodeProto, TensorProto};
use super::weights::{self, Known};

/// The parts of a graph by the names of what they make.
struct Makers<'a> {
    nodes: HashMap<&'a str, &'a NodeProto>,
    numbers: HashMap<&'a str, &'a TensorProto>,
}

/// Finds local response normalisation as PyTorch writes it out,
///
/// ```text
/// y = x / (Add(Mul(Squeeze(AveragePool(Pad(Unsqueeze(Mul(x, x))))), alpha), bias))^beta
/// ```
///
/// and makes it one LRN again, so that the rules know it; what it was made of is needed no more.
pub fn local_response(nodes: &mut [NodeProto], initializers: &[TensorProto]) {
    let found: Vec<(usize, NodeProto)> = {
        let makers = Makers::of(nodes, initializers);
        let quotients = nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.op_type == "Div");
        quotients
            .filter_map(|(k, node)| Some((k, makers.response(node)?)))
            .collect()
    };
    for (k, node) in found {
        nodes[k] = node;
    }
}

/// Drops nodes that no output needs, and the names of results that nothing needs.
pub fn drop_unneeded(nodes: &mut Vec<NodeProto>, outputs: &[String]) {
    let is_needed = |node: &NodeProto| node.output.iter().any(|output| !output.is_empty());
    let mut needed: HashSet<String> = outputs.iter().cloned().collect();
    for node in nodes.iter_mut().rev() {
        for output in &mut node.output {
            if !needed.contains(output) {
                output.clear();
            }
        }
        if is_needed(node) {
            let inputs = node.input.iter().filter(|input| !input.is_empty());
            needed.extend(inputs.cloned());
        }
    }
    nodes.retain(is_needed);
}

impl<'a> Makers<'a> {
    fn of(nodes: &'a [NodeProto], initializers: &'a [TensorProto]) -> Self {
        let made = nodes
            .iter()
            .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
        let constants = nodes
            .iter()
            .filter(|node| node.op_type == "Constant")
            .filter_map(|node| {
                let tensor = node.attribute.iter().find_map(|one| one.t.as_ref())?;
                Some((node.output.first()?.as_str(), tensor))
            });
        let numbers = initializers
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor));
        Self {
            nodes: made.collect(),
            numbers: numbers.chain(constants).collect(),
        }
    }

    /// The node that makes a value, if it is one of these operators.
    fn maker(&self, name: &str, operators: &[&str]) -> Option<&'a NodeProto> {
        let node = self.nodes.get(name).copied()?;
        operators.contains(&node.op_type.as_str()).then_some(node)
    }

    fn number(&self, name: &str) -> Option<f32> {
        match weights::decode(self.numbers.get(name)?, None).ok()? {
            Known::Floats(array) if array.values.len() == 1 => Some(array.values[0]),
            Known::Integers(integers) if integers.values.len() == 1 => {
                Some(integers.values[0] as f32)
            }
            _ => None,
        }
    }

    /// The other side and the number, of an operation with one number.
    fn with_number(&self, node: &'a NodeProto) -> Option<(&'a str, f32)> {
        let [a, b] = node.input.as_slice() else {
            return None;
        };
        let number = |one: &'a String, other: &'a String| Some((other.as_str(), self.number(one)?));
        number(b, a).or_else(|| number(a, b))
    }

    /// What a value is made from through nodes that only change its shape or pad it.
    fn through(&self, name: &'a str, operators: &[&str]) -> &'a str {
        let mut name = name;
        while let Some(node) = self.maker(name, operators) {
            name = &node.input[0];
        }
        name
    }

    fn response(&self, quotient: &'a NodeProto) -> Option<NodeProto> {
        let [x, divisor] = quotient.input.as_slice() else {
            return None;
        };
        let power = self.maker(divisor, &["Pow"])?;
        let (sum, beta) = (power.input.first()?, self.number(power.input.get(1)?)?);
        let (scaled, bias) = self.with_number(self.maker(sum, &["Add"])?)?;
        let (mean, alpha) = self.with_number(self.maker(scaled, &["Mul"])?)?;
        let shapes = ["Squeeze", "Unsqueeze", "Reshape", "Pad"];
        let pool = self.maker(self.through(mean, &shapes), &["AveragePool"])?;
        let kernel = pool
            .attribute
            .iter()
            .find(|one| one.name == "kernel_shape")?;
        let (&size, rest) = kernel.ints.split_first()?;
        let square = self.through(pool.input.first()?, &shapes);
        let square = self.maker(square, &["Mul", "Pow"])?;
        let is_square = match square.op_type.as_str() {
            "Mul" => square.input == [x.clone(), x.clone()],
            _ => square.input.first() == Some(x) && self.number(square.input.get(1)?) == Some(2.0),
        };
        // An even window lies to the other side in the two definitions.
        let fits = is_square && size % 2 == 1 && rest.iter().all(|&n| n == 1);
        fits.then(|| NodeProto {
            op_type: "LRN".into(),
            input: vec![x.clone()],
            attribute: vec![
                AttributeProto::integer("size", size),
                AttributeProto::float("alpha", alpha),
                AttributeProto::float("beta", beta),
                AttributeProto::float("bias", bias),
            ],
            ..quotient.clone()
        })
    }
}
