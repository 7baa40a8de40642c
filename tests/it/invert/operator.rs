//! The operator against its matrix and its adjoint, and what is refused.

use burn::tensor::{DType, Device, Tensor};
use deconvnet::Error;
use deconvnet::invert::{Kernel, Operator};
use rand::RngExt;

use super::*;

/// Random operators of every padding, stride 1 to 3, filters of 1 to 5 taps along each side.
fn draw(count: usize, seed: u64) -> Vec<Operator> {
    let mut rng = rng(seed);
    let mut all = Vec::new();
    for padding in PADDINGS {
        for _ in 0..count {
            let filter = [1, 1, 1, 1].map(|low| rng.random_range(low..=5));
            let stride = [rng.random_range(1..=3), rng.random_range(1..=3)];
            let input = [
                filter[1],
                filter[2] + rng.random_range(0..=6),
                filter[3] + rng.random_range(0..=6),
            ];
            let filters = random(filter, &mut rng);
            let made = Operator::new(filters.clone(), stride, padding, input);
            all.push(made.expect("an operator"));
            let made = Operator::convolution(filters, stride, padding, input);
            all.push(made.expect("an operator"));
        }
    }
    all
}

#[test]
fn it_does_what_its_matrix_does() {
    let mut rng = rng(1);
    for operator in draw(25, 2) {
        let what = format!(
            "{:?}",
            (operator.padding(), operator.stride(), operator.input())
        );
        let x = random(batch(operator.input()), &mut rng);
        let y = operator.apply(x.clone());
        assert_eq!(y.dims(), batch(operator.output()), "{what}");
        assert_near(&values(&y), &by_matrix(&operator, &x), 1e-13, &what);
    }
}

/// The numbers that `scipy.signal.convolve2d` gives, and `correlate2d` where the filters are not flipped.
#[test]
fn it_convolves_and_correlates_as_scipy_does() {
    let x = [0, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0, 7, 3, 10, 6, 2, 9, 5, 1].map(f64::from);
    let x = tensor(&x, [1, 1, 4, 5]);
    let even = (&[1, 2, 3, 4, 5, 7][..], [2, 3]);
    let odd = (&[1, 2, 3, 4, 5, 7, 0, 9, 1][..], [3, 3]);
    for (flipped, padding, (taps, [h, w]), wanted) in [
        (
            true,
            Padding::None,
            even,
            &[76, 142, 120, 98, 109, 109, 87, 76, 142][..],
        ),
        (
            false,
            Padding::None,
            even,
            &[111, 111, 122, 100, 78, 144, 122, 111, 111],
        ),
        (
            true,
            Padding::Zeros,
            even,
            &[
                7, 17, 37, 35, 42, 41, 76, 142, 120, 119, 54, 98, 109, 109, 76, 34, 87, 76, 142, 88,
            ],
        ),
        (
            false,
            Padding::Zeros,
            even,
            &[
                94, 111, 111, 122, 66, 51, 100, 78, 144, 79, 52, 122, 111, 111, 48, 18, 37, 35, 22,
                7,
            ],
        ),
        (
            true,
            Padding::Circular,
            even,
            &[
                70, 105, 116, 127, 106, 107, 76, 142, 120, 121, 140, 98, 109, 109, 88, 107, 87, 76,
                142, 110,
            ],
        ),
        (
            true,
            Padding::Circular,
            odd,
            &[
                162, 100, 225, 174, 135, 146, 161, 143, 202, 152, 133, 170, 130, 156, 183, 116,
                109, 179, 161, 199,
            ],
        ),
    ] {
        let taps: Vec<f64> = taps.iter().map(|&v| f64::from(v)).collect();
        let make = if flipped {
            Operator::convolution
        } else {
            Operator::new
        };
        let operator = make(tensor(&taps, [1, 1, h, w]), [1, 1], padding, [1, 4, 5]).unwrap();
        let y = operator.apply(x.clone());
        let wanted: Vec<f64> = wanted.iter().map(|&v| f64::from(v)).collect();
        assert_near(&values(&y), &wanted, 1e-13, &format!("{flipped} {padding}"));
        // What undoes it knows as much of the margins.
        if padding == Padding::Circular {
            let known = Decomposition::new(&operator).unwrap().expect("blocks");
            let found = known.solve(&y, Default::default());
            assert_near(&values(&found), &values(&x), 1e-9, "pseudo-inverse");
        }
    }
}

/// A part of a large image has the norm of the whole.
#[test]
fn a_part_tells_the_norm_of_a_large_operator() {
    use deconvnet::linop::largest_eigenvalue;
    let norm = |operator: &Operator| {
        let [c, h, w] = operator.input();
        let start = random([1, c, h, w], &mut rng(11));
        largest_eigenvalue(|x| operator.adjoint(operator.apply(x)), start, 20)
    };
    let taps: Vec<f64> = (0..35).map(|i| (i as f64 * 0.9).cos() + 0.3).collect();
    for padding in PADDINGS {
        let input = [1, 1100, 2000];
        let operator =
            Operator::convolution(tensor(&taps, [1, 1, 5, 7]), [1, 1], padding, input).unwrap();
        let part = operator.part().expect("a large image");
        assert_eq!(part.input(), [1, 256, 256]);
        let share = norm(&part) / norm(&operator);
        assert!((0.95..1.05).contains(&share), "{padding}: {share}");
    }
    let small = Operator::new(
        tensor(&taps, [1, 1, 5, 7]),
        [1, 1],
        Padding::None,
        [1, 99, 99],
    );
    assert!(small.unwrap().part().is_none());
}

#[test]
fn the_transpose_is_the_adjoint() {
    let mut rng = rng(3);
    for operator in draw(25, 4) {
        assert_adjoint(
            &format!("{:?}", (operator.padding(), operator.stride())),
            |x| operator.apply(x),
            |r| operator.adjoint(r),
            [batch(operator.input()), batch(operator.output())],
            &mut rng,
        );
        let tested = operator.dot_test(5);
        assert!(tested <= 1e-14, "{tested}");
    }
}

#[test]
fn in_single_precision_it_differs_by_rounding() {
    for operator in draw(5, 6) {
        let single = operator.to(&Device::flex(), DType::F32);
        let tested = single.dot_test(7);
        assert!(tested <= 1e-5, "{tested}");
        let x = random(batch(operator.input()), &mut rng(8));
        let got = values(&single.apply(x.clone().cast(DType::F32)));
        assert_near(&got, &values(&operator.apply(x)), 1e-5, "single");
    }
}

#[test]
fn it_is_the_same_on_every_backend() {
    for (backend, device) in others() {
        for operator in draw(3, 9) {
            let there = operator.to(&device, DType::F32);
            let x = random(batch(operator.input()), &mut rng(10));
            let y = operator.apply(x.clone());
            let moved =
                |x: &Tensor<4>| Tensor::<4>::from_data(x.to_data().convert::<f32>(), &device);
            let got = values(&there.apply(moved(&x)));
            assert_near(&got, &values(&y), 1e-4, &format!("{backend}, W x"));
            let got = values(&there.adjoint(moved(&y)));
            let back = values(&operator.adjoint(y));
            assert_near(&got, &back, 1e-4, &format!("{backend}, W' r"));
        }
    }
}

#[test]
fn what_is_no_convolution_is_refused_with_the_numbers() {
    let ones = |shape| Tensor::<4>::ones(shape, (&Device::flex(), DType::F64));
    let mut holed = ones([2, 1, 3, 3]);
    holed = holed.slice_fill([1..2, 0..1, 2..3, 1..2], f64::NAN);
    for (filters, stride, input, words) in [
        (
            ones([1, 1, 9, 3]),
            [1, 1],
            [1, 8, 8],
            &["9 x 3", "8 x 8", "larger"][..],
        ),
        (ones([1, 1, 3, 9]), [1, 1], [1, 8, 8], &["3 x 9", "8 x 8"]),
        (
            ones([4, 3, 3, 3]),
            [1, 1],
            [1, 8, 8],
            &["[4, 3, 3, 3]", "3 channels", "has 1"],
        ),
        (
            ones([1, 1, 3, 3]).zeros_like(),
            [1, 1],
            [1, 8, 8],
            &["all 9 taps", "rank 0"],
        ),
        (holed, [1, 1], [1, 8, 8], &["NaN", "[1, 0, 2, 1]"]),
        (
            ones([1, 1, 3, 3]) * 1e200,
            [1, 1],
            [1, 8, 8],
            &["1e200", "scale the filters"],
        ),
        (
            ones([1, 1, 3, 3]) * 1e-200,
            [1, 1],
            [1, 8, 8],
            &["1e-200", "scale the filters"],
        ),
        (ones([1, 1, 3, 3]), [1, 0], [1, 8, 8], &["stride is 1 x 0"]),
        (ones([1, 1, 3, 3]), [1, 1], [1, 0, 8], &["[1, 0, 8]"]),
    ] {
        for padding in PADDINGS {
            let error =
                Operator::new(filters.clone(), stride, padding, input).expect_err("refused");
            assert!(matches!(error, Error::Input(_) | Error::Config(_)));
            for word in words {
                assert!(error.to_string().contains(word), "{word}: {error}");
            }
        }
    }
}

#[test]
fn the_built_in_filters_are_what_their_names_say() {
    let flat = tensor(&[0.5; 3 * 64], [1, 3, 8, 8]);
    let of = |kernel: Kernel| built_in(&kernel, 1, Padding::Circular, [3, 8, 8]);
    let blur = Kernel::Gaussian {
        sigma: 1.2,
        size: Some(5),
    };
    for (kernel, level) in [
        (Kernel::Identity, 0.5),
        (blur, 0.5),
        (Kernel::Edge, 0.0),
        (Kernel::Singular, 0.5),
    ] {
        let y = values(&of(kernel.clone()).apply(flat.clone()));
        assert!(y.iter().all(|y| (y - level).abs() < 1e-15), "{kernel:?}");
    }
    let x = random([1, 3, 8, 8], &mut rng(1));
    assert_eq!(values(&of(Kernel::Identity).apply(x.clone())), values(&x));
    let grey = values(&of(Kernel::Decolour).apply(x.clone()));
    let x = values(&x);
    let luma = 0.299 * x[10] + 0.587 * x[74] + 0.114 * x[138];
    assert!(grey.len() == 64 && (grey[10] - luma).abs() < 1e-15);
    // Without a size the blur reaches three standard deviations.
    let wide = Kernel::Gaussian {
        sigma: 1.2,
        size: None,
    }
    .filters(1)
    .expect("filters");
    assert_eq!(wide.shape, [1, 1, 9, 9]);
    let random = Kernel::Random {
        maps: 4,
        size: 3,
        seed: 5,
    };
    let drawn = random.filters(3).expect("filters");
    assert_eq!(drawn, random.filters(3).expect("filters"));
    let norm = norm(&drawn.values);
    assert!((1.0..3.0).contains(&norm), "{norm}");
}

#[test]
fn impossible_filters_are_refused() {
    for (kernel, channels, word) in [
        (
            Kernel::Gaussian {
                sigma: 0.0,
                size: None,
            },
            1,
            "sigma 0",
        ),
        (
            Kernel::Gaussian {
                sigma: f64::NAN,
                size: None,
            },
            1,
            "sigma NaN",
        ),
        (
            Kernel::Gaussian {
                sigma: 1.0,
                size: Some(0),
            },
            1,
            "size 0",
        ),
        (Kernel::Decolour, 1, "not of 1"),
        (
            Kernel::Random {
                maps: 0,
                size: 3,
                seed: 0,
            },
            1,
            "0 random filters",
        ),
        (
            Kernel::Random {
                maps: 8,
                size: usize::MAX,
                seed: 0,
            },
            3,
            "8 x 3 filters",
        ),
        (
            Kernel::Gaussian {
                sigma: 1e300,
                size: None,
            },
            1,
            "more than 67108864 taps",
        ),
        (Kernel::Taps { taps: vec![] }, 1, "no taps"),
    ] {
        let error = kernel.filters(channels).expect_err("refused").to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}
