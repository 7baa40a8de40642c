//! What the commands do, one file each. They read and write through [`crate::run`], tell an
//! [`Callback`] how far they are, and return a report; nothing here prints.

pub mod classify;
pub mod compare;
pub mod convnet;
pub mod exchange;
pub mod features;
pub mod infer;
pub mod invert;
pub mod restore;
mod shard;
pub mod train;
pub mod visualize;

#[cfg(test)]
mod test_runs;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::data::scan::{Scan, scan};
use crate::error::{Error, Result};
pub use crate::solve::Callback;
pub use crate::train::Event;

/// The image files that `path` stands for, see [`scan`]; tells what is left out.
///
/// # Errors
/// Those of [`scan`].
fn find_images(
    path: &Path,
    exclude: &[String],
    observer: &mut dyn Callback<Event>,
) -> Result<Vec<PathBuf>> {
    Ok(tell_found(scan(path, exclude)?, observer))
}

/// The images that were found; tells what was left out.
fn tell_found(found: Scan, observer: &mut dyn Callback<Event>) -> Vec<PathBuf> {
    let remarks = found.remarks.into_iter();
    remarks.for_each(|remark| observer.event(Event::Note(remark)));
    found.images
}

/// Tells how many are done; whether to go on.
fn goes_on(callback: &mut dyn Callback<Event>, name: &str, done: usize, of: usize) -> bool {
    tell_item(callback, name, done, of);
    !callback.interrupted()
}

/// Tells how many are done.
fn tell_item(callback: &mut dyn Callback<Event>, name: &str, done: usize, of: usize) {
    let name = name.to_owned();
    callback.event(Event::Item { name, done, of });
}

/// Between two tables of what is done so far: a kill costs the rows of no more than that.
const TABLE_EVERY: Duration = Duration::from_secs(5);

/// Whether an error is not the fault of the image in work and would meet all others, too: the device failed, or
/// the results cannot be written. A name that is too long is that of the image.
fn ends_all(error: &Error) -> bool {
    match error {
        Error::Backend(_) => true,
        Error::Io { action, source, .. } => {
            matches!(*action, "write" | "create") && source.kind() != ErrorKind::InvalidFilename
        }
        _ => false,
    }
}

/// Lets a solver ask the callback of a task whether to stop.
struct Interrupt<'a>(&'a dyn Callback<Event>);

impl<E> Callback<E> for Interrupt<'_> {
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
