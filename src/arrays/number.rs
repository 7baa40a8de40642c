//! The types of numbers that files hold, and their bytes.

use burn::tensor::{bf16, f16};

/// A type of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    /// The upper half of a float32.
    Bf16,
    F32,
    F64,
}

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

impl Number {
    /// Bytes of one number.
    pub fn width(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The numbers in `bytes`, each passed through `to` by way of float64, which holds all of these
    /// types but the largest 64-bit integers exactly.
    fn decode<T>(self, bytes: &[u8], endian: Endian, to: impl Fn(f64) -> T) -> Vec<T> {
        match self {
            Self::Bool => each(bytes, endian, |[byte]| to(f64::from(u8::from(byte != 0)))),
            Self::U8 => each(bytes, endian, |[byte]| to(f64::from(byte))),
            Self::U16 => each(bytes, endian, |raw| to(f64::from(u16::from_le_bytes(raw)))),
            Self::U32 => each(bytes, endian, |raw| to(f64::from(u32::from_le_bytes(raw)))),
            Self::U64 => each(bytes, endian, |raw| to(u64::from_le_bytes(raw) as f64)),
            Self::I8 => each(bytes, endian, |raw| to(f64::from(i8::from_le_bytes(raw)))),
            Self::I16 => each(bytes, endian, |raw| to(f64::from(i16::from_le_bytes(raw)))),
            Self::I32 => each(bytes, endian, |raw| to(f64::from(i32::from_le_bytes(raw)))),
            Self::I64 => each(bytes, endian, |raw| to(i64::from_le_bytes(raw) as f64)),
            Self::F16 => each(bytes, endian, |raw| to(f16::from_le_bytes(raw).to_f64())),
            Self::Bf16 => each(bytes, endian, |raw| to(bf16::from_le_bytes(raw).to_f64())),
            Self::F32 => each(bytes, endian, |raw| to(f64::from(f32::from_le_bytes(raw)))),
            Self::F64 => each(bytes, endian, |raw| to(f64::from_le_bytes(raw))),
        }
    }

    /// The numbers in `bytes`, rounded to float32; the error names one that is past its range.
    pub fn array(self, bytes: &[u8], endian: Endian) -> Result<Vec<f32>, String> {
        let values = self.decode(bytes, endian, |value| value as f32);
        if self != Self::F64 || values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        let exact = self.decode(bytes, endian, |value| value);
        let past = |v: &&f64| v.is_finite() && (**v as f32).is_infinite();
        match exact.iter().find(past) {
            Some(value) => Err(format!(
                "holds {value:e}, past the range of float32; scale it to ordinary sizes"
            )),
            None => Ok(values),
        }
    }

    /// The one number in `bytes`.
    pub fn single(self, bytes: &[u8], endian: Endian) -> f64 {
        let values = self.decode(bytes, endian, |value| value);
        values.first().copied().unwrap_or(f64::NAN)
    }
}

/// Each number of so many bytes, brought into little-endian order and passed through `to`.
fn each<const WIDTH: usize, T>(
    bytes: &[u8],
    endian: Endian,
    to: impl Fn([u8; WIDTH]) -> T,
) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks();
    let numbers = chunks.iter().map(|raw: &[u8; WIDTH]| {
        let mut raw = *raw;
        if endian == Endian::Big {
            raw.reverse();
        }
        to(raw)
    });
    numbers.collect()
}

/// The bytes of `values` as little-endian float32.
pub(super) fn encode(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The bytes of `values` as little-endian integers of 32 bits.
pub(super) fn encode_indices(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The number of elements of an array of this shape, if it can be counted.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1_usize, |count, length| count.checked_mul(*length))
}
