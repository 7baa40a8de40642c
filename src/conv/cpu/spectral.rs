//! The products by Fourier transforms of overlapping tiles: for filters so large, and pairs so
//! many, that the transforms pay (see [`planner`](super::planner)).
//!
//! Spectra of all tiles are never held at once: they are made and used in groups that fit the last
//! cache. The size of a group depends on the sizes alone, and so do the bits.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::fft::{Scratch, Transform, Window};
use super::operands::{Connection, Input};
use super::scalar::{MAX_LANES, Scalar};
use crate::conv::sizes::Sizes;

/// Numbers in the spectra of a group of tiles, about.
const GROUP: usize = 1 << 20;

/// Most products with one spectrum that are formed in one pass over it.
const PRODUCTS: usize = 4;

/// As [`correlate`](super::correlate::correlate), of the whole of `input` with `margin` rows and
/// columns of zeros around.
pub(super) fn correlate<T: Scalar>(
    input: Input<T>,
    margin: [usize; 2],
    connections: &[Vec<Connection<T>>],
    Sizes { batch, filter, .. }: Sizes,
    size: [usize; 2],
    tile: [usize; 2],
) -> Vec<T> {
    let transform = Transform::new(tile);
    let tiling = Tiling::new(size, filter, tile, margin);
    let [bands, columns] = tiling.tiles;
    let mut weights = Spectra::new(&transform);
    let each = connections.iter().flatten();
    let whole = each.map(|connection| Window::whole(&connection.weights, filter));
    weights.fill(&transform, whole.collect());
    let starts: Vec<usize> = connections
        .iter()
        .scan(0, |at, connections| {
            *at += connections.len();
            Some(*at - connections.len())
        })
        .collect();

    let mut out = vec![T::ZERO; batch * connections.len() * size[0] * size[1]];
    let mut rows = rows_of_tiles(&mut out, connections.len(), size, tiling.step[0], bands);
    let group = (GROUP / (columns * input.planes * transform.spectrum())).max(1);
    let mut spectra = Spectra::new(&transform);
    for (i, rows) in rows.chunks_mut(group).enumerate() {
        let tiles = i * group * columns..(i * group + rows.len()) * columns;
        spectra.fill(&transform, tiling.windows(input, tiles, tile));
        let spectra = &spectra;
        let jobs = rows.par_iter_mut().enumerate().flat_map(|(r, outs)| {
            let outs = outs.par_iter_mut();
            outs.map(move |(o, out)| (r, *o, out))
        });
        jobs.for_each_init(
            || Workspace::new(&transform),
            |workspace, (r, o, out)| {
                let term = |column: usize, l: usize| {
                    let plane = connections[o][l].input;
                    spectra.get((r * columns + column) * input.planes + plane)
                };
                for first in (0..columns).step_by(PRODUCTS) {
                    let together = PRODUCTS.min(columns - first);
                    workspace.sums.fill(T::ZERO);
                    add_products(
                        connections[o].len(),
                        |l| weights.get(starts[o] + l),
                        |t, l| term(first + t, l),
                        &mut workspace.sums[..together * transform.spectrum()],
                        together,
                    );
                    for t in 0..together {
                        workspace.store(&transform, &tiling, t, first + t, size[1], out);
                    }
                }
            },
        );
    }
    out
}

/// The rows of each output plane that come from each row of tiles of each image, with the plane.
fn rows_of_tiles<T>(
    out: &mut [T],
    outputs: usize,
    size: [usize; 2],
    step: usize,
    bands: usize,
) -> Vec<Vec<(usize, &mut [T])>> {
    let plane = size[0] * size[1];
    let mut rows = Vec::new();
    rows.resize_with(out.len() / (outputs * plane) * bands, Vec::new);
    for (o, values) in out.chunks_exact_mut(plane).enumerate() {
        for (band, part) in values.chunks_mut(step * size[1]).enumerate() {
            rows[o / outputs * bands + band].push((o % outputs, part));
        }
    }
    rows
}

/// As [`cross_correlate`](super::taps::cross_correlate).
pub(super) fn cross_correlate<T: Scalar>(
    maps: Input<T>,
    residual: Input<T>,
    Sizes {
        batch,
        image,
        filter,
    }: Sizes,
    pairs: &[[usize; 2]],
    out: Vec<&mut [T]>,
    tile: [usize; 2],
) {
    let transform = Transform::new(tile);
    let tiling = Tiling::new(image, filter, tile, [0, 0]);
    let [bands, columns] = tiling.tiles;
    let length = transform.spectrum();
    let tiles = batch * bands * columns;
    let group = (GROUP / ((maps.planes + residual.planes) * length)).max(1);
    let (mut z, mut r) = (Spectra::new(&transform), Spectra::new(&transform));
    let mut sums = vec![T::ZERO; pairs.len() * length];
    for first in (0..tiles).step_by(group) {
        let count = group.min(tiles - first);
        z.fill(&transform, tiling.windows(maps, first..first + count, tile));
        let windows = tiling.windows(residual, first..first + count, tiling.step);
        r.fill(&transform, windows);
        let (z, r) = (&z, &r);
        let jobs = sums.par_chunks_mut(PRODUCTS * length);
        jobs.zip(pairs.par_chunks(PRODUCTS))
            .for_each(|(sums, pairs)| {
                // Pairs of one plane stand together and share its spectra.
                let runs = pairs.chunk_by(|a, b| a[0] == b[0]);
                let mut sums = sums;
                for run in runs {
                    let (these, rest) = std::mem::take(&mut sums).split_at_mut(run.len() * length);
                    add_products(
                        count,
                        |t| r.get(t * residual.planes + run[0][0]),
                        |p, t| z.get(t * maps.planes + run[p][1]),
                        these,
                        run.len(),
                    );
                    sums = rest;
                }
            });
    }
    let jobs = sums.par_chunks(length).zip(out);
    jobs.for_each_init(
        || transform.scratch(),
        |scratch, (sums, out)| {
            let [h, w] = filter;
            transform.inverse(sums, scratch, 0..h, |p, row| {
                let taps = &mut out[(h - 1 - p) * w..][..w];
                for (tap, &x) in taps.iter_mut().zip(row[..w].iter().rev()) {
                    *tap = x;
                }
            });
        },
    );
}

/// How tiles cover an output.
struct Tiling {
    /// Places of the output that a tile gives.
    step: [usize; 2],
    /// How many tiles there are.
    tiles: [usize; 2],
    size: [usize; 2],
    tile: [usize; 2],
    margin: [usize; 2],
    /// Where one tile holds the whole output: how far that is rotated.
    rotation: [usize; 2],
}

impl Tiling {
    fn new(size: [usize; 2], filter: [usize; 2], tile: [usize; 2], margin: [usize; 2]) -> Self {
        let step = step(size, filter, tile, margin);
        // The zeros around the input may then be those of the rest of the tile.
        let whole = [0, 1].map(|d| margin[d] > 0 && step[d] == size[d]);
        Self {
            step,
            tiles: [0, 1].map(|d| size[d].div_ceil(step[d])),
            size,
            tile,
            margin: [0, 1].map(|d| if whole[d] { 0 } else { margin[d] }),
            rotation: [0, 1].map(|d| if whole[d] { margin[d] } else { 0 }),
        }
    }

    /// Each plane of an input in each of some tiles.
    fn windows<'a, T: Scalar>(
        &self,
        input: Input<'a, T>,
        tiles: Range<usize>,
        extent: [usize; 2],
    ) -> Vec<Window<'a, T>> {
        let [bands, columns] = self.tiles;
        tiles
            .flat_map(|t| (0..input.planes).map(move |plane| (t, plane)))
            .map(|(t, plane)| {
                let from = self.from([t / columns % bands, t % columns]);
                input.window(t / (bands * columns), plane, from, extent)
            })
            .collect()
    }

    /// Where the input of a tile starts.
    fn from(&self, at: [usize; 2]) -> [isize; 2] {
        [0, 1].map(|d| (at[d] * self.step[d]) as isize - self.margin[d] as isize)
    }
}

/// Places of an output that a tile gives, each way.
pub(super) fn step(
    size: [usize; 2],
    filter: [usize; 2],
    tile: [usize; 2],
    margin: [usize; 2],
) -> [usize; 2] {
    [0, 1].map(|d| match margin[d] > 0 && tile[d] >= size[d] {
        true => size[d],
        false => (tile[d] + 1 - filter[d]).min(size[d]),
    })
}

impl<'a, T: Scalar> Input<'a, T> {
    fn window(
        &self,
        image: usize,
        plane: usize,
        from: [isize; 2],
        extent: [usize; 2],
    ) -> Window<'a, T> {
        Window {
            plane: self.plane(image, plane),
            size: self.size,
            from,
            extent,
        }
    }
}

/// Spectra of windows, one after the other.
struct Spectra<T> {
    values: Vec<T>,
    length: usize,
}

impl<T: Scalar> Spectra<T> {
    fn new(transform: &Transform<T>) -> Self {
        Self {
            values: Vec::new(),
            length: transform.spectrum(),
        }
    }

    fn fill(&mut self, transform: &Transform<T>, windows: Vec<Window<T>>) {
        self.values.resize(windows.len() * self.length, T::ZERO);
        let spectra = self.values.par_chunks_mut(self.length);
        spectra.zip(windows).for_each_init(
            || transform.scratch(),
            |scratch, (out, window)| transform.forward(window, scratch, out),
        );
    }

    fn get(&self, i: usize) -> &[T] {
        &self.values[i * self.length..][..self.length]
    }
}

/// What one job works in.
struct Workspace<T> {
    scratch: Scratch<T>,
    sums: Vec<T>,
}

impl<T: Scalar> Workspace<T> {
    fn new(transform: &Transform<T>) -> Self {
        Self {
            scratch: transform.scratch(),
            sums: vec![T::ZERO; PRODUCTS * transform.spectrum()],
        }
    }

    /// Writes what sum `t` is the spectrum of to its place in a row of tiles.
    fn store(
        &mut self,
        transform: &Transform<T>,
        tiling: &Tiling,
        t: usize,
        column: usize,
        width: usize,
        out: &mut [T],
    ) {
        let length = transform.spectrum();
        let [height, tile] = tiling.tile;
        let start = column * tiling.step[1];
        let end = (start + tiling.step[1]).min(tiling.size[1]);
        let wanted = (0..out.len() / width).map(|i| (i + height - tiling.rotation[0]) % height);
        let sums = &self.sums[t * length..(t + 1) * length];
        transform.inverse(sums, &mut self.scratch, wanted, |i, row| {
            let out = &mut out[i * width + start..i * width + end];
            let (left, right) = out.split_at_mut(tiling.rotation[1]);
            left.copy_from_slice(&row[tile - left.len()..]);
            right.copy_from_slice(&row[..right.len()]);
        });
    }
}

/// `sums[t] += sum over l < terms of conj(a(l)) b(t, l)` for `together` spectra at once.
fn add_products<'a, T: Scalar>(
    terms: usize,
    a: impl Fn(usize) -> &'a [T],
    b: impl Fn(usize, usize) -> &'a [T],
    sums: &mut [T],
    together: usize,
) {
    macro_rules! products {
        ($N:literal) => {{
            let factors = |l| (a(l), std::array::from_fn(|t| b(t, l)));
            Arch::new().dispatch(Products::<T, $N> {
                terms: &(0..terms).map(factors).collect::<Vec<_>>(),
                sums,
            })
        }};
    }
    match together {
        1 => products!(1),
        2 => products!(2),
        3 => products!(3),
        _ => products!(4),
    }
}

/// Products of `N` spectra with one, summed over terms.
struct Products<'a, T, const N: usize> {
    terms: &'a [(&'a [T], [&'a [T]; N])],
    sums: &'a mut [T],
}

impl<T: Scalar, const N: usize> WithSimd for Products<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = T::lanes::<S>();
        let length = self.sums.len() / N;
        let zero = T::splat(simd, T::ZERO);
        for group in (0..length).step_by(2 * MAX_LANES) {
            for at in (group..group + MAX_LANES).step_by(lanes) {
                // Products of real and imaginary parts, each kind by itself.
                let mut sum = [[zero; 4]; N];
                for (a, b) in self.terms {
                    let re = T::load(simd, &a[at..]);
                    let im = T::load(simd, &a[at + MAX_LANES..]);
                    for t in 0..N {
                        let x = T::load(simd, &b[t][at..]);
                        let y = T::load(simd, &b[t][at + MAX_LANES..]);
                        sum[t][0] = T::mul_add(simd, re, x, sum[t][0]);
                        sum[t][1] = T::mul_add(simd, im, y, sum[t][1]);
                        sum[t][2] = T::mul_add(simd, re, y, sum[t][2]);
                        sum[t][3] = T::mul_add(simd, im, x, sum[t][3]);
                    }
                }
                for (t, [rr, ii, ri, ir]) in sum.into_iter().enumerate() {
                    let (re, im) = self.sums[t * length + at..].split_at_mut(MAX_LANES);
                    let real = T::plus(simd, rr, ii);
                    let imaginary = T::minus(simd, ri, ir);
                    T::store(simd, T::plus(simd, T::load(simd, re), real), re);
                    T::store(simd, T::plus(simd, T::load(simd, im), imaginary), im);
                }
            }
        }
    }
}
