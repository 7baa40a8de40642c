//! A smooth surface through the known pixels.

use crate::data::Image;
use crate::error::{Error, Result};

/// Steps of relaxation at each size.
const SWEEPS: usize = 40;
/// Over-relaxation: Gauss and Seidel's step is overdone by so much.
const RELAXATION: f32 = 1.6;

/// Fills in missing pixels by a biharmonic surface: the sum of squared differences between each pixel and its
/// neighbours' mean is least. No pixel leaves the range of those known.
///
/// Found from coarse to fine: at half the size a pixel is the mean of the known ones among its four, and what is
/// missing there is filled in likewise; then some of Gauss and Seidel's steps, over-relaxed: far from what is known the
/// surface is no more than near the least.
///
/// # Errors
/// [`Error::Input`] where the image is not finite, the mask is of another size, no pixel is missing or all are.
///
/// ```
/// use deconvnet::{data::Image, restore::interpolate};
///
/// let ramp = Image { channels: 1, height: 1, width: 6, values: vec![0.0, 0.2, 0.0, 0.0, 0.8, 1.0] };
/// let filled = interpolate(&ramp, &[false, false, true, true, false, false])?;
/// assert!((filled.values[2] - 0.4).abs() < 1e-3 && (filled.values[3] - 0.6).abs() < 1e-3);
/// # Ok::<(), deconvnet::Error>(())
/// ```
pub fn interpolate(image: &Image, missing: &[bool]) -> Result<Image> {
    image.check()?;
    let [_, height, width] = image.shape();
    let n = height * width;
    if missing.len() != n {
        return Err(Error::Input(format!(
            "the mask has {} pixels and the image {height} x {width}; both must be of one size",
            missing.len()
        )));
    }
    match missing.iter().filter(|&&missing| missing).count() {
        0 => Err(Error::Input(
            "the mask says that no pixel is missing; mark what is to be filled in".into(),
        )),
        count if count == n => Err(Error::Input(
            "the mask says that every pixel is missing; there is nothing to fill in from".into(),
        )),
        _ => {
            let mut filled = image.clone();
            for c in 0..image.channels {
                let plane = filled.plane_mut(c);
                let known = || plane.iter().zip(missing).filter(|(_, missing)| !**missing);
                let low = known().fold(f32::INFINITY, |low, (v, _)| low.min(*v));
                let high = known().fold(f32::NEG_INFINITY, |high, (v, _)| high.max(*v));
                fill(plane, missing, [height, width]);
                plane.iter_mut().for_each(|v| *v = v.clamp(low, high));
            }
            Ok(filled)
        }
    }
}

fn fill(plane: &mut [f32], missing: &[bool], size: [usize; 2]) {
    if !missing.contains(&true) {
        return;
    }
    let [height, width] = size;
    if height.max(width) > 1 {
        let half = size.map(|side| side.div_ceil(2));
        let mut sums = vec![0.0; half[0] * half[1]];
        let mut counts = vec![0.0; half[0] * half[1]];
        for (k, (v, _)) in plane
            .iter()
            .zip(missing)
            .enumerate()
            .filter(|(_, (_, m))| !**m)
        {
            let at = k / width / 2 * half[1] + k % width / 2;
            sums[at] += v;
            counts[at] += 1.0;
        }
        let lacking: Vec<bool> = counts.iter().map(|count| *count == 0.0).collect();
        let means = sums.iter_mut().zip(&counts);
        means.for_each(|(sum, count)| *sum /= f32::max(*count, 1.0));
        fill(&mut sums, &lacking, half);
        for (k, v) in plane.iter_mut().enumerate().filter(|(k, _)| missing[*k]) {
            *v = sums[k / width / 2 * half[1] + k % width / 2];
        }
    }
    relax(plane, missing, size);
}

/// Gauss and Seidel's steps, over-relaxed, for the least sum of squared Laplacians.
fn relax(plane: &mut [f32], missing: &[bool], [height, width]: [usize; 2]) {
    let around = |k: usize| {
        let (i, j) = (k / width, k % width);
        let all = [
            (i > 0).then(|| k - width),
            (i + 1 < height).then(|| k + width),
            (j > 0).then(|| k - 1),
            (j + 1 < width).then(|| k + 1),
        ];
        all.into_iter().flatten()
    };
    let laplacian = |k: usize| around(k).map(|n| plane[k] - plane[n]).sum::<f32>();
    let mut laplacians: Vec<f32> = (0..plane.len()).map(laplacian).collect();
    let unknown: Vec<usize> = (0..plane.len()).filter(|k| missing[*k]).collect();
    for _ in 0..SWEEPS {
        for &k in &unknown {
            let degree = around(k).count() as f32;
            let slope = degree * laplacians[k] - around(k).map(|n| laplacians[n]).sum::<f32>();
            let change = -RELAXATION * slope / (degree * degree + degree).max(1.0);
            plane[k] += change;
            laplacians[k] += degree * change;
            around(k).for_each(|n| laplacians[n] -= change);
        }
    }
}
