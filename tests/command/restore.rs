//! `denoise` and `inpaint` as a person runs them.

use std::fs;
use std::path::Path;

use deconvnet::data::{Image, scenes};
use deconvnet::picture::save_png;
use serde_json::Value;

use super::support::{refused, succeeds};

/// A scene with much noise, as it should be, and a mask.
fn prepare(folder: &Path) {
    let clean = scenes::sample(0, 40, 3);
    save_png(&clean, folder.join("clean.png")).unwrap();
    let mut noisy = clean.clone();
    let mut mask = Image::zeros(1, 40, 40);
    for (k, v) in noisy.values.iter_mut().enumerate() {
        let hash = (k as u32).wrapping_mul(2_654_435_761) ^ 0x9e37;
        let hash = (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b);
        let uniform = (hash ^ (hash >> 13)) as f32 / u32::MAX as f32;
        *v += 0.34 * (uniform - 0.5);
        if k < 1600 {
            mask.values[k] = f32::from(u8::from(uniform > 0.4));
        }
    }
    save_png(&noisy, folder.join("noisy.png")).unwrap();
    save_png(&mask, folder.join("mask.png")).unwrap();
}

#[test]
fn an_image_is_denoised_and_one_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let line = "denoise noisy.png --out out.png --reference clean.png --json";
    let report: Value = serde_json::from_str(&succeeds(folder, line).0).unwrap();
    let row = &report["rows"][0];
    let psnr = |when: &str| row[when]["psnr"].as_f64().unwrap();
    assert!(psnr("after") > psnr("before") + 4.0, "{report}");
    assert!(
        (18.0..30.0).contains(&row["sigma"].as_f64().unwrap()),
        "{report}"
    );
    let (out, err) = succeeds(
        folder,
        "denoise noisy.png --sigma 25 --adapt --out adapted.png",
    );
    says!(out, "adapted to each image", "25.0");
    assert!(err.contains("noisy.png"), "progress: {err}");
    let (out, _) = succeeds(folder, "inpaint clean.png --mask mask.png --out whole.png");
    says!(out, "whole.png", "missing");
    for name in ["out", "adapted", "whole"] {
        assert!(
            folder.join(format!("{name}-compared.png")).exists(),
            "{name}"
        );
    }
    // The estimate is told.
    let (_, err) = succeeds(folder, "denoise noisy.png --out told.png");
    says!(err, "sigma 2", "eigenvalues");
}

#[test]
fn what_cannot_be_done_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    fs::write(folder.join("broken.png"), b"\x89PNG\r\n\x1a\nnot much").unwrap();
    save_png(&Image::zeros(1, 40, 40), folder.join("all.png")).unwrap();
    let white = Image {
        values: vec![1.0; 1600],
        ..Image::zeros(1, 40, 40)
    };
    save_png(&white, folder.join("none.png")).unwrap();
    save_png(&Image::zeros(1, 4, 4), folder.join("small.png")).unwrap();
    let nan = r#"{"y": not used}"#;
    fs::write(folder.join("bad.npz"), nan).unwrap();
    for (line, code, words) in [
        (
            "denoise noisy.png --sigma 0 --out o.png",
            2,
            &["sigma is 0"][..],
        ),
        (
            "denoise noisy.png --sigma -5 --out o.png",
            2,
            &["sigma is -5"],
        ),
        (
            "denoise noisy.png --sigma 9999 --out o.png",
            2,
            &["sigma is 9999", "255"],
        ),
        (
            "denoise noisy.png --sigma NaN --out o.png",
            2,
            &["sigma is NaN"],
        ),
        (
            "denoise noisy.png --noise brown --out o.png",
            2,
            &["brown", "impulse"],
        ),
        (
            "denoise noisy.png --noise poisson --out o.png",
            2,
            &["--peak"],
        ),
        (
            "denoise noisy.png --noise poisson --peak 0 --out o.png",
            2,
            &["peak is 0"],
        ),
        (
            "denoise noisy.png --noise impulse --sigma 3 --out o.png",
            2,
            &["--sigma"],
        ),
        ("denoise noisy.png --peak 3 --out o.png", 2, &["--peak"]),
        ("denoise noisy.png --out o.jpg", 2, &["o.jpg", ".png"]),
        (
            "denoise noisy.png --out noisy.png",
            2,
            &["noisy.png", "exists"],
        ),
        (
            "denoise noisy.png --out noisy.png --overwrite",
            2,
            &["would replace noisy.png"],
        ),
        (
            "denoise small.png --out o.png",
            3,
            &["4 x 4", "standard deviation"],
        ),
        (
            "denoise noisy.png --reference small.png --out o.png",
            3,
            &["small.png", "[3, 4, 4]", "[3, 40, 40]"],
        ),
        (
            "denoise broken.png --sigma 5 --out o.png",
            3,
            &["broken.png"],
        ),
        ("denoise bad.npz --sigma 5 --out o.png", 3, &["bad.npz"]),
        ("denoise gone.png --sigma 5 --out o.png", 7, &["gone.png"]),
        ("denoise noisy.png --run gone --out o.png", 4, &["gone"]),
        (
            "inpaint clean.png --mask all.png --out o.png",
            3,
            &["all.png", "every pixel"],
        ),
        (
            "inpaint clean.png --mask none.png --out o.png",
            3,
            &["none.png", "nothing is missing"],
        ),
        (
            "inpaint noisy.png --mask small.png --out o.png",
            3,
            &["every pixel"],
        ),
        (
            "inpaint small.png --mask mask.png --out o.png",
            3,
            &["mask.png", "[40, 40]", "4 x 4"],
        ),
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        refused(folder, &arguments, code, words);
        assert!(!folder.join("o.png").exists(), "{line}");
    }
}
