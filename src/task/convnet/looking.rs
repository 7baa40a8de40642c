//! What the ways of looking at a convnet share.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Ready, classify};
use crate::convnet::{Keep, Layer, Strongest, Unit, Walk, ravel};
use crate::data::{Image, resize};
use crate::error::{Error, Result};
use crate::named::named;
use crate::report::{Page, Results};
use crate::task::{Callback, Event, goes_on};

named! {
    /// What a part of a picture is covered with.
    #[derive(Default)]
    pub enum Fill: "cover" {
        /// The grey in the middle between black and white.
        #[default]
        Grey = "grey",
        /// The mean of the training images, which the model gets as zeros.
        Mean = "mean",
        /// The picture itself, blurred.
        Blur = "blur",
    }
}

/// How much smaller a picture is made, and large again, to blur it.
const BLUR: usize = 16;

/// Numbers of each picture.
pub(super) type PerPicture = Vec<Vec<f32>>;

/// Rows and columns of a picture.
pub(super) type Part = [Range<usize>; 2];

impl Ready {
    /// All rectifiers, in order.
    pub fn rectifiers(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        self.net.layers().iter().filter(|layer| {
            let maker = self.net.maker(layer.value);
            maker.is_some_and(|step| step.operator.is_rectifier())
        })
    }

    /// The last rectifier.
    pub fn last(&self) -> Result<&Layer> {
        self.rectifiers().next_back().ok_or_else(|| {
            Error::Config("the model has no rectifier: name a layer to look at".into())
        })
    }

    /// The last rectifier whose maps have more than one place, that of the top convolution; the last of all
    /// where there is none.
    pub fn top(&self) -> Result<&Layer> {
        let has_places = |layer: &&Layer| {
            let maps = self.maps(layer);
            maps.is_ok_and(|[_, height, width]| height * width > 1)
        };
        self.rectifiers()
            .rfind(has_places)
            .map_or_else(|| self.last(), Ok)
    }

    /// The layer of a name, or the output where there is none; for the strongest unit, where there is a rectifier, the
    /// top.
    pub fn layer_of(&self, name: Option<&String>, unit: &Unit) -> Result<&Layer> {
        if let Some(name) = name {
            return self.net.layer(name);
        }
        let top = (*unit == Unit::Strongest).then(|| self.top().ok());
        let output = || {
            let mut layers = self.net.layers().iter();
            layers.find(|layer| layer.value == self.net.top())
        };
        top.flatten()
            .or_else(output)
            .ok_or_else(|| Error::Config("the model returns the image: name a layer".into()))
    }

    /// The layer of a name, or the top where there is none.
    pub fn layer_or_top(&self, name: Option<&String>) -> Result<&Layer> {
        name.map_or_else(|| self.top(), |name| self.net.layer(name))
    }

    /// Layers by name, or others where none is named.
    pub fn layers_or<'a>(
        &'a self,
        names: &[String],
        others: impl FnOnce() -> Result<Vec<&'a Layer>>,
    ) -> Result<Vec<Layer>> {
        match names {
            [] => Ok(others()?.into_iter().cloned().collect()),
            names => {
                let named = names.iter().map(|name| self.net.layer_as_asked(name));
                named.collect()
            }
        }
    }

    /// Channels, rows and columns of a layer; 1 row and column where it has none.
    pub fn maps(&self, layer: &Layer) -> Result<[usize; 3]> {
        match self.net.shape(layer.value)[..] {
            [_, channels, height, width] => Ok([channels, height, width]),
            [_, channels] => Ok([channels, 1, 1]),
            ref other => Err(Error::Config(format!(
                "`{}` has the shape {other:?} and no maps to look at",
                layer.name
            ))),
        }
    }

    /// The activations of values, for each value those of each picture.
    pub fn activations(&self, pictures: &[Image], values: &[usize]) -> Result<Vec<PerPicture>> {
        let mut found = vec![Vec::new(); values.len()];
        self.net.run(self.batch(pictures), values, |k, map| {
            let numbers = map.read()?;
            let each = numbers.len() / pictures.len();
            found[k] = numbers.chunks_exact(each).map(<[f32]>::to_vec).collect();
            Ok(())
        })?;
        Ok(found)
    }

    /// Activations of values and probabilities of classes, for each picture.
    pub fn activations_and_classes(
        &self,
        pictures: &[Image],
        values: &[usize],
    ) -> Result<(Vec<PerPicture>, PerPicture)> {
        let values = [values, &[self.net.top()]].concat();
        let mut found = self.activations(pictures, &values)?;
        let logits = found.pop().unwrap_or_default();
        let probabilities = logits
            .iter()
            .map(|output| self.probabilities_of(output))
            .collect();
        Ok((found, probabilities))
    }

    /// Looks for the strongest places of the maps of layers, each a value and its rows and columns, in the
    /// pictures `numbers` of `paths`; those that cannot be read are told in `skipped`, with the reason.
    pub fn search(
        &self,
        paths: &[PathBuf],
        numbers: &[usize],
        layers: &[(usize, [usize; 2])],
        strongest: &mut [Strongest],
        skipped: &mut BTreeMap<usize, String>,
    ) -> Result<()> {
        let (mut read, mut pictures) = (Vec::new(), Vec::new());
        for &number in numbers {
            match self.picture(&paths[number]) {
                Ok(picture) => {
                    read.push(number);
                    pictures.push(picture);
                }
                Err(error) => drop(skipped.insert(number, error.to_string())),
            }
        }
        if pictures.is_empty() {
            return Ok(());
        }
        let values: Vec<usize> = layers.iter().map(|&(value, _)| value).collect();
        self.net.run(self.batch(&pictures), &values, |k, map| {
            let activations = map.read()?;
            let each = activations.len() / read.len();
            for (&number, activations) in read.iter().zip(activations.chunks_exact(each)) {
                strongest[k].look(number, activations, layers[k].1);
            }
            Ok(())
        })
    }

    /// The strongest places of the maps of one layer over pictures, one in each, told by a name, how many were done
    /// before and of how many; none if it was asked to stop.
    #[expect(clippy::too_many_arguments, reason = "a pass has as many ends")]
    pub fn strongest(
        &self,
        layer: &Layer,
        paths: &[PathBuf],
        places: usize,
        batch: usize,
        skipped: &mut Vec<String>,
        (name, before, of): (&str, usize, usize),
        callback: &mut dyn Callback<Event>,
    ) -> Result<Option<Strongest>> {
        let [maps, height, width] = self.maps(layer)?;
        let keep = Keep {
            places,
            each: 1,
            apart: [1, 1],
        };
        let mut strongest = [Strongest::new(maps, keep)];
        let layers = [(layer.value, [height, width])];
        let (numbers, mut unread) = (Vec::from_iter(0..paths.len()), BTreeMap::new());
        let mut seen = before;
        for batch in numbers.chunks(batch.max(1)) {
            self.search(paths, batch, &layers, &mut strongest, &mut unread)?;
            seen += batch.len();
            if !goes_on(callback, name, seen, of) {
                return Ok(None);
            }
        }
        skipped.extend(unread.into_values());
        let [strongest] = strongest;
        Ok(Some(strongest))
    }

    /// A unit of one picture taken back to the pixels, from its activation or from `start`; and the
    /// activation.
    pub fn project(
        &self,
        picture: &Image,
        value: usize,
        place: &[usize],
        start: Option<f32>,
        walk: &Walk,
    ) -> Result<(f32, Image)> {
        let tape = self.net.record(self.batch([picture]))?;
        let shape = &self.net.shape(value)[1..];
        let activation = tape.map(value).read()?[ravel(place, shape)];
        let starts = [(place.to_vec(), start.unwrap_or(activation))];
        let pixels = self.net.project_units(&tape, value, &starts, &[0], walk)?;
        Ok((activation, self.preprocess.picture(&pixels[0])))
    }

    /// What a unit sees of a picture.
    pub fn patch(&self, image: &Image, value: usize, place: &[usize]) -> Image {
        let seen = self.net.patch(value, place);
        let size = seen.map(|(first, last)| last - first + 1);
        resize::crop(image, [seen[0].0, seen[1].0], size)
    }

    /// A class by number or name, or the true one of a picture, or the most probable one.
    pub fn class_or(
        &self,
        given: Option<&str>,
        path: &Path,
        probabilities: &[f32],
    ) -> Result<usize> {
        let Some(given) = given else {
            let path = [path.to_path_buf()];
            let truth = classify::truths(self, &path).ok();
            let truth = truth.and_then(|truths| truths.first().copied());
            return Ok(truth.unwrap_or_else(|| most_probable(probabilities)));
        };
        let is_called = |label: &String| classify::calls(label, given);
        let by_number = given
            .parse()
            .ok()
            .filter(|&class: &usize| class < probabilities.len());
        by_number
            .or_else(|| self.labels.iter().position(is_called))
            .ok_or_else(|| {
                Error::Config(format!(
                    "there is no class `{given}`: give its name in the labels, or a number below {}",
                    probabilities.len()
                ))
            })
    }

    /// What shows where a picture is covered.
    pub fn cover(&self, picture: &Image, fill: Fill) -> Image {
        let even = |pixel: &[f32]| {
            let mut even = picture.clone();
            for (c, &value) in pixel.iter().enumerate() {
                even.plane_mut(c).fill(value);
            }
            even
        };
        match fill {
            Fill::Grey => even(&vec![0.5; picture.channels]),
            Fill::Mean => even(&self.preprocess.mean_pixel()),
            Fill::Blur => {
                let [height, width] = [picture.height, picture.width];
                let small = [height, width].map(|side| side.div_ceil(BLUR));
                resize::resize(&resize::resize(picture, small[0], small[1]), height, width)
            }
        }
    }
}

/// Pixels of the paper's images, as the same share of a side; at least 1.
pub(super) fn share(pixels: usize, side: usize) -> usize {
    const PAPER: usize = 224;
    ((pixels * side + PAPER / 2) / PAPER).max(1)
}

/// The first of the most probable classes.
pub(super) fn most_probable(probabilities: &[f32]) -> usize {
    let mut best = 0;
    for (class, &p) in probabilities.iter().enumerate() {
        if p > probabilities[best] {
            best = class;
        }
    }
    best
}

/// A picture with a part of `cover` over it.
pub(super) fn covered(picture: &Image, cover: &Image, part: &Part) -> Image {
    let mut covered = picture.clone();
    let corner = part.each_ref().map(|side| side.start);
    let size = part.each_ref().map(|side| side.len());
    resize::paste(&mut covered, &resize::crop(cover, corner, size), corner);
    covered
}

/// `so many of` a list, spread evenly over it.
pub(super) fn spread<T: Copy>(all: &[T], count: usize) -> Vec<T> {
    let count = count.min(all.len());
    (0..count).map(|k| all[k * all.len() / count]).collect()
}

/// Writes pictures, each to `NAME.png`, and a page with all of them.
pub(super) fn show(
    results: &Results,
    page: &str,
    title: &str,
    words: &str,
    figures: &[(&str, &Image, &str)],
) -> Result<()> {
    let mut sheet = Page::new(title);
    sheet.words(words);
    for (name, picture, caption) in figures {
        results.picture(format!("{name}.png"), picture)?;
        sheet.figures(false, [(*picture, (*caption).to_string())])?;
    }
    results.page(page, &sheet)
}
