//! The filters with the maps fixed, against normal equations written out.

use burn::tensor::Tensor;
use deconvnet::connectivity::Connectivity;
use deconvnet::group::Group;
use deconvnet::model::{Constraint, DataTerm, Network};
use deconvnet::solve::{CodedBatch, FilterProblem, FilterStep, OnlineStatistics};

use crate::support::dense::Dense;
use crate::support::scenario::Stack;
use crate::support::*;

/// A stack, the top maps and images of two batches (of 2 and of 1 image), and a layer to solve for.
struct Setting {
    network: Network,
    batches: Vec<(Tensor<4>, Tensor<4>)>,
    /// Of the pixels of each image and channel, `[1, 1, H, W]`.
    weights: Tensor<4>,
    layer: usize,
}

impl Setting {
    fn draw(stack: Stack, layer: usize, seed: u64) -> Self {
        let network = stack.network(seed);
        let mut rng = rng(seed + 50);
        let mut batch = |n| {
            let image = [n, 2, 7, 6];
            let maps = network.maps_shape(image);
            (random(maps, &mut rng), random(image, &mut rng))
        };
        let batches = vec![batch(2), batch(1)];
        Self {
            network,
            batches,
            weights: tensor(&[1.0; 42], [1, 1, 7, 6]),
            layer,
        }
    }

    /// The same with some pixels missing and others that count twice.
    fn weighted(self) -> Self {
        let weights: Vec<f64> = (0..42)
            .map(|i| [1.0, 2.0, 0.0, 1.0, 0.5][3 * i % 5])
            .collect();
        Self {
            weights: tensor(&weights, [1, 1, 7, 6]),
            ..self
        }
    }

    fn data(&self, images: &Tensor<4>) -> DataTerm {
        let data = DataTerm::new(images.clone());
        data.with_weights(self.weights.clone())
            .expect("weights that fit")
    }

    fn solve(&self, step: FilterStep, constraint: Constraint) -> Tensor<4> {
        self.solve_with(None, step, constraint)
    }

    fn solve_with(
        &self,
        statistics: Option<&OnlineStatistics>,
        step: FilterStep,
        constraint: Constraint,
    ) -> Tensor<4> {
        let batches = |visit: &mut dyn FnMut(CodedBatch) -> deconvnet::Result<()>| {
            for (maps, images) in &self.batches {
                visit((maps.clone(), self.data(images)).into())?;
            }
            Ok(())
        };
        let problem = FilterProblem {
            network: &self.network,
            layer: self.layer,
            batches: &batches,
            sparse: None,
            statistics,
            constraint,
            group: &Group::alone(),
        };
        problem.solve(step).expect("batches that can be read")
    }

    fn filters(&self) -> Tensor<4> {
        self.network.layers()[self.layer].filters.val()
    }

    /// The reconstructions of all batches with other filters in the layer, each pixel times the root of its weight.
    fn images(&self, filters: Tensor<4>) -> Vec<f64> {
        let mut network = self.network.clone();
        let layer = &mut network.layers_mut()[self.layer];
        *layer = layer.with_filters(filters);
        let each = self.batches.iter();
        let root = self.weights.clone().sqrt();
        each.flat_map(|(maps, _)| values(&(network.project(maps.clone()) * root.clone())))
            .collect()
    }

    fn targets(&self) -> Vec<f64> {
        let each = self.batches.iter();
        let root = self.weights.clone().sqrt();
        each.flat_map(|(_, images)| values(&(images.clone() * root.clone())))
            .collect()
    }

    /// Half the squared error with these filters.
    fn error(&self, filters: Tensor<4>) -> f64 {
        let images = self.images(filters);
        let r: Vec<f64> = images
            .iter()
            .zip(self.targets())
            .map(|(a, b)| a - b)
            .collect();
        0.5 * dot(&r, &r)
    }

    /// The unconstrained least squares over the connected planes, by the normal equations.
    fn best(&self) -> Tensor<4> {
        let shape = self.filters().dims();
        let g = &self.network.layers()[self.layer].connectivity;
        let taps = shape[2] * shape[3];
        let free: Vec<usize> = (0..shape.iter().product())
            .filter(|i| g.connects(i / taps / g.maps(), i / taps % g.maps()))
            .collect();
        let matrix = Dense::of(shape.iter().product(), |f| self.images(tensor(f, shape)));
        tensor(&matrix.least_squares(&self.targets(), &free), shape)
    }
}

/// Every layer of every stack, all pixels alike and not.
fn settings(seed: u64) -> Vec<(String, Setting)> {
    let mut all = Vec::new();
    for stack in Stack::ALL {
        for layer in 0..stack.network(0).layers().len() {
            let draw = || Setting::draw(stack, layer, seed);
            all.push((format!("{stack:?} {layer}"), draw()));
            all.push((format!("{stack:?} {layer}, weighted"), draw().weighted()));
        }
    }
    all
}

#[test]
fn enough_conjugate_gradients_solve_the_least_squares_of_every_layer() {
    for (what, setting) in settings(40) {
        for constraint in [Constraint::UnitPlanes, Constraint::UnitBall] {
            let unknowns = setting.filters().shape().num_elements();
            let step = FilterStep::LeastSquares { cg: 3 * unknowns };
            let got = setting.solve(step, constraint);
            let wanted = constraint.project(setting.best());
            assert_near(&values(&got), &values(&wanted), 1e-6, &what);
        }
    }
}

#[test]
fn a_few_conjugate_gradients_already_lower_the_error() {
    for (what, setting) in settings(41) {
        // Twice as large as any filter may get, so that the constraint does not act.
        let large = |f: Tensor<4>| f * 1e-3;
        let small = Setting {
            batches: setting
                .batches
                .iter()
                .map(|(maps, images)| (maps.clone(), large(images.clone())))
                .collect(),
            ..setting
        };
        let mut last = small.error(small.filters());
        for cg in 1..=4 {
            let filters = small.solve(FilterStep::LeastSquares { cg }, Constraint::UnitBall);
            let error = small.error(filters);
            assert!(error < last, "{what}: {cg} steps, {error} after {last}");
            last = error;
        }
    }
}

#[test]
fn projected_gradient_never_raises_the_error_within_the_ball() {
    for seed in 0..6 {
        for (what, setting) in settings(42 + seed) {
            let start = setting.error(setting.filters());
            let mut reached = f64::INFINITY;
            for steps in [1, 2, 3, 5, 8, 20] {
                let step = FilterStep::ProjectedGradient { steps };
                let filters = setting.solve(step, Constraint::UnitBall);
                let again = Constraint::UnitBall.project(filters.clone());
                assert_near(&values(&again), &values(&filters), 1e-12, "inside the ball");
                reached = setting.error(filters);
                assert!(
                    reached <= start,
                    "{what}, {steps} steps: {reached} from {start}"
                );
            }
            assert!(reached < 0.99 * start, "{what}: it does not move");
        }
    }
}

/// The step length comes from a power iteration. One that starts where the largest eigenvalue is
/// invisible would take steps that are too long.
#[test]
fn projected_gradient_never_raises_the_error_where_the_images_ignore_the_strongest_map() {
    let network = Stack::Full.network(47);
    let mut network = network.part(0..1);
    // One tap, three maps: the first much stronger than the others, and unseen in the images.
    let g = network.layers()[0].connectivity.clone();
    let filters = tensor(&[0.4, 0.3, -0.2, 0.1, 0.2, 0.3], [2, 3, 1, 1]);
    network.layers_mut()[0] = deconvnet::model::Layer::new(filters, g);
    let pattern = |f: fn(usize) -> f64| (0..16).map(f).collect::<Vec<_>>();
    let strong = pattern(|i| if i % 2 == 0 { 3.0 } else { -3.0 });
    let weak = pattern(|i| if i / 2 % 2 == 0 { 1.0 } else { -1.0 });
    let other = pattern(|i| if i / 4 % 2 == 0 { 1.0 } else { -1.0 });
    let maps = tensor(
        &[strong, weak.clone(), other.clone()].concat(),
        [1, 3, 4, 4],
    );
    let images = tensor(&[weak, other].concat(), [1, 2, 4, 4]) * 0.3;
    let setting = Setting {
        network,
        batches: vec![(maps, images)],
        weights: tensor(&[1.0; 16], [1, 1, 4, 4]),
        layer: 0,
    };
    let start = setting.error(setting.filters());
    for steps in 1..=10 {
        let step = FilterStep::ProjectedGradient { steps };
        let reached = setting.error(setting.solve(step, Constraint::UnitBall));
        assert!(reached <= start, "{steps} steps: {reached} from {start}");
    }
}

#[test]
fn enough_projected_gradients_reach_the_least_squares_where_the_ball_allows_it() {
    for (what, setting) in settings(48) {
        let small = Setting {
            batches: setting
                .batches
                .iter()
                .map(|(maps, images)| (maps.clone(), images.clone() * 0.05))
                .collect(),
            ..setting
        };
        let best = small.best();
        let inside = Constraint::UnitBall.project(best.clone());
        assert_near(
            &values(&inside),
            &values(&best),
            1e-12,
            "a best inside the ball",
        );
        let step = FilterStep::ProjectedGradient { steps: 1500 };
        let got = small.solve(step, Constraint::UnitBall);
        let (reached, least) = (small.error(got), small.error(best));
        assert!(
            reached <= least * (1.0 + 1e-6),
            "{what}: {reached} for {least}"
        );
    }
}

/// Filters of maps that are hardly used must not wait for those of maps that are used much: maps and
/// filters in other units give the same images after the same steps.
#[test]
fn projected_gradient_does_not_depend_on_the_units_of_the_maps() {
    for (what, setting) in settings(49)
        .into_iter()
        .filter(|(_, s)| s.layer + 1 == s.network.layers().len())
    {
        // So small that the ball does not act.
        let tiny = |f: Tensor<4>| f * 1e-3;
        let maps = setting.filters().dims()[1];
        let units: Vec<f64> = (0..maps).map(|k| [1.0, 0.1, 3.0][k % 3]).collect();
        let units = tensor(&units, [1, maps, 1, 1]);
        let with = |map_units: Tensor<4>| {
            let mut network = setting.network.clone();
            let filters = tiny(setting.filters()) / map_units.clone();
            let layer = &mut network.layers_mut()[setting.layer];
            *layer = layer.with_filters(filters);
            let batches = setting.batches.iter();
            Setting {
                network,
                batches: batches
                    .map(|(z, y)| (z.clone() * map_units.clone(), tiny(y.clone())))
                    .collect(),
                weights: setting.weights.clone(),
                layer: setting.layer,
            }
        };
        let step = FilterStep::ProjectedGradient { steps: 4 };
        let images = |setting: Setting| {
            let filters = setting.solve(step, Constraint::UnitBall);
            setting.images(filters)
        };
        let plain = images(with(units.ones_like()));
        assert_near(&images(with(units)), &plain, 1e-9, &what);
    }
}

#[test]
fn the_past_holds_filters_where_they_are_as_strongly_as_their_maps_were_used() {
    for (what, setting) in settings(50) {
        let filters = setting.filters();
        let shape = filters.dims();
        let h: Vec<f64> = (0..shape[1]).map(|k| [0.0, 7.0, 0.5][k % 3]).collect();
        let mut statistics = OnlineStatistics::none(&filters);
        let energies = tensor(&h, [1, shape[1], 1, 1]);
        statistics.energies = statistics.energies.map(|_| energies.clone());

        // The same by more rows of the least squares: sqrt(h) f = sqrt(h) f0.
        let root = energies.sqrt();
        let g = &setting.network.layers()[setting.layer].connectivity;
        let taps = shape[2] * shape[3];
        let free: Vec<usize> = (0..shape.iter().product())
            .filter(|i| g.connects(i / taps / g.maps(), i / taps % g.maps()))
            .collect();
        let matrix = Dense::of(shape.iter().product(), |f| {
            let f = tensor(f, shape);
            let held = values(&(f.clone() * root.clone()));
            [setting.images(f), held].concat()
        });
        let held = values(&(filters * root.clone()));
        let rows = [setting.targets(), held].concat();
        let best = tensor(&matrix.least_squares(&rows, &free), shape);

        let unknowns = shape.iter().product::<usize>();
        let step = FilterStep::LeastSquares { cg: 3 * unknowns };
        let got = setting.solve_with(Some(&statistics), step, Constraint::UnitBall);
        let wanted = Constraint::UnitBall.project(best.clone());
        assert_near(&values(&got), &values(&wanted), 1e-6, &what);

        // Steps and projections in turn end at the least objective within the ball.
        let objective = |f: &Tensor<4>| {
            let r: Vec<f64> = matrix
                .times(&values(f))
                .iter()
                .zip(&rows)
                .map(|(a, b)| a - b)
                .collect();
            0.5 * dot(&r, &r)
        };
        let step = FilterStep::ProjectedGradient { steps: 3000 };
        let reached = setting.solve_with(Some(&statistics), step, Constraint::UnitBall);
        let least = objective(&reached);
        for other in [wanted, setting.filters(), reached.clone() * 0.99] {
            assert!(least <= objective(&other) + 1e-9, "{what}: {least}");
        }
        for c in (0..unknowns).step_by(unknowns.div_ceil(12)) {
            let mut moved = values(&reached);
            for by in [1e-3, -1e-3] {
                moved[c] += by;
                let inside = Constraint::UnitBall.project(tensor(&moved, shape));
                let inside = inside * g_mask(g, shape);
                assert!(least <= objective(&inside) + 1e-9, "{what}: {c}");
                moved[c] -= by;
            }
        }
    }
}

/// One where filters connect, zero elsewhere.
fn g_mask(g: &Connectivity, shape: [usize; 4]) -> Tensor<4> {
    let mask: Vec<f64> = (0..g.planes() * g.maps())
        .map(|pair| f64::from(u8::from(g.connects(pair / g.maps(), pair % g.maps()))))
        .collect();
    tensor(&mask, [g.planes(), g.maps(), 1, 1]).expand(shape)
}

#[test]
fn filters_stay_as_they_are_where_all_maps_are_zero() {
    for (what, setting) in settings(51) {
        let single = |x: Tensor<4>| x.cast(burn::tensor::DType::F32);
        let mut network = setting.network.clone();
        for layer in network.layers_mut() {
            *layer = layer.with_filters(Constraint::UnitBall.project(single(layer.filters.val())));
        }
        let batches = setting.batches.iter();
        let blank = Setting {
            network,
            batches: batches
                .map(|(maps, images)| (single(maps.zeros_like()), single(images.clone())))
                .collect(),
            weights: setting.weights.clone(),
            layer: setting.layer,
        };
        let got = blank.solve(
            FilterStep::ProjectedGradient { steps: 3 },
            Constraint::UnitBall,
        );
        assert_near(&values(&got), &values(&blank.filters()), 1e-6, &what);
    }
}
