//! One unit of a layer: given by its place, or the strongest of a channel or of all.

use std::fmt;
use std::str::FromStr;

use super::graph::{Convnet, Tape};
use super::rule::Walk;
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
    /// Its place in activations of one image, of `shape` without the axis of the images. The first of several
    /// that are equally strong.
    fn place(&self, shape: &[usize], activations: &[f32]) -> Result<Vec<usize>> {
        let none = || {
            Error::Config(format!(
                "there is no unit {self} in a layer of the shape {shape:?}, counted from 0"
            ))
        };
        let channel = match self {
            Self::Strongest => None,
            Self::Channel(channel) if shape.first().is_some_and(|n| channel < n) => Some(*channel),
            Self::Channel(_) => return Err(none()),
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
        let first_largest = |best: Option<(usize, f32)>, (at, &value): (usize, &f32)| match best {
            Some((_, largest)) if value <= largest || value.is_nan() => best,
            _ => Some((at, value)),
        };
        let behind: usize = shape.iter().skip(1).product();
        let is_among = |at: usize| channel.is_none_or(|channel| at / behind == channel);
        let values = activations.iter().enumerate();
        let best = values
            .filter(|&(at, _)| is_among(at))
            .fold(None, first_largest);
        best.map(|(at, _)| unravel(at, shape)).ok_or_else(none)
    }
}

impl Convnet {
    /// The place of a unit of a value in activations of one image, along the axes of the value without that
    /// of the images.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such unit.
    pub fn place(&self, value: usize, unit: &Unit, activations: &[f32]) -> Result<Vec<usize>> {
        unit.place(&self.shape(value)[1..], activations)
    }

    /// Units of a value taken back to the pixels, each from an amount at its place in the image of the same
    /// number in `rows`.
    ///
    /// # Errors
    /// [`Error::Backend`] where the device cannot hand the pixels over.
    pub fn project_units(
        &self,
        tape: &Tape,
        value: usize,
        starts: &[(Vec<usize>, f32)],
        rows: &[usize],
        walk: &Walk,
    ) -> Result<Vec<Vec<f32>>> {
        let signal = signals(starts, &self.shape(value)[1..], tape.map(value));
        let pixels = self.project(tape, value, signal, rows, walk).read()?;
        let each = pixels.len() / starts.len().max(1);
        Ok(pixels
            .chunks_exact(each.max(1))
            .map(<[f32]>::to_vec)
            .collect())
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
