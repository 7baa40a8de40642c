//! Coordinate descent on a working set: the fastest way to sparse maps of one layer.

mod batch;
mod border;
mod image;
mod layer_problem;
mod newton;
mod numbers;
mod strips;
#[cfg(test)]
mod tests;

use burn::tensor::{DType, Device, Element, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::batch::SparseBatch;
use self::image::{FALL, Image};
use self::layer_problem::LayerProblem;
use self::numbers::Real;
use super::coding_solver::CodingSolver;
use super::{Problem, Reason, Solver};
use crate::pass::numbers;

/// Coordinate descent on a working set, for one layer:
///
/// ```text
/// z[k, i, j] <- shrink(z[k, i, j] + <f[., k], m r> / e, w / e),   e = <f[., k], m f[., k]>,
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
pub struct CoordinateDescent {}

impl CoordinateDescent {
    /// The rounds after which the weight of the penalty, from maps of zeros, has fallen from its largest
    /// useful value to a share of that.
    pub fn rounds_to(share: f64) -> usize {
        (share.log2() / FALL.log2()).ceil() as usize
    }
}

/// The images and their working sets.
#[derive(Clone, Debug)]
pub struct CoordinateDescentState {
    work: Work,
    device: Device,
}

impl CoordinateDescentState {
    /// The maps as they are held here, see [`SparseBatch::new`].
    fn into_sparse(self) -> Option<SparseBatch> {
        match self.work {
            Work::Single(Images { layer, images }) => {
                let images = images.into_iter().map(Image::into_parts).collect();
                SparseBatch::from_parts(&layer, self.device, images)
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
    layer: LayerProblem<T>,
    images: Vec<Image<T>>,
}

impl<T: Real + Element> Images<T> {
    fn new(problem: &Problem, start: Tensor<4>) -> Self {
        let layer = LayerProblem::of(problem);
        let n = start.dims()[0];
        let data = &problem.data;
        let planes: Vec<T> = numbers(data.weighted(data.images().clone()));
        let weights: Option<Vec<T>> = data.weights().cloned().map(numbers);
        let maps: Vec<T> = numbers(start);
        let size = planes.len() / n;
        let each = planes
            .par_chunks_exact(size)
            .zip(maps.par_chunks_exact(maps.len() / n))
            .enumerate();
        let image = |(i, (planes, maps)): (usize, (&[T], &[T]))| {
            let weights = weights.as_deref().map(|all| &all[i * size..(i + 1) * size]);
            Image::new(&layer, planes, weights, maps)
        };
        Self {
            images: each.map(image).collect(),
            layer,
        }
    }

    fn each(&mut self, work: impl Fn(&mut Image<T>, &LayerProblem<T>) + Sync) {
        let layer = &self.layer;
        self.images
            .par_iter_mut()
            .for_each(|image| work(image, layer));
    }

    fn settled(&self) -> bool {
        self.images.iter().all(Image::settled)
    }

    fn maps(&self) -> TensorData {
        let [k, height, width] = self.layer.maps();
        let mut maps = vec![T::zero(); self.images.len() * k * height * width];
        for (image, maps) in self
            .images
            .iter()
            .zip(maps.chunks_exact_mut(k * height * width))
        {
            image.write(&self.layer, maps);
        }
        TensorData::new(maps, [self.images.len(), k, height, width])
    }
}

impl Solver for CoordinateDescent {
    type State = CoordinateDescentState;

    fn init(&self, problem: &Problem, start: Tensor<4>) -> CoordinateDescentState {
        CoordinateDescentState {
            device: start.device(),
            work: match start.dtype() {
                DType::F64 => Work::Double(Images::new(problem, start)),
                _ => Work::Single(Images::new(problem, start)),
            },
        }
    }

    /// The sweeps of a round for every image, or its Newton step.
    fn step(&self, _: &Problem, state: &mut CoordinateDescentState) {
        match &mut state.work {
            Work::Single(images) => images.each(Image::step),
            Work::Double(images) => images.each(Image::step),
        }
    }

    fn round(&self, _: &Problem, state: &mut CoordinateDescentState) {
        match &mut state.work {
            Work::Single(images) => images.each(Image::round),
            Work::Double(images) => images.each(Image::round),
        }
    }

    fn codes(&self, state: &CoordinateDescentState) -> Tensor<4> {
        match &state.work {
            Work::Single(images) => Tensor::from_data(images.maps(), (&state.device, DType::F32)),
            Work::Double(images) => Tensor::from_data(images.maps(), (&state.device, DType::F64)),
        }
    }

    fn done(&self, state: &CoordinateDescentState) -> Option<Reason> {
        let settled = match &state.work {
            Work::Single(images) => images.settled(),
            Work::Double(images) => images.settled(),
        };
        settled.then_some(Reason::Converged)
    }
}

impl CodingSolver for CoordinateDescent {
    const STACKS: bool = false;
    const WEIGHTS: bool = true;
    /// A step is the sweeps of a round, or the Newton step after them.
    const EVERY: usize = 2;

    fn sparse(
        &self,
        _: &Problem,
        state: CoordinateDescentState,
        _: &Tensor<4>,
    ) -> Option<SparseBatch> {
        state.into_sparse()
    }
}
