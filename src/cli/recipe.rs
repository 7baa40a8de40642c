//! Flags of the commands that make features of images.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::given::{Given, refuse};
use super::runs::existing;
use crate::convnet;
use crate::error::{Error, Result};
use crate::features::{Coding, Gather, Magnitude, Preset, Recipe};
use crate::store::CheckpointSelector;
use crate::task::convnet::Source;
use crate::task::features::{MapOptions, Wanted};

/// Where maps come from where no run and no convnet is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MapsName {
    /// Filters learnt from training images.
    Learnt,
    /// Random filters.
    Random,
    /// Gradients by orientation: dense SIFT.
    Gradients,
}

/// What maps, and what is made of them.
#[derive(Debug, Args)]
pub struct RecipeArgs {
    /// 2010 (200 words, added up), 2011 (the same of layer 1 and of projections to it), soft (1024 words, the
    /// largest) or plain (no words); by default 2010, of a convnet plain.
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<Preset>,
    /// Maps of the filters of this run: its name in checkpoints, which comes first, or its folder.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["convnet", "maps", "config"])]
    pub run: Option<PathBuf>,
    /// Which of its checkpoints: last, best, or a step.
    #[arg(long, value_name = "WHICH", default_value = "last", requires = "run")]
    pub at: CheckpointSelector,
    /// Maps of this convnet, an ONNX file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["maps", "config"])]
    pub convnet: Option<PathBuf>,
    /// How images are prepared for it: torch, caffe, tf or plain.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "torch",
        requires = "convnet"
    )]
    pub preset: convnet::Preset,
    /// Without run and convnet: learnt (from training images), random or gradients.
    #[arg(long, value_name = "KIND", default_value = "learnt")]
    pub maps: MapsName,
    /// How filters are learnt, such as configs/features.toml, which is built in.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Layers: by number, of a convnet by name; by default all, of a convnet the last rectifier.
    #[arg(long, value_name = "L,..", value_delimiter = ',')]
    pub layers: Vec<String>,
    /// Scale images down to this many pixels along the longer side, instead of what run or settings say.
    #[arg(long, value_name = "PIXELS")]
    pub max_side: Option<usize>,
    /// Rounds of the solver for each layer at most, to be faster.
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
    /// So many of the strongest activations of the top layer, each projected to the maps of layer 1, as one layer
    /// more; 50 in the recipe 2011.
    #[arg(long, value_name = "N")]
    pub projections: Option<usize>,
    /// Cells along each side of a descriptor.
    #[arg(long, value_name = "N")]
    pub cells: Option<usize>,
    /// Elements along each side of a cell.
    #[arg(long, value_name = "N")]
    pub cell_size: Option<usize>,
    /// Elements from one descriptor to the next.
    #[arg(long, value_name = "N")]
    pub step: Option<usize>,
    /// What stands for a cell: mean or largest.
    #[arg(long, value_name = "KIND")]
    pub magnitude: Option<Magnitude>,
    /// Codes of descriptors: hard, soft or none.
    #[arg(long, value_name = "KIND")]
    pub coding: Option<Coding>,
    /// Words.
    #[arg(long, value_name = "N")]
    pub words: Option<usize>,
    /// Words in a soft code.
    #[arg(long, value_name = "N")]
    pub neighbours: Option<usize>,
    /// How much less a farther word counts in a soft code.
    #[arg(long, value_name = "X")]
    pub sharpness: Option<f32>,
    /// Parts along each side of the grids of the pyramid.
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub levels: Option<Vec<usize>>,
    /// What becomes of the codes in a part: sum or largest.
    #[arg(long, value_name = "KIND")]
    pub gather: Option<Gather>,
}

impl RecipeArgs {
    /// The recipe by name.
    fn preset(&self) -> Preset {
        self.recipe.unwrap_or(match self.convnet {
            Some(_) => Preset::Plain,
            None => Preset::Paper2010,
        })
    }

    /// The recipe with what flags change of it.
    fn recipe(&self) -> Recipe {
        let Recipe {
            mut cells,
            mut pyramid,
            ..
        } = self.preset().recipe();
        let recipe = self.preset().recipe();
        cells.count = self.cells.unwrap_or(cells.count);
        cells.size = self.cell_size.unwrap_or(cells.size);
        cells.step = self.step.unwrap_or(cells.step);
        cells.magnitude = self.magnitude.unwrap_or(cells.magnitude);
        pyramid.levels = self.levels.clone().unwrap_or(pyramid.levels);
        pyramid.gather = self.gather.unwrap_or(pyramid.gather);
        Recipe {
            cells,
            pyramid,
            coding: self.coding.unwrap_or(recipe.coding),
            word_count: self.words.unwrap_or(recipe.word_count),
            neighbours: self.neighbours.unwrap_or(recipe.neighbours),
            sharpness: self.sharpness.unwrap_or(recipe.sharpness),
        }
    }

    fn map_options(&self) -> MapOptions {
        let from = match (&self.run, &self.convnet) {
            (Some(run), _) => Wanted::Run {
                path: existing(run),
                which: self.at,
            },
            (None, Some(model)) => Wanted::Convnet(Source {
                model: model.clone(),
                preset: self.preset,
                changes: convnet::Changes::default(),
                labels: None,
                exclude: Vec::new(),
            }),
            (None, None) => match self.maps {
                MapsName::Gradients => Wanted::Gradients,
                name => Wanted::Learnt {
                    config: self.config.clone(),
                    random: name == MapsName::Random,
                },
            },
        };
        let projections = self.preset().projections();
        let layers = match self.layers.is_empty() && projections > 0 {
            true => vec!["1".into()],
            false => self.layers.clone(),
        };
        MapOptions {
            from,
            layers,
            projections: self.projections.unwrap_or(projections),
            max_side: self.max_side,
            rounds: self.rounds,
        }
    }
}

impl Given<RecipeArgs> {
    /// The maps, and what is made of them.
    ///
    /// # Errors
    /// [`Error::Config`] for a flag that these maps, or codes, have no use for.
    pub fn options(&self) -> Result<(MapOptions, Recipe)> {
        let (maps, recipe) = (self.args.map_options(), self.args.recipe());
        let (what, idle): (_, &'static [_]) = match maps.from {
            Wanted::Gradients => (
                "gradients",
                &["at", "config", "layers", "rounds", "projections"],
            ),
            Wanted::Convnet(_) => ("a convnet", &["at", "max-side", "rounds", "projections"]),
            Wanted::Run { .. } | Wanted::Learnt { .. } => ("", &[]),
        };
        let given = |idle: &'static [&str]| self.names().filter(move |flag| idle.contains(flag));
        refuse(given(idle), &format!("maps of {what}"))?;
        if !what.is_empty() && maps.projections > 0 {
            return Err(Error::Config(format!(
                "the recipe 2011 projects activations of a deconvolutional network, and the maps are of {what}; \
                 choose another"
            )));
        }
        let (what, idle): (_, &'static [_]) = match recipe.coding {
            Coding::None => ("no", &["words", "neighbours", "sharpness"]),
            Coding::Hard => ("hard", &["neighbours", "sharpness"]),
            Coding::Soft => ("soft", &[]),
        };
        refuse(given(idle), &format!("{what} codes"))?;
        Ok((maps, recipe))
    }
}
