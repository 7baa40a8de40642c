//! A model with random numbers in place of weights that were learnt: the control of every picture.
//!
//! Source: J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt and B. Kim, Sanity Checks for Saliency
//! Maps, NeurIPS 2018.

use std::collections::HashSet;

use rand::{SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution, StandardNormal};

use super::Model;
use super::names;
use super::operator::Operand;
use crate::arrays::Array;
use crate::error::{Error, Result};

/// Operators that multiply by weights.
const WEIGHTED: [&str; 4] = ["Conv", "ConvTranspose", "Gemm", "MatMul"];
/// Operators that hand weights on.
const HANDING_ON: [&str; 4] = ["Identity", "Transpose", "Reshape", "Cast"];

/// The weights that a layer multiplies by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Their name in the file.
    pub name: String,
    /// The layer, under the name that people know.
    pub layer: String,
    /// Lengths along the axes, two or more.
    pub shape: Vec<usize>,
}

impl Model {
    /// The weights that a tensor of the graph depends on, those nearest to it first. Weights that several
    /// layers share belong to the one nearest.
    pub fn weights_below(&self, tensor: &str) -> Vec<Weights> {
        let names = names::of(&self.nodes);
        let mut needed = HashSet::from([tensor]);
        // Names that weights flow through, and the layer that takes them.
        let mut carried: Vec<(&str, &str)> = Vec::new();
        for (node, layer) in self.nodes.iter().zip(&names).rev() {
            let is_needed = node
                .output
                .iter()
                .any(|output| needed.contains(output.as_str()));
            if !is_needed {
                continue;
            }
            let inputs = node.input.iter().map(String::as_str);
            needed.extend(inputs.filter(|name| !name.is_empty()));
            let taker = carried
                .iter()
                .find(|(name, _)| node.output.iter().any(|output| output == name))
                .map(|&(_, layer)| layer);
            if WEIGHTED.contains(&node.op_type.as_str()) {
                let operands = node.input.iter().take(2);
                carried.extend(operands.map(|name| (name.as_str(), layer.name.as_str())));
            } else if let (true, Some(taker)) = (HANDING_ON.contains(&node.op_type.as_str()), taker)
            {
                carried.extend(node.input.first().map(|name| (name.as_str(), taker)));
            }
        }
        let mut found: Vec<Weights> = Vec::new();
        for (name, layer) in carried {
            let Some(Operand::Floats(array)) = self.known.get(name) else {
                continue;
            };
            if array.shape.len() >= 2 && found.iter().all(|weights| weights.name != name) {
                found.push(Weights {
                    name: name.to_string(),
                    layer: layer.to_string(),
                    shape: array.shape.clone(),
                });
            }
        }
        found
    }

    /// The model with Gaussian random numbers, of mean 0 and the standard deviation that the weights had,
    /// in their place. The numbers depend on the seed and the name alone.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no weights of this name.
    pub fn with_random(&self, name: &str, seed: u64) -> Result<Self> {
        let Some(Operand::Floats(array)) = self.known.get(name) else {
            return Err(Error::Config(format!(
                "the model has no weights called `{name}`"
            )));
        };
        let count = array.values.len().max(1) as f64;
        let mean = array.values.iter().map(|&w| f64::from(w)).sum::<f64>() / count;
        let squares = array.values.iter().map(|&w| (f64::from(w) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt() as f32;
        let of_name = u64::from(crc32fast::hash(name.as_bytes()));
        let rng = ChaCha8Rng::seed_from_u64(seed ^ of_name << 32);
        let numbers = StandardNormal.sample_iter(rng).take(array.values.len());
        let values = numbers.map(|z: f32| deviation * z).collect();
        let random = Array::new(array.shape.clone(), values)?;
        let mut model = self.clone();
        model
            .known
            .insert(name.to_string(), Operand::Floats(random.into()));
        Ok(model)
    }
}
