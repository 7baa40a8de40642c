//! From an activation back to the pixels: a walk through the graph against its arrows.
//!
//! ```text
//! R = 1 at the unit, 0 elsewhere;   for each operator, last to first:   R_input += back(R_output)
//! ```
//!
//! Linear operators go back by their adjoints without their bias, max pooling by its switches, rectifiers
//! by the rule; everything else by its true gradient. A map that is used twice gets the sum.
//!
//! Sources: M. D. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014;
//! J. T. Springenberg, A. Dosovitskiy, T. Brox and M. Riedmiller, Striving for Simplicity: The All
//! Convolutional Net, ICLR workshop 2015 (guided); K. Simonyan, A. Vedaldi and A. Zisserman, Deep Inside
//! Convolutional Networks, ICLR workshop 2014 (gradient).

use super::graph::{Convnet, Tape};
use super::operator::Saved;
use super::rule::Walk;
use super::value::Map;

impl Convnet {
    /// Takes a signal at a value of the graph back to the pixels. Signal `k` belongs to image `rows[k]` of
    /// those that were recorded, so that several units of one image go back together.
    ///
    /// # Shapes
    /// signal `[signals, ..]` as the value has them -> `[signals, ..]` as the input has them.
    ///
    /// # Panics
    /// If the signal has not the shape of the value, or there are not as many rows as signals.
    pub fn project(
        &self,
        tape: &Tape,
        value: usize,
        signal: Map,
        rows: &[usize],
        walk: &Walk,
    ) -> Map {
        assert_eq!(
            signal.shape()[1..],
            self.shape(value)[1..],
            "signals at another value"
        );
        assert_eq!(signal.shape()[0], rows.len(), "an image for each signal");
        let pixels = [&[rows.len()], &self.shape(0)[1..]].concat();
        let (device, dtype) = (signal.device(), signal.dtype());
        let mut signals: Vec<Option<Map>> = vec![None; self.values()];
        signals[value] = Some(signal);
        for (place, step) in self.steps().iter().enumerate().rev() {
            // What is above the unit has no signal.
            let Some(signal) = signals[step.output].take() else {
                continue;
            };
            let saved = Saved {
                inputs: step.inputs.iter().map(|&input| tape.map(input)).collect(),
                output: tape.map(step.output),
                switches: tape.switches(place),
                rows,
            };
            let shares = step.operator.reverse(signal, &saved, walk);
            for (&input, share) in step.inputs.iter().zip(shares) {
                signals[input] = match (signals[input].take(), share) {
                    (Some(sum), Some(share)) => Some(sum.with(&share, |a, b| a + b)),
                    (sum, share) => sum.or(share),
                };
            }
        }
        signals[0]
            .take()
            .unwrap_or_else(|| Map::zeros(&pixels, &device, dtype))
    }
}
