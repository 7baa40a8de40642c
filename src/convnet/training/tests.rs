use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use image::RgbImage;
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use tempfile::TempDir;

use super::network::Network;
use super::*;
use crate::Error;
use crate::run::save;
use crate::solve::Callback;
use crate::store::CheckpointSelector;
use crate::train::{Ended, Event};

pub(super) fn random<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0));
    let data = TensorData::new(values.collect::<Vec<f64>>(), shape);
    Tensor::from_data(data, (device, DType::F64))
}

fn close<const D: usize>(a: Tensor<D>, b: Tensor<D>, tolerance: f64) {
    assert_eq!(a.dims(), b.dims());
    let scale: f64 = b.clone().abs().max().into_scalar();
    let worst: f64 = (a - b).abs().max().into_scalar();
    assert!(worst <= tolerance * scale, "{worst} of {scale}");
}

#[test]
fn normalisation_is_that_of_onnx() {
    let device = Device::flex();
    let x = random([7, 2, 1, 3], 4, &device) * 3.0;
    let values: Vec<f64> = x.clone().try_into_vec_as().unwrap();
    let at = |k: usize, i: usize| values[6 * k + i];
    let expected = (0..42_usize).map(|n| {
        let (k, i) = (n / 6, n % 6);
        let sum: f64 = (k.saturating_sub(2)..(k + 3).min(7))
            .map(|j| at(j, i).powi(2))
            .sum();
        at(k, i) / (1.0 + normalisation::ALPHA / 5.0 * sum).powf(normalisation::BETA)
    });
    let data = TensorData::new(expected.collect::<Vec<f64>>(), [7, 2, 1, 3]);
    let expected = Tensor::from_data(data, (&device, DType::F64));
    close(super::network::normalised(x), expected, 1e-14);
}

#[test]
fn sides_are_halved_as_far_as_four_places_are_left() {
    let out = |side| {
        Architecture::new(side, 10, None)
            .unwrap()
            .convolutions()
            .map(|c| c.out)
    };
    assert_eq!(out(224), [56, 14, 14, 14, 7]);
    assert_eq!(out(128), [32, 8, 8, 8, 4]);
    assert_eq!(out(64), [16, 8, 8, 8, 4]);
    assert_eq!(out(32), [8, 4, 4, 4, 4]);
    assert_eq!(out(16), [4; 5]);
    assert_eq!(out(7), [4; 5]);
    let full = Architecture::new(224, 1000, None).unwrap();
    assert_eq!((full.maps, full.hidden), ([96, 256, 384, 384, 256], 4096));
    let device = Device::flex();
    for side in [7, 9, 16, 31, 33] {
        let architecture = Architecture::new(side, 3, Some(0.03)).unwrap();
        let network = Network::zeros(&architecture, &device);
        let images = Tensor::ones([3, 2, side, side], &device);
        assert_eq!(network.forward(images, None).dims(), [3, 2]);
    }
    for wrong in [
        Architecture::new(6, 10, None),
        Architecture::new(32, 1, None),
        Architecture::new(32, 10, Some(0.0)),
        Architecture::new(32, 10, Some(f64::NAN)),
    ] {
        assert!(matches!(wrong, Err(Error::Config(_))), "{wrong:?}");
    }
}

fn rms(weight: &Tensor<4>) -> Vec<f64> {
    let [maps, ..] = weight.dims();
    let squares: Tensor<2> = weight.clone().powi_scalar(2).reshape([maps as i32, -1]);
    squares.mean_dim(1).sqrt().try_into_vec_as().unwrap()
}

#[test]
fn filters_are_scaled_down_to_the_radius_and_no_others() {
    let device = Device::flex();
    let architecture = Architecture::new(16, 3, Some(0.05)).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut network = Network::random(&architecture, InitialWeights::Scaled, &mut rng, &device);
    let before = network.clone();
    network.renormalise(0.1);
    let (mut scaled, mut kept) = (0, 0);
    for (l, (new, old)) in network.layers.iter().zip(&before.layers).enumerate() {
        for (new, old) in rms(&new.weight.val())
            .into_iter()
            .zip(rms(&old.weight.val()))
        {
            let expected = match l < 5 && old > 0.1 {
                true => 0.1,
                false => old,
            };
            assert!(
                (new - expected).abs() < 1e-7,
                "layer {l}: {old} became {new}"
            );
            scaled += usize::from(l < 5 && old > 0.1);
            kept += usize::from(l >= 5 && old > 0.1);
        }
    }
    assert!(scaled > 3 && kept > 3, "{scaled} {kept}");
}

/// Small enough for a test: two kinds of scene, a tenth of the paper's maps.
fn small(epochs: usize) -> Settings {
    Settings {
        samples: 40,
        size: Some(16),
        width: Some(0.06),
        epochs,
        batch: 16,
        ..Settings::default()
    }
}

fn bytes(trainer: &Trainer) -> [Vec<u8>; 2] {
    let [network, velocity] = trainer.arrays();
    [network, velocity].map(|module| save(module.clone()).unwrap())
}

/// Stops after so many batches.
struct StopAfter(usize);

impl Callback<Event> for StopAfter {
    fn event(&mut self, event: Event) {
        if matches!(event, Event::LabelledBatch { .. }) {
            self.0 -= 1;
        }
    }

    fn interrupted(&self) -> bool {
        self.0 == 0
    }
}

#[test]
fn large_images_go_in_parts_of_a_batch_and_small_ones_do_not() {
    let together = |side| Architecture::new(side, 10, None).unwrap().together();
    assert!(together(32) >= 128);
    assert_eq!(together(224), 24);
}

#[test]
fn an_interrupted_run_resumes_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let device = Device::flex();
    let settings = Settings {
        patience: Some(1),
        ..small(3)
    };
    let mut whole =
        Trainer::start(settings.clone(), &folder.path().join("whole"), &device).unwrap();
    assert_eq!(whole.train(&mut ()).unwrap(), Ended::Finished);
    // Within an epoch, at its last batch, and within the next.
    let path = folder.path().join("cut");
    let mut trainer = Trainer::start(settings, &path, &device).unwrap();
    for batches in [2, 3, 4] {
        let ended = trainer.train(&mut StopAfter(batches)).unwrap();
        assert_eq!(ended, Ended::Interrupted);
        drop(trainer);
        trainer = Trainer::resume(&path, CheckpointSelector::Last, &device).unwrap();
    }
    assert_eq!(trainer.train(&mut ()).unwrap(), Ended::Finished);
    assert!(bytes(&trainer) == bytes(&whole), "other arrays");
    let lines = |trainer: &Trainer| {
        let without_time = |line: TraceLine| TraceLine {
            seconds: 0.0,
            ..line
        };
        let trace = trainer.trace().unwrap();
        trace.into_iter().map(without_time).collect::<Vec<_>>()
    };
    assert_eq!(lines(&trainer), lines(&whole));
    assert_eq!(lines(&whole).len(), 3);
    let file =
        |run: &str| std::fs::read(folder.path().join(run).join("model-epoch003.onnx")).unwrap();
    assert!(file("cut") == file("whole"), "other files");
    assert!(
        bytes(&trainer)[0]
            != bytes(&Trainer::start(small(1), &folder.path().join("new"), &device).unwrap())[0]
    );
}

#[test]
fn the_papers_weights_do_not_learn_and_scaled_ones_do() {
    let folder = TempDir::new().unwrap();
    let loss = |initial| {
        let settings = Settings {
            initial,
            samples: 60,
            batch: 8,
            patience: Some(20),
            ..small(10)
        };
        let path = folder.path().join(format!("{initial:?}"));
        let mut trainer = Trainer::start(settings, &path, &Device::flex()).unwrap();
        trainer.train(&mut ()).unwrap();
        let last = trainer.state().metrics.clone().unwrap();
        (last.loss, last.validation_accuracy)
    };
    // Chance is ln 2 = 0.693.
    let (literal, _) = loss(InitialWeights::Paper);
    assert!((literal - 2_f64.ln()).abs() < 0.01, "{literal}");
    let (scaled, accuracy) = loss(InitialWeights::Scaled);
    assert!(scaled < 0.2 && accuracy > 0.9, "{scaled} {accuracy}");
}

#[test]
fn a_loss_that_is_not_finite_is_an_error_and_leaves_the_checkpoint() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    let settings = Settings {
        rate: 1e30,
        ..small(2)
    };
    let mut trainer = Trainer::start(settings, &path, &Device::flex()).unwrap();
    let error = trainer.train(&mut ()).unwrap_err();
    assert!(matches!(error, Error::Numeric(_)), "{error}");
    says!(error, "smaller learning rate");
    drop(trainer);
    Trainer::resume(&path, CheckpointSelector::Last, &Device::flex()).unwrap();
}

/// A folder of classes with so many images each, of the given size.
fn classes(folder: &Path, classes: &[(&str, usize)], [width, height]: [u32; 2]) {
    for (c, (class, count)) in classes.iter().enumerate() {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        for i in 0..*count {
            let shade = |x, y| image::Rgb([x as u8 * 5, y as u8 * 7, (i * 20 + c) as u8]);
            let path = folder.join(class).join(format!("{i:02}.png"));
            RgbImage::from_fn(width, height, shade).save(path).unwrap();
        }
    }
}

#[test]
fn folders_are_read_as_classes() {
    let folder = TempDir::new().unwrap();
    let [data, other] = ["data", "other"].map(|name| folder.path().join(name));
    classes(&data, &[("b", 20), ("a", 3), (".hidden", 1)], [9, 12]);
    let settings = Settings {
        data: Some(data.clone()),
        ..Settings::default()
    };
    let set = DataSet::open(&settings).unwrap();
    assert_eq!((set.classes.join(" "), set.side), ("a b".into(), 9));
    assert_eq!((set.training.len(), set.validation.len()), (20, 3));
    assert_eq!(set.validation.labels, [0, 1, 1]);
    // The middle of 12 rows: the first that is taken is the second, of green 7; the class is in blue.
    assert_eq!(set.training.pixels[81..84], [7; 3]);
    assert_eq!(set.training.pixels[0..3], [0, 5, 10]);
    assert_eq!(set.training.pixels[2 * 81], 1);

    classes(&other, &[("b", 2)], [20, 18]);
    let settings = Settings {
        validation: Some(other.clone()),
        ..settings
    };
    let set = DataSet::open(&settings).unwrap();
    assert_eq!(
        (set.training.len(), set.validation.labels),
        (23, vec![1, 1])
    );
    assert_eq!(set.validation.pixels.len(), 2 * 3 * 81);
}

#[test]
fn images_that_cannot_be_used_are_told_in_one_message() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    classes(&root.join("one"), &[("a", 2)], [9, 9]);
    classes(&root.join("small"), &[("a", 2), ("b", 2)], [9, 6]);
    classes(&root.join("empty"), &[("a", 2), ("b", 0)], [9, 9]);
    classes(&root.join("broken"), &[("a", 2), ("b", 2)], [9, 9]);
    std::fs::write(root.join("broken/b/00.png"), b"none").unwrap();
    std::fs::create_dir(root.join("flat")).unwrap();
    classes(&root.join("good"), &[("a", 2), ("b", 2)], [9, 9]);
    let message = |data: &str, validation: Option<&str>| {
        let settings = Settings {
            data: Some(root.join(data)),
            validation: validation.map(|name| root.join(name)),
            ..small(1)
        };
        let error = Trainer::start(settings, &root.join("run"), &Device::flex()).unwrap_err();
        assert!(matches!(error, Error::Input(_)), "{error:?}");
        assert!(!root.join("run").exists());
        error.to_string()
    };
    assert!(message("one", None).contains("one folder (a)"));
    assert!(message("flat", None).contains("no folder"));
    assert!(message("small", None).contains("6 x 9"));
    assert!(message("empty", None).contains("no image in"));
    assert!(message("broken", None).contains("00.png"));
    classes(&root.join("others"), &[("a", 2), ("c", 2)], [9, 9]);
    assert!(message("good", Some("others")).contains("the class c"));
}

#[test]
fn other_images_are_refused_on_resuming() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    classes(&data, &[("a", 2), ("b", 2)], [9, 9]);
    let settings = Settings {
        data: Some(data.clone()),
        size: None,
        ..small(1)
    };
    let path = folder.path().join("run");
    drop(Trainer::start(settings, &path, &Device::flex()).unwrap());
    classes(&data, &[("a", 2), ("b", 3)], [9, 9]);
    let error = Trainer::resume(&path, CheckpointSelector::Last, &Device::flex()).unwrap_err();
    assert!(matches!(error, Error::Input(_)), "{error}");
}

#[test]
fn views_move_and_mirror() {
    let images = LabelledImages {
        pixels: (0..48).collect(),
        labels: vec![0],
    };
    let standardisation = Standardisation {
        mean: [0.0; 3],
        std: [1.0 / 255.0; 3],
    };
    let seen = |shift, flip| {
        let view = View { shift, flip };
        let batch = images.batch(&[0], &[view], 4, &standardisation, &Device::flex());
        let values: Vec<f32> = batch.try_into_vec_as().unwrap();
        values[..8]
            .iter()
            .map(|v| v.round() as u8)
            .collect::<Vec<u8>>()
    };
    assert_eq!(seen([0, 0], false), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(seen([0, 0], true), [3, 2, 1, 0, 7, 6, 5, 4]);
    assert_eq!(seen([1, 0], false), [4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(seen([-1, 1], false), [5, 6, 7, 6, 1, 2, 3, 2]);
}
