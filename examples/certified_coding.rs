//! Code an image with fixed filters by three solvers, and tell by the duality gap how far each is
//! from the least objective there is.
//!
//!     cargo run --release --example certified_coding

use burn::tensor::Tensor;
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::data::{Preprocess, scenes};
use deconvnet::model::{Constraint, LayerConfig, Network, Objective};
use deconvnet::solve::{Adam, Fista, HalfQuadratic, Limits, Method, Problem};
use deconvnet::{Result, run};

fn main() -> Result<()> {
    let device = Backend::Flex.device()?;
    let scene = scenes::sample(1, 64, 3).grey();
    let prepare = Preprocess::default().fit([Ok(scene.clone())])?;
    let images = run::to_tensor(&prepare.apply(&scene)?.0, &device);

    let g = Connectivity::full(1, 8);
    let layer = LayerConfig::new(g, [7, 7])
        .with_constraint(Constraint::UnitBall)
        .init(&device);
    let network = Network::new(vec![layer])?;
    let most = Objective::largest_useful_sparsity(1.0, &network, &images.clone().into());
    let objective = Objective::new(1.0, 0.1 * most, 1.0)?;
    println!(
        "sparsity {:.3}, a tenth of the largest useful",
        objective.sparsity()
    );

    let start = Tensor::zeros(network.maps_shape(images.dims()), &device);
    let problem = Problem::new(network, images, objective)?;
    let limits = Limits {
        steps: 300,
        gap: Some(1e-4),
        ..Limits::default()
    };
    for method in [
        Method::HalfQuadratic(HalfQuadratic::default()),
        Method::Adam(Adam::default()),
        Method::Fista(Fista::default()),
    ] {
        let solved = method.code(&problem, start.clone(), &limits, &mut ())?;
        let end = solved.last();
        println!(
            "{:<6} objective {:10.4}, at most {:.4} % above the least, {:.1} % non-zero, \
             {} steps, {:.2} s: {}",
            method.name(),
            end.at.objective,
            100.0 * end.at.gap.unwrap_or(f64::NAN) / end.at.objective,
            100.0 * end.at.density,
            end.step,
            end.seconds,
            solved.reason
        );
    }
    Ok(())
}
