//! Every operator in double precision: the way back is the transposed derivative, so that for all
//! directions `v` and signals `r`: `<d forward(x)[v], r> = <v, back(r)>`. For linear operators that is
//! the test of the adjoint.

use burn::tensor::DType;
use deconvnet::convnet::{Rule, Walk};

use super::models::{
    float, images, int, ints, model, node, numbers, random, ready, values, weights,
};
use super::operator_cases::{case, cases, one};

#[test]
fn the_way_back_is_the_transposed_derivative_in_double_precision() {
    let walk = Walk {
        rule: Rule::Gradient,
        ..Walk::default()
    };
    for (name, model) in cases() {
        let net = ready(&model, DType::F64);
        let shape = [&[2], &net.shape(0)[1..]].concat();
        let count: usize = shape.iter().product();
        let wide =
            |seed: u64| -> Vec<f64> { numbers(count, seed).into_iter().map(f64::from).collect() };
        let (x, v) = (wide(1), wide(2));
        const STEP: f64 = 1e-6;
        let moved = |by: f64| {
            let x: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + by * v).collect();
            let tape = net.record(images(&x, &shape)).unwrap();
            values(tape.map(net.logits()))
        };
        let (above, below) = (moved(STEP), moved(-STEP));
        let tape = net.record(images(&x, &shape)).unwrap();
        let y = tape.map(net.logits());
        let r: Vec<f64> = numbers(y.count(), 3).into_iter().map(f64::from).collect();
        let back = net.project(&tape, net.logits(), images(&r, y.shape()), &[0, 1], &walk);
        assert_eq!(back.shape(), shape, "{name}");
        let slopes = above
            .iter()
            .zip(&below)
            .map(|(a, b)| (a - b) / (2.0 * STEP));
        let forward: f64 = slopes.zip(&r).map(|(slope, r)| slope * r).sum();
        let reverse: f64 = values(&back).iter().zip(&v).map(|(a, b)| a * b).sum();
        let size: f64 = values(&back)
            .iter()
            .zip(&v)
            .map(|(a, b)| (a * b).abs())
            .sum();
        assert!(
            (forward - reverse).abs() <= 2e-7 * size.max(1e-3),
            "{name}: {forward} against {reverse}"
        );
    }
}

/// Where all channels are zero their norm has no slope; the way back gives zeros, not what is no number.
#[test]
fn the_norm_of_zeros_goes_back_as_zeros() {
    let net = ready(&one("ReduceL2", &[ints("axes", &[1])]), DType::F64);
    let shape = [&[1], &net.shape(0)[1..]].concat();
    let tape = net.record(images(&vec![0.0; shape.iter().product()], &shape));
    let tape = tape.unwrap();
    let y = tape.map(net.logits());
    let r = images(&vec![1.0; y.count()], y.shape());
    let back = net.project(&tape, net.logits(), r, &[0], &Walk::default());
    assert!(values(&back).iter().all(|v| *v == 0.0));
}

/// Ties, a last window cut off, and padding: each maximum against a search through its window.
#[test]
fn switches_are_the_first_maxima_of_their_windows() {
    const SIDE: usize = 6;
    let attributes = [
        ints("kernel_shape", &[3, 3]),
        ints("strides", &[2, 2]),
        ints("pads", &[1, 1, 0, 0]),
        int("ceil_mode", 1),
    ];
    let pool = model(
        &[0, 1, SIDE as i64, SIDE as i64],
        vec![node("MaxPool", &["x"], "y", &attributes)],
        vec![],
    );
    let net = ready(&pool, DType::F64);
    let x: Vec<f64> = (0..SIDE * SIDE)
        .map(|k| [0.0, 2.0, 2.0, 1.0][(k * k) % 4])
        .collect();
    let tape = net.record(images(&x, &[1, 1, SIDE, SIDE])).unwrap();
    let y = tape.map(net.logits());
    let side = y.shape()[3];
    let r: Vec<f64> = (0..side * side).map(|k| (k + 1) as f64).collect();
    let back = net.project(
        &tape,
        net.logits(),
        images(&r, y.shape()),
        &[0],
        &Walk::default(),
    );
    let mut expected = vec![0.0; SIDE * SIDE];
    for (window, signal) in r.iter().enumerate() {
        let (row, column) = (window / side * 2, window % side * 2);
        let mut best: Option<usize> = None;
        for i in row.saturating_sub(1)..(row + 2).min(SIDE) {
            for j in column.saturating_sub(1)..(column + 2).min(SIDE) {
                let at = i * SIDE + j;
                if best.is_none_or(|best| x[at] > x[best]) {
                    best = Some(at);
                }
            }
        }
        let best = best.unwrap();
        assert_eq!(values(y)[window], x[best]);
        expected[best] += signal;
    }
    assert_eq!(values(&back), expected);
}

/// Two units of one image go back together as they do alone.
#[test]
fn units_of_one_image_go_back_together() {
    let nodes = vec![
        node("Conv", &["x", "w"], "a", &[]),
        node("Relu", &["a"], "b", &[]),
        node("MaxPool", &["b"], "y", &[ints("kernel_shape", &[2, 2])]),
    ];
    let net = ready(&case(nodes, vec![random("w", &[3, 4, 3, 3])]), DType::F64);
    let x: Vec<f64> = numbers(2 * 4 * 63, 5).into_iter().map(f64::from).collect();
    let tape = net.record(images(&x, &[2, 4, 7, 9])).unwrap();
    let value = net.logits();
    let each: usize = net.shape(value).iter().product();
    let signal = |units: &[usize]| {
        let mut r = vec![0.0; units.len() * each];
        for (k, &unit) in units.iter().enumerate() {
            r[k * each + unit] = 1.0;
        }
        images(&r, &[&[units.len()], &net.shape(value)[1..]].concat())
    };
    for rule in Rule::ALL {
        let walk = Walk {
            rule,
            ..Walk::default()
        };
        let together = values(&net.project(&tape, value, signal(&[1, 7, 4]), &[1, 1, 0], &walk));
        let alone = [(1, 1), (7, 1), (4, 0)]
            .map(|(unit, row)| values(&net.project(&tape, value, signal(&[unit]), &[row], &walk)));
        assert_eq!(together, alone.concat());
    }
}

/// The way a rectifier lets a signal through, by rule and by option.
#[test]
fn rules_of_rectifiers_and_their_options() {
    let clip = case(
        vec![node("Clip", &["x", "a", "b"], "y", &[])],
        vec![weights("a", &[], &[0.0]), weights("b", &[], &[6.0])],
    );
    let mut clip = clip;
    if let Some(graph) = &mut clip.graph {
        graph.input = model(&[0, 6], vec![], vec![]).graph.unwrap().input;
    }
    let net = ready(&clip, DType::F64);
    let tape = net
        .record(images(&[-1.0, 3.0, 9.0, -1.0, 3.0, 9.0], &[1, 6]))
        .unwrap();
    let r = || images(&[1.0, 1.0, 1.0, -1.0, -1.0, -1.0], &[1, 6]);
    let mut walk = Walk::default();
    let mut back = |rule: Rule, by_gradient: bool| {
        walk.rule = rule;
        walk.options.ceiling_by_gradient = by_gradient;
        values(&net.project(&tape, net.logits(), r(), &[0], &walk))
    };
    assert_eq!(back(Rule::Deconvnet, false), [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(back(Rule::Guided, false), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(back(Rule::Gradient, false), [0.0, 1.0, 0.0, 0.0, -1.0, 0.0]);
    assert_eq!(back(Rule::Deconvnet, true), [0.0, 1.0, 0.0, 0.0, -1.0, 0.0]);
}

/// HardSwish goes back as one operator does where an exporter has taken it apart, with a clip that is no
/// rectifier.
#[test]
fn a_hard_swish_in_parts_goes_back_as_a_whole() {
    let parts = vec![
        node("Add", &["x", "three"], "a", &[]),
        node("Clip", &["a", "zero", "six"], "b", &[]),
        node("Mul", &["x", "b"], "c", &[]),
        node("Div", &["c", "six"], "y", &[]),
    ];
    let numbers_of = [("three", 3.0), ("zero", 0.0), ("six", 6.0)];
    let constants = numbers_of.map(|(name, value)| weights(name, &[], &[value]));
    let whole = vec![node("HardSwish", &["x"], "y", &[])];
    let nets = [case(parts, constants.to_vec()), case(whole, vec![])];
    let x: Vec<f64> = (0..4 * 63).map(|k| f64::from(k % 11) - 5.25).collect();
    let [parts, whole] = nets.map(|model| {
        let net = ready(&model, DType::F64);
        let tape = net.record(images(&x, &[1, 4, 7, 9])).unwrap();
        let r: Vec<f64> = numbers(4 * 63, 3).into_iter().map(f64::from).collect();
        let signal = images(&r, &[1, 4, 7, 9]);
        values(&net.project(&tape, net.logits(), signal, &[0], &Walk::default()))
    });
    for (a, b) in parts.iter().zip(&whole) {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }
}

/// Windows of zeros keep their switch, or not; normalisation passes a signal, or not.
#[test]
fn options_of_windows_and_normalisation() {
    let pool = model(
        &[0, 1, 2, 4],
        vec![node(
            "MaxPool",
            &["x"],
            "y",
            &[ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
        )],
        vec![],
    );
    let net = ready(&pool, DType::F64);
    let tape = net
        .record(images(
            &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0],
            &[1, 1, 2, 4],
        ))
        .unwrap();
    let mut walk = Walk::default();
    let mut back = |drop: bool| {
        walk.options.drop_empty_windows = drop;
        values(&net.project(
            &tape,
            net.logits(),
            images(&[1.0, 1.0], &[1, 1, 1, 2]),
            &[0],
            &walk,
        ))
    };
    assert_eq!(back(false), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(back(true), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);

    let response = model(
        &[0, 2, 1, 1],
        vec![node(
            "LRN",
            &["x"],
            "y",
            &[int("size", 1), float("alpha", 1.0), float("beta", 1.0)],
        )],
        vec![],
    );
    let net = ready(&response, DType::F64);
    let tape = net.record(images(&[1.0, 0.0], &[1, 2, 1, 1])).unwrap();
    let mut walk = Walk::default();
    let mut back = |by_gradient: bool| {
        walk.options.response_by_gradient = by_gradient;
        values(&net.project(
            &tape,
            net.logits(),
            images(&[1.0, 1.0], &[1, 2, 1, 1]),
            &[0],
            &walk,
        ))
    };
    assert_eq!(back(false), [1.0, 1.0]);
    // y = x / (1 + x^2): slope (1 - x^2) / (1 + x^2)^2.
    let slopes = back(true);
    assert!(
        slopes[0].abs() < 1e-6 && (slopes[1] - 1.0).abs() < 1e-6,
        "{slopes:?}"
    );
}
