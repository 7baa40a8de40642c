//! The solvers for the maps against the least objective by coordinate descent.

use deconvnet::model::{Evaluation, Objective};
use deconvnet::solve::{Adam, Fista, Limits, Method, Problem, Schedule, Solved, Split};
use deconvnet::solve::operator_norm;

use crate::support::dense::Dense;
use crate::support::scenario::{Stack, optimum, problem, single, zeros};
use crate::support::*;

fn objective(sparsity: f64, p: f64) -> Objective {
    Objective::new(1.5, sparsity, p).expect("a sound objective")
}

fn run(method: Method, problem: &Problem, steps: usize) -> Solved {
    let limits = Limits {
        steps,
        every: 0,
        ..Limits::default()
    };
    method
        .code(problem, zeros(problem), &limits, &mut ())
        .expect("finite numbers")
}

fn gentle() -> Method {
    Method::Split(Split {
        schedule: Schedule {
            start: 0.1,
            growth: 1.1,
            steps: 120,
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
                let images = problem.images.clone();
                let nothing = problem
                    .objective
                    .evaluate(&problem.network, start.clone(), images);
                for (method, steps) in [
                    (Method::Fista(Fista::default()), 60),
                    (gentle(), 1000),
                    (adam(0.05), 60),
                ] {
                    let what = format!("{} {stack:?} p {p} {dtype}", method.name());
                    let solved = run(method, &problem, steps);
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
                    assert_eq!(exact, ((1.0 - density) * codes.len() as f64).round() as usize);
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
        let solved = run(Method::Fista(Fista::default()), &problem, 600);
        let at = solved.each[0];
        assert!(
            at.objective <= least * (1.0 + 1e-5) && at.objective >= least * (1.0 - 1e-12),
            "{stack:?}: {} for {least}",
            at.objective
        );
        assert!(at.gap.expect("p is 1") <= 1e-4 * least, "{stack:?}: {at:?}");
    }
}

#[test]
fn images_of_a_batch_are_solved_as_if_each_were_alone() {
    let both = problem(Stack::Two, 2, objective(0.2, 1.0), 22);
    let norm = Some(operator_norm(&both.network, both.images.dims()));
    for (method, steps) in [
        (Method::Fista(Fista { norm }), 40),
        (gentle(), 1000),
        (adam(0.03), 20),
    ] {
        let together = run(method.clone(), &both, steps);
        for n in 0..2 {
            let alone = Problem {
                images: both.images.clone().narrow(0, n, 1),
                ..both.clone()
            };
            let alone = run(method.clone(), &alone, steps);
            let part = together.codes.clone().narrow(0, n, 1);
            assert_near(&values(&part), &values(&alone.codes), 1e-9, method.name());
        }
    }
}

#[test]
fn a_gentle_split_schedule_comes_close_and_its_codes_are_exactly_sparse() {
    for stack in Stack::ALL {
        let problem = problem(stack, 1, objective(0.2, 1.0), 23);
        let (best, least) = optimum(&problem);
        let at = run(gentle(), &problem, 1000).each[0];
        let excess = at.objective / least - 1.0;
        assert!((-1e-12..0.02).contains(&excess), "{stack:?}: {excess}");
        let used = best.iter().filter(|&&z| z != 0.0).count() as f64 / best.len() as f64;
        assert!(at.density < 2.5 * used, "{stack:?}: {} for {used}", at.density);
    }
}

#[test]
fn the_coarse_schedule_of_the_paper_stays_above_the_least_objective() {
    let problem = problem(Stack::Full, 1, objective(0.2, 1.0), 23);
    let (_, least) = optimum(&problem);
    let coarse = run(Method::Split(Split::default()), &problem, 1000).each[0];
    let close = run(gentle(), &problem, 1000).each[0];
    assert!(coarse.objective > 1.02 * least, "{coarse:?} for {least}");
    assert!(close.objective < coarse.objective);
}

#[test]
fn proximal_adam_has_exact_zeros_and_comes_close() {
    for stack in Stack::ALL {
        let problem = problem(stack, 1, objective(0.2, 1.0), 24);
        let (best, least) = optimum(&problem);
        let at = run(adam(0.01), &problem, 500).each[0];
        let excess = at.objective / least - 1.0;
        assert!((-1e-12..0.03).contains(&excess), "{stack:?}: {excess}");
        let used = best.iter().filter(|&&z| z != 0.0).count() as f64 / best.len() as f64;
        assert!(at.density < 3.0 * used, "{stack:?}: {} for {used}", at.density);
    }
}

#[test]
fn the_operator_norm_is_an_upper_estimate() {
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
            let estimate = operator_norm(&network, [3, 2, 6, 5]);
            assert!(
                estimate >= squared * 0.999 && estimate < squared * 1.06,
                "{stack:?} {seed}: {estimate} for {squared}"
            );
        }
    }
}
