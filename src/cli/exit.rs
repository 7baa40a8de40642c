//! How the command ends: its exit code, and what it says last.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::processes::BACKEND;
use super::{output, panics, processes};
use crate::error::{Error, Result};

/// Exit code where there is too little memory or disk.
pub const RESOURCES: u8 = 8;
/// Exit code of a bug of this program.
const BUG: u8 = 70;
/// Exit code after an interruption, as shells have it: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

const DEVICE_FAILED: &str = "the device failed: if it ran out of memory, use smaller batches or images; \
    if not, update its driver, or compute on the processor with --backend flex; checkpoints written so \
    far are whole";
const BUG_FOUND: &str = "this should not happen: please report it with the command that led here; \
    checkpoints written so far are whole";

/// Runs the command, tells what went wrong, and returns the exit code. `Ok(false)` of `command`: it was
/// interrupted and has saved what there was.
///
/// Panics of this process are recorded from here on and told only where they arrive here: what catches
/// one, such as a search for devices, has dealt with it.
pub fn guard(command: impl FnOnce() -> Result<bool>) -> u8 {
    panics::record();
    let (code, text) = match catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(done)) => {
            processes::leave(None);
            return if done { 0 } else { INTERRUPTED };
        }
        // The process where it failed tells it, and ends with its code.
        Ok(Err(Error::Elsewhere(_))) => {
            processes::leave(None);
            return 0;
        }
        Ok(Err(error)) => (code(&error), told(&error)),
        Err(payload) => {
            let panic = panics::recorded(&*payload);
            match panic.is_of_device() {
                true => (BACKEND, panic.told(DEVICE_FAILED)),
                false => (BUG, panic.told(BUG_FOUND)),
            }
        }
    };
    output::say(&format!("error: {text}"));
    processes::leave(Some(code));
    code
}

fn code(error: &Error) -> u8 {
    match error {
        Error::Config(_) | Error::Exists(_) | Error::Finished(_) | Error::Occupied { .. } => 2,
        Error::Input(_) => 3,
        Error::Checkpoint(_) | Error::Damaged { .. } => 4,
        Error::Numeric(_) => 5,
        Error::Backend(_) | Error::NotCompiledIn(_) | Error::NoDevice(_) => BACKEND,
        Error::Io { .. } => 7,
        Error::Elsewhere(_) => 0,
        Error::Resources { .. } => RESOURCES,
    }
}

/// The message, and the flags that help.
fn told(error: &Error) -> String {
    let hint = match error {
        Error::Exists(_) => "pass --overwrite to replace it".into(),
        Error::Finished(_) => "pass --overwrite to do it again".into(),
        Error::Occupied {
            folder,
            resumable: true,
        } => format!("train --resume {} goes on with it", folder.display()),
        Error::Damaged {
            whole: Some(step), ..
        } => format!("pass --at {step} to take that"),
        Error::NotCompiledIn(backend) => {
            format!("build with `cargo build --release --features {backend}`")
        }
        Error::Resources {
            max_side,
            forced: true,
            ..
        } => {
            let side =
                max_side.map_or(String::new(), |side| format!("pass --max-side {side}, or "));
            format!("{side}--force to go on all the same")
        }
        Error::NoDevice(_) => "--backend flex computes on the processor".into(),
        _ => return error.to_string(),
    };
    format!("{error}; {hint}")
}
