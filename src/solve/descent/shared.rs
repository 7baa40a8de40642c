//! What the images of a problem have in common, and the products over the elements of a working set.

use num_traits::Float;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::strips::Strips;
use crate::connectivity::Connectivity;
use crate::conv::cpu::{Scalar, Sizes};
use crate::conv::patch::{Atoms, Place, dispatch};
use crate::penalty;

/// A number type that is calculated with one at a time, too.
pub(super) trait Real: Scalar + Float {}

impl<T: Scalar + Float> Real for T {}

/// The layer and the objective.
#[derive(Clone, Debug)]
pub(super) struct Shared<T> {
    pub atoms: Atoms<T>,
    pub filters: Vec<T>,
    pub g: Connectivity,
    /// For one image.
    pub sizes: Sizes,
    pub strips: Strips,
    /// `sparsity / data_weight`.
    pub weight: f64,
    pub p: f64,
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

impl<T: Real> Shared<T> {
    pub fn new(filters: Vec<T>, g: Connectivity, sizes: Sizes, weight: f64, p: f64) -> Self {
        let atoms = Atoms::new(&filters, &g, sizes);
        Self {
            strips: Strips::new(atoms.frame()),
            atoms,
            filters,
            g,
            sizes,
            weight,
            p,
        }
    }

    /// The shape of the maps of one image, `[K, H + h - 1, W + w - 1]`.
    pub fn maps(&self) -> [usize; 3] {
        let [height, width] = self.sizes.map();
        [self.g.maps(), height, width]
    }

    /// Where an element lies in the maps.
    pub fn index(&self, place: Place) -> usize {
        let [_, height, width] = self.maps();
        let row = place.map as usize * height + place.row as usize;
        row * width + place.column as usize
    }

    /// The elements of maps that are not zero.
    pub fn elements(&self, maps: &[T]) -> Elements<T> {
        let mut elements = vec![Vec::new(); self.strips.count()];
        for place in self.above(maps, T::zero()) {
            elements[self.strips.of(place.row)].push(Element {
                place,
                value: maps[self.index(place)],
                energy: self.atoms.energy(place),
            });
        }
        elements
    }

    /// The elements of maps, or of anything alike, that are larger than `least`.
    pub fn above<'a>(&self, maps: &'a [T], least: T) -> impl Iterator<Item = Place> + 'a {
        const LOOK: usize = 16;
        let [_, height, width] = self.maps();
        // Most are not, and whole vectors of them are passed over at once.
        let any = move |values: &[T]| values.iter().fold(false, |any, x| any | (x.abs() > least));
        let hits = maps.chunks(LOOK).enumerate().filter(move |(_, v)| any(v));
        hits.flat_map(move |(i, values)| {
            let passed = values
                .iter()
                .enumerate()
                .filter(move |(_, x)| x.abs() > least);
            passed.map(move |(j, _)| {
                let (row, column) = ((i * LOOK + j) / width, (i * LOOK + j) % width);
                Place {
                    map: (row / height) as u32,
                    row: (row % height) as u32,
                    column: column as u32,
                }
            })
        })
    }

    /// The value that an element takes, all others fixed, where `pull` is the product of its atom
    /// with the residual that it leaves at zero: the shrink of `pull / energy`.
    #[inline(always)]
    pub fn best(&self, pull: T, energy: T, weight: T) -> T {
        if self.p == 1.0 {
            return (pull.abs() - weight).max(T::zero()).copysign(pull) / energy;
        }
        let [pull, energy, weight] = [pull, energy, weight].map(to_f64);
        real(penalty::shrink_number(
            pull / energy,
            weight / energy,
            self.p,
        ))
    }

    /// Adds to a canvas what the elements stand for at the values given.
    pub fn add(&self, canvas: &mut [T], elements: &[Vec<Element<T>>], values: &[Vec<T>]) {
        let mut each: Vec<_> = elements.iter().zip(values).collect();
        self.strips
            .change(canvas, &mut each, |part, top, (elements, values)| {
                dispatch(Add {
                    atoms: &self.atoms,
                    part,
                    top,
                    elements,
                    values,
                })
            });
    }

    /// The product of each element's atom with a canvas.
    pub fn correlate(&self, canvas: &[T], elements: &[Vec<Element<T>>]) -> Values<T> {
        let strip = |elements: &Vec<Element<T>>| {
            dispatch(Correlate {
                atoms: &self.atoms,
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
    atoms: &'a Atoms<T>,
    part: &'a mut [T],
    top: usize,
    elements: &'a [Element<T>],
    values: &'a [T],
}

impl<T: Real> WithSimd for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (element, &value) in self.elements.iter().zip(self.values) {
            if value != T::zero() {
                self.atoms
                    .add(simd, self.part, self.top, element.place, value);
            }
        }
    }
}

struct Correlate<'a, T> {
    atoms: &'a Atoms<T>,
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
            products.push(self.atoms.correlate(simd, self.canvas, 0, element.place));
        }
        products
    }
}

/// As a double; a number stays one.
pub(super) fn to_f64<T: Float>(x: T) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}

/// From a double, rounded.
pub(super) fn real<T: Float>(x: f64) -> T {
    T::from(x).unwrap_or_else(T::nan)
}
