//! How long a step of the solvers takes, beside the two products that it cannot do without.
//!
//!     cargo bench --bench steps
//!     cargo bench --bench steps -- --backend ndarray --rounds 50
//!
//! Milliseconds a step: the median of several runs of as many steps as one visit in training has, each
//! from maps of zeros. Images are noise: only the shares of zeros depend on what is in them.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use clap::Parser;
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::model::{LayerConfig, Network, Objective};
use deconvnet::solve::{Adam, Fista, HalfQuadratic, Problem, Solver};
use mimalloc::MiMalloc;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Steps of a run: those of the default schedule of the alternation.
const STEPS: usize = 6;

#[derive(Parser)]
#[command(about = "Times the steps of the solvers")]
struct Options {
    /// flex, or another that is compiled in.
    #[arg(long, default_value = "flex")]
    backend: Backend,
    /// Runs of which the median is taken.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let device = options.backend.device()?;
    println!(
        "{:<28} {:>4} {:>8} {:>8} {:>8} {:>9}",
        "problem", "p", "split", "adam", "fista", "products"
    );
    let grey = Connectivity::full(1, 32);
    let masked = Connectivity::singles_and_pairs(9);
    for (name, g, [n, size, taps]) in [
        ("grey 128, 32 maps 8x8", &grey, [1, 128, 8]),
        ("9 -> 45, 106, 7x7", &masked, [1, 106, 7]),
        ("the same, ten images", &masked, [10, 106, 7]),
    ] {
        for p in [1.0, 0.8] {
            let problem = problem(g, [n, size, taps], p, &device)?;
            let rounds = if n > 1 {
                options.rounds.div_ceil(3)
            } else {
                options.rounds
            };
            let fista = Fista {
                norm: Some(problem.network.squared_norm_bound([size; 2])),
            };
            println!(
                "{name:<28} {p:>4} {:>8.2} {:>8.2} {:>8.2} {:>9.2}",
                time(&HalfQuadratic::default(), &problem, rounds),
                time(&Adam::default(), &problem, rounds),
                time(&fista, &problem, rounds),
                products(&problem, rounds),
            );
        }
    }
    Ok(())
}

fn problem(
    g: &Connectivity,
    [n, size, taps]: [usize; 3],
    p: f64,
    device: &Device,
) -> deconvnet::Result<Problem> {
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

/// The median of the milliseconds that `run` takes, the first time left out.
fn median(rounds: usize, mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..=rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn time<S: Solver>(solver: &S, problem: &Problem, rounds: usize) -> f64 {
    let device = problem.data.images().device();
    let mut spent = Vec::new();
    for _ in 0..=rounds {
        let mut state = solver.init(problem, zeros(problem));
        device.sync().expect("the device does its work");
        let start = Instant::now();
        for _ in 0..STEPS {
            solver.step(problem, &mut state);
        }
        device.sync().expect("the device does its work");
        spent.push(start.elapsed().as_secs_f64() * 1e3 / STEPS as f64);
    }
    spent.remove(0);
    spent.sort_by(f64::total_cmp);
    spent[spent.len() / 2]
}

/// `R'(R z)`.
fn products(problem: &Problem, rounds: usize) -> f64 {
    let device = problem.data.images().device();
    let maps = zeros(problem);
    median(rounds, || {
        let _ = problem.network.lift(problem.network.project(maps.clone()));
        device.sync().expect("the device does its work");
    })
}
