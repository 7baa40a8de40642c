//! The products of the filter step over the elements that are not zero.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::layer_problem::{Element, Elements, LayerProblem, each};
use super::numbers::{sum_of, weighted_square};
use crate::backend::is_cpu;
use crate::connectivity::Connectivity;
use crate::conv::cpu::Sizes;
use crate::conv::patch::dispatch;
use crate::model::{Boundary, Evaluation, Objective, Sums};
use crate::pass::numbers;
use crate::penalty;
use crate::solve::Problem;

/// The sparse maps of a batch and its images, for the filters of one layer: the operator
/// `A f = z * f` and its adjoint at the price of the elements that are not zero. Sums over images are taken
/// in double precision and handed over so: however a batch is divided, hardly a bit of them differs.
#[derive(Clone, Debug)]
pub struct SparseBatch {
    g: Connectivity,
    sizes: Sizes,
    boundary: Boundary,
    factors: Option<Arc<Vec<f32>>>,
    device: Device,
    images: Vec<Parts>,
}

/// The elements of an image, and its weighted planes and their weights on the canvas.
type Parts = (Elements<f32>, Vec<f32>, Option<Vec<f32>>);

/// Whether there are so many elements that are not zero that the products of whole images are faster.
fn is_dense(used: usize, all: usize) -> bool {
    used as f64 > 0.1 * all as f64
}

impl SparseBatch {
    /// The maps and images of a problem of one layer in single precision; none of others, or where the
    /// maps are not sparse or not finite. It computes on the CPU, so maps that lie elsewhere have none
    /// either.
    pub fn new(problem: &Problem, maps: &Tensor<4>) -> Option<Self> {
        let device = maps.device();
        let one_layer = problem.network.layers().len() == 1;
        if !one_layer || maps.dtype() != DType::F32 || !is_cpu(&device) {
            return None;
        }
        let layer = LayerProblem::of(problem);
        let data = &problem.data;
        let planes: Vec<f32> = numbers(data.weighted(data.images().clone()));
        let weights: Option<Vec<f32>> = data.weights().cloned().map(numbers);
        let maps: Vec<f32> = numbers(maps.clone());
        // Elements are what is above zero, which a NaN is not.
        let wild = maps.iter().fold(false, |wild, z| wild | !z.is_finite());
        if wild || is_dense(maps.iter().filter(|&&z| z != 0.0).count(), maps.len()) {
            return None;
        }
        let n = data.dims()[0];
        let size = planes.len() / n;
        let frame = layer.atoms.frame();
        let pairs = planes
            .par_chunks_exact(size)
            .zip(maps.par_chunks_exact(maps.len() / n))
            .enumerate();
        let parts = |(i, (planes, maps)): (usize, (&[f32], &[f32]))| {
            let weights = weights.as_deref();
            let weights = weights.map(|all| frame.canvas(&all[i * size..(i + 1) * size]));
            let elements = layer.elements(maps, weights.as_deref());
            (elements, frame.canvas(planes), weights)
        };
        let images = pairs.map(parts).collect();
        Self::from_parts(&layer, device, images)
    }

    /// From the parts of each image.
    pub(super) fn from_parts(
        layer: &LayerProblem<f32>,
        device: Device,
        images: Vec<Parts>,
    ) -> Option<Self> {
        let elements = images.iter().flat_map(|(elements, ..)| elements);
        let all = images.len() * layer.maps().iter().product::<usize>();
        let dense = is_dense(elements.map(Vec::len).sum(), all);
        (is_cpu(&device) && !dense).then(|| Self {
            g: layer.g.clone(),
            sizes: layer.sizes,
            boundary: layer.border.boundary,
            factors: layer.factors.clone(),
            device,
            images,
        })
    }

    /// `A'm y`, the filter gradient of the weighted images.
    pub fn data(&self) -> Tensor<4> {
        let zeros = vec![0.0; self.g.planes() * self.g.maps() * self.taps()];
        let layer = self.layer(zeros);
        self.sum(&layer, |(elements, image, _)| {
            collect(&layer, elements, image)
        })
    }

    /// `A'm A f`.
    pub fn normal(&self, filters: &Tensor<4>) -> Tensor<4> {
        let layer = self.layer(numbers(filters.clone()));
        self.sum(&layer, |(elements, image, weights)| {
            let mut canvas = vec![0.0; image.len()];
            let values = each(elements, |e| e.value);
            layer.add(&mut canvas, elements, &values, weights.as_deref());
            collect(&layer, elements, &canvas)
        })
    }

    /// The squared norm of each map, that of each image by its mean weight, `[1, maps, 1, 1]`.
    pub fn energies(&self) -> Tensor<4> {
        let mut energies = vec![0.0; self.g.maps()];
        for (elements, _, weights) in &self.images {
            let mean = weights.as_deref().map_or(1.0, |weights| {
                sum_of([weights], |[m]| m) / self.pixels() as f64
            });
            for element in elements.iter().flatten() {
                energies[element.place.map as usize] += mean * f64::from(element.value).powi(2);
            }
        }
        self.double(energies, [1, self.g.maps(), 1, 1])
    }

    /// How good the maps are with other filters, as [`Objective::measure`] tells for each image.
    pub fn measure(&self, filters: &Tensor<4>, objective: &Objective) -> Vec<Evaluation> {
        let filters: Vec<f32> = numbers(filters.clone());
        // Those of maps that are not used are not looked at below.
        let finite = filters.iter().all(|f| f.is_finite());
        let layer = self.layer(filters);
        let [k, height, width] = layer.maps();
        let measure = |(elements, image, weights): &Parts| {
            let weights = weights.as_deref();
            let present = each(elements, |e| e.value);
            let residual = layer.residual(image, elements, &present, weights);
            let elements = || elements.iter().flatten();
            let values = || elements().map(|e| f64::from(e.value));
            let count = match weights {
                Some(weights) => sum_of([weights], |[m]| m),
                None => self.pixels() as f64,
            };
            objective.evaluation(Sums {
                error: match finite {
                    true => weighted_square(&residual, weights),
                    false => f64::NAN,
                },
                penalty: elements()
                    .map(|e| {
                        let weight = f64::from(layer.weight_of(e.place, 1.0));
                        weight * penalty::value_number(f64::from(e.value), objective.penalty())
                    })
                    .sum(),
                used: values().filter(|&z| z != 0.0).count(),
                elements: k * height * width,
                image: [
                    count,
                    sum_of([image], |[y]| y),
                    weighted_square(image, weights),
                ],
                dual: None,
            })
        };
        self.images.par_iter().map(measure).collect()
    }

    /// The sum of a term over all images, as filters.
    fn sum(
        &self,
        layer: &LayerProblem<f32>,
        term: impl Fn(&Parts) -> Vec<f32> + Sync,
    ) -> Tensor<4> {
        let terms = self.images.par_iter().map(|parts| {
            let term = term(parts);
            layer.atoms.filters(&term, &self.g)
        });
        let terms: Vec<Vec<f32>> = terms.collect();
        let [h, w] = self.sizes.filter;
        let shape = [self.g.planes(), self.g.maps(), h, w];
        let mut sum = vec![0.0; shape.iter().product()];
        for term in terms {
            for (sum, term) in sum.iter_mut().zip(term) {
                *sum += f64::from(term);
            }
        }
        self.double(sum, shape)
    }

    fn double(&self, numbers: Vec<f64>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(numbers, shape), (&self.device, DType::F64))
    }

    fn layer(&self, filters: Vec<f32>) -> LayerProblem<f32> {
        LayerProblem {
            factors: self.factors.clone(),
            ..LayerProblem::new(filters, self.g.clone(), self.sizes, self.boundary)
        }
    }

    fn pixels(&self) -> usize {
        self.g.planes() * self.sizes.image.iter().product::<usize>()
    }

    fn taps(&self) -> usize {
        self.sizes.filter.iter().product()
    }
}

/// The filter gradient of a canvas, laid out as the atoms are.
fn collect(layer: &LayerProblem<f32>, elements: &Elements<f32>, canvas: &[f32]) -> Vec<f32> {
    let strips: Vec<Vec<f32>> = elements
        .par_iter()
        .map(|elements| {
            let mut taps = layer.atoms.blank();
            dispatch(Collect {
                layer,
                canvas,
                elements,
                taps: &mut taps,
            });
            taps
        })
        .collect();
    strips.into_iter().reduce(plus).unwrap_or_default()
}

fn plus(mut sum: Vec<f32>, term: Vec<f32>) -> Vec<f32> {
    for (sum, term) in sum.iter_mut().zip(term) {
        *sum += term;
    }
    sum
}

struct Collect<'a> {
    layer: &'a LayerProblem<f32>,
    canvas: &'a [f32],
    elements: &'a [Element<f32>],
    taps: &'a mut [f32],
}

impl WithSimd for Collect<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for element in self.elements {
            let Element { place, value, .. } = *element;
            let LayerProblem { atoms, border, .. } = self.layer;
            atoms.collect(simd, self.canvas, place, value, self.taps);
            if border.goes_round(place) {
                for copy in border.copies(place).into_iter().flatten() {
                    atoms.collect(simd, self.canvas, copy, value, self.taps);
                }
            }
        }
    }
}
