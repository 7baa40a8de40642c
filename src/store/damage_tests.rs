//! What is damaged, in use or not there is told, with what to do about it.

use std::fs;

use tempfile::TempDir;

use super::tests::{State, advance, assert_at, message, run_with};
use super::{CheckpointSelector, RunFolder};

#[test]
fn damaged_blobs_are_told_and_a_whole_checkpoint_named() {
    let folder = run_with(1..=2, 0).unwrap();
    let path = folder.path().join("blobs/filters-00000002.bpk");
    let whole = fs::read(&path).unwrap();
    let run = RunFolder::read(folder.path(), CheckpointSelector::Last).unwrap();

    let mut flipped = whole.clone();
    flipped[700] ^= 1;
    for (bytes, fault) in [
        (&whole[..99], "99 bytes where 3000"),
        (&flipped, "checksum"),
    ] {
        fs::write(&path, bytes).unwrap();
        let text = message(run.get("filters"));
        assert!(
            text.contains("filters-00000002.bpk") && text.contains(fault),
            "{text}"
        );
        assert!(text.contains("step 1 is whole"), "{text}");
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
    let advice = || {
        message(
            RunFolder::read(folder.path(), CheckpointSelector::Last)
                .unwrap()
                .get("filters"),
        )
    };
    assert!(advice().contains("step 1 is whole"), "{}", advice());
    fs::write(blob(1), "short").unwrap();
    assert!(
        advice().contains("no other checkpoint is kept whole"),
        "{}",
        advice()
    );
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
        for result in [RunFolder::read, RunFolder::open]
            .map(|f| f(folder.path().to_owned(), CheckpointSelector::Last))
        {
            let text = message(result);
            assert!(
                text.contains("checkpoint.json") && text.contains(fault),
                "{text}"
            );
            assert!(text.contains("step 2 is whole"), "{text}");
        }
    }
    assert_at(
        &RunFolder::open(folder.path(), CheckpointSelector::Step(2)).unwrap(),
        2,
    );
    assert_at(
        &RunFolder::open(folder.path(), CheckpointSelector::Last).unwrap(),
        2,
    );
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
    assert!(message(RunFolder::open(&root, CheckpointSelector::Last)).contains("another process"));
    assert!(message(RunFolder::create(&root)).contains("go on with the run"));

    let mut reader = RunFolder::read(&root, CheckpointSelector::Last).unwrap();
    assert!(message(reader.put("filters", b"")).contains("opened for reading"));
    assert!(message(reader.commit(2, &(), false)).contains("opened for reading"));
    assert!(message(reader.state::<Vec<u8>>()).contains("state of step 1"));
    assert!(
        message(RunFolder::read(&root, CheckpointSelector::Best)).contains("marked as the best")
    );
    let nowhere = folder.path().join("nowhere");
    assert!(
        message(RunFolder::open(&nowhere, CheckpointSelector::Last)).contains("start a new run")
    );
    assert!(!nowhere.exists());
    drop(run);
    RunFolder::open(&root, CheckpointSelector::Last).unwrap();
}
