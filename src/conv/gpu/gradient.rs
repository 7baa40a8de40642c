//! `filter_gradient`, in two stages and always in the same order.
//!
//! In the first a workgroup correlates one map with the residuals of a few of its planes over many
//! tiles of 32 x 16 pixels. It is to the taps what `analyze` is to the pixels: a unit owns a column of
//! taps and a share of the tile's columns, keeps its sums in registers over all tiles, and reads
//! `8 + rows - 1` values of the map and 8 of the residual for `8 * rows * width` multiply-adds. At the
//! end the workgroup adds its units up. The second stage adds the workgroups up and writes all pairs,
//! the unconnected ones as zeros.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::MAX_TAPS;
use super::groups::{NONE, device_groups};
use crate::backend::launch::{address_type, check_tensors, empty, grid, with_dense_rows, word};
use crate::connectivity::Connectivity;
use crate::conv::sizes::{Product, Sizes};

/// Columns and rows of a tile.
const TILE: (usize, usize) = (32, 16);
/// Pixels of a column that a unit works off at a time.
const STRIP: usize = 8;
/// Units of a workgroup.
const UNITS: usize = 128;
/// Numbers in a row of the map's tile with its halo.
const PITCH: usize = TILE.0 + MAX_TAPS - 1;
/// Workgroups that the first stage aims at: enough to fill the largest devices a few times over, few
/// enough for the second to be short. A constant, so that every device adds in the same order.
const WORKGROUPS: usize = 2048;

/// What is worked on, but for the tensors.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Geometry {
    h: u32,
    w: u32,
    groups: u32,
    passes_y: u32,
    passes_x: u32,
    tiles_x: u32,
    tiles_y: u32,
    /// Tiles of all images.
    tiles: u32,
    /// Tiles for each workgroup.
    share: u32,
    blocks: u32,
}

/// The residuals of a tile, a vector over the group's planes for each pixel; zero outside.
#[cube]
fn load_residual<Q: Size>(
    residual: &Tensor<f32>,
    groups: &[u32],
    tile: &mut Shared<[Vector<f32, Q>]>,
    members: usize,
    image: usize,
    top: u32,
    left: u32,
) {
    let (height, width) = (residual.shape(2) as u32, residual.shape(3) as u32);
    let column = UNIT_POS % TILE.0 as u32;
    let x = left + column;
    let mut row = UNIT_POS / TILE.0 as u32;
    while row < TILE.1 as u32 {
        let y = top + row;
        let mut value = Vector::<f32, Q>::new(0.0f32);
        if y < height && x < width {
            let at = image * residual.stride(0)
                + y as usize * residual.stride(2)
                + x as usize * residual.stride(3);
            #[unroll]
            for q in 0..Q::value() {
                let member = groups[members + q];
                if member != NONE {
                    value.insert(q, residual[at + member as usize * residual.stride(1)]);
                }
            }
        }
        tile[(row * TILE.0 as u32 + column) as usize] = value;
        row += comptime!((UNITS / TILE.0) as u32);
    }
}

/// The map under a tile, with the halo of one pass; zero outside.
#[cube]
fn load_map(
    maps: &Tensor<f32>,
    tile: &mut Shared<[f32]>,
    base: usize,
    top: u32,
    left: u32,
    #[comptime] height: usize,
) {
    let (rows, columns) = (maps.shape(2) as u32, maps.shape(3) as u32);
    let (down, right) = (maps.stride(2), maps.stride(3));
    let column = UNIT_POS % TILE.0 as u32;
    let x0 = left + column;
    let x1 = x0 + TILE.0 as u32;
    let mut row = UNIT_POS / TILE.0 as u32;
    while row < height as u32 {
        let y = top + row;
        let mut v0 = 0.0f32;
        let mut v1 = 0.0f32;
        if y < rows {
            let start = base + y as usize * down;
            if x0 < columns {
                v0 = maps[start + x0 as usize * right];
            }
            if x1 < columns {
                v1 = maps[start + x1 as usize * right];
            }
        }
        let at = row as usize * PITCH + column as usize;
        tile[at] = v0;
        if column < comptime!((PITCH - TILE.0) as u32) {
            tile[at + TILE.0] = v1;
        }
        row += comptime!((UNITS / TILE.0) as u32);
    }
}

/// A strip of one column: `sums[a] += sum_i map[i + a] residual[i]`.
#[cube]
fn multiply<Q: Size>(
    map: &Shared<[f32]>,
    residual: &Shared<[Vector<f32, Q>]>,
    sums: &mut Array<Vector<f32, Q>>,
    corner: usize,
    first: usize,
    #[comptime] rows: usize,
) {
    let mut values = Array::<f32>::new(comptime!(STRIP + rows - 1));
    #[unroll]
    for i in 0..comptime!(STRIP + rows - 1) {
        values[i] = map[corner + i * PITCH];
    }
    #[unroll]
    for i in 0..STRIP {
        let r = residual[first + i * TILE.0];
        #[unroll]
        for a in 0..rows {
            sums[a] = fma(Vector::new(values[i + a]), r, sums[a]);
        }
    }
}

/// The first stage; `parts` is `[shares, groups * width, h, w]`, taps in the order of a correlation.
#[cube(launch_unchecked, address_type = "dynamic")]
fn correlate_tiles<Q: Size>(
    maps: &Tensor<f32>,
    residual: &Tensor<f32>,
    groups: &[u32],
    parts: &mut [f32],
    geometry: Geometry,
    #[comptime] rows: usize,
) {
    if CUBE_POS as u32 >= geometry.blocks {
        terminate!();
    }
    let block = CUBE_POS as u32;
    let group = block % geometry.groups;
    let pass = block / geometry.groups % (geometry.passes_y * geometry.passes_x);
    let share = block / (geometry.groups * geometry.passes_y * geometry.passes_x);
    let a = pass / geometry.passes_x * rows as u32;
    let b = pass % geometry.passes_x * MAX_TAPS as u32;
    let mut columns = geometry.w - b;
    if columns > MAX_TAPS as u32 {
        columns = MAX_TAPS as u32;
    }
    let members = (geometry.groups + 1 + group * Q::value() as u32) as usize;
    let map = groups[groups[group as usize] as usize] as usize;

    let mut seen = Shared::<[f32]>::new_slice(comptime!(PITCH * (TILE.1 + rows - 1)));
    let mut wanted = Shared::<[Vector<f32, Q>]>::new_slice(comptime!(TILE.0 * TILE.1));
    let mut sums = Array::<Vector<f32, Q>>::new(rows);
    // Which column of taps this unit sums up, and with how many others.
    let column = UNIT_POS % columns;
    let helper = UNIT_POS / columns;
    let helpers = UNITS as u32 / columns;

    let mut last = (share + 1) * geometry.share;
    if last > geometry.tiles {
        last = geometry.tiles;
    }
    for tile in share * geometry.share..last {
        let left = tile % geometry.tiles_x * TILE.0 as u32;
        let row = tile / geometry.tiles_x;
        let top = row % geometry.tiles_y * TILE.1 as u32;
        let image = (row / geometry.tiles_y) as usize;
        sync_cube();
        load_residual::<Q>(residual, groups, &mut wanted, members, image, top, left);
        load_map(
            maps,
            &mut seen,
            image * maps.stride(0) + map * maps.stride(1),
            top + a,
            left + b,
            comptime!(TILE.1 + rows - 1),
        );
        sync_cube();
        if helper < helpers {
            let mut item = helper;
            while item < comptime!((TILE.0 * TILE.1 / STRIP) as u32) {
                let x = (item % TILE.0 as u32) as usize;
                let y = (item / TILE.0 as u32) as usize * STRIP;
                let corner = y * PITCH + x + column as usize;
                multiply::<Q>(&seen, &wanted, &mut sums, corner, y * TILE.0 + x, rows);
                item += helpers;
            }
        }
    }

    let mut each = Shared::<[Vector<f32, Q>]>::new_slice(UNITS);
    #[unroll]
    for tap in 0..rows {
        sync_cube();
        each[UNIT_POS as usize] = sums[tap];
        sync_cube();
        if UNIT_POS < columns && a + (tap as u32) < geometry.h {
            let mut sum = Vector::<f32, Q>::new(0.0f32);
            for other in 0..helpers {
                sum += each[(other * columns + UNIT_POS) as usize];
            }
            let size = (geometry.h * geometry.w) as usize;
            let first = (share * geometry.groups + group) as usize * Q::value();
            let at = ((a + tap as u32) * geometry.w + b + UNIT_POS) as usize;
            #[unroll]
            for q in 0..Q::value() {
                parts[(first + q) * size + at] = sum.extract(q);
            }
        }
    }
}

/// The second stage: the shares added up, taps in the order of a convolution.
#[cube(launch_unchecked, address_type = "dynamic")]
fn add_shares(
    parts: &[f32],
    slots: &[u32],
    output: &mut [f32],
    size: u32,
    members: u32,
    shares: u32,
    count: u32,
) {
    if ABSOLUTE_POS >= count as usize {
        terminate!();
    }
    let pair = ABSOLUTE_POS as u32 / size;
    // Rows and columns reversed is the whole order reversed.
    let tap = size - 1 - ABSOLUTE_POS as u32 % size;
    let slot = slots[pair as usize];
    let mut sum = 0.0f32;
    if slot != NONE {
        for share in 0..shares {
            let at = (share * members + slot) as usize * size as usize;
            sum += parts[at + tap as usize];
        }
    }
    output[ABSOLUTE_POS] = sum;
}

/// How the work of the first stage is dealt out.
struct Workload {
    rows: usize,
    shares: usize,
    blocks: usize,
    geometry: [usize; 9],
}

impl Workload {
    fn new(groups: usize, sizes: Sizes) -> Self {
        let Sizes {
            batch,
            image: [height, width],
            filter: [h, w],
        } = sizes;
        let passes = [h.div_ceil(MAX_TAPS), w.div_ceil(MAX_TAPS)];
        let across = [width.div_ceil(TILE.0), height.div_ceil(TILE.1)];
        let tiles = batch * across[0] * across[1];
        let blocks = groups * passes[0] * passes[1];
        let wanted = WORKGROUPS.div_ceil(blocks.max(1)).clamp(1, tiles.max(1));
        let share = tiles.div_ceil(wanted).max(1);
        let shares = tiles.div_ceil(share);
        Self {
            rows: h.div_ceil(passes[0]),
            shares,
            blocks: blocks * shares,
            geometry: [
                h, w, groups, passes[0], passes[1], across[0], across[1], tiles, share,
            ],
        }
    }

    fn geometry(&self) -> GeometryLaunch {
        let [h, w, groups, passes_y, passes_x, x, y, tiles, share] = self.geometry.map(word);
        let blocks = word(self.blocks);
        GeometryLaunch::new(h, w, groups, passes_y, passes_x, x, y, tiles, share, blocks)
    }
}

/// `filter_gradient` of tensors of these sizes.
pub(super) fn launch(
    [maps, residual]: [CubeTensor; 2],
    g: &Connectivity,
    sizes: Sizes,
) -> CubeTensor {
    let [h, w] = sizes.filter;
    let output = empty(&maps, sizes.output(Product::FilterGradient, g));
    let count = output.meta.num_elements();
    let (size, numbers) = (word(h * w), word(count));
    if count == 0 {
        return output;
    }
    let (maps, residual) = (with_dense_rows(maps), with_dense_rows(residual));
    check_tensors([&maps, &residual]);
    let groups = device_groups(&maps.client, &maps.device, g, Product::FilterGradient);
    let workload = Workload::new(groups.count, sizes);
    let members = groups.count * groups.width;
    let parts = empty(&maps, [workload.shares.max(1), members, h, w]);
    if workload.blocks > 0 {
        let client = maps.client.clone();
        // SAFETY: the kernel reads rows and columns of `maps` and `residual` that it has found to be
        // within them, of the images of the batch, which both have. The groups name planes and maps of
        // `g`, as many as `residual` and `maps` have. There is a part for each share, member and tap.
        unsafe {
            correlate_tiles::launch_unchecked(
                &client,
                grid(workload.blocks),
                CubeDim::new_1d(UNITS as u32),
                address_type([&maps, &residual, &parts]),
                groups.width,
                maps.into_tensor_arg(),
                residual.into_tensor_arg(),
                groups.words(),
                parts.clone().into_buffer_arg(),
                workload.geometry(),
                workload.rows,
            );
        }
    }
    let client = parts.client.clone();
    // SAFETY: a unit writes one of the `count` numbers of `output`. There is a slot for each of its
    // pairs, and the slots are those of members, of each of which the first stage has written all taps
    // for every share.
    unsafe {
        add_shares::launch_unchecked(
            &client,
            grid(count.div_ceil(UNITS)),
            CubeDim::new_1d(UNITS as u32),
            address_type([&parts, &output]),
            parts.into_buffer_arg(),
            groups.slots(),
            output.clone().into_buffer_arg(),
            size,
            word(members),
            word(workload.shares),
            numbers,
        );
    }
    output
}
