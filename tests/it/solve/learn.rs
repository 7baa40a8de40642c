//! Learning maps and filters together.

use burn::tensor::{Device, Tensor};
use deconvnet::config::Config;
use deconvnet::connectivity::Connectivity;
use deconvnet::data::Preprocess;
use deconvnet::group::Group;
use deconvnet::model::{Constraint, Evaluation, LayerConfig, Network, Objective};
use deconvnet::run::{Images, to_tensor};
use deconvnet::solve::{
    Adam, CoordinateDescent, FilterMemory, FilterStep, Fista, HalfQuadratic, Learner, Learnt,
    Method, OnlineStatistics, Problem, SparseBatch,
};

use crate::support::scenario::{Stack, problem, single, zeros};
use crate::support::*;

fn learners() -> [Learner; 3] {
    let learner = |codes, steps, filters| Learner {
        all_layers: true,
        group: Group::alone(),
        codes,
        steps,
        filters,
        filter_rate: 0.01,
        constraint: Constraint::UnitPlanes,
    };
    let split = Method::HalfQuadratic(HalfQuadratic::default());
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

/// Visits one batch, from maps of zeros.
fn first_visit(learner: &Learner, problem: &Problem, update: bool) -> Learnt {
    let memory = &mut FilterMemory::default();
    learner
        .visit(problem, zeros(problem), update, memory, &())
        .expect("finite numbers")
}

/// Visits one batch again and again; the last of the visits and the first.
fn learn(learner: &Learner, mut problem: Problem, visits: usize) -> [Learnt; 2] {
    let (mut maps, mut memory) = (zeros(&problem), FilterMemory::default());
    let mut all = Vec::new();
    for _ in 0..visits {
        let learnt = learner
            .visit(&problem, maps, true, &mut memory, &())
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
                for (layer, before) in last.network.layers().iter().zip(first.layers()) {
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
            for layer in last.network.layers() {
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
        if let Method::HalfQuadratic(split) = &mut learner.codes {
            split.schedule.steps = 2;
        }
        let problem = noisy(Stack::Two, 65);
        let learnt = first_visit(&learner, &problem, true);
        let at = |network, maps: &Tensor<4>| {
            let maps = maps.clone();
            problem.objective.measure(network, maps, &problem.data)
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
fn a_visit_that_ends_with_few_elements_tells_of_them_as_of_all() {
    let strong = Objective::new(1.0, 0.8, 1.0).expect("a sound objective");
    let [_, _, fista] = learners();
    let descent = Learner {
        codes: Method::CoordinateDescent(CoordinateDescent::default()),
        steps: 4,
        ..fista.clone()
    };
    for learner in [fista, descent] {
        let problem = single(&problem(Stack::Masked, 2, strong, 67));
        let learnt = first_visit(&learner, &problem, true);
        let name = learner.codes.name();
        let few = SparseBatch::new(&problem, &learnt.codes);
        assert!(
            few.is_some() && values(&learnt.codes).iter().any(|&z| z != 0.0),
            "{name}"
        );
        for (network, told) in [
            (&problem.network, &learnt.after_codes),
            (&learnt.network, &learnt.after_filters),
        ] {
            let codes = learnt.codes.clone();
            let each = problem.objective.measure(network, codes, &problem.data);
            let numbers = |each: &[Evaluation]| -> Vec<f64> {
                let of = |e: &Evaluation| [e.objective, e.penalty, e.snr, 100.0 * e.density];
                each.iter().flat_map(of).collect()
            };
            assert_near(&numbers(told), &numbers(&each), 1e-5, name);
        }
    }
}

#[test]
fn filters_stay_as_they_are_when_it_is_not_their_turn() {
    for learner in learners() {
        let problem = single(&noisy(Stack::Two, 63));
        let learnt = first_visit(&learner, &problem, false);
        for (after, before) in learnt.network.layers().iter().zip(problem.network.layers()) {
            assert_eq!(bits(&after.filters.val()), bits(&before.filters.val()));
        }
        assert_eq!(learnt.after_codes, learnt.after_filters);
    }
}

#[test]
fn adams_memory_of_the_filters_lasts_across_visits() {
    let [_, adam, _] = learners();
    let problem = noisy(Stack::Two, 64);
    let mut memory = FilterMemory::default();
    for visit in 1..=2 {
        let start = zeros(&problem);
        adam.visit(&problem, start, true, &mut memory, &())
            .expect("finite numbers");
        let times: Vec<usize> = memory.moments.iter().map(|m| m.time).collect();
        assert_eq!(times, [visit * adam.steps; 2]);
    }
}

/// Image `i` of a problem alone, with the filters of another.
fn image(problem: &Problem, i: usize, network: &Network) -> Problem {
    Problem {
        network: network.clone(),
        data: problem.data.image(i),
        objective: problem.objective,
    }
}

#[test]
fn the_past_adds_up_the_energies_of_the_maps_and_forgets_the_first_batches() {
    let [_, _, learner] = learners();
    let learner = Learner {
        constraint: Constraint::UnitBall,
        ..learner
    };
    for in_double in [true, false] {
        let problem = noisy(Stack::Masked, 66);
        let problem = if in_double { problem } else { single(&problem) };
        let mut memory = FilterMemory::online(&problem.network);
        let mut network = problem.network.clone();
        let mut wanted = vec![0.0; network.top().connectivity.maps()];
        for t in 1..=5 {
            let one = image(&problem, t % 2, &network);
            let start = zeros(&one);
            let learnt = learner
                .visit(&one, start, true, &mut memory, &())
                .expect("finite numbers");
            network = learnt.network;
            let kept = (1.0 - 1.0 / t as f64).powi(8);
            let squares = learnt.maps.square().sum_dim(3).sum_dim(2);
            for (h, e) in wanted.iter_mut().zip(values(&squares)) {
                *h = *h * kept + e;
            }
            let got = values(&memory.statistics[0].energies.val());
            assert_near(
                &got,
                &wanted,
                if in_double { 1e-12 } else { 1e-5 },
                "energies",
            );
            assert_eq!(memory.statistics[0].batches, t);
        }
    }
}

/// Sample scenes one after the other, each coded from zero: the filters must serve scenes that were
/// not among them, and better than filters that each time fit the scene of the moment.
#[test]
fn an_online_learner_serves_images_that_it_has_not_seen() {
    const LEARNT: usize = 24;
    const ALL: usize = 30;
    let mut config = Config {
        preprocess: Preprocess::ContrastNormalize {
            size: 13,
            sigma: 4.773,
        },
        ..Config::default()
    };
    config.data.colour = false;
    config.data.sample_count = ALL;
    config.data.sample_size = 56;
    let device = Device::flex();
    let mut images = Images::open(&config).expect("sample scenes");
    let images: Vec<Tensor<4>> = (0..ALL)
        .map(|i| to_tensor(&images.get(i).expect("a scene"), &device))
        .collect();
    let first = LayerConfig::new(Connectivity::full(1, 24), [8, 8])
        .with_constraint(Constraint::UnitBall)
        .with_seed(1);
    let first = Network::new(vec![first.init(&device)]).expect("a layer");
    let objective = Objective::new(1.0, 2.0, 1.0).expect("a sound objective");
    let learner = Learner {
        all_layers: true,
        group: Group::alone(),
        codes: Method::CoordinateDescent(CoordinateDescent::default()),
        steps: 8,
        filters: FilterStep::ProjectedGradient { steps: 5 },
        filter_rate: 0.0,
        constraint: Constraint::UnitBall,
    };
    let visit = |i: usize, network: &Network, update: bool, memory: &mut FilterMemory| {
        let problem = Problem {
            network: network.clone(),
            data: images[i].clone().into(),
            objective,
        };
        let start = Tensor::zeros(network.maps_shape(images[i].dims()), &device);
        let learnt = learner.visit(&problem, start, update, memory, &());
        learnt.expect("finite numbers")
    };
    let unseen = |network: &Network| -> f64 {
        let all = (LEARNT..ALL).map(|i| visit(i, network, false, &mut FilterMemory::default()));
        all.map(|learnt| Evaluation::total(&learnt.after_codes).objective)
            .sum()
    };
    let learn = |mut memory: FilterMemory| {
        let visits = (0..LEARNT).cycle().take(2 * LEARNT);
        visits.fold(first.clone(), |network, i| {
            visit(i, &network, true, &mut memory).network
        })
    };
    let before = unseen(&first);
    let memories = [FilterMemory::online(&first), FilterMemory::default()];
    let [with, without] = memories.map(|memory| unseen(&learn(memory)));
    assert!(with < 0.9 * before, "{with} from {before}");
    assert!(
        with < 0.99 * without,
        "{with}, but {without} without a past"
    );
}

#[test]
fn the_past_forgets_one_map_alone() {
    let filters = Stack::Full.network(69).top().filters.val();
    let mut statistics = OnlineStatistics::none(&filters);
    statistics.energies = statistics.energies.map(|h| h + 2.0);
    statistics.forget(1);
    assert_eq!(values(&statistics.energies.val()), [2.0, 0.0, 2.0]);
}
