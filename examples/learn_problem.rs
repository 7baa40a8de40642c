//! Learns filters from the images of a problem file, beginning with its filters, and prints the
//! objective as it falls: seconds of learning against `1/2 ||R z - s||^2 + lmbda |z|`, worked out in
//! double precision with the clock stopped.
//!
//!     cargo run --release --example learn_problem -- FILE.npz --epochs 100 --out curve.csv

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::{DType, Tensor};
use clap::Parser;
use deconvnet::backend::Backend;
use deconvnet::model::{Constraint, Evaluation};
use deconvnet::problem::CodingProblem;
use deconvnet::solve::{Descent, FilterMemory, FilterStep, Learner, Limits, Method, Past, Problem};

#[derive(Parser)]
struct Arguments {
    /// Images s [K, C, H, W], first filters D0 [M, C, h, w], weight lmbda, boundary "valid".
    problem: PathBuf,
    /// Visits of all images.
    #[arg(long, default_value_t = 100)]
    epochs: usize,
    /// Visit one image after the other and keep no maps; the objective is then that of the images
    /// coded anew.
    #[arg(long)]
    online: bool,
    /// Judge by the images of this file, coded anew, instead.
    #[arg(long)]
    test: Option<PathBuf>,
    /// Stop once the objective is at most this.
    #[arg(long)]
    target: Option<f64>,
    /// Rounds of coordinate descent on each visit.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Gradient steps on the filters on each visit.
    #[arg(long, default_value_t = 5)]
    filter_steps: usize,
    /// Write the curve here as CSV.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let device = Backend::Flex.device()?;
    let mut problem = CodingProblem::read(&arguments.problem, &device)?.problem;
    let learner = Learner {
        codes: Method::Descent(Descent::default()),
        steps: arguments.rounds,
        filters: FilterStep::ProjectedGradient {
            steps: arguments.filter_steps,
        },
        filter_rate: 0.0,
        constraint: Constraint::UnitBall,
    };
    let shape = problem.network.maps_shape(problem.images.dims());
    let mut maps = Tensor::zeros(shape, &device);
    let mut memory = FilterMemory::default();
    let n = problem.images.dims()[0];
    let test = match &arguments.test {
        Some(path) => CodingProblem::read(path, &device)?.problem.images,
        None => problem.images.clone(),
    };
    if arguments.online {
        memory.past = vec![Past::none(&problem.network.top().filters.val())];
    }
    let mut curve = Vec::from(["epoch,seconds,objective,non_zero_percent".to_string()]);
    let mut seconds = 0.0;
    for epoch in 1..=arguments.epochs {
        let started = Instant::now();
        if arguments.online {
            for i in 0..n {
                let one = Problem {
                    images: problem.images.clone().narrow(0, i, 1),
                    ..problem.clone()
                };
                let start = maps.clone().narrow(0, i, 1).zeros_like();
                problem.network = learner
                    .visit(&one, start, true, &mut memory, &mut ())?
                    .network;
            }
        } else {
            let learnt = learner.visit(&problem, maps, true, &mut memory, &mut ())?;
            maps = learnt.maps;
            problem.network = learnt.network;
        }
        seconds += started.elapsed().as_secs_f64();
        let at = if arguments.online || arguments.test.is_some() {
            let tested = Problem {
                images: test.clone(),
                ..problem.clone()
            };
            let start = Tensor::zeros(tested.network.maps_shape(test.dims()), &device);
            let limits = Limits {
                steps: 60,
                every: 0,
                ..Limits::default()
            };
            evaluate(
                &tested,
                &Method::Descent(Descent::default())
                    .code(&tested, start, &limits, &mut ())?
                    .codes,
            )
        } else {
            evaluate(&problem, &maps)
        };
        curve.push(format!(
            "{epoch},{seconds:.6},{:.6},{:.4}",
            at.objective,
            100.0 * at.density
        ));
        println!(
            "epoch {epoch:>4}  {seconds:>8.3} s  objective {:>12.6}  non-zero {:.3} %",
            at.objective,
            100.0 * at.density
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

/// The objective in double precision.
fn evaluate(problem: &Problem, maps: &Tensor<4>) -> Evaluation {
    let double = problem.in_double();
    let maps = Tensor::from_data(
        maps.clone().into_data().convert::<f64>(),
        (&maps.device(), DType::F64),
    );
    let each = double
        .objective
        .measure(&double.network, maps, double.images);
    Evaluation::total(&each)
}
