//! The three products on the CPU, over the connected planes only: as sums over the taps, blocked in
//! registers, or, where that is expected to be faster, by Fourier transforms of tiles.
//!
//! The widest vector unit present (AVX-512, AVX2, NEON, or none) is chosen when the program runs.
//! Nothing is unfolded; the one copy made is of a residual, and of maps narrower than a vector.
//! Every sum is taken in an order that the sizes alone decide, so that the bits do not depend on
//! the number of threads.

mod correlate;
mod fft;
mod operands;
mod planner;
mod scalar;
mod shared_inputs;
mod spectral;
mod taps;
mod winners;

use std::borrow::Cow;

use rayon::prelude::*;

#[doc(hidden)]
pub use super::sizes::Product;
pub use super::sizes::Sizes;
#[doc(hidden)]
pub use planner::Algorithm;
pub use scalar::Scalar;
pub use winners::product as at_switches;

use operands::{Connection, Input};
use scalar::MAX_LANES;

use crate::connectivity::Connectivity;

/// `out[n, c] = sum_k z[n, k] * f[c, k]` over the connected maps, the 'valid' part.
pub fn synthesize<T: Scalar>(maps: &[T], filters: &[T], g: &Connectivity, s: Sizes) -> Vec<T> {
    let algorithm = Algorithm::fastest(Product::Synthesize, g, s);
    synthesize_by(algorithm, maps, filters, g, s)
}

/// [`synthesize`] by a given algorithm.
#[doc(hidden)]
pub fn synthesize_by<T: Scalar>(
    algorithm: Algorithm,
    maps: &[T],
    filters: &[T],
    g: &Connectivity,
    s: Sizes,
) -> Vec<T> {
    let connections: Vec<Vec<_>> = (0..g.planes())
        .map(|c| {
            let connection = |k| Connection {
                input: k,
                // Reversed taps turn a correlation into a true convolution.
                weights: taps(filters, g, s, c, k).iter().rev().copied().collect(),
            };
            g.maps_of(c).into_iter().map(connection).collect()
        })
        .collect();
    match algorithm {
        Algorithm::Direct => {
            let (maps, size) = with_slack(maps, s.map(), s.filter, s.image);
            let input = Input::new(&maps, g.maps(), size);
            correlate::correlate(input, 0, &connections, s, s.image)
        }
        Algorithm::Fft(tile) => {
            let input = Input::new(maps, g.maps(), s.map());
            spectral::correlate(input, [0, 0], &connections, s, s.image, tile)
        }
    }
}

/// `out[n, k] = sum_c r[n, c] (x) f[c, k]` over the connected planes, the 'full' correlation: the
/// adjoint of [`synthesize`] in the maps.
pub fn analyze<T: Scalar>(residual: &[T], filters: &[T], g: &Connectivity, s: Sizes) -> Vec<T> {
    let algorithm = Algorithm::fastest(Product::Analyze, g, s);
    analyze_by(algorithm, residual, filters, g, s)
}

/// [`analyze`] by a given algorithm.
#[doc(hidden)]
pub fn analyze_by<T: Scalar>(
    algorithm: Algorithm,
    residual: &[T],
    filters: &[T],
    g: &Connectivity,
    s: Sizes,
) -> Vec<T> {
    let connections: Vec<Vec<_>> = (0..g.maps())
        .map(|k| {
            let connection = |c| Connection {
                input: c,
                weights: taps(filters, g, s, c, k).to_vec(),
            };
            g.planes_of(k).into_iter().map(connection).collect()
        })
        .collect();
    let [h, w] = s.filter;
    match algorithm {
        Algorithm::Direct => {
            let stride = s.map()[1].max(MAX_LANES) + w - 1;
            let residual = pad(residual, s.image, w - 1, stride);
            let input = Input::new(&residual, g.planes(), [s.image[0], stride]);
            correlate::correlate(input, h - 1, &connections, s, s.map())
        }
        Algorithm::Fft(tile) => {
            let input = Input::new(residual, g.planes(), s.image);
            spectral::correlate(input, [h - 1, w - 1], &connections, s, s.map(), tile)
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
    let algorithm = Algorithm::fastest(Product::FilterGradient, g, s);
    filter_gradient_by(algorithm, maps, residual, g, s)
}

/// [`filter_gradient`] by a given algorithm.
#[doc(hidden)]
pub fn filter_gradient_by<T: Scalar>(
    algorithm: Algorithm,
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
    match algorithm {
        Algorithm::Direct => {
            let (maps, size) = with_slack(maps, s.map(), s.filter, s.image);
            let maps = Input::new(&maps, g.maps(), size);
            taps::cross_correlate(maps, residual, g.planes(), s, &pairs, outs);
        }
        Algorithm::Fft(tile) => {
            let maps = Input::new(maps, g.maps(), s.map());
            let residual = Input::new(residual, g.planes(), s.image);
            spectral::cross_correlate(maps, residual, s, &pairs, outs, tile);
        }
    }
    out
}

/// The filter plane between plane `c` and map `k`.
fn taps<'a, T>(filters: &'a [T], g: &Connectivity, s: Sizes, c: usize, k: usize) -> &'a [T] {
    let taps = s.filter[0] * s.filter[1];
    &filters[(c * g.maps() + k) * taps..][..taps]
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
    if image[1] >= MAX_LANES {
        return (maps.into(), size);
    }
    let stride = MAX_LANES + filter[1] - 1;
    (pad(maps, size, 0, stride).into(), [size[0], stride])
}
