//! Layers by the names that people give them.

use strsim::jaro_winkler;

use super::graph::{Convnet, Layer};
use super::operator::Operator;
use crate::error::{Error, Result};

/// How alike two names must be for one to be proposed for the other.
const ALIKE: f64 = 0.75;

impl Convnet {
    /// The layer of a name: that of its tensor, its own, that of its node, of a module (whose last layer it
    /// is), the end of one of these, an operator and its number, such as `conv3`, or a numbered block, such as
    /// `fire9` where there are `fire9_conv1` and others: what joins its branches, or its last layer; or a layer
    /// that an exporter folded into another, such as a normalisation into a convolution.
    ///
    /// # Errors
    /// [`Error::Config`] proposing names that are like it.
    pub fn layer(&self, name: &str) -> Result<&Layer> {
        let layers = self.layers();
        let exact = |of: fn(&Layer) -> &str| layers.iter().find(|layer| of(layer) == name);
        let inside = format!("{name}.");
        let below = format!(".{name}");
        let within = format!(".{name}.");
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
            .or_else(|| {
                let mut last_first = layers.iter().rev();
                last_first.find(|layer| layer.name.contains(&within))
            })
            .or_else(|| self.numbered(name))
            .or_else(|| self.block(name))
            .or_else(|| {
                let is_folded = |folded: &String| folded == name || folded.starts_with(&inside);
                let is_part = |layer: &&Layer| layer.folded.as_ref().is_some_and(is_folded);
                layers.iter().find(is_part)
            })
            .ok_or_else(|| self.no_layer(name))
    }

    /// The same, under that name where the layer is that of a block whose name it does not bear: `fire9` for the
    /// concatenation at its end.
    ///
    /// # Errors
    /// As [`Self::layer`].
    pub fn layer_as_asked(&self, name: &str) -> Result<Layer> {
        let mut layer = self.layer(name)?.clone();
        let own = [&layer.name, &layer.tensor, &layer.node];
        let bears = own.iter().any(|own| own.contains(name));
        if !bears && self.numbered(name).is_none() && self.block(name).is_some() {
            layer.name = name.to_owned();
        }
        Ok(layer)
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

    /// `fire9`: the last of the layers that begin with it and an underscore, or the concatenation of theirs.
    fn block(&self, name: &str) -> Option<&Layer> {
        let inside = format!("{name}_");
        let numbered = name.ends_with(|c: char| c.is_ascii_digit());
        let parts = self
            .layers()
            .iter()
            .filter(|layer| layer.name.starts_with(&inside));
        let parts: Vec<&Layer> = parts.filter(|_| numbered).collect();
        let last = parts.last()?;
        let joins = |layer: &&Layer| {
            self.maker(layer.value).is_some_and(|step| {
                let of_block = |value: &usize| parts.iter().any(|part| part.value == *value);
                matches!(step.operator, Operator::Concatenate(_))
                    && step.inputs.contains(&last.value)
                    && step.inputs.iter().all(of_block)
            })
        };
        self.layers().iter().find(joins).or(Some(last))
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
