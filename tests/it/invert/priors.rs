//! The two priors, against solutions by hand and the conditions of optimality.

use super::*;

fn identity(input: [usize; 3]) -> Operator {
    built_in(&Kernel::Identity, 1, Padding::Zeros, input)
}

#[test]
fn l1_on_the_image_itself_is_the_shrink() {
    let operator = identity([1, 4, 5]);
    let y = random([1, 1, 4, 5], &mut rng(1));
    let problem = Inverse::new(operator, y.clone()).expect("shapes that fit");
    let settings = Settings {
        l1: 0.4,
        ..Settings::default()
    };
    let got = values(&solve(InverseMethod::L1, &problem, &settings).codes);
    let wanted: Vec<f64> = values(&y)
        .iter()
        .map(|v| v.signum() * (v.abs() - 0.4).max(0.0))
        .collect();
    assert_near(&got, &wanted, 1e-6, "shrink");
}

/// At the least objective `W'(y - W x)` is at most the weight, and the weight with the sign of `x`
/// wherever `x` is not zero.
#[test]
fn l1_ends_where_the_conditions_of_optimality_hold() {
    let kernel = Kernel::Random {
        maps: 2,
        size: 3,
        seed: 2,
    };
    let operator = built_in(&kernel, 1, Padding::Circular, [1, 6, 6]);
    let y = random(batch(operator.output()), &mut rng(2));
    let problem = Inverse::new(operator.clone(), y.clone()).expect("shapes that fit");
    let settings = Settings {
        l1: 0.5,
        ..Settings::default()
    };
    let x = solve(InverseMethod::L1, &problem, &settings).codes;
    let pull = values(&operator.adjoint(y - operator.apply(x.clone())));
    let mut used = 0;
    for (x, pull) in values(&x).into_iter().zip(pull) {
        assert!(pull.abs() <= 0.5 + 1e-5, "{pull}");
        if x.abs() > 1e-4 {
            assert!((pull - 0.5 * x.signum()).abs() < 1e-5, "{x} {pull}");
            used += 1;
        }
    }
    assert!((3..33).contains(&used), "{used} elements are not zero");
}

/// A step between `a` elements of one level and `b` of another is lowered by `weight / a` and
/// `weight / b`.
#[test]
fn total_variation_lowers_a_step_by_what_is_known() {
    let step: Vec<f64> = (0..10).map(|i| if i < 4 { 1.0 } else { 3.0 }).collect();
    for shape in [[1, 1, 1, 10], [1, 1, 10, 1]] {
        let [_, c, h, w] = shape;
        let problem =
            Inverse::new(identity([c, h, w]), tensor(&step, shape)).expect("shapes that fit");
        let settings = Settings {
            total_variation: 0.6,
            ..Settings::default()
        };
        let solved = solve(InverseMethod::TotalVariation, &problem, &settings);
        let wanted: Vec<f64> = (0..10).map(|i| if i < 4 { 1.15 } else { 2.9 }).collect();
        assert_near(&values(&solved.codes), &wanted, 1e-6, "levels");
        // 1/2 (4 * 0.15^2 + 6 * 0.1^2) + 0.6 * 1.75
        let objective = solved.last().at.objective;
        assert!((objective - 1.125).abs() < 1e-6, "{objective}");
    }
}

/// Three channels with an edge in the same place share it: its length is that of the jump's vector.
#[test]
fn total_variation_counts_a_shared_edge_once() {
    let x: Vec<f64> = (0..12).map(|i| if i % 4 < 2 { 0.0 } else { 1.0 }).collect();
    let problem = Inverse::new(identity([3, 1, 4]), tensor(&x, [1, 3, 1, 4])).expect("shapes");
    let settings = Settings {
        total_variation: 1e-6,
        ..Settings::default()
    };
    let solved = solve(InverseMethod::TotalVariation, &problem, &settings);
    let penalty = solved.last().at.objective;
    assert!((penalty / 1e-6 - 3f64.sqrt()).abs() < 1e-3, "{penalty:e}");
}

#[test]
fn total_variation_holds_the_noise_that_the_pseudo_inverse_amplifies() {
    let kernel = Kernel::Gaussian {
        sigma: 1.5,
        size: None,
    };
    let operator = built_in(&kernel, 1, Padding::Reflect, [3, 24, 24]);
    let scene = deconvnet::data::scenes::sample(1, 24, 3);
    let x: Vec<f64> = scene.values.iter().map(|&v| f64::from(v)).collect();
    let mut problem = problem_of(&operator, &tensor(&x, [1, 3, 24, 24]));
    let noise = random(problem.y.dims(), &mut rng(4)) * 0.01;
    problem.y = problem.y.clone() + noise;
    let error = |method| {
        let settings = Settings {
            total_variation: 2e-3,
            ..Settings::default()
        };
        solve(method, &problem, &settings)
            .last()
            .at
            .error
            .expect("known")
    };
    let (prior, plain) = (
        error(InverseMethod::TotalVariation),
        error(InverseMethod::PseudoInverse),
    );
    println!("prior {prior:.3}, pseudo-inverse {plain:.3e}");
    assert!(prior < 0.25 && plain > 10.0 * prior, "{prior} {plain}");
}

/// A scene blurred, with noise of 1 %: nearer to it than by the Wiener filter and the total variation.
#[test]
fn codes_of_patches_undo_a_blur_better_than_smoothness() {
    let scene = deconvnet::data::scenes::sample(0, 48, 4);
    let kernel = Kernel::Gaussian {
        sigma: 1.2,
        size: Some(9),
    };
    for channels in [1, 3] {
        let image = match channels {
            1 => scene.clone().grey(),
            _ => scene.clone(),
        };
        let operator = built_in(&kernel, 1, Padding::Circular, [channels, 48, 48]);
        let values: Vec<f64> = image.values.iter().map(|&v| f64::from(v)).collect();
        let truth = tensor(&values, [1, channels, 48, 48]);
        let noise = random(truth.dims(), &mut rng(5)) * 0.01;
        let y = operator.apply(truth.clone()) + noise;
        let problem = Inverse::new(operator, y).expect("shapes that fit");
        let problem = problem.with_truth(truth);
        let settings = Settings {
            total_variation: 2e-3,
            wiener_noise: Some(0.01),
            ..Settings::default()
        };
        let limits = Limits {
            steps: 300,
            every: 0,
            ..Limits::default()
        };
        let error = |method: InverseMethod| {
            let found = method.run(&problem, &settings, None, &limits, &mut ());
            let found = found.expect("finite numbers").solved;
            found.each[0].error.expect("the truth is known")
        };
        let codes = error(InverseMethod::Codes);
        for other in [InverseMethod::Wiener, InverseMethod::TotalVariation] {
            let there = error(other);
            assert!(codes < 0.97 * there, "{channels}: {codes}, {other} {there}");
        }
    }
}

#[test]
fn codes_of_patches_are_refused_for_other_channels() {
    let operator = built_in(&Kernel::Identity, 1, Padding::Zeros, [2, 16, 16]);
    let problem = Inverse::new(operator, random([1, 2, 16, 16], &mut rng(6)));
    let checked =
        InverseMethod::Codes.check(&problem.expect("shapes"), &Settings::default(), false);
    let message = checked.expect_err("two channels").to_string();
    assert!(message.contains("total-variation"), "{message}");
}
