//! 3-D pooling with switches against its definition, and the products at switches against those of the
//! maps written out.

use burn::tensor::{DType, Device, Int, Tensor};
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::conv::{self, at};
use deconvnet::linop::{Stack, Stage, Synthesis, Unpool};
use deconvnet::pooling::{Pool, Switches, pool, reference};
use rand::{Rng, RngExt};

use crate::support::*;

/// The definition, by the loops in the order of the scan: the switches.
fn by_loops(maps: &[f64], [n, k, height, width]: [usize; 4], windows: Pool) -> Vec<i32> {
    let [_, groups, down, across] = windows.pooled([n, k, height, width]);
    let mut places = Vec::new();
    for image in maps.chunks_exact(k * height * width) {
        for window in 0..groups * down * across {
            let [g, r, c] = [
                window / (down * across),
                window / across % down,
                window % across,
            ];
            let (mut most, mut place) = (0.0, -1);
            for map in g * windows.maps..((g + 1) * windows.maps).min(k) {
                for x in c * windows.columns..((c + 1) * windows.columns).min(width) {
                    for y in r * windows.rows..((r + 1) * windows.rows).min(height) {
                        let at = (map * height + y) * width + x;
                        if image[at].abs() > most {
                            (most, place) = (image[at].abs(), at as i32);
                        }
                    }
                }
            }
            places.push(place);
        }
    }
    places
}

fn windows(rng: &mut impl Rng) -> Pool {
    let [rows, columns, maps] = [(); 3].map(|()| rng.random_range(1..=4));
    Pool {
        rows,
        columns,
        maps,
    }
}

/// Maps of few different numbers, most of them zero: ties and empty windows.
fn coarse(shape: [usize; 4], rng: &mut impl Rng) -> Vec<f64> {
    let count = shape.iter().product();
    (0..count)
        .map(|_| f64::from(rng.random_range(-6..=6_i32) / 3))
        .collect()
}

fn shape(rng: &mut impl Rng) -> [usize; 4] {
    [
        2,
        rng.random_range(1..=7),
        rng.random_range(1..=9),
        rng.random_range(1..=9),
    ]
}

#[test]
fn switches_are_those_of_the_definition_on_every_backend() {
    let mut rng = rng(1);
    let devices = answering(&[Backend::Flex, Backend::Ndarray, Backend::Wgpu]);
    let (mut ties, mut empty) = (0, 0);
    for _ in 0..40 {
        let (shape, windows) = (shape(&mut rng), windows(&mut rng));
        let maps = coarse(shape, &mut rng);
        let wanted = by_loops(&maps, shape, windows);
        empty += wanted.iter().filter(|&&place| place < 0).count();
        ties += maps.iter().filter(|x| x.abs() == 2.0).count();
        for (backend, device) in &devices {
            let what = format!("{} {shape:?} {windows:?}", backend.name());
            let maps = tensor_as(&maps, shape, DType::F32, device);
            let (values, switches) = pool(maps.clone(), windows);
            assert_eq!(switches.places(), wanted, "{what}");
            let plain = reference::switches(maps.clone(), windows);
            assert_eq!(places(&plain), wanted, "{what}: plain operations");
            // The values, put back, are the maps at the switches.
            let back = values_of(&switches.unpool(values.clone()));
            let whole = values_of(&maps);
            let plain_values = reference::pool(maps, plain.clone());
            assert_eq!(plain_values.to_data(), values.to_data(), "{what}");
            assert_eq!(
                values_of(&reference::unpool(values, plain, shape)),
                back,
                "{what}"
            );
            let image = back.len() / 2;
            let mut expected = vec![0.0; back.len()];
            for (w, &place) in wanted.iter().enumerate().filter(|(_, place)| **place >= 0) {
                let at = w / (wanted.len() / 2) * image + place as usize;
                expected[at] = whole[at];
            }
            assert_eq!(back, expected, "{what}");
        }
    }
    assert!(ties > 100 && empty > 100, "{ties} {empty}");
}

fn values_of(x: &Tensor<4>) -> Vec<f64> {
    values(x)
}

fn places(x: &Tensor<4, Int>) -> Vec<i32> {
    x.to_data().iter().collect()
}

#[test]
fn what_is_not_a_number_counts_as_infinite_and_spoils_no_other_window() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let rows = [
        ([nan, 7.0, inf], 0),
        ([1.0, -inf, nan], 1),
        ([0.0, -0.0, 0.0], -1),
        ([-2.0, 2.0, -0.0], 0),
        ([0.0, 5.0, nan], 2),
    ];
    let windows = Pool {
        rows: 1,
        columns: 3,
        maps: 1,
    };
    let maps: Vec<f64> = rows.iter().flat_map(|(row, _)| *row).collect();
    let wanted: Vec<i32> = rows
        .iter()
        .zip((0..).step_by(3))
        .map(|((_, place), from)| if *place < 0 { -1 } else { from + place })
        .collect();
    for (backend, device) in answering(&[Backend::Flex, Backend::Ndarray, Backend::Wgpu]) {
        let name = backend.name();
        let maps = tensor_as(&maps, [1, 1, 5, 3], DType::F32, &device);
        let (pooled, switches) = pool(maps.clone(), windows);
        assert_eq!(switches.places(), wanted, "{name}");
        let plain = reference::switches(maps.clone(), windows);
        assert_eq!(places(&plain), wanted, "{name}");
        for pooled in [pooled, reference::pool(maps, plain.clone())] {
            let got = values(&pooled);
            assert!(got[0].is_nan() && got[4].is_nan(), "{name} {got:?}");
            assert_eq!(got[1..4], [-inf, 0.0, -2.0], "{name}");
            for maps in [
                switches.unpool(pooled.clone()),
                reference::unpool(pooled.clone(), plain.clone(), [1, 1, 5, 3]),
            ] {
                let unknown = values(&maps).iter().filter(|x| x.is_nan()).count();
                assert_eq!(unknown, 2, "{name}");
            }
        }
    }
}

#[test]
fn maps_may_lie_in_memory_in_any_order_and_switches_anywhere() {
    let mut rng = rng(6);
    let windows = Pool {
        rows: 2,
        columns: 3,
        maps: 2,
    };
    let shape = [2, 3, 5, 7];
    let drawn = normal(210, &mut rng);
    let wanted = by_loops(&drawn, shape, windows);
    let here: Tensor<4> = tensor(&drawn, shape);
    let found = Switches::of(&here, windows);
    for (backend, device) in answering(&[Backend::Flex, Backend::Ndarray, Backend::Wgpu]) {
        let copy = values(&here.clone().permute([3, 0, 2, 1]));
        let maps = tensor_as(&copy, [7, 2, 5, 3], DType::F32, &device).permute([1, 3, 2, 0]);
        let name = backend.name();
        for maps in [maps.clone(), Tensor::from_inner(maps)] {
            let (pooled, switches) = pool(maps.clone(), windows);
            assert_eq!(switches.places(), wanted, "{name}");
            assert_eq!(switches, found, "{name}");
            // Those that were found elsewhere, first and once more.
            for switches in [&found, &found, &switches] {
                assert_eq!(
                    switches.pool(maps.clone()).to_data(),
                    pooled.to_data(),
                    "{name}"
                );
                let back = values(&switches.unpool(pooled.clone()));
                let kept = back.iter().filter(|x| **x != 0.0).count();
                assert_eq!(kept, wanted.len(), "{name}");
            }
        }
    }
}

#[test]
fn unpooling_and_pooling_at_switches_are_adjoint() {
    let mut rng = rng(2);
    for _ in 0..20 {
        let (shape, windows) = (shape(&mut rng), windows(&mut rng));
        let maps: Tensor<4> = random(shape, &mut rng);
        let switches = Switches::of(&maps, windows);
        assert_adjoint(
            &format!("{shape:?} {windows:?}"),
            |p| switches.unpool(p),
            |z| switches.pool(z),
            [switches.pooled_shape(), shape],
            &mut rng,
        );
    }
}

#[test]
fn pooling_has_the_gradient_of_the_kept_elements() {
    let mut rng = rng(3);
    let windows = Pool {
        rows: 2,
        columns: 3,
        maps: 2,
    };
    // Far enough apart that no step changes a winner.
    let mut order: Vec<f64> = (1..=60).map(|x| f64::from(x) / 10.0).collect();
    rand::seq::SliceRandom::shuffle(&mut order[..], &mut rng);
    let maps: Tensor<4> = tensor(&order, [1, 3, 4, 5]);
    let f = |inputs: &[Tensor<4>]| {
        let (values, _) = pool(inputs[0].clone(), windows);
        values.powi_scalar(2).sum()
    };
    assert_gradient("pool", f, std::slice::from_ref(&maps), 1e-3, 1e-9);

    let switches = Switches::of(&maps, windows);
    let values: Tensor<4> = random(switches.pooled_shape(), &mut rng);
    let weights: Tensor<4> = random([1, 3, 4, 5], &mut rng);
    let f = |inputs: &[Tensor<4>]| {
        let back = switches.unpool(inputs[0].clone());
        let weights = tensor_as(
            &self::values(&weights),
            weights.dims(),
            back.dtype(),
            &back.device(),
        );
        (back * weights).powi_scalar(2).sum()
    };
    assert_gradient("unpool", f, std::slice::from_ref(&values), 1e-3, 1e-9);

    // On other devices they are the same, through both.
    let through = |maps: &Tensor<4>| {
        let maps = Tensor::from_inner(maps.clone()).require_grad();
        let (values, switches) = pool(maps.clone(), windows);
        let loss =
            f(&[values.clone().powi_scalar(2)]) + switches.unpool(values).powi_scalar(3).sum();
        self::values(&maps.grad(&loss.backward()).expect("a gradient"))
    };
    let wanted = through(&maps);
    for (backend, device) in answering(&[Backend::Flex, Backend::Ndarray, Backend::Wgpu]) {
        let maps = tensor_as(&order, [1, 3, 4, 5], DType::F32, &device);
        assert_near(&through(&maps), &wanted, 1e-5, backend.name());
    }
}

#[test]
fn windows_of_one_element_change_nothing() {
    let maps: Tensor<4> = random([2, 3, 4, 5], &mut rng(4));
    let (values, switches) = pool(maps.clone(), Pool::NONE);
    assert_eq!(values.to_data(), maps.to_data());
    assert_eq!(switches.unpool(values).to_data(), maps.to_data());
}

#[test]
fn switches_that_fit_no_window_are_refused() {
    let windows = Pool {
        rows: 2,
        columns: 2,
        maps: 1,
    };
    let new = |places: &[i32]| Switches::from_places(windows, [1, 1, 2, 4], places.to_vec());
    assert!(new(&[5, 2]).is_ok());
    assert!(new(&[-1, 7]).is_ok());
    for wrong in [&[5][..], &[5, 2, 3], &[2, 2], &[5, 8], &[-2, 2]] {
        assert!(new(wrong).is_err(), "{wrong:?}");
    }
}

/// Pooled maps, filters and planes of random sizes, with switches of which some are missing.
struct Case {
    g: Connectivity,
    switches: Switches,
    values: Vec<f64>,
    filters: Vec<f64>,
    planes: Vec<f64>,
    filter: [usize; 2],
    image: [usize; 2],
}

impl Case {
    fn draw(seed: u64) -> Self {
        let mut rng = rng(seed);
        let (planes, maps) = (rng.random_range(1..=20), rng.random_range(1..=6));
        let each = rng.random_range(1..=planes);
        let g = Connectivity::random(planes, maps, each, seed).expect("a connectivity");
        let [h, w] = [(); 2].map(|()| rng.random_range(1..=5));
        let image = [(); 2].map(|()| rng.random_range(1..=11));
        let shape = [2, maps, image[0] + h - 1, image[1] + w - 1];
        let drawn = coarse(shape, &mut rng);
        let switches = Switches::of(&tensor(&drawn, shape), windows(&mut rng));
        let count: usize = switches.pooled_shape().iter().product();
        // Numbers that single precision holds exactly.
        let mut numbers = |count: usize| -> Vec<f64> {
            normal(count, &mut rng)
                .into_iter()
                .map(|x| f64::from(x as f32))
                .collect()
        };
        Self {
            values: numbers(count),
            filters: numbers(planes * maps * h * w),
            planes: numbers(2 * planes * image[0] * image[1]),
            filter: [h, w],
            image,
            g,
            switches,
        }
    }

    fn tensors(&self, dtype: DType, device: &Device) -> [Tensor<4>; 3] {
        let (g, [h, w], [height, width]) = (&self.g, self.filter, self.image);
        let filters = [g.planes(), g.maps(), h, w];
        let masked = tensor_as(&self.filters, filters, dtype, device);
        [
            tensor_as(&self.values, self.switches.pooled_shape(), dtype, device),
            conv::reference::masked(masked, g),
            tensor_as(&self.planes, [2, g.planes(), height, width], dtype, device),
        ]
    }
}

#[test]
fn the_products_at_switches_are_those_of_the_maps_written_out() {
    let devices = answering(&[Backend::Flex, Backend::Ndarray, Backend::Wgpu]);
    for seed in 0..40 {
        let case = Case::draw(seed);
        let (g, switches) = (&case.g, &case.switches);
        for (backend, device) in &devices {
            for dtype in [DType::F32, DType::F64] {
                if *backend == Backend::Wgpu && (dtype == DType::F64 || seed > 3) {
                    continue;
                }
                let [p, f, r] = case.tensors(dtype, device);
                let what = format!("{} {dtype:?} case {seed}", backend.name());
                let tolerance = if dtype == DType::F64 { 1e-13 } else { 1e-5 };
                let same = |got: Tensor<4>, wanted: Tensor<4>| {
                    assert_near(&values(&got), &values(&wanted), tolerance, &what);
                };
                let z = switches.unpool(p.clone());
                same(
                    at::synthesize(p.clone(), f.clone(), g, switches),
                    conv::synthesize(z.clone(), f.clone(), g),
                );
                same(
                    at::analyze(r.clone(), f.clone(), g, switches),
                    switches.pool(conv::analyze(r.clone(), f.clone(), g)),
                );
                same(
                    at::filter_gradient(p.clone(), r.clone(), g, switches),
                    conv::filter_gradient(z, r, g),
                );
            }
        }
    }
}

#[test]
fn the_products_at_switches_have_the_right_gradients() {
    let case = Case::draw(101);
    let [p, f, r] = case.tensors(DType::F64, &Device::flex());
    let (g, switches) = (&case.g, &case.switches);
    let sum = |x: Tensor<4>| x.powi_scalar(2).sum();
    assert_gradient(
        "synthesize",
        |x| sum(at::synthesize(x[0].clone(), x[1].clone(), g, switches)),
        &[p.clone(), f.clone()],
        1e-2,
        1e-8,
    );
    assert_gradient(
        "analyze",
        |x| sum(at::analyze(x[0].clone(), x[1].clone(), g, switches)),
        &[r.clone(), f],
        1e-2,
        1e-8,
    );
    assert_gradient(
        "filter_gradient",
        |x| sum(at::filter_gradient(x[0].clone(), x[1].clone(), g, switches)),
        &[p, r],
        1e-2,
        1e-8,
    );
}

#[test]
fn a_stack_with_unpooling_is_a_linear_map_with_its_adjoint_and_bound() {
    let mut rng = rng(5);
    for seed in 0..10 {
        let windows = windows(&mut rng);
        let layer = |planes, maps, seed| {
            let filters: Tensor<4> = random([planes, maps, 3, 2], &mut self::rng(seed));
            Synthesis {
                filters,
                connectivity: Connectivity::full(planes, maps),
            }
        };
        let below = random([2, 4, 9, 8], &mut rng);
        let switches = Switches::of(&below, windows);
        let [_, planes, height, width] = switches.pooled_shape();
        let stack = Stack::new(vec![
            Stage::Synthesis(layer(planes, 5, seed)),
            Stage::Unpool(Unpool { switches }),
            Stage::Synthesis(layer(2, 4, seed + 100)),
        ]);
        let input = [2, 5, height + 2, width + 1];
        let output = stack.output(input).expect("stages that fit");
        assert_eq!(output, [2, 2, 7, 7]);
        assert_adjoint(
            "R",
            |x| stack.apply(x),
            |r| stack.adjoint(r),
            [input, output],
            &mut rng,
        );
        let bound = stack.norm_bound(input).expect("stages that fit");
        let mut x: Tensor<4> = random(input, &mut rng);
        for _ in 0..30 {
            x = stack.adjoint(stack.apply(x.clone() / norm(&values(&x))));
        }
        let largest = norm(&values(&x)).sqrt();
        assert!(largest <= bound * (1.0 + 1e-9), "{largest} {bound}");
        assert!(
            largest > 0.05 * bound,
            "a bound that tells nothing: {largest} {bound}"
        );
    }
}
