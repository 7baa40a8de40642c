//! From image files to feature vectors: maps, descriptors, words, pyramid; to a file and back.

use std::path::Path;

use burn::tensor::Device;
use rand::{SeedableRng, rngs::ChaCha8Rng, seq::SliceRandom};
use rayon::prelude::*;

use super::describe::Descriptions;
use super::source::MapSource;
use crate::arrays::Bundle;
use crate::error::{Error, Result};
use crate::features::{Descriptors, Recipe, Words};

/// Descriptors that each word is learnt from.
const SAMPLES: usize = 60;

/// All that makes features of an image.
pub(crate) struct Extractor {
    pub source: MapSource,
    pub recipe: Recipe,
    /// For each layer; none where the recipe has no words.
    pub words: Vec<Words>,
}

/// Learns the words of each layer from the descriptors of training images: as many of each image, drawn at
/// random.
///
/// # Errors
/// Those of [`Words::learn`] and [`Descriptions::get`].
pub(crate) fn learn_words(
    recipe: &Recipe,
    descriptions: &Descriptions,
    training: &[usize],
    seed: u64,
) -> Result<Vec<Words>> {
    if !recipe.has_words() {
        return Ok(Vec::new());
    }
    let each = (SAMPLES * recipe.word_count).div_ceil(training.len().max(1));
    let sample = |number: usize, descriptors: &Descriptors| {
        let mut order: Vec<usize> = (0..descriptors.len()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number as u64);
        let (chosen, _) = order.partial_shuffle(&mut rng, each);
        let rows = chosen.iter().flat_map(|&k| descriptors.row(k));
        (descriptors.dimension, rows.collect::<Vec<f32>>())
    };
    let images = training.par_iter().enumerate().map(|(number, &image)| {
        let layers = descriptions.get(image)?;
        Ok(layers.iter().map(|layer| sample(number, layer)).collect())
    });
    let images: Vec<Vec<_>> = images.collect::<Result<_>>()?;
    let layers = images.first().map_or(0, Vec::len);
    let layer = |layer: usize| {
        let each = images.iter().map(|image| &image[layer].1);
        let samples: Vec<f32> = each.flatten().copied().collect();
        let (dimension, _) = images[0][layer];
        Words::learn(&samples, dimension, recipe.word_count, seed)
    };
    (0..layers).map(layer).collect()
}

/// The features of some images, `[n, dimension]`: of each image all layers one after the other.
///
/// # Errors
/// [`Error::Input`] where words are of other descriptors; those of [`Descriptions::get`].
pub(crate) fn all_features(
    recipe: &Recipe,
    words: &[Words],
    descriptions: &Descriptions,
    images: &[usize],
) -> Result<Vec<f32>> {
    let Some(&first) = images.first() else {
        return Ok(Vec::new());
    };
    let dimension = recipe.dimension(&descriptions.get(first)?);
    let mut values = vec![0.0; images.len() * dimension];
    let rows = values.par_chunks_exact_mut(dimension).zip(images);
    rows.try_for_each(|(row, &image)| {
        let layers = descriptions.get(image)?;
        for (words, descriptors) in words.iter().zip(layers.iter()) {
            if words.dimension != descriptors.dimension {
                return Err(Error::Input(format!(
                    "words of {} numbers are not of descriptors of {}: the file is damaged",
                    words.dimension, descriptors.dimension
                )));
            }
        }
        let each = layers.iter().enumerate();
        let features = each.flat_map(|(l, descriptors)| recipe.features(descriptors, words.get(l)));
        row.iter_mut()
            .zip(features)
            .for_each(|(to, from)| *to = from);
        Ok(())
    })?;
    Ok(values)
}

impl Extractor {
    /// Puts it into a file.
    ///
    /// # Errors
    /// As [`MapSource::put`].
    pub fn put(&self, bundle: &mut Bundle) -> Result<()> {
        self.source.put(bundle)?;
        let recipe = serde_json::to_string(&self.recipe)
            .map_err(|error| Error::Numeric(format!("the recipe cannot be written: {error}")))?;
        bundle.texts.insert("recipe".into(), recipe);
        for (l, words) in self.words.iter().enumerate() {
            let shape = [words.count(), words.dimension];
            bundle.put(format!("words{}", l + 1), &shape, words.values.clone())?;
            let spread = f64::from(words.spread);
            bundle
                .scalars
                .insert(format!("words{}.spread", l + 1), spread);
        }
        Ok(())
    }

    /// Takes it out of a file.
    ///
    /// # Errors
    /// [`Error::Input`] where the file does not hold it.
    pub fn get(bundle: &Bundle, path: &Path, device: &Device) -> Result<Self> {
        let told = |why: String| Error::Input(format!("{}: {why}", path.display()));
        let source = MapSource::get(bundle, path, device)?;
        let recipe: Recipe = serde_json::from_str(bundle.text("recipe", path)?)
            .map_err(|error| told(format!("`recipe` is not what was written: {error}")))?;
        recipe.check()?;
        let mut words = Vec::new();
        if recipe.has_words() {
            for l in 1..=source.layers().len() {
                let array = bundle.array(&format!("words{l}"), path)?;
                let [count, dimension] = array.shape[..] else {
                    return Err(told(format!(
                        "`words{l}` has the shape {:?}, no matrix",
                        array.shape
                    )));
                };
                if count != recipe.word_count || dimension == 0 {
                    return Err(told(format!(
                        "`words{l}` holds {count} words of {dimension} numbers, and the recipe has {}",
                        recipe.word_count
                    )));
                }
                words.push(Words {
                    dimension,
                    values: array.values.clone(),
                    spread: bundle.scalar(&format!("words{l}.spread"), path)? as f32,
                });
            }
        }
        Ok(Self {
            source,
            recipe,
            words,
        })
    }
}
