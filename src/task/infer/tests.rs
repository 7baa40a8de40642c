//! Inference on a run of a moment.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::data::folder;
use crate::task::test_runs;

fn options(folder: &Path) -> Options {
    Options {
        checkpoint: folder.join("run"),
        which: CheckpointSelector::Last,
        images: folder.join("images"),
        exclude: Vec::new(),
        out: folder.join("out"),
        solver: Some(SolverName::Fista),
        joint: false,
        limits: Limits {
            steps: 30,
            ..Limits::default()
        },
        maps_format: MapsFormat::Npz,
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
    assert!(greedy.rows.iter().all(|r| r.snr > 0.0 && r.psnr > 10.0));
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
    assert!(joint.rows.iter().all(|r| r.layer == 2 && r.snr > 0.0));
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
    test_runs::image(&options.images.join("good.png"), 1, 20);
    fs::write(options.images.join("bad.png"), "no image").unwrap();
    assert!(message(&options).contains("bad.png"));
    test_runs::image(&options.images.join("bad.png"), 1, 20);
    crate::picture::save_png(&Image::zeros(1, 2, 40), options.images.join("tiny.png")).unwrap();
    let error = message(&options);
    assert!(
        error.contains("tiny.png") && error.contains("smaller than the 3 x 3"),
        "{error}"
    );
    assert!(!options.out.exists());
    fs::remove_file(options.images.join("tiny.png")).unwrap();
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
}

#[test]
fn a_solver_whose_maps_are_of_another_scale_is_warned_of() {
    struct Notes(Vec<String>);
    impl Callback<Event> for Notes {
        fn event(&mut self, event: Event) {
            if let Event::Note(note) = event {
                self.0.push(note);
            }
        }
    }
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
    /// Waits for so many images.
    struct Impatient(usize);
    impl Callback<Event> for Impatient {
        fn event(&mut self, _: Event) {
            self.0 -= 1;
        }
        fn interrupted(&self) -> bool {
            self.0 == 0
        }
    }
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
