//! Boundaries, codes that must not be negative, and weights of the penalty, against problems written out as
//! matrices from their definitions.

mod filters;

use burn::tensor::{DType, Device, Tensor};
use deconvnet::backend::Backend;
use deconvnet::connectivity::Connectivity;
use deconvnet::group::Group;
use deconvnet::model::{Boundary, Constraint, Layer, Network, Objective};
use deconvnet::problem::CodingProblem;
use deconvnet::solve::{
    Adam, CodedBatch, CoordinateDescent, FilterProblem, FilterStep, Fista, HalfQuadratic, Limits,
    Method, Problem, SparseBatch,
};
use rayon::ThreadPoolBuilder;

use crate::support::dense::Dense;
use crate::support::scenario::{Stack, run, zeros};
use crate::support::*;

const IMAGE: [usize; 4] = [1, 2, 7, 6];
const DATA_WEIGHT: f64 = 1.5;
const SPARSITY: f64 = 0.15;

/// Which of the three are asked for.
#[derive(Clone, Copy, Debug)]
struct Kind {
    boundary: Boundary,
    non_negative: bool,
    weighted: bool,
}

fn kinds() -> impl Iterator<Item = Kind> {
    Boundary::ALL.into_iter().flat_map(|boundary| {
        [(false, false), (true, false), (false, true), (true, true)].map(
            |(non_negative, weighted)| Kind {
                boundary,
                non_negative,
                weighted,
            },
        )
    })
}

/// A problem of `batch` images of noise.
fn problem(stack: Stack, kind: Kind, batch: usize, image: [usize; 2], seed: u64) -> Problem {
    let mut network = stack.network(seed).with_boundary(kind.boundary);
    let shape = [batch, 2, image[0], image[1]];
    let mut rng = rng(seed + 1);
    if kind.weighted {
        let [_, k, h, w] = network.maps_shape(shape);
        let weights: Vec<f64> = normal(k * h * w, &mut rng);
        let weights: Vec<f64> = weights.iter().map(|w| 0.2 + w.abs()).collect();
        let top = network.layers_mut().last_mut().expect("a layer");
        let weights = tensor(&weights, [1, k, h, w]);
        *top = top.clone().with_penalty_weights(weights).expect("weights");
    }
    let objective = Objective::new(DATA_WEIGHT, SPARSITY, 1.0).expect("a sound objective");
    let images = random(shape, &mut rng);
    let objective = objective.with_non_negative(kind.non_negative);
    Problem::new(network, images, objective).expect("images that fit")
}

/// The layer as a matrix from the definition: a tap `f[c, k, a, b]` puts element `z[k, i, j]` on the pixel
/// `(i + a - o, j + b - o')` of plane `c`.
fn defined(layer: &Layer, [_, c, height, width]: [usize; 4], maps: [usize; 4]) -> Dense {
    let [_, k, rows, columns] = maps;
    let [planes, _, h, w] = layer.filters.dims();
    assert_eq!(planes, c);
    let filters = values(&layer.filters.val());
    let (offset, round) = match layer.boundary {
        Boundary::Valid => ([h - 1, w - 1], false),
        Boundary::Circular => ([0, 0], true),
        Boundary::Zero => ([0, 0], false),
    };
    Dense::of(k * rows * columns, |z| {
        let mut image = vec![0.0; c * height * width];
        for (at, &value) in z.iter().enumerate().filter(|(_, z)| **z != 0.0) {
            let (k_at, i, j) = (at / (rows * columns), at / columns % rows, at % columns);
            for plane in 0..c {
                for a in 0..h {
                    for b in 0..w {
                        let place = |at: usize, tap: usize, offset: usize, side: usize| match (at
                            + tap)
                            .checked_sub(offset)
                        {
                            Some(at) if at < side => Some(at),
                            Some(at) if round => Some(at % side),
                            _ => None,
                        };
                        let y = place(i, a, offset[0], height);
                        let x = place(j, b, offset[1], width);
                        if let (Some(y), Some(x)) = (y, x) {
                            let tap = filters[((plane * k + k_at) * h + a) * w + b];
                            image[(plane * height + y) * width + x] += tap * value;
                        }
                    }
                }
            }
        }
        image
    })
}

#[test]
fn a_layer_with_a_boundary_is_its_definition_and_has_its_adjoint() {
    for stack in [Stack::Full, Stack::Masked] {
        for boundary in Boundary::ALL {
            let what = format!("{stack:?} {boundary:?}");
            let network = stack.network(3).with_boundary(boundary);
            let shape = network.maps_shape(IMAGE);
            let [h, w] = network.top().filter_size();
            let wanted = match boundary {
                Boundary::Valid => [7 + h - 1, 6 + w - 1],
                Boundary::Circular => [7, 6],
                Boundary::Zero => [7 + 1 - h, 6 + 1 - w],
            };
            assert_eq!(shape[2..], wanted, "{what}");
            let matrix = defined(network.top(), IMAGE, shape);
            let mut rng = rng(4);
            let z = normal(shape.iter().product(), &mut rng);
            let there = values(&network.project(tensor(&z, shape)));
            assert_near(&there, &matrix.times(&z), 1e-12, &what);
            let own = values(&network.top().synthesize(tensor(&z, shape)));
            assert_near(&own, &there, 1e-12, &what);
            // <R z, y> = <z, R' y>
            let y = normal(IMAGE.iter().product(), &mut rng);
            let back = values(&network.lift(tensor(&y, IMAGE)));
            let close = (dot(&there, &y) - dot(&z, &back)).abs();
            assert!(close < 1e-10, "{what}: {close}");
            let own = values(&network.top().analyze(tensor(&y, IMAGE)));
            assert_near(&own, &back, 1e-12, &what);
        }
    }
}

/// By the power method, from below.
fn squared_norm(network: &Network, image: [usize; 4]) -> f64 {
    let mut x = random(network.maps_shape(image), &mut rng(9));
    let mut most = 0.0;
    for _ in 0..300 {
        let square = number(x.clone().square().sum());
        x = network.lift(network.project(x / square.sqrt()));
        most = number(x.clone().square().sum().sqrt());
    }
    most
}

#[test]
fn the_bound_of_the_norm_holds_for_every_boundary() {
    for stack in Stack::ALL {
        for boundary in Boundary::ALL {
            for [height, width] in [[7, 6], [6, 9], [31, 40]] {
                let network = stack.network(5).with_boundary(boundary);
                let bound = network.squared_norm_bound([height, width]);
                let norm = squared_norm(&network, [1, 2, height, width]);
                let what = format!("{stack:?} {boundary:?} {height} x {width}");
                assert!(bound >= norm * (1.0 - 1e-9), "{what}: {bound} below {norm}");
                // A circular map has all of its norm: nothing is cut off.
                if boundary == Boundary::Circular {
                    assert!(bound <= norm * 1.012, "{what}: {bound} far above {norm}");
                }
            }
        }
    }
}

#[test]
fn solvers_reach_the_optimum_written_out() {
    for (i, kind) in kinds().enumerate() {
        for stack in [Stack::Full, Stack::Masked, Stack::Two] {
            let problem = problem(stack, kind, 1, [7, 6], 60 + i as u64);
            let shape = problem.maps_shape();
            let one_layer = problem.network.layers().len() == 1;
            let matrix = match one_layer {
                true => defined(problem.network.top(), IMAGE, shape),
                false => Dense::of(shape.iter().product(), |z| {
                    values(&problem.network.project(tensor(z, shape)))
                }),
            };
            let thresholds = match kind.weighted {
                false => vec![SPARSITY; shape.iter().product()],
                true => weights_of(&problem),
            };
            let y = values(problem.data.images());
            let (best, least) = matrix.sparse_code(&y, DATA_WEIGHT, &thresholds, kind.non_negative);
            assert!(best.iter().any(|&z| z != 0.0), "{kind:?}");
            let mut methods = vec![Method::from(Fista::default())];
            if one_layer {
                methods.push(CoordinateDescent::default().into());
            }
            if !kind.weighted && stack == Stack::Masked {
                methods.push(Adam::default().into());
                methods.push(HalfQuadratic::default().into());
            }
            for method in methods {
                let what = format!("{stack:?} {kind:?} {}", method.name());
                let tolerance = match method {
                    // The schedule of the paper ends well above it, but below maps of zeros.
                    Method::HalfQuadratic(_) => 0.5 * DATA_WEIGHT * dot(&y, &y) / least - 1.0,
                    Method::Adam(_) => 2e-3,
                    _ => 1e-8,
                };
                let steps = if one_layer { 2000 } else { 3000 };
                let solved = run(&method, &problem, steps);
                let at = solved.each[0];
                let above = (at.objective - least) / least;
                assert!((-1e-12..tolerance).contains(&above), "{what}: {above:e}");
                let gap = at.gap.expect("p is 1");
                assert!(gap >= at.objective - least - 1e-12, "{what}: gap {gap}");
                if tolerance < 1e-3 {
                    // That of a stack comes down slowly.
                    let close = if one_layer { 1e-6 } else { 1e-4 };
                    assert!(gap <= close * least, "{what}: gap {gap:e} of {least}");
                }
                if kind.non_negative {
                    let lowest = values(&solved.codes).into_iter().fold(0.0, f64::min);
                    assert_eq!(lowest, 0.0, "{what}");
                }
            }
        }
    }
}

/// `sparsity W`, from what each element alone adds to the objective.
fn weights_of(problem: &Problem) -> Vec<f64> {
    let shape = problem.maps_shape();
    (0..shape.iter().product())
        .map(|at| {
            let mut unit = vec![0.0; shape.iter().product()];
            unit[at] = 1.0;
            let maps = tensor(&unit, shape);
            let each = problem
                .objective
                .measure(&problem.network, maps, &problem.data);
            each[0].penalty
        })
        .collect()
}

/// The weights that [`problem`] draws are those that the objective counts.
#[test]
fn the_penalty_counts_the_weight_of_each_element() {
    let kind = Kind {
        boundary: Boundary::Valid,
        non_negative: false,
        weighted: true,
    };
    let problem = problem(Stack::Full, kind, 1, [7, 6], 90);
    let [_, k, h, w] = problem.maps_shape();
    let drawn = normal(k * h * w, &mut rng(91));
    let wanted: Vec<f64> = drawn.iter().map(|w| SPARSITY * (0.2 + w.abs())).collect();
    assert_near(&weights_of(&problem), &wanted, 1e-12, "weights");
}

/// Large enough for several strips, the seam of a circular image among them.
#[test]
fn descent_and_fista_agree_on_larger_images_whatever_the_threads() {
    for kind in kinds() {
        let problem = problem(Stack::Full, kind, 1, [45, 23], 70);
        let solve = |method: Method, steps| {
            let limits = Limits {
                steps,
                every: 0,
                ..Limits::default()
            };
            let solved = method.code(&problem, zeros(&problem), &limits, &mut ());
            solved.expect("finite numbers")
        };
        let descent = |threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build();
            let descent = || solve(CoordinateDescent::default().into(), 400);
            pool.expect("a pool").install(descent)
        };
        let fista = solve(Fista::default().into(), 2000).each[0].objective;
        let found = descent(5);
        let at = found.each[0];
        assert!(
            (at.objective / fista - 1.0).abs() < 1e-7,
            "{kind:?}: {} and {fista}",
            at.objective
        );
        assert!(at.gap.expect("p is 1") < 1e-7 * at.objective, "{kind:?}");
        let alone = values(&descent(1).codes);
        assert_eq!(alone, values(&found.codes), "{kind:?}");
    }
}

#[test]
fn exponents_below_one_know_them_too() {
    for kind in kinds() {
        let mut problem = problem(Stack::Masked, kind, 2, [9, 8], 75);
        problem.objective = Objective::new(DATA_WEIGHT, SPARSITY, 0.8)
            .expect("a sound objective")
            .with_non_negative(kind.non_negative);
        let start = zeros(&problem);
        let before = problem
            .objective
            .measure(&problem.network, start, &problem.data);
        for method in [
            Method::from(Fista::default()),
            CoordinateDescent::default().into(),
        ] {
            let solved = run(&method, &problem, 400);
            for (after, before) in solved.each.iter().zip(&before) {
                assert!(after.objective < before.objective, "{kind:?}");
            }
            let lowest = values(&solved.codes).into_iter().fold(0.0, f64::min);
            assert_eq!(lowest == 0.0, kind.non_negative, "{kind:?}: {lowest}");
        }
    }
}

/// No element that is moved, taken away or added alone makes it better.
#[test]
fn the_count_of_elements_is_kept_small() {
    for kind in kinds() {
        let mut problem = problem(Stack::Full, kind, 1, [7, 6], 92);
        problem.objective = Objective::new(DATA_WEIGHT, 4.0 * SPARSITY, 0.0)
            .expect("a sound objective")
            .with_non_negative(kind.non_negative);
        let shape = problem.maps_shape();
        let matrix = defined(problem.network.top(), IMAGE, shape);
        let y = values(problem.data.images());
        let weights = weights_of(&problem);
        let method = Method::from(CoordinateDescent::default());
        let solved = run(&method, &problem, 1000);
        let z = values(&solved.codes);
        let counted: f64 = z
            .iter()
            .zip(&weights)
            .filter(|(z, _)| **z != 0.0)
            .map(|(_, w)| w)
            .sum();
        let r: Vec<f64> = y.iter().zip(matrix.times(&z)).map(|(y, x)| y - x).collect();
        let found = 0.5 * DATA_WEIGHT * dot(&r, &r) + counted;
        let told = solved.each[0].objective;
        assert!(
            (found - told).abs() < 1e-9,
            "{kind:?}: {found}, told {told}"
        );
        let density = solved.each[0].density;
        assert!((0.02..0.5).contains(&density), "{kind:?}: {density}");
        for (at, &w) in weights.iter().enumerate() {
            let atom = matrix.column(at);
            let square = dot(atom, atom);
            if square == 0.0 {
                continue;
            }
            // What is gained over zero by the best value of this element alone.
            let best = dot(atom, &r) / square + z[at];
            let best = if kind.non_negative {
                best.max(0.0)
            } else {
                best
            };
            let worth = |z_at: f64| {
                let moved = z[at] - z_at;
                let change = moved * (2.0 * dot(atom, &r) + moved * square);
                0.5 * DATA_WEIGHT * change + if z_at == 0.0 { 0.0 } else { w }
            };
            let least = worth(best).min(worth(0.0));
            assert!(worth(z[at]) <= least + 1e-9, "{kind:?}: element {at}");
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused_in_words() {
    let kind = Kind {
        boundary: Boundary::Zero,
        non_negative: false,
        weighted: true,
    };
    let problem = problem(Stack::Full, kind, 1, [7, 6], 82);
    for method in [
        Method::from(HalfQuadratic::default()),
        Adam::default().into(),
    ] {
        let limits = Limits::default();
        let error = method.code(&problem, zeros(&problem), &limits, &mut ());
        let message = error.expect_err("no weights").to_string();
        assert!(message.contains("use descent or fista"), "{message}");
    }
    let layer = |boundary| {
        let filters = Tensor::ones([2, 2, 3, 3], &Device::flex());
        Layer::new(filters, Connectivity::full(2, 2)).with_boundary(boundary)
    };
    let mixed = Network::new(vec![layer(Boundary::Zero), layer(Boundary::Circular)]);
    let message = mixed.expect_err("two boundaries").to_string();
    says!(message, "zero", "circular");
    for (weights, words) in [
        (Tensor::<4>::ones([1, 3, 1, 1], &Device::flex()), "2 maps"),
        (Tensor::full([1, 2, 1, 1], -1.0, &Device::flex()), "-1"),
        (Tensor::full([1, 2, 1, 1], f32::NAN, &Device::flex()), "NaN"),
    ] {
        let error = layer(Boundary::Valid).with_penalty_weights(weights);
        let message = error.expect_err("wrong weights").to_string();
        assert!(message.contains(words), "{message}");
    }
}

/// SPORCO 0.2.2 (ConvBPDN, double precision, 3000 steps) on two grey images with circular boundary, with and
/// without `NonNegCoef` and `L1Weight`; made by `scripts/sporco_fixture.py`.
#[test]
fn the_optimum_is_sporcos() {
    for name in ["plain", "non-negative", "weighted"] {
        let path = format!("tests/fixtures/sporco-{name}.npz");
        let CodingProblem {
            problem, optimum, ..
        } = CodingProblem::read(path.as_ref(), &Device::flex()).expect("a problem");
        let problem = problem.in_double();
        let theirs = optimum.expect("what SPORCO found");
        for method in [
            Method::from(Fista::default()),
            CoordinateDescent::default().into(),
        ] {
            let solved = run(&method, &problem, 4000);
            let ours: f64 = solved.each.iter().map(|at| at.objective).sum();
            let off = (ours / theirs - 1.0).abs();
            assert!(off < 1e-5, "{name} {}: {ours} and {theirs}", method.name());
        }
    }
}

/// On the device a step is one kernel only where it knows the problem.
#[test]
fn a_gpu_solves_them_too() {
    let Some((_, device)) = answering(&[Backend::Wgpu]).pop() else {
        return;
    };
    for kind in kinds() {
        let problem = problem(Stack::Full, kind, 2, [11, 9], 84);
        let mut there = problem.clone();
        let layers = there.network.layers_mut().iter_mut();
        layers.for_each(|layer| {
            let filters = layer.filters.val().to_data().convert::<f32>();
            *layer = layer.with_filters(Tensor::from_data(filters, &device));
        });
        there.data = there.data.to(&device, DType::F32);
        let method = Method::from(Fista::default());
        let [here, there] = [problem, there].map(|problem| run(&method, &problem, 60));
        let codes = here.codes.into_data().iter::<f64>().collect::<Vec<_>>();
        let found = there.codes.into_data().iter::<f64>().collect::<Vec<_>>();
        assert_near(&found, &codes, 2e-3, &format!("{kind:?}"));
    }
}
