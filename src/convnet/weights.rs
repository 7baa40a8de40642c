//! The numbers of a file: tensors of any supported type, in it or in a file beside it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use burn::tensor::{bf16, f16};

use super::proto::{TensorProto, data_type};
use super::value::Integers;
use crate::arrays::Array;

/// What a tensor of a file holds.
pub enum Known {
    /// Numbers.
    Floats(Array),
    /// Whole numbers, or truth values as 0 and 1.
    Integers(Integers),
}

/// Reads a tensor; one that lies in a file of its own, from `folder`.
///
/// # Errors
/// What is wrong with it: another type, a shape that its numbers do not fill, a file that is missing.
pub fn decode(tensor: &TensorProto, folder: Option<&Path>) -> Result<Known, String> {
    let lengths = tensor.dims.iter().map(|&n| usize::try_from(n).ok());
    let shape: Option<Vec<usize>> = lengths.collect();
    let count = shape.as_ref().and_then(|shape| {
        shape
            .iter()
            .try_fold(1_usize, |count, &n| count.checked_mul(n))
    });
    let (Some(shape), Some(count)) = (shape, count) else {
        return Err(format!("{:?} is no shape", tensor.dims));
    };
    let raw = match (&tensor.raw_data, tensor.data_location) {
        (_, 1) => Some(external(tensor, folder)?),
        (Some(raw), _) if !raw.is_empty() => Some(raw.clone()),
        _ => None,
    };
    let raw = raw.as_deref();
    let (mut floats, mut integers) = (None, None);
    match tensor.data_type {
        data_type::FLOAT => {
            floats =
                Some(numbers(raw, f32::from_le_bytes).unwrap_or_else(|| tensor.float_data.clone()));
        }
        data_type::DOUBLE => {
            let values =
                numbers(raw, f64::from_le_bytes).unwrap_or_else(|| tensor.double_data.clone());
            floats = Some(values.into_iter().map(|v| v as f32).collect());
        }
        data_type::FLOAT16 | data_type::BFLOAT16 => {
            let bits = |&bits: &i32| bits as u16;
            let halves = numbers(raw, u16::from_le_bytes)
                .unwrap_or_else(|| tensor.int32_data.iter().map(bits).collect());
            let single = |bits: u16| match tensor.data_type {
                data_type::FLOAT16 => f16::from_bits(bits).to_f32(),
                _ => bf16::from_bits(bits).to_f32(),
            };
            floats = Some(halves.into_iter().map(single).collect());
        }
        data_type::INT64 => {
            integers =
                Some(numbers(raw, i64::from_le_bytes).unwrap_or_else(|| tensor.int64_data.clone()));
        }
        data_type::INT32 => {
            let values =
                numbers(raw, i32::from_le_bytes).unwrap_or_else(|| tensor.int32_data.clone());
            integers = Some(values.into_iter().map(i64::from).collect::<Vec<_>>());
        }
        data_type::UINT8 | data_type::INT8 | data_type::BOOL => {
            let signed = tensor.data_type == data_type::INT8;
            let wide = |[byte]: [u8; 1]| {
                if signed {
                    i64::from(byte as i8)
                } else {
                    i64::from(byte)
                }
            };
            let given = || tensor.int32_data.iter().map(|&v| i64::from(v)).collect();
            integers = Some(numbers(raw, wide).unwrap_or_else(given));
        }
        other => {
            return Err(format!(
                "numbers of the ONNX type {other} are not supported"
            ));
        }
    }
    let filled = floats
        .as_ref()
        .map_or_else(|| integers.as_ref().map_or(0, Vec::len), Vec::len);
    if filled != count {
        return Err(format!("{filled} numbers do not fill the shape {shape:?}"));
    }
    Ok(match (floats, integers) {
        (Some(values), _) => Known::Floats(Array { shape, values }),
        (None, values) => Known::Integers(Integers {
            shape,
            values: values.unwrap_or_default(),
        }),
    })
}

/// Little-endian numbers of `N` bytes.
fn numbers<const N: usize, T>(raw: Option<&[u8]>, number: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (chunks, _) = raw?.as_chunks::<N>();
    Some(chunks.iter().map(|&bytes| number(bytes)).collect())
}

/// The bytes of a tensor that lies in a file of its own.
fn external(tensor: &TensorProto, folder: Option<&Path>) -> Result<Vec<u8>, String> {
    let entry = |key: &str| {
        let mut entries = tensor.external_data.iter();
        entries
            .find(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match entry(key) {
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| format!("its {key} is no number")),
        None => Ok(None),
    };
    let location = entry("location").ok_or("the name of its file is missing")?;
    let inside = Path::new(location)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let (Some(folder), true) = (folder, inside) else {
        return Err(format!(
            "its file `{location}` does not lie beside the model"
        ));
    };
    let path = folder.join(location);
    let told = |error: std::io::Error| {
        format!(
            "its numbers cannot be read from {}: {error}; keep that file beside the model",
            path.display()
        )
    };
    let mut file = File::open(&path).map_err(told)?;
    let all = file.metadata().map_err(told)?.len();
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(all.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > all) {
        return Err(format!(
            "{} is cut short: write the model again",
            path.display()
        ));
    }
    file.seek(SeekFrom::Start(offset)).map_err(told)?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(told)?;
    Ok(bytes)
}
