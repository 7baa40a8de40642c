//! The operators of a graph: what each makes of its maps, and how it sends a signal back.
//!
//! A family of operators has a file: how a node of a file becomes the operator (`lower`), forward,
//! reverse, and from which part of its inputs a part of its output is made (`region`). To add an
//! operator: its file, and a line in [`Operator`] and in `LOWERED`.

mod arithmetic;
pub(super) mod columns;
mod concatenate;
mod convolution;
mod integers;
mod largest;
mod linear;
mod normalise;
mod pad;
mod pointwise;
mod pool;
mod reduce;
mod resample;
mod select;
mod site;
mod view;
mod windows;
mod winograd;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use burn::tensor::{Int, Tensor};

pub use arithmetic::Arithmetic;
pub use concatenate::Concatenate;
pub use convolution::{Convolution, TransposedConvolution};
pub use linear::{Linear, MatrixProduct};
pub use normalise::{ChannelAffine, LayerNorm, LocalResponse, Softmax};
pub use pad::Pad;
pub use pointwise::{Parametric, Pointwise, Rectifier};
pub use pool::MaxPool;
pub use reduce::Reduce;
pub use resample::Resample;
pub use select::Slice;
pub use site::{Lowered, Operand, Site};
pub use view::{Expand, Permute, View};
pub use windows::Windows;

use super::rule::Walk;
use super::value::Map;
use crate::error::Result;

/// An axis that is made longer than this is taken for a mistake in the file.
const LONGEST: usize = 1 << 16;

/// Defines [`Operator`] and passes each call on to the family.
macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One step of a graph: maps in, a map out.
        #[derive(Clone, Debug)]
        #[expect(clippy::large_enum_variant, reason = "a graph has a few hundred")]
        pub enum Operator {
            $($(#[$doc])* $name($name),)*
        }

        impl Operator {
            /// Its output, and the places of the maxima where it takes any.
            pub fn forward(&self, inputs: &[&Map]) -> (Map, Option<Switches>) {
                match self {
                    $(Self::$name(operator) => operator.forward(inputs).into_output(),)*
                }
            }

            /// What reaches each input from a signal at the output.
            pub fn reverse(&self, signal: Map, saved: &Saved, walk: &Walk) -> Vec<Option<Map>> {
                match self {
                    $(Self::$name(operator) => operator.reverse(signal, saved, walk),)*
                }
            }

            /// From which part of input `k`, of shape `input`, a part of the output is made.
            pub fn region(&self, output: &Region, k: usize, input: &[usize]) -> Region {
                match self {
                    $(Self::$name(operator) => operator.region(output, k, input),)*
                }
            }
        }

        $(impl From<$name> for Operator {
            fn from(operator: $name) -> Self {
                Self::$name(operator)
            }
        })*
    };
}

operators! {
    /// Sums, differences, products, quotients and extremes, of maps or with known numbers.
    Arithmetic,
    /// Convolution, as convnets have it: correlation with stride, padding, dilation and groups.
    Convolution,
    /// Transposed convolution, the adjoint of a convolution as a layer of its own.
    TransposedConvolution,
    /// A matrix of weights.
    Linear,
    /// The matrix product of two maps.
    MatrixProduct,
    /// A factor and a shift for each channel: batch normalisation.
    ChannelAffine,
    /// Division by the energy of neighbouring channels.
    LocalResponse,
    /// The numbers of each place to mean 0 and deviation 1.
    LayerNorm,
    /// Exponentials that sum to 1, or their logarithms.
    Softmax,
    /// max(x, 0), with or without a ceiling: what the rules are about.
    Rectifier,
    /// A function of each element.
    Pointwise,
    /// A rectifier with a slope below 0.
    Parametric,
    /// Largest of each window.
    MaxPool,
    /// Matrices along axes: the mean of each window, maps of another size.
    Resample,
    /// Sum or mean along axes.
    Reduce,
    /// The same elements under another shape.
    View,
    /// Axes in another order.
    Permute,
    /// A part along an axis.
    Slice,
    /// Zeros, or another number, around.
    Pad,
    /// Several maps one after the other along an axis.
    Concatenate,
    /// Repetition along axes of length 1.
    Expand,
}

/// Where the maxima of windows lie, by images, channels and windows.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a few for a graph")]
pub enum Switches {
    /// Each a place in its plane.
    InMemory(Arc<[u32]>),
    /// On a device, `[images, channels, windows]`, each a place in its plane with the padding.
    Padded(Tensor<3, Int>),
}

/// What forward returns: a map, or a map with switches.
trait IntoOutput {
    fn into_output(self) -> (Map, Option<Switches>);
}

impl IntoOutput for Map {
    fn into_output(self) -> (Map, Option<Switches>) {
        (self, None)
    }
}

impl IntoOutput for (Map, Switches) {
    fn into_output(self) -> (Map, Option<Switches>) {
        (self.0, Some(self.1))
    }
}

/// What forward left behind for the way back, of the images that the signals belong to.
pub struct Saved<'a> {
    /// The maps that flowed in.
    pub inputs: Vec<&'a Map>,
    /// The map that came out.
    pub output: &'a Map,
    /// Where its maxima lie.
    pub switches: Option<&'a Switches>,
    /// Which image each signal belongs to.
    pub rows: &'a [usize],
}

impl Saved<'_> {
    /// Input `k`, an image for each signal.
    pub fn input(&self, k: usize) -> Map {
        self.inputs[k].images(self.rows)
    }

    /// The output, an image for each signal.
    pub fn output(&self) -> Map {
        self.output.images(self.rows)
    }
}

/// A box in a tensor: the first and the last place along each axis. Places beyond the ends, in the
/// padding, are kept, so that sizes are exact.
pub type Region = Vec<(i64, i64)>;

/// All of a tensor.
pub fn whole(shape: &[usize]) -> Region {
    shape.iter().map(|&n| (0, n as i64 - 1)).collect()
}

/// What a part of rows and columns of an output is made from.
#[derive(Clone, Copy, Debug)]
pub enum Reach {
    /// The same rows and columns of every input.
    Places,
    /// Windows of the input along rows and columns, and the number beyond its borders.
    Windows([Windows; 2], f32),
}

/// Turns a node into operators or known numbers.
type Lower = fn(&Site) -> Result<Lowered>;

/// Operators that exporters use on shapes: they work on whole numbers that are known before any image alone.
const OF_SHAPES: &[&str] = &["Equal", "Greater", "Less", "Mod", "Range", "Where"];

/// The operators of files, by name, each with what lowers it.
const LOWERED: &[(&[&str], Lower)] = &[
    (&["Conv"], convolution::lower),
    (&["ConvTranspose"], convolution::lower_transposed),
    (&["Gemm"], linear::lower_gemm),
    (&["MatMul"], linear::lower_product),
    (&["MaxPool"], pool::lower_maximum),
    (&["GlobalMaxPool"], pool::lower_global_maximum),
    (&["AveragePool"], resample::lower_average),
    (&["GlobalAveragePool"], reduce::lower_global),
    (&["ReduceMean", "ReduceSum", "ReduceL2"], reduce::lower),
    (&["ReduceMax", "ReduceMin"], reduce::lower_extreme),
    (&["BatchNormalization"], normalise::lower_batch),
    (&["LayerNormalization"], normalise::lower_layer),
    (
        &["InstanceNormalization", "GroupNormalization"],
        normalise::lower_groups,
    ),
    (&["LRN"], normalise::lower_response),
    (&["Softmax", "LogSoftmax"], normalise::lower_softmax),
    (
        &["Add", "Sum", "Sub", "Mul", "Div", "Max", "Min"],
        arithmetic::lower,
    ),
    (&["Relu", "Clip"], pointwise::lower_rectifier),
    (&["LeakyRelu", "PRelu"], pointwise::lower_parametric),
    (
        &[
            "Abs",
            "Elu",
            "Erf",
            "Exp",
            "Gelu",
            "HardSigmoid",
            "HardSwish",
            "Log",
            "Mish",
            "Neg",
            "Pow",
            "Reciprocal",
            "Selu",
            "Sigmoid",
            "Softplus",
            "Sqrt",
            "Tanh",
        ],
        pointwise::lower,
    ),
    (&["Identity", "Dropout", "Cast"], view::lower_same),
    (
        &["Constant", "ConstantOfShape", "Shape"],
        integers::lower_known,
    ),
    (OF_SHAPES, integers::lower_integers),
    (
        &["Flatten", "Reshape", "Squeeze", "Unsqueeze"],
        view::lower_shape,
    ),
    (&["Transpose"], view::lower_permutation),
    (&["Concat"], concatenate::lower),
    (&["Split"], select::lower_split),
    (&["Slice"], select::lower_slice),
    (&["Gather"], select::lower_gather),
    (&["Pad"], pad::lower),
    (&["Expand"], view::lower_expansion),
    (&["Tile"], select::lower_tile),
    (&["Resize", "Upsample"], resample::lower_resize),
    (&["DepthToSpace", "SpaceToDepth"], view::lower_blocks),
];

/// What lowers the operator of this name, if it is supported.
fn lowering(operator: &str) -> Option<Lower> {
    let mut all = LOWERED.iter();
    all.find(|(names, _)| names.contains(&operator))
        .map(|&(_, lower)| lower)
}

/// Whether the operator of this name is supported, where it depends on the images, or on their shape alone.
pub fn is_known(operator: &str, on_images: bool) -> bool {
    let of_shapes = operator == "If" || OF_SHAPES.contains(&operator);
    !(of_shapes && on_images) && (operator == "If" || lowering(operator).is_some())
}

/// Turns a node into operators or known numbers.
///
/// # Errors
/// [`crate::Error::Input`] naming the node, where its inputs or attributes do not fit.
pub fn lower(site: &Site) -> Result<Lowered> {
    // What is computed from known whole numbers alone is known.
    if let Some(known) = integers::fold(site)? {
        return Ok(known);
    }
    let operator = &site.node.op_type;
    match lowering(operator) {
        Some(lower) => lower(site),
        None => Err(site.error(format!("the operator {operator} is not supported"))),
    }
}

impl Operator {
    /// Where rows and columns are in its output of a shape, whatever flows in: behind the channels, for what
    /// is defined so.
    pub fn spatial_axes(&self, shape: &[usize]) -> Option<[usize; 2]> {
        let defined = matches!(
            self,
            Self::Convolution(_)
                | Self::TransposedConvolution(_)
                | Self::MaxPool(_)
                | Self::ChannelAffine(_)
                | Self::LocalResponse(_)
        );
        (defined && shape.len() == 4).then_some([2, 3])
    }

    /// Where rows and columns go that are at these axes of an input of a shape, if that can be told.
    pub fn moved(&self, axes: [usize; 2], input: &[usize], output: &[usize]) -> Option<[usize; 2]> {
        match self {
            Self::Permute(permute) => Some(permute.moved(axes)),
            Self::View(view) => view.moved(axes),
            _ => (input.len() == output.len()).then_some(axes),
        }
    }

    /// What a part of its output is made from, where rows and columns are at these axes; none where all of
    /// an input is needed, or where that is not worked out.
    pub fn reach(&self, axes: [usize; 2]) -> Option<Reach> {
        let behind_channels = axes == [2, 3];
        match self {
            Self::Convolution(operator) if behind_channels => {
                Some(Reach::Windows(operator.windows(), 0.0))
            }
            Self::MaxPool(operator) if behind_channels => {
                Some(Reach::Windows(operator.windows(), f32::NEG_INFINITY))
            }
            Self::Pad(operator) => {
                let windows = operator.windows(axes);
                windows.map(|(windows, beyond)| Reach::Windows(windows, beyond))
            }
            Self::Rectifier(_) | Self::Pointwise(_) | Self::Permute(_) => Some(Reach::Places),
            Self::Arithmetic(operator) if operator.is_even_along(&axes) => Some(Reach::Places),
            Self::Concatenate(operator) if operator.is_even_along(&axes) => Some(Reach::Places),
            Self::ChannelAffine(_) | Self::LocalResponse(_) | Self::Parametric(_)
                if behind_channels =>
            {
                Some(Reach::Places)
            }
            _ => None,
        }
    }

    /// `size` rows and columns of its output, from that part of its inputs which [`Self::reach`] tells.
    pub fn forward_part(&self, inputs: &[&Map], size: [usize; 2]) -> Map {
        match self {
            Self::Convolution(operator) => operator.part(size).forward(inputs),
            Self::MaxPool(operator) => operator.part(size).forward(inputs).0,
            Self::Pad(_) => inputs[0].clone(),
            _ => self.forward(inputs).0,
        }
    }

    /// How many numbers were learnt, without biases.
    pub fn weights(&self) -> usize {
        match self {
            Self::Convolution(operator) => operator.weights(),
            Self::TransposedConvolution(operator) => operator.weights(),
            Self::Linear(operator) => operator.weights(),
            _ => 0,
        }
    }

    /// Whether it is what a [`Rule`](super::Rule) is about, or a rectifier with a slope.
    pub fn is_rectifier(&self) -> bool {
        matches!(self, Self::Rectifier(_) | Self::Parametric(_))
    }

    /// Whether the paper has no rule for it: it is neither linear nor a rectifier nor a maximum, and goes
    /// back by its derivative under every rule.
    pub fn is_without_rule(&self) -> bool {
        match self {
            Self::Arithmetic(operator) => operator.is_of_two_maps(),
            Self::Pointwise(operator) => operator.is_without_rule(),
            Self::MatrixProduct(_)
            | Self::LayerNorm(_)
            | Self::Softmax(_)
            | Self::Parametric(_) => true,
            _ => false,
        }
    }
}
