//! Images as planes that noise of all channels spreads over evenly.

use crate::data::Image;

/// Rows of an orthonormal matrix: brightness, red against blue, green against both.
const OPPONENT: [[f64; 3]; 3] = [
    [0.577_350_269_189_625_7; 3],
    [
        std::f64::consts::FRAC_1_SQRT_2,
        0.0,
        -std::f64::consts::FRAC_1_SQRT_2,
    ],
    [
        0.408_248_290_463_863,
        -0.816_496_580_927_726,
        0.408_248_290_463_863,
    ],
];

/// The planes of an image, colours decorrelated: red, green and blue become brightness and two
/// opponents by an orthonormal matrix, which leaves white noise white and of the same deviation.
/// Other numbers of channels stay as they are.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    pub size: [usize; 2],
    pub values: Vec<Vec<f32>>,
}

impl Planes {
    pub fn new(image: &Image) -> Self {
        let size = [image.height, image.width];
        let channels: Vec<&[f32]> = (0..image.channels).map(|c| image.plane(c)).collect();
        let values = match channels[..] {
            [r, g, b] => OPPONENT.map(|row| mix(row, [r, g, b])).to_vec(),
            _ => channels.iter().map(|plane| plane.to_vec()).collect(),
        };
        Self { size, values }
    }

    pub fn image(&self) -> Image {
        let [height, width] = self.size;
        let channels = self.values.len();
        let values = match &self.values[..] {
            [a, b, c] => {
                let column = |k: usize| OPPONENT.map(|row| row[k]);
                let planes = [0, 1, 2].map(|k| mix(column(k), [a, b, c]));
                planes.concat()
            }
            planes => planes.concat(),
        };
        Image {
            channels,
            height,
            width,
            values,
        }
    }

    /// A patch of the first plane without its mean.
    pub fn patch(&self, [row, column]: [usize; 2], [h, w]: [usize; 2]) -> Vec<f32> {
        let width = self.size[1];
        let rows = (row..row + h).map(|i| &self.values[0][i * width + column..][..w]);
        let mut patch: Vec<f32> = rows.flatten().copied().collect();
        let mean = patch.iter().sum::<f32>() / patch.len() as f32;
        patch.iter_mut().for_each(|v| *v -= mean);
        patch
    }
}

fn mix(weights: [f64; 3], planes: [&[f32]; 3]) -> Vec<f32> {
    let [a, b, c] = planes;
    let pixels = a.iter().zip(b).zip(c);
    pixels
        .map(|((a, b), c)| {
            let pixel = [a, b, c].map(|v| f64::from(*v));
            weights.iter().zip(pixel).map(|(w, v)| w * v).sum::<f64>() as f32
        })
        .collect()
}

/// An image mirrored beyond its lower and right borders, as often as needed, until it has at least
/// `size` pixels.
pub(super) fn mirrored(image: &Image, size: [usize; 2]) -> Image {
    let [height, width] = [image.height.max(size[0]), image.width.max(size[1])];
    let mut out = Image::zeros(image.channels, height, width);
    let folded = |at: usize, side: usize| match at % (2 * side) {
        at if at < side => at,
        at => 2 * side - 1 - at,
    };
    for c in 0..image.channels {
        let from = image.plane(c);
        for (k, to) in out.plane_mut(c).iter_mut().enumerate() {
            let [i, j] = [
                folded(k / width, image.height),
                folded(k % width, image.width),
            ];
            *to = from[i * image.width + j];
        }
    }
    out
}
