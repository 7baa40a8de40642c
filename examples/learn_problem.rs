//! Learns filters from the images of a problem file, beginning with its filters, and prints the
//! objective as it falls: seconds of learning against `1/2 ||R z - s||^2 + lmbda |z|`, worked out in
//! double precision with the clock stopped.
//!
//!     cargo run --release --example learn_problem -- FILE.npz --epochs 100 --out curve.csv
//!
//! Online, image by image, judged by the images of another file:
//!
//!     cargo run --release --example learn_problem -- FILE.npz --online --rounds 8 --test TEST.npz

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::{DType, Device, Tensor};
use clap::Parser;
use deconvnet::backend::{Backend, is_cpu};
use deconvnet::group::Group;
use deconvnet::model::{Constraint, Evaluation, Network};
use deconvnet::problem::CodingProblem;
use deconvnet::solve::{
    CoordinateDescent, FilterMemory, FilterStep, Fista, Learner, Limits, Method, Problem, Solved,
};
use mimalloc::MiMalloc;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// Images s [K, C, H, W], first filters D0 [M, C, h, w], weight lmbda, boundary "valid".
    problem: PathBuf,
    /// Visits of all images.
    #[arg(long, default_value_t = 100)]
    epochs: usize,
    /// Visit one image after the other, each from maps of zeros, and keep no maps.
    #[arg(long, requires = "test")]
    online: bool,
    /// Judge the filters by the images of this file, coded anew each time.
    #[arg(long)]
    test: Option<PathBuf>,
    /// Stop once the objective is at most this.
    #[arg(long)]
    target: Option<f64>,
    /// Where to compute: on the CPU maps are found by coordinate descent, on a GPU by FISTA.
    #[arg(long, default_value = "flex")]
    backend: Backend,
    /// Rounds of descent or steps of FISTA on each visit.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Gradient steps on the filters on each visit.
    #[arg(long, default_value_t = 5)]
    filter_steps: usize,
    /// Judge after so many visits; online a visit is one image, otherwise all.
    #[arg(long, default_value = "1")]
    every: NonZeroUsize,
    /// Write the curve here as CSV.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let device = arguments.backend.device()?;
    let mut problem = CodingProblem::read(&arguments.problem, &device)?.problem;
    let test = match &arguments.test {
        Some(path) => Some(CodingProblem::read(path, &device)?.problem),
        None => None,
    };
    let learner = Learner {
        all_layers: true,
        group: Group::alone(),
        codes: if is_cpu(&device) {
            Method::CoordinateDescent(CoordinateDescent::default())
        } else {
            Method::Fista(Fista::default())
        },
        steps: arguments.rounds,
        filters: FilterStep::ProjectedGradient {
            steps: arguments.filter_steps,
        },
        filter_rate: 0.0,
        constraint: Constraint::UnitBall,
    };
    let data = problem.data.clone();
    let zeros = |problem: &Problem| Tensor::zeros(problem.maps_shape(), &device);
    let mut maps = zeros(&problem);
    let (mut memory, visits_per_epoch) = if arguments.online {
        (FilterMemory::online(&problem.network), data.dims()[0])
    } else {
        (FilterMemory::default(), 1)
    };
    let mut curve = Vec::from(["visits,seconds,objective,non_zero_percent".to_string()]);
    let mut seconds = 0.0;
    for visit in 0..arguments.epochs * visits_per_epoch {
        let started = Instant::now();
        if arguments.online {
            problem.data = data.image(visit % visits_per_epoch);
            maps = zeros(&problem);
        }
        let learnt = learner.visit(&problem, maps, true, &mut memory, &())?;
        maps = learnt.maps;
        problem.network = learnt.network;
        seconds += started.elapsed().as_secs_f64();
        if (visit + 1) % arguments.every.get() != 0 {
            continue;
        }
        let at = match &test {
            Some(test) => judge(&problem.network, test)?,
            None => evaluate(&problem, &maps),
        };
        let density = 100.0 * at.density;
        let visits = visit + 1;
        curve.push(format!(
            "{visits},{seconds:.6},{:.6},{density:.4}",
            at.objective
        ));
        println!(
            "visit {visits:>5}  {seconds:>8.3} s  objective {:>12.6}  non-zero {density:.3} %",
            at.objective,
        );
        if arguments
            .target
            .is_some_and(|target| at.objective <= target)
        {
            break;
        }
    }
    if let Some(out) = arguments.out {
        writeln!(std::fs::File::create(out)?, "{}", curve.join("\n"))?;
    }
    Ok(())
}

/// The least objective of the images of `test` under other filters.
fn judge(network: &Network, test: &Problem) -> deconvnet::Result<Evaluation> {
    let problem = Problem {
        network: network.clone(),
        ..test.clone()
    };
    let start = Tensor::zeros(problem.maps_shape(), &test.data.images().device());
    let limits = Limits {
        steps: 200,
        every: 0,
        ..Limits::default()
    };
    let method = Method::CoordinateDescent(CoordinateDescent::default());
    let Solved { codes, .. } = method.code(&problem, start, &limits, &mut ())?;
    Ok(evaluate(&problem, &codes))
}

/// The objective in double precision.
fn evaluate(problem: &Problem, maps: &Tensor<4>) -> Evaluation {
    let double = problem.in_double();
    let maps = Tensor::from_data(
        maps.clone().into_data().convert::<f64>(),
        (&Device::flex(), DType::F64),
    );
    let each = double
        .objective
        .measure(&double.network, maps, &double.data);
    Evaluation::total(&each)
}
