//! The solvers for the maps against the least objective by coordinate descent.

use deconvnet::model::{Evaluation, Objective};
use deconvnet::solve::{Adam, Fista, HalfQuadratic, Method, Problem, Schedule};

use crate::support::dense::Dense;
use crate::support::scenario::{Stack, optimum, problem, run, single, zeros};
use crate::support::*;

fn objective(sparsity: f64, p: f64) -> Objective {
    Objective::new(1.5, sparsity, p).expect("a sound objective")
}

/// From 0.1 to at least 1e4.
fn split(growth: f64) -> Method {
    let steps = (1e5_f64.ln() / growth.ln()).ceil() as usize;
    Method::HalfQuadratic(HalfQuadratic {
        schedule: Schedule {
            start: 0.1,
            growth,
            steps,
        },
        cg: 5,
    })
}

fn adam(rate: f64) -> Method {
    Method::Adam(Adam {
        rate,
        ..Adam::default()
    })
}

#[test]
fn every_solver_improves_on_zero_maps_with_sparse_codes_on_every_problem() {
    for stack in Stack::ALL {
        for p in [0.5, 0.8, 1.0] {
            for dtype in ["f32", "f64"] {
                let mut problem = problem(stack, 2, objective(0.15, p), 20);
                if dtype == "f32" {
                    problem = single(&problem);
                }
                let start = zeros(&problem);
                let nothing =
                    problem
                        .objective
                        .evaluate(&problem.network, start.clone(), &problem.data);
                for (method, steps) in [
                    (Method::Fista(Fista::default()), 60),
                    (split(1.1), 1000),
                    (adam(0.05), 60),
                ] {
                    let what = format!("{} {stack:?} p {p} {dtype}", method.name());
                    let solved = run(&method, &problem, steps);
                    assert_eq!(solved.codes.dims(), start.dims(), "{what}");
                    assert_eq!(solved.codes.dtype(), start.dtype(), "{what}");
                    for (at, nothing) in solved.each.iter().zip(&nothing) {
                        let better = at.objective < 0.9 * nothing.objective;
                        assert!(better, "{what}: {at:?} after {nothing:?}");
                        assert!(at.density > 0.0 && at.density < 0.6, "{what}: {at:?}");
                    }
                    let codes = values(&solved.codes);
                    let exact = codes.iter().filter(|&&z| z == 0.0).count();
                    let density = Evaluation::total(&solved.each).density;
                    assert_eq!(
                        exact,
                        ((1.0 - density) * codes.len() as f64).round() as usize
                    );
                }
            }
        }
    }
}

#[test]
fn fista_reaches_the_least_objective() {
    for stack in Stack::ALL {
        let problem = problem(stack, 1, objective(0.2, 1.0), 21);
        let (_, least) = optimum(&problem);
        let at = run(&Fista::default().into(), &problem, 800).each[0];
        // Without its restarts it would not come nearly as close.
        assert!(
            (at.objective / least - 1.0).abs() <= 1e-11,
            "{stack:?}: {} for {least}",
            at.objective
        );
        assert!(at.gap.expect("p is 1") <= 1e-6 * least, "{stack:?}: {at:?}");
    }
}

#[test]
fn images_of_a_batch_are_solved_as_if_each_were_alone() {
    let both = problem(Stack::Two, 2, objective(0.2, 1.0), 22);
    let norm = Some(both.network.squared_norm_bound([6, 5]));
    for (method, steps) in [
        (Method::Fista(Fista { norm }), 40),
        (split(1.1), 1000),
        (adam(0.03), 20),
    ] {
        let together = run(&method, &both, steps);
        for n in 0..2 {
            let alone = Problem {
                data: both.data.image(n),
                ..both.clone()
            };
            let alone = run(&method, &alone, steps);
            let part = together.codes.clone().narrow(0, n, 1);
            assert_near(&values(&part), &values(&alone.codes), 1e-9, method.name());
        }
    }
}

/// How far above the least objective, as a share of it; and how many of the codes are used.
struct Reached {
    excess: f64,
    density: f64,
}

#[track_caller]
fn reached(method: Method, problem: &Problem, least: f64, steps: usize) -> Reached {
    let at = run(&method, problem, steps).each[0];
    let excess = at.objective / least - 1.0;
    assert!(excess >= -1e-12, "below the least: {at:?} for {least}");
    Reached {
        excess,
        density: at.density,
    }
}

fn density(z: &[f64]) -> f64 {
    z.iter().filter(|&&z| z != 0.0).count() as f64 / z.len() as f64
}

#[test]
fn the_gentler_the_split_schedule_the_closer_it_comes_with_exactly_sparse_codes() {
    for stack in Stack::ALL {
        let problem = problem(stack, 1, objective(0.2, 1.0), 23);
        let (best, least) = optimum(&problem);
        let ever_closer = [10.0, 2.0, 1.2, 1.04];
        let all = ever_closer.map(|growth| reached(split(growth), &problem, least, 1000));
        let excess: Vec<f64> = all.iter().map(|r| r.excess).collect();
        assert!(excess.is_sorted_by(|a, b| a > b), "{stack:?}: {excess:?}");
        assert!(excess[0] > 0.02, "{stack:?}: the coarse one is no worse");
        assert!(excess[3] < 0.01, "{stack:?}: {excess:?}");
        let (used, wanted) = (all[3].density, density(&best));
        assert!(
            used < 2.0 * wanted,
            "{stack:?}: density {used} for {wanted}"
        );
    }
}

#[test]
fn proximal_adam_has_exact_zeros_and_reaches_the_least_objective() {
    for stack in Stack::ALL {
        let problem = problem(stack, 1, objective(0.2, 1.0), 24);
        let (best, least) = optimum(&problem);
        let at = reached(adam(0.03), &problem, least, 1000);
        // A stack of layers is worse conditioned, and slower.
        let layers = problem.network.layers().len();
        let near = if layers == 1 { 1e-6 } else { 0.01 };
        assert!(at.excess < near, "{stack:?}: {}", at.excess);
        let (used, wanted) = (at.density, density(&best));
        assert!(
            used < 1.2 * wanted,
            "{stack:?}: density {used} for {wanted}"
        );
    }
}

#[test]
fn the_step_of_fista_rests_on_an_upper_bound() {
    for stack in Stack::ALL {
        for seed in 0..5 {
            let network = stack.network(seed);
            let shape = network.maps_shape([1, 2, 6, 5]);
            let matrix = Dense::of(shape.iter().product(), |z| {
                values(&network.project(tensor(z, shape)))
            });
            // Power iteration until nothing changes any more.
            let mut v = normal(shape.iter().product(), &mut rng(seed));
            let mut squared = 0.0;
            for _ in 0..3000 {
                let length = norm(&v);
                v.iter_mut().for_each(|x| *x /= length);
                let there = matrix.times(&v);
                squared = dot(&there, &there);
                v = values(&network.lift(tensor(&there, [1, 2, 6, 5])));
            }
            // Images this small are cropped much: the bound is that of larger ones.
            let bound = network.squared_norm_bound([6, 5]);
            assert!(
                bound >= squared && bound < squared * 1.6,
                "{stack:?} {seed}: {bound} for {squared}"
            );
        }
    }
}
