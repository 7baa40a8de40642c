//! What the images of a problem have in common, and the products over the elements of a working set.

use std::ops::Deref;
use std::sync::Arc;

use burn::tensor::Tensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::border::Border;
use super::numbers::{Real, largest, real, to_f64};
use super::strips::Strips;
use crate::connectivity::Connectivity;
use crate::conv::cpu::Sizes;
use crate::conv::patch::{Atoms, Place, dispatch};
use crate::model::Boundary;
use crate::pass::numbers;
use crate::penalty::{self, Penalty};
use crate::solve::Problem;

/// How far an element moves, in lengths of the way to its best value: where atoms are much alike, that
/// lies ever further the same way.
const RELAXATION: f64 = 1.3;

/// The layer and the objective.
#[derive(Clone, Debug)]
pub(super) struct LayerProblem<T> {
    pub atoms: Atoms<T>,
    pub filters: Vec<T>,
    pub g: Connectivity,
    /// For one image.
    pub sizes: Sizes,
    pub border: Border,
    pub strips: Strips,
    /// `sparsity / data_weight`.
    pub weight: f64,
    /// What that is multiplied by for each element of the maps, where not by 1.
    pub factors: Option<Arc<Vec<T>>>,
    pub penalty: Penalty,
}

/// An element of a working set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<T> {
    pub place: Place,
    pub value: T,
    /// The squared norm of its atom inside the image.
    pub energy: T,
}

/// The elements of a working set, strip by strip.
pub(super) type Elements<T> = Vec<Vec<Element<T>>>;

/// A number for each of the elements.
pub(super) type Values<T> = Vec<Vec<T>>;

impl<T: Real + burn::tensor::Element> LayerProblem<T> {
    /// Of a problem of one layer.
    pub fn of(problem: &Problem) -> Self {
        let layer = problem.network.top();
        let [.., height, width] = problem.data.dims();
        let sizes = Sizes {
            batch: 1,
            image: [height, width],
            filter: layer.filter_size(),
        };
        let objective = problem.objective;
        let filters: Tensor<4> = layer.filters.val();
        let [_, k, h, w] = problem.maps_shape();
        let like = Tensor::zeros([1, k, h, w], (&filters.device(), filters.dtype()));
        let factors = layer.penalty_weights(&like);
        let g = layer.connectivity.clone();
        Self {
            weight: objective.sparsity() / objective.data_weight(),
            penalty: objective.penalty(),
            factors: factors.map(|factors| Arc::new(numbers(factors))),
            ..Self::new(numbers(filters), g, sizes, layer.boundary)
        }
    }
}

impl<T: Real> LayerProblem<T> {
    /// Without a penalty.
    pub fn new(filters: Vec<T>, g: Connectivity, sizes: Sizes, boundary: Boundary) -> Self {
        let atoms = Atoms::new(&filters, &g, sizes);
        let border = Border::new(boundary, sizes);
        Self {
            strips: Strips::new(atoms.frame(), border.seam()),
            border,
            atoms,
            filters,
            g,
            sizes,
            weight: 0.0,
            factors: None,
            penalty: 1.0.into(),
        }
    }

    /// The shape of the maps of one image, `[K, ..]`, see [`Boundary`].
    pub fn maps(&self) -> [usize; 3] {
        let [height, width] = self.border.maps();
        [self.g.maps(), height, width]
    }

    /// Where an element lies in the maps.
    pub fn index(&self, place: Place) -> usize {
        let [_, height, width] = self.maps();
        let [row, column] = self.border.at(place);
        (place.map as usize * height + row) * width + column
    }

    /// The weight of the penalty on an element, where `weight` is the one that all share.
    #[inline(always)]
    pub fn weight_of(&self, place: Place, weight: T) -> T {
        match &self.factors {
            Some(factors) => weight * factors[self.index(place)],
            None => weight,
        }
    }

    /// The largest pull of a gradient on an element at zero, for a penalty of weight 1.
    pub fn steepest(&self, gradient: &[T]) -> T {
        if self.factors.is_none() && !self.penalty.non_negative {
            return largest(gradient);
        }
        let mut most = T::zero();
        let bands = self.bands(gradient.chunks(self.map_len()), |map, n| map.chunks(n));
        for (strip, band) in bands.into_iter().enumerate() {
            self.above(strip, &band, T::zero(), |place, pull| {
                let weight = self.weight_of(place, T::one());
                if weight > T::zero() && self.may_move(pull) {
                    most = most.max(pull.abs() / weight);
                }
            });
        }
        most
    }

    /// Whether an element at zero may follow a pull.
    fn may_move(&self, pull: T) -> bool {
        !self.penalty.non_negative || pull > T::zero()
    }

    /// The product of the atom of a place with the canvas, of which `part` begins at row `top`.
    #[inline(always)]
    pub fn correlate_one<S: Simd>(&self, simd: S, part: &[T], top: usize, place: Place) -> T {
        let mut product = self.atoms.correlate(simd, part, top, place);
        if self.border.goes_round(place) {
            for copy in self.border.copies(place).into_iter().flatten() {
                product = product + self.atoms.correlate(simd, part, top, copy);
            }
        }
        product
    }

    /// Adds a multiple of the atom of a place to the canvas, see [`Atoms::add`].
    #[inline(always)]
    pub fn add_one<S: Simd>(
        &self,
        simd: S,
        part: &mut [T],
        top: usize,
        (place, amount): (Place, T),
        weights: Option<&[T]>,
    ) {
        self.atoms.add(simd, part, top, (place, amount), weights);
        if self.border.goes_round(place) {
            for copy in self.border.copies(place).into_iter().flatten() {
                self.atoms.add(simd, part, top, (copy, amount), weights);
            }
        }
    }

    /// The elements of maps that are not zero; `weights` are those of the pixels, on the canvas.
    pub fn elements(&self, maps: &[T], weights: Option<&[T]>) -> Elements<T> {
        let maps = self.border.embed(maps);
        let bands = self.bands(maps.chunks(self.map_len()), |map, n| map.chunks(n));
        let strip = |(strip, band): (usize, Vec<&[T]>)| {
            let mut elements = Vec::new();
            self.above(strip, &band, T::zero(), |place, value| {
                elements.push(self.element(place, value, weights));
            });
            elements
        };
        bands.into_par_iter().enumerate().map(strip).collect()
    }

    /// Adds to the elements of each strip those that `weight` does not hold at zero, by the
    /// gradient of all; returns how many.
    pub fn take_in(
        &self,
        mut gradient: Vec<T>,
        weight: T,
        weights: Option<&[T]>,
        elements: &mut Elements<T>,
    ) -> usize {
        let [_, width] = self.sizes.map();
        let soft = self.penalty.p == 1.0;
        // What is not above this is held at zero, whatever its energy.
        let least = match soft && self.factors.is_none() {
            true => weight,
            false => T::zero(),
        };
        let bands = self.bands(gradient.chunks_mut(self.map_len()), |map, n| {
            map.chunks_mut(n)
        });
        let strips = elements.par_iter_mut().zip(bands).enumerate();
        let taken = strips.map(|(strip, (elements, mut band))| {
            for Element { place, .. } in &*elements {
                let row = place.row as usize - self.strips.top(strip);
                band[place.map as usize][row * width + place.column as usize] = T::zero();
            }
            let before = elements.len();
            self.above(strip, &band, least, |place, pull| {
                let weight = self.weight_of(place, weight);
                if !self.may_move(pull) || (soft && pull.abs() <= weight) {
                    return;
                }
                let new = self.element(place, T::zero(), weights);
                let moves = soft || self.best(pull, new.energy, weight) != T::zero();
                if new.energy > T::zero() && moves {
                    elements.push(new);
                }
            });
            elements.len() - before
        });
        taken.sum()
    }

    fn element(&self, place: Place, value: T, weights: Option<&[T]>) -> Element<T> {
        let mut energy = self.atoms.energy(place, weights);
        if self.border.goes_round(place) {
            for copy in self.border.copies(place).into_iter().flatten() {
                energy = energy + self.atoms.energy(copy, weights);
            }
        }
        Element {
            place,
            value,
            energy,
        }
    }

    /// How many numbers a map has.
    fn map_len(&self) -> usize {
        let [height, width] = self.sizes.map();
        height * width
    }

    /// For each strip its rows of all maps, of which `cut` makes pieces of a length.
    fn bands<M, R: Iterator>(
        &self,
        maps: impl Iterator<Item = M>,
        cut: impl Fn(M, usize) -> R,
    ) -> Vec<Vec<R::Item>> {
        let (k, [_, width]) = (self.g.maps(), self.sizes.map());
        let empty = || Vec::with_capacity(k);
        let mut bands: Vec<_> = (0..self.strips.count()).map(|_| empty()).collect();
        for map in maps {
            for (band, rows) in bands.iter_mut().zip(cut(map, self.strips.height() * width)) {
                band.push(rows);
            }
        }
        bands
    }

    /// Visits the numbers in the band of a strip whose size is above `least`, and their places.
    fn above(
        &self,
        strip: usize,
        band: &[impl Deref<Target = [T]>],
        least: T,
        mut visit: impl FnMut(Place, T),
    ) {
        const LOOK: usize = 16;
        let [_, width] = self.sizes.map();
        let top = self.strips.top(strip) as u32;
        let rows = (0..).zip(band).flat_map(|(map, rows)| {
            let rows = (top..).zip(rows.chunks_exact(width));
            rows.map(move |(row, values)| (map, row, values))
        });
        for (map, row, values) in rows {
            for (look, values) in values.chunks(LOOK).enumerate() {
                // Most are not, and whole vectors of them are passed over at once.
                if !values.iter().fold(false, |any, x| any | (x.abs() > least)) {
                    continue;
                }
                for (column, &x) in ((look * LOOK) as u32..).zip(values) {
                    if x.abs() > least {
                        visit(Place { map, row, column }, x);
                    }
                }
            }
        }
    }

    /// The value that an element takes, all others fixed, where `pull` is the product of its atom
    /// with the residual that it leaves at zero: the shrink of `pull / energy`.
    #[inline(always)]
    pub fn best(&self, pull: T, energy: T, weight: T) -> T {
        if self.penalty.p == 1.0 {
            let soft = (pull.abs() - weight).max(T::zero()).copysign(pull) / energy;
            return match self.penalty.non_negative {
                true => soft.max(T::zero()),
                false => soft,
            };
        }
        let [pull, energy, weight] = [pull, energy, weight].map(to_f64);
        real(penalty::shrink_number(
            pull / energy,
            weight / energy,
            self.penalty,
        ))
    }

    /// The value that an element with such a best one moves to. On one side of zero the objective
    /// (p = 1) is a quadratic in the element, and falls up to twice the way.
    #[inline(always)]
    pub fn relaxed(&self, value: T, best: T) -> T {
        let beyond = value + real::<T>(RELAXATION) * (best - value);
        let keeps_sign = value * best > T::zero() && value * beyond > T::zero();
        if self.penalty.p == 1.0 && keeps_sign {
            beyond
        } else {
            best
        }
    }

    /// The part of a canvas that begins at row `top` and is as long as `part`.
    pub fn part_of<'a>(&self, canvas: Option<&'a [T]>, top: usize, part: &[T]) -> Option<&'a [T]> {
        let from = top * self.atoms.frame().row_len();
        canvas.map(|canvas| &canvas[from..from + part.len()])
    }

    /// Adds to a canvas what the elements stand for at the values given, each pixel times its weight.
    pub fn add(
        &self,
        canvas: &mut [T],
        elements: &[Vec<Element<T>>],
        values: &[Vec<T>],
        weights: Option<&[T]>,
    ) {
        let mut each: Vec<_> = elements.iter().zip(values).collect();
        self.strips
            .change(canvas, &mut each, |part, top, (elements, values)| {
                dispatch(Add {
                    layer: self,
                    top,
                    elements,
                    values,
                    weights: self.part_of(weights, top, part),
                    part,
                })
            });
    }

    /// What is left of a weighted image, on the canvas, less what the elements stand for at the values
    /// given: `m (y - A z)`.
    pub fn residual(
        &self,
        image: &[T],
        elements: &Elements<T>,
        values: &Values<T>,
        weights: Option<&[T]>,
    ) -> Vec<T> {
        let minus = |strip: &Vec<T>| strip.iter().map(|&value| -value).collect();
        let minus: Values<T> = values.iter().map(minus).collect();
        let mut residual = image.to_vec();
        self.add(&mut residual, elements, &minus, weights);
        residual
    }

    /// The product of each element's atom with a canvas.
    pub fn correlate(&self, canvas: &[T], elements: &[Vec<Element<T>>]) -> Values<T> {
        let strip = |elements: &Vec<Element<T>>| {
            dispatch(Correlate {
                layer: self,
                canvas,
                elements,
            })
        };
        elements.par_iter().map(strip).collect()
    }
}

/// A number of each element.
pub(super) fn each<T: Real>(elements: &Elements<T>, f: impl Fn(&Element<T>) -> T) -> Values<T> {
    let strips = elements.iter();
    strips.map(|strip| strip.iter().map(&f).collect()).collect()
}

struct Add<'a, T> {
    layer: &'a LayerProblem<T>,
    part: &'a mut [T],
    top: usize,
    elements: &'a [Element<T>],
    values: &'a [T],
    weights: Option<&'a [T]>,
}

impl<T: Real> WithSimd for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (element, &value) in self.elements.iter().zip(self.values) {
            if value != T::zero() {
                let atom = (element.place, value);
                self.layer
                    .add_one(simd, self.part, self.top, atom, self.weights);
            }
        }
    }
}

struct Correlate<'a, T> {
    layer: &'a LayerProblem<T>,
    canvas: &'a [T],
    elements: &'a [Element<T>],
}

impl<T: Real> WithSimd for Correlate<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<T> {
        let mut products = Vec::with_capacity(self.elements.len());
        // A closure would be compiled without the vector unit.
        for element in self.elements {
            let place = element.place;
            products.push(self.layer.correlate_one(simd, self.canvas, 0, place));
        }
        products
    }
}
