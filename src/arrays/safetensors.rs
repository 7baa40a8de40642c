//! `.safetensors`: a header of JSON, and the bytes of the tensors.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{SafeTensors, View};
use safetensors::{Dtype, serialize};

use super::number::{Endian, Number, encode, encode_indices};
use super::{Array, Bundle};
use crate::files;
use crate::{Error, Result};

pub(super) fn read(path: &Path) -> Result<Bundle> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let damaged = |error| {
        let path = path.display();
        Error::Input(format!(
            "{path}: not a .safetensors file, or cut short ({error}); write it again"
        ))
    };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let mut bundle = Bundle {
        texts: metadata
            .metadata()
            .iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        ..Bundle::default()
    };
    for (name, tensor) in tensors.tensors() {
        let Some(number) = number(tensor.dtype()) else {
            let reason = format!(
                "is of type {}, which cannot be read; save it as float32",
                tensor.dtype()
            );
            bundle.others.insert(name, reason);
            continue;
        };
        let (shape, data) = (tensor.shape().to_vec(), tensor.data());
        if shape.is_empty() {
            bundle
                .scalars
                .insert(name, number.single(data, Endian::Little));
        } else {
            match number.array(data, Endian::Little) {
                Ok(values) => {
                    if number == Number::U8 {
                        bundle.bytes.insert(name.clone());
                    }
                    bundle.arrays.insert(name, Array { shape, values });
                }
                Err(reason) => drop(bundle.others.insert(name, reason)),
            }
        }
    }
    Ok(bundle)
}

pub(super) fn write(path: &Path, bundle: &Bundle) -> Result<()> {
    let arrays = bundle
        .arrays
        .iter()
        .map(|(name, array)| (name, Tensor::Array(array)));
    let indices = bundle
        .indices
        .iter()
        .map(|(name, values)| (name, Tensor::Indices([values.len()], values)));
    let scalars = bundle
        .scalars
        .iter()
        .map(|(name, value)| (name, Tensor::Scalar(*value)));
    let texts: HashMap<_, _> = bundle.texts.clone().into_iter().collect();
    let all = arrays.chain(indices).chain(scalars);
    let bytes = serialize(all, (!texts.is_empty()).then_some(texts))
        .map_err(|error| Error::Input(format!("cannot write {}: {error}", path.display())))?;
    files::replace(path, false, |file| file.write_all(&bytes))
}

/// An entry as the format wants to see it.
enum Tensor<'a> {
    Array(&'a Array),
    Indices([usize; 1], &'a [u32]),
    Scalar(f64),
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::Array(_) => Dtype::F32,
            Self::Indices(..) => Dtype::U32,
            Self::Scalar(_) => Dtype::F64,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Array(array) => &array.shape,
            Self::Indices(shape, _) => shape,
            Self::Scalar(_) => &[],
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Array(array) => encode(&array.values).into(),
            Self::Indices(_, values) => encode_indices(values).into(),
            Self::Scalar(value) => value.to_le_bytes().to_vec().into(),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Array(array) => array.values.len() * size_of::<f32>(),
            Self::Indices(_, values) => size_of_val(*values),
            Self::Scalar(_) => size_of::<f64>(),
        }
    }
}

fn number(kind: Dtype) -> Option<Number> {
    Some(match kind {
        Dtype::BOOL => Number::Bool,
        Dtype::U8 => Number::U8,
        Dtype::U16 => Number::U16,
        Dtype::U32 => Number::U32,
        Dtype::U64 => Number::U64,
        Dtype::I8 => Number::I8,
        Dtype::I16 => Number::I16,
        Dtype::I32 => Number::I32,
        Dtype::I64 => Number::I64,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        _ => return None,
    })
}
