//! The files that a comparison writes.

use std::io::Write;
use std::path::PathBuf;

use super::{Report, What};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::{files, picture};

const TABLE: &str = "table.csv";
const RECORD: &str = "table.json";
pub(super) const CURVES: &str = "curves.png";
pub(super) const RECONSTRUCTIONS: &str = "reconstructions.png";
pub(super) const FILTERS: &str = "filters.png";

/// The folder of the results.
pub(super) struct Output {
    folder: PathBuf,
}

impl Output {
    /// Makes the folder; what is there already may be replaced only with `overwrite`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file that would be replaced; [`Error::Io`].
    pub(super) fn claim(folder: &std::path::Path, what: What, overwrite: bool) -> Result<Self> {
        let names = [TABLE, RECORD, CURVES, RECONSTRUCTIONS, FILTERS];
        let written = match what {
            What::Coding => &names[..4],
            What::Learning => &names[..],
        };
        let taken = written.iter().map(|name| folder.join(name));
        if let Some(path) = taken.into_iter().find(|path| !overwrite && path.exists()) {
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

    /// Writes the table twice, for spreadsheets and with every curve for programs.
    pub(super) fn table(&self, report: &Report) -> Result<()> {
        let json = serde_json::to_string_pretty(report)
            .map_err(|error| Error::Numeric(format!("cannot write the table as JSON: {error}")))?;
        for (name, text) in [(TABLE, report.to_csv()), (RECORD, json)] {
            let bytes = text.as_bytes();
            files::replace(&self.folder.join(name), false, |file| file.write_all(bytes))?;
        }
        Ok(())
    }

    /// Writes a picture.
    pub(super) fn picture(&self, name: &str, picture: &Image) -> Result<()> {
        picture::save_png(picture, self.folder.join(name))
    }
}
