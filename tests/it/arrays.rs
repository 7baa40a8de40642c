//! Images of any number of channels, and signals as images of height 1, from files of arrays to results.

mod learning;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use deconvnet::arrays::{self, Bundle};
use deconvnet::config::Config;
use deconvnet::data::scenes;
use deconvnet::group::Group;
use deconvnet::picture::save_png;
use deconvnet::run::Run;
use deconvnet::solve::Limits;
use deconvnet::store::CheckpointSelector;
use deconvnet::task::infer::{self, MapsFormat};
use deconvnet::task::{exchange, train, visualize};
use deconvnet::train::Trainer;
use rand::RngExt;
use tempfile::TempDir;

use crate::support::*;

/// A file of arrays.
fn write(path: &Path, name: &str, shape: &[usize], values: Vec<f32>) {
    let mut bundle = Bundle::default();
    bundle.put(name, shape, values).expect("the shape");
    arrays::write(path, &bundle, true).expect("a file");
}

/// Smooth numbers of any size and range.
fn smooth(count: usize, seed: u64) -> Vec<f32> {
    let mut last = 0.0;
    let steps = normal(count, &mut rng(seed)).into_iter();
    steps
        .map(|step| {
            last = 0.8 * last + step;
            (40.0 + 10.0 * last) as f32
        })
        .collect()
}

fn options(run: &Path, images: PathBuf, out: PathBuf) -> infer::Options {
    infer::Options {
        checkpoint: run.to_path_buf(),
        which: CheckpointSelector::Last,
        images,
        exclude: Vec::new(),
        mask: None,
        out,
        solver: None,
        joint: false,
        tile: None,
        group: Group::alone(),
        shard: None,
        max_side: None,
        limits: Limits {
            steps: 20,
            ..Limits::default()
        },
        maps_format: MapsFormat::Npz,
        anomaly: true,
        overwrite: false,
        force: false,
    }
}

fn start(config: &str, data: &Path, run: &Path) -> deconvnet::Result<train::Report> {
    let mut config = Config::parse(config).expect("settings");
    config.data.images = Some(data.to_path_buf());
    train::start(
        config,
        run,
        &Device::flex(),
        false,
        &Group::alone(),
        &mut (),
    )
}

/// From a file of arrays to a run, its pictures, codes, reconstructions, scores and exported filters.
#[test]
fn arrays_go_the_whole_way_under_every_solver_and_preprocessing() {
    let two = "[[layer]]\nmaps = 3\nsize = [1, 5]\nepochs = 1\n[[layer]]\nmaps = 4\nsize = [1, 3]\nepochs = 1";
    let one = "[[layer]]\nmaps = 3\nsize = 3\nepochs = 1\nsparsity = { of_max = 0.2 }";
    for (name, shape, preprocess, train, layers) in [
        (
            "signals",
            &[3, 30][..],
            "local-mean",
            "solver = \"split\"",
            two,
        ),
        (
            "signals",
            &[3, 2, 30],
            "zero-mean",
            "solver = \"fista\"\nform = \"joint\"",
            two,
        ),
        (
            "signals",
            &[3, 7, 30],
            "contrast-normalize",
            "solver = \"adam\"\nsteps = 5",
            two,
        ),
        ("images", &[3, 12, 10], "none", "solver = \"descent\"", one),
        (
            "images",
            &[3, 2, 12, 10],
            "contrast-normalize",
            "solver = \"fista\"\nupdate_filters = \"online\"",
            one,
        ),
        (
            "images",
            &[3, 3, 12, 10],
            "zero-mean",
            "solver = \"split\"",
            one,
        ),
        (
            "images",
            &[3, 31, 12, 10],
            "local-mean",
            "solver = \"descent\"\nupdate_filters = \"online\"\nrounds = 8",
            one,
        ),
    ] {
        let what = format!("{name} {shape:?} {preprocess} {train}");
        let folder = TempDir::new().expect("a folder");
        let data = folder.path().join("data.npz");
        write(&data, name, shape, smooth(shape.iter().product(), 1));
        let run = folder.path().join("run");
        let config = format!("[preprocess]\nkind = \"{preprocess}\"\n[train]\n{train}\n{layers}");
        start(&config, &data, &run).expect(&what);
        for picture in ["filters-layer1", "curves", "reconstructions"] {
            let path = run.join("pictures").join(format!("{picture}.png"));
            assert!(path.exists(), "{what}: {picture}");
        }
        let channels = match (name, shape) {
            ("signals", [_, _]) | ("images", [_, _, _]) => 1,
            _ => shape[1],
        };
        let device = Device::flex();
        let state = Run::read(&run, CheckpointSelector::Last, &device)
            .expect(&what)
            .state;
        assert_eq!(state.config.data.channels, Some(channels), "{what}");
        assert_eq!(state.connectivity[0].planes(), channels, "{what}");
        // A run that is done is resumed by reading its images.
        train::resume(
            &run,
            CheckpointSelector::Last,
            None,
            &device,
            false,
            &Group::alone(),
            &mut (),
        )
        .expect(&what);

        let out = folder.path().join("out");
        let report =
            infer::run(&options(&run, data.clone(), out.clone()), &device, &mut ()).expect(&what);
        report.complete().expect(&what);
        assert_eq!(report.images, 3, "{what}");
        let layer = report.rows.last().expect("rows").layer;
        assert!(
            report
                .rows
                .iter()
                .all(|row| row.psnr.is_none() && row.anomaly > Some(0.0))
        );
        let file = out.join(format!("{name}-2-maps.npz"));
        let bundle = arrays::read(&file).expect(&what);
        let array = |name: &str| bundle.array(name, &file).expect(&what).clone();
        let (image, made) = (
            array("image"),
            array(&format!("layer{layer}.reconstruction")),
        );
        assert_eq!(
            (image.shape[0], &image.shape),
            (channels, &made.shape),
            "{what}"
        );
        assert_eq!(
            array(&format!("layer{layer}.anomaly")).shape,
            image.shape[1..],
            "{what}"
        );
        if preprocess != "local-mean" {
            let given = smooth(shape.iter().product(), 1);
            let last = &given[given.len() - image.values.len()..];
            for (a, b) in last.iter().zip(&image.values) {
                assert!((a - b).abs() < 1e-3, "{what}: {a} {b}");
            }
        }
        assert!(out.join(format!("{name}-2.png")).exists());

        let exported = folder.path().join("filters.npz");
        exchange::export(
            &run,
            CheckpointSelector::Last,
            &exported,
            Default::default(),
            false,
            &device,
        )
        .expect(&what);
        let imported = folder.path().join("imported");
        exchange::import(&exported, None, &imported, &device).expect(&what);
        let mut again = options(&imported, data.clone(), folder.path().join("again"));
        let error = infer::run(&again, &device, &mut ()).expect_err("no images of its own");
        assert!(
            error.to_string().contains("what is usual"),
            "{what}: {error}"
        );
        again.anomaly = false;
        let same = infer::run(&again, &device, &mut ()).expect(&what);
        assert_eq!(same.rows[0].objective, report.rows[0].objective, "{what}");
        let mut drawing = visualize::Options::new(&imported);
        drawing.images = Some(data);
        visualize::run(&drawing, &device, &mut ()).expect(&what);
    }
}

#[test]
fn what_does_not_fit_a_run_is_told() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let layer = "[preprocess]\nkind = \"none\"\n[train]\nsolver = \"descent\"\n[[layer]]\nmaps = 2\nepochs = 1\n";
    write(&path("a.npz"), "signals", &[2, 2, 20], smooth(80, 1));
    let refused = |config: String, data: &str| {
        let error = start(&config, &path(data), &path("refused")).expect_err("refused");
        assert!(!path("refused").exists());
        error.to_string()
    };
    let error = refused(format!("{layer}size = 5"), "a.npz");
    assert!(
        error.contains("1 x 20 after preprocessing, smaller than its 5 x 5 filters")
            && error.contains("such as size = [1, 5]"),
        "{error}"
    );
    let error = refused(
        format!("[data]\nchannels = 3\n{layer}size = [1, 5]"),
        "a.npz",
    );
    says!(error, "has 2 channels, where 3 are expected");
    let error = refused(
        format!("[data]\nmax_side = 10\n{layer}size = [1, 5]"),
        "a.npz",
    );
    assert!(error.contains("not scaled down"), "{error}");
    let mut values = smooth(80, 1);
    values[50] = f32::NEG_INFINITY;
    write(&path("inf.npz"), "signals", &[2, 2, 20], values);
    let error = refused(format!("{layer}size = [1, 5]"), "inf.npz");
    says!(error, "signals-1", "-inf in channel 0, row 0, column 10");
    assert!(refused(format!("{layer}size = [1, 5]"), "gone.npz").contains("gone.npz"));

    start(
        &format!("{layer}size = [1, 5]"),
        &path("a.npz"),
        &path("run"),
    )
    .expect("a run");
    let infer = |data: &str| {
        let options = options(&path("run"), path(data), path("out"));
        infer::run(&options, &Device::flex(), &mut ())
            .expect_err("refused")
            .to_string()
    };
    for (name, shape) in [("signals", &[2, 3, 20][..]), ("images", &[2, 20, 20])] {
        write(
            &path("b.npz"),
            name,
            shape,
            smooth(shape.iter().product(), 2),
        );
        assert!(infer("b.npz").contains("where 2 are expected"), "{shape:?}");
    }
    write(&path("b.npz"), "signals", &[2, 2, 4], smooth(16, 2));
    assert!(infer("b.npz").contains("smaller than the 1 x 5 filters"));
    save_png(&scenes::sample(0, 20, 1), path("c.png")).expect("a picture");
    assert!(infer("c.png").contains("has 3 channels, where 2 are expected"));
    // A file that is no longer what it was is told on a resume.
    write(&path("a.npz"), "signals", &[2, 2, 20], smooth(80, 9));
    let mut trainer = Trainer::resume(
        &path("run"),
        CheckpointSelector::Last,
        None,
        &Device::flex(),
        &Group::alone(),
        &mut (),
    )
    .expect("a run that is done");
    let error = trainer
        .images()
        .get(0)
        .expect_err("another image")
        .to_string();
    assert!(error.contains("signals-0 is not the image"), "{error}");
}

/// A patch of noise pasted into a scene of the kind that the filters were learnt from.
#[test]
fn a_foreign_patch_is_found_where_it_is() {
    let folder = TempDir::new().expect("a folder");
    let run = folder.path().join("run");
    let config = "seed = 3\n[data]\ncolour = false\nsample_count = 8\nsample_size = 64\n\
         [preprocess]\nkind = \"contrast-normalize\"\n\
         [train]\nsolver = \"descent\"\nconstraint = \"unit-ball\"\n\
         [[layer]]\nmaps = 12\nsize = 7\nsparsity = { of_max = 0.1 }\nepochs = 4";
    let config = Config::parse(config).expect("settings");
    train::start(
        config,
        &run,
        &Device::flex(),
        false,
        &Group::alone(),
        &mut (),
    )
    .expect("a run");
    let images = folder.path().join("images");
    std::fs::create_dir(&images).expect("a folder");
    let mut rng = rng(8);
    let mut places = Vec::new();
    for i in 0..4 {
        let clean = scenes::sample(20 + i, 64, 3).grey();
        save_png(&clean, images.join(format!("clean{i}.png"))).expect("a picture");
        let mut foreign = clean;
        let [top, left] = [0, 1].map(|_| rng.random_range(4..48_usize));
        for row in top..top + 12 {
            for column in left..left + 12 {
                let noise: f32 = rng.random_range(0.0..1.0);
                foreign.plane_mut(0)[row * 64 + column] = noise;
            }
        }
        places.push([top, left]);
        save_png(&foreign, images.join(format!("foreign{i}.png"))).expect("a picture");
    }
    let mut options = options(&run, images, folder.path().join("out"));
    options.limits.steps = 100;
    let report = infer::run(&options, &Device::flex(), &mut ()).expect("scores");
    let row = |name: String| {
        let row = report
            .rows
            .iter()
            .find(|row| row.image == name)
            .expect("a row");
        (row.anomaly.expect("a score"), row.place.expect("a place"))
    };
    let clean = (0..4).map(|i| row(format!("clean{i}.png")).0);
    let most = clean.fold(0.0, f64::max);
    for (i, &[top, left]) in places.iter().enumerate() {
        let (score, [row, column]) = row(format!("foreign{i}.png"));
        assert!(score > most, "{i}: {score} against {most}");
        let inside = (top..top + 12).contains(&row) && (left..left + 12).contains(&column);
        assert!(
            inside,
            "{i}: {row} {column}, and the patch is at {top} {left}"
        );
    }
    let table = std::fs::read_to_string(options.out.join("table.csv")).expect("a table");
    assert!(table.lines().next().expect("names").ends_with("anomaly,at"));
}
