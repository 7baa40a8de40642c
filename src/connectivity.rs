//! Which map of a layer is connected to which plane of the layer below: the binary `g_l` of the paper.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rand::{SeedableRng, rngs::ChaCha8Rng, seq::index::sample};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The fixed binary connectivity `g` of one layer: `g[c, k] = 1` where feature map `k` of the layer
/// is convolved with a filter plane to explain plane `c` of the layer below.
///
/// Cheap to clone. An unconnected filter plane does not exist for the kernels: they neither read it
/// nor give it a gradient, so it stays exactly zero under every solver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Matrix", into = "Matrix")]
pub struct Connectivity {
    planes: usize,
    maps: usize,
    connected: Arc<[bool]>,
    /// Number of connected pairs.
    pairs: usize,
}

/// How it is stored: a row of `0` and `1` for each plane below.
type Matrix = Vec<Vec<u8>>;

impl Connectivity {
    /// Every map sees every plane.
    pub fn full(planes: usize, maps: usize) -> Self {
        Self::from_fn(planes, maps, |_, _| true)
    }

    /// Map `k` sees plane `k` alone.
    pub fn singles(planes: usize) -> Self {
        Self::from_fn(planes, planes, |c, k| c == k)
    }

    /// Each plane alone, then every pair of planes: `planes + planes (planes - 1) / 2` maps, so 9
    /// planes give 45 maps (layer 2 of the paper).
    ///
    /// # Examples
    ///
    /// ```
    /// use deconvnet::connectivity::Connectivity;
    ///
    /// let second = Connectivity::singles_and_pairs(9);
    /// assert_eq!((second.planes(), second.maps()), (9, 45));
    /// let third = Connectivity::random(45, 150, 2, 0)?;
    /// assert_eq!(third.planes_of(7).len(), 2);
    /// # Ok::<(), deconvnet::Error>(())
    /// ```
    pub fn singles_and_pairs(planes: usize) -> Self {
        let alone = (0..planes).map(|c| [c, c]);
        let pairs = (0..planes).flat_map(|a| (a + 1..planes).map(move |b| [a, b]));
        let seen: Vec<[usize; 2]> = alone.chain(pairs).collect();
        Self::from_fn(planes, seen.len(), |c, k| seen[k].contains(&c))
    }

    /// Each map sees `each` distinct planes drawn at random (layer 3 of the paper: 2).
    ///
    /// # Errors
    /// [`Error::Config`] where a map would have to see more planes than there are, or none.
    pub fn random(planes: usize, maps: usize, each: usize, seed: u64) -> Result<Self> {
        if each == 0 || each > planes {
            return Err(Error::Config(format!(
                "each map cannot see {each} of {planes} planes; choose 1 to {planes}"
            )));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let seen: Vec<Vec<usize>> = (0..maps)
            .map(|_| sample(&mut rng, planes, each).into_vec())
            .collect();
        Ok(Self::from_fn(planes, maps, |c, k| seen[k].contains(&c)))
    }

    /// From an explicit matrix of 0 and 1, a row for each plane below, a column for each map.
    ///
    /// # Errors
    /// [`Error::Config`] for rows of different lengths, other numbers than 0 and 1, or a map that
    /// sees nothing.
    pub fn matrix(rows: &[Vec<u8>]) -> Result<Self> {
        let maps = rows.first().map_or(0, Vec::len);
        if maps == 0 {
            return Err(Error::Config(
                "the connectivity matrix is empty; give a row of 0 and 1 for each plane below"
                    .into(),
            ));
        }
        for (c, row) in rows.iter().enumerate() {
            if row.len() != maps {
                return Err(Error::Config(format!(
                    "row {c} of the connectivity matrix has {} entries, row 0 has {maps}; \
                     every row needs one for each map",
                    row.len()
                )));
            }
            if let Some(k) = row.iter().position(|&g| g > 1) {
                return Err(Error::Config(format!(
                    "entry ({c}, {k}) of the connectivity matrix is {}; only 0 and 1 are allowed",
                    row[k]
                )));
            }
        }
        let g = Self::from_fn(rows.len(), maps, |c, k| rows[c][k] == 1);
        match (0..maps).find(|&k| g.planes_of(k).is_empty()) {
            Some(k) => Err(Error::Config(format!(
                "map {k} of the connectivity matrix sees no plane at all; \
                 put a 1 in its column or remove the column"
            ))),
            None => Ok(g),
        }
    }

    fn from_fn(planes: usize, maps: usize, g: impl Fn(usize, usize) -> bool) -> Self {
        let connected: Arc<[bool]> = (0..planes * maps).map(|i| g(i / maps, i % maps)).collect();
        Self {
            planes,
            maps,
            pairs: connected.iter().filter(|&&g| g).count(),
            connected,
        }
    }

    /// Number of planes of the layer below, `K_{l-1}` (the image's channels for the first layer).
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// Number of feature maps of the layer, `K_l`.
    pub fn maps(&self) -> usize {
        self.maps
    }

    /// Whether map `k` is connected to plane `c`.
    pub fn connects(&self, c: usize, k: usize) -> bool {
        self.connected[c * self.maps + k]
    }

    /// The planes that map `k` is connected to.
    pub fn planes_of(&self, k: usize) -> Vec<usize> {
        (0..self.planes).filter(|&c| self.connects(c, k)).collect()
    }

    /// The maps that plane `c` is connected to.
    pub fn maps_of(&self, c: usize) -> Vec<usize> {
        (0..self.maps).filter(|&k| self.connects(c, k)).collect()
    }

    /// Number of connected pairs: what the work of a convolution is proportional to.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Whether every map sees every plane.
    pub fn is_full(&self) -> bool {
        self.pairs() == self.planes * self.maps
    }

    /// The matrix as numbers, `planes x maps`, row by row.
    pub fn values(&self) -> Vec<f32> {
        self.connected.iter().map(|&g| f32::from(g)).collect()
    }
}

/// By its size alone: looking one up is to cost no pass over the matrix, and equal ones mostly share it.
impl Hash for Connectivity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.planes, self.maps).hash(state);
    }
}

impl TryFrom<Matrix> for Connectivity {
    type Error = Error;

    fn try_from(rows: Matrix) -> Result<Self> {
        Self::matrix(&rows)
    }
}

impl From<Connectivity> for Matrix {
    fn from(g: Connectivity) -> Self {
        (0..g.planes)
            .map(|c| (0..g.maps).map(|k| u8::from(g.connects(c, k))).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singles_and_pairs_of_nine_are_the_papers_45_maps() {
        let g = Connectivity::singles_and_pairs(9);
        assert_eq!((g.planes(), g.maps(), g.pairs()), (9, 45, 9 + 2 * 36));
        assert_eq!(g.planes_of(4), [4]);
        assert_eq!(g.planes_of(9), [0, 1]);
        assert_eq!(g.planes_of(44), [7, 8]);
    }

    #[test]
    fn random_maps_see_distinct_planes_and_the_seed_decides() {
        let g = Connectivity::random(45, 150, 2, 3).unwrap();
        assert!((0..150).all(|k| g.planes_of(k).len() == 2));
        assert_eq!(g, Connectivity::random(45, 150, 2, 3).unwrap());
        assert_ne!(g, Connectivity::random(45, 150, 2, 4).unwrap());
        assert!(Connectivity::random(2, 5, 3, 0).is_err());
    }

    #[test]
    fn a_matrix_survives_json_and_bad_ones_are_refused() {
        let g = Connectivity::matrix(&[vec![1, 0, 1], vec![0, 1, 1]]).unwrap();
        let text = serde_json::to_string(&g).unwrap();
        assert_eq!(text, "[[1,0,1],[0,1,1]]");
        assert_eq!(serde_json::from_str::<Connectivity>(&text).unwrap(), g);
        for bad in [
            vec![],
            vec![vec![1, 0], vec![1]],
            vec![vec![2]],
            vec![vec![0, 1], vec![0, 1]],
        ] {
            assert!(Connectivity::matrix(&bad).is_err(), "{bad:?}");
        }
    }
}
