//! Several members of a group learn what one learns: the filters of one process, whatever their number.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use burn::tensor::Device;
use deconvnet::config::{Config, Form, LayerSettings, Sparsity, Update};
use deconvnet::error::{Error, Result};
use deconvnet::group::{Group, threads};
use deconvnet::model::Constraint;
use deconvnet::pooling::Pool;
use deconvnet::run::Run;
use deconvnet::solve::SolverName;
use deconvnet::store::CheckpointSelector;
use deconvnet::task::train::{self, Ended, Report};
use deconvnet::task::{Callback, Event};
use tempfile::TempDir;

/// Settings of tiny runs: of each solver, form and time of updating the filters.
fn all() -> Vec<(&'static str, Config)> {
    use SolverName::{CoordinateDescent, Fista, HalfQuadratic, Ista};
    let settings = |name, solver, layers: usize, change: &dyn Fn(&mut Config)| {
        let layer = |maps, size| LayerSettings {
            maps: Some(maps),
            size,
            epochs: 2,
            sparsity: Sparsity::OfMax { of_max: 0.1 },
            ..LayerSettings::default()
        };
        let mut config = Config {
            seed: 3,
            layers: [layer(4, [5, 5]), layer(5, [3, 3])][..layers].to_vec(),
            ..Config::default()
        };
        // The last batch of an epoch leaves one of four members without an image.
        config.data.sample_count = 7;
        config.data.sample_size = 20;
        config.data.colour = false;
        config.train.batch = 4;
        config.train.solver = solver;
        config.train.steps = 8;
        config.train.beta.steps = 4;
        config.train.constraint = Constraint::UnitBall;
        config.checkpoint.every_seconds = 1e9;
        change(&mut config);
        config.check().expect(name);
        (name, config)
    };
    let epoch = |config: &mut Config| {
        config.train.update_filters = Update::Epoch;
        config.train.batch = 2;
    };
    let online = |config: &mut Config| {
        config.train.update_filters = Update::Online;
        config.train.rounds = 8;
        // Some filters are used by nothing, and replaced.
        config.layers[0].sparsity = Sparsity::OfMax { of_max: 0.4 };
    };
    let adaptive = |config: &mut Config| {
        config.train.form = Form::Adaptive;
        config.layers[0].pool = Pool {
            rows: 2,
            columns: 2,
            maps: 2,
        };
    };
    vec![
        settings("descent, online", CoordinateDescent, 1, &online),
        settings("fista, online", Fista, 1, &online),
        settings("split, epoch, two layers", HalfQuadratic, 2, &|config| {
            epoch(config);
            config.train.constraint = Constraint::UnitPlanes;
        }),
        settings("descent, epoch", CoordinateDescent, 1, &epoch),
        settings("fista, batch, two layers", Fista, 2, &|_| ()),
        settings("fista, joint", Fista, 2, &|config| {
            config.train.form = Form::Joint;
        }),
        settings("fista, joint, epoch", Fista, 2, &|config| {
            epoch(config);
            config.train.form = Form::Joint;
        }),
        settings("ista, adaptive", Ista, 2, &adaptive),
        settings("ista, adaptive, epoch", Ista, 2, &|config| {
            epoch(config);
            adaptive(config);
        }),
    ]
}

/// What each of so many members comes to.
fn each<T: Send>(size: usize, work: impl Fn(&Group) -> T + Sync) -> Vec<T> {
    let work = &work;
    thread::scope(|scope| {
        let members = threads::group(size).into_iter();
        let threads: Vec<_> = members
            .map(|member| scope.spawn(move || work(&member)))
            .collect();
        let done = threads.into_iter().map(|thread| thread.join());
        done.map(|done| done.expect("no panic")).collect()
    })
}

/// Stops the first member after so many batches, and the others with it.
struct Stop<'a> {
    group: &'a Group,
    batches: AtomicUsize,
}

impl<'a> Stop<'a> {
    fn after(group: &'a Group, batches: usize) -> Self {
        Self {
            group,
            batches: AtomicUsize::new(batches),
        }
    }
}

impl Callback<Event> for Stop<'_> {
    fn event(&mut self, event: Event) {
        if matches!(event, Event::Batch(_)) {
            let left = self.batches.get_mut();
            *left = left.saturating_sub(1);
        }
    }

    fn interrupted(&self) -> bool {
        self.group.leads() && self.batches.load(Ordering::Relaxed) == 0
    }
}

fn start(config: &Config, run: &Path, group: &Group, batches: usize) -> Result<Report> {
    let (device, stop) = (Device::flex(), &mut Stop::after(group, batches));
    train::start(config.clone(), run, &device, false, group, stop)
}

fn resume(run: &Path, group: &Group, batches: usize) -> Result<Report> {
    let (device, stop) = (Device::flex(), &mut Stop::after(group, batches));
    train::resume(
        run,
        CheckpointSelector::Last,
        None,
        &device,
        false,
        group,
        stop,
    )
}

/// The filters of every layer, and the maps of the top one.
fn learnt(run: &Path) -> Vec<f32> {
    let device = Device::flex();
    let run = Run::read(run, CheckpointSelector::Last, &device).expect("a run");
    assert!(run.state.finished());
    let layers = run.network.layers();
    let filters = layers.iter().map(|layer| layer.filters.val());
    let maps = (0..run.state.images.len()).filter(|_| run.state.keeps_maps());
    let maps = maps.map(|i| run.maps(layers.len() - 1, i, &device).expect("maps"));
    let all = filters.chain(maps).map(|x| x.into_data());
    all.flat_map(|data| data.iter::<f32>().collect::<Vec<_>>())
        .collect()
}

/// The largest difference beside the largest of the numbers.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max) / largest
}

#[test]
fn several_learn_what_one_learns() {
    for (name, config) in all() {
        let folder = TempDir::new().unwrap();
        let run = |name: &str| folder.path().join(name);
        start(&config, &run("1"), &Group::alone(), usize::MAX).expect(name);
        let alone = learnt(&run("1"));
        for size in [2, 4] {
            let path = run(&size.to_string());
            let reports = each(size, |group| start(&config, &path, group, usize::MAX));
            for report in reports {
                let report = report.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(report.ended, Ended::Finished);
            }
            let far = difference(&alone, &learnt(&path));
            println!("{name}, {size} members: {far:.1e}");
            assert!(far < 1e-5, "{name}, {size} members: {far}");
        }
        let again = run("again");
        each(2, |group| {
            start(&config, &again, group, usize::MAX).expect(name)
        });
        assert_eq!(learnt(&run("2")), learnt(&again), "{name}: other bits");
    }
}

#[test]
fn others_go_on_where_some_have_stopped() {
    for (name, config) in all() {
        let folder = TempDir::new().unwrap();
        let run = |name: &str| folder.path().join(name);
        start(&config, &run("whole"), &Group::alone(), usize::MAX).expect(name);
        let path = run("cut");
        for report in each(2, |group| start(&config, &path, group, 1).expect(name)) {
            assert_eq!(report.ended, Ended::Interrupted, "{name}");
        }
        for report in each(4, |group| resume(&path, group, 2).expect(name)) {
            assert_eq!(report.ended, Ended::Interrupted, "{name}");
        }
        resume(&path, &Group::alone(), 1).expect(name);
        each(3, |group| resume(&path, group, usize::MAX).expect(name));
        let far = difference(&learnt(&run("whole")), &learnt(&path));
        assert!(far < 1e-5, "{name}: {far}");
    }
}

#[test]
fn what_one_cannot_do_ends_all_and_is_told_once() {
    let (_, config) = all().swap_remove(4);
    let folder = TempDir::new().unwrap();
    let told = |work: &(dyn Fn(&Group) -> Result<Report> + Sync)| {
        let all = each(3, work).into_iter().map(|report| match report {
            Err(Error::Elsewhere(_)) => None,
            Err(error) => Some(error.to_string()),
            Ok(_) => panic!("one has failed"),
        });
        let told: Vec<_> = all.flatten().collect();
        assert_eq!(told.len(), 1, "{told:?}");
        told[0].clone()
    };
    // A folder that is not empty; the first alone looks at it.
    std::fs::write(folder.path().join("mine"), "").unwrap();
    let message = told(&|group| start(&config, folder.path(), group, 9));
    assert!(message.contains("is not empty"), "{message}");
    // Unlike folders of images.
    let run = folder.path().join("run");
    let message = told(&|group| {
        let mut config = config.clone();
        config.data.sample_count -= group.rank();
        start(&config, &run, group, 9)
    });
    says!(message, "process 1 finds 6 images and process 0 finds 7");
    // Maps that one member cannot write: the checkpoint before stays, and others go on with it.
    let path = folder.path().join("full");
    each(3, |group| start(&config, &path, group, 1).expect("a run"));
    let blocked = path.join("blobs/maps/layer1");
    std::fs::rename(&blocked, path.join("aside")).unwrap();
    std::fs::write(&blocked, "no folder").unwrap();
    let message = told(&|group| resume(&path, group, 9));
    assert!(message.contains("layer1"), "{message}");
    std::fs::remove_file(&blocked).unwrap();
    std::fs::rename(path.join("aside"), &blocked).unwrap();
    each(2, |group| {
        resume(&path, group, usize::MAX).expect("it goes on")
    });
    learnt(&path);
}

#[test]
fn what_several_cannot_do_is_refused() {
    let (_, base) = all().swap_remove(4);
    let folder = TempDir::new().unwrap();
    for (word, change) in [
        (
            "adam",
            &(|c: &mut Config| c.train.solver = SolverName::Adam) as &(dyn Fn(&mut _) + Sync),
        ),
        ("train.batch is 2", &|c: &mut Config| c.train.batch = 2),
    ] {
        let mut config = base.clone();
        change(&mut config);
        let path = folder.path().join("run");
        for report in each(3, |group| start(&config, &path, group, 9)) {
            match report.expect_err(word) {
                Error::Elsewhere(0) => {}
                error => assert!(error.to_string().contains(word), "{error}"),
            }
        }
        assert!(!path.exists());
    }
}
