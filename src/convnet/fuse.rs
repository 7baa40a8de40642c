//! Operators that an exporter has taken apart, put together again.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::proto::{AttributeProto, NodeProto, TensorProto};
use super::weights::{self, Known};

/// The parts of a graph by the names of what they make.
struct Makers<'a> {
    nodes: HashMap<&'a str, &'a NodeProto>,
    numbers: HashMap<&'a str, &'a TensorProto>,
    /// Where numbers lie that are not in the file.
    folder: Option<&'a Path>,
}

/// Finds operators that exporters write out: local response normalisation and the softplus of PyTorch, the
/// rectifier with slopes of Keras,
///
/// ```text
/// y = x / (Add(Mul(Squeeze(AveragePool(Pad(Unsqueeze(Mul(x, x))))), alpha), bias))^beta
/// y = Where(Greater(x, 20), x, Softplus(x))
/// y = Add(Relu(x), Mul(-slopes, Relu(Neg(x))))
/// ```
///
/// and makes each one operator again, so that the rules know it; what it was made of is needed no more. A
/// Gather of all elements of a map in their order, which PyTorch writes for a pooled map, is a Reshape.
pub fn together(nodes: &mut Vec<NodeProto>, initializers: &[TensorProto], folder: Option<&Path>) {
    let found: Vec<NodeProto> = {
        let makers = Makers::of(nodes, initializers, folder);
        let whole = nodes.iter().map(|node| match node.op_type.as_str() {
            "Add" => makers.parametric(node).unwrap_or_default(),
            "Div" => Vec::from_iter(makers.response(node)),
            "Gather" => Vec::from_iter(makers.in_order(node)),
            "Where" => Vec::from_iter(makers.softplus(node)),
            _ => Vec::new(),
        });
        whole.flatten().collect()
    };
    let mut before = Vec::new();
    for node in found {
        match nodes.iter().position(|one| one.output == node.output) {
            Some(at) => drop(nodes.splice(at..=at, before.drain(..).chain([node]))),
            None => before.push(node),
        }
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
            needed.extend(node.needs().cloned());
        }
    }
    nodes.retain(is_needed);
}

impl<'a> Makers<'a> {
    fn of(
        nodes: &'a [NodeProto],
        initializers: &'a [TensorProto],
        folder: Option<&'a Path>,
    ) -> Self {
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
            folder,
        }
    }

    /// The node that makes a value, if it is one of these operators.
    fn maker(&self, name: &str, operators: &[&str]) -> Option<&'a NodeProto> {
        let node = self.nodes.get(name).copied()?;
        operators.contains(&node.op_type.as_str()).then_some(node)
    }

    fn number(&self, name: &str) -> Option<f32> {
        match weights::decode(self.numbers.get(name)?, self.folder).ok()? {
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
        // No longer than there are nodes: those of a damaged file may go round in a circle.
        for _ in 0..self.nodes.len() {
            let maker = self.maker(name, operators);
            match maker.and_then(|node| node.input.first()) {
                Some(input) => name = input,
                None => break,
            }
        }
        name
    }

    /// The slopes, and the rectifier that takes them.
    fn parametric(&self, sum: &'a NodeProto) -> Option<Vec<NodeProto>> {
        let [a, b] = sum.input.as_slice() else {
            return None;
        };
        let sides = [(a, b), (b, a)].map(|(above, below)| {
            let (above, below) = (self.maker(above, &["Relu"])?, self.maker(below, &["Mul"])?);
            let x = above.input.first()?;
            let [c, d] = below.input.as_slice() else {
                return None;
            };
            let [slopes, opposite] = match self.numbers.contains_key(c.as_str()) {
                true => [c, d],
                false => [d, c],
            };
            let dims = &self.numbers.get(slopes.as_str())?.dims;
            let count: i64 = dims.iter().product();
            // One for all, or one for each channel before rows and columns.
            let of_channels = dims.len() > 2 && dims[dims.len() - 3] == count;
            let opposite = self.maker(opposite, &["Relu"])?.input.first()?;
            let opposite = self.maker(opposite, &["Neg"])?.input.first()?;
            (opposite == x && (count == 1 || of_channels)).then_some((x, slopes, below))
        });
        let (x, slopes, below) = sides.into_iter().flatten().next()?;
        // Under a name of its own: others may use the product.
        let name = format!("{} slopes", below.output.first()?);
        let slopes = NodeProto {
            op_type: "Neg".into(),
            input: vec![slopes.clone()],
            output: vec![name.clone()],
            ..below.clone()
        };
        let rectifier = NodeProto {
            op_type: "PRelu".into(),
            input: vec![x.clone(), name],
            ..sum.clone()
        };
        Some(vec![slopes, rectifier])
    }

    /// `Gather(Reshape(x, [-1]), [0, 1, ..])`, whose places have the new shape.
    fn in_order(&self, gather: &'a NodeProto) -> Option<NodeProto> {
        let [flat, places] = gather.input.as_slice() else {
            return None;
        };
        let flat = self.maker(flat, &["Reshape"])?;
        let whole = |name: &str| match weights::decode(self.numbers.get(name)?, self.folder).ok()? {
            Known::Integers(integers) => Some(integers),
            Known::Floats(_) => None,
        };
        let places = whole(places)?;
        let in_order = places
            .values
            .iter()
            .copied()
            .eq(0..places.values.len() as i64);
        let axis = gather.attribute.iter().find(|one| one.name == "axis");
        let fits = whole(flat.input.get(1)?)?.values == [-1]
            && in_order
            && places.shape.len() > 1
            && axis.is_none_or(|axis| axis.i == 0);
        let shape: Vec<i64> = places.shape.iter().map(|&n| n as i64).collect();
        fits.then(|| NodeProto {
            op_type: "Reshape".into(),
            input: vec![flat.input[0].clone()],
            attribute: vec![AttributeProto::integers("shape", &shape)],
            ..gather.clone()
        })
    }

    /// `x` itself is what the softplus of large numbers rounds to.
    fn softplus(&self, choice: &'a NodeProto) -> Option<NodeProto> {
        let [is_large, x, softplus] = choice.input.as_slice() else {
            return None;
        };
        let is_large = self.maker(is_large, &["Greater"])?;
        let threshold = self.number(is_large.input.get(1)?)?;
        let softplus = self.maker(softplus, &["Softplus"])?;
        let fits = [is_large, softplus].map(|node| node.input.first() == Some(x));
        (fits == [true; 2] && threshold >= 20.0).then(|| NodeProto {
            op_type: "Softplus".into(),
            input: vec![x.clone()],
            ..choice.clone()
        })
    }

    fn response(&self, quotient: &'a NodeProto) -> Option<NodeProto> {
        let [x, divisor] = quotient.input.as_slice() else {
            return None;
        };
        let power = self.maker(divisor, &["Pow"])?;
        let (sum, beta) = (power.input.first()?, self.number(power.input.get(1)?)?);
        let (scaled, bias) = self.with_number(self.maker(sum, &["Add"])?)?;
        let (mean, alpha) = self.with_number(self.maker(scaled, &["Mul"])?)?;
        // Where the number of axes was not known, If asks the shape of the mean whether one is to go.
        let shapes = [
            "Squeeze",
            "Unsqueeze",
            "Reshape",
            "Pad",
            "If",
            "Equal",
            "Gather",
            "Shape",
        ];
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
