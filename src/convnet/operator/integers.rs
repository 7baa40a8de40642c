//! Whole numbers that are known before any image: shapes, and what files compute from them.

use std::sync::Arc;

use burn::tensor::{DType, Device};

use super::super::value::Integers;
use super::{Lowered, Operand, Site};
use crate::arrays::Array;
use crate::error::Result;

/// More places than this have no exact numbers of 32 bits.
const EXACT: usize = 1 << 24;

/// Constant, ConstantOfShape and Shape.
pub fn lower_known(site: &Site) -> Result<Lowered> {
    match site.node.op_type.as_str() {
        "Shape" => {
            let shape = site.inputs.first().unwrap_or(&Operand::Absent).shape();
            let rank = shape.len() as i64;
            let counted = |place: i64| {
                let place = if place < 0 {
                    place.saturating_add(rank)
                } else {
                    place
                };
                place.clamp(0, rank) as usize
            };
            let start = counted(site.attribute_integer("start", 0)?);
            let end = counted(site.attribute_integer("end", rank)?).max(start);
            let values: Vec<i64> = shape[start..end].iter().map(|&n| n as i64).collect();
            Ok(Lowered::Integers(Integers {
                shape: vec![values.len()],
                values,
            }))
        }
        "ConstantOfShape" => {
            let shape = site
                .integers(0)?
                .values
                .iter()
                .map(|&n| usize::try_from(n).ok());
            let shape: Option<Vec<usize>> = shape.collect();
            let shape = shape.ok_or_else(|| site.error("its shape is negative"))?;
            let count = site.count(&shape)?;
            let value = site
                .attribute_tensor("value")?
                .map(|tensor| known(site, tensor))
                .transpose()?;
            Ok(match value {
                Some(Lowered::Integers(one)) => Lowered::Integers(Integers {
                    shape,
                    values: vec![one.values.first().copied().unwrap_or(0); count],
                }),
                Some(Lowered::Floats(one)) => {
                    let value = one.values.first().copied().unwrap_or(0.0);
                    Lowered::Floats(Array::new(shape, vec![value; count])?)
                }
                _ => Lowered::Floats(Array::new(shape, vec![0.0; count])?),
            })
        }
        _ => {
            if let Some(tensor) = site.attribute_tensor("value")? {
                return known(site, tensor);
            }
            let integers = match site.has("value_int") {
                true => Some((vec![], vec![site.attribute_integer("value_int", 0)?])),
                false => site
                    .attribute_integers("value_ints")?
                    .map(|all| (vec![all.len()], all)),
            };
            if let Some((shape, values)) = integers {
                return Ok(Lowered::Integers(Integers { shape, values }));
            }
            if site.has("value_float") {
                let value = site.attribute_float("value_float", 0.0)?;
                return Ok(Lowered::Floats(Array::new(vec![], vec![value])?));
            }
            match site.attribute_floats("value_floats")? {
                Some(values) => Ok(Lowered::Floats(Array::new(vec![values.len()], values)?)),
                None => Err(site.error("it holds no numbers")),
            }
        }
    }
}

fn known(site: &Site, tensor: &super::super::proto::TensorProto) -> Result<Lowered> {
    let decoded = super::super::weights::decode(tensor, None);
    Ok(match decoded.map_err(|why| site.error(why))? {
        super::super::weights::Known::Floats(array) => Lowered::Floats(array),
        super::super::weights::Known::Integers(integers) => Lowered::Integers(integers),
    })
}

/// The result of a node all of whose inputs are known whole numbers; `None` if it is another node.
pub fn fold(site: &Site) -> Result<Option<Lowered>> {
    let inputs: Option<Vec<&Arc<Integers>>> = site
        .inputs
        .iter()
        .filter(|one| !matches!(one, Operand::Absent))
        .map(|one| match one {
            Operand::Integers(integers) => Some(integers),
            _ => None,
        })
        .collect();
    let Some(all @ [first, ..]) = inputs.as_deref() else {
        return Ok(None);
    };
    match (site.node.op_type.as_str(), all) {
        ("Concat", all) => moved(site, all).map(Some),
        (
            "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Gather" | "Slice" | "Transpose"
            | "Split" | "Expand" | "Tile",
            _,
        ) => moved(site, &[first]).map(Some),
        (name, [first, second]) if of_two(name).is_some() => {
            computed(site, [first, second]).map(Some)
        }
        ("Range", [start, limit, delta]) => range(site, [start, limit, delta]).map(Some),
        ("Where", [condition, first, second]) => {
            let count = [condition, first, second].map(|one| one.values.len());
            if count != [count[0]; 3] {
                return Err(site.error("its whole numbers differ in number"));
            }
            let choose = |k: usize| match condition.values[k] {
                0 => second.values[k],
                _ => first.values[k],
            };
            Ok(Some(Lowered::Integers(Integers {
                shape: condition.shape.clone(),
                values: (0..count[0]).map(choose).collect(),
            })))
        }
        _ => Ok(None),
    }
}

/// What an operator that only moves elements makes of its first inputs: their places go through it in
/// their stead.
fn moved(site: &Site, all: &[&Arc<Integers>]) -> Result<Lowered> {
    let mut count = 0;
    let mut inputs = site.inputs.clone();
    for (input, integers) in inputs.iter_mut().zip(all) {
        let shape = integers.shape.clone();
        let places = count..count + integers.values.len();
        count = places.end;
        let places = places.map(|place| place as f32).collect();
        *input = Operand::Floats(Array::new(shape, places)?.into());
    }
    if count > EXACT {
        return Err(site.error(format!("{count} known whole numbers are too many")));
    }
    let site = Site {
        inputs,
        device: &Device::flex(),
        dtype: DType::F32,
        ..*site
    };
    let values = all.iter().flat_map(|one| one.values.iter().copied());
    let values: Vec<i64> = values.collect();
    match super::lowering(&site.node.op_type) {
        Some(lower) => lower(&site).map(|lowered| at(lowered, &values)),
        None => Err(site.error("it is not supported")),
    }
}

/// The whole numbers at the places that came out.
fn at(lowered: Lowered, values: &[i64]) -> Lowered {
    let known = |array: &Array| {
        let places = array.values.iter();
        Lowered::Integers(Integers {
            shape: array.shape.clone(),
            values: places.map(|&place| values[place as usize]).collect(),
        })
    };
    match lowered {
        Lowered::Floats(array) => known(&array),
        Lowered::Same(Operand::Floats(array)) => known(&array),
        Lowered::Each(all) => Lowered::Each(all.into_iter().map(|one| at(one, values)).collect()),
        other => other,
    }
}

/// `start`, `start + delta`, .. below `limit`.
fn range(site: &Site, numbers: [&Integers; 3]) -> Result<Lowered> {
    let single = numbers.map(|one| one.values.first().copied().map(i128::from));
    let [Some(start), Some(limit), Some(delta)] = single else {
        return Err(site.error("its numbers are missing"));
    };
    if delta == 0 {
        return Err(site.error("its numbers do not go on"));
    }
    let count = ((limit - start + delta - delta.signum()) / delta).max(0) as usize;
    if count > EXACT {
        return Err(site.error(format!("{count} known whole numbers are too many")));
    }
    let values = (0..count as i128)
        .map(|k| (start + k * delta) as i64)
        .collect();
    Ok(Lowered::Integers(Integers {
        shape: vec![count],
        values,
    }))
}

/// What an operator makes of two whole numbers, none if that is not a whole number.
fn of_two(name: &str) -> Option<fn(i64, i64) -> Option<i64>> {
    let of_two: fn(i64, i64) -> Option<i64> = match name {
        "Add" => i64::checked_add,
        "Sub" => i64::checked_sub,
        "Mul" => i64::checked_mul,
        "Div" => i64::checked_div,
        // The remainder has the sign of the divisor.
        "Mod" => |a, b| {
            let rest = a.checked_rem(b)?;
            Some(if rest != 0 && (rest < 0) != (b < 0) {
                rest + b
            } else {
                rest
            })
        },
        "Max" => |a, b| Some(a.max(b)),
        "Min" => |a, b| Some(a.min(b)),
        "Equal" => |a, b| Some(i64::from(a == b)),
        "Greater" => |a, b| Some(i64::from(a > b)),
        "Less" => |a, b| Some(i64::from(a < b)),
        _ => return None,
    };
    Some(of_two)
}

/// Operators that exporters use on shapes and the like: with maps they are not supported.
pub fn lower_integers(site: &Site) -> Result<Lowered> {
    Err(site.error("it is supported on whole numbers that are known before any image alone"))
}

fn computed(site: &Site, [first, second]: [&Integers; 2]) -> Result<Lowered> {
    let count = first.values.len().max(second.values.len());
    let fits = |one: &Integers| one.values.len() == count || one.values.len() == 1;
    if !fits(first) || !fits(second) {
        return Err(site.error("its whole numbers differ in number"));
    }
    let of_two = of_two(&site.node.op_type);
    let pairs = (0..count).map(|k| {
        let [a, b] = [first, second].map(|one| one.values[k % one.values.len()]);
        of_two.and_then(|of_two| of_two(a, b))
    });
    let values = pairs.collect::<Option<Vec<_>>>();
    let longer = if first.values.len() == count {
        first
    } else {
        second
    };
    Ok(Lowered::Integers(Integers {
        shape: longer.shape.clone(),
        values: values.ok_or_else(|| site.error("its whole numbers overflow"))?,
    }))
}
