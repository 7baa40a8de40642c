//! Pooling on GPUs, in single precision: one CubeCL source for wgpu, Vulkan, Metal and CUDA, as a Burn
//! backend extension with its autodiff.
//!
//! Windows do not overlap, so that no two units write the same element, and the bits are the same every
//! time. Nothing waits for the device: places are found, and stay, on it.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;

use super::Pool;
use crate::backend::launch::{address_type, check_tensors, dims, empty, empty_of, grid, word};

/// Units of a workgroup.
const UNITS: usize = 256;

/// The place of the largest magnitude of each window, see [`super::Switches::places`].
pub(super) fn switches(maps: Tensor<4>, pool: Pool) -> Tensor<4, Int> {
    let maps = maps.without_autodiff().into_dispatch();
    Tensor::from_dispatch(Dispatch::find_places(maps, pool))
}

/// The elements at the places, 0 where there is none.
pub(super) fn pool(maps: Tensor<4>, places: Tensor<4, Int>, pool: Pool) -> Tensor<4> {
    let out = Dispatch::pool_at(maps.into_dispatch(), places.into_dispatch(), pool);
    Tensor::from_dispatch(out)
}

/// The values at their places in maps of a given shape, zeros elsewhere.
pub(super) fn unpool(
    values: Tensor<4>,
    places: Tensor<4, Int>,
    pool: Pool,
    maps: [usize; 4],
) -> Tensor<4> {
    let (values, places) = (values.into_dispatch(), places.into_dispatch());
    Tensor::from_dispatch(Dispatch::unpool_at(values, places, pool, maps))
}

/// The three on a GPU's own tensors.
#[backend_extension(Cube, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait PoolingOps: Backend {
    /// [`switches`].
    #[fusion(dtype = DType::I32, shape = burn::tensor::Shape::from(pool.pooled(maps.dims())))]
    fn find_places(maps: FloatTensor<Self>, pool: Pool) -> IntTensor<Self>;

    /// [`pool`].
    #[fusion(dtype = maps, shape = places)]
    fn pool_at(maps: FloatTensor<Self>, places: IntTensor<Self>, pool: Pool) -> FloatTensor<Self>;

    /// [`unpool`].
    #[fusion(dtype = values, shape = burn::tensor::Shape::from(*maps))]
    fn unpool_at(
        values: FloatTensor<Self>,
        places: IntTensor<Self>,
        pool: Pool,
        maps: [usize; 4],
    ) -> FloatTensor<Self>;
}

/// The sizes of maps and windows, as the kernels take them.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Sizes {
    k: u32,
    height: u32,
    width: u32,
    rows: u32,
    columns: u32,
    maps: u32,
}

fn sizes([_, k, height, width]: [usize; 4], pool: Pool) -> SizesLaunch {
    // Places count the elements of an image.
    word(k * height * width);
    let [k, height, width] = [k, height, width].map(word);
    let [rows, columns, maps] = <[usize; 3]>::from(pool).map(word);
    SizesLaunch::new(k, height, width, rows, columns, maps)
}

/// The elements of a window: the ends of its maps, columns and rows, and where its image begins.
#[derive(CubeType, Clone, Copy)]
struct Window {
    image: usize,
    map: usize,
    map_end: usize,
    x: usize,
    x_end: usize,
    y: usize,
    y_end: usize,
}

#[cube]
fn window_at(position: usize, sizes: &Sizes) -> Window {
    let (k, height, width) = (
        sizes.k as usize,
        sizes.height as usize,
        sizes.width as usize,
    );
    let (rows, columns, maps) = (
        sizes.rows as usize,
        sizes.columns as usize,
        sizes.maps as usize,
    );
    let across = width.div_ceil(columns);
    let down = height.div_ceil(rows);
    let groups = k.div_ceil(maps);
    let row = position / across;
    let x = position % across * columns;
    let y = row % down * rows;
    let map = row / down % groups * maps;
    Window {
        image: row / down / groups * (k * height * width),
        map,
        map_end: select(map + maps < k, map + maps, k),
        x,
        x_end: select(x + columns < width, x + columns, width),
        y,
        y_end: select(y + rows < height, y + rows, height),
    }
}

/// A unit scans a window. Magnitudes are compared by their bits, which have the same order and are no
/// matter of how a device takes what is not a number: that counts as infinite.
#[cube(launch_unchecked, address_type = "dynamic")]
fn find(maps: &[f32], places: &mut [i32], sizes: Sizes) {
    if ABSOLUTE_POS >= places.len() {
        terminate!();
    }
    let window = window_at(ABSOLUTE_POS, &sizes);
    let (height, width) = (sizes.height as usize, sizes.width as usize);
    let mut most = 0u32;
    // One more than the place.
    let mut found = 0usize;
    for map in window.map..window.map_end {
        for x in window.x..window.x_end {
            for y in window.y..window.y_end {
                let at = (map * height + y) * width + x;
                let bits = u32::reinterpret(maps[window.image + at]) & 0x7fff_ffffu32;
                let magnitude = select(bits > 0x7f80_0000u32, 0x7f80_0000u32, bits);
                if magnitude > most {
                    most = magnitude;
                    found = at + 1;
                }
            }
        }
    }
    places[ABSOLUTE_POS] = found as i32 - 1;
}

/// A unit reads for a window.
#[cube(launch_unchecked, address_type = "dynamic")]
fn gather(maps: &[f32], places: &[i32], values: &mut [f32], windows: u32, image: u32) {
    if ABSOLUTE_POS >= values.len() {
        terminate!();
    }
    let place = places[ABSOLUTE_POS];
    let mut value = 0.0f32;
    if place >= 0 {
        value = maps[ABSOLUTE_POS / windows as usize * image as usize + place as usize];
    }
    values[ABSOLUTE_POS] = value;
}

/// A unit writes the elements of a window.
#[cube(launch_unchecked, address_type = "dynamic")]
fn spread(values: &[f32], places: &[i32], maps: &mut [f32], sizes: Sizes) {
    if ABSOLUTE_POS >= values.len() {
        terminate!();
    }
    let window = window_at(ABSOLUTE_POS, &sizes);
    let (height, width) = (sizes.height as usize, sizes.width as usize);
    let (value, place) = (values[ABSOLUTE_POS], places[ABSOLUTE_POS]);
    for map in window.map..window.map_end {
        for y in window.y..window.y_end {
            for x in window.x..window.x_end {
                let at = (map * height + y) * width + x;
                maps[window.image + at] = select(at as i32 == place, value, 0.0f32);
            }
        }
    }
}

impl PoolingOps for CubeBackend {
    fn find_places(maps: FloatTensor<Self>, pool: Pool) -> IntTensor<Self> {
        check_tensors([&maps]);
        let maps = into_contiguous(maps);
        let places = empty_of(DType::I32, &maps, pool.pooled(dims(&maps)));
        let count = places.meta.num_elements();
        if count == 0 {
            return places;
        }
        let client = maps.client.clone();
        // SAFETY: `maps` lies in row-major order, and there is a window for each of the `count` places:
        // a unit reads within the rows, columns and maps of one and writes its place.
        unsafe {
            find::launch_unchecked(
                &client,
                grid(count.div_ceil(UNITS)),
                CubeDim::new_1d(UNITS as u32),
                address_type([&maps, &places]),
                maps.clone().into_buffer_arg(),
                places.clone().into_buffer_arg(),
                sizes(dims(&maps), pool),
            );
        }
        places
    }

    fn pool_at(maps: FloatTensor<Self>, places: IntTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        let [maps, places] = fitting(maps, places);
        let [_, k, height, width] = dims(&maps);
        let values = empty(&maps, pool.pooled(dims(&maps)));
        let count = values.meta.num_elements();
        if count == 0 {
            return values;
        }
        assert_eq!(dims(&places), dims(&values), "a place for each window");
        let client = maps.client.clone();
        // SAFETY: all lie in row-major order; there is a place for each of the `count` values, and a
        // place is none, or that of an element of its image.
        unsafe {
            gather::launch_unchecked(
                &client,
                grid(count.div_ceil(UNITS)),
                CubeDim::new_1d(UNITS as u32),
                address_type([&maps, &places, &values]),
                maps.clone().into_buffer_arg(),
                places.clone().into_buffer_arg(),
                values.clone().into_buffer_arg(),
                word(count / dims(&maps)[0]),
                word(k * height * width),
            );
        }
        values
    }

    fn unpool_at(
        values: FloatTensor<Self>,
        places: IntTensor<Self>,
        pool: Pool,
        maps: [usize; 4],
    ) -> FloatTensor<Self> {
        let [values, places] = fitting(values, places);
        let windows = pool.pooled(maps);
        assert_eq!(
            [dims(&values), dims(&places)],
            [windows; 2],
            "a value for each window"
        );
        let maps = empty(&values, maps);
        let count = values.meta.num_elements();
        if count == 0 {
            return maps;
        }
        let client = values.client.clone();
        // SAFETY: all lie in row-major order; there are a place and a value for each of the `count` windows,
        // and a unit writes within the rows, columns and maps of one.
        unsafe {
            spread::launch_unchecked(
                &client,
                grid(count.div_ceil(UNITS)),
                CubeDim::new_1d(UNITS as u32),
                address_type([&maps, &places, &values]),
                values.clone().into_buffer_arg(),
                places.clone().into_buffer_arg(),
                maps.clone().into_buffer_arg(),
                sizes(dims(&maps), pool),
            );
        }
        maps
    }
}

/// Numbers and places in row-major order.
fn fitting(
    x: FloatTensor<CubeBackend>,
    places: IntTensor<CubeBackend>,
) -> [FloatTensor<CubeBackend>; 2] {
    check_tensors([&x]);
    assert_eq!(
        places.dtype,
        DType::I32,
        "the GPU kernels take places as i32"
    );
    [x, places].map(into_contiguous)
}

/// Pooling and unpooling at given places are each the derivative of the other.
#[derive(Debug)]
struct Derivative;

impl<B: PoolingOps> Backward<B, 1> for Derivative {
    /// The shape of the maps where they were pooled, not unpooled.
    type State = (IntTensor<B>, Pool, Option<[usize; 4]>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (places, pool, pooled) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            let slope = match pooled {
                Some(maps) => B::unpool_at(grad, places, pool, maps),
                None => B::pool_at(grad, places, pool),
            };
            grads.register::<B>(node.id, slope);
        }
    }
}

impl<B: PoolingOps, C: CheckpointStrategy> PoolingOps for Autodiff<B, C> {
    fn find_places(maps: FloatTensor<Self>, pool: Pool) -> IntTensor<Self> {
        B::find_places(maps.into_primitive(), pool)
    }

    fn pool_at(maps: FloatTensor<Self>, places: IntTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        let node = [maps.node()];
        let maps = maps.into_primitive();
        match Derivative.prepare::<C>(node).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (places.clone(), pool, Some(maps.shape().dims()));
                prep.finish(state, B::pool_at(maps, places, pool))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::pool_at(maps, places, pool)),
        }
    }

    fn unpool_at(
        values: FloatTensor<Self>,
        places: IntTensor<Self>,
        pool: Pool,
        maps: [usize; 4],
    ) -> FloatTensor<Self> {
        let node = [values.node()];
        let values = values.into_primitive();
        match Derivative.prepare::<C>(node).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (places.clone(), pool, None);
                prep.finish(state, B::unpool_at(values, places, pool, maps))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::unpool_at(values, places, pool, maps)),
        }
    }
}
