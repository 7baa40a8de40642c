//! Pooling by plain Burn operations, on every backend.

use burn::tensor::{DType, IndexingUpdateOp, Int, Tensor, TensorData};

use super::{NOWHERE, Pool};

/// The place of the largest magnitude of each window, see [`super::Switches::places`].
///
/// The elements are gathered window by window in the order of the scan; those beyond the border count
/// as 0. The first of the largest has the least rank among those that equal the maximum.
pub fn switches(maps: Tensor<4>, pool: Pool) -> Tensor<4, Int> {
    let shape @ [n, k, height, width] = maps.dims();
    let pooled @ [_, groups, down, across] = pool.pooled(shape);
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
    let like = (&maps.device(), DType::I32);
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [windows * each]), like);
    let all = [n, windows * each];
    let outside = places.clone().lower_elem(0).unsqueeze::<2>().expand(all);
    let magnitudes = maps.abs().reshape([n, k * height * width]);
    let magnitudes = magnitudes.select(1, places.clone().clamp_min(0));
    let unknown = magnitudes.clone().is_nan();
    let magnitudes = magnitudes
        .mask_fill(unknown, f64::INFINITY)
        .mask_fill(outside, 0.0);
    let of_windows = [n * windows, each];
    let magnitudes = magnitudes.reshape(of_windows);
    let most = magnitudes.clone().max_dim(1);
    let ranks: Vec<i32> = (0..each as i32).collect();
    let ranks = Tensor::<1, Int>::from_data(TensorData::new(ranks, [each]), like);
    let ranks = ranks.unsqueeze::<2>().expand(of_windows);
    let first = ranks
        .mask_fill(magnitudes.lower(most.clone()), each as i32)
        .min_dim(1);
    let places = places.unsqueeze::<2>().expand(all).reshape(of_windows);
    let places = places.gather(1, first);
    places
        .mask_fill(most.equal_elem(0.0), NOWHERE)
        .reshape(pooled)
}

/// The elements at the places, 0 where there is none.
pub fn pool(maps: Tensor<4>, places: Tensor<4, Int>) -> Tensor<4> {
    let ([n, k, height, width], pooled) = (maps.dims(), places.dims());
    let places = places.flatten::<2>(1, 3);
    let nowhere = places.clone().lower_elem(0);
    let maps = maps.reshape([n, k * height * width]);
    let kept = maps.gather(1, places.clamp_min(0));
    kept.mask_fill(nowhere, 0.0).reshape(pooled)
}

/// The values at their places in maps of a given shape, zeros elsewhere.
pub fn unpool(values: Tensor<4>, places: Tensor<4, Int>, maps: [usize; 4]) -> Tensor<4> {
    let [n, k, height, width] = maps;
    let places = places.flatten::<2>(1, 3);
    let values = values
        .flatten::<2>(1, 3)
        .mask_fill(places.clone().lower_elem(0), 0.0);
    let zeros = Tensor::<2>::zeros([n, k * height * width], (&values.device(), values.dtype()));
    let out = zeros.scatter(1, places.clamp_min(0), values, IndexingUpdateOp::Add);
    out.reshape(maps)
}
