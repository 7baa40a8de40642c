//! Ways of looking at a tiny convnet whose numbers are worked out once more by hand.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use prost::Message;
use tempfile::TempDir;

use super::looking::Fill;
use super::{Ready, Source, control, correspondence, evolution, invariance, occlusion};
use crate::convnet::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type,
    data_type,
};
use crate::convnet::{Changes, Model, Preset, Unit, Walk};
use crate::data::Image;
use crate::error::Result;
use crate::picture::save_png;
use crate::task::test_runs::Impatient;

const SIDE: usize = 16;

fn node(operator: &str, inputs: &[&str], output: &str, ints: &[(&str, &[i64])]) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        name: format!("/{output}/{operator}"),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        attribute: ints
            .iter()
            .map(|(name, ints)| AttributeProto {
                name: (*name).into(),
                ints: ints.to_vec(),
                r#type: attribute_type::INTS,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// Numbers between -1 and 1, times `scale`.
fn weights(name: &str, dims: &[i64], scale: f32) -> TensorProto {
    let count: i64 = dims.iter().product();
    let value = |k: i64| ((k * 7919 + dims[0] * 31) % 199) as f32 / 99.0 - 1.0;
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: data_type::FLOAT,
        float_data: (0..count).map(|k| scale * value(k)).collect(),
        ..Default::default()
    }
}

/// Two convolutions, a pool between, the mean of each map, three classes; the last convolution gets its
/// weights through an Identity node, as exporters write shared ones.
fn tiny(path: &Path, scale: f32) {
    let length = |n: i64| DimensionProto {
        dim_value: Some(n),
        dim_param: None,
    };
    let side = SIDE as i64;
    let shape = TensorShapeProto {
        dim: vec![length(1), length(3), length(side), length(side)],
    };
    let image = ValueInfoProto {
        name: "x".into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: data_type::FLOAT,
                shape: Some(shape),
            }),
        }),
    };
    let same: &[(&str, &[i64])] = &[("kernel_shape", &[3, 3]), ("pads", &[1, 1, 1, 1])];
    let pool: &[(&str, &[i64])] = &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])];
    let graph = GraphProto {
        node: vec![
            node("Conv", &["x", "w1"], "c1", same),
            node("Relu", &["c1"], "r1", &[]),
            node("MaxPool", &["r1"], "p1", pool),
            node("Identity", &["w2"], "w2b", &[]),
            node("Conv", &["p1", "w2b"], "c2", same),
            node("Relu", &["c2"], "r2", &[]),
            node("GlobalAveragePool", &["r2"], "g", &[]),
            node("Flatten", &["g"], "f", &[]),
            node("Gemm", &["f", "w3"], "y", &[]),
        ],
        initializer: vec![
            weights("w1", &[4, 3, 3, 3], 1.0),
            weights("w2", &[5, 4, 3, 3], scale),
            weights("w3", &[5, 3], 1.0),
        ],
        input: vec![image],
        output: vec![ValueInfoProto {
            name: "y".into(),
            r#type: None,
        }],
        ..Default::default()
    };
    let model = ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 13,
        }],
        ..Default::default()
    };
    std::fs::write(path, model.encode_to_vec()).unwrap();
}

fn picture(number: usize) -> Image {
    let mut image = Image::zeros(3, SIDE, SIDE);
    for (k, value) in image.values.iter_mut().enumerate() {
        *value = ((k * (37 + 2 * number) + 11 * number) % 256) as f32 / 255.0;
    }
    image
}

/// A folder with a model and three pictures.
pub(super) struct Fixture {
    folder: TempDir,
    pub source: Source,
    pub device: Device,
}

impl Fixture {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("tiny.onnx");
        tiny(&model, 1.0);
        std::fs::create_dir(folder.path().join("images")).unwrap();
        for number in 0..3 {
            let path = folder.path().join(format!("images/{number}_picture.png"));
            save_png(&picture(number), path).unwrap();
        }
        let source = Source {
            model,
            preset: Preset::Plain,
            changes: Changes::default(),
            labels: None,
            exclude: vec!["*.thumb.*".into()],
        };
        Self {
            folder,
            source,
            device: Device::flex(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn ready(&self) -> Ready {
        self.source.open(&self.device).unwrap()
    }
}

/// Activations and probabilities of one picture, by the tape.
fn by_hand(ready: &Ready, layer: &str, picture: &Image) -> (Vec<f32>, Vec<f64>) {
    let tape = ready.net.record(ready.batch([picture])).unwrap();
    let value = ready.net.layer(layer).unwrap().value;
    let logits = tape.map(ready.net.logits()).read().unwrap();
    let exponentials: Vec<f64> = logits.iter().map(|&y| f64::from(y).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    let probabilities = exponentials.iter().map(|e| e / sum).collect();
    (tape.map(value).read().unwrap(), probabilities)
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} is not {b}");
}

/// What came to its end.
pub(super) fn done<T>(report: Result<Option<T>>) -> T {
    report.unwrap().unwrap()
}

pub(super) fn occlusion_options(fixture: &Fixture) -> occlusion::Options {
    occlusion::Options {
        source: fixture.source.clone(),
        image: fixture.path("images/1_picture.png"),
        others: Some(fixture.path("images")),
        layer: Some("r2".into()),
        class: None,
        side: Some(6),
        step: Some(5),
        fill: Fill::Grey,
        batch: 3,
        walk: Walk::default(),
        out: fixture.path("out"),
        overwrite: false,
    }
}

#[test]
fn occlusion_is_the_model_on_pictures_with_a_hole() {
    let fixture = Fixture::new();
    let ready = fixture.ready();
    let options = occlusion_options(&fixture);
    let report = done(occlusion::run(&options, &fixture.device, &mut ()));
    assert_eq!((report.places, report.rows.len()), ([3, 3], 9));
    assert_eq!(report.class, 1, "the number in the name of the file");
    let clean = ready.picture(&options.image).unwrap();
    let (activations, _) = by_hand(&ready, "r2", &clean);
    let map = report.unit[0];
    let each = 8 * 8;
    let strongest = activations.iter().copied().fold(0.0, f32::max);
    assert!(activations[map * each..(map + 1) * each].contains(&strongest));
    for row in &report.rows {
        let mut holed = clean.clone();
        for c in 0..3 {
            for y in row.y.saturating_sub(3)..(row.y + 3).min(SIDE) {
                for x in row.x.saturating_sub(3)..(row.x + 3).min(SIDE) {
                    holed.plane_mut(c)[y * SIDE + x] = 0.5;
                }
            }
        }
        let (activations, probabilities) = by_hand(&ready, "r2", &holed);
        let total: f32 = activations[map * each..(map + 1) * each].iter().sum();
        close(row.activation, f64::from(total));
        close(f64::from(row.probability), probabilities[1]);
        assert!(probabilities.iter().all(|&p| p <= probabilities[row.class]));
    }
    let others: Vec<_> = report.others.iter().map(|other| &other.image).collect();
    assert_eq!(others.len(), 2, "the picture itself is no other");
    for other in &report.others {
        let (activations, _) = by_hand(&ready, "r2", &ready.picture(&other.image).unwrap());
        let of_map = activations[map * each..(map + 1) * each].iter().copied();
        close(other.value.into(), of_map.fold(0.0, f32::max).into());
    }
    for name in [
        "occlusion.png",
        "occlusion.html",
        "occlusion.npz",
        "table.csv",
        "table.json",
    ] {
        assert!(fixture.path("out").join(name).exists(), "{name}");
    }
}

#[test]
fn occlusion_refuses_what_does_not_exist_and_stops_when_asked() {
    let fixture = Fixture::new();
    let run = |change: &dyn Fn(&mut occlusion::Options)| {
        let mut options = occlusion_options(&fixture);
        change(&mut options);
        occlusion::run(&options, &fixture.device, &mut ())
    };
    type Change<'a> = &'a dyn Fn(&mut occlusion::Options);
    let cases: [(Change, &str); 5] = [
        (&|options| options.class = Some("zebra".into()), "zebra"),
        (&|options| options.class = Some("3".into()), "below 3"),
        (&|options| options.layer = Some("r9".into()), "r9"),
        (&|options| options.side = Some(0), "one pixel"),
        (&|options| options.side = Some(17), "no more than"),
    ];
    for (change, told) in cases {
        says!(run(change).unwrap_err(), told);
    }
    let options = occlusion_options(&fixture);
    let stopped = occlusion::run(&options, &fixture.device, &mut Impatient(0));
    assert!(stopped.unwrap().is_none());
    assert!(!fixture.path("out/table.csv").exists());
}

#[test]
fn random_weights_have_the_deviation_of_those_learnt_and_leave_the_others() {
    let fixture = Fixture::new();
    let model = Model::read(&fixture.source.model).unwrap();
    let names = |tensor: &str| {
        let weights = model.weights_below(tensor).into_iter();
        weights.map(|one| one.name).collect::<Vec<_>>()
    };
    assert_eq!(names("y"), ["w3", "w2", "w1"]);
    assert_eq!(names("r2"), ["w2", "w1"]);
    assert_eq!(names("p1"), ["w1"]);
    assert!(model.with_random("w9", 0).is_err());
    let ready = fixture.ready();
    let picture = picture(0);
    let run = |model: &Model| {
        let ready = fixture.source.ready(model, &fixture.device).unwrap();
        ["r1", "r2"].map(|layer| by_hand(&ready, layer, &picture).0)
    };
    let [first, second] = ["r1", "r2"].map(|layer| by_hand(&ready, layer, &picture).0);
    let [same, changed] = run(&model.with_random("w2", 1).unwrap());
    assert_eq!(same, first);
    assert_ne!(changed, second);
    assert_eq!(run(&model.with_random("w2", 1).unwrap())[1], changed);
    assert_ne!(run(&model.with_random("w2", 2).unwrap())[1], changed);
}

#[test]
fn the_control_compares_projections_under_random_weights() {
    let fixture = Fixture::new();
    let options = control::Options {
        source: fixture.source.clone(),
        image: fixture.path("images/0_picture.png"),
        layer: Some("r2".into()),
        unit: Unit::At(vec![2, 3, 3]),
        walk: Walk::default(),
        seed: 5,
        out: fixture.path("out"),
        overwrite: false,
    };
    let report = done(control::run(&options, &fixture.device, &mut ()));
    assert_eq!(report.rows.len(), 2);
    assert_eq!(report.unit, [2, 3, 3]);
    // With one layer random, both ways are the same; further down they differ.
    assert_eq!(report.rows[0].cascading, report.rows[0].alone);
    assert_ne!(report.rows[1].cascading, report.rows[1].alone);
    let bundle = crate::arrays::read(fixture.path("out/control.npz")).unwrap();
    let [original, random] = ["original", "layer001.alone"].map(|name| {
        let array = &bundle.arrays[name];
        assert_eq!(array.shape, [3, 8, 8], "{name} is what the unit sees");
        let absolute = array.values.iter().map(|v| f64::from(v.abs()));
        absolute.collect::<Vec<_>>()
    });
    let mean = |a: &[f64]| a.iter().sum::<f64>() / a.len() as f64;
    let covariance = |a: &[f64], b: &[f64]| {
        let pairs = a.iter().zip(b).map(|(a, b)| a * b);
        pairs.sum::<f64>() / a.len() as f64 - mean(a) * mean(b)
    };
    let expected = covariance(&original, &random)
        / (covariance(&original, &original) * covariance(&random, &random)).sqrt();
    close(report.rows[0].alone.pearson.unwrap(), expected);
}

#[test]
fn invariance_tells_how_far_features_move() {
    let fixture = Fixture::new();
    let options = invariance::Options {
        source: fixture.source.clone(),
        images: fixture.path("images"),
        count: 2,
        layers: Vec::new(),
        batch: 7,
        out: fixture.path("out"),
        overwrite: false,
    };
    let report = done(invariance::run(&options, &fixture.device, &mut ()));
    assert_eq!(report.images.len(), 2);
    assert_eq!(report.layers.len(), 2);
    assert_eq!(report.rows.len(), 2 * (13 + 9 + 36));
    let ready = fixture.ready();
    let mut unchanged = 0;
    for row in &report.rows {
        let looked = &report.images[row.image];
        let is_scaled = row.change == invariance::Change::Scaling;
        if row.amount == f64::from(u8::from(is_scaled)) {
            assert_eq!(row.distances, [0.0, 0.0]);
            close(row.probability.into(), looked.probability.into());
            unchanged += 1;
        }
        // Ten pixels of 224 are one of 16; zeros come in at the border.
        if row.change == invariance::Change::Translation {
            let original = ready.picture(&looked.image).unwrap();
            let mut moved = Image::zeros(3, SIDE, SIDE);
            for (k, value) in moved.values.iter_mut().enumerate() {
                let row_before = (k / SIDE % SIDE) as f64 - row.amount;
                if (0.0..SIDE as f64).contains(&row_before) {
                    *value = original.values[(k as f64 - row.amount * SIDE as f64) as usize];
                }
            }
            let (_, probabilities) = by_hand(&ready, "r1", &moved);
            close(row.probability.into(), probabilities[looked.class]);
        }
    }
    assert_eq!(unchanged, 2 * 3, "of two images no change of three kinds");
    assert!(fixture.path("out/invariance.png").exists());
}

#[test]
fn evolution_finds_the_strongest_of_each_epoch() {
    let fixture = Fixture::new();
    let models = fixture.path("epochs");
    std::fs::create_dir(&models).unwrap();
    for (epoch, scale) in [(1, 0.5), (2, 1.0), (10, 2.0)] {
        tiny(&models.join(format!("net-epoch{epoch}.onnx")), scale);
    }
    let options = evolution::Options {
        source: Source {
            model: models,
            ..fixture.source.clone()
        },
        images: fixture.path("images"),
        layer: None,
        maps: 2,
        batch: 2,
        walk: Walk::default(),
        out: fixture.path("out"),
        overwrite: false,
    };
    let report = done(evolution::run(&options, &fixture.device, &mut ()));
    assert_eq!(report.rows.len(), 6);
    let ready = fixture.ready();
    for rows in report.rows.chunks_exact(3) {
        let epochs: Vec<u64> = rows.iter().map(|row| row.epoch).collect();
        assert_eq!(epochs, [1, 2, 10]);
        // All weights of the layer twice as large: so is every activation, at the same place.
        close(rows[1].value.into(), 2.0 * f64::from(rows[0].value));
        close(rows[2].value.into(), 2.0 * f64::from(rows[1].value));
        for row in rows {
            assert_eq!((&row.unit, &row.image), (&rows[0].unit, &rows[0].image));
        }
        let map = rows[1].map;
        let strongest = (0..3).map(|number| {
            let path = fixture.path(&format!("images/{number}_picture.png"));
            let (activations, _) = by_hand(&ready, "r2", &ready.picture(&path).unwrap());
            let of_map = activations[map * 64..(map + 1) * 64].iter();
            of_map.copied().fold(0.0, f32::max)
        });
        close(rows[1].value.into(), strongest.fold(0.0, f32::max).into());
    }
}

#[test]
fn correspondence_is_perfect_between_equal_pictures() {
    let fixture = Fixture::new();
    let mut lines = "image,part,top,left,height,width\n".to_string();
    for number in 0..3 {
        let path = fixture.path(&format!("images/{number}_picture.png"));
        save_png(&picture(7), path).unwrap();
        lines += &format!("{number}_picture.png,corner,0,0,5,6\n");
    }
    std::fs::write(fixture.path("boxes.csv"), &lines).unwrap();
    let options = correspondence::Options {
        source: fixture.source.clone(),
        images: fixture.path("images"),
        boxes: fixture.path("boxes.csv"),
        layers: vec!["r1".into(), "r2".into()],
        fill: Fill::Mean,
        random: 4,
        seed: 3,
        out: fixture.path("out"),
        overwrite: false,
    };
    let run =
        |options: &correspondence::Options| correspondence::run(options, &fixture.device, &mut ());
    let report = done(run(&options));
    let told = report.rows.iter().map(|row| (row.part.as_str(), row.pairs));
    let (corner, random) = (("corner", 3), ("random", 12));
    assert_eq!(told.collect::<Vec<_>>(), [corner, corner, random, random]);
    let (corners, randoms) = report.rows.split_at(2);
    assert!(
        corners
            .iter()
            .all(|row| row.mean == 0.0 && row.error == 0.0)
    );
    assert!(randoms.iter().all(|row| row.mean > 0.0 && row.error > 0.0));
    for (lines, told) in [
        ("0_picture.png,tail,1,1,2,2", "mark `tail` in two"),
        ("0_picture.png,random,0,0,5,6", "cannot be called `random`"),
        (
            "0_picture.png,eye,0,0,5,6\n0_picture.png,eye,9,9,5,6",
            "marked twice",
        ),
    ] {
        let lines = format!("image,part,top,left,height,width\n{lines}\n");
        std::fs::write(fixture.path("boxes.csv"), lines).unwrap();
        says!(run(&options).unwrap_err(), told);
    }
}
