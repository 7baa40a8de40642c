//! Tiny networks, images and problems in double precision.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use deconvnet::connectivity::Connectivity;
use deconvnet::model::{Constraint, Layer, Network, Objective};
use deconvnet::solve::{Limits, Method, Problem, Solved};

use super::dense::Dense;
use super::{normal, rng, sparse, tensor, values};

/// Which stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stack {
    /// One layer, every map connected to every plane.
    Full,
    /// One layer with a mask.
    Masked,
    /// Two layers, the second with a mask.
    Two,
    /// Three layers, all masked but the first.
    Three,
}

impl Stack {
    pub const ALL: [Self; 4] = [Self::Full, Self::Masked, Self::Two, Self::Three];

    /// Random filters for it, of unit norm, in double precision.
    pub fn network(self, seed: u64) -> Network {
        let masked = || Connectivity::matrix(&[vec![1, 0, 1], vec![0, 1, 1]]).expect("a matrix");
        let layers = match self {
            Self::Full => vec![(Connectivity::full(2, 3), [3, 2])],
            Self::Masked => vec![(masked(), [3, 3])],
            Self::Two => vec![
                (Connectivity::full(2, 3), [3, 2]),
                (Connectivity::singles_and_pairs(3), [2, 2]),
            ],
            Self::Three => vec![
                (masked(), [2, 3]),
                (Connectivity::singles(3), [2, 2]),
                (
                    Connectivity::random(3, 4, 2, seed).expect("2 of 3 planes"),
                    [1, 2],
                ),
            ],
        };
        let mut rng = rng(seed);
        let layer = |(g, [h, w]): (Connectivity, [usize; 2])| {
            let taps = normal(g.planes() * g.maps() * h * w, &mut rng);
            let taps = tensor(&taps, [g.planes(), g.maps(), h, w]);
            let filters = Layer::new(taps, g.clone()).filters.val();
            Layer::new(Constraint::UnitPlanes.project(filters), g)
        };
        Network::new(layers.into_iter().map(layer).collect()).expect("layers that fit")
    }
}

/// A problem with `batch` images of 2 x 6 x 5 pixels that a few sparse maps explain but for noise.
pub fn problem(stack: Stack, batch: usize, objective: Objective, seed: u64) -> Problem {
    let network = stack.network(seed);
    let shape = network.maps_shape([batch, 2, 6, 5]);
    let mut rng = rng(seed + 1);
    let maps = sparse(shape.iter().product(), 0.1, &mut rng);
    let clean = network.project(tensor(&maps, shape));
    let noise = normal(batch * 60, &mut rng);
    let images = clean + tensor(&noise, [batch, 2, 6, 5]) * 0.1;
    Problem::new(network, images, objective).expect("images that fit")
}

/// The problem in single precision.
pub fn single(problem: &Problem) -> Problem {
    let mut network = problem.network.clone();
    for layer in network.layers_mut() {
        let filters = layer.filters.val().cast(burn::tensor::DType::F32);
        *layer = Layer::new(filters, layer.connectivity.clone());
    }
    Problem {
        network,
        data: problem.data.to(&Device::flex(), burn::tensor::DType::F32),
        objective: problem.objective,
    }
}

/// The same problem on another device.
pub fn on(problem: &Problem, device: &Device) -> Problem {
    Problem {
        network: problem.network.clone().to_device(device),
        data: problem.data.to(device, problem.data.images().dtype()),
        objective: problem.objective,
    }
}

/// The same network and images with other weights.
pub fn with_objective(problem: &Problem, objective: Objective) -> Problem {
    Problem {
        objective,
        ..problem.clone()
    }
}

/// Maps of zeros to start from.
pub fn zeros(problem: &Problem) -> Tensor<4> {
    let images = problem.data.images();
    Tensor::zeros(problem.maps_shape(), (&images.device(), images.dtype()))
}

/// The least objective of a convex problem of one image, and the maps, by coordinate descent on
/// the stack written out as a matrix.
pub fn optimum(problem: &Problem) -> (Vec<f64>, f64) {
    let shape = problem.maps_shape();
    assert_eq!(shape[0], 1, "one image");
    let matrix = Dense::of(shape.iter().product(), |z| {
        values(&problem.network.project(tensor(z, shape)))
    });
    assert_eq!(problem.objective.p(), 1.0, "a convex problem");
    let [weight, sparsity] = [
        problem.objective.data_weight(),
        problem.objective.sparsity(),
    ];
    matrix.lasso(&values(problem.data.images()), weight, sparsity)
}

/// The maps after so many steps from zero, evaluated at the end.
pub fn run(method: &Method, problem: &Problem, steps: usize) -> Solved {
    let limits = Limits {
        steps,
        every: 0,
        ..Limits::default()
    };
    method
        .code(problem, zeros(problem), &limits, &mut ())
        .expect("finite numbers")
}
