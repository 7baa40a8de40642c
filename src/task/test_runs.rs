//! A run of a moment, for the tests of what works on runs.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::{Callback, Event, train};
use crate::config::Config;
use crate::data::scenes;
use crate::group::Group;
use crate::picture::save_png;

/// Two layers of the adaptive form on three sample scenes, one epoch each.
pub(super) const ADAPTIVE: &str = "
    [preprocess]
    kind = \"contrast-normalize\"
    [data]
    sample_count = 3
    sample_size = 24
    [train]
    form = \"adaptive\"
    solver = \"ista\"
    batch = 2
    steps = 5
    [[layer]]
    maps = 5
    size = 3
    pool = [2, 2, 2]
    sparsity = { of_max = 0.1 }
    epochs = 1
    [[layer]]
    maps = 6
    size = 3
    pool = [3, 2, 1]
    sparsity = { of_max = 0.1 }
    epochs = 1";

/// Two grey layers on two sample scenes, one epoch each; `train` is put into its table.
pub(super) fn run(folder: &Path, train: &str) -> PathBuf {
    let config = format!(
        "[data]\ncolour = false\nsample_count = 2\nsample_size = 24\n\
         [preprocess]\nkind = \"contrast-normalize\"\n\
         [train]\n{train}\n\
         [[layer]]\nmaps = 3\nsize = 3\nepochs = 1\n\
         [[layer]]\nconnect = \"singles-and-pairs\"\nsize = 2\nepochs = 1\n"
    );
    learn(&config, folder)
}

/// A run by these settings.
pub(super) fn learn(config: &str, folder: &Path) -> PathBuf {
    let (config, path) = (Config::parse(config).unwrap(), folder.join("run"));
    let (device, alone) = (Device::flex(), Group::alone());
    train::start(config, &path, &device, false, &alone, &mut ()).unwrap();
    path
}

/// Asks to stop after so many items.
pub(super) struct Impatient(pub usize);

impl Callback<Event> for Impatient {
    fn event(&mut self, event: Event) {
        let one = usize::from(matches!(event, Event::Item { .. }));
        self.0 = self.0.saturating_sub(one);
    }

    fn interrupted(&self) -> bool {
        self.0 == 0
    }
}

/// The notes of a call.
#[derive(Default)]
pub(super) struct Notes(pub Vec<String>);

impl Callback<Event> for Notes {
    fn event(&mut self, event: Event) {
        if let Event::Note(note) = event {
            self.0.push(note);
        }
    }
}

/// Counts the items of a call.
#[derive(Default)]
pub(super) struct Items(pub usize);

impl Callback<Event> for Items {
    fn event(&mut self, event: Event) {
        self.0 += usize::from(matches!(event, Event::Item { .. }));
    }
}

/// Writes a sample scene as a PNG file, with the folders above it.
pub(super) fn image(path: &Path, seed: u64, size: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    save_png(&scenes::sample(0, size, seed), path).unwrap();
}
