//! Every command of the README, on something small.

use std::fs;
use std::path::Path;

use deconvnet::arrays::{self, Array, Bundle};
use deconvnet::config::Config;
use deconvnet::data::scenes;
use deconvnet::picture::save_png;

use super::support::{config, run};

/// What a command that has to succeed printed on standard output.
#[track_caller]
fn succeeds(folder: &Path, line: &str) -> String {
    super::support::succeeds(folder, line).0
}

fn exists(folder: &Path, files: &[&str]) {
    for file in files {
        let length = fs::metadata(folder.join(file)).map_or(0, |m| m.len());
        assert!(length > 0, "{file} is missing or empty");
    }
}

#[test]
fn train_look_infer_export_import() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    config(folder, "solver = \"fista\"");
    fs::create_dir_all(folder.join("photos/more")).unwrap();
    for (i, (name, size)) in [("a.png", 32), ("more/a.png", 40)].iter().enumerate() {
        save_png(
            &scenes::sample(i, *size, 9),
            folder.join("photos").join(name),
        )
        .unwrap();
    }
    let out = succeeds(folder, "train --config small.toml --data photos --run mine");
    assert!(out.contains("finished"), "{out}");
    let pictures = "checkpoints/mine/pictures";
    for picture in [
        "filters-layer1",
        "filters-layer2",
        "maps-layer2",
        "curves",
        "reconstructions",
    ] {
        exists(folder, &[&format!("{pictures}/{picture}.png")]);
    }
    succeeds(folder, "train --resume mine");
    succeeds(
        folder,
        "visualize --checkpoint mine --image photos/a.png --images photos --out drawn",
    );
    exists(folder, &["drawn/patches-layer1.png"]);

    let out = succeeds(
        folder,
        "infer --checkpoint mine --images photos --out maps --solver fista --steps 20 --gap 0.001",
    );
    assert!(out.contains("PSNR"), "{out}");
    exists(
        folder,
        &[
            "maps/table.csv",
            "maps/table.json",
            "maps/a.png",
            "maps/more/a-maps.npz",
        ],
    );
    let (code, _, err) = run(
        folder,
        &[
            "infer",
            "--checkpoint",
            "mine",
            "--images",
            "photos",
            "--out",
            "maps",
        ],
    );
    assert!(code == 2 && err.contains("overwrite"), "{code} {err}");
    succeeds(
        folder,
        "infer --checkpoint mine --images photos --out joint --joint --maps safetensors --steps 5",
    );

    succeeds(folder, "export --checkpoint mine --out mine.npz --maps");
    succeeds(folder, "import --file mine.npz --run theirs");
    let out = succeeds(
        folder,
        "infer --checkpoint theirs --images photos/a.png --out again --steps 5 --json",
    );
    serde_json::from_str::<serde_json::Value>(&out).expect("JSON and nothing else");
}

#[test]
fn compare_coding_and_learning() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    config(folder, "solver = \"fista\"");
    let out = succeeds(folder, "compare --config small.toml --images 1 --steps 30");
    for word in ["split", "adam", "fista", "gap"] {
        assert!(out.contains(word), "{out}");
    }
    exists(
        folder,
        &[
            "compared/table.csv",
            "compared/curves.png",
            "compared/reconstructions.png",
        ],
    );
    succeeds(
        folder,
        "compare --config small.toml --what learning --solvers split,adam,fista --steps 1 --out learnt",
    );
    exists(folder, &["learnt/filters.png", "learnt/curves.png"]);
}

#[test]
fn a_problem_file_is_solved_to_a_certified_gap() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let wave = |n: usize, f: f32| (0..n).map(|i| (f * i as f32).sin()).collect::<Vec<f32>>();
    let mut bundle = Bundle::default();
    let array = |shape: &[usize], f| Array::new(shape.to_vec(), wave(shape.iter().product(), f));
    bundle
        .arrays
        .insert("s".into(), array(&[1, 1, 12, 14], 0.7).unwrap());
    bundle
        .arrays
        .insert("D0".into(), array(&[3, 1, 3, 3], 1.3).unwrap());
    bundle.scalars.insert("lmbda".into(), 0.3);
    bundle.texts.insert("boundary".into(), "valid".into());
    arrays::write(folder.join("problem.npz"), &bundle, false).unwrap();
    let line = "infer --problem problem.npz --gap 1e-5 --steps 5000 --out maps.npz --json";
    let report: serde_json::Value = serde_json::from_str(&succeeds(folder, line)).unwrap();
    assert_eq!(report["reason"], "gap", "{report}");
    exists(folder, &["maps.npz"]);
    succeeds(
        folder,
        "compare --problem problem.npz --solvers split,fista --steps 50",
    );
}

#[test]
fn backends_completions_and_help() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let survey: serde_json::Value =
        serde_json::from_str(&succeeds(folder, "backends --json")).unwrap();
    assert_eq!(survey["backends"][0]["backend"], "flex");
    assert_eq!(survey["backends"][0]["answers"], true);
    assert!(succeeds(folder, "completions bash").contains("deconvnet"));
    for command in COMMANDS {
        let help = succeeds(folder, &format!("{command} --help"));
        assert!(help.contains("Example"), "{help}");
    }
}

const COMMANDS: [&str; 14] = [
    "train",
    "infer",
    "invert",
    "denoise",
    "inpaint",
    "compare",
    "visualize",
    "export",
    "import",
    "convnet",
    "features",
    "classify",
    "backends",
    "completions",
];

#[test]
fn the_readme_names_every_command_and_no_other() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let mut named: Vec<&str> = readme
        .split("`deconvnet ")
        .skip(1)
        .filter_map(|rest| rest.split([' ', '`']).next())
        // The line of a Cargo.toml is none.
        .filter(|name| *name != "=")
        .collect();
    named.sort_unstable();
    named.dedup();
    let mut all = COMMANDS;
    all.sort_unstable();
    assert_eq!(named, all);
}

#[test]
fn every_shipped_config_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");
    let mut loaded = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // Those of `invert`, which its tests run.
            continue;
        }
        Config::read(&path).unwrap_or_else(|error| panic!("{error}"));
        loaded += 1;
    }
    assert!(loaded >= 6, "{loaded}");
    // The two that the paper's experiment is told by are the default but for the images.
    let fruit = Config::read(Path::new(&format!("{folder}/fruit.toml"))).unwrap();
    assert_eq!(fruit, Config::default());
}
