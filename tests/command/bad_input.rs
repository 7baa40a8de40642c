//! Whatever is wrong is told in one message that says what, where, and what to do.

use std::fs;
use std::path::Path;

use super::support::{config, deconvnet, output, refused, run};

fn png(path: &Path, size: u32) {
    image::RgbImage::from_fn(size, size, |x, y| {
        image::Rgb([x as u8 * 7, y as u8 * 5, 90])
    })
    .save(path)
    .unwrap();
}

#[test]
fn folders_and_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("empty")).unwrap();
    fs::create_dir(folder.join("broken")).unwrap();
    png(&folder.join("broken/good.png"), 40);
    fs::write(folder.join("broken/cut.png"), b"\x89PNG\r\n\x1a\nnot much").unwrap();
    fs::write(folder.join("broken/gone.jpg"), b"").unwrap();
    fs::create_dir(folder.join("small")).unwrap();
    png(&folder.join("small/tiny.png"), 4);
    png(&folder.join("small/wee.png"), 3);
    // The 5 x 5 local mean leaves 5 x 5 pixels of these.
    fs::create_dir(folder.join("fewer")).unwrap();
    png(&folder.join("fewer/nine.png"), 9);
    png(&folder.join("fewer/ten.png"), 10);
    fs::create_dir(folder.join("zero")).unwrap();
    fs::write(folder.join("zero/empty.jpg"), b"").unwrap();
    fs::create_dir(folder.join("flat")).unwrap();
    for (name, level) in [("black.png", 0), ("red.png", 200)] {
        let flat = image::RgbImage::from_pixel(40, 40, image::Rgb([level, 0, 0]));
        flat.save(folder.join("flat").join(name)).unwrap();
    }
    for (data, words) in [
        ("nowhere", &["nowhere"][..]),
        ("empty", &["empty", "png"]),
        ("broken", &["2 of 3 images", "cut.png", "gone.jpg"]),
        ("small", &["tiny.png", "larger images", "wee.png"]),
        ("fewer", &["nine.png", "smaller", "7 x 7", "ten.png"]),
        ("zero", &["empty.jpg"]),
        ("flat", &["all alike", "black.png", "red.png"]),
    ] {
        let code = if data == "nowhere" { 7 } else { 3 };
        refused(
            folder,
            &["train", "--data", data, "--run", "r"],
            code,
            words,
        );
        assert!(
            !folder.join("checkpoints/r").exists(),
            "{data} left a run behind"
        );
    }
}

#[test]
fn masks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, size) in [("images", 32), ("masks", 31), ("none", 0)] {
        fs::create_dir(folder.join(name)).unwrap();
        if size > 0 {
            png(&folder.join(name).join("a.png"), size);
        }
    }
    for (mask, code, words) in [
        ("masks", 3, &["masks/a.png", "[31, 31]", "32 x 32"][..]),
        ("masks/a.png", 3, &["masks/a.png", "[31, 31]"]),
        ("none", 3, &["none/a.png", "images/a.png"]),
        ("gone.png", 7, &["gone.png"]),
    ] {
        let line = ["train", "--data", "images", "--mask", mask, "--run", "r"];
        let (got, _, err) = run(folder, &line);
        assert_eq!(got, code, "{mask}: {err}");
        assert!(words.iter().all(|word| err.contains(word)), "{mask}: {err}");
        assert!(!folder.join("checkpoints/r").exists());
    }
}

/// A flat image among others is told, and the SNR is that of the others.
#[test]
fn a_flat_image_among_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = "[data]\nimages = \"photos\"\ncolour = false\n[train]\nsolver = \"descent\"\n\
                [[layer]]\nmaps = 4\nsize = 5\nepochs = 1\nsparsity = { of_max = 0.1 }\n";
    fs::write(folder.join("c.toml"), text).unwrap();
    fs::create_dir(folder.join("photos")).unwrap();
    for name in ["photos/a.png", "photos/c.png"] {
        png(&folder.join(name), 32);
    }
    let snr = |run_name: &str| {
        let line = ["train", "-c", "c.toml", "--run", run_name, "--json"];
        let (code, out, err) = run(folder, &line);
        assert_eq!(code, 0, "{err}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        report["stages"][0]["snr"].as_f64().unwrap()
    };
    let alone = snr("alone");
    image::RgbImage::new(32, 32)
        .save(folder.join("photos/b.png"))
        .unwrap();
    let with_flat = snr("with");
    let (_, _, told) = run(folder, &["train", "-c", "c.toml", "--run", "told"]);
    says!(told, "1 of 3 images are flat", "b.png");
    assert!((alone - with_flat).abs() < 3.0, "{alone} {with_flat}");
}

#[test]
fn settings() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |text: &str| fs::write(folder.join("c.toml"), text).unwrap();
    let train = &["train", "-c", "c.toml"];
    refused(folder, &["train", "-c", "none.toml"], 7, &["none.toml"]);
    write("[train]\nsolvr = \"split\"");
    refused(
        folder,
        train,
        2,
        &["c.toml", "solvr", "did you mean `solver`?"],
    );
    write(" \n");
    refused(folder, train, 2, &["c.toml", "empty"]);
    write("[[layer]]\nmaps = 9\np = 2.0");
    refused(folder, train, 2, &["layer 1", "p is 2"]);
    write("[train\n");
    refused(folder, train, 2, &["c.toml", "line 1"]);
    refused(
        folder,
        &["train", "--solver", "newton"],
        2,
        &["newton", "split, adam, fista, descent or ista"],
    );
    refused(folder, &["train", "--backend", "tpu"], 2, &["tpu", "flex"]);
    refused(
        folder,
        &["train", "--resume", "x", "--batch", "3"],
        2,
        &["--resume"],
    );
    let line = ["infer", "--problem", "p.npz", "--gap", "-1"];
    refused(folder, &line, 2, &["--gap is -1", "0 or above"]);
    for more in [&["--joint"][..], &["--images", "photos"]] {
        let line = [&["infer", "--problem", "p.npz"], more].concat();
        refused(folder, &line, 2, &["--problem", more[0]]);
    }
}

#[test]
fn a_backend_that_is_not_compiled_in() {
    let folder = tempfile::tempdir().unwrap();
    // No program has both.
    let absent = match cfg!(feature = "cuda") {
        true => "metal",
        false => "cuda",
    };
    let words = &[absent, "not compiled", &format!("--features {absent}")];
    refused(folder.path(), &["train", "--backend", absent], 6, words);
}

#[test]
fn an_existing_run_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    config(folder, "");
    let train = [
        "train",
        "-c",
        "small.toml",
        "--epochs",
        "1",
        "--run",
        "r",
        "--quiet",
    ];
    let (code, out, err) = run(folder, &train);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    let before = fs::read(folder.join("checkpoints/r/checkpoint.json")).unwrap();
    refused(folder, &train, 2, &["checkpoints/r", "--resume", "another"]);
    let after = fs::read(folder.join("checkpoints/r/checkpoint.json")).unwrap();
    assert_eq!(before, after);
}

#[test]
fn checkpoints_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    config(folder, "");
    refused(folder, &["train", "--resume", "none"], 4, &["none"]);
    let (code, _, err) = run(folder, &["train", "-c", "small.toml", "--run", "r"]);
    assert_eq!(code, 0, "{err}");
    // A damaged trace stops nothing.
    let trace = folder.join("checkpoints/r/trace.jsonl");
    fs::write(&trace, &fs::read(&trace).unwrap()[9..]).unwrap();
    for command in [
        &["train", "--resume", "r"][..],
        &["visualize", "--checkpoint", "r"],
    ] {
        let (code, _, err) = run(folder, command);
        assert!(code == 0 && err.contains("trace.jsonl is damaged"), "{err}");
    }
    let manifest = folder.join("checkpoints/r/checkpoint.json");
    let text = fs::read_to_string(&manifest).unwrap();

    fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    refused(folder, &["train", "--resume", "r"], 4, &["checkpoint.json"]);
    fs::write(&manifest, text.replace("\"version\": 2", "\"version\": 99")).unwrap();
    refused(folder, &["train", "--resume", "r"], 4, &["99"]);
    // Shapes that do not fit the arrays.
    fs::write(
        &manifest,
        text.replace("\"sizes\": [", "\"sizes\": [[3, 3],"),
    )
    .unwrap();
    refused(folder, &["train", "--resume", "r"], 4, &["does not fit"]);

    fs::write(&manifest, &text).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let blob = value["blobs"]["filters"]["file"].as_str().unwrap();
    let path = folder.join("checkpoints/r/blobs").join(blob);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    refused(folder, &["train", "--resume", "r"], 4, &["filters"]);
}

/// Each of several processes would do all of the work, into the same files; the first tells it.
#[test]
fn several_processes_for_the_work_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let started = |rank: &str, line: &str| {
        let mut command = deconvnet(folder.path());
        command.env("OMPI_COMM_WORLD_SIZE", "3");
        command.env("OMPI_COMM_WORLD_RANK", rank);
        output(command.args(line.split(' ')))
    };
    for line in [
        "denoise noisy.png --out clean.png",
        "features photos",
        "convnet info model.onnx",
        "infer --problem problem.npz",
    ] {
        let (code, _, err) = started("0", line);
        assert!(code == 2 && err.contains("3 were started"), "{line}: {err}");
        assert_eq!(started("2", line), (0, String::new(), String::new()));
    }
    assert_eq!(started("2", "backends").0, 0);
}
