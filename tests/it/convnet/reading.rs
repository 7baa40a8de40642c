//! What files hold: names, frozen batches, weights beside the model, operators that are not known.

use std::fs;

use burn::tensor::{DType, Device};
use deconvnet::convnet::proto::{NodeProto, StringStringEntryProto, TensorProto};
use deconvnet::convnet::{Convnet, Map, Model, Operator};
use prost::Message;

use super::models::{
    float, images, int, ints, model, node, numbers, random, read, ready, values, weights, whole,
};

fn named(op: &str, name: &str, input: &str, output: &str) -> NodeProto {
    NodeProto {
        name: name.into(),
        ..node(op, &[input], output, &[])
    }
}

#[test]
fn every_operator_that_is_not_known_is_named_at_once() {
    let nodes = vec![
        named("Einsum", "first", "x", "a"),
        named("Relu", "between", "a", "b"),
        named("Einsum", "", "b", "c"),
        named("NonMaxSuppression", "third", "c", "y"),
    ];
    let message = read(&model(&[0, 3, 8, 8], nodes, vec![]))
        .unwrap_err()
        .to_string();
    for part in [
        "2 of its operators",
        "Einsum, 2 times: `first`, `c`",
        "NonMaxSuppression, 1 times: `third`",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // What no output needs does no harm.
    let mut pool = node("MaxPool", &["x"], "y", &[ints("kernel_shape", &[2, 2])]);
    pool.output.push("places".into());
    let nodes = vec![named("Einsum", "", "x", "a"), pool];
    let net = ready(&model(&[0, 3, 8, 8], nodes, vec![]), DType::F32);
    assert_eq!(net.layers().len(), 1);
}

#[test]
fn layers_have_the_names_of_modules_nodes_weights_or_numbers() {
    let scoped = NodeProto {
        metadata_props: vec![StringStringEntryProto {
            key: "pkg.torch.onnx.name_scopes".into(),
            value: "['', 'layer1', 'layer1.0', 'relu']".into(),
        }],
        ..named("Relu", "node_relu_1", "x", "a")
    };
    let nodes = vec![
        scoped,
        named("Relu", "/features/features.3/Relu", "a", "b"),
        named(
            "Relu",
            "/layer2/layer2.0/downsample/downsample.0/Relu",
            "b",
            "c",
        ),
        NodeProto {
            input: vec!["c".into(), "stem.weight".into()],
            ..named("Conv", "Conv_7", "c", "d")
        },
        named("Tanh", "", "d", "e"),
        named("Relu", "/fire9_left/Relu", "e", "l"),
        named("Relu", "/fire9_right/Relu", "e", "r"),
        NodeProto {
            input: vec!["l".into(), "r".into()],
            attribute: vec![int("axis", 1)],
            ..named("Concat", "/Concat", "l", "joined")
        },
        named("Relu", "/fire10_left/Relu", "joined", "z"),
        named("Relu", "/block/Relu", "z", "f"),
        named("Relu", "/block/Relu_1", "f", "y"),
    ];
    let net = ready(
        &model(
            &[0, 3, 8, 8],
            nodes,
            vec![random("stem.weight", &[2, 3, 3, 3])],
        ),
        DType::F32,
    );
    let names: Vec<&str> = net
        .layers()
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "layer1.0",
            "features.3",
            "layer2.0.downsample.0",
            "stem",
            "tanh1",
            "fire9_left",
            "fire9_right",
            "concat",
            "fire10_left",
            "block.relu",
            "block.relu_1"
        ]
    );
    for (asked, tensor) in [
        ("b", "b"),
        ("features.3", "b"),
        ("/layer2/layer2.0/downsample/downsample.0/Relu", "c"),
        ("downsample.0", "c"),
        ("layer2", "c"),
        ("downsample", "c"),
        ("block", "y"),
        ("conv1", "d"),
        ("relu2", "b"),
        ("fire9", "joined"),
        ("fire10", "z"),
    ] {
        assert_eq!(net.layer(asked).unwrap().tensor, tensor, "{asked}");
    }
    for (asked, name) in [
        ("fire9", "fire9"),
        ("fire10", "fire10_left"),
        ("conv1", "stem"),
    ] {
        assert_eq!(net.layer_as_asked(asked).unwrap().name, name, "{asked}");
    }
    let message = net.layer("featuers.3").unwrap_err().to_string();
    assert!(message.contains("did you mean `features.3`"), "{message}");
}

#[test]
fn a_frozen_batch_is_any_batch() {
    let nodes = vec![
        node("GlobalAveragePool", &["x"], "a", &[]),
        node("Reshape", &["a", "k"], "b", &[]),
        node("Gemm", &["b", "w"], "y", &[]),
    ];
    for frozen in [1, 8] {
        let parts = vec![whole("k", &[frozen, 3]), random("w", &[3, 2])];
        let net = ready(&model(&[frozen, 3, 4, 4], nodes.clone(), parts), DType::F64);
        let x: Vec<f64> = numbers(5 * 48, 1).into_iter().map(f64::from).collect();
        let all = net.record(images(&x, &[5, 3, 4, 4])).unwrap();
        let all = values(all.map(net.logits()));
        for (image, logits) in x.chunks_exact(48).zip(all.chunks_exact(2)) {
            let alone = net.record(images(image, &[1, 3, 4, 4])).unwrap();
            assert_eq!(values(alone.map(net.logits())), logits);
        }
    }
}

#[test]
fn weights_may_lie_beside_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let scale = numbers(3, 4);
    let bytes: Vec<u8> = scale.iter().flat_map(|v| v.to_le_bytes()).collect();
    let entry = |key: &str, value: &str| StringStringEntryProto {
        key: key.into(),
        value: value.into(),
    };
    let outside = |location: &str, offset: &str| TensorProto {
        float_data: vec![],
        data_location: 1,
        external_data: vec![
            entry("location", location),
            entry("offset", offset),
            entry("length", "12"),
        ],
        ..weights("c", &[3, 1, 1], &[])
    };
    let write = |tensor: TensorProto| {
        let nodes = vec![node("Mul", &["x", "c"], "y", &[])];
        fs::write(
            &path,
            model(&[0, 3, 1, 1], nodes, vec![tensor]).encode_to_vec(),
        )
        .unwrap();
        Model::read(&path)
    };
    fs::write(folder.path().join("m.data"), [&[0; 4], &bytes[..]].concat()).unwrap();
    let model = write(outside("m.data", "4")).unwrap();
    let net = Convnet::new(&model, &[1, 3, 1, 1], &Device::flex(), DType::F32).unwrap();
    let ones = Map::from_values(vec![1.0; 3], &[1, 3, 1, 1], &Device::flex(), DType::F32);
    let tape = net.record(ones).unwrap();
    assert_eq!(tape.map(net.logits()).read().unwrap(), scale);
    for (location, offset, why) in [
        ("m.data", "8", "cut short"),
        ("gone.data", "0", "gone.data"),
        ("../m.data", "0", "beside the model"),
    ] {
        says!(write(outside(location, offset)).unwrap_err(), why);
    }
}

/// PyTorch writes local response normalisation out in nine nodes.
#[test]
fn response_normalisation_is_put_together_again() {
    let nodes = vec![
        node("Mul", &["x", "x"], "s", &[]),
        node("Unsqueeze", &["s", "one"], "s5", &[]),
        node("Pad", &["s5", "p"], "sp", &[]),
        node(
            "AveragePool",
            &["sp"],
            "m5",
            &[
                ints("kernel_shape", &[3, 1, 1]),
                ints("strides", &[1, 1, 1]),
            ],
        ),
        node("Squeeze", &["m5", "one"], "m", &[]),
        node("Mul", &["m", "alpha"], "a", &[]),
        node("Add", &["a", "bias"], "b", &[]),
        node("Pow", &["b", "beta"], "d", &[]),
        node("Div", &["x", "d"], "y", &[]),
    ];
    let parts = vec![
        whole("one", &[1]),
        whole("p", &[0, 0, 1, 0, 0, 0, 0, 1, 0, 0]),
        weights("alpha", &[], &[0.5]),
        weights("bias", &[], &[1.5]),
        weights("beta", &[], &[0.75]),
    ];
    let taken_apart = model(&[0, 4, 3, 3], nodes.clone(), parts.clone());
    let net = ready(&taken_apart, DType::F64);
    assert_eq!(net.steps().len(), 1);
    assert!(matches!(
        net.steps()[0].operator,
        Operator::LocalResponse(_)
    ));
    let attributes = [
        int("size", 3),
        float("alpha", 0.5),
        float("bias", 1.5),
        float("beta", 0.75),
    ];
    let whole_one = ready(
        &model(
            &[0, 4, 3, 3],
            vec![node("LRN", &["x"], "y", &attributes)],
            vec![],
        ),
        DType::F64,
    );
    // With another output in the middle nothing is known to be dead, and the numbers stay the same.
    let x: Vec<f64> = numbers(36, 1).into_iter().map(f64::from).collect();
    let result = |net: &Convnet| {
        let tape = net.record(images(&x, &[1, 4, 3, 3])).unwrap();
        values(tape.map(net.logits()))
    };
    assert_eq!(result(&net), result(&whole_one));
}

/// A receptive field and its steps, through padding, strides and dilation.
#[test]
fn receptive_fields_are_exact() {
    let nodes = vec![
        node(
            "Conv",
            &["x", "v"],
            "a",
            &[ints("strides", &[2, 2]), ints("pads", &[3, 3, 3, 3])],
        ),
        node(
            "MaxPool",
            &["a"],
            "b",
            &[ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])],
        ),
        node("Conv", &["b", "w"], "y", &[ints("dilations", &[2, 1])]),
    ];
    let parts = vec![random("v", &[2, 3, 7, 7]), random("w", &[2, 2, 3, 3])];
    let net = ready(&model(&[0, 3, 65, 65], nodes, parts), DType::F64);
    let field = net.field(net.logits()).unwrap();
    // 7, then + 2 x 2 = 11 every 4, then + 4 x 4 and + 2 x 4.
    assert_eq!((field.size, field.stride), ([27, 19], [4, 4]));
    // What a unit is made from is exactly where its gradient is not zero.
    let x: Vec<f64> = numbers(3 * 65 * 65, 1).into_iter().map(f64::from).collect();
    let tape = net.record(images(&x, &[1, 3, 65, 65])).unwrap();
    let shape = net.shape(net.logits()).to_vec();
    let [rows, columns] = net.patch(net.logits(), &[1, 2, 5]);
    let mut r = vec![0.0; shape.iter().product()];
    r[(shape[2] + 2) * shape[3] + 5] = 1.0;
    let walk = deconvnet::convnet::Walk {
        rule: deconvnet::convnet::Rule::Gradient,
        ..Default::default()
    };
    let back = values(&net.project(&tape, net.logits(), images(&r, &shape), &[0], &walk));
    for (at, value) in back.iter().enumerate() {
        let (row, column) = (at / 65 % 65, at % 65);
        let inside = (rows.0..=rows.1).contains(&row) && (columns.0..=columns.1).contains(&column);
        assert!(
            inside || *value == 0.0,
            "{row}, {column} counts but is not seen"
        );
    }
    assert_eq!([rows.1 - rows.0 + 1, columns.1 - columns.0 + 1], [27, 19]);
}

/// Which shape files work out from that of the image, and which pixels a unit behind shuffled channels sees.
#[test]
fn shuffled_channels_keep_their_places() {
    let nodes = vec![
        node("Conv", &["x", "v"], "a", &[ints("pads", &[1, 1, 1, 1])]),
        node("Reshape", &["a", "apart"], "b", &[]),
        node("Transpose", &["b"], "c", &[ints("perm", &[0, 2, 1, 3, 4])]),
        node("Reshape", &["c", "together"], "d", &[]),
        node("Conv", &["d", "w"], "y", &[int("group", 6)]),
    ];
    let parts = vec![
        random("v", &[6, 3, 3, 3]),
        random("w", &[6, 1, 3, 3]),
        whole("apart", &[0, 2, 3, 12, 12]),
        whole("together", &[0, 6, 12, 12]),
    ];
    let net = ready(&model(&[0, 3, 12, 12], nodes, parts), DType::F64);
    let field = net.field(net.logits()).unwrap();
    assert_eq!((field.size, field.stride), ([5, 5], [1, 1]));
    let seen = net.seen(
        net.layer("d").unwrap().value,
        &vec![(0, 0), (1, 1), (4, 6), (2, 2)],
    );
    assert_eq!(seen[2..], [(3, 7), (1, 3)]);
    // The output's channel 1 is channel 3 of what comes in: a unit sees that channel's weights alone.
    let region = net.seen(net.logits(), &vec![(0, 0), (1, 1), (0, 0), (0, 0)]);
    assert_eq!(region, [(0, 0), (0, 2), (-1, 3), (-1, 3)]);
}

/// Channels and one more axis: there are layers, but no pixels to see.
#[test]
fn what_is_no_image_has_no_receptive_fields() {
    let nodes = vec![node("Conv", &["x", "v"], "y", &[])];
    let net = ready(
        &model(&[0, 2, 9], nodes, vec![random("v", &[3, 2, 3])]),
        DType::F64,
    );
    assert_eq!(net.shape(net.logits()), [1, 3, 7]);
    assert_eq!(net.field(net.logits()), None);
}

/// Rows and columns keep their meaning where channels come last and axes change places.
#[test]
fn rows_and_columns_are_followed_where_axes_change() {
    let nodes = vec![
        node("Transpose", &["x"], "a", &[ints("perm", &[0, 3, 1, 2])]),
        node("Pad", &["a", "pads"], "b", &[]),
        node("Conv", &["b", "v"], "c", &[ints("strides", &[2, 2])]),
        node("Transpose", &["c"], "d", &[ints("perm", &[0, 2, 3, 1])]),
        node("Relu", &["d"], "y", &[]),
    ];
    let parts = vec![
        random("v", &[4, 3, 3, 5]),
        whole("pads", &[0, 0, 1, 2, 0, 0, 1, 2]),
    ];
    let net = ready(&model(&[0, 21, 26, 3], nodes, parts), DType::F64);
    for (tensor, size, stride) in [
        ("a", [1, 1], [1, 1]),
        ("b", [1, 1], [1, 1]),
        ("c", [3, 5], [2, 2]),
        ("d", [3, 5], [2, 2]),
        ("y", [3, 5], [2, 2]),
    ] {
        let field = net.field(net.layer(tensor).unwrap().value).unwrap();
        assert_eq!((field.size, field.stride), (size, stride), "{tensor}");
    }
    let shape = [1, 21, 26, 3];
    let x: Vec<f64> = numbers(21 * 26 * 3, 1).into_iter().map(f64::from).collect();
    let mut changed = x.clone();
    for (at, value) in changed.iter_mut().enumerate() {
        if (4..7).contains(&(at / 3 / 26)) && (20..26).contains(&(at / 3 % 26)) {
            *value = 0.5;
        }
    }
    let clean = net.record(images(&x, &shape)).unwrap();
    let all: Vec<usize> = (0..net.values()).collect();
    let found = net
        .run_changed(&clean, images(&changed, &shape), &[[4..7, 20..26]], &all)
        .unwrap();
    let expected = net.record(images(&changed, &shape)).unwrap();
    for (value, found) in found.iter().enumerate() {
        let pairs = values(found).into_iter().zip(values(expected.map(value)));
        let largest = pairs.fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
        assert!(largest < 1e-12, "value {value}: {largest}");
    }
}
