//! The sizes that are timed.

use deconvnet::connectivity::Connectivity;
use deconvnet::conv::cpu::Sizes;

pub struct Size {
    pub g: Connectivity,
    pub sizes: Sizes,
}

impl Size {
    /// Such as "9->45 (81 pairs), 7x7, 10 x 100x100".
    pub fn name(&self) -> String {
        let Sizes {
            batch,
            image: [height, width],
            filter: [h, w],
        } = self.sizes;
        let g = &self.g;
        let pairs = match g.is_full() {
            true => String::new(),
            false => format!(" ({} pairs)", g.pairs()),
        };
        let (planes, maps) = (g.planes(), g.maps());
        format!("{planes}->{maps}{pairs}, {h}x{w}, {batch} x {height}x{width}")
    }

    /// Multiplications and additions of each product.
    pub fn operations(&self) -> f64 {
        let Sizes {
            batch,
            image,
            filter,
        } = self.sizes;
        let each: usize = image.iter().chain(&filter).product();
        2.0 * (self.g.pairs() * each * batch) as f64
    }
}

pub fn all() -> Vec<Size> {
    let full = Connectivity::full;
    let pairs = Connectivity::singles_and_pairs;
    let doubles = Connectivity::random(45, 150, 2, 0).expect("two of 45 planes");
    [
        // Connectivity, taps, images, pixels.
        (full(1, 32), 8, 1, 128),
        (full(3, 32), 8, 1, 128),
        (full(1, 1), 3, 1, 32),
        (full(3, 9), 7, 1, 32),
        (full(1, 32), 3, 1, 128),
        (full(1, 64), 5, 1, 256),
        (full(16, 32), 3, 1, 128),
        (full(3, 16), 8, 64, 64),
        (full(1, 1), 5, 64, 128),
        (full(3, 9), 7, 10, 100),
        (pairs(9), 7, 1, 100),
        (pairs(9), 7, 10, 100),
        (doubles.clone(), 7, 1, 100),
        (doubles, 3, 4, 32),
        (full(45, 150), 3, 1, 32),
        (full(16, 150), 7, 1, 64),
        (full(1, 16), 11, 1, 512),
        (full(3, 32), 15, 1, 128),
        (pairs(9), 15, 1, 128),
        (full(1, 150), 31, 1, 32),
        (full(1, 64), 31, 1, 128),
        (full(1, 4), 31, 1, 512),
        (full(1, 1), 31, 1, 1024),
        (full(1, 1), 3, 1, 1024),
        (full(1, 9), 3, 1, 1024),
        (full(3, 9), 7, 1, 1024),
    ]
    .into_iter()
    .map(|(g, taps, batch, pixels)| Size {
        g,
        sizes: Sizes {
            batch,
            image: [pixels; 2],
            filter: [taps; 2],
        },
    })
    .collect()
}
