//! `inpaint`: missing pixels filled in.

use std::path::PathBuf;

use super::each::{Held, Restored, each};
use super::{Files, FilterSource, Report};
use crate::data::Masks;
use crate::error::Result;
use crate::restore::Inpainter;
use crate::task::{Callback, Event};

/// Of filling in.
pub(super) const HELD: Held = Held {
    each_channel: 6,
    beside: 20,
};

/// What is filled in.
#[derive(Clone, Debug)]
pub struct InpaintOptions {
    /// Images and results.
    pub files: Files,
    /// An image of the same size, black where pixels are missing, for all images; a folder with one for each, of the
    /// same name; or a file of arrays, see [`Masks`].
    pub mask: PathBuf,
    /// What patches are coded with.
    pub filters: FilterSource,
}

/// Fills in the missing pixels of an image, or of each of a folder.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) for images or masks that cannot be used or do not fit each other,
/// [`Error::Exists`](crate::Error::Exists) where a result would be replaced,
/// [`Error::Resources`](crate::Error::Resources) for images that take more memory than there is. Of a folder, the failures
/// of single images are in the report.
pub fn inpaint(options: &InpaintOptions, callback: &mut dyn Callback<Event>) -> Result<Report> {
    let (filters, what, settings) = options.filters.read()?;
    let inpainter = Inpainter::new(filters);
    let masks = Masks::default();
    if !options.mask.is_dir() {
        masks.check(&options.mask)?;
    }
    let of_it = if options.mask.is_dir() {
        "a mask in "
    } else {
        ""
    };
    let fault = format!("missing where {of_it}{} is black", options.mask.display());
    let report = Report::new("inpaint", fault, (what, settings), &options.files);
    let headers = ["filled in", "given", "filled in"];
    each(
        &options.files,
        Some(&options.mask),
        &HELD,
        report,
        headers,
        callback,
        &mut |image, mask, steps| {
            let mask = mask.unwrap_or(&options.mask);
            let missing = masks.missing(image.shape(), mask)?;
            let filled = inpainter.inpaint(image, &missing, steps)?;
            Ok(filled.map(|image| Restored {
                image,
                sigma: None,
                missing: Some(missing.iter().filter(|missing| **missing).count()),
            }))
        },
    )
}
