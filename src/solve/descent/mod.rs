//! Coordinate descent on a working set: the fastest way to sparse maps of one layer.

mod batch;
mod image;
mod newton;
mod shared;
mod strips;
#[cfg(test)]
mod tests;

use burn::tensor::{DType, Device, Element, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::batch::SparseBatch;
use self::image::{FALL, Image};
use self::shared::{Real, Shared};
use super::{Problem, Reason, Solver};
use crate::pass::numbers;

/// Coordinate descent on a working set, for one layer:
///
/// ```text
/// z[k, i, j] <- shrink(z[k, i, j] + <f[., k], r> / ||f[., k]||^2, w / ||f[., k]||^2),
///               r the residual under the atom of the element,  w = sparsity / data_weight
/// ```
///
/// Nearly all elements of the maps are zero at the solution. A round works out the gradient of all,
/// takes those into the working set that the penalty does not hold at zero, and moves each element
/// of the set to its own best value a few times; those that end at zero leave it. One move costs the
/// taps of one filter, whatever the size of the image. From maps of zeros the weight of the penalty
/// begins at its largest useful value and falls from round to round, so that the set is small
/// at all times. With p = 1 an element that keeps its sign moves 1.3 times the way (successive
/// over-relaxation). At the weight of the problem, and for p = 1, every round ends with a Newton step on
/// the elements that are not zero, by conjugate gradients; without it the end is slow where filters
/// are much alike. It is a step of its own: such a round takes two.
///
/// For p = 1 it converges to the least objective; for p < 1 to maps that no move of one element
/// improves. It computes on the CPU whatever the device of the images: they are read once, and the
/// maps are written when they are asked for.
///
/// Sources: Friedman, Hastie and Tibshirani 2010 (descent and the falling weight); Johnson and
/// Guestrin 2015, Massias, Gramfort and Salmon 2018 (working sets); Moreau, Oudre and Vayatis 2018
/// (convolutional coordinate descent); Cryer 1971 (over-relaxation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Descent {}

impl Descent {
    /// The rounds after which the weight of the penalty, from maps of zeros, has fallen from its largest
    /// useful value to a share of that.
    pub fn rounds_to(share: f64) -> usize {
        (share.log2() / FALL.log2()).ceil() as usize
    }
}

/// The images and their working sets.
#[derive(Clone, Debug)]
pub struct DescentState {
    work: Work,
    device: Device,
}

impl DescentState {
    /// The maps as they are held here, see [`SparseBatch::new`].
    pub(super) fn into_sparse(self) -> Option<SparseBatch> {
        match self.work {
            Work::Single(Images { shared, images }) => {
                let images = images.into_iter().map(Image::into_parts).collect();
                SparseBatch::from_parts(&shared, self.device, images)
            }
            Work::Double(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
enum Work {
    Single(Images<f32>),
    Double(Images<f64>),
}

#[derive(Clone, Debug)]
struct Images<T> {
    shared: Shared<T>,
    images: Vec<Image<T>>,
}

impl<T: Real + Element> Images<T> {
    fn new(problem: &Problem, start: Tensor<4>) -> Self {
        let shared = Shared::of(problem);
        let n = start.dims()[0];
        let (planes, maps): (Vec<T>, Vec<T>) = (numbers(problem.images.clone()), numbers(start));
        let each = planes
            .par_chunks_exact(planes.len() / n)
            .zip(maps.par_chunks_exact(maps.len() / n));
        Self {
            images: each
                .map(|(planes, maps)| Image::new(&shared, planes, maps))
                .collect(),
            shared,
        }
    }

    fn each(&mut self, work: impl Fn(&mut Image<T>, &Shared<T>) + Sync) {
        let shared = &self.shared;
        self.images
            .par_iter_mut()
            .for_each(|image| work(image, shared));
    }

    fn settled(&self) -> bool {
        self.images.iter().all(Image::settled)
    }

    fn maps(&self) -> TensorData {
        let [k, height, width] = self.shared.maps();
        let mut maps = vec![T::zero(); self.images.len() * k * height * width];
        for (image, maps) in self
            .images
            .iter()
            .zip(maps.chunks_exact_mut(k * height * width))
        {
            image.write(&self.shared, maps);
        }
        TensorData::new(maps, [self.images.len(), k, height, width])
    }
}

impl Solver for Descent {
    type State = DescentState;

    fn init(&self, problem: &Problem, start: Tensor<4>) -> DescentState {
        DescentState {
            device: start.device(),
            work: match start.dtype() {
                DType::F64 => Work::Double(Images::new(problem, start)),
                _ => Work::Single(Images::new(problem, start)),
            },
        }
    }

    /// The sweeps of a round for every image, or its Newton step.
    fn step(&self, _: &Problem, state: &mut DescentState) {
        match &mut state.work {
            Work::Single(images) => images.each(Image::step),
            Work::Double(images) => images.each(Image::step),
        }
    }

    fn round(&self, _: &Problem, state: &mut DescentState) {
        match &mut state.work {
            Work::Single(images) => images.each(Image::round),
            Work::Double(images) => images.each(Image::round),
        }
    }

    fn codes(&self, state: &DescentState) -> Tensor<4> {
        match &state.work {
            Work::Single(images) => Tensor::from_data(images.maps(), (&state.device, DType::F32)),
            Work::Double(images) => Tensor::from_data(images.maps(), (&state.device, DType::F64)),
        }
    }

    fn done(&self, state: &DescentState) -> Option<Reason> {
        let settled = match &state.work {
            Work::Single(images) => images.settled(),
            Work::Double(images) => images.settled(),
        };
        settled.then_some(Reason::Converged)
    }
}
