//! Inference where pixels are missing.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::tests::options;
use super::*;
use crate::arrays;
use crate::picture::save_png;
use crate::task::test_runs;

fn missing(at: usize) -> bool {
    at * 7919 % 13 < 4
}

/// A scene with other values where pixels are missing, and its mask.
fn write(folder: &Path, name: &str, garbage: f32) {
    let mut image = crate::data::scenes::sample(0, 24, 5).grey();
    let mut mask = Image::zeros(1, 24, 24);
    for (at, (v, m)) in image.values.iter_mut().zip(&mut mask.values).enumerate() {
        (*v, *m) = if missing(at) {
            (garbage, 0.0)
        } else {
            (*v, 1.0)
        };
    }
    for (below, image) in [("images", image), ("masks", mask)] {
        fs::create_dir_all(folder.join(below)).unwrap();
        save_png(&image, folder.join(below).join(name)).unwrap();
    }
}

#[test]
fn what_lies_in_missing_pixels_changes_neither_maps_nor_numbers() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    test_runs::run(folder, "");
    write(folder, "black.png", 0.0);
    write(folder, "white.png", 1.0);
    let mut options = options(folder);
    options.anomaly = true;
    options.mask = Some(folder.join("masks"));
    let report = run(&options, &Device::flex(), &mut ()).unwrap();
    let (black, white) = report.rows.split_at(2);
    for (black, white) in black.iter().zip(white) {
        assert_eq!(black.objective, white.objective);
        assert_eq!((black.snr, black.psnr), (white.snr, white.psnr));
        assert!(black.anomaly.is_some() && black.anomaly == white.anomaly);
    }
    let [black, white] =
        ["black", "white"].map(|name| arrays::read(options.out.join(format!("{name}-maps.npz"))));
    assert_eq!(black.unwrap().arrays, white.unwrap().arrays);
    // Without the masks they are two images.
    options.mask = None;
    options.out = folder.join("all");
    let report = run(&options, &Device::flex(), &mut ()).unwrap();
    assert_ne!(report.rows[0].objective, report.rows[2].objective);
    // Another mask is another set of results; an image without one is left out; tiles know none.
    options.mask = Some(folder.join("masks"));
    options.out = folder.join("out");
    fs::copy(
        folder.join("images/black.png"),
        folder.join("masks/white.png"),
    )
    .unwrap();
    let error = run(&options, &Device::flex(), &mut ()).unwrap_err();
    assert!(matches!(error, Error::Exists(_)), "{error}");
    fs::remove_file(folder.join("masks/white.png")).unwrap();
    options.out = folder.join("one");
    let report = run(&options, &Device::flex(), &mut ()).unwrap();
    assert_eq!((report.rows.len(), report.failures.len()), (2, 1));
    options.anomaly = false;
    options.tile = Some(12);
    options.solver = None;
    let error = run(&options, &Device::flex(), &mut ()).unwrap_err();
    assert!(error.to_string().contains("missing pixels"), "{error}");
}
