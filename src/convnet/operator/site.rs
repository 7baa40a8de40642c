//! A node of a file at the moment when it becomes an operator: its attributes and what flows into it.

use std::sync::Arc;

use burn::tensor::{DType, Device};

use super::super::proto::{AttributeProto, NodeProto, attribute_type};
use super::super::value::{Integers, Map};
use super::super::weights::Known;
use super::Operator;
use crate::arrays::Array;
use crate::error::{Error, Result};

/// More elements than this in one tensor of one image are taken for a mistake in the file.
const LARGEST: usize = 1 << 28;

/// What flows into a node: known numbers, or a map that depends on the image.
#[derive(Clone, Debug)]
pub enum Operand {
    /// An optional input that is left out.
    Absent,
    /// A map: which value, and its shape for one image.
    Map(usize, Vec<usize>),
    /// Weights and other known numbers.
    Floats(Arc<Array>),
    /// Known whole numbers.
    Integers(Arc<Integers>),
}

impl From<Known> for Operand {
    fn from(known: Known) -> Self {
        match known {
            Known::Floats(array) => Self::Floats(array.into()),
            Known::Integers(integers) => Self::Integers(integers.into()),
        }
    }
}

impl Operand {
    /// Lengths along its axes.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Absent => &[],
            Self::Map(_, shape) => shape,
            Self::Floats(array) => &array.shape,
            Self::Integers(integers) => &integers.shape,
        }
    }
}

/// What a node becomes.
pub enum Lowered {
    /// Operators one after the other, each with the shape of its result for one image; these values flow
    /// into the first.
    Steps(Vec<usize>, Vec<(Operator, Vec<usize>)>),
    /// The very value that flows in.
    Same(Operand),
    /// Known numbers.
    Floats(Array),
    /// Known whole numbers.
    Integers(Integers),
    /// Something for each output.
    Each(Vec<Lowered>),
}

impl Lowered {
    /// One operator.
    pub fn step(operator: Operator, inputs: &[usize], shape: Vec<usize>) -> Self {
        Self::Steps(inputs.to_vec(), vec![(operator, shape)])
    }
}

/// A node with what flows into it.
pub struct Site<'a> {
    /// The node.
    pub node: &'a NodeProto,
    /// The version of the set of operators.
    pub opset: i64,
    /// What flows in.
    pub inputs: Vec<Operand>,
    /// The first length of the images as the file declares it, where that is a number: exporters write it
    /// into shapes.
    pub frozen_batch: Option<usize>,
    /// Where constants go.
    pub device: &'a Device,
    /// Their type.
    pub dtype: DType,
}

impl Site<'_> {
    /// An error that names the node.
    pub fn error(&self, why: impl std::fmt::Display) -> Error {
        Error::Input(format!("{}: {why}", self.name()))
    }

    /// The node, for messages.
    pub fn name(&self) -> String {
        format!("the node `{}` ({})", self.node.label(), self.node.op_type)
    }

    /// The map at input `k`: its value and its shape.
    pub fn map(&self, k: usize) -> Result<(usize, &[usize])> {
        match self.inputs.get(k) {
            Some(Operand::Map(value, shape)) => Ok((*value, shape)),
            Some(Operand::Absent) | None => Err(self.error(format!("input {k} is missing"))),
            Some(_) => Err(self.error(format!("input {k} does not depend on the image"))),
        }
    }

    /// An operator on the first input; known numbers stay known.
    pub fn apply(&self, operator: Operator, shape: Vec<usize>) -> Result<Lowered> {
        match self.inputs.first() {
            Some(Operand::Map(value, _)) => Ok(Lowered::step(operator, &[*value], shape)),
            Some(Operand::Floats(_)) if shape.contains(&0) => {
                Ok(Lowered::Floats(Array::new(shape, Vec::new())?))
            }
            Some(Operand::Floats(array)) => {
                let (known, _) = operator.forward(&[&self.constant(array)]);
                Ok(Lowered::Floats(Array::new(shape, known.read()?)?))
            }
            _ => Err(self.error("its input is missing")),
        }
    }

    /// The known numbers at input `k`.
    pub fn floats(&self, k: usize) -> Result<&Array> {
        self.optional_floats(k)?
            .ok_or_else(|| self.error(format!("input {k} is missing")))
    }

    /// The known numbers at input `k`, if it is there.
    pub fn optional_floats(&self, k: usize) -> Result<Option<&Array>> {
        match self.inputs.get(k) {
            Some(Operand::Floats(array)) => Ok(Some(array)),
            Some(Operand::Absent) | None => Ok(None),
            Some(_) => Err(self.error(format!(
                "input {k} is not a weight of the file; only weights that do not depend on the image \
                 are supported there"
            ))),
        }
    }

    /// The one known number at input `k`, if it is there.
    pub fn optional_number(&self, k: usize) -> Result<Option<f32>> {
        match self.inputs.get(k) {
            Some(Operand::Integers(integers)) if integers.values.len() == 1 => {
                Ok(Some(integers.values[0] as f32))
            }
            _ => match self.optional_floats(k)? {
                Some(array) if array.values.len() == 1 => Ok(Some(array.values[0])),
                Some(array) => Err(self.error(format!(
                    "input {k} has the shape {:?} instead of one number",
                    array.shape
                ))),
                None => Ok(None),
            },
        }
    }

    /// The known whole numbers at input `k`.
    pub fn integers(&self, k: usize) -> Result<&Integers> {
        self.optional_integers(k)?
            .ok_or_else(|| self.error(format!("input {k} is missing")))
    }

    /// The known whole numbers at input `k`, if it is there.
    pub fn optional_integers(&self, k: usize) -> Result<Option<&Integers>> {
        match self.inputs.get(k) {
            Some(Operand::Integers(integers)) => Ok(Some(integers)),
            Some(Operand::Absent) | None => Ok(None),
            Some(_) => Err(self.error(format!("input {k} must be known whole numbers"))),
        }
    }

    /// Whole numbers that newer versions take as input `k` and older ones as an attribute.
    pub fn integers_or_attribute(&self, k: usize, name: &str) -> Result<Option<Vec<i64>>> {
        match self.optional_integers(k)? {
            Some(integers) => Ok(Some(integers.values.clone())),
            None => self.attribute_integers(name),
        }
    }

    /// Numbers of a constant, on the device.
    pub fn constant(&self, array: &Array) -> Map {
        Map::from_values(array.values.clone(), &array.shape, self.device, self.dtype)
    }

    fn attribute(&self, name: &str, kinds: &[i32]) -> Result<Option<&AttributeProto>> {
        let found = self.node.attribute.iter().find(|one| one.name == name);
        match found {
            // Files of the first versions do not say which field counts.
            Some(one) if one.r#type == 0 || kinds.contains(&one.r#type) => Ok(Some(one)),
            Some(_) => Err(self.error(format!("the attribute `{name}` has the wrong type"))),
            None => Ok(None),
        }
    }

    /// Whether there is an attribute of this name.
    pub fn has(&self, name: &str) -> bool {
        self.node.attribute.iter().any(|one| one.name == name)
    }

    /// A whole number.
    pub fn attribute_integer(&self, name: &str, default: i64) -> Result<i64> {
        let found = self.attribute(name, &[attribute_type::INT])?;
        Ok(found.map_or(default, |one| one.i))
    }

    /// Whole numbers.
    pub fn attribute_integers(&self, name: &str) -> Result<Option<Vec<i64>>> {
        let found = self.attribute(name, &[attribute_type::INTS])?;
        Ok(found.map(|one| one.ints.clone()))
    }

    /// A number.
    pub fn attribute_float(&self, name: &str, default: f32) -> Result<f32> {
        let found = self.attribute(name, &[attribute_type::FLOAT])?;
        Ok(found.map_or(default, |one| one.f))
    }

    /// Numbers.
    pub fn attribute_floats(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let found = self.attribute(name, &[attribute_type::FLOATS])?;
        Ok(found.map(|one| one.floats.clone()))
    }

    /// A word.
    pub fn attribute_text(&self, name: &str, default: &str) -> Result<String> {
        let found = self.attribute(name, &[attribute_type::STRING])?;
        Ok(found.map_or(default.into(), |one| {
            String::from_utf8_lossy(&one.s).into_owned()
        }))
    }

    /// The attribute that holds a tensor.
    pub fn attribute_tensor(
        &self,
        name: &str,
    ) -> Result<Option<&super::super::proto::TensorProto>> {
        let found = self.attribute(name, &[attribute_type::TENSOR])?;
        Ok(found.and_then(|one| one.t.as_ref()))
    }

    /// An axis, which may be counted from the end, of a tensor of `rank` axes.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let counted = if axis < 0 { axis + rank as i64 } else { axis };
        match usize::try_from(counted) {
            Ok(axis) if axis < rank => Ok(axis),
            _ => Err(self.error(format!("there is no axis {axis} among {rank}"))),
        }
    }

    /// An axis of a map other than that of the images.
    pub fn inner_axis(&self, axis: i64, rank: usize) -> Result<usize> {
        match self.axis(axis, rank)? {
            0 => Err(self.error("it works along the axis of the images, which are kept apart")),
            axis => Ok(axis),
        }
    }

    /// How many elements a shape has, within reason.
    pub fn count(&self, shape: &[usize]) -> Result<usize> {
        shape
            .iter()
            .try_fold(1_usize, |count, &length| count.checked_mul(length))
            .filter(|&count| count <= LARGEST)
            .ok_or_else(|| self.error(format!("a tensor of the shape {shape:?} is too large")))
    }
}
