//! A proximal step and the pooling after it in one pass over the gradient.
//!
//! Maps that were pooled have one element in each window, so that of all that the step reads only the
//! gradient is as large as the maps.

use burn::tensor::{DType, Element, Tensor, TensorData};
use num_traits::Float;
use rayon::prelude::*;

use crate::backend::is_cpu;
use crate::linop::Dot;
use crate::pass::numbers;
use crate::penalty::{self, Penalty};
use crate::pooling::{Switches, magnitude, pool};

/// Pooled maps: a value for each window, and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    pub values: Tensor<4>,
    pub switches: Switches,
}

/// What decides a step.
pub(super) struct Step<'a> {
    /// `R' m (R v - y)`, as large as the maps.
    pub gradient: Tensor<4>,
    /// The present maps and those before.
    pub maps: [&'a Pooled; 2],
    /// For each image, `v = x + momentum (x - before)`.
    pub momentum: Vec<f64>,
    /// For each image, how far it goes along the gradient.
    pub length: Vec<f64>,
    /// The penalty is `length weight |z|^p`.
    pub weight: f64,
    pub penalty: Penalty,
    /// Where elements may lie, if not anywhere in their window.
    pub kept: Option<&'a Switches>,
}

/// What a step leads to.
pub(super) struct Stepped {
    pub next: Pooled,
    /// For each image, `sum (next - v)^2` and `sum (v - next) (next - x)`.
    pub moved: Vec<f64>,
    pub uphill: Vec<f64>,
}

impl Step<'_> {
    /// `next = pool(shrink(v - length gradient))`.
    pub fn take(self) -> Stepped {
        let fused = is_cpu(&self.gradient.device()) && !self.gradient.is_autodiff();
        match self.gradient.dtype() {
            DType::F32 if fused => self.fused::<f32>(),
            DType::F64 if fused => self.fused::<f64>(),
            _ => self.plain(),
        }
    }

    /// The same in plain operations.
    pub fn plain(self) -> Stepped {
        let n = self.momentum.len();
        let like = (&self.gradient.device(), self.gradient.dtype());
        let each =
            |values: Vec<f64>| Tensor::<4>::from_data(TensorData::new(values, [n, 1, 1, 1]), like);
        let [x, before] = self
            .maps
            .map(|maps| maps.switches.unpool(maps.values.clone()));
        let v = x.clone() + (x.clone() - before) * each(self.momentum);
        let length = each(self.length);
        let descended = v.clone() - self.gradient * length.clone();
        let shrunk = penalty::shrink_by(descended, length * self.weight, self.penalty);
        let (values, switches) = match self.kept {
            Some(kept) => (kept.pool(shrunk), kept.clone()),
            None => pool(shrunk, self.maps[0].switches.windows()),
        };
        let next = switches.unpool(values.clone());
        let moved = next.clone() - v;
        let numbers = |x: Tensor<4>| x.into_data().iter::<f64>().collect();
        let uphill = Dot::EachImage.of(moved.clone().neg(), next - x);
        Stepped {
            moved: numbers(Dot::EachImage.of(moved.clone(), moved)),
            uphill: numbers(uphill),
            next: Pooled { values, switches },
        }
    }

    fn fused<T: Float + Element + Sync>(self) -> Stepped {
        let shape @ [n, k, height, width] = self.gradient.dims();
        let (device, dtype) = (self.gradient.device(), self.gradient.dtype());
        // Not copied: it is the only handle.
        let gradient = numbers::<T>(self.gradient);
        let of = self.maps.map(|maps| numbers::<T>(maps.values.clone()));
        let windows = self.maps[0].switches.windows();
        let pooled @ [_, groups, down, across] = windows.pooled(shape);
        let group = down * across;
        let image = k * height * width;
        let one = |i: usize| {
            let (at, g) = (i / groups, i % groups);
            let window = i * group..(i + 1) * group;
            let state = [0, 1].map(|s| {
                let places = self.maps[s].switches.places();
                (&places[window.clone()], &of[s][window.clone()])
            });
            let of_group = Group {
                gradient: &gradient[at * image..(at + 1) * image],
                maps: g * windows.maps..((g + 1) * windows.maps).min(k),
                size: [height, width],
                state,
                kept: self.kept.map(|kept| &kept.places()[window.clone()]),
                momentum: T::from(self.momentum[at]).unwrap_or(T::zero()),
                length: T::from(self.length[at]).unwrap_or(T::zero()),
                weight: self.length[at] * self.weight,
                penalty: self.penalty,
            };
            of_group.take([windows.rows, windows.columns], [down, across])
        };
        let all: Vec<_> = (0..n * groups).into_par_iter().map(one).collect();
        let sums = |s: usize| -> Vec<f64> {
            let images = all.chunks(groups.max(1));
            images
                .map(|image| image.iter().map(|group| group.sums[s]).sum())
                .collect()
        };
        let places = all
            .iter()
            .flat_map(|group| group.places.iter().copied())
            .collect();
        let values: Vec<T> = all
            .iter()
            .flat_map(|group| group.values.iter().copied())
            .collect();
        let like = (&device, dtype);
        Stepped {
            moved: sums(0),
            uphill: sums(1),
            next: Pooled {
                values: Tensor::from_data(TensorData::new(values, pooled), like),
                switches: self.maps[0].switches.with_places(places),
            },
        }
    }
}

/// The windows over the same maps of one image.
struct Group<'a, T> {
    gradient: &'a [T],
    maps: std::ops::Range<usize>,
    size: [usize; 2],
    /// Places and values of the present maps and of those before.
    state: [(&'a [i32], &'a [T]); 2],
    kept: Option<&'a [i32]>,
    momentum: T,
    length: T,
    weight: f64,
    penalty: Penalty,
}

struct GroupStepped<T> {
    places: Vec<i32>,
    values: Vec<T>,
    sums: [f64; 2],
}

impl<T: Float> Group<'_, T> {
    fn take(&self, [rows, columns]: [usize; 2], [down, across]: [usize; 2]) -> GroupStepped<T> {
        let [height, width] = self.size;
        let mut out = GroupStepped {
            places: Vec::with_capacity(down * across),
            values: Vec::with_capacity(down * across),
            sums: [0.0; 2],
        };
        for window in 0..down * across {
            let [(x_at, x), (b_at, b)] = self.state.map(|(places, values)| match places[window] {
                place if place < 0 => (place, T::zero()),
                place => (place, values[window]),
            });
            // `v` is zero but at the two places.
            let v = |at: i32| {
                let present = if at == x_at {
                    x + self.momentum * x
                } else {
                    T::zero()
                };
                let before = if at == b_at {
                    self.momentum * b
                } else {
                    T::zero()
                };
                present - before
            };
            let descended = |at: usize| v(at as i32) - self.length * self.gradient[at];
            let mut place = -1;
            match self.kept {
                Some(kept) => {
                    if let Ok(at) = usize::try_from(kept[window]) {
                        place = at as i32;
                    }
                }
                None => {
                    let mut most = T::zero();
                    let [y, x] = [window / across * rows, window % across * columns];
                    let [y_end, x_end] = [(y + rows).min(height), (x + columns).min(width)];
                    for map in self.maps.clone() {
                        for x in x..x_end {
                            for y in y..y_end {
                                let at = (map * height + y) * width + x;
                                let value = descended(at);
                                let magnitude = magnitude(value);
                                let counts = !(self.penalty.non_negative && value < T::zero());
                                if counts && magnitude > most {
                                    (most, place) = (magnitude, at as i32);
                                }
                            }
                        }
                    }
                }
            }
            let mut next = T::zero();
            if let Ok(at) = usize::try_from(place) {
                let exact = descended(at).to_f64().unwrap_or(f64::NAN);
                // What is not a number must not look like a zero.
                let shrunk = match exact.is_nan() {
                    true => exact,
                    false => penalty::shrink_number(exact, self.weight, self.penalty),
                };
                next = T::from(shrunk).unwrap_or(T::nan());
            }
            if next == T::zero() && self.kept.is_none() {
                place = -1;
            }
            // What the sums see: the place of the next element, and those where `v` is not zero.
            let places = [place, x_at, b_at];
            for (i, &at) in places.iter().enumerate() {
                if at < 0 || places[..i].contains(&at) {
                    continue;
                }
                let new = if at == place { next } else { T::zero() };
                let old = if at == x_at { x } else { T::zero() };
                let [new, old, v] = [new, old, v(at)].map(|x| x.to_f64().unwrap_or(f64::NAN));
                out.sums[0] += (new - v) * (new - v);
                out.sums[1] += (v - new) * (new - old);
            }
            out.places.push(place);
            out.values.push(next);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::linop::noise;
    use crate::pooling::Pool;

    fn random(shape: [usize; 4], seed: u64) -> Tensor<4> {
        let values = noise(shape.iter().product(), seed);
        Tensor::from_data(
            TensorData::new(values, shape),
            (&Device::flex(), DType::F64),
        )
    }

    fn maps(shape: [usize; 4], windows: Pool, seed: u64) -> Pooled {
        // Some windows are empty.
        let kept = random(shape, seed + 1)
            .greater_elem(-0.2)
            .float()
            .cast(DType::F64);
        let (values, switches) = pool(random(shape, seed) * kept, windows);
        Pooled { values, switches }
    }

    #[test]
    fn the_pass_takes_the_step_of_the_plain_operations() {
        for (seed, sizes) in [[2, 3, 2], [1, 1, 1], [3, 3, 3], [4, 1, 2]]
            .into_iter()
            .enumerate()
        {
            let seed = 10 * seed as u64;
            let windows = Pool::try_from(sizes).unwrap();
            let shape = [2, 5, 7, 8];
            let states = [maps(shape, windows, seed), maps(shape, windows, seed + 3)];
            let kept = maps(shape, windows, seed + 5).switches;
            for (p, non_negative) in [(1.0, false), (0.8, false), (1.0, true)] {
                for kept in [None, Some(&kept)] {
                    let step = || Step {
                        gradient: random(shape, seed + 7),
                        maps: [&states[0], &states[1]],
                        momentum: vec![0.3, 0.7],
                        length: vec![0.5, 0.9],
                        weight: 0.8,
                        penalty: Penalty { p, non_negative },
                        kept,
                    };
                    let (pass, plain) = (step().take(), step().plain());
                    let what = format!("{sizes:?} p {p} kept {}", kept.is_some());
                    assert_eq!(pass.next.switches, plain.next.switches, "{what}");
                    let values = |x: &Tensor<4>| x.to_data().iter::<f64>().collect::<Vec<_>>();
                    let near = |a: &[f64], b: &[f64]| {
                        a.iter()
                            .zip(b)
                            .all(|(a, b)| (a - b).abs() < 1e-9 * (1.0 + b.abs()))
                    };
                    assert!(
                        near(&values(&pass.next.values), &values(&plain.next.values)),
                        "{what}"
                    );
                    assert!(near(&pass.moved, &plain.moved), "{what}");
                    assert!(near(&pass.uphill, &plain.uphill), "{what}");
                }
            }
        }
    }
}
