//! The stack as a linear map, the objective and its certificate, the constraint, the record.

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor};
use deconvnet::connectivity::Connectivity;
use deconvnet::data::Rescaling;
use deconvnet::model::{Constraint, FeatureMaps, Layer, LayerConfig, Model, Network, Objective};
use deconvnet::run;
use deconvnet::solve::{Moments, OnlineStatistics};
use deconvnet::store::RunFolder;

use crate::support::scenario::{Stack, optimum, problem, with_objective};
use crate::support::*;

fn objective(data_weight: f64, sparsity: f64, p: f64) -> Objective {
    Objective::new(data_weight, sparsity, p).expect("a sound objective")
}

#[test]
fn lift_is_the_adjoint_of_project_for_one_to_three_layers() {
    for stack in Stack::ALL {
        let network = stack.network(1);
        let image = [2, 2, 7, 4];
        assert_adjoint(
            &format!("{stack:?}"),
            |z| network.project(z),
            |r| network.lift(r),
            [network.maps_shape(image), image],
            &mut rng(2),
        );
    }
}

#[test]
fn synthesize_undoes_the_rescaling_on_the_way_down() {
    let rescalings = [(0.25, 4.0), (-1.5, 0.5)].map(|(shift, scale)| Rescaling { shift, scale });
    let mut network = Stack::Three.network(3);
    for (layer, rescaling) in network.layers_mut().iter_mut().zip(rescalings) {
        layer.rescaling = Some(rescaling);
    }
    let top = random(network.maps_shape([1, 2, 6, 5]), &mut rng(4));
    let down = |l: usize, z: Tensor<4>| network.layers()[l].synthesize(z);
    let second = down(2, top.clone()) / 0.5 - 1.5;
    let first = down(1, second) / 4.0 + 0.25;
    let wanted = down(0, first);
    let got = network.synthesize(top.clone());
    assert_near(&values(&got), &values(&wanted), 1e-14, "synthesize");
    let linear = down(0, down(1, down(2, top.clone())));
    assert_near(
        &values(&network.project(top)),
        &values(&linear),
        1e-14,
        "project",
    );
}

#[test]
fn the_module_and_the_evaluation_agree_on_both_terms() {
    for stack in Stack::ALL {
        for p in [0.5, 0.8, 1.0] {
            let problem = problem(stack, 2, objective(1.7, 0.3, p), 5);
            let shape = problem.maps_shape();
            let maps = random(shape, &mut rng(6));
            let model = Model {
                network: problem.network.clone(),
                codes: FeatureMaps::new(maps.clone()),
                objective: problem.objective,
            };
            let terms = model.forward(problem.data.images().clone());
            let each = problem
                .objective
                .evaluate(&problem.network, maps, &problem.data);
            let data: f64 = each.iter().map(|e| e.data).sum();
            let penalty: f64 = each.iter().map(|e| e.penalty).sum();
            let whole: f64 = each.iter().map(|e| e.objective).sum();
            let what = format!("{stack:?}, p {p}");
            assert_near(&[number(terms.data)], &[data], 1e-12, &what);
            // Smoothed by 1e-12 within the root: unseen unless a map is as small.
            assert_near(&[number(terms.sparsity)], &[penalty], 1e-7, &what);
            assert_near(&[whole], &[data + penalty], 1e-14, &what);
        }
    }
}

#[test]
fn autodiff_through_the_stack_gives_the_gradients_in_maps_and_every_layers_filters() {
    let problem = problem(Stack::Two, 1, objective(1.3, 0.2, 1.0), 7);
    let network = &problem.network;
    let maps = random(network.maps_shape(problem.data.dims()), &mut rng(8));
    let inputs = [
        maps,
        network.layers()[0].filters.val(),
        network.layers()[1].filters.val(),
    ];
    let loss = |x: &[Tensor<4>]| {
        let layers = network.layers().iter().zip(&x[1..]);
        let layers = layers.map(|(layer, f)| layer.with_filters(f.clone()));
        let network = Network::new(layers.collect()).expect("layers that fit");
        let images = match x[0].is_autodiff() {
            true => Tensor::from_inner(problem.data.images().clone()),
            false => problem.data.images().clone(),
        };
        (network.project(x[0].clone()) - images).square().sum() * 0.65
    };
    // Filters of unconnected planes are zero and stay so: nothing depends on them.
    assert_gradient("data term", loss, &inputs, 0.1, 1e-10);
}

#[test]
fn the_gap_bounds_the_distance_to_the_least_objective() {
    for (stack, data_weight, sparsity) in [
        (Stack::Full, 1.0, 0.2),
        (Stack::Masked, 2.0, 0.1),
        (Stack::Two, 1.0, 0.4),
    ] {
        let problem = problem(stack, 1, objective(data_weight, sparsity, 1.0), 9);
        let shape = problem.maps_shape();
        let (best, least) = optimum(&problem);
        let evaluate = |z: &[f64]| {
            let maps = tensor(z, shape);
            problem
                .objective
                .evaluate(&problem.network, maps, &problem.data)[0]
        };
        let at = evaluate(&best);
        assert_near(&[at.objective], &[least], 1e-12, "the least objective");
        let gap = at.gap.expect("p is 1");
        assert!(gap >= -1e-12 * least, "{stack:?}: gap {gap}");
        assert!(gap <= 1e-9 * least, "{stack:?}: gap {gap} of {least}");
        // Anywhere else it is positive, and no less than the true distance.
        let away = normal(best.len(), &mut rng(10));
        for share in [0.0, 1e-3, 0.1, 1.0, 30.0] {
            let moved = best.iter().zip(&away).map(|(z, d)| z + share * d);
            let at = evaluate(&moved.collect::<Vec<_>>());
            let (gap, excess) = (at.gap.expect("p is 1"), at.objective - least);
            assert!(gap >= excess * (1.0 - 1e-9), "{stack:?}: {gap} < {excess}");
        }
        let zero = evaluate(&vec![0.0; best.len()]);
        assert!(zero.gap.expect("p is 1") >= zero.objective - least);
    }
    let concave = problem(Stack::Full, 1, objective(1.0, 0.2, 0.8), 9);
    let maps = random([1, 3, 8, 6], &mut rng(11));
    let at = concave
        .objective
        .evaluate(&concave.network, maps, &concave.data);
    assert_eq!(at[0].gap, None, "no certificate where nothing is convex");
}

#[test]
fn all_maps_are_zero_exactly_from_the_largest_useful_sparsity_on() {
    for stack in Stack::ALL {
        let problem = problem(stack, 1, objective(1.5, 1.0, 1.0), 12);
        let most = Objective::largest_useful_sparsity(1.5, &problem.network, &problem.data);
        for (share, used) in [(1.001, false), (0.999, true)] {
            let problem = with_objective(&problem, objective(1.5, share * most, 1.0));
            let (maps, _) = optimum(&problem);
            assert_eq!(maps.iter().any(|&z| z != 0.0), used, "{stack:?} {share}");
        }
    }
}

#[test]
fn snr_and_density_follow_their_formulas_for_each_image_by_itself() {
    let g = Connectivity::full(1, 1);
    let network = Network::new(vec![Layer::new(tensor(&[1.0], [1; 4]), g)]).expect("a layer");
    // With one tap of 1 the maps are the reconstruction.
    let images = tensor(&[1.0, 2.0, 3.0, 6.0, 10.0, 10.0, 10.0, 14.0], [2, 1, 2, 2]);
    let maps = tensor(&[1.0, 2.0, 3.0, 5.0, 0.0, 10.0, 10.0, 0.0], [2, 1, 2, 2]);
    let each = objective(2.0, 0.5, 1.0).evaluate(&network, maps, &images.into());
    // Means 3 and 11: variations 4 + 1 + 0 + 9 and 1 + 1 + 1 + 9; errors 1 and 100 + 196.
    let wanted = [10.0 * 14f64.log10(), 10.0 * (12f64 / 296.0).log10()];
    assert_near(&[each[0].snr, each[1].snr], &wanted, 1e-12, "SNR");
    assert_eq!([each[0].density, each[1].density], [1.0, 0.5]);
    assert_eq!([each[0].data, each[1].data], [1.0, 296.0]);
    assert_eq!([each[0].penalty, each[1].penalty], [5.5, 10.0]);
}

/// Random filters of very different sizes, some planes all zero.
fn uneven() -> Tensor<4> {
    let mut taps = normal(3 * 4 * 2 * 3, &mut rng(13));
    for (i, plane) in taps.chunks_mut(6).enumerate() {
        let scale = [0.0, 1e-3, 0.05, 0.3, 0.1, 40.0][i % 6];
        plane.iter_mut().for_each(|t| *t *= scale);
    }
    tensor(&taps, [3, 4, 2, 3])
}

#[test]
fn unit_planes_have_norm_one_and_planes_of_zeros_stay_zero() {
    let before = values(&uneven());
    let once = Constraint::UnitPlanes.project(uneven());
    for (plane, before) in values(&once).chunks(6).zip(before.chunks(6)) {
        if norm(before) == 0.0 {
            assert_eq!(plane, [0.0; 6]);
        } else {
            assert_near(&[norm(plane)], &[1.0], 1e-14, "norm");
            let along = dot(plane, before) / norm(before);
            assert_near(&[along], &[1.0], 1e-14, "direction");
        }
    }
    let twice = Constraint::UnitPlanes.project(once.clone());
    assert_near(&values(&twice), &values(&once), 1e-15, "idempotent");
}

#[test]
fn the_unit_ball_shrinks_only_filters_outside_it() {
    let once = Constraint::UnitBall.project(uneven());
    let filter = |all: &Tensor<4>, k| values(&all.clone().narrow(1, k, 1));
    let (mut inside, mut outside) = (0, 0);
    for k in 0..4 {
        let (before, after) = (filter(&uneven(), k), filter(&once, k));
        if norm(&before) <= 1.0 {
            assert_eq!(before, after);
            inside += 1;
        } else {
            let scaled: Vec<f64> = before.iter().map(|t| t / norm(&before)).collect();
            assert_near(&after, &scaled, 1e-14, "the nearest point of the ball");
            outside += 1;
        }
    }
    assert!(inside > 0 && outside > 0, "{inside} in, {outside} out");
    let twice = Constraint::UnitBall.project(once.clone());
    assert_near(&values(&twice), &values(&once), 1e-15, "idempotent");
}

#[test]
fn random_filters_meet_the_constraint_and_the_seed_decides() {
    let device = Device::flex();
    let g = Connectivity::singles_and_pairs(3);
    for constraint in [Constraint::UnitPlanes, Constraint::UnitBall] {
        let draw = |seed| {
            let config = LayerConfig::new(g.clone(), [3, 5]).with_constraint(constraint);
            config.with_seed(seed).init(&device).filters.val()
        };
        let filters = draw(0);
        let projected = constraint.project(filters.clone());
        assert_near(&values(&projected), &values(&filters), 1e-6, "constraint");
        for (i, plane) in values(&filters).chunks(15).enumerate() {
            let connected = g.connects(i / g.maps(), i % g.maps());
            assert_eq!(plane.iter().any(|&t| t != 0.0), connected, "plane {i}");
        }
        assert_eq!(bits(&draw(0)), bits(&filters));
        assert_ne!(bits(&draw(1)), bits(&filters));
    }
}

#[test]
fn a_record_brings_back_every_bit() {
    let device = Device::flex();
    let model = |fill: f32| {
        let layer = |g: Connectivity| {
            let shape = [g.planes(), g.maps(), 2, 2];
            Layer::new(Tensor::full(shape, fill, &device), g)
        };
        let layers = vec![
            layer(Connectivity::full(1, 2)),
            layer(Connectivity::singles(2)),
        ];
        Model {
            network: Network::new(layers).expect("layers that fit"),
            codes: FeatureMaps::new(Tensor::full([1, 2, 2, 3], fill, &device)),
            objective: objective(1.0, 1.0, 1.0),
        }
    };
    let awkward = [
        -0.0,
        1e-45,
        -1e-40,
        f32::MIN_POSITIVE,
        f32::MAX,
        1.0 + f32::EPSILON,
        0.1,
        -1.0 / 3.0,
        f32::INFINITY,
        3e-39,
        7.0,
        -2.5e-7,
    ];
    let mut full = model(0.5);
    let maps = Tensor::<1>::from_floats(awkward, &device).reshape([1, 2, 2, 3]);
    full.codes = FeatureMaps::new(maps.clone());
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = RunFolder::create(folder.path().join("run")).expect("a run folder");
    let bytes = run::save(full.clone()).expect("a record");
    store.put("model", &bytes).expect("a blob");
    let loaded = run::load(&store, "model", model(0.0)).expect("the same shapes");
    assert_eq!(bits(&loaded.codes.maps.val()), awkward.map(f32::to_bits));
    for (got, wanted) in loaded.network.layers().iter().zip(full.network.layers()) {
        assert_eq!(bits(&got.filters.val()), bits(&wanted.filters.val()));
    }
    // Another shape is refused.
    let mut wrong = model(0.0);
    wrong.codes = FeatureMaps::new(Tensor::zeros([1, 2, 3, 2], &device));
    let error = run::load(&store, "model", wrong).expect_err("other shapes");
    assert!(error.to_string().contains("'model'"), "{error}");
}

/// A module of a user's own, with every part that has parameters twice.
#[derive(Module, Debug)]
struct Pair {
    layers: [Layer; 2],
    networks: Vec<Network>,
    maps: [FeatureMaps; 2],
    moments: [Moments; 2],
    statistics: [OnlineStatistics; 2],
}

#[test]
fn parts_of_one_module_move_each_by_its_own_gradient() {
    let device = Device::flex();
    let layer = |seed| {
        LayerConfig::new(Connectivity::full(1, 2), [2, 2])
            .with_seed(seed)
            .init(&device)
    };
    let maps = |seed| FeatureMaps::new(FeatureMaps::start([1, 2, 4, 4], 1.0, seed, &device));
    let zeros = Tensor::zeros([1, 2, 2, 2], &device);
    let pair = Pair {
        layers: [layer(0), layer(1)],
        networks: [2, 3]
            .map(|seed| Network::new(vec![layer(seed)]).expect("a layer"))
            .to_vec(),
        maps: [maps(4), maps(5)],
        moments: [Moments::zeros(&zeros), Moments::zeros(&zeros)],
        statistics: [
            OnlineStatistics::none(&zeros),
            OnlineStatistics::none(&zeros),
        ],
    };
    let ids = burn::module::list_param_ids(&pair);
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), 4 + 2 + 4 + 2);
    assert_eq!(distinct.len(), ids.len(), "every parameter has its own id");

    let pair = pair.train();
    let parameters = |pair: &Pair| {
        let mut all: Vec<Tensor<4>> = pair.layers.iter().map(|l| l.filters.val()).collect();
        all.extend(pair.networks.iter().map(|n| n.top().filters.val()));
        all.extend(pair.maps.iter().map(|m| m.maps.val()));
        all
    };
    let z = Tensor::from_inner(FeatureMaps::start([1, 2, 4, 4], 1.0, 6, &device));
    // Every part counts by another factor, so that no two gradients are alike.
    let mut loss = Tensor::<1>::zeros([1], &device.clone().autodiff());
    for (i, layer) in pair.layers.iter().enumerate() {
        loss = loss + layer.forward(z.clone()).sum() * (i as f64 + 1.0);
    }
    for (i, network) in pair.networks.iter().enumerate() {
        loss = loss + network.forward(z.clone()).sum() * (i as f64 + 3.0);
    }
    for (i, maps) in pair.maps.iter().enumerate() {
        loss = loss + maps.maps.val().square().sum() * (i as f64 + 5.0);
    }
    let gradients = loss.backward();
    let own: Vec<Vec<f64>> = parameters(&pair)
        .iter()
        .map(|x| values(&x.grad(&gradients).expect("a gradient")))
        .collect();
    let before: Vec<Vec<f64>> = parameters(&pair).iter().map(values).collect();
    let gradients = GradientsParams::from_grads(gradients, &pair);
    let moved = SgdConfig::new().init().step(0.5, pair, gradients);
    for ((after, before), own) in parameters(&moved).iter().zip(before).zip(own) {
        let wanted: Vec<f64> = before.iter().zip(&own).map(|(x, g)| x - 0.5 * g).collect();
        assert_near(&values(after), &wanted, 1e-6, "a step of gradient descent");
        assert!(norm(&own) > 0.0);
    }
}
