//! Gaussian-weighted local statistics of a plane, with reflected borders.
//!
//! A plane is a slice of `height * width` values, row by row. All sums are in double precision.

/// The weights of a one-dimensional Gaussian window, of sum one. Their outer product is the
/// two-dimensional window, so that rows and columns can be smoothed one after the other.
pub fn gaussian(size: usize, sigma: f64) -> Vec<f64> {
    let middle = (size as f64 - 1.0) / 2.0;
    let weight = |k| {
        let a = (k as f64 - middle) / sigma;
        (-0.5 * a * a).exp()
    };
    let sum: f64 = (0..size).map(weight).sum();
    (0..size).map(|k| weight(k) / sum).collect()
}

/// The local mean of each value: smoothing with `kernel`, of odd length, along rows and columns.
pub fn blur(plane: &[f64], width: usize, kernel: &[f64]) -> Vec<f64> {
    let height = plane.len() / width;
    let radius = kernel.len() / 2;
    let columns = reflected(width, radius);
    let mut smooth = vec![0.0; plane.len()];
    let mut padded = vec![0.0; columns.len()];
    for (row, out) in plane.chunks(width).zip(smooth.chunks_mut(width)) {
        for (p, &j) in padded.iter_mut().zip(&columns) {
            *p = row[j];
        }
        for (k, weight) in kernel.iter().enumerate() {
            add(out, *weight, &padded[k..k + width]);
        }
    }
    let rows = reflected(height, radius);
    let mut result = vec![0.0; plane.len()];
    for (i, out) in result.chunks_mut(width).enumerate() {
        for (weight, &r) in kernel.iter().zip(&rows[i..]) {
            add(out, *weight, &smooth[r * width..(r + 1) * width]);
        }
    }
    result
}

/// The local mean of each value, over those that are known where not all are; 0 where none is near.
pub fn local_mean(plane: &[f64], width: usize, kernel: &[f64], known: Option<&[bool]>) -> Vec<f64> {
    let Some(known) = known else {
        return blur(plane, width, kernel);
    };
    let of_known = |value: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let values = plane.iter().zip(known);
        let values = values.map(|(&v, &known)| if known { value(v) } else { 0.0 });
        blur(&values.collect::<Vec<_>>(), width, kernel)
    };
    let (mut mean, shares) = (of_known(&|v| v), of_known(&|_| 1.0));
    for (mean, share) in mean.iter_mut().zip(shares) {
        if share > 0.0 {
            *mean /= share;
        }
    }
    mean
}

/// `out += weight * values`.
fn add(out: &mut [f64], weight: f64, values: &[f64]) {
    for (o, v) in out.iter_mut().zip(values) {
        *o += weight * v;
    }
}

/// The indices `-radius .. n + radius`, each folded back into `0 .. n` at the outermost values:
/// `2 1 | 0 1 2 | 1 0`.
fn reflected(n: usize, radius: usize) -> Vec<usize> {
    // The folded index repeats after `period`; a lone value is its own neighbour.
    let period = (2 * (n - 1)).max(1);
    let start = radius.next_multiple_of(period) - radius;
    (start..start + n + 2 * radius)
        .map(|i| {
            let place = i % period;
            place.min(period - place).min(n - 1)
        })
        .collect()
}

/// The local mean and the local standard deviation, `sqrt(local mean of squares - local mean^2)`, over the values that
/// are known.
pub fn statistics(
    plane: &[f64],
    width: usize,
    kernel: &[f64],
    known: Option<&[bool]>,
) -> (Vec<f64>, Vec<f64>) {
    let mean = local_mean(plane, width, kernel, known);
    let squares: Vec<f64> = plane.iter().map(|v| v * v).collect();
    let mut deviation = local_mean(&squares, width, kernel, known);
    for (d, m) in deviation.iter_mut().zip(&mean) {
        let variance = *d - m * m;
        // Below this the difference is rounding: the neighbourhood is flat.
        *d = if variance > 1e-12 * *d {
            variance.sqrt()
        } else {
            0.0
        };
    }
    (mean, deviation)
}

/// Raises what lies below the median, that of the known values, to it. Where that is zero (an image that is flat for the most
/// part) the median of the others counts, and one if there are none.
///
/// The median of an even number of values is the lower of the middle two.
pub fn floor_at_median(mut deviation: Vec<f64>, known: Option<&[bool]>) -> Vec<f64> {
    let median = |mut values: Vec<f64>| {
        let middle = values.len().checked_sub(1)? / 2;
        Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
    };
    let positive = |values: &[f64]| values.iter().copied().filter(|d| *d > 0.0).collect();
    let seen = match known {
        None => deviation.clone(),
        Some(known) => {
            let each = deviation.iter().zip(known);
            each.filter_map(|(&d, &known)| known.then_some(d)).collect()
        }
    };
    let floor = median(seen.clone())
        .filter(|d| *d > 0.0)
        .or_else(|| median(positive(&seen)))
        .unwrap_or(1.0);
    for d in &mut deviation {
        *d = d.max(floor);
    }
    deviation
}

/// Copies into `out`, rows of a width of its own, what lies in a plane from a row and a column on.
pub fn crop(
    plane: &[f64],
    width: usize,
    [row, column]: [usize; 2],
    (out, own): (&mut [f32], usize),
) {
    let rows = plane.chunks(width).skip(row);
    for (row, out) in rows.zip(out.chunks_mut(own)) {
        for (o, v) in out.iter_mut().zip(&row[column..]) {
            *o = *v as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_by_hand() {
        let e = (-0.125_f64).exp();
        let expected = [e, 1.0, e].map(|w| w / (1.0 + 2.0 * e));
        for (w, x) in gaussian(3, 2.0).iter().zip(expected) {
            assert!((w - x).abs() < 1e-15);
        }
    }

    #[test]
    fn borders_fold_at_the_outermost_value_as_often_as_needed() {
        assert_eq!(reflected(3, 2), [2, 1, 0, 1, 2, 1, 0]);
        assert_eq!(reflected(2, 3), [1, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(reflected(1, 2), [0; 5]);
        assert_eq!(reflected(3, 5), [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
    }

    #[test]
    fn blur_by_hand() {
        // Rows first: 1 2 4 -> 1.5 2.25 3 with weights 1/4 1/2 1/4 and reflected borders.
        let plane = [1.0, 2.0, 4.0, 0.0, 0.0, 0.0];
        let smooth = blur(&plane, 3, &[0.25, 0.5, 0.25]);
        assert_eq!(smooth, [0.75, 1.125, 1.5, 0.75, 1.125, 1.5]);
    }

    #[test]
    fn deviation_by_hand() {
        // The neighbours of 0 are 2 and 2: mean (2 + 0 + 0 + 2) / 4, mean of squares 2.
        let (mean, deviation) = statistics(&[0.0, 2.0], 2, &[0.25, 0.5, 0.25], None);
        assert_eq!(mean, [1.0, 1.0]);
        assert_eq!(deviation, [1.0, 1.0]);
        let (_, flat) = statistics(&[0.3; 6], 3, &gaussian(5, 1.0), None);
        assert_eq!(flat, [0.0; 6]);
    }

    #[test]
    fn floors() {
        for (deviation, floored) in [
            (&[4.0, 1.0, 3.0][..], &[4.0, 3.0, 3.0][..]),
            (&[4.0, 1.0, 3.0, 2.0], &[4.0, 2.0, 3.0, 2.0]),
            (&[0.0, 0.0, 0.0, 5.0, 7.0], &[5.0, 5.0, 5.0, 5.0, 7.0]),
            (&[0.0; 2], &[1.0; 2]),
        ] {
            assert_eq!(floor_at_median(deviation.to_vec(), None), floored);
        }
    }

    #[test]
    fn crops_from_a_corner() {
        let plane: Vec<f64> = (0..20).map(f64::from).collect();
        let mut out = [0.0; 6];
        crop(&plane, 5, [1, 1], (&mut out, 3));
        assert_eq!(out, [6.0, 7.0, 8.0, 11.0, 12.0, 13.0]);
        crop(&plane[..8], 8, [0, 1], (&mut out, 6));
        assert_eq!(out, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }
}
