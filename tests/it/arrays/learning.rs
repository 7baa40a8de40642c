//! Atoms of signals and of images of many channels are found again, and solvers agree on both.

use burn::tensor::{Device, Tensor};
use deconvnet::config::Config;
use deconvnet::connectivity::Connectivity;
use deconvnet::data::Image;
use deconvnet::model::{Layer, Network, Objective};
use deconvnet::run::to_image;
use deconvnet::solve::{Limits, Problem, SolverName};
use deconvnet::train::Trainer;

use crate::support::*;

/// Images that are sums of a few atoms, `[C, h, w]`, at random places, with noise.
fn sums_of(atoms: &[Image], count: usize, [height, width]: [usize; 2], seed: u64) -> Vec<Image> {
    let mut rng = rng(seed);
    let [channels, h, w] = atoms[0].shape();
    let device = Device::flex();
    let [k, rows, columns] = [atoms.len(), height + h - 1, width + w - 1];
    // Filters are [C, K, h, w].
    let taps = atoms.iter().flat_map(|atom| atom.values.iter());
    let taps: Vec<f64> = taps.map(|&v| f64::from(v)).collect();
    let filters = tensor(&taps, [k, channels, h, w]).swap_dims(0, 1);
    let layer = Layer::new(filters, Connectivity::full(channels, k));
    let network = Network::new(vec![layer]).expect("one layer");
    let images = (0..count).map(|_| {
        let codes = sparse(k * rows * columns, 0.01, &mut rng);
        let clean = network.project(tensor(&codes, [1, k, rows, columns]));
        let noise = normal(channels * height * width, &mut rng);
        let noise = tensor(&noise, [1, channels, height, width]);
        let noisy: Tensor<4> = clean + noise * 0.01;
        to_image(&noisy.cast(burn::tensor::DType::F32).to_device(&device), 0).expect("numbers")
    });
    images.collect()
}

/// The largest correlation of an atom with any of the filters at any shift and sign; atoms have norm 1.
fn likeness(atom: &Image, filters: &[Image]) -> f64 {
    let [channels, h, w] = atom.shape();
    let mut best = 0.0_f64;
    for filter in filters {
        let energy: f64 = filter.values.iter().map(|&v| f64::from(v).powi(2)).sum();
        for di in 1 - h as isize..h as isize {
            for dj in 1 - w as isize..w as isize {
                let mut sum = 0.0;
                for (at, &a) in atom.values.iter().enumerate() {
                    let (c, i, j) = (at / (h * w), at / w % h, at % w);
                    let [i, j] = [i as isize + di, j as isize + dj];
                    let inside = (0..filter.height as isize).contains(&i)
                        && (0..filter.width as isize).contains(&j);
                    if c < channels && inside {
                        let place = i as usize * filter.width + j as usize;
                        sum += f64::from(a) * f64::from(filter.plane(c)[place]);
                    }
                }
                best = best.max(sum.abs() / energy.max(1e-12).sqrt());
            }
        }
    }
    best
}

fn unit(mut atom: Image) -> Image {
    let norm = atom.values.iter().map(|v| v * v).sum::<f32>().sqrt();
    atom.values.iter_mut().for_each(|v| *v /= norm);
    atom
}

/// The filters that were learnt, `[C, h, w]` each.
fn filters(network: &Network) -> Vec<Image> {
    let filters = network.layers()[0].filters.val().swap_dims(0, 1);
    (0..filters.dims()[0])
        .map(|k| to_image(&filters, k).expect("numbers"))
        .collect()
}

fn learn(config: &str, images: Vec<Image>) -> Network {
    let config = Config::parse(config).expect("settings");
    let mut trainer = Trainer::in_memory(config, images, &Device::flex()).expect("images that fit");
    trainer.train(&mut ()).expect("finite numbers");
    trainer.network().clone()
}

#[test]
fn atoms_of_signals_are_recovered_up_to_shift_and_sign() {
    let atom = |k: usize| {
        let mut atom = Image::zeros(1, 1, 15);
        for (i, v) in atom.values.iter_mut().enumerate() {
            let t = i as f32 - 7.0;
            let window = (-t * t / 18.0).exp();
            *v = window * (t * (0.4 + 0.5 * k as f32) + k as f32).cos();
        }
        unit(atom)
    };
    let atoms: Vec<Image> = (0..4).map(atom).collect();
    let images = sums_of(&atoms, 48, [1, 256], 3);
    let network = learn(
        "[data]\nchannels = 1\n[preprocess]\nkind = \"none\"\n\
         [train]\nsolver = \"descent\"\nconstraint = \"unit-ball\"\n\
         [[layer]]\nmaps = 10\nsize = [1, 19]\nsparsity = { of_max = 0.05 }\nepochs = 40",
        images,
    );
    let learnt = filters(&network);
    let mut found: Vec<f64> = atoms.iter().map(|atom| likeness(atom, &learnt)).collect();
    found.sort_by(f64::total_cmp);
    // Learning is not convex: two filters may share an atom, which then is nearest to neither.
    assert!(found[0] > 0.8 && found[1] > 0.93, "{found:?}");
}

#[test]
fn atoms_of_seven_channels_are_recovered_up_to_shift_and_sign() {
    let mut rng = rng(5);
    // A blob or an edge, as bright in each channel as its own spectrum says.
    let atom = |k: usize, spectrum: Vec<f64>| {
        let mut atom = Image::zeros(7, 5, 5);
        for (at, v) in atom.values.iter_mut().enumerate() {
            let [c, i, j] = [at / 25, at / 5 % 5, at % 5];
            let [y, x] = [i, j].map(|i| i as f32 - 2.0);
            let bump = (-(x * x + y * y) / 3.0).exp();
            *v = spectrum[c] as f32 * bump * [1.0, x, y][k];
        }
        unit(atom)
    };
    let atoms: Vec<Image> = (0..3).map(|k| atom(k, normal(7, &mut rng))).collect();
    let images = sums_of(&atoms, 8, [32, 28], 4);
    let network = learn(
        "[data]\nchannels = 7\n[preprocess]\nkind = \"none\"\n\
         [train]\nsolver = \"descent\"\nconstraint = \"unit-ball\"\n\
         [[layer]]\nmaps = 5\nsize = 7\nsparsity = { of_max = 0.05 }\nepochs = 20",
        images,
    );
    let learnt = filters(&network);
    let found: Vec<f64> = atoms.iter().map(|atom| likeness(atom, &learnt)).collect();
    assert!(found.iter().all(|&found| found > 0.95), "{found:?}");
}

/// The objectives of a problem of a signal of so many channels by every solver of the paper's model.
#[test]
fn solvers_agree_on_signals_of_any_number_of_channels() {
    for channels in [1, 2, 31] {
        let mut rng = rng(channels as u64);
        let taps = normal(channels * 5 * 9, &mut rng);
        let taps = tensor(&taps, [channels, 5, 1, 9]) / (9.0 * channels as f64).sqrt();
        let layer = Layer::new(taps, Connectivity::full(channels, 5));
        let network = Network::new(vec![layer]).expect("one layer");
        let images = random([2, channels, 1, 40], &mut rng);
        let objective = Objective::new(1.0, 0.3, 1.0).expect("weights");
        let problem = Problem::new(network, images, objective).expect("images that fit");
        let zeros = Tensor::zeros(
            problem.maps_shape(),
            (&Device::flex(), problem.data.images().dtype()),
        );
        let objective = |name: SolverName, steps: usize| {
            let limits = Limits {
                steps,
                ..Limits::default()
            };
            let method = Config::default().method(name);
            let solved = method.code(&problem, zeros.clone(), &limits, &mut ());
            solved.expect("finite numbers").last().at
        };
        let certified = objective(SolverName::CoordinateDescent, 300);
        let gap = certified.gap.expect("p = 1");
        assert!(
            gap < 1e-6 * certified.objective,
            "{channels}: {certified:?}"
        );
        for (name, steps, share) in [
            (SolverName::Fista, 1000, 1e-4),
            (SolverName::Adam, 500, 3e-2),
            // The published schedule ends far above; it is no worse than zeros.
            (SolverName::HalfQuadratic, 60, 1.0),
        ] {
            let above = objective(name, steps).objective / certified.objective - 1.0;
            assert!(
                (-1e-9..share).contains(&above),
                "{channels}, {name:?}: {above}"
            );
        }
    }
}
