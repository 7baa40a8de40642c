//! What is damaged, in use or not there is told, with what to do about it.

use std::fs;

use tempfile::TempDir;

use super::CheckpointSelector::{Best, Last, Step};
use super::RunFolder;
use super::tests::{State, advance, assert_at, message, open, read, run_with};

#[test]
fn damaged_blobs_are_told_and_a_whole_checkpoint_named() {
    let folder = run_with(1..=2, 0).unwrap();
    let path = folder.path().join("blobs/filters-00000002.bpk");
    let whole = fs::read(&path).unwrap();
    let run = read(&folder, Last);

    let mut flipped = whole.clone();
    flipped[700] ^= 1;
    for (bytes, fault) in [
        (&whole[..99], "99 bytes where 3000"),
        (&flipped, "checksum"),
    ] {
        fs::write(&path, bytes).unwrap();
        let text = message(run.get("filters"));
        says!(text, "filters-00000002.bpk", fault, "step 1 is whole");
    }
    fs::remove_file(&path).unwrap();
    assert!(message(run.get("filters")).contains("not there"));
    assert!(message(run.get("codes")).contains("holds no `codes`; it holds 2 blobs: filters"));
}

#[test]
fn the_checkpoint_named_is_whole_itself() {
    let folder = run_with(1..=3, 0).unwrap();
    let blob = |step: u64| folder.path().join(format!("blobs/filters-{step:08}.bpk"));
    fs::remove_file(blob(2)).unwrap();
    fs::remove_file(blob(3)).unwrap();
    let advice = || message(read(&folder, Last).get("filters"));
    says!(advice(), "step 1 is whole");
    fs::write(blob(1), "short").unwrap();
    says!(advice(), "no other checkpoint is kept whole");
}

#[test]
fn damaged_manifests_are_told_and_a_whole_checkpoint_named() {
    let folder = run_with(1..=2, 0).unwrap();
    let path = folder.path().join("checkpoint.json");
    let whole = fs::read_to_string(&path).unwrap();
    for (text, fault) in [
        (whole[..whole.len() / 2].to_owned(), "cut short"),
        (
            whole.replace("deconvnet-run", "other"),
            "not the checkpoint of a deconvnet run",
        ),
        (
            whole.replace("\"version\": 2", "\"version\": 3"),
            "format version 3",
        ),
        (
            whole.replace("\"step\"", "\"stop\""),
            "missing field `step`",
        ),
        (
            whole.replace("\"filters-", "\"../filters-"),
            "outside the run",
        ),
    ] {
        fs::write(&path, text).unwrap();
        for open in [RunFolder::read, RunFolder::open] {
            let text = message(open(folder.path().to_owned(), Last));
            says!(text, "checkpoint.json", fault, "step 2 is whole");
        }
    }
    assert_at(&open(&folder, Step(2)), 2);
    assert_at(&open(&folder, Last), 2);
}

#[test]
fn one_process_writes_and_nothing_is_overwritten() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("deep/run");
    let mut run = RunFolder::create(&root).unwrap();
    assert!(!message(RunFolder::create(&root)).contains("go on with the run"));
    assert!(message(run.state::<State>()).contains("no checkpoint yet"));
    assert!(message(run.put("../filters", b"")).contains("leads out"));
    advance(&mut run, 1, false).unwrap();
    assert!(message(RunFolder::open(&root, Last)).contains("another process"));
    assert!(message(RunFolder::create(&root)).contains("go on with the run"));

    let mut reader = RunFolder::read(&root, Last).unwrap();
    assert!(message(reader.put("filters", b"")).contains("opened for reading"));
    assert!(message(reader.commit(2, &(), false)).contains("opened for reading"));
    assert!(message(reader.state::<Vec<u8>>()).contains("state of step 1"));
    assert!(message(RunFolder::read(&root, Best)).contains("marked as the best"));
    let nowhere = folder.path().join("nowhere");
    assert!(message(RunFolder::open(&nowhere, Last)).contains("there is no run in"));
    assert!(!nowhere.exists());
    drop(run);
    RunFolder::open(&root, Last).unwrap();
}
