//! The loop around the solvers: every reason to stop, what it looks at, and bad numbers.

use std::cell::Cell;

use burn::tensor::Tensor;
use deconvnet::Error;
use deconvnet::group::Group;
use deconvnet::model::Objective;
use deconvnet::solve::{
    Adam, Callback, FilterMemory, FilterStep, Fista, HalfQuadratic, Learner, Limits, Method, Point,
    Problem, Reason, Solved,
};

use crate::support::scenario::{Stack, optimum, problem, zeros};
use crate::support::*;

fn convex() -> Problem {
    let objective = Objective::new(1.0, 0.2, 1.0).expect("a sound objective");
    problem(Stack::Full, 1, objective, 30)
}

fn run(method: Method, problem: &Problem, limits: Limits) -> Solved {
    method
        .code(problem, zeros(problem), &limits, &mut ())
        .expect("finite numbers")
}

fn fista() -> Method {
    Method::Fista(Fista::default())
}

fn methods() -> [Method; 3] {
    [
        Method::HalfQuadratic(HalfQuadratic::default()),
        Method::Adam(Adam::default()),
        fista(),
    ]
}

#[test]
fn it_stops_at_the_gap() {
    let problem = convex();
    let limits = Limits {
        gap: Some(1e-3),
        every: 5,
        steps: 100_000,
        ..Limits::default()
    };
    let solved = run(fista(), &problem, limits);
    assert_eq!(solved.reason, Reason::Gap);
    let (_, least) = optimum(&problem);
    let at = solved.last().at;
    assert!(at.gap.expect("p is 1") <= 1e-3 * at.objective);
    assert!(at.objective <= least * 1.0011, "the certificate holds");
    let before = solved.curve[solved.curve.len() - 2].at;
    assert!(
        before.gap.expect("p is 1") > 1e-3 * before.objective,
        "no look too late"
    );
}

#[test]
fn it_stops_when_the_objective_hardly_changes() {
    let limits = Limits {
        change: Some(1e-4),
        every: 1,
        steps: 100_000,
        ..Limits::default()
    };
    let solved = run(fista(), &convex(), limits);
    assert_eq!(solved.reason, Reason::Change);
    let f: Vec<f64> = solved
        .curve
        .iter()
        .map(|point| point.at.objective)
        .collect();
    let changes: Vec<bool> = f
        .windows(2)
        .map(|pair| (pair[0] - pair[1]).abs() <= 1e-4 * pair[1])
        .collect();
    let (last, before) = changes.split_last().expect("two looks");
    assert!(*last && !before.contains(&true), "{f:?}");
}

#[test]
fn it_stops_at_the_target() {
    let problem = convex();
    let target = 1.1 * optimum(&problem).1;
    let limits = Limits {
        target: Some(target),
        every: 1,
        steps: 100_000,
        ..Limits::default()
    };
    let solved = run(fista(), &problem, limits);
    assert_eq!(solved.reason, Reason::Target);
    assert!(solved.last().at.objective <= target);
    assert!(solved.curve[solved.curve.len() - 2].at.objective > target);
}

#[test]
fn it_stops_after_the_steps_and_looks_when_told() {
    for (every, looks) in [(0, vec![7]), (3, vec![0, 3, 6, 7]), (7, vec![0, 7])] {
        let limits = Limits {
            steps: 7,
            every,
            ..Limits::default()
        };
        let solved = run(fista(), &convex(), limits);
        assert_eq!(solved.reason, Reason::Steps);
        let seen: Vec<usize> = solved.curve.iter().map(|point| point.step).collect();
        assert_eq!(seen, looks, "every {every}");
    }
    // Looking does not change the run.
    let [often, once] = [1, 0].map(|every| {
        let limits = Limits {
            steps: 9,
            every,
            ..Limits::default()
        };
        methods().map(|method| values(&run(method, &convex(), limits).codes))
    });
    assert_eq!(often, once);
}

#[test]
fn no_steps_at_all_give_the_start_back() {
    for method in methods() {
        let limits = Limits {
            steps: 0,
            ..Limits::default()
        };
        let solved = run(method, &convex(), limits);
        assert_eq!(solved.reason, Reason::Steps);
        assert!(values(&solved.codes).iter().all(|&z| z == 0.0));
    }
}

#[test]
fn it_stops_when_the_seconds_are_used_up() {
    let limits = Limits {
        seconds: Some(0.25),
        steps: usize::MAX,
        every: 0,
        ..Limits::default()
    };
    let solved = run(fista(), &convex(), limits);
    assert_eq!(solved.reason, Reason::Seconds);
    assert!(solved.last().seconds >= 0.25 && solved.last().step > 0);
}

#[test]
fn it_stops_at_the_end_of_the_schedule() {
    let solved = run(
        Method::HalfQuadratic(HalfQuadratic::default()),
        &convex(),
        Limits::default(),
    );
    assert_eq!(solved.reason, Reason::Schedule);
    assert_eq!(solved.last().step, 6);
}

/// Asks to stop once it has been asked a number of times itself.
struct Impatient {
    asked: Cell<usize>,
    patience: usize,
    looks: Vec<usize>,
}

impl Callback<Point> for Impatient {
    fn event(&mut self, point: Point) {
        self.looks.push(point.step);
    }

    fn interrupted(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.asked.get() > self.patience
    }
}

#[test]
fn it_stops_when_interrupted_with_the_answer_so_far() {
    for method in methods() {
        let mut watch = Impatient {
            asked: Cell::new(0),
            patience: 4,
            looks: Vec::new(),
        };
        let problem = convex();
        let limits = Limits {
            every: 3,
            ..Limits::default()
        };
        let solved = method
            .code(&problem, zeros(&problem), &limits, &mut watch)
            .expect("finite numbers");
        assert_eq!(solved.reason, Reason::Interrupted, "{}", method.name());
        assert_eq!(watch.looks, [0, 3, 4], "{}", method.name());
        let limits = Limits {
            steps: 4,
            ..Limits::default()
        };
        let whole = run(method, &problem, limits);
        assert_eq!(values(&solved.codes), values(&whole.codes));
    }
}

#[test]
fn a_visit_that_is_interrupted_has_the_maps_so_far() {
    let visit = |codes: Method, steps, watch: &Impatient| {
        let learner = Learner {
            all_layers: true,
            group: Group::alone(),
            codes,
            steps,
            filters: FilterStep::LeastSquares { cg: 1 },
            filter_rate: 0.01,
            constraint: Default::default(),
        };
        let problem = convex();
        let start = zeros(&problem);
        let memory = &mut FilterMemory::default();
        let learnt = learner.visit(&problem, start, false, memory, watch);
        values(&learnt.expect("finite numbers").maps)
    };
    for method in methods() {
        let watch = |patience| Impatient {
            asked: Cell::new(0),
            patience,
            looks: Vec::new(),
        };
        let so_far = visit(method.clone(), 9, &watch(3));
        assert_eq!(so_far, visit(method.clone(), 3, &watch(9)));
        assert_ne!(so_far, visit(method, 6, &watch(9)));
    }
}

#[test]
fn images_that_are_not_finite_are_a_numeric_error_for_every_solver() {
    for bad in [f64::NAN, f64::INFINITY] {
        for method in methods() {
            for every in [0, 1] {
                let mut problem = convex();
                let mut pixels = values(problem.data.images());
                pixels[17] = bad;
                problem.data = tensor(&pixels, problem.data.dims()).into();
                let limits = Limits {
                    every,
                    steps: 3,
                    // A limit on the objective must not hide it.
                    target: Some(1e9),
                    ..Limits::default()
                };
                let result = method.code(&problem, zeros(&problem), &limits, &mut ());
                let error = result.map(|solved| solved.last()).expect_err("no answer");
                assert!(matches!(error, Error::Numeric(_)), "{error:?}");
                let learner = Learner {
                    all_layers: true,
                    group: Group::alone(),
                    codes: method.clone(),
                    steps: 2,
                    filters: FilterStep::LeastSquares { cg: 1 },
                    filter_rate: 0.01,
                    constraint: Default::default(),
                };
                let start: Tensor<4> = zeros(&problem);
                let visit = learner.visit(&problem, start, true, &mut FilterMemory::default(), &());
                let error = visit.map(|learnt| learnt.snr).expect_err("nothing learnt");
                assert!(matches!(error, Error::Numeric(_)), "{error:?}");
            }
        }
    }
}
