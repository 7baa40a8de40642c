//! Filters projected down to pixels, and connectivity.

use burn::tensor::{Tensor, TensorData};

use super::display::signed;
use super::gallery::Gallery;
use crate::connectivity::Connectivity;
use crate::data::Image;
use crate::error::Result;
use crate::model::{Boundary, Network};
use crate::picture::{MosaicOptions, Tile, matrix, mosaic};
use crate::run::{Run, to_image};

/// Maps projected at a time: bounds the memory of wide layers.
const CHUNK: usize = 16;
/// Maps connected to more planes than this are too many to name under a tile.
const NAMED: usize = 3;

/// Height and width of the area of the bottom planes that one unit of the top maps reaches:
/// `1 + sum_l (h_l - 1)`.
pub fn receptive_field(network: &Network) -> [usize; 2] {
    // The maps that reach a single pixel are as many as the pixels that a single unit reaches.
    let network = network.with_boundary(Boundary::Valid);
    let [.., height, width] = network.maps_shape([1, 1, 1, 1]);
    [height, width]
}

/// Each map of the top layer as the pixels it stands for: a single 1 in the middle of the map,
/// projected down linearly through the filters below. For a single layer these are its filters.
///
/// # Shapes
/// `K` images of `[C, R, R]`, `R` being the [`receptive_field`].
///
/// # Errors
/// [`crate::Error::Backend`] where the device cannot hand over its numbers.
pub fn projected_filters(network: &Network) -> Result<Vec<Image>> {
    let network = network.with_boundary(Boundary::Valid);
    let [height, width] = receptive_field(&network);
    let device = network.top().filters.val().device();
    let maps = network.top().connectivity.maps();
    let mut filters = Vec::with_capacity(maps);
    for first in (0..maps).step_by(CHUNK) {
        let count = CHUNK.min(maps - first);
        // The smallest maps in which the unit in the middle reaches all of its field.
        let shape = network.maps_shape([count, 1, height, width]);
        let [_, _, rows, columns] = shape;
        let mut units = vec![0.0_f32; shape.iter().product()];
        for n in 0..count {
            let plane = n * maps + first + n;
            units[(plane * rows + rows / 2) * columns + columns / 2] = 1.0;
        }
        let pixels = network.project(Tensor::from_data(TensorData::new(units, shape), &device));
        for n in 0..count {
            filters.push(to_image(&pixels, n)?);
        }
    }
    Ok(filters)
}

/// Draws the filters of every learnt layer, of a network with pooling that of the first, and its
/// connectivity unless it is full. Returns the projected filters, layer by layer.
pub(super) fn draw(run: &Run, gallery: &mut Gallery) -> Result<Vec<Vec<Image>>> {
    let mut all = Vec::new();
    for layer in 0..run.state.learnt_layers() {
        let network = run.network.part(0..layer + 1);
        let g = &network.top().connectivity;
        let number = layer + 1;
        if !network.is_pooled() {
            let filters = projected_filters(&network)?;
            let tiles: Vec<Tile> = filters
                .iter()
                .enumerate()
                .map(|(k, filter)| Tile::new(signed(filter, None), caption(g, k)))
                .collect();
            let [height, width] = receptive_field(&network);
            let options = MosaicOptions {
                title: format!(
                    "Layer {number}: {} filters in {height} x {width} pixels",
                    g.maps()
                ),
                // A plot is as large as it should be.
                zoom: (height == 1).then_some(1),
                ..MosaicOptions::default()
            };
            gallery.save(
                &format!("filters-layer{number}.png"),
                &mosaic(&tiles, &options)?,
            )?;
            all.push(filters);
        }
        if !g.is_full() {
            let name = format!("connectivity-layer{number}.png");
            gallery.save(&name, &connectivity(g, layer)?)?;
        }
    }
    Ok(all)
}

/// The number of a map, and of the planes that it is connected to, where those are few.
fn caption(g: &Connectivity, k: usize) -> String {
    let planes: Vec<String> = g.planes_of(k).iter().map(usize::to_string).collect();
    match g.is_full() || planes.len() > NAMED {
        true => k.to_string(),
        false => format!("{k}: {}", planes.join("+")),
    }
}

fn connectivity(g: &Connectivity, layer: usize) -> Result<Image> {
    let values = Image::new([1, g.planes(), g.maps()], g.values());
    let below = match layer {
        0 => "channel".to_string(),
        _ => format!("map of layer {layer}"),
    };
    let above = format!("map of layer {}", layer + 1);
    matrix(
        &values,
        &format!("Connectivity of layer {}", layer + 1),
        &below,
        &above,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::model::{Layer, LayerConfig};

    fn layer(g: Connectivity, size: [usize; 2]) -> Layer {
        let device = Backend::Flex.device().unwrap();
        LayerConfig::new(g, size).with_seed(3).init(&device)
    }

    /// Filter plane `(c, k)`, row by row.
    fn taps(layer: &Layer, c: usize, k: usize) -> Vec<f32> {
        let filter = layer.filters.val().narrow(0, c, 1).narrow(1, k, 1);
        to_image(&filter, 0).unwrap().values
    }

    #[test]
    fn a_single_layer_projects_to_its_own_filters() {
        // More maps than are projected at a time.
        let layer = layer(Connectivity::full(3, CHUNK + 3), [5, 4]);
        let filters = projected_filters(&Network::new(vec![layer.clone()]).unwrap()).unwrap();
        assert_eq!(filters.len(), CHUNK + 3);
        for (k, filter) in filters.iter().enumerate() {
            assert_eq!(filter.shape(), [3, 5, 4]);
            for c in 0..3 {
                assert_eq!(
                    filter.plane(c),
                    taps(&layer, c, k),
                    "plane {c} of filter {k}"
                );
            }
        }
    }

    #[test]
    fn two_layers_project_to_sums_of_convolutions() {
        let below = layer(Connectivity::full(1, 3), [3, 2]);
        let above = layer(Connectivity::singles_and_pairs(3), [2, 4]);
        let network = Network::new(vec![below.clone(), above.clone()]).unwrap();
        assert_eq!(receptive_field(&network), [4, 5]);
        let k = 5; // It sees planes 1 and 2.
        let mut expected = [0.0_f32; 20];
        for c in above.connectivity.planes_of(k) {
            let (f, g) = (taps(&below, 0, c), taps(&above, c, k));
            for (a, f) in f.iter().enumerate() {
                for (b, g) in g.iter().enumerate() {
                    expected[(a / 2 + b / 4) * 5 + a % 2 + b % 4] += f * g;
                }
            }
        }
        let filter = &projected_filters(&network).unwrap()[k];
        for (v, e) in filter.values.iter().zip(expected) {
            assert!((v - e).abs() < 1e-6, "{:?} {expected:?}", filter.values);
        }
    }

    #[test]
    fn captions_name_the_planes_of_sparse_layers_only() {
        let g = Connectivity::singles_and_pairs(9);
        assert_eq!([caption(&g, 4), caption(&g, 9)], ["4: 4", "9: 0+1"]);
        assert_eq!(caption(&Connectivity::full(3, 9), 8), "8");
    }
}
