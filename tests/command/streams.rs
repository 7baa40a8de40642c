//! What is printed, and readers that go away.

use std::io::pipe;
use std::path::Path;

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
    for line in ["completions bash", "backends", "train --help"] {
        assert_eq!(unread(folder, line), Some(0), "{line}");
    }
    assert_eq!(unread(folder, "train -c none.toml"), Some(7));
    let line = "train -c small.toml --epochs 2 --run r";
    assert_eq!(unread(folder, line), Some(0));
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
