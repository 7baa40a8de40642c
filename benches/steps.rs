//! How long a step of the solvers takes, beside the two products that it cannot do without.
//!
//!     cargo bench --bench steps
//!     cargo bench --bench steps -- --backend flex,wgpu --sizes large
//!
//! Milliseconds a step: the median of several runs of as many steps as one visit in training has, each
//! from maps of zeros and until the device has done them all. Images are noise: only the shares of
//! zeros depend on what is in them.

mod table;

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use clap::{Parser, ValueEnum};
use deconvnet::Result;
use deconvnet::backend::{self, Backend};
use deconvnet::connectivity::Connectivity;
use deconvnet::model::{LayerConfig, Network, Objective};
use deconvnet::solve::{Adam, Fista, HalfQuadratic, Problem, Solver};
use mimalloc::MiMalloc;
use table::Table;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Steps of a run: those of the default schedule of the alternation.
const STEPS: usize = 6;

#[derive(Parser)]
#[command(about = "Times the steps of the solvers")]
struct Options {
    /// flex, or others that are compiled in, with commas.
    #[arg(long, default_value = "flex", value_delimiter = ',')]
    backend: Vec<Backend>,
    /// The problems.
    #[arg(long, default_value = "usual")]
    sizes: Sizes,
    /// Seconds for each line; three runs are made at least.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Sizes {
    /// A single small one.
    Tiny,
    /// Layers as one learns them on a CPU.
    Usual,
    /// Those, and one that fills a GPU.
    Large,
}

impl Sizes {
    /// Name, connectivity, and images, their side and that of the filters.
    fn problems(self) -> Vec<(&'static str, Connectivity, [usize; 3])> {
        let (full, masked) = (Connectivity::full, Connectivity::singles_and_pairs);
        let all = [
            ("grey 32, 4 maps 5x5", full(1, 4), [1, 32, 5]),
            ("grey 128, 32 maps 8x8", full(1, 32), [1, 128, 8]),
            ("9 -> 45, 106, 7x7", masked(9), [1, 106, 7]),
            ("9 -> 45, 10 x 106, 7x7", masked(9), [10, 106, 7]),
            ("64 grey 256, 64 maps 8x8", full(1, 64), [64, 256, 8]),
        ];
        let some = match self {
            Self::Tiny => 0..1,
            Self::Usual => 1..4,
            Self::Large => 1..5,
        };
        all[some].to_vec()
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let open = |&backend: &Backend| Ok((backend, backend.device()?));
    let devices: Vec<_> = options.backend.iter().map(open).collect::<Result<_>>()?;
    let table = Table::new(
        "Milliseconds a step",
        ["problem", "p", "solver", "backend", "ms"],
        [24, 3, 12, 7, 9],
    );
    for (name, g, sizes) in options.sizes.problems() {
        for (backend, device) in &devices {
            let row = |p: &str, solver: &str, ms: f64| {
                let [p, solver, backend] = [p, solver, backend.name()].map(String::from);
                table.row([name.into(), p, solver, backend, format!("{ms:.3}")]);
            };
            for p in [1.0, 0.8] {
                let problem = problem(&g, sizes, p, device)?;
                if p == 1.0 {
                    row("-", "the products", products(&problem, &options)?);
                }
                let p = p.to_string();
                let split = HalfQuadratic::default();
                let fista = Fista {
                    norm: Some(problem.network.squared_norm_bound([sizes[1]; 2])),
                };
                row(&p, "split", time(&split, &problem, &options)?);
                row(&p, "adam", time(&Adam::default(), &problem, &options)?);
                row(&p, "fista", time(&fista, &problem, &options)?);
            }
        }
    }
    Ok(())
}

fn problem(
    g: &Connectivity,
    [n, size, taps]: [usize; 3],
    p: f64,
    device: &Device,
) -> Result<Problem> {
    device.seed(1);
    let layer = LayerConfig::new(g.clone(), [taps; 2]).init(device);
    let images = Tensor::random(
        [n, g.planes(), size, size],
        Distribution::Normal(0.0, 1.0),
        device,
    );
    let objective = Objective::new(1.0, 0.1, p)?;
    Problem::new(Network::new(vec![layer])?, images, objective)
}

fn zeros(problem: &Problem) -> Tensor<4> {
    let shape = problem.maps_shape();
    Tensor::zeros(shape, &problem.data.images().device())
}

/// The median of the milliseconds that `run` takes from what `init` makes, the first time left out.
fn median<S>(
    device: &Device,
    options: &Options,
    init: impl Fn() -> S,
    run: impl Fn(&mut S),
) -> Result<f64> {
    let mut times = Vec::new();
    let began = Instant::now();
    while times.len() < 3 || began.elapsed().as_secs_f64() < options.seconds {
        let mut state = init();
        backend::sync(device)?;
        let start = Instant::now();
        run(&mut state);
        backend::sync(device)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn time<S: Solver>(solver: &S, problem: &Problem, options: &Options) -> Result<f64> {
    let init = || solver.init(problem, zeros(problem));
    let steps = |state: &mut S::State| (0..STEPS).for_each(|_| solver.step(problem, state));
    let device = problem.data.images().device();
    Ok(median(&device, options, init, steps)? / STEPS as f64)
}

/// `R'(R z)`.
fn products(problem: &Problem, options: &Options) -> Result<f64> {
    let device = problem.data.images().device();
    let both = |maps: &mut Tensor<4>| {
        drop(problem.network.lift(problem.network.project(maps.clone())));
    };
    median(&device, options, || zeros(problem), both)
}
