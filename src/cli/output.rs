//! The only way to standard output and standard error.

use std::io::{self, ErrorKind, Write};

use crate::error::{Error, Result};

/// Prints on standard output.
///
/// # Errors
/// [`Error::Io`], but not where the reader has gone away: it has seen enough.
pub fn print(text: &str) -> Result<()> {
    match line(io::stdout().lock(), text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Error::io("write", "standard output")),
    }
}

/// Says something on standard error. Where that fails there is no place left to tell.
pub fn say(text: &str) {
    let _ = line(io::stderr().lock(), text);
}

fn line(mut to: impl Write, text: &str) -> io::Result<()> {
    writeln!(to, "{}", text.trim_end()).and_then(|()| to.flush())
}
