//! Finding the switches by plain Burn operations, on every backend.

use burn::tensor::{Int, Tensor, TensorData};

use super::{NOWHERE, Pool};

/// The place of the largest magnitude of each window, see [`super::Switches::places`].
///
/// The elements are gathered window by window in the order of the scan; those beyond the border count
/// as 0. The first of the largest has the least rank among those that equal the maximum.
pub fn switches(maps: Tensor<4>, pool: Pool) -> Vec<i32> {
    let shape @ [n, k, height, width] = maps.dims();
    let [_, groups, down, across] = pool.pooled(shape);
    let (windows, each) = (groups * down * across, pool.maps * pool.rows * pool.columns);
    let mut places = Vec::with_capacity(windows * each);
    for window in 0..windows {
        let [group, row, column] = [
            window / (down * across),
            window / across % down,
            window % across,
        ];
        for element in 0..each {
            let [map, x, y] = [
                group * pool.maps + element / (pool.columns * pool.rows),
                column * pool.columns + element / pool.rows % pool.columns,
                row * pool.rows + element % pool.rows,
            ];
            let inside = map < k && y < height && x < width;
            places.push(if inside {
                ((map * height + y) * width + x) as i32
            } else {
                NOWHERE
            });
        }
    }
    let device = maps.device();
    let at: Vec<i32> = places.iter().map(|&place| place.max(0)).collect();
    let inside: Vec<f32> = places.iter().map(|&place| f32::from(place >= 0)).collect();
    let at = Tensor::<1, Int>::from_data(TensorData::new(at, [windows * each]), &device);
    let inside = TensorData::new(inside, [1, windows * each]);
    let inside = Tensor::<2>::from_data(inside, (&device, maps.dtype()));
    let magnitudes = maps.abs().reshape([n, k * height * width]).select(1, at) * inside;
    let magnitudes = magnitudes.reshape([n * windows, each]);
    let most = magnitudes.clone().max_dim(1);
    let ranks: Vec<i32> = (0..each as i32).collect();
    let ranks = Tensor::<1, Int>::from_data(TensorData::new(ranks, [each]), &device);
    let ranks = ranks.unsqueeze::<2>().expand([n * windows, each]);
    let first = ranks
        .mask_fill(magnitudes.lower(most.clone()), each as i32)
        .min_dim(1);
    let first: Vec<i32> = first.into_data().convert::<i32>().iter().collect();
    let most: Vec<f64> = most.into_data().iter().collect();
    let found = first.into_iter().zip(most).enumerate();
    found
        .map(|(w, (rank, most))| match most > 0.0 {
            true => places[w % windows * each + rank as usize],
            false => NOWHERE,
        })
        .collect()
}
