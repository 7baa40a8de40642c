//! The spatial pyramid: codes gathered in the parts of an image.

use serde::{Deserialize, Serialize};

use super::Code;
use crate::error::{Error, Result};
use crate::named::named;

/// Parts along a side at most.
const MOST: usize = 64;

named! {
    /// How the codes of a part become one.
    #[derive(Default)]
    pub enum Gather: "way to gather" {
        /// Their sum. Finer grids weigh more: of levels 0 to L, level 0 and 1 by `2^-L`, level l by `2^(l-1-L)`.
        #[default]
        Sum = "sum",
        /// For each word the largest weight.
        Largest = "largest",
    }
}

/// Grids over an image, each with as many parts along each side as it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pyramid {
    /// Parts along each side, a grid each; usually 1, 2, 4.
    pub levels: Vec<usize>,
    /// How the codes of a part become one.
    pub gather: Gather,
}

impl Default for Pyramid {
    fn default() -> Self {
        Self {
            levels: vec![1, 2, 4],
            gather: Gather::Sum,
        }
    }
}

impl Pyramid {
    /// # Errors
    /// [`Error::Config`] for no grid, or one without parts or with more than an image has pixels for.
    pub fn check(&self) -> Result<()> {
        match !self.levels.is_empty() && self.levels.iter().all(|n| (1..=MOST).contains(n)) {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "a pyramid needs grids of 1 to {MOST} parts along each side, such as 1, 2, 4"
            ))),
        }
    }

    /// Parts of all grids.
    pub fn parts(&self) -> usize {
        self.levels.iter().map(|n| n * n).sum()
    }

    /// The codes of descriptors at `places`, gathered: `[parts, words]`, grid by grid, row by row.
    pub fn gather(
        &self,
        places: &[[f32; 2]],
        codes: impl IntoIterator<Item = impl IntoIterator<Item = Code>>,
        words: usize,
    ) -> Vec<f32> {
        let mut gathered = vec![0.0_f32; self.parts() * words];
        for (place, codes) in places.iter().zip(codes) {
            let mut begin = 0;
            let parts: Vec<usize> = self
                .levels
                .iter()
                .map(|&n| {
                    let [i, j] = place.map(|x| ((x * n as f32) as usize).min(n - 1));
                    begin += n * n;
                    begin - n * n + i * n + j
                })
                .collect();
            for code in codes {
                for part in &parts {
                    let out = &mut gathered[part * words + code.word];
                    *out = match self.gather {
                        Gather::Sum => *out + code.weight,
                        Gather::Largest => out.max(code.weight),
                    };
                }
            }
        }
        if self.gather == Gather::Sum {
            let (last, mut rest) = (self.levels.len() - 1, &mut gathered[..]);
            for (level, n) in self.levels.iter().enumerate() {
                let (own, others) = rest.split_at_mut(n * n * words);
                let weight = 0.5_f32.powi((last + 1 - level.max(1)) as i32);
                let weight = if last == 0 { 1.0 } else { weight };
                own.iter_mut().for_each(|v| *v *= weight);
                rest = others;
            }
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_gets_the_codes_of_its_descriptors() {
        let code = |word, weight| Code { word, weight };
        let places = [[0.1, 0.1], [0.2, 0.9], [0.99, 0.6]];
        let codes = [
            vec![code(0, 1.0)],
            vec![code(0, 0.5), code(1, 0.5)],
            vec![code(1, 2.0)],
        ];
        let mut pyramid = Pyramid {
            levels: vec![1, 2],
            gather: Gather::Sum,
        };
        let sums = pyramid.gather(&places, codes.clone(), 2);
        // Both levels of two weigh one half.
        assert_eq!(sums, [0.75, 1.25, 0.5, 0.0, 0.25, 0.25, 0.0, 0.0, 0.0, 1.0]);
        pyramid.gather = Gather::Largest;
        let largest = pyramid.gather(&places, codes, 2);
        assert_eq!(largest, [1.0, 2.0, 1.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 2.0]);
    }

    #[test]
    fn finer_grids_weigh_as_in_the_paper() {
        let pyramid = Pyramid::default();
        let one = pyramid.gather(
            &[[0.0, 0.0]],
            [[Code {
                word: 0,
                weight: 1.0,
            }]],
            1,
        );
        assert_eq!((one[0], one[1], one[5]), (0.25, 0.25, 0.5));
        assert_eq!(pyramid.parts(), 21);
        let levels = vec![];
        let empty = Pyramid {
            levels,
            ..pyramid.clone()
        };
        assert!(empty.check().is_err());
        let levels = vec![1, 1 << 40];
        assert!(Pyramid { levels, ..pyramid }.check().is_err());
    }
}
