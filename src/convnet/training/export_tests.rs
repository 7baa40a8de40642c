//! What training writes as ONNX.

use std::path::Path;
use std::process::Command;

use burn::module::Module;
use burn::tensor::{DType, Device};
use prost::Message;
use rand::{SeedableRng, rngs::ChaCha8Rng};
use tempfile::TempDir;

use super::network::Network;
use super::tests::random;
use super::*;
use crate::convnet::proto::{ModelProto, attribute_type};

/// A network of random weights and biases, and what it says of three random images.
fn example() -> (Network, Model, Vec<f32>, Vec<f32>) {
    let device = Device::flex();
    let architecture = Architecture::new(21, 4, Some(0.1)).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut network = Network::random(&architecture, InitialWeights::Scaled, &mut rng, &device);
    for layer in &mut network.layers {
        let bias = random(layer.bias.val().dims(), 7, &device).cast(DType::F32);
        layer.bias = layer.bias.clone().map(|_| bias);
    }
    let images = random([3, 3, 21, 21], 8, &device).cast(DType::F32);
    let logits = network.forward(images.clone(), None).swap_dims(0, 1);
    let model = Model {
        standardisation: Standardisation {
            mean: [0.4, 0.5, 0.6],
            std: [0.2, 0.25, 0.3],
        },
        classes: ["a", "b", "c", "d"].map(String::from).into(),
        architecture,
    };
    let images = images.swap_dims(0, 1).try_into_vec_as().unwrap();
    (network, model, images, logits.try_into_vec_as().unwrap())
}

#[test]
fn the_file_names_its_nodes_by_module_and_says_how_pixels_are_prepared() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.onnx");
    let (network, model, ..) = example();
    export::write(&network, &model, &path).unwrap();
    let file = ModelProto::decode(&std::fs::read(&path).unwrap()[..]).unwrap();
    assert_eq!(file, export::to_onnx(&network, &model).unwrap());
    assert_eq!((file.ir_version, file.opset_import[0].version), (8, 17));
    let keys = file
        .metadata_props
        .iter()
        .map(|p| (&p.key[..], &p.value[..]));
    let expected = [
        ("deconvnet.mean", "[0.4,0.5,0.6]"),
        ("deconvnet.std", "[0.2,0.25,0.3]"),
        ("deconvnet.size", "21"),
        ("deconvnet.labels", r#"["a","b","c","d"]"#),
    ];
    let prepared: Vec<_> = keys.collect();
    assert_eq!(prepared.len(), expected.len());
    for ((key, value), (expected_key, expected)) in prepared.iter().zip(expected) {
        assert_eq!(*key, expected_key);
        let [value, expected] =
            [*value, expected].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        match expected[0].as_f64() {
            None => assert_eq!(value, expected),
            Some(_) => (0..3).for_each(|c| {
                let off = value[c].as_f64().unwrap() - expected[c].as_f64().unwrap();
                assert!(off.abs() < 1e-6);
            }),
        }
    }
    let graph = file.graph.unwrap();
    let names: Vec<&str> = graph.node.iter().map(|node| &node.name[..]).collect();
    assert_eq!(
        names[..4],
        [
            "/features/conv1/Conv",
            "/features/relu1/Relu",
            "/features/pool1/MaxPool",
            "/features/norm1/LRN",
        ]
    );
    assert_eq!(names.last(), Some(&"/classifier/fc8/Gemm"));
    // Every input is written before it is read, and every attribute has its type.
    let mut known = vec!["input"];
    known.extend(graph.initializer.iter().map(|t| &t.name[..]));
    for node in &graph.node {
        for input in &node.input {
            assert!(known.contains(&&input[..]), "{} reads {input}", node.name);
        }
        for attribute in &node.attribute {
            let has_numbers = match attribute.r#type {
                attribute_type::INTS => !attribute.ints.is_empty(),
                attribute_type::FLOAT => attribute.f != 0.0,
                kind => kind == attribute_type::INT,
            };
            assert!(has_numbers, "{} of {}", attribute.name, node.name);
        }
        known.extend(node.output.iter().map(|name| &name[..]));
    }
    assert_eq!(known.last(), Some(&"logits"));
    let count: i64 = graph
        .initializer
        .iter()
        .map(|t| t.dims.iter().product::<i64>())
        .sum();
    assert_eq!(count as usize, network.num_params());
}

#[test]
fn onnx_runtime_gives_the_same_logits() {
    let python = std::env::var("DECONVNET_PYTHON").unwrap_or_else(|_| "python3".into());
    let modules = "import json, sys, numpy, onnx, onnxruntime";
    let run = |script: &str, folder: &Path| {
        Command::new(&python)
            .args(["-c", script])
            .arg(folder)
            .output()
    };
    let folder = TempDir::new().unwrap();
    if !run(modules, folder.path()).is_ok_and(|output| output.status.success()) {
        crate::skipped::skipped("onnx", format!("{python} has not all of: {modules}"));
        return;
    }
    let (network, model, images, logits) = example();
    export::write(&network, &model, &folder.path().join("model.onnx")).unwrap();
    let case = serde_json::json!({ "images": images, "logits": logits });
    std::fs::write(folder.path().join("case.json"), case.to_string()).unwrap();
    let script = format!(
        "{modules}
folder = sys.argv[1]
onnx.checker.check_model(onnx.load(folder + '/model.onnx'), full_check=True)
case = json.load(open(folder + '/case.json'))
session = onnxruntime.InferenceSession(folder + '/model.onnx', providers=['CPUExecutionProvider'])
x = numpy.array(case['images'], 'f4').reshape(3, 3, 21, 21)
ours = numpy.array(case['logits'], 'f4').reshape(3, 4)
assert session.get_inputs()[0].shape[0] == 'batch', session.get_inputs()[0].shape
for n in (1, 3):
    theirs, = session.run(None, {{'input': x[:n]}})
    off = abs(theirs - ours[:n]).max() / abs(ours).max()
    assert off < 1e-5, off
"
    );
    let output = run(&script, folder.path()).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}
