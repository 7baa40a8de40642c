//! The masked convolution written out as loops over its definition, in double precision.

use deconvnet::connectivity::Connectivity;
use rand::{RngExt, rngs::ChaCha8Rng};

/// The sizes of one product.
#[derive(Clone, Debug)]
pub struct Case {
    pub g: Connectivity,
    pub batch: usize,
    pub image: [usize; 2],
    pub filter: [usize; 2],
}

impl Case {
    pub fn maps_shape(&self) -> [usize; 4] {
        let [height, width] = [0, 1].map(|d| self.image[d] + self.filter[d] - 1);
        [self.batch, self.g.maps(), height, width]
    }

    pub fn filters_shape(&self) -> [usize; 4] {
        [
            self.g.planes(),
            self.g.maps(),
            self.filter[0],
            self.filter[1],
        ]
    }

    pub fn image_shape(&self) -> [usize; 4] {
        [self.batch, self.g.planes(), self.image[0], self.image[1]]
    }

    /// Calls `term` with the places of every product `z f r` of the trilinear form
    /// `<r, z * f> = sum r[n, c, i, j] f[c, k, a, b] z[n, k, i + h - 1 - a, j + w - 1 - b]`.
    fn each(&self, mut term: impl FnMut(usize, usize, usize)) {
        let place =
            |s: [usize; 4], i: [usize; 4]| ((i[0] * s[1] + i[1]) * s[2] + i[2]) * s[3] + i[3];
        let shapes = (self.maps_shape(), self.filters_shape(), self.image_shape());
        let [h, w] = self.filter;
        for c in 0..self.g.planes() {
            for k in (0..self.g.maps()).filter(|&k| self.g.connects(c, k)) {
                for (a, b) in grid([h, w]) {
                    let f = place(shapes.1, [c, k, a, b]);
                    for n in 0..self.batch {
                        for (i, j) in grid(self.image) {
                            let z = place(shapes.0, [n, k, i + h - 1 - a, j + w - 1 - b]);
                            term(z, f, place(shapes.2, [n, c, i, j]));
                        }
                    }
                }
            }
        }
    }

    pub fn synthesize(&self, maps: &[f64], filters: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.image_shape().iter().product()];
        self.each(|z, f, r| out[r] += maps[z] * filters[f]);
        out
    }

    pub fn analyze(&self, residual: &[f64], filters: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.maps_shape().iter().product()];
        self.each(|z, f, r| out[z] += residual[r] * filters[f]);
        out
    }

    pub fn filter_gradient(&self, maps: &[f64], residual: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.filters_shape().iter().product()];
        self.each(|z, f, r| out[f] += maps[z] * residual[r]);
        out
    }

    /// A case of this width with everything else drawn at random: height, taps from 1 to 9 each
    /// way, batch from 1 to 3, and one of the kinds of connectivity.
    pub fn draw(width: usize, rng: &mut ChaCha8Rng) -> Self {
        Self {
            g: draw_connectivity(rng),
            batch: rng.random_range(1..=3),
            image: [rng.random_range(1..=9), width],
            filter: [rng.random_range(1..=9), rng.random_range(1..=9)],
        }
    }
}

fn grid([rows, columns]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |i| (0..columns).map(move |j| (i, j)))
}

fn draw_connectivity(rng: &mut ChaCha8Rng) -> Connectivity {
    let planes = rng.random_range(1..=4);
    let maps = rng.random_range(1..=5);
    match rng.random_range(0..4) {
        0 => Connectivity::full(planes, maps),
        1 => Connectivity::singles_and_pairs(planes),
        2 => {
            let each = rng.random_range(1..=planes);
            Connectivity::random(planes, maps, each, rng.random()).expect("a possible number")
        }
        _ => explicit(planes, maps, rng),
    }
}

/// A random matrix in which every map sees something; some plane may see nothing.
fn explicit(planes: usize, maps: usize, rng: &mut ChaCha8Rng) -> Connectivity {
    let mut rows = vec![vec![0; maps]; planes];
    for row in &mut rows {
        row.fill_with(|| u8::from(rng.random_bool(0.4)));
    }
    (0..maps).for_each(|k| rows[rng.random_range(0..planes)][k] = 1);
    Connectivity::matrix(&rows).expect("rows of 0 and 1")
}
