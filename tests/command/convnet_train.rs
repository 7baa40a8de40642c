//! `convnet train`: what it leaves, how it stops, what it says of bad input.

use std::fs;
use std::process::Stdio;

use deconvnet::data::scenes;
use deconvnet::picture::save_png;

use super::support::{checksums, deconvnet, interrupted_at, run, succeeds};

const SMALL: &str = "convnet train --samples 30 --size 16 --width 0.06 --batch 10";

#[test]
fn it_trains_and_leaves_models_and_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (out, _) = succeeds(folder, &format!("{SMALL} --epochs 3 --run mine"));
    says!(out, "finished", "best accuracy");
    for file in [
        "model-epoch001.onnx",
        "model-epoch002.onnx",
        "model-epoch003.onnx",
        "trace.jsonl",
        "pictures/curves.png",
        "pictures/filters.png",
    ] {
        let path = folder.join("checkpoints/mine").join(file);
        assert!(fs::metadata(path).is_ok_and(|m| m.len() > 0), "{file}");
    }
    // A finished run has nothing left to do, and other commands refuse it.
    succeeds(folder, "convnet train --resume mine");
    let (code, _, err) = run(folder, &["train", "--resume", "mine"]);
    assert!(code == 4 && err.contains("convnet"), "{code} {err}");
    let line = format!("{SMALL} --epochs 1 --run theirs --json");
    let report: serde_json::Value = serde_json::from_str(&succeeds(folder, &line).0).unwrap();
    assert_eq!(report["ended"], "finished");
}

#[test]
fn ctrl_c_saves_and_the_run_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeds(folder, &format!("{SMALL} --epochs 30 --run whole"));
    let child = deconvnet(folder)
        .args(SMALL.split_whitespace())
        .args(["--epochs", "30", "--run", "cut"])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (rest, output) = interrupted_at(child, "epoch 2 ").expect("no epoch was reported");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{out} {rest:?}");
    says!(out, "convnet train --resume checkpoints/cut");
    succeeds(folder, "convnet train --resume cut");
    let runs = folder.join("checkpoints");
    assert_eq!(checksums(&runs.join("cut")), checksums(&runs.join("whole")));
}

#[test]
fn bad_input_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (data, classes) in [
        ("one", vec!["a"]),
        ("two", vec!["a", "b"]),
        ("broken", vec!["a", "b"]),
    ] {
        for class in classes {
            fs::create_dir_all(folder.join(data).join(class)).unwrap();
            let path = folder.join(data).join(class).join("x.png");
            save_png(&scenes::sample(0, 12, 1), path).unwrap();
        }
    }
    fs::write(folder.join("broken/b/x.png"), "none").unwrap();
    fs::create_dir_all(folder.join("two/c")).unwrap();
    for (line, expected, words) in [
        ("--data one", 3, "one folder (a)"),
        ("--data two", 3, "no image in"),
        ("--data broken", 3, "x.png"),
        ("--data nowhere", 7, "nowhere"),
        ("--size 5", 2, "7 x 7"),
        ("--epochs 0", 2, "at least 1"),
        (
            "--samples 4 --size 16 --rate 1e30",
            5,
            "smaller learning rate",
        ),
    ] {
        let line: Vec<&str> = ["convnet", "train", "--run", "r"]
            .into_iter()
            .chain(line.split_whitespace())
            .collect();
        let (code, _, err) = run(folder, &line);
        assert_eq!(code, expected, "{line:?}: {err}");
        let last = err.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("error: ") && last.contains(words),
            "{line:?}: {err}"
        );
    }
}
