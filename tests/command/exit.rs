//! How the command ends. An error has its code and names the flags that help; a panic is told once, with
//! its place, and one that was dealt with not at all.

use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::process::Command;

use deconvnet::Error;
use deconvnet::cli::guard;

const KIND: &str = "DECONVNET_TEST_END";

/// Errors, with the exit code and what is said.
fn errors() -> Vec<(Error, i32, &'static str)> {
    let damaged = |whole| Error::Damaged {
        path: "a".into(),
        reason: "is cut short".into(),
        whole,
    };
    let occupied = |resumable| Error::Occupied {
        folder: "runs/a".into(),
        resumable,
    };
    let no = || "no".to_string();
    let short_of = |max_side, forced| Error::Resources {
        message: no(),
        max_side,
        forced,
    };
    let gone = Error::io("read", "a")(ErrorKind::NotFound.into());
    vec![
        (Error::Config(no()), 2, "error: no\n"),
        (Error::Exists("a.png".into()), 2, "; pass --overwrite"),
        (
            Error::Finished("maps".into()),
            2,
            "maps is not replaced; pass --overwrite to do it again",
        ),
        (occupied(true), 2, "; train --resume runs/a goes on with it"),
        (occupied(false), 2, "choose another folder, or remove it\n"),
        (Error::Input(no()), 3, "error: no\n"),
        (Error::Checkpoint(no()), 4, "error: no\n"),
        (damaged(Some(12)), 4, "step 12 is whole; pass --at 12"),
        (damaged(None), 4, "or start a new run\n"),
        (Error::Numeric(no()), 5, "error: no\n"),
        (short_of(None, false), 8, "error: no\n"),
        (short_of(None, true), 8, "error: no; --force to go on"),
        (
            short_of(Some(700), true),
            8,
            "; pass --max-side 700, or --force to go on",
        ),
        (Error::Backend(no()), 6, "error: no\n"),
        (Error::NotCompiledIn("cuda"), 6, "--features cuda"),
        (Error::NoDevice("wgpu"), 6, "; --backend flex computes"),
        (gone, 7, "error: cannot read a: "),
    ]
}

/// Run by the others in a process of its own, because a panic hook is the process's.
#[test]
fn child() {
    let Ok(kind) = std::env::var(KIND) else {
        return;
    };
    let code = guard(|| match kind.as_str() {
        "bug" => panic!("a bug of the test"),
        "worker" => {
            rayon::scope(|scope| scope.spawn(|_| panic!("a bug in a worker")));
            Ok(true)
        }
        "device" => panic!("Error while reading data: the wgpu device was lost"),
        "caught" => Ok(catch_unwind(|| panic!("dealt with")).is_err()),
        "caught, then a bug" => {
            let _ = catch_unwind(|| panic!("dealt with"));
            panic!("another")
        }
        error => Err(errors().swap_remove(error.parse().unwrap()).0),
    });
    std::process::exit(code.into());
}

/// Exit code and standard error.
fn told(kind: &str, backtrace: &str) -> (i32, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "exit::child"])
        .env(KIND, kind)
        .env("RUST_BACKTRACE", backtrace)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn errors_have_their_codes_and_name_the_flags_that_help() {
    for (i, (_, code, words)) in errors().into_iter().enumerate() {
        let (found, text) = told(&i.to_string(), "0");
        assert!(found == code && text.contains(words), "{found}: {text}");
    }
}

#[test]
fn a_bug_is_told_with_its_place() {
    for (kind, message) in [
        ("bug", "a bug of the test at tests/command/exit.rs:"),
        ("worker", "a bug in a worker at tests/command/exit.rs:"),
        ("caught, then a bug", "another at tests/command/exit.rs:"),
    ] {
        let (code, text) = told(kind, "0");
        assert_eq!(code, 70, "{kind}: {text}");
        assert!(text.contains(message), "{kind}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let (_, text) = told("bug", "1");
    assert!(text.contains("\n   0: "), "{text}");
}

#[test]
fn a_device_that_fails_is_no_bug() {
    let (code, text) = told("device", "0");
    assert_eq!(code, 6, "{text}");
    says!(text, "was lost", "--backend flex");
}

#[test]
fn what_was_dealt_with_is_not_told() {
    assert_eq!(told("caught", "1"), (0, String::new()));
}
