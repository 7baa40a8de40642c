//! Experiments in small.

use std::path::Path;

use super::*;
use crate::invert::{Kernel, Padding};

fn experiment(text: &str) -> Experiment {
    let experiment: Experiment = toml::from_str(text).unwrap();
    experiment.check().unwrap();
    experiment
}

fn run_in(folder: &Path, experiment: Experiment) -> Result<Report> {
    let options = Options {
        experiment,
        out: folder.join("out"),
        overwrite: false,
    };
    run(&options, &Device::flex(), &mut ())
}

fn error_of(report: &Report, way: InverseMethod) -> f64 {
    let row = report.rows.iter().find(|row| row.way == way).unwrap();
    row.error.unwrap()
}

#[test]
fn the_default_survives_toml() {
    let text = toml::to_string(&Experiment::default()).unwrap();
    assert_eq!(experiment(&text), Experiment::default());
}

#[test]
fn everything_is_written_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let small = experiment(
        "padding = \"circular\"\nnoise = 0.01\nsteps = 20\n\
         ways = [\"pseudo-inverse\", \"adam\", \"lbfgs\", \"cg\", \"lsqr\", \"transpose\", \
         \"scaled-transpose\", \"l1\", \"total-variation\", \"wiener\"]\n\
         noise_levels = [0.001, 0.1]\n\
         [input]\nkind = \"scene\"\nsize = 8\n[kernel]\nkind = \"gaussian\"\nsigma = 0.8\nsize = 5",
    );
    let report = run_in(folder.path(), small.clone()).unwrap();
    assert_eq!(report.rows.len(), 10);
    assert_eq!((report.noise.len(), report.noise[1].errors.len()), (2, 10));
    let operator = &report.operator;
    assert_eq!((operator.rows, operator.rank), (192, Some(192)));
    assert!(report.amplified.unwrap() > 0.0);
    for file in [
        "table.csv",
        "table.json",
        "recovered.npz",
        "matrix.png",
        "spectrum.png",
        "recovered.png",
        "iterations.png",
        "noise.png",
    ] {
        assert!(folder.path().join("out").join(file).exists(), "{file}");
    }
    let csv = report.table().csv();
    assert!(
        csv.lines().count() == 11 && csv.contains("scaled-transpose,transpose,"),
        "{csv}"
    );
    let told = report.to_string();
    for word in [
        "192 x 192",
        "condition",
        "unique",
        "SVD per frequency",
        "L-BFGS",
        "dot test",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let arrays = crate::arrays::read(folder.path().join("out/recovered.npz")).unwrap();
    assert_eq!(arrays.arrays["total-variation"].shape, [3, 8, 8]);
    // Nothing is replaced unasked.
    let error = run_in(folder.path(), small).unwrap_err();
    assert!(matches!(error, crate::Error::Exists(_)), "{error}");
}

#[test]
fn signals_of_one_dimension_and_many_channels_are_drawn_too() {
    for text in [
        "padding = \"none\"\n[input]\nkind = \"random\"\nshape = [1, 1, 9]\n\
         [kernel]\nkind = \"taps\"\ntaps = [0.25, 1.0, 0.25]",
        "padding = \"zeros\"\nstride = [2, 1]\n[input]\nkind = \"random\"\nshape = [5, 6, 7]\n\
         [kernel]\nkind = \"random\"\nmaps = 7\nsize = 3",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let report = run_in(folder.path(), experiment(text)).unwrap();
        let error = |way| error_of(&report, way);
        assert!(error(InverseMethod::PseudoInverse) <= error(InverseMethod::Transpose));
        assert!(folder.path().join("out/recovered.png").exists());
    }
}

#[test]
fn single_precision_is_judged_in_double() {
    let folder = tempfile::tempdir().unwrap();
    let single = experiment(
        "precision = \"single\"\npadding = \"zeros\"\nways = [\"pseudo-inverse\", \"cg\"]\n\
         [input]\nkind = \"random\"\nshape = [1, 1, 32]\n\
         [kernel]\nkind = \"taps\"\ntaps = [0.25, 1.0, 0.25]",
    );
    let report = run_in(folder.path(), single).unwrap();
    for way in [InverseMethod::PseudoInverse, InverseMethod::Cg] {
        let error = error_of(&report, way);
        assert!((1e-9..1e-5).contains(&error), "{way}: {error:e}");
    }
    // That of the numbers in use.
    assert!(report.operator.dot_test > 1e-10);
}

#[test]
fn warnings_have_the_numbers() {
    let base = experiment(
        "ways = [\"transpose\"]\nnoise_levels = []\n\
         [input]\nkind = \"random\"\nshape = [1, 1, 64]",
    );
    let warnings = |taps: &[f64], padding, noise| {
        let folder = tempfile::tempdir().unwrap();
        let taps = taps.to_vec();
        let one = Experiment {
            kernel: Kernel::Taps { taps },
            padding,
            noise,
            ..base.clone()
        };
        run_in(folder.path(), one).unwrap().warnings
    };
    assert!(warnings(&[0.25, 1.0, 0.25], Padding::Zeros, 0.01).is_empty());
    let told = warnings(&[0.25, 1.0, 0.25], Padding::None, 0.0);
    assert_eq!(told.len(), 1, "{told:?}");
    says!(told[0], "2 of 64 dimensions");
    let told = warnings(&[0.25, 0.5, 0.25], Padding::Circular, 0.0);
    says!(told[0], "rank 63: 1 of 64");
    says!(told[1], "past what double precision resolves (4.5e15)");
    // Not singular, but past float precision all the same.
    let wide = (-15..16).map(|i| (-f64::from(i * i) / 32.0).exp());
    let told = warnings(&wide.collect::<Vec<_>>(), Padding::Zeros, 1e-3);
    says!(told.join("\n"), "times the image");
}

#[test]
fn what_does_not_fit_is_told_before_any_work() {
    let base = "noise_levels = []\n[input]\nkind = \"random\"\nshape = [2, 6, 6]\n";
    for (text, words) in [
        (
            "[kernel]\nkind = \"decolour\"",
            &["3 channels, not of 2"][..],
        ),
        (
            "[kernel]\nkind = \"gaussian\"\nsigma = 1.0\nsize = 7",
            &["7 x 7", "larger", "6 x 6"],
        ),
        (
            "[kernel]\nkind = \"taps\"\ntaps = [0.0, 0.0]",
            &["taps of the filters are 0", "rank 0"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = run_in(folder.path(), experiment(&format!("{base}{text}"))).unwrap_err();
        for word in words {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
        assert!(!folder.path().join("out").exists());
    }
    for (text, word) in [
        ("noise = -1.0", "noise is -1"),
        ("ways = []", "no way"),
        ("ways = [\"cg\", \"cg\"]", "twice"),
        ("steps = 0", "steps is 0"),
        ("[settings]\ntruncation = 1.5", "below 1"),
        ("filters = \"a.npz\"\ncheckpoint = \"b\"", "leave one"),
        (
            "noise_levels = [0.1]\n[input]\nkind = \"observed\"\npath = \"a.png\"",
            "noise_levels are for errors",
        ),
        ("[input]\nkind = \"scene\"\nsize = 0", "3 x 0 x 0"),
    ] {
        let one: Experiment = toml::from_str(text).unwrap();
        let error = one.check().expect_err(text).to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn what_was_observed_gives_back_the_image_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = "[kernel]\nkind = \"taps\"\ntaps = [0.25, 1.0, 0.25]";
    let made = experiment(&format!(
        "padding = \"zeros\"\nways = [\"cg\"]\nnoise_levels = []\n\
         [input]\nkind = \"random\"\nshape = [3, 6, 7]\n{kernel}"
    ));
    run_in(folder.path(), made).unwrap();
    let file = folder.path().join("out/recovered.npz");
    let x = crate::arrays::read(&file).unwrap().arrays["x"].clone();
    let other = tempfile::tempdir().unwrap();
    // Noise that is known to be there is not added once more.
    let given = experiment(&format!(
        "padding = \"zeros\"\nnoise = 0.5\nways = [\"pseudo-inverse\", \"lbfgs\"]\n\
         [input]\nkind = \"observed\"\npath = {file:?}\n{kernel}"
    ));
    let report = run_in(other.path(), given).unwrap();
    assert!(report.noise.is_empty() && report.lost.is_none());
    for row in &report.rows {
        assert!(row.error.is_none() && row.null_error.is_none());
        assert!(row.residual < 1e-12, "{}: {}", row.way, row.residual);
    }
    let told = report.to_string();
    assert!(told.contains("x is not known"), "{told}");
    let found = crate::arrays::read(other.path().join("out/recovered.npz")).unwrap();
    assert!(!found.arrays.contains_key("x"));
    let pairs = found.arrays["lbfgs"].values.iter().zip(&x.values);
    for (a, b) in pairs {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn the_size_of_what_is_sought_follows_from_what_was_observed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("y.npz");
    let mut bundle = crate::arrays::Bundle::default();
    bundle.put("y", &[1, 4, 5], vec![0.5; 20]).unwrap();
    crate::arrays::write(&file, &bundle, false).unwrap();
    for (padding, kernel, input) in [
        (
            "zeros",
            "kind = \"gaussian\"\nsigma = 1.0\nsize = 5",
            [1, 8, 10],
        ),
        (
            "none",
            "kind = \"gaussian\"\nsigma = 1.0\nsize = 5",
            [1, 11, 13],
        ),
        ("none", "kind = \"decolour\"", [3, 7, 9]),
    ] {
        let one = experiment(&format!(
            "stride = [2, 2]\npadding = \"{padding}\"\nways = [\"transpose\"]\n\
             [input]\nkind = \"observed\"\npath = {file:?}\n[kernel]\n{kernel}"
        ));
        let folder = tempfile::tempdir().unwrap();
        let report = run_in(folder.path(), one).unwrap();
        assert_eq!((report.input, report.output), (input, [1, 4, 5]));
        assert!(folder.path().join("out/recovered.png").exists());
    }
    let wrong = experiment(&format!(
        "[input]\nkind = \"observed\"\npath = {file:?}\n\
         [kernel]\nkind = \"random\"\nmaps = 8\nsize = 3"
    ));
    let error = run_in(folder.path(), wrong).unwrap_err().to_string();
    says!(error, "1 x 4 x 5", "8 x 4 x 5");
}
