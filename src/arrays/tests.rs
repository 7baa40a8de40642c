//! Round trips, and files that are not what they should be.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::npy::{self, Entry};
use super::{Array, Bundle, read, write};
use crate::{Error, Result};

pub(super) fn bundle() -> Bundle {
    let mut bundle = Bundle::default();
    let values = (0..24).map(|i| (i as f32 - 7.5) / 3.0).collect();
    bundle.put("maps", &[2, 3, 4], values).unwrap();
    let odd = vec![f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 3.0];
    bundle.put("odd", &[4], odd).unwrap();
    bundle.put("none", &[0, 5], vec![]).unwrap();
    bundle.scalars.insert("lmbda".to_owned(), 0.1);
    let texts = &mut bundle.texts;
    texts.insert("boundary".to_owned(), "välid 𝄞".to_owned());
    bundle.texts.insert("empty".to_owned(), String::new());
    bundle
}

#[test]
fn indices_come_back_as_arrays() {
    let folder = TempDir::new().unwrap();
    for ending in ["npz", "safetensors"] {
        let path = folder.path().join(format!("places.{ending}"));
        let mut bundle = Bundle::default();
        bundle.indices.insert("places".into(), vec![0, 7, 1 << 24]);
        write(&path, &bundle, false).unwrap();
        let read = read(&path).unwrap();
        let wanted = Array::new(vec![3], vec![0.0, 7.0, (1 << 24) as f32]).unwrap();
        assert_eq!(read.arrays["places"], wanted, "{ending}");
    }
}

/// Equal to the bit, which `==` is not for NaN.
fn assert_same(found: &Bundle, sent: &Bundle) {
    let bits = |bundle: &Bundle| -> Vec<(String, Vec<usize>, Vec<u32>)> {
        let arrays = bundle.arrays.iter();
        arrays
            .map(|(name, array)| {
                let bits = array.values.iter().map(|value| value.to_bits()).collect();
                (name.clone(), array.shape.clone(), bits)
            })
            .collect()
    };
    assert_eq!(bits(found), bits(sent));
    assert_eq!((&found.scalars, &found.texts), (&sent.scalars, &sent.texts));
    assert!(found.others.is_empty());
}

pub(super) fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result.unwrap_err() {
        Error::Input(text) | Error::Config(text) => text,
        error @ Error::Exists(_) => error.to_string(),
        other => panic!("not the kind of error expected: {other:?}"),
    }
}

#[test]
fn comes_back_as_it_went() {
    let folder = TempDir::new().unwrap();
    for name in ["all.npz", "all.safetensors"] {
        let path = folder.path().join(name);
        write(&path, &bundle(), false).unwrap();
        assert_same(&read(&path).unwrap(), &bundle());

        let text = message(write(&path, &Bundle::default(), false));
        says!(text, name, "is not replaced");
        assert_same(&read(&path).unwrap(), &bundle());
        write(&path, &Bundle::default(), true).unwrap();
        assert_same(&read(&path).unwrap(), &Bundle::default());
    }
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "something is left over");
}

#[test]
fn a_single_array_answers_to_any_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("psf.NPY");
    let line = b"{'descr': '>f2', 'fortran_order': False, 'shape': (2L,), }\n";
    let length = [line.len() as u8, 0];
    let bytes = [b"\x93NUMPY\x01\x00", &length[..], line, &[0x3c, 0, 0xc1, 0]].concat();
    fs::write(&path, bytes).unwrap();
    let found = read(&path).unwrap();
    for name in ["psf", "y"] {
        assert_eq!(found.array(name, &path).unwrap().values, [1.0, -2.5]);
    }
    fs::write(&path, "no array").unwrap();
    assert!(message(read(&path)).contains("is no .npy array"));
}

#[test]
fn half_precision_tensors_are_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("half.SAFETENSORS");
    let tensor = |kind, bytes: &'static [u8]| {
        safetensors::tensor::TensorView::new(kind, vec![bytes.len() / 2], bytes).unwrap()
    };
    let all = [
        ("f16", tensor(safetensors::Dtype::F16, &[0, 0x3c, 0, 0xc1])),
        (
            "bf16",
            tensor(safetensors::Dtype::BF16, &[0x80, 0x3f, 0x20, 0xc0]),
        ),
    ];
    fs::write(&path, safetensors::serialize(all, None).unwrap()).unwrap();
    let found = read(&path).unwrap();
    for name in ["f16", "bf16"] {
        assert_eq!(found.arrays[name].values, [1.0, -2.5], "{name}");
    }
}

#[test]
fn damaged_files_are_told() {
    let folder = TempDir::new().unwrap();
    for name in ["all.npz", "all.safetensors"] {
        let path = folder.path().join(name);
        write(&path, &bundle(), false).unwrap();
        let whole = fs::read(&path).unwrap();
        // Cut short anywhere, it is an error and never a panic.
        for length in (0..whole.len()).step_by(3) {
            fs::write(&path, &whole[..length]).unwrap();
            let text = message(read(&path));
            says!(text, name, "write it again");
        }
    }
    let path = folder.path().join("flipped.npz");
    write(&path, &bundle(), false).unwrap();
    let whole = fs::read(&path).unwrap();
    for place in (0..whole.len()).step_by(3) {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x10;
        fs::write(&path, flipped).unwrap();
        // Names and times carry no checksum; numbers do.
        if let Ok(found) = read(&path)
            && let Some(maps) = found.arrays.get("maps")
        {
            assert_eq!(maps, &bundle().arrays["maps"], "byte {place}");
        }
    }
}

#[test]
fn what_is_asked_for_and_not_there_is_told() {
    let path = Path::new("codes.npz");
    let mut bundle = bundle();
    bundle
        .others
        .insert("names".to_owned(), "is of type <U5: too bad".to_owned());
    assert_eq!(bundle.array("maps", path).unwrap().shape, [2, 3, 4]);
    assert_eq!(bundle.scalar("lmbda", path).unwrap(), 0.1);
    assert_eq!(bundle.text("boundary", path).unwrap(), "välid 𝄞");
    let text = message(bundle.array("s", path));
    assert!(text.starts_with("codes.npz holds no array `s`; it holds array `maps` [2, 3, 4], "));
    assert!(text.contains("number `lmbda`"), "{text}");
    let text = message(bundle.array("names", path));
    assert_eq!(text, "codes.npz: `names` is of type <U5: too bad");
    assert!(message(Bundle::default().text("t", path)).ends_with("holds nothing"));
}

#[test]
fn what_cannot_be_written_is_told() {
    assert!(message(Array::new(vec![2, 3], vec![0.0; 5])).contains("[2, 3] cannot have 5 values"));
    assert!(message(Array::new(vec![usize::MAX, 2], vec![])).contains("cannot have 0"));
    assert!(message(write("codes.npy", &bundle(), true)).contains(".npz or .safetensors"));
    assert!(message(read("codes")).contains(".npz, .npy or .safetensors"));
    let mut bundle = bundle();
    bundle.scalars.insert("maps".to_owned(), 1.0);
    assert!(message(write("x.npz", &bundle, true)).contains("both"));
    assert!(matches!(read("no/such.npz"), Err(Error::Io { .. })));
    assert!(matches!(
        write("no/such.npz", &Bundle::default(), true),
        Err(Error::Io { .. })
    ));
}

/// An entry as numpy would write it.
fn entry(kind: &str, fortran: &str, shape: &str, data: &[u8]) -> Result<Entry, String> {
    let line = format!("{{'descr': {kind}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let length = u16::try_from(line.len()).unwrap().to_le_bytes();
    npy::decode(&[b"\x93NUMPY\x01\x00", &length[..], line.as_bytes(), data].concat())
}

#[test]
fn entries_are_converted_or_told() {
    let array = |shape: &[usize], values: &[f32]| {
        Ok(Entry::Array(
            Array::new(shape.to_vec(), values.to_vec()).unwrap(),
        ))
    };
    let found = entry("'|b1'", "False", "(2,)", &[0, 1]);
    assert_eq!(found, array(&[2], &[0.0, 1.0]));
    let found = entry("'<i2'", "False", "(1,)", &[0xfe, 0xff]);
    assert_eq!(found, array(&[1], &[-2.0]));
    let bytes = Array::new(vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let found = entry("'|u1'", "True", "(2, 3)", &[1, 4, 2, 5, 3, 6]);
    assert_eq!(found, Ok(Entry::Bytes(bytes)));
    let found = entry("'<f8'", "False", "()", &0.1_f64.to_le_bytes());
    assert_eq!(found, Ok(Entry::Scalar(0.1)));

    // Half precision in both its forms, big-endian numbers, and shapes as Python 2 wrote them.
    let half = [1.0, -2.5, 65504.0, 5.960_464_5e-8];
    let bits = [0x3c00_u16, 0xc100, 0x7bff, 0x0001];
    for (kind, bytes) in [
        ("'<f2'", bits.map(u16::to_le_bytes).concat()),
        ("'>f2'", bits.map(u16::to_be_bytes).concat()),
        ("'>f4'", half.map(f32::to_be_bytes).concat()),
        ("'>f8'", half.map(|v| f64::from(v).to_be_bytes()).concat()),
    ] {
        let found = entry(kind, "False", "(2L, 2L)", &bytes);
        assert_eq!(found, array(&[2, 2], &half), "{kind}");
    }
    let found = entry("'<V2'", "False", "(2L,)", &[0x80, 0x3f, 0x20, 0xc0]);
    assert_eq!(found, array(&[2], &[1.0, -2.5]), "bfloat16");
    let found = entry("'>i4'", "False", "(1,)", &(-70_000_i32).to_be_bytes());
    assert_eq!(found, array(&[1], &[-70_000.0]));
    let found = entry("'>f8'", "False", "()", &0.1_f64.to_be_bytes());
    assert_eq!(found, Ok(Entry::Scalar(0.1)));
    let letters = "né".chars().flat_map(|c| u32::from(c).to_be_bytes());
    let letters: Vec<u8> = letters.collect();
    let text = |text: &str| Ok(Entry::Text(text.to_owned()));
    assert_eq!(entry("'>U2'", "False", "()", &letters), text("né"));
    assert_eq!(entry("'|S7'", "False", "()", b"valid\0\0"), text("valid"));

    let other = |kind, shape, data: &[u8]| match entry(kind, "False", shape, data) {
        Ok(Entry::Other(reason)) => reason,
        found => panic!("{found:?}"),
    };
    assert!(other("[('a', '<f4')]", "(1,)", &[0; 4]).contains("record: bytes without a type"));
    assert!(other("'|V2'", "(1,)", &[0; 2]).contains("|V2: bytes without a type"));
    assert!(other("'|O'", "()", &[0; 9]).contains("|O: Python objects"));
    assert!(other("'<c8'", "(1,)", &[0; 8]).contains("<c8: complex numbers"));
    assert!(other("'>f16'", "(1,)", &[0; 16]).contains(">f16: float32 does not hold"));
    assert!(other("'<M8[ns]'", "(1,)", &[0; 8]).contains("<M8[ns]: dates"));
    assert!(other("'|S1'", "()", &[0xff]).contains("|S1: its bytes are no text"));
    for kind in ["'<U1'", "'|S1'"] {
        assert!(other(kind, "(1,)", &[0; 4]).contains("of texts, only single ones"));
    }
    let huge = [0.0, f64::INFINITY, -1e300].map(f64::to_le_bytes).concat();
    let reason = other("'<f8'", "(3,)", &huge);
    assert!(reason.contains("holds -1e300, past the range"), "{reason}");

    for (kind, shape, reason) in [
        ("'<f4'", "(3,)", "[3] does not go with its 4 bytes"),
        (
            "'<f4'",
            "(4294967296, 4294967296, 4294967296)",
            "does not go with",
        ),
        ("'<f4'", "(-1,)", "cannot be understood"),
        ("'<f4'", "3", "cannot be understood"),
        ("'<U2'", "()", "2 letters do not go with its 4 bytes"),
        ("'<U99999999999999999999'", "()", "single"),
    ] {
        match entry(kind, "False", shape, &[0; 4]) {
            Err(text) | Ok(Entry::Other(text)) => assert!(text.contains(reason), "{text}"),
            found => panic!("{found:?}"),
        }
    }
    let reason = entry("'<U1'", "False", "()", &[0xff; 4]).unwrap_err();
    says!(reason, "letters are none");
}
