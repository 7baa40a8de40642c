//! The processes that `mpirun` or `srun` has started: joined by a command, and left or ended together.

use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::group::Group;

/// Those that a command has joined.
static JOINED: Mutex<Option<Group>> = Mutex::new(None);

/// The processes that were started together with this one.
pub fn join() -> Result<Group> {
    let group = Group::started()?;
    let mut joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
    *joined = Some(group.clone());
    Ok(group)
}

/// Leaves them at the end of a command; with the exit code of a failure of which the others do not know,
/// ends them all.
pub fn leave(failure: Option<u8>) {
    let joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Some(group), Some(code)) = (joined, failure) {
        group.fail(code.into());
    }
}
