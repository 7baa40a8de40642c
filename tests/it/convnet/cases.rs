//! Six networks with projections worked out elsewhere, where they are at hand.

use std::ops::Range;
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
            let value = net.layer(tensor).unwrap().value;
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

/// Boxes of an image of two sides: at the borders and within, small and large, and all of it.
fn boxes([height, width]: [usize; 2]) -> Vec<[Range<usize>; 2]> {
    vec![
        [0..5, 0..3],
        [height - 4..height, width - 7..width],
        [height / 3..height / 3 + 1, width / 2..width / 2 + 9],
        [height / 2..height / 2 + 12, 2..13],
        [0..height, 0..width],
    ]
}

#[test]
fn what_a_box_changes_is_all_that_changes() {
    if !Path::new(FOLDER).is_dir() {
        return skipped("shared", "there are no networks beside the project");
    }
    for (name, _) in TENSORS {
        let model = Model::read(&Path::new(FOLDER).join(format!("{name}.onnx"))).unwrap();
        let path = Path::new(FOLDER).join(format!("{name}.npz"));
        let x = arrays::read(&path)
            .unwrap()
            .array("x", &path)
            .unwrap()
            .clone();
        let device = Device::flex();
        let net = Convnet::new(&model, &x.shape, &device, DType::F32).unwrap();
        let record = |values, shape: &[usize]| {
            net.record(Map::from_values(values, shape, &device, DType::F32))
                .unwrap()
        };
        let clean = record(x.values.clone(), &x.shape);
        let [_, _, height, width] = x.shape[..] else {
            panic!("images have four axes")
        };
        let all = boxes([height, width]);
        // The one that is everything goes alone, so that the others have something to save.
        for boxes in [&all[..4], &all[4..]] {
            let mut changed = x.values.repeat(boxes.len());
            for (image, part) in changed.chunks_exact_mut(x.values.len()).zip(boxes) {
                for (at, value) in image.iter_mut().enumerate() {
                    let (row, column) = (at / width % height, at % width);
                    if part[0].contains(&row) && part[1].contains(&column) {
                        *value = 0.5 - *value * (at % 7) as f32;
                    }
                }
            }
            let shape = [&[boxes.len()], &x.shape[1..]].concat();
            let whole = record(changed.clone(), &shape);
            let values: Vec<usize> = (0..net.values()).collect();
            let images = Map::from_values(changed, &shape, &device, DType::F32);
            let found = net.run_changed(&clean, images, boxes, &values).unwrap();
            for (value, found) in values.into_iter().zip(found) {
                let expected = whole.map(value);
                assert_eq!(found.shape(), expected.shape(), "{name}, value {value}");
                let distance = distance(&found.read().unwrap(), &expected.read().unwrap());
                assert!(distance < 1e-5, "{name}, value {value}: {distance}");
            }
        }
    }
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
