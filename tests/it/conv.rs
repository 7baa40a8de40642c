//! The masked convolution against its definition, as adjoints, and under autodiff.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{DType, Device, Tensor};
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::conv::proximal::{self, Proximal};
use deconvnet::conv::{self, analyze, filter_gradient, synthesize};
use deconvnet::penalty;

use crate::support::plain::Case;
use crate::support::*;

/// What the kernels may be off by, as a share of the largest value. Sums have up to 9 x 70 x 3
/// terms in any order.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-13,
        DType::F16 => 5e-3,
        DType::BF16 => 5e-2,
        _ => 1e-5,
    }
}

/// The products of one case by the loops, with the inputs: maps, filters, residual.
struct Worked {
    case: Case,
    inputs: [Vec<f64>; 3],
    products: [Vec<f64>; 3],
}

fn work(case: Case, seed: u64) -> Worked {
    let mut rng = rng(seed);
    let count = |shape: [usize; 4]| shape.iter().product();
    // Values that f32 holds exactly, so that both types start from the same numbers.
    let mut draw = |shape| -> Vec<f64> {
        let exact = normal(count(shape), &mut rng).into_iter();
        exact.map(|x| f64::from(x as f32)).collect()
    };
    let maps = draw(case.maps_shape());
    let filters = draw(case.filters_shape());
    let residual = draw(case.image_shape());
    let products = [
        case.synthesize(&maps, &filters),
        case.analyze(&residual, &filters),
        case.filter_gradient(&maps, &residual),
    ];
    Worked {
        case,
        inputs: [maps, filters, residual],
        products,
    }
}

type Three = [fn(Tensor<4>, Tensor<4>, &Connectivity) -> Tensor<4>; 3];
const NAMES: [&str; 3] = ["synthesize", "analyze", "filter_gradient"];
const KERNELS: Three = [synthesize, analyze, filter_gradient];
const BY_BURN: Three = [
    conv::reference::synthesize,
    conv::reference::analyze,
    conv::reference::filter_gradient,
];

/// The three products of tensors that hold the inputs, however they lie in memory.
#[track_caller]
fn assert_products(ops: Three, worked: &Worked, [z, f, r]: [Tensor<4>; 3]) {
    let Worked { case, products, .. } = worked;
    let dtype = z.dtype();
    let got = [
        ops[0](z.clone(), f.clone(), &case.g),
        ops[1](r.clone(), f, &case.g),
        ops[2](z, r, &case.g),
    ];
    for ((got, wanted), name) in got.iter().zip(products).zip(NAMES) {
        assert_eq!(got.dtype(), dtype, "{name}");
        let what = format!("{name} {dtype:?} {case:?}");
        assert_near(&values(got), wanted, tolerance(dtype), &what);
    }
}

fn tensors(worked: &Worked, dtype: DType, device: &Device) -> [Tensor<4>; 3] {
    let Worked { case, inputs, .. } = worked;
    let shapes = [case.maps_shape(), case.filters_shape(), case.image_shape()];
    [0, 1, 2].map(|i| tensor_as(&inputs[i], shapes[i], dtype, device))
}

/// The devices whose tensors the kernels of this project work on.
fn cpu_devices() -> Vec<Device> {
    [Backend::Flex, Backend::Ndarray]
        .into_iter()
        .filter(|backend| backend.compiled_in())
        .map(|backend| backend.device().expect("a CPU"))
        .collect()
}

#[test]
fn the_products_equal_the_plain_loops_at_every_width_from_1_to_70() {
    let mut rng = rng(1);
    for width in 1..=70 {
        let worked = work(Case::draw(width, &mut rng), width as u64);
        for device in cpu_devices() {
            for dtype in [DType::F32, DType::F64] {
                assert_products(KERNELS, &worked, tensors(&worked, dtype, &device));
            }
        }
    }
}

#[test]
fn the_products_equal_the_plain_loops_for_every_number_of_taps_from_1_to_9() {
    for h in 1..=9 {
        for w in 1..=9 {
            let case = Case {
                g: Connectivity::singles_and_pairs(2),
                batch: 2,
                image: [5, 19],
                filter: [h, w],
            };
            let worked = work(case, (10 * h + w) as u64);
            for dtype in [DType::F32, DType::F64] {
                assert_products(KERNELS, &worked, tensors(&worked, dtype, &Device::flex()));
            }
        }
    }
}

#[test]
fn tall_images_that_span_several_strips_of_rows_come_out_right() {
    for height in [31, 32, 33, 63, 64, 65, 70] {
        let case = Case {
            g: Connectivity::full(1, 2),
            batch: 1,
            image: [height, 11],
            filter: [4, 3],
        };
        let worked = work(case, height as u64);
        assert_products(
            KERNELS,
            &worked,
            tensors(&worked, DType::F64, &Device::flex()),
        );
    }
}

#[test]
fn permuted_flipped_and_sliced_tensors_give_the_same_products() {
    let mut rng = rng(2);
    for seed in 0..8 {
        let worked = work(Case::draw(5 + 4 * seed as usize, &mut rng), seed);
        for device in cpu_devices() {
            for dtype in [DType::F32, DType::F64] {
                let given = tensors(&worked, dtype, &device);
                // Laid out in another order, seen in the right one.
                let permuted = given.clone().map(|x| {
                    let moved = x.permute([2, 0, 3, 1]);
                    let laid: Vec<f64> = values(&moved);
                    tensor_as(&laid, moved.dims(), dtype, &device).permute([1, 3, 0, 2])
                });
                assert_products(KERNELS, &worked, permuted);
                // The middle of a larger tensor of something else.
                let sliced = given.clone().map(|x| {
                    let dims = x.dims();
                    let around = Tensor::full(dims.map(|d| d + 3), 9.0, (&device, dtype));
                    let place = dims.map(|d| 1..d + 1);
                    around.slice_assign(place.clone(), x).slice(place)
                });
                assert_products(KERNELS, &worked, sliced);
                let flipped = given.map(|x| {
                    let laid = values(&x.clone().flip([0, 3]));
                    tensor_as(&laid, x.dims(), dtype, &device).flip([0, 3])
                });
                assert_products(KERNELS, &worked, flipped);
            }
        }
    }
}

#[test]
fn expanded_tensors_give_the_same_products() {
    let case = Case {
        g: Connectivity::singles_and_pairs(3),
        batch: 3,
        image: [6, 21],
        filter: [3, 2],
    };
    let shapes = [case.maps_shape(), case.filters_shape(), case.image_shape()];
    // One row of numbers, seen again in every image, map and row.
    let seeds = shapes.map(|s| normal(s[3], &mut rng(s[3] as u64)));
    let repeated = [0, 1, 2].map(|i| seeds[i].repeat(shapes[i][..3].iter().product()));
    let products = [
        case.synthesize(&repeated[0], &repeated[1]),
        case.analyze(&repeated[2], &repeated[1]),
        case.filter_gradient(&repeated[0], &repeated[2]),
    ];
    let worked = Worked {
        case,
        inputs: repeated,
        products,
    };
    for device in cpu_devices() {
        let expanded = [0, 1, 2].map(|i| {
            let one = tensor_as(&seeds[i], [1, 1, 1, shapes[i][3]], DType::F64, &device);
            one.expand(shapes[i])
        });
        assert_products(KERNELS, &worked, expanded);
    }
}

#[test]
fn burns_own_operations_give_the_same_products_on_every_cpu_backend() {
    let mut rng = rng(3);
    for seed in 0..12 {
        let worked = work(Case::draw(1 + 3 * seed as usize, &mut rng), seed);
        for device in cpu_devices() {
            for dtype in [DType::F32, DType::F64] {
                assert_products(BY_BURN, &worked, tensors(&worked, dtype, &device));
            }
        }
    }
}

#[test]
fn each_product_is_the_adjoint_of_the_others() {
    let mut rng = rng(4);
    for width in [1, 2, 7, 16, 33, 64] {
        let case = Case::draw(width, &mut rng);
        let g = &case.g;
        let [maps, filters, image] = [case.maps_shape(), case.filters_shape(), case.image_shape()];
        let f = random(filters, &mut rng);
        assert_adjoint(
            &format!("in the maps, {case:?}"),
            |z| synthesize(z, f.clone(), g),
            |r| analyze(r, f.clone(), g),
            [maps, image],
            &mut rng,
        );
        let z = random(maps, &mut rng);
        assert_adjoint(
            &format!("in the filters, {case:?}"),
            |f| synthesize(z.clone(), f, g),
            |r| filter_gradient(z.clone(), r, g),
            [filters, image],
            &mut rng,
        );
    }
}

/// A masked case small enough to move every element by itself.
fn tiny() -> (Case, [Tensor<4>; 3]) {
    let case = Case {
        g: Connectivity::matrix(&[vec![1, 0, 1], vec![0, 1, 1]]).expect("a matrix"),
        batch: 2,
        image: [3, 4],
        filter: [2, 3],
    };
    let mut rng = rng(5);
    let [z, f, r] = [case.maps_shape(), case.filters_shape(), case.image_shape()];
    let tensors = [z, f, r].map(|shape| random(shape, &mut rng));
    (case, tensors)
}

#[test]
fn autodiff_gives_the_gradients_of_all_three_products() {
    let (case, [z, f, r]) = tiny();
    for (i, (op, inputs)) in KERNELS
        .iter()
        .zip([[&z, &f], [&r, &f], [&z, &r]])
        .enumerate()
    {
        // Not linear in the product, so that the incoming gradient is not constant.
        let loss = |x: &[Tensor<4>]| {
            let product = op(x[0].clone(), x[1].clone(), &case.g);
            (product.clone().square() * 0.5 + product).sum()
        };
        let inputs = inputs.map(Clone::clone);
        assert_gradient(&format!("product {i}"), loss, &inputs, 0.1, 1e-11);
    }
}

/// Burn's device wrapper offers the first order only, so the gradient is written out by hand and
/// autodiff differentiates that: through all three products, in both their arguments.
#[test]
fn autodiff_gives_the_gradient_of_the_gradient() {
    let (case, [z, f, y]) = tiny();
    let g = &case.g;
    let slope = |x: &[Tensor<4>]| {
        let y = match x[0].is_autodiff() {
            true => Tensor::from_inner(y.clone()),
            false => y.clone(),
        };
        let residual = synthesize(x[0].clone(), x[1].clone(), g) - y;
        let in_maps = analyze(residual.clone(), x[1].clone(), g);
        let in_filters = filter_gradient(x[0].clone(), residual, g);
        (in_maps.square().sum() + in_filters.square().sum()) * 0.5
    };
    assert_gradient("squared gradient", slope, &[z, f], 0.1, 1e-10);
}

#[test]
fn unconnected_planes_get_exactly_zero_gradient() {
    let (case, [z, f, r]) = tiny();
    let g = &case.g;
    for (name, op, x) in [("synthesize", KERNELS[0], &z), ("analyze", KERNELS[1], &r)] {
        let filters = Tensor::from_inner(f.clone()).require_grad();
        let product = op(Tensor::from_inner(x.clone()), filters.clone(), g);
        let gradients = product.square().sum().backward();
        let gradient = values(&filters.grad(&gradients).expect("a gradient"));
        for (i, taps) in gradient.chunks(case.filter[0] * case.filter[1]).enumerate() {
            let connected = g.connects(i / g.maps(), i % g.maps());
            assert_eq!(taps.iter().all(|&t| t == 0.0), !connected, "{name} {i}");
        }
    }
}

#[test]
fn the_kernels_never_read_unconnected_planes() {
    let (case, [z, f, r]) = tiny();
    let mask = conv::reference::mask(&case.g, &Device::flex()).cast(DType::F64);
    let poisoned = f
        .clone()
        .mask_fill(mask.equal_elem(0.0).expand(f.dims()), f64::NAN);
    let clean = values(&synthesize(z.clone(), f.clone(), &case.g));
    assert_eq!(values(&synthesize(z, poisoned.clone(), &case.g)), clean);
    let clean = values(&analyze(r.clone(), f, &case.g));
    assert_eq!(values(&analyze(r, poisoned, &case.g)), clean);
}

/// What `f` panics with.
#[track_caller]
fn refusal<T>(f: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it was not refused"),
        Err(panic) => *panic.downcast().expect("a message that is put together"),
    }
}

/// Two planes, three maps, two images of 5 x 6, filters of 3 x 2.
fn small() -> Case {
    Case {
        g: Connectivity::matrix(&[vec![1, 0, 1], vec![0, 1, 1]]).expect("a matrix"),
        batch: 2,
        image: [5, 6],
        filter: [3, 2],
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_and_both_are_told() {
    let case = small();
    let (maps, filters, planes) = (case.maps_shape(), case.filters_shape(), case.image_shape());
    assert_eq!(
        (maps, filters, planes),
        ([2, 3, 7, 7], [2, 3, 3, 2], [2, 2, 5, 6])
    );
    let of_filters = [
        [1, 3, 3, 2],
        [3, 3, 3, 2],
        [2, 2, 3, 2],
        [2, 4, 3, 2],
        [2, 3, 0, 2],
        [2, 3, 3, 0],
    ];
    let of_maps = [[2, 2, 7, 7], [2, 4, 7, 7], [2, 1, 7, 7]];
    let of_planes = [[2, 1, 5, 6], [2, 3, 5, 6], [2, 2, 0, 6], [2, 2, 5, 0]];
    // Wrong first inputs, wrong second ones.
    let too_small = [[[2, 3, 2, 7], [2, 3, 7, 1]], [[2, 3, 4, 7], [2, 3, 7, 5]]];
    let batches = [[1, 3, 7, 7], [3, 3, 7, 7]];
    let wrong: [[Vec<[usize; 4]>; 2]; 3] = [
        [[&of_maps[..], &too_small[0]].concat(), of_filters.to_vec()],
        [of_planes.to_vec(), of_filters.to_vec()],
        [
            [&of_maps[..], &too_small[1], &batches].concat(),
            of_planes.to_vec(),
        ],
    ];
    let right = [[maps, filters], [planes, filters], [maps, planes]];
    let expected = [
        "maps [n, 3, H + h - 1, W + w - 1] and filters [2, 3, h, w]",
        "planes [n, 2, H, W] and filters [2, 3, h, w]",
        "maps [n, 3, H + h - 1, W + w - 1] and planes [n, 2, H, W]",
    ];
    for (i, op) in KERNELS.iter().enumerate() {
        let run = |[a, b]: [[usize; 4]; 2]| {
            let device = Device::flex();
            op(Tensor::ones(a, &device), Tensor::ones(b, &device), &case.g)
        };
        run(right[i]);
        let first = wrong[i][0].iter().map(|&a| [a, right[i][1]]);
        let second = wrong[i][1].iter().map(|&b| [right[i][0], b]);
        for shapes in first.chain(second) {
            let message = refusal(|| run(shapes));
            for part in [
                NAMES[i],
                &format!("{:?}", shapes[0]),
                &format!("{:?}", shapes[1]),
                expected[i],
            ] {
                assert!(message.contains(part), "{part} in: {message}");
            }
        }
    }
}

#[test]
fn tensors_of_two_types_are_refused() {
    let (case, [z, f, r]) = tiny();
    for (i, (op, [a, b])) in KERNELS
        .iter()
        .zip([[&z, &f], [&r, &f], [&z, &r]])
        .enumerate()
    {
        let message = refusal(|| op(a.clone(), b.clone().cast(DType::F32), &case.g));
        for part in [NAMES[i], "F64", "F32"] {
            assert!(message.contains(part), "{part} in: {message}");
        }
    }
}

/// The inputs of a proximal step: residual, filters, `x`, `before`, momentum.
fn step_of([residual, filters, x, before, momentum]: [Tensor<4>; 5], g: &Connectivity) {
    let by = Proximal {
        length: 0.1,
        weight: 0.1,
        penalty: 1.0.into(),
    };
    proximal::step(residual, filters, g, [x, before], momentum, by);
}

#[test]
fn a_proximal_step_refuses_tensors_that_do_not_fit() {
    let case = small();
    let (maps, filters, planes) = (case.maps_shape(), case.filters_shape(), case.image_shape());
    let right = [planes, filters, maps, maps, [2, 1, 1, 1]];
    let ones = |shapes: [[usize; 4]; 5]| shapes.map(|s| Tensor::ones(s, &Device::flex()));
    step_of(ones(right), &case.g);
    let wrong: [(usize, [usize; 4], &str); 12] = [
        (0, [1, 2, 5, 6], "x"),
        (0, [2, 1, 5, 6], "planes"),
        (0, [2, 2, 6, 6], "x"),
        (1, [2, 2, 3, 2], "filters"),
        (1, [2, 3, 2, 2], "x"),
        (2, [1, 3, 7, 7], "x"),
        (2, [2, 3, 7, 8], "x"),
        (3, [2, 1, 7, 7], "before"),
        (3, [1, 3, 7, 7], "before"),
        (4, [1, 1, 1, 1], "momentum"),
        (4, [2, 3, 1, 1], "momentum"),
        (4, [3, 1, 1, 1], "momentum"),
    ];
    for (i, shape, name) in wrong {
        let mut shapes = right;
        shapes[i] = shape;
        let message = refusal(|| step_of(ones(shapes), &case.g));
        for part in [name, &format!("{shape:?}"), "expected"] {
            assert!(message.contains(part), "{part} in: {message}");
        }
    }
    for i in 0..5 {
        let mut tensors = ones(right);
        tensors[i] = tensors[i].clone().cast(DType::F64);
        let message = refusal(|| step_of(tensors, &case.g));
        assert!(message.contains("F64"), "{message}");
    }
}

/// There are no kernels for half precision.
#[test]
fn half_precision_goes_through_plain_operations_with_and_without_autodiff() {
    let mut rng = rng(6);
    for (seed, dtype) in [(0, DType::F16), (1, DType::BF16)] {
        let worked = work(small(), seed);
        let given = tensors(&worked, dtype, &Device::flex());
        assert_products(KERNELS, &worked, given.clone());
        let g = &worked.case.g;
        let [z, f, r] = given;
        for (i, [a, b]) in [[&z, &f], [&r, &f], [&z, &r]].into_iter().enumerate() {
            let weights = normal(worked.products[i].len(), &mut rng);
            let gradients = |op: fn(Tensor<4>, Tensor<4>, &Connectivity) -> Tensor<4>| {
                let [a, b] = [a, b].map(|x| Tensor::from_inner(x.clone()).require_grad());
                let product = op(a.clone(), b.clone(), g);
                let weights = tensor_as(&weights, product.dims(), dtype, &Device::flex());
                let gradients = (product * Tensor::from_inner(weights)).sum().backward();
                [a, b].map(|x| values(&x.grad(&gradients).expect("a gradient")))
            };
            let (got, wanted) = (gradients(KERNELS[i]), gradients(BY_BURN[i]));
            assert_eq!(got, wanted, "{} {dtype:?}", NAMES[i]);
            assert!(got.iter().all(|slope| norm(slope) > 0.0));
        }
        let shrunk = proximal::shrink(z.clone(), 0.25, 0.5);
        assert_eq!(shrunk.dtype(), dtype);
        let wanted = values(&penalty::shrink(z.cast(DType::F64), 0.25, 0.5));
        assert_near(&values(&shrunk), &wanted, 4.0 * tolerance(dtype), "shrink");
    }
}
