//! `classify`.

use std::path::PathBuf;

use clap::Args;

use super::console::{Console, complete};
use super::given::{Given, refuse};
use super::recipe::RecipeArgs;
use crate::arrays::is_bundle;
use crate::backend::Backend;
use crate::classify::{Kernel, Splits};
use crate::error::{Error, Result};
use crate::task::classify::{self, Options};

/// Flags of `classify`.
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// A folder with a folder of images for each class, or a file of features; with --model, any images.
    #[arg(required = true, value_name = "PATH")]
    pub inputs: Vec<PathBuf>,
    /// Tell the classes by this classifier, and learn nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "train_per_class", "test_per_class", "splits",
        "seed", "kernel", "c", "overwrite", "keep", "RecipeArgs"])]
    pub model: Option<PathBuf>,
    /// Folder for table, picture and classifier.
    #[arg(long, value_name = "DIR", default_value = "classified")]
    pub out: PathBuf,
    /// Images of each class to learn from.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub train_per_class: usize,
    /// Other images of each class to measure by, at most.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub test_per_class: usize,
    /// How often it is done anew, with other images.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub splits: usize,
    /// What they are drawn by.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// linear or intersection; by default as suits what the pyramid gathers.
    #[arg(long)]
    pub kernel: Option<Kernel>,
    /// How much errors weigh; by default chosen on a part of the training images.
    #[arg(long, value_name = "C")]
    pub c: Option<f32>,
    /// Leave out what this pattern matches, such as '*.thumb.*' or old/**; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Replace the results.
    #[arg(long)]
    pub overwrite: bool,
    /// Leave the descriptors of the images in --out, for other words, pyramids and kernels.
    #[arg(long)]
    pub keep: bool,
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

pub fn run(args: &ClassifyArgs, console: &mut Console) -> Result<bool> {
    if args.inputs.iter().all(|input| is_bundle(input)) {
        let exclude = (!args.exclude.is_empty()).then_some("exclude");
        let own = exclude.into_iter().chain(args.keep.then_some("keep"));
        let given = args.recipe.names().chain(own);
        refuse(given, "a file of features, which are made already")?;
    }
    let device = args.backend.device()?;
    if let Some(model) = &args.model {
        let progress = &mut console.progress;
        let (inputs, exclude, force) = (&args.inputs, &args.exclude, args.force);
        let told = classify::predict(model, inputs, exclude, force, &device, progress)?;
        console.report(&told)?;
        return complete(!told.interrupted, &told.skipped);
    }
    let [input] = &args.inputs[..] else {
        return Err(Error::Config(
            "give one folder with a folder for each class, or --model FILE to tell the classes of any images".into(),
        ));
    };
    let (maps, recipe) = args.recipe.options()?;
    let options = Options {
        input: input.clone(),
        exclude: args.exclude.clone(),
        maps,
        recipe,
        kernel: args.kernel,
        c: args.c,
        splits: Splits {
            training: args.train_per_class,
            test: args.test_per_class,
            count: args.splits,
            seed: args.seed,
            ..Splits::default()
        },
        out: args.out.clone(),
        overwrite: args.overwrite,
        keep: args.keep,
        force: args.force,
    };
    let report = classify::run(&options, &device, &mut console.progress)?;
    console.report(&report)?;
    complete(!report.interrupted, &report.skipped)
}
