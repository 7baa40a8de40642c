//! The weights of the data term, known to every solver, against masking by hand.

use burn::tensor::{DType, Device, Tensor};
use deconvnet::group::Group;
use deconvnet::model::{Constraint, DataTerm, Objective};
use deconvnet::solve::{
    Adam, CodedBatch, CoordinateDescent, FilterMemory, FilterProblem, FilterStep, Fista,
    HalfQuadratic, Learner, Method, Problem, SparseBatch,
};

use crate::support::dense::Dense;
use crate::support::scenario::{Stack, problem, run, single, zeros};
use crate::support::*;

fn objective(data_weight: f64, sparsity: f64, p: f64) -> Objective {
    Objective::new(data_weight, sparsity, p).expect("a sound objective")
}

fn methods(stack: Stack) -> Vec<Method> {
    let mut all = vec![
        Method::HalfQuadratic(HalfQuadratic::default()),
        Method::Adam(Adam::default()),
        Method::Fista(Fista::default()),
    ];
    if matches!(stack, Stack::Full | Stack::Masked) {
        all.push(Method::CoordinateDescent(CoordinateDescent::default()));
    }
    all
}

/// The problem with weights, each 0 with probability 0.3, else between 0 and 2.
fn weighted(mut problem: Problem, seed: u64) -> Problem {
    let shape = problem.data.dims();
    let drawn = sparse(shape.iter().product(), 0.7, &mut rng(seed));
    let weights: Vec<f64> = drawn.iter().map(|x| x.abs().min(2.0)).collect();
    problem.data = problem
        .data
        .with_weights(tensor(&weights, shape))
        .expect("weights that fit");
    problem
}

/// The stack and the images of a problem of one image with every row times the root of its weight.
fn by_hand(problem: &Problem) -> (Dense, Vec<f64>) {
    let shape = problem.maps_shape();
    let weights = values(problem.data.weights().expect("weights"));
    let masked =
        |x: Vec<f64>| -> Vec<f64> { x.iter().zip(&weights).map(|(x, m)| x * m.sqrt()).collect() };
    let matrix = Dense::of(shape.iter().product(), |z| {
        masked(values(&problem.network.project(tensor(z, shape))))
    });
    (matrix, masked(values(problem.data.images())))
}

#[test]
fn solvers_reach_the_optimum_of_the_problem_masked_by_hand() {
    for stack in Stack::ALL {
        let problem = weighted(problem(stack, 1, objective(1.5, 0.15, 1.0), 80), 81);
        let (matrix, y) = by_hand(&problem);
        let (best, least) = matrix.lasso(&y, 1.5, 0.15);
        for method in methods(stack) {
            let tolerance = match method {
                // The schedule of the paper ends well above it.
                Method::HalfQuadratic(_) => continue,
                Method::Adam(_) => 1e-3,
                _ => 1e-9,
            };
            let solved = run(&method, &problem, 3000);
            let at = solved.each[0];
            let what = format!("{stack:?} {}", method.name());
            let above = (at.objective - least) / least;
            assert!((-1e-12..tolerance).contains(&above), "{what}: {above:e}");
            // The gap certifies the optimum of the weighted problem, not of another.
            let gap = at.gap.expect("p is 1");
            assert!(gap >= at.objective - least - 1e-12, "{what}: gap {gap}");
            assert!(
                gap <= (100.0 * tolerance).max(1e-6) * least,
                "{what}: {gap}"
            );
        }
        assert!(best.iter().any(|&z| z != 0.0), "{stack:?}: all maps zero");
    }
}

#[test]
fn a_weight_for_all_pixels_is_a_data_weight() {
    for stack in Stack::ALL {
        for p in [0.8, 1.0] {
            let plain = problem(stack, 2, objective(1.5, 0.15, p), 82);
            let half = problem(stack, 2, objective(3.0, 0.15, p), 82);
            let weights = Tensor::full([1, 1, 6, 5], 0.5, (&Device::flex(), DType::F64));
            let shape = [1, 1, 6, 5];
            assert_eq!(weights.dims(), shape, "shared by images and channels");
            let halved = Problem {
                data: half.data.clone().with_weights(weights).expect("weights"),
                ..half
            };
            for method in methods(stack) {
                let what = format!("{stack:?} {} p {p}", method.name());
                let (a, b) = (run(&method, &plain, 12), run(&method, &halved, 12));
                assert_near(&values(&a.codes), &values(&b.codes), 1e-9, &what);
                for (a, b) in a.each.iter().zip(&b.each) {
                    assert_near(&[a.objective, a.data], &[b.objective, b.data], 1e-9, &what);
                    assert_near(&[a.snr], &[b.snr], 1e-9, &what);
                }
            }
        }
    }
}

#[test]
fn an_online_learner_remembers_images_by_their_mean_weight() {
    let plain = problem(Stack::Masked, 2, objective(1.5, 0.3, 1.0), 83);
    for plain in [plain.clone(), single(&plain)] {
        let device = plain.data.images().device();
        let half = Tensor::full([1, 1, 6, 5], 0.5, (&device, plain.data.images().dtype()));
        let halved = Problem {
            data: plain.data.clone().with_weights(half).expect("weights"),
            objective: objective(3.0, 0.3, 1.0),
            ..plain.clone()
        };
        for codes in [
            Method::Fista(Fista::default()),
            Method::CoordinateDescent(CoordinateDescent::default()),
        ] {
            let learner = Learner {
                all_layers: true,
                group: Group::alone(),
                filters: FilterStep::ProjectedGradient { steps: 4 },
                codes,
                steps: 40,
                filter_rate: 0.01,
                constraint: Constraint::UnitBall,
            };
            let energies = |problem: &Problem| {
                let mut memory = FilterMemory::online(&problem.network);
                let learnt = learner.visit(problem, zeros(problem), true, &mut memory, &());
                learnt.expect("finite numbers");
                values(&memory.statistics[0].energies.val())
            };
            let wanted: Vec<f64> = energies(&plain).iter().map(|e| 0.5 * e).collect();
            assert!(norm(&wanted) > 0.0);
            assert_near(&energies(&halved), &wanted, 1e-4, learner.codes.name());
        }
    }
}

/// Pixels of weight 0, with other values in them.
fn altered(problem: &Problem) -> Problem {
    let weights = problem.data.weights().expect("weights").clone();
    let unseen = weights.clone().equal_elem(0.0);
    let images = problem.data.images().clone().mask_fill(unseen, 7.0);
    Problem {
        data: DataTerm::new(images)
            .with_weights(weights)
            .expect("weights"),
        ..problem.clone()
    }
}

#[test]
fn pixels_of_weight_zero_do_not_count_for_maps_or_filters() {
    for stack in Stack::ALL {
        let problem = weighted(problem(stack, 2, objective(1.5, 0.15, 1.0), 84), 85);
        for (problem, bits) in [(problem.clone(), false), (single(&problem), true)] {
            let other = altered(&problem);
            assert_ne!(values(problem.data.images()), values(other.data.images()));
            for method in methods(stack) {
                let what = format!("{stack:?} {}", method.name());
                let learner = Learner {
                    all_layers: true,
                    group: Group::alone(),
                    filters: match method {
                        Method::HalfQuadratic(_) => FilterStep::LeastSquares { cg: 3 },
                        _ => FilterStep::ProjectedGradient { steps: 4 },
                    },
                    codes: method,
                    steps: 6,
                    filter_rate: 0.01,
                    constraint: Constraint::UnitBall,
                };
                let visit = |problem: &Problem| {
                    let memory = &mut FilterMemory::default();
                    let learnt = learner.visit(problem, zeros(problem), true, memory, &());
                    learnt.expect("finite numbers")
                };
                let (a, b) = (visit(&problem), visit(&other));
                assert_eq!(values(&a.codes), values(&b.codes), "{what} single {bits}");
                for (a, b) in a.network.layers().iter().zip(b.network.layers()) {
                    assert_eq!(values(&a.filters.val()), values(&b.filters.val()), "{what}");
                }
                assert_eq!(a.after_filters, b.after_filters, "{what}");
            }
        }
    }
}

#[test]
fn filters_solve_the_least_squares_masked_by_hand_sparse_and_dense() {
    for stack in [Stack::Full, Stack::Masked] {
        let problem = single(&weighted(
            problem(stack, 2, objective(1.0, 0.1, 1.0), 86),
            87,
        ));
        let shape = problem.maps_shape();
        let few = sparse(shape.iter().product(), 0.07, &mut rng(88));
        let maps = tensor_as(&few, shape, DType::F32, &Device::flex());
        let batches = |visit: &mut dyn FnMut(CodedBatch) -> deconvnet::Result<()>| {
            visit((maps.clone(), problem.data.clone()).into())
        };
        let layer = problem.network.top();
        let dims = layer.filters.dims();
        let [_, k, h, w] = dims;
        let free: Vec<usize> = (0..dims.iter().product())
            .filter(|i| {
                layer
                    .connectivity
                    .connects(i / (h * w) / k, i / (h * w) % k)
            })
            .collect();
        let weights = values(problem.data.weights().expect("weights"));
        let masked = |x: Vec<f64>| -> Vec<f64> {
            x.iter().zip(&weights).map(|(x, m)| x * m.sqrt()).collect()
        };
        let double = problem.in_double();
        let matrix = Dense::of(dims.iter().product(), |f| {
            let with = double.network.top().with_filters(tensor(f, dims));
            masked(values(&with.synthesize(tensor(&few, shape))))
        });
        let y = masked(values(double.data.images()));
        let wanted = matrix.least_squares(&y, &free);
        let sparse = SparseBatch::new(&problem, &maps).expect("sparse maps");
        for sparse in [Some(&sparse), None] {
            let filters = FilterProblem {
                network: &problem.network,
                layer: 0,
                batches: &batches,
                sparse,
                statistics: None,
                constraint: Constraint::UnitBall,
                group: &Group::alone(),
            };
            let step = FilterStep::LeastSquares { cg: 400 };
            let got = filters.solve(step).expect("batches that can be read");
            let wanted = Constraint::UnitBall.project(tensor(&wanted, dims));
            let what = format!("{stack:?} sparse {}", sparse.is_some());
            assert_near(&values(&got), &values(&wanted), 2e-3, &what);
        }
    }
}

#[test]
fn weights_that_are_none_are_refused() {
    let images = || DataTerm::new(Tensor::<4>::ones([2, 3, 4, 5], &Device::flex()));
    let weights = |shape: [usize; 4], value: f32| Tensor::full(shape, value, &Device::flex());
    assert!(images().with_weights(weights([1, 1, 4, 5], 0.0)).is_ok());
    for (wrong, words) in [
        (weights([2, 3, 5, 4], 1.0), "[2, 3, 4, 5]"),
        (weights([2, 3, 1, 1], 1.0), "[2, 3, 1, 1]"),
        (weights([3, 3, 4, 5], 1.0), "[3, 3, 4, 5]"),
        (weights([2, 3, 4, 5], -0.5), "-0.5"),
        (weights([2, 3, 4, 5], f32::NAN), "NaN"),
    ] {
        let error = images().with_weights(wrong).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}
