//! One entry of an `.npz`: an array in numpy's `.npy` format, which is a line of Python that
//! describes the array, and its bytes.
//!
//! Only what deconvnet can use is read: numbers of any shape, and single texts.

use std::io::{self, Write};

use super::Array;
use super::number::{Endian, Number, count, encode, encode_indices};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The header is padded so that the numbers begin at a multiple of this.
const ALIGNMENT: usize = 64;
/// Values that are converted to bytes at a time.
const BATCH: usize = 1 << 16;

/// What an entry turned out to be.
#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    Array(Array),
    /// Of unsigned bytes.
    Bytes(Array),
    Scalar(f64),
    Text(String),
    /// Sound, but not of use here; with the reason.
    Other(String),
}

/// Reads an entry; the error is the reason, without the name.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry, String> {
    let (header, data) = split(bytes).ok_or("is no .npy array, or is cut short")?;
    let header = Header::parse(header)
        .ok_or_else(|| format!("has a header that cannot be understood: {}", header.trim()))?;
    let kind = header.kind;
    let other = |reason: &str| Ok(Entry::Other(format!("is of type {kind}: {reason}")));
    let (endian, name) = match kind.strip_prefix('>') {
        Some(name) => (Endian::Big, name),
        None => (Endian::Little, kind.trim_start_matches(['<', '|', '='])),
    };
    if let Some(letters) = name.strip_prefix('U').or(name.strip_prefix('S')) {
        return match (letters.parse(), header.shape.is_empty()) {
            (Ok(letters), true) if name.starts_with('U') => {
                text(data, letters, endian).map(Entry::Text)
            }
            (Ok(letters), true) => match bytes_as_text(data, letters)? {
                Some(text) => Ok(Entry::Text(text)),
                None => other("its bytes are no text in UTF-8; save it as a text"),
            },
            _ => other("of texts, only single ones can be used"),
        };
    }
    let number = match number(kind, name) {
        Ok(number) => number,
        Err(reason) => return other(reason),
    };
    let length = count(&header.shape).and_then(|count| count.checked_mul(number.width()));
    if length != Some(data.len()) {
        return Err(format!(
            "is damaged: its shape {:?} does not go with its {} bytes",
            header.shape,
            data.len()
        ));
    }
    if header.shape.is_empty() {
        return Ok(Entry::Scalar(number.single(data, endian)));
    }
    let mut values = match number.array(data, endian) {
        Ok(values) => values,
        Err(reason) => return Ok(Entry::Other(reason)),
    };
    if header.fortran {
        values = to_row_major(&values, &header.shape);
    }
    let shape = header.shape;
    let array = Array { shape, values };
    Ok(match number {
        Number::U8 => Entry::Bytes(array),
        _ => Entry::Array(array),
    })
}

/// Writes `array`.
pub(super) fn write_array(out: &mut impl Write, array: &Array) -> io::Result<()> {
    out.write_all(&header("<f4", &array.shape)?)?;
    let mut batches = array.values.chunks(BATCH);
    batches.try_for_each(|batch| out.write_all(&encode(batch)))
}

/// Writes whole numbers along one axis.
pub(super) fn write_indices(out: &mut impl Write, values: &[u32]) -> io::Result<()> {
    out.write_all(&header("<u4", &[values.len()])?)?;
    let mut batches = values.chunks(BATCH);
    batches.try_for_each(|batch| out.write_all(&encode_indices(batch)))
}

/// Writes a single number.
pub(super) fn write_scalar(out: &mut impl Write, value: f64) -> io::Result<()> {
    out.write_all(&header("<f8", &[])?)?;
    out.write_all(&value.to_le_bytes())
}

/// Writes a text, four bytes a letter.
pub(super) fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    // numpy has no texts of no letters.
    let letters = text.chars().count().max(1);
    out.write_all(&header(&format!("<U{letters}"), &[])?)?;
    let padded = text.chars().map(u32::from).chain([0]).take(letters);
    padded
        .into_iter()
        .try_for_each(|letter| out.write_all(&letter.to_le_bytes()))
}

/// The description of an array.
struct Header<'a> {
    /// As numpy calls it, such as `<f4`.
    kind: &'a str,
    fortran: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// Reads a line such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(line: &'a str) -> Option<Self> {
        let value = |key| Some(line.split_once(key)?.1.trim_start());
        let kind = value("'descr':")?;
        let shape = value("'shape':")?.strip_prefix('(')?.split_once(')')?.0;
        let lengths = shape
            .split(',')
            .map(str::trim)
            .filter(|length| !length.is_empty());
        Some(Self {
            kind: match kind.strip_prefix('\'') {
                Some(kind) => kind.split_once('\'')?.0,
                None => "record",
            },
            fortran: value("'fortran_order':")?.starts_with("True"),
            shape: lengths
                // Python 2 wrote long integers as `3L`.
                .map(|length| length.trim_end_matches('L').parse().ok())
                .collect::<Option<_>>()?,
        })
    }
}

/// The header's line and the bytes of the array.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (version, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<2>()?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u32::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u32::from_le_bytes(*length), rest)
        }
        _ => return None,
    };
    let (line, data) = rest.split_at_checked(length.try_into().ok()?)?;
    Some((str::from_utf8(line).ok()?, data))
}

fn header(kind: &str, shape: &[usize]) -> io::Result<Vec<u8>> {
    let lengths: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let mut line = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({lengths}), }}");
    // The magic, two bytes of version, two of length, and the line's end.
    let unpadded = MAGIC.len() + 4 + line.len() + 1;
    line.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    line.push('\n');
    let length = u16::try_from(line.len()).map_err(|_| io::Error::other("too many axes"))?;
    Ok([MAGIC, &[1, 0], &length.to_le_bytes(), line.as_bytes()].concat())
}

/// The type of numbers that numpy calls `kind`, or `name` without the order of its bytes; the error is
/// why it cannot be used.
fn number(kind: &str, name: &str) -> Result<Number, &'static str> {
    Ok(match name {
        "b1" => Number::Bool,
        "u1" => Number::U8,
        "u2" => Number::U16,
        "u4" => Number::U32,
        "u8" => Number::U64,
        "i1" => Number::I8,
        "i2" => Number::I16,
        "i4" => Number::I32,
        "i8" => Number::I64,
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        // numpy knows no bfloat16; the package ml_dtypes, with which it does, writes it so.
        "V2" if kind == "<V2" => Number::Bf16,
        _ => {
            return Err(match name.chars().next() {
                Some('c') => "complex numbers cannot be used; save the real part, such as by .real",
                Some('f') => {
                    "float32 does not hold such numbers; save it as float32, by .astype('f4')"
                }
                Some('O') => "Python objects cannot be read; save it as float32, by .astype('f4')",
                Some('r' | 'V') => {
                    "bytes without a type of number cannot be used; save each field as float32, by \
                     .astype('f4')"
                }
                Some('M' | 'm') => "dates and times cannot be used; save them as numbers",
                _ => "only real numbers and single texts can be used; save it as float32",
            });
        }
    })
}

fn text(data: &[u8], letters: usize, endian: Endian) -> Result<String, String> {
    let (raw, rest) = data.as_chunks();
    if raw.len() != letters || !rest.is_empty() {
        return Err(format!(
            "is damaged: {letters} letters do not go with its {} bytes",
            data.len()
        ));
    }
    let codes = raw.iter().map(|raw| match endian {
        Endian::Little => u32::from_le_bytes(*raw),
        Endian::Big => u32::from_be_bytes(*raw),
    });
    let text: Option<String> = codes.map(char::from_u32).collect();
    let text = text.ok_or("is damaged: some of its letters are none")?;
    Ok(text.trim_end_matches('\0').to_owned())
}

/// A text that was saved as bytes, if they are one.
fn bytes_as_text(data: &[u8], length: usize) -> Result<Option<String>, String> {
    if data.len() != length {
        return Err(format!(
            "is damaged: {length} letters do not go with its {} bytes",
            data.len()
        ));
    }
    let text = str::from_utf8(data).ok();
    Ok(text.map(|text| text.trim_end_matches('\0').to_owned()))
}

/// Reorders values whose first index runs fastest, so that the last one does.
fn to_row_major(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |product, length| {
            Some(std::mem::replace(product, *product * length))
        })
        .collect();
    let mut index = vec![0; shape.len()];
    let mut place = 0;
    let next = |_| {
        let value = values[place];
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
        value
    };
    (0..values.len()).map(next).collect()
}
