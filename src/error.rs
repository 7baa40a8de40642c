//! What can go wrong, grouped by whose fault it is.
//!
//! Every message says what is wrong, where, and what to do about it. What depends on how the caller
//! is spoken to, a flag or an argument, is left to the caller, who can tell the cases apart.

use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error, grouped by whose fault it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration or the options contradict themselves or ask for what does not exist.
    #[error("{0}")]
    Config(String),
    /// A file is in the way, and nothing is replaced unasked.
    #[error("{} exists and is not replaced: choose another name or folder, or remove it", .0.display())]
    Exists(PathBuf),
    /// An earlier call with the same images and settings has done everything.
    #[error(
        "an earlier call with the same images and settings is finished: there is nothing left to do, and what is in \
         {} is not replaced",
        .0.display()
    )]
    Finished(PathBuf),
    /// The folder for a new run is not empty.
    #[error(
        "{} is not empty, and nothing in it is overwritten: {}choose another folder, or remove it",
        folder.display(),
        if *resumable { "go on with the run that it holds, " } else { "" }
    )]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// Whether it holds a run to go on with.
        resumable: bool,
    },
    /// The images or arrays given cannot be used.
    #[error("{0}")]
    Input(String),
    /// A run or a checkpoint does not hold what is asked of it.
    #[error("{0}")]
    Checkpoint(String),
    /// A file of a checkpoint is missing, cut short or of another version.
    #[error("{} {reason}; {}", path.display(), instead(*whole))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The step of the newest checkpoint that is kept whole.
        whole: Option<u64>,
    },
    /// The work takes more memory or disk than there is.
    #[error("{message}")]
    Resources {
        /// How much it takes and what would take less.
        message: String,
        /// The longest side of images that would fit, where they can be scaled down.
        max_side: Option<usize>,
        /// Whether the command begins it all the same where it is told to.
        forced: bool,
    },
    /// The numbers left the finite range.
    #[error("{0}")]
    Numeric(String),
    /// The device failed.
    #[error("{0}")]
    Backend(String),
    /// The backend is not compiled in.
    #[error(
        "the backend '{0}' is not compiled in: build with the feature '{0}', or choose another"
    )]
    NotCompiledIn(&'static str),
    /// No device answers for the backend.
    #[error(
        "no device answers for the backend '{0}': no adapter or driver was found; install the \
         graphics driver (on a machine without a GPU, Mesa's software Vulkan will do), or choose \
         another backend"
    )]
    NoDevice(&'static str),
    /// Another process of the group has failed.
    #[error("process {0} of the group has failed and tells why")]
    Elsewhere(usize),
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
}

/// What to do where a checkpoint is damaged.
fn instead(whole: Option<u64>) -> String {
    match whole {
        Some(step) => format!("the kept checkpoint of step {step} is whole"),
        None => "no other checkpoint is kept whole: check the path, or start a new run".into(),
    }
}
