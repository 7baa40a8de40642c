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
            all.push(Operator::new(filters, stride, padding, input).expect("an operator"));
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
