//! The algorithm by which a product is computed: sums, or Fourier transforms of tiles.
//!
//! Costs are in the time that a direct kernel takes for one multiply-add.
//! `cargo bench --bench kernels -- --planner` measures what one transform and one product take on one
//! thread (on AVX-512, tiles of 32 to 96: 4 to 5.5 and 2.5 to 14). The constants are what fits
//! whole products best, in which tiles come from and go to memory: within a third of the measured
//! time for filters of 7 to 31 taps, 1 to 45 planes and 9 to 150 maps. Where both take about as long,
//! sums go first.

use super::spectral::step;
use crate::connectivity::Connectivity;
use crate::conv::sizes::{Product, Sizes};

/// How a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Sums over the taps.
    Direct,
    /// Fourier transforms of tiles of this height and width.
    Fft([usize; 2]),
}

/// A transform of `n` numbers takes as long as `n log2 n` times so many multiply-adds.
const TRANSFORM: f64 = 7.5;
/// A number of the product of two spectra takes as long as so many multiply-adds.
const PRODUCT: f64 = 12.0;
/// A filter counts for so many transforms: its spectrum goes out to memory and back.
const FILTER: f64 = 1.5;
/// Most numbers that are held in spectra of filters.
const MAX_SPECTRA: usize = 1 << 26;

/// Heights and widths of tiles that can be transformed.
const TILES: [usize; 13] = [
    32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096,
];

impl Algorithm {
    /// The one expected to be fastest.
    pub fn fastest(product: Product, g: &Connectivity, s: Sizes) -> Self {
        let direct = direct_cost(product, g, s);
        match best_tile(product, g, s) {
            Some((cost, tile)) if cost < direct => Self::Fft(tile),
            _ => Self::Direct,
        }
    }

    /// Transforms of the best tiles, if any are large enough.
    pub fn fastest_fft(product: Product, g: &Connectivity, s: Sizes) -> Option<Self> {
        best_tile(product, g, s).map(|(_, tile)| Self::Fft(tile))
    }
}

/// Multiply-adds of the direct kernel.
fn direct_cost(product: Product, g: &Connectivity, s: Sizes) -> f64 {
    let size = if product == Product::Analyze {
        s.map()
    } else {
        s.image
    };
    let places = s.batch * s.image[0] * size[1].next_multiple_of(16);
    let taps = s.filter[0] * s.filter[1];
    g.pairs() as f64 * places as f64 * taps as f64
}

/// The cost of the best tiles, and their size.
fn best_tile(product: Product, g: &Connectivity, s: Sizes) -> Option<(f64, [usize; 2])> {
    let heights = TILES.into_iter().filter(|&t| t >= s.filter[0]);
    heights
        .flat_map(|height| TILES.map(|width| [height, width]))
        .filter(|tile| tile[1] >= s.filter[1])
        .filter(|tile| g.pairs() * tile[0] * tile[1] <= MAX_SPECTRA)
        .map(|tile| (fft_cost(product, g, s, tile), tile))
        .min_by(|a, b| a.0.total_cmp(&b.0))
}

/// The cost with tiles of one size.
fn fft_cost(product: Product, g: &Connectivity, s: Sizes, tile: [usize; 2]) -> f64 {
    let (size, margin) = match product {
        Product::Analyze => (s.map(), s.filter.map(|t| t - 1)),
        _ => (s.image, [0, 0]),
    };
    let step = step(size, s.filter, tile, margin);
    let tiles = s.batch * size[0].div_ceil(step[0]) * size[1].div_ceil(step[1]);
    let numbers = (tile[0] * tile[1]) as f64;
    // Each plane, map and filter is transformed once, one way or the other.
    let transforms = (tiles * (g.planes() + g.maps())) as f64 + FILTER * g.pairs() as f64;
    let products = (tiles * g.pairs()) as f64;
    numbers * (transforms * TRANSFORM * numbers.log2() + products * PRODUCT)
}
