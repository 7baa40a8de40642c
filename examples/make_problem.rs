//! Writes a coding problem to a file: grey squares of photographs, or sample scenes, with their local
//! mean removed, random filters, and the certified least objective.
//!
//!     cargo run --release --example make_problem -- problem.npz --images 64 --size 256
//!     cargo run --release --example make_problem -- problem.npz --photos FOLDER
//!
//! The file is the one that `deconvnet infer --problem`, the example `learn_problem` and
//! `scripts/rivals.py` read, see [`deconvnet::problem`].

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use clap::Parser;
use deconvnet::arrays::{self, Array, Bundle};
use deconvnet::connectivity::Connectivity;
use deconvnet::data::{Image, Preprocess, folder, scan, scenes};
use deconvnet::model::{Constraint, LayerConfig};
use deconvnet::problem::CodingProblem;
use deconvnet::solve::{CoordinateDescent, Limits, Method};
use deconvnet::{Error, Result};

/// What local mean removal with its window of 5 x 5 takes off each side in all.
const WINDOW: usize = 4;

#[derive(Parser)]
struct Arguments {
    /// The file to write, .npz or .safetensors.
    out: PathBuf,
    /// Cut the squares from the images in this folder; without it, they are sample scenes.
    #[arg(long)]
    photos: Option<PathBuf>,
    /// How many squares.
    #[arg(long, default_value_t = 64)]
    images: usize,
    /// Height and width of a square.
    #[arg(long, default_value_t = 256)]
    size: usize,
    /// How many filters.
    #[arg(long, default_value_t = 64)]
    maps: usize,
    /// Height and width of a filter.
    #[arg(long, default_value_t = 8)]
    taps: usize,
    /// Weight of the penalty; all images together have a range of 2.
    #[arg(long, default_value_t = 0.05)]
    lmbda: f64,
    /// How far above the least the objective may be that is written as `F_opt`, as a share of it.
    #[arg(long, default_value_t = 1e-4)]
    gap: f64,
    /// Seed of the filters and the scenes.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (n, size, taps) = (arguments.images, arguments.size, arguments.taps);
    let squares = match &arguments.photos {
        Some(photos) => cut(photos, n, size + WINDOW)?,
        None => {
            let scenes = scenes::sample_set(n, size + WINDOW, arguments.seed);
            scenes.into_iter().map(Image::grey).collect()
        }
    };
    let prepare = Preprocess::local_mean().fit(squares.iter().cloned().map(Ok))?;
    let mut pixels = Vec::with_capacity(n * size * size);
    for square in &squares {
        pixels.extend(prepare.apply(square)?.0.values);
    }
    let layer = LayerConfig::new(Connectivity::full(1, arguments.maps), [taps; 2])
        .with_constraint(Constraint::UnitBall)
        .with_seed(arguments.seed)
        .init(&Device::flex());
    // One plane: `[1, M, h, w]` and `[M, 1, h, w]` have the same order.
    let filters = layer.filters.val().into_data().iter::<f32>().collect();

    let mut bundle = Bundle::default();
    let images = Array::new(vec![n, 1, size, size], pixels)?;
    let filters = Array::new(vec![arguments.maps, 1, taps, taps], filters)?;
    bundle.arrays.insert("s".into(), images);
    bundle.arrays.insert("D0".into(), filters);
    bundle.scalars.insert("lmbda".into(), arguments.lmbda);
    bundle.texts.insert("boundary".into(), "valid".into());
    arrays::write(&arguments.out, &bundle, true)?;

    let CodingProblem { problem, .. } = CodingProblem::read(&arguments.out, &Device::flex())?;
    let limits = Limits {
        steps: 3000,
        gap: Some(arguments.gap),
        ..Limits::default()
    };
    let start = Tensor::zeros(problem.maps_shape(), &Device::flex());
    let method = Method::from(CoordinateDescent::default());
    let solved = method.code(&problem, start, &limits, &mut ())?.last();
    bundle.scalars.insert("F_opt".into(), solved.at.objective);
    bundle
        .scalars
        .extend(solved.at.gap.map(|gap| ("gap".into(), gap)));
    arrays::write(&arguments.out, &bundle, true)?;
    println!(
        "{}: least objective {:.6}, {:.3} % of the maps not zero, {:.1} s",
        arguments.out.display(),
        solved.at.objective,
        100.0 * solved.at.density,
        solved.seconds,
    );
    Ok(())
}

/// So many grey squares from the images of a folder, in turn, each along its diagonal.
fn cut(photos: &Path, count: usize, side: usize) -> Result<Vec<Image>> {
    let paths = scan::scan(photos, &[])?.images;
    let each = count.div_ceil(paths.len());
    let square = |index: usize| {
        let path = &paths[index % paths.len()];
        let image = folder::read(path, false, None)?;
        let room = image.height.min(image.width).checked_sub(side);
        let room = room.ok_or_else(|| {
            let path = path.display();
            Error::Input(format!(
                "{path} has no square of {side} pixels; give larger images"
            ))
        })?;
        let corner = room * (index / paths.len()) / (each - 1).max(1);
        let rows = (corner..corner + side).map(|row| row * image.width + corner);
        Ok(Image {
            channels: 1,
            height: side,
            width: side,
            values: rows
                .flat_map(|at| &image.values[at..at + side])
                .copied()
                .collect(),
        })
    };
    (0..count).map(square).collect()
}
