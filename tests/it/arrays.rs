//! Images of any number of channels, and signals as images of height 1, from files of arrays to results.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use deconvnet::arrays::{self, Bundle};
use deconvnet::config::Config;
use deconvnet::connectivity::Connectivity;
use deconvnet::data::{Image, scenes};
use deconvnet::model::{Layer, Network, Objective};
use deconvnet::picture::save_png;
use deconvnet::run::{Run, to_image};
use deconvnet::solve::{Limits, Problem, SolverName};
use deconvnet::store::CheckpointSelector;
use deconvnet::task::infer::{self, MapsFormat};
use deconvnet::task::{exchange, train, visualize};
use deconvnet::train::Trainer;
use rand::RngExt;
use tempfile::TempDir;

use crate::support::*;

/// Images that are sums of a few atoms, `[C, h, w]`, at random places, with noise.
fn sums_of(atoms: &[Image], count: usize, [height, width]: [usize; 2], seed: u64) -> Vec<Image> {
    let mut rng = rng(seed);
    let [channels, h, w] = atoms[0].shape();
    let device = Device::flex();
    let [k, rows, columns] = [atoms.len(), height + h - 1, width + w - 1];
    // Filters are [C, K, h, w].
    let taps = atoms.iter().flat_map(|atom| atom.values.iter());
    let taps: Vec<f64> = taps.map(|&v| f64::from(v)).collect();
    let filters = tensor(&taps, [k, channels, h, w]).swap_dims(0, 1);
    let layer = Layer::new(filters, Connectivity::full(channels, k));
    let network = Network::new(vec![layer]).expect("one layer");
    let images = (0..count).map(|_| {
        let codes = sparse(k * rows * columns, 0.01, &mut rng);
        let clean = network.project(tensor(&codes, [1, k, rows, columns]));
        let noise = normal(channels * height * width, &mut rng);
        let noise = tensor(&noise, [1, channels, height, width]);
        let noisy: Tensor<4> = clean + noise * 0.01;
        to_image(&noisy.cast(burn::tensor::DType::F32).to_device(&device), 0).expect("numbers")
    });
    images.collect()
}

/// The largest correlation of an atom with any of the filters at any shift and sign; atoms have norm 1.
fn likeness(atom: &Image, filters: &[Image]) -> f64 {
    let [channels, h, w] = atom.shape();
    let mut best = 0.0_f64;
    for filter in filters {
        let energy: f64 = filter.values.iter().map(|&v| f64::from(v).powi(2)).sum();
        for di in 1 - h as isize..h as isize {
            for dj in 1 - w as isize..w as isize {
                let mut sum = 0.0;
                for (at, &a) in atom.values.iter().enumerate() {
                    let (c, i, j) = (at / (h * w), at / w % h, at % w);
                    let [i, j] = [i as isize + di, j as isize + dj];
                    let inside = (0..filter.height as isize).contains(&i)
                        && (0..filter.width as isize).contains(&j);
                    if c < channels && inside {
                        let place = i as usize * filter.width + j as usize;
                        sum += f64::from(a) * f64::from(filter.plane(c)[place]);
                    }
                }
                best = best.max(sum.abs() / energy.max(1e-12).sqrt());
            }
        }
    }
    best
}

fn unit(mut atom: Image) -> Image {
    let norm = atom.values.iter().map(|v| v * v).sum::<f32>().sqrt();
    atom.values.iter_mut().for_each(|v| *v /= norm);
    atom
}

/// The filters that were learnt, `[C, h, w]` each.
fn filters(network: &Network) -> Vec<Image> {
    let filters = network.layers()[0].filters.val().swap_dims(0, 1);
    (0..filters.dims()[0])
        .map(|k| to_image(&filters, k).expect("numbers"))
        .collect()
}

fn learn(config: &str, images: Vec<Image>) -> Network {
    let config = Config::parse(config).expect("settings");
    let mut trainer = Trainer::in_memory(config, images, &Device::flex()).expect("images that fit");
    trainer.train(&mut ()).expect("finite numbers");
    trainer.network().clone()
}

#[test]
fn atoms_of_signals_are_recovered_up_to_shift_and_sign() {
    let atom = |k: usize| {
        let mut atom = Image::zeros(1, 1, 15);
        for (i, v) in atom.values.iter_mut().enumerate() {
            let t = i as f32 - 7.0;
            let window = (-t * t / 18.0).exp();
            *v = window * (t * (0.4 + 0.5 * k as f32) + k as f32).cos();
        }
        unit(atom)
    };
    let atoms: Vec<Image> = (0..4).map(atom).collect();
    let images = sums_of(&atoms, 24, [1, 256], 3);
    let network = learn(
        "[data]\nchannels = 1\n[preprocess]\nkind = \"none\"\n\
         [train]\nsolver = \"descent\"\nconstraint = \"unit-ball\"\n\
         [[layer]]\nmaps = 6\nsize = [1, 19]\nsparsity = { of_max = 0.05 }\nepochs = 30",
        images,
    );
    let learnt = filters(&network);
    let found: Vec<f64> = atoms.iter().map(|atom| likeness(atom, &learnt)).collect();
    assert!(found.iter().all(|&found| found > 0.95), "{found:?}");
}

#[test]
fn atoms_of_seven_channels_are_recovered_up_to_shift_and_sign() {
    let mut rng = rng(5);
    // A blob or an edge, as bright in each channel as its own spectrum says.
    let atom = |k: usize, spectrum: Vec<f64>| {
        let mut atom = Image::zeros(7, 5, 5);
        for (at, v) in atom.values.iter_mut().enumerate() {
            let [c, i, j] = [at / 25, at / 5 % 5, at % 5];
            let [y, x] = [i, j].map(|i| i as f32 - 2.0);
            let bump = (-(x * x + y * y) / 3.0).exp();
            *v = spectrum[c] as f32 * bump * [1.0, x, y][k];
        }
        unit(atom)
    };
    let atoms: Vec<Image> = (0..3).map(|k| atom(k, normal(7, &mut rng))).collect();
    let images = sums_of(&atoms, 8, [32, 28], 4);
    let network = learn(
        "[data]\nchannels = 7\n[preprocess]\nkind = \"none\"\n\
         [train]\nsolver = \"descent\"\nconstraint = \"unit-ball\"\n\
         [[layer]]\nmaps = 5\nsize = 7\nsparsity = { of_max = 0.05 }\nepochs = 20",
        images,
    );
    let learnt = filters(&network);
    let found: Vec<f64> = atoms.iter().map(|atom| likeness(atom, &learnt)).collect();
    assert!(found.iter().all(|&found| found > 0.95), "{found:?}");
}

/// The objectives of a problem of a signal of so many channels by every solver of the paper's model.
#[test]
fn solvers_agree_on_signals_of_any_number_of_channels() {
    for channels in [1, 2, 7, 31] {
        let mut rng = rng(channels as u64);
        let taps = normal(channels * 5 * 9, &mut rng);
        let taps = tensor(&taps, [channels, 5, 1, 9]) / (9.0 * channels as f64).sqrt();
        let layer = Layer::new(taps, Connectivity::full(channels, 5));
        let network = Network::new(vec![layer]).expect("one layer");
        let images = random([2, channels, 1, 60], &mut rng);
        let objective = Objective::new(1.0, 0.3, 1.0).expect("weights");
        let problem = Problem::new(network, images, objective).expect("images that fit");
        let zeros = Tensor::zeros(
            problem.maps_shape(),
            (&Device::flex(), problem.data.images().dtype()),
        );
        let objective = |name: SolverName, steps: usize| {
            let limits = Limits {
                steps,
                ..Limits::default()
            };
            let method = Config::default().method(name);
            let solved = method.code(&problem, zeros.clone(), &limits, &mut ());
            solved.expect("finite numbers").last().at
        };
        let certified = objective(SolverName::CoordinateDescent, 300);
        let gap = certified.gap.expect("p = 1");
        assert!(
            gap < 1e-6 * certified.objective,
            "{channels}: {certified:?}"
        );
        for (name, steps, share) in [
            (SolverName::Fista, 2000, 1e-5),
            (SolverName::Adam, 2000, 1e-2),
            // The published schedule ends far above; it is no worse than zeros.
            (SolverName::HalfQuadratic, 60, 1.0),
        ] {
            let above = objective(name, steps).objective / certified.objective - 1.0;
            assert!(
                (-1e-9..share).contains(&above),
                "{channels}, {name:?}: {above}"
            );
        }
    }
}

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
        out,
        solver: None,
        joint: false,
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
    train::start(config, run, &Device::flex(), false, &mut ())
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
        for picture in [
            "filters-layer1",
            "maps-layer1",
            "patches-layer1",
            "reconstructions",
        ] {
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
        train::resume(&run, CheckpointSelector::Last, &device, false, &mut ()).expect(&what);

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
    assert!(
        error.contains("has 2 channels, where 3 are expected"),
        "{error}"
    );
    let error = refused(
        format!("[data]\nmax_side = 10\n{layer}size = [1, 5]"),
        "a.npz",
    );
    assert!(error.contains("not scaled down"), "{error}");
    let mut values = smooth(80, 1);
    values[50] = f32::NEG_INFINITY;
    write(&path("inf.npz"), "signals", &[2, 2, 20], values);
    let error = refused(format!("{layer}size = [1, 5]"), "inf.npz");
    assert!(
        error.contains("signals-1") && error.contains("-inf in channel 0, row 0, column 10"),
        "{error}"
    );
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
        &Device::flex(),
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
    train::start(config, &run, &Device::flex(), false, &mut ()).expect("a run");
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
