//! Every operator in double precision: the way back is the transposed derivative, so that for all
//! directions `v` and signals `r`: `<d forward(x)[v], r> = <v, back(r)>`. For linear operators that is
//! the test of the adjoint.

use burn::tensor::DType;
use deconvnet::convnet::proto::{ModelProto, NodeProto, TensorProto};
use deconvnet::convnet::{Rule, Walk};

use super::models::{
    float, images, int, ints, model, node, numbers, random, ready, text, values, weights, whole,
};

const SHAPE: [i64; 4] = [0, 4, 7, 9];

fn case(nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> ModelProto {
    model(&SHAPE, nodes, weights)
}

fn one(op: &str, attributes: &[deconvnet::convnet::proto::AttributeProto]) -> ModelProto {
    case(vec![node(op, &["x"], "y", attributes)], vec![])
}

fn with(
    op: &str,
    weights: TensorProto,
    attributes: &[deconvnet::convnet::proto::AttributeProto],
) -> ModelProto {
    let name = weights.name.clone();
    case(
        vec![node(op, &["x", &name], "y", attributes)],
        vec![weights],
    )
}

fn cases() -> Vec<(&'static str, ModelProto)> {
    let pooled = |op: &str| {
        let pool = node("GlobalAveragePool", &["x"], "a", &[]);
        case(vec![pool, node(op, &["x", "a"], "y", &[])], vec![])
    };
    let squashed = |op: &str, order: [&str; 2]| {
        case(
            vec![
                node("Sigmoid", &["x"], "a", &[]),
                node(op, &order, "y", &[]),
            ],
            vec![],
        )
    };
    let flat = |nodes: Vec<NodeProto>, weights: Vec<TensorProto>| {
        let mut all = vec![node("Flatten", &["x"], "a", &[])];
        all.extend(nodes);
        case(all, weights)
    };
    let norm = ["s", "t", "m", "v"];
    let statistics = norm.map(|name| match name {
        "v" => weights("v", &[4], &[0.5, 1.0, 2.0, 3.0]),
        name => random(name, &[4]),
    });
    vec![
        (
            "Conv",
            case(
                vec![node(
                    "Conv",
                    &["x", "w", "b"],
                    "y",
                    &[
                        ints("strides", &[2, 1]),
                        ints("pads", &[1, 0, 2, 1]),
                        ints("dilations", &[1, 2]),
                        int("group", 2),
                    ],
                )],
                vec![random("w", &[6, 2, 3, 3]), random("b", &[6])],
            ),
        ),
        (
            "Conv with a rest",
            with(
                "Conv",
                random("w", &[3, 4, 2, 2]),
                &[ints("strides", &[3, 4])],
            ),
        ),
        (
            "Conv, depthwise",
            with(
                "Conv",
                random("w", &[4, 1, 3, 3]),
                &[int("group", 4), text("auto_pad", "SAME_LOWER")],
            ),
        ),
        (
            "ConvTranspose",
            with(
                "ConvTranspose",
                random("w", &[4, 3, 3, 2]),
                &[
                    ints("strides", &[2, 3]),
                    ints("pads", &[1, 0, 0, 2]),
                    ints("output_padding", &[1, 2]),
                    int("group", 2),
                ],
            ),
        ),
        (
            "BatchNormalization",
            case(
                vec![node(
                    "BatchNormalization",
                    &["x", "s", "t", "m", "v"],
                    "y",
                    &[],
                )],
                statistics.to_vec(),
            ),
        ),
        (
            "MaxPool",
            one(
                "MaxPool",
                &[
                    ints("kernel_shape", &[3, 2]),
                    ints("strides", &[2, 2]),
                    ints("pads", &[1, 0, 1, 1]),
                ],
            ),
        ),
        (
            "MaxPool, ceil",
            one(
                "MaxPool",
                &[
                    ints("kernel_shape", &[2, 3]),
                    ints("strides", &[2, 2]),
                    int("ceil_mode", 1),
                ],
            ),
        ),
        (
            "MaxPool, dilated",
            one(
                "MaxPool",
                &[ints("kernel_shape", &[2, 3]), ints("dilations", &[2, 2])],
            ),
        ),
        ("GlobalMaxPool", one("GlobalMaxPool", &[])),
        (
            "AveragePool",
            one(
                "AveragePool",
                &[
                    ints("kernel_shape", &[3, 4]),
                    ints("strides", &[2, 3]),
                    ints("pads", &[1, 1, 1, 2]),
                    int("ceil_mode", 1),
                ],
            ),
        ),
        (
            "AveragePool, padding counts",
            one(
                "AveragePool",
                &[
                    ints("kernel_shape", &[3, 3]),
                    ints("pads", &[1, 1, 1, 1]),
                    int("count_include_pad", 1),
                ],
            ),
        ),
        ("GlobalAveragePool", one("GlobalAveragePool", &[])),
        (
            "ReduceMean",
            one("ReduceMean", &[ints("axes", &[1, -1]), int("keepdims", 0)]),
        ),
        ("ReduceSum", with("ReduceSum", whole("k", &[2]), &[])),
        (
            "Gemm",
            flat(
                vec![node(
                    "Gemm",
                    &["a", "w", "b"],
                    "y",
                    &[int("transB", 1), float("alpha", 0.5)],
                )],
                vec![random("w", &[5, 252]), random("b", &[5])],
            ),
        ),
        ("MatMul", with("MatMul", random("w", &[9, 5]), &[])),
        (
            "MatMul from the left",
            case(
                vec![node("MatMul", &["w", "x"], "y", &[])],
                vec![random("w", &[5, 7])],
            ),
        ),
        (
            "MatMul of two maps",
            case(
                vec![
                    node("Transpose", &["x"], "a", &[ints("perm", &[0, 1, 3, 2])]),
                    node("MatMul", &["x", "a"], "y", &[]),
                ],
                vec![],
            ),
        ),
        ("Add a constant", with("Add", random("c", &[4, 1, 1]), &[])),
        ("Mul by a constant", with("Mul", random("c", &[1, 9]), &[])),
        (
            "Div of a constant",
            case(
                vec![
                    node("Sigmoid", &["x"], "a", &[]),
                    node("Div", &["c", "a"], "y", &[]),
                ],
                vec![random("c", &[4, 1, 1])],
            ),
        ),
        ("Add with repetition", pooled("Add")),
        ("Mul with repetition", pooled("Mul")),
        ("Sub", squashed("Sub", ["x", "a"])),
        ("Mul", squashed("Mul", ["x", "a"])),
        ("Div", squashed("Div", ["x", "a"])),
        (
            "Sum",
            case(
                vec![
                    node("Relu", &["x"], "a", &[]),
                    node("Sum", &["x", "a", "x"], "y", &[]),
                ],
                vec![],
            ),
        ),
        (
            "Concat",
            case(
                vec![
                    node("Sigmoid", &["x"], "a", &[]),
                    node("Concat", &["x", "c", "a"], "y", &[int("axis", 1)]),
                ],
                vec![random("c", &[1, 2, 7, 9])],
            ),
        ),
        (
            "Split",
            case(
                vec![
                    NodeProto {
                        output: vec!["a".into(), "b".into()],
                        ..node("Split", &["x", "k"], "a", &[int("axis", 1)])
                    },
                    node("Concat", &["b", "a"], "y", &[int("axis", 1)]),
                ],
                vec![whole("k", &[1, 3])],
            ),
        ),
        (
            "Slice",
            case(
                vec![node("Slice", &["x", "s", "e", "k", "t"], "y", &[])],
                vec![
                    whole("s", &[1, -1]),
                    whole("e", &[7, -100]),
                    whole("k", &[2, 3]),
                    whole("t", &[2, -3]),
                ],
            ),
        ),
        (
            "Gather",
            with("Gather", whole("k", &[3, 0, 3]), &[int("axis", 1)]),
        ),
        (
            "Transpose",
            one("Transpose", &[ints("perm", &[0, 3, 1, 2])]),
        ),
        ("Reshape", with("Reshape", whole("k", &[0, 2, -1]), &[])),
        (
            "Pad",
            case(
                vec![node("Pad", &["x", "p"], "y", &[])],
                vec![whole("p", &[0, 1, 2, -1, 0, 0, -3, 2])],
            ),
        ),
        (
            "Pad, reflected",
            case(
                vec![node("Pad", &["x", "p"], "y", &[text("mode", "reflect")])],
                vec![whole("p", &[0, 0, 2, 1, 0, 0, 3, 4])],
            ),
        ),
        (
            "Expand",
            case(
                vec![
                    node("GlobalAveragePool", &["x"], "a", &[]),
                    node("Expand", &["a", "k"], "y", &[]),
                ],
                vec![whole("k", &[1, 1, 3, 2])],
            ),
        ),
        (
            "LRN",
            one(
                "LRN",
                &[int("size", 3), float("alpha", 0.5), float("bias", 1.5)],
            ),
        ),
        ("Softmax", one("Softmax", &[int("axis", 1)])),
        ("LogSoftmax", one("LogSoftmax", &[])),
        ("Relu", one("Relu", &[])),
        (
            "Clip",
            case(
                vec![node("Clip", &["x", "", "c"], "y", &[float("min", 0.0)])],
                vec![weights("c", &[], &[0.5])],
            ),
        ),
        (
            "Clip from below",
            case(
                vec![node("Clip", &["x", "c"], "y", &[])],
                vec![weights("c", &[], &[-0.3])],
            ),
        ),
        ("LeakyRelu", one("LeakyRelu", &[])),
        ("PRelu", with("PRelu", random("c", &[4, 1, 1]), &[])),
        ("Sigmoid", one("Sigmoid", &[])),
        ("HardSigmoid", one("HardSigmoid", &[])),
        ("HardSwish", one("HardSwish", &[])),
        ("Tanh", one("Tanh", &[])),
        ("Elu", one("Elu", &[])),
        ("Selu", one("Selu", &[])),
        ("Gelu", one("Gelu", &[])),
        ("Gelu by tanh", one("Gelu", &[text("approximate", "tanh")])),
        ("Erf", one("Erf", &[])),
        ("Exp", one("Exp", &[])),
        ("Mish", one("Mish", &[])),
        ("Softplus", one("Softplus", &[])),
        ("Abs", one("Abs", &[])),
        ("Pow", with("Pow", weights("c", &[], &[2.0]), &[])),
    ]
}

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
