//! What can go wrong, grouped by whose fault it is.
//!
//! Every message says what is wrong, where, and what to do about it. The group decides the exit
//! code of the command, so that a script can tell a typing error from a full disk.

use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error, grouped by whose fault it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration or the flags contradict themselves or ask for what does not exist.
    #[error("{0}")]
    Config(String),
    /// The images or arrays given cannot be used.
    #[error("{0}")]
    Input(String),
    /// A checkpoint is missing, cut short, of another version or of other shapes.
    #[error("{0}")]
    Checkpoint(String),
    /// The numbers left the finite range.
    #[error("{0}")]
    Numeric(String),
    /// The backend is not compiled in, or no device answers.
    #[error("{0}")]
    Backend(String),
    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Error {
    /// An [`Error::Io`] for `action` on `path`; made to be used with `map_err`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// The exit code of the command: 2 configuration, 3 input, 4 checkpoint, 5 numeric,
    /// 6 backend, 7 reading or writing.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Input(_) => 3,
            Self::Checkpoint(_) => 4,
            Self::Numeric(_) => 5,
            Self::Backend(_) => 6,
            Self::Io { .. } => 7,
        }
    }
}
