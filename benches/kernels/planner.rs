//! What the choice between sums and transforms rests on.
//!
//! Each tile is forced on two layers, one in which transforms prevail and one in which products of
//! spectra do; their times give what one transform and one product take. Both are told in
//! multiply-adds of the direct kernel, as the constants in `src/conv/cpu/planner.rs` are. On one
//! thread, so that few tiles do not count as slow ones.

use std::time::Instant;

use deconvnet::connectivity::Connectivity;
use deconvnet::conv::cpu::{self, Algorithm, Sizes};

pub fn measure() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    match pool {
        Ok(pool) => pool.install(on_one_thread),
        Err(error) => eprintln!("no thread to measure on: {error}"),
    }
}

fn on_one_thread() {
    let direct = Layer::new(2, 32, 256, 7);
    let count = direct.g.pairs() * 256 * 256 * 49;
    let unit = direct.seconds(Algorithm::Direct) / count as f64;
    println!("direct: {:.4} ns for one multiply-add", unit * 1e9);
    println!("tile    transform / (n log2 n)    product / n");
    for tile in [32, 64, 96, 128, 192, 256] {
        let taps = (tile / 2).min(31);
        let tiles = if tile < 96 { 5 } else { 3 };
        let pixels = (tile + 1 - taps) * tiles;
        let layers = [1, 12].map(|planes| Layer::new(planes, 24, pixels, taps));
        // seconds = transforms x + products y, twice.
        let [(a, b, s), (c, d, t)] = layers.map(|layer| {
            let (planes, maps) = (layer.g.planes(), layer.g.maps());
            let transforms = tiles * tiles * (planes + maps) + planes * maps;
            let products = tiles * tiles * planes * maps;
            let seconds = layer.seconds(Algorithm::Fft([tile, tile]));
            (transforms as f64, products as f64, seconds)
        });
        let x = (s * d - b * t) / (a * d - b * c);
        let y = (a * t - s * c) / (a * d - b * c);
        let n = (tile * tile) as f64;
        let (x, y) = (x / unit / (n * n.log2()), y / unit / n);
        println!("{tile:4} {x:25.2} {y:14.2}");
    }
}

/// A layer to synthesize with.
struct Layer {
    g: Connectivity,
    sizes: Sizes,
    maps: Vec<f32>,
    filters: Vec<f32>,
}

impl Layer {
    fn new(planes: usize, maps: usize, pixels: usize, taps: usize) -> Self {
        let sizes = Sizes {
            batch: 1,
            image: [pixels; 2],
            filter: [taps; 2],
        };
        let wave = |n| (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
        let [height, width] = sizes.map();
        Self {
            g: Connectivity::full(planes, maps),
            sizes,
            maps: wave(maps * height * width),
            filters: wave(planes * maps * taps * taps),
        }
    }

    /// The least of several runs.
    fn seconds(&self, algorithm: Algorithm) -> f64 {
        let start = Instant::now();
        let mut least = f64::INFINITY;
        while start.elapsed().as_secs_f64() < 0.3 {
            let run = Instant::now();
            let out = cpu::synthesize_by(algorithm, &self.maps, &self.filters, &self.g, self.sizes);
            std::hint::black_box(out);
            least = least.min(run.elapsed().as_secs_f64());
        }
        least
    }
}
