//! The folder that results are written to.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Page, Table};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::files::{self, Written};
use crate::picture;

/// The table for spreadsheets, and with all that goes with it, for programs; `part` is empty, or tells the
/// part of one of several calls that write to one folder.
fn tables(part: &str) -> [String; 2] {
    ["csv", "json"].map(|ending| format!("table{part}.{ending}"))
}

/// The table for programs.
pub(crate) fn record(part: &str) -> String {
    let [_, record] = tables(part);
    record
}

/// A table, and files beside it.
pub(crate) struct Results {
    folder: PathBuf,
    tables: [String; 2],
    written: Written,
}

impl Results {
    /// Makes the folder for a table and the files called `names`; what is there already may be replaced
    /// only with `overwrite`.
    ///
    /// # Errors
    /// [`Error::Exists`] naming the file that would be replaced; [`Error::Io`].
    pub fn claim(folder: &Path, names: &[impl AsRef<Path>], overwrite: bool) -> Result<Self> {
        Self::claim_part(folder, "", names, overwrite)
    }

    /// The same for one of several calls that write to one folder, each with a table of its own.
    ///
    /// # Errors
    /// As [`Results::claim`].
    pub fn claim_part(
        folder: &Path,
        part: &str,
        names: &[impl AsRef<Path>],
        overwrite: bool,
    ) -> Result<Self> {
        let tables = tables(part);
        let others = names.iter().map(AsRef::as_ref);
        for name in tables.iter().map(Path::new).chain(others) {
            files::refuse_existing(&folder.join(name), overwrite)?;
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            tables,
            written: Written::part_of_folder(folder, part)?,
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
        for (name, text) in self.tables.iter().zip([table.csv(), json + "\n"]) {
            let path = self.folder.join(name);
            files::replace(&path, false, |file| file.write_all(text.as_bytes()))?;
        }
        Ok(())
    }

    /// Lets searches for images leave out a picture that is about to be written.
    pub fn mark(&self, name: &Path) -> Result<()> {
        self.written.add(name)
    }

    /// Writes a picture, which searches for images leave out from then on.
    pub fn picture(&self, name: impl AsRef<Path>, picture: &Image) -> Result<()> {
        self.mark(name.as_ref())?;
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
