//! Against the independent NumPy rendering of the 2010 training loop.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use deconvnet::arrays::{self, Bundle};
use deconvnet::backend::Backend;
use deconvnet::config::{Config, LayerSettings};
use deconvnet::connectivity::Connectivity;
use deconvnet::data::Preprocess;
use deconvnet::group::Group;
use deconvnet::model::{Constraint, Layer, Network, Objective};
use deconvnet::problem::CodingProblem;
use deconvnet::solve::{
    FilterMemory, FilterStep, Fista, HalfQuadratic, Learner, Learnt, Limits, Method, Problem,
    Reason,
};
use deconvnet::task::train;

use crate::support::*;

/// Single precision in another order of summation, over six times two conjugate gradient steps.
const FLOAT: f64 = 2e-5;

struct Fixture {
    path: PathBuf,
    bundle: Bundle,
}

impl Fixture {
    /// Written by `scripts/reference_step.py`.
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference_step.npz");
        let bundle = arrays::read(&path).expect("the fixture");
        Self { path, bundle }
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let array = self.bundle.array(name, &self.path).expect("an array");
        array.values.iter().map(|&v| f64::from(v)).collect()
    }

    /// An array of three axes as an image of a batch of one, or one of four as it is.
    fn tensor(&self, name: &str) -> Tensor<4> {
        let array = self.bundle.array(name, &self.path).expect("an array");
        let mut shape = array.shape.clone();
        if shape.len() == 3 {
            shape.insert(0, 1);
        }
        let data = TensorData::new(array.values.clone(), shape);
        Tensor::from_data(data, &Device::flex())
    }

    /// One visit with everything as the reference has it.
    fn visit(&self, p: f64, dtype: DType) -> Learnt {
        let filters = self.tensor("F").cast(dtype);
        let [planes, maps, ..] = filters.dims();
        let layer = Layer::new(filters, Connectivity::full(planes, maps));
        let problem = Problem {
            network: Network::new(vec![layer]).expect("a layer"),
            data: self.tensor("y").cast(dtype).into(),
            objective: Objective::new(1.0, 1.0, p).expect("a sound objective"),
        };
        let learner = Learner {
            all_layers: true,
            group: Group::alone(),
            codes: Method::HalfQuadratic(HalfQuadratic::default()),
            steps: 6,
            filters: FilterStep::LeastSquares { cg: 2 },
            filter_rate: 0.0,
            constraint: Constraint::UnitPlanes,
        };
        let start = self.tensor("z").cast(dtype);
        learner
            .visit(&problem, start, true, &mut FilterMemory::default(), &())
            .expect("finite numbers")
    }
}

#[test]
fn one_visit_equals_the_references_to_float_precision() {
    let fixture = Fixture::read();
    for (name, p) in [("sparse", 0.8), ("l1", 1.0)] {
        for dtype in [DType::F32, DType::F64] {
            let learnt = fixture.visit(p, dtype);
            let filters = learnt.network.layers()[0].filters.val();
            for (part, got) in [("x", learnt.codes), ("z", learnt.maps), ("F", filters)] {
                let wanted = fixture.values(&format!("{name}_{part}"));
                let what = format!("{part} for p = {p}, {dtype:?}");
                assert_near(&values(&got), &wanted, FLOAT, &what);
                if part == "x" {
                    let zeros = |x: &[f64]| x.iter().map(|&x| x == 0.0).collect::<Vec<_>>();
                    assert_eq!(
                        zeros(&values(&got)),
                        zeros(&wanted),
                        "{what}: where it is zero"
                    );
                }
            }
        }
    }
}

/// The mean SNR of the fifth epoch with the 2010 settings. Another random stream, and another
/// decoder of the photographs, move it by hundredths; a wrong sign or flip moves it a lot.
#[track_caller]
fn assert_snr_of_2010(set: &str, wanted: f64) {
    let Some(images) = shared(&format!("data/{set}")) else {
        return;
    };
    let mut config = Config {
        preprocess: Preprocess::local_mean(),
        layers: vec![LayerSettings {
            maps: Some(9),
            size: [7, 7],
            p: 0.8,
            epochs: 5,
            ..LayerSettings::default()
        }],
        ..Config::default()
    };
    config.data.images = Some(images);
    config.train.resample_dead = false;
    config.checkpoint.every_seconds = 1e9;
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let report = train::start(
        config,
        &run,
        &Device::flex(),
        false,
        &Group::alone(),
        &mut (),
    )
    .expect("a run");
    let last = &report.stages[0];
    assert_eq!((last.epoch, last.images), (4, 10));
    let snr = last.snr.expect("photographs are not flat");
    println!("{set}: {snr:.3} dB for {wanted} dB");
    assert!(
        (snr - wanted).abs() <= 0.15,
        "{set}: {snr:.3} dB, not {wanted} dB"
    );
}

#[test]
fn the_fruit_photographs_reach_the_references_snr() {
    assert_snr_of_2010("fruit", 2.67);
}

#[test]
fn the_city_photographs_reach_the_references_snr() {
    assert_snr_of_2010("city", 3.45);
}

/// The least objective is in the file, certified by a long run of another program in double
/// precision.
#[test]
fn fista_reaches_the_certified_optimum_on_every_cpu_backend_and_says_so() {
    let Some(file) = shared("rivals/code_colour_fruit.npz") else {
        return;
    };
    let mut backends = vec![Backend::Flex];
    if Backend::Ndarray.compiled_in() {
        backends.push(Backend::Ndarray);
    }
    for backend in backends {
        let device = backend.device().expect("a CPU is there");
        let CodingProblem {
            problem, optimum, ..
        } = CodingProblem::read(&file, &device).expect("a problem");
        let optimum = optimum.expect("F_opt");
        let shape = problem.maps_shape();
        let limits = Limits {
            steps: 3000,
            gap: Some(1e-5),
            every: 50,
            ..Limits::default()
        };
        let solved = Method::Fista(Fista::default())
            .code(&problem, Tensor::zeros(shape, &device), &limits, &mut ())
            .expect("finite numbers");
        let found = solved.last().at;
        assert_eq!(solved.reason, Reason::Gap, "{backend}");
        assert!(found.gap.expect("p = 1") <= 1e-5 * found.objective);
        assert!(
            (found.objective - optimum).abs() <= 1e-5 * optimum,
            "{backend}: {} instead of {optimum}",
            found.objective
        );
    }
}
