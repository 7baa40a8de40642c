//! `inpaint`: missing pixels filled in.

use std::path::{Path, PathBuf};

use super::files::{Held, Restored, each};
use super::{Files, FilterSource, Report};
use crate::data::{Image, folder};
use crate::error::{Error, Result};
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
    /// An image of the same size, black where pixels are missing; the same for all images.
    pub mask: PathBuf,
    /// What patches are coded with.
    pub filters: FilterSource,
}

/// Fills in the missing pixels of an image, or of each of a folder.
///
/// # Errors
/// [`Error::Input`] for images or masks that cannot be used or do not fit each other, [`Error::Exists`] where a
/// result would be replaced, [`Error::Resources`] for images that take more memory than there is. Of a folder, the failures of single images are in the report.
pub fn inpaint(options: &InpaintOptions, callback: &mut dyn Callback<Event>) -> Result<Report> {
    let (filters, what, filters_crc32) = options.filters.read()?;
    let mask = folder::read(&options.mask, false, None)?;
    let inpainter = Inpainter::new(filters);
    let missing: Vec<bool> = mask.values.iter().map(|v| *v < 0.5).collect();
    check(&options.mask, &missing)?;
    let fault = format!("missing where {} is black", options.mask.display());
    let mut hasher = crc32fast::Hasher::new_with_initial(filters_crc32);
    missing
        .iter()
        .for_each(|&missing| hasher.update(&[missing.into()]));
    let settings = hasher.finalize();
    let report = Report::new("inpaint", fault, (what, settings), &options.files);
    let headers = ["filled in", "given", "filled in"];
    each(
        &options.files,
        Some(&options.mask),
        &HELD,
        report,
        headers,
        callback,
        &mut |image, steps| {
            fits(&options.mask, &mask, image)?;
            let filled = inpainter.inpaint(image, &missing, steps)?;
            Ok(Restored {
                image: filled,
                sigma: None,
                missing: Some(missing.iter().filter(|missing| **missing).count()),
            })
        },
    )
}

fn check(path: &Path, missing: &[bool]) -> Result<()> {
    let path = path.display();
    if !missing.contains(&true) {
        return Err(Error::Input(format!(
            "the mask {path} has no black pixel, so nothing is missing; black marks what is to be filled in"
        )));
    }
    if !missing.contains(&false) {
        return Err(Error::Input(format!(
            "the mask {path} is black all over, so every pixel is missing; white marks what is known"
        )));
    }
    Ok(())
}

fn fits(path: &Path, mask: &Image, image: &Image) -> Result<()> {
    let [[_, h, w], [_, height, width]] = [mask.shape(), image.shape()];
    match [h, w] == [height, width] {
        true => Ok(()),
        false => Err(Error::Input(format!(
            "the mask {} has {h} x {w} pixels and the image {height} x {width}; both must be of one size",
            path.display()
        ))),
    }
}
