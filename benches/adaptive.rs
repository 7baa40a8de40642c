//! How long a step on the maps and on the filters takes on the four layers of the adaptive model.
//!
//!     cargo bench --bench adaptive
//!     cargo bench --bench adaptive -- --backend flex,wgpu --images 4
//!
//! 15, 50, 100 and 150 maps, 7 x 7 filters, grey images of noise of 150 x 150, pooled as in
//! `configs/adaptive.toml`; the maps below the top are noise too. Milliseconds an image: the median of several
//! runs. `scripts/rivals_adaptive.py` puts the same steps in PyTorch beside them.

mod table;

use std::time::Instant;

use burn::tensor::{DType, Device, Tensor, TensorData};
use clap::Parser;
use deconvnet::Result;
use deconvnet::backend::{self, Backend};
use deconvnet::connectivity::Connectivity;
use deconvnet::group::Group;
use deconvnet::linop::noise;
use deconvnet::model::{Constraint, LayerConfig, Network, NetworkConfig, Objective};
use deconvnet::pooling::{Pool, Switches};
use deconvnet::solve::{CodedBatch, FilterProblem, FilterStep, Ista, Problem, Solver};
use mimalloc::MiMalloc;
use table::Table;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "Times the steps of the adaptive model")]
struct Options {
    /// flex, or others that are compiled in, with commas.
    #[arg(long, default_value = "flex", value_delimiter = ',')]
    backend: Vec<Backend>,
    /// Images of a batch.
    #[arg(long, default_value_t = 16)]
    images: usize,
    /// Side of the images.
    #[arg(long, default_value_t = 150)]
    side: usize,
    /// Seconds for each line; three runs are made at least.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Maps, and the maps of a window.
const LAYERS: [[usize; 2]; 4] = [[15, 3], [50, 2], [100, 2], [150, 1]];

fn main() -> Result<()> {
    let options = Options::parse();
    let table = Table::new(
        "Milliseconds an image",
        ["layer", "step", "backend", "ms"],
        [6, 8, 8, 9],
    );
    for &backend in &options.backend {
        let device = backend.device()?;
        for layers in 1..=LAYERS.len() {
            let (problem, maps) = problem(layers, &options, &device)?;
            let row = |step: &str, ms: f64| {
                let ms = ms / options.images as f64;
                table.row([
                    layers.to_string(),
                    step.into(),
                    backend.name().into(),
                    format!("{ms:.3}"),
                ]);
            };
            let ista = Ista {
                accelerated: false,
                norm: Some(1e3),
                ..Ista::default()
            };
            let mut state = ista.init(&problem, maps.clone());
            row(
                "maps",
                median(&device, &options, || ista.step(&problem, &mut state))?,
            );
            let codes = ista.codes(&state);
            let batches: &deconvnet::solve::Batches = &|visit| {
                visit(CodedBatch {
                    maps: codes.clone(),
                    data: problem.data.clone(),
                    switches: problem.network.switches(),
                })
            };
            let filters = FilterProblem {
                network: &problem.network,
                layer: layers - 1,
                batches,
                sparse: None,
                statistics: None,
                constraint: Constraint::UnitFilters,
                group: &Group::alone(),
            };
            let solve = |cg| {
                median(&device, &options, || {
                    drop(filters.solve(FilterStep::LeastSquares { cg }))
                })
            };
            row("filters", solve(3)? - solve(2)?);
        }
    }
    Ok(())
}

/// So many layers at the switches of noise, and maps of noise to start from.
fn problem(layers: usize, options: &Options, device: &Device) -> Result<(Problem, Tensor<4>)> {
    let mut planes = 1;
    let configs = LAYERS[..layers].iter().map(|&[maps, adjacent]| {
        let pool = Pool {
            rows: 3,
            columns: 3,
            maps: adjacent,
        };
        let layer = LayerConfig::new(Connectivity::full(planes, maps), [7, 7]).with_pool(pool);
        planes = maps.div_ceil(adjacent);
        layer.with_constraint(Constraint::UnitFilters)
    });
    let network = NetworkConfig {
        layers: configs.collect(),
    };
    let mut network: Network = network.init(device)?;
    let images = [options.images, 1, options.side, options.side];
    let random = |shape: [usize; 4], seed: u64| {
        let values = noise(shape.iter().product(), seed);
        Tensor::<4>::from_data(TensorData::new(values, shape), (device, DType::F32))
    };
    let mut switches = Vec::new();
    for l in 0..layers - 1 {
        let maps = random(network.part(0..l + 1).maps_shape(images), l as u64);
        switches.push(Switches::of(&maps, network.layers()[l].pool));
    }
    network = network.at(switches)?;
    let maps = random(network.maps_shape(images), 9);
    let objective = Objective::new(1.0, 1.0, 1.0)?;
    Ok((Problem::new(network, random(images, 10), objective)?, maps))
}

/// The median of the milliseconds that `run` takes, the first time left out.
fn median(device: &Device, options: &Options, mut run: impl FnMut()) -> Result<f64> {
    let mut times = Vec::new();
    let began = Instant::now();
    while times.len() < 3 || began.elapsed().as_secs_f64() < options.seconds {
        backend::sync(device)?;
        let start = Instant::now();
        run();
        backend::sync(device)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
