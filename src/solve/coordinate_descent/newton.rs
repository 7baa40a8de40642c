//! A Newton step on the elements that are not zero.

use super::image::Image;
use super::layer_problem::{Element, LayerProblem, Values, each};
use super::numbers::{Real, real, sum_of, weighted_square};

/// The fewest that a step has.
const LEAST: usize = 2;
/// A step that raises the objective to more than this share went too far.
const FAR: f64 = 1.01;
/// Share of the squared residual at which they end.
const ENOUGH: f64 = 1e-6;
/// How often the step is halved before it is given up.
const HALVINGS: usize = 6;

impl<T: Real> Image<T> {
    /// As long as no sign changes the objective (p = 1) is a quadratic in the elements `z` that are
    /// not zero, with atoms `A`:
    ///
    /// ```text
    /// 1/2 || r - A d ||^2 + weight <sign(z), z + d>,   A'A d = A'r - weight sign(z)
    /// ```
    ///
    /// Single moves find out which elements are not zero, and are slow to find their values where
    /// atoms are much alike; conjugate gradients are quick. Elements that would change their sign
    /// stop at zero, and the step is halved until the objective falls.
    ///
    /// Every step has one more conjugate gradient than the last, since exact values are wasted on a
    /// set that still changes. But with more elements than numbers in the image, as a tiny weight
    /// leaves them, many of them lead far away along what the image hardly sees: then the next step
    /// has half as many.
    ///
    /// Returns whether a step was taken.
    pub fn newton(&mut self, layer: &LayerProblem<T>) -> bool {
        let weight: T = real(layer.weight);
        let pulls = layer.correlate(&self.residual, &self.elements);
        let slope = |element: &Element<T>, pull: T| {
            pull - layer.weight_of(element.place, weight) * element.value.signum()
        };
        let slopes = self.with(&pulls, slope);
        let step = self.conjugate_gradients(layer, slopes, self.gradients);
        let before = self.objective(layer, &self.residual, &each(&self.elements, |e| e.value));
        let mut length = T::one();
        for _ in 0..=HALVINGS {
            let stop = |element: &Element<T>, step: T| {
                let moved = element.value + length * step;
                if moved * element.value > T::zero() {
                    moved
                } else {
                    T::zero()
                }
            };
            let values = self.with(&step, stop);
            let residual = self.residual_at(layer, &values);
            let after = self.objective(layer, &residual, &values);
            if length == T::one() {
                self.gradients = match after > FAR * before {
                    true => LEAST.max(self.gradients / 2),
                    false => self.gradients + 1,
                };
            }
            if after < before {
                self.residual = residual;
                let all = self.elements.iter_mut().flatten();
                for (element, value) in all.zip(values.into_iter().flatten()) {
                    element.value = value;
                }
                return true;
            }
            length = length / (T::one() + T::one());
        }
        false
    }

    /// Solves `A'A d = slopes`, preconditioned by the energies.
    fn conjugate_gradients(
        &self,
        layer: &LayerProblem<T>,
        mut r: Values<T>,
        steps: usize,
    ) -> Values<T> {
        let divided = |r: &Values<T>| self.with(r, |element, r| r / element.energy);
        let mut d = self.with(&r, |_, _| T::zero());
        let mut direction = divided(&r);
        let mut rho = dot(&r, &direction);
        let enough = ENOUGH * rho;
        let mut canvas = self.residual.clone();
        for _ in 0..steps {
            if rho <= enough {
                break;
            }
            canvas.fill(T::zero());
            layer.add(
                &mut canvas,
                &self.elements,
                &direction,
                self.weights.as_deref(),
            );
            let q = layer.correlate(&canvas, &self.elements);
            let alpha = rho / dot(&direction, &q);
            add_multiple(&mut d, real(alpha), &direction);
            add_multiple(&mut r, real(-alpha), &q);
            let y = divided(&r);
            let new = dot(&r, &y);
            scale_and_add(&mut direction, real(new / rho), &y);
            rho = new;
        }
        d
    }

    /// `f` of each element and its number.
    fn with(&self, numbers: &Values<T>, f: impl Fn(&Element<T>, T) -> T) -> Values<T> {
        let strips = self.elements.iter().zip(numbers);
        strips
            .map(|(elements, numbers)| {
                let pairs = elements.iter().zip(numbers);
                pairs.map(|(element, &number)| f(element, number)).collect()
            })
            .collect()
    }

    /// `1/2 sum m r^2 + weight sum W |values|`, from the weighted residual.
    fn objective(&self, layer: &LayerProblem<T>, residual: &[T], values: &Values<T>) -> f64 {
        let sizes: Vec<f64> = match &layer.factors {
            None => values.iter().map(|v| sum_of([v], |[v]| v.abs())).collect(),
            Some(_) => {
                let factor = |element: &Element<T>| layer.weight_of(element.place, T::one());
                let pairs = values.iter().zip(each(&self.elements, factor));
                pairs
                    .map(|(v, w)| sum_of([v, &w], |[v, w]| w * v.abs()))
                    .collect()
            }
        };
        0.5 * weighted_square(residual, self.weights.as_deref())
            + layer.weight * sizes.iter().sum::<f64>()
    }
}

fn dot<T: Real>(a: &Values<T>, b: &Values<T>) -> f64 {
    let strips = a.iter().zip(b);
    strips.map(|(a, b)| sum_of([a, b], |[a, b]| a * b)).sum()
}

/// `y += factor x`
fn add_multiple<T: Real>(y: &mut Values<T>, factor: T, x: &Values<T>) {
    for (y, x) in y.iter_mut().zip(x) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = *y + factor * x;
        }
    }
}

/// `y = factor y + x`
fn scale_and_add<T: Real>(y: &mut Values<T>, factor: T, x: &Values<T>) {
    for (y, x) in y.iter_mut().zip(x) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = factor * *y + x;
        }
    }
}
