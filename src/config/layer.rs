//! The settings of one layer.

use serde::{Deserialize, Serialize};

use crate::connectivity::Connectivity;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::model::{DataTerm, Network, Objective};
use crate::pooling::Pool;

/// One layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerSettings {
    /// Number of feature maps; may be left out where the connectivity decides it.
    pub maps: Option<usize>,
    /// Rows and columns of the filters; a single number in a file stands for both. Signals, which are
    /// images of height 1, want `[1, columns]`.
    #[serde(with = "sides")]
    pub size: [usize; 2],
    /// Which map sees which planes of the layer below.
    pub connect: Connect,
    /// Weight of half the squared error, the paper's lambda.
    pub data_weight: f64,
    /// Weight of the penalty.
    pub sparsity: Sparsity,
    /// Exponent of the penalty, from 0, which counts the elements that are not zero, to 1.
    pub p: f64,
    /// Whether the maps must not be negative.
    pub non_negative: bool,
    /// Weights of the penalty on each map, in their order; none: 1 for all.
    pub penalty_weights: Vec<f64>,
    /// Rows, columns and adjacent maps of the windows that the maps are pooled over. Adaptive form only.
    pub pool: Pool,
    /// Times that every image is visited.
    pub epochs: usize,
}

impl Default for LayerSettings {
    fn default() -> Self {
        Self {
            maps: None,
            size: [7, 7],
            connect: Connect::Named(ConnectName::Full),
            data_weight: 1.0,
            sparsity: Sparsity::Weight(1.0),
            p: 1.0,
            non_negative: false,
            penalty_weights: Vec::new(),
            pool: Pool::NONE,
            epochs: 5,
        }
    }
}

/// A number where both sides are the same, as in all files of square filters, else a pair.
mod sides {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(
        untagged,
        expecting = "size is neither a number nor a pair, such as size = 7 or size = [1, 7]"
    )]
    enum Sides {
        Both(usize),
        Each([usize; 2]),
    }

    pub fn serialize<S: Serializer>(&[h, w]: &[usize; 2], to: S) -> Result<S::Ok, S::Error> {
        match h == w {
            true => Sides::Both(h),
            false => Sides::Each([h, w]),
        }
        .serialize(to)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<[usize; 2], D::Error> {
        Ok(match Sides::deserialize(from)? {
            Sides::Both(side) => [side; 2],
            Sides::Each(sides) => sides,
        })
    }
}

/// The weight of the penalty: a number, or a share of the largest useful one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sparsity {
    /// The weight itself.
    Weight(f64),
    /// A share of `lambda_max`, the least weight that makes all maps zero under the first filters at
    /// p = 1.
    OfMax {
        /// The share, between 0 and 1.
        of_max: f64,
    },
}

/// The connectivity of a layer: a name, or an explicit matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Connect {
    /// One of the usual patterns.
    Named(ConnectName),
    /// A row of 0 and 1 for each plane below, a column for each map.
    Matrix(Vec<Vec<u8>>),
}

/// The usual patterns of connectivity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectName {
    /// Every map sees every plane.
    Full,
    /// Map k sees plane k.
    Singles,
    /// Each plane alone, then every pair.
    SinglesAndPairs,
    /// Two planes drawn at random for each map.
    RandomPairs,
    /// Three planes drawn at random for each map.
    RandomTriples,
}

impl LayerSettings {
    /// The objective of a stage with this layer on top; a share of the largest useful sparsity is worked
    /// out from its first filters and all that it has to explain, given as stacks and targets, each member
    /// of the group its own, and told in words.
    ///
    /// # Errors
    /// Those of the targets, and of [`Objective::new`].
    pub fn objective(
        &self,
        targets: impl IntoIterator<Item = Result<(Network, DataTerm)>>,
        group: &Group,
    ) -> Result<(Objective, Option<String>)> {
        let (sparsity, note) = match self.sparsity {
            Sparsity::Weight(weight) => (weight, None),
            Sparsity::OfMax { of_max } => {
                let largest = |target: Result<(Network, DataTerm)>| {
                    let (stack, target) = target?;
                    let (weight, non_negative) = (self.data_weight, self.non_negative);
                    Ok(Objective::largest_useful(
                        weight,
                        non_negative,
                        &stack,
                        &target,
                    ))
                };
                let mut here = targets.into_iter().map(largest);
                let here = here.try_fold(0.0, |most: f64, one| one.map(|one| most.max(one)));
                let all = group.gather(group.agree(here)?)?;
                let most = all.into_iter().fold(0.0, f64::max);
                let sparsity = of_max * most;
                let note = format!(
                    "sparsity {sparsity:.5}: {of_max} of {most:.5}, which makes all maps zero at p = 1"
                );
                (sparsity, Some(note))
            }
        };
        let objective = Objective::new(self.data_weight, sparsity, self.p)?;
        Ok((objective.with_non_negative(self.non_negative), note))
    }

    pub(super) fn connectivity(&self, planes: usize, seed: u64) -> Result<Connectivity> {
        let needed = || {
            self.maps.filter(|&maps| maps > 0).ok_or_else(|| {
                Error::Config("say how many maps it has, for example maps = 9".into())
            })
        };
        let g = match &self.connect {
            Connect::Matrix(rows) => Connectivity::matrix(rows)?,
            Connect::Named(ConnectName::Full) => Connectivity::full(planes, needed()?),
            Connect::Named(ConnectName::Singles) => Connectivity::singles(planes),
            Connect::Named(ConnectName::SinglesAndPairs) => Connectivity::singles_and_pairs(planes),
            Connect::Named(ConnectName::RandomPairs) => {
                Connectivity::random(planes, needed()?, 2, seed)?
            }
            Connect::Named(ConnectName::RandomTriples) => {
                Connectivity::random(planes, needed()?, 3, seed)?
            }
        };
        if g.planes() != planes {
            return Err(Error::Config(format!(
                "its connectivity matrix has {} rows, but the layer below has {planes} planes",
                g.planes()
            )));
        }
        match self.maps {
            Some(maps) if maps != g.maps() => Err(Error::Config(format!(
                "maps = {maps}, but its connectivity gives {} maps; \
                 leave maps out or change one of the two",
                g.maps()
            ))),
            _ => Ok(g),
        }
    }
}
