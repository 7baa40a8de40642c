//! Processes that are killed, and disks that are full: each in a process of its own, which is this
//! test program started again for one test.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::tests::content;
use super::{CheckpointSelector, RunFolder};
use crate::{Error, Result};

/// Says to the tests below, in the process started for them, which folder to write to.
const FOLDER: &str = "DECONVNET_TEST_RUN_FOLDER";
const BLOBS: u64 = 5;

/// Goes on from wherever the run is, for as long as it can.
fn write_on(folder: &Path, steps: u64) -> Result<()> {
    let mut run = match folder.join("checkpoint.json").exists() {
        true => RunFolder::open(folder, CheckpointSelector::Last)?,
        false => RunFolder::create(folder)?,
    };
    let first = run.state::<u64>().map_or(0, |(step, _)| step);
    for step in first + 1..=first + steps {
        run.append_trace(&step)?;
        // Not all of them at every step, so that checkpoints share some.
        for index in (0..BLOBS).filter(|index| step < 2 || (step + index) % 3 != 0) {
            let name = format!("maps/{index}");
            run.put(&name, &content(&name, step))?;
        }
        run.commit(step, &step, step % 7 == 0)?;
    }
    Ok(())
}

/// Asserts that the blobs of `run` are those that [`write_on`] had put when it got to its step.
fn assert_whole(run: &RunFolder) {
    let (step, state): (u64, u64) = run.state().unwrap();
    assert_eq!(step, state);
    for index in 0..BLOBS {
        let name = format!("maps/{index}");
        let mut put_at = (1..=step).rev();
        let put_at = put_at.find(|s| *s < 2 || (s + index) % 3 != 0);
        let expected = content(&name, put_at.unwrap());
        assert!(run.get(&name).unwrap() == expected, "{name} at {step}");
    }
    let expected: Vec<u64> = (1..=step).collect();
    assert_eq!(run.read_trace::<u64>().unwrap().records, expected);
}

/// This test program, to be started for one test of this file only.
fn program(test: &str) -> (String, [String; 2]) {
    let path = std::env::current_exe().unwrap();
    let path = path.to_str().unwrap().to_owned();
    let module = module_path!().split_once("::").unwrap().1;
    (path, ["--exact".to_owned(), format!("{module}::{test}")])
}

#[test]
fn a_process_killed_at_any_moment_leaves_a_whole_run() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_on(Path::new(&folder), u64::MAX / 2).unwrap();
    }
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("run");
    write_on(&folder, 1).unwrap();
    let (path, arguments) = program("a_process_killed_at_any_moment_leaves_a_whole_run");
    let mut steps = Vec::new();
    for round in 0..25 {
        let mut child = Command::new(&path)
            .args(&arguments)
            .env(FOLDER, &folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Spread over several commits, in no rhythm with them.
        std::thread::sleep(Duration::from_micros(20_000 + 7_919 * (round * 13 % 25)));
        child.kill().unwrap();
        child.wait().unwrap();

        let last = RunFolder::read(&folder, CheckpointSelector::Last).unwrap();
        assert_whole(&last);
        steps.push(last.state::<u64>().unwrap().0);
        let kept = last.layout.kept_steps().unwrap();
        for step in kept.into_iter().filter(|step| Some(step) <= steps.last()) {
            assert_whole(&RunFolder::read(&folder, CheckpointSelector::Step(step)).unwrap());
        }
    }
    assert!(
        steps.last() > steps.first(),
        "no process got anywhere: {steps:?}"
    );
    write_on(&folder, 1).unwrap();
}

#[test]
fn a_full_disk_is_told_and_the_last_commit_stays() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let mut run = RunFolder::open(Path::new(&folder), CheckpointSelector::Last).unwrap();
        let failed = run.put("maps/0", &vec![7; 1 << 20]).unwrap_err();
        assert!(matches!(&failed, Error::Io { path, .. } if path.ends_with("maps/0-00000003.bpk")));
        let half = Path::new(&folder).join("blobs/maps/0-00000003.bpk.tmp");
        assert!(!half.exists());
        assert_whole(&run);
        return run.commit(3, &3, false).unwrap();
    }
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("run");
    write_on(&folder, 2).unwrap();
    let (path, arguments) = program("a_full_disk_is_told_and_the_last_commit_stays");
    // A limit on the length of files stands for the disk: a write fails half way, as on a full one.
    let limited = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ && ulimit -f 64 && exec \"$0\" \"$@\"",
            &path,
        ])
        .args(&arguments)
        .env(FOLDER, &folder)
        .output();
    let Ok(output) = limited else {
        return crate::skipped::skipped("sh", "there is no `sh` to limit the length of files");
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let run = RunFolder::open(&folder, CheckpointSelector::Last).unwrap();
    assert_eq!(run.state::<u64>().unwrap(), (3, 3));
    assert!(run.get("maps/0").unwrap() == content("maps/0", 2));
}
