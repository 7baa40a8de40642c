//! Sums, differences, products, quotients and the largest or smallest of maps, with lengths of 1 repeated to fit.

use burn::tensor::Tensor;

use super::super::rule::Walk;
use super::super::value::Map;
use super::reduce::sum_along;
use super::{Lowered, Operand, Region, Saved, Site, pointwise};
use crate::arrays::Array;
use crate::error::Result;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Sum,
    Difference,
    Product,
    Quotient,
    Largest,
    Smallest,
}

/// What it is done with.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a graph has a few dozen")]
enum Side {
    /// The input of this number.
    Input(usize),
    /// Known numbers.
    Constant(Map),
}

/// The sum, largest or smallest of any number of terms, or a difference, product or quotient of two.
#[derive(Clone, Debug)]
pub struct Arithmetic {
    operation: Operation,
    sides: Vec<Side>,
}

pub fn lower(site: &Site) -> Result<Lowered> {
    let operation = match site.node.op_type.as_str() {
        "Sub" => Operation::Difference,
        "Mul" => Operation::Product,
        "Div" => Operation::Quotient,
        "Max" => Operation::Largest,
        "Min" => Operation::Smallest,
        _ => Operation::Sum,
    };
    if let (
        "Max" | "Min",
        [Operand::Map(value, shape), Operand::Floats(one)]
        | [Operand::Floats(one), Operand::Map(value, shape)],
    ) = (site.node.op_type.as_str(), &site.inputs[..])
        && one.values.len() == 1
        && one.shape.len() <= shape.len()
    {
        return Ok(pointwise::one_sided(site, *value, shape, one.values[0]));
    }
    let terms = site.inputs.len();
    let of_two = matches!(site.node.op_type.as_str(), "Sub" | "Mul" | "Div");
    if terms == 0 || (of_two && terms != 2) {
        return Err(site.error(format!("it cannot work on {terms} inputs")));
    }
    let (mut maps, mut sides, mut shapes) = (Vec::new(), Vec::new(), Vec::new());
    for operand in &site.inputs {
        let constant = match operand {
            Operand::Map(value, shape) => {
                sides.push(Side::Input(maps.len()));
                maps.push(*value);
                shapes.push(shape.clone());
                continue;
            }
            Operand::Floats(array) => site.constant(array),
            Operand::Integers(integers) => {
                let values = integers.values.iter().map(|&v| v as f32).collect();
                Map::from_values(values, &integers.shape, site.device, site.dtype)
            }
            Operand::Absent => return Err(site.error("an input is missing")),
        };
        shapes.push(constant.shape().to_vec());
        sides.push(Side::Constant(constant));
    }
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    let mut output = vec![1; rank];
    for (side, shape) in sides.iter_mut().zip(&shapes) {
        let shape = aligned(site, shape, rank)?;
        output = common(site, &output, &shape)?;
        match side {
            Side::Constant(map) => *map = map.reshaped(&shape),
            Side::Input(k) if shape.len() != site_rank(site, *k) => {
                return Err(site.error("the axis of the images would not be the first any more"));
            }
            Side::Input(_) => {}
        }
    }
    site.count(&output)?;
    let operator = Arithmetic { operation, sides };
    if maps.is_empty() {
        let known = operator.forward(&[]);
        return Ok(Lowered::Floats(Array::new(output, known.read()?)?));
    }
    if output.first() != Some(&1) {
        return Err(site.error("its known numbers differ from image to image"));
    }
    Ok(Lowered::step(operator.into(), &maps, output))
}

/// The number of axes of the map number `k`.
fn site_rank(site: &Site, k: usize) -> usize {
    let maps = site
        .inputs
        .iter()
        .filter(|one| matches!(one, Operand::Map(..)));
    maps.map(|one| one.shape().len()).nth(k).unwrap_or(0)
}

/// A shape with lengths of 1 before it up to `rank` axes; or, as the first versions had it, with the
/// axis at which its own begin.
fn aligned(site: &Site, shape: &[usize], rank: usize) -> Result<Vec<usize>> {
    let less = rank - shape.len();
    let before = match site.opset < 7 && site.has("axis") && less > 0 {
        true => site
            .axis(site.attribute_integer("axis", 0)?, rank)?
            .min(less),
        false => less,
    };
    let mut aligned = vec![1; rank];
    aligned[before..before + shape.len()].copy_from_slice(shape);
    Ok(aligned)
}

/// The shape that two of the same number of axes have in common.
fn common(site: &Site, a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let lengths = a.iter().zip(b).map(|(&a, &b)| match (a, b) {
        (a, b) if a == b => Some(a),
        (1, n) | (n, 1) => Some(n),
        _ => None,
    });
    lengths
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| site.error(format!("shapes {a:?} and {b:?} do not fit")))
}

impl Operation {
    fn of<const D: usize>(self, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Sum => a + b,
            Self::Difference => a - b,
            Self::Product => a * b,
            Self::Quotient => a / b,
            Self::Largest => a.max_pair(b),
            Self::Smallest => a.min_pair(b),
        }
    }

    /// Of two maps of the same number of axes, lengths of 1 repeated.
    fn apply(self, a: &Map, b: &Map) -> Map {
        if a.shape() == b.shape() {
            return a.clone().with(b, |a, b| self.of(a, b));
        }
        let lengths = a.shape().iter().zip(b.shape());
        let shape: Vec<usize> = lengths.map(|(&a, &b)| if a == 1 { b } else { a }).collect();
        let [left, right] = joined(a.shape(), b.shape());
        // Axes that are repeated alike are one; few graphs need more than three then.
        let result = match left.len() {
            0..=3 => Map::new(self.of(a.view(axes::<3>(&left)), b.view(axes::<3>(&right)))),
            _ => Map::new(self.of(a.view(axes::<8>(&left)), b.view(axes::<8>(&right)))),
        };
        result.reshaped(&shape)
    }
}

/// Joins neighbouring axes along which both maps run, or the same one is repeated.
fn joined(a: &[usize], b: &[usize]) -> [Vec<usize>; 2] {
    let [mut left, mut right] = [Vec::new(), Vec::new()];
    let mut last = None;
    for (&a, &b) in a.iter().zip(b) {
        if a == 1 && b == 1 {
            continue;
        }
        let kind = (a == 1, b == 1);
        if last == Some(kind)
            && let (Some(left), Some(right)) = (left.last_mut(), right.last_mut())
        {
            *left *= a;
            *right *= b;
        } else {
            left.push(a);
            right.push(b);
            last = Some(kind);
        }
    }
    [left, right]
}

/// A shape with lengths of 1 before it.
fn axes<const D: usize>(shape: &[usize]) -> [usize; D] {
    let mut all = [1; D];
    all[D - shape.len()..].copy_from_slice(shape);
    all
}

/// The sum over what was repeated.
fn sum_to(map: Map, shape: &[usize]) -> Map {
    let mut map = map;
    for (axis, &length) in shape.iter().enumerate() {
        if map.shape()[axis] != length {
            map = sum_along(&map, axis);
        }
    }
    map
}

impl Arithmetic {
    /// Whether maps are multiplied or divided by each other, for which the paper has no rule.
    pub fn is_of_two_maps(&self) -> bool {
        let maps = self
            .sides
            .iter()
            .filter(|side| matches!(side, Side::Input(_)));
        let divisor = matches!(
            (self.operation, &self.sides[..]),
            (Operation::Quotient, [_, Side::Input(_)])
        );
        let product = matches!(self.operation, Operation::Product | Operation::Quotient);
        divisor || (product && maps.count() > 1)
    }

    /// The one number that is added to a map, if nothing else is done.
    pub fn added(&self) -> Option<f32> {
        match (self.operation, &self.sides[..]) {
            (
                Operation::Sum,
                [Side::Input(_), Side::Constant(map)] | [Side::Constant(map), Side::Input(_)],
            ) if map.count() == 1 => map.read().ok()?.first().copied(),
            _ => None,
        }
    }

    /// Whether known numbers are the same along these axes.
    pub fn is_even_along(&self, axes: &[usize]) -> bool {
        self.sides.iter().all(|side| match side {
            Side::Input(_) => true,
            Side::Constant(map) => axes.iter().all(|&axis| map.shape()[axis] == 1),
        })
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let side = |side: &Side| match side {
            Side::Input(k) => inputs[*k].clone(),
            Side::Constant(map) => map.clone(),
        };
        let first = side(&self.sides[0]);
        let rest = self.sides[1..].iter();
        rest.fold(first, |sum, one| self.operation.apply(&sum, &side(one)))
    }

    pub fn reverse(&self, signal: Map, saved: &Saved, _: &Walk) -> Vec<Option<Map>> {
        use Operation::*;
        let value = |side: &Side| match side {
            Side::Input(k) => saved.input(*k),
            Side::Constant(map) => map.clone(),
        };
        let negative = |map: &Map| map.clone().pointwise(|r| -r);
        let share = |place: usize, side: &Side| {
            let Side::Input(k) = side else { return None };
            let other = || value(&self.sides[1 - place]);
            let share = match (self.operation, place) {
                (Sum, _) | (Difference, 0) => signal.clone(),
                (Difference, _) => negative(&signal),
                (Product, _) => Product.apply(&signal, &other()),
                (Quotient, 0) => Quotient.apply(&signal, &other()),
                (Quotient, _) => {
                    // d(a / b) / db = -(a / b) / b
                    let ratio = Product.apply(&signal, &saved.output());
                    negative(&Quotient.apply(&ratio, &saved.input(*k)))
                }
                (Largest | Smallest, _) => {
                    // As in pooling, the first of equals counts.
                    let is = |side: &Side, same: bool| {
                        let rest = Difference.apply(&saved.output(), &value(side));
                        rest.pointwise(|rest| {
                            let dtype = rest.dtype();
                            match same {
                                true => rest.equal_elem(0.0).float().cast(dtype),
                                false => rest.not_equal_elem(0.0).float().cast(dtype),
                            }
                        })
                    };
                    let own = Product.apply(&signal, &is(side, true));
                    let before = self.sides[..place].iter();
                    before.fold(own, |share, other| Product.apply(&share, &is(other, false)))
                }
            };
            let mut shape = saved.inputs[*k].shape().to_vec();
            shape[0] = signal.shape()[0];
            Some(sum_to(share, &shape))
        };
        let sides = self.sides.iter().enumerate();
        let shares = sides.filter(|(_, side)| matches!(side, Side::Input(_)));
        shares.map(|(place, side)| share(place, side)).collect()
    }

    pub fn region(&self, output: &Region, _: usize, input: &[usize]) -> Region {
        let lengths = output.iter().zip(input);
        lengths
            .map(|(&part, &length)| if length == 1 { (0, 0) } else { part })
            .collect()
    }
}
