//! Running the command and looking at what it left.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output};

/// The command, in a folder of its own.
pub fn deconvnet(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deconvnet"));
    command.current_dir(folder);
    command
}

/// Exit code, standard output and standard error of a run.
pub fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    output(deconvnet(folder).args(arguments))
}

/// Exit code, standard output and standard error of a command.
pub fn output(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the command starts");
    (
        status.code().unwrap_or(-1),
        String::from_utf8_lossy(&stdout).into_owned(),
        String::from_utf8_lossy(&stderr).into_owned(),
    )
}

/// Sends a signal by name.
#[track_caller]
pub fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args([name, &pid]).status();
    assert!(status.expect("kill runs").success(), "kill {name}");
}

/// Interrupts a command with standard error and output piped once a line of its standard error has a text;
/// the lines that follow, and how it ended. None where no line had it.
pub fn interrupted_at(mut child: Child, text: &str) -> Option<(Vec<String>, Output)> {
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut said = lines.by_ref().map_while(Result::ok);
    said.find(|line| line.contains(text))?;
    signal(&child, "-INT");
    let rest = lines.map_while(Result::ok).collect();
    Some((rest, child.wait_with_output().expect("it ends")))
}

/// Standard output and standard error of a command that has to succeed.
#[track_caller]
pub fn succeeds(folder: &Path, line: &str) -> (String, String) {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let (code, out, err) = run(folder, &arguments);
    assert_eq!(code, 0, "{line}\n{err}");
    (out, err)
}

/// A command that ends with this exit code and says these words, without a panic.
#[track_caller]
pub fn refused(folder: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let (got, _, err) = run(folder, arguments);
    assert_eq!(got, code, "{arguments:?}: {err}");
    for word in words {
        assert!(
            err.contains(word),
            "{arguments:?} should say '{word}': {err}"
        );
    }
    assert!(!err.contains("panicked"), "{err}");
}

/// What the newest checkpoint of a run says of itself.
fn manifest(run: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(run.join("checkpoint.json")).expect("a checkpoint");
    serde_json::from_str(&text).expect("JSON")
}

/// The checksum of every array of a run's newest checkpoint, by name.
pub fn checksums(run: &Path) -> BTreeMap<String, u64> {
    manifest(run)["blobs"]
        .as_object()
        .expect("blobs")
        .iter()
        .map(|(name, blob)| (name.clone(), blob["crc32"].as_u64().expect("crc32")))
        .collect()
}

/// The stage that a run is at, from 0; one past the last once all are done.
pub fn stage(run: &Path) -> u64 {
    let stage = &manifest(run)["state"]["trainer"]["position"]["stage"];
    stage.as_u64().expect("a stage")
}

/// A small experiment on sample scenes; `more` is added to its `[train]`.
pub fn config(folder: &Path, more: &str) {
    let text = format!(
        "[data]\nsample_count = 3\nsample_size = 32\n\n[checkpoint]\nevery_seconds = 0.0\n\n\
         [train]\nsteps = 4\n{more}\n\n\
         [[layer]]\nmaps = 4\nsize = 5\nepochs = 4\nsparsity = {{ of_max = 0.1 }}\n\n\
         [[layer]]\nconnect = \"singles-and-pairs\"\nsize = 5\nepochs = 3\n\
         sparsity = {{ of_max = 0.1 }}\n"
    );
    std::fs::write(folder.join("small.toml"), text).expect("the config is written");
}
