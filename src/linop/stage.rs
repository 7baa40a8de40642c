//! Stages and stacks of them.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{Pad, Subsample, Synthesis, Unpool, Weight, noise, spectral_bound};
use crate::conv::at;
use crate::error::Result;

/// One linear map from `[n, .., .., ..]` to `[n, .., .., ..]`.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Maps to planes by convolution.
    Synthesis(Synthesis),
    /// Margins around the planes.
    Pad(Pad),
    /// Some of the pixels.
    Subsample(Subsample),
    /// Pooled maps to maps, at the switches of each image.
    Unpool(Unpool),
    /// A factor for every element.
    Weight(Weight),
}

impl Stage {
    /// `A x`.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Synthesis(stage) => stage.apply(x),
            Self::Pad(stage) => stage.apply(x),
            Self::Subsample(stage) => stage.apply(x),
            Self::Unpool(stage) => stage.apply(x),
            Self::Weight(stage) => stage.apply(x),
        }
    }

    /// `A' r`.
    pub fn adjoint(&self, r: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Synthesis(stage) => stage.adjoint(r),
            Self::Pad(stage) => stage.adjoint(r),
            Self::Subsample(stage) => stage.adjoint(r),
            Self::Unpool(stage) => stage.adjoint(r),
            Self::Weight(stage) => stage.adjoint(r),
        }
    }

    /// The shape of `A x` for `x` of a given shape.
    ///
    /// # Errors
    /// [`crate::Error::Input`] where the stage cannot take that shape.
    pub fn output(&self, input: [usize; 4]) -> Result<[usize; 4]> {
        match self {
            Self::Synthesis(stage) => stage.output(input),
            Self::Pad(stage) => stage.output(input),
            Self::Subsample(stage) => stage.output(input),
            Self::Unpool(stage) => stage.output(input),
            Self::Weight(stage) => stage.output(input),
        }
    }

    /// The same stage with its tensors, where it has any, passed through `f`.
    fn map(&self, f: impl Fn(&Tensor<4>) -> Tensor<4>) -> Self {
        match self {
            Self::Synthesis(stage) => Self::Synthesis(Synthesis {
                filters: f(&stage.filters),
                ..stage.clone()
            }),
            Self::Weight(stage) => Self::Weight(Weight {
                values: f(&stage.values),
            }),
            Self::Pad(_) | Self::Subsample(_) | Self::Unpool(_) => self.clone(),
        }
    }
}

/// Whether two stages are one product of unpooled maps, of which only the elements at the switches are
/// visited.
fn unpooled(a: &Stage, b: &Stage) -> bool {
    matches!((a, b), (Stage::Unpool(_), Stage::Synthesis(_)))
}

/// The linear map `A = A_m .. A_2 A_1`: its input passes through the stages in order, the first stage
/// first. Without stages it is the identity.
///
/// The shapes must be those that [`Stack::output`] accepts; other ones are errors of the program, in
/// which Burn panics.
///
/// # Examples
///
/// Two layers of filters, from the top maps to the pixels that were seen:
///
/// ```
/// use burn::tensor::{DType, Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::linop::{Stack, Stage, Synthesis, Weight};
///
/// let device = Device::flex();
/// let layer = |planes, maps| Stage::Synthesis(Synthesis {
///     filters: Tensor::ones([planes, maps, 3, 3], &device),
///     connectivity: Connectivity::full(planes, maps),
/// });
/// let seen = Weight { values: Tensor::ones([1, 1, 8, 8], &device) };
/// let stack = Stack::new(vec![layer(4, 6), layer(1, 4), Stage::Weight(seen)]);
///
/// let maps = Tensor::ones([2, 6, 12, 12], &device);
/// assert_eq!(stack.output(maps.dims())?, [2, 1, 8, 8]);
/// let planes = stack.apply(maps.clone());
/// assert_eq!(stack.adjoint(planes.clone()).dims(), maps.dims());
///
/// // ||A x|| <= ||A|| ||x||
/// let squares = |x: Tensor<4>| x.square().sum().into_scalar::<f64>();
/// let bound = stack.norm_bound(maps.dims())?;
/// assert!(squares(planes) <= bound * bound * squares(maps));
/// assert!(stack.dot_test([1, 6, 12, 12], 0, (&device, DType::F32))? < 1e-5);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stack {
    stages: Vec<Stage>,
}

impl Stack {
    /// The stack of `stages`, in the order in which the input passes through them.
    pub fn new(stages: Vec<Stage>) -> Self {
        Self { stages }
    }

    /// The stages in their order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The shape of `A x` for `x` of a given shape.
    ///
    /// # Errors
    /// [`crate::Error::Input`] with the stage's and the input's numbers where they do not fit.
    pub fn output(&self, input: [usize; 4]) -> Result<[usize; 4]> {
        let mut stages = self.stages.iter();
        stages.try_fold(input, |shape, stage| stage.output(shape))
    }

    /// `A x`. Differentiable in `x` where `x` and the stack are tracked, see [`Stack::train`].
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let groups = self.stages.chunk_by(unpooled);
        groups.fold(x, |x, group| match group {
            [Stage::Unpool(Unpool { switches }), Stage::Synthesis(stage)] => {
                let Synthesis {
                    filters,
                    connectivity,
                } = stage;
                at::synthesize(x, filters.clone(), connectivity, switches)
            }
            group => group.iter().fold(x, |x, stage| stage.apply(x)),
        })
    }

    /// `A' r`, so that `<A' r, x> = <r, A x>`.
    pub fn adjoint(&self, r: Tensor<4>) -> Tensor<4> {
        let groups = self.stages.chunk_by(unpooled).rev();
        groups.fold(r, |r, group| match group {
            [Stage::Unpool(Unpool { switches }), Stage::Synthesis(stage)] => {
                let Synthesis {
                    filters,
                    connectivity,
                } = stage;
                at::analyze(r, filters.clone(), connectivity, switches)
            }
            group => group.iter().rev().fold(r, |r, stage| stage.adjoint(r)),
        })
    }

    /// An upper bound of the norm `||A|| = max ||A x|| / ||x||`: the product of the bounds of its
    /// stages, convolutions in a row being bounded together by [`spectral_bound`].
    ///
    /// # Errors
    /// As [`Stack::output`].
    pub fn norm_bound(&self, input: [usize; 4]) -> Result<f64> {
        let (mut shape, mut bound) = (input, 1.0);
        let convolutions =
            |a: &Stage, b: &Stage| matches!((a, b), (Stage::Synthesis(_), Stage::Synthesis(_)));
        for run in self.stages.chunk_by(convolutions) {
            let [n, c, h, w] = run.iter().try_fold(shape, |at, stage| stage.output(at))?;
            bound *= match &run[0] {
                Stage::Synthesis(_) => {
                    let layers = run.iter().rev().filter_map(|stage| match stage {
                        Stage::Synthesis(stage) => Some((&stage.filters, &stage.connectivity)),
                        _ => None,
                    });
                    spectral_bound(&layers.collect::<Vec<_>>(), [h, w]).sqrt()
                }
                Stage::Pad(stage) => stage.norm(shape),
                Stage::Subsample(_) | Stage::Unpool(_) => 1.0,
                Stage::Weight(stage) => stage.norm(),
            };
            shape = [n, c, h, w];
        }
        Ok(bound)
    }

    /// The same map in other numbers or on another device.
    pub fn to(&self, device: &Device, dtype: DType) -> Self {
        self.map(|x| Tensor::from_data(x.to_data(), (device, dtype)))
    }

    /// The same map for tensors that autodiff tracks.
    pub fn train(&self) -> Self {
        self.map(|x| Tensor::from_inner(x.clone()))
    }

    /// How far `<A x, y> = <x, A' y>` is from true for random `x` and `y`, as a share of
    /// `||A x|| ||y||`: rounding, or the adjoint is wrong.
    ///
    /// # Errors
    /// As [`Stack::output`].
    pub fn dot_test(
        &self,
        input: [usize; 4],
        seed: u64,
        (device, dtype): (&Device, DType),
    ) -> Result<f64> {
        let output = self.output(input)?;
        let [columns, rows] = [input, output].map(|shape| shape.iter().product());
        let mut x = noise(columns + rows, seed);
        let y = x.split_off(columns);
        let tensor = |values: &[f64], shape: [usize; 4]| {
            Tensor::<4>::from_data(TensorData::new(values.to_vec(), shape), (device, dtype))
        };
        let numbers = |x: Tensor<4>| -> Vec<f64> { x.into_data().iter().collect() };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let there = numbers(self.apply(tensor(&x, input)));
        let back = numbers(self.adjoint(tensor(&y, output)));
        let scale = (dot(&there, &there) * dot(&y, &y)).sqrt();
        Ok((dot(&there, &y) - dot(&x, &back)).abs() / scale.max(f64::MIN_POSITIVE))
    }

    fn map(&self, f: impl Fn(&Tensor<4>) -> Tensor<4>) -> Self {
        Self {
            stages: self.stages.iter().map(|stage| stage.map(&f)).collect(),
        }
    }
}
