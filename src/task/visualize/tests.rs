//! A small run, drawn.

use super::*;
use crate::data::{Image, scenes};
use crate::picture::save_png;
use crate::task::{exchange, test_runs};

const TWO_LAYERS: &str = "
    [preprocess]
    kind = \"contrast-normalize\"
    [data]
    sample_count = 3
    sample_size = 24
    [train]
    solver = \"fista\"
    steps = 5
    [[layer]]
    maps = 4
    size = 3
    sparsity = { of_max = 0.1 }
    epochs = 1
    [[layer]]
    connect = \"singles-and-pairs\"
    size = 3
    sparsity = { of_max = 0.1 }
    epochs = 1";

/// A run folder that learning has just finished, in a folder that lives as long as the test.
fn trained(config: &str) -> (tempfile::TempDir, PathBuf, Device) {
    let folder = tempfile::tempdir().unwrap();
    let path = test_runs::learn(config, folder.path());
    (folder, path, Device::flex())
}

/// The run, exported to a file and imported from it.
fn imported(folder: &tempfile::TempDir, run: &Path, file: &str, device: &Device) -> PathBuf {
    let file = folder.path().join(file);
    let maps = exchange::ExportMaps::None;
    exchange::export(run, CheckpointSelector::Last, &file, maps, false, device).unwrap();
    let path = folder.path().join("imported");
    exchange::import(&file, None, &path, device).unwrap();
    path
}

fn names(report: &Report) -> Vec<String> {
    let name = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
    report.files.iter().map(name).collect()
}

const ALL: [&str; 9] = [
    "curves.png",
    "filters-layer1.png",
    "filters-layer2.png",
    "connectivity-layer2.png",
    "maps-layer1.png",
    "maps-layer2.png",
    "patches-layer1.png",
    "patches-layer2.png",
    "reconstructions.png",
];

#[test]
fn a_run_is_drawn_into_its_own_folder_again_and_again() {
    let (_folder, path, device) = trained(TWO_LAYERS);
    let options = Options::new(&path);
    for _ in 0..2 {
        let report = super::run(&options, &device, &mut ()).unwrap();
        assert_eq!(names(&report), ALL);
        for file in &report.files {
            assert!(file.starts_with(path.join(PICTURES)) && file.is_file());
        }
    }
}

#[test]
fn files_elsewhere_are_kept_unless_told_otherwise() {
    let (folder, path, device) = trained(TWO_LAYERS);
    let out = folder.path().join("elsewhere");
    let mut options = Options {
        out: Some(out.clone()),
        ..Options::new(&path)
    };
    super::run(&options, &device, &mut ()).unwrap();
    let error = super::run(&options, &device, &mut ()).unwrap_err();
    assert!(error.to_string().contains("curves.png exists"), "{error}");
    options.overwrite = true;
    assert_eq!(names(&super::run(&options, &device, &mut ()).unwrap()), ALL);
}

#[test]
fn files_that_the_run_never_saw_get_maps_of_their_own() {
    let (folder, path, device) = trained(TWO_LAYERS);
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let file = images.join("new.png");
    save_png(&scenes::sample(7, 40, 1), &file).unwrap();
    let options = Options {
        image: Some(Subject::File(file.clone())),
        images: Some(images),
        ..Options::new(&path)
    };
    assert_eq!(names(&super::run(&options, &device, &mut ()).unwrap()), ALL);

    let run = Run::read(&path, CheckpointSelector::Last, &device).unwrap();
    let coded = Coded::from_file(&run, &file, &Reader::default(), &device, &()).unwrap();
    let shapes: Vec<_> = coded.codes.iter().map(|(_, codes)| codes.dims()).collect();
    assert_eq!(shapes, [[1, 4, 42, 42], [1, 10, 44, 44]]);
    let used = |(_, codes): &(usize, burn::tensor::Tensor<4>)| {
        codes.clone().abs().max().into_scalar::<f32>() > 0.0
    };
    assert!(coded.codes.iter().all(used));
}

#[test]
fn every_image_is_checked_before_anything_is_drawn() {
    let photos = tempfile::tempdir().unwrap();
    let file = |name: &str| photos.path().join(name);
    for (seed, name) in [(1, "a.png"), (2, "b.png"), (3, "c.png")] {
        save_png(&scenes::sample(0, 24, seed), file(name)).unwrap();
    }
    let data = format!("[data]\n    images = {:?}", photos.path());
    let (_folder, path, device) = trained(&TWO_LAYERS.replace("[data]", &data));
    std::fs::remove_dir_all(path.join(PICTURES)).unwrap();
    let refused = |options: &Options, words: [&str; 2]| {
        let message = super::run(options, &device, &mut ())
            .unwrap_err()
            .to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(!path.join(PICTURES).exists());
    };
    let mut options = Options::new(&path);
    std::fs::remove_file(file("c.png")).unwrap();
    refused(&options, ["c.png", "where they were when it began"]);
    options.images = Some(photos.path().to_path_buf());
    std::fs::write(file("d.png"), "no image").unwrap();
    refused(&options, ["d.png", "replace or remove"]);
    save_png(&Image::zeros(3, 2, 40), file("d.png")).unwrap();
    refused(&options, ["d.png", "smaller than the 3 x 3 filters"]);
    std::fs::remove_file(file("d.png")).unwrap();
    // Those that were learnt from are not asked for.
    assert_eq!(names(&super::run(&options, &device, &mut ()).unwrap()), ALL);
}

#[test]
fn an_imported_run_is_drawn_from_what_there_is() {
    let (folder, path, device) = trained(TWO_LAYERS);
    let path = imported(&folder, &path, "run.npz", &device);
    let expect = |options: &Options, starts: &[&str]| {
        let report = super::run(options, &device, &mut ()).unwrap();
        let drawn = |name: &&str| starts.iter().any(|start| name.starts_with(start));
        let expected: Vec<&str> = ALL.into_iter().filter(drawn).collect();
        assert_eq!(names(&report), expected);
    };
    let mut options = Options::new(&path);
    let always = ["filters", "connectivity"];
    expect(&options, &always);
    let run = Run::read(&path, CheckpointSelector::Last, &device).unwrap();
    let (mut images, out) = (Images::resume(&run.state), path.join(PICTURES));
    let report = pictures_of(&run, &mut images, &device, &out, &mut ()).unwrap();
    assert_eq!(report.files.len(), 3);

    let image = folder.path().join("new.png");
    save_png(&scenes::sample(7, 40, 1), &image).unwrap();
    options.image = Some(Subject::Training(1));
    let error = super::run(&options, &device, &mut ()).unwrap_err();
    assert!(error.to_string().contains("none of its own"), "{error}");
    (options.image, options.images) = (None, Some(image.clone()));
    let with = |more: &[&'static str]| [&always[..], more].concat();
    expect(&options, &with(&["maps", "patches", "reconstructions"]));
    (options.image, options.images) = (Some(Subject::File(image)), None);
    expect(&options, &with(&["maps", "reconstructions"]));
}

#[test]
fn the_joint_form_has_maps_at_the_top_only() {
    let joint = TWO_LAYERS.replace("[train]", "[train]\nform = \"joint\"");
    let (_folder, path, device) = trained(&joint);
    let report = super::run(&Options::new(&path), &device, &mut ()).unwrap();
    let mut expected = ALL.to_vec();
    expected.retain(|name| !matches!(*name, "maps-layer1.png" | "patches-layer1.png"));
    assert_eq!(names(&report), expected);
}

#[test]
fn what_cannot_be_drawn_is_told_before_anything_is() {
    let (_folder, path, device) = trained(TWO_LAYERS);
    let error = |options: Options| {
        let error = super::run(&options, &device, &mut ()).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error}");
        error.to_string()
    };
    // Learning has drawn the run already.
    std::fs::remove_dir_all(path.join(PICTURES)).unwrap();
    for number in [0, 4] {
        let message = error(Options {
            image: Some(Subject::Training(number)),
            ..Options::new(&path)
        });
        assert!(message.contains("choose 1 to 3"), "{message}");
    }
    let message = error(Options {
        patches_per_map: 0,
        ..Options::new(&path)
    });
    assert!(message.contains("0 patches"), "{message}");
    let mut options = Options::new(&path);
    options.image = Some(Subject::File("no-such-image.png".into()));
    let message = super::run(&options, &device, &mut ()).unwrap_err();
    says!(message, "no-such-image.png");
    assert!(!path.join(PICTURES).exists());
}

#[test]
fn a_pooled_run_is_drawn_by_its_parts() {
    let (folder, path, device) = trained(test_runs::ADAPTIVE);
    let report = super::run(&Options::new(&path), &device, &mut ()).unwrap();
    let wanted = [
        "curves.png",
        "filters-layer1.png",
        "maps-layer1.png",
        "maps-layer2.png",
        "parts-layer1.png",
        "filters-layer2.png",
        "parts-layer2.png",
        "switches.png",
        "reconstructions.png",
    ];
    assert_eq!(names(&report), wanted);
    // A run that was exported and imported again reconstructs a new image to the bit.
    let copy = imported(&folder, &path, "run.safetensors", &device);
    let coded = |path: &Path| {
        let run = Run::read(path, CheckpointSelector::Last, &device).unwrap();
        let (image, _) = run.state.prepare.apply(&scenes::sample(7, 30, 1)).unwrap();
        let image = crate::run::to_tensor(&image, &device);
        let coded = run.encoder().encode(image, &mut ()).unwrap();
        let maps = coded.iter().map(|one| (one.layer, &one.solved.codes));
        let stack = run.network.stack(0..2, maps).unwrap();
        stack.synthesize(coded[1].solved.codes.clone()).to_data()
    };
    let (own, copied) = (coded(&path), coded(&copy));
    assert!(own.iter::<f32>().any(|x| x != 0.0));
    assert_eq!(own, copied);
    // Without images what needs none is drawn.
    let report = super::run(&Options::new(&copy), &device, &mut ()).unwrap();
    assert_eq!(names(&report), ["filters-layer1.png"]);
}
