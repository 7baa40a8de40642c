//! Shards of a folder leave what one call leaves.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use tempfile::TempDir;

use super::{Options, Report, Shard, merge, run};
use crate::error::Result;
use crate::task::test_runs::{self, Impatient};

const NAMES: [&str; 5] = ["a.png", "b.png", "c.png", "sub/d.png", "z.png"];

fn options(folder: &Path, shard: Option<Shard>) -> Options {
    let mut options = super::tests::options(folder);
    (options.shard, options.limits.steps) = (shard, 10);
    options
}

fn infer(options: &Options) -> Result<Report> {
    run(options, &Device::flex(), &mut ())
}

/// Images, and a run that codes them.
fn prepared() -> TempDir {
    let folder = TempDir::new().unwrap();
    test_runs::run(folder.path(), "");
    for (seed, name) in NAMES.iter().enumerate() {
        test_runs::image(&folder.path().join("images").join(name), seed as u64, 20);
    }
    folder
}

/// The tables of a folder without what hangs on the clock: the last column but one, and `seconds`.
fn tables(out: &Path) -> [String; 2] {
    let csv = fs::read_to_string(out.join("table.csv")).unwrap();
    let json = fs::read_to_string(out.join("table.json")).unwrap();
    let untimed = csv.lines().map(|line| {
        let cells: Vec<_> = line.split(',').collect();
        [&cells[..cells.len() - 2], &cells[cells.len() - 1..]]
            .concat()
            .join(",")
    });
    let timeless = json.lines().filter(|line| !line.contains("\"seconds\""));
    [
        untimed.collect::<Vec<_>>().join("\n"),
        timeless.collect::<Vec<_>>().join("\n"),
    ]
}

#[test]
fn the_table_of_three_shards_is_that_of_one_call() {
    let folder = prepared();
    let folder = folder.path();
    fs::write(folder.join("images/broken.png"), "no image").unwrap();
    let out = folder.join("out");
    infer(&options(folder, None)).unwrap();
    let wanted = tables(&out);
    let pictures = fs::read(out.join("sub/d.png")).unwrap();
    assert!(wanted[0].lines().count() == 11, "{}", wanted[0]);
    fs::remove_dir_all(&out).unwrap();

    let shards = [3, 1, 2].map(|number| Shard::new(number, 3).unwrap());
    for (done, shard) in shards.into_iter().enumerate() {
        if done > 0 {
            let error = merge(&out, false).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{} of 3 shards", 3 - done)),
                "{error}"
            );
        }
        infer(&options(folder, Some(shard))).unwrap();
    }
    let merged = merge(&out, false).unwrap();
    assert!(
        merged
            .complete()
            .unwrap_err()
            .to_string()
            .contains("1 of 6 images failed")
    );
    assert_eq!(tables(&out), wanted);
    assert_eq!(fs::read(out.join("sub/d.png")).unwrap(), pictures);
    assert!(
        merge(&out, false)
            .unwrap_err()
            .to_string()
            .contains("is not replaced")
    );
    merge(&out, true).unwrap();
    // What shards wrote is told from images.
    let mut among = options(folder, None);
    (among.images, among.out) = (out, folder.join("again"));
    let error = infer(&among).unwrap_err().to_string();
    assert!(error.contains("no image"), "{error}");
}

#[test]
fn shards_go_on_where_they_stopped_and_do_not_mix() {
    let folder = prepared();
    let folder = folder.path();
    let out = folder.join("out");
    let no_shards = |error: String| assert!(error.contains("no tables of shards"), "{error}");
    fs::create_dir_all(&out).unwrap();
    no_shards(merge(&out, false).unwrap_err().to_string());
    let [first, second] = [1, 2].map(|number| options(folder, Shard::new(number, 2).ok()));
    let cut = run(&first, &Device::flex(), &mut Impatient(1)).unwrap();
    assert!(cut.interrupted && cut.rows.len() == 2);
    infer(&second).unwrap();
    let error = merge(&out, false).unwrap_err().to_string();
    assert!(
        error.contains("1 of 2 shards") && error.contains("1/2"),
        "{error}"
    );
    assert_eq!(infer(&first).unwrap().rows.len(), 6);
    assert_eq!(merge(&out, false).unwrap().rows.len(), 10);
    // Other settings, another number of shards, or other images are another set.
    let mut other = options(folder, Shard::new(1, 3).ok());
    other.overwrite = true;
    infer(&other).unwrap();
    let error = merge(&out, true).unwrap_err().to_string();
    assert!(error.contains("not of the same images"), "{error}");
    fs::remove_file(out.join("table-1-of-3.json")).unwrap();
    fs::write(out.join("table-2-of-2.json"), "{}").unwrap();
    let error = merge(&out, true).unwrap_err().to_string();
    assert!(error.contains("run shard 2/2 again"), "{error}");
    // More shards than images leave some without any.
    let mut idle = options(folder, Shard::new(6, 6).ok());
    idle.out = folder.join("idle");
    assert_eq!(infer(&idle).unwrap().images, 0);
}
