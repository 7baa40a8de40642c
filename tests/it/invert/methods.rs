//! What each method finds where the answer is known.

use deconvnet::invert::{Analysis, InverseAdam, Lbfgs, Regularise};
use deconvnet::solve::Reason;

use super::*;

const EXACT: [InverseMethod; 5] = [
    InverseMethod::PseudoInverse,
    InverseMethod::Adam,
    InverseMethod::Lbfgs,
    InverseMethod::Cg,
    InverseMethod::Lsqr,
];

fn taps(taps: &[f64], padding: Padding, width: usize) -> Operator {
    let kernel = Kernel::Taps {
        taps: taps.to_vec(),
    };
    built_in(&kernel, 1, padding, [1, 1, width])
}

fn uniform(operator: &Operator, seed: u64) -> Tensor<4> {
    let shape = batch(operator.input());
    random(shape, &mut rng(seed)).tanh() * 0.5 + 0.5
}

fn analysis(operator: &Operator) -> Analysis {
    let known = Decomposition::new(operator).expect("convergence");
    Analysis::new(operator, known.as_ref()).expect("an analysis")
}

/// The condition number is 3, so that all of the precision is there to be had.
#[test]
fn a_square_well_conditioned_convolution_is_inverted_but_not_by_its_transpose() {
    for padding in [Padding::Zeros, Padding::Circular, Padding::Reflect] {
        let operator = taps(&[0.25, 1.0, 0.25], padding, 64);
        let told = analysis(&operator);
        assert_eq!(
            (told.unique, told.always_solvable),
            (Some(true), Some(true))
        );
        assert!(told.effective_condition() < 4.0);
        let problem = problem_of(&operator, &uniform(&operator, 1));
        for method in EXACT {
            let solved = solve(method, &problem, &Settings::default());
            let error = solved.last().at.error.expect("the truth is known");
            let allowed = match method {
                InverseMethod::PseudoInverse => 20.0 * f64::EPSILON * told.effective_condition(),
                // They stop by their gradient.
                _ => problem.tolerance * told.effective_condition().powi(2),
            };
            assert!(error <= allowed, "{padding}, {method}: {error:e}");
        }
        for method in [InverseMethod::Transpose, InverseMethod::ScaledTranspose] {
            let solved = solve(method, &problem, &Settings::default());
            let error = solved.last().at.error.expect("the truth is known");
            assert!(error > 0.1, "{padding}, {method}: {error}");
            assert_eq!(solved.reason, Reason::Direct);
        }
    }
}

#[test]
fn without_padding_all_agree_on_the_least_norm_and_the_rest_is_lost() {
    let operator = taps(&[0.25, 1.0, 0.25], Padding::None, 64);
    let told = analysis(&operator);
    assert_eq!(
        (told.rows, told.columns, told.null_space),
        (62, 64, Some(2))
    );
    let problem = problem_of(&operator, &uniform(&operator, 2));
    let known = Decomposition::new(&operator)
        .expect("convergence")
        .expect("small");
    let least = values(&solve(InverseMethod::PseudoInverse, &problem, &Settings::default()).codes);
    let truth = problem.truth.clone().expect("the truth");
    let lost = norm(&values(&known.null_part(&truth))) / norm(&values(&truth));
    assert!(lost > 0.01, "{lost}");
    for method in EXACT {
        let solved = solve(method, &problem, &Settings::default());
        assert_near(&values(&solved.codes), &least, 1e-11, method.name());
        let null = problem.null_error(&solved.codes, &known).expect("known");
        assert!((null - lost).abs() < 1e-11, "{method}: {null} for {lost}");
        let error = solved.last().at.error.expect("known");
        assert!(
            (error - lost).abs() < 1e-11,
            "{method}: all of the error is lost"
        );
    }
}

/// Adam's own scaling of every element leads out of the row space.
#[test]
fn adam_outside_of_the_row_space_finds_a_solution_but_not_that_of_least_norm() {
    let operator = taps(&[0.25, 1.0, 0.25], Padding::None, 64);
    let problem = problem_of(&operator, &uniform(&operator, 3));
    let known = Decomposition::new(&operator)
        .expect("convergence")
        .expect("small");
    let settings = Settings {
        adam: InverseAdam {
            row_space: Some(false),
            ..InverseAdam::default()
        },
        ..Settings::default()
    };
    let solved = solve(InverseMethod::Adam, &problem, &settings);
    assert!(solved.last().at.residual < 1e-12);
    let outside = norm(&values(&known.null_part(&solved.codes)));
    assert!(outside > 1e-3, "{outside}");
}

#[test]
fn of_a_singular_convolution_the_null_space_part_is_told() {
    let operator = built_in(&Kernel::Singular, 1, Padding::Circular, [1, 8, 8]);
    let told = analysis(&operator);
    // Of each direction that alternates: 8 + 8 - 1 frequencies.
    assert_eq!(told.null_space, Some(15));
    assert_eq!(
        (told.unique, told.always_solvable),
        (Some(false), Some(false))
    );
    assert!(!told.resolved_by(f64::EPSILON));
    let problem = problem_of(&operator, &uniform(&operator, 4));
    let known = Decomposition::new(&operator)
        .expect("convergence")
        .expect("small");
    for method in [
        InverseMethod::PseudoInverse,
        InverseMethod::Lbfgs,
        InverseMethod::Cg,
        InverseMethod::Lsqr,
    ] {
        let solved = solve(method, &problem, &Settings::default());
        let at = solved.last().at;
        let error = at.error.expect("known");
        let null = problem.null_error(&solved.codes, &known).expect("known");
        assert!(at.residual < 1e-10, "{method}: {}", at.residual);
        assert!(
            null > 0.05 && (error - null).abs() < 1e-6 * error,
            "{method}: {error} {null}"
        );
    }
}

#[test]
fn decolouring_keeps_a_third_of_the_dimensions() {
    let operator = built_in(&Kernel::Decolour, 1, Padding::None, [3, 6, 5]);
    let told = analysis(&operator);
    assert_eq!((told.rank, told.null_space), (Some(30), Some(60)));
    let problem = problem_of(&operator, &uniform(&operator, 5));
    let solved = solve(InverseMethod::PseudoInverse, &problem, &Settings::default());
    let x = values(&solved.codes);
    // What comes back is the luma, spread over the channels by its own weights: no colour.
    for i in 0..30 {
        let [r, g] = [x[i] / 0.299, x[30 + i] / 0.587];
        assert!((r - g).abs() < 1e-13);
    }
    assert!(solved.last().at.residual < 1e-14);
}

#[test]
fn where_all_singular_values_are_one_the_transpose_is_the_inverse() {
    let operator = taps(&[0.0, 0.0, 0.0, 0.0, 1.0], Padding::Circular, 16);
    let problem = problem_of(&operator, &uniform(&operator, 6));
    for method in [InverseMethod::Transpose, InverseMethod::ScaledTranspose] {
        let error = solve(method, &problem, &Settings::default())
            .last()
            .at
            .error;
        assert!(
            error.is_some_and(|error| error < 1e-15),
            "{method}: {error:?}"
        );
    }
}

#[test]
fn the_scale_is_the_best_there_is() {
    let operator = built_in(
        &Kernel::Random {
            maps: 4,
            size: 3,
            seed: 1,
        },
        2,
        Padding::Zeros,
        [3, 9, 8],
    );
    let problem = problem_of(&operator, &uniform(&operator, 7));
    let scaled = solve(
        InverseMethod::ScaledTranspose,
        &problem,
        &Settings::default(),
    );
    let least = scaled.last().at.residual;
    for factor in [0.9, 0.99, 1.01, 1.1] {
        let other = problem.fit(&(scaled.codes.clone() * factor)).residual;
        assert!(other > least, "{factor}: {other} {least}");
    }
    let plain = solve(InverseMethod::Transpose, &problem, &Settings::default());
    let along = dot(&values(&plain.codes), &values(&scaled.codes));
    let lengths = norm(&values(&plain.codes)) * norm(&values(&scaled.codes));
    assert!(
        (along - lengths).abs() < 1e-12 * lengths,
        "only the scale differs"
    );
}

#[test]
fn with_tikhonovs_term_all_find_the_same() {
    for (stride, padding) in [
        (1, Padding::Reflect),
        (2, Padding::Circular),
        (1, Padding::None),
    ] {
        let kernel = Kernel::Random {
            maps: 2,
            size: 3,
            seed: 3,
        };
        let operator = built_in(&kernel, stride, padding, [2, 8, 6]);
        let problem = problem_of(&operator, &uniform(&operator, 8));
        let settings = Settings {
            tikhonov: 0.3,
            adam: InverseAdam {
                row_space: Some(false),
                ..InverseAdam::default()
            },
            ..Settings::default()
        };
        let wanted = values(&solve(InverseMethod::PseudoInverse, &problem, &settings).codes);
        for method in EXACT {
            let solved = solve(method, &problem, &settings);
            assert_near(
                &values(&solved.codes),
                &wanted,
                1e-10,
                &format!("{padding} {method}"),
            );
        }
        // (W'W + t) x = W'y
        let x = tensor(&wanted, batch(operator.input()));
        let left = operator.adjoint(operator.apply(x.clone())) + x * 0.3;
        let right = operator.adjoint(problem.y.clone());
        assert_near(&values(&left), &values(&right), 1e-13, "normal equations");
    }
}

#[test]
fn truncation_drops_what_the_small_singular_values_carry() {
    let kernel = Kernel::Gaussian {
        sigma: 1.0,
        size: Some(5),
    };
    let operator = built_in(&kernel, 1, Padding::Circular, [1, 8, 9]);
    let problem = problem_of(&operator, &uniform(&operator, 9));
    let best = Decomposition::new(&operator)
        .expect("convergence")
        .expect("small");
    let dense = Decomposition::dense(&operator).expect("convergence");
    assert_eq!(
        (best.route(), dense.route()),
        ("SVD per frequency", "dense SVD")
    );
    let how = Regularise {
        truncation: 0.1,
        tikhonov: 0.01,
    };
    let x = best.solve(&problem.y, how);
    assert_near(
        &values(&x),
        &values(&dense.solve(&problem.y, how)),
        1e-12,
        "both forms",
    );
    let s = best.singular_values();
    let kept = s.iter().filter(|&&v| v > 0.1 * s[0]).count();
    assert!(kept > 10 && kept < s.len());
    let whole = best.solve(&problem.y, Regularise::default());
    assert!(norm(&values(&x)) < norm(&values(&whole)));
}

/// Under 1-2-1 on a circle of 16 a cosine of `k` periods is multiplied by `(1 + cos(2 pi k / 16)) / 2`.
#[test]
fn of_a_cosine_truncation_and_tikhonov_leave_what_is_known() {
    let operator = taps(&[0.25, 0.5, 0.25], Padding::Circular, 16);
    let known = [
        Decomposition::new(&operator)
            .expect("convergence")
            .expect("small"),
        Decomposition::dense(&operator).expect("convergence"),
    ];
    let how = Regularise {
        truncation: 0.1,
        tikhonov: 0.3,
    };
    for k in [0.0, 1.0, 5.0, 7.0] {
        let turn = std::f64::consts::TAU * k / 16.0;
        let value = 0.5 + 0.5 * turn.cos();
        let factor = match value > 0.1 {
            true => value * value / (value * value + 0.3),
            false => 0.0,
        };
        assert_eq!(factor == 0.0, k == 7.0);
        let x: Vec<f64> = (0..16).map(|i| (turn * f64::from(i)).cos()).collect();
        let wanted: Vec<f64> = x.iter().map(|v| factor * v).collect();
        let y = operator.apply(tensor(&x, [1, 1, 1, 16]));
        for decomposition in &known {
            let off = decomposition.solve(&y, how) - tensor(&wanted, [1, 1, 1, 16]);
            let off = norm(&values(&off));
            assert!(off < 1e-13, "{k}, {}: {off:e}", decomposition.route());
        }
    }
}

#[test]
fn the_wiener_filter_is_the_inverse_without_noise_and_better_with_it() {
    let kernel = Kernel::Gaussian {
        sigma: 1.0,
        size: Some(7),
    };
    for stride in [1, 2] {
        let operator = built_in(&kernel, stride, Padding::Circular, [3, 32, 32]);
        let scene = deconvnet::data::scenes::sample(0, 32, 3);
        let x: Vec<f64> = scene.values.iter().map(|&v| f64::from(v)).collect();
        let x = tensor(&x, [1, 3, 32, 32]);
        let mut problem = problem_of(&operator, &x);
        let error = |method, problem: &Inverse, noise| {
            let settings = Settings {
                wiener_noise: Some(noise),
                ..Settings::default()
            };
            solve(method, problem, &settings)
                .last()
                .at
                .error
                .expect("known")
        };
        if stride == 1 {
            assert!(error(InverseMethod::Wiener, &problem, 0.0) < 1e-9);
        }
        let noise = random(problem.y.dims(), &mut rng(11)) * 0.02;
        problem.y = problem.y.clone() + noise;
        let [wiener, plain, transpose] = [
            InverseMethod::Wiener,
            InverseMethod::PseudoInverse,
            InverseMethod::ScaledTranspose,
        ]
        .map(|method| error(method, &problem, 0.02));
        println!("stride {stride}: wiener {wiener:.3}, plain {plain:.3}, transpose {transpose:.3}");
        assert!(wiener < 0.9 * plain && wiener < 0.9 * transpose);
    }
}

#[test]
fn every_backend_iterates_to_the_same() {
    let kernel = Kernel::Random {
        maps: 3,
        size: 3,
        seed: 5,
    };
    let operator = built_in(&kernel, 1, Padding::Reflect, [2, 7, 8]);
    let x = uniform(&operator, 12);
    let limits = Limits {
        steps: 8,
        every: 4,
        ..Limits::default()
    };
    let methods = [
        InverseMethod::Adam,
        InverseMethod::Lbfgs,
        InverseMethod::Cg,
        InverseMethod::Lsqr,
        InverseMethod::L1,
        InverseMethod::TotalVariation,
    ];
    for (backend, device) in others() {
        for method in methods
            .into_iter()
            .chain([InverseMethod::Transpose, InverseMethod::ScaledTranspose])
        {
            let on = |device: &Device| {
                let single =
                    |x: &Tensor<4>| Tensor::<4>::from_data(x.to_data().convert::<f32>(), device);
                let there = operator.to(device, DType::F32);
                let y = single(&operator.apply(x.clone()));
                let problem = Inverse::new(there, y).expect("shapes that fit");
                let settings = Settings::default();
                let found = method.run(&problem, &settings, None, &limits, &mut ());
                values(&found.expect("finite numbers").solved.codes)
            };
            assert_near(
                &on(&device),
                &on(&Device::flex()),
                1e-3,
                &format!("{backend}, {method}"),
            );
        }
    }
}

/// 786432 x 786432 elements would take 5 TB.
#[test]
fn a_photograph_of_512_pixels_is_inverted_without_its_matrix() {
    let scene = deconvnet::data::scenes::sample(0, 512, 1);
    let x: Vec<f64> = scene.values.iter().map(|&v| f64::from(v)).collect();
    let x = tensor(&x, [1, 3, 512, 512]);
    let kernel = Kernel::Gaussian {
        sigma: 1.5,
        size: Some(9),
    };
    for padding in [Padding::Circular, Padding::Reflect] {
        let operator = built_in(&kernel, 1, padding, [3, 512, 512]);
        let problem = problem_of(&operator, &x);
        let known = Decomposition::new(&operator).expect("convergence");
        assert_eq!(known.is_some(), padding == Padding::Circular);
        let limits = Limits {
            steps: 30,
            every: 10,
            ..Limits::default()
        };
        let found = InverseMethod::PseudoInverse
            .run(
                &problem,
                &Settings::default(),
                known.as_ref(),
                &limits,
                &mut (),
            )
            .expect("finite numbers");
        let at = found.solved.last();
        println!(
            "{padding}: {} {:.1} s, {:?}",
            found.route, at.seconds, at.at
        );
        let before = problem
            .fit(&problem.operator.adjoint(problem.y.clone()))
            .error;
        println!("transpose: {before:?}");
        assert!(at.at.error < before.map(|error| 0.7 * error), "{padding}");
    }
}

/// Under an exact line search, on a quadratic, from a scaled identity: Nocedal and Wright, section 7.2.
#[test]
fn the_steps_of_lbfgs_are_those_of_conjugate_gradients() {
    let kernel = Kernel::Random {
        maps: 3,
        size: 3,
        seed: 6,
    };
    let operator = built_in(&kernel, 1, Padding::Reflect, [2, 7, 8]);
    let problem = problem_of(&operator, &uniform(&operator, 13));
    for tikhonov in [0.0, 0.1] {
        for memory in [1, 5] {
            let settings = Settings {
                tikhonov,
                lbfgs: Lbfgs { memory },
                ..Settings::default()
            };
            for steps in [1, 2, 5, 15] {
                let limits = Limits {
                    steps,
                    ..Limits::default()
                };
                let after = |method: InverseMethod| {
                    let found = method.run(&problem, &settings, None, &limits, &mut ());
                    values(&found.expect("finite numbers").solved.codes)
                };
                let what = format!("memory {memory}, {steps} steps");
                assert_near(
                    &after(InverseMethod::Lbfgs),
                    &after(InverseMethod::Cg),
                    1e-9,
                    &what,
                );
            }
        }
    }
}
