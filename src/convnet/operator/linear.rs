//! Matrix products: with weights, and of two maps.

use burn::tensor::Tensor;

use super::super::rule::Walk;
use super::super::value::Map;
use super::{Lowered, Operand, Region, Saved, Site, whole};
use crate::arrays::Array;
use crate::error::Result;

/// `y = x W + b` along the last axis, or `y = W x` along the last but one.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[in, out]`, or `[out, in]` where it stands to the left.
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    left: bool,
}

/// `a b`, or `a b^T`, of the last two axes of two maps.
#[derive(Clone, Debug)]
pub struct MatrixProduct;

pub fn lower_gemm(site: &Site) -> Result<Lowered> {
    let (value, shape) = site.map(0)?;
    if site.attribute_integer("transA", 0)? != 0 {
        return Err(site.error("transA turns the axis of the images, which is not supported"));
    }
    let alpha = site.attribute_float("alpha", 1.0)?;
    let beta = site.attribute_float("beta", 1.0)?;
    let weight = site.floats(1)?;
    let [rows, columns] = matrix_shape(site, weight)?;
    let turned = site.attribute_integer("transB", 0)? != 0;
    let [each, out] = if turned {
        [columns, rows]
    } else {
        [rows, columns]
    };
    if shape.len() != 2 || shape[1] != each {
        return Err(site.error(format!(
            "a map of the shape {shape:?} does not fit weights of the shape {:?}",
            weight.shape
        )));
    }
    let bias = match site.optional_floats(2)? {
        Some(bias) if bias.values.len() == out || bias.values.len() == 1 => {
            let values = (0..out)
                .map(|k| beta * bias.values[k % bias.values.len()])
                .collect();
            Some(site.constant(&Array::new(vec![out], values)?).flat())
        }
        Some(bias) => {
            return Err(site.error(format!("a bias of the shape {:?} does not fit", bias.shape)));
        }
        None => None,
    };
    let weight = site.constant(weight).view([rows, columns]);
    let weight = if turned { weight.transpose() } else { weight };
    let weight = if alpha == 1.0 { weight } else { weight * alpha };
    let operator = Linear {
        weight,
        bias,
        left: false,
    };
    Ok(Lowered::step(
        operator.into(),
        &[value],
        vec![shape[0], out],
    ))
}

fn matrix_shape(site: &Site, weight: &Array) -> Result<[usize; 2]> {
    match weight.shape[..] {
        [rows, columns] if rows * columns > 0 => Ok([rows, columns]),
        _ => Err(site.error(format!(
            "weights of the shape {:?} are no matrix",
            weight.shape
        ))),
    }
}

pub fn lower_product(site: &Site) -> Result<Lowered> {
    let unfit = |a: &[usize], b: &[usize]| site.error(format!("shapes {a:?} and {b:?} do not fit"));
    match &site.inputs[..] {
        [Operand::Map(value, shape), Operand::Floats(weight)]
        | [Operand::Floats(weight), Operand::Map(value, shape)] => {
            let left = matches!(site.inputs[0], Operand::Floats(_));
            let [rows, columns] = matrix_shape(site, weight)?;
            let (behind, from, to) = match left {
                true => (2, columns, rows),
                false => (1, rows, columns),
            };
            // The first axis is that of the images.
            let axis = shape.len().saturating_sub(behind);
            if axis == 0 || shape[axis] != from {
                return Err(unfit(site.inputs[0].shape(), site.inputs[1].shape()));
            }
            let mut output = shape.clone();
            output[axis] = to;
            site.count(&output)?;
            let operator = Linear {
                weight: site.constant(weight).view([rows, columns]),
                bias: None,
                left,
            };
            Ok(Lowered::step(operator.into(), &[*value], output))
        }
        [Operand::Map(a, left), Operand::Map(b, right)] => {
            let rank = left.len();
            let fits = rank >= 3
                && right.len() == rank
                && left[..rank - 2] == right[..rank - 2]
                && left[rank - 1] == right[rank - 2];
            if !fits {
                return Err(unfit(left, right));
            }
            let mut output = left.clone();
            output[rank - 1] = right[rank - 1];
            site.count(&output)?;
            Ok(Lowered::step(MatrixProduct.into(), &[*a, *b], output))
        }
        _ => Err(site.error("it takes two maps, or a map and weights of two axes")),
    }
}

impl Linear {
    /// How many numbers are learnt, without the bias.
    pub fn weights(&self) -> usize {
        self.weight.dims().iter().product()
    }

    fn apply(&self, x: &Map, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Map {
        let mut shape = x.shape().to_vec();
        let rank = shape.len();
        let [rows, columns] = weight.dims();
        let product = if self.left {
            let before = shape[..rank - 2].iter().product();
            shape[rank - 2] = rows;
            Map::new(
                weight
                    .unsqueeze::<3>()
                    .matmul(x.view([before, columns, shape[rank - 1]])),
            )
        } else {
            shape[rank - 1] = columns;
            let product = x.view([x.count() / rows, rows]).matmul(weight);
            Map::new(match bias {
                Some(bias) => product + bias.unsqueeze(),
                None => product,
            })
        };
        product.reshaped(&shape)
    }

    pub fn forward(&self, inputs: &[&Map]) -> Map {
        self.apply(inputs[0], self.weight.clone(), self.bias.clone())
    }

    pub fn reverse(&self, signal: Map, _: &Saved, _: &Walk) -> Vec<Option<Map>> {
        vec![Some(self.apply(
            &signal,
            self.weight.clone().transpose(),
            None,
        ))]
    }

    pub fn region(&self, output: &Region, _: usize, input: &[usize]) -> Region {
        let axis = output.len() - if self.left { 2 } else { 1 };
        let mut region = output.clone();
        region[axis] = whole(input)[axis];
        region
    }
}

/// `[matrices, rows, columns]` of a map.
fn matrices(map: &Map) -> Tensor<3> {
    let shape = map.shape();
    let rank = shape.len();
    let before = shape[..rank - 2].iter().product();
    map.view([before, shape[rank - 2], shape[rank - 1]])
}

impl MatrixProduct {
    pub fn forward(&self, inputs: &[&Map]) -> Map {
        let [a, b] = [inputs[0], inputs[1]];
        let rank = a.shape().len();
        let mut shape = a.shape().to_vec();
        shape[rank - 1] = b.shape()[rank - 1];
        Map::new(matrices(a).matmul(matrices(b))).reshaped(&shape)
    }

    pub fn reverse(&self, signal: Map, saved: &Saved, _: &Walk) -> Vec<Option<Map>> {
        let [a, b] = [saved.input(0), saved.input(1)];
        let r = matrices(&signal);
        let to_a = r.clone().matmul(matrices(&b).transpose());
        let to_b = matrices(&a).transpose().matmul(r);
        vec![
            Some(Map::new(to_a).reshaped(a.shape())),
            Some(Map::new(to_b).reshaped(b.shape())),
        ]
    }

    pub fn region(&self, output: &Region, k: usize, input: &[usize]) -> Region {
        let mut region = output.clone();
        let axis = input.len() - if k == 0 { 1 } else { 2 };
        region[axis] = whole(input)[axis];
        region
    }
}
