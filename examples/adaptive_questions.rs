//! What a careful reader of the adaptive model asks, measured on a run that has learnt one:
//!
//!     cargo run --release --example adaptive_questions -- checkpoints/adaptive 20
//!
//! For each layer, over the first images of the run: how the shrink and the pooling of each plain step change the
//! objective; how far ten steps stay above two hundred accelerated ones; what it costs to keep the switches of the
//! first step; and whether the learnt filters explain images better than random ones at the same density.

use burn::tensor::{Device, Tensor};
use deconvnet::model::{Evaluation, Network};
use deconvnet::pooling::{Pool, Switches};
use deconvnet::run::{Images, Run, to_tensor};
use deconvnet::solve::{Ista, Limits, Method, Problem};
use deconvnet::store::CheckpointSelector;
use deconvnet::{Error, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err(Error::Config(
            "give a run folder and a number of images".into(),
        ));
    };
    let count: usize = count
        .parse()
        .map_err(|_| Error::Config("the number of images".into()))?;
    let device = Device::flex();
    let run = Run::read(path.as_ref(), CheckpointSelector::Last, &device)?;
    let mut images = Images::resume(&run.state);
    let count = count.min(run.state.images.len());
    let random = run.state.config.network()?.init(&device)?;
    for top in 0..run.state.objectives.len() {
        let mut sums = Sums::default();
        for i in 0..count {
            let image = to_tensor(&images.get(i)?, &device);
            let maps: Vec<Tensor<4>> = (0..top)
                .map(|l| run.maps(l, i, &device))
                .collect::<Result<_>>()?;
            let stack = |network: &Network| network.stack(0..top + 1, maps.iter().enumerate());
            let objective = run.state.objectives[top];
            let problem = Problem::new(stack(&run.network)?, image.clone(), objective)?;
            sums.steps(&problem)?;
            sums.ways(&problem)?;
            // Only the top layer is random: the switches below belong to the learnt layers.
            let mut mixed = run.network.clone();
            mixed.layers_mut()[top] = random.layers()[top].clone();
            sums.random(&problem, &Problem::new(stack(&mixed)?, image, objective)?)?;
        }
        sums.print(top + 1, count as f64);
    }
    Ok(())
}

#[derive(Default)]
struct Sums {
    /// Before the first step, and of each step after the shrink and after the pooling.
    start: f64,
    steps: [[f64; 2]; 10],
    /// Objectives by each way.
    ways: [f64; 5],
    /// SNR of learnt and of random filters, and their densities.
    snr: [f64; 2],
    density: [f64; 2],
}

impl Sums {
    fn steps(&mut self, problem: &Problem) -> Result<()> {
        let plain = Ista {
            accelerated: false,
            ..Ista::default()
        };
        let mut unpooled = problem.clone();
        let windows = unpooled.network.top().pool;
        let last = unpooled.network.layers().len() - 1;
        let layer = unpooled.network.layers()[last].clone();
        unpooled.network.layers_mut()[last] = layer.with_pool(Pool::NONE);
        let mut maps = zeros(problem);
        self.start += at(problem, &maps).objective;
        for step in &mut self.steps {
            // A step whose guess of the curvature was wrong is not taken.
            let shrunk = code(&plain.into(), &unpooled, maps.clone(), 1)?;
            step[0] += at(problem, &shrunk).objective;
            let switches = Switches::of(&shrunk, windows);
            maps = switches.unpool(switches.pool(shrunk));
            step[1] += at(problem, &maps).objective;
        }
        Ok(())
    }

    fn ways(&mut self, problem: &Problem) -> Result<()> {
        let momentum = Ista::default();
        let plain = Ista {
            accelerated: false,
            ..momentum
        };
        let frozen = Ista {
            refresh: false,
            ..momentum
        };
        let ways = [
            (plain, 10),
            (momentum, 10),
            (plain, 200),
            (momentum, 200),
            (frozen, 200),
        ];
        for (sum, (way, steps)) in self.ways.iter_mut().zip(ways) {
            *sum += at(problem, &code(&way.into(), problem, zeros(problem), steps)?).objective;
        }
        Ok(())
    }

    /// The weight of the penalty under random filters is the one that leaves as many elements.
    fn random(&mut self, learnt: &Problem, random: &Problem) -> Result<()> {
        let method = Method::from(Ista::default());
        let own = at(learnt, &code(&method, learnt, zeros(learnt), 60)?);
        let objective = learnt.objective;
        let (mut low, mut high) = (0.0, 20.0 * objective.sparsity());
        let mut best = own;
        for _ in 0..10 {
            let sparsity = (low + high) / 2.0;
            let objective =
                deconvnet::model::Objective::new(objective.data_weight(), sparsity, 1.0)?;
            let problem = Problem {
                objective,
                ..random.clone()
            };
            best = at(&problem, &code(&method, &problem, zeros(&problem), 60)?);
            match best.density > own.density {
                true => low = sparsity,
                false => high = sparsity,
            }
        }
        for (sums, values) in [
            (&mut self.snr, [own.snr, best.snr]),
            (&mut self.density, [own.density, best.density]),
        ] {
            sums.iter_mut()
                .zip(values)
                .for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }

    fn print(&self, layer: usize, n: f64) {
        println!(
            "layer {layer}: objective {:.2} before the first step",
            self.start / n
        );
        for (step, [shrunk, pooled]) in self.steps.iter().enumerate() {
            println!(
                "  step {:2}: {:10.3} after the shrink, {:10.3} after the pooling",
                step + 1,
                shrunk / n,
                pooled / n
            );
        }
        let names = [
            "10 plain",
            "10 with momentum",
            "200 plain",
            "200 with momentum",
            "200 at frozen switches",
        ];
        for (name, objective) in names.iter().zip(self.ways) {
            println!("  {name:22}: {:10.3}", objective / n);
        }
        let [snr, random] = self.snr.map(|snr| snr / n);
        let [density, of_random] = self.density.map(|density| 100.0 * density / n);
        println!(
            "  learnt filters {snr:.2} dB at {density:.2} %, random ones {random:.2} dB at {of_random:.2} %"
        );
    }
}

fn zeros(problem: &Problem) -> Tensor<4> {
    Tensor::zeros(problem.maps_shape(), &problem.data.images().device())
}

fn at(problem: &Problem, maps: &Tensor<4>) -> Evaluation {
    Evaluation::total(
        &problem
            .objective
            .measure(&problem.network, maps.clone(), &problem.data),
    )
}

fn code(method: &Method, problem: &Problem, start: Tensor<4>, steps: usize) -> Result<Tensor<4>> {
    let limits = Limits {
        steps,
        every: 0,
        ..Limits::default()
    };
    Ok(method.code(problem, start, &limits, &mut ())?.codes)
}
