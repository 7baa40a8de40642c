//! `features` and `classify`: what they leave, what they tell of new images, and of bad input.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use deconvnet::arrays::{self, Bundle};
use deconvnet::data::scenes::{self, Scene};
use deconvnet::picture::save_png;

use super::skipped::skipped;
use super::support::{deconvnet, interrupted_at, refused, run, succeeds};

/// Two classes of sample scenes.
fn photos(folder: &Path, name: &str, each: usize, seed: u64) {
    for (class, kind) in [("facade", Scene::Facade), ("fruit", Scene::StillLife)] {
        let class = folder.join(name).join(class);
        fs::create_dir_all(&class).unwrap();
        for k in 0..each {
            let image = scenes::draw(kind, (40, 48), seed, k);
            save_png(&image, class.join(format!("{k}.png"))).unwrap();
        }
    }
}

const SMALL: &str = "--train-per-class 6 --test-per-class 4 --words 10 --step 4";

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn it_learns_measures_and_tells_the_classes_of_new_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photos(folder, "photos", 10, 1);
    photos(folder, "new", 5, 2);
    super::support::config(folder, "solver = \"descent\"");
    for (maps, recipe) in [
        ("gradients", "2010"),
        ("learnt", "soft --config small.toml"),
        ("random", "2010 --config small.toml"),
    ] {
        let line = format!(
            "classify photos {SMALL} --maps {maps} --recipe {recipe} --splits 2 --out {maps}"
        );
        let report = json(&succeeds(folder, &format!("{line} --json")).0);
        assert!(report["mean"].as_f64().unwrap() > 0.7, "{report}");
        assert_eq!(report["each"].as_array().unwrap().len(), 2);
        for file in ["table.csv", "table.json", "confusion.png", "classifier.npz"] {
            assert!(folder.join(maps).join(file).exists(), "{maps}/{file}");
        }
        assert!(!folder.join(maps).join("descriptors").exists());
        let model = format!("{maps}/classifier.npz");
        let told = json(&succeeds(folder, &format!("classify --model {model} new --json")).0);
        assert_eq!(told["rows"].as_array().unwrap().len(), 10);
        assert!(told["right"].as_f64().unwrap() > 0.7, "{told}");
        // Nothing is replaced unasked, and the same seed gives the same again.
        let arguments: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(run(folder, &arguments).0, 2);
        let again = json(&succeeds(folder, &format!("{line} --overwrite --json")).0);
        assert_eq!(again["each"], report["each"]);
    }
    // A picture beside the folders has no class.
    std::fs::copy(
        folder.join("new/fruit/1.png"),
        folder.join("photos/loose.png"),
    )
    .unwrap();
    let line = format!("classify photos {SMALL} --maps gradients --splits 1 --out loose");
    let (_, err) = succeeds(folder, &line);
    assert!(err.contains("left out: 1 in photos beside"), "{err}");
    // Its own pictures are no images.
    let (out, _) = succeeds(
        folder,
        "classify --model gradients/classifier.npz new/fruit/1.png",
    );
    assert!(out.contains("fruit") && out.contains("margin"), "{out}");
}

#[test]
fn features_go_to_a_file_and_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photos(folder, "photos", 10, 1);
    photos(folder, "new", 3, 2);
    let few = "--train-per-class 6 --words 10 --step 4";
    super::support::config(folder, "solver = \"descent\"");
    let line = format!("features photos --config small.toml --layers 1,2 {few}");
    succeeds(folder, &line);
    let made = arrays::read(folder.join("features.npz")).unwrap();
    assert_eq!(made.arrays["features"].shape, [20, 2 * 21 * 10]);
    assert_eq!(made.arrays["labels"].shape, [20]);
    assert_eq!(made.arrays["training"].shape, [12]);
    assert!(made.texts["names"].starts_with("facade/0.png\n"));
    // Each layer's histograms sum to 1.
    for row in made.arrays["features"].values.chunks_exact(420) {
        assert!((row.iter().sum::<f32>() - 2.0).abs() < 1e-3);
    }
    let (out, err) = succeeds(folder, "classify features.npz");
    assert!(
        out.contains("mean accuracy of 2 classes") && err.contains("one split"),
        "{out} {err}"
    );
    succeeds(folder, "features new --like features.npz --out new.npz");
    let line = "classify --model classified/classifier.npz new.npz --json";
    let told = json(&succeeds(folder, line).0);
    assert!(told["right"].as_f64().unwrap() > 0.6, "{told}");
    let (code, _, err) = run(
        folder,
        &["classify", "--model", "classified/classifier.npz", "new"],
    );
    assert!(code == 3 && err.contains("from features alone"), "{err}");
    // Images without classes.
    let (out, _) = succeeds(
        folder,
        &format!("features new/fruit --maps gradients {few} --out plain.npz"),
    );
    assert!(out.contains("3 of 210 numbers"), "{out}");
}

#[test]
fn layers_of_a_run_are_taken_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photos(folder, "photos", 10, 1);
    super::support::config(folder, "solver = \"descent\"");
    succeeds(folder, "train -c small.toml --run mine");
    let line =
        format!("classify photos {SMALL} --run mine --layers 2 --splits 1 --rounds 3 --json");
    let report = json(&succeeds(folder, &line).0);
    assert_eq!(report["layers"], serde_json::json!(["layer 2"]));
    assert!(report["deviation"].is_null());
    // Those of a convnet, by name; where none is named, the last rectifier.
    succeeds(
        folder,
        "convnet train --samples 30 --size 32 --width 0.06 --epochs 1 --run net",
    );
    let onnx = "--convnet checkpoints/net/model-epoch001.onnx";
    for (layers, out) in [("", "last"), ("--layers conv2", "second")] {
        let line = format!("classify photos {SMALL} {onnx} {layers} --splits 1 --out {out} --json");
        let line = line.replace("--words 10 --step 4", "");
        let report = json(&succeeds(folder, &line).0);
        assert!(report["mean"].as_f64().unwrap() > 0.4, "{report}");
        succeeds(
            folder,
            &format!("classify --model {out}/classifier.npz photos"),
        );
    }
    let line = format!("classify photos {SMALL} --run mine --layers 3 --out other");
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let (code, _, err) = run(folder, &arguments);
    assert!(
        code == 2 && err.contains("layer '3'") && err.contains("1, 2"),
        "{err}"
    );
}

/// Interrupts a command at its 32nd image; what it printed, unless it was done before, as on a fast machine.
#[cfg(unix)]
fn interrupted(folder: &Path, line: &str) -> Option<String> {
    let child = deconvnet(folder)
        .args(line.split_whitespace())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (rest, output) = interrupted_at(child, "32/120").expect("nothing was reported");
    if output.status.success() {
        skipped("interruption", "the machine was done before the signal");
        return None;
    }
    let saved = rest.iter().any(|line| line.contains("finishing the step"));
    assert!(output.status.code() == Some(130) && saved, "{rest:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(unix)]
#[test]
fn what_was_described_before_an_interruption_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photos(folder, "photos", 60, 1);
    let few = "--maps gradients --train-per-class 6 --words 10 --step 4";
    succeeds(
        folder,
        &format!("classify photos {few} --test-per-class 4 --splits 1"),
    );
    let model = "classified/classifier.npz";
    for line in [
        format!("features photos {few} --out f.npz"),
        format!("features photos --like {model} --out f.npz --overwrite"),
    ] {
        if let Some(out) = interrupted(folder, &line) {
            assert!(out.contains("f.npz.descriptors"), "{out}");
            let (_, err) = succeeds(folder, &line);
            says!(err, "going on where an earlier call stopped");
        }
        assert!(folder.join("f.npz").exists() && !folder.join("f.npz.descriptors").exists());
    }
    if let Some(out) = interrupted(folder, &format!("classify --model {model} photos")) {
        assert!(out.contains("interrupted: the other images"), "{out}");
        assert!(
            (32..120).contains(&out.lines().filter(|line| line.contains(".png")).count()),
            "{out}"
        );
    }
}

#[test]
fn flags_of_no_use_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (net, gradients) = ("photos --convnet n.onnx", "photos --maps gradients");
    for (command, rest, word) in [
        ("features", format!("{net} --max-side 150"), "--max-side"),
        ("features", format!("{net} --rounds 3"), "--rounds"),
        ("features", format!("{net} --recipe 2011"), "2011"),
        ("features", format!("{net} --words 9"), "--words"),
        ("classify", format!("{gradients} --recipe 2011"), "2011"),
        ("classify", format!("{gradients} --layers 1"), "--layers"),
        (
            "classify",
            format!("{gradients} --neighbours 2"),
            "--neighbours",
        ),
        ("features", format!("{gradients} --at best"), "--at"),
        ("classify", "f.npz --exclude x".into(), "--exclude"),
        ("classify", "f.npz --maps learnt".into(), "--maps"),
        ("classify", "f.npz --cell-size 2".into(), "--cell-size"),
        ("classify", "f.npz --keep".into(), "--keep"),
    ] {
        let line = format!("{command} {rest}");
        let arguments: Vec<&str> = line.split_whitespace().collect();
        refused(folder.path(), &arguments, 2, &[word]);
    }
}

#[test]
fn bad_input_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photos(folder, "photos", 8, 1);
    for class in ["one/a", "hollow/a", "hollow/b", "tiny/a", "tiny/b"] {
        fs::create_dir_all(folder.join(class)).unwrap();
        let side = if class.starts_with("tiny") { 6 } else { 40 };
        for k in 0..8 {
            let path = folder.join(class).join(format!("{k}.png"));
            save_png(&scenes::sample(k, side, 1), path).unwrap();
        }
    }
    for k in 0..8 {
        fs::remove_file(folder.join(format!("hollow/b/{k}.png"))).unwrap();
    }
    let mut bundle = Bundle::default();
    bundle
        .put(
            "features",
            &[4, 2],
            vec![0.0, 1.0, 1.0, f32::NAN, 0.5, 0.5, 1.0, 0.0],
        )
        .unwrap();
    bundle.indices.insert("labels".into(), vec![0, 0, 1, 1]);
    arrays::write(folder.join("nan.npz"), &bundle, false).unwrap();
    bundle.put("features", &[3, 2], vec![0.0; 6]).unwrap();
    arrays::write(folder.join("short.npz"), &bundle, false).unwrap();
    succeeds(
        folder,
        "classify photos --maps gradients --train-per-class 4 --words 5 --splits 1 --out ours",
    );
    succeeds(
        folder,
        "features photos --maps gradients --train-per-class 4 --words 6 --out six.npz",
    );
    let small = "--train-per-class 4 --words 5 --out o";
    for (line, expected, words) in [
        (format!("classify one {small}"), 3, "one folder (a)"),
        (format!("classify hollow {small}"), 3, "no image in"),
        (format!("classify nowhere {small}"), 7, "nowhere"),
        (
            "classify photos --out o".into(),
            3,
            "facade (8), fruit (8); learn from at most 7",
        ),
        (format!("classify tiny {small}"), 3, "6 x 6"),
        (
            format!("classify tiny --maps gradients {small}"),
            3,
            "16 x 16 of a descriptor",
        ),
        (
            "classify nan.npz --out o --train-per-class 1".into(),
            3,
            "vector 1 holds NaN",
        ),
        (
            "classify short.npz --out o --train-per-class 1".into(),
            3,
            "4 labels do not fit 3 vectors",
        ),
        (
            "classify --model ours/classifier.npz six.npz".into(),
            3,
            "vectors of 126 numbers",
        ),
        (
            "classify --model six.npz photos".into(),
            3,
            "holds no text `kernel`",
        ),
        ("classify --model none.npz photos".into(), 7, "none.npz"),
        (
            format!("classify photos {small} --recipe 2012"),
            2,
            "2010, 2011, soft or plain",
        ),
        (
            format!("classify photos {small} --splits 0"),
            2,
            "at least one split",
        ),
        (format!("classify photos {small} --levels 0"), 2, "pyramid"),
        (format!("classify photos {small} --step 0"), 2, "give 1 to"),
        (format!("classify photos {small} --c -1"), 2, "-1"),
        (
            "classify photos --train-per-class 4 --out o --maps gradients --words 100000".into(),
            3,
            "fewer words",
        ),
        (
            "features photos --maps gradients --train-per-class 4 --words 2000000000 --out o.npz"
                .into(),
            8,
            "--force",
        ),
        ("classify photos photos".into(), 2, "one folder"),
        ("features photos --out o.txt".into(), 2, "o.txt"),
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        refused(folder, &arguments, expected, &[words]);
        let _ = fs::remove_dir_all(folder.join("o"));
    }
}
