//! Real Fourier transforms of tiles in two dimensions, by `realfft` and `rustfft`.

use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, num_complex::Complex};

use super::scalar::{MOST_LANES, Scalar};

/// The transforms of tiles of one size.
///
/// A spectrum is kept transposed, in groups of [`MOST_LANES`] real parts and as many imaginary
/// ones, so that products of spectra run over whole vectors.
pub(super) struct Transform<T> {
    size: [usize; 2],
    rows: Arc<dyn RealToComplex<T>>,
    rows_back: Arc<dyn ComplexToReal<T>>,
    columns: Arc<dyn Fft<T>>,
    columns_back: Arc<dyn Fft<T>>,
}

/// What a tile shows of a plane: `extent` places from `from` on, zeros outside the plane.
#[derive(Clone, Copy)]
pub(super) struct Window<'a, T> {
    pub plane: &'a [T],
    pub size: [usize; 2],
    pub from: [isize; 2],
    pub extent: [usize; 2],
}

impl<'a, T> Window<'a, T> {
    /// All of a plane.
    pub fn whole(plane: &'a [T], size: [usize; 2]) -> Self {
        Self {
            plane,
            size,
            from: [0, 0],
            extent: size,
        }
    }

    /// The places of the tile that lie within the plane.
    fn within(&self, d: usize) -> std::ops::Range<usize> {
        let end = (self.size[d] as isize - self.from[d]).clamp(0, self.extent[d] as isize);
        let start = (-self.from[d]).clamp(0, end);
        start as usize..end as usize
    }
}

/// Room for one transform at a time.
pub(super) struct Scratch<T> {
    real: Vec<T>,
    lines: Vec<Complex<T>>,
    turned: Vec<Complex<T>>,
    work: Vec<Complex<T>>,
}

impl<T: Scalar> Transform<T> {
    pub fn new([height, width]: [usize; 2]) -> Self {
        let mut planner = RealFftPlanner::new();
        let mut columns = rustfft::FftPlanner::new();
        Self {
            size: [height, width],
            rows: planner.plan_fft_forward(width),
            rows_back: planner.plan_fft_inverse(width),
            columns: columns.plan_fft_forward(height),
            columns_back: columns.plan_fft_inverse(height),
        }
    }

    /// Frequencies along a row.
    fn bins(&self) -> usize {
        self.size[1] / 2 + 1
    }

    /// How many numbers a spectrum has.
    pub fn spectrum(&self) -> usize {
        2 * (self.size[0] * self.bins()).next_multiple_of(MOST_LANES)
    }

    pub fn scratch(&self) -> Scratch<T> {
        let nought = Complex::new(T::ZERO, T::ZERO);
        let work = [
            self.rows.get_scratch_len(),
            self.rows_back.get_scratch_len(),
            self.columns.get_inplace_scratch_len(),
            self.columns_back.get_inplace_scratch_len(),
        ];
        Scratch {
            real: vec![T::ZERO; self.size[1]],
            lines: vec![nought; self.size[0] * self.bins()],
            turned: vec![nought; self.size[0] * self.bins()],
            work: vec![nought; work.into_iter().max().unwrap_or(0)],
        }
    }

    /// The spectrum of a window.
    pub fn forward(&self, window: Window<T>, s: &mut Scratch<T>, out: &mut [T]) {
        let nought = Complex::new(T::ZERO, T::ZERO);
        let [rows, columns] = [0, 1].map(|d| window.within(d));
        for (p, line) in s.lines.chunks_exact_mut(self.bins()).enumerate() {
            if !rows.contains(&p) {
                line.fill(nought);
                continue;
            }
            let row = (window.from[0] + p as isize) as usize * window.size[1];
            let at = (row as isize + window.from[1] + columns.start as isize) as usize;
            s.real.fill(T::ZERO);
            s.real[columns.clone()].copy_from_slice(&window.plane[at..at + columns.len()]);
            self.rows
                .process_with_scratch(&mut s.real, line, &mut s.work)
                .expect("buffers of the planned length");
        }
        turn(&s.lines, &mut s.turned, self.size[0], self.bins());
        self.columns.process_with_scratch(&mut s.turned, &mut s.work);
        let groups = out.chunks_exact_mut(2 * MOST_LANES);
        for (out, values) in groups.zip(s.turned.chunks(MOST_LANES)) {
            let (re, im) = out.split_at_mut(MOST_LANES);
            for ((re, im), x) in re.iter_mut().zip(im).zip(values) {
                (*re, *im) = (x.re, x.im);
            }
        }
    }

    /// Calls `row` with each of the rows wanted of the tile that has a spectrum.
    pub fn inverse(
        &self,
        spectrum: &[T],
        s: &mut Scratch<T>,
        wanted: impl Iterator<Item = usize>,
        mut row: impl FnMut(usize, &[T]),
    ) {
        let scale = T::reciprocal(self.size[0] * self.size[1]);
        let groups = spectrum.chunks_exact(2 * MOST_LANES);
        for (values, from) in s.turned.chunks_mut(MOST_LANES).zip(groups) {
            let (re, im) = from.split_at(MOST_LANES);
            for ((&re, &im), x) in re.iter().zip(im).zip(values) {
                *x = Complex::new(re * scale, im * scale);
            }
        }
        self.columns_back
            .process_with_scratch(&mut s.turned, &mut s.work);
        turn(&s.turned, &mut s.lines, self.bins(), self.size[0]);
        for (i, p) in wanted.enumerate() {
            let line = &mut s.lines[p * self.bins()..][..self.bins()];
            // What rounding left in the parts that are real by symmetry.
            line[0].im = T::ZERO;
            if self.size[1].is_multiple_of(2) {
                line[self.bins() - 1].im = T::ZERO;
            }
            self.rows_back
                .process_with_scratch(line, &mut s.real, &mut s.work)
                .expect("buffers of the planned length");
            row(i, &s.real);
        }
    }
}

/// Transposes `rows x columns` numbers, in squares that fit the cache's lines.
fn turn<T: Copy>(from: &[T], to: &mut [T], rows: usize, columns: usize) {
    const SQUARE: usize = 8;
    for i in (0..rows).step_by(SQUARE) {
        for j in (0..columns).step_by(SQUARE) {
            for j in j..(j + SQUARE).min(columns) {
                for i in i..(i + SQUARE).min(rows) {
                    to[j * rows + i] = from[i * columns + j];
                }
            }
        }
    }
}
