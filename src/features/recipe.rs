//! How maps become features: all choices in one place.

use serde::{Deserialize, Serialize};

use super::{Cells, Code, Descriptors, Gather, Pyramid, Words};
use crate::error::{Error, Result};
use crate::named::named;

named! {
    /// How descriptors become codes.
    #[derive(Default)]
    pub enum Coding: "kind of codes" {
        /// By the nearest word, see [`Words::hard`].
        #[default]
        Hard = "hard",
        /// By a few of the nearest, see [`Words::soft`].
        Soft = "soft",
        /// As they are: each number of a descriptor stands for a word.
        None = "none",
    }
}

/// How maps become features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The descriptors.
    pub cells: Cells,
    /// Their codes.
    pub coding: Coding,
    /// Words that are learnt, unless descriptors are taken as they are.
    pub word_count: usize,
    /// Words in the code of a descriptor, where it is soft.
    pub neighbours: usize,
    /// How much less a word counts that is farther away, where codes are soft.
    pub sharpness: f32,
    /// Where codes are gathered.
    pub pyramid: Pyramid,
}

named! {
    /// Recipes by name.
    #[derive(Default)]
    pub enum Preset: "recipe" {
        /// 200 words, the nearest one each, added up: the paper of 2010.
        #[default]
        Paper2010 = "2010",
        /// The words and sums of 2010, of the maps of layer 1 and of the strongest activations of the top layer, each
        /// projected to layer 1: the paper of 2011.
        Paper2011 = "2011",
        /// 1024 words, the 5 nearest each, the largest weight in each part.
        Soft = "soft",
        /// Maps as they are, the largest in each part: for the layers of a convnet.
        Plain = "plain",
    }
}

impl Preset {
    /// Activations of the top layer that are projected one by one.
    pub fn projections(self) -> usize {
        match self {
            Self::Paper2011 => 50,
            Self::Paper2010 | Self::Soft | Self::Plain => 0,
        }
    }

    /// What it stands for.
    pub fn recipe(self) -> Recipe {
        let recipe = Recipe::default();
        let gather = |gather| Pyramid {
            gather,
            ..Pyramid::default()
        };
        match self {
            Self::Paper2010 | Self::Paper2011 => recipe,
            Self::Soft => Recipe {
                coding: Coding::Soft,
                word_count: 1024,
                pyramid: gather(Gather::Largest),
                ..recipe
            },
            Self::Plain => Recipe {
                coding: Coding::None,
                cells: Cells {
                    count: 1,
                    size: 1,
                    step: 1,
                    normalise: false,
                    ..recipe.cells
                },
                pyramid: gather(Gather::Largest),
                ..recipe
            },
        }
    }
}

impl Default for Recipe {
    /// That of 2010.
    fn default() -> Self {
        Self {
            cells: Cells::default(),
            coding: Coding::Hard,
            word_count: 200,
            neighbours: 5,
            sharpness: 1.0,
            pyramid: Pyramid::default(),
        }
    }
}

impl Recipe {
    /// # Errors
    /// [`Error::Config`] for what cannot be done.
    pub fn check(&self) -> Result<()> {
        self.cells.check()?;
        self.pyramid.check()?;
        let words = self.coding != Coding::None;
        let wrong = if words && self.word_count == 0 {
            "there must be at least 1 word"
        } else if self.coding == Coding::Soft && !(1..=self.word_count).contains(&self.neighbours) {
            "a code must have at least 1 word and no more than there are"
        } else if !(self.sharpness.is_finite() && self.sharpness >= 0.0) {
            "the sharpness of codes must be 0 or above"
        } else {
            return Ok(());
        };
        Err(Error::Config(wrong.into()))
    }

    /// Whether words are to be learnt.
    pub fn has_words(&self) -> bool {
        self.coding != Coding::None
    }

    /// Numbers in the features of an image with these descriptors of its layers.
    pub fn dimension(&self, layers: &[Descriptors]) -> usize {
        let codes = layers.iter().map(|layer| match self.has_words() {
            true => self.word_count,
            false => layer.dimension,
        });
        self.pyramid.parts() * codes.sum::<usize>()
    }

    /// The features of an image from its descriptors and the words of such, where the recipe has any:
    /// `[parts, words]`, brought to length 1 where they are the largest of codes, to sum 1 where they are sums.
    ///
    /// # Panics
    /// If words are needed and not given, or of another dimension.
    pub fn features(&self, descriptors: &Descriptors, words: Option<&Words>) -> Vec<f32> {
        let places = &descriptors.places;
        let mut features = match (self.coding, words) {
            (Coding::None, _) => {
                let rows = (0..descriptors.len()).map(|k| {
                    let numbers = descriptors.row(k).enumerate();
                    numbers.map(|(word, weight)| Code { word, weight })
                });
                self.pyramid.gather(places, rows, descriptors.dimension)
            }
            (coding, words) => {
                let words = words.expect("a recipe with words");
                assert_eq!(
                    words.dimension, descriptors.dimension,
                    "words of other descriptors"
                );
                let rows = descriptors.to_vec();
                let codes = match coding {
                    Coding::Hard => words.hard(&rows),
                    _ => words.soft(&rows, self.neighbours.min(words.count()), self.sharpness),
                };
                self.pyramid.gather(places, codes, words.count())
            }
        };
        let size = match self.pyramid.gather {
            Gather::Sum => features.iter().sum::<f32>(),
            Gather::Largest => features.iter().map(|v| v * v).sum::<f32>().sqrt(),
        };
        let inverse = if size > 0.0 { 1.0 / size } else { 0.0 };
        features.iter_mut().for_each(|v| *v *= inverse);
        features
    }
}
