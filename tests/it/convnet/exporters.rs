//! What exporters make of a model: names that a trace numbers, choices that shapes decide, detours, and
//! channels that come last.

use burn::tensor::DType;
use deconvnet::convnet::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use deconvnet::convnet::{Convnet, Unit, Walk};

use super::models::{
    images, int, ints, model, node, numbers, random, read, ready, values, weights, whole,
};

/// A node under a path of its own.
fn called(name: &str, node: NodeProto) -> NodeProto {
    NodeProto {
        name: name.into(),
        ..node
    }
}

fn run(net: &Convnet) -> Vec<f64> {
    let count: usize = net.shape(0).iter().product();
    let x: Vec<f64> = numbers(count, 1).into_iter().map(f64::from).collect();
    let tape = net.record(images(&x, net.shape(0))).unwrap();
    values(tape.map(net.logits()))
}

fn kernel(name: &str) -> TensorProto {
    random(name, &[2, 2, 1, 1])
}

#[test]
fn layers_of_keras_have_their_names() {
    let merged = |convolution: &str| format!("net_1/conv2d_1_1/{convolution}/merged_input:0");
    let nodes = |convolution: &str| {
        let merged = merged(convolution);
        vec![
            called(
                &format!("net_1/conv2d_2/{convolution}__6"),
                node("Transpose", &["x"], "a", &[ints("perm", &[0, 3, 1, 2])]),
            ),
            called(
                &format!("net_1/conv2d_2/{convolution}"),
                node("Conv", &["a", "v"], "b", &[]),
            ),
            called("net_1/conv2d_2/Relu", node("Relu", &["b"], "c", &[])),
            called(
                "Conv__77",
                node(
                    "Conv",
                    &["c", &merged, "net_1/norm_2_1/sub/sub:0"],
                    "d",
                    &[],
                ),
            ),
            called(
                "net_1/norm_1/batchnorm/mul_1",
                node("Mul", &["d", "s"], "e", &[]),
            ),
            called(
                "net_1/norm_3_1/batchnorm/mul_1",
                node("Conv", &["e", &merged.replace("2d_1", "2d_7")], "f", &[]),
            ),
            called("net_1/out_1/Relu", node("Relu", &["f"], "y", &[])),
        ]
    };
    let net = |convolution: &str| {
        let weights = kernel(&merged(convolution));
        let shift = random("net_1/norm_2_1/sub/sub:0", &[2]);
        let more = kernel(&merged(convolution).replace("2d_1", "2d_7"));
        let parts = vec![kernel("v"), weights, more, shift, random("s", &[2, 1, 1])];
        ready(&model(&[0, 6, 6, 2], nodes(convolution), parts), DType::F64)
    };
    let keras3 = net("convolution");
    for (asked, tensor) in [
        ("conv2d", "c"),
        ("conv2d.conv", "b"),
        ("conv2d_1", "d"),
        ("norm", "e"),
        ("norm_2", "d"),
        ("conv2d_7", "f"),
        ("norm_3", "f"),
        ("out", "y"),
        ("transpose1", "a"),
    ] {
        assert_eq!(keras3.layer(asked).unwrap().tensor, tensor, "{asked}");
    }
    // Keras 2 numbers nothing.
    let keras2 = net("Conv2D");
    assert_eq!(keras2.layer("conv2d_2").unwrap().tensor, "c");
    assert!(keras2.layer("conv2d_3").is_err());
}

/// A layer whose channels come last is looked at with its channels first, also where an exporter went through
/// more axes, and its receptive fields are those of its rows and columns.
#[test]
fn channels_that_come_last_are_looked_at_first() {
    let nodes = vec![
        node("Transpose", &["x"], "a", &[ints("perm", &[0, 3, 1, 2])]),
        node("Conv", &["a", "v"], "b", &[ints("strides", &[2, 1])]),
        node("Unsqueeze", &["b", "three"], "c", &[]),
        node("Tile", &["c", "twice"], "d", &[]),
        node("Transpose", &["d"], "e", &[ints("perm", &[0, 2, 3, 4, 1])]),
        node("Reshape", &["e", "rows"], "f", &[]),
        node("Relu", &["f"], "y", &[]),
    ];
    let parts = vec![
        random("v", &[5, 3, 3, 2]),
        whole("three", &[3]),
        whole("twice", &[1, 1, 1, 2, 1]),
        whole("rows", &[0, 10, 6, 5]),
    ];
    let net = ready(&model(&[0, 11, 7, 3], nodes, parts), DType::F64);
    let layer = net.layer("y").unwrap();
    assert_eq!(net.shape(layer.value), [1, 5, 10, 6]);
    assert_eq!(net.shape(net.logits()), [1, 10, 6, 5]);
    assert_eq!(net.top(), layer.value);
    let step = net.maker(layer.value).unwrap();
    assert!(step.operator.is_rectifier());
    let field = net.field(layer.value).unwrap();
    assert_eq!((field.size, field.stride), ([3, 2], [1, 1]));
    assert_eq!(net.patch(layer.value, &[4, 3, 2]), [(2, 4), (2, 3)]);
    let x: Vec<f64> = numbers(231, 1).into_iter().map(f64::from).collect();
    let tape = net.record(images(&x, &[1, 11, 7, 3])).unwrap();
    let [first, last] = [layer.value, net.logits()].map(|value| values(tape.map(value)));
    for (at, value) in last.iter().enumerate() {
        let (row, column, channel) = (at / 30, at / 5 % 6, at % 5);
        assert_eq!(*value, first[(channel * 10 + row) * 6 + column]);
    }
    // Nothing but what the unit sees sends something back.
    let activations: Vec<f32> = first.iter().map(|&value| value as f32).collect();
    let unit = net.place(layer.value, &Unit::Channel(2), &activations);
    let unit = unit.unwrap();
    assert_eq!(unit[0], 2);
    let starts = [(unit.clone(), 1.0)];
    let walk = Walk::default();
    let back = net.project_units(&tape, layer.value, &starts, &[0], &walk);
    let [rows, columns] = net.patch(layer.value, &unit);
    for (at, value) in back.unwrap()[0].iter().enumerate() {
        let (row, column) = (at / 21, at / 3 % 7);
        let inside = (rows.0..=rows.1).contains(&row) && (columns.0..=columns.1).contains(&column);
        assert!(inside || *value == 0.0, "{row}, {column}");
    }
}

/// Whether an axis goes is asked from the shape, before any image is known.
#[test]
fn a_choice_that_a_shape_decides_is_made_once() {
    let branch = |name: &str, nodes: Vec<NodeProto>, output: &str| AttributeProto {
        name: name.into(),
        r#type: 5,
        g: Some(GraphProto {
            node: nodes,
            output: vec![ValueInfoProto {
                name: output.into(),
                r#type: None,
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let chosen = |channels: usize| -> ModelProto {
        let flat = vec![node("Flatten", &["a"], "flat", &[])];
        let same = vec![node("Relu", &["a"], "same", &[])];
        let nodes = vec![
            node("Conv", &["x", "w"], "a", &[]),
            node("Shape", &["a"], "shape", &[]),
            node("Gather", &["shape", "one"], "channels", &[]),
            node("Equal", &["channels", "one"], "single", &[]),
            node(
                "If",
                &["single"],
                "y",
                &[
                    branch("then_branch", flat, "flat"),
                    branch("else_branch", same, "same"),
                ],
            ),
        ];
        let parts = vec![random("w", &[channels, 3, 1, 1]), whole("one", &[1])];
        model(&[0, 3, 4, 4], nodes, parts)
    };
    let one = ready(&chosen(1), DType::F64);
    assert_eq!(one.shape(one.logits()), [1, 16]);
    let two = ready(&chosen(2), DType::F64);
    assert_eq!(two.shape(two.logits()), [1, 2, 4, 4]);
    assert_eq!(two.layer("same").unwrap().value, two.logits());
    // What is not known in a branch is told with all else.
    let mut bad = chosen(1);
    let nodes = &mut bad.graph.as_mut().unwrap().node;
    let branch = nodes[4].attribute[1].g.as_mut().unwrap();
    branch.node[0].op_type = "Einsum".into();
    let message = read(&bad).unwrap_err().to_string();
    assert!(message.contains("Einsum, 1 times"), "{message}");
    let mut on_images = chosen(1);
    on_images.graph.as_mut().unwrap().node[4].input[0] = "a".into();
    let message = read(&on_images).unwrap_err().to_string();
    assert!(message.contains("If, 1 times: `/y/If`"), "{message}");
}

#[test]
fn detours_of_an_exporter_are_one_operator() {
    let order: Vec<i64> = (0..4).collect();
    let nodes = vec![
        node("GlobalAveragePool", &["x"], "p", &[]),
        node("Reshape", &["p", "flat"], "q", &[]),
        node("Gather", &["q", "order"], "r", &[int("axis", 0)]),
        node("Softplus", &["r"], "s", &[]),
        node("Greater", &["r", "threshold"], "t", &[]),
        node("Where", &["t", "r", "s"], "y", &[]),
    ];
    let opposite = vec![
        node("Relu", &["x"], "a", &[]),
        node("Neg", &["x"], "n", &[]),
        node("Relu", &["n"], "b", &[]),
        node("Mul", &["slopes", "b"], "c", &[]),
        node("Add", &["c", "a"], "y", &[]),
    ];
    let slopes = |sign: f32| {
        weights(
            "slopes",
            &[4, 1, 1],
            &[0.1, 0.2, 0.3, -0.4].map(|s| sign * s),
        )
    };
    let net = ready(
        &model(&[0, 4, 5, 5], opposite.clone(), vec![slopes(-1.0)]),
        DType::F64,
    );
    let direct = vec![node("PRelu", &["x", "slopes"], "y", &[])];
    let direct = ready(&model(&[0, 4, 5, 5], direct, vec![slopes(1.0)]), DType::F64);
    assert_eq!(net.steps().len(), 1);
    assert_eq!(run(&net), run(&direct));
    // Where the product is used elsewhere it stays what it is.
    let ends = |last: [NodeProto; 2]| {
        let nodes = [opposite[..4].to_vec(), last.to_vec()].concat();
        ready(&model(&[0, 4, 5, 5], nodes, vec![slopes(-1.0)]), DType::F64)
    };
    let both = ends([
        node("Add", &["c", "a"], "w", &[]),
        node("Add", &["w", "c"], "y", &[]),
    ]);
    let apart = ends([
        node("Add", &["c", "c"], "d", &[]),
        node("Add", &["a", "d"], "y", &[]),
    ]);
    let (both, apart) = (run(&both), run(&apart));
    assert!(both.iter().zip(&apart).all(|(a, b)| (a - b).abs() < 1e-12));
    let parts = |threshold: f32| {
        let order = TensorProto {
            dims: vec![1, 4, 1, 1],
            ..whole("order", &order)
        };
        let threshold = weights("threshold", &[], &[threshold]);
        vec![whole("flat", &[-1]), order, threshold]
    };
    let net = ready(
        &model(&[0, 4, 3, 3], nodes.clone(), parts(20.0)),
        DType::F64,
    );
    let direct = vec![
        node("GlobalAveragePool", &["x"], "p", &[]),
        node("Softplus", &["p"], "y", &[]),
    ];
    let direct = ready(&model(&[0, 4, 3, 3], direct, vec![]), DType::F64);
    assert_eq!(net.shape(net.logits()), [1, 4, 1, 1]);
    assert_eq!(run(&net), run(&direct));
    // Another threshold is another function.
    let other = read(&model(&[0, 4, 3, 3], nodes, parts(1.0)));
    let message = other.unwrap_err().to_string();
    for part in ["Greater, 1 times: `/t/Greater`", "Where, 1 times"] {
        assert!(message.contains(part), "{message}");
    }
}
