//! Files that are cut short or changed give a message, never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use burn::tensor::{DType, Device};
use deconvnet::convnet::proto::{AttributeProto, GraphProto, ValueInfoProto};
use deconvnet::convnet::{Convnet, Map, Model};
use prost::Message;

use super::models::{int, ints, model, node, random, text, weights, whole};

/// Changed files that are tried.
const TRIES: u64 = 4000;

/// A branch of an If that has the rectifier of `m`.
fn branch(name: &str) -> AttributeProto {
    let output = ValueInfoProto {
        name: name.into(),
        r#type: None,
    };
    AttributeProto {
        name: name.into(),
        g: Some(GraphProto {
            node: vec![node("Relu", &["m"], name, &[])],
            output: vec![output],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn whole_model() -> Vec<u8> {
    let nodes = vec![
        node(
            "Conv",
            &["x", "w", "b"],
            "a",
            &[ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])],
        ),
        node("Relu", &["a"], "c", &[]),
        node(
            "MaxPool",
            &["c"],
            "d",
            &[
                ints("kernel_shape", &[2, 2]),
                ints("strides", &[1, 1]),
                int("ceil_mode", 1),
            ],
        ),
        node("Mul", &["d", "s"], "e", &[]),
        node("Concat", &["d", "e"], "f", &[int("axis", 1)]),
        node("DepthToSpace", &["f"], "f2", &[int("blocksize", 2)]),
        node("InstanceNormalization", &["f2", "t", "t"], "f3", &[]),
        node(
            "Resize",
            &["f3", "", "half"],
            "f4",
            &[text("mode", "linear")],
        ),
        node("Tile", &["f4", "four"], "f5", &[]),
        node(
            "AveragePool",
            &["f5"],
            "g",
            &[ints("kernel_shape", &[2, 2])],
        ),
        node("Slice", &["g", "from", "to", "axes"], "h", &[]),
        node("Transpose", &["h"], "i", &[ints("perm", &[0, 2, 3, 1])]),
        node("Shape", &["i"], "j", &[]),
        node("Gather", &["j", "first"], "k", &[]),
        node("Concat", &["k", "rest"], "l", &[int("axis", 0)]),
        node("Reshape", &["i", "l"], "m", &[]),
        node("Equal", &["k", "first"], "n", &[]),
        node(
            "If",
            &["n"],
            "o",
            &[branch("then_branch"), branch("else_branch")],
        ),
        node("Gemm", &["o", "v"], "y", &[int("transB", 1)]),
    ];
    let parts = vec![
        random("w", &[4, 3, 3, 3]),
        random("b", &[4]),
        weights("s", &[4, 1, 1], &[1.0, 2.0, 3.0, 4.0]),
        random("t", &[2]),
        weights("half", &[4], &[1.0, 1.0, 0.5, 0.5]),
        whole("four", &[1, 4, 1, 1]),
        whole("from", &[1]),
        whole("to", &[3]),
        whole("axes", &[2]),
        whole("first", &[0]),
        whole("rest", &[-1]),
        random("v", &[5, 2 * 4 * 8]),
    ];
    model(&[0, 3, 12, 12], nodes, parts).encode_to_vec()
}

/// Whether it ran to the end; an error is a message, and anything else fails the test.
fn ran(bytes: &[u8]) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let model = Model::decode(bytes, Path::new("changed.onnx"))?;
        let Some(shape) = model.image_shape(12, 12) else {
            return Ok(());
        };
        let net = Convnet::new(&model, &shape, &Device::flex(), DType::F32)?;
        let count = shape.iter().product();
        let x = Map::from_values(vec![0.5; count], &shape, &Device::flex(), DType::F32);
        let tape = net.record(x)?;
        let value = net.logits();
        let signal = tape.map(value).clone();
        net.project(&tape, value, signal, &[0], &Default::default());
        net.field(value);
        let changed = Map::from_values(vec![0.2; count], &shape, &Device::flex(), DType::F32);
        net.run_changed(&tape, changed, &[[2..5, 3..7]], &[value])?;
        Ok::<(), deconvnet::Error>(())
    }));
    match outcome {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            assert!(!error.to_string().is_empty());
            false
        }
        Err(_) => panic!(
            "a changed file of {} bytes makes the library panic: {bytes:?}",
            bytes.len()
        ),
    }
}

#[test]
fn files_cut_short_or_changed_never_panic() {
    let whole = whole_model();
    assert!(ran(&whole), "the model itself must run");
    for end in 0..whole.len() {
        ran(&whole[..end]);
    }
    // SplitMix64.
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut ran_to_the_end = 0;
    for _ in 0..TRIES {
        let mut bytes = whole.clone();
        for _ in 0..1 + next() % 3 {
            let at = next() as usize % bytes.len();
            match next() % 4 {
                0 => bytes[at] = next() as u8,
                1 => bytes[at] ^= 1 << (next() % 8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, [0, 1, 0x7f, 0xff][next() as usize % 4]),
            }
        }
        ran_to_the_end += u64::from(ran(&bytes));
    }
    // Most changes hit weights and leave a model that runs, but not all.
    assert!(
        (TRIES / 10..TRIES).contains(&ran_to_the_end),
        "{ran_to_the_end} of {TRIES}"
    );
}

#[test]
fn nodes_in_a_circle_give_a_message() {
    let circle = |reshape| {
        vec![
            reshape,
            node("Mul", &["a", "alpha"], "scaled", &[]),
            node("Add", &["scaled", "bias"], "sum", &[]),
            node("Pow", &["sum", "beta"], "power", &[]),
            node("Div", &["x", "power"], "y", &[]),
        ]
    };
    let one = |name: &str| weights(name, &[], &[1.0]);
    for first in [
        node("Reshape", &["a", "s"], "a", &[]),
        node("Squeeze", &[], "a", &[]),
    ] {
        let known = vec![
            one("alpha"),
            one("bias"),
            one("beta"),
            whole("s", &[1, 3, 4, 4]),
        ];
        let bytes = model(&[1, 3, 4, 4], circle(first), known).encode_to_vec();
        let read = Model::decode(&bytes, Path::new("circle.onnx"));
        let net = read.and_then(|model| {
            Convnet::new(&model, &[1, 3, 4, 4], &Device::flex(), DType::F32).map(drop)
        });
        net.unwrap_err();
    }
}
