//! FISTA's proximal step as the epilogue of `analyze`: what that sums up is used where it lies, in
//! registers, and never becomes a tensor.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::correlate::{
    Geometry, PITCH, Plan, STRIP, TILE, UNITS, column_start, correlate, stage_sums, strip_bounds,
    tile_position,
};
use super::groups::NONE;
use super::prox::{Kind, Shrink, ShrinkLaunch, shrink_one, sum_of_workgroup};
use crate::backend::launch::{address_type, check_tensors, dims, empty, grid, with_dense_rows};
use crate::connectivity::Connectivity;
use crate::conv::sizes::{Product, Sizes};

/// `analyze`, and with what it gives the whole proximal step, see [`super::prox`]; each workgroup
/// leaves its part of `uphill`.
#[cube(launch_unchecked, address_type = "dynamic")]
fn product_and_step<Q: Size>(
    residual: &Tensor<f32>,
    filters: &Tensor<f32>,
    groups: &[u32],
    x: &Tensor<f32>,
    before: &Tensor<f32>,
    momentum: &Tensor<f32>,
    next: &mut Tensor<f32>,
    uphill: &mut [f32],
    geometry: Geometry,
    length: f32,
    shrink: Shrink,
    #[comptime] rows: usize,
    #[comptime] kind: Kind,
) {
    if CUBE_POS as u32 >= geometry.blocks {
        terminate!();
    }
    let position = tile_position(&geometry);
    let mut sums = Array::<Vector<f32, Q>>::new(STRIP);
    let mut tile = Shared::<[f32]>::new_slice(comptime!(PITCH * (TILE + rows - 1)));
    correlate::<Q>(
        residual, filters, groups, &geometry, &position, &mut tile, &mut sums, rows, false,
    );

    let members = geometry.groups as usize + 1 + position.group as usize * Q::value();
    let corner = UNIT_POS_Y as usize * (STRIP * TILE) + UNIT_POS_X as usize;
    let (column, first, last) = strip_bounds(&position, next.shape(2), next.shape(3));
    let momentum = momentum[position.image as usize * momentum.stride(0)];
    let mut part = 0.0f32;
    #[unroll]
    for q in 0..Q::value() {
        let member = groups[members + q];
        if member != NONE {
            stage_sums::<Q>(&sums, &mut tile, corner, q);
            let from_x = column_start(x, position.image, member, column);
            let from_before = column_start(before, position.image, member, column);
            let to = column_start(&*next, position.image, member, column);
            let down = next.stride(2);
            for row in first..last {
                let now = x[from_x + row * x.stride(2)];
                let then = before[from_before + row * before.stride(2)];
                let v = fma(momentum, now - then, now);
                let descended = v - length * tile[corner + (row - first) * TILE];
                let new = shrink_one(descended, &shrink, kind);
                part += (v - new) * (new - now);
                next[to + row * down] = new;
            }
        }
    }
    let part = sum_of_workgroup(part, comptime!((UNITS.0 * UNITS.1) as usize));
    if UNIT_POS == 0 {
        // All of an image's parts next to each other, whatever the order of the workgroups.
        uphill[CUBE_POS] = part;
    }
}

/// The proximal step: the next maps, and each workgroup's part of `uphill`, `[n, parts, 1, 1]`.
pub(super) fn launch(
    [residual, filters, x, before, momentum]: [CubeTensor; 5],
    g: &Connectivity,
    length: f64,
    (shrink, kind): (ShrinkLaunch, Kind),
) -> (CubeTensor, CubeTensor) {
    let sizes = Sizes::of(Product::Analyze, [dims(&residual), dims(&filters)], g);
    let maps = sizes.output(Product::Analyze, g);
    let numbers = [sizes.batch, 1, 1, 1];
    assert_eq!(
        [dims(&x), dims(&before), dims(&momentum)],
        [maps, maps, numbers]
    );
    let [residual, x, before] = [residual, x, before].map(with_dense_rows);
    check_tensors([&residual, &filters, &x, &before, &momentum]);
    let plan = Plan::new((&x.client, &x.device), Product::Analyze, g, sizes);
    let next = empty(&x, maps);
    let parts = empty(&x, [sizes.batch, plan.blocks_each, 1, 1]);
    if plan.blocks == 0 {
        return (next, parts);
    }
    // SAFETY: `residual` and `filters` are read as by `analyze`, see [`super::correlate`]. The kernel
    // works within the rows and columns of `next`, whose shape `x` and `before` have, on the images of
    // the batch, of each of which there is a momentum, and on maps of `g`. There is a part for each
    // workgroup that has work.
    unsafe {
        product_and_step::launch_unchecked(
            &plan.client,
            grid(plan.blocks),
            CubeDim::new_2d(UNITS.0, UNITS.1),
            address_type([&residual, &filters, &x, &before, &next]),
            plan.groups.width,
            residual.into_tensor_arg(),
            filters.into_tensor_arg(),
            plan.groups.words(),
            x.into_tensor_arg(),
            before.into_tensor_arg(),
            momentum.into_tensor_arg(),
            next.clone().into_tensor_arg(),
            parts.clone().into_buffer_arg(),
            plan.geometry(),
            length as f32,
            shrink,
            plan.rows,
            kind,
        );
    }
    (next, parts)
}
