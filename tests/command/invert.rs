//! The reviewer's cases as they ship, and what is said where nothing can be inverted.

use std::fs;
use std::path::Path;

use deconvnet::arrays::{self, Array, Bundle};
use deconvnet::data::scenes;
use deconvnet::picture::save_png;
use serde_json::Value;

use super::support::{self, run};

/// Runs a shipped config; returns the report.
#[track_caller]
fn case(name: &str, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{}/configs/invert/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let arguments = [&["invert", "--config", &config, "--json"], more].concat();
    let (code, out, err) = run(folder.path(), &arguments);
    assert_eq!(code, 0, "{name}: {err}");
    for file in ["table.csv", "recovered.png", "recovered.npz"] {
        let file = folder.path().join("inverted").join(file);
        assert!(fs::metadata(&file).is_ok_and(|m| m.len() > 0), "{file:?}");
    }
    serde_json::from_str(&out).expect("JSON and nothing else")
}

#[track_caller]
fn of(report: &Value, way: &str, key: &str) -> f64 {
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["way"] == way).expect(way);
    row[key].as_f64().unwrap_or_else(|| panic!("{way}: {key}"))
}

#[test]
fn three_taps_padded_are_inverted_but_not_by_the_transpose() {
    let report = case("three-taps", &[]);
    assert!(report["operator"]["condition"].as_f64().unwrap() < 4.0);
    assert_eq!(report["operator"]["unique"], true);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 0);
    for way in ["pseudo-inverse", "adam", "lbfgs", "cg"] {
        assert!(of(&report, way, "error") < 1e-11, "{way}");
    }
    for way in ["transpose", "scaled-transpose"] {
        assert!(of(&report, way, "error") > 0.1, "{way}");
    }
    // The noise comes back in proportion.
    let noise = report["noise"].as_array().unwrap();
    let errors: Vec<f64> = noise
        .iter()
        .map(|level| level["errors"][0][1].as_f64().unwrap())
        .collect();
    assert!((errors[3] / errors[2] - 100.0).abs() < 1.0, "{errors:?}");
}

#[test]
fn three_taps_unpadded_lose_two_dimensions_whatever_the_way() {
    let report = case("three-taps-unpadded", &[]);
    assert_eq!(report["operator"]["null_space"], 2);
    let lost = report["lost"].as_f64().unwrap();
    for way in ["pseudo-inverse", "adam", "lbfgs", "cg"] {
        let [error, null] = ["error", "null_error"].map(|key| of(&report, way, key));
        assert!(
            (error - lost).abs() < 1e-10 && (null - lost).abs() < 1e-10,
            "{way}"
        );
    }
}

#[test]
fn a_singular_kernel_and_decolouring_tell_what_is_lost() {
    for (name, lost) in [("singular", 3 * 63), ("decolour", 2048)] {
        let report = case(name, &[]);
        assert_eq!(report["operator"]["null_space"], lost, "{name}");
        let warning = report["warnings"][0].as_str().unwrap();
        says!(warning, &format!("{lost} of 3072 dimensions"));
        let [error, null] = ["error", "null_error"].map(|key| of(&report, "pseudo-inverse", key));
        assert!(
            null > 0.01 && (error - null).abs() < 1e-6,
            "{name}: {error} {null}"
        );
    }
}

#[test]
fn a_blur_is_inverted_until_there_is_noise_and_the_priors_hold_that() {
    let clean = case("blur", &["--methods", "pseudo-inverse,transpose"]);
    assert!(of(&clean, "pseudo-inverse", "error") < 1e-10);
    assert!(of(&clean, "transpose", "error") > 0.05);
    let noisy = case("blur-noise", &["--steps", "100"]);
    let plain = of(&noisy, "pseudo-inverse", "error");
    assert!(plain > 1.0, "{plain}");
    let warning = noisy["warnings"][0].as_str().unwrap();
    assert!(warning.contains("times the image"), "{warning}");
    for way in ["wiener", "total-variation"] {
        assert!(of(&noisy, way, "error") < 0.15, "{way}");
    }
}

#[test]
fn few_pixels_are_found_by_the_l1_prior() {
    let report = case("sparse", &[]);
    let error = |way| of(&report, way, "error");
    let l1 = error("l1");
    let others = [
        "pseudo-inverse",
        "scaled-transpose",
        "wiener",
        "total-variation",
    ];
    assert!(others.into_iter().all(|way| l1 < 0.8 * error(way)), "{l1}");
}

#[test]
fn random_layers_give_back_what_they_keep() {
    let over = case("overcomplete", &["--steps", "100"]);
    assert_eq!(over["operator"]["unique"], true);
    assert_eq!(over["operator"]["always_solvable"], false);
    assert!(
        over["unexplained"].as_f64().unwrap() > 1e-3,
        "the noise has no x"
    );
    assert!(of(&over, "pseudo-inverse", "error") < 0.03);
    let square = case("strided", &["--steps", "100"]);
    assert_eq!(square["operator"]["null_space"], 0);
    assert!(of(&square, "pseudo-inverse", "error") < 1e-9);
    let lossy = case("strided-lossy", &[]);
    assert_eq!(lossy["operator"]["null_space"], 3 * 768);
    let plain = of(&lossy, "pseudo-inverse", "error");
    assert!(of(&lossy, "total-variation", "error") < 0.7 * plain);
}

#[test]
fn a_photograph_of_512_pixels_takes_seconds() {
    let report = case(
        "large",
        &[
            "--steps",
            "20",
            "--methods",
            "pseudo-inverse,scaled-transpose",
        ],
    );
    assert_eq!(report["operator"]["columns"], 786_432);
    assert_eq!(report["operator"]["rank"], Value::Null);
    assert_eq!(report["rows"][0]["route"], "LSQR");
    let [found, transposed] =
        ["pseudo-inverse", "scaled-transpose"].map(|way| of(&report, way, "error"));
    assert!(found < 0.8 * transposed, "{found} {transposed}");
}

#[test]
fn images_filters_and_runs_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_png(&scenes::sample(0, 24, 3), folder.join("photo.png")).unwrap();
    let mut bundle = Bundle::default();
    let wave = (0..54).map(|i| (i as f32 * 0.7).sin()).collect();
    let filters = Array::new(vec![6, 1, 3, 3], wave).unwrap();
    bundle.arrays.insert("weight".into(), filters);
    arrays::write(folder.join("filters.npz"), &bundle, false).unwrap();
    super::support::config(folder, "solver = \"fista\"");
    let (code, _, err) = run(
        folder,
        &["train", "-c", "small.toml", "--run", "r", "--epochs", "1"],
    );
    assert_eq!(code, 0, "{err}");
    for (line, words) in [
        (
            "--image photo.png --kernel gaussian:1.5x9 --padding reflect --noise 0.01 \
             --methods pseudo-inverse,total-variation --steps 50",
            &["dense SVD", "primal-dual"][..],
        ),
        (
            "--image photo.png --max-side 16 --kernel gaussian:1x5 --padding zeros --noise 0.01 \
             --methods pseudo-inverse,l1 --prior 0.002 --truncation 0.05 --seconds 20 --steps 30",
            &["dense SVD", "primal-dual"],
        ),
        (
            "--image photo.png --filters filters.npz --methods cg,transpose --stride 2 --steps 20",
            &["`weight` of filters.npz", "6 x 12 x 12"],
        ),
        (
            "--image photo.png --checkpoint r --layer 1 --padding zeros --methods lsqr,adam --steps 20",
            &["layer 1 of", "4 x 24 x 24"],
        ),
        (
            "--random 1x1x64 --kernel taps:0.25,1,0.25 --padding none --methods adam,lbfgs --seed 3",
            &["62 x 64", "converged"],
        ),
        (
            "--observed photo.png --kernel gaussian:1x5 --padding none --noise 0.002 \
             --methods total-variation,transpose --steps 20",
            &["photo.png, 3 x 24 x 24", "3 x 28 x 28", "x is not known"],
        ),
        (
            "--random 4x12x12 --checkpoint r --at best --layer 2 --methods cg --precision single --steps 5",
            &["single precision"],
        ),
    ] {
        let mut arguments = vec!["invert", "--overwrite"];
        arguments.extend(line.split_whitespace());
        let (code, out, err) = run(folder, &arguments);
        assert_eq!(code, 0, "{line}: {err}");
        for word in words {
            assert!(out.contains(word), "{word}: {out}");
        }
    }
}

/// A file of arrays with one entry.
fn array(path: &Path, name: &str, shape: &[usize], values: Vec<f32>) {
    let mut bundle = Bundle::default();
    let array = Array::new(shape.to_vec(), values).unwrap();
    bundle.arrays.insert(name.into(), array);
    arrays::write(path, &bundle, true).unwrap();
}

/// `f * x` as `scipy.signal.convolve2d` has it in the mode 'valid', for each channel, by the definition.
fn convolve(x: &deconvnet::data::Image, f: &[f32], [h, w]: [usize; 2]) -> (Vec<usize>, Vec<f32>) {
    let (rows, columns) = (x.height + 1 - h, x.width + 1 - w);
    let mut y = Vec::new();
    for c in 0..x.channels {
        for i in 0..rows {
            for j in 0..columns {
                let taps = (0..h * w).map(|at| {
                    let (a, b) = (at / w, at % w);
                    f[at] * x.plane(c)[(i + h - 1 - a) * x.width + j + w - 1 - b]
                });
                y.push(taps.sum());
            }
        }
    }
    (vec![x.channels, rows, columns], y)
}

#[test]
fn a_point_spread_function_from_scipy_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let x = scenes::sample(0, 20, 3);
    // Neither symmetric nor odd.
    let psf = [0.05, 0.1, 0.0, 0.05, 0.4, 0.4_f32];
    let (shape, y) = convolve(&x, &psf, [2, 3]);
    array(&folder.join("y.npz"), "y", &shape, y);
    let wave = (0..6).map(|i| psf[i] * 25.0).collect();
    array(&folder.join("bright.npz"), "psf", &[1, 1, 2, 3], wave);
    for (file, shape) in [("psf.npz", &[2, 3][..]), ("PSF4.NPZ", &[1, 1, 2, 3])] {
        array(&folder.join(file), "psf", shape, psf.to_vec());
    }
    let residual_and_error = |more: &str| {
        let line = format!(
            "invert --observed y.npz --padding none --methods lsqr --steps 300 --overwrite --json {more}"
        );
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let (code, out, err) = run(folder, &arguments);
        assert_eq!(code, 0, "{line}: {err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["input"], serde_json::json!([3, 20, 20]), "{more}");
        let found = arrays::read(folder.join("inverted/recovered.npz")).unwrap();
        // Near the border the image has more unknowns than the observation has numbers.
        let inside = |at: &usize| (5..15).contains(&(at / 20 % 20)) && (5..15).contains(&(at % 20));
        let sum =
            |of: &dyn Fn(usize) -> f32| (0..x.values.len()).filter(inside).map(of).sum::<f32>();
        let error = sum(&|at| (found.arrays["lsqr"].values[at] - x.values[at]).powi(2));
        let size = sum(&|at| x.values[at].powi(2));
        ((error / size).sqrt(), report["warnings"].to_string())
    };
    // One filter serves every channel, whatever its axes.
    for file in ["psf.npz", "PSF4.NPZ"] {
        let (error, told) = residual_and_error(&format!("--filters {file}"));
        assert!(
            error < 0.1 && !told.contains("sum to"),
            "{file}: {error} {told}"
        );
        let (other, _) = residual_and_error(&format!("--filters {file} --correlate"));
        assert!(other > 2.0 * error, "{file}: {other} {error}");
    }
    let (dark, told) = residual_and_error("--filters bright.npz");
    assert!(
        dark > 0.9 && told.contains("sum to 25.0000, not to 1"),
        "{dark} {told}"
    );
    let (error, told) = residual_and_error("--filters bright.npz --normalise");
    assert!(error < 0.1 && !told.contains("sum to"), "{error} {told}");
    // What was written can be read again as it was given.
    let found = arrays::read(folder.join("inverted/recovered.npz")).unwrap();
    let filters = &found.arrays["filters"];
    assert_eq!(filters.shape, [3, 3, 2, 3]);
    assert!((filters.values[3] - 0.05).abs() < 1e-6 && (filters.values[5] - 0.4).abs() < 1e-6);
}

#[test]
fn a_grey_photograph_stays_grey_under_a_single_filter() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_png(&scenes::sample(0, 24, 3).grey(), folder.join("grey.png")).unwrap();
    save_png(&scenes::sample(0, 24, 3), folder.join("colour.png")).unwrap();
    array(&folder.join("psf.npz"), "psf", &[1, 3], vec![0.3, 0.6, 0.1]);
    for (image, sides) in [("grey.png", [1, 24, 24]), ("colour.png", [3, 24, 24])] {
        let line = [
            "invert",
            "--image",
            image,
            "--filters",
            "psf.npz",
            "--methods",
            "cg",
        ];
        let (code, out, err) = run(folder, &[&line[..], &["--json", "--overwrite"]].concat());
        assert_eq!(code, 0, "{err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["output"], serde_json::json!(sides), "{image}");
    }
    array(&folder.join("last.npz"), "y", &[24, 20, 3], vec![0.5; 1440]);
    array(&folder.join("three.npz"), "psf", &[3, 3, 3], vec![0.1; 27]);
    array(
        &folder.join("zero.npz"),
        "psf",
        &[1, 3],
        vec![-1.0, 0.0, 1.0],
    );
    for (line, words) in [
        (
            "--observed last.npz --filters psf.npz --out x",
            "the channels come first",
        ),
        ("--filters three.npz --out x", "array `psf` [3, 3, 3]"),
        (
            "--filters three.npz --array psf --out x",
            "save it with four axes",
        ),
        (
            "--filters zero.npz --normalise --out x",
            "cannot be normalised",
        ),
    ] {
        let arguments: Vec<&str> = ["invert"]
            .into_iter()
            .chain(line.split_whitespace())
            .collect();
        let (code, _, err) = run(folder, &arguments);
        assert!(code == 3 && err.contains(words), "{line}: {code} {err}");
    }
}

#[test]
fn a_blurred_photograph_is_sharpened() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_png(&scenes::sample(0, 24, 3), folder.join("photo.png")).unwrap();
    let line =
        "invert --observed photo.png --kernel gaussian:1x5 --padding none --methods lsqr --steps 9";
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let (code, _, err) = run(folder, &arguments);
    assert_eq!(code, 0, "{err}");
    let sharp =
        deconvnet::data::folder::read(&folder.join("inverted/lsqr.png"), true, None).unwrap();
    assert_eq!(sharp.shape(), [3, 28, 28]);
    let bundle = arrays::read(folder.join("inverted/recovered.npz")).unwrap();
    for (a, b) in sharp.values.iter().zip(&bundle.arrays["lsqr"].values) {
        // To half a step of 8 bits.
        assert!((a - b.clamp(0.0, 1.0)).abs() < 0.51 / 255.0, "{a} {b}");
    }
    let (code, _, err) = run(folder, &arguments);
    assert!(code == 2 && err.contains("--overwrite"), "{err}");
}

#[track_caller]
fn refused(folder: &Path, line: &str, code: i32, words: &[&str]) {
    let mut arguments = vec!["invert"];
    arguments.extend(line.split_whitespace());
    support::refused(folder, &arguments, code, words);
    assert!(
        !folder.join("inverted").exists(),
        "{line} left something behind"
    );
}

#[test]
fn what_cannot_be_inverted_is_told_with_the_number() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("empty.toml"), "\n").expect("a file");
    for (line, code, words) in [
        ("--config empty.toml", 2, &["empty.toml is empty"][..]),
        (
            "--random 1x6x6 --kernel gaussian:1x7",
            3,
            &["7 x 7", "larger", "6 x 6"][..],
        ),
        (
            "--random 1x6x6 --kernel taps:0,0,0",
            3,
            &["all 3 taps", "rank 0"],
        ),
        (
            "--random 2x6x6 --kernel decolour",
            2,
            &["3 channels, not of 2"],
        ),
        ("--random 2x6 --kernel edge", 2, &["'2x6' is no shape"]),
        (
            "--random 1x100000x100000",
            2,
            &["1 x 100000 x 100000", "at most 134217728"],
        ),
        ("--kernel gaussian:99999", 2, &["599995 x 599995 taps"]),
        (
            "--random 1x6x6 --kernel taps:1e300,1",
            3,
            &["largest tap", "1e300"],
        ),
        ("--observed none.png", 7, &["none.png"]),
        (
            "--observed a.png --image b.png",
            2,
            &["cannot be used with"],
        ),
        (
            "--random 1x6x6 --kernel blurred",
            2,
            &["'blurred' is no kernel"],
        ),
        ("--random 1x9x9 --stride 0", 2, &["stride is 0 x 0"]),
        (
            "--random 1x9x9 --padding zeros --methods wiener",
            2,
            &["padding is zeros"],
        ),
        (
            "--random 1x9x9 --ways newton",
            2,
            &["'newton'", "pseudo-inverse"],
        ),
        ("--random 1x9x9 --noise=-1", 2, &["noise"]),
        ("--filters none.npz", 7, &["none.npz"]),
        ("--checkpoint nothing", 4, &["nothing"]),
        ("--config none.toml", 7, &["none.toml"]),
    ] {
        refused(folder, line, code, words);
    }
    fs::write(folder.join("c.toml"), "paddding = \"none\"").unwrap();
    refused(
        folder,
        "--config c.toml",
        2,
        &["c.toml", "did you mean `padding`?"],
    );
}

#[test]
fn a_condition_number_past_float_precision_is_told_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        "invert --random 1x32x32 --kernel gaussian:2x31 --padding circular --methods transpose";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let (code, _, err) = run(folder.path(), &arguments);
    assert_eq!(code, 0, "{err}");
    let warning = err
        .find("past what double precision resolves (4.5e15)")
        .expect(&err);
    assert!(err.contains("condition number of W is"), "{err}");
    assert!(warning < err.find("1/1  transpose").expect(&err), "{err}");
}
