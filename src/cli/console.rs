//! What a command tells: its progress, its report, and hints.

use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;

use super::progress::Progress;
use super::{Interruption, output};
use crate::error::{Error, Result};

/// Where a command tells how far it is and what it found.
pub struct Console {
    json: bool,
    quiet: bool,
    /// How far it is.
    pub progress: Progress,
}

impl Console {
    /// With `json` the report and nothing else; with `quiet`, nothing. Tasks stop once `interruption` asks for it.
    pub fn new(json: bool, quiet: bool, interruption: Arc<Interruption>) -> Self {
        Self {
            json,
            quiet,
            progress: Progress::new(quiet || json, interruption),
        }
    }

    /// Prints a report: as JSON for programs, else as text.
    pub fn report(&mut self, report: &(impl Serialize + Display)) -> Result<()> {
        self.progress.finish();
        if !self.json {
            return self.tell(&report.to_string());
        }
        let text = serde_json::to_string_pretty(report)
            .map_err(|error| Error::Numeric(format!("cannot write the report: {error}")))?;
        output::print(&text)
    }

    /// Prints text for people.
    pub fn tell(&self, text: &str) -> Result<()> {
        match self.json || self.quiet {
            true => Ok(()),
            false => output::print(text),
        }
    }
}

/// Whether a command came to its end; with the exit code of images that cannot be used where it left some out.
pub fn complete(finished: bool, skipped: &[String]) -> Result<bool> {
    match skipped {
        _ if !finished => Ok(false),
        [] => Ok(true),
        each => Err(Error::Input(format!(
            "{} images could not be read, the results of the others are there:\n{}",
            each.len(),
            each.join("\n")
        ))),
    }
}
