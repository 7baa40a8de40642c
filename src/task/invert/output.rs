//! The files that an experiment writes.

use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;

use super::input::Given;
use super::{Report, pictures};
use crate::arrays::{self, Array, Bundle};
use crate::data::Image;
use crate::error::{Error, Result};
use crate::invert::Inverse;
use crate::{files, picture};

const TABLE: &str = "table.csv";
const RECORD: &str = "table.json";
const ARRAYS: &str = "recovered.npz";
const MATRIX: &str = "matrix.png";
const SPECTRUM: &str = "spectrum.png";
const RECOVERED: &str = "recovered.png";
const CURVES: &str = "iterations.png";
const NOISE: &str = "noise.png";

/// The folder of the results.
pub(super) struct Output {
    folder: PathBuf,
}

impl Output {
    /// Makes the folder; what is there already may be replaced only with `overwrite`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file that would be replaced; [`Error::Io`].
    pub(super) fn claim(folder: &Path, overwrite: bool) -> Result<Self> {
        let all = [
            TABLE, RECORD, ARRAYS, MATRIX, SPECTRUM, RECOVERED, CURVES, NOISE,
        ];
        let taken = all.map(|name| folder.join(name)).into_iter();
        let taken: Vec<PathBuf> = taken.filter(|path| path.exists()).collect();
        if let (Some(path), false) = (taken.first(), overwrite) {
            return Err(Error::Config(format!(
                "{} exists and is not replaced: choose another folder, remove it, \
                 or pass --overwrite",
                path.display()
            )));
        }
        // A picture that this experiment does not draw must not be taken for its own.
        taken.iter().try_for_each(|path| files::remove(path))?;
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

    /// Writes `x`, `y`, the filters and every recovery as arrays.
    pub(super) fn arrays(
        &self,
        report: &Report,
        given: &Given,
        y: &Tensor<4>,
        recovered: &[Tensor<4>],
    ) -> Result<()> {
        let mut bundle = Bundle::default();
        let mut put = |name: &str, tensor: &Tensor<4>, axes: usize| {
            let values = tensor.to_data().iter::<f32>().collect();
            let shape = tensor.dims()[4 - axes..].to_vec();
            let array = Array::new(shape, values)?;
            bundle.arrays.insert(name.into(), array);
            Ok::<(), Error>(())
        };
        put("filters", given.operator.filters(), 4)?;
        put("x", &given.x, 3)?;
        put("y", y, 3)?;
        for (row, tensor) in report.rows.iter().zip(recovered) {
            put(row.way.name(), tensor, 3)?;
        }
        arrays::write(self.folder.join(ARRAYS), &bundle, true)
    }

    /// Draws what there is to see.
    pub(super) fn pictures(
        &self,
        report: &Report,
        given: &Given,
        problem: &Inverse,
        recovered: &[Tensor<4>],
    ) -> Result<()> {
        if let Some(matrix) = pictures::matrix(&given.operator)? {
            self.picture(MATRIX, &matrix)?;
        }
        if !report.operator.singular_values.is_empty() {
            self.picture(SPECTRUM, &pictures::spectrum(report))?;
        }
        if !report.rows.is_empty() {
            let recovered = pictures::recovered(report, &given.x, &problem.y, recovered)?;
            self.picture(RECOVERED, &recovered)?;
        }
        if report.rows.iter().any(|row| row.steps > 0) {
            self.picture(CURVES, &pictures::iterations(report)?)?;
        }
        if !report.noise.is_empty() {
            self.picture(NOISE, &pictures::noise(report))?;
        }
        Ok(())
    }

    fn picture(&self, name: &str, picture: &Image) -> Result<()> {
        picture::save_png(picture, self.folder.join(name))
    }
}
