//! Learning from images of which pixels are missing.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use deconvnet::arrays::{self, Bundle};
use deconvnet::config::Config;
use deconvnet::data::{Image, Weighted, scenes};
use deconvnet::group::Group;
use deconvnet::model::{Evaluation, Network, Objective};
use deconvnet::picture::save_png;
use deconvnet::run::{Images, Run};
use deconvnet::solve::{Fista, Limits, Method, Problem};
use deconvnet::store::CheckpointSelector;
use deconvnet::task::train::{self, Ended, Report};
use deconvnet::task::{Callback, Event};
use deconvnet::train::Trainer;
use rand::RngExt;

use crate::support::*;

/// A mask of one channel, 0 with this probability.
fn mask(side: usize, missing: f64, seed: u64) -> Image {
    let mut mask = Image::zeros(1, side, side);
    let mut rng = rng(seed);
    for m in &mut mask.values {
        *m = f32::from(u8::from(!rng.random_bool(missing)));
    }
    mask
}

/// The image with other values where the mask is 0.
fn spoilt(mut image: Image, mask: &Image, value: impl Fn(usize) -> f32) -> Image {
    for c in 0..image.channels {
        let plane = image.plane_mut(c).iter_mut().enumerate();
        for ((at, v), _) in plane.zip(&mask.values).filter(|(_, m)| **m == 0.0) {
            *v = value(at);
        }
    }
    image
}

fn learn<I: Into<Weighted>>(config: &str, images: Vec<I>) -> Trainer {
    let config = Config::parse(config).expect("settings");
    let mut trainer = Trainer::in_memory(config, images, &Device::flex()).expect("images that fit");
    trainer.train(&mut ()).expect("finite numbers");
    trainer
}

#[test]
fn what_lies_in_missing_pixels_changes_no_bit_of_filters_and_numbers() {
    let one = "[[layer]]\nmaps = 4\nsize = 5\nepochs = 2\nsparsity = { of_max = 0.1 }\n";
    let two = "[[layer]]\nmaps = 3\nsize = 3\nepochs = 1\nsparsity = { of_max = 0.1 }\n\
               [[layer]]\nmaps = 4\nsize = 3\nepochs = 2\nsparsity = { of_max = 0.1 }\n";
    let pooled = two.replacen("epochs", "pool = [2, 2, 1]\nepochs", 1);
    for (preprocess, train, layers) in [
        ("contrast-normalize", "solver = \"split\"", two),
        ("local-mean", "solver = \"adam\"\nsteps = 5", one),
        (
            "zero-mean",
            "solver = \"fista\"\nsteps = 5\nbatch = 2\nform = \"joint\"",
            two,
        ),
        (
            "none",
            "solver = \"fista\"\nsteps = 5\nupdate_filters = \"epoch\"",
            one,
        ),
        ("contrast-normalize", "solver = \"descent\"\nbatch = 2", two),
        (
            "contrast-normalize",
            "solver = \"descent\"\nrounds = 9\nupdate_filters = \"online\"",
            one,
        ),
        (
            "contrast-normalize",
            "solver = \"ista\"\nsteps = 5\nform = \"adaptive\"",
            &pooled,
        ),
    ] {
        let config = format!(
            "[data]\ncolour = false\n[preprocess]\nkind = \"{preprocess}\"\n[train]\n{train}\n{layers}"
        );
        let learnt = [0.0, 1.0, f32::NAN].map(|garbage| {
            let images = (0..3).map(|k| {
                let mask = mask(24, 0.3, k as u64);
                let image = spoilt(scenes::sample(k, 24, 7).grey(), &mask, |_| garbage);
                Weighted::new(image, mask).expect("a mask")
            });
            let trainer = learn(&config, images.collect());
            let layers = trainer.network().layers().iter();
            let filters: Vec<_> = layers.map(|layer| bits(&layer.filters.val())).collect();
            let metrics = trainer.run().state.metrics.iter();
            let numbers: Vec<_> = metrics
                .map(|line| format!("{} {} {:?}", line.after_codes, line.after_filters, line.snr))
                .collect();
            (filters, numbers)
        });
        assert_eq!(learnt[0].1, learnt[1].1, "{config}");
        assert_eq!(learnt[0].1, learnt[2].1, "{config}");
        assert!(
            learnt[0].0 == learnt[1].0 && learnt[0].0 == learnt[2].0,
            "{config}"
        );
    }
}

/// The least objective of whole images under filters that were learnt without them.
fn explained(network: &Network, images: &mut Images) -> f64 {
    let device = Device::flex();
    let objective = Objective::new(1.0, 0.3, 1.0).expect("an objective");
    let each = (0..images.sources().len()).map(|i| {
        let data = images.data(i, &device).expect("an image");
        let problem = Problem::new(network.clone(), data, objective).expect("a problem");
        let limits = Limits {
            steps: 100,
            every: 0,
            ..Limits::default()
        };
        let solved = Method::from(Fista::default())
            .code(&problem, zeros(&problem), &limits, &mut ())
            .expect("finite numbers");
        Evaluation::total(&solved.each).objective
    });
    each.sum()
}

fn zeros(problem: &Problem) -> burn::tensor::Tensor<4> {
    burn::tensor::Tensor::zeros(problem.maps_shape(), &Device::flex())
}

#[test]
fn filters_learnt_with_missing_pixels_explain_whole_images() {
    let config = "[data]\ncolour = false\n[preprocess]\nkind = \"contrast-normalize\"\n\
                  [train]\nsolver = \"descent\"\nconstraint = \"unit-ball\"\n\
                  [[layer]]\nmaps = 9\nsize = 7\nepochs = 8\nsparsity = 0.3\n";
    let scene = |k: usize, seed: u64| scenes::sample(k, 60, seed).grey();
    let whole: Vec<Image> = (0..6).map(|k| scene(k, 1)).collect();
    let masks: Vec<Image> = (0..6).map(|k| mask(60, 0.3, k)).collect();
    let black: Vec<Image> = whole
        .iter()
        .zip(&masks)
        .map(|(image, mask)| spoilt(image.clone(), mask, |_| 0.0))
        .collect();
    let masked: Vec<Weighted> = black
        .iter()
        .zip(&masks)
        .map(|(image, mask)| Weighted::new(image.clone(), mask.clone()).expect("a mask"))
        .collect();
    let others: Vec<Image> = (0..4).map(|k| scene(k, 2)).collect();
    let settings = Config::parse(config).expect("settings");
    let mut others = Images::given(&settings, others).expect("images");
    let mut judge = |trainer: Trainer| explained(trainer.network(), &mut others);
    let from_whole = judge(learn(config, whole));
    let from_masked = judge(learn(config, masked));
    let from_black = judge(learn(config, black));
    let figures = format!("whole {from_whole}, masked {from_masked}, black {from_black}");
    println!("{figures}");
    assert!(from_masked < 1.05 * from_whole, "{figures}");
    assert!(
        from_masked - from_whole < 0.5 * (from_black - from_whole),
        "{figures}"
    );
}

/// Pictures, masks and settings in a folder.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for folder in ["images", "masks"] {
            std::fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        for k in 0..3 {
            let image = scenes::sample(k, 32, 3).grey();
            save_png(&image, dir.path().join(format!("images/{k}.png"))).expect("a picture");
            let mask = mask(32, 0.2, k as u64);
            save_png(&mask, dir.path().join(format!("masks/{k}.png"))).expect("a picture");
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self, images: &str, mask: &str) -> Config {
        let text = "[data]\ncolour = false\n[train]\nsolver = \"descent\"\n\
                    [[layer]]\nmaps = 4\nsize = 5\nepochs = 2\nsparsity = { of_max = 0.1 }\n";
        let mut config = Config::parse(text).expect("settings");
        config.data.images = Some(self.path(images));
        config.data.mask = Some(self.path(mask));
        config
    }

    fn start(
        &self,
        config: Config,
        run: &str,
        callback: &mut dyn Callback<Event>,
    ) -> deconvnet::Result<Report> {
        let (run, alone) = (self.path(run), Group::alone());
        train::start(config, &run, &Device::flex(), false, &alone, callback)
    }

    fn resume(&self, run: &str) -> deconvnet::Result<Report> {
        let (run, alone) = (self.path(run), Group::alone());
        let last = CheckpointSelector::Last;
        train::resume(&run, last, None, &Device::flex(), false, &alone, &mut ())
    }

    fn filters(&self, run: &str) -> Vec<u32> {
        let run = Run::read(&self.path(run), CheckpointSelector::Last, &Device::flex());
        bits(&run.expect("a run").network.top().filters.val())
    }
}

/// Asks to stop after the second batch, and keeps the notes.
#[derive(Default)]
struct Stop {
    asked: Cell<usize>,
    notes: String,
}

impl Callback<Event> for Stop {
    fn event(&mut self, event: Event) {
        if let Event::Note(note) = event {
            self.notes += &format!("{note}\n");
        }
    }

    fn interrupted(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.asked.get() == 2
    }
}

#[test]
fn a_run_goes_on_with_the_masks_that_it_began_with_and_no_others() {
    let files = Files::new();
    let config = || files.config("images", "masks");
    files.start(config(), "whole", &mut ()).expect("a run");
    for run in ["stopped", "changed"] {
        let mut stop = Stop::default();
        let report = files.start(config(), run, &mut stop).expect("a run");
        assert_eq!(report.ended, Ended::Interrupted);
        assert!(
            stop.notes.contains("% of the pixels are missing"),
            "{}",
            stop.notes
        );
    }
    assert_eq!(
        files.resume("stopped").expect("a run").ended,
        Ended::Finished
    );
    assert_eq!(files.filters("stopped"), files.filters("whole"));

    // The mask decides, not what it hides: other values where pixels are missing are no other image.
    let (name, hidden) = (files.path("images/1.png"), mask(32, 0.2, 1));
    let image = spoilt(scenes::sample(1, 32, 3).grey(), &hidden, |at| {
        (at % 2) as f32
    });
    save_png(&image, &name).expect("a picture");
    files.start(config(), "garbage", &mut ()).expect("a run");
    assert_eq!(files.filters("garbage"), files.filters("whole"));

    let changed = files.path("masks/1.png");
    save_png(&mask(32, 0.2, 9), &changed).expect("a picture");
    let text = files
        .resume("changed")
        .expect_err("another mask")
        .to_string();
    says!(text, "images/1.png with the mask", "masks/1.png");
    std::fs::remove_file(&changed).expect("a file");
    let text = files.resume("changed").expect_err("no mask").to_string();
    says!(text, "masks/1.png", "where they were");
}

#[test]
fn masks_that_cannot_be_meant_are_refused_before_a_run_is_there() {
    let files = Files::new();
    let save = |name: &str, mask: &Image| save_png(mask, files.path(name)).expect("a picture");
    save("black.png", &Image::zeros(1, 32, 32));
    save("other.png", &mask(31, 0.2, 0));
    std::fs::write(files.path("text.png"), "no picture").expect("a file");
    std::fs::create_dir(files.path("two")).expect("a folder");
    for k in 0..2 {
        save(&format!("two/{k}.png"), &mask(32, 0.2, k));
    }
    for (mask, words) in [
        ("gone.png", &["gone.png"][..]),
        ("text.png", &["text.png"]),
        ("black.png", &["black.png", "every pixel is missing"]),
        (
            "other.png",
            &["other.png", "31", "images/0.png", "32 x 32", "one size"],
        ),
        ("two", &["two/2.png", "images/2.png"]),
        ("images", &["no mask", "images/0.png"]),
    ] {
        let refused = files.start(files.config("images", mask), "run", &mut ());
        let text = refused.expect_err(mask).to_string();
        assert!(
            words.iter().all(|word| text.contains(word)),
            "{mask}: {text}"
        );
        assert!(!files.path("run").exists());
    }
    let mut given = files.config("images", "masks");
    given.data.images = None;
    let text = Images::given(&given, vec![scenes::sample(0, 32, 3).grey()]);
    assert!(
        text.expect_err("a mask in a file")
            .to_string()
            .contains("data.mask")
    );
}

#[test]
fn arrays_bring_their_masks_and_weights_along() {
    let files = Files::new();
    let values: Vec<f32> = normal(240, &mut rng(4)).iter().map(|&v| v as f32).collect();
    let weights: Vec<f32> = (0..240)
        .map(|at| [1.0, 0.0, 2.0, 1.0][at * at % 7 % 4])
        .collect();
    let write = |path: &Path, arrays: &[(&str, &[usize], &Vec<f32>)]| {
        let mut bundle = Bundle::default();
        for (name, shape, values) in arrays {
            bundle
                .put(*name, shape, values.to_vec())
                .expect("the shape");
        }
        arrays::write(path, &bundle, true).expect("a file");
    };
    let text = "[preprocess]\nkind = \"zero-mean\"\n[train]\nsolver = \"descent\"\n\
                [[layer]]\nmaps = 3\nsize = [1, 5]\nepochs = 2\nsparsity = { of_max = 0.1 }\n";
    let one = |values: &[f32], channels: usize| Image {
        channels,
        height: 1,
        width: 40,
        values: values.to_vec(),
    };
    let mut settings = Config::parse(text).expect("settings");
    settings.data.channels = Some(2);
    let images = values.chunks(80).zip(weights.chunks(80));
    let images = images.map(|(v, m)| Weighted::new(one(v, 2), one(m, 2)).expect("weights"));
    let mut trainer = Trainer::in_memory(settings.clone(), images.collect(), &Device::flex())
        .expect("images that fit");
    trainer.train(&mut ()).expect("finite numbers");
    let wanted = bits(&trainer.network().top().filters.val());

    let shape = [3, 2, 40];
    let (file, apart) = (files.path("x.npz"), files.path("masks/x.npz"));
    write(
        &file,
        &[("signals", &shape, &values), ("weights", &shape, &weights)],
    );
    write(&apart, &[("weights", &shape, &weights)]);
    for (k, mask) in ["x.npz", "masks/x.npz", "masks"].iter().enumerate() {
        let mut config = files.config("x.npz", mask);
        config.preprocess = settings.preprocess.clone();
        config.layers = settings.layers.clone();
        let run = format!("run{k}");
        files.start(config, &run, &mut ()).expect("a run");
        assert_eq!(files.filters(&run), wanted, "{mask}");
    }
}
