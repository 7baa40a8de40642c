//! The two algorithms of the CPU kernels, each against the plain loops.

use deconvnet::connectivity::Connectivity;
use deconvnet::conv::cpu::{self, Algorithm, Product, Scalar, Sizes};
use rand::{RngExt, rngs::ChaCha8Rng};

use crate::support::plain::Case;
use crate::support::*;

const PRODUCTS: [Product; 3] = [
    Product::Synthesize,
    Product::Analyze,
    Product::FilterGradient,
];

fn sizes(case: &Case) -> Sizes {
    Sizes {
        batch: case.batch,
        image: case.image,
        filter: case.filter,
    }
}

/// Maps, filters and a residual, of values that f32 holds exactly.
fn draw(case: &Case, rng: &mut ChaCha8Rng) -> [Vec<f64>; 3] {
    [case.maps_shape(), case.filters_shape(), case.image_shape()].map(|shape| {
        let exact = normal(shape.iter().product(), rng).into_iter();
        exact.map(|x| f64::from(x as f32)).collect()
    })
}

/// The three products, each by its algorithm.
fn products<T: Scalar>(
    case: &Case,
    [z, f, r]: &[Vec<T>; 3],
    algorithms: [Algorithm; 3],
) -> [Vec<T>; 3] {
    let (g, s) = (&case.g, sizes(case));
    [
        cpu::synthesize_by(algorithms[0], z, f, g, s),
        cpu::analyze_by(algorithms[1], r, f, g, s),
        cpu::filter_gradient_by(algorithms[2], z, r, g, s),
    ]
}

/// Directly, in the best tiles, in the smallest and in some that are not square.
fn choices(case: &Case) -> Vec<[Algorithm; 3]> {
    let best =
        PRODUCTS.map(|p| Algorithm::fastest_fft(p, &case.g, sizes(case)).expect("few pairs"));
    let mut choices = vec![[Algorithm::Direct; 3], best];
    if case.filter.iter().all(|&taps| taps <= 32) {
        choices.push([Algorithm::Fft([32, 32]); 3]);
        choices.push([Algorithm::Fft([64, 96]); 3]);
        choices.push([Algorithm::Fft([96, 32]); 3]);
    }
    choices
}

/// In f32 and f64, by every algorithm.
fn assert_every_algorithm(case: &Case, rng: &mut ChaCha8Rng) {
    let inputs = draw(case, rng);
    let [z, f, r] = &inputs;
    let wanted = [
        case.synthesize(z, f),
        case.analyze(r, f),
        case.filter_gradient(z, r),
    ];
    let single = inputs
        .clone()
        .map(|x| x.iter().map(|&x| x as f32).collect());
    for algorithms in choices(case) {
        let doubles = products::<f64>(case, &inputs, algorithms);
        let singles = products::<f32>(case, &single, algorithms);
        for i in 0..3 {
            let what = format!("{:?} by {:?}, {case:?}", PRODUCTS[i], algorithms[i]);
            assert_near(&doubles[i], &wanted[i], 1e-13, &what);
            let widened: Vec<f64> = singles[i].iter().map(|&x| f64::from(x)).collect();
            assert_near(&widened, &wanted[i], 1e-5, &what);
        }
    }
}

#[test]
fn both_algorithms_equal_the_plain_loops_over_random_shapes_and_masks() {
    let mut rng = rng(20);
    for _ in 0..60 {
        let width = rng.random_range(1..=80);
        let mut case = Case::draw(width, &mut rng);
        case.image[0] = rng.random_range(1..=50);
        assert_every_algorithm(&case, &mut rng);
    }
}

#[test]
fn both_algorithms_equal_the_plain_loops_for_filters_larger_than_the_image() {
    let mut rng = rng(21);
    for (image, filter) in [
        ([5, 7], [31, 33]),
        ([40, 3], [17, 40]),
        ([1, 1], [32, 1]),
        ([1, 70], [64, 1]),
        ([33, 32], [32, 32]),
    ] {
        let case = Case {
            g: Connectivity::singles_and_pairs(2),
            batch: 2,
            image,
            filter,
        };
        assert_every_algorithm(&case, &mut rng);
    }
}

/// Signals and images of many channels, at every number of taps that has its own code.
#[test]
fn both_algorithms_equal_the_plain_loops_for_signals_of_any_number_of_channels() {
    let mut rng = rng(23);
    for (planes, maps) in [(1, 5), (2, 3), (7, 4), (31, 2)] {
        for (image, filter) in [
            ([1, 1], [1, 3]),
            ([1, 50], [1, 1]),
            ([1, 37], [1, 4]),
            ([1, 200], [1, 9]),
            ([1, 90], [1, 31]),
            ([9, 12], [3, 5]),
        ] {
            let case = Case {
                g: Connectivity::full(planes, maps),
                batch: 2,
                image,
                filter,
            };
            assert_every_algorithm(&case, &mut rng);
        }
    }
}

/// 160 columns give several tiles in a row, 130 x 260 residuals several strips of rows.
#[test]
fn both_algorithms_equal_the_plain_loops_over_many_tiles_and_strips() {
    let mut rng = rng(22);
    for (g, image, filter) in [
        (Connectivity::full(2, 2), [70, 160], [9, 5]),
        (Connectivity::full(1, 1), [130, 260], [4, 6]),
    ] {
        let case = Case {
            g,
            batch: 1,
            image,
            filter,
        };
        assert_every_algorithm(&case, &mut rng);
    }
}

#[test]
fn many_outputs_of_low_filters_equal_the_plain_loops() {
    let mut rng = rng(26);
    // 66 outputs do not come out even in blocks; few threads, so that blocks of outputs are made.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.expect("one thread");
    for (planes, maps, width) in [(3, 66, 35), (66, 3, 35), (66, 3, 5), (3, 66, 70)] {
        let case = Case {
            g: Connectivity::full(planes, maps),
            batch: 2,
            image: [4, width],
            filter: [3, 4],
        };
        pool.install(|| assert_every_algorithm(&case, &mut rng));
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let mut rng = rng(23);
    for case in [
        Case {
            g: Connectivity::full(1, 2),
            batch: 5,
            image: [70, 90],
            filter: [7, 8],
        },
        Case {
            g: Connectivity::singles_and_pairs(4),
            batch: 1,
            image: [37, 41],
            filter: [5, 3],
        },
        // On one thread, blocks of outputs are made; on seven, there are too few of them.
        Case {
            g: Connectivity::full(3, 40),
            batch: 2,
            image: [12, 37],
            filter: [3, 3],
        },
    ] {
        let inputs = draw(&case, &mut rng).map(|x| x.iter().map(|&x| x as f32).collect());
        for algorithms in choices(&case) {
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let pool = pool.expect("a few threads");
                pool.install(|| products::<f32>(&case, &inputs, algorithms))
            };
            let one = with(1);
            for threads in [2, 3, 7] {
                assert!(with(threads) == one, "{threads} threads, {algorithms:?}");
            }
        }
    }
}

#[test]
fn large_filters_of_many_pairs_go_by_transforms_and_small_ones_do_not() {
    let by_fft = |g: &Connectivity, taps: usize, pixels: usize| {
        let s = Sizes {
            batch: 1,
            image: [pixels; 2],
            filter: [taps; 2],
        };
        PRODUCTS.map(|p| matches!(Algorithm::fastest(p, g, s), Algorithm::Fft(_)))
    };
    assert_eq!(by_fft(&Connectivity::full(1, 32), 3, 128), [false; 3]);
    assert_eq!(by_fft(&Connectivity::full(1, 32), 8, 128), [false; 3]);
    assert_eq!(by_fft(&Connectivity::full(16, 32), 31, 128), [true; 3]);
    assert_eq!(by_fft(&Connectivity::full(3, 64), 31, 256), [true; 3]);
}

#[test]
fn the_public_products_take_the_algorithm_that_the_planner_chooses() {
    let case = Case {
        g: Connectivity::full(2, 6),
        batch: 1,
        image: [40, 40],
        filter: [25, 25],
    };
    let inputs = draw(&case, &mut rng(25));
    let algorithms = PRODUCTS.map(|p| Algorithm::fastest(p, &case.g, sizes(&case)));
    assert!(
        algorithms
            .iter()
            .all(|algorithm| matches!(algorithm, Algorithm::Fft(_)))
    );
    let [z, f, r] = &inputs;
    let (g, s) = (&case.g, sizes(&case));
    let public = [
        cpu::synthesize(z, f, g, s),
        cpu::analyze(r, f, g, s),
        cpu::filter_gradient(z, r, g, s),
    ];
    assert!(public == products(&case, &inputs, algorithms));
}
