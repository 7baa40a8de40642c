//! The GPU kernels against the definition of what they compute, on every GPU backend that answers.
//!
//! Kernels are compiled for each number of rows of taps, which on software Vulkan takes longer than
//! running them on shapes as small as these: few numbers of rows are drawn.

use burn::tensor::{DType, Device, Tensor};
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::conv::proximal::{self, Proximal};
use deconvnet::conv::{analyze, filter_gradient, synthesize};
use deconvnet::penalty::{self, Penalty};
use rand::{RngExt, rngs::ChaCha8Rng};

use crate::skipped::skipped;
use crate::support::plain::Case;
use crate::support::*;

/// Sums of some thousand terms in single precision, as a share of the largest.
const TOLERANCE: f64 = 1e-5;

/// The GPUs that answer.
fn gpus() -> Vec<Device> {
    let all = [
        Backend::Wgpu,
        Backend::Vulkan,
        Backend::Metal,
        Backend::Cuda,
    ];
    let compiled: Vec<_> = all.into_iter().filter(|b| b.compiled_in()).collect();
    if compiled.is_empty() {
        skipped("gpu", "no GPU backend is compiled in");
    }
    let found = answering(&compiled).into_iter();
    found.map(|(_, device)| device).collect()
}

/// Numbers that single precision holds exactly.
fn exact(shape: [usize; 4], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let numbers = normal(shape.iter().product(), rng).into_iter();
    numbers.map(|x| f64::from(x as f32)).collect()
}

/// A case of any size with one of a few heights of filters; about as often a size at which tiles of
/// 16 or 32 pixels end as any other.
fn draw(rows: usize, rng: &mut ChaCha8Rng) -> Case {
    let mut size = || match rng.random_range(0..2) {
        0 => rng.random_range(1..=40),
        _ => [15, 16, 17, 31, 32, 33, 64][rng.random_range(0..7)],
    };
    Case {
        image: [size(), size()],
        filter: [rows, [1, 2, 3, 5, 8][rng.random_range(0..5)]],
        ..Case::draw(1, rng)
    }
}

/// How a tensor lies in memory: as it is, permuted, in the middle of another, one row repeated.
fn laid(x: &Tensor<4>, layout: usize) -> Tensor<4> {
    let (dims, device) = (x.dims(), x.device());
    match layout {
        0 => x.clone(),
        1 => {
            // A copy in another order, seen in the right one.
            let moved = x.clone().permute([3, 0, 2, 1]);
            let copy = tensor_as(&values(&moved), moved.dims(), x.dtype(), &device);
            copy.permute([1, 3, 2, 0])
        }
        2 => {
            let moved = x.clone().swap_dims(0, 1);
            let copy = tensor_as(&values(&moved), moved.dims(), x.dtype(), &device);
            copy.swap_dims(0, 1)
        }
        _ => {
            let around = Tensor::full(dims.map(|d| d + 3), f32::NAN, (&device, x.dtype()));
            let place = dims.map(|d| 1..d + 1);
            around.slice_assign(place.clone(), x.clone()).slice(place)
        }
    }
}

fn assert_case(case: &Case, device: &Device, layout: usize, rng: &mut ChaCha8Rng) {
    let shapes = [case.maps_shape(), case.filters_shape(), case.image_shape()];
    let inputs = shapes.map(|shape| exact(shape, rng));
    let [z, f, r] = [0, 1, 2].map(|i| {
        let x = tensor_as(&inputs[i], shapes[i], DType::F32, device);
        laid(&x, (layout + i) % 4)
    });
    let got = [
        synthesize(z.clone(), f.clone(), &case.g),
        analyze(r.clone(), f, &case.g),
        filter_gradient(z, r, &case.g),
    ];
    let wanted = [
        case.synthesize(&inputs[0], &inputs[1]),
        case.analyze(&inputs[2], &inputs[1]),
        case.filter_gradient(&inputs[0], &inputs[2]),
    ];
    for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
        let what = format!("product {i}, layout {layout}, {case:?}");
        assert_near(&values(got), wanted, TOLERANCE, &what);
    }
}

#[test]
fn the_products_equal_the_plain_loops_for_any_shape_mask_and_layout() {
    for device in gpus() {
        let mut rng = rng(80);
        for seed in 0..48 {
            let case = draw([1, 3, 8][seed % 3], &mut rng);
            assert_case(&case, &device, seed % 4, &mut rng);
        }
    }
}

#[test]
fn filters_of_any_size_give_the_products_of_the_plain_loops() {
    for device in gpus() {
        let mut rng = rng(81);
        for filter in [[2, 16], [16, 17], [17, 3], [33, 34], [5, 40]] {
            let case = Case {
                g: Connectivity::singles_and_pairs(2),
                batch: 2,
                image: [19, 35],
                filter,
            };
            assert_case(&case, &device, 0, &mut rng);
        }
    }
}

#[test]
fn outputs_that_see_the_same_share_a_pass_in_ones_twos_and_fours() {
    for device in gpus() {
        let mut rng = rng(82);
        for [planes, maps] in [[1, 9], [2, 2], [3, 7], [5, 1], [4, 4]] {
            let case = Case {
                g: Connectivity::full(planes, maps),
                batch: 2,
                image: [9, 34],
                filter: [3, 5],
            };
            assert_case(&case, &device, 2, &mut rng);
        }
    }
}

#[test]
fn many_tiles_and_images_are_added_up_alike_every_time() {
    for device in gpus() {
        let case = Case {
            g: Connectivity::full(1, 1),
            batch: 5,
            image: [50, 70],
            filter: [3, 3],
        };
        let mut rng = rng(83);
        assert_case(&case, &device, 0, &mut rng);
        let shapes = [case.maps_shape(), case.image_shape()];
        let [z, r] = shapes.map(|s| tensor_as(&exact(s, &mut rng), s, DType::F32, &device));
        let once = bits(&filter_gradient(z.clone(), r.clone(), &case.g));
        for _ in 0..3 {
            assert_eq!(bits(&filter_gradient(z.clone(), r.clone(), &case.g)), once);
        }
    }
}

#[test]
fn unconnected_pairs_are_never_read_and_get_exactly_zero() {
    let g = Connectivity::matrix(&[vec![1, 0, 1], vec![0, 1, 1], vec![0, 0, 0]]).expect("sound");
    let case = Case {
        g: g.clone(),
        batch: 2,
        image: [5, 6],
        filter: [3, 2],
    };
    for device in gpus() {
        let mut rng = rng(84);
        let made =
            |shape, rng: &mut ChaCha8Rng| tensor_as(&exact(shape, rng), shape, DType::F32, &device);
        let [z, r, f] = [case.maps_shape(), case.image_shape(), case.filters_shape()]
            .map(|shape| made(shape, &mut rng));
        let mask = deconvnet::conv::reference::mask(&g, &device).equal_elem(0.0);
        let poisoned = f.clone().mask_fill(mask.expand(f.dims()), f32::NAN);
        for (op, x) in [(synthesize as fn(_, _, &_) -> _, &z), (analyze, &r)] {
            let clean = bits(&op(x.clone(), f.clone(), &g));
            assert_eq!(bits(&op(x.clone(), poisoned.clone(), &g)), clean);
        }
        let gradient = values(&filter_gradient(z, r, &g));
        for (pair, taps) in gradient.chunks(6).enumerate() {
            let connected = g.connects(pair / 3, pair % 3);
            assert_eq!(taps.iter().all(|&t| t == 0.0), !connected, "pair {pair}");
        }
    }
}

/// The proximal step of random tensors on a device, and in double precision on the CPU by Burn's own
/// operations.
#[test]
fn the_proximal_step_equals_its_reference() {
    let weights = [(1.0, 0.5), (0.5, 0.4), (0.8, 0.3)];
    for device in gpus() {
        let mut rng = rng(85);
        for seed in 0..18 {
            let case = draw([1, 3, 8][seed % 3], &mut rng);
            let (p, weight) = weights[seed % weights.len()];
            let penalty = Penalty {
                p,
                non_negative: seed % 4 == 3,
            };
            // A gradient step that does not drown the maps.
            let length = 0.3 / ((case.filter[0] * case.filter[1]) as f64).sqrt();
            let by = Proximal {
                length,
                weight,
                penalty,
            };
            let maps = case.maps_shape();
            let shapes = [case.image_shape(), case.filters_shape(), maps, maps];
            let inputs = shapes.map(|shape| exact(shape, &mut rng));
            let momenta: Vec<f64> = (0..case.batch).map(|n| 0.25 * n as f64).collect();
            let run = |dtype, device: &Device, layout: usize, op: fn(_, _, &_, _, _, _) -> _| {
                let given = |i: usize| {
                    laid(
                        &tensor_as(&inputs[i], shapes[i], dtype, device),
                        (layout * (i + 1)) % 4,
                    )
                };
                let momentum = tensor_as(&momenta, [case.batch, 1, 1, 1], dtype, device);
                let (next, uphill): (Tensor<4>, Tensor<4>) = op(
                    given(0),
                    given(1),
                    &case.g,
                    [given(2), given(3)],
                    momentum,
                    by,
                );
                assert_eq!(uphill.dims(), [case.batch, 1, 1, 1]);
                (values(&next), values(&uphill))
            };
            let what = format!("{penalty:?}, {case:?}");
            let wanted = run(DType::F64, &Device::flex(), 0, proximal::reference);
            let got = run(DType::F32, &device, seed % 2, proximal::step);
            assert_shrunk(&got.0, &wanted.0, p, weight, &what);
            let magnitude = wanted.0.len() as f64 / case.batch as f64;
            for (got, wanted) in got.1.iter().zip(&wanted.1) {
                // A sum of terms of about 1 that nearly cancel.
                let off = (got - wanted).abs() / (magnitude + wanted.abs());
                assert!(off < 1e-5, "{what}: uphill {got}, not {wanted}");
            }
            let zeros = got.0.iter().filter(|&&z| z == 0.0).count();
            assert!(zeros > 0 || got.0.len() < 50, "{what}: exact zeros");
        }
    }
}

#[test]
fn the_shrink_equals_its_reference_and_its_zeros_are_exact() {
    for device in gpus() {
        let mut rng = rng(86);
        let shape = [2, 3, 17, 19];
        let mut v = exact(shape, &mut rng);
        v[0] = 0.0;
        v[1] = -0.0;
        for (p, weight) in [(1.0, 0.4), (0.5, 0.4), (0.8, 0.01), (0.8, 0.0), (1.0, 0.0)] {
            for non_negative in [false, true] {
                let penalty = Penalty { p, non_negative };
                let given = tensor_as(&v, shape, DType::F32, &device);
                let wanted = values(&penalty::shrink(tensor(&v, shape), weight, penalty));
                for layout in 0..4 {
                    let got = values(&proximal::shrink(laid(&given, layout), weight, penalty));
                    let what = format!("{penalty:?}, weight {weight}");
                    assert_shrunk(&got, &wanted, p, weight, &what);
                }
            }
        }
        let nan = Tensor::<4>::full([1, 1, 1, 1], f32::NAN, &device);
        for (p, non_negative) in [(1.0, false), (0.5, false), (1.0, true)] {
            let penalty = Penalty { p, non_negative };
            let shrunk = proximal::shrink(nan.clone(), 0.1, penalty);
            assert!(number(shrunk).is_nan(), "{penalty:?}");
        }
    }
}

/// As [`assert_near`], but where p < 1 a number next to the jump may fall on either side of it.
fn assert_shrunk(got: &[f64], wanted: &[f64], p: f64, weight: f64, what: &str) {
    if p == 1.0 {
        return assert_near(got, wanted, TOLERANCE, what);
    }
    let jump = (2.0 * (1.0 - p) * weight).powf(1.0 / (2.0 - p));
    let mut astride = 0;
    let settled: Vec<f64> = got
        .iter()
        .zip(wanted)
        .map(|(&g, &w)| {
            let one_is_zero = (g == 0.0) != (w == 0.0);
            if one_is_zero && (g.abs().max(w.abs()) - jump).abs() < 1e-3 * jump {
                astride += 1;
                return w;
            }
            g
        })
        .collect();
    assert!(astride * 1000 <= got.len(), "{what}: {astride} at the jump");
    assert_near(&settled, wanted, TOLERANCE, what);
}

#[test]
fn autodiff_differentiates_the_kernels() {
    let case = Case {
        g: Connectivity::singles_and_pairs(2),
        batch: 2,
        image: [6, 7],
        filter: [3, 3],
    };
    let mut rng = rng(87);
    let shapes = [case.maps_shape(), case.filters_shape(), case.image_shape()];
    let inputs = shapes.map(|shape| exact(shape, &mut rng));
    let gradients = |dtype, device: &Device| {
        let [z, f, r] = [0, 1, 2].map(|i| {
            let plain = tensor_as(&inputs[i], shapes[i], dtype, device);
            Tensor::from_inner(plain).require_grad()
        });
        let residual = synthesize(z.clone(), f.clone(), &case.g) - r.clone();
        let back = analyze(residual.clone(), f.clone(), &case.g);
        let taps = filter_gradient(z.clone(), residual, &case.g);
        let loss = back.square().mean() + taps.square().mean();
        let gradients = loss.backward();
        [z, f, r].map(|x| values(&x.grad(&gradients).expect("a gradient")))
    };
    let wanted = gradients(DType::F64, &Device::flex());
    for device in gpus() {
        for (got, wanted) in gradients(DType::F32, &device).iter().zip(&wanted) {
            assert_near(got, wanted, TOLERANCE, "gradient");
        }
    }
}

/// There are no GPU kernels for other types.
#[test]
fn other_types_go_through_plain_operations() {
    let case = Case {
        g: Connectivity::singles_and_pairs(2),
        batch: 2,
        image: [6, 7],
        filter: [3, 2],
    };
    let mut rng = rng(88);
    let shapes = [case.maps_shape(), case.filters_shape(), case.image_shape()];
    let inputs = shapes.map(|shape| exact(shape, &mut rng));
    let wanted = [
        case.synthesize(&inputs[0], &inputs[1]),
        case.analyze(&inputs[2], &inputs[1]),
        case.filter_gradient(&inputs[0], &inputs[2]),
    ];
    for device in gpus() {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F16, 1e-2)] {
            if !device.supports_dtype(dtype) {
                skipped(&format!("{dtype:?}"), format!("{device:?} has none"));
                continue;
            }
            let [z, f, r] = [0, 1, 2].map(|i| tensor_as(&inputs[i], shapes[i], dtype, &device));
            let got = [
                synthesize(z.clone(), f.clone(), &case.g),
                analyze(r.clone(), f, &case.g),
                filter_gradient(z.clone(), r, &case.g),
            ];
            for (got, wanted) in got.iter().zip(&wanted) {
                assert_eq!(got.dtype(), dtype);
                assert_near(&values(got), wanted, tolerance, &format!("{dtype:?}"));
            }
        }
    }
}

#[test]
fn the_proximal_step_and_the_shrink_are_differentiable_by_plain_operations() {
    let case = Case {
        g: Connectivity::full(1, 2),
        batch: 2,
        image: [4, 5],
        filter: [2, 3],
    };
    let mut rng = rng(89);
    let maps = case.maps_shape();
    let shapes = [
        case.image_shape(),
        case.filters_shape(),
        maps,
        maps,
        [2, 1, 1, 1],
    ];
    let inputs = shapes.map(|shape| exact(shape, &mut rng));
    let by = Proximal {
        length: 0.1,
        weight: 0.2,
        penalty: 1.0.into(),
    };
    let run = |dtype, device: &Device| {
        let tensors = [0, 1, 2, 3, 4].map(|i| {
            Tensor::from_inner(tensor_as(&inputs[i], shapes[i], dtype, device)).require_grad()
        });
        let [residual, filters, x, before, momentum] = tensors.clone();
        let (next, uphill) = proximal::step(residual, filters, &case.g, [x, before], momentum, by);
        let loss = proximal::shrink(next, 0.1, 1.0).square().sum() + uphill.sum();
        let gradients = loss.backward();
        tensors.map(|x| values(&x.grad(&gradients).expect("a gradient")))
    };
    let wanted = run(DType::F64, &Device::flex());
    for device in gpus() {
        for (got, wanted) in run(DType::F32, &device).iter().zip(&wanted) {
            assert_near(got, wanted, 1e-4, "gradient");
        }
    }
}

#[test]
fn tensors_on_two_devices_are_refused() {
    let g = Connectivity::full(1, 1);
    let ones = |device: &Device| Tensor::<4>::ones([1, 1, 3, 3], device);
    for device in gpus() {
        let mixed = || synthesize(ones(&device), ones(&Device::flex()), &g);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(mixed));
        let message: Box<String> = panic.expect_err("refused").downcast().expect("a message");
        says!(message, "expected the same type and device");
    }
}
