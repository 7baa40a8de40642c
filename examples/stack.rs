//! Two layers with sparse connectivity as one differentiable Burn module: the loss by autodiff, and
//! a few steps of Burn's own Adam on filters and maps together.
//!
//!     cargo run --release --example stack

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::Tensor;
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::data::scenes;
use deconvnet::model::{Constraint, FeatureMaps, LayerConfig, Model, NetworkConfig, Objective};
use deconvnet::{Result, run};

fn main() -> Result<()> {
    let device = Backend::Flex.device()?;
    let images = run::to_tensor(&scenes::sample(0, 32, 1), &device);

    let layer = |g, seed| {
        LayerConfig::new(g, [5, 5])
            .with_constraint(Constraint::UnitBall)
            .with_seed(seed)
    };
    let layers = vec![
        layer(Connectivity::full(3, 4), 0),
        layer(Connectivity::singles_and_pairs(4), 1),
    ];
    let network = NetworkConfig { layers }.init(&device)?;
    let shape = network.maps_shape(images.dims());
    let mut model = Model {
        network,
        codes: FeatureMaps::new(FeatureMaps::start(shape, 0.01, 2, &device)),
        objective: Objective::new(2.0, 0.01, 1.0)?,
    }
    .train();
    println!("{} parameters", model.num_params());

    let mut optimizer = AdamConfig::new().init();
    let target = Tensor::from_inner(images);
    for step in 0..=100 {
        let terms = model.forward(target.clone());
        let loss = terms.data.clone() + terms.sparsity.clone();
        if step % 20 == 0 {
            println!(
                "step {step:3}: data {:9.3}  sparsity {:8.3}",
                terms.data.into_scalar::<f32>(),
                terms.sparsity.into_scalar::<f32>()
            );
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.01, model, gradients);
    }
    // Filter planes that are not connected got no gradient and are still exactly zero.
    let unconnected = model.network.layers()[1]
        .filters
        .val()
        .inner()
        .equal_elem(0.0);
    let zeros: f32 = unconnected.float().sum().into_scalar();
    println!("{zeros} filter taps are exactly zero: the unconnected planes");
    Ok(())
}
