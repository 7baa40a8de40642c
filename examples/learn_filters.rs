//! Learn a layer of filters from the sample scenes, in memory, and draw them.
//!
//!     cargo run --release --example learn_filters

use deconvnet::backend::Backend;
use deconvnet::config::{Config, LayerSettings};
use deconvnet::data::scenes;
use deconvnet::picture::{MosaicOptions, Tile, mosaic, save_png, symmetric};
use deconvnet::train::Trainer;
use deconvnet::{Result, run};

fn main() -> Result<()> {
    let device = Backend::Flex.device()?;
    let layer = LayerSettings {
        maps: Some(9),
        size: [7, 7],
        p: 0.8,
        ..LayerSettings::default()
    };
    let config = Config {
        layers: vec![layer],
        ..Config::default()
    };
    let mut trainer = Trainer::in_memory(config, scenes::sample_set(6, 100, 1), &device)?;
    trainer.train(&mut ())?;
    for epoch in trainer.run().store.read_trace()?.records {
        if epoch.batch.is_none() {
            let snr = epoch.snr.unwrap_or(f64::NAN);
            println!("epoch {}: SNR {snr:.2} dB", epoch.epoch + 1);
        }
    }

    // Filters are [planes, maps, h, w]; a tile shows all planes of one map.
    let filters = trainer.network().top().filters.val().swap_dims(0, 1);
    let tiles = (0..9)
        .map(|k| Ok(Tile::from(symmetric(&run::to_image(&filters, k)?, None))))
        .collect::<Result<Vec<_>>>()?;
    let sheet = mosaic(&tiles, &MosaicOptions::default())?;
    save_png(&sheet, "learnt-filters.png")?;
    println!("drawn: learnt-filters.png");
    Ok(())
}
