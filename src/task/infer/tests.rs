//! Inference on a run of a moment.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::arrays::{self, Array};
use crate::data::folder;
use crate::run::to_tensor;
use crate::task::test_runs::{self, Impatient, Notes};

pub(super) fn options(folder: &Path) -> Options {
    Options {
        checkpoint: folder.join("run"),
        which: CheckpointSelector::Last,
        images: folder.join("images"),
        exclude: Vec::new(),
        mask: None,
        tile: None,
        group: Group::alone(),
        shard: None,
        out: folder.join("out"),
        solver: Some(SolverName::Fista),
        joint: false,
        max_side: None,
        limits: Limits {
            steps: 30,
            ..Limits::default()
        },
        maps_format: MapsFormat::Npz,
        anomaly: false,
        overwrite: false,
        force: false,
    }
}

fn infer(options: &Options) -> Result<Report> {
    run(options, &Device::flex(), &mut ())
}

fn message(options: &Options) -> String {
    infer(options).unwrap_err().to_string()
}

#[test]
fn greedy_and_joint_agree_with_their_files() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "rescale_maps = 2.0");
    test_runs::image(&folder.path().join("images/a.png"), 5, 20);
    test_runs::image(&folder.path().join("images/sub/a.png"), 6, 26);
    let mut options = options(folder.path());
    let greedy = infer(&options).unwrap();
    let layers: Vec<_> = greedy
        .rows
        .iter()
        .map(|r| (r.image.as_str(), r.layer))
        .collect();
    assert_eq!(
        layers,
        [
            ("a.png", 1),
            ("a.png", 2),
            ("sub/a.png", 1),
            ("sub/a.png", 2)
        ]
    );
    assert!(
        greedy
            .rows
            .iter()
            .all(|r| r.snr > Some(0.0) && r.psnr > Some(10.0))
    );
    assert_eq!(greedy.rows[0].steps, 30);
    assert!(greedy.complete().is_ok() && !greedy.interrupted);
    let maps = arrays::read(options.out.join("sub/a-maps.npz")).unwrap();
    assert_eq!(maps.arrays["layer1"].shape, [3, 28, 28]);
    assert_eq!(maps.arrays["layer2"].shape, [6, 29, 29]);
    let used = maps.arrays["layer2"].values.iter().filter(|&&v| v != 0.0);
    let density = used.count() as f64 / (6.0 * 29.0 * 29.0);
    assert!((density - greedy.rows[3].density).abs() < 1e-12);
    assert!(options.out.join("sub/a.png").exists());
    let csv = fs::read_to_string(options.out.join("table.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5);
    let json = fs::read_to_string(options.out.join("table.json")).unwrap();
    assert!(json.contains("\"reason\": \"steps\""), "{json}");
    assert!(greedy.to_string().contains("mean"), "{greedy}");

    options.out = folder.path().join("joint");
    options.joint = true;
    options.maps_format = MapsFormat::None;
    let joint = infer(&options).unwrap();
    assert_eq!(joint.rows.len(), 2);
    assert!(joint.rows.iter().all(|r| r.layer == 2 && r.snr > Some(0.0)));
    assert!(!options.out.join("a-maps.npz").exists());
}

#[test]
fn the_joint_objective_sees_the_image_through_the_rescaling() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "rescale_maps = 2.0");
    test_runs::image(&folder.path().join("images/a.png"), 5, 20);
    let mut options = options(folder.path());
    options.joint = true;
    let report = infer(&options).unwrap();
    let row = &report.rows[0];
    // The data term by hand: the reconstruction that the maps in the file stand for.
    let device = Device::flex();
    let run = Run::read(&options.checkpoint, CheckpointSelector::Last, &device).unwrap();
    let pixels = folder::read(&options.images.join("a.png"), false, None).unwrap();
    let (prepared, _) = run.state.prepare.apply(&pixels).unwrap();
    let maps = arrays::read(options.out.join("a-maps.npz")).unwrap();
    let maps = &maps.arrays["layer2"];
    let codes = Image {
        channels: maps.shape[0],
        height: maps.shape[1],
        width: maps.shape[2],
        values: maps.values.clone(),
    };
    let planes = run.network.synthesize(to_tensor(&codes, &device));
    let planes = to_image(&planes, 0).unwrap();
    let error: f64 = planes
        .values
        .iter()
        .zip(&prepared.values)
        .map(|(x, y)| f64::from(x - y).powi(2))
        .sum();
    let data = run.state.objectives[1].data_weight() / 2.0 * error;
    assert!((data / row.data - 1.0).abs() < 1e-3, "{data} {}", row.data);
}

#[test]
fn a_joint_run_is_inferred_jointly() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "form = \"joint\"\nsolver = \"fista\"");
    test_runs::image(&folder.path().join("images/a.png"), 5, 20);
    let report = infer(&options(folder.path())).unwrap();
    assert!(report.joint);
    assert_eq!(report.rows.len(), 1);
    assert_eq!(report.rows[0].layer, 2);
}

#[test]
fn what_can_be_known_before_stops_it_before_anything_is_written() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let mut options = options(folder.path());
    fs::create_dir_all(&options.images).unwrap();
    fs::write(options.images.join("bad.png"), "no image").unwrap();
    assert!(message(&options).contains("bad.png"));
    crate::picture::save_png(&Image::zeros(1, 2, 40), options.images.join("tiny.png")).unwrap();
    let error = message(&options);
    assert!(
        error.contains("bad.png")
            && error.contains("tiny.png")
            && error.contains("smaller than the 3 x 3"),
        "{error}"
    );
    fs::remove_file(options.images.join("tiny.png")).unwrap();
    for name in ["bad.png", "flat.png"] {
        crate::picture::save_png(&Image::zeros(1, 20, 20), options.images.join(name)).unwrap();
    }
    let error = infer(&options).unwrap_err();
    assert!(
        matches!(&error, Error::Input(text) if text.contains("all alike") && text.contains("flat.png")),
        "{error}"
    );
    assert!(!options.out.exists());
    fs::remove_file(options.images.join("flat.png")).unwrap();
    test_runs::image(&options.images.join("good.png"), 1, 20);
    test_runs::image(&options.images.join("bad.png"), 1, 20);
    options.max_side = Some(0);
    assert!(message(&options).contains("0 pixels"));
    options.max_side = None;
    (options.joint, options.solver) = (true, Some(SolverName::CoordinateDescent));
    assert!(message(&options).contains("one layer at a time"));
    assert!(!options.out.exists());
    (options.joint, options.solver) = (false, Some(SolverName::Fista));

    infer(&options).unwrap();
    assert!(message(&options).contains("is not replaced"));
    options.overwrite = true;
    infer(&options).unwrap();
    // Results among the images are not taken for images, and never replace one.
    options.out = options.images.join("out");
    infer(&options).unwrap();
    assert_eq!(infer(&options).unwrap().images, 2);
    options.out = options.images.clone();
    assert!(message(&options).contains("choose another folder"));
    options.images = options.images.join("good.png");
    assert!(message(&options).contains("would replace the image"));
    let mut bundle = arrays::Bundle::default();
    let values = (0..400).map(|k| (k % 7) as f32).collect();
    bundle.put("images", &[1, 20, 20], values).unwrap();
    options.images = folder.path().join("arrays");
    fs::create_dir(&options.images).unwrap();
    arrays::write(options.images.join("a.npz"), &bundle, false).unwrap();
    options.out = options.images.clone();
    assert!(message(&options).contains("would replace the image"));
}

#[test]
fn flat_images_are_told_and_count_for_no_ratio() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let options = options(folder.path());
    for (name, seed) in [("a.png", 1), ("b.png", 2)] {
        test_runs::image(&options.images.join(name), seed, 20);
    }
    for (name, level) in [("black.png", 0.0), ("grey.png", 0.5)] {
        let mut flat = Image::zeros(1, 20, 20);
        flat.values.fill(level);
        crate::picture::save_png(&flat, options.images.join(name)).unwrap();
    }
    let mut notes = Notes::default();
    let report = run(&options, &Device::flex(), &mut notes).unwrap();
    let words = "2 of 4 images are flat, all pixels alike, and count for no mean of ratios: black.png, grey.png";
    assert!(
        notes.0.iter().any(|note| note.contains(words)),
        "{:?}",
        notes.0
    );
    let ratios = |name: &str| -> Vec<_> {
        let rows = report.rows.iter().filter(|row| row.image == name);
        rows.map(|row| (row.snr, row.psnr)).collect()
    };
    for name in ["black.png", "grey.png"] {
        assert_eq!(ratios(name), [(None, None); 2], "{name}");
    }
    let mean = (ratios("a.png")[1].0.unwrap() + ratios("b.png")[1].0.unwrap()) / 2.0;
    let text = report.to_string();
    let means = text.lines().rfind(|line| line.starts_with("mean")).unwrap();
    assert!(means.contains(&format!("{mean:.2}")), "{mean}\n{text}");
}

#[test]
fn images_that_are_scaled_down_are_counted() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let mut options = options(folder.path());
    for (name, side) in [("a.png", 20), ("b.png", 40)] {
        test_runs::image(&options.images.join(name), 1, side);
    }
    options.max_side = Some(30);
    let mut notes = Notes::default();
    run(&options, &Device::flex(), &mut notes).unwrap();
    let words = "1 of 2 images are scaled down to 30 pixels";
    assert!(
        notes.0.iter().any(|note| note.contains(words)),
        "{:?}",
        notes.0
    );
    let maps = arrays::read(options.out.join("b-maps.npz")).unwrap();
    assert_eq!(maps.arrays["layer1"].shape, [3, 32, 32]);
}

#[test]
fn an_image_that_fails_leaves_the_others_done() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let options = options(folder.path());
    // Its maps have a name that is too long for the file system.
    let long = "n".repeat(250) + ".png";
    for name in ["a.png", "z.png"] {
        test_runs::image(&options.images.join(name), 1, 20);
    }
    fs::copy(options.images.join("a.png"), options.images.join(&long)).unwrap();
    fs::write(options.images.join("broken.png"), "no image").unwrap();
    let report = infer(&options).unwrap();
    let failed: Vec<_> = report.failures.iter().map(|f| f.image.clone()).collect();
    let wanted = ["broken.png", &long].map(|name| options.images.join(name));
    assert_eq!(failed, wanted);
    let error = report.complete().unwrap_err().to_string();
    assert!(error.contains("2 of 4 images failed"), "{error}");
    for name in ["a.png", "z.png", "z-maps.npz"] {
        assert!(options.out.join(name).exists(), "{name}");
    }
}

#[test]
fn results_that_cannot_be_written_end_it_with_what_is_done() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let options = options(folder.path());
    for name in ["a.png", "b.png", "c.png"] {
        test_runs::image(&options.images.join(name), 1, 20);
    }
    let obstacle = options.out.join("b.png.tmp");
    fs::create_dir_all(&obstacle).unwrap();
    let error = infer(&options).unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, .. } if path.ends_with("b.png")),
        "{error}"
    );
    assert!(!options.out.join("c.png").exists());
    fs::remove_dir(&obstacle).unwrap();
    let mut notes = Notes::default();
    let report = run(&options, &Device::flex(), &mut notes).unwrap();
    assert_eq!(report.finished.len(), 3);
    let words = "1 of 3 images are done";
    assert!(
        notes.0.iter().any(|note| note.contains(words)),
        "{:?}",
        notes.0
    );
}

#[test]
fn a_later_call_goes_on_where_one_was_interrupted() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let mut options = options(folder.path());
    for (name, seed) in [("a.png", 1), ("b.png", 2), ("c.png", 3)] {
        test_runs::image(&options.images.join(name), seed, 20);
    }
    let first = run(&options, &Device::flex(), &mut Impatient(1)).unwrap();
    assert!(first.interrupted && first.rows.len() == 2);
    let written = |name: &str| {
        fs::metadata(options.out.join(name))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = written("a.png");
    // Results of other settings are not mixed with these.
    let mut other = options.clone();
    other.limits.steps += 1;
    assert!(message(&other).contains("is not replaced"));
    other = options.clone();
    other.max_side = Some(19);
    assert!(message(&other).contains("is not replaced"));
    let mut notes = Notes::default();
    // A kill leaves results that are not in the table yet: that image is done again.
    fs::copy(options.out.join("a.png"), options.out.join("b.png")).unwrap();
    let whole = run(&options, &Device::flex(), &mut notes).unwrap();
    assert!(
        notes
            .0
            .iter()
            .any(|note| note.contains("1 of 3 images are done"))
    );
    let [a, b] = ["a.png", "b.png"].map(|name| fs::read(options.out.join(name)).unwrap());
    assert!(a != b);
    assert_eq!(written("a.png"), before);
    let rows: Vec<_> = whole.rows.iter().map(|row| row.image.as_str()).collect();
    assert_eq!(rows, ["a.png", "a.png", "b.png", "b.png", "c.png", "c.png"]);
    assert!(!whole.interrupted && whole.rows[0].objective == first.rows[0].objective);
    // Once all is done, nothing is replaced unasked.
    assert!(message(&options).contains("finished: there is nothing left to do"));
    // A new image is added to the others; a changed one is not taken for the old.
    test_runs::image(&options.images.join("d.png"), 4, 20);
    assert_eq!(infer(&options).unwrap().rows.len(), 8);
    test_runs::image(&options.images.join("b.png"), 5, 20);
    assert!(message(&options).contains("is not replaced"));
    options.overwrite = true;
    assert_eq!(infer(&options).unwrap().rows.len(), 8);
    // Other images do not take the place of those in the table.
    options.overwrite = false;
    options.images = folder.path().join("others");
    test_runs::image(&options.images.join("e.png"), 6, 20);
    let table = || fs::read(options.out.join("table.csv")).unwrap();
    let before = table();
    assert!(message(&options).contains("is not replaced"));
    assert!(table() == before && !options.out.join("e.png").exists());
}

#[test]
fn a_solver_whose_maps_are_of_another_scale_is_warned_of() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let mut options = options(folder.path());
    test_runs::image(&options.images.join("a.png"), 1, 20);
    options.overwrite = true;
    for (solver, warned) in [
        (SolverName::Fista, true),
        (SolverName::HalfQuadratic, false),
    ] {
        options.solver = Some(solver);
        let mut notes = Notes(Vec::new());
        run(&options, &Device::flex(), &mut notes).unwrap();
        let words =
            "the run's solver is split, whose maps are of another scale than those by fista";
        assert_eq!(notes.0.iter().any(|note| note.contains(words)), warned);
    }
}

#[test]
fn names_that_differ_in_the_ending_alone_keep_it() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let options = options(folder.path());
    test_runs::image(&options.images.join("a.png"), 1, 20);
    fs::copy(options.images.join("a.png"), options.images.join("a.bmp")).unwrap();
    infer(&options).unwrap();
    for name in ["a.png.png", "a.bmp.png", "a.bmp-maps.npz"] {
        assert!(options.out.join(name).exists(), "{name}");
    }
}

#[test]
fn one_failing_image_does_not_lose_the_others() {
    /// Removes an image once the first is done.
    struct Vandal(std::path::PathBuf);
    impl Callback<Event> for Vandal {
        fn event(&mut self, _: Event) {
            let _ = fs::remove_file(&self.0);
        }
    }
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let mut options = options(folder.path());
    options.solver = None;
    for name in ["a.png", "b.png", "c.png"] {
        test_runs::image(&options.images.join(name), 1, 20);
    }
    let mut vandal = Vandal(options.images.join("b.png"));
    let report = run(&options, &Device::flex(), &mut vandal).unwrap();
    assert_eq!((report.rows.len(), report.failures.len()), (4, 1));
    let error = report.complete().unwrap_err().to_string();
    assert!(
        error.contains("1 of 3 images failed") && error.contains("b.png"),
        "{error}"
    );
    assert!(options.out.join("c.png").exists());
}

#[test]
fn an_interruption_drops_the_image_in_work() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let mut options = options(folder.path());
    options.solver = None;
    let images = ["a.png", "b.png"];
    for name in images {
        test_runs::image(&options.images.join(name), 1, 20);
    }
    for done in [0, 1] {
        options.out = folder.path().join(format!("out{done}"));
        let report = run(&options, &Device::flex(), &mut Impatient(done)).unwrap();
        assert!(report.interrupted);
        let text = report.to_string();
        assert!(
            text.contains(&format!("interrupted after {done} of 2 images")),
            "{text}"
        );
        let written = images.map(|name| options.out.join(name).exists());
        assert_eq!(written, [done > 0, false]);
        assert!(options.out.join("table.csv").exists());
    }
}

#[test]
fn a_gap_needs_a_convex_objective() {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    let mut options = options(folder.path());
    test_runs::image(&options.images.join("a.png"), 1, 20);
    options.limits.gap = Some(1e-2);
    assert_eq!(infer(&options).unwrap().rows.len(), 2);
    let mut bundle = arrays::Bundle::default();
    let filters = Array::new(vec![1, 1, 2, 2], vec![0.5; 4]).unwrap();
    bundle.arrays.insert("layer1.filters".into(), filters);
    for (name, value) in [("data_weight", 1.0), ("sparsity", 1.0), ("p", 0.8)] {
        bundle
            .scalars
            .insert(format!("layer1.objective.{name}"), value);
    }
    let file = folder.path().join("half.npz");
    arrays::write(&file, &bundle, false).unwrap();
    options.checkpoint = folder.path().join("half");
    crate::task::exchange::import(&file, None, &options.checkpoint, &Device::flex()).unwrap();
    assert!(message(&options).contains("p = 0.8"));
}
