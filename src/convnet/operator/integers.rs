//! Whole numbers that are known before any image: shapes, and what files compute from them.

use super::super::value::{Integers, around};
use super::select::kept;
use super::view::new_shape;
use super::{Lowered, Operand, Site};
use crate::arrays::Array;
use crate::error::Result;

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
pub fn fold(site: &Site) -> Result<Option<Integers>> {
    let inputs: Option<Vec<&Integers>> = site
        .inputs
        .iter()
        .filter(|one| !matches!(one, Operand::Absent))
        .map(|one| match one {
            Operand::Integers(integers) => Some(&**integers),
            _ => None,
        })
        .collect();
    let Some(all @ [first, rest @ ..]) = inputs.as_deref() else {
        return Ok(None);
    };
    let flat = |values: Vec<i64>| Integers {
        shape: vec![values.len()],
        values,
    };
    Ok(Some(match (site.node.op_type.as_str(), rest) {
        ("Identity", _) => (*first).clone(),
        ("Reshape" | "Squeeze" | "Unsqueeze" | "Flatten", _) => {
            let shape = new_shape(site, &first.shape, false)?;
            if site.count(&shape)? != first.values.len() {
                return Err(site.error(format!("{:?} cannot become {shape:?}", first.shape)));
            }
            Integers {
                shape,
                values: first.values.clone(),
            }
        }
        ("Gather", [places]) => {
            let axis = site.axis(site.attribute_integer("axis", 0)?, first.shape.len())?;
            let shape = [
                &first.shape[..axis],
                &places.shape,
                &first.shape[axis + 1..],
            ]
            .concat();
            site.count(&shape)?;
            let [before, length, behind] = around(&first.shape, axis);
            let mut values = Vec::new();
            for block in 0..before {
                for &place in &places.values {
                    let at = (block * length + site.axis(place, length)?) * behind;
                    values.extend_from_slice(&first.values[at..at + behind]);
                }
            }
            Integers { shape, values }
        }
        ("Slice", _) if first.shape.len() == 1 => {
            let parts = kept(site, &first.shape)?;
            match parts.first() {
                Some((_, places)) => flat(places.iter().map(|&k| first.values[k]).collect()),
                None => (*first).clone(),
            }
        }
        ("Concat", _) if all.iter().all(|one| one.shape.len() == 1) => flat(
            all.iter()
                .flat_map(|one| one.values.iter().copied())
                .collect(),
        ),
        (name @ ("Add" | "Sub" | "Mul" | "Div"), [second]) => {
            let count = first.values.len().max(second.values.len());
            let fits = |one: &Integers| one.values.len() == count || one.values.len() == 1;
            if !fits(first) || !fits(second) {
                return Err(site.error("its whole numbers differ in number"));
            }
            let pairs = (0..count).map(|k| {
                let [a, b] = [first, second].map(|one| one.values[k % one.values.len()]);
                match name {
                    "Add" => a.checked_add(b),
                    "Sub" => a.checked_sub(b),
                    "Mul" => a.checked_mul(b),
                    _ => a.checked_div(b),
                }
            });
            let values = pairs.collect::<Option<Vec<_>>>();
            let longer = if first.values.len() == count {
                first
            } else {
                second
            };
            Integers {
                shape: longer.shape.clone(),
                values: values.ok_or_else(|| site.error("its whole numbers overflow"))?,
            }
        }
        _ => return Ok(None),
    }))
}
