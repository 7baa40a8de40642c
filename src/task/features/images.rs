//! The images of a folder, with their classes where it has a folder for each.

use std::path::{Path, PathBuf};

use glob::Pattern;

use crate::data::classes::{class_folders, folders};
use crate::data::scan::scan;
use crate::error::Result;
use crate::task::{Callback, Event, find_images};

/// Images and what is known of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labelled {
    pub paths: Vec<PathBuf>,
    /// The class of each; empty where none are known.
    pub labels: Vec<usize>,
    /// The names of the classes, sorted unless they are numbered as in a file.
    pub classes: Vec<String>,
}

impl Labelled {
    /// Finds the images of a folder: by class where it has two folders or more, else without.
    ///
    /// # Errors
    /// [`crate::Error::Input`] where there are none, or a class has none; [`crate::Error::Io`].
    pub fn find(
        folder: &Path,
        exclude: &[String],
        callback: &mut dyn Callback<Event>,
    ) -> Result<Self> {
        if folder.is_dir() && folders(folder)?.len() > 1 {
            return Self::by_class(folder, exclude, callback);
        }
        let paths = find_images(folder, exclude, callback)?;
        Ok(Self {
            paths,
            ..Self::default()
        })
    }

    /// Finds the images of each class.
    ///
    /// # Errors
    /// As [`Labelled::find`], and for fewer than two classes.
    pub fn by_class(
        folder: &Path,
        exclude: &[String],
        callback: &mut dyn Callback<Event>,
    ) -> Result<Self> {
        let mut found = Self {
            classes: class_folders(folder)?,
            ..Self::default()
        };
        for (label, class) in found.classes.iter().enumerate() {
            let images = find_images(&folder.join(class), exclude, callback)?;
            found.labels.extend(vec![label; images.len()]);
            found.paths.extend(images);
        }
        let classes = found.classes.iter().map(|class| Pattern::escape(class));
        let exclude: Vec<String> = exclude.iter().cloned().chain(classes).collect();
        let loose = scan(folder, &exclude).map_or(0, |found| found.images.len());
        if loose > 0 {
            callback.event(Event::Note(format!(
                "left out: {loose} in {} beside the folders of its classes",
                folder.display()
            )));
        }
        Ok(found)
    }

    /// Numbers the classes as a list of their names does, a line each; classes that it does not know come
    /// after its own.
    pub fn number_as(&mut self, known: &str) {
        let own = std::mem::take(&mut self.classes);
        if own.is_empty() {
            return;
        }
        self.classes = known.lines().map(str::to_owned).collect();
        let numbers: Vec<usize> = own
            .into_iter()
            .map(|class| {
                let found = self.classes.iter().position(|known| *known == class);
                found.unwrap_or_else(|| {
                    self.classes.push(class);
                    self.classes.len() - 1
                })
            })
            .collect();
        self.labels
            .iter_mut()
            .for_each(|label| *label = numbers[*label]);
    }

    /// Only the images that `keep` says, in their order.
    pub fn keep(&mut self, keep: &[bool]) {
        let mut each = keep.iter();
        self.paths.retain(|_| *each.next().unwrap_or(&true));
        let mut each = keep.iter();
        self.labels.retain(|_| *each.next().unwrap_or(&true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_the_numbers_of_a_file() {
        let mut found = Labelled {
            paths: ["a", "b", "c", "d"].map(PathBuf::from).to_vec(),
            labels: vec![0, 1, 2, 1],
            classes: ["cat", "dog", "owl"].map(str::to_owned).to_vec(),
        };
        found.number_as("ant\ndog\nowl");
        assert_eq!(found.classes, ["ant", "dog", "owl", "cat"]);
        assert_eq!(found.labels, [3, 1, 2, 1]);
        let mut without = Labelled::default();
        without.number_as("ant");
        assert!(without.classes.is_empty());
    }
}
