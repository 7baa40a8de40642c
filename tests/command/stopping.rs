//! Ctrl-C and kill -9, really done to the command, for each solver: what is left resumes bit for
//! bit to where an undisturbed run arrives.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::support::{checksums, config, deconvnet, run, signal, stage};

const SOLVERS: [&str; 4] = ["split", "fista", "adam", "descent"];

fn train<'a>(solver: &'a str, run: &'a str) -> [&'a str; 7] {
    [
        "train",
        "-c",
        "small.toml",
        "--solver",
        solver,
        "--run",
        run,
    ]
}

fn undisturbed(folder: &Path, solver: &str, more: &[&str]) {
    let (code, _, err) = run(folder, &[&train(solver, "whole"), more].concat());
    assert_eq!(code, 0, "{err}");
}

#[test]
fn the_same_seed_gives_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    config(folder.path(), "");
    for name in ["a", "b"] {
        let (code, _, err) = run(folder.path(), &["train", "-c", "small.toml", "--run", name]);
        assert_eq!(code, 0, "{err}");
    }
    let sums = |name: &str| checksums(&folder.path().join("checkpoints").join(name));
    assert_eq!(sums("a"), sums("b"));
}

#[test]
fn ctrl_c_saves_and_the_run_resumes_bit_for_bit() {
    // Long enough that the signal finds it at work.
    const EPOCHS: [&str; 2] = ["--epochs", "10"];
    for solver in SOLVERS {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        config(folder, "");
        undisturbed(folder, solver, &EPOCHS);
        let mut child = deconvnet(folder)
            .args(train(solver, "cut"))
            .args(EPOCHS)
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = |line: &String| line.contains("layer 1/2 epoch 1/10");
        let seen = lines.by_ref().map_while(Result::ok).find(first);
        assert!(seen.is_some(), "{solver}: no epoch was reported");
        signal(&child, "-INT");
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(130), "{solver}: {out} {rest:?}");
        assert!(
            rest.iter().any(|line| line.contains("finishing the step")),
            "{rest:?}"
        );
        says!(out, "interrupted after", "--resume checkpoints/cut");
        let runs = folder.join("checkpoints");
        let stage = stage(&runs.join("cut"));
        assert!(stage < 2, "{solver} was done: {stage}");

        let (code, out, err) = run(folder, &["train", "--resume", "cut"]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("finished"), "{out}");
        assert_eq!(
            checksums(&runs.join("cut")),
            checksums(&runs.join("whole")),
            "{solver}"
        );
    }
}

#[test]
fn kill_9_at_any_moment_leaves_a_run_that_resumes_bit_for_bit() {
    for solver in SOLVERS {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        config(folder, "");
        undisturbed(folder, solver, &[]);
        let run_folder = folder.join("checkpoints/killed");
        let mut killed = 0;
        for attempt in 0..60 {
            let arguments: &[&str] = if run_folder.join("checkpoint.json").exists() {
                &["train", "--resume", "killed"]
            } else {
                // Killed before its first save: nothing to resume, so it starts anew.
                let _ = std::fs::remove_dir_all(&run_folder);
                &train(solver, "killed")
            };
            let mut child = deconvnet(folder)
                .args(arguments)
                .stderr(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            // Different moments, the later ones long enough to get through.
            std::thread::sleep(Duration::from_millis(
                60 + 37 * (attempt % 7) + 10 * attempt,
            ));
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{solver}, attempt {attempt}: {status}");
                break;
            }
            signal(&child, "-KILL");
            child.wait().unwrap();
            killed += 1;
        }
        let (code, _, err) = run(folder, &["train", "--resume", "killed"]);
        assert_eq!(code, 0, "{err}");
        assert!(killed > 0, "{solver}: no process was killed in time");
        let whole = checksums(&folder.join("checkpoints/whole"));
        assert_eq!(checksums(&run_folder), whole, "{solver}");
    }
}
