//! What the commands do, one file each. They read and write through [`crate::run`], tell an
//! [`Callback`] how far they are, and return a report; nothing here prints.

pub mod compare;
pub mod exchange;
pub mod infer;
pub mod invert;
pub mod train;
pub mod visualize;

#[cfg(test)]
mod test_runs;

use crate::error::Result;
use crate::run::{Run, TraceLine};
pub use crate::solve::Callback;

/// Something worth telling while a task runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// A remark in words.
    Note(String),
    /// A stage of learning begins.
    Stage {
        /// Which layers it learns, in words.
        name: String,
        /// Epochs of the stage.
        epochs: usize,
        /// Images visited in each epoch.
        images: usize,
        /// Images visited already, over all epochs.
        done: usize,
    },
    /// A batch is done.
    Batch(TraceLine),
    /// An epoch is done.
    Epoch(TraceLine),
    /// A part of a task of known length is done.
    Item {
        /// What was done.
        name: String,
        /// How many are done.
        done: usize,
        /// Out of how many.
        of: usize,
    },
}

/// Tells what of the trace of a run is lost, if anything is.
fn warn_of_trace(run: &Run, observer: &mut dyn Callback<Event>) -> Result<()> {
    if let Some(flaw) = run.folder.read_trace::<TraceLine>()?.flaw {
        observer.event(Event::Note(format!("warning: {flaw}")));
    }
    Ok(())
}

/// Lets a solver ask the callback of a task whether to stop.
struct Interrupt<'a>(&'a dyn Callback<Event>);

impl<E> Callback<E> for Interrupt<'_> {
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
