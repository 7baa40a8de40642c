//! The feature maps of one image by the elements that are not zero.

use burn::tensor::{Device, Tensor, TensorData};

use crate::backend;
use crate::error::{Error, Result};

/// Sparse maps `z` of one image: the places and values of the elements that are not zero, in row-major
/// order. At the densities of sparse codes, 0.1 to 10 %, they take a fifth to a five-hundredth of the
/// memory of dense maps.
///
/// # Shapes
/// dense `[1, K, H + h - 1, W + w - 1]`
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::model::SparseMaps;
///
/// let device = Device::flex();
/// let dense = Tensor::<4>::from_data([[[[0.0, 2.5], [0.0, 0.0]]]], &device);
/// let sparse = SparseMaps::from_dense(&dense)?;
/// assert_eq!((sparse.places(), sparse.values()), (&[1][..], &[2.5][..]));
/// assert_eq!(SparseMaps::from_bytes(&sparse.to_bytes())?, sparse);
/// assert_eq!(sparse.to_dense(&device).to_data(), dense.to_data());
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseMaps {
    shape: [usize; 3],
    places: Vec<u32>,
    values: Vec<f32>,
}

/// What the bytes of sparse maps begin with; the last one counts versions.
const MAGIC: [u8; 8] = *b"dcnmaps\x01";

impl SparseMaps {
    /// The elements of dense maps `[1, K, ..]` that are not zero.
    ///
    /// # Errors
    /// [`Error::Backend`] where the device cannot hand them over; [`Error::Input`] for a batch of other
    /// than one image, or for more elements than 32 bits count.
    pub fn from_dense(maps: &Tensor<4>) -> Result<Self> {
        let [n, k, height, width] = maps.dims();
        let elements = k * height * width;
        if n != 1 || u32::try_from(elements).is_err() {
            return Err(Error::Input(format!(
                "maps {:?} cannot be held as sparse maps: those are of one image, of at most {} elements",
                maps.dims(),
                u32::MAX
            )));
        }
        let used = (0..)
            .zip(backend::read(maps)?)
            .filter(|(_, value)| *value != 0.0);
        let (places, values) = used.unzip();
        Ok(Self {
            shape: [k, height, width],
            places,
            values,
        })
    }

    /// As a batch of one, `[1, K, ..]`.
    pub fn to_dense(&self, device: &Device) -> Tensor<4> {
        let [k, height, width] = self.shape;
        Tensor::from_data(
            TensorData::new(self.to_vec(), [1, k, height, width]),
            device,
        )
    }

    /// All elements, row-major.
    pub fn to_vec(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.shape.iter().product()];
        for (&place, &value) in self.places.iter().zip(&self.values) {
            dense[place as usize] = value;
        }
        dense
    }

    /// Maps, height and width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Where the elements lie in the row-major order of the dense maps, ascending.
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    /// Their values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The share of elements that are not zero.
    pub fn density(&self) -> f64 {
        self.places.len() as f64 / self.shape.iter().product::<usize>().max(1) as f64
    }

    /// Whether these bytes hold sparse maps.
    pub fn are_in(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC[..7])
    }

    /// As bytes, little-endian: 8 that tell the format, three of 32 bits for the shape and one for the
    /// number of elements, the places, the values.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [k, height, width] = self.shape;
        let head = [k, height, width, self.places.len()];
        let mut bytes = MAGIC.to_vec();
        bytes.extend(
            head.iter()
                .flat_map(|&number| (number as u32).to_le_bytes()),
        );
        bytes.extend(self.places.iter().flat_map(|place| place.to_le_bytes()));
        bytes.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// From bytes, see [`SparseMaps::to_bytes`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for what are none, of another version, cut short, or out of order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).ok_or_else(|| {
            Error::Checkpoint(
                "the bytes are no sparse maps of this version, or they are damaged".to_owned(),
            )
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let words = bytes.strip_prefix(&MAGIC)?.as_chunks::<4>();
        let (words, []) = words else { return None };
        let (head, rest) = words.split_at_checked(4)?;
        let head = [0, 1, 2, 3].map(|i| u32::from_le_bytes(head[i]) as usize);
        let [k, height, width, count] = head;
        let (places, values) = rest.split_at_checked(count)?;
        let elements = k.checked_mul(height)?.checked_mul(width)?;
        let places: Vec<u32> = places.iter().map(|p| u32::from_le_bytes(*p)).collect();
        let ascending = places.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = places.last().is_none_or(|&last| (last as usize) < elements);
        (values.len() == count && ascending && inside).then(|| Self {
            shape: [k, height, width],
            values: values.iter().map(|v| f32::from_le_bytes(*v)).collect(),
            places,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps() -> SparseMaps {
        SparseMaps {
            shape: [2, 3, 2],
            places: vec![0, 4, 11],
            values: vec![1.0, -0.5, f32::MIN_POSITIVE],
        }
    }

    #[test]
    fn dense_and_back() {
        let device = Device::flex();
        let dense = maps().to_dense(&device);
        assert_eq!(dense.dims(), [1, 2, 3, 2]);
        assert_eq!(SparseMaps::from_dense(&dense).unwrap(), maps());
        assert_eq!(maps().density(), 0.25);
        let two = Tensor::cat(vec![dense.clone(), dense], 0);
        assert!(SparseMaps::from_dense(&two).is_err(), "two images");
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let whole = maps().to_bytes();
        assert_eq!(SparseMaps::from_bytes(&whole).unwrap(), maps());
        for length in 0..whole.len() {
            assert!(
                SparseMaps::from_bytes(&whole[..length]).is_err(),
                "{length}"
            );
        }
        // The version, the shape, the count, the order of the places.
        for (at, byte) in [(7, 2), (8, 1), (20, 2), (24, 9), (28, 200)] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            assert!(SparseMaps::from_bytes(&damaged).is_err(), "byte {at}");
        }
    }
}
