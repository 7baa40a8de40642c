//! Images that cannot be used, and what is said of them.

use std::io::ErrorKind;
use std::path::Path;

use super::State;
use crate::config::Config;
use crate::error::{Error, Result};

impl State {
    /// Whether a prepared image of a height and width is large enough for the filters.
    ///
    /// # Errors
    /// [`Error::Input`] where it is not.
    pub fn check_size(&self, path: &Path, [height, width]: [usize; 2]) -> Result<()> {
        match too_small(&self.config, [height, width]) {
            Some(TooSmall {
                layer: 1,
                filter: [h, w],
                ..
            }) => Err(Error::Input(format!(
                "{} is {height} x {width} pixels after preprocessing, smaller than the {h} x {w} \
                 filters; remove it, or train with smaller filters",
                path.display()
            ))),
            Some(TooSmall {
                layer,
                planes: [rows, columns],
                filter: [h, w],
            }) => Err(Error::Input(format!(
                "{} leaves {rows} x {columns} for layer {layer} to explain, smaller than its {h} x {w} filters; \
                 remove it, or train with smaller filters",
                path.display()
            ))),
            None => Ok(()),
        }
    }
}

/// A layer whose filters are larger than what they have to explain.
pub(crate) struct TooSmall {
    /// From 1.
    pub layer: usize,
    /// Height and width of what it has to explain.
    pub planes: [usize; 2],
    pub filter: [usize; 2],
}

/// The first layer whose filters are larger than what they have to explain of an image; pooled maps, which
/// shrink from layer to layer, may be smaller.
pub(crate) fn too_small(config: &Config, mut planes: [usize; 2]) -> Option<TooSmall> {
    for (l, layer) in config.layers.iter().enumerate() {
        let filter = layer.size;
        let pooled = l > 0 && !config.layers[l - 1].pool.is_none();
        if !pooled && (planes[0] < filter[0] || planes[1] < filter[1]) {
            let layer = l + 1;
            return Some(TooSmall {
                layer,
                planes,
                filter,
            });
        }
        let maps = [0, 1].map(|d| config.train.boundary.maps(planes[d], filter[d]));
        let [.., rows, columns] = layer.pool.pooled([1, 1, maps[0], maps[1]]);
        planes = [rows, columns];
    }
    None
}

/// Tells what is wrong with each of `count` images at once, lest each cost a try of its own.
///
/// # Errors
/// The failure if there is one, [`Error::Input`] with the first ten if there are more.
pub fn all_usable(count: usize, mut failures: Vec<Error>) -> Result<()> {
    const SHOWN: usize = 10;
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        n => {
            let shown = failures.iter().take(SHOWN);
            let lines: String = shown.map(|error| format!("\n{error}")).collect();
            let rest = match n.saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!("\nand {more} more"),
            };
            Err(Error::Input(format!(
                "{n} of {count} images cannot be used:{lines}{rest}"
            )))
        }
    }
}

/// Tells which of `count` images are flat, all pixels alike.
///
/// # Errors
/// [`Error::Input`] where there are no others.
pub fn flat_images(names: &[String], count: usize) -> Result<Option<String>> {
    const SHOWN: usize = 10;
    let mut list = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        list += &format!(" and {} more", names.len() - SHOWN);
    }
    match names.len() {
        0 => Ok(None),
        n if n == count => Err(Error::Input(format!(
            "the pixels of every image are all alike, there is nothing in them to explain: {list}; give \
             other images"
        ))),
        n => Ok(Some(format!(
            "warning: {n} of {count} images are flat, all pixels alike, and count for no mean of ratios: \
             {list}"
        ))),
    }
}

/// Puts the name of the file before a message about its image.
pub(super) fn with_path(path: Option<&Path>, error: Error) -> Error {
    match path {
        Some(path) => Error::Input(format!("{}: {error}", path.display())),
        None => error,
    }
}

/// Says of an image that is not there what a run needs of it.
pub(super) fn moved_away(error: Error) -> Error {
    match error {
        Error::Io { ref source, .. } if source.kind() == ErrorKind::NotFound => {
            Error::Input(format!(
                "{error}; a run needs its images where they were when it began: put them back, or \
                 start a new run"
            ))
        }
        other => other,
    }
}
