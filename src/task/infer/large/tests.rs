//! Images in tiles against the same images whole.

use std::cell::Cell;
use std::fs;
use std::thread;

use burn::tensor::Device;
use tempfile::TempDir;

use super::*;
use crate::arrays;
use crate::backend::Backend;
use crate::data::folder as pictures;
use crate::group::threads;
use crate::solve::Limits;
use crate::task::infer::Row;
use crate::task::infer::run;
use crate::task::test_runs;

pub(crate) fn options(folder: &Path, tile: Option<usize>) -> Options {
    Options {
        tile,
        out: folder.join(format!("out{}", tile.unwrap_or(0))),
        solver: Some(SolverName::CoordinateDescent),
        limits: Limits {
            gap: Some(1e-4),
            every: 2,
            ..Limits::default()
        },
        ..super::super::tests::options(folder)
    }
}

fn folder(train: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), train);
    test_runs::image(&folder.path().join("images/sub/a.png"), 5, 47);
    folder
}

fn code(options: &Options) -> Result<Report> {
    run(options, &Device::flex(), &mut ())
}

/// The maps of the first layer of an image in tiles, put together.
fn maps(folder: &Path, [height, width]: [usize; 2], k: usize) -> Vec<f32> {
    let mut maps = vec![0.0; k * height * width];
    for file in fs::read_dir(folder.join("sub/a-maps/layer1")).unwrap() {
        let bundle = arrays::read(file.unwrap().path()).unwrap();
        let whole = |name: &str| -> Vec<usize> {
            bundle.arrays[name]
                .values
                .iter()
                .map(|&v| v as usize)
                .collect()
        };
        let (shape, at, places) = (whole("shape"), whole("at"), whole("places"));
        for (place, value) in places.iter().zip(&bundle.arrays["values"].values) {
            let [line, j] = [place / shape[2], place % shape[2]];
            let [map, i] = [line / shape[1], line % shape[1]];
            maps[(map * height + at[0] + i) * width + at[1] + j] = *value;
        }
    }
    maps
}

#[test]
fn tiles_give_what_the_whole_image_gives() {
    let folder = folder("rescale_maps = 2.0");
    let folder = folder.path();
    let whole = code(&options(folder, None)).unwrap();
    let path = folder.join("out0/sub/a-maps.npz");
    let wanted = arrays::read(&path).unwrap();
    let wanted = wanted.array("layer1", &path).unwrap();
    for tile in [9, 20, 100] {
        let options = options(folder, Some(tile));
        let report = code(&options).unwrap();
        report.complete().unwrap();
        for (a, b) in whole.rows.iter().zip(&report.rows) {
            let near = |a: f64, b: f64, share: f64| (a - b).abs() <= share * a.abs();
            let share = [1e-4, 5e-3][a.layer - 1];
            assert_eq!((&a.image, a.layer), (&b.image, b.layer));
            assert!(
                near(a.objective, b.objective, share)
                    && near(a.snr.unwrap(), b.snr.unwrap(), 10.0 * share)
                    && near(a.psnr.unwrap(), b.psnr.unwrap(), 10.0 * share)
                    && b.gap.unwrap() <= 1e-4 * b.objective,
                "{a:?} {b:?}"
            );
        }
        let [k, height, width] = [0, 1, 2].map(|axis| wanted.shape[axis]);
        let maps = maps(&options.out, [height, width], k);
        let largest = wanted
            .values
            .iter()
            .fold(0.0_f32, |most, v| most.max(v.abs()));
        for (a, b) in wanted.values.iter().zip(&maps) {
            assert!((a - b).abs() < 0.05 * largest, "{a} {b} of {largest}");
        }
        let picture = pictures::read(&options.out.join("sub/a-reconstruction.png"), false, None);
        assert_eq!(picture.unwrap().shape(), [1, 47, 47]);
        assert!(options.out.join("sub/a.png").exists());
        assert!(!options.out.join("sub/a-tiles").exists());
        let again = code(&options).unwrap_err();
        assert!(matches!(again, Error::Finished(_)), "{again}");
    }
    // Fewer tiles than were there before, and no others beside them.
    let mut larger = options(folder, Some(100));
    larger.out = folder.join("out9");
    larger.overwrite = true;
    code(&larger).unwrap();
    let left = fs::read_dir(larger.out.join("sub/a-maps/layer1")).unwrap();
    assert_eq!(left.count(), 1);
}

/// Asks to stop at a question.
struct Impatient(Cell<usize>);

impl Callback<Event> for Impatient {
    fn interrupted(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        self.0.get() == 0
    }
}

fn results(out: &Path) -> (Vec<Row>, Vec<u8>) {
    let text = fs::read(out.join("table.json")).unwrap();
    let report: Report = serde_json::from_slice(&text).unwrap();
    let rows = report.rows.into_iter().map(|row| Row {
        seconds: 0.0,
        ..row
    });
    (
        rows.collect(),
        fs::read(out.join("sub/a-reconstruction.png")).unwrap(),
    )
}

#[test]
fn what_was_interrupted_or_killed_goes_on_and_members_of_a_group_agree() {
    let folder = folder("");
    let folder = folder.path();
    let once = options(folder, Some(9));
    code(&once).unwrap();
    let (rows, picture) = results(&once.out);
    let same = |out: &Path| {
        let (others, other_picture) = results(out);
        assert_eq!(format!("{rows:?}"), format!("{others:?}"));
        assert!(picture == other_picture);
    };
    let mut stopped = options(folder, Some(9));
    stopped.out = folder.join("stopped");
    let mut calls = 0;
    loop {
        calls += 1;
        let mut callback = Impatient(Cell::new(150 + 13 * calls));
        let report = run(&stopped, &Device::flex(), &mut callback).unwrap();
        if !report.interrupted {
            break;
        }
        assert!(calls < 500);
        // A kill may leave a tile of the sweep in work cut short.
        let layer = stopped.out.join("sub/a-tiles/layer1");
        let looks = fs::read_to_string(layer.join("looks.json")).unwrap_or_default();
        let sweep = layer.join(format!("sweep-{}", looks.matches("visits").count() + 1));
        if let Some(tile) = fs::read_dir(sweep).ok().and_then(|mut tiles| tiles.next()) {
            fs::write(tile.unwrap().path(), "cut").unwrap();
        }
    }
    assert!(calls > 1);
    same(&stopped.out);
    // The size of tiles that nobody asked for is that of the earlier call, whatever the memory is by now.
    let mut alone = options(folder, Some(9));
    alone.images = folder.join("images/sub/a.png");
    alone.out = folder.join("alone");
    let mut callback = Impatient(Cell::new(150));
    let report = run(&alone, &Device::flex(), &mut callback).unwrap();
    assert!(report.interrupted);
    alone.tile = None;
    let report = code(&alone).unwrap();
    assert_eq!(report.settings.tile, Some(9));
    assert_eq!(report.rows[0].tiles, rows[0].tiles);
    for size in [2, 3] {
        let mut shared = options(folder, Some(9));
        shared.out = folder.join(format!("shared{size}"));
        thread::scope(|scope| {
            let members = threads::group(size).into_iter().map(|group| {
                let options = Options {
                    group,
                    ..shared.clone()
                };
                scope.spawn(move || code(&options).unwrap().complete().unwrap())
            });
            let members: Vec<_> = members.collect();
            members
                .into_iter()
                .for_each(|member| member.join().unwrap());
        });
        same(&shared.out);
    }
}

#[test]
fn on_another_device_tiles_are_coded_on_the_processor_all_the_same() {
    let folder = folder("rescale_maps = 2.0");
    let folder = folder.path();
    let mut options = options(folder, Some(20));
    code(&options).unwrap();
    let (rows, picture) = results(&options.out);
    for backend in [Backend::Ndarray, Backend::Wgpu] {
        let device = match backend.device() {
            Ok(device) => device,
            Err(error) => {
                crate::skipped::skipped(backend.name(), error);
                continue;
            }
        };
        options.out = folder.join(backend.name());
        run(&options, &device, &mut ()).unwrap().complete().unwrap();
        let (others, other_picture) = results(&options.out);
        assert_eq!(format!("{rows:?}"), format!("{others:?}"));
        assert!(picture == other_picture);
    }
}

#[test]
fn what_cannot_be_done_is_told() {
    let folder = folder("");
    let folder = folder.path();
    let small = code(&options(folder, Some(5))).unwrap_err();
    let text = small.to_string();
    assert!(
        matches!(small, Error::Config(_))
            && text.contains("tiles of 5")
            && text.contains("at least 9"),
        "{text}"
    );
    assert!(!folder.join("out5").exists());
    let text = |change: fn(&mut Options)| {
        let mut options = options(folder, Some(10));
        change(&mut options);
        code(&options).unwrap_err().to_string()
    };
    let joint = |o: &mut Options| (o.joint, o.solver) = (true, Some(SolverName::HalfQuadratic));
    assert!(text(joint).contains("layer by layer"));
    assert!(text(|o| o.anomaly = true).contains("anomaly"));
    assert!(text(|o| o.solver = Some(SolverName::Fista)).contains("descent"));
    // A picture cut in the middle, one that is none, and a sound one.
    let images = folder.join("images");
    let sound = fs::read(images.join("sub/a.png")).unwrap();
    fs::write(images.join("cut.png"), &sound[..sound.len() / 2]).unwrap();
    fs::write(images.join("interlaced.png"), "no picture").unwrap();
    let report = code(&options(folder, Some(10))).unwrap();
    assert_eq!((report.failures.len(), report.finished.len()), (2, 1));
    let text = report.complete().unwrap_err().to_string();
    assert!(
        text.contains("cut.png") && text.contains("row by row"),
        "{text}"
    );
    // A tile of a sweep that is done is needed by the one that follows.
    let mut options = options(folder, Some(12));
    options.images = images.join("sub/a.png");
    let layer = options.out.join("a-tiles/layer1");
    let looks = (1..40).find_map(|k| {
        run(
            &options,
            &Device::flex(),
            &mut Impatient(Cell::new(100 * k)),
        )
        .unwrap();
        fs::read_to_string(layer.join("looks.json")).ok()
    });
    let done = looks.expect("a sweep").matches("visits").count();
    let tile = layer.join(format!("sweep-{done}/tile-00001"));
    let bytes = fs::read(&tile).unwrap();
    fs::write(&tile, &bytes[..bytes.len() - 1]).unwrap();
    remove(&layer.join(format!("sweep-{}", done + 1))).unwrap();
    let text = code(&options).unwrap().complete();
    let text = text.unwrap_err().to_string();
    assert!(
        text.contains("tile-00001") && text.contains("damaged"),
        "{text}"
    );
    // The other tiles are still there: with that one mended, coding goes on from them.
    fs::write(&tile, &bytes).unwrap();
    code(&options).unwrap().complete().unwrap();
    options.limits.gap = Some(1e-3);
    let other = code(&options).unwrap_err();
    assert!(matches!(other, Error::Exists(_)), "{other}");
}
