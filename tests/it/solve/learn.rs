//! Learning maps and filters together.

use burn::tensor::Tensor;
use deconvnet::model::{Constraint, Evaluation, Objective};
use deconvnet::solve::{Adam, FilterStep, Fista, Learner, Learnt, Method, Problem, Split};

use crate::support::scenario::{Stack, problem, single, zeros};
use crate::support::*;

fn learners() -> [Learner; 3] {
    let learner = |codes, steps, filters| Learner {
        codes,
        steps,
        filters,
        filter_rate: 0.01,
        constraint: Constraint::UnitPlanes,
    };
    let split = Method::Split(Split::default());
    let adam = Method::Adam(Adam {
        rate: 0.05,
        ..Adam::default()
    });
    let fista = Method::Fista(Fista::default());
    [
        learner(split, 6, FilterStep::LeastSquares { cg: 2 }),
        learner(adam, 20, FilterStep::LeastSquares { cg: 2 }),
        learner(fista, 20, FilterStep::ProjectedGradient { steps: 3 }),
    ]
}

/// Visits one batch again and again; the last of the visits and the first.
fn learn(learner: &Learner, mut problem: Problem, visits: usize) -> [Learnt; 2] {
    let (mut maps, mut moments) = (zeros(&problem), Vec::new());
    let mut all = Vec::new();
    for _ in 0..visits {
        let learnt = learner
            .visit(&problem, maps, true, &mut moments, &mut ())
            .expect("finite numbers");
        maps = learnt.maps.clone();
        problem.network = learnt.network.clone();
        all.push(learnt);
    }
    [all.swap_remove(0), all.pop().expect("two visits")]
}

fn noisy(stack: Stack, seed: u64) -> Problem {
    let objective = Objective::new(1.0, 0.1, 1.0).expect("a sound objective");
    problem(stack, 2, objective, seed)
}

#[test]
fn unconnected_planes_stay_exactly_zero_under_every_solver() {
    for learner in learners() {
        for constraint in [Constraint::UnitPlanes, Constraint::UnitBall] {
            let learner = Learner {
                constraint,
                ..learner.clone()
            };
            for stack in [Stack::Masked, Stack::Two, Stack::Three] {
                let [_, last] = learn(&learner, single(&noisy(stack, 60)), 3);
                let (mut apart, mut moved) = (0, false);
                let first = single(&noisy(stack, 60)).network;
                for (layer, before) in last.network.layers.iter().zip(&first.layers) {
                    let g = &layer.connectivity;
                    let [h, w] = layer.filter_size();
                    let taps = values(&layer.filters.val());
                    moved |= taps != values(&before.filters.val());
                    for (i, plane) in taps.chunks(h * w).enumerate() {
                        if !g.connects(i / g.maps(), i % g.maps()) {
                            apart += 1;
                            let what = format!("{} {stack:?}", learner.codes.name());
                            assert!(plane.iter().all(|&t| t == 0.0), "{what}: {plane:?}");
                        }
                    }
                }
                assert!(apart > 0 && moved, "nothing was tested");
            }
        }
    }
}

#[test]
fn learnt_filters_satisfy_the_constraint_in_every_layer() {
    for learner in learners() {
        for constraint in [Constraint::UnitPlanes, Constraint::UnitBall] {
            let learner = Learner {
                constraint,
                ..learner.clone()
            };
            let [_, last] = learn(&learner, noisy(Stack::Two, 61), 2);
            for layer in &last.network.layers {
                let filters = layer.filters.val();
                let again = constraint.project(filters.clone());
                assert_near(
                    &values(&again),
                    &values(&filters),
                    1e-12,
                    learner.codes.name(),
                );
            }
        }
    }
}

#[test]
fn visiting_again_and_again_explains_the_images_better() {
    for learner in learners() {
        for stack in Stack::ALL {
            let [first, last] = learn(&learner, noisy(stack, 62), 12);
            let what = format!("{} {stack:?}", learner.codes.name());
            let [first, last] = [first, last].map(|learnt| {
                let snr = learnt.snr.iter().sum::<f64>() / 2.0;
                let objective = Evaluation::total(&learnt.after_filters).objective;
                (objective, snr)
            });
            // The coarse schedule promises a better fit, the others a lower objective.
            if learner.codes.name() == "split" {
                assert!(last.1 > first.1 + 0.5, "{what}: SNR {first:?} to {last:?}");
            } else {
                assert!(
                    last.0 < 0.95 * first.0,
                    "{what}: objective {first:?} to {last:?}"
                );
            }
        }
    }
}

#[test]
fn a_visit_tells_of_the_codes_before_and_after_and_of_the_maps_that_go_on() {
    for mut learner in learners() {
        // So short a schedule leaves codes and maps far apart.
        if let Method::Split(split) = &mut learner.codes {
            split.schedule.steps = 2;
        }
        let problem = noisy(Stack::Two, 65);
        let learnt = learner
            .visit(&problem, zeros(&problem), true, &mut Vec::new(), &mut ())
            .expect("finite numbers");
        let at = |network, maps: &Tensor<4>| {
            let (maps, images) = (maps.clone(), problem.images.clone());
            problem.objective.measure(network, maps, images)
        };
        let snr: Vec<f64> = at(&learnt.network, &learnt.maps)
            .iter()
            .map(|e| e.snr)
            .collect();
        assert_eq!(learnt.snr, snr);
        assert_eq!(learnt.after_filters, at(&learnt.network, &learnt.codes));
        let name = learner.codes.name();
        // Under Adam maps and filters descend together: there is no before.
        let before = match name {
            "adam" => &learnt.network,
            _ => &problem.network,
        };
        assert_eq!(learnt.after_codes, at(before, &learnt.codes));
        let apart = values(&learnt.codes) != values(&learnt.maps);
        assert_eq!(apart, name == "split", "{name}");
    }
}

#[test]
fn filters_stay_as_they_are_when_it_is_not_their_turn() {
    for learner in learners() {
        let problem = single(&noisy(Stack::Two, 63));
        let learnt = learner
            .visit(&problem, zeros(&problem), false, &mut Vec::new(), &mut ())
            .expect("finite numbers");
        for (after, before) in learnt.network.layers.iter().zip(&problem.network.layers) {
            assert_eq!(bits(&after.filters.val()), bits(&before.filters.val()));
        }
        assert_eq!(learnt.after_codes, learnt.after_filters);
    }
}

#[test]
fn adams_memory_of_the_filters_lasts_across_visits() {
    let [_, adam, _] = learners();
    let problem = noisy(Stack::Two, 64);
    let mut moments = Vec::new();
    for visit in 1..=2 {
        let start = zeros(&problem);
        adam.visit(&problem, start, true, &mut moments, &mut ())
            .expect("finite numbers");
        let times: Vec<usize> = moments.iter().map(|m| m.time).collect();
        assert_eq!(times, [visit * adam.steps; 2]);
    }
}
