//! What is taken where nothing is said, what is told of pictures that are no good, and what stops.

use std::fs;
use std::path::Path;

use super::looking_tests::{Fixture, done, occlusion_options};
use super::{classify, occlusion, project, strongest};
use crate::convnet::Walk;
use crate::group::Group;
use crate::task::test_runs::Impatient;

#[test]
fn labels_call_classes_by_name_or_by_number_of_the_word() {
    for (label, name) in [
        ("tench, Tinca tinca", "tench"),
        ("tench, Tinca tinca", "Tinca_tinca"),
        ("n01440764 tench, Tinca tinca", "n01440764"),
        ("n01440764 tench, Tinca tinca", "tench"),
        ("n01440764", "n01440764"),
        ("great white shark", "great-white_shark"),
    ] {
        assert!(classify::calls(label, name), "{label}, {name}");
    }
    for (label, name) in [
        ("n01440764 tench, Tinca tinca", "n01440765"),
        ("great white shark", "great"),
        ("tench", ""),
    ] {
        assert!(!classify::calls(label, name), "{label}, {name}");
    }
}

fn classified(fixture: &Fixture, folder: &Path, stop: usize) -> classify::Report {
    let (mut stop, device) = (Impatient(stop), &fixture.device);
    classify::run(&fixture.source, folder, None, false, device, &mut stop).unwrap()
}

#[test]
fn a_picture_without_a_class_is_told_and_so_is_an_early_stop() {
    let mut fixture = Fixture::new();
    let labels = fixture.path("labels.txt");
    fs::write(&labels, "n01440764 tench, Tinca tinca\nshark\nray\n\n\n").unwrap();
    fixture.source.labels = Some(labels);
    let photos = fixture.path("photos");
    let put = |folder: &str, name: &str| {
        fs::create_dir_all(photos.join(folder)).unwrap();
        let picture = fixture.path("images/0_picture.png");
        fs::copy(picture, photos.join(folder).join(name)).unwrap();
    };
    put("n01440764", "a.png");
    put("ray", "b.png");
    fs::write(photos.join("bad.png"), "no picture").unwrap();
    let report = classified(&fixture, &photos, usize::MAX);
    let truths = report.rows.iter().map(|row| row.truth);
    assert_eq!(truths.collect::<Vec<_>>(), [Some(0), Some(2)]);
    assert_eq!(report.stray, None);
    assert_eq!(report.top5, Some(1.0));
    put("a stray", "c.png");
    let report = classified(&fixture, &photos, usize::MAX);
    assert_eq!((report.top1, report.rows.len()), (None, 3));
    says!(report, "c.png tells its class");
    let report = classified(&fixture, &photos, 1);
    says!(report, "interrupted after 1 of 4");
}

#[test]
fn the_square_is_the_share_of_the_picture_that_it_is_in_the_paper() {
    let fixture = Fixture::new();
    let options = occlusion::Options {
        side: None,
        step: None,
        layer: None,
        others: None,
        ..occlusion_options(&fixture)
    };
    let report = done(occlusion::run(&options, &fixture.device, &mut ()));
    // 50 and 10 of 224 are 4 and 1 of 16.
    assert_eq!((report.side, report.step, report.places), (4, 1, [16, 16]));
    assert_eq!(report.layer, "r2");
}

fn projected(fixture: &Fixture, out: &Path, stop: usize) -> Option<project::Report> {
    let target = project::Target {
        layer: Some("r2".into()),
        ..project::Target::default()
    };
    let (images, mut stop) = (fixture.path("images"), Impatient(stop));
    let (source, device) = (&fixture.source, &fixture.device);
    project::pictures(source, &images, &target, out, false, device, &mut stop).unwrap()
}

#[test]
fn projecting_a_folder_leaves_out_bad_pictures_and_stops_when_asked() {
    let fixture = Fixture::new();
    fs::write(fixture.path("images/1_picture.png"), "no picture").unwrap();
    let out = fixture.path("out");
    assert!(projected(&fixture, &out, 1).is_none());
    assert!(!out.join("table.csv").exists());
    let report = projected(&fixture, &out, usize::MAX).unwrap();
    assert_eq!((report.rows.len(), report.skipped.len()), (2, 1));
    assert!(report.to_string().contains("1_picture.png"), "{report}");
}

/// Whatever it was doing when it was stopped, the same command goes on, and ends with the same.
#[test]
fn the_strongest_are_found_and_drawn_after_any_number_of_stops() {
    let fixture = Fixture::new();
    let options = |out: &str| strongest::Options {
        source: fixture.source.clone(),
        images: fixture.path("images"),
        layers: Vec::new(),
        maps: 3,
        places: 2,
        each: 1,
        batch: 2,
        walk: Walk::default(),
        group: Group::alone(),
        shard: None,
        out: fixture.path(out),
        overwrite: false,
    };
    let run = |out: &str, stop: usize| {
        let mut stop = Impatient(stop);
        strongest::run(&options(out), &fixture.device, &mut stop).unwrap()
    };
    let whole = run("whole", usize::MAX);
    let layers = whole.layers.iter().map(|layer| layer.layer.as_str());
    assert_eq!(layers.collect::<Vec<_>>(), ["r1", "r2", "y"]);
    assert!(!whole.interrupted);
    let mut stop = 0;
    while run("parts", stop).interrupted {
        stop += 1;
    }
    assert!(stop > 3, "it was stopped while drawing: {stop}");
    for name in ["r1.npz", "r2.npz", "y.npz", "r1.png", "strongest.html"] {
        let [a, b] = ["whole", "parts"].map(|out| fs::read(fixture.path(out).join(name)).unwrap());
        assert!(a == b, "{name}");
    }
}
