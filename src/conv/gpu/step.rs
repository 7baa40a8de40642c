//! FISTA's proximal step as the epilogue of `analyze`: what that sums up is used where it lies, in
//! registers, and never becomes a tensor.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::correlate::{
    Geometry, PITCH, Plan, STRIP, TILE, UNITS, correlate, lay_down, place, start, strip,
};
use super::groups::{NONE, Product};
use super::prox::{Shrink, ShrinkLaunch, shrink_one, total};
use super::{address_type, empty, readable};
use crate::connectivity::Connectivity;

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
    #[comptime] soft: bool,
) {
    if CUBE_POS as u32 >= geometry.blocks {
        terminate!();
    }
    let place = place(&geometry);
    let mut sums = Array::<Vector<f32, Q>>::new(STRIP);
    let mut tile = Shared::<[f32]>::new_slice(comptime!(PITCH * (TILE + rows - 1)));
    correlate::<Q>(
        residual, filters, groups, &geometry, &place, &mut tile, &mut sums, rows, false,
    );

    let members = geometry.groups as usize + 1 + place.group as usize * Q::value();
    let corner = UNIT_POS_Y as usize * (STRIP * TILE) + UNIT_POS_X as usize;
    let (column, first, last) = strip(&place, next.shape(2), next.shape(3));
    let momentum = momentum[place.image as usize * momentum.stride(0)];
    let mut part = 0.0f32;
    #[unroll]
    for q in 0..Q::value() {
        let member = groups[members + q];
        if member != NONE {
            lay_down::<Q>(&sums, &mut tile, corner, q);
            let from_x = start(x, place.image, member, column);
            let from_before = start(before, place.image, member, column);
            let to = start(&*next, place.image, member, column);
            let down = next.stride(2);
            for row in first..last {
                let now = x[from_x + row * x.stride(2)];
                let then = before[from_before + row * before.stride(2)];
                let v = fma(momentum, now - then, now);
                let descended = v - length * tile[corner + (row - first) * TILE];
                let new = shrink_one(descended, &shrink, soft);
                part += (v - new) * (new - now);
                next[to + row * down] = new;
            }
        }
    }
    let part = total(part, comptime!((UNITS.0 * UNITS.1) as usize));
    if UNIT_POS == 0 {
        // All of an image's parts next to each other, whatever the order of the workgroups.
        uphill[CUBE_POS] = part;
    }
}

/// The proximal step: the next maps, and each workgroup's part of `uphill`, `[n, parts, 1, 1]`.
pub(super) fn launch(
    [residual, filters, x, before, momentum]: [CubeTensor; 5],
    g: &Connectivity,
    length: f32,
    (shrink, soft): (ShrinkLaunch, bool),
) -> (CubeTensor, CubeTensor) {
    let [residual, x, before] = [residual, x, before].map(readable);
    let output = x.meta.shape().dims();
    let [_, _, h, w] = filters.meta.shape().dims();
    let place = (&x.client, &x.device);
    let plan = Plan::new(place, g, Product::Analyze, output, [h, w]);
    let next = empty(&x, output);
    let parts = empty(&x, [output[0], plan.blocks_of_an_image(), 1, 1]);
    if output.contains(&0) {
        return (next, parts);
    }
    // SAFETY: every index is held within its tensor by the kernel itself; there is a part for each
    // workgroup.
    unsafe {
        product_and_step::launch_unchecked(
            &plan.client,
            plan.grid.count(),
            CubeDim::new_2d(UNITS.0, UNITS.1),
            address_type([&residual, &filters, &x, &before, &next]),
            plan.lists.width,
            residual.into_tensor_arg(),
            filters.into_tensor_arg(),
            plan.lists.words(),
            x.into_tensor_arg(),
            before.into_tensor_arg(),
            momentum.into_tensor_arg(),
            next.clone().into_tensor_arg(),
            parts.clone().into_buffer_arg(),
            plan.geometry(),
            length,
            shrink,
            plan.rows,
            soft,
        );
    }
    (next, parts)
}
