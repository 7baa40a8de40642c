//! Small models for operators that make maps larger or smaller, pick the largest, or normalise groups.

use deconvnet::convnet::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};

use super::models::{float, int, ints, node, random, text, weights, whole};
use super::operator_cases::{case, one, with};

/// Resize by scales, in the third place.
fn resized(scales: &[f32], attributes: &[AttributeProto]) -> ModelProto {
    let resize = node("Resize", &["x", "", "k"], "y", attributes);
    case(vec![resize], vec![weights("k", &[4], scales)])
}

/// Resize to lengths, in the fourth place.
fn sized(lengths: &[i64], attributes: &[AttributeProto]) -> ModelProto {
    let resize = node("Resize", &["x", "", "", "k"], "y", attributes);
    case(vec![resize], vec![whole("k", lengths)])
}

/// Of the map, its square and known numbers.
fn of_three(op: &str) -> ModelProto {
    let nodes = vec![
        node("Mul", &["x", "x"], "a", &[]),
        node(op, &["x", "c", "a"], "y", &[]),
    ];
    case(nodes, vec![random("c", &[4, 1, 1])])
}

fn affine(op: &str, attributes: &[AttributeProto]) -> ModelProto {
    let norm: NodeProto = node(op, &["x", "s", "t"], "y", attributes);
    let parts: Vec<TensorProto> = ["s", "t"].map(|name| random(name, &[4])).to_vec();
    case(vec![norm], parts)
}

pub fn cases() -> Vec<(&'static str, ModelProto)> {
    let linear = text("mode", "linear");
    let aligned = text("coordinate_transformation_mode", "align_corners");
    let outside = int("exclude_outside", 1);
    let old = |mode: &str| {
        let mut model = with(
            "Upsample",
            weights("k", &[4], &[1.0, 1.0, 2.0, 3.0]),
            &[text("mode", mode)],
        );
        model.opset_import[0].version = 9;
        model
    };
    let cubic = [text("mode", "cubic"), outside];
    vec![
        ("Resize", resized(&[1.0, 1.0, 2.0, 1.5], &[])),
        (
            "Resize, linear",
            resized(&[1.0, 1.0, 2.0, 0.6], std::slice::from_ref(&linear)),
        ),
        (
            "Resize, linear, corners aligned",
            sized(&[1, 4, 10, 5], &[linear, aligned]),
        ),
        ("Resize, cubic", sized(&[1, 4, 11, 4], &cubic)),
        ("Upsample", old("nearest")),
        ("Upsample, linear", old("linear")),
        ("Tile", with("Tile", whole("k", &[1, 2, 1, 3]), &[])),
        ("DepthToSpace", one("DepthToSpace", &[int("blocksize", 2)])),
        (
            "DepthToSpace, columns first",
            one("DepthToSpace", &[int("blocksize", 2), text("mode", "CRD")]),
        ),
        (
            "SpaceToDepth",
            case(
                vec![
                    node("Slice", &["x", "s", "e", "k"], "a", &[]),
                    node("SpaceToDepth", &["a"], "y", &[int("blocksize", 3)]),
                ],
                vec![whole("s", &[1]), whole("e", &[7]), whole("k", &[2])],
            ),
        ),
        ("Max", of_three("Max")),
        ("Min", of_three("Min")),
        ("Max with 0", with("Max", weights("c", &[], &[0.0]), &[])),
        (
            "Min with a number",
            with("Min", weights("c", &[1], &[0.3]), &[]),
        ),
        (
            "ReduceMax",
            one("ReduceMax", &[ints("axes", &[1, -1]), int("keepdims", 0)]),
        ),
        ("ReduceMin", one("ReduceMin", &[ints("axes", &[2])])),
        ("ReduceL2", one("ReduceL2", &[ints("axes", &[1])])),
        (
            "InstanceNormalization",
            affine("InstanceNormalization", &[float("epsilon", 0.1)]),
        ),
        (
            "GroupNormalization",
            affine(
                "GroupNormalization",
                &[int("num_groups", 2), float("epsilon", 0.1)],
            ),
        ),
    ]
}
