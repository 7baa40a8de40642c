//! Files for Python and files by Python, where there is one to ask.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::tests::{bundle, message};
use super::{read, write};

/// Runs `script` in Python with these modules and the folder; false, said aloud, without them.
fn python(modules: &str, script: &str, folder: &Path) -> bool {
    let run = |script: &str| {
        Command::new("python3")
            .args(["-c", script])
            .arg(folder)
            .output()
    };
    if !run(&format!("import {modules}")).is_ok_and(|output| output.status.success()) {
        crate::skipped::skipped("python", format!("there is no python3 with {modules}"));
        return false;
    }
    let output = run(&format!(
        "import sys, {modules}\nfolder = sys.argv[1]\n{script}"
    ))
    .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

#[test]
fn numpy_reads_ours_and_we_read_numpy() {
    let folder = TempDir::new().unwrap();
    write(folder.path().join("ours.npz"), &bundle(), false).unwrap();
    let script = "
import numpy as np
z = np.load(folder + '/ours.npz')
assert sorted(z.files) == ['boundary', 'empty', 'lmbda', 'maps', 'none', 'odd'], z.files
assert z['maps'].dtype == np.float32 and z['maps'].shape == (2, 3, 4)
assert (z['maps'].ravel() == ((np.arange(24, dtype='f4') - np.float32(7.5)) / np.float32(3))).all()
assert np.isnan(z['odd'][0]) and z['none'].shape == (0, 5)
assert z['lmbda'] == 0.1 and str(z['boundary']) == 'välid 𝄞' and str(z['empty']) == ''
a = np.arange(24).reshape(2, 3, 4)
kinds = {k: a.astype(k) for k in ['f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8']}
np.savez_compressed(folder + '/theirs.npz', fortran=np.asfortranarray(a), b1=a % 2 == 0,
    big=a.astype('>f4'), f2=a.astype('f2'), big_half=a.astype('>f2'), big_whole=a.astype('>i8'),
    complex=a.astype('c8'), as_bytes=np.bytes_('valid'), names=np.array(['a', 'b']), lmbda=0.1, count=7, flag=True,
    boundary='valid', **kinds)
np.savez(folder + '/stored.npz', a)
";
    if !python("numpy", script, folder.path()) {
        return;
    }
    let path = folder.path().join("theirs.npz");
    let found = read(&path).unwrap();
    let ascending: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let kinds = ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"];
    for name in kinds
        .iter()
        .chain(&["fortran", "big", "f2", "big_half", "big_whole"])
    {
        let array = found.array(name, &path).unwrap();
        assert_eq!(
            (&array.shape[..], &array.values),
            (&[2, 3, 4][..], &ascending),
            "{name}"
        );
    }
    assert_eq!(
        found.array("b1", &path).unwrap().values[..3],
        [1.0, 0.0, 1.0]
    );
    assert_eq!(found.scalar("lmbda", &path).unwrap(), 0.1);
    assert_eq!(found.scalar("count", &path).unwrap(), 7.0);
    assert_eq!(found.scalar("flag", &path).unwrap(), 1.0);
    assert_eq!(found.text("boundary", &path).unwrap(), "valid");
    assert_eq!(found.text("as_bytes", &path).unwrap(), "valid");
    assert!(message(found.array("complex", &path)).contains("<c8: complex numbers"));
    assert!(message(found.array("names", &path)).contains("<U1"));
    let stored = read(folder.path().join("stored.npz")).unwrap();
    assert_eq!(stored.arrays["arr_0"].values, ascending);
}

#[test]
fn safetensors_reads_ours_and_we_read_safetensors() {
    let folder = TempDir::new().unwrap();
    write(folder.path().join("ours.safetensors"), &bundle(), false).unwrap();
    let script = "
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
t = load_file(folder + '/ours.safetensors')
assert t['maps'].dtype == np.float32 and t['maps'].shape == (2, 3, 4)
assert (t['maps'].ravel() == ((np.arange(24, dtype='f4') - np.float32(7.5)) / np.float32(3))).all()
assert t['lmbda'].shape == () and t['lmbda'] == 0.1
with safe_open(folder + '/ours.safetensors', 'np') as f:
    assert f.metadata() == {'boundary': 'välid 𝄞', 'empty': ''}, f.metadata()
a = np.arange(24).reshape(2, 3, 4)
save_file({'i8': a, 'f8': a.astype('f8'), 'f2': a.astype('f2'), 'gap': np.array(0.1)},
    folder + '/theirs.safetensors', metadata={'boundary': 'valid'})
";
    if !python("numpy, safetensors.numpy", script, folder.path()) {
        return;
    }
    let path = folder.path().join("theirs.safetensors");
    let found = read(&path).unwrap();
    let array = |name| found.array(name, &path).unwrap();
    assert_eq!(array("i8"), array("f8"));
    assert_eq!(found.array("f8", &path).unwrap().values[23], 23.0);
    assert_eq!(found.scalar("gap", &path).unwrap(), 0.1);
    assert_eq!(found.text("boundary", &path).unwrap(), "valid");
    assert_eq!(
        found.array("f2", &path).unwrap(),
        found.array("f8", &path).unwrap()
    );
}
