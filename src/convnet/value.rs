//! What flows along the edges of a graph: maps of numbers on a device, and whole numbers on the host.

use std::ops::Range;

use burn::tensor::{DType, Device, Element, Int, Tensor, TensorData};
use bytemuck::Pod;

use crate::backend::{self, with_numbers};
use crate::error::Result;
use crate::pass::suits;

/// A tensor of any number of axes, row-major; the first axis counts images.
///
/// Burn fixes the number of axes in the type, a graph in a file does not: the numbers lie along one
/// axis here and get their shape where an operator wants one, which copies nothing.
#[derive(Clone, Debug)]
pub struct Map {
    shape: Vec<usize>,
    flat: Tensor<1>,
}

impl Map {
    /// A tensor with its shape.
    pub fn new<const D: usize>(tensor: Tensor<D>) -> Self {
        let shape = tensor.dims().to_vec();
        let count = shape.iter().product::<usize>();
        Self {
            shape,
            flat: tensor.reshape([count]),
        }
    }

    /// Numbers from the host.
    ///
    /// # Panics
    /// If there are not as many numbers as the shape asks for.
    pub fn from_values(values: Vec<f32>, shape: &[usize], device: &Device, dtype: DType) -> Self {
        let count: usize = shape.iter().product();
        let data = TensorData::new(values, [count]);
        Self {
            shape: shape.to_vec(),
            flat: Tensor::from_data(data, (device, dtype)),
        }
    }

    /// Zeros.
    pub fn zeros(shape: &[usize], device: &Device, dtype: DType) -> Self {
        let count: usize = shape.iter().product();
        Self {
            shape: shape.to_vec(),
            flat: Tensor::zeros([count], (device, dtype)),
        }
    }

    /// Lengths along the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many numbers it holds.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The numbers along one axis.
    pub fn flat(&self) -> Tensor<1> {
        self.flat.clone()
    }

    /// The numbers under other axes.
    ///
    /// # Panics
    /// If the count differs.
    pub fn view<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        self.flat.clone().reshape(shape)
    }

    /// The same numbers under another shape.
    ///
    /// # Panics
    /// If the count differs.
    pub fn reshaped(&self, shape: &[usize]) -> Self {
        assert_eq!(
            self.count(),
            shape.iter().product::<usize>(),
            "{:?} cannot become {shape:?}",
            self.shape
        );
        Self {
            shape: shape.to_vec(),
            flat: self.flat.clone(),
        }
    }

    /// The numbers as `[before, length, behind]` around an axis.
    pub fn around(&self, axis: usize) -> Tensor<3> {
        self.view(around(&self.shape, axis))
    }

    /// Each number by itself.
    pub fn pointwise(self, f: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        Self {
            shape: self.shape,
            flat: f(self.flat),
        }
    }

    /// Each number with its partner in a map of the same shape.
    pub fn with(self, other: &Self, f: impl FnOnce(Tensor<1>, Tensor<1>) -> Tensor<1>) -> Self {
        debug_assert_eq!(self.shape, other.shape);
        self.pointwise(|flat| f(flat, other.flat()))
    }

    /// Elements `start .. start + length` along an axis.
    pub fn part(&self, axis: usize, start: usize, length: usize) -> Self {
        let [_, all, behind] = around(&self.shape, axis);
        let mut shape = self.shape.clone();
        shape[axis] = length;
        let [all, start, length] = [all, start, length].map(|n| n * behind);
        let like = (&self.device(), self.dtype());
        let flat = match self.dtype() {
            _ if !suits(&self.flat) => {
                let narrow = self
                    .view([self.count() / all.max(1), all])
                    .narrow(1, start, length);
                return Self::new(narrow).reshaped(&shape);
            }
            DType::F64 => {
                Tensor::from_data(part::<f64>(&self.flat, all, start..start + length), like)
            }
            _ => Tensor::from_data(part::<f32>(&self.flat, all, start..start + length), like),
        };
        Self { shape, flat }
    }

    /// The images `rows`, in their order.
    pub fn images(&self, rows: &[usize]) -> Self {
        let same = rows.len() == self.shape[0] && rows.iter().enumerate().all(|(k, &row)| k == row);
        if same {
            return self.clone();
        }
        let rest = self.shape[1..].iter().product();
        let picked = self
            .view([self.shape[0], rest])
            .select(0, indices(rows, &self.device()));
        let shape = [&[rows.len()], &self.shape[1..]].concat();
        Self::new(picked).reshaped(&shape)
    }

    /// Its type of numbers.
    pub fn dtype(&self) -> DType {
        self.flat.dtype()
    }

    /// Where it lies.
    pub fn device(&self) -> Device {
        self.flat.device()
    }

    /// The numbers, on the host.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] where the device cannot hand them over.
    pub fn read(&self) -> Result<Vec<f32>> {
        backend::read(&self.flat)
    }
}

/// The same part of each `all` numbers.
fn part<T: Element + Pod>(x: &Tensor<1>, all: usize, part: Range<usize>) -> TensorData {
    let mut values = Vec::new();
    with_numbers(x, |x: &[T]| {
        values.reserve_exact(x.len() / all.max(1) * part.len());
        x.chunks(all.max(1))
            .for_each(|x| values.extend_from_slice(&x[part.clone()]));
    });
    let count = values.len();
    TensorData::new(values, [count])
}

/// `[before, length, behind]` of an axis.
pub fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    [
        shape[..axis].iter().product(),
        shape[axis],
        shape[axis + 1..].iter().product(),
    ]
}

/// Places as a tensor.
pub fn indices(places: &[usize], device: &Device) -> Tensor<1, Int> {
    let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    let count = places.len();
    Tensor::from_data(TensorData::new(places, [count]), device)
}

/// Whole numbers on the host: shapes, axes, places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integers {
    /// Lengths along the axes; none for a single number.
    pub shape: Vec<usize>,
    /// The numbers, row-major.
    pub values: Vec<i64>,
}
