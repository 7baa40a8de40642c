//! Inverting a convolution, against matrices and answers from elsewhere.

mod methods;
mod operator;
mod priors;
mod reference;

use burn::tensor::{DType, Device, Tensor};
use deconvnet::backend::Backend;
use deconvnet::invert::{
    Decomposition, Inverse, InverseEvaluation, InverseMethod, Kernel, Operator, Padding, Settings,
};
use deconvnet::solve::{Limits, Solved};

use crate::support::*;

pub const PADDINGS: [Padding; 4] = [
    Padding::None,
    Padding::Zeros,
    Padding::Reflect,
    Padding::Circular,
];

/// An operator of built-in filters in double precision on the plain CPU backend.
pub fn built_in(kernel: &Kernel, stride: usize, padding: Padding, input: [usize; 3]) -> Operator {
    let filters = kernel.filters(input[0]).expect("filters");
    let filters = filters.tensor(&Device::flex(), DType::F64);
    Operator::new(filters, [stride; 2], padding, input).expect("an operator")
}

/// `W x` by the matrix written out.
pub fn by_matrix(operator: &Operator, x: &Tensor<4>) -> Vec<f64> {
    let [_, columns] = operator.shape();
    let x = values(x);
    let matrix = operator.matrix();
    matrix.chunks(columns).map(|row| dot(row, &x)).collect()
}

/// `[1, ..]`
pub fn batch([c, h, w]: [usize; 3]) -> [usize; 4] {
    [1, c, h, w]
}

/// The other backends that answer.
pub fn others() -> Vec<(Backend, Device)> {
    answering(&[Backend::Ndarray, Backend::Wgpu])
}

/// A problem whose answer is known, without noise.
pub fn problem_of(operator: &Operator, x: &Tensor<4>) -> Inverse {
    let y = operator.apply(x.clone());
    let problem = Inverse::new(operator.clone(), y).expect("shapes that fit");
    problem.with_truth(x.clone())
}

/// The answer of a method by a decomposition, or of enough steps.
#[track_caller]
pub fn solve(
    method: InverseMethod,
    problem: &Inverse,
    settings: &Settings,
) -> Solved<InverseEvaluation> {
    let operator = problem.operator.to(&Device::flex(), DType::F64);
    let known = Decomposition::new(&operator).expect("convergence");
    let limits = Limits {
        steps: 20_000,
        every: 1,
        ..Limits::default()
    };
    method
        .run(problem, settings, known.as_ref(), &limits, &mut ())
        .expect("finite numbers")
        .solved
}
