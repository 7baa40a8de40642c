//! The three products on the CPU, over the connected planes only: as sums over the taps, blocked in
//! registers, or, where that is expected to be faster, by Fourier transforms of tiles.
//!
//! The widest vector unit present (AVX-512, AVX2, NEON, or none) is chosen when the program runs.
//! Nothing is unfolded; the one copy made is of a residual, and of maps narrower than a vector.
//! Every sum is taken in an order that the sizes alone decide, so that the bits do not depend on
//! the number of threads.

mod correlate;
mod fft;
mod planner;
mod scalar;
mod shared_inputs;
mod spectral;
mod taps;

use std::borrow::Cow;

use rayon::prelude::*;

pub use correlate::{Finish, Keep};
pub use planner::{Path, Product};
pub use scalar::Scalar;

use correlate::Link;
use scalar::MOST_LANES;

use crate::connectivity::Connectivity;

/// The sizes of one product. `planes = g.planes()`, `maps = g.maps()`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Images in the batch.
    pub batch: usize,
    /// Height and width of the image, `N_r x N_c`.
    pub image: [usize; 2],
    /// Height and width of the filters.
    pub filter: [usize; 2],
}

impl Sizes {
    /// Height and width of the maps: image + filter - 1.
    pub fn map(&self) -> [usize; 2] {
        [0, 1].map(|d| self.image[d] + self.filter[d] - 1)
    }

    /// The filter plane between plane `c` and map `k`.
    fn taps<'a, T>(&self, filters: &'a [T], g: &Connectivity, c: usize, k: usize) -> &'a [T] {
        let taps = self.filter[0] * self.filter[1];
        &filters[(c * g.maps() + k) * taps..][..taps]
    }
}

/// Planes of an input, row by row: `planes` for each image.
#[derive(Clone, Copy)]
struct Input<'a, T> {
    values: &'a [T],
    planes: usize,
    size: [usize; 2],
}

impl<'a, T> Input<'a, T> {
    fn new(values: &'a [T], planes: usize, size: [usize; 2]) -> Self {
        Self {
            values,
            planes,
            size,
        }
    }
}

/// `out[n, c] = sum_k z[n, k] * f[c, k]` over the connected maps, the 'valid' part.
pub fn synthesize<T: Scalar>(maps: &[T], filters: &[T], g: &Connectivity, s: Sizes) -> Vec<T> {
    let path = Path::fastest(Product::Synthesize, g, s);
    synthesize_by(path, maps, filters, g, s)
}

/// [`synthesize`] in a given way.
pub fn synthesize_by<T: Scalar>(
    path: Path,
    maps: &[T],
    filters: &[T],
    g: &Connectivity,
    s: Sizes,
) -> Vec<T> {
    let links: Vec<Vec<_>> = (0..g.planes())
        .map(|c| {
            let link = |k| Link {
                input: k,
                // Reversed taps turn a correlation into a true convolution.
                weights: s.taps(filters, g, c, k).iter().rev().copied().collect(),
            };
            g.maps_of(c).into_iter().map(link).collect()
        })
        .collect();
    match path {
        Path::Direct => {
            let (maps, size) = with_slack(maps, s.map(), s.filter, s.image);
            let input = Input::new(&maps, g.maps(), size);
            correlate::correlate(input, 0, &links, s, s.image, &Keep)
        }
        Path::Fft(tile) => {
            let input = Input::new(maps, g.maps(), s.map());
            spectral::correlate(input, [0, 0], &links, s, s.image, tile, &Keep)
        }
    }
}

/// `out[n, k] = sum_c r[n, c] (x) f[c, k]` over the connected planes, the 'full' correlation: the
/// adjoint of [`synthesize`] in the maps.
pub fn analyze<T: Scalar>(residual: &[T], filters: &[T], g: &Connectivity, s: Sizes) -> Vec<T> {
    let path = Path::fastest(Product::Analyze, g, s);
    analyze_by(path, residual, filters, g, s, &Keep)
}

/// [`analyze`] in a given way, with `finish` to work on the results while they are in the first
/// cache.
pub fn analyze_by<T: Scalar>(
    path: Path,
    residual: &[T],
    filters: &[T],
    g: &Connectivity,
    s: Sizes,
    finish: &impl Finish<T>,
) -> Vec<T> {
    let links: Vec<Vec<_>> = (0..g.maps())
        .map(|k| {
            let link = |c| Link {
                input: c,
                weights: s.taps(filters, g, c, k).to_vec(),
            };
            g.planes_of(k).into_iter().map(link).collect()
        })
        .collect();
    let [h, w] = s.filter;
    match path {
        Path::Direct => {
            let stride = s.map()[1].max(MOST_LANES) + w - 1;
            let residual = pad(residual, s.image, w - 1, stride);
            let input = Input::new(&residual, g.planes(), [s.image[0], stride]);
            correlate::correlate(input, h - 1, &links, s, s.map(), finish)
        }
        Path::Fft(tile) => {
            let input = Input::new(residual, g.planes(), s.image);
            spectral::correlate(input, [h - 1, w - 1], &links, s, s.map(), tile, finish)
        }
    }
}

/// `out[c, k, a, b] = sum_{n, i, j} r[n, c, i, j] z[n, k, i + h - 1 - a, j + w - 1 - b]`, zero where
/// unconnected: the adjoint of [`synthesize`] in the filters.
pub fn filter_gradient<T: Scalar>(
    maps: &[T],
    residual: &[T],
    g: &Connectivity,
    s: Sizes,
) -> Vec<T> {
    let path = Path::fastest(Product::FilterGradient, g, s);
    filter_gradient_by(path, maps, residual, g, s)
}

/// [`filter_gradient`] in a given way.
pub fn filter_gradient_by<T: Scalar>(
    path: Path,
    maps: &[T],
    residual: &[T],
    g: &Connectivity,
    s: Sizes,
) -> Vec<T> {
    let taps: usize = s.filter.iter().product();
    let mut out = vec![T::ZERO; g.planes() * g.maps() * taps];
    let pair = |i| [i / g.maps(), i % g.maps()];
    let (pairs, outs): (Vec<_>, Vec<_>) = (0..)
        .map(pair)
        .zip(out.chunks_exact_mut(taps))
        .filter(|&([c, k], _)| g.connects(c, k))
        .unzip();
    match path {
        Path::Direct => {
            let (maps, size) = with_slack(maps, s.map(), s.filter, s.image);
            let maps = Input::new(&maps, g.maps(), size);
            taps::cross_correlate(maps, residual, g.planes(), s, &pairs, outs);
        }
        Path::Fft(tile) => {
            let maps = Input::new(maps, g.maps(), s.map());
            let residual = Input::new(residual, g.planes(), s.image);
            spectral::cross_correlate(maps, residual, s, &pairs, outs, tile);
        }
    }
    out
}

/// Copies planes of `size` into planes of zeros with longer rows, `margin` columns in.
fn pad<T: Scalar>(x: &[T], size: [usize; 2], margin: usize, stride: usize) -> Vec<T> {
    let mut out = vec![T::ZERO; x.len() / size[1] * stride];
    out.par_chunks_mut(size[0] * stride)
        .zip(x.par_chunks(size[0] * size[1]))
        .for_each(|(out, x)| {
            for (out, x) in out.chunks_exact_mut(stride).zip(x.chunks_exact(size[1])) {
                out[margin..margin + size[1]].copy_from_slice(x);
            }
        });
    out
}

/// The maps as they are, or, for images narrower than a vector may be, with rows long enough that
/// a vector from each column of the image stays within them. With their size.
fn with_slack<T: Scalar>(
    maps: &[T],
    size: [usize; 2],
    filter: [usize; 2],
    image: [usize; 2],
) -> (Cow<'_, [T]>, [usize; 2]) {
    if image[1] >= MOST_LANES {
        return (maps.into(), size);
    }
    let stride = MOST_LANES + filter[1] - 1;
    (pad(maps, size, 0, stride).into(), [size[0], stride])
}
