//! What maps are taken to be beyond the image.

use burn::tensor::Tensor;

use crate::linop::{Border, Pad};
use crate::named::named;

named! {
    /// What the maps of a layer are beyond the planes that they explain. A tap `f[a]` of a filter of `h` rows
    /// puts element `z[i]` on row `i + a - o` of the planes, with the offset `o` of the boundary; columns
    /// likewise.
    ///
    /// | boundary | maps | `o` | |
    /// |---|---|---|---|
    /// | `valid` | `H + h - 1` | `h - 1` | every filter that touches the planes has an element of its own, also those that stick out of them (the paper) |
    /// | `circular` | `H` | 0 | what sticks out comes in again on the other side (SPORCO, products of Fourier transforms) |
    /// | `zero` | `H - h + 1` | 0 | no filter sticks out: the maps are zero beyond (alphacsc, dicodile) |
    ///
    /// The last two are the first with its maps copied, or held at zero, in a margin of `h - 1`.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use deconvnet::connectivity::Connectivity;
    /// use deconvnet::model::{Boundary, LayerConfig, Network};
    ///
    /// let layer = LayerConfig::new(Connectivity::full(1, 4), [5, 3]).init(&Device::flex());
    /// let network = Network::new(vec![layer])?;
    /// for (boundary, maps) in [
    ///     (Boundary::Valid, [24, 32]),
    ///     (Boundary::Circular, [20, 30]),
    ///     (Boundary::Zero, [16, 28]),
    /// ] {
    ///     let shape = network.with_boundary(boundary).maps_shape([1, 1, 20, 30]);
    ///     assert_eq!(shape[2..], maps);
    /// }
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    #[derive(Default)]
    pub enum Boundary: "boundary" {
        /// Maps reach as far as the filters.
        #[default]
        Valid = "valid",
        /// Planes and maps go round.
        Circular = "circular",
        /// Maps are zero where a filter would stick out.
        Zero = "zero",
    }
}

impl Boundary {
    /// Rows or columns of the maps that explain `side` of them by filters of `taps`.
    pub(crate) fn maps(self, side: usize, taps: usize) -> usize {
        match self {
            Self::Valid => side + taps - 1,
            Self::Circular => side,
            Self::Zero => (side + 1).saturating_sub(taps),
        }
    }

    /// The first row or column of the planes that an element at 0 lies on.
    pub(crate) fn first(self, taps: usize) -> isize {
        match self {
            Self::Valid => 1 - taps as isize,
            Self::Circular | Self::Zero => 0,
        }
    }

    /// Maps as large as those of 'valid' convolutions that reach as far, with zeros where there are none.
    pub(crate) fn widened(self, maps: Tensor<4>, [h, w]: [usize; 2]) -> Tensor<4> {
        let [h, w] = [h - 1, w - 1];
        let margins = match self {
            Self::Valid => return maps,
            Self::Circular => [[h, 0], [w, 0]],
            Self::Zero => [[h; 2], [w; 2]],
        };
        let border = Border::Zeros;
        Pad { border, margins }.apply(maps)
    }

    /// The same with what comes in again on the other side.
    pub(crate) fn extended(self, maps: Tensor<4>, field: [usize; 2]) -> Tensor<4> {
        match self.margin(field) {
            Some(margin) => margin.apply(maps),
            None => maps,
        }
    }

    /// What makes maps of the 'valid' geometry of them.
    pub(crate) fn margin(self, [h, w]: [usize; 2]) -> Option<Pad> {
        let [h, w] = [h - 1, w - 1];
        let (border, margins) = match self {
            Self::Valid => return None,
            // Before the first row lie the elements whose filters stick out of the last.
            Self::Circular => (Border::Circular, [[h, 0], [w, 0]]),
            Self::Zero => (Border::Zeros, [[h; 2], [w; 2]]),
        };
        Some(Pad { border, margins })
    }
}
