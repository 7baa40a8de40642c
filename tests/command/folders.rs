//! Folders as people have them: runs and results among the images, other formats, odd names, pipes.

use std::fs;
use std::path::Path;

use deconvnet::data::scenes;
use deconvnet::picture::save_png;
use serde_json::Value;

use super::support::{self, deconvnet, output, succeeds};

/// One grey layer, learnt in a moment.
const TINY: &str = "[data]\ncolour = false\n[train]\nsolver = \"descent\"\n\
    [[layer]]\nmaps = 4\nsize = 5\nepochs = 1\nsparsity = { of_max = 0.1 }\n";

/// A folder with `tiny.toml` and three images in `photos`.
fn photos() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    for name in ["0.png", "1.png", "2.png"] {
        image(&folder.path().join("photos").join(name));
    }
    folder
}

fn image(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    save_png(&scenes::sample(0, 32, 1), path).unwrap();
}

/// How many images a run has learnt from.
fn learnt_from(run: &Path) -> usize {
    let text = fs::read(run.join("checkpoint.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    let images = &manifest["state"]["trainer"]["images"];
    images.as_array().unwrap().len()
}

#[track_caller]
fn refused(folder: &Path, line: &str, code: i32, words: &[&str]) {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    support::refused(folder, &arguments, code, words);
}

#[test]
fn the_name_of_a_run_finds_it_beside_a_folder_of_that_name() {
    let photos = photos();
    let folder = photos.path();
    succeeds(folder, "train -c tiny.toml --data photos --run photos");
    for line in [
        "infer --checkpoint photos --images photos --steps 5",
        "visualize --checkpoint photos --out drawn",
        "export --checkpoint photos --out a.npz",
        "train --resume photos",
        "train --resume photos/",
        "compare --checkpoint photos --steps 2",
        "invert --checkpoint photos --methods transpose",
    ] {
        succeeds(folder, line);
    }
    fs::write(folder.join("invert.toml"), "checkpoint = \"photos\"\n").unwrap();
    succeeds(
        folder,
        "invert -c invert.toml --methods transpose --out again",
    );
    // The folder itself is meant by a path, and is no run; of two runs the one in checkpoints is meant.
    refused(
        folder,
        "export --checkpoint ./photos --out b.npz",
        4,
        &["no run in ./photos"],
    );
    succeeds(folder, "import --file a.npz --run ./both");
    succeeds(folder, "train -c tiny.toml --data photos --run both");
    succeeds(folder, "train --resume both");
    refused(folder, "train --resume ./both", 2, &["was imported"]);
    // A damaged run is still the one that is meant.
    fs::write(folder.join("checkpoints/photos/checkpoint.json"), "{").unwrap();
    refused(
        folder,
        "train --resume photos",
        4,
        &["checkpoints/photos/checkpoint.json"],
    );
}

#[test]
fn what_the_program_wrote_is_not_learnt_from() {
    let photos = photos();
    let folder = &photos.path().join("photos");
    let train = "train -c ../tiny.toml --data . --run";
    succeeds(folder, &format!("{train} first"));
    for line in [
        "infer --checkpoint first --images . --steps 5",
        // Beside the user's own images.
        "infer --checkpoint first --images 0.png --out mine --steps 5",
        "visualize --checkpoint first --out drawn",
        "compare -c ../tiny.toml --data . --steps 2",
        "invert --image 0.png --kernel gaussian:1 --methods transpose",
        "invert --observed 0.png --kernel gaussian:1 --methods transpose --out undone",
    ] {
        let (_, err) = succeeds(folder, line);
        assert!(
            !err.contains("this program wrote") || !line.contains("0.png"),
            "{err}"
        );
    }
    // Names tell nothing.
    fs::rename(folder.join("checkpoints"), folder.join("a")).unwrap();
    fs::rename(folder.join("inferred"), folder.join("b")).unwrap();
    image(&folder.join("mine/own.png"));
    image(&folder.join("checkpoints/own.png"));
    let (_, err) = succeeds(folder, &format!("{train} second"));
    assert_eq!(learnt_from(&folder.join("checkpoints/second")), 5, "{err}");
    let told: Vec<_> = err
        .lines()
        .filter(|line| line.contains("this program wrote"))
        .collect();
    assert_eq!(told.len(), 1, "{err}");
    let (out, err) = succeeds(
        folder,
        "infer --checkpoint second --images . --steps 5 --json",
    );
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["images"], 5, "{err}");
    succeeds(
        folder,
        "infer --checkpoint second --images . --steps 5 --overwrite",
    );
    refused(
        folder,
        "train -c ../tiny.toml --data drawn",
        3,
        &["this program wrote"],
    );
}

#[test]
fn results_beside_the_images_are_told_from_them() {
    let photos = photos();
    let folder = photos.path();
    succeeds(folder, "train -c tiny.toml --data photos --run r");
    fs::rename(folder.join("photos/0.png"), folder.join("photos/0.bmp")).unwrap();
    succeeds(
        folder,
        "infer --checkpoint r --images photos/0.bmp --out photos --steps 5",
    );
    assert!(folder.join("photos/0.png").exists());
    let (out, _) = succeeds(
        folder,
        "infer --checkpoint r --images photos --steps 5 --json",
    );
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["images"], 3);
}

#[test]
fn formats_are_read_or_counted() {
    let photos = photos();
    let folder = photos.path();
    let one = image::open(folder.join("photos/0.png")).unwrap();
    for name in ["3.tif", "4.gif"] {
        one.to_rgb8()
            .save(folder.join("photos").join(name))
            .unwrap();
    }
    let jpeg = folder.join("photos/5.jpeg");
    one.to_rgb8().save(&jpeg).unwrap();
    for name in ["6.jfif", "7.JPE"] {
        fs::copy(&jpeg, folder.join("photos").join(name)).unwrap();
    }
    for name in ["a.avif", "b.avif", "c.HEIC", "notes.txt"] {
        fs::write(folder.join("photos").join(name), "").unwrap();
    }
    let (_, err) = succeeds(folder, "train -c tiny.toml --data photos --run r");
    assert_eq!(learnt_from(&folder.join("checkpoints/r")), 8);
    let told: Vec<_> = err.lines().filter(|line| line.contains("avif")).collect();
    assert_eq!(told.len(), 1, "{err}");
    assert!(told[0].ends_with("2 .avif, 1 .heic"), "{err}");
}

#[test]
fn patterns_leave_images_out_of_every_command() {
    let photos = photos();
    let folder = photos.path();
    image(&folder.join("photos/old/3.png"));
    fs::write(folder.join("photos/broken.thumb.png"), "").unwrap();
    let exclude = "--exclude *.thumb.png --exclude old/";
    let line = format!("train -c tiny.toml --data photos {exclude} --run r");
    let (_, err) = succeeds(folder, &line);
    assert!(err.contains("left out: 2 names by the patterns"), "{err}");
    assert_eq!(learnt_from(&folder.join("checkpoints/r")), 3);
    for line in [
        "infer --checkpoint r --images photos --steps 2",
        "visualize --checkpoint r --images photos --out drawn",
        "compare -c tiny.toml --data photos --steps 2",
    ] {
        succeeds(folder, &format!("{line} {exclude}"));
        let line = format!("{line} --overwrite");
        refused(folder, &line, 3, &["broken.thumb.png"]);
    }
    let config = TINY.replace(
        "[data]\n",
        "[data]\nimages = \"photos\"\nexclude = [\"*.thumb.png\"]\n",
    );
    fs::write(folder.join("exclude.toml"), config).unwrap();
    succeeds(folder, "train -c exclude.toml --run configured");
    assert_eq!(learnt_from(&folder.join("checkpoints/configured")), 4);
    refused(
        folder,
        "train --data photos --exclude [a",
        2,
        &["'[a' is no pattern"],
    );
    refused(folder, "train --exclude a", 2, &["data.exclude"]);
}

/// A path longer than the system takes cannot be read, whoever asks.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_read_is_left_out_with_a_warning() {
    let photos = photos();
    let folder = photos.path();
    // Made of two halves, since no call takes all of it.
    let half = |root: &Path| {
        let path = (0..15).fold(root.to_path_buf(), |path, _| path.join("n".repeat(200)));
        fs::create_dir_all(&path).unwrap();
        path
    };
    let deep = half(&folder.join("photos/deep"));
    half(&folder.join("deeper"));
    fs::rename(folder.join("deeper"), deep.join("deeper")).unwrap();
    let (_, err) = succeeds(folder, "train -c tiny.toml --data photos --run r");
    assert_eq!(learnt_from(&folder.join("checkpoints/r")), 3);
    says!(err, "warning: a folder cannot be read and is left out");
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::skipped::skipped;

    fn fifo(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    #[test]
    fn names_that_are_no_text_work_everywhere() {
        let photos = photos();
        let folder = photos.path();
        // Other systems refuse such names.
        let odd = OsStr::from_bytes(b"caf\xe9.png");
        let data = OsStr::from_bytes(b"phot\xf6s");
        if let Err(error) = fs::rename(folder.join("photos"), folder.join(data)) {
            return skipped("names", error);
        }
        image(&folder.join(data).join(odd));
        let run = |line: &str, more: &[&OsStr]| {
            let mut command = deconvnet(folder);
            let (code, out, err) = output(command.args(line.split_whitespace()).args(more));
            assert_eq!(code, 0, "{line}: {err}");
            out
        };
        let image = folder.join(data).join(odd);
        run("train -c tiny.toml --run r --data", &[data]);
        assert_eq!(learnt_from(&folder.join("checkpoints/r")), 4);
        run("train --resume r", &[]);
        let at = fs::read_to_string(folder.join("checkpoints/r/checkpoint.json")).unwrap();
        assert!(!at.contains('\u{fffd}'));
        let out = run("infer --checkpoint r --steps 2 --json --images", &[data]);
        assert!(out.contains("caf\u{fffd}.png"), "{out}");
        assert!(folder.join("inferred").join(odd).exists());
        let out = OsStr::from_bytes(b"r\xe9sults");
        run(
            "infer --checkpoint r --steps 2 --images",
            &[data, "--out".as_ref(), out],
        );
        run(
            "visualize --checkpoint r --image",
            &[image.as_os_str(), "--images".as_ref(), data],
        );
        run("visualize --checkpoint r --json --out", &[out]);
        run("invert --methods transpose --image", &[image.as_os_str()]);
        run(
            "invert --methods transpose --json --out x --observed",
            &[image.as_os_str()],
        );
        run("compare -c tiny.toml --steps 2 --data", &[data]);
        run(
            "export --checkpoint r --json --out",
            &[OsStr::from_bytes(b"\xff.npz")],
        );
        // A run named after such a folder.
        run(
            "train --epochs 1 --quiet --limit 1 --solver adam --data",
            &[data],
        );
    }

    #[test]
    fn a_pipe_is_never_opened() {
        let photos = photos();
        let folder = photos.path();
        fifo(&folder.join("photos/pipe.png"));
        symlink("gone.png", folder.join("photos/broken.png")).unwrap();
        symlink("0.png", folder.join("photos/link.png")).unwrap();
        let (_, err) = succeeds(folder, "train -c tiny.toml --data photos --run r");
        assert_eq!(learnt_from(&folder.join("checkpoints/r")), 4);
        let told: Vec<_> = err
            .lines()
            .filter(|line| line.contains("pipe.png"))
            .collect();
        assert!(told.len() == 1 && told[0].contains("broken.png"), "{err}");
        fifo(&folder.join("pipe.toml"));
        fifo(&folder.join("pipe.npz"));
        for line in [
            "train --data photos/pipe.png",
            "train -c pipe.toml",
            "infer --checkpoint r --images photos/pipe.png",
            "infer --problem pipe.npz",
            "invert --image photos/pipe.png",
            "invert -c pipe.toml",
            "invert --filters pipe.npz",
            "visualize --checkpoint r --image photos/pipe.png",
            "denoise photos/pipe.png --out o.png",
            "import --file pipe.npz --run x",
        ] {
            refused(folder, line, 7, &["it is a pipe", "regular file"]);
        }
    }

    #[test]
    fn a_signal_ends_the_reading_of_many_images_at_once() {
        let photos = photos();
        let folder = photos.path();
        let large = folder.join("large.ppm");
        let bytes = [&b"P6 1500 1500 255\n"[..], &vec![77; 3 * 1500 * 1500]].concat();
        fs::write(&large, bytes).unwrap();
        for i in 0..300 {
            symlink(&large, folder.join(format!("photos/large{i}.ppm"))).unwrap();
        }
        for (signal, line) in [
            ("-TERM", "train -c tiny.toml --data photos --run r"),
            ("-INT", "compare -c tiny.toml --data photos"),
        ] {
            let mut child = deconvnet(folder)
                .args(line.split_whitespace())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(700));
            assert!(child.try_wait().unwrap().is_none(), "{line} was done");
            let asked = Instant::now();
            let pid = child.id().to_string();
            Command::new("kill").args([signal, &pid]).status().unwrap();
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(130), "{line}");
            assert!(asked.elapsed() < Duration::from_secs(3), "{line}");
        }
        assert!(!folder.join("checkpoints/r").exists());
    }

    /// What a kill leaves before the first checkpoint is no obstacle.
    #[test]
    fn a_run_without_a_checkpoint_can_be_started_anew() {
        let photos = photos();
        let folder = photos.path();
        let run = folder.join("checkpoints/r");
        fs::create_dir_all(run.join("blobs/maps")).unwrap();
        fs::create_dir_all(run.join("checkpoints")).unwrap();
        for name in ["lock", "trace.jsonl", "blobs/filters-00000001.bpk"] {
            fs::write(run.join(name), "x").unwrap();
        }
        succeeds(folder, "train -c tiny.toml --data photos --run r");
        succeeds(folder, "train --resume r");
        fs::remove_dir_all(&run).unwrap();
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("mine.txt"), "x").unwrap();
        refused(
            folder,
            "train -c tiny.toml --data photos --run r",
            2,
            &["is not empty"],
        );
    }
}

#[cfg(target_os = "linux")]
mod resources {
    use super::*;

    /// Exit code and standard error with so many KiB of addresses.
    fn within(folder: &Path, kibibytes: u64, line: &str) -> (i32, String) {
        let program = env!("CARGO_BIN_EXE_deconvnet");
        let line = format!("ulimit -v {kibibytes}; exec {program} {line}");
        let mut shell = std::process::Command::new("sh");
        let (code, _, err) = output(shell.args(["-c", &line]).current_dir(folder));
        (code, err)
    }

    /// A file of noise of so many pixels a side, written in no time.
    fn noise(path: &Path, side: usize) {
        let mut bytes = format!("P5 {side} {side} 255\n").into_bytes();
        bytes.extend((0..side * side).map(|i| (i * i % 251) as u8));
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn more_than_the_machine_has_stops_before_work_with_what_would_fit() {
        let photos = photos();
        let folder = photos.path();
        succeeds(folder, "train -c tiny.toml --data photos --run small");
        noise(&folder.join("large.pgm"), 1500);
        let addresses = 4 << 20;
        let train = "train --data large.pgm --run r";
        let (code, err) = within(folder, addresses, train);
        assert_eq!(code, 8, "{err}");
        assert!(err.contains("MiB of memory, of which"), "{err}");
        assert!(
            err.contains("--force") && !folder.join("checkpoints/r").exists(),
            "{err}"
        );
        // What is said to fit is not refused, nor is it with the flag; the settings are, later.
        let side = err.split("--max-side ").nth(1).unwrap();
        let side = side.split(',').next().unwrap();
        fs::create_dir_all(folder.join("checkpoints/r/mine")).unwrap();
        for more in [format!("--max-side {side}"), "--force".into()] {
            let (code, err) = within(folder, addresses, &format!("{train} {more}"));
            assert!(code == 2 && err.contains("is not empty"), "{code}: {err}");
        }
        fs::create_dir(folder.join("one")).unwrap();
        fs::copy(folder.join("large.pgm"), folder.join("one/large.pgm")).unwrap();
        let infer = "infer --checkpoint small --out large --images";
        let (code, err) = within(folder, 3 << 19, &format!("{infer} one"));
        assert!(
            code == 8 && err.contains("MiB of memory, of which"),
            "{code}: {err}"
        );
        assert!(!folder.join("large").exists());
        // A picture alone is coded in tiles; any objective will do here.
        let line = format!("{infer} large.pgm --steps 1 --target 1e30");
        let (code, err) = within(folder, 3 << 19, &line);
        assert!(
            code == 0 && err.contains("coding in tiles"),
            "{code}: {err}"
        );
    }

    #[test]
    fn memory_that_is_refused_is_told() {
        let photos = photos();
        let folder = photos.path();
        noise(&folder.join("large.pgm"), 1000);
        // Each tensor of maps takes four gigabytes.
        let config = TINY.replace("maps = 4", "maps = 1000");
        fs::write(
            folder.join("large.toml"),
            config.replace("descent", "fista"),
        )
        .unwrap();
        let line = "train -c large.toml --data large.pgm --run r --force";
        let (code, err) = within(folder, 3 << 20, line);
        assert_eq!(code, 8, "{err}");
        says!(err, "error: the system has no", "MiB of memory left");
    }
}
