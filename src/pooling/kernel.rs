//! Finding the switches on the CPU.

use burn::tensor::{DType, Element, Tensor};
use num_traits::Float;
use rayon::prelude::*;

use super::{NOWHERE, Pool};
use crate::backend::with_numbers;

/// The place of the largest magnitude of each window.
pub(super) fn switches(maps: &Tensor<4>, pool: Pool) -> Vec<i32> {
    match maps.dtype() {
        DType::F64 => find::<f64>(maps, pool),
        _ => find::<f32>(maps, pool),
    }
}

/// By what the elements of a window are compared. What is not a number counts as infinite: dropped, it
/// would look like a zero.
pub(crate) fn magnitude<T: Float>(x: T) -> T {
    if x.is_nan() { T::infinity() } else { x.abs() }
}

fn find<T: Float + Element + bytemuck::Pod>(maps: &Tensor<4>, pool: Pool) -> Vec<i32> {
    let shape @ [_, k, height, width] = maps.dims();
    let [_, groups, _, _] = pool.pooled(shape);
    let (image, slab) = (k * height * width, pool.maps * height * width);
    with_numbers::<T, _, 4>(maps, |values| {
        let images = values.par_chunks_exact(image.max(1));
        let places = images.flat_map(|image| {
            (0..groups).into_par_iter().flat_map_iter(move |group| {
                let from = group * slab;
                let slab = &image[from..image.len().min(from + slab)];
                of_slab(slab, [height, width], pool, from)
            })
        });
        places.collect()
    })
}

/// Those of the windows over some adjacent maps, which begin at `from` in their image.
fn of_slab<T: Float>(slab: &[T], [height, width]: [usize; 2], pool: Pool, from: usize) -> Vec<i32> {
    let [down, across] = [height.div_ceil(pool.rows), width.div_ceil(pool.columns)];
    let mut places = Vec::with_capacity(down * across);
    for window in 0..down * across {
        let [y, x] = [window / across * pool.rows, window % across * pool.columns];
        let [y_end, x_end] = [(y + pool.rows).min(height), (x + pool.columns).min(width)];
        let (mut most, mut place) = (T::zero(), NOWHERE);
        for map in (0..slab.len()).step_by(height * width) {
            for x in x..x_end {
                for y in y..y_end {
                    let at = map + y * width + x;
                    let magnitude = magnitude(slab[at]);
                    if magnitude > most {
                        (most, place) = (magnitude, (from + at) as i32);
                    }
                }
            }
        }
        places.push(place);
    }
    places
}
