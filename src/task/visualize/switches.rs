//! What the switches carry, and what the maps carry.

use burn::tensor::{Tensor, TensorData};
use rand::{SeedableRng, rngs::ChaCha8Rng, seq::SliceRandom};

use super::coded::Coded;
use super::display::{shrunk, signed};
use crate::backend;
use crate::data::Image;
use crate::error::Result;
use crate::picture::{limit, table};
use crate::pooling::Switches;
use crate::run::{Run, to_image};

const HEADERS: [&str; 4] = [
    "prepared",
    "own switches",
    "random switches",
    "shuffled maps",
];

/// For each layer above the first the reconstruction of an image from its maps, at its own switches, at
/// switches drawn at random in the same windows, and at its own switches from the same elements of the maps
/// in random order.
pub(super) fn draw(run: &Run, images: &[Coded]) -> Result<Image> {
    let mut rows = Vec::new();
    for coded in images {
        for (layer, codes) in coded.codes.iter().filter(|(layer, _)| *layer > 0) {
            let own = coded.stack(run, *layer)?;
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            let drawn = own
                .switches()
                .iter()
                .map(|s| Switches::random(s, &mut rng))
                .collect();
            let random = own.clone().at(drawn)?;
            let shuffled = {
                let mut values = backend::read(codes)?;
                let places: Vec<usize> = (0..values.len()).filter(|&i| values[i] != 0.0).collect();
                let mut used: Vec<f32> = places.iter().map(|&i| values[i]).collect();
                used.shuffle(&mut rng);
                for (i, value) in places.into_iter().zip(used) {
                    values[i] = value;
                }
                let data = TensorData::new(values, codes.dims());
                Tensor::from_data(data, &codes.device())
            };
            let made = [
                to_image(&own.project(codes.clone()), 0)?,
                to_image(&random.project(codes.clone()), 0)?,
                to_image(&own.project(shuffled), 0)?,
            ];
            let seen = shrunk(&coded.prepared);
            let shown = Some(limit([&seen]));
            let ratios = made
                .each_ref()
                .map(|image| format!("{:.1}", coded.snr(image)));
            let label = format!("layer {}, SNR {} dB", layer + 1, ratios.join(", "));
            let made = made.iter().map(|image| signed(&shrunk(image), shown));
            rows.push((
                label,
                [signed(&seen, shown)].into_iter().chain(made).collect(),
            ));
        }
    }
    table(
        "What the switches carry, and what the maps carry",
        &HEADERS,
        &rows,
    )
}
