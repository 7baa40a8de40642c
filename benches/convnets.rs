//! How long a convnet takes for an image, and a unit of its last rectified map for its way back.
//!
//!     cargo bench --bench convnets -- MODEL.onnx --side 224
//!
//! Images of noise. Milliseconds for each image or unit, the median of several runs. `scripts/rivals_convnets.py`
//! puts ONNX Runtime and PyTorch beside them.

mod table;

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::DType;
use clap::Parser;
use deconvnet::backend::{self, Backend};
use deconvnet::convnet::{Convnet, Map, Model, Walk, signals, unravel};
use deconvnet::linop::noise;
use deconvnet::{Error, Result};
use mimalloc::MiMalloc;
use table::Table;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "Times convnets forward and back")]
struct Options {
    /// ONNX files.
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// flex, or others that are compiled in, with commas.
    #[arg(long, default_value = "flex", value_delimiter = ',')]
    backend: Vec<Backend>,
    /// Images at once.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Side of the images, where the model leaves it open.
    #[arg(long, default_value_t = 224)]
    side: usize,
    /// Units that go back together.
    #[arg(long, default_value_t = 8)]
    units: usize,
    /// Seconds for each line; three runs are made at least.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let table = Table::new(
        "Milliseconds an image, and a unit",
        ["model", "backend", "forward", "back"],
        [20, 8, 9, 9],
    );
    for path in &options.models {
        let model = Model::read(path)?;
        let shape = model
            .image_shape(options.side, options.side)
            .ok_or_else(|| Error::Config(format!("{} takes no images", path.display())))?;
        for &backend in &options.backend {
            let device = backend.device()?;
            let net = Convnet::new(&model, &shape, &device, DType::F32)?;
            let one: Vec<usize> = net.shape(0)[1..].to_vec();
            let count = options.batch * one.iter().product::<usize>();
            let values: Vec<f32> = noise(count, 0).into_iter().map(|v| v as f32).collect();
            let all = [&[options.batch], &one[..]].concat();
            let images = Map::from_values(values, &all, &device, DType::F32);
            let wait = || backend::sync(&device);
            let forward = median(options.seconds, || {
                net.record(images.clone())?;
                wait()
            })?;
            let tape = net.record(images.clone())?;
            // The last map that has rows and columns.
            let planes = |value: &usize| net.shape(*value).len() == net.shape(0).len();
            let last = (0..net.values()).rev().find(|value| {
                planes(value) && net.shape(*value)[2..].iter().product::<usize>() > 1
            });
            let value = last.unwrap_or(0);
            let of = &net.shape(value)[1..];
            let elements: usize = of.iter().product();
            let starts: Vec<(Vec<usize>, f32)> = (0..options.units)
                .map(|k| (unravel((k * 7919) % elements, of), 1.0))
                .collect();
            let rows: Vec<usize> = (0..options.units).map(|k| k % options.batch).collect();
            let back = median(options.seconds, || {
                let signal = signals(&starts, of, tape.map(value));
                net.project(&tape, value, signal, &rows, &Walk::default());
                wait()
            })?;
            table.row([
                path.file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into(),
                backend.name().into(),
                format!("{:.2}", forward / options.batch as f64),
                format!("{:.2}", back / options.units as f64),
            ]);
        }
    }
    Ok(())
}

/// Milliseconds of a run, after one that is not counted.
fn median(seconds: f64, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let began = Instant::now();
    let mut all = Vec::new();
    while all.len() < 3 || began.elapsed().as_secs_f64() < seconds {
        let one = Instant::now();
        run()?;
        all.push(one.elapsed().as_secs_f64() * 1e3);
    }
    all.sort_by(f64::total_cmp);
    Ok(all[all.len() / 2])
}
