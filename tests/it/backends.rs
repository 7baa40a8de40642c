//! The backends against each other, and that a CPU run never leaves the CPU.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use deconvnet::backend::{Backend, Kernels, is_cpu, kernels};
use deconvnet::conv;
use deconvnet::model::Objective;
use deconvnet::run::{Run, load_memory};
use deconvnet::solve::{Fista, Limits, Method, Problem};
use deconvnet::store::CheckpointSelector;

use crate::resume::{Settings, interrupted_once};
use crate::support::scenario::{Stack, on, problem, single, zeros};
use crate::support::*;

/// Single precision, summed in other orders: as a share of the largest value.
const PRODUCTS: f64 = 1e-5;
/// Ten steps of FISTA carry the differences on.
const TEN_STEPS: f64 = 1e-4;

fn others() -> Vec<(Backend, Device)> {
    answering(&[Backend::Ndarray, Backend::Wgpu])
}

fn tiny(stack: Stack, p: f64) -> Problem {
    let objective = Objective::new(1.5, 0.15, p).expect("a sound objective");
    single(&problem(stack, 2, objective, 70))
}

#[test]
fn kernels_are_there_for_the_devices_and_types_that_they_take() {
    let of = |device: &Device| {
        [DType::F32, DType::F64, DType::F16, DType::BF16].map(|dtype| {
            let plain = kernels(device, dtype);
            assert_eq!(
                kernels(&device.clone().autodiff(), dtype),
                plain,
                "{dtype:?}"
            );
            plain
        })
    };
    let (cpu, gpu) = (Some(Kernels::Cpu), Some(Kernels::Gpu));
    assert_eq!(of(&Device::flex()), [cpu, cpu, None, None]);
    for (backend, device) in others() {
        let expected = match backend {
            Backend::Ndarray => [cpu, cpu, None, None],
            _ => [gpu, None, None, None],
        };
        assert_eq!(of(&device), expected, "{backend}");
    }
}

#[test]
fn all_backends_agree_on_the_three_products() {
    for (backend, device) in others() {
        for stack in [Stack::Full, Stack::Masked] {
            let problem = tiny(stack, 1.0);
            let layer = &problem.network.layers()[0];
            let g = &layer.connectivity;
            let maps = random(problem.maps_shape(), &mut rng(71));
            let inputs = [maps, layer.filters.val(), problem.data.images().clone()];
            let products = |device: &Device| {
                let [z, f, r] = inputs
                    .clone()
                    .map(|x| tensor_as(&values(&x), x.dims(), DType::F32, device));
                assert!(z.device() == *device, "tensors of {backend}");
                [
                    conv::synthesize(z.clone(), f.clone(), g),
                    conv::analyze(r.clone(), f, g),
                    conv::filter_gradient(z, r, g),
                ]
                .map(|x| values(&x))
            };
            let there = products(&device);
            for (got, wanted) in there.iter().zip(products(&Device::flex())) {
                assert_near(got, &wanted, PRODUCTS, &format!("{backend} {stack:?}"));
            }
        }
    }
}

#[test]
fn all_backends_agree_on_ten_steps_of_fista() {
    for (backend, device) in others() {
        for (stack, p) in [(Stack::Two, 1.0), (Stack::Masked, 0.8)] {
            let here = tiny(stack, p);
            let ten = |problem: &Problem| {
                let limits = Limits {
                    steps: 10,
                    every: 0,
                    ..Limits::default()
                };
                Method::Fista(Fista::default())
                    .code(problem, zeros(problem), &limits, &mut ())
                    .expect("finite numbers")
            };
            let (wanted, got) = (ten(&here), ten(&on(&here, &device)));
            let what = format!("{backend} {stack:?} p {p}");
            assert_near(
                &values(&got.codes),
                &values(&wanted.codes),
                TEN_STEPS,
                &what,
            );
            for (got, wanted) in got.each.iter().zip(&wanted.each) {
                assert_near(&[got.objective], &[wanted.objective], 1e-5, &what);
                assert!((got.snr - wanted.snr).abs() < 1e-3, "{what}");
            }
        }
    }
}

#[test]
fn autodiff_agrees_on_all_backends() {
    for (backend, device) in others() {
        let here = tiny(Stack::Two, 1.0);
        let maps = random(here.maps_shape(), &mut rng(72));
        let slopes = |problem: &Problem| {
            let maps = tensor_as(
                &values(&maps),
                maps.dims(),
                DType::F32,
                &problem.data.images().device(),
            );
            let model = deconvnet::model::Model {
                network: problem.network.clone(),
                codes: deconvnet::model::FeatureMaps::new(maps),
                objective: problem.objective,
            };
            let model = model.train();
            let terms = model.forward(Tensor::from_inner(problem.data.images().clone()));
            let gradients = terms.data.backward();
            let layers = model.network.layers().iter().map(|layer| &layer.filters);
            let all = layers.chain([&model.codes.maps]);
            all.map(|x| values(&x.val().grad(&gradients).expect("a gradient")))
                .collect::<Vec<_>>()
        };
        for (got, wanted) in slopes(&on(&here, &device)).iter().zip(slopes(&here)) {
            assert_near(got, &wanted, 1e-4, &format!("{backend}"));
        }
    }
}

/// With a GPU backend compiled in, Burn's own records may land on its default device, the GPU.
#[test]
fn what_a_cpu_run_loads_lies_on_the_cpu() {
    let device = Backend::Flex.device().expect("the CPU");
    let settings = Settings::named("adam");
    let folder = interrupted_once(&settings, 2);
    let run = Run::read(folder.path(), CheckpointSelector::Last, &device).expect("a checkpoint");
    let mut loaded: Vec<Tensor<4>> = Vec::new();
    loaded.extend(run.network.layers().iter().map(|layer| layer.filters.val()));
    for moments in load_memory(&run, 0).expect("Adam's memory").moments {
        assert!(moments.time > 0);
        loaded.extend([moments.first.val(), moments.second.val()]);
    }
    let images = (0..3).filter(|&i| run.has_maps(0, i));
    for i in images {
        loaded.push(run.maps(0, i, &device).expect("maps"));
        loaded.push(run.codes(0, i, &device).expect("codes"));
    }
    assert!(loaded.len() >= 6, "filters, memory and maps");
    for tensor in loaded {
        assert!(is_cpu(&tensor.device()), "{:?}", tensor.device());
        assert!(tensor.device() == device, "{:?}", tensor.device());
    }
}
