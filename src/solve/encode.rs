//! Coding layer by layer: the maps of images under frozen filters.

use std::ops::Range;

use burn::tensor::Tensor;

use super::learn::measure;
use super::{Callback, Limits, Method, Point, Problem, Reason, Solved};
use crate::error::Result;
use crate::model::{DataTerm, Evaluation, FeatureMaps, Network, Objective};

/// Layers of a network that are solved for together.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The layers; only the maps of the top one are free.
    pub layers: Range<usize>,
    /// What is minimised.
    pub objective: Objective,
    /// How long.
    pub budget: Budget,
}

/// How long a stage is worked on.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// So many rounds as training counts them, with one evaluation at the end.
    Rounds(usize),
    /// Until a limit is reached, with evaluations on the way.
    Limits(Limits),
}

/// Finds the maps of images stage by stage. A stage that begins at the first layer explains the image, at
/// the switches that the stages before it have set where maps are pooled; each other one explains the
/// rescaled maps of the stage below.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deconvnet::connectivity::Connectivity;
/// use deconvnet::model::{LayerConfig, NetworkConfig, Objective};
/// use deconvnet::solve::{Budget, Encoder, Fista, Stage};
///
/// let device = Device::flex();
/// let layers = vec![
///     LayerConfig::new(Connectivity::full(1, 4), [3, 3]),
///     LayerConfig::new(Connectivity::singles_and_pairs(4), [3, 3]),
/// ];
/// let network = NetworkConfig { layers }.init(&device)?;
/// let stage = |l: usize| -> deconvnet::Result<Stage> {
///     let objective = Objective::new(1.0, 0.1, 1.0)?;
///     Ok(Stage { layers: l..l + 1, objective, budget: Budget::Rounds(20) })
/// };
/// let encoder = Encoder {
///     network: &network,
///     stages: vec![stage(0)?, stage(1)?],
///     method: Fista::default().into(),
///     start_noise: 0.0,
///     seed: 0,
/// };
/// let coded = encoder.encode(Tensor::ones([1, 1, 8, 8], &device), &mut ())?;
/// assert_eq!(coded[1].solved.codes.dims(), [1, 10, 12, 12]);
/// # Ok::<(), deconvnet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Encoder<'a> {
    /// The network, its filters fixed.
    pub network: &'a Network,
    /// The stages, the image side first.
    pub stages: Vec<Stage>,
    /// The solver.
    pub method: Method,
    /// Standard deviation of the noise that maps start from.
    pub start_noise: f64,
    /// Its seed.
    pub seed: u64,
}

/// The maps of one stage.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The layer that they belong to, from 0.
    pub layer: usize,
    /// The maps, how good they are and how they were found.
    pub solved: Solved,
}

impl Encoder<'_> {
    /// The maps of a batch of images, one entry for each stage.
    ///
    /// An interruption ends the stage in progress and all after it: the last entry then is of
    /// [`Reason::Interrupted`].
    ///
    /// # Shapes
    /// images `[n, C, H, W]` -> codes `[n, K, ..]` of the top layer of each stage.
    ///
    /// # Errors
    /// [`crate::Error::Numeric`] where the numbers leave the finite range, [`crate::Error::Config`] for
    /// a solver that cannot work on the layers of a stage together.
    pub fn encode(
        &self,
        images: impl Into<DataTerm>,
        callback: &mut dyn Callback<Point>,
    ) -> Result<Vec<Encoded>> {
        let images = images.into();
        let mut target = images.clone();
        let mut all: Vec<Encoded> = Vec::new();
        for stage in &self.stages {
            if stage.layers.start == 0 {
                target = images.clone();
            }
            let codes = all.iter().map(|one| (one.layer, &one.solved.codes));
            let stack = self.network.stack(stage.layers.clone(), codes)?;
            let solved = self.solve(stage, stack, target, callback)?;
            let layer = stage.layers.end - 1;
            let interrupted = solved.reason == Reason::Interrupted;
            target = self.network.layers()[layer]
                .rescale(solved.maps.clone())
                .into();
            all.push(Encoded { layer, solved });
            if interrupted {
                break;
            }
        }
        Ok(all)
    }

    fn solve(
        &self,
        stage: &Stage,
        stack: Network,
        target: DataTerm,
        callback: &mut dyn Callback<Point>,
    ) -> Result<Solved> {
        let device = target.images().device();
        let shape = stack.maps_shape(target.dims());
        // What the shifts between layers add does not depend on the maps.
        let offset = stack.synthesize(Tensor::zeros(shape, &device));
        let data = target.shifted(offset);
        let problem = Problem::new(stack.flattened(), data, stage.objective)?;
        let start = FeatureMaps::start(shape, self.start_noise, self.seed, &device);
        let start = stage.objective.feasible(start);
        match &stage.budget {
            Budget::Limits(limits) => self.method.code(&problem, start, limits, callback),
            Budget::Rounds(rounds) => {
                let stop = || callback.interrupted();
                let coded = self.method.advance(&problem, start, *rounds, &stop)?;
                let each = measure(&problem, &coded.codes, coded.sparse.as_ref())?;
                Ok(Solved {
                    curve: vec![Point {
                        step: *rounds,
                        seconds: 0.0,
                        at: Evaluation::total(&each),
                    }],
                    codes: coded.codes,
                    maps: coded.maps,
                    each,
                    reason: match callback.interrupted() {
                        true => Reason::Interrupted,
                        false => Reason::Steps,
                    },
                })
            }
        }
    }
}
