//! How long a convnet takes for an image, a unit of its last rectified map for its way back, and a place of a
//! square that covers a part of the image.
//!
//!     cargo bench --bench convnets -- MODEL.onnx --side 224
//!
//! Images of noise. Milliseconds for each image or unit, the median of several runs. `scripts/rivals_convnets.py`
//! puts ONNX Runtime and PyTorch beside them.

mod table;

use std::ops::Range;
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
    /// Side of the square, and from one place to the next.
    #[arg(long, default_value = "64,32", value_delimiter = ',', num_args = 1)]
    square: Vec<usize>,
    /// Seconds for each line; three runs are made at least.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Processor time instead of that of the clock, for a machine that is shared; on Linux.
    #[arg(long)]
    processor: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let table = Table::new(
        "Milliseconds an image, a unit, and a place of the square",
        ["model", "backend", "forward", "back", "covered"],
        [20, 8, 9, 9, 9],
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
            let forward = options.time(|| {
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
            let back = options.time(|| {
                let signal = signals(&starts, of, tape.map(value));
                net.project(&tape, value, signal, &rows, &Walk::default());
                wait()
            })?;
            let &[square, step] = &options.square[..] else {
                return Err(Error::Config("--square is two numbers".into()));
            };
            let [height, width] = net.spatial_axes(0).map(|axis| net.shape(0)[axis]);
            let starts = |side: usize| (0..=side.saturating_sub(square)).step_by(step.max(1));
            let places: Vec<[Range<usize>; 2]> = starts(height)
                .flat_map(|y| starts(width).map(move |x| [y..y + square, x..x + square]))
                .collect();
            let clean = tape.map(0).images(&[0]);
            let values = clean.read()?;
            let tape = net.record(clean)?;
            let last = net.spatial_axes(0)[1] == one.len();
            let covered = options.time(|| {
                for together in places.chunks(16) {
                    let mut images = values.repeat(together.len());
                    for (image, part) in images.chunks_exact_mut(values.len()).zip(together) {
                        for (at, value) in image.iter_mut().enumerate() {
                            let at = if last { at } else { at / one[2] };
                            let (row, column) = (at / width % height, at % width);
                            if part[0].contains(&row) && part[1].contains(&column) {
                                *value = 0.0;
                            }
                        }
                    }
                    let shape = [&[together.len()], &one[..]].concat();
                    let images = Map::from_values(images, &shape, &device, DType::F32);
                    net.run_changed(&tape, images, together, &[net.logits()])?;
                }
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
                format!("{:.2}", covered / places.len() as f64),
            ]);
        }
    }
    Ok(())
}

impl Options {
    /// Milliseconds of a run, after one that is not counted: the median, or the mean of processor time.
    fn time(&self, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
        run()?;
        let (began, before) = (Instant::now(), processor());
        let mut all = Vec::new();
        while all.len() < 3 || began.elapsed().as_secs_f64() < self.seconds {
            let one = Instant::now();
            run()?;
            all.push(one.elapsed().as_secs_f64() * 1e3);
        }
        if self.processor {
            return Ok((processor() - before) / all.len() as f64);
        }
        all.sort_by(f64::total_cmp);
        Ok(all[all.len() / 2])
    }
}

/// Milliseconds that processors have worked for this process, as Linux counts them: in hundredths of a second.
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() * 10.0
}
