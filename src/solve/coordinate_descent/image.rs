//! The maps of one image by coordinate descent.

use pulp::{Simd, WithSimd};

use super::layer_problem::{Element, Elements, LayerProblem, Values, each};
use super::numbers::{Real, real, to_f64};
use crate::conv::cpu;
use crate::conv::patch::dispatch;

/// The weight of the penalty falls to this share from round to round, until it is the problem's.
pub(super) const FALL: f64 = 0.5;
/// While it falls, elements are taken in whose gradient passes it by this factor: those that pass it by
/// less mostly lose to a neighbour, and the next round sees them again.
const MARGIN: f64 = 1.3;
/// The most sweeps of a round, and the drop of the largest move, from the first, at which they end.
const SWEEPS: usize = 8;
const DROP: f64 = 0.15;
/// Conjugate gradients of the first Newton step, from maps of zeros and from maps that were found before.
const COLD: usize = 4;
const WARM: usize = 7;
/// Moves of at most so many roundings of the largest gradient there was are none.
const STILL: f64 = 4.0;

/// One image: the elements that are worked on, and what they leave unexplained.
#[derive(Clone, Debug)]
pub(super) struct Image<T> {
    /// The image, on the canvas, each pixel times its weight.
    pub image: Vec<T>,
    /// The weights of the pixels on the canvas, where they are not all 1.
    pub weights: Option<Vec<T>>,
    /// The image less what the elements explain, on the canvas, each pixel times its weight.
    pub residual: Vec<T>,
    /// Between rounds, the elements that are not zero, and some that the Newton step left there.
    pub elements: Elements<T>,
    /// The present weight of the penalty.
    weight: f64,
    /// The largest gradient that was seen.
    largest: f64,
    /// Whether the next step is a Newton step.
    swept: bool,
    settled: bool,
    /// Conjugate gradients that the next Newton step may have.
    pub gradients: usize,
}

impl<T: Real> Image<T> {
    /// From the weighted planes of the image `[C, H, W]`, their weights, and the maps to start from.
    pub fn new(layer: &LayerProblem<T>, planes: &[T], weights: Option<&[T]>, maps: &[T]) -> Self {
        let weights = weights.map(|weights| layer.atoms.frame().canvas(weights));
        let elements = layer.elements(maps, weights.as_deref());
        let image = layer.atoms.frame().canvas(planes);
        let cold = elements.iter().all(Vec::is_empty);
        let mut new = Self {
            residual: image.clone(),
            image,
            weights,
            elements,
            // Maps that were found before need no approach.
            weight: if cold { f64::INFINITY } else { layer.weight },
            largest: 0.0,
            swept: false,
            settled: false,
            gradients: if cold { COLD } else { WARM },
        };
        new.refresh(layer);
        new
    }

    /// The elements, and the weighted image and the weights on the canvas.
    pub fn into_parts(self) -> (Elements<T>, Vec<T>, Option<Vec<T>>) {
        (self.elements, self.image, self.weights)
    }

    /// Whether the last round had nothing left to do.
    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Writes the maps, `[K, H + h - 1, W + w - 1]`, over zeros.
    pub fn write(&self, layer: &LayerProblem<T>, maps: &mut [T]) {
        for element in self.elements.iter().flatten() {
            maps[layer.index(element.place)] = element.value;
        }
    }

    /// One round: a step, and the Newton step that it calls for.
    pub fn round(&mut self, layer: &LayerProblem<T>) {
        self.step(layer);
        if self.swept {
            self.step(layer);
        }
    }

    /// Takes in the elements that the gradient calls for, sweeps over all, and drops those that are
    /// zero; after that, at the weight of the problem, a Newton step on those that are not.
    pub fn step(&mut self, layer: &LayerProblem<T>) {
        if self.settled {
            return;
        }
        if self.swept {
            self.swept = false;
            if !self.newton(layer) {
                self.refresh(layer);
            }
            return;
        }
        let taken = self.take_in(layer);
        let moved = self.sweeps(layer);
        if self.weight > layer.weight {
            return;
        }
        self.settled = taken == 0 && moved <= STILL * to_f64(T::epsilon()) * self.largest;
        self.swept = layer.penalty.p == 1.0 && !self.settled;
        if !self.swept {
            self.refresh(layer);
        }
    }

    /// Lowers the weight and takes every element into the working set that it no longer holds at
    /// zero; returns how many.
    fn take_in(&mut self, layer: &LayerProblem<T>) -> usize {
        let planes = layer.atoms.frame().planes(&self.residual);
        let mut gradient = cpu::analyze(&planes, &layer.filters, &layer.g, layer.sizes);
        layer.border.fold(&mut gradient);
        let steepest = to_f64(layer.steepest(&gradient));
        self.largest = self.largest.max(steepest);
        let most = match layer.penalty.p == 0.0 {
            // An element of energy 1 leaves zero where half the square of its pull passes the weight.
            true => 0.5 * steepest * steepest,
            false => steepest,
        };
        self.weight = (FALL * self.weight.min(most)).max(layer.weight);
        let falls = self.weight > layer.weight;
        let least = if falls { MARGIN } else { 1.0 } * self.weight;
        layer.take_in(
            gradient,
            real(least),
            self.weights.as_deref(),
            &mut self.elements,
        )
    }

    /// Sweeps until the largest move has dropped; returns that of the last sweep.
    fn sweeps(&mut self, layer: &LayerProblem<T>) -> f64 {
        let first = self.sweep(layer);
        let mut moved = first;
        for _ in 1..SWEEPS {
            moved = self.sweep(layer);
            // Most of those just taken in lose to a neighbour at once.
            self.drop_zeros();
            if moved <= DROP * first {
                break;
            }
        }
        moved
    }

    fn drop_zeros(&mut self) {
        for strip in &mut self.elements {
            strip.retain(|element| element.value != T::zero());
        }
    }

    /// Moves every element of the working set once; returns the largest move, as the gradient of
    /// its own element sees it.
    fn sweep(&mut self, layer: &LayerProblem<T>) -> f64 {
        let weight = real(self.weight);
        let weights = self.weights.as_deref();
        let work = |part: &mut [T], top: usize, elements: &mut Vec<Element<T>>| {
            dispatch(Sweep {
                layer,
                weights: layer.part_of(weights, top, part),
                part,
                top,
                elements,
                weight,
            })
        };
        let moves = layer
            .strips
            .change(&mut self.residual, &mut self.elements, work);
        to_f64(moves.into_iter().fold(T::zero(), T::max))
    }

    /// Works out the residual anew, since moves of single elements add up their rounding.
    fn refresh(&mut self, layer: &LayerProblem<T>) {
        let values = each(&self.elements, |element| element.value);
        self.residual = self.residual_at(layer, &values);
    }

    /// The weighted residual at other values of the elements.
    pub fn residual_at(&self, layer: &LayerProblem<T>, values: &Values<T>) -> Vec<T> {
        let weights = self.weights.as_deref();
        layer.residual(&self.image, &self.elements, values, weights)
    }
}

/// A sweep over the elements of one strip.
struct Sweep<'a, T> {
    layer: &'a LayerProblem<T>,
    part: &'a mut [T],
    top: usize,
    elements: &'a mut [Element<T>],
    /// Of the penalty, and of the pixels of the part.
    weight: T,
    weights: Option<&'a [T]>,
}

impl<T: Real> WithSimd for Sweep<'_, T> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T {
        let layer = self.layer;
        let mut largest = T::zero();
        for element in self.elements {
            let Element {
                place,
                value,
                energy,
            } = *element;
            let product = layer.correlate_one(simd, self.part, self.top, place);
            let pull = product + energy * value;
            let best = layer.best(pull, energy, layer.weight_of(place, self.weight));
            if best != value {
                let new = layer.relaxed(value, best);
                let atom = (place, value - new);
                layer.add_one(simd, self.part, self.top, atom, self.weights);
                element.value = new;
                largest = largest.max((best - value).abs() * energy);
            }
        }
        largest
    }
}
