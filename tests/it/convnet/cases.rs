//! Six networks with projections worked out elsewhere, where they are at hand.

use std::path::Path;

use burn::tensor::{DType, Device};
use deconvnet::arrays;
use deconvnet::backend::Backend;
use deconvnet::convnet::{Convnet, Map, Model, Rule, Walk, signals};

use crate::skipped::skipped;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/convnets");

/// The tensors whose units were projected, in the order of the files.
const TENSORS: [(&str, [&str; 4]); 6] = [
    (
        "alex",
        [
            "/1/Relu_output_0",
            "/7/Relu_output_0",
            "/11/Relu_output_0",
            "output",
        ],
    ),
    (
        "vgg_bn",
        [
            "/0/0.2/Relu_output_0",
            "/3/3.2/Relu_output_0",
            "/6/6.2/Relu_output_0",
            "output",
        ],
    ),
    ("resnet", ["relu", "relu_3", "relu_6", "linear"]),
    (
        "squeeze",
        [
            "/1/Relu_output_0",
            "/4/r1/Relu_output_0",
            "/8/Relu_output_0",
            "output",
        ],
    ),
    (
        "preact",
        [
            "/1/Relu_output_0",
            "/2/Relu_1_output_0",
            "/5/Relu_output_0",
            "output",
        ],
    ),
    (
        "mobile",
        [
            "/1/Clip_output_0",
            "/6/Clip_output_0",
            "/8/Clip_output_0",
            "output",
        ],
    ),
];

fn distance(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected
        .iter()
        .fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0_f32, f32::max) / largest
}

fn check(device: &Device, tolerance: f32) {
    for (name, tensors) in TENSORS {
        let model = Model::read(&Path::new(FOLDER).join(format!("{name}.onnx"))).unwrap();
        let path = Path::new(FOLDER).join(format!("{name}.npz"));
        let file = arrays::read(&path).unwrap();
        let x = file.array("x", &path).unwrap();
        let net = Convnet::new(&model, &x.shape, device, DType::F32).unwrap();
        let images = Map::from_values(x.values.clone(), &x.shape, device, DType::F32);
        let tape = net.record(images).unwrap();
        let logits = tape.map(net.logits()).read().unwrap();
        let expected = &file.array("logits", &path).unwrap().values;
        assert!(distance(&logits, expected) < tolerance, "{name}: logits");
        for (j, tensor) in tensors.iter().enumerate() {
            let value = net.tensor(tensor).unwrap();
            let unit = &file.array(&format!("at{j}"), &path).unwrap().values;
            let unit: Vec<usize> = unit.iter().map(|&at| at as usize).collect();
            let shape = &net.shape(value)[1..];
            let signal = || signals(&[(unit.clone(), 1.0)], shape, tape.map(value));
            for rule in Rule::ALL {
                let walk = Walk {
                    rule,
                    ..Walk::default()
                };
                let found = net
                    .project(&tape, value, signal(), &[0], &walk)
                    .read()
                    .unwrap();
                let key = match rule {
                    Rule::Deconvnet => format!("deconv{j}"),
                    rule => format!("{rule}{j}"),
                };
                let expected = &file.array(&key, &path).unwrap().values;
                let distance = distance(&found, expected);
                assert!(distance < tolerance, "{name}, {tensor}, {rule}: {distance}");
            }
        }
    }
}

#[test]
fn six_networks_go_back_as_worked_out_elsewhere() {
    if !Path::new(FOLDER).is_dir() {
        return skipped("shared", "there are no networks beside the project");
    }
    check(&Device::flex(), 1e-5);
}

#[test]
fn six_networks_go_back_on_a_gpu() {
    if !Path::new(FOLDER).is_dir() {
        return skipped("shared", "there are no networks beside the project");
    }
    match Backend::Wgpu.device() {
        Ok(device) => check(&device, 1e-4),
        Err(error) => skipped("wgpu", error.to_string()),
    }
}
