//! What the commands do, one file each. They read and write through [`crate::run`], tell an
//! [`Callback`] how far they are, and return a report; nothing here prints.

pub mod compare;
pub mod convnet;
pub mod exchange;
pub mod infer;
pub mod invert;
pub mod train;
pub mod visualize;

#[cfg(test)]
mod test_runs;

pub use crate::solve::Callback;
pub use crate::train::Event;

/// Lets a solver ask the callback of a task whether to stop.
struct Interrupt<'a>(&'a dyn Callback<Event>);

impl<E> Callback<E> for Interrupt<'_> {
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
