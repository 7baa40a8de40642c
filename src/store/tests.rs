//! What the store promises, one promise a test.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::CheckpointSelector::{self, Best, Last, Step};
use super::RunFolder;
use super::commit::STAGES;
use crate::{Error, Result};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    layer: usize,
    objective: f64,
}

fn state(step: u64) -> State {
    State {
        layer: 1,
        objective: 1.0 / (step as f64 + 3.0),
    }
}

/// What the blobs hold at `step`: different at every step, so that a mixture shows.
pub(super) fn content(name: &str, step: u64) -> Vec<u8> {
    format!("{name} {step} ").repeat(300).into_bytes()
}

const NAMES: [&str; 2] = ["filters", "maps/L1/img00000"];

fn put_all(run: &mut RunFolder, step: u64) -> Result<()> {
    run.append_trace(&step)?;
    NAMES
        .iter()
        .try_for_each(|name| run.put(name, &content(name, step)))
}

pub(super) fn advance(run: &mut RunFolder, step: u64, best: bool) -> Result<()> {
    put_all(run, step)?;
    run.commit(step, &state(step), best)
}

/// A run with the steps given committed, the one marked as the best.
pub(super) fn run_with(steps: impl IntoIterator<Item = u64>, best: u64) -> Result<TempDir> {
    let folder = TempDir::new().map_err(Error::io("create", "a temporary folder"))?;
    let mut run = RunFolder::create(folder.path())?;
    for step in steps {
        advance(&mut run, step, step == best)?;
    }
    Ok(folder)
}

pub(super) fn read(folder: &TempDir, which: CheckpointSelector) -> RunFolder {
    RunFolder::read(folder.path(), which).unwrap()
}

pub(super) fn open(folder: &TempDir, which: CheckpointSelector) -> RunFolder {
    RunFolder::open(folder.path(), which).unwrap()
}

/// Asserts that `run` is at `step` in every respect.
pub(super) fn assert_at(run: &RunFolder, step: u64) {
    assert_eq!(run.state::<State>().unwrap(), (step, state(step)));
    for name in NAMES {
        assert!(run.contains(name));
        assert!(run.get(name).unwrap() == content(name, step), "{name}");
    }
    let trace = run.read_trace::<u64>().unwrap();
    assert_eq!((trace.records.last(), trace.flaw), (Some(&step), None));
}

fn files_in(folder: &Path) -> usize {
    crate::files::walk(folder).unwrap().len()
}

pub(super) fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result.unwrap_err() {
        Error::Checkpoint(text) | Error::Config(text) => text,
        error @ (Error::Damaged { .. } | Error::Occupied { .. }) => error.to_string(),
        other => panic!("not the kind of error expected: {other:?}"),
    }
}

#[test]
fn goes_on_where_it_stopped() {
    let folder = run_with(1..=2, 1).unwrap();
    let mut run = open(&folder, Last);
    assert_at(&run, 2);
    advance(&mut run, 3, false).unwrap();
    assert_at(&run, 3);
    drop(run);
    assert_at(&read(&folder, Last), 3);
    assert_at(&read(&folder, Best), 1);
    assert_at(&read(&folder, Step(2)), 2);
}

#[test]
fn numbers_in_the_state_come_back_to_the_last_bit() {
    let folder = TempDir::new().unwrap();
    let mut run = RunFolder::create(folder.path()).unwrap();
    let sent: Vec<f64> = (1..2000)
        .map(|i| (f64::from(i) * 0.3).exp() / 3.0)
        .collect();
    run.commit(0, &sent, false).unwrap();
    let unreadable = vec![f64::INFINITY];
    assert!(message(run.commit(1, &unreadable, false)).contains("finite"));
    drop(run);
    let run = read(&folder, Last);
    let (_, found): (u64, Vec<f64>) = run.state().unwrap();
    let mut pairs = sent.iter().zip(&found);
    assert!(pairs.all(|(a, b)| a.to_bits() == b.to_bits()));
}

#[test]
fn a_commit_cut_off_after_any_stage_leaves_a_whole_checkpoint() {
    for done in 0..=STAGES.len() {
        let folder = run_with(1..=5, 2).unwrap();
        let mut run = open(&folder, Last);
        put_all(&mut run, 6).unwrap();
        let next = run.next(6, &state(6), false).unwrap();
        for stage in &STAGES[..done] {
            stage(&mut run, &next).unwrap();
        }
        fs::write(folder.path().join("blobs/half.tmp"), "half").unwrap();
        drop(run);

        let step = if done < 2 { 5 } else { 6 };
        let mut run = open(&folder, Last);
        assert_at(&run, step);
        // And the next commit leaves neither more nor less than if nothing had happened.
        advance(&mut run, step + 1, false).unwrap();
        drop(run);
        for kept in [step + 1, step, step - 1, 2] {
            assert_at(&read(&folder, Step(kept)), kept);
        }
        assert_eq!(files_in(&folder.path().join("checkpoints")), 4);
        assert_eq!(files_in(&folder.path().join("blobs")), 8, "{done} stages");
    }
}

#[test]
fn the_same_step_can_be_committed_again_and_cut_off() {
    let folder = run_with([1, 2], 1).unwrap();
    let mut run = open(&folder, Last);
    run.put("filters", b"second thoughts").unwrap();
    let next = run.next(2, &state(2), false).unwrap();
    for stage in &STAGES[..2] {
        stage(&mut run, &next).unwrap();
    }
    drop(run);
    // The kept copy of step 2 is still that of the first thoughts.
    assert_at(&read(&folder, Step(2)), 2);
    let mut run = open(&folder, Last);
    assert_eq!(run.get("filters").unwrap(), b"second thoughts");
    run.commit(2, &state(2), false).unwrap();
    let kept = read(&folder, Step(2));
    assert_eq!(kept.get("filters").unwrap(), b"second thoughts");
    assert!(message(run.commit(1, &state(1), false)).contains("step 2 already"));
}

#[test]
fn what_kept_checkpoints_refer_to_stays() {
    let folder = TempDir::new().unwrap();
    let mut run = RunFolder::create(folder.path()).unwrap();
    run.keep = 1;
    run.put("still", b"never changes").unwrap();
    for step in 1..=6 {
        advance(&mut run, step, step == 3).unwrap();
    }
    assert_eq!(files_in(&folder.path().join("checkpoints")), 2);
    assert_eq!(files_in(&folder.path().join("blobs")), 5);
    for (which, step) in [(Last, 6), (Best, 3)] {
        let kept = RunFolder::read(folder.path(), which).unwrap();
        assert_at(&kept, step);
        assert_eq!(kept.get("still").unwrap(), b"never changes");
    }
}

#[test]
fn opening_an_older_checkpoint_drops_what_came_after() {
    let folder = run_with(1..=4, 0).unwrap();
    drop(open(&folder, Step(3)));
    let run = open(&folder, Last);
    assert_at(&run, 3);
    assert_eq!(run.read_trace::<u64>().unwrap().records, [1, 2, 3]);
    let gone = message(RunFolder::read(folder.path(), Step(4)));
    says!(gone, "no checkpoint of step 4", "steps 2, 3 are kept");
}

#[test]
fn the_trace_goes_back_to_the_checkpoint() {
    let folder = run_with(1..=2, 0).unwrap();
    let mut run = open(&folder, Last);
    run.append_trace(&99).unwrap();
    assert_eq!(run.read_trace::<u64>().unwrap().records, [1, 2, 99]);
    drop(run);
    let mut run = open(&folder, Last);
    run.append_trace(&3).unwrap();
    assert_eq!(run.read_trace::<u64>().unwrap().records, [1, 2, 3]);
}

#[test]
fn a_damaged_trace_is_told_and_stops_nothing() {
    let folder = run_with(1..=3, 0).unwrap();
    let path = folder.path().join("trace.jsonl");
    let found = || {
        let run = read(&folder, Last);
        let trace = run.read_trace::<u64>().unwrap();
        (trace.records, trace.flaw.unwrap())
    };
    for (text, records, flaw) in [
        (
            &b"1\nx\n3\n"[..],
            vec![1, 3],
            "no record in 1 of its lines, the first of them line 2;",
        ),
        (
            b"x\n\xff\n3\n",
            vec![3],
            "no record in 2 of its lines, the first of them line 1;",
        ),
        (
            b"1\n2\n3x",
            vec![1, 2],
            "4 bytes of whole lines where 6 were written",
        ),
        (
            b"1\n2",
            vec![1],
            "2 bytes of whole lines where 6 were written",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let (found, told) = found();
        assert_eq!(found, records);
        says!(told, "trace.jsonl is damaged", flaw);
    }
    // What is left goes on, line by line, and no checkpoint takes later lines for its own.
    let mut run = open(&folder, Last);
    run.append_trace(&99).unwrap();
    drop(run);
    let older = read(&folder, Step(2));
    assert_eq!(older.read_trace::<u64>().unwrap().records, [1]);
    let mut run = open(&folder, Last);
    assert_eq!(run.read_trace::<u64>().unwrap().records, [1]);
    advance(&mut run, 4, false).unwrap();
    drop(run);
    let run = open(&folder, Last);
    assert_at(&run, 4);
    assert_eq!(run.read_trace::<u64>().unwrap().records, [1, 4]);
    drop(run);

    fs::remove_file(&path).unwrap();
    says!(found().1, "0 bytes of whole lines");
    let run = open(&folder, Last);
    assert!(run.read_trace::<u64>().unwrap().records.is_empty());
}

#[test]
fn checkpoints_have_names() {
    for (name, selector) in [("last", Last), ("best", Best), ("12", Step(12))] {
        assert_eq!(name.parse::<CheckpointSelector>().unwrap(), selector);
    }
    assert!(message("-1".parse::<CheckpointSelector>()).contains("`-1`"));
}
