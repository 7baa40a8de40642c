//! A run that was interrupted, however often, ends with the bits of one that was not.

use std::cell::Cell;
use std::path::Path;

use burn::tensor::Device;
use deconvnet::config::{Config, Form, LayerSettings, Sparsity, Update};
use deconvnet::error::Result;
use deconvnet::group::Group;
use deconvnet::pooling::Pool;
use deconvnet::run::{Run, TraceLine};
use deconvnet::solve::SolverName;
use deconvnet::store::{CheckpointSelector, RunFolder};
use deconvnet::task::train::{self, Ended, Report};
use deconvnet::task::{Callback, Event};
use tempfile::TempDir;

use crate::support::*;

/// One with so large a weight that a filter is not used by any image.
const DEAD: &str = "descent, online, dead filters";

/// A tiny training run.
pub struct Settings {
    pub name: &'static str,
    pub config: Config,
}

impl Settings {
    fn new(name: &'static str, solver: SolverName, change: impl FnOnce(&mut Config)) -> Self {
        let layer = |maps, size, epochs| LayerSettings {
            maps: Some(maps),
            size: [size; 2],
            epochs,
            sparsity: Sparsity::OfMax { of_max: 0.2 },
            ..LayerSettings::default()
        };
        let mut config = Config {
            seed: 5,
            layers: vec![layer(3, 3, 2)],
            ..Config::default()
        };
        config.data.sample_count = 3;
        config.data.sample_size = 24;
        config.data.colour = false;
        config.train.solver = solver;
        config.train.steps = 3;
        config.train.beta.steps = 3;
        config.train.start_noise = 0.01;
        // Only what the run itself decides is saved.
        config.checkpoint.every_seconds = 1e9;
        change(&mut config);
        if config.layers.len() > 1 {
            config.layers[1] = layer(4, 2, 2);
        }
        config.check().expect("sound settings");
        Self { name, config }
    }

    pub fn all() -> Vec<Self> {
        use SolverName::{Adam, CoordinateDescent, Fista, HalfQuadratic, Ista};
        let two = |config: &mut Config| config.layers.push(LayerSettings::default());
        let adaptive = |config: &mut Config| {
            config.train.form = Form::Adaptive;
            config.layers[0].pool = Pool {
                rows: 2,
                columns: 3,
                maps: 2,
            };
        };
        vec![
            Self::new("split", HalfQuadratic, |_| ()),
            Self::new("split p", HalfQuadratic, |c| c.layers[0].p = 0.8),
            Self::new("split, two layers", HalfQuadratic, two),
            Self::new("split, pairs, epoch", HalfQuadratic, |c| {
                c.train.batch = 2;
                c.train.update_filters = Update::Epoch;
            }),
            Self::new("adam", Adam, |_| ()),
            Self::new("adam, two layers, pairs", Adam, |c| {
                two(c);
                c.train.batch = 2;
            }),
            Self::new("adam, joint", Adam, |c| {
                two(c);
                c.train.form = Form::Joint;
            }),
            Self::new("descent, two layers, pairs", CoordinateDescent, |c| {
                two(c);
                c.train.batch = 2;
                c.train.start_noise = 0.0;
            }),
            Self::new("descent, online", CoordinateDescent, |c| {
                c.train.update_filters = Update::Online;
                c.train.start_noise = 0.0;
            }),
            Self::new(DEAD, CoordinateDescent, |c| {
                c.train.update_filters = Update::Online;
                c.train.start_noise = 0.0;
                c.layers[0].sparsity = Sparsity::OfMax { of_max: 0.8 };
            }),
            Self::new("fista, online, pairs", Fista, |c| {
                c.train.update_filters = Update::Online;
                c.train.batch = 2;
            }),
            Self::new("fista, two layers, epoch", Fista, |c| {
                two(c);
                c.train.update_filters = Update::Epoch;
            }),
            Self::new("ista, adaptive, online, pairs", Ista, |c| {
                two(c);
                adaptive(c);
                c.train.update_filters = Update::Online;
                c.train.batch = 2;
            }),
            Self::new("ista, adaptive, refined", Ista, |c| {
                two(c);
                adaptive(c);
                c.train.refine = true;
            }),
            Self::new("ista, adaptive, epoch", Ista, |c| {
                two(c);
                adaptive(c);
                c.train.update_filters = Update::Epoch;
            }),
            Self::new("fista, joint, pairs", Fista, |c| {
                two(c);
                c.train.form = Form::Joint;
                c.train.batch = 2;
            }),
        ]
    }

    /// One of them.
    pub fn named(name: &str) -> Self {
        let mut all = Self::all().into_iter();
        all.find(|settings| settings.name == name).expect("a name")
    }

    pub fn start(&self, run: &Path, observer: &mut dyn Callback<Event>) -> Report {
        train::start(
            self.config.clone(),
            run,
            &Device::flex(),
            false,
            &Group::alone(),
            observer,
        )
        .expect("a run")
    }
}

pub fn resume(run: &Path, observer: &mut dyn Callback<Event>) -> Report {
    resume_for(None, run, observer).expect("a run to go on with")
}

pub fn resume_for(
    epochs: Option<usize>,
    run: &Path,
    observer: &mut dyn Callback<Event>,
) -> Result<Report> {
    let (last, alone) = (CheckpointSelector::Last, Group::alone());
    train::resume(run, last, epochs, &Device::flex(), false, &alone, observer)
}

/// Asks to stop when it is asked for the `n`-th time, counted from 1: after every batch and every
/// epoch it is. Once all is learnt, and only pictures are left to draw, it lets them be drawn.
struct StopAt {
    n: usize,
    asked: Cell<usize>,
    learnt: bool,
}

impl StopAt {
    fn new(n: usize) -> Self {
        Self {
            n,
            asked: Cell::new(0),
            learnt: false,
        }
    }
}

impl Callback<Event> for StopAt {
    fn event(&mut self, event: Event) {
        self.learnt |= matches!(event, Event::Note(text) if text == "all epochs are done");
    }

    fn interrupted(&self) -> bool {
        if self.learnt {
            return false;
        }
        self.asked.set(self.asked.get() + 1);
        self.asked.get() == self.n
    }
}

/// A run that was stopped when asked for the `n`-th time.
pub fn interrupted_once(settings: &Settings, n: usize) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let report = settings.start(folder.path(), &mut StopAt::new(n));
    assert_eq!(report.ended, Ended::Interrupted, "{}", settings.name);
    folder
}

/// All that a run has learnt, to the bit, and its trace without the time it took.
#[derive(Debug, PartialEq)]
pub struct Learnt {
    filters: Vec<Vec<u32>>,
    maps: Vec<Vec<u32>>,
    rescaling: Vec<Option<[u64; 2]>>,
    trace: Vec<String>,
}

pub fn learnt(path: &Path) -> Learnt {
    let device = Device::flex();
    let run = Run::read(path, CheckpointSelector::Last, &device).expect("a checkpoint");
    assert!(run.state.finished());
    let mut maps = Vec::new();
    for layer in 0..run.network.layers().len() {
        for i in (0..run.state.images.len()).filter(|&i| run.has_maps(layer, i)) {
            maps.push(bits(&run.maps(layer, i, &device).expect("maps")));
            maps.push(bits(&run.codes(layer, i, &device).expect("codes")));
        }
    }
    let layers = run.network.layers().iter();
    let folder = RunFolder::read(path, CheckpointSelector::Last).expect("a run folder");
    let trace = folder.read_trace::<TraceLine>().expect("a trace").records;
    Learnt {
        filters: layers
            .clone()
            .map(|layer| bits(&layer.filters.val()))
            .collect(),
        maps,
        rescaling: layers
            .map(|layer| {
                layer
                    .rescaling
                    .map(|r| [r.shift, r.scale].map(f64::to_bits))
            })
            .collect(),
        trace: trace
            .into_iter()
            .map(|line| {
                format!(
                    "{:?}",
                    TraceLine {
                        seconds: 0.0,
                        ..line
                    }
                )
            })
            .collect(),
    }
}

/// A run from beginning to end; how often it asked whether to stop.
pub fn whole(settings: &Settings) -> (Learnt, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut observer = StopAt::new(0);
    let report = settings.start(folder.path(), &mut observer);
    assert_eq!(report.ended, Ended::Finished, "{}", settings.name);
    (learnt(folder.path()), observer.asked.get())
}

#[track_caller]
pub fn assert_same(got: &Learnt, wanted: &Learnt, what: &str) {
    // Without the bits, which would fill pages.
    assert_eq!(got.trace, wanted.trace, "{what}: trace");
    assert_eq!(got.rescaling, wanted.rescaling, "{what}: rescaling");
    assert!(got.filters == wanted.filters, "{what}: filters differ");
    assert!(got.maps == wanted.maps, "{what}: maps differ");
}

#[test]
fn an_interruption_at_any_moment_changes_no_bit() {
    for settings in Settings::all() {
        let (wanted, moments) = whole(&settings);
        let batches = 3usize.div_ceil(settings.config.train.batch);
        assert!(moments >= 2 * (batches + 1), "{}: {moments}", settings.name);
        for n in 1..=moments {
            let folder = interrupted_once(&settings, n);
            let report = resume(folder.path(), &mut ());
            assert_eq!(report.ended, Ended::Finished);
            let what = format!("{}, stopped at {n} of {moments}", settings.name);
            assert_same(&learnt(folder.path()), &wanted, &what);
        }
    }
}

#[test]
fn stopping_after_every_single_batch_changes_no_bit() {
    for settings in Settings::all() {
        let (wanted, moments) = whole(&settings);
        let folder = interrupted_once(&settings, 1);
        let mut sessions = 1;
        while resume(folder.path(), &mut StopAt::new(1)).ended == Ended::Interrupted {
            sessions += 1;
            assert!(
                sessions <= moments,
                "{}: it does not move on",
                settings.name
            );
        }
        let what = format!("{} in {sessions} sessions", settings.name);
        assert_same(&learnt(folder.path()), &wanted, &what);
    }
}

#[test]
fn a_finished_run_can_be_resumed_and_stays_as_it_is() {
    for settings in Settings::all() {
        let folder = tempfile::tempdir().expect("a folder");
        settings.start(folder.path(), &mut ());
        let before = learnt(folder.path());
        let report = resume(folder.path(), &mut ());
        assert_eq!(report.ended, Ended::Finished, "{}", settings.name);
        assert_same(&learnt(folder.path()), &before, settings.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    for settings in Settings::all() {
        let (first, _) = whole(&settings);
        assert_same(&whole(&settings).0, &first, settings.name);
        let mut other = settings;
        other.config.seed += 1;
        let (second, _) = whole(&other);
        assert!(second.filters != first.filters, "{}", other.name);
        let none = !other.config.keeps_maps();
        assert_eq!(second.maps == first.maps, none, "{}", other.name);
    }
}

/// The runs above would agree for nothing if they did nothing.
#[test]
fn these_runs_do_learn() {
    for settings in Settings::all() {
        let device = Device::flex();
        let folder = tempfile::tempdir().expect("a folder");
        let report = settings.start(folder.path(), &mut ());
        let run =
            Run::read(folder.path(), CheckpointSelector::Last, &device).expect("a checkpoint");
        for line in &report.stages {
            assert!(line.density > 0.0, "{}: {line:?}", settings.name);
        }
        let layer_wise = settings.config.train.form == Form::LayerWise;
        let rescaled = run.network.layers()[0].rescaling.is_some();
        let two = run.network.layers().len() == 2;
        assert_eq!(rescaled, layer_wise && two, "{}", settings.name);
    }
}

/// Bytes that a run stores beside the settings, the list of images and the trace.
fn stored(path: &Path) -> u64 {
    let mut folders = vec![path.join("blobs")];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let about = entry.metadata().expect("its size");
            match about.is_dir() {
                true => folders.push(entry.path()),
                false => bytes += about.len(),
            }
        }
    }
    bytes
}

#[test]
fn an_online_run_stores_as_much_for_many_images_as_for_few() {
    for name in ["descent, online", "fista, online, pairs"] {
        let [few, many] = [3, 12].map(|images| {
            let mut settings = Settings::named(name);
            settings.config.data.sample_count = images;
            let folder = tempfile::tempdir().expect("a folder");
            settings.start(folder.path(), &mut ());
            stored(folder.path())
        });
        assert!(few > 0, "{name}");
        // Which checkpoint is the best may differ.
        assert!(many <= 2 * few, "{name}: {few}, {many}");
    }
}

#[test]
fn an_online_run_replaces_filters_that_no_image_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = Settings::named(DEAD).start(folder.path(), &mut ());
    assert!(report.resampled > 0, "{report:?}");
    let error = deconvnet::task::exchange::export(
        folder.path(),
        CheckpointSelector::Last,
        &folder.path().join("out.npz"),
        deconvnet::task::exchange::ExportMaps::Dense,
        false,
        &Device::flex(),
    )
    .expect_err("it has no maps");
    assert!(error.to_string().contains("learnt online"), "{error}");
}
