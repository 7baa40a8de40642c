//! What is printed, and readers that go away.

use std::io::{BufRead, BufReader, pipe};
use std::path::Path;

use deconvnet::data::scenes;
use deconvnet::picture::save_png;

use super::support::{config, deconvnet, output, stage, succeeds};

/// The exit code where nobody reads standard output nor standard error.
fn unread(folder: &Path, line: &str) -> Option<i32> {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let status = deconvnet(folder)
        .args(line.split_whitespace())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .status();
    status.unwrap().code()
}

#[test]
fn nothing_dies_of_a_reader_that_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    config(folder, "");
    save_png(&scenes::sample(0, 32, 1), folder.join("a.png")).unwrap();
    let train = "train -c small.toml --epochs 2 --run";
    for (line, code) in [
        (format!("{train} r"), 0),
        (format!("{train} json --json"), 0),
        ("train --resume r".into(), 0),
        ("train -c none.toml".into(), 7),
        ("train --no-such-flag".into(), 2),
        ("infer --checkpoint r --images a.png --steps 2".into(), 0),
        (
            "infer --checkpoint r --images a.png --steps 2 --json --overwrite".into(),
            0,
        ),
        ("compare -c small.toml --steps 2 --images 1".into(), 0),
        ("invert --image a.png --methods transpose".into(), 0),
        ("visualize --checkpoint r".into(), 0),
        ("export --checkpoint r --out r.npz".into(), 0),
        ("import --file r.npz --run s".into(), 0),
        ("backends --json".into(), 0),
        ("completions zsh".into(), 0),
        ("help".into(), 0),
        ("train --help".into(), 0),
        ("--version".into(), 0),
    ] {
        assert_eq!(unread(folder, &line), Some(code), "{line}");
    }
    for run in ["r", "json"] {
        assert_eq!(stage(&folder.join("checkpoints").join(run)), 2);
    }
    for file in [
        "inferred/a.png",
        "compared/table.csv",
        "inverted/recovered.png",
        "r.npz",
    ] {
        assert!(folder.join(file).exists(), "{file}");
    }
}

/// As `2>&1 | head -1`: one reader of both, gone after a line.
#[test]
fn learning_goes_on_when_its_reader_has_seen_enough() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    config(folder, "");
    let (reader, writer) = pipe().unwrap();
    let mut child = deconvnet(folder)
        .args(["train", "-c", "small.toml", "--run", "r"])
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert!(line.contains("3 images"), "{line}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(stage(&folder.join("checkpoints/r")), 2);
}

/// Panics of the graphics stack where it finds no driver are caught, and none is printed.
#[test]
#[cfg(all(target_os = "linux", feature = "wgpu"))]
fn a_driver_that_is_not_there_is_told_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let without = |line: &str| {
        let mut command = deconvnet(folder.path());
        for drivers in [
            "VK_DRIVER_FILES",
            "VK_ICD_FILENAMES",
            "__EGL_VENDOR_LIBRARY_FILENAMES",
        ] {
            command.env(drivers, "/none");
        }
        command.env("XDG_RUNTIME_DIR", folder.path());
        output(command.args(line.split_whitespace()))
    };
    let (code, out, err) = without("backends");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("compiled in, but no device answers"), "{out}");
    let (code, _, err) = without("train --backend wgpu");
    assert_eq!((code, err.lines().count()), (6, 1), "{err}");
    assert!(err.contains("--backend flex"), "{err}");
}

#[test]
fn json_and_quiet_print_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    config(folder, "");
    for (more, reads) in [("--quiet", false), ("--json", true)] {
        let line = format!("train -c small.toml --epochs 1 --run r{more} {more}");
        let (out, err) = succeeds(folder, &line);
        assert_eq!(err, "");
        let json = serde_json::from_str::<serde_json::Value>(&out);
        assert_eq!((json.is_ok(), out.is_empty()), (reads, !reads), "{out}");
    }
}
