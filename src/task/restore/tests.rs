//! Restorations in small.

use std::path::Path;

use super::*;
use crate::data::{Image, scenes};
use crate::picture::save_png;
use crate::restore::tests::with_noise;
use crate::task::test_runs::{self, Impatient, Items, Notes};

/// A scene with noise of 25 grey levels, beside it as it should be.
fn noisy(folder: &Path, name: &str, channels: usize) {
    save_noisy(scenes::sample(0, 40, 3), folder, name, channels);
}

pub(super) fn save_noisy(mut image: Image, folder: &Path, name: &str, channels: usize) {
    if channels == 1 {
        image = image.grey();
    }
    save_png(&image, folder.join(format!("clean-{name}"))).unwrap();
    save_png(&with_noise(image, 25.0 / 255.0), folder.join(name)).unwrap();
}

pub(super) fn files(folder: &Path, input: &str, out: &str) -> Files {
    Files {
        input: folder.join(input),
        out: folder.join(out),
        reference: None,
        overwrite: false,
        force: false,
    }
}

pub(super) fn white(files: Files, sigma: Option<f64>) -> DenoiseOptions {
    DenoiseOptions {
        files,
        noise: Noise::White { sigma },
        filters: FilterSource::BuiltIn,
        adapt: false,
    }
}

#[test]
fn an_image_is_denoised_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, channels) in [("a.png", 1), ("b.png", 3)] {
        noisy(folder, name, channels);
        let out = format!("out-{name}");
        let mut options = white(files(folder, name, &out), None);
        options.files.reference = Some(folder.join(format!("clean-{name}")));
        let report = denoise(&options, &mut ()).unwrap();
        let row = &report.rows[0];
        assert_eq!((row.channels, row.height, row.width), (channels, 40, 40));
        let sigma = row.sigma.unwrap();
        assert!((18.0..30.0).contains(&sigma), "{sigma}");
        let [before, after] = [row.before, row.after].map(|of| of.unwrap().psnr);
        assert!(after > before + 4.0, "{before} {after}");
        assert!(
            folder
                .join(format!("out-{}-compared.png", &name[..1]))
                .exists()
        );
        assert!(report.to_string().contains("PSNR before"));
        // Nothing is replaced unasked.
        let error = denoise(&options, &mut ()).unwrap_err();
        assert!(matches!(error, crate::Error::Exists(_)), "{error}");
    }
    // The comparisons are left out of searches, the results are not.
    let found = crate::data::scan::scan(folder, &[]).unwrap().images;
    assert_eq!(found.len(), 6);
}

#[test]
fn a_folder_is_denoised_and_one_broken_image_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir_all(folder.join("in/below")).unwrap();
    noisy(&folder.join("in"), "a.png", 1);
    noisy(&folder.join("in/below"), "b.png", 1);
    std::fs::write(folder.join("in/broken.png"), b"\x89PNG").unwrap();
    let report = denoise(&white(files(folder, "in", "out"), Some(25.0)), &mut ()).unwrap();
    assert_eq!(
        (report.images, report.rows.len()),
        (5, 4),
        "{:?}",
        report.failures
    );
    let error = report.complete().unwrap_err().to_string();
    assert!(
        error.contains("1 of 5") && error.contains("broken.png"),
        "{error}"
    );
    for name in ["a.png", "below/b.png", "below/b-compared.png", "table.csv"] {
        assert!(folder.join("out").join(name).exists(), "{name}");
    }
    assert!(report.table().csv().contains("mean"));
    // Results among the images are none of them in the next call.
    for overwrite in [false, true] {
        let mut inside = white(files(folder, "in", "in/below/out"), Some(25.0));
        inside.files.overwrite = overwrite;
        assert_eq!(denoise(&inside, &mut ()).unwrap().images, 5);
    }
    std::fs::remove_dir_all(folder.join("in/below/out")).unwrap();
    // Results that cannot be written are not the fault of an image.
    std::fs::create_dir_all(folder.join("full/a.png.tmp")).unwrap();
    let options = white(files(folder, "in", "full"), Some(25.0));
    let error = denoise(&options, &mut ()).unwrap_err();
    assert!(matches!(error, crate::Error::Io { .. }), "{error}");
    assert!(folder.join("full/table.csv").exists());
}

#[test]
fn a_folder_goes_on_where_it_was_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("in")).unwrap();
    noisy(&folder.join("in"), "a.png", 1);
    let mut options = white(files(folder, "in", "out"), Some(25.0));
    options.files.reference = Some(folder.join("in"));
    let first = denoise(&options, &mut Impatient(0)).unwrap();
    assert!(first.interrupted && first.rows.len() == 1);
    let exists = |options: &DenoiseOptions| {
        let error = denoise(options, &mut ()).unwrap_err();
        assert!(matches!(error, crate::Error::Exists(_)), "{error}");
    };
    // What a kill leaves has no row yet, and is done again; a result without a comparison is somebody else's.
    let killed = folder.join("out/clean-a.png");
    std::fs::write(&killed, "").unwrap();
    exists(&options);
    std::fs::write(folder.join("out/clean-a-compared.png"), "").unwrap();
    let mut images = Items(0);
    let whole = denoise(&options, &mut images).unwrap();
    assert_eq!((images.0, whole.images, whole.rows.len()), (1, 2, 2));
    assert!(!whole.interrupted && whole.rows[0].seconds == first.rows[0].seconds);
    assert!(std::fs::metadata(&killed).unwrap().len() > 0);
    let again = denoise(&options, &mut ()).unwrap_err();
    assert!(matches!(again, crate::Error::Finished(_)), "{again}");
    // Another folder, other settings and changed images are another set.
    std::fs::create_dir(folder.join("other")).unwrap();
    noisy(&folder.join("other"), "b.png", 5);
    exists(&white(files(folder, "other", "out"), Some(25.0)));
    std::fs::remove_file(&killed).unwrap();
    let mut other = options.clone();
    other.noise = Noise::White { sigma: Some(20.0) };
    exists(&other);
    noisy(&folder.join("in"), "a.png", 3);
    exists(&options);
}

#[test]
fn no_input_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    noisy(folder, "a.png", 1);
    let image = image::open(folder.join("a.png")).unwrap();
    image.save(folder.join("a.bmp")).unwrap();
    std::fs::remove_file(folder.join("clean-a.png")).unwrap();
    let mut options = white(files(folder, "", ""), Some(25.0));
    options.files.overwrite = true;
    let before = std::fs::read(folder.join("a.png")).unwrap();
    // The result of a.bmp is a.png.
    let error = denoise(&options, &mut ()).unwrap_err().to_string();
    assert!(error.contains("would replace"), "{error}");
    assert_eq!(std::fs::read(folder.join("a.png")).unwrap(), before);
}

#[test]
fn images_that_the_memory_does_not_hold_are_refused_by_their_headers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("in")).unwrap();
    std::fs::write(folder.join("in/huge.pgm"), "P5 9999999 9999999 255\n0").unwrap();
    noisy(&folder.join("in"), "a.png", 1);
    let mut options = white(files(folder, "in", "out"), Some(25.0));
    let error = denoise(&options, &mut ()).unwrap_err();
    let refused = matches!(&error, crate::Error::Resources { .. });
    assert!(refused && !folder.join("out").exists(), "{error}");
    options.files.force = true;
    let report = denoise(&options, &mut ()).unwrap();
    assert_eq!((report.rows.len(), report.failures.len()), (2, 1));
}

#[test]
fn images_smaller_than_a_filter_and_noise_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (h, w) in [(1, 1), (3, 20), (8, 7)] {
        let mut image = Image::zeros(1, h, w);
        image
            .values
            .iter_mut()
            .enumerate()
            .for_each(|(k, v)| *v = (k % 5) as f32 / 5.0);
        let name = format!("{h}x{w}.png");
        save_png(&image, folder.join(&name)).unwrap();
        let given = white(files(folder, &name, &format!("out-{name}")), Some(10.0));
        let report = denoise(&given, &mut ()).unwrap();
        assert_eq!((report.rows[0].height, report.rows[0].width), (h, w));
        let unknown = white(files(folder, &name, "other.png"), None);
        let error = denoise(&unknown, &mut ()).unwrap_err().to_string();
        assert!(error.contains("cannot be estimated"), "{error}");
    }
    for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e4] {
        let options = white(files(folder, "8x7.png", "never.png"), Some(sigma));
        let error = denoise(&options, &mut ()).unwrap_err().to_string();
        assert!(error.contains("sigma is"), "{error}");
    }
}

#[test]
fn counts_and_impulses() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let clean = scenes::sample(0, 40, 3).grey();
    save_png(&clean, folder.join("clean.png")).unwrap();
    let mut salted = clean.clone();
    for (k, v) in salted.values.iter_mut().enumerate() {
        match k * 7919 % 31 {
            0..3 => *v = 0.0,
            3..6 => *v = 1.0,
            _ => {}
        }
    }
    save_png(&salted, folder.join("salted.png")).unwrap();
    noisy(folder, "noisy.png", 1);
    for (name, noise, gain) in [
        ("salted.png", Noise::Impulse, 12.0),
        ("noisy.png", Noise::Poisson { peak: 50.0 }, 3.0),
    ] {
        let mut options = white(files(folder, name, &format!("out-{name}")), None);
        options.noise = noise;
        options.files.reference = Some(folder.join("clean.png"));
        let report = denoise(&options, &mut ()).unwrap();
        let row = &report.rows[0];
        let [before, after] = [row.before, row.after].map(|of| of.unwrap().psnr);
        assert!(after > before + gain, "{name}: {before} {after}");
    }
    // Filling in stops after a round.
    let mut options = white(files(folder, "salted.png", "stopped.png"), None);
    options.noise = Noise::Impulse;
    let mut one = Impatient(1);
    let report = denoise(&options, &mut one).unwrap();
    assert!(report.interrupted && report.rows.is_empty());
    assert!(!folder.join("stopped.png").exists());
}

#[test]
fn of_a_folder_images_without_a_reference_are_restored_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["noisy", "clean"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    noisy(folder, "a.png", 1);
    for (from, to) in [
        ("a.png", "noisy/a.png"),
        ("a.png", "noisy/b.png"),
        ("clean-a.png", "clean/a.png"),
    ] {
        std::fs::copy(folder.join(from), folder.join(to)).unwrap();
    }
    let mut options = white(files(folder, "noisy", "out"), Some(25.0));
    options.files.reference = Some(folder.join("clean/a.png"));
    let error = denoise(&options, &mut ()).unwrap_err().to_string();
    assert!(error.contains("is no folder"), "{error}");
    options.files.reference = Some(folder.join("clean"));
    let mut notes = Notes::default();
    let report = denoise(&options, &mut notes).unwrap();
    assert!(
        notes
            .0
            .iter()
            .any(|note| note.starts_with("1 of 2 images have no reference"))
    );
    let known: Vec<bool> = report.rows.iter().map(|row| row.after.is_some()).collect();
    assert_eq!(known, [true, false]);
}

#[test]
fn masks_are_checked_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    noisy(folder, "a.png", 3);
    let mask = |name: &str, side: usize, black: &dyn Fn(usize) -> bool| {
        let mut mask = Image::zeros(1, side, side);
        let pixels = mask.values.iter_mut().enumerate();
        pixels.for_each(|(k, v)| *v = f32::from(u8::from(!black(k))));
        save_png(&mask, folder.join(name)).unwrap();
    };
    mask("none.png", 40, &|_| false);
    mask("all.png", 40, &|_| true);
    mask("other.png", 39, &|k| k == 3);
    mask("good.png", 40, &|k| k * 7919 % 13 < 6);
    let options = |mask: &str| InpaintOptions {
        files: files(folder, "clean-a.png", "out.png"),
        mask: folder.join(mask),
        filters: FilterSource::BuiltIn,
    };
    for (name, word) in [
        ("none.png", "nothing is missing"),
        ("all.png", "every pixel is missing"),
        ("other.png", "[39, 39]"),
        ("gone.png", "gone.png"),
    ] {
        let error = inpaint(&options(name), &mut ()).unwrap_err().to_string();
        assert!(error.contains(word), "{name}: {error}");
        assert!(!folder.join("out.png").exists());
    }
    let mut good = options("good.png");
    good.files.reference = Some(folder.join("clean-a.png"));
    let report = inpaint(&good, &mut ()).unwrap();
    let row = &report.rows[0];
    assert!(row.after.unwrap().psnr > 25.0, "{:?}", row.after);
    // What is known stays as it is.
    let [before, after] = ["clean-a.png", "out.png"]
        .map(|name| crate::data::folder::read(&folder.join(name), true, None).unwrap());
    for (k, (a, b)) in before.values.iter().zip(&after.values).enumerate() {
        assert!(a == b || (k % 1600) * 7919 % 13 < 6, "{k}");
    }
}

#[test]
fn each_image_of_a_folder_has_a_mask_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for below in ["images", "images/masks"] {
        std::fs::create_dir(folder.join(below)).unwrap();
    }
    let mut masks = Vec::new();
    for (k, name) in ["a.png", "b.png"].into_iter().enumerate() {
        let image = scenes::sample(k, 24, 3).grey();
        let mut mask = Image::zeros(1, 24, 24);
        for (at, v) in mask.values.iter_mut().enumerate() {
            *v = f32::from(u8::from(at * 7919 % 13 > 2 + 2 * k));
        }
        save_png(&image, folder.join("images").join(name)).unwrap();
        save_png(&mask, folder.join("images/masks").join(name)).unwrap();
        masks.push(mask.values.iter().filter(|v| **v == 0.0).count());
    }
    let options = |out: &str| InpaintOptions {
        files: files(folder, "images", out),
        mask: folder.join("images/masks"),
        filters: FilterSource::BuiltIn,
    };
    let report = inpaint(&options("out"), &mut ()).unwrap();
    let filled: Vec<_> = report.rows.iter().filter_map(|row| row.missing).collect();
    assert_eq!((filled, report.failures), (masks, vec![]));
    // An image without a mask is left out, and told; where none has one that is told before any work.
    std::fs::remove_file(folder.join("images/masks/b.png")).unwrap();
    let report = inpaint(&options("other"), &mut ()).unwrap();
    assert_eq!((report.images, report.rows.len()), (2, 1));
    says!(report.complete().unwrap_err(), "1 of 2", "masks/b.png");
    std::fs::remove_file(folder.join("images/masks/a.png")).unwrap();
    let error = inpaint(&options("none"), &mut ()).unwrap_err();
    says!(error, "masks/a.png");
    assert!(!folder.join("none").exists());
}

#[test]
fn results_are_called_as_their_images_where_they_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("in")).unwrap();
    noisy(folder, "a.png", 1);
    for name in ["a.bmp", "a.png", "a-compared.png"] {
        let picture = image::open(folder.join("a.png")).unwrap();
        picture.save(folder.join("in").join(name)).unwrap();
    }
    let report = denoise(&white(files(folder, "in", "out"), Some(25.0)), &mut ()).unwrap();
    let called = |row: &Row| [&row.image, &row.out].map(|path| crate::files::file_name(path));
    let called: Vec<_> = report.rows.iter().map(called).collect();
    let wanted = [
        ["a-compared.png", "a-compared.png"],
        ["a.bmp", "a-2.png"],
        ["a.png", "a-3.png"],
    ];
    assert_eq!(called, wanted);
}

#[test]
fn arrays_are_denoised_without_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut bundle = crate::arrays::Bundle::default();
    let values: Vec<f32> = (0..2 * 12 * 14).map(|k| (k % 3) as f32 - 0.7).collect();
    bundle.put("y", &[2, 12, 14], values).unwrap();
    crate::arrays::write(folder.join("in.npz"), &bundle, false).unwrap();
    let options = white(files(folder, "in.npz", "out.npz"), Some(20.0));
    denoise(&options, &mut ()).unwrap();
    let x = crate::arrays::read(folder.join("out.npz")).unwrap();
    let x = &x.arrays["x"];
    assert_eq!(x.shape, [2, 12, 14]);
    assert!(x.values.iter().any(|v| *v < 0.0) && x.values.iter().any(|v| *v > 1.0));
    let error = denoise(&white(files(folder, "in.npz", "out.jpg"), None), &mut ()).unwrap_err();
    assert!(error.to_string().contains(".png"), "{error}");
}

#[test]
fn filters_of_a_run_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = test_runs::run(folder.path(), "steps = 2");
    let at = CheckpointSelector::Last;
    let mut options = white(files(folder.path(), "a.png", "out.png"), Some(25.0));
    options.filters = FilterSource::Run { path, at };
    options.files.reference = Some(folder.path().join("clean-a.png"));
    noisy(folder.path(), "a.png", 1);
    let report = denoise(&options, &mut ()).unwrap();
    assert!(
        report.filters.contains("of 3 x 3, layer 1 of"),
        "{}",
        report.filters
    );
    let [before, after] = [report.rows[0].before, report.rows[0].after].map(|of| of.unwrap().psnr);
    assert!(after > before + 3.0, "{before} {after}");
}
