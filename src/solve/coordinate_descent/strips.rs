//! Work on one image by many at once: strips of rows, every other one at the same time.

use std::ops::Range;

use rayon::prelude::*;

use crate::conv::patch::Frame;

/// The rows of the maps cut into strips.
///
/// The patches of a strip reach `h - 1` rows of the canvas further down than it does itself; as long
/// as no strip is lower than that, strips of the same parity touch nothing in common. Those at the seam of a
/// circular image touch its first rows as well, and have the whole canvas to themselves. The cut is
/// decided by the sizes alone, so that the results do not depend on the number of threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strips {
    frame: Frame,
    height: usize,
    reach: usize,
    /// Strips before the seam.
    apart: usize,
}

impl Strips {
    /// Low enough that a strip of the canvas stays in the first cache.
    const LEAST: usize = 8;

    /// Of maps whose elements from row `seam` on, where there is such a row, touch the first rows.
    pub fn new(frame: Frame, seam: Option<usize>) -> Self {
        let reach = frame.rows() - frame.map()[0];
        let height = reach.max(Self::LEAST);
        Self {
            frame,
            height,
            reach,
            apart: seam.map_or(usize::MAX, |row| row / height),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.frame.map()[0].div_ceil(self.height)
    }

    /// Rows of the maps in a strip; the last may have fewer.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The first row of a strip.
    pub fn top(&self, strip: usize) -> usize {
        strip * self.height
    }

    /// Lets `work` change each strip's part of the canvas, which begins at the row that it is told,
    /// and its own share of `each`.
    pub fn change<T: Send, A: Send, R: Send>(
        &self,
        canvas: &mut [T],
        each: &mut [A],
        work: impl Fn(&mut [T], usize, &mut A) -> R + Sync,
    ) -> Vec<R> {
        let mut results = Vec::with_capacity(each.len());
        let (each, at_seam) = each.split_at_mut(self.apart.min(each.len()));
        for parity in 0..2 {
            let mut rest = &mut canvas[..];
            let mut taken = 0;
            let mut parts = Vec::new();
            for (s, own) in each.iter_mut().enumerate().skip(parity).step_by(2) {
                let rows = self.touched(s);
                let range = [rows.start, rows.end].map(|row| row * self.frame.row_len());
                let (part, below) =
                    std::mem::take(&mut rest)[range[0] - taken..].split_at_mut(range[1] - range[0]);
                (rest, taken) = (below, range[1]);
                parts.push((part, rows.start, own));
            }
            results.par_extend(
                parts
                    .into_par_iter()
                    .map(|(part, top, own)| work(part, top, own)),
            );
        }
        let at_seam = at_seam.iter_mut();
        results.extend(at_seam.map(|own| work(&mut *canvas, 0, own)));
        results
    }

    /// The rows of the canvas that a strip's patches lie in.
    fn touched(&self, strip: usize) -> Range<usize> {
        let top = self.top(strip);
        top..(top + self.height + self.reach).min(self.frame.rows())
    }
}
