//! Pictures shared out to shards and processes give the files of one process.

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use super::{Options, Report, run};
use crate::convnet::Walk;
use crate::error::{Error, Result};
use crate::group::{Group, threads};
use crate::task::convnet::looking_tests::Fixture;
use crate::task::test_runs::Impatient;
use crate::task::{Callback, Event};

/// Eleven pictures, of which one cannot be read and several are alike.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let image = |name: &str| fixture.path(&format!("images/{name}.png"));
    for (from, to) in [
        (0, "3"),
        (1, "4"),
        (0, "5"),
        (2, "6"),
        (1, "8"),
        (2, "90"),
        (0, "91"),
    ] {
        fs::copy(image(&format!("{from}_picture")), image(to)).unwrap();
    }
    fs::write(image("7"), "no picture").unwrap();
    fixture
}

fn options(fixture: &Fixture, group: &Group, shard: Option<&str>) -> Options {
    Options {
        source: fixture.source.clone(),
        images: fixture.path("images"),
        layers: Vec::new(),
        maps: 3,
        places: 3,
        each: 2,
        batch: 2,
        walk: Walk::default(),
        group: group.clone(),
        shard: shard.map(|shard| shard.parse().unwrap()),
        out: fixture.path("out"),
        overwrite: false,
    }
}

/// A call by so many members, of which the one of this rank stops after so many events.
fn together(fixture: &Fixture, size: usize, (rank, stop): (usize, usize)) -> Report {
    let each = thread::scope(|scope| {
        let members = threads::group(size).into_iter().map(|group| {
            scope.spawn(move || {
                let stop = match group.rank() == rank {
                    true => stop,
                    false => usize::MAX,
                };
                let options = options(fixture, &group, None);
                run(&options, &fixture.device, &mut Impatient(stop)).unwrap()
            })
        });
        let members: Vec<_> = members.collect();
        let each = members.into_iter().map(|member| member.join().unwrap());
        each.collect::<Vec<_>>()
    });
    assert!(
        each.iter()
            .all(|one| one.interrupted == each[0].interrupted)
    );
    each.into_iter().next().unwrap()
}

fn shard(fixture: &Fixture, shard: &str, stop: usize) -> Result<Report> {
    let options = options(fixture, &Group::alone(), Some(shard));
    run(&options, &fixture.device, &mut Impatient(stop))
}

/// The files of the results, which are removed.
fn taken(fixture: &Fixture) -> BTreeMap<String, Vec<u8>> {
    let out = fixture.path("out");
    let files = fs::read_dir(&out).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(path).unwrap())
    });
    let files = files.collect();
    fs::remove_dir_all(&out).unwrap();
    files
}

fn same(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) {
    assert!(a.keys().eq(b.keys()), "{:?} {:?}", a.keys(), b.keys());
    a.iter()
        .for_each(|(name, bytes)| assert!(*bytes == b[name], "{name}"));
}

#[test]
fn any_number_of_processes_leaves_the_files_of_one() {
    let fixture = fixture();
    let whole = together(&fixture, 1, (0, usize::MAX));
    assert_eq!(
        (whole.images, whole.skipped.len(), whole.interrupted),
        (10, 1, false)
    );
    // Of pictures that are alike the first two win.
    let first = &whole.layers[0].maps[0];
    assert!(first[0].value == first[1].value && first[0].image < first[1].image);
    let wanted = taken(&fixture);
    assert!(wanted.len() > 8, "{:?}", wanted.keys());
    // More processes than batches, too.
    for size in [2, 3, 7] {
        together(&fixture, size, (0, usize::MAX));
        same(&wanted, &taken(&fixture));
    }
}

#[test]
fn what_was_interrupted_goes_on_by_any_number_of_processes() {
    let fixture = fixture();
    together(&fixture, 1, (0, usize::MAX));
    let wanted = taken(&fixture);
    let mut before = 0;
    for (size, stopped) in [(3, (1, 1)), (2, (0, 1)), (1, (0, 1)), (3, (0, 3))] {
        let report = together(&fixture, size, stopped);
        assert!(report.interrupted && report.images >= before);
        before = report.images;
    }
    assert_eq!(before, 10, "the last was stopped while it drew");
    assert!(!together(&fixture, 2, (0, usize::MAX)).interrupted);
    same(&wanted, &taken(&fixture));
}

#[test]
fn shards_look_and_a_call_without_one_draws() {
    let fixture = fixture();
    together(&fixture, 1, (0, usize::MAX));
    let wanted = taken(&fixture);
    let first = shard(&fixture, "1/3", 1).unwrap();
    assert_eq!((first.images, first.interrupted), (2, true));
    let first = shard(&fixture, "1/3", usize::MAX).unwrap();
    assert!(first.images == 3 && first.skipped.len() == 1, "{first}");
    assert!(first.to_string().contains("of shard 1/3"), "{first}");
    shard(&fixture, "2/3", usize::MAX).unwrap();
    // A shard of other settings counts for nothing, and is left.
    let mut other = options(&fixture, &Group::alone(), Some("3/4"));
    other.places = 1;
    run(&other, &fixture.device, &mut ()).unwrap();
    // Of the same name it is not replaced.
    other.shard = options(&fixture, &Group::alone(), Some("2/3")).shard;
    let refused = run(&other, &fixture.device, &mut ()).unwrap_err();
    assert!(matches!(refused, Error::Exists(_)), "{refused}");
    // The last third is looked at now, and what could not be read again.
    let (mut told, group) = (Told::default(), Group::alone());
    let report = run(&options(&fixture, &group, None), &fixture.device, &mut told).unwrap();
    assert_eq!((report.images, told.looked), (10, 3));
    assert!(
        told.notes
            .contains("strongest-3-of-4.json is of another model"),
        "{}",
        told.notes
    );
    let mut all = taken(&fixture);
    assert!(all.remove("strongest-3-of-4.json").is_some());
    same(&wanted, &all);
    together(&fixture, 1, (0, usize::MAX));
    let again = shard(&fixture, "1/3", usize::MAX).unwrap_err();
    assert!(matches!(again, Error::Exists(_)), "{again}");
}

#[derive(Default)]
struct Told {
    notes: String,
    looked: usize,
}

impl Callback<Event> for Told {
    fn event(&mut self, event: Event) {
        match event {
            Event::Note(note) => self.notes += &note,
            Event::Item { name, .. } => self.looked += usize::from(name == "looking at pictures"),
            _ => {}
        }
    }
}

#[test]
fn processes_that_see_other_pictures_are_refused() {
    let fixture = fixture();
    let fixture = &fixture;
    let told = thread::scope(|scope| {
        let members = threads::group(2).into_iter().map(|group| {
            scope.spawn(move || {
                let mut options = options(fixture, &group, None);
                if group.rank() == 1 {
                    options.source.exclude.push("91*".into());
                }
                run(&options, &fixture.device, &mut ())
                    .unwrap_err()
                    .to_string()
            })
        });
        let members: Vec<_> = members.collect();
        members
            .into_iter()
            .map(|member| member.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(told[1].contains("other pictures"), "{told:?}");
}
