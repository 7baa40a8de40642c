//! The shift and scale that all values of a data set share.

use serde::{Deserialize, Serialize};

/// A shift and a scale that all values of a data set share: `u = (z - shift) * scale`.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Rescaling {
    /// What is subtracted first.
    pub shift: f64,
    /// What the difference is multiplied by; not zero.
    pub scale: f64,
}

impl Rescaling {
    /// `(z - shift) * scale`, in place.
    pub fn apply(&self, values: &mut [f32]) {
        for v in values {
            *v = ((f64::from(*v) - self.shift) * self.scale) as f32;
        }
    }

    /// `u / scale + shift`, in place: the inverse of [`Rescaling::apply`].
    pub fn undo(&self, values: &mut [f32]) {
        for v in values {
            *v = (f64::from(*v) / self.scale + self.shift) as f32;
        }
    }
}

/// The range and the mean of values that come in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The smallest value, infinity as long as there is none.
    pub min: f64,
    /// The largest value, minus infinity as long as there is none.
    pub max: f64,
    /// The sum of all values.
    pub sum: f64,
    /// How many values there were.
    pub count: usize,
}

impl Range {
    /// The range of no values.
    pub fn new() -> Self {
        Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
            count: 0,
        }
    }

    /// Takes in more values, which must be finite.
    pub fn add(&mut self, values: &[f32]) {
        for v in values.iter().map(|&v| f64::from(v)) {
            self.min = self.min.min(v);
            self.max = self.max.max(v);
            self.sum += v;
        }
        self.count += values.len();
    }

    /// Takes in the values of another one.
    pub fn merge(&mut self, other: &Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.count += other.count;
    }

    /// The rescaling that brings the values to zero mean and to the given range:
    /// `u = (z - mean) * range / (max - min)`. Values that are all equal are only shifted.
    pub fn rescaling(&self, range: f64) -> Rescaling {
        let spread = self.max - self.min;
        Rescaling {
            shift: self.sum / self.count.max(1) as f64,
            scale: if spread > 0.0 { range / spread } else { 1.0 },
        }
    }
}

impl Default for Range {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(a: &[f32], b: &[f32]) {
        let mut pairs = a.iter().zip(b);
        assert!(pairs.all(|(x, y)| (x - y).abs() < 1e-6), "{a:?} {b:?}");
    }

    #[test]
    fn lump_by_hand() {
        let mut range = Range::new();
        range.add(&[1.0, 2.0]);
        range.add(&[3.0, 6.0]);
        let rescaling = range.rescaling(2.0);
        assert_eq!((rescaling.shift, rescaling.scale), (3.0, 0.4));
        let mut values = [1.0, 6.0];
        rescaling.apply(&mut values);
        assert_close(&values, &[-0.8, 1.2]);
        rescaling.undo(&mut values);
        assert_close(&values, &[1.0, 6.0]);

        let mut constant = Range::new();
        constant.add(&[5.0; 3]);
        let only_shift = constant.rescaling(2.0);
        assert_eq!((only_shift.shift, only_shift.scale), (5.0, 1.0));
        let nothing = Range::new().rescaling(2.0);
        assert_eq!((nothing.shift, nothing.scale), (0.0, 1.0));
    }
}
