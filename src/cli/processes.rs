//! The processes that `mpirun` or `srun` has started: joined by a command, and left or ended together.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::group::{Group, Place};

/// Those that a command has joined.
static JOINED: Mutex<Option<Group>> = Mutex::new(None);

/// The processes that were started together with this one.
pub fn join() -> Result<Group> {
    let group = Group::started()?;
    let mut joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
    *joined = Some(group.clone());
    Ok(group)
}

/// This process alone, for a command that is one process's work: of several, each would do all of it and write
/// the same files.
pub fn alone() -> Result<Group> {
    match Place::here() {
        Place { size: ..=1, .. } => Ok(Group::alone()),
        Place { size, rank: 0, .. } => Err(Error::Config(format!(
            "this command is the work of one process, and {size} were started together: start it by itself"
        ))),
        // The first tells it.
        _ => Err(Error::Elsewhere(0)),
    }
}

/// Leaves them at the end of a command; with the exit code of a failure of which the others do not know,
/// ends them all.
pub fn leave(failure: Option<u8>) {
    let joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Some(group), Some(code)) = (joined, failure) {
        group.fail(code.into());
    }
}
