//! `synthesize` and `analyze` as one kernel, a correlation over groups of alike outputs.
//!
//! A workgroup of 32 x 4 makes a tile of 32 x 32 pixels for the outputs of one group. For each of
//! the group's inputs it brings the tile with its halo, and the taps, to shared memory once; then
//! each unit correlates 8 pixels of a column for all outputs of the group in registers: for each
//! column of taps `8 + rows - 1` values and `rows` taps are read for `8 * rows * width` multiply-adds.
//! The 32 units of a row read and write neighbours: no bank conflicts, whole lines of memory.
//!
//! Filters of more than 16 rows or columns are worked off in passes of at most 16 x 16 taps.

use std::sync::Arc;

use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::MAX_TAPS;
use super::groups::{DeviceGroups, NONE, device_groups};
use crate::backend::launch::{address_type, check_tensors, empty, grid, with_dense_rows, word};
use crate::connectivity::Connectivity;
use crate::conv::sizes::{Product, Sizes};

/// Pixels of a tile in each direction.
pub(super) const TILE: usize = 32;
/// Pixels of a column that one unit makes.
pub(super) const STRIP: usize = 8;
/// Units of a workgroup: one for each column of the tile and each strip of it.
pub(super) const UNITS: (u32, u32) = (TILE as u32, (TILE / STRIP) as u32);
/// Numbers in a row of the tile with its halo.
pub(super) const PITCH: usize = TILE + MAX_TAPS - 1;

/// What the correlation works on, but for the tensors.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Geometry {
    /// Size of a filter.
    h: u32,
    w: u32,
    /// Zeros around the input, above and to the left.
    pad_y: u32,
    pad_x: u32,
    /// Number of groups, of tiles and of workgroups that have work.
    pub groups: u32,
    tiles_x: u32,
    tiles_y: u32,
    pub blocks: u32,
}

/// What a workgroup works on: a tile of the outputs of a group.
#[derive(CubeType, Clone, Copy)]
pub(super) struct TilePosition {
    pub image: u32,
    pub group: u32,
    top: u32,
    left: u32,
}

/// Groups next to each other, then tiles, then images: what runs at a time reads the same inputs.
#[cube]
pub(super) fn tile_position(geometry: &Geometry) -> TilePosition {
    let block = CUBE_POS as u32;
    let tile = block / geometry.groups;
    let row = tile / geometry.tiles_x;
    TilePosition {
        image: row / geometry.tiles_y,
        group: block % geometry.groups,
        top: row % geometry.tiles_y * TILE as u32,
        left: tile % geometry.tiles_x * TILE as u32,
    }
}

/// A tile with its halo; zero outside the input. `top` and `left` may lie outside: they wrap.
#[cube]
fn load_tile(
    input: &Tensor<f32>,
    tile: &mut Shared<[f32]>,
    base: usize,
    top: u32,
    left: u32,
    #[comptime] height: usize,
) {
    let (rows, columns) = (input.shape(2) as u32, input.shape(3) as u32);
    let (down, right) = (input.stride(2), input.stride(3));
    let x0 = left + UNIT_POS_X;
    let x1 = x0 + TILE as u32;
    let at0 = UNIT_POS_X as usize;
    let at1 = at0 + TILE;
    for step in 0..comptime!(height.div_ceil(UNITS.1 as usize)) {
        let row = step * UNITS.1 as usize + UNIT_POS_Y as usize;
        if row < height {
            let y = top + row as u32;
            let mut v0 = 0.0f32;
            let mut v1 = 0.0f32;
            if y < rows {
                let start = base + y as usize * down;
                if x0 < columns {
                    v0 = input[start + x0 as usize * right];
                }
                if x1 < columns {
                    v1 = input[start + x1 as usize * right];
                }
            }
            tile[row * PITCH + at0] = v0;
            if at1 < PITCH {
                tile[row * PITCH + at1] = v1;
            }
        }
    }
}

/// The taps of one pass, a vector over the group's outputs for each, column by column; zero beyond
/// the filter.
#[cube]
fn load_taps<Q: Size>(
    filters: &Tensor<f32>,
    groups: &[u32],
    taps: &mut Shared<[Vector<f32, Q>]>,
    geometry: &Geometry,
    members: usize,
    input: usize,
    first: (u32, u32),
    #[comptime] rows: usize,
    #[comptime] flip: bool,
) {
    let width = Q::value();
    let (plane, map) = (filters.stride(0), filters.stride(1));
    let (down, right) = (filters.stride(2), filters.stride(3));
    let (by_member, by_input) = if comptime!(flip) {
        (plane, map)
    } else {
        (map, plane)
    };
    let mut t = UNIT_POS as usize;
    while t < comptime!(rows * MAX_TAPS) {
        let a = first.0 + (t % rows) as u32;
        let b = first.1 + (t / rows) as u32;
        let mut tap = Vector::<f32, Q>::new(0.0f32);
        if a < geometry.h && b < geometry.w {
            let (mut y, mut x) = (a, b);
            if comptime!(flip) {
                y = geometry.h - 1 - a;
                x = geometry.w - 1 - b;
            }
            let at = input * by_input + y as usize * down + x as usize * right;
            #[unroll]
            for q in 0..width {
                let member = groups[members + q];
                if member != NONE {
                    tap.insert(q, filters[at + member as usize * by_member]);
                }
            }
        }
        taps[t] = tap;
        t += comptime!((UNITS.0 * UNITS.1) as usize);
    }
}

/// The sums of one unit: its strip of pixels, a vector over the group's outputs for each.
#[cube]
pub(super) fn correlate<Q: Size>(
    input: &Tensor<f32>,
    filters: &Tensor<f32>,
    groups: &[u32],
    geometry: &Geometry,
    position: &TilePosition,
    tile: &mut Shared<[f32]>,
    sums: &mut Array<Vector<f32, Q>>,
    #[comptime] rows: usize,
    #[comptime] flip: bool,
) {
    let mut taps = Shared::<[Vector<f32, Q>]>::new_slice(comptime!(rows * MAX_TAPS));
    let group = position.group as usize;
    let members = geometry.groups as usize + 1 + group * Q::value();
    let image = position.image as usize * input.stride(0);
    let corner = UNIT_POS_Y as usize * (STRIP * PITCH) + UNIT_POS_X as usize;

    for at in groups[group]..groups[group + 1] {
        let source = groups[at as usize] as usize;
        let base = image + source * input.stride(1);
        let mut a = 0u32;
        while a < geometry.h {
            let mut b = 0u32;
            while b < geometry.w {
                sync_cube();
                load_tile(
                    input,
                    tile,
                    base,
                    position.top + a - geometry.pad_y,
                    position.left + b - geometry.pad_x,
                    comptime!(TILE + rows - 1),
                );
                load_taps::<Q>(
                    filters,
                    groups,
                    &mut taps,
                    geometry,
                    members,
                    source,
                    (a, b),
                    rows,
                    flip,
                );
                sync_cube();
                let mut columns = geometry.w - b;
                if columns > MAX_TAPS as u32 {
                    columns = MAX_TAPS as u32;
                }
                for column in 0..columns as usize {
                    multiply::<Q>(&*tile, &taps, sums, corner + column, column * rows, rows);
                }
                b += MAX_TAPS as u32;
            }
            a += rows as u32;
        }
    }
    // The tile is free for other use.
    sync_cube();
}

/// Stages a unit's sums of one output in the tile, where it alone reads them: what follows is a loop
/// then, not as many copies of its code as there are sums, which takes long to compile.
#[cube]
pub(super) fn stage_sums<Q: Size>(
    sums: &Array<Vector<f32, Q>>,
    tile: &mut Shared<[f32]>,
    corner: usize,
    #[comptime] q: usize,
) {
    #[unroll]
    for i in 0..STRIP {
        tile[corner + i * TILE] = sums[i].extract(q);
    }
}

/// Where a unit's pixels are: its column, its first row, and the row after its last, within the plane.
#[cube]
pub(super) fn strip_bounds(
    position: &TilePosition,
    height: usize,
    width: usize,
) -> (usize, usize, usize) {
    let x = (position.left + UNIT_POS_X) as usize;
    let first = (position.top + UNIT_POS_Y * STRIP as u32) as usize;
    let mut last = first + STRIP;
    if last > height {
        last = height;
    }
    if x >= width || first > height {
        last = first;
    }
    (x, first, last)
}

/// One column of taps.
#[cube]
fn multiply<Q: Size>(
    tile: &Shared<[f32]>,
    taps: &Shared<[Vector<f32, Q>]>,
    sums: &mut Array<Vector<f32, Q>>,
    corner: usize,
    first: usize,
    #[comptime] rows: usize,
) {
    let mut values = Array::<f32>::new(comptime!(STRIP + rows - 1));
    #[unroll]
    for i in 0..comptime!(STRIP + rows - 1) {
        values[i] = tile[corner + i * PITCH];
    }
    #[unroll]
    for a in 0..rows {
        let tap = taps[first + a];
        #[unroll]
        for i in 0..STRIP {
            sums[i] = fma(Vector::new(values[i + a]), tap, sums[i]);
        }
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn product<Q: Size>(
    input: &Tensor<f32>,
    filters: &Tensor<f32>,
    groups: &[u32],
    output: &mut Tensor<f32>,
    geometry: Geometry,
    #[comptime] rows: usize,
    #[comptime] flip: bool,
) {
    if CUBE_POS as u32 >= geometry.blocks {
        terminate!();
    }
    let position = tile_position(&geometry);
    let mut sums = Array::<Vector<f32, Q>>::new(STRIP);
    let mut tile = Shared::<[f32]>::new_slice(comptime!(PITCH * (TILE + rows - 1)));
    correlate::<Q>(
        input, filters, groups, &geometry, &position, &mut tile, &mut sums, rows, flip,
    );

    let members = geometry.groups as usize + 1 + position.group as usize * Q::value();
    let corner = UNIT_POS_Y as usize * (STRIP * TILE) + UNIT_POS_X as usize;
    let (x, first, last) = strip_bounds(&position, output.shape(2), output.shape(3));
    #[unroll]
    for q in 0..Q::value() {
        let member = groups[members + q];
        if member != NONE {
            stage_sums::<Q>(&sums, &mut tile, corner, q);
            let start = column_start(&*output, position.image, member, x);
            let down = output.stride(2);
            for y in first..last {
                output[start + y * down] = tile[corner + (y - first) * TILE];
            }
        }
    }
}

/// Where a column of a plane starts.
#[cube]
pub(super) fn column_start(tensor: &Tensor<f32>, image: u32, plane: u32, x: usize) -> usize {
    image as usize * tensor.stride(0) + plane as usize * tensor.stride(1) + x * tensor.stride(3)
}

/// All that a launch needs but the tensors.
pub(super) struct Plan {
    pub client: Client,
    pub groups: Arc<DeviceGroups>,
    pub rows: usize,
    /// Workgroups of each image.
    pub blocks_each: usize,
    pub blocks: usize,
    geometry: [usize; 7],
}

impl Plan {
    pub fn new(
        (client, device): (&Client, &CubeDevice),
        product: Product,
        g: &Connectivity,
        sizes: Sizes,
    ) -> Self {
        let groups = device_groups(client, device, g, product);
        let [h, w] = sizes.filter;
        let ([height, width], pad) = match product {
            Product::Analyze => (sizes.map(), [h - 1, w - 1]),
            _ => (sizes.image, [0, 0]),
        };
        let tiles = [width.div_ceil(TILE), height.div_ceil(TILE)];
        let blocks_each = tiles[0] * tiles[1] * groups.count;
        Self {
            client: client.clone(),
            rows: h.div_ceil(h.div_ceil(MAX_TAPS)),
            blocks_each,
            blocks: sizes.batch * blocks_each,
            geometry: [h, w, pad[0], pad[1], groups.count, tiles[0], tiles[1]],
            groups,
        }
    }

    pub fn geometry(&self) -> GeometryLaunch {
        let [h, w, pad_y, pad_x, groups, tiles_x, tiles_y] = self.geometry.map(word);
        let blocks = word(self.blocks);
        GeometryLaunch::new(h, w, pad_y, pad_x, groups, tiles_x, tiles_y, blocks)
    }
}

/// `synthesize` or `analyze` of tensors of these sizes.
pub(super) fn launch(
    product: Product,
    [input, filters]: [CubeTensor; 2],
    g: &Connectivity,
    sizes: Sizes,
) -> CubeTensor {
    let input = with_dense_rows(input);
    let output = empty(&filters, sizes.output(product, g));
    check_tensors([&input, &filters, &output]);
    let plan = Plan::new((&output.client, &output.device), product, g, sizes);
    if plan.blocks == 0 {
        return output;
    }
    // SAFETY: the kernel writes within the rows and columns of `output`, and reads rows and columns of
    // `input` and taps of `filters` that it has found to be within them. There are workgroups for the
    // images of the batch, which `input` and `output` have, alone. The groups name planes and maps of
    // `g`, as many as `input`, `filters` and `output` have.
    unsafe {
        self::product::launch_unchecked(
            &plan.client,
            grid(plan.blocks),
            CubeDim::new_2d(UNITS.0, UNITS.1),
            address_type([&input, &filters, &output]),
            plan.groups.width,
            input.into_tensor_arg(),
            filters.into_tensor_arg(),
            plan.groups.words(),
            output.clone().into_tensor_arg(),
            plan.geometry(),
            plan.rows,
            product == Product::Synthesize,
        );
    }
    output
}
