//! What the tests share: seeded tensors, comparisons, adjoint and gradient checks.

pub mod dense;
pub mod plain;
pub mod scenario;

use burn::tensor::{DType, Device, Tensor, TensorData};
use deconvnet::backend::Backend;
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use rand_distr::{Distribution, StandardNormal};

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Standard normal numbers.
pub fn normal(count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    StandardNormal.sample_iter(rng).take(count).collect()
}

/// Standard normal numbers of which about `share` are kept and the others zero.
pub fn sparse(count: usize, share: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count)
        .map(|_| {
            let x: f64 = StandardNormal.sample(rng);
            if rng.random_bool(share) { x } else { 0.0 }
        })
        .collect()
}

/// A tensor of type `dtype`; Burn would silently make `f32` of it.
pub fn tensor_as<const D: usize>(
    values: &[f64],
    shape: [usize; D],
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (device, dtype))
}

/// A tensor of `f64` on the plain CPU backend.
pub fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
    let made = tensor_as(values, shape, DType::F64, &Device::flex());
    assert_eq!(made.dtype(), DType::F64);
    made
}

/// A standard normal tensor of `f64` on the plain CPU backend.
pub fn random<const D: usize>(shape: [usize; D], rng: &mut ChaCha8Rng) -> Tensor<D> {
    tensor(&normal(shape.iter().product(), rng), shape)
}

/// The numbers of a tensor in row-major order.
pub fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().into_data().iter::<f64>().collect()
}

/// The bits of a tensor of `f32`.
pub fn bits<const D: usize>(tensor: &Tensor<D>) -> Vec<u32> {
    let values: Vec<f32> = tensor.clone().try_into_vec_as().expect("a readable tensor");
    values.into_iter().map(f32::to_bits).collect()
}

/// The only number of a tensor.
pub fn number<const D: usize>(tensor: Tensor<D>) -> f64 {
    let all = values(&tensor);
    assert_eq!(all.len(), 1, "a tensor of one number");
    all[0]
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// Every element of `got` lies within `tolerance` times the largest magnitude of `wanted`.
#[track_caller]
pub fn assert_near(got: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}: number of elements");
    let largest = wanted.iter().fold(1e-300_f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        // Written so that a NaN fails too.
        let near = (g - w).abs() <= tolerance * largest;
        assert!(
            near,
            "{what}: element {i} is {g:.9e}, not {w:.9e}: off by {:.2e} of the largest {largest:.3e}",
            (g - w).abs() / largest
        );
    }
}

/// `<A x, y> = <x, A' y>` for random `x` and `y`, to 1e-12 of `||A x|| ||y||`.
#[track_caller]
pub fn assert_adjoint(
    what: &str,
    apply: impl Fn(Tensor<4>) -> Tensor<4>,
    adjoint: impl Fn(Tensor<4>) -> Tensor<4>,
    [from, to]: [[usize; 4]; 2],
    rng: &mut ChaCha8Rng,
) {
    let (x, y) = (random(from, rng), random(to, rng));
    let (there, back) = (apply(x.clone()), adjoint(y.clone()));
    assert_eq!(there.dims(), to, "{what}: shape of the image");
    assert_eq!(back.dims(), from, "{what}: shape of the adjoint's image");
    let (there, y) = (values(&there), values(&y));
    let (left, right) = (dot(&there, &y), dot(&values(&x), &values(&back)));
    let scale = norm(&there) * norm(&y);
    assert!(scale > 0.0, "{what}: the check would hold for anything");
    assert!(
        (left - right).abs() <= 1e-12 * scale,
        "{what}: <A x, y> = {left}, <x, A' y> = {right}"
    );
}

/// The gradient of `f` in every element of every input by autodiff, against differences of four
/// points at distance `h` and `2 h`, which are exact for polynomials up to degree 4.
#[track_caller]
pub fn assert_gradient(
    what: &str,
    f: impl Fn(&[Tensor<4>]) -> Tensor<1>,
    inputs: &[Tensor<4>],
    h: f64,
    tolerance: f64,
) {
    let tracked: Vec<_> = inputs
        .iter()
        .map(|x| Tensor::from_inner(x.clone()).require_grad())
        .collect();
    let gradients = f(&tracked).backward();
    for (i, input) in inputs.iter().enumerate() {
        let got = tracked[i]
            .grad(&gradients)
            .unwrap_or_else(|| panic!("{what}: input {i} has no gradient"));
        let (dims, start) = (input.dims(), values(input));
        let at = |e: usize, step: f64| {
            let mut moved = start.clone();
            moved[e] += step * h;
            let mut inputs = inputs.to_vec();
            inputs[i] = tensor(&moved, dims);
            number(f(&inputs))
        };
        let wanted: Vec<f64> = (0..start.len())
            .map(|e| (8.0 * (at(e, 1.0) - at(e, -1.0)) - (at(e, 2.0) - at(e, -2.0))) / (12.0 * h))
            .collect();
        assert!(norm(&wanted) > 0.0, "{what}: the check would hold for 0");
        assert_near(
            &values(&got),
            &wanted,
            tolerance,
            &format!("{what}, input {i}"),
        );
    }
}

/// Of these backends those that answer; that one is missing is said, see [`crate::skipped`].
pub fn answering(backends: &[Backend]) -> Vec<(Backend, Device)> {
    let open = |&backend: &Backend| match backend.device() {
        Ok(device) => Some((backend, device)),
        Err(error) => {
            crate::skipped::skipped(backend.name(), error);
            None
        }
    };
    backends.iter().filter_map(open).collect()
}

/// The `../shared` data beside the project, or `None` with a remark that the test is skipped.
pub fn shared(below: &str) -> Option<std::path::PathBuf> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(below);
    if path.exists() {
        return Some(path);
    }
    crate::skipped::skipped("shared", format!("../shared/{below} is not there"));
    None
}
