//! The bound of the norm of stacked convolutions.

use deconvnet::linop::{largest_eigenvalue, spectral_bound};
use rand::RngExt;

use super::*;

/// Layers, the image side first.
fn bound(layers: &[Synthesis], image: [usize; 2]) -> f64 {
    let layers = layers
        .iter()
        .map(|layer| (&layer.filters, &layer.connectivity));
    spectral_bound(&layers.collect::<Vec<_>>(), image)
}

/// The stack of layers, and the shape of its top maps.
fn stack(layers: &[Synthesis], image: [usize; 2]) -> (Stack, [usize; 4]) {
    let stages = layers.iter().rev().cloned().map(Stage::Synthesis);
    let side = |axis: usize| {
        let taps = layers
            .iter()
            .map(|layer| layer.filters.dims()[2 + axis] - 1);
        image[axis] + taps.sum::<usize>()
    };
    let maps = layers[layers.len() - 1].connectivity.maps();
    (Stack::new(stages.collect()), [1, maps, side(0), side(1)])
}

/// Bound and exact square of the norm.
fn both(layers: &[Synthesis], image: [usize; 2]) -> (f64, f64) {
    let (stack, input) = stack(layers, image);
    (bound(layers, image), exact_norm(&stack, input).powi(2))
}

#[test]
fn it_is_never_below_the_norm() {
    let mut rng = rng(1);
    for seed in 0..60 {
        let image = [rng.random_range(1..=7), rng.random_range(1..=7)];
        let mut planes = rng.random_range(1..=4);
        let layers: Vec<Synthesis> = (0..rng.random_range(1..=3))
            .map(|l| {
                let maps = rng.random_range(1..=5);
                let each = rng.random_range(1..=planes);
                let g = Connectivity::random(planes, maps, each, seed).expect("a connectivity");
                planes = maps;
                synthesis(&g, [1, 2].map(|_| rng.random_range(1..=3)), 10 * seed + l)
            })
            .collect();
        let (bound, exact) = both(&layers, image);
        assert!(bound >= exact * (1.0 - 1e-12), "{seed}: {bound} {exact}");
    }
}

/// Signals of many channels: one axis has a single element.
#[test]
fn it_is_never_below_the_norm_for_signals() {
    for (seed, planes) in [(100, 1), (200, 2), (300, 7)] {
        let below = synthesis(&Connectivity::full(planes, 4), [1, 5], seed);
        let above = synthesis(&Connectivity::full(4, 3), [1, 3], seed + 1);
        for layers in [vec![below.clone()], vec![below, above]] {
            let (bound, exact) = both(&layers, [1, 12]);
            assert!(bound >= exact * (1.0 - 1e-12), "{seed}: {bound} {exact}");
            assert!(bound <= exact * 1.5, "{seed}: {bound} {exact}");
        }
    }
}

/// Filters of which the norm is known.
#[test]
fn it_is_exact_for_deltas_and_constants() {
    let of = |values: &[f64], shape: [usize; 4]| Synthesis {
        filters: tensor(values, shape),
        connectivity: Connectivity::full(shape[0], shape[1]),
    };
    let mut delta = [0.0; 9];
    delta[5] = -3.0;
    for image in [[1, 1], [6, 9], [300, 400]] {
        let found = bound(&[of(&delta, [1, 1, 3, 3])], image);
        // On the coarse grid of a large image it exceeds the maximum by 1 %.
        assert!((9.0..9.0 * 1.011).contains(&found), "{image:?}: {found}");
        // Layers of one tap are matrices.
        let a = of(&[1.0, 2.0, 0.0, -2.0, 1.0, 3.0], [2, 3, 1, 1]);
        let b = of(&[1.0, 0.0, 1.0], [3, 1, 1, 1]);
        let found = bound(&[a, b], image);
        assert!((found - 2.0).abs() < 1e-3, "{image:?}: {found}");
        let box_filter = of(&[0.5; 6], [1, 1, 2, 3]);
        let found = bound(&[box_filter.clone(), box_filter], image);
        assert!((81.0..81.0 * 1.011).contains(&found), "{image:?}: {found}");
    }
    assert_eq!(bound(&[of(&[0.0; 9], [1, 1, 3, 3])], [5, 5]), 0.0);
    assert!(bound(&[of(&[f64::NAN; 9], [1, 1, 3, 3])], [5, 5]).is_infinite());
}

/// Long and narrow, so that the exact norm can be had where the grid is coarse along one axis.
#[test]
fn a_grid_that_does_not_grow_with_the_image_bounds_it_too() {
    for seed in 0..10 {
        let g = Connectivity::full(1, 2);
        for layers in [
            vec![synthesis(&g, [1, 4], seed)],
            vec![
                synthesis(&g, [1, 3], seed),
                synthesis(&Connectivity::singles_and_pairs(2), [1, 2], seed),
            ],
        ] {
            let (bound, exact) = both(&layers, [1, 150]);
            assert!(bound >= exact, "{seed}: {bound} {exact}");
            assert!(bound <= exact * 1.02, "{seed}: {bound} {exact}");
        }
    }
}

/// Against Lanczos steps, which approach the norm from below.
#[test]
fn it_is_within_five_percent_for_stacks_as_they_are_learnt() {
    let first = synthesis(&Connectivity::full(3, 9), [7, 7], 1);
    let second = synthesis(&Connectivity::singles_and_pairs(9), [7, 7], 2);
    let g = Connectivity::random(45, 20, 2, 3).expect("a connectivity");
    let third = synthesis(&g, [7, 7], 3);
    for layers in [
        vec![first.clone()],
        vec![first.clone(), second.clone()],
        vec![second.clone()],
        vec![first, second, third],
    ] {
        let image = [48, 40];
        let below = lanczos(&layers, image);
        let bound = bound(&layers, image);
        println!("{} layers: {:.4}", layers.len(), bound / below);
        assert!(bound >= below * (1.0 - 1e-5), "{bound} {below}");
        assert!(bound <= below * 1.05, "{bound} {below}");
    }
}

/// The square of the norm from below, in single precision.
fn lanczos(layers: &[Synthesis], image: [usize; 2]) -> f64 {
    let (stack, input) = stack(layers, image);
    let stack = stack.to(&Device::flex(), DType::F32);
    let start = random(input, &mut rng(4)).cast(DType::F32);
    largest_eigenvalue(|x| stack.adjoint(stack.apply(x)), start, 40)
}
