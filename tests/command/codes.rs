//! Boundaries, codes that must not be negative and weights of the penalty, from settings to files.

use std::fs;
use std::path::Path;

use deconvnet::arrays;

use super::support::{refused, run, succeeds};

fn settings(boundary: &str, more: &str) -> String {
    format!(
        "[data]\ncolour = false\nsample_count = 3\nsample_size = 40\n\
         [preprocess]\nkind = \"contrast-normalize\"\n\
         [train]\nsolver = \"descent\"\nboundary = \"{boundary}\"\nconstraint = \"non-negative-ball\"\n\
         [[layer]]\nmaps = 4\nsize = 5\nsparsity = {{ of_max = 0.2 }}\nepochs = 2\n{more}"
    )
}

#[test]
fn a_run_keeps_its_boundary_and_its_signs() {
    for (boundary, side) in [("valid", 44), ("circular", 40), ("zero", 36)] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let more = "non_negative = true\npenalty_weights = [1.0, 1.0, 2.0, 0.5]\n";
        fs::write(folder.join("codes.toml"), settings(boundary, more)).unwrap();
        succeeds(folder, "train --config codes.toml --run run");
        let look = |name: &str, run: &str, line: &str| {
            succeeds(folder, line);
            let file = folder.join(name);
            let bundle = arrays::read(&file).unwrap();
            let filters = bundle.array("layer1.filters", &file).unwrap();
            assert!(filters.values.iter().all(|&f| f >= 0.0), "{boundary} {run}");
            let weights = bundle.array("layer1.penalty_weights", &file).unwrap();
            assert_eq!(weights.values, [1.0, 1.0, 2.0, 0.5]);
            bundle
        };
        let bundle = look(
            "run.npz",
            "run",
            "export --checkpoint run --out run.npz --maps dense",
        );
        let maps = bundle
            .array("layer1.maps.image00001", Path::new("run.npz"))
            .unwrap();
        assert_eq!(maps.shape, [4, side, side], "{boundary}");
        assert!(maps.values.iter().all(|&z| z >= 0.0));
        assert!(maps.values.iter().any(|&z| z > 0.0));
        // The pictures know where an element lies.
        succeeds(folder, "visualize --checkpoint run --out pictures");
        assert!(folder.join("pictures/patches-layer1.png").exists());

        succeeds(folder, "import --file run.npz --run again");
        let second = "export --checkpoint again --out again.npz";
        let again = look("again.npz", "again", second);
        assert_eq!(
            again.arrays["layer1.filters"],
            bundle.arrays["layer1.filters"]
        );
        fs::create_dir(folder.join("new")).unwrap();
        let image = deconvnet::data::scenes::sample(0, 40, 9);
        deconvnet::picture::save_png(&image, folder.join("new/a.png")).unwrap();
        for name in ["run", "again"] {
            let line = format!("infer --checkpoint {name} --images new --out of-{name} --maps npz");
            succeeds(folder, &line);
            let file = folder.join(format!("of-{name}/a-maps.npz"));
            let maps = arrays::read(&file).unwrap();
            assert_eq!(maps.arrays["layer1"].shape, [4, side, side]);
            assert!(maps.arrays["layer1"].values.iter().all(|&z| z >= 0.0));
        }
        let tables = ["run", "again"].map(|name| {
            let table = fs::read_to_string(folder.join(format!("of-{name}/table.csv"))).unwrap();
            let row = table.lines().nth(1).unwrap().to_owned();
            // All but the seconds.
            row.split(',')
                .take(6)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        assert_eq!(tables[0], tables[1], "{boundary}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cases = [
        (settings("same", ""), "valid"),
        (settings("zero", "penalty_weights = [1.0]\n"), "4 maps"),
        (
            settings("zero", "penalty_weights = [1.0, 1.0, -2.0, 1.0]\n"),
            "-2",
        ),
        (
            settings("zero", "penalty_weights = [1.0, 1.0, 2.0, 1.0]\n")
                .replace("descent", "split"),
            "descent",
        ),
        (
            settings("circular", "").replace(
                "solver = \"descent\"",
                "form = \"adaptive\"\nsolver = \"ista\"",
            ),
            "boundary",
        ),
    ];
    for (text, words) in cases {
        fs::write(folder.join("codes.toml"), text).unwrap();
        refused(folder, &["train", "--config", "codes.toml"], 2, &[words]);
    }
    // A problem file with weights for other maps.
    let mut bundle = arrays::Bundle::default();
    let ramp = |shape: [usize; 4]| {
        let n: usize = shape.iter().product();
        let values = (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
        arrays::Array::new(shape.to_vec(), values).unwrap()
    };
    bundle.arrays.insert("s".into(), ramp([1, 1, 8, 9]));
    bundle.arrays.insert("D0".into(), ramp([3, 1, 3, 3]));
    bundle.arrays.insert("L1Weight".into(), ramp([1, 3, 8, 8]));
    bundle.scalars.insert("lmbda".into(), 0.1);
    bundle.texts.insert("boundary".into(), "circular".into());
    arrays::write(folder.join("p.npz"), &bundle, false).unwrap();
    let line = ["infer", "--problem", "p.npz"];
    refused(folder, &line, 3, &["L1Weight", "[1, 3, 8, 9]"]);
    let positive = ramp([1, 3, 8, 9]).values.iter().map(|v| v.abs()).collect();
    let weights = arrays::Array::new(vec![1, 3, 8, 9], positive).unwrap();
    bundle.arrays.insert("L1Weight".into(), weights);
    bundle.scalars.insert("NonNegCoef".into(), 1.0);
    arrays::write(folder.join("q.npz"), &bundle, false).unwrap();
    let (out, _) = succeeds(folder, "infer --problem q.npz --gap 1e-5 --out x.npz");
    assert!(out.contains("duality gap"), "{out}");
    let x = arrays::read(folder.join("x.npz")).unwrap();
    assert_eq!(x.arrays["x"].shape, [1, 3, 8, 9]);
    assert!(x.arrays["x"].values.iter().all(|&z| z >= 0.0));
    assert_eq!(run(folder, &["infer", "--problem", "none.npz"]).0, 7);
}

/// What a review found: each was wrong once.
#[test]
fn signs_boundaries_and_weights_hold_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = |train: &str, layer: &str| {
        format!(
            "[data]\ncolour = false\nsample_count = 2\nsample_size = 32\n\
             [preprocess]\nkind = \"contrast-normalize\"\n[train]\n{train}\n\
             [[layer]]\nmaps = 3\nsize = 5\nepochs = 1\n{layer}\n"
        )
    };
    // The maps that split goes on from may be negative where its codes may not.
    for update in ["batch", "epoch"] {
        let train = format!("update_filters = \"{update}\"");
        fs::write(
            folder.join("split.toml"),
            text(&train, "non_negative = true"),
        )
        .unwrap();
        succeeds(
            folder,
            &format!("train --config split.toml --run split-{update}"),
        );
    }
    // A start of noise is made one of maps that are allowed.
    let train = "solver = \"descent\"\nstart_noise = 0.1";
    fs::write(
        folder.join("noise.toml"),
        text(train, "non_negative = true"),
    )
    .unwrap();
    succeeds(folder, "train --config noise.toml --run noise");
    fs::create_dir(folder.join("new")).unwrap();
    let image = deconvnet::data::scenes::sample(0, 32, 9);
    deconvnet::picture::save_png(&image, folder.join("new/a.png")).unwrap();
    succeeds(folder, "infer --checkpoint noise --images new --out coded");
    // An image that a higher layer is too large for is left out, and told.
    let above = "[[layer]]\nmaps = 4\nsize = 9\nepochs = 1";
    let train = "solver = \"fista\"\nboundary = \"zero\"";
    fs::write(folder.join("zero.toml"), text(train, above)).unwrap();
    succeeds(folder, "train --config zero.toml --run zero");
    let small = deconvnet::data::scenes::sample(0, 11, 9);
    deconvnet::picture::save_png(&small, folder.join("new/small.png")).unwrap();
    let line = "infer --checkpoint zero --images new --out of-zero";
    let line: Vec<&str> = line.split(' ').collect();
    refused(folder, &line, 3, &["small.png", "layer 2", "others are in"]);
    let line = [
        "infer",
        "--checkpoint",
        "zero",
        "--images",
        "new",
        "--solver",
        "ista",
    ];
    refused(folder, &line, 2, &["boundary"]);
    // Contenders that take no weights are no usual ones.
    let weights = "penalty_weights = [1.0, 5.0, 5.0]";
    fs::write(folder.join("w.toml"), text("solver = \"descent\"", weights)).unwrap();
    for what in ["coding", "learning"] {
        let line = format!("compare --config w.toml --what {what} --steps 3 --out of-{what}");
        let (out, _) = succeeds(folder, &line);
        assert!(out.contains("descent") && !out.contains("adam"), "{out}");
    }
    let line = "compare --config w.toml --what learning --solvers adam --steps 3 --out x";
    let line: Vec<&str> = line.split(' ').collect();
    refused(folder, &line, 2, &["weights of the penalty"]);
    // A problem of SPORCO's keeps what it says.
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let file = format!("{fixtures}/sporco-non-negative.npz");
    succeeds(folder, &format!("import --file {file} --run theirs"));
    let (out, _) = succeeds(folder, "export --checkpoint theirs --out theirs.npz");
    assert!(out.contains("theirs.npz"), "{out}");
    let theirs = arrays::read(folder.join("theirs.npz")).unwrap();
    assert_eq!(theirs.texts["boundary"], "circular");
    assert_eq!(theirs.scalars["layer1.objective.non_negative"], 1.0);
    let file = format!("{fixtures}/sporco-weighted.npz");
    let line = ["import", "--file", &file, "--run", "weighted"];
    refused(folder, &line, 3, &["L1Weight"]);
    // A batch system may start a shard again.
    for _ in 0..2 {
        let line = "infer --checkpoint noise --images new --out shards --shard 1/2";
        succeeds(folder, line);
    }
}
