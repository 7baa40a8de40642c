//! Fourier transforms of real tiles in two dimensions, whole vectors at a time.
//!
//! Each pass runs over rows: a row is as wide as the tile (or half as wide as it is high), so every
//! vector of it meets the same twiddle factor. Sides of tiles are multiples of twice
//! [`MAX_LANES`] with no other prime factors than 2 and 3.
//!
//! Source: the self-sorting passes are Stockham's; see Van Loan, Computational Frameworks for the
//! Fast Fourier Transform, SIAM 1992, sections 1.7 and 2.4.

use std::f64::consts::TAU;

use pulp::{Arch, Simd, WithSimd};

use super::scalar::{MAX_LANES, Scalar};

/// The transforms of tiles of one size.
///
/// A spectrum has a line of half the tile's height for each column; the first entries of the lines,
/// whose transforms have a symmetry to spare, hold frequency 0 in the first half of the columns and
/// the highest one in the others. A last line has what is left of both. Lines come in groups of
/// [`MAX_LANES`] real parts and as many imaginary ones.
pub(super) struct Transform<T> {
    size: [usize; 2],
    passes: [Vec<Pass<T>>; 2],
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

/// Complex numbers, their two parts apart.
struct Complex<T> {
    re: Vec<T>,
    im: Vec<T>,
}

impl<T: Scalar> Complex<T> {
    fn new(length: usize) -> Self {
        Self {
            re: vec![T::ZERO; length],
            im: vec![T::ZERO; length],
        }
    }
}

/// Room for one transform at a time.
pub(super) struct Scratch<T> {
    a: Complex<T>,
    b: Complex<T>,
    row: Vec<T>,
}

/// One pass: butterflies of `radix` rows.
struct Pass<T> {
    radix: usize,
    /// Rows that were sorted by the passes before.
    sorted: usize,
    /// The factors of each butterfly but the first, real and imaginary.
    twiddles: Vec<[T; 2]>,
}

/// The passes of a transform of `n` rows.
fn passes<T: Scalar>(n: usize) -> Vec<Pass<T>> {
    let (mut passes, mut left, mut sorted) = (Vec::new(), n, 1);
    while left > 1 {
        let radix = [4, 3, 2].into_iter().find(|&r| left.is_multiple_of(r));
        let radix = radix.unwrap_or(left);
        let twiddle = |i: usize| {
            let (p, t) = (i / (radix - 1), i % (radix - 1) + 1);
            let angle = -TAU * (p * t) as f64 / left as f64;
            [angle.cos(), angle.sin()].map(T::from_f64)
        };
        passes.push(Pass {
            radix,
            sorted,
            twiddles: (0..left / radix * (radix - 1)).map(twiddle).collect(),
        });
        left /= radix;
        sorted *= radix;
    }
    passes
}

impl<T: Scalar> Transform<T> {
    pub fn new(size: [usize; 2]) -> Self {
        Self {
            size,
            passes: size.map(passes),
        }
    }

    /// How many numbers a spectrum has.
    pub fn spectrum(&self) -> usize {
        self.size[0] * self.size[1] + 2 * MAX_LANES
    }

    pub fn scratch(&self) -> Scratch<T> {
        let half = self.size[0] * self.size[1] / 2;
        Scratch {
            a: Complex::new(half),
            b: Complex::new(half),
            row: vec![T::ZERO; self.size[1]],
        }
    }

    /// The spectrum of a window.
    pub fn forward(&self, window: Window<T>, s: &mut Scratch<T>, out: &mut [T]) {
        let [height, width] = self.size;
        self.load(window, &mut s.a);
        run(&self.passes[0], width / 2, s);
        untangle(&s.a, &mut s.b, self.size);
        std::mem::swap(&mut s.a, &mut s.b);
        run(&self.passes[1], height / 2, s);

        let (out, last) = out.split_at_mut(height * width);
        let parts =
            s.a.re
                .chunks_exact(MAX_LANES)
                .zip(s.a.im.chunks_exact(MAX_LANES));
        for (out, (re, im)) in out.chunks_exact_mut(2 * MAX_LANES).zip(parts) {
            out[..MAX_LANES].copy_from_slice(re);
            out[MAX_LANES..].copy_from_slice(im);
        }
        // Frequency 0 and the highest one were the parts of one complex number.
        let half = T::from_f64(0.5);
        for m in 0..=width / 2 {
            let [i, j] = [m, (width - m) % width].map(|m| m * (height / 2));
            let (re, im) = (s.a.re[i] + s.a.re[j], s.a.im[i] - s.a.im[j]);
            let lowest = [re * half, im * half];
            let (re, im) = (s.a.im[i] + s.a.im[j], s.a.re[j] - s.a.re[i]);
            let highest = [re * half, im * half];
            if m < width / 2 {
                let [i, j] = [m, m + width / 2].map(|m| m * height);
                [out[i], out[i + MAX_LANES]] = lowest;
                [out[j], out[j + MAX_LANES]] = highest;
            } else {
                [last[0], last[MAX_LANES]] = lowest;
                [last[1], last[MAX_LANES + 1]] = highest;
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
        let [height, width] = self.size;
        let (from, last) = spectrum.split_at(height * width);
        let parts =
            s.a.re
                .chunks_exact_mut(MAX_LANES)
                .zip(s.a.im.chunks_exact_mut(MAX_LANES));
        for (from, (re, im)) in from.chunks_exact(2 * MAX_LANES).zip(parts) {
            re.copy_from_slice(&from[..MAX_LANES]);
            im.copy_from_slice(&from[MAX_LANES..]);
        }
        for m in 0..=width / 2 {
            let [a, b, c, d] = if m < width / 2 {
                let [i, j] = [m, m + width / 2].map(|m| m * height);
                [from[i], from[i + MAX_LANES], from[j], from[j + MAX_LANES]]
            } else {
                [last[0], last[MAX_LANES], last[1], last[MAX_LANES + 1]]
            };
            let [i, j] = [m, (width - m) % width].map(|m| m * (height / 2));
            (s.a.re[j], s.a.im[j]) = (a + d, c - b);
            (s.a.re[i], s.a.im[i]) = (a - d, b + c);
        }
        // With its two parts exchanged, a transform is its own inverse but for the scale.
        std::mem::swap(&mut s.a.re, &mut s.a.im);
        run(&self.passes[1], height / 2, s);
        std::mem::swap(&mut s.a.re, &mut s.a.im);
        entangle(&s.a, &mut s.b, self.size);
        std::mem::swap(&mut s.a, &mut s.b);
        std::mem::swap(&mut s.a.re, &mut s.a.im);
        run(&self.passes[0], width / 2, s);
        std::mem::swap(&mut s.a.re, &mut s.a.im);

        let scale = T::from_f64(1.0 / (height * width) as f64);
        for (i, p) in wanted.enumerate() {
            let places = p * (width / 2)..(p + 1) * (width / 2);
            let values = s.a.re[places.clone()].iter().chain(&s.a.im[places]);
            s.row
                .iter_mut()
                .zip(values)
                .for_each(|(to, &x)| *to = x * scale);
            row(i, &s.row);
        }
    }

    /// The left half of the columns as real parts, the right half as imaginary ones.
    fn load(&self, window: Window<T>, to: &mut Complex<T>) {
        let half = self.size[1] / 2;
        let [rows, columns] = [0, 1].map(|d| window.within(d));
        let middle = half.clamp(columns.start, columns.end);
        for p in 0..self.size[0] {
            let re = &mut to.re[p * half..(p + 1) * half];
            let im = &mut to.im[p * half..(p + 1) * half];
            re.fill(T::ZERO);
            im.fill(T::ZERO);
            if rows.contains(&p) {
                let row = (window.from[0] + p as isize) as usize * window.size[1];
                let at = |column: usize| (row as isize + window.from[1] + column as isize) as usize;
                re[columns.start.min(half)..middle.min(half)].copy_from_slice(
                    &window.plane[at(columns.start)..]
                        [..middle.min(half) - columns.start.min(half)],
                );
                let right = middle.max(half)..columns.end.max(half);
                im[right.start - half..right.end - half].copy_from_slice(
                    &window.plane[at(right.start.min(columns.end))..][..right.len()],
                );
            }
        }
    }
}

/// All passes over rows of a width, from and to `a`.
fn run<T: Scalar>(passes: &[Pass<T>], width: usize, s: &mut Scratch<T>) {
    for pass in passes {
        Arch::new().dispatch(Butterflies {
            pass,
            width,
            from: &s.a,
            to: &mut s.b,
        });
        std::mem::swap(&mut s.a, &mut s.b);
    }
}

/// The spectra of the left and the right half of the columns, from that of both, and transposed.
fn untangle<T: Scalar>(z: &Complex<T>, to: &mut Complex<T>, [height, width]: [usize; 2]) {
    let (columns, lines) = (width / 2, height / 2);
    let half = T::from_f64(0.5);
    for j in 0..columns {
        to.re[j * lines] = z.re[j];
        to.im[j * lines] = z.re[lines * columns + j];
        to.re[(j + columns) * lines] = z.im[j];
        to.im[(j + columns) * lines] = z.im[lines * columns + j];
    }
    for start in (0..columns).step_by(MAX_LANES) {
        for k in 1..lines {
            let [a, b] =
                [k, height - k].map(|k| k * columns + start..k * columns + start + MAX_LANES);
            let re = z.re[a.clone()].iter().zip(&z.re[b.clone()]);
            let im = z.im[a].iter().zip(&z.im[b]);
            for (j, ((&re, &re_b), (&im, &im_b))) in re.zip(im).enumerate() {
                let [left, right] = [start + j, start + j + columns].map(|j| j * lines + k);
                to.re[left] = (re + re_b) * half;
                to.im[left] = (im - im_b) * half;
                to.re[right] = (im + im_b) * half;
                to.im[right] = (re_b - re) * half;
            }
        }
    }
}

/// The inverse of [`untangle`].
fn entangle<T: Scalar>(from: &Complex<T>, z: &mut Complex<T>, [height, width]: [usize; 2]) {
    let (columns, lines) = (width / 2, height / 2);
    for j in 0..columns {
        z.re[j] = from.re[j * lines];
        z.re[lines * columns + j] = from.im[j * lines];
        z.im[j] = from.re[(j + columns) * lines];
        z.im[lines * columns + j] = from.im[(j + columns) * lines];
    }
    for start in (0..columns).step_by(MAX_LANES) {
        for k in 1..lines {
            let [a, b] = [k, height - k].map(|k| k * columns + start);
            for j in 0..MAX_LANES {
                let [left, right] = [start + j, start + j + columns].map(|j| j * lines + k);
                let (re, im) = (from.re[left], from.im[left]);
                let (re_r, im_r) = (from.re[right], from.im[right]);
                (z.re[a + j], z.im[a + j]) = (re - im_r, im + re_r);
                (z.re[b + j], z.im[b + j]) = (re + im_r, re_r - im);
            }
        }
    }
}

/// A pass over rows of a width.
struct Butterflies<'a, T> {
    pass: &'a Pass<T>,
    width: usize,
    from: &'a Complex<T>,
    to: &'a mut Complex<T>,
}

impl<T: Scalar> WithSimd for Butterflies<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.pass.radix {
            2 => self.run::<S, 2>(simd),
            3 => self.run::<S, 3>(simd),
            _ => self.run::<S, 4>(simd),
        }
    }
}

/// A vector of complex numbers.
type Pair<T, S> = [<T as Scalar>::Vector<S>; 2];

impl<T: Scalar> Butterflies<'_, T> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let run = self.pass.sorted * self.width;
        let lanes = T::lanes::<S>();
        let apart = self.from.re.len() / R;
        let to = self
            .to
            .re
            .chunks_exact_mut(R * run)
            .zip(self.to.im.chunks_exact_mut(R * run));
        for (p, (to_re, to_im)) in to.enumerate() {
            let mut w = [[T::splat(simd, T::ZERO); 2]; R];
            let twiddles = &self.pass.twiddles[p * (R - 1)..];
            for (w, twiddle) in w[1..].iter_mut().zip(twiddles) {
                *w = twiddle.map(|x| T::splat(simd, x));
            }
            for q in (0..run).step_by(lanes) {
                let mut x: [Pair<T, S>; R] = [[T::splat(simd, T::ZERO); 2]; R];
                for (u, x) in x.iter_mut().enumerate() {
                    let at = u * apart + p * run + q;
                    *x = [
                        T::load(simd, &self.from.re[at..]),
                        T::load(simd, &self.from.im[at..]),
                    ];
                }
                let y = butterfly::<T, S, R>(simd, x);
                for t in 0..R {
                    let [re, im] = if t == 0 {
                        y[0]
                    } else {
                        product::<T, S>(simd, w[t], y[t])
                    };
                    T::store(simd, re, &mut to_re[t * run + q..]);
                    T::store(simd, im, &mut to_im[t * run + q..]);
                }
            }
        }
    }
}

/// The transform of `R` numbers.
#[inline(always)]
fn butterfly<T: Scalar, S: Simd, const R: usize>(simd: S, x: [Pair<T, S>; R]) -> [Pair<T, S>; R] {
    let add = |a: Pair<T, S>, b: Pair<T, S>| [T::plus(simd, a[0], b[0]), T::plus(simd, a[1], b[1])];
    let sub =
        |a: Pair<T, S>, b: Pair<T, S>| [T::minus(simd, a[0], b[0]), T::minus(simd, a[1], b[1])];
    // a - i b and a + i b.
    let sub_i =
        |a: Pair<T, S>, b: Pair<T, S>| [T::plus(simd, a[0], b[1]), T::minus(simd, a[1], b[0])];
    let add_i =
        |a: Pair<T, S>, b: Pair<T, S>| [T::minus(simd, a[0], b[1]), T::plus(simd, a[1], b[0])];
    let mut y = x;
    match R {
        2 => {
            y[0] = add(x[0], x[1]);
            y[1] = sub(x[0], x[1]);
        }
        3 => {
            let (sum, difference) = (add(x[1], x[2]), sub(x[1], x[2]));
            let minus_half = T::splat(simd, T::from_f64(-0.5));
            let root = T::splat(simd, T::from_f64(0.75f64.sqrt()));
            let real = [0, 1].map(|i| T::mul_add(simd, minus_half, sum[i], x[0][i]));
            let turned = difference.map(|d| T::times(simd, root, d));
            y[0] = add(x[0], sum);
            y[1] = sub_i(real, turned);
            y[2] = add_i(real, turned);
        }
        _ => {
            let (a, b) = (add(x[0], x[2]), sub(x[0], x[2]));
            let (c, d) = (add(x[1], x[3]), sub(x[1], x[3]));
            y[0] = add(a, c);
            y[1] = sub_i(b, d);
            y[2] = sub(a, c);
            y[3] = add_i(b, d);
        }
    }
    y
}

#[inline(always)]
fn product<T: Scalar, S: Simd>(simd: S, w: Pair<T, S>, y: Pair<T, S>) -> Pair<T, S> {
    let cross = [T::times(simd, w[1], y[1]), T::times(simd, w[1], y[0])];
    [
        T::minus(simd, T::times(simd, w[0], y[0]), cross[0]),
        T::mul_add(simd, w[0], y[1], cross[1]),
    ]
}
