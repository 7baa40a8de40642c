//! Linear maps against the matrices that they stand for.

mod bound;
mod systems;

use burn::tensor::{DType, Device, Tensor};
use deconvnet::Error;
use deconvnet::connectivity::Connectivity;
use deconvnet::linop::{Border, Pad, Stack, Stage, Subsample, Synthesis, Weight};
use faer::Mat;

use crate::support::*;

/// Random filters, exactly zero where `g` is.
pub fn synthesis(g: &Connectivity, [h, w]: [usize; 2], seed: u64) -> Synthesis {
    let filters = random([g.planes(), g.maps(), h, w], &mut rng(seed));
    Synthesis {
        filters: deconvnet::conv::reference::masked(filters, g),
        connectivity: g.clone(),
    }
}

/// The largest singular value of the matrix of a stack.
pub fn exact_norm(stack: &Stack, input @ [_, c, h, w]: [usize; 4]) -> f64 {
    assert_eq!(input[0], 1);
    let columns = c * h * w;
    // A batch of all unit vectors.
    let units = (0..columns * columns).map(|at| f64::from(at / columns == at % columns));
    let units = tensor(&units.collect::<Vec<_>>(), [columns, c, h, w]);
    let images = values(&stack.apply(units));
    let rows = images.len() / columns;
    let matrix = Mat::from_fn(rows, columns, |i, j| images[j * rows + i]);
    matrix.singular_values().expect("convergence")[0]
}

/// Stacks of every stage with an input that they take.
fn stacks() -> Vec<(&'static str, Stack, [usize; 4])> {
    let pad = |border| {
        Stage::Pad(Pad {
            border,
            margins: [[1, 3], [0, 2]],
        })
    };
    let stride = |stride, sides| Stage::Subsample(Subsample { stride, sides });
    let layer = |planes, maps, size, seed| {
        Stage::Synthesis(synthesis(&Connectivity::full(planes, maps), size, seed))
    };
    let weight = |shape, seed| {
        Stage::Weight(Weight {
            values: random(shape, &mut rng(seed)),
        })
    };
    vec![
        ("identity", Stack::default(), [1, 2, 3, 4]),
        ("zeros", Stack::new(vec![pad(Border::Zeros)]), [1, 2, 4, 5]),
        (
            "reflect",
            Stack::new(vec![pad(Border::Reflect)]),
            [1, 2, 4, 5],
        ),
        (
            "circular",
            Stack::new(vec![pad(Border::Circular)]),
            [1, 1, 2, 3],
        ),
        (
            "stride",
            Stack::new(vec![stride([2, 3], [5, 7])]),
            [1, 2, 5, 7],
        ),
        (
            "weights of one image",
            Stack::new(vec![weight([1, 2, 3, 4], 1)]),
            [1, 2, 3, 4],
        ),
        (
            "weights of channels",
            Stack::new(vec![weight([1, 2, 1, 1], 2)]),
            [1, 2, 3, 4],
        ),
        (
            "two layers, mask",
            Stack::new(vec![
                layer(3, 4, [2, 3], 3),
                layer(2, 3, [3, 2], 4),
                weight([1, 1, 4, 5], 5),
            ]),
            [1, 4, 7, 8],
        ),
        (
            "strided layers with margins",
            Stack::new(vec![
                pad(Border::Reflect),
                layer(3, 2, [3, 3], 6),
                stride([2, 1], [6, 5]),
                pad(Border::Circular),
                layer(1, 3, [2, 2], 7),
                layer(4, 1, [1, 2], 8),
            ]),
            [1, 2, 4, 5],
        ),
    ]
}

#[test]
fn the_adjoint_is_the_transpose() {
    let mut rng = rng(1);
    for (what, stack, [_, c, h, w]) in stacks() {
        let input = [2, c, h, w];
        let output = stack.output(input).expect("shapes that fit");
        let apply = |x| stack.apply(x);
        assert_adjoint(what, apply, |r| stack.adjoint(r), [input, output], &mut rng);
        for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 1e-6)] {
            let there = stack.to(&Device::flex(), dtype);
            let off = there.dot_test(input, 2, (&Device::flex(), dtype));
            let off = off.expect("shapes that fit");
            assert!(off <= tolerance, "{what}, {dtype:?}: {off:e}");
        }
    }
}

#[test]
fn no_norm_exceeds_its_bound() {
    for (what, stack, input) in stacks() {
        let exact = exact_norm(&stack, input);
        let bound = stack.norm_bound(input).expect("shapes that fit");
        assert!(bound >= exact * (1.0 - 1e-12), "{what}: {bound} {exact}");
        // Alone each of the others is bounded exactly.
        if stack.stages().len() <= 1 {
            assert!(bound <= exact * (1.0 + 1e-12), "{what}: {bound} {exact}");
        }
    }
}

#[test]
fn margins_hold_what_their_border_says() {
    let row = |stack: &Stack, x: &[f64]| values(&stack.apply(tensor(x, [1, 1, 1, x.len()])));
    let pad = |border, margins| {
        Stack::new(vec![Stage::Pad(Pad {
            border,
            margins: [[0, 0], margins],
        })])
    };
    let x = [1.0, 2.0, 3.0];
    assert_eq!(
        row(&pad(Border::Zeros, [1, 2]), &x),
        [0.0, 1.0, 2.0, 3.0, 0.0, 0.0]
    );
    assert_eq!(
        row(&pad(Border::Reflect, [2, 1]), &x),
        [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    );
    // More often around than once.
    assert_eq!(
        row(&pad(Border::Circular, [4, 1]), &x),
        [3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
    );
    let stride = Stack::new(vec![Stage::Subsample(Subsample {
        stride: [1, 2],
        sides: [1, 3],
    })]);
    assert_eq!(row(&stride, &x), [1.0, 3.0]);
    let back = stride.adjoint(tensor(&[5.0, 7.0], [1, 1, 1, 2]));
    assert_eq!(values(&back), [5.0, 0.0, 7.0]);
}

#[test]
fn autodiff_finds_the_adjoint() {
    for (what, stack, input) in stacks() {
        let (x, mut rng) = (random(input, &mut rng(1)), rng(2));
        let output = stack.output(input).expect("shapes that fit");
        let r = random(output, &mut rng);
        let tracked = Tensor::from_inner(x).require_grad();
        let product = stack.train().apply(tracked.clone()) * Tensor::from_inner(r.clone());
        let gradient = tracked.grad(&product.sum().backward()).expect("a gradient");
        let wanted = values(&stack.adjoint(r));
        assert_near(&values(&gradient), &wanted, 1e-13, what);
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_the_numbers() {
    let g = Connectivity::full(2, 3);
    let layer = synthesis(&g, [3, 3], 1);
    let unfit = Synthesis {
        connectivity: Connectivity::full(2, 4),
        ..layer.clone()
    };
    let pad = |border| {
        Stage::Pad(Pad {
            border,
            margins: [[0, 0], [4, 0]],
        })
    };
    let stride = |stride| {
        Stage::Subsample(Subsample {
            stride,
            sides: [4, 4],
        })
    };
    let weights = Weight {
        values: random([1, 3, 4, 5], &mut rng(2)),
    };
    for (stage, words) in [
        (
            Stage::Synthesis(synthesis(&g, [5, 3], 1)),
            &["[2, 3, 5, 3]", "[1, 3, 4, 4]"][..],
        ),
        (Stage::Synthesis(unfit), &["2 x 4"]),
        (
            Stage::Synthesis(synthesis(&Connectivity::full(2, 4), [3, 3], 1)),
            &["[2, 4, 3, 3]"],
        ),
        (pad(Border::Reflect), &["[[0, 0], [4, 0]]", "[1, 3, 4, 4]"]),
        (stride([0, 1]), &["[0, 1]"]),
        (stride([1, 0]), &["[1, 0]"]),
        (
            Stage::Subsample(Subsample {
                stride: [2, 2],
                sides: [4, 5],
            }),
            &["[4, 5]", "[1, 3, 4, 4]"],
        ),
        (Stage::Weight(weights), &["[1, 3, 4, 5]", "[1, 3, 4, 4]"]),
    ] {
        // Behind a stage that fits.
        let first = Stage::Weight(Weight {
            values: random([1, 1, 1, 1], &mut rng(3)),
        });
        let stack = Stack::new(vec![first, stage]);
        let input = [1, 3, 4, 4];
        let errors = [
            stack.output(input).expect_err("refused"),
            stack.norm_bound(input).expect_err("refused"),
            stack
                .dot_test(input, 0, (&Device::flex(), DType::F64))
                .expect_err("refused"),
        ];
        for error in errors {
            assert!(matches!(error, Error::Input(_)));
            for word in words {
                assert!(error.to_string().contains(word), "{word}: {error}");
            }
        }
    }
    let fits = Stack::new(vec![Stage::Synthesis(layer), pad(Border::Circular)]);
    assert_eq!(
        fits.output([1, 3, 4, 4]).expect("shapes that fit"),
        [1, 2, 2, 6]
    );
}
