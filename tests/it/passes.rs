//! The fused passes against the same in plain Burn operations.

use burn::tensor::{DType, Device, Tensor};
use deconvnet::backend::Backend;
use deconvnet::conv::proximal::Proximal;
use deconvnet::pass::Pass;
use deconvnet::penalty::{Shrink, ShrinkBy};
use deconvnet::solve::{Adam, AdamPass, DirectionPass, FistaPass, LastPass, ShrinkPass};
use rand::{RngExt, rngs::ChaCha8Rng};

use crate::support::*;

/// As a share of the largest value: plain operations round after each.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-9,
        _ => 5e-6,
    }
}

/// Shorter than a block, a block and a bit, several parts of a thread.
const SHAPES: [[usize; 4]; 4] = [[1, 1, 1, 1], [3, 2, 5, 7], [2, 3, 13, 29], [2, 5, 71, 97]];

/// The CPU backends of this program.
fn devices() -> Vec<Device> {
    let all = [Backend::Flex, Backend::Ndarray].into_iter();
    let here = all.filter(|backend| backend.compiled_in());
    here.map(|backend| backend.device().expect("a CPU"))
        .collect()
}

/// A tensor whose memory lies in another order where `permuted`.
fn make(values: &[f64], shape: [usize; 4], permuted: bool, like: (&Device, DType)) -> Tensor<4> {
    let [n, c, h, w] = shape;
    match permuted {
        false => tensor_as(values, shape, like.1, like.0),
        true => tensor_as(values, [n, w, h, c], like.1, like.0).permute([0, 3, 2, 1]),
    }
}

/// Runs a pass and its plain form on the same random tensors: `scale` is that of each of them, and
/// those that are squares are positive.
#[track_caller]
fn check<P: Pass<N, C>, const N: usize, const C: usize>(
    what: &str,
    make_pass: impl Fn(DType) -> P,
    [scales, squares]: [[f64; N]; 2],
    rng: &mut ChaCha8Rng,
) {
    for device in devices() {
        for dtype in [DType::F32, DType::F64] {
            for (shape, permuted) in SHAPES.into_iter().zip([false, true, false, true]) {
                let pass = make_pass(dtype);
                let what = format!("{what} {dtype:?} {shape:?} {device:?}");
                let like = (&device, dtype);
                let tensors: [Tensor<4>; N] = std::array::from_fn(|i| {
                    let mut all = sparse(shape.iter().product(), 0.8, rng);
                    for x in &mut all {
                        *x = if squares[i] > 0.0 { *x * *x } else { *x } * scales[i];
                    }
                    make(&all, shape, permuted, like)
                });
                let by: [Tensor<4>; C] = std::array::from_fn(|_| {
                    let all: Vec<f64> = (0..shape[0]).map(|_| rng.random_range(0.1..0.9)).collect();
                    tensor_as(&all, [shape[0], 1, 1, 1], dtype, &device)
                });
                let held = tensors.each_ref().map(values);
                // By flex: ndarray rounds the exponent of a power to single precision.
                let flex = |x: &Tensor<4>| x.clone().to_device(&Device::flex());
                let (wanted, sums) =
                    pass.plain(by.each_ref().map(flex), tensors.each_ref().map(flex));
                let mut got = tensors.clone();
                let mut iter = got.iter_mut();
                let refs = std::array::from_fn(|_| iter.next().expect("one of N"));
                let got_sums = pass.run(by, refs);
                for i in 0..N {
                    let near = format!("{what}: tensor {i}");
                    assert_eq!((got[i].dims(), got[i].dtype()), (shape, dtype), "{near}");
                    let scale = held.iter().flatten().fold(0.0_f64, |m, x| m.max(x.abs()));
                    // What is lost by rounding is itself of the size of rounding.
                    let (mut got, mut wanted) = (values(&got[i]), values(&wanted[i]));
                    got.push(scale);
                    wanted.push(scale);
                    assert_near(&got, &wanted, tolerance(dtype), &near);
                }
                assert_near(
                    &values(&got_sums),
                    &values(&sums),
                    10.0 * tolerance(dtype),
                    &what,
                );
                // Other handles on a tensor keep it as it was.
                for (held, tensor) in held.iter().zip(&tensors) {
                    assert_eq!(*held, values(tensor), "{what}: a shared tensor was changed");
                }
            }
        }
    }
}

const EXPONENTS: [f64; 4] = [0.5, 2.0 / 3.0, 0.8, 1.0];

#[test]
fn the_shrinks_are_those_of_plain_operations() {
    let rng = &mut rng(50);
    for p in EXPONENTS {
        for weight in [1e-3, 0.3, 2.0] {
            let what = format!("p {p}, weight {weight}");
            check(&what, |_| Shrink::new(weight, p), [[1.0], [0.0]], rng);
        }
        let what = format!("p {p}, a weight for each");
        check(&what, |_| ShrinkBy::new(p), [[1.0, 0.3], [0.0, 1.0]], rng);
    }
}

#[test]
fn the_passes_of_the_alternation_are_those_of_plain_operations() {
    let rng = &mut rng(51);
    let (data_weight, beta) = (1.7, 3.0);
    for p in EXPONENTS {
        let start = |_| ShrinkPass {
            shrink: Shrink::new(0.2, p),
            data_weight,
            beta,
        };
        check(&format!("start, p {p}"), start, [[1.0; 3], [0.0; 3]], rng);
    }
    for first in [true, false] {
        let turn = |_| DirectionPass {
            first,
            data_weight,
            beta,
        };
        check(&format!("turn, {first}"), turn, [[1.0; 4], [0.0; 4]], rng);
        let arrive = |_| LastPass { first };
        check(
            &format!("arrive, {first}"),
            arrive,
            [[1.0; 3], [0.0; 3]],
            rng,
        );
    }
}

#[test]
fn the_pass_of_fista_is_that_of_plain_operations() {
    let rng = &mut rng(52);
    for p in EXPONENTS {
        let by = Proximal {
            length: 0.3,
            weight: 0.1,
            penalty: p.into(),
        };
        let pass = |dtype| FistaPass::new(by, dtype);
        let scales = [1.0, 1.0, 1.0, 1e-8];
        check(&format!("fista, p {p}"), pass, [scales, [0.0; 4]], rng);
    }
}

#[test]
fn the_pass_of_adam_is_burns_adam_and_the_shrink() {
    let rng = &mut rng(53);
    for p in EXPONENTS {
        for time in [1, 2, 50] {
            let pass = |_| AdamPass {
                adam: Adam::default(),
                time,
                sparsity: 0.2,
                shrink: ShrinkBy::new(p),
            };
            // Before the first step there is nothing to remember.
            let known = if time == 1 { 0.0 } else { 1.0 };
            let scales = [1.0, 1.0, known, known];
            check(
                &format!("adam, p {p}, {time}"),
                pass,
                [scales, [0.0, 0.0, 0.0, 1.0]],
                rng,
            );
        }
    }
}

#[test]
fn not_a_number_stays_not_a_number() {
    for p in EXPONENTS {
        let v = tensor(&[1.0, f64::NAN, 0.0, f64::NAN], [1, 1, 1, 4]);
        let weights = tensor(&[0.1, 0.1, 0.1, 1e30], [1, 1, 1, 4]);
        for shrunk in [
            deconvnet::penalty::shrink(v.clone(), 0.1, p),
            deconvnet::penalty::shrink_by(v, weights, p),
        ] {
            let none: Vec<bool> = values(&shrunk).iter().map(|x| x.is_nan()).collect();
            assert_eq!(none, [false, true, false, true], "p {p}");
        }
    }
}

#[test]
fn a_pass_works_in_place_where_it_has_the_only_handle() {
    let at = |x: &Tensor<4>| {
        let all: Vec<f32> = x.clone().try_into_vec_as().expect("numbers");
        all[0]
    };
    for device in devices() {
        // One that a pass has made: Burn's own may be aligned too loosely to be taken over.
        let mut x = make(&[3.0; 4096], [1, 1, 64, 64], false, (&device, DType::F32));
        Shrink::new(1.0, 1.0).run([], [&mut x]);
        let before = address(x);
        let (mut x, place) = before;
        Shrink::new(1.0, 1.0).run([], [&mut x]);
        let (x, after) = address(x);
        assert_eq!(place, after, "{device:?}");
        assert_eq!(at(&x), 1.0);
    }
}

/// Where the numbers of a tensor lie.
fn address(x: Tensor<4>) -> (Tensor<4>, usize) {
    let (shape, device) = (x.dims(), x.device());
    let all: Vec<f32> = x.into_data().try_into_vec().expect("numbers");
    let place = all.as_ptr() as usize;
    let data = burn::tensor::TensorData::new(all, shape);
    (Tensor::from_data(data, (&device, DType::F32)), place)
}
