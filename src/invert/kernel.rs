//! Filters to convolve with: built in, or as plain numbers from elsewhere.

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::noise;
use crate::data::gaussian;
use crate::error::{Error, Result};

/// More taps than this are refused: half a gigabyte.
const MOST: usize = 1 << 26;

/// The weights of red, green and blue in grey, Rec. 601.
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

/// The built-in filters.
///
/// # Examples
///
/// ```
/// use deconvnet::invert::Kernel;
///
/// let blur = Kernel::Gaussian { sigma: 1.0, size: Some(7) }.filters(3)?;
/// assert_eq!(blur.shape, [3, 3, 7, 7]);
/// let sum: f64 = blur.values.iter().sum();
/// assert!((sum - 3.0).abs() < 1e-14, "1 for each channel");
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kernel {
    /// One tap of 1: nothing happens.
    Identity,
    /// A Gaussian blur of every channel, the taps summing to 1.
    Gaussian {
        /// Standard deviation in pixels.
        sigma: f64,
        /// Height and width in pixels; absent: `2 ceil(3 sigma) + 1`.
        #[serde(default)]
        size: Option<usize>,
    },
    /// Colour to grey by Rec. 601 luma, `0.299 R + 0.587 G + 0.114 B`.
    Decolour,
    /// The 3 x 3 edge detector, 8 in the middle and -1 around, of every channel: flat areas become 0.
    Edge,
    /// Normal random filters from all channels to `maps` channels, each of expected norm 1.
    Random {
        /// Channels of the output.
        maps: usize,
        /// Height and width in pixels.
        size: usize,
        /// Of the random numbers.
        #[serde(default)]
        seed: u64,
    },
    /// A row of taps along the width, the same for every channel.
    Taps {
        /// From left to right.
        taps: Vec<f64>,
    },
    /// 1-2-1 in both directions, divided by 16, of every channel: with circular padding and an even
    /// side, what alternates from pixel to pixel is lost exactly.
    Singular,
}

/// Filters as plain numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters {
    /// `[out, in, h, w]`
    pub shape: [usize; 4],
    /// Row-major.
    pub values: Vec<f64>,
}

impl Filters {
    /// As a tensor.
    pub fn tensor(&self, device: &Device, dtype: DType) -> Tensor<4> {
        Tensor::from_data(
            TensorData::new(self.values.clone(), self.shape),
            (device, dtype),
        )
    }

    /// The same plane for every one of `channels` channels, none between different ones.
    pub fn each(channels: usize, [h, w]: [usize; 2], plane: &[f64]) -> Self {
        let mut values = vec![0.0; channels * channels * h * w];
        for c in 0..channels {
            let at = (c * channels + c) * h * w;
            values[at..at + h * w].copy_from_slice(plane);
        }
        Self {
            shape: [channels, channels, h, w],
            values,
        }
    }
}

impl Kernel {
    /// Taps along the longer side of a filter.
    fn side(&self) -> usize {
        match self {
            Self::Identity | Self::Decolour => 1,
            Self::Edge | Self::Singular => 3,
            // A cast keeps to the numbers there are.
            Self::Gaussian { sigma, size } => size.unwrap_or(
                ((3.0 * sigma).ceil() as usize)
                    .saturating_mul(2)
                    .saturating_add(1),
            ),
            Self::Random { size, .. } => *size,
            Self::Taps { taps } => taps.len(),
        }
    }

    /// The filters for an image of `channels` channels.
    ///
    /// # Errors
    /// [`Error::Config`] for sizes of 0 or past any memory, a blur without width, or decolouring of what
    /// has not three channels.
    pub fn filters(&self, channels: usize) -> Result<Filters> {
        let fail = |message: String| Err(Error::Config(message));
        let side = self.side();
        let planes = match self {
            Self::Random { maps, .. } => *maps,
            _ => channels,
        };
        let taps = [planes, channels, side, side];
        if taps.into_iter().fold(1, usize::saturating_mul) > MOST {
            return fail(format!(
                "{planes} x {channels} filters of {side} x {side} taps are more than {MOST} taps; make \
                 them smaller"
            ));
        }
        Ok(match self {
            Self::Identity => Filters::each(channels, [1, 1], &[1.0]),
            &Self::Gaussian { sigma, size } => {
                if !(sigma.is_finite() && sigma > 0.0) {
                    return fail(format!("the blur has sigma {sigma}; it must be above 0"));
                }
                if size == Some(0) {
                    return fail("the blur has size 0; it needs at least 1 tap".into());
                }
                let row = gaussian(side, sigma);
                let rows = row.iter().flat_map(|a| row.iter().map(move |b| a * b));
                Filters::each(channels, [side, side], &rows.collect::<Vec<_>>())
            }
            Self::Decolour if channels != 3 => {
                return fail(format!(
                    "decolouring takes an image of 3 channels, not of {channels}; give one in colour"
                ));
            }
            Self::Decolour => Filters {
                shape: [1, 3, 1, 1],
                values: LUMA.to_vec(),
            },
            Self::Edge => {
                let mut plane = [-1.0; 9];
                plane[4] = 8.0;
                Filters::each(channels, [3, 3], &plane)
            }
            &Self::Random { maps, size, seed } => {
                if maps * size == 0 {
                    return fail(format!(
                        "{maps} random filters of {size} x {size} taps are none; give at least 1 of 1"
                    ));
                }
                let count = channels * size * size;
                let scale = (count as f64).sqrt().recip();
                let values = noise(maps * count, seed);
                Filters {
                    shape: [maps, channels, size, size],
                    values: values.into_iter().map(|v| v * scale).collect(),
                }
            }
            Self::Taps { taps } if taps.is_empty() => {
                return fail("there are no taps; give at least one number".into());
            }
            Self::Taps { taps } => Filters::each(channels, [1, taps.len()], taps),
            Self::Singular => {
                let plane = [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0].map(|v| v / 16.0);
                Filters::each(channels, [3, 3], &plane)
            }
        })
    }
}
