//! Pictures restored window by window.

use super::tests::{files, save_noisy, white};
use super::*;
use crate::data::{Depth, Image, folder, header, psnr, resize::crop, scenes};
use crate::picture::{save_png, save_png_of};
use crate::restore::tests::with_noise;
use crate::task::test_runs::{Impatient, Items};

#[test]
fn by_windows_a_picture_is_denoised_as_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Wider than a window.
    let wide = crop(&scenes::sample(0, 560, 3), [280, 0], [12, 560]);
    for (name, channels) in [("a.png", 1), ("b.png", 3)] {
        save_noisy(wide.clone(), folder, name, channels);
    }
    for (name, noise) in [
        ("a.png", Noise::White { sigma: None }),
        ("a.png", Noise::White { sigma: Some(0.1) }),
        ("a.png", Noise::Poisson { peak: 30.0 }),
        ("b.png", Noise::White { sigma: None }),
    ] {
        let restore = |most: usize, out: &str| {
            let mut options = white(files(folder, name, out), None);
            options.noise = noise;
            options.files.overwrite = true;
            options.files.reference = Some(folder.join(format!("clean-{name}")));
            let report = denoise::denoise_above(most, &options, &mut ()).unwrap();
            let pictures = [out.to_owned(), out.replace(".png", "-compared.png")]
                .map(|path| image::open(folder.join(path)).unwrap().into_rgb8());
            (pictures, report.rows[0].clone())
        };
        let ([whole, compared], row) = restore(usize::MAX, "whole.png");
        let ([large, large_compared], large_row) = restore(0, "large.png");
        let off = |a: &image::RgbImage, b: &image::RgbImage, by: u8| {
            assert_eq!(a.dimensions(), b.dimensions());
            let pairs = a.as_raw().iter().zip(b.as_raw());
            pairs.filter(|(a, b)| a.abs_diff(**b) > by).count()
        };
        assert_eq!(off(&whole, &large, 1), 0);
        // Rounding shows in the colours of the error, and in a digit of what is written.
        let differing = off(&compared, &large_compared, 8);
        assert!(100 * differing < compared.as_raw().len(), "{differing}");
        let psnr = |row: &Row| row.after.unwrap().psnr;
        assert!(
            (psnr(&row) - psnr(&large_row)).abs() < 1e-3,
            "{row:?} {large_row:?}"
        );
        assert_eq!(
            (row.sigma, row.channels),
            (large_row.sigma, large_row.channels)
        );
        assert!(!folder.join("large.windows").exists());
    }
    // A reference that is none ends it before the first window.
    save_png(&Image::zeros(1, 40, 39), folder.join("narrow.png")).unwrap();
    for (reference, words) in [("narrow.png", "[1, 40, 39]"), ("gone.png", "gone.png")] {
        let mut options = white(files(folder, "a.png", "early.png"), Some(10.0));
        options.files.reference = Some(folder.join(reference));
        let mut windows = Items(0);
        let error = denoise::denoise_above(0, &options, &mut windows).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(windows.0 == 0 && !folder.join("early.windows").exists());
    }
    // An interruption leaves nothing, and says so.
    let options = white(files(folder, "a.png", "cut-off.png"), Some(10.0));
    let report = denoise::denoise_above(0, &options, &mut Impatient(0)).unwrap();
    assert!(report.interrupted && !report.to_string().contains("Written"));
    assert!(!folder.join("cut-off.png").exists() && !folder.join("cut-off.windows").exists());
    // After a window it leaves what the same call goes on from.
    let report = denoise::denoise_above(0, &options, &mut Impatient(1)).unwrap();
    assert!(report.interrupted && !folder.join("cut-off.png").exists());
    let other = white(files(folder, "a.png", "cut-off.png"), Some(20.0));
    let error = denoise::denoise_above(0, &other, &mut ()).unwrap_err();
    assert!(matches!(error, crate::Error::Exists(_)), "{error}");
    let mut windows = Items(0);
    denoise::denoise_above(0, &options, &mut windows).unwrap();
    assert_eq!(windows.0, 1);
    let at_once = white(files(folder, "a.png", "at-once.png"), Some(10.0));
    denoise::denoise_above(0, &at_once, &mut ()).unwrap();
    let [a, b] = ["cut-off.png", "at-once.png"].map(|out| std::fs::read(folder.join(out)).unwrap());
    assert!(a == b && !folder.join("cut-off.windows").exists());
    // What is in the way of the scratch folder stays.
    let mine = folder.join("mine.windows/mine.txt");
    std::fs::create_dir(mine.parent().unwrap()).unwrap();
    std::fs::write(&mine, "mine").unwrap();
    let options = white(files(folder, "a.png", "mine.png"), Some(10.0));
    let error = denoise::denoise_above(0, &options, &mut ()).unwrap_err();
    assert!(
        matches!(error, crate::Error::Exists(_)) && mine.exists(),
        "{error}"
    );
    let mut replacing = options.clone();
    replacing.files.overwrite = true;
    let error = denoise::denoise_above(0, &replacing, &mut ()).unwrap_err();
    assert!(
        matches!(error, crate::Error::Exists(_)) && mine.exists(),
        "{error}"
    );
    // A picture that is cut in the middle leaves nothing behind.
    let cut = std::fs::read(folder.join("a.png")).unwrap();
    std::fs::write(folder.join("cut.png"), &cut[..cut.len() / 2]).unwrap();
    let options = white(files(folder, "cut.png", "out.png"), None);
    let error = denoise::denoise_above(0, &options, &mut ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("cut.png"), "{error}");
    assert!(!folder.join("out.png").exists() && !folder.join("out.windows").exists());
}

#[test]
fn pictures_of_16_bits_stay_so_as_a_whole_and_by_windows() {
    // All of it within four of 255 levels, of which pictures of 8 bits would leave steps.
    const SCALE: f32 = 1.0 / 64.0;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for channels in [1, 3] {
        let mut clean = scenes::sample(0, 40, 3);
        if channels == 1 {
            clean = clean.grey();
        }
        clean.values.iter_mut().for_each(|v| *v *= SCALE);
        // Above black, where noise would be cut off.
        clean.values.iter_mut().for_each(|v| *v += 0.1);
        let noisy = with_noise(clean.clone(), 25.0 / 255.0 * SCALE);
        save_png_of(&noisy, Depth::Sixteen, dir.join("deep.png")).unwrap();
        for most in [usize::MAX, 0] {
            let sigma = Some(25.0 * f64::from(SCALE));
            let mut options = white(files(dir, "deep.png", "out.png"), sigma);
            options.files.overwrite = true;
            denoise::denoise_above(most, &options, &mut ()).unwrap();
            let path = dir.join("out.png");
            assert_eq!(header::depth(&path).unwrap(), Depth::Sixteen);
            assert_eq!(header::shape(&path).unwrap()[0], channels);
            let restored = folder::read(&path, channels == 3, None).unwrap();
            let (before, after) = (psnr(&clean, &noisy), psnr(&clean, &restored));
            assert!(after > before + 4.0, "{before} {after}");
        }
    }
}
