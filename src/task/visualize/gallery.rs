//! The folder that pictures go to.

use std::path::{Path, PathBuf};

use super::Report;
use crate::data::Image;
use crate::error::Result;
use crate::files::{self, Written};
use crate::picture::save_png;

/// A folder of pictures, and what was written to it.
pub(super) struct Gallery {
    folder: PathBuf,
    overwrite: bool,
    written: Written,
    files: Vec<PathBuf>,
}

impl Gallery {
    /// Makes the folder; without `overwrite`, files that are in it are never replaced.
    pub(super) fn new(folder: PathBuf, overwrite: bool) -> Result<Self> {
        Ok(Self {
            written: Written::in_folder(&folder)?,
            folder,
            overwrite,
            files: Vec::new(),
        })
    }

    /// Writes `picture` to the file `name`.
    pub(super) fn save(&mut self, name: &str, picture: &Image) -> Result<()> {
        let path = self.folder.join(name);
        files::refuse_existing(&path, self.overwrite)?;
        self.written.add(Path::new(name))?;
        save_png(picture, &path)?;
        self.files.push(path);
        Ok(())
    }

    pub(super) fn into_report(self) -> Report {
        Report {
            folder: self.folder,
            files: self.files,
        }
    }
}
