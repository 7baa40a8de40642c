//! There and back, and what is refused on the way.

use std::path::Path;

use burn::tensor::Device;
use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::group::Group;
use crate::task::{test_runs, train};

fn read(path: &Path) -> Run {
    Run::read(path, CheckpointSelector::Last, &Device::flex()).unwrap()
}

fn try_export(run: &Path, file: &Path, maps: ExportMaps) -> Result<Exported> {
    let last = CheckpointSelector::Last;
    export(run, last, file, maps, false, &Device::flex())
}

fn export_to(run: &Path, file: &Path, maps: ExportMaps) -> Exported {
    try_export(run, file, maps).unwrap()
}

/// The filters of a run of a moment, in a file in a folder that lives as long as the test.
fn exported() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = test_runs::run(folder.path(), "");
    let file = folder.path().join("run.npz");
    export_to(&path, &file, ExportMaps::None);
    (folder, file)
}

#[test]
fn what_is_exported_comes_back_the_same() {
    for (train, ending) in [
        ("rescale_maps = 2.0", "npz"),
        ("form = \"joint\"\nsolver = \"fista\"", "safetensors"),
        ("boundary = \"circular\"\nsolver = \"fista\"", "npz"),
        (
            "constraint = \"non-negative-planes\"\nboundary = \"zero\"",
            "npz",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let path = test_runs::run(folder.path(), train);
        let file = folder.path().join("run").with_extension(ending);
        export_to(&path, &file, ExportMaps::None);
        let again = folder.path().join("again");
        import(&file, None, &again, &Device::flex()).unwrap();

        let (before, after) = (read(&path), read(&again));
        for (a, b) in before.network.layers().iter().zip(after.network.layers()) {
            let [a, b] = [a, b].map(|l| to_array(&l.filters.val()).unwrap());
            assert_eq!(a, b);
        }
        let rescalings = [&before, &after].map(|run| {
            let layers = run.network.layers().iter();
            layers.map(|layer| layer.rescaling).collect::<Vec<_>>()
        });
        assert_eq!(rescalings[0], rescalings[1]);
        let (a, b) = (&before.state, &after.state);

        assert_eq!(a.connectivity, b.connectivity);
        assert_eq!(a.sizes, b.sizes);
        assert_eq!(a.objectives, b.objectives);
        assert_eq!(a.prepare, b.prepare);
        assert_eq!(a.config.train, b.config.train);
        assert!(b.finished() && b.images.is_empty());
    }
}

#[test]
fn a_configuration_that_contradicts_the_file_is_warned_of() {
    let (folder, file) = exported();
    let import = |name: &str, preprocess: &str| {
        let text = format!(
            "[preprocess]\nkind = \"{preprocess}\"\n\
             [[layer]]\nmaps = 3\n[[layer]]\nmaps = 6"
        );
        let config = Config::parse(&text).unwrap();
        let run = folder.path().join(name);
        import(&file, Some(&config), &run, &Device::flex()).unwrap()
    };
    let same = import("same", "contrast-normalize");
    assert!(same.warnings.is_empty(), "{same}");
    let other = import("other", "zero-mean");
    let text = other.to_string();
    assert_eq!(other.warnings.len(), 1, "{text}");
    for words in ["by ZeroMean", "prepared by ContrastNormalize"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn there_is_nothing_to_learn_in_an_imported_run() {
    let (folder, file) = exported();
    let path = folder.path().join("imported");
    import(&file, None, &path, &Device::flex()).unwrap();
    let (last, device) = (CheckpointSelector::Last, Device::flex());
    let resumed = train::resume(&path, last, None, &device, false, &Group::alone(), &mut ());
    says!(resumed.unwrap_err(), "no images to learn from");
}

#[test]
fn maps_go_along_and_nothing_is_overwritten() {
    let folder = TempDir::new().unwrap();
    let path = test_runs::run(folder.path(), "");
    let file = folder.path().join("all.npz");
    let exported = export_to(&path, &file, ExportMaps::Dense);
    assert_eq!((exported.layers, exported.maps), (2, 4));
    let bundle = arrays::read(&file).unwrap();
    let side = 24 + 2 + 1;
    let maps = bundle.array("layer2.maps.image00002", &file).unwrap();
    assert_eq!(maps.shape, [6, side, side]);
    assert_eq!(bundle.text("image00002", &file).unwrap(), "sample scene 2");
    // The same elements by the gaps between them.
    let file_2 = folder.path().join("sparse.safetensors");
    let exported = export_to(&path, &file_2, ExportMaps::Sparse);
    assert_eq!(exported.maps, 4);
    let sparse = arrays::read(&file_2).unwrap();
    let part = |part: &str| {
        let name = format!("layer2.maps.image00002.{part}");
        sparse.array(&name, &file_2).unwrap().values.clone()
    };
    assert_eq!(part("shape"), [6, side, side].map(|n| n as f32));
    let mut dense = vec![0.0; maps.values.len()];
    let mut place = 0;
    for (gap, value) in part("gaps").into_iter().zip(part("values")) {
        assert_ne!(value, 0.0);
        place += gap as usize;
        dense[place] = value;
    }
    assert_eq!(dense, maps.values);
    let again = try_export(&path, &file, ExportMaps::Dense);
    says!(again.unwrap_err(), "is not replaced");
}

#[test]
fn filters_of_other_tools_become_a_run() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("theirs.npz");
    let mut bundle = Bundle::default();
    let values: Vec<f32> = (0..4 * 3 * 2 * 5).map(|i| i as f32).collect();
    bundle.put("D0", &[4, 3, 2, 5], values).unwrap();
    bundle.scalars.insert("lmbda".into(), 0.05);
    arrays::write(&file, &bundle, false).unwrap();
    let path = folder.path().join("run");
    let imported = import(&file, None, &path, &Device::flex()).unwrap();
    assert_eq!(imported.layers, [[3, 4, 2, 5]]);
    says!(
        imported.to_string(),
        "prepared by kind = \"contrast-normalize\", size = ",
        "found by descent, data_weight = 1.0, sparsity = 0.05, p = 1.0"
    );
    let run = read(&path);
    let filters = to_array(&run.network.layers()[0].filters.val()).unwrap();
    // Plane 1 of map 2.
    assert_eq!(
        filters.values[(4 + 2) * 10..][..10],
        bundle.arrays["D0"].values[70..80]
    );
    assert_eq!(run.state.objectives[0].sparsity(), 0.05);
    assert!(run.state.config.data.colour);

    let config = Config::parse("[preprocess]\nkind = \"local-mean\"\n[[layer]]\nmaps = 4");
    let path = folder.path().join("other");
    let error = import(&file, Some(&config.unwrap()), &path, &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("without images"), "{error}");
    assert!(!path.exists());
}

#[test]
fn what_does_not_fit_is_named() {
    let ones =
        |shape: &[usize]| Array::new(shape.to_vec(), vec![1.0; shape.iter().product()]).unwrap();
    let folder = TempDir::new().unwrap();
    let refused = |arrays: &[(&str, Array)], scalars: &[(&str, f64)], words: &str| {
        let mut bundle = Bundle::default();
        for (name, array) in arrays {
            bundle.arrays.insert((*name).into(), array.clone());
        }
        for (name, value) in scalars {
            bundle.scalars.insert((*name).into(), *value);
        }
        let file = folder.path().join("bad.npz");
        arrays::write(&file, &bundle, true).unwrap();
        let run = folder.path().join("run");
        let error = import(&file, None, &run, &Device::flex()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("bad.npz"), "{message}");
        assert!(message.contains(words), "{words}: {message}");
        assert!(!run.exists());
    };
    let first = ("layer1.filters", ones(&[1, 2, 3, 3]));
    refused(&[], &[], "no array `layer1.filters`");
    refused(&[("layer1.filters", ones(&[2, 3, 3]))], &[], "four axes");
    let third = ("layer3.filters", ones(&[2, 2, 3, 3]));
    refused(&[first.clone(), third], &[], "no array `layer2.filters`");
    let second = ("layer2.filters", ones(&[3, 2, 3, 3]));
    refused(
        &[first.clone(), second],
        &[],
        "for 3 planes, but layer 1 has 2",
    );
    let g = ("layer1.connectivity", ones(&[2, 2]));
    refused(&[first.clone(), g], &[], "shape [1, 2]");
    let g = Array::new(vec![1, 2], vec![1.0, 0.0]).unwrap();
    let g = ("layer1.connectivity", g);
    refused(&[first.clone(), g], &[], "sees no plane");
    let mut nan = ones(&[1, 2, 3, 3]);
    nan.values[4] = f32::NAN;
    refused(&[("layer1.filters", nan)], &[], "NaN at [0, 0, 1, 1]");
    let weights = [
        ("layer1.objective.data_weight", 1.0),
        ("layer1.objective.sparsity", -1.0),
        ("layer1.objective.p", 1.0),
    ];
    let first = [first];
    refused(&first, &weights, "sparsity is -1");
    refused(&first, &weights[..2], "no number `layer1.objective.p`");
    let rescaling = [
        ("layer1.rescaling.shift", 1.0),
        ("layer1.rescaling.scale", 0.0),
    ];
    refused(&first, &rescaling, "scale not 0");
}
