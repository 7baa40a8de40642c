//! An upper bound of the norm of stacked convolutions, from their transfer functions.

use std::f64::consts::{PI, TAU};

use burn::tensor::Tensor;
use faer::c64;
use rayon::prelude::*;

use crate::connectivity::Connectivity;

/// Grid points for each degree of the transfer functions: 1 % above the maximum at most.
const DENSITY: f64 = 22.0;
/// Relative precision to which an eigenvalue is bracketed.
const PRECISION: f64 = 1e-4;
/// Far above what rounding adds up to.
const ROUNDING: f64 = 1e-9;

const ZERO: c64 = c64::new(0.0, 0.0);

/// An upper bound of `||R||^2`, the largest eigenvalue of `R'R`, for the stack `R = F_1 F_2 .. F_L` of
/// 'valid' convolutions onto planes of `image` pixels, down and to the right. Layers are filters
/// `[planes, maps, h, w]` with their connectivity, the image side first.
///
/// `R` is a crop of circular convolutions on a grid that holds the top maps, which are block-diagonal
/// in the frequencies:
///
/// ```text
/// ||R||^2 <= max_w lambda(w),   lambda(w) = largest eigenvalue of T(w) T(w)*,   T = T_1 T_2 .. T_L
/// ```
///
/// with `T_l` the transfer functions of layer `l`, a matrix planes x maps. `lambda` is the maximum of
/// nonnegative trigonometric polynomials of degree `d = sum (h - 1)` along an axis, so that for any
/// grid of `M > d` points along each
///
/// ```text
/// max_w lambda <= max over the grid / (cos^2(pi d_1 / 2 M_1) cos^2(pi d_2 / 2 M_2))
/// ```
///
/// A large image is bounded by a grid that does not grow with it, at most 1.1 % above the maximum; a
/// small one by its own frequencies. The norm of the crop is itself below that maximum, by little
/// where the image is much larger than the filters.
///
/// Infinite where the filters are not finite or their fourth powers overflow.
///
/// Source: M. Riesz 1914: a trigonometric polynomial of degree `d` and maximum 1 at 0 is nowhere in
/// `|w| <= pi / d` below `cos(d w)`; here of twice the polynomial less 1. Compare H. Ehlich and K.
/// Zeller 1964.
///
/// # Panics
/// Where the filters do not have the planes and maps of their connectivity, or the layers do not fit
/// each other.
///
/// # Examples
///
/// A box filter lets frequency 0 pass with the sum of its taps:
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::linop::spectral_bound;
///
/// let filters = Tensor::ones([1, 1, 3, 3], &Device::flex());
/// let bound = spectral_bound(&[(&filters, &Connectivity::full(1, 1))], [20, 20]);
/// assert!((bound - 81.0).abs() < 1e-3);
/// ```
pub fn spectral_bound(layers: &[(&Tensor<4>, &Connectivity)], image: [usize; 2]) -> f64 {
    let stack = Transfer::new(layers);
    if stack.side == 0 || stack.layers.iter().any(|layer| layer.taps.is_empty()) {
        return 0.0;
    }
    let [(rows, slack_1), (columns, slack_2)] =
        [0, 1].map(|axis| grid(stack.degree(axis), image[axis]));
    let angle = |k: usize, points: usize| TAU * k as f64 / points as f64;
    let gram = |along: &[Vec<c64>], at: usize| stack.gram(along, angle(at % rows, rows));
    let along = |at: usize| stack.along_rows(angle(at / rows, columns));
    // The filters are real: at the other half of the frequencies everything is conjugate.
    let coarse: Vec<f64> = (0..columns / 2 + 1)
        .into_par_iter()
        .flat_map_iter(|column| {
            let first = column * rows;
            let along = along(first);
            (first..first + rows).map(move |at| gram(&along, at).coarse_bound())
        })
        .collect();
    if coarse.iter().any(|bound| bound.is_infinite()) {
        return f64::INFINITY;
    }
    // Eigenvalues are found only where they may exceed the largest so far.
    let mut order: Vec<usize> = (0..coarse.len()).collect();
    order.sort_by(|&a, &b| coarse[b].total_cmp(&coarse[a]));
    let raise = |known: f64, at: usize| gram(&along(at), at).raise(known, coarse[at]);
    let mut largest = raise(0.0, order[0]);
    for chunk in order[1..].chunks(32) {
        if coarse[chunk[0]] <= largest {
            break;
        }
        let raised = chunk.par_iter().map(|&at| raise(largest, at));
        largest = raised.reduce(|| 0.0, f64::max);
    }
    largest * slack_1 * slack_2 * (1.0 + ROUNDING)
}

/// The points of the grid along an axis, and by how much the maximum over all frequencies may exceed
/// that over the grid.
fn grid(degree: usize, side: usize) -> (usize, f64) {
    let own = side + degree;
    let points = ((DENSITY * degree as f64) as usize).max(1);
    if points < own {
        let cosine = (0.5 * PI * degree as f64 / points as f64).cos();
        (points, 1.0 / (cosine * cosine))
    } else {
        (own.max(1), 1.0)
    }
}

/// The transfer functions `T_1 .. T_L`, or their transposes in reverse order where there are fewer
/// maps than planes: the side that comes first has `side` elements.
struct Transfer {
    layers: Vec<Layer>,
    side: usize,
}

/// The connected pairs of a layer, `[row, column]` of the matrix `T_l`.
struct Layer {
    pairs: Vec<[usize; 2]>,
    columns: usize,
    size: [usize; 2],
    /// `[h, w, pairs]`
    taps: Vec<f64>,
}

impl Transfer {
    fn new(layers: &[(&Tensor<4>, &Connectivity)]) -> Self {
        for pair in layers.windows(2) {
            let [maps, planes] = [pair[0].1.maps(), pair[1].1.planes()];
            assert_eq!(
                maps, planes,
                "the maps of a layer are the planes of the next"
            );
        }
        let planes = layers.first().map_or(1, |(_, g)| g.planes());
        let maps = layers.last().map_or(1, |(_, g)| g.maps());
        let transposed = maps < planes;
        let layers = layers
            .iter()
            .map(|(filters, g)| Layer::new(filters, g, transposed));
        let mut layers: Vec<Layer> = layers.collect();
        if transposed {
            layers.reverse();
        }
        Self {
            layers,
            side: planes.min(maps),
        }
    }

    /// Of the polynomials along an axis.
    fn degree(&self, axis: usize) -> usize {
        self.layers.iter().map(|layer| layer.size[axis] - 1).sum()
    }

    fn along_rows(&self, angle: f64) -> Vec<Vec<c64>> {
        let layers = self.layers.iter();
        layers.map(|layer| layer.along_rows(angle)).collect()
    }

    /// `T T*` at a frequency, whose part along the width is in `along`.
    fn gram(&self, along: &[Vec<c64>], angle: f64) -> Gram {
        let n = self.side;
        // Column by column.
        let mut product: Vec<c64> = (0..n * n)
            .map(|at| c64::from(f64::from(u8::from(at / n == at % n))))
            .collect();
        for (layer, along) in self.layers.iter().zip(along) {
            let mut next = vec![ZERO; n * layer.columns];
            for (&[row, column], value) in layer.pairs.iter().zip(layer.values(along, angle)) {
                let from = &product[row * n..(row + 1) * n];
                let into = &mut next[column * n..(column + 1) * n];
                for (into, from) in into.iter_mut().zip(from) {
                    *into += from * value;
                }
            }
            product = next;
        }
        let mut lower = vec![ZERO; n * n];
        for column in product.chunks_exact(n) {
            for (i, a) in column.iter().enumerate().filter(|(_, a)| **a != ZERO) {
                for (g, b) in lower[i * n..=i * n + i].iter_mut().zip(column) {
                    *g += a * b.conj();
                }
            }
        }
        Gram { n, lower }
    }
}

impl Layer {
    fn new(filters: &Tensor<4>, g: &Connectivity, transposed: bool) -> Self {
        let [planes, maps, h, w] = filters.dims();
        assert_eq!(
            [planes, maps],
            [g.planes(), g.maps()],
            "filters [planes, maps, ..] must fit the connectivity"
        );
        let values: Vec<f64> = filters.to_data().iter().collect();
        let connected: Vec<[usize; 2]> = (0..maps)
            .flat_map(|k| g.planes_of(k).into_iter().map(move |c| [c, k]))
            .collect();
        let tap = |at: usize| {
            connected
                .iter()
                .map(move |[c, k]| (c * maps + k) * h * w + at)
        };
        Self {
            taps: (0..h * w).flat_map(tap).map(|at| values[at]).collect(),
            size: [h, w],
            columns: if transposed { planes } else { maps },
            pairs: match transposed {
                true => connected.iter().map(|&[c, k]| [k, c]).collect(),
                false => connected,
            },
        }
    }

    /// The transform along the rows of every filter, `[h, pairs]`.
    fn along_rows(&self, angle: f64) -> Vec<c64> {
        let ([_, w], pairs) = (self.size, self.pairs.len());
        let mut sums = vec![ZERO; self.size[0] * pairs];
        for (at, taps) in self.taps.chunks_exact(pairs).enumerate() {
            let (a, phase) = (at / w, c64::cis(-angle * (at % w) as f64));
            for (sum, &tap) in sums[a * pairs..].iter_mut().zip(taps) {
                *sum += phase * tap;
            }
        }
        sums
    }

    /// The transfer function of every pair.
    fn values(&self, along: &[c64], angle: f64) -> Vec<c64> {
        let mut values = vec![ZERO; self.pairs.len()];
        for (a, row) in along.chunks_exact(values.len()).enumerate() {
            let phase = c64::cis(-angle * a as f64);
            for (value, along) in values.iter_mut().zip(row) {
                *value += phase * along;
            }
        }
        values
    }
}

/// A Hermitian matrix with no negative eigenvalue, `n x n`, row by row; what is above the diagonal is
/// not used.
struct Gram {
    n: usize,
    lower: Vec<c64>,
}

impl Gram {
    /// An upper bound of the largest eigenvalue: the Frobenius norm or the largest sum of magnitudes
    /// in a row (Gershgorin), whichever is less.
    fn coarse_bound(&self) -> f64 {
        let (mut squares, mut sums) = (0.0, vec![0.0; self.n]);
        for (i, row) in self.lower.chunks_exact(self.n).enumerate() {
            for (j, g) in row[..i].iter().enumerate() {
                let size = g.norm();
                squares += 2.0 * size * size;
                sums[i] += size;
                sums[j] += size;
            }
            squares += row[i].re * row[i].re;
            sums[i] += row[i].re;
        }
        match squares.is_finite() {
            true => sums.into_iter().fold(0.0, f64::max).min(squares.sqrt()),
            false => f64::INFINITY,
        }
    }

    /// `known` where no eigenvalue lies above it, else an upper bound of the largest, to
    /// [`PRECISION`]; `coarse` is one too.
    fn raise(&self, known: f64, coarse: f64) -> f64 {
        if coarse <= known || self.lies_below(known) {
            return known;
        }
        let diagonal = (0..self.n).map(|i| self.lower[i * self.n + i].re);
        let (mut low, mut high) = (diagonal.fold(known, f64::max), coarse);
        while high - low > PRECISION * high {
            let middle = 0.5 * (low + high);
            match self.lies_below(middle) {
                true => high = middle,
                false => low = middle,
            }
        }
        high
    }

    /// Whether all eigenvalues lie below `x`: whether `x I - G` has a Cholesky decomposition.
    fn lies_below(&self, x: f64) -> bool {
        let n = self.n;
        let mut a: Vec<c64> = self.lower.iter().map(|g| -g).collect();
        for k in 0..n {
            let pivot = x + a[k * n + k].re;
            if pivot <= 0.0 {
                return false;
            }
            for i in k + 1..n {
                let factor = a[i * n + k] / pivot;
                for j in k + 1..=i {
                    let below = a[j * n + k].conj();
                    a[i * n + j] -= factor * below;
                }
            }
        }
        true
    }
}
