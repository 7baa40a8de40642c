//! The products of one layer at single places of its maps.
//!
//! A sparse map element `z[k, i, j]` touches one patch of the image, through the filters of its map:
//! its atom. What the whole-image products of [`super`] do for all elements, [`Atoms`] does for one:
//!
//! ```text
//! add:        r[c, i + a - (h - 1), j + b - (w - 1)] += amount f[c, k, a, b]       for all c, a, b
//! correlate:  sum over c, a, b of  r[c, i + a - (h - 1), j + b - (w - 1)] f[c, k, a, b]
//! ```
//!
//! over the connected planes `c` and the pixels inside the image. The image lies on a canvas with a
//! margin of zeros, see [`Frame`], so that patches that stick out of it need no care.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::cpu::{Scalar, Sizes};
use crate::connectivity::Connectivity;

/// Taps are handled in runs of so many, the rows of a filter filled up by zeros: the width of the
/// vector unit that all but the oldest x86 processors have. Wider vectors would mostly be padding.
const RUN: usize = 8;

/// An element of the maps of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The map, `k`.
    pub map: u32,
    /// Its row, `0 <= i < H + h - 1`.
    pub row: u32,
    /// Its column, `0 <= j < W + w - 1`.
    pub column: u32,
}

/// How the planes of an image lie on a canvas, with `h - 1` rows and `w - 1` columns of zeros on each
/// side: row by row, and in a row pixel by pixel if every map sees every plane, since a row of an atom
/// then fills the fewest runs; otherwise plane by plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Parts of a row, each with the pixels of some planes.
    groups: usize,
    /// Planes in a group: numbers in a pixel.
    pixel: usize,
    image: [usize; 2],
    filter: [usize; 2],
    /// Numbers in a group of a row.
    stride: usize,
}

impl Frame {
    /// For images of a layer's planes under filters as in `sizes`.
    pub fn new(g: &Connectivity, sizes: Sizes) -> Self {
        let [_, width] = sizes.image;
        let [_, w] = sizes.filter;
        let pixel = if g.is_full() { g.planes() } else { 1 };
        Self {
            groups: g.planes() / pixel,
            pixel,
            image: sizes.image,
            filter: sizes.filter,
            // The last patch begins in column W + w - 2 and is read in whole runs.
            stride: (width + w - 1) * pixel + (w * pixel).next_multiple_of(RUN),
        }
    }

    /// Rows of the canvas.
    pub fn rows(&self) -> usize {
        self.image[0] + 2 * (self.filter[0] - 1)
    }

    /// Numbers in a row of the canvas.
    pub fn row_len(&self) -> usize {
        self.groups * self.stride
    }

    /// Height and width of the maps.
    pub fn map(&self) -> [usize; 2] {
        [0, 1].map(|d| self.image[d] + self.filter[d] - 1)
    }

    /// Where the pixels of row `y` of plane `c` of the image lie on the canvas.
    fn image_row(&self, c: usize, y: usize) -> impl Iterator<Item = usize> {
        let [h, w] = self.filter;
        let group = (y + h - 1) * self.row_len() + c / self.pixel * self.stride;
        let start = group + (w - 1) * self.pixel + c % self.pixel;
        (start..).step_by(self.pixel).take(self.image[1])
    }

    /// A canvas with the planes `[C, H, W]` of an image on it.
    pub fn canvas<T: Scalar>(&self, planes: &[T]) -> Vec<T> {
        let [height, width] = self.image;
        let mut canvas = vec![T::ZERO; self.rows() * self.row_len()];
        for (row, values) in planes.chunks_exact(width).enumerate() {
            for (at, &value) in self.image_row(row / height, row % height).zip(values) {
                canvas[at] = value;
            }
        }
        canvas
    }

    /// The planes `[C, H, W]` of the image on a canvas.
    pub fn planes<T: Scalar>(&self, canvas: &[T]) -> Vec<T> {
        let [height, width] = self.image;
        let count = self.groups * self.pixel;
        let mut planes = Vec::with_capacity(count * height * width);
        for c in 0..count {
            for y in 0..height {
                planes.extend(self.image_row(c, y).map(|at| canvas[at]));
            }
        }
        planes
    }

    /// The rows of the filters of map `k`, and for each of them the groups that the map sees.
    fn rows_of(&self, g: &Connectivity, k: usize) -> Vec<(usize, usize)> {
        let mut groups: Vec<usize> = g.planes_of(k).iter().map(|c| c / self.pixel).collect();
        groups.dedup();
        let pairs = |a| groups.iter().map(move |&group| (a, group));
        (0..self.filter[0]).flat_map(pairs).collect()
    }

    /// Where in the filters `[planes, maps, h, w]` those taps of row `a` of map `k` lie that are next to
    /// each other on the canvas.
    fn taps_of(
        &self,
        maps: usize,
        k: usize,
        [a, group]: [usize; 2],
    ) -> impl Iterator<Item = usize> {
        let Self { pixel, filter, .. } = *self;
        let [h, w] = filter;
        let tap = move |b, c| (((group * pixel + c) * maps + k) * h + a) * w + b;
        (0..w).flat_map(move |b| (0..pixel).map(move |c| tap(b, c)))
    }

    /// Whether the whole patch of a place lies inside the image.
    fn is_inner(&self, place: Place) -> bool {
        let inside =
            |at: u32, d: usize| (self.filter[d] - 1..self.image[d]).contains(&(at as usize));
        inside(place.row, 0) && inside(place.column, 1)
    }
}

/// A run of taps: where it lies from the first element of its patch on, and where within the patch's
/// part of a row.
#[derive(Clone, Copy, Debug)]
struct Run {
    at: u32,
    offset: u32,
}

/// As many numbers as a run has, from one on.
#[inline(always)]
fn run_from<T>(values: &[T], at: usize) -> &[T; RUN] {
    let run = &values[at..at + RUN];
    run.first_chunk().expect("it was cut to this length")
}

#[inline(always)]
fn run_from_mut<T>(values: &mut [T], at: usize) -> &mut [T; RUN] {
    let run = &mut values[at..at + RUN];
    run.first_chunk_mut().expect("it was cut to this length")
}

/// The taps of one map.
#[derive(Clone, Debug)]
struct Atom<T> {
    runs: Range<usize>,
    /// How many runs a row has over all planes.
    each_row: usize,
    /// The squared norm.
    energy: T,
}

/// The filters of a layer, one atom for each map, laid out for products at single places.
#[derive(Clone, Debug)]
pub struct Atoms<T> {
    frame: Frame,
    atoms: Vec<Atom<T>>,
    runs: Vec<Run>,
    taps: Vec<[T; RUN]>,
    /// For each number of a group of a row, 1 in the image and 0 in the margin.
    inside: Vec<T>,
}

impl<T: Scalar> Atoms<T> {
    /// From filters `[planes, maps, h, w]`.
    pub fn new(filters: &[T], g: &Connectivity, sizes: Sizes) -> Self {
        let frame = Frame::new(g, sizes);
        let [h, w] = sizes.filter;
        let (mut atoms, mut runs, mut taps) = (Vec::new(), Vec::new(), Vec::new());
        for k in 0..g.maps() {
            let first = runs.len();
            for (a, group) in frame.rows_of(g, k) {
                let row: Vec<usize> = frame.taps_of(g.maps(), k, [a, group]).collect();
                for (i, part) in row.chunks(RUN).enumerate() {
                    let offset = i * RUN;
                    let at = a * frame.row_len() + group * frame.stride + offset;
                    runs.push(Run {
                        at: at as u32,
                        offset: offset as u32,
                    });
                    let mut run = [T::ZERO; RUN];
                    for (tap, &from) in run.iter_mut().zip(part) {
                        *tap = filters[from];
                    }
                    taps.push(run);
                }
            }
            let own = taps[first..].iter().flatten();
            atoms.push(Atom {
                runs: first..runs.len(),
                each_row: (runs.len() - first) / h,
                energy: own.fold(T::ZERO, |sum, &tap| sum + tap * tap),
            });
        }
        let mut inside = vec![T::ZERO; frame.stride + RUN];
        inside[(w - 1) * frame.pixel..][..sizes.image[1] * frame.pixel].fill(T::ONE);
        Self {
            frame,
            atoms,
            runs,
            taps,
            inside,
        }
    }

    /// How the image lies on the canvas.
    pub fn frame(&self) -> Frame {
        self.frame
    }

    /// The squared norm of the part of an atom that lies inside the image, each pixel times its weight
    /// on the canvas where there are weights.
    pub fn energy(&self, place: Place, weights: Option<&[T]>) -> T {
        let (runs, inner) = self.touched(place);
        if inner && weights.is_none() {
            return self.atoms[place.map as usize].energy;
        }
        let origin = self.origin(place, 0);
        let mut sums = [T::ZERO; RUN];
        for (run, taps) in self.runs[runs.clone()].iter().zip(&self.taps[runs]) {
            let weights = self.weights(*run, place, origin, weights);
            for ((sum, &tap), &weight) in sums.iter_mut().zip(taps).zip(weights) {
                *sum = *sum + tap * tap * weight;
            }
        }
        sums.into_iter().fold(T::ZERO, |sum, x| sum + x)
    }

    /// The product of the atom of a place with the canvas, of which `part` begins at row `top`.
    #[inline(always)]
    pub fn correlate<S: Simd>(&self, simd: S, part: &[T], top: usize, place: Place) -> T {
        let patch = &part[self.origin(place, top)..];
        let range = self.atoms[place.map as usize].runs.clone();
        let (runs, last_runs) = self.runs[range.clone()].as_chunks::<4>();
        let (taps, last_taps) = self.taps[range].as_chunks::<4>();
        // Four sums, each a variable of its own: an array would be kept in memory.
        let zero = T::splat(simd, T::ZERO);
        let (mut p, mut q, mut r, mut s) = (zero, zero, zero, zero);
        for (runs, taps) in runs.iter().zip(taps) {
            p = multiply_add(simd, run_from(patch, runs[0].at as usize), &taps[0], p);
            q = multiply_add(simd, run_from(patch, runs[1].at as usize), &taps[1], q);
            r = multiply_add(simd, run_from(patch, runs[2].at as usize), &taps[2], r);
            s = multiply_add(simd, run_from(patch, runs[3].at as usize), &taps[3], s);
        }
        for (run, taps) in last_runs.iter().zip(last_taps) {
            p = multiply_add(simd, run_from(patch, run.at as usize), taps, p);
        }
        let halves = [T::plus(simd, p, q), T::plus(simd, r, s)];
        T::sum(simd, T::plus(simd, halves[0], halves[1]))
    }

    /// Adds a multiple of the atom of a place to the canvas, of which `part` begins at row `top`, each
    /// pixel times its weight where there are weights, of which the same part is given. The margin
    /// stays zero.
    #[inline(always)]
    pub fn add<S: Simd>(
        &self,
        simd: S,
        part: &mut [T],
        top: usize,
        (place, amount): (Place, T),
        weights: Option<&[T]>,
    ) {
        let (range, inner) = self.touched(place);
        let origin = self.origin(place, top);
        let (runs, taps) = (&self.runs[range.clone()], &self.taps[range]);
        let amount = T::splat(simd, amount);
        if inner && weights.is_none() {
            let patch = &mut part[origin..];
            for (run, taps) in runs.iter().zip(taps) {
                add_multiple(simd, amount, taps, run_from_mut(patch, run.at as usize));
            }
        } else {
            // The origin of a patch that begins above the part is never reached: its first rows are in
            // the margin.
            for (run, taps) in runs.iter().zip(taps) {
                let mut taps = *taps;
                let weights = self.weights(*run, place, origin, weights);
                for (tap, &weight) in taps.iter_mut().zip(weights) {
                    *tap = *tap * weight;
                }
                let at = origin + run.at as usize;
                add_multiple(simd, amount, &taps, run_from_mut(part, at));
            }
        }
    }

    /// Adds a multiple of the patch of a place to taps laid out as in here, see [`Atoms::blank`]:
    /// what one element adds to [`super::filter_gradient`].
    #[inline(always)]
    pub fn collect<S: Simd>(&self, simd: S, canvas: &[T], place: Place, amount: T, taps: &mut [T]) {
        let patch = &canvas[self.origin(place, 0)..];
        let range = self.atoms[place.map as usize].runs.clone();
        let amount = T::splat(simd, amount);
        let (taps, _) = taps.as_chunks_mut();
        for (run, taps) in self.runs[range.clone()].iter().zip(&mut taps[range]) {
            add_multiple(simd, amount, run_from(patch, run.at as usize), taps);
        }
    }

    /// Taps of zero, laid out as in here.
    pub fn blank(&self) -> Vec<T> {
        vec![T::ZERO; self.taps.len() * RUN]
    }

    /// Taps laid out as in here, as filters `[planes, maps, h, w]`.
    pub fn filters(&self, taps: &[T], g: &Connectivity) -> Vec<T> {
        let [h, w] = self.frame.filter;
        let mut filters = vec![T::ZERO; g.planes() * g.maps() * h * w];
        let row = (w * self.frame.pixel).next_multiple_of(RUN);
        let mut rows = taps.chunks_exact(row);
        for k in 0..g.maps() {
            for (a, group) in self.frame.rows_of(g, k) {
                let places = self.frame.taps_of(g.maps(), k, [a, group]);
                for (to, &tap) in places.zip(rows.next().into_iter().flatten()) {
                    filters[to] = tap;
                }
            }
        }
        filters
    }

    /// For each number of a run of a place's patch its weight, by default 1; 0 in the margin.
    #[inline(always)]
    fn weights<'a>(
        &'a self,
        run: Run,
        place: Place,
        origin: usize,
        weights: Option<&'a [T]>,
    ) -> &'a [T; RUN] {
        match weights {
            Some(weights) => run_from(weights, origin + run.at as usize),
            None => {
                let column = place.column as usize * self.frame.pixel;
                run_from(&self.inside, column + run.offset as usize)
            }
        }
    }

    fn origin(&self, place: Place, top: usize) -> usize {
        let column = place.column as usize * self.frame.pixel;
        (place.row as usize - top) * self.frame.row_len() + column
    }

    /// The runs of the atom of a place in rows inside the image, and whether all of it is inside.
    #[inline(always)]
    fn touched(&self, place: Place) -> (Range<usize>, bool) {
        let Atom { runs, each_row, .. } = &self.atoms[place.map as usize];
        if self.frame.is_inner(place) {
            return (runs.clone(), true);
        }
        let ([h, _], row) = (self.frame.filter, place.row as usize);
        let first = (h - 1).saturating_sub(row);
        let end = h.min(self.frame.image[0] + h - 1 - row);
        (
            runs.start + first * each_row..runs.start + end * each_row,
            false,
        )
    }
}

/// `sum + a b`, the products of each lane added up.
#[inline(always)]
fn multiply_add<T: Scalar, S: Simd>(
    simd: S,
    a: &[T; RUN],
    b: &[T; RUN],
    mut sum: T::Vector<S>,
) -> T::Vector<S> {
    for i in (0..RUN).step_by(T::lanes::<S>()) {
        sum = T::mul_add(simd, T::load(simd, &a[i..]), T::load(simd, &b[i..]), sum);
    }
    sum
}

/// `y += amount x`
#[inline(always)]
fn add_multiple<T: Scalar, S: Simd>(simd: S, amount: T::Vector<S>, x: &[T; RUN], y: &mut [T; RUN]) {
    for i in (0..RUN).step_by(T::lanes::<S>()) {
        let sum = T::mul_add(simd, amount, T::load(simd, &x[i..]), T::load(simd, &y[i..]));
        T::store(simd, sum, &mut y[i..]);
    }
}

/// Runs `op` with the vector unit that fits a run of taps.
pub fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return Simd::vectorize(simd, op);
    }
    pulp::Arch::new().dispatch(op)
}
