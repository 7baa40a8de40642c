//! The passes against plain references, and what they must keep.

use faer::Mat;
use faer::linalg::solvers::Solve;

use super::denoise::Denoiser;
use super::filters::Filters;
use super::patches::{Region, Stop, approximate};
use super::planes::{Planes, mirrored};
use super::*;
use crate::data::resize::crop;
use crate::data::{Image, psnr, scenes};

/// Numbers without a pattern from 0 to 1.
fn hashed(k: usize) -> f32 {
    let hash = (k as u32).wrapping_mul(2_654_435_761) ^ 0x9e37;
    let hash = (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b);
    (hash ^ (hash >> 13)) as f32 / u32::MAX as f32
}

/// An image with uniform noise of deviation `sigma`.
pub(crate) fn with_noise(mut image: Image, sigma: f32) -> Image {
    for (k, v) in image.values.iter_mut().enumerate() {
        *v += 12.0_f32.sqrt() * sigma * (hashed(k) - 0.5);
    }
    image
}

/// A grey scene, and the same with noise.
fn scene(side: usize, sigma: f32) -> (Image, Image) {
    let clean = scenes::sample(0, side, 5).grey();
    (clean.clone(), with_noise(clean, sigma))
}

#[test]
fn the_first_pass_is_that_of_patch_after_patch() {
    let (_, noisy) = scene(21, 0.1);
    let size = [21, 21];
    let filters = Filters::built_in();
    let stop = Stop {
        tolerance: 0.64,
        most: 32,
    };
    let everywhere = Region::everywhere();
    let found = approximate(&noisy.values, size, &filters, stop, &everywhere).unwrap();
    let planes = Planes::new(&noisy);
    let (mut sums, mut weights) = (vec![0.0f64; 441], vec![0.0f64; 441]);
    for row in 0..14 {
        for column in 0..14 {
            let patch = planes.patch([row, column], [8, 8]);
            let at = |k: usize| (row + k / 8) * 21 + column + k % 8;
            let mean = noisy.values[at(0)] - patch[0];
            let code = |_: usize, atoms: &[usize], values: &[f32]| {
                let weight = 1.0 / (1.0 + atoms.len() as f64);
                for k in 0..64 {
                    let atoms = atoms.iter().zip(values);
                    let sum: f32 = atoms.map(|(&a, v)| v * filters.pursuit.atom(a)[k]).sum();
                    sums[at(k)] += weight * f64::from(mean + sum);
                    weights[at(k)] += weight;
                }
            };
            filters.pursuit.code(&patch, 0.64, 32, code).unwrap();
        }
    }
    for (k, v) in found.iter().enumerate() {
        assert!((f64::from(*v) - sums[k] / weights[k]).abs() < 1e-4, "{k}");
    }
}

/// One group of all patches of a small image, by inverses in double precision.
#[test]
fn the_second_pass_is_the_wiener_estimate_of_a_group() {
    let (clean, noisy) = scene(12, 0.1);
    let size = [12, 12];
    let sigma = 0.1_f64;
    let all: Vec<[usize; 2]> = (0..25).map(|k| [k / 5, k % 5]).collect();
    let column = |image: &Image, [row, column]: [usize; 2]| {
        Mat::from_fn(64, 1, |k, _| {
            f64::from(image.values[(row + k / 8) * 12 + column + k % 8])
        })
    };
    let mut mean = Mat::<f64>::zeros(64, 1);
    for &at in &all {
        mean += column(&clean, at) * faer::Scale(1.0 / 25.0);
    }
    let mut covariance = Mat::<f64>::zeros(64, 64);
    for &at in &all {
        let d = column(&clean, at) - &mean;
        covariance += &d * d.transpose() * faer::Scale(1.0 / 24.0);
    }
    let mut with_noise = covariance.clone();
    (0..64).for_each(|k| with_noise[(k, k)] += sigma * sigma);
    let solver = with_noise.partial_piv_lu();
    let (mut sums, mut counts) = (vec![0.0; 144], vec![0.0; 144]);
    for &at in &all {
        let d = column(&noisy, at) - &mean;
        let x = &mean + &covariance * solver.solve(&d);
        for k in 0..64 {
            let pixel = (at[0] + k / 8) * 12 + at[1] + k % 8;
            sums[pixel] += x[(k, 0)];
            counts[pixel] += 1.0;
        }
    }
    let (y, x) = (&noisy.values, &clean.values);
    let found = groups::refine(
        y,
        x,
        &groups::padded(x),
        size,
        sigma as f32,
        &Region::everywhere(),
    );
    for (k, v) in found.iter().enumerate() {
        let wanted = sums[k] / counts[k];
        assert!((f64::from(*v) - wanted).abs() < 1e-4, "{k}: {v} {wanted}");
    }
}

/// Off an edge at column 20 patches are all alike: groups of them have no covariance, and leave no noise.
#[test]
fn a_group_holds_the_patches_most_alike_and_is_estimated_by_its_guide() {
    let levels = |left: f32, right: f32| -> Vec<f32> {
        let level = |k: usize| if k % 45 < 20 { left } else { right };
        (0..30 * 45).map(level).collect()
    };
    let (matched, guide) = (levels(0.0, 1.0), levels(0.2, 0.7));
    let noisy: Vec<f32> = guide
        .iter()
        .zip(0..)
        .map(|(v, k)| v + hashed(k) - 0.5)
        .collect();
    let everywhere = Region::everywhere();
    let matched = groups::padded(&matched);
    let found = groups::refine(&noisy, &guide, &matched, [30, 45], 0.3, &everywhere);
    for (k, (found, guide)) in found.iter().zip(&guide).enumerate() {
        // Patches across the edge share groups that reach from column 13 to 24.
        let pure = !(13..25).contains(&(k % 45));
        assert!(!pure || (found - guide).abs() < 1e-4, "{k}: {found}");
    }
}

#[test]
fn a_region_is_where_its_pixels_are() {
    let mut pixels = vec![false; 12];
    pixels[6] = true;
    let region = Region::of(&pixels, 4);
    assert!(region.touches([0, 0], [3, 4]) && region.touches([1, 2], [1, 1]));
    assert!(!region.touches([0, 0], [1, 4]) && !region.touches([1, 3], [2, 1]));
}

#[test]
fn colours_come_back_and_white_noise_stays_white() {
    let image = scenes::sample(0, 9, 2);
    let planes = Planes::new(&image);
    let back = planes.image();
    for (a, b) in image.values.iter().zip(&back.values) {
        assert!((a - b).abs() < 1e-6);
    }
    let energy = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>();
    let parts: f64 = planes.values.iter().map(|plane| energy(plane)).sum();
    assert!((parts - energy(&image.values)).abs() < 1e-3);
    // What has no colour is brightness alone.
    let grey = Image {
        values: [0.3, 0.6].repeat(3),
        ..Image::zeros(3, 1, 2)
    };
    let [low, high] = [0.3, 0.6].map(|v| v * 3.0_f32.sqrt());
    let wanted = [low, high, 0.0, 0.0, 0.0, 0.0];
    for (found, wanted) in Planes::new(&grey).values.concat().iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
    }
}

#[test]
fn small_images_are_mirrored_as_often_as_needed() {
    let image = Image {
        values: vec![1.0, 2.0],
        ..Image::zeros(1, 1, 2)
    };
    let large = mirrored(&image, [2, 7]);
    assert_eq!(large.values[..7], [1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
    assert_eq!(crop(&large, [0, 0], [1, 2]), image);
}

#[test]
fn both_passes_gain_in_grey_and_in_colour() {
    let (clean, noisy) = scene(64, 0.1);
    let both = Denoiser::new(Filters::built_in());
    let first = Denoiser {
        groups: false,
        ..both.clone()
    };
    let [a, b] = [&first, &both].map(|d| psnr(&clean, &d.denoise(&noisy, 0.1, &mut ()).unwrap()));
    let before = psnr(&clean, &noisy);
    assert!(a > before + 7.0 && b > a, "{before} {a} {b}");
    // Channels tell of each other.
    let clean = scenes::sample(0, 64, 5);
    let noisy = with_noise(clean.clone(), 0.1);
    let denoised = |image: &Image| both.denoise(image, 0.1, &mut ()).unwrap();
    let alone = (0..3).flat_map(|c| {
        let values = noisy.plane(c).to_vec();
        let plane = Image {
            values,
            ..Image::zeros(1, 64, 64)
        };
        denoised(&plane).values
    });
    let alone = Image {
        values: alone.collect(),
        ..clean
    };
    let [together, alone] = [&denoised(&noisy), &alone].map(|image| psnr(&clean, image));
    assert!(together > alone + 0.2, "{together} {alone}");
}

#[test]
fn filters_are_learnt_and_adapted() {
    let images: Vec<Image> = (0..3).map(|k| scenes::sample(k, 64, 1)).collect();
    let few = Filters::learn(&images, 40, [5, 5], 6, 1).unwrap();
    assert_eq!((few.count(), few.size()), (40, [5, 5]));
    let again = Filters::learn(&images, 40, [5, 5], 6, 1).unwrap();
    assert_eq!(few.values(), again.values(), "the same seed, the same bits");
    let (clean, noisy) = scene(64, 0.1);
    let quality = |filters: Filters| {
        let denoiser = Denoiser {
            filters,
            groups: false,
        };
        psnr(&clean, &denoiser.denoise(&noisy, 0.1, &mut ()).unwrap())
    };
    let start = Filters::learn(&images, 40, [5, 5], 0, 1).unwrap();
    let [unlearnt, learnt] = [start, few.clone()].map(quality);
    assert!(learnt > unlearnt, "{unlearnt} {learnt}");
    // Filters of noise, so that there is something to gain.
    let noise: Vec<f32> = (0..60 * 25).map(hashed).collect();
    let noise = Filters::new(&noise, [5, 5]).unwrap();
    let adapted = noise.adapted(&noisy, 0.1, 5).unwrap();
    let [noise, adapted] = [noise, adapted].map(quality);
    assert!(adapted > noise + 0.1, "{noise} {adapted}");
    assert!(few.adapted(&Image::zeros(1, 4, 9), 0.1, 1).is_err());
    assert!(Filters::learn(&images[..0], 4, [5, 5], 1, 1).is_err());
}

#[test]
fn filters_that_are_none_are_refused() {
    for values in [vec![], vec![1.0; 9], vec![f32::NAN; 9], vec![1.0; 4]] {
        assert!(Filters::new(&values, [3, 3]).is_err(), "{values:?}");
    }
}

#[test]
fn missing_pixels_are_filled_in_and_the_others_kept() {
    let (clean, _) = scene(48, 0.0);
    let missing: Vec<bool> = (0..48 * 48).map(|k| hashed(k) < 0.5).collect();
    let mut holed = clean.clone();
    let pixels = holed.values.iter_mut().zip(&missing);
    pixels.for_each(|(v, missing)| *v = if *missing { 0.5 } else { *v });
    let start = interpolate(&holed, &missing).unwrap();
    let filled = Inpainter::new(Filters::built_in())
        .inpaint(&holed, &missing, &mut ())
        .unwrap()
        .unwrap();
    let [before, after] = [&start, &filled].map(|image| psnr(&clean, image));
    assert!(before > 25.0 && after > before + 0.1, "{before} {after}");
    for ((a, b), missing) in filled.values.iter().zip(&clean.values).zip(&missing) {
        assert!(*missing || a == b);
    }
}

/// Its Laplacian is constant, which a biharmonic surface may have; a harmonic one would be off by 0.02.
#[test]
fn a_surface_that_bends_alike_everywhere_is_interpolated_exactly() {
    let mut bent = Image::zeros(1, 9, 9);
    for (k, v) in bent.values.iter_mut().enumerate() {
        let [i, j] = [k / 9, k % 9].map(|at| at as f32);
        *v = 0.05 * i + 0.03 * j + 0.01 * i * i;
    }
    let inside = |k: usize| (3..6).contains(&(k / 9)) && (3..6).contains(&(k % 9));
    let missing: Vec<bool> = (0..81).map(inside).collect();
    let mut holed = bent.clone();
    let pixels = holed.values.iter_mut().zip(&missing);
    pixels.for_each(|(v, missing)| *v = if *missing { 9.0 } else { *v });
    let filled = interpolate(&holed, &missing).unwrap();
    for (a, b) in filled.values.iter().zip(&bent.values) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn the_deviation_of_noise_is_the_mean_of_its_channels() {
    let flat = Image {
        values: vec![0.5; 4096],
        ..Image::zeros(1, 64, 64)
    };
    let channels = [0.1, 0.2].map(|s| with_noise(flat.clone(), s));
    let sigmas = channels.each_ref().map(|c| estimate_sigma(c).unwrap());
    for (sigma, wanted) in sigmas.into_iter().zip([0.1, 0.2]) {
        assert!((sigma - wanted).abs() < 0.05 * wanted, "{sigma}");
    }
    let image = Image {
        values: channels.map(|c| c.values).concat(),
        ..Image::zeros(2, 64, 64)
    };
    let sigma = estimate_sigma(&image).unwrap();
    assert_eq!(sigma, (sigmas[0] + sigmas[1]) / 2.0);
}

#[test]
fn texture_and_what_is_cut_off_are_no_noise() {
    const SIDE: usize = 96;
    // Noise under a small window in three quarters of the rows, and slopes everywhere.
    let rough = with_noise(Image::zeros(1, SIDE, SIDE), 0.2);
    let mut clean = Image::zeros(1, SIDE, SIDE);
    for (k, v) in clean.values.iter_mut().enumerate() {
        let (i, j) = (k / SIDE, k % SIDE);
        *v = 0.3 + 0.2 * j as f32 / SIDE as f32;
        if i < 3 * SIDE / 4 && j < SIDE - 1 {
            let window = [k, k + 1, k + SIDE, k + SIDE + 1].map(|at| rough.values[at]);
            *v += window.iter().sum::<f32>() / 4.0;
        }
    }
    let sigma = |image: &Image| estimate_sigma(image).unwrap();
    let mut noisy = with_noise(clean.clone(), 0.01);
    assert!((sigma(&noisy) - 0.01).abs() < 0.001, "{}", sigma(&noisy));
    assert!(sigma(&clean) < 0.001, "{}", sigma(&clean));
    for row in noisy.values.chunks_exact_mut(SIDE) {
        row[..SIDE / 3].fill(1.0);
    }
    assert!((sigma(&noisy) - 0.01).abs() < 0.001, "{}", sigma(&noisy));
}

#[test]
fn counts_keep_their_mean() {
    // The mean of the transform under a Poisson law, summed up, goes back to the mean of the law.
    for mean in [1.0, 4.0, 30.0] {
        let (mut probability, mut sum) = (f64::exp(-mean), 0.0);
        for count in 0..200 {
            sum += probability * 2.0 * (f64::from(count) + 0.375).sqrt();
            probability *= mean / f64::from(count + 1);
        }
        let image = Image {
            values: vec![sum as f32],
            ..Image::zeros(1, 1, 1)
        };
        let back = f64::from(anscombe_mean(&image, 1.0).unwrap().values[0]);
        assert!((back - mean).abs() < 0.02 * mean, "{mean}: {back}");
    }
    assert!(anscombe(&Image::zeros(1, 1, 1), 0.0).is_err());
    let below = Image {
        values: vec![-0.1],
        ..Image::zeros(1, 1, 1)
    };
    assert!(anscombe(&below, 9.0).is_err());
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    let (_, mut noisy) = scene(24, 0.1);
    noisy.values[30] = f32::NAN;
    let denoiser = Denoiser::new(Filters::built_in());
    assert!(denoiser.denoise(&noisy, 0.1, &mut ()).is_err());
    assert!(estimate_sigma(&noisy).is_err());
    let missing: Vec<bool> = (0..576).map(|k| k == 3).collect();
    assert!(interpolate(&noisy, &missing).is_err());
}

#[test]
fn a_window_with_what_is_around_it_is_denoised_as_in_the_whole() {
    let (_, noisy) = scene(151, 0.1);
    let denoiser = Denoiser::new(Filters::built_in());
    let whole = denoiser.denoise(&noisy, 0.1, &mut ()).unwrap();
    for (rows, columns) in [(60..91, 0..33), (0..50, 70..90), (117..151, 102..151)] {
        let [tall, wide] = [rows.clone(), columns.clone()].map(|kept| denoiser.around(kept, 151));
        assert!(tall.len() < 151 && wide.len() < 151, "{tall:?} {wide:?}");
        let window = crop(&noisy, [tall.start, wide.start], [tall.len(), wide.len()]);
        let window = denoiser.denoise(&window, 0.1, &mut ()).unwrap();
        for i in rows.clone() {
            for j in columns.clone() {
                let found = window.values[(i - tall.start) * wide.len() + j - wide.start];
                let wanted = whole.values[i * 151 + j];
                assert!((found - wanted).abs() < 1e-5, "{i} {j}: {found} {wanted}");
            }
        }
    }
}
