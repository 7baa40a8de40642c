//! One unit of a layer: given by its place, or the strongest of a channel or of all.

use std::fmt;
use std::str::FromStr;

use super::value::Map;
use crate::error::{Error, Result};

/// Which unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// The strongest of the layer.
    #[default]
    Strongest,
    /// The strongest of a channel, or the one unit of a class.
    Channel(usize),
    /// Channel, row, column.
    At(Vec<usize>),
}

impl FromStr for Unit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "strongest" {
            return Ok(Self::Strongest);
        }
        let numbers: Result<Vec<usize>, _> =
            text.split(',').map(|part| part.trim().parse()).collect();
        match numbers.as_deref() {
            Ok(&[channel]) => Ok(Self::Channel(channel)),
            Ok(places) => Ok(Self::At(places.to_vec())),
            Err(_) => Err(Error::Config(format!(
                "`{text}` is no unit: give channel,row,column, a channel, or strongest"
            ))),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strongest => f.write_str("strongest"),
            Self::Channel(channel) => write!(f, "{channel}"),
            Self::At(places) => {
                let places: Vec<String> = places.iter().map(usize::to_string).collect();
                f.write_str(&places.join(","))
            }
        }
    }
}

impl Unit {
    /// Its place in activations of one image, of `shape` without the axis of the images. The first of
    /// several that are equally strong.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such unit.
    pub fn place(&self, shape: &[usize], activations: &[f32]) -> Result<Vec<usize>> {
        let none = || {
            Error::Config(format!(
                "there is no unit {self} in a layer of the shape {shape:?}, counted from 0"
            ))
        };
        let range = match self {
            Self::Strongest => 0..activations.len(),
            Self::Channel(channel) => {
                let channels = *shape.first().ok_or_else(none)?;
                if *channel >= channels {
                    return Err(none());
                }
                let each = activations.len() / channels;
                channel * each..(channel + 1) * each
            }
            Self::At(places) => {
                let fits =
                    places.len() == shape.len() && places.iter().zip(shape).all(|(at, n)| at < n);
                return if fits {
                    Ok(places.clone())
                } else {
                    Err(none())
                };
            }
        };
        let start = range.start;
        let first_largest = |best: (usize, f32), (k, &value): (usize, &f32)| {
            if value > best.1 { (k, value) } else { best }
        };
        let values = activations[range].iter().enumerate();
        let (at, _) = values.fold((0, f32::NEG_INFINITY), first_largest);
        Ok(unravel(start + at, shape))
    }
}

/// The place of a number in row-major order.
pub fn unravel(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut places = vec![0; shape.len()];
    for (place, &length) in places.iter_mut().zip(shape).rev() {
        *place = at % length;
        at /= length;
    }
    places
}

/// The number of a place in row-major order.
pub fn ravel(places: &[usize], shape: &[usize]) -> usize {
    places
        .iter()
        .zip(shape)
        .fold(0, |sum, (&at, &length)| sum * length + at)
}

/// Signals: for each an amount at a place of a layer of `shape` without the axis of the images, 0 elsewhere.
pub fn signals(starts: &[(Vec<usize>, f32)], shape: &[usize], like: &Map) -> Map {
    let each: usize = shape.iter().product();
    let mut values = vec![0.0; starts.len() * each];
    for (k, (place, amount)) in starts.iter().enumerate() {
        values[k * each + ravel(place, shape)] = *amount;
    }
    let shape = [&[starts.len()], shape].concat();
    Map::from_values(values, &shape, &like.device(), like.dtype())
}
