//! Coordinate descent against the least objective, and beside the other solvers.

use burn::tensor::{DType, Device, Tensor};
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::group::Group;
use deconvnet::model::{Constraint, Evaluation, Layer, Network, Objective};
use deconvnet::solve::{
    CodedBatch, CoordinateDescent, FilterMemory, FilterProblem, FilterStep, Fista, Learner, Limits,
    Method, OnlineStatistics, Problem, Reason, Solved, SparseBatch,
};

use crate::support::scenario::{Stack, on, optimum, problem, single, zeros};
use crate::support::*;

const ONE_LAYER: [Stack; 2] = [Stack::Full, Stack::Masked];

fn objective(sparsity: f64, p: f64) -> Objective {
    Objective::new(1.5, sparsity, p).expect("a sound objective")
}

fn run(problem: &Problem, start: Tensor<4>, steps: usize) -> Solved {
    let limits = Limits {
        steps,
        every: 1,
        ..Limits::default()
    };
    Method::CoordinateDescent(CoordinateDescent::default())
        .code(problem, start, &limits, &mut ())
        .expect("finite numbers")
}

#[test]
fn it_reaches_the_least_objective_and_says_that_nothing_moves() {
    for stack in ONE_LAYER {
        for sparsity in [0.02, 0.2, 0.6] {
            let problem = problem(stack, 1, objective(sparsity, 1.0), 31);
            let (_, least) = optimum(&problem);
            let solved = run(&problem, zeros(&problem), 2000);
            assert_eq!(solved.reason, Reason::Converged, "{stack:?} {sparsity}");
            let at = solved.each[0];
            assert!(
                (at.objective / least - 1.0).abs() <= 1e-12,
                "{stack:?} {sparsity}: {} for {least}",
                at.objective
            );
            assert!(at.gap.expect("p is 1") <= 1e-9 * least, "{at:?}");
        }
    }
}

#[test]
fn single_precision_settles_with_a_small_gap() {
    for stack in ONE_LAYER {
        let problem = single(&problem(stack, 3, objective(0.2, 1.0), 32));
        let solved = run(&problem, zeros(&problem), 2000);
        assert_eq!(solved.reason, Reason::Converged, "{stack:?}");
        assert_eq!(solved.codes.dtype(), DType::F32);
        for at in solved.each {
            assert!(at.gap.expect("p is 1") <= 1e-5 * at.objective, "{at:?}");
        }
    }
}

/// Then products with many of the elements together are singular, and long Newton steps lead nowhere.
#[test]
fn it_converges_with_almost_as_many_elements_as_pixels() {
    let mut rng = rng(38);
    let filters = random([1, 8, 7, 7], &mut rng).cast(DType::F32);
    let layer = Layer::new(filters, Connectivity::full(1, 8));
    let problem = Problem {
        network: Network::new(vec![layer]).expect("a layer"),
        data: random([1, 1, 40, 40], &mut rng).cast(DType::F32).into(),
        objective: objective(0.1, 1.0),
    };
    let limits = Limits {
        steps: 20_000,
        every: 0,
        ..Limits::default()
    };
    let fista = Method::Fista(Fista::default()).code(&problem, zeros(&problem), &limits, &mut ());
    let least = fista.expect("finite numbers").each[0].objective;
    // Two a round.
    let solved = run(&problem, zeros(&problem), 240);
    let at = solved.each[0];
    let elements = at.density * (8 * 46 * 46) as f64;
    assert!(elements > 0.9 * 1600.0, "{elements} elements");
    assert!(at.objective <= (1.0 + 2e-5) * least, "{at:?} for {least}");
}

#[test]
fn a_weight_that_holds_everything_at_zero_gives_zeros_at_once() {
    let problem = problem(Stack::Full, 2, objective(100.0, 1.0), 33);
    let solved = run(&problem, zeros(&problem), 50);
    assert_eq!(solved.reason, Reason::Converged);
    assert!(values(&solved.codes).iter().all(|&z| z == 0.0));
}

#[test]
fn from_any_start_it_comes_to_the_same_maps() {
    let problem = problem(Stack::Masked, 2, objective(0.2, 1.0), 34);
    let cold = run(&problem, zeros(&problem), 2000);
    let start = random(zeros(&problem).dims(), &mut rng(1));
    let warm = run(&problem, start, 2000);
    assert_near(&values(&warm.codes), &values(&cold.codes), 1e-6, "maps");
    let again = run(&problem, cold.codes.clone(), 2000);
    assert!(again.last().step <= 5, "{:?}", again.last());
}

#[test]
fn images_of_a_batch_are_solved_as_if_each_were_alone() {
    let both = problem(Stack::Full, 2, objective(0.2, 0.8), 35);
    let together = run(&both, zeros(&both), 30);
    for i in 0..2 {
        let alone = Problem {
            data: both.data.image(i),
            ..both.clone()
        };
        let solved = run(&alone, zeros(&alone), 30);
        let part = together.codes.clone().narrow(0, i, 1);
        assert_eq!(values(&part), values(&solved.codes), "image {i}");
    }
}

#[test]
fn on_every_backend_it_gives_the_same_maps() {
    let problem = single(&problem(Stack::Masked, 2, objective(0.2, 1.0), 37));
    let here = run(&problem, zeros(&problem), 40);
    for (backend, device) in answering(&[Backend::Ndarray, Backend::Wgpu]) {
        let there = on(&problem, &device);
        let solved = run(&there, zeros(&there), 40);
        assert_eq!(bits(&solved.codes), bits(&here.codes), "{backend}");
    }
}

#[test]
fn a_stack_is_refused_with_a_hint() {
    let problem = problem(Stack::Two, 1, objective(0.2, 1.0), 38);
    let method = Method::CoordinateDescent(CoordinateDescent::default());
    let error = method
        .code(&problem, zeros(&problem), &Limits::default(), &mut ())
        .expect_err("two layers");
    assert!(error.to_string().contains("use fista"), "{error}");
}

#[test]
fn filter_steps_over_sparse_maps_are_those_over_dense_ones() {
    for stack in ONE_LAYER {
        let problem = single(&problem(stack, 3, objective(0.3, 1.0), 39));
        let shape = zeros(&problem).dims();
        let few = sparse(shape.iter().product(), 0.06, &mut rng(2));
        let maps = tensor_as(&few, shape, DType::F32, &Device::flex());
        let batch = SparseBatch::new(&problem, &maps).expect("sparse maps");
        let squares = maps.clone().square().sum_dim(3).sum_dim(2).sum_dim(0);
        let energies = batch.energies();
        assert_eq!(energies.dims(), squares.dims());
        assert_near(&values(&energies), &values(&squares), 1e-6, "energies");
        let batches = |visit: &mut dyn FnMut(CodedBatch) -> deconvnet::Result<()>| {
            visit((maps.clone(), problem.data.clone()).into())
        };
        for step in [
            FilterStep::LeastSquares { cg: 4 },
            FilterStep::ProjectedGradient { steps: 6 },
        ] {
            let mut statistics = OnlineStatistics::none(&problem.network.top().filters.val());
            statistics.energies = statistics.energies.map(|h| h + 0.7);
            let solve = |sparse| {
                let filters = FilterProblem {
                    network: &problem.network,
                    layer: 0,
                    batches: &batches,
                    sparse,
                    statistics: Some(&statistics),
                    constraint: Constraint::UnitBall,
                    group: &Group::alone(),
                };
                values(&filters.solve(step).expect("batches that can be read"))
            };
            let what = format!("{stack:?} {step:?}");
            assert_near(&solve(Some(&batch)), &solve(None), 2e-5, &what);
        }
    }
}

#[test]
fn sparse_maps_are_as_good_as_the_same_ones_dense() {
    for (stack, p) in ONE_LAYER.into_iter().zip([1.0, 0.8]) {
        let mut problem = single(&problem(stack, 3, objective(0.3, p), 47));
        let shape = zeros(&problem).dims();
        let few = sparse(shape.iter().product(), 0.06, &mut rng(3));
        let maps = tensor_as(&few, shape, DType::F32, &Device::flex());
        let batch = SparseBatch::new(&problem, &maps).expect("sparse maps");
        let filters = problem.network.top().filters.val() * 0.7;
        let layer = &mut problem.network.layers_mut()[0];
        *layer = layer.with_filters(filters.clone());
        let dense = problem
            .objective
            .measure(&problem.network, maps, &problem.data);
        let found = batch.measure(&filters, &problem.objective);
        assert_eq!(found.len(), dense.len());
        for (found, dense) in found.iter().zip(&dense) {
            let numbers = |e: &Evaluation| [e.objective, e.data, e.penalty, e.snr, e.density];
            let (found, dense) = (numbers(found), numbers(dense));
            for (found, dense) in found.into_iter().zip(dense) {
                assert!(
                    (found - dense).abs() <= 1e-5 * dense.abs().max(1.0),
                    "{stack:?} {p}: {found} instead of {dense}"
                );
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite_do_not_hide_in_sparse_maps() {
    let problem = single(&problem(Stack::Full, 2, objective(0.3, 1.0), 48));
    let shape = zeros(&problem).dims();
    let part = |map: usize, at: usize| [0..1, map..map + 1, at..at + 1, at..at + 1];
    let maps: Tensor<4> = Tensor::zeros(shape, (&Device::flex(), DType::F32));
    let maps = maps.slice_fill(part(0, 4), 1.0);
    let batch = SparseBatch::new(&problem, &maps).expect("sparse maps");
    let filters = problem.network.top().filters.val();
    assert!(
        batch.measure(&filters, &problem.objective)[0]
            .objective
            .is_finite()
    );
    for wild in [f32::NAN, f32::INFINITY] {
        // Of a map that nothing uses.
        let filters = filters.clone().slice_fill(part(1, 0), wild);
        let each = batch.measure(&filters, &problem.objective);
        assert!(each.iter().all(|e| !e.objective.is_finite()), "{each:?}");
        let maps = maps.clone().slice_fill(part(1, 3), wild);
        assert!(SparseBatch::new(&problem, &maps).is_none());
    }
}

#[test]
fn dense_maps_stacks_and_double_precision_have_no_sparse_batch() {
    let dense = single(&problem(Stack::Full, 1, objective(0.2, 1.0), 40));
    let ones = zeros(&dense) + 1.0;
    assert!(SparseBatch::new(&dense, &ones).is_none());
    for other in [
        problem(Stack::Full, 1, objective(0.2, 1.0), 40),
        single(&problem(Stack::Two, 1, objective(0.2, 1.0), 40)),
    ] {
        assert!(SparseBatch::new(&other, &zeros(&other)).is_none());
    }
}

/// Three rounds a visit, and so many projected gradients.
fn learner(gradients: usize) -> Learner {
    Learner {
        all_layers: true,
        group: Group::alone(),
        codes: Method::CoordinateDescent(CoordinateDescent::default()),
        steps: 3,
        filters: FilterStep::ProjectedGradient { steps: gradients },
        filter_rate: 0.0,
        constraint: Constraint::UnitBall,
    }
}

#[test]
fn learning_counts_rounds_of_one_or_two_steps() {
    for (p, steps) in [(1.0, 2), (0.8, 1)] {
        let problem = single(&problem(Stack::Full, 2, objective(0.2, p), 42));
        // From maps that are not zero the weight is the problem's at once.
        let start = random(zeros(&problem).dims(), &mut rng(2)).cast(DType::F32);
        let memory = &mut FilterMemory::default();
        let learnt = learner(1)
            .visit(&problem, start.clone(), false, memory, &())
            .expect("finite numbers");
        let solved = run(&problem, start, 3 * steps);
        assert_eq!(bits(&learnt.codes), bits(&solved.codes), "p {p}");
    }
}

#[test]
fn learning_with_it_lowers_the_objective_at_every_visit() {
    let mut problem = single(&problem(Stack::Masked, 3, objective(0.3, 1.0), 41));
    let learner = learner(5);
    let mut maps = zeros(&problem);
    let (mut first, mut before) = (None, f64::INFINITY);
    for visit in 0..12 {
        let learnt = learner
            .visit(&problem, maps, true, &mut FilterMemory::default(), &())
            .expect("finite numbers");
        for each in [&learnt.after_codes, &learnt.after_filters] {
            let now = Evaluation::total(each).objective;
            // The first visit begins with weights above the problem's.
            let lower = visit == 0 || now <= before * (1.0 + 1e-6);
            assert!(lower, "{visit}: {now} after {before}");
            first.get_or_insert(now);
            before = now;
        }
        maps = learnt.maps;
        problem.network = learnt.network;
    }
    let first = first.expect("a visit");
    assert!(before < 0.98 * first, "{before} from {first}");
}
