//! Projections of the strongest activations.

use super::super::source::{MapOptions, MapSource, Wanted};
use super::*;
use crate::arrays::Bundle;
use crate::store::CheckpointSelector;
use crate::task::test_runs;

fn source(run: &Path, layers: &[&str], projections: usize) -> Result<MapSource> {
    let options = MapOptions {
        from: Wanted::Run {
            path: run.to_path_buf(),
            which: CheckpointSelector::Last,
        },
        layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
        max_side: None,
        rounds: None,
        projections,
    };
    let source = options.open(&[], &Device::flex(), &mut ())?;
    Ok(source.expect("it was not interrupted"))
}

/// A projection is linear at given switches: those of all activations, each alone, add up to what all of
/// them together stand for.
#[test]
fn projections_of_all_activations_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let run = test_runs::learn(test_runs::ADAPTIVE, folder.path());
    let image = folder.path().join("photos/one.png");
    test_runs::image(&image, 3, 24);
    let all = source(&run, &["1"], usize::MAX).unwrap();
    assert_eq!(all.layers().len(), 2);
    let maps = all.maps(&image, None).unwrap();
    assert_eq!((maps.len(), maps[0].len()), (2, 1));
    let shape = maps[0][0].shape();
    let mut sum = Image::zeros(shape[0], shape[1], shape[2]);
    for one in &maps[1] {
        assert_eq!(one.shape(), shape);
        sum.values
            .iter_mut()
            .zip(&one.values)
            .for_each(|(a, b)| *a += b);
    }
    let MapSource::Coded(coded) = &all else {
        panic!("maps of a run")
    };
    let (prepared, _) = coded
        .run
        .state
        .prepare_file(&image, &Reader::default())
        .unwrap();
    let codes = coded
        .encoder()
        .encode(to_tensor(&prepared, &Device::flex()), &mut ());
    let codes = codes.unwrap();
    let down = coded.down_to_first(&codes).unwrap();
    let together = down(codes.last().unwrap().solved.codes.clone());
    let together = coded.cropped(&together, 0, &prepared).unwrap();
    let most = together
        .values
        .iter()
        .fold(0.0_f32, |most, v| most.max(v.abs()));
    assert!(most > 1e-3, "something is projected");
    for (a, b) in sum.values.iter().zip(&together.values) {
        assert!((a - b).abs() < 1e-5 * most.max(1.0), "{a} {b}");
    }
    let error = all.maps(&image, Some(1000)).unwrap_err();
    assert!(matches!(error, Error::Resources { .. }), "{error}");
    // The strongest come first, and a file brings them back.
    let few = source(&run, &["1"], 3).unwrap();
    assert_eq!(few.maps(&image, None).unwrap()[1], maps[1][..3]);
    let mut bundle = Bundle::default();
    few.put(&mut bundle).unwrap();
    let again = MapSource::get(&bundle, Path::new("file"), &Device::flex()).unwrap();
    assert_eq!(
        again.maps(&image, None).unwrap(),
        few.maps(&image, None).unwrap()
    );
}

#[test]
fn one_layer_has_nothing_to_project_from() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = test_runs::ADAPTIVE.rsplit_once("[[layer]]").unwrap();
    let run = test_runs::learn(&first.replace("pool = [2, 2, 2]", ""), folder.path());
    let error = source(&run, &[], 3).err().expect("refused").to_string();
    assert!(error.contains("layer above"), "{error}");
}

#[test]
fn each_element_lies_in_the_middle_of_what_it_stands_for() {
    for boundary in ["valid", "circular", "zero"] {
        let folder = tempfile::tempdir().unwrap();
        let train = format!("solver = \"fista\"\nsteps = 2\nboundary = {boundary:?}");
        let run = test_runs::run(folder.path(), &train);
        let MapSource::Coded(coded) = source(&run, &["2"], 0).unwrap() else {
            panic!("maps of a run")
        };
        let size = [20, 22];
        let stack = coded.run.network.part(0..2);
        let shape = stack.maps_shape([1, 1, size[0], size[1]]);
        let one = alone(shape, 5 * shape[3] + 8, 1.0, &Device::flex());
        let maps = coded.cropped(&one, 1, &Image::zeros(1, size[0], size[1]));
        let maps = maps.unwrap();
        assert_eq!([maps.height, maps.width], size);
        let found = strongest(&maps.values, 1)[0];
        let reach = stack.reach([5, 8], size);
        for (d, at) in [found / size[1], found % size[1]].into_iter().enumerate() {
            let twice = reach[d].start + reach[d].end - 1;
            assert!(
                twice.abs_diff(2 * at) <= 1,
                "{boundary}: {at}, {:?}",
                reach[d]
            );
        }
    }
}
