//! `features`.

use std::path::PathBuf;

use clap::Args;

use super::console::{Console, complete};
use super::given::Given;
use super::recipe::RecipeArgs;
use crate::backend::Backend;
use crate::error::Result;
use crate::task::features::{self, Options};

/// Flags of `features`.
#[derive(Debug, Args)]
pub struct FeaturesArgs {
    /// A folder of images, with a folder for each class if they have any.
    pub folder: PathBuf,
    /// The file, .npz or .safetensors.
    #[arg(long, value_name = "FILE", default_value = "features.npz")]
    pub out: PathBuf,
    /// Maps, recipe and words of this file of features, or classifier: nothing is learnt.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["train_per_class", "seed", "RecipeArgs"])]
    pub like: Option<PathBuf>,
    /// Images of each class that words, and filters, are learnt from.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub train_per_class: usize,
    /// What they are drawn by.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Leave out what this pattern matches, such as '*.thumb.*' or old/**; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Replace the file.
    #[arg(long)]
    pub overwrite: bool,
    /// What maps, and what is made of them.
    #[command(flatten)]
    pub recipe: Given<RecipeArgs>,
    /// Go on where it is estimated to take more memory or disk than there is.
    #[arg(long)]
    pub force: bool,
    /// flex, ndarray, wgpu, vulkan, metal or cuda.
    #[arg(long, short, default_value = "flex")]
    pub backend: Backend,
}

pub fn run(args: &FeaturesArgs, console: &mut Console) -> Result<bool> {
    let (maps, recipe) = args.recipe.options()?;
    let options = Options {
        images: args.folder.clone(),
        exclude: args.exclude.clone(),
        maps,
        recipe,
        training: args.train_per_class,
        seed: args.seed,
        like: args.like.clone(),
        out: args.out.clone(),
        overwrite: args.overwrite,
        force: args.force,
    };
    let device = args.backend.device()?;
    let report = features::run(&options, &device, &mut console.progress)?;
    console.report(&report)?;
    complete(report.interrupted.is_none(), &report.skipped)
}
