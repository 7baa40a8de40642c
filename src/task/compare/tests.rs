//! Whole comparisons on tiny sample scenes.

use super::*;
use crate::config::Sparsity;
use crate::data::folder;
use crate::group::Group;
use crate::solve::Reason;
use crate::task::{test_runs, train};

/// Scenes of 20 x 20 pixels and 4 filters of 5 x 5.
fn options(what: Mode, folder: &tempfile::TempDir) -> Options {
    let mut config = Config::default();
    config.data.sample_size = 20;
    config.data.sample_count = 3;
    config.train.solver = crate::solve::SolverName::Fista;
    config.layers.truncate(1);
    let layer = &mut config.layers[0];
    layer.maps = Some(4);
    layer.size = [5, 5];
    layer.epochs = 1;
    layer.p = 1.0;
    layer.sparsity = Sparsity::OfMax { of_max: 0.1 };
    let mut options = Options::new(config, what, folder.path().join("out"));
    options.steps = Some(if what == Mode::Coding { 150 } else { 2 });
    options
}

fn device() -> Device {
    crate::backend::Backend::Flex.device().unwrap()
}

fn row<'a>(report: &'a Report, name: &str) -> &'a Row {
    report.rows.iter().find(|row| row.name == name).unwrap()
}

#[test]
fn fista_ends_nearest_to_the_certified_optimum_and_the_published_schedule_far_above() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(Mode::Coding, &folder);
    options.contenders = Contender::list("split:1x10x6,adam:0.01,fista", &options.config).unwrap();
    let report = run(&options, &device(), &mut ()).unwrap();
    let optimum = report.optimum.unwrap();
    assert!(matches!(optimum.source, Source::Certified { within } if within <= 1e-6));
    for row in &report.rows {
        assert!(row.above >= 0.0 && optimum.value <= row.at.objective);
        assert_eq!((row.curve[0].step, row.curve[0].at), (0, report.zero));
        assert_eq!(row.each.len(), 2);
        assert!(row.above <= row.at.gap.unwrap() / optimum.value + 1e-6);
    }
    let (split, fista) = (row(&report, "split:1x10x6"), row(&report, "fista"));
    assert!(report.rows.iter().all(|row| fista.above <= row.above));
    assert!(fista.above < 1e-4 && split.above > 0.01);
    assert_eq!((split.steps, split.reason), (6, Reason::Schedule));
    assert_eq!((fista.steps, fista.reason), (150, Reason::Steps));

    let text = report.to_string();
    assert!(text.contains("fista came closest"), "{text}");
    says!(text, "The published beta schedule (split:1x10x6) ended");
    let csv = std::fs::read_to_string(options.out.join("table.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[1].starts_with("all maps zero,") && lines[4].starts_with("fista,"));
    let fields = |line: &str| line.split(',').count();
    assert!(lines.iter().all(|line| fields(line) == fields(lines[0])));
    let json = std::fs::read_to_string(options.out.join("table.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["rows"][2]["curve"].as_array().unwrap().len(), 151);
    for name in ["curves.png", "reconstructions.png"] {
        assert!(options.out.join(name).exists(), "{name}");
    }
}

#[test]
fn without_a_convex_problem_the_best_contender_is_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(Mode::Coding, &folder);
    options.config.layers[0].p = 0.8;
    options.steps = Some(10);
    options.images = 9;
    let report = run(&options, &device(), &mut ()).unwrap();
    assert_eq!(report.images.len(), 3);
    assert_eq!(report.optimum.unwrap().source, Source::Best);
    let above = report.rows.iter().map(|row| row.above);
    assert_eq!(above.reduce(f64::min), Some(0.0));
    let text = report.to_string();
    assert!(text.contains("reached the lowest objective."), "{text}");
}

#[test]
fn from_a_run_come_filters_weights_and_preprocessing() {
    let folder = tempfile::tempdir().unwrap();
    for what in [Mode::Coding, Mode::Learning] {
        let mut options = options(what, &folder);
        let mut config = options.config.clone();
        config.data.colour = false;
        config.layers[0].p = 0.8;
        config.layers[0].data_weight = 3.0;
        let path = folder.path().join(format!("{what:?}"));
        train::start(config, &path, &device(), false, &Group::alone(), &mut ()).unwrap();
        let run_read = Run::read(&path, CheckpointSelector::Last, &device());
        let state = run_read.unwrap().state;
        options.filters = Filters::FromRun(path, CheckpointSelector::Last);
        options.contenders = Contender::list("fista", &options.config).unwrap();
        (options.steps, options.images, options.overwrite) = (Some(1), 3, true);
        let own = run(&options, &device(), &mut ()).unwrap();
        assert_eq!((own.objective, own.images.len()), (state.objectives[0], 3));

        // Another image does not change what the preprocessing has learnt.
        let file = folder.path().join("other.png");
        test_runs::image(&file, 5, 24);
        let pixels = folder::read(&file, false, None).unwrap();
        let (prepared, _) = state.prepare.apply(&pixels).unwrap();
        let squares = prepared.values.iter().map(|&v| f64::from(v).powi(2));
        let expected = state.objectives[0].data_weight() / 2.0 * squares.sum::<f64>();
        options.config.data.images = Some(file);
        let other = run(&options, &device(), &mut ()).unwrap();
        assert!((other.zero.data / expected - 1.0).abs() < 1e-4);
    }
}

#[test]
fn learning_improves_on_the_start_and_keeps_the_constraint() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Mode::Learning, &folder);
    let report = run(&options, &device(), &mut ()).unwrap();
    assert_eq!(report.rows.len(), 4);
    for row in &report.rows {
        let start = row.curve[0].at.objective;
        assert_eq!(start, report.rows[0].curve[0].at.objective);
        assert!(row.at.objective < start, "{}", row.name);
        assert_eq!((row.steps, row.curve.len(), row.each.len()), (2, 3, 3));
        assert!(row.own.is_some() && row.above >= 0.0);
    }
    let text = report.to_string();
    says!(text, "learnt the filters that explain the images best");
    for name in ["curves.png", "reconstructions.png", "filters.png"] {
        assert!(options.out.join(name).exists(), "{name}");
    }
}

#[test]
fn the_budget_may_be_seconds() {
    let folder = tempfile::tempdir().unwrap();
    for what in [Mode::Coding, Mode::Learning] {
        let mut options = options(what, &folder);
        options.contenders = Contender::list("fista", &options.config).unwrap();
        (options.steps, options.seconds) = (None, Some(1e-6));
        options.overwrite = true;
        let report = run(&options, &device(), &mut ()).unwrap();
        assert_eq!(report.rows[0].reason, Reason::Seconds);
        assert_eq!((report.steps, report.seconds), (None, Some(1e-6)));
        // One of three images was visited: that is no objective of its own.
        assert_eq!(report.rows[0].own, None);
    }
}

#[test]
fn results_are_not_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Mode::Coding, &folder);
    std::fs::create_dir_all(&options.out).unwrap();
    std::fs::write(options.out.join("curves.png"), "mine").unwrap();
    let error = run(&options, &device(), &mut ()).unwrap_err();
    assert!(error.to_string().contains("curves.png exists"), "{error}");
    let kept = std::fs::read(options.out.join("curves.png"));
    assert_eq!(kept.unwrap(), b"mine");
}

#[test]
fn an_interruption_ends_it_early_with_a_report() {
    let folder = tempfile::tempdir().unwrap();
    for what in [Mode::Coding, Mode::Learning] {
        let options = options(what, &folder);
        let report = run(&options, &device(), &mut test_runs::Impatient(0)).unwrap();
        assert!(report.interrupted && report.rows.is_empty());
        assert!(report.to_string().contains("interrupted"));
    }
}

#[test]
fn contradictions_are_found_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let good = options(Mode::Learning, &folder);
    type Spoil = fn(&mut Options);
    let cases: [(Spoil, &str); 6] = [
        (|o| o.contenders.clear(), "nothing to compare"),
        (|o| o.contenders.extend_from_within(..1), "compared twice"),
        (|o| o.images = 0, "0 images"),
        (|o| o.steps = Some(0), "0 steps"),
        (|o| o.seconds = Some(-1.0), "-1 seconds"),
        (
            |o| o.filters = Filters::Given("a.npz".into()),
            "fixed filters",
        ),
    ];
    for (spoil, word) in cases {
        let mut bad = good.clone();
        spoil(&mut bad);
        says!(run(&bad, &device(), &mut ()).unwrap_err(), word);
        assert!(!bad.out.exists());
    }
}
