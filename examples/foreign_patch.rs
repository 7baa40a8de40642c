//! A patch that does not belong: filters learnt from scenes, and scenes into which noise is pasted.
//!
//!     cargo run --release --example foreign_patch
//!
//! writes the scenes, their scores and pictures to `foreign-patch`.

use std::path::Path;

use burn::tensor::Device;
use deconvnet::config::Config;
use deconvnet::data::scenes;
use deconvnet::group::Group;
use deconvnet::picture::save_png;
use deconvnet::solve::Limits;
use deconvnet::store::CheckpointSelector;
use deconvnet::task::infer::{self, MapsFormat};
use deconvnet::task::train;
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

/// Side of the patch.
const PATCH: usize = 12;

fn main() -> deconvnet::Result<()> {
    let folder = Path::new("foreign-patch");
    let config = Config::parse(
        "[data]\ncolour = false\nsample_count = 12\n\
         [preprocess]\nkind = \"contrast-normalize\"\n\
         [train]\nsolver = \"descent\"\nconstraint = \"unit-ball\"\n\
         [[layer]]\nmaps = 16\nsize = 9\nsparsity = { of_max = 0.1 }\nepochs = 4",
    )?;
    let (size, device) = (config.data.sample_size, Device::flex());
    let run = folder.join("run");
    train::start(config, &run, &device, false, &Group::alone(), &mut ())?;
    let images = folder.join("images");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for i in 0..3 {
        // Scenes that the run did not see.
        let clean = scenes::sample(100 + i, size, 0).grey();
        let mut foreign = clean.clone();
        let (top, left) = (20 + 25 * i, 60 - 20 * i);
        for row in top..top + PATCH {
            for column in left..left + PATCH {
                foreign.plane_mut(0)[row * size + column] = rng.random_range(0.0..1.0);
            }
        }
        std::fs::create_dir_all(&images).expect("a folder");
        save_png(&clean, images.join(format!("scene{i}.png")))?;
        save_png(&foreign, images.join(format!("scene{i}-foreign.png")))?;
    }
    let options = infer::Options {
        checkpoint: run,
        which: CheckpointSelector::Last,
        images,
        exclude: Vec::new(),
        mask: None,
        out: folder.join("scored"),
        solver: None,
        joint: false,
        tile: None,
        group: deconvnet::group::Group::alone(),
        shard: None,
        max_side: None,
        limits: Limits {
            steps: 60,
            ..Limits::default()
        },
        maps_format: MapsFormat::None,
        anomaly: true,
        overwrite: true,
        force: false,
    };
    println!("{}", infer::run(&options, &device, &mut ())?);
    Ok(())
}
