//! The folder that a comparison writes its results to.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::Image;
use crate::error::{Error, Result};
use crate::{files, picture};

const TABLE: &str = "table.csv";
const RECORD: &str = "table.json";

/// A table, and files beside it.
pub(super) struct Results {
    folder: PathBuf,
}

impl Results {
    /// Makes the folder for a table and the files called `names`; what is there already may be replaced
    /// only with `overwrite`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file that would be replaced; [`Error::Io`].
    pub(super) fn claim(folder: &Path, names: &[impl AsRef<str>], overwrite: bool) -> Result<Self> {
        let others = names.iter().map(AsRef::as_ref);
        let mut taken = [TABLE, RECORD]
            .into_iter()
            .chain(others)
            .map(|name| folder.join(name));
        if let Some(path) = taken.find(|path| !overwrite && path.exists()) {
            return Err(Error::Config(format!(
                "{} exists and is not replaced: choose another folder, remove it, \
                 or pass --overwrite",
                path.display()
            )));
        }
        files::make_folder(folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// Where a file of the folder is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the table twice, for spreadsheets and with every curve for programs.
    pub(super) fn table(&self, csv: &str, report: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string_pretty(report)
            .map_err(|error| Error::Numeric(format!("cannot write the table as JSON: {error}")))?;
        for (name, text) in [(TABLE, csv), (RECORD, &json)] {
            let bytes = text.as_bytes();
            files::replace(&self.path(name), false, |file| file.write_all(bytes))?;
        }
        Ok(())
    }

    /// Writes a picture.
    pub(super) fn picture(&self, name: &str, picture: &Image) -> Result<()> {
        picture::save_png(picture, self.path(name))
    }

    /// Removes the picture of an earlier run, so that it is not taken for one of this.
    pub(super) fn no_picture(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match path.exists() {
            true => files::remove(&path),
            false => Ok(()),
        }
    }
}
