//! The folder that results are written to.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Page, Table};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::files::{self, Written};
use crate::picture;

const TABLE: &str = "table.csv";
/// The table with all that goes with it, for programs.
pub(crate) const RECORD: &str = "table.json";

/// A table, and files beside it.
pub(crate) struct Results {
    folder: PathBuf,
    written: Written,
}

impl Results {
    /// Makes the folder for a table and the files called `names`; what is there already may be replaced
    /// only with `overwrite`.
    ///
    /// # Errors
    /// [`Error::Exists`] naming the file that would be replaced; [`Error::Io`].
    pub fn claim(folder: &Path, names: &[impl AsRef<Path>], overwrite: bool) -> Result<Self> {
        let others = names.iter().map(AsRef::as_ref);
        for name in [TABLE, RECORD].map(Path::new).into_iter().chain(others) {
            files::refuse_existing(&folder.join(name), overwrite)?;
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            written: Written::in_folder(folder)?,
        })
    }

    /// Where a file of the folder is to be written; makes the folder between.
    pub fn path(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.folder.join(name);
        path.parent().map_or(Ok(()), files::make_folder)?;
        Ok(path)
    }

    /// Writes the table twice, for spreadsheets and, with all that `report` holds, for programs.
    pub fn table(&self, table: &Table, report: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string_pretty(report)
            .map_err(|error| Error::Numeric(format!("cannot write the table as JSON: {error}")))?;
        for (name, text) in [(TABLE, table.csv()), (RECORD, json + "\n")] {
            let path = self.folder.join(name);
            files::replace(&path, false, |file| file.write_all(text.as_bytes()))?;
        }
        Ok(())
    }

    /// Writes a picture, which searches for images leave out from then on.
    pub fn picture(&self, name: impl AsRef<Path>, picture: &Image) -> Result<()> {
        self.written.add(name.as_ref())?;
        picture::save_png(picture, self.path(name)?)
    }

    /// Writes a page.
    pub fn page(&self, name: &str, page: &Page) -> Result<()> {
        let html = page.html();
        files::replace(&self.path(name)?, false, |file| {
            file.write_all(html.as_bytes())
        })
    }

    /// Removes the picture of an earlier run, so that it is not taken for one of this.
    pub fn no_picture(&self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        match path.exists() {
            true => files::remove(&path),
            false => Ok(()),
        }
    }
}
