//! Stacks with pooling: the proximal gradient with pooling, and the filters through the switches.

use burn::tensor::Tensor;
use deconvnet::connectivity::Connectivity;
use deconvnet::group::Group;
use deconvnet::model::{Constraint, LayerConfig, Network, NetworkConfig, Objective};
use deconvnet::pooling::{Pool, Switches};
use deconvnet::solve::{
    FilterProblem, FilterStep, Fista, Ista, Limits, Method, Problem, SolverName,
};

use crate::support::dense::Dense;
use crate::support::scenario::{Stack, optimum, problem, run, zeros};
use crate::support::*;

fn convex() -> Objective {
    Objective::new(1.5, 0.15, 1.0).expect("a sound objective")
}

/// Two layers in double precision, the lower one pooled, at the switches of random maps; the upper one
/// pooled too, if it is to be.
fn stack(top: Pool, batch: usize) -> Network {
    let windows = Pool {
        rows: 2,
        columns: 3,
        maps: 2,
    };
    let layers = vec![
        LayerConfig::new(Connectivity::full(2, 3), [3, 2]).with_pool(windows),
        LayerConfig::new(Connectivity::full(2, 4), [2, 2]).with_pool(top),
    ];
    let network = NetworkConfig { layers }.init(&burn::tensor::Device::flex());
    let mut network = network.expect("layers that fit");
    for layer in network.layers_mut() {
        let filters = values(&layer.filters.val());
        *layer = layer.with_filters(tensor(&filters, layer.filters.dims()));
    }
    let below = random([batch, 3, 10, 9], &mut rng(7));
    let switches = Switches::of(&below, windows);
    network.at(vec![switches]).expect("switches that fit")
}

fn pooled_problem(top: Pool, batch: usize) -> Problem {
    let network = stack(top, batch);
    let shape = network.maps_shape([batch, 2, 8, 8]);
    let mut rng = rng(8);
    let maps = sparse(shape.iter().product(), 0.2, &mut rng);
    let images = network.project(tensor(&maps, shape)) + random([batch, 2, 8, 8], &mut rng) * 0.1;
    Problem::new(network, images, convex()).expect("images that fit")
}

#[test]
fn the_shape_of_the_maps_follows_the_windows() {
    let network = stack(Pool::NONE, 1);
    // 8 x 8 planes, maps of 10 x 9, pooled 5 x 3.
    assert_eq!(network.maps_shape([1, 2, 8, 8]), [1, 4, 6, 4]);
    assert!(network.is_pooled());
    assert!(
        network.clone().at(Vec::new()).is_err(),
        "switches are missing"
    );
    let wrong = Switches::of(&random([1, 3, 10, 9], &mut rng(1)), Pool::NONE);
    assert!(network.at(vec![wrong]).is_err(), "other windows");
}

#[test]
fn without_windows_it_takes_the_steps_of_fista() {
    for stack in Stack::ALL {
        let problem = problem(stack, 2, convex(), 60);
        let norm = Some(problem.network.squared_norm_bound([6, 5]));
        let ista = Method::Ista(Ista {
            norm,
            ..Ista::default()
        });
        let fista = Method::Fista(Fista { norm });
        for steps in [1, 2, 7, 40] {
            let (a, b) = (run(&ista, &problem, steps), run(&fista, &problem, steps));
            let what = format!("{stack:?}, {steps} steps");
            assert_near(&values(&a.codes), &values(&b.codes), 1e-9, &what);
        }
    }
}

#[test]
fn the_bound_that_it_finds_leads_to_the_optimum() {
    for stack in [Stack::Full, Stack::Two, Stack::Three] {
        let problem = problem(stack, 1, convex(), 61);
        let (_, least) = optimum(&problem);
        for accelerated in [true, false] {
            let ista = Method::Ista(Ista {
                accelerated,
                ..Ista::default()
            });
            let at = run(&ista, &problem, 8000).each[0].objective;
            let above = (at - least) / least;
            // Without momentum the distance falls as 1 over the number of steps only.
            let tolerance = if accelerated { 1e-6 } else { 1e-3 };
            assert!(
                (-1e-12..tolerance).contains(&above),
                "{stack:?} {accelerated}: {above:e}"
            );
        }
    }
}

#[test]
fn at_given_switches_every_solver_finds_the_same_optimum_with_a_certificate() {
    let problem = pooled_problem(Pool::NONE, 1);
    let shape = problem.maps_shape();
    let matrix = Dense::of(shape.iter().product(), |z| {
        values(&problem.network.project(tensor(z, shape)))
    });
    let (_, least) = matrix.lasso(&values(problem.data.images()), 1.5, 0.15);
    for name in [SolverName::Fista, SolverName::Ista] {
        let at = run(&name.method(), &problem, 5000).each[0];
        assert!(
            (at.objective - least).abs() < 1e-8 * least,
            "{}",
            name.name()
        );
        assert!(
            at.gap.expect("a convex problem") < 1e-5 * least,
            "{}",
            name.name()
        );
    }
}

#[test]
fn of_each_window_of_the_top_layer_one_element_is_left() {
    let windows = Pool {
        rows: 2,
        columns: 2,
        maps: 3,
    };
    let problem = pooled_problem(windows, 3);
    let variants = ["plain", "frozen"].map(|text| {
        Method::from(Ista::default())
            .variant(text)
            .expect("a variant")
    });
    let none = values(&zeros(&problem));
    let start: f64 = {
        let limits = Limits {
            steps: 0,
            every: 0,
            ..Limits::default()
        };
        let solved =
            Method::from(Ista::default()).code(&problem, zeros(&problem), &limits, &mut ());
        solved
            .expect("finite numbers")
            .each
            .iter()
            .map(|e| e.objective)
            .sum()
    };
    for method in variants.into_iter().chain([Ista::default().into()]) {
        let solved = run(&method, &problem, 60);
        let codes = values(&solved.codes);
        assert_ne!(codes, none);
        let switches = Switches::of(&solved.codes, windows);
        let back = switches.unpool(switches.pool(solved.codes.clone()));
        assert_eq!(values(&back), codes, "{method:?}");
        let at: f64 = solved.each.iter().map(|e| e.objective).sum();
        assert!(at < 0.8 * start, "{method:?}: {at} of {start}");
    }
    let refused =
        Method::from(Fista::default()).code(&problem, zeros(&problem), &Limits::default(), &mut ());
    let message = refused.expect_err("fista does not pool").to_string();
    assert!(message.contains("ista"), "{message}");
}

/// The filters of the upper and of the lower layer against the least squares written out.
#[test]
fn filters_are_found_through_the_switches() {
    let windows = Pool {
        rows: 2,
        columns: 2,
        maps: 3,
    };
    let problem = pooled_problem(windows, 2);
    let codes = run(&Ista::default().into(), &problem, 40).codes;
    for layer in [0, 1] {
        let filters = problem.network.layers()[layer].filters.val();
        let shape = filters.dims();
        let with = |taps: &[f64]| {
            let mut network = problem.network.clone();
            let own = &mut network.layers_mut()[layer];
            *own = own.with_filters(tensor(taps, shape));
            values(&network.project(codes.clone()))
        };
        let matrix = Dense::of(shape.iter().product(), with);
        let y = values(problem.data.images());
        let found = FilterProblem {
            network: &problem.network,
            layer,
            batches: &|visit| {
                visit(deconvnet::solve::CodedBatch {
                    maps: codes.clone(),
                    data: problem.data.clone(),
                    switches: problem.network.switches(),
                })
            },
            sparse: None,
            statistics: None,
            constraint: Constraint::UnitFilters,
            group: &Group::alone(),
        };
        let energies = found.energies().expect("energies");
        assert!(values(&energies).iter().all(|&e| e >= 0.0));
        // As many steps as unknowns solve the system; what the constraint does to it is undone.
        let solved = found
            .solve(FilterStep::LeastSquares { cg: 400 })
            .expect("filters");
        let residual = |taps: &[f64]| {
            let r: Vec<f64> = matrix
                .times(taps)
                .iter()
                .zip(&y)
                .map(|(a, b)| a - b)
                .collect();
            dot(&r, &r)
        };
        let scale =
            |taps: Vec<f64>| -> Tensor<4> { Constraint::UnitFilters.project(tensor(&taps, shape)) };
        let free: Vec<usize> = (0..shape.iter().product())
            .filter(|&c| {
                let mut unit = vec![0.0; shape.iter().product()];
                unit[c] = 1.0;
                norm(&matrix.times(&unit)) > 1e-9
            })
            .collect();
        let mut start = values(&filters);
        for (c, x) in matrix.least_squares(&y, &free).into_iter().enumerate() {
            if free.contains(&c) {
                start[c] = x;
            }
        }
        assert!(residual(&start) < 0.9 * residual(&values(&filters)));
        assert_near(
            &values(&solved),
            &values(&scale(start)),
            1e-4,
            &format!("layer {layer}"),
        );
    }
}

#[test]
fn steps_that_are_too_long_end_in_an_error() {
    let windows = Pool {
        rows: 2,
        columns: 2,
        maps: 3,
    };
    let problem = pooled_problem(windows, 1);
    let method = Method::from(Ista {
        norm: Some(1e-6),
        ..Ista::default()
    });
    let limits = Limits {
        steps: 400,
        every: 0,
        ..Limits::default()
    };
    let ended = method.code(&problem, zeros(&problem), &limits, &mut ());
    let message = ended.expect_err("numbers beyond all bounds").to_string();
    assert!(message.contains("objective became"), "{message}");
}
