//! A small model for every operator and its attributes.

use deconvnet::convnet::proto::{AttributeProto, ModelProto, NodeProto, TensorProto, data_type};

use super::models::{float, int, ints, model, node, random, text, weights, whole};

const SHAPE: [i64; 4] = [0, 4, 7, 9];

pub fn case(nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> ModelProto {
    model(&SHAPE, nodes, weights)
}

pub fn one(op: &str, attributes: &[AttributeProto]) -> ModelProto {
    case(vec![node(op, &["x"], "y", attributes)], vec![])
}

pub fn with(op: &str, weights: TensorProto, attributes: &[AttributeProto]) -> ModelProto {
    let name = weights.name.clone();
    case(
        vec![node(op, &["x", &name], "y", attributes)],
        vec![weights],
    )
}

/// One whole number without axes.
fn single(name: &str, value: i64) -> TensorProto {
    TensorProto {
        dims: vec![],
        ..whole(name, &[value])
    }
}

/// Half of the rows, as exporters work that out from the shape; and pads of pairs, last axis first.
fn shapes() -> ModelProto {
    let int32 = int("to", data_type::INT32.into());
    let nodes = vec![
        node("Shape", &["x"], "shape", &[]),
        NodeProto {
            output: vec!["first".into(), "last".into()],
            ..node("Split", &["shape"], "first", &[])
        },
        node("Cast", &["last"], "narrow", &[int32]),
        node("Gather", &["narrow", "zero"], "rows", &[]),
        node("Div", &["rows", "two"], "half", &[]),
        node("Unsqueeze", &["half", "axis"], "end", &[]),
        node("Slice", &["x", "axis", "end", "two1"], "a", &[]),
        node("Expand", &["axis", "four"], "none", &[]),
        node("Concat", &["pads", "none"], "all", &[int("axis", 0)]),
        node("Reshape", &["all", "pairs"], "rowwise", &[]),
        node(
            "Slice",
            &["rowwise", "minus", "least", "axis", "minus"],
            "turned",
            &[],
        ),
        node(
            "Transpose",
            &["turned"],
            "columns",
            &[ints("perm", &[1, 0])],
        ),
        node("Reshape", &["columns", "minus"], "b", &[]),
        node("Pad", &["a", "b"], "y", &[]),
    ];
    let weights = vec![
        single("zero", 0),
        single("two", 2),
        whole("axis", &[0]),
        whole("two1", &[2]),
        whole("four", &[4]),
        whole("pads", &[1, 0, 2, 3]),
        whole("pairs", &[-1, 2]),
        whole("minus", &[-1]),
        whole("least", &[-9]),
    ];
    case(nodes, weights)
}

pub fn cases() -> Vec<(&'static str, ModelProto)> {
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
    let mut all = vec![
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
            "Gather of one place",
            with("Gather", single("k", -1), &[int("axis", 2)]),
        ),
        (
            "Gather of places along two axes",
            with(
                "Gather",
                TensorProto {
                    dims: vec![2, 1],
                    ..whole("k", &[3, 1])
                },
                &[int("axis", 1)],
            ),
        ),
        (
            "Split, Gather, Slice and Transpose of whole numbers",
            shapes(),
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
        (
            "LayerNormalization",
            case(
                vec![node(
                    "LayerNormalization",
                    &["x", "s", "t"],
                    "y",
                    &[int("axis", 2), float("epsilon", 0.1)],
                )],
                vec![random("s", &[7, 9]), random("t", &[7, 9])],
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
    ];
    all.extend(super::size_cases::cases());
    all
}
