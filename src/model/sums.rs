//! Sums over the images of a batch.

use burn::tensor::Tensor;

/// The sum of each image's elements, in double precision from rows on.
///
/// # Shapes
/// `[n, ..]` -> n numbers.
pub(crate) fn sums(x: Tensor<4>) -> Vec<f64> {
    let n = x.dims()[0];
    let rows: Vec<f64> = x.sum_dim(3).into_data().iter::<f64>().collect();
    rows.chunks(rows.len() / n)
        .map(|image| image.iter().sum())
        .collect()
}
