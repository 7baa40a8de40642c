//! Learn a layer of filters from the sample scenes, in memory, and draw them.
//!
//!     cargo run --release --example learn_filters
//!
//! The loop that `deconvnet train` runs, without the run folder: visit the images in turn, find the
//! maps of each, update the filters.

use burn::tensor::Tensor;
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::data::{Preprocess, scenes};
use deconvnet::model::{Constraint, LayerConfig, Network, Objective};
use deconvnet::picture::{MosaicOptions, Tile, mosaic, save_png, symmetric};
use deconvnet::solve::{FilterMemory, FilterStep, HalfQuadratic, Learner, Method, Problem};
use deconvnet::{Result, run};

fn main() -> Result<()> {
    let device = Backend::Flex.device()?;
    let scenes = scenes::sample_set(6, 100, 1);
    let prepare = Preprocess::local_mean().fit(scenes.iter().cloned().map(Ok))?;
    let images = scenes
        .iter()
        .map(|scene| Ok(run::to_tensor(&prepare.apply(scene)?.0, &device)))
        .collect::<Result<Vec<_>>>()?;

    let constraint = Constraint::UnitPlanes;
    let layer = LayerConfig::new(Connectivity::full(3, 9), [7, 7]);
    let mut network = Network::new(vec![layer.init(&device)])?;
    let learner = Learner {
        codes: Method::HalfQuadratic(HalfQuadratic::default()),
        steps: HalfQuadratic::default().schedule.steps,
        filters: FilterStep::LeastSquares { cg: 2 },
        filter_rate: 0.0,
        constraint,
    };
    let shape = network.maps_shape(images[0].dims());
    let mut maps = vec![Tensor::zeros(shape, &device); images.len()];
    for epoch in 1..=5 {
        let mut snr = 0.0;
        for (image, maps) in images.iter().zip(&mut maps) {
            let objective = Objective::new(1.0, 1.0, 0.8)?;
            let problem = Problem::new(network.clone(), image.clone(), objective)?;
            let learnt = learner.visit(
                &problem,
                maps.clone(),
                true,
                &mut FilterMemory::default(),
                &(),
            )?;
            snr += learnt.snr[0] / images.len() as f64;
            *maps = learnt.maps;
            network = learnt.network;
        }
        println!("epoch {epoch}: SNR {snr:.2} dB");
    }

    // Filters are [planes, maps, h, w]; a tile shows all planes of one map.
    let filters = network.top().filters.val().swap_dims(0, 1);
    let tiles = (0..9)
        .map(|k| Ok(Tile::from(symmetric(&run::to_image(&filters, k)?, None))))
        .collect::<Result<Vec<_>>>()?;
    let sheet = mosaic(&tiles, &MosaicOptions::default())?;
    save_png(&sheet, "learnt-filters.png")?;
    println!("drawn: learnt-filters.png");
    Ok(())
}
