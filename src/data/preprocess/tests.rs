//! Against plain loops, and back again.

use super::*;
use crate::data::resize;

/// A deterministic image with structure at every scale and some flat parts.
fn sample(channels: usize, height: usize, width: usize) -> Image {
    let mut image = Image::zeros(channels, height, width);
    let mut state = 1u32;
    for v in &mut image.values {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *v = (state >> 8) as f32 / (1 << 24) as f32;
    }
    image
}

fn kinds() -> [Preprocess; 4] {
    [
        Preprocess::None,
        Preprocess::ZeroMean,
        Preprocess::default(),
        Preprocess::local_mean(),
    ]
}

fn error<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

/// The index folded back at the outermost values.
fn reflect(i: isize, n: usize) -> usize {
    let (mut i, last) = (i, n as isize - 1);
    while i < 0 || i > last {
        i = if i < 0 { -i } else { 2 * last - i };
    }
    i as usize
}

fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (k, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= tolerance, "at {k}: {x} against {y}");
    }
}

#[test]
fn undo_gives_back_the_pixels() {
    let image = sample(3, 20, 17);
    for kind in kinds() {
        let prepare = kind.fit([Ok(image.clone())]).unwrap();
        let (prepared, undo) = prepare.apply(&image).unwrap();
        let (height, width) = prepare.output_size(20, 17).unwrap();
        assert_eq!(prepared.shape(), [3, height, width]);
        let margin = (20 - height) / 2;
        let expected = resize::crop(&image, [margin; 2], [height, width]);
        let pixels = undo.invert(&prepared).unwrap();
        assert_close(&pixels.values, &expected.values, 1e-6);
    }
}

#[test]
fn none_changes_nothing_and_zero_mean_only_the_mean() {
    let image = sample(2, 5, 6);
    let apply = |kind: Preprocess| kind.fit([]).unwrap().apply(&image).unwrap().0;
    assert_eq!(apply(Preprocess::None), image);
    let shifted = apply(Preprocess::ZeroMean);
    for c in 0..2 {
        let mean = image.plane(c).iter().sum::<f32>() / 30.0;
        let expected: Vec<f32> = image.plane(c).iter().map(|v| v - mean).collect();
        assert_close(shifted.plane(c), &expected, 1e-6);
    }
}

/// Every pixel by the definition: plain loops over the two-dimensional window.
#[test]
fn contrast_normalisation_follows_its_definition() {
    let (h, w, size, sigma) = (9, 8, 13, 4.773);
    let image = sample(1, h, w);
    let radius = size as isize / 2;
    let (mut differences, mut deviations) = (Vec::new(), Vec::new());
    for i in 0..h as isize {
        for j in 0..w as isize {
            let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
            for a in -radius..=radius {
                for b in -radius..=radius {
                    let weight = (-((a * a + b * b) as f64) / (2.0 * sigma * sigma)).exp();
                    let v = f64::from(image.values[reflect(i + a, h) * w + reflect(j + b, w)]);
                    total += weight;
                    first += weight * v;
                    second += weight * v * v;
                }
            }
            let mean = first / total;
            differences.push(f64::from(image.values[i as usize * w + j as usize]) - mean);
            deviations.push((second / total - mean * mean).sqrt());
        }
    }
    let mut sorted = deviations.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2 - 1];
    let pairs = differences.iter().zip(&deviations);
    let expected: Vec<f32> = pairs.map(|(v, d)| (v / d.max(median)) as f32).collect();
    let kind = Preprocess::ContrastNormalize { size, sigma };
    let (prepared, _) = kind.fit([]).unwrap().apply(&image).unwrap();
    assert_close(&prepared.values, &expected, 1e-6);
}

#[test]
fn local_mean_by_hand() {
    // A single 1: the local mean is the window itself, over the two places where it fits.
    let mut image = Image::zeros(1, 6, 5);
    image.values[2 * 5 + 2] = 1.0;
    let fitted = Preprocess::local_mean().fit([Ok(image.clone())]).unwrap();
    let (prepared, undo) = fitted.apply(&image).unwrap();
    let weight = |a: f64| (-a * a / (2.0 * 1.591 * 1.591)).exp();
    let sum = (-2..=2).map(|a| weight(f64::from(a))).sum::<f64>();
    let window = [weight(0.0), weight(1.0)].map(|w| (w / (sum * sum)) as f32);
    assert_close(&undo.offset.values, &window, 1e-7);
    // Two values of zero mean and range 2 can only be these.
    assert_close(&prepared.values, &[1.0, -1.0], 1e-6);
}

#[test]
fn local_mean_brings_the_data_set_to_range_two() {
    let images = [sample(3, 12, 12), sample(1, 7, 30)];
    let prepare = Preprocess::local_mean()
        .fit(images.clone().map(Ok))
        .unwrap();
    let mut range = Range::new();
    for image in &images {
        range.add(&prepare.apply(image).unwrap().0.values);
    }
    assert!((range.max - range.min - 2.0).abs() < 1e-6, "{range:?}");
    assert!((range.sum / range.count as f64).abs() < 1e-7, "{range:?}");
}

/// The reverse of a signal, and each of its rows as a plane of its own, change nothing: there is one
/// dimension, and no channel sees another.
#[test]
fn windows_over_a_signal_lie_along_its_columns() {
    let image = sample(7, 1, 40);
    for kind in kinds() {
        let prepare = kind.fit([Ok(image.clone())]).unwrap();
        let (prepared, undo) = prepare.apply(&image).unwrap();
        let (height, width) = prepare.output_size(1, 40).unwrap();
        assert_eq!((height, prepared.shape()), (1, [7, 1, width]));
        let margin = (40 - width) / 2;
        let kept: Vec<f32> = (0..7)
            .flat_map(|c| image.plane(c)[margin..margin + width].to_vec())
            .collect();
        assert_close(&undo.invert(&prepared).unwrap().values, &kept, 1e-6);
        // An image of equal rows has the same local statistics.
        let mut tall = Image::zeros(7, 30, 40);
        for c in 0..7 {
            let rows = tall.plane_mut(c).chunks_exact_mut(40);
            rows.for_each(|row| row.copy_from_slice(image.plane(c)));
        }
        let (rows, _) = prepare.apply(&tall).unwrap();
        for c in 0..7 {
            assert_close(prepared.plane(c), &rows.plane(c)[..width], 1e-5);
        }
    }
    let short = Preprocess::local_mean().fit([Ok(sample(1, 1, 4))]);
    assert!(error(short).contains("over 1 x 5"));
}

#[test]
fn flat_images_become_zero_and_come_back() {
    let mut image = Image::zeros(3, 6, 7);
    for (c, grey) in [0.1, 0.3, 0.7].into_iter().enumerate() {
        image.plane_mut(c).fill(grey);
    }
    for kind in kinds().into_iter().skip(1) {
        let prepare = kind.fit([Ok(image.clone())]).unwrap();
        let (prepared, undo) = prepare.apply(&image).unwrap();
        assert!(prepared.values.iter().all(|v| v.abs() < 1e-6), "{kind:?}");
        let pixels = undo.invert(&prepared).unwrap();
        for (c, grey) in [0.1_f32, 0.3, 0.7].into_iter().enumerate() {
            assert!(pixels.plane(c).iter().all(|v| (v - grey).abs() < 1e-6));
        }
    }
}

#[test]
fn one_pixel_is_enough_where_borders_are_reflected() {
    let image = Image::new([1, 1, 1], vec![0.7]);
    let prepare = Preprocess::default().fit([]).unwrap();
    let (prepared, _) = prepare.apply(&image).unwrap();
    assert!(prepared.values[0].abs() < 1e-6);
}

#[test]
fn survives_a_checkpoint() {
    for kind in kinds() {
        let prepare = kind.fit([Ok(sample(1, 9, 9))]).unwrap();
        let text = serde_json::to_string(&prepare).unwrap();
        assert_eq!(serde_json::from_str::<Prepare>(&text).unwrap(), prepare);
    }
}

#[test]
fn configuration_has_defaults_and_refuses_what_it_does_not_know() {
    let parse = serde_json::from_str::<Preprocess>;
    let short = parse(r#"{"kind": "contrast-normalize"}"#).unwrap();
    assert_eq!(short, Preprocess::default());
    let short = parse(r#"{"kind": "local-mean", "sigma": 2.0}"#).unwrap();
    let (size, sigma) = (5, 2.0);
    assert_eq!(short, Preprocess::LocalMean { size, sigma });
    assert!(parse(r#"{"kind": "local-mean", "sizes": 5}"#).is_err());
    assert!(parse(r#"{"kind": "whiten"}"#).is_err());
}

#[test]
fn impossible_windows_are_errors() {
    for (size, sigma, why) in [
        (4, 1.0, "size 4"),
        (1, 1.0, "size 1"),
        (100_001, 1.0, "size 100001"),
        (5, 0.0, "sigma 0"),
        (5, f64::NAN, "sigma NaN"),
        (5, f64::INFINITY, "sigma inf"),
    ] {
        let message = error(Preprocess::ContrastNormalize { size, sigma }.fit([]));
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn unusable_images_are_errors() {
    let kind = Preprocess::local_mean();
    assert!(error(kind.fit([])).contains("no image"));
    assert!(error(kind.fit([Ok(sample(1, 4, 9))])).contains("4 x 9 pixels"));
    let broken = || Err(Error::Input("broken.png".into()));
    assert!(error(kind.fit([broken()])).contains("broken.png"));
    let mut image = sample(1, 3, 3);
    image.values[4] = f32::INFINITY;
    let prepare = Preprocess::None.fit([]).unwrap();
    assert!(error(prepare.apply(&image)).contains("inf in channel 0, row 1, column 1"));
}

#[test]
fn damaged_checkpoints_and_foreign_images_are_errors() {
    let image = sample(1, 9, 9);
    let fitted = Preprocess::local_mean().fit([Ok(image.clone())]).unwrap();
    let zero = Rescaling {
        shift: 0.0,
        scale: 0.0,
    };
    for rescaling in [None, Some(zero)] {
        let damaged = Prepare {
            rescaling,
            ..fitted.clone()
        };
        let message = error(damaged.apply(&image));
        assert!(message.contains("checkpoint is damaged"), "{message}");
    }
    let (_, undo) = fitted.apply(&image).unwrap();
    assert!(error(undo.invert(&image)).contains("[1, 9, 9]"));
}

/// A mask with blots and specks, the same for all channels, and the image with `garbage` where pixels are missing.
fn with_missing(image: &Image, garbage: f32) -> Weighted {
    let [_, h, w] = image.shape();
    let mut mask = Image::zeros(1, h, w);
    let (mut image, noise) = (image.clone(), sample(1, h, w));
    for at in 0..h * w {
        let missing = noise.values[at] < 0.3 || (at / w < 4 && at % w < 7);
        mask.values[at] = f32::from(u8::from(!missing));
        if missing {
            for c in 0..image.channels {
                image.plane_mut(c)[at] = garbage;
            }
        }
    }
    Weighted::new(image, mask).unwrap()
}

#[test]
fn what_lies_in_missing_pixels_changes_no_bit() {
    let image = sample(2, 20, 17);
    for kind in kinds() {
        let prepared = [0.0, 1.0, 1e30, f32::NAN].map(|garbage| {
            let image = with_missing(&image, garbage);
            let prepare = kind.fit_weighted([Ok(image.clone())]).unwrap();
            let prepared = prepare.apply_weighted(&image).unwrap();
            let known = prepared.0.known_values();
            assert!(known.len() < prepared.0.image().values.len(), "{kind:?}");
            (prepare, prepared)
        });
        let all_alike = prepared.iter().all(|one| *one == prepared[0]);
        assert!(all_alike, "{kind:?}");
    }
}

#[test]
fn known_pixels_are_measured_by_what_is_known_around_them() {
    let image = with_missing(&sample(1, 20, 17), 0.0);
    let (size, sigma) = (5, 1.591);
    let contrast = Preprocess::ContrastNormalize { size, sigma };
    let local_mean = Preprocess::LocalMean { size, sigma };
    let [contrast, local_mean] = [contrast, local_mean].map(|kind| {
        let prepare = kind.fit_weighted([Ok(image.clone())]).unwrap();
        let (mut prepared, _) = prepare.apply_weighted(&image).unwrap();
        if let Some(rescaling) = prepare.rescaling {
            rescaling.undo(&mut prepared.image_mut().values);
        }
        prepared
    });
    let known = image.known(0).unwrap();
    let (h, w, r) = (20, 17, 2_isize);
    let local = |at: usize| {
        let (mut sums, [i, j]) = ([0.0; 3], [at / w, at % w].map(|k| k as isize));
        for (a, b) in (-r..=r).flat_map(|a| (-r..=r).map(move |b| (a, b))) {
            let there = reflect(i + a, h) * w + reflect(j + b, w);
            if known[there] {
                let weight = (-((a * a + b * b) as f64) / (2.0 * sigma * sigma)).exp();
                let v = f64::from(image.image().values[there]);
                for (sum, power) in sums.iter_mut().zip([1.0, v, v * v]) {
                    *sum += weight * power;
                }
            }
        }
        let mean = sums[1] / sums[0];
        [mean, (sums[2] / sums[0] - mean * mean).max(0.0).sqrt()]
    };
    let of_known = || (0..known.len()).filter(|&at| known[at]);
    let mut deviations: Vec<f64> = of_known().map(|at| local(at)[1]).collect();
    deviations.sort_by(f64::total_cmp);
    let floor = deviations[(deviations.len() - 1) / 2];
    for at in of_known() {
        let ([mean, deviation], v) = (local(at), f64::from(image.image().values[at]));
        let wanted = ((v - mean) / deviation.max(floor)) as f32;
        let got = contrast.image().values[at];
        assert!((got - wanted).abs() < 1e-4, "at {at}: {got} for {wanted}");
        let [i, j] = [at / w, at % w];
        if (2..18).contains(&i) && (2..15).contains(&j) {
            let got = local_mean.image().values[(i - 2) * 13 + j - 2];
            assert!((f64::from(got) - (v - mean)).abs() < 1e-5, "at {at}: {got}");
        }
    }
}

#[test]
fn a_mask_of_ones_changes_nothing_and_one_of_zeros_is_refused() {
    let image = sample(2, 20, 17);
    let ones = Image::new([1, 20, 17], vec![1.0; 340]);
    let plain = Weighted::new(image.clone(), ones).unwrap();
    assert_eq!(plain, image.clone().into());
    let weigh = |weights: Image| error(Weighted::new(image.clone(), weights));
    assert!(weigh(Image::zeros(1, 20, 17)).contains("every pixel is missing"));
    assert!(weigh(Image::zeros(1, 17, 20)).contains("17 x 20"));
    assert!(weigh(Image::zeros(3, 20, 17)).contains("3 channels"));
    // All that is known lies where the window does not fit.
    let mut edge = Image::zeros(1, 20, 17);
    edge.values[0] = 1.0;
    let edge = Weighted::new(image, edge).unwrap();
    let prepare = Preprocess::local_mean().fit([Ok(sample(2, 9, 9))]).unwrap();
    assert!(error(prepare.apply_weighted(&edge)).contains("every pixel is missing"));
}
