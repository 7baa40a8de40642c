//! The processes that `mpirun` or `srun` has started: joined by a command, and left or ended together.

use std::path::Path;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;

use super::output;
use crate::error::{Error, Result};
use crate::group::{Group, Late, Place};

/// Exit code of a backend that is not there or that failed, and where a process hangs.
pub const BACKEND: u8 = 6;

/// Flags of commands that several processes share.
#[derive(Debug, Args)]
pub struct GroupArgs {
    /// Of several processes, end all once the others have waited so many seconds for one; otherwise that is only told.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    max_wait: Option<f64>,
}

impl GroupArgs {
    /// Tells from now on which process the others wait for. Signs of life lie in a folder beside that of the results.
    pub fn watch(&self, group: &Group, results: &Path) -> Result<()> {
        let most = self.max_wait.map(Duration::try_from_secs_f64).transpose();
        let Some(most) = most.ok().filter(|most| *most != Some(Duration::ZERO)) else {
            return group.agree(Err(Error::Config(
                "--max-wait is in seconds, more than 0".into(),
            )));
        };
        let mut folder = results.components().as_path().as_os_str().to_owned();
        folder.push(".processes");
        group.watch(Path::new(&folder), most, |late| match late {
            Late::Told(text) => output::say(&format!("warning: {text}")),
            Late::Over(text) => {
                if let Some(text) = text {
                    output::say(&format!(
                        "error: {text}, longer than --max-wait; what was saved last is whole, and can be gone on from"
                    ));
                }
                process::exit(BACKEND.into());
            }
        })
    }
}

/// Those that a command has joined.
static JOINED: Mutex<Option<Group>> = Mutex::new(None);

/// How a command works where several processes were started together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They share its work.
    Together,
    /// Each does what it was told, such as a shard of its own.
    Apart,
    /// It is the work of one.
    None,
}

impl Sharing {
    /// That of a command whose work can be shared, with this shard.
    pub fn of<T>(shard: Option<T>) -> Self {
        shard.map_or(Self::Together, |_| Self::Apart)
    }
}

/// The processes that a command works with.
pub fn group(sharing: Sharing) -> Result<Group> {
    match sharing {
        Sharing::Together => join(),
        Sharing::Apart => Ok(Group::alone()),
        Sharing::None => alone(),
    }
}

/// The processes that were started together with this one.
fn join() -> Result<Group> {
    let group = Group::started()?;
    let mut joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
    *joined = Some(group.clone());
    Ok(group)
}

/// This process alone, for a command that is one process's work: of several, each would do all of it and write
/// the same files.
fn alone() -> Result<Group> {
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
