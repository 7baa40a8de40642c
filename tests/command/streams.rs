//! What is printed, and readers that go away.

use std::io::pipe;
use std::path::Path;

use super::support::{config, deconvnet, manifest, succeeds};

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
    for line in ["completions bash", "backends", "train --help"] {
        assert_eq!(unread(folder, line), Some(0), "{line}");
    }
    assert_eq!(unread(folder, "train -c none.toml"), Some(7));
    let line = "train -c small.toml --epochs 2 --run r";
    assert_eq!(unread(folder, line), Some(0));
    let run = folder.join("checkpoints/r");
    assert_eq!(manifest(&run)["state"]["position"]["stage"], 2);
}

#[test]
fn a_device_that_is_not_there_prints_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = deconvnet(folder.path()).arg("backends").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
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
