//! The three products by name, their sizes, and the one check that tensors have them.

use std::fmt;

use burn::tensor::Tensor;

use crate::connectivity::Connectivity;
use crate::pooling::Switches;

/// Which of the three products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// [`synthesize`](super::synthesize): maps and filters to planes.
    Synthesize,
    /// [`analyze`](super::analyze): planes and filters to maps.
    Analyze,
    /// [`filter_gradient`](super::filter_gradient): maps and planes to filters.
    FilterGradient,
}

/// The three tensors that the products are about.
#[derive(Clone, Copy)]
enum Operand {
    Maps,
    Filters,
    Planes,
}

impl Product {
    fn inputs(self) -> [Operand; 2] {
        match self {
            Self::Synthesize => [Operand::Maps, Operand::Filters],
            Self::Analyze => [Operand::Planes, Operand::Filters],
            Self::FilterGradient => [Operand::Maps, Operand::Planes],
        }
    }

    fn output(self) -> Operand {
        match self {
            Self::Synthesize => Operand::Planes,
            Self::Analyze => Operand::Maps,
            Self::FilterGradient => Operand::Filters,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synthesize => "synthesize",
            Self::Analyze => "analyze",
            Self::FilterGradient => "filter_gradient",
        })
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Maps => "maps",
            Self::Filters => "filters",
            Self::Planes => "planes",
        })
    }
}

/// The sizes of one product. `planes = g.planes()`, `maps = g.maps()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Images in the batch.
    pub batch: usize,
    /// Height and width of the image, `N_r x N_c`.
    pub image: [usize; 2],
    /// Height and width of the filters.
    pub filter: [usize; 2],
}

impl Sizes {
    /// Those of a product of inputs of these shapes.
    ///
    /// # Panics
    /// Where the shapes do not fit each other and `g`, or leave an image or a filter no pixel.
    pub(super) fn of(product: Product, inputs: [[usize; 4]; 2], g: &Connectivity) -> Self {
        let [[batch, _, height, width], [.., h, w]] = inputs;
        let (first, second) = ([height, width], [h, w]);
        let valid = [0, 1].map(|d| (first[d] + 1).saturating_sub(second[d]));
        let (image, filter) = match product {
            Product::Synthesize => (valid, second),
            Product::Analyze => (first, second),
            Product::FilterGradient => (second, valid),
        };
        let sizes = Self {
            batch,
            image,
            filter,
        };
        let empty = image.contains(&0) || filter.contains(&0);
        if empty || inputs != product.inputs().map(|input| sizes.shape(input, g)) {
            let (planes, maps) = (g.planes(), g.maps());
            let [a, b] = product.inputs();
            let [expect_a, expect_b] = [a, b].map(|input| match input {
                Operand::Maps => format!("[n, {maps}, H + h - 1, W + w - 1]"),
                Operand::Filters => format!("[{planes}, {maps}, h, w]"),
                Operand::Planes => format!("[n, {planes}, H, W]"),
            });
            panic!(
                "{product}: {a} {:?} do not fit {b} {:?}; expected {a} {expect_a} and {b} {expect_b}, \
                 with H, W, h and w at least 1",
                inputs[0], inputs[1]
            );
        }
        sizes
    }

    /// Those of a product of which the maps may have been pooled, see [`super::at`].
    ///
    /// # Panics
    /// As [`Sizes::of`], and where pooled maps do not fit their switches.
    pub(super) fn at(
        product: Product,
        mut inputs: [[usize; 4]; 2],
        g: &Connectivity,
        at: Option<&Switches>,
    ) -> Self {
        if let Some(switches) = at {
            let pooled = switches.pooled_shape();
            for (input, shape) in product.inputs().into_iter().zip(&mut inputs) {
                if matches!(input, Operand::Maps) {
                    assert!(
                        *shape == pooled,
                        "{product}: pooled maps {shape:?} do not fit switches for {pooled:?}"
                    );
                    *shape = switches.maps_shape();
                }
            }
        }
        let sizes = Self::of(product, inputs, g);
        if let Some(switches) = at {
            let (maps, switched) = (sizes.shape(Operand::Maps, g), switches.maps_shape());
            assert!(
                maps == switched,
                "{product}: switches for maps {switched:?} do not fit maps {maps:?}"
            );
        }
        sizes
    }

    /// The shape of the result of a product of which the maps may have been pooled.
    pub(super) fn output_at(
        &self,
        product: Product,
        g: &Connectivity,
        at: Option<&Switches>,
    ) -> [usize; 4] {
        match (product.output(), at) {
            (Operand::Maps, Some(switches)) => switches.pooled_shape(),
            (other, _) => self.shape(other, g),
        }
    }

    /// Height and width of the maps: image + filter - 1.
    pub fn map(&self) -> [usize; 2] {
        [0, 1].map(|d| self.image[d] + self.filter[d] - 1)
    }

    /// The shape of the result of a product.
    pub(super) fn output(&self, product: Product, g: &Connectivity) -> [usize; 4] {
        self.shape(product.output(), g)
    }

    fn shape(&self, operand: Operand, g: &Connectivity) -> [usize; 4] {
        let (batch, planes, maps) = (self.batch, g.planes(), g.maps());
        let ([image_height, image_width], [h, w]) = (self.image, self.filter);
        match operand {
            Operand::Maps => [batch, maps, image_height + h - 1, image_width + w - 1],
            Operand::Filters => [planes, maps, h, w],
            Operand::Planes => [batch, planes, image_height, image_width],
        }
    }
}

/// The sizes of a product of two tensors.
///
/// # Panics
/// Where their shapes do not fit each other and `g`, or where they differ in type or device.
pub(super) fn check(product: Product, inputs: [&Tensor<4>; 2], g: &Connectivity) -> Sizes {
    let sizes = Sizes::of(product, inputs.map(|x| x.dims()), g);
    let [a, b] = product.inputs();
    check_alike(product, (a, inputs[0]), (b, inputs[1]));
    sizes
}

/// [`check`] for maps that were pooled.
///
/// # Panics
/// As there.
pub(super) fn check_at(
    product: Product,
    inputs: [&Tensor<4>; 2],
    g: &Connectivity,
    switches: &Switches,
) {
    Sizes::at(product, inputs.map(|x| x.dims()), g, Some(switches));
    let [a, b] = product.inputs();
    check_alike(product, (a, inputs[0]), (b, inputs[1]));
}

/// Panics unless two tensors have the same type and device.
pub(super) fn check_alike(
    operation: impl fmt::Display,
    (name_a, a): (impl fmt::Display, &Tensor<4>),
    (name_b, b): (impl fmt::Display, &Tensor<4>),
) {
    assert!(
        a.dtype() == b.dtype() && a.device() == b.device(),
        "{operation}: {name_a} are {:?} on {:?}, but {name_b} are {:?} on {:?}; \
         expected the same type and device",
        a.dtype(),
        a.device(),
        b.dtype(),
        b.device()
    );
}
